"""Initial weights: explicit generators, float32 on the CPU, in a documented order.

Unless `init` says otherwise the order is W_E, W_pos, then for each block W_Q, W_K, W_V, W_O,
W_in, W_out, then W_U, and finally W_gate of each block; all heads of a matrix are drawn at once.
Biases are zero. The global random state is neither read nor changed.

The weights of a norm start at 1, its biases at 0. Positions that are not learned are drawn
like the others and then replaced by their table, and a tied W_U by W_E transposed. So two
networks of one seed that differ in norms, gates, positions or ties have all other weights in
common.

``nanda2023``
    N(0, 1/d_model) everywhere, except W_U with N(0, 1/d_vocab), d_vocab = p + 1 (Nanda et
    al. 2023, published code).
``nanda2023_published``
    The same distributions, drawn as the published code of Nanda et al. draws them: in the order
    W_E, W_pos, then for each block W_K, W_Q, W_V, W_O, W_in, W_out, then W_U; each matrix in the
    shape that it has there (all but W_pos and W_U are the transposes of ours); standard normal,
    then divided by the root of d_model or d_vocab. With ``outputs=tokens`` seed 0 is the network
    of the paper and seed 1 that of the published low-precision run, initial losses
    4.764052 / 4.768347 and 4.776912 / 4.767726 (train / test). With ``outputs=answers`` W_U is
    drawn with all outputs and keeps the answers. Blocks and norms are those of that code; W_gate,
    which it does not have, comes last.
``tl_demo``
    N(0, 0.64/d_model) everywhere. With seed 999 these are the weights that the published
    output of TransformerLens's Grokking_Demo notebook started from: initial losses 4.7350
    (train) and 4.7333 (test).
``torch_defaults``
    As torch.nn draws its layers, and with them the published code of Power et al. 2022 and most
    others: N(0, 1) for W_E and learned positions, uniform within ±1/sqrt(inputs) for every other
    matrix. Biases are zero here too.

Every drawn weight is then multiplied by ``init_scale``; norms and fixed positions are not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.models.spec import ModelSpec


def parameter_shapes(
    spec: ModelSpec, d_vocab: int, n_ctx: int, d_vocab_out: int
) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter under its TransformerLens name, in the order of drawing.

    Examples
    --------
    >>> parameter_shapes(ModelSpec(), 114, 3, 113)["blocks.0.attn.W_Q"]
    (4, 128, 32)
    """
    shapes: dict[str, tuple[int, ...]] = {
        "embed.W_E": (d_vocab, spec.d_model),
        "pos_embed.W_pos": (n_ctx, spec.d_model),
    }
    for layer in range(spec.n_layers):
        shapes |= _block_shapes(spec, f"blocks.{layer}.")
    if spec.has_final_norm:
        shapes |= _norm_shapes(spec, "ln_final.")
    shapes |= {"unembed.W_U": (spec.d_model, d_vocab_out), "unembed.b_U": (d_vocab_out,)}
    if spec.gated_mlp:
        gates = [f"blocks.{layer}.mlp.W_gate" for layer in range(spec.n_layers)]
        shapes |= dict.fromkeys(gates, (spec.d_model, spec.d_mlp))
    return shapes


def _block_shapes(spec: ModelSpec, block: str) -> dict[str, tuple[int, ...]]:
    attn, mlp = f"{block}attn.", f"{block}mlp."
    per_head = (spec.n_heads, spec.d_model, spec.d_head)
    shapes: dict[str, tuple[int, ...]] = _norm_shapes(spec, f"{block}ln1.")
    shapes |= {attn + name: per_head for name in ("W_Q", "W_K", "W_V")}
    shapes[attn + "W_O"] = (spec.n_heads, spec.d_head, spec.d_model)
    shapes |= {attn + name: (spec.n_heads, spec.d_head) for name in ("b_Q", "b_K", "b_V")}
    shapes[attn + "b_O"] = (spec.d_model,)
    if spec.attn_only:
        return shapes
    shapes |= _norm_shapes(spec, f"{block}ln2.")
    shapes[mlp + "W_in"] = (spec.d_model, spec.d_mlp)
    shapes[mlp + "b_in"] = (spec.d_mlp,)
    shapes[mlp + "W_out"] = (spec.d_mlp, spec.d_model)
    shapes[mlp + "b_out"] = (spec.d_model,)
    return shapes


def _norm_shapes(spec: ModelSpec, norm: str) -> dict[str, tuple[int, ...]]:
    letters = {"LN": "wb", "RMS": "w"}.get(spec.normalization, "")
    return {norm + letter: (spec.d_model,) for letter in letters}


def initial_parameters(
    spec: ModelSpec, *, d_vocab: int, n_ctx: int, d_vocab_out: int
) -> dict[str, Tensor]:
    """Draw the initial weights that `spec` names.

    Returns
    -------
    dict[str, Tensor]
        float32 tensors on the CPU under their TransformerLens names, biases included.

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, published code.
    """
    generator = torch.Generator().manual_seed(spec.init_seed)
    shapes = parameter_shapes(spec, d_vocab, n_ctx, d_vocab_out)
    parameters = {name: _before_drawing(name, shape) for name, shape in shapes.items()}
    for name in _in_order_of_drawing(spec, shapes):
        if is_bias(name) or is_of_norm(name):
            continue
        if spec.init == "torch_defaults" and not is_embedding(name):
            bound = 1 / math.sqrt(_n_inputs(name, shapes[name]))
            drawn = torch.empty(shapes[name]).uniform_(-bound, bound, generator=generator)
        elif spec.init == "nanda2023_published":
            fan = _fan(spec, name, d_vocab)
            drawn = _drawn_as_published(name, shapes[name], d_vocab, fan, generator)
        else:
            std = _standard_deviation(spec, name, d_vocab)
            drawn = torch.empty(shapes[name]).normal_(0.0, std, generator=generator)
        parameters[name] = drawn * spec.init_scale if spec.init_scale != 1 else drawn
    if spec.positions != "learned":
        parameters["pos_embed.W_pos"] = fixed_positions(spec, n_ctx)
    tie(parameters, spec)
    return parameters


