"""Three layouts of state dicts, each brought to the names and orientation of TransformerLens.

``transformer_lens``
    Names and shapes of TransformerLens's HookedTransformer, which are this library's.
``transposed``
    Nanda et al. 2023 and Zhong et al. 2023: the same names, but every weight acts from the
    left: ``W_E`` (d_model, d_vocab), ``W_Q`` (head, d_head, d_model), ``W_O`` (d_model,
    head * d_head), ``W_in`` (d_mlp, d_model). ``W_O`` is square, so a forgotten transpose
    gives no error, only another network.
``bridge``
    TransformerLens 4's TransformerBridge: ``blocks.0.attn.q.weight`` and the like, linear
    layers of torch with all heads in one matrix.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor


def layout_of(state: Mapping[str, Tensor]) -> str:
    """Name the layout of a state dict; empty if it is none of the three."""
    W_q = state.get("blocks.0.attn.q.weight")
    if "embed.weight" in state and W_q is not None and W_q.ndim == 2:
        return "bridge"
    W_O = state.get("blocks.0.attn.W_O")
    if "embed.W_E" not in state or W_O is None:
        return ""
    return "transposed" if W_O.ndim == 2 else "transformer_lens"


def untransposed(name: str, value: Tensor, state: Mapping[str, Tensor]) -> Tensor:
    """Bring a weight of the transposed layout to the library's orientation."""
    leaf = name.rsplit(".", 1)[-1]
    if leaf in ("W_Q", "W_K", "W_V") and value.ndim == 3:
        return value.transpose(1, 2)
    if leaf == "W_O" and value.ndim == 2:
        W_Q = state.get(name.replace("W_O", "W_Q"))
        if W_Q is not None and W_Q.ndim == 3 and value.shape[1] == W_Q.shape[0] * W_Q.shape[1]:
            return value.T.unflatten(0, W_Q.shape[:2])
    return value.T if leaf in ("W_E", "W_in", "W_out") and value.ndim == 2 else value


def unbridged(state: Mapping[str, Tensor], n_heads: int) -> dict[str, Tensor]:
    """Inverse of TransformerLens's ``convert_tl_checkpoint``."""
    named = {}
    for name, value in state.items():
        if value.ndim != (2 if name.endswith("weight") else 1):
            named[name] = value
            continue
        path, _, leaf = name.rpartition(".")
        room, part = path.rpartition(".")[0], path.rpartition(".")[2]
        letter = "W" if leaf == "weight" else "b"
        if path in ("embed", "pos_embed", "unembed"):
            symbol = {"embed": "E", "pos_embed": "pos", "unembed": "U"}[path]
            turned = value.T if path == "unembed" and leaf == "weight" else value
            named[f"{path}.{letter}_{symbol}"] = turned
        elif part in ("q", "k", "v", "o") and value.numel() % n_heads == 0:
            named[f"{room}.{letter}_{part.upper()}"] = _by_head(value, part, leaf, n_heads)
        elif part in ("in", "out") and room.endswith(".mlp"):
            named[f"{room}.{letter}_{part}"] = value.T if leaf == "weight" else value
        else:
            named[name] = value
    return named


def _by_head(value: Tensor, part: str, leaf: str, n_heads: int) -> Tensor:
    if part == "o":
        return value.T.unflatten(0, (n_heads, -1)) if leaf == "weight" else value
    split = value.unflatten(0, (n_heads, -1))
    return split.transpose(1, 2) if leaf == "weight" else split