def _before_drawing(name: str, shape: tuple[int, ...]) -> Tensor:
    """Zeros, or the ones of a norm's weights."""
    return torch.full(shape, float(is_of_norm(name) and name.endswith(".w")))


def _in_order_of_drawing(spec: ModelSpec, names: Iterable[str]) -> list[str]:
    """The names as they are, or with W_K before W_Q as in the published code."""
    names = list(names)
    if spec.init != "nanda2023_published":
        return names
    swapped = {"W_Q": "W_K", "W_K": "W_Q"}
    return [
        name.removesuffix(leaf) + swapped.get(leaf, leaf)
        for name, leaf in ((name, name.rsplit(".", 1)[-1]) for name in names)
    ]


def _drawn_as_published(
    name: str, shape: tuple[int, ...], d_vocab: int, fan: int, generator: torch.Generator
) -> Tensor:
    """Draw a matrix in the shape of the published code and turn it into ours."""
    leaf = name.rsplit(".", 1)[-1]
    if leaf in ("W_pos", "W_U"):
        # There W_U has an output for every token; where only answers are wanted the rest goes.
        n_columns = max(shape[-1], d_vocab) if leaf == "W_U" else shape[-1]
        drawn = torch.randn(shape[0], n_columns, generator=generator)[:, : shape[-1]]
        return (drawn / math.sqrt(fan)).contiguous()
    # W_Q, W_K and W_V are transposed head by head; W_O has the heads side by side there.
    *heads, rows, columns = (math.prod(shape[:-1]), shape[-1]) if leaf == "W_O" else shape
    drawn = torch.randn(*heads, columns, rows, generator=generator) / math.sqrt(fan)
    return drawn.transpose(-2, -1).reshape(shape).contiguous()


def fixed_positions(spec: ModelSpec, n_ctx: int) -> Float[Tensor, "pos d_model"]:
    r"""Table of positions that are not learned: sinusoids, or zeros for ``positions=none``.

    .. math:: \mathrm{PE}_{i, 2j} = \sin(i / 10000^{2j/d}), \quad
              \mathrm{PE}_{i, 2j+1} = \cos(i / 10000^{2j/d})

    Examples
    --------
    >>> fixed_positions(ModelSpec(d_model=4, positions="sinusoidal"), 2)[0]
    tensor([0., 1., 0., 1.])

    References
    ----------
    Vaswani et al., "Attention is all you need", NeurIPS 2017, arXiv:1706.03762, section 3.5.
    """
    if spec.positions == "none":
        return torch.zeros(n_ctx, spec.d_model)
    column = torch.arange(spec.d_model)
    exponent = (column - column % 2).double() / spec.d_model
    angles = torch.arange(n_ctx)[:, None] / 10_000**exponent
    return torch.where(column % 2 == 0, angles.sin(), angles.cos()).float()


def tie(parameters: dict[str, Tensor], spec: ModelSpec) -> None:
    """Set a tied ``W_U`` to the embedding of the answers, in place; otherwise do nothing.

    The forward pass of a tied network reads ``W_E`` alone. ``W_U`` is kept beside it, untrained,
    so that checkpoints have all of TransformerLens's names.
    """
    if spec.tied_embeddings:
        W_U = parameters["unembed.W_U"]
        with torch.no_grad():
            W_U.copy_(parameters["embed.W_E"][: W_U.shape[1]].T)


def is_bias(name: str) -> bool:
    """Whether a parameter name is that of a bias, other than of a norm."""
    return name.rsplit(".", 1)[-1].startswith("b_")


def is_embedding(name: str) -> bool:
    """Whether a parameter name is that of the tokens' or the positions' embedding."""
    return name in ("embed.W_E", "pos_embed.W_pos")


def is_of_norm(name: str) -> bool:
    """Whether a parameter name is that of a norm's weights or biases."""
    return name.rsplit(".", 1)[-1] in ("w", "b")


def is_trained(name: str, spec: ModelSpec) -> bool:
    """Whether a parameter is trained.

    Biases depend on ``spec.biases``. Positions are trained if they are learned, ``W_U`` unless it
    is tied to ``W_E``; all others always, those of norms included.
    """
    if name == "pos_embed.W_pos":
        return spec.positions == "learned"
    if name == "unembed.W_U":
        return not spec.tied_embeddings
    if not is_bias(name) or spec.biases == "all":
        return True
    return spec.biases == "mlp" and ".mlp." in name


def _standard_deviation(spec: ModelSpec, name: str, d_vocab: int) -> float:
    if spec.init == "tl_demo":
        return 0.8 / math.sqrt(spec.d_model)
    if spec.init == "torch_defaults":
        return 1.0
    return 1 / math.sqrt(_fan(spec, name, d_vocab))


def _n_inputs(name: str, shape: tuple[int, ...]) -> int:
    """Inputs of a linear layer; W_O takes all heads side by side."""
    return shape[0] * shape[1] if name.endswith("attn.W_O") else shape[-2]


def _fan(spec: ModelSpec, name: str, d_vocab: int) -> int:
    """Inverse of a matrix's variance in the published code of Nanda et al."""
    return d_vocab if name == "unembed.W_U" else spec.d_model
