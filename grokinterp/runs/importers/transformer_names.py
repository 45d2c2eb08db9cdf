"""Transformers under any names, brought to TransformerLens's in every way that shapes leave open.

Open are: whether linear layers have inputs or outputs first (where all are square), the number of
heads, the order of a fused matrix of queries, keys and values, the activation, the direction of
attention, the order of the tokens, and whether the embedding is multiplied by the root of its
width.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.models import ModelSpec
from grokinterp.models.initialization import is_bias, parameter_shapes
from grokinterp.models.spec import SEQUENCES
from grokinterp.runs.importers.parameters import MAX_ORDER, Network
from grokinterp.runs.importers.tensor_roles import Roles, roles_of

_HEADS = (1, 2, 4, 8, 3, 5, 6, 7, 12, 16)
_FUSED = ("q, k, v", "q, k, v by head", "q, k, v by channel")
"""Outputs of a fused matrix: (3, head, d_head), (head, 3, d_head) or (head, d_head, 3)."""
_MOST_READINGS = 400


@dataclass(frozen=True, eq=False)
class _Plan:
    """How the tensors of a state dict are read; makes the network of any of the same names."""

    roles: Roles
    spec: ModelSpec
    order: int
    outputs_first: bool
    fused: str
    scale: float

    def network(self, state: Mapping[str, Tensor]) -> Network:
        """Make the network of a state dict."""
        values = {
            name: value.detach().cpu().float()
            for name, value in state.items()
            if value.is_floating_point()
        }
        for name in self._names():
            if name not in values or not torch.isfinite(values[name]).all():
                raise CheckpointError(
                    f"{name} is missing or not finite. Save the whole state dict of the network."
                )
        W_U, b_U = self._readout(values)
        named = {**self._outside(values), "unembed.W_U": W_U[:, : self.order]}
        named["unembed.b_U"] = b_U[: self.order]
        for layer, block in enumerate(self.roles.blocks[i] for i in sorted(self.roles.blocks)):
            named |= self._block(f"blocks.{layer}.", block, values)
        shapes = parameter_shapes(self.spec, **self.spec.vocabulary_sizes(self.order))
        for name, shape in shapes.items():
            if name not in named and (is_bias(name) or name.endswith(".b")):
                named[name] = torch.zeros(shape)
        found = {name: tuple(value.shape) for name, value in named.items()}
        if found != shapes:
            off = sorted(name for name in {*found, *shapes} if found.get(name) != shapes.get(name))
            raise CheckpointError(f"{off[0]} would have shape {found.get(off[0])}")
        extra = W_U[:, self.order :] if W_U.shape[1] > self.order else None
        kept = {name: value.contiguous() for name, value in named.items()}
        ignored = tuple(self.roles.buffers)
        return Network(
            kept,
            self.spec,
            self.order,
            extra,
            ignored,
            notes=self._notes(),
            reread=self.network,
        )

    def _names(self) -> Iterator[str]:
        yield from self.roles.outside.values()
        for block in self.roles.blocks.values():
            yield from block.values()

    def _outside(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        outside, spec = self.roles.outside, self.spec
        named = {"embed.W_E": values[outside["embedding"]] * self.scale}
        if "positions" in outside:
            table = values[outside["positions"]]
            named["pos_embed.W_pos"] = table.reshape(-1, table.shape[-1])[: spec.n_ctx]
        else:
            named["pos_embed.W_pos"] = torch.zeros(spec.n_ctx, spec.d_model)
        if spec.has_final_norm:
            named |= self._norm("ln_final.", "final_norm", outside, values)
        return named

    def _readout(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        outside, d = self.roles.outside, self.spec.d_model
        name = outside.get("unembedding")
        W_U = values[outside["embedding"]].T if name is None else values[name]
        # A square matrix is that of torch.nn.Linear, unless the layers have inputs first.
        is_turned = W_U.shape[0] != d or (W_U.shape[1] == d and self.outputs_first)
        W_U = W_U.T if name is not None and is_turned else W_U
        bias = outside.get("unembedding.bias")
        return W_U, values[bias] if bias else torch.zeros(W_U.shape[1])

    def _norm(
        self, norm: str, role: str, names: Mapping[str, str], values: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        found = {f"{norm}w": values[names[role]]}
        if self.spec.normalization == "LN":
            bias = names.get(f"{role}.bias")
            found[f"{norm}b"] = values[bias] if bias else torch.zeros(self.spec.d_model)
        return found

    def _block(
        self, prefix: str, names: Mapping[str, str], values: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        spec, named = self.spec, {}
        attn, mlp = f"{prefix}attn.", f"{prefix}mlp."
        for letter in "qkv":
            weight, bias = self._projection(letter, names, values)
            named[f"{attn}W_{letter.upper()}"] = weight
            if bias is not None:
                named[f"{attn}b_{letter.upper()}"] = bias
        W_O = self._turned(values[names["o"]])
        named[f"{attn}W_O"] = W_O.unflatten(0, (spec.n_heads, spec.d_head))
        for role, leaf in {"in": "W_in", "out": "W_out", "gate": "W_gate"}.items():
            if role in names:
                named[mlp + leaf] = self._turned(values[names[role]])
        for role, leaf in {"o": f"{attn}b_O", "in": f"{mlp}b_in", "out": f"{mlp}b_out"}.items():
            if f"{role}.bias" in names:
                named[leaf] = values[names[f"{role}.bias"]]
        if spec.normalization != "none":
            named |= self._norm(f"{prefix}ln1.", "norm1", names, values)
            if not spec.attn_only:
                named |= self._norm(f"{prefix}ln2.", "norm2", names, values)
        return named

    def _projection(
        self, letter: str, names: Mapping[str, str], values: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """(head, d_model, d_head) weights and (head, d_head) biases of queries, keys or values."""
        n, width = self.spec.n_heads, self.spec.d_head
        if letter in names:
            weight = self._turned(values[names[letter]]).unflatten(1, (n, width))
            bias = names.get(f"{letter}.bias")
            own = values[bias].unflatten(0, (n, width)) if bias else None
            return weight.movedim(0, 1), own
        which = "qkv".index(letter)
        weight = self._part(self._turned(values[names["qkv"]]).T, which)
        bias = names.get("qkv.bias")
        return weight.movedim(2, 1), self._part(values[bias], which) if bias else None

    def _part(self, outputs: Tensor, which: int) -> Tensor:
        """One of three of a fused tensor whose first axis are its outputs: (head, d_head, ...)."""
        n, width = self.spec.n_heads, self.spec.d_head
        if self.fused == _FUSED[0]:
            return outputs.unflatten(0, (3, n, width))[which]
        if self.fused == _FUSED[1]:
            return outputs.unflatten(0, (n, 3, width))[:, which]
        return outputs.unflatten(0, (n, width, 3))[:, :, which]

    def _turned(self, weight: Tensor) -> Tensor:
        """A matrix with its inputs first."""
        return weight.T if self.outputs_first else weight

    def _notes(self) -> tuple[str, ...]:
        outside = self.roles.outside
        names = [outside["embedding"], outside.get("positions", "no positions")]
        names.append(outside.get("unembedding", "the embedding again, as readout"))
        turned = (
            "outputs first, as torch.nn.Linear has them" if self.outputs_first else "inputs first"
        )
        notes = [f"Found by names and shapes: {', '.join(names)}; linear layers have {turned}."]
        if self.fused:
            notes.append(f"Queries, keys and values are in one matrix, in the order {self.fused}.")
        if self.scale != 1:
            notes.append(f"The embedding is multiplied by the root of its width, {self.scale:g}.")
        return tuple(notes)


def transformer_readings(state: Mapping[str, Tensor]) -> tuple[list[Network], str]:
    """Read a state dict as a transformer in every way that names and shapes leave open.

    Returns
    -------
    networks
        The one to prefer first; empty if it is none that a ModelSpec can be.
    why
        Why there are none: what was found and what was not.
    """
    roles = roles_of(state)
    why = _objection(roles, state)
    if why:
        return [], why
    networks = []
    for plan in itertools.islice(_plans(roles, state), _MOST_READINGS):
        try:
            networks.append(plan.network(state))
        except (CheckpointError, ConfigError, RuntimeError) as error:
            why = f"its shapes do not fit together ({error})"
    return networks, "" if networks else why


def _objection(roles: Roles, state: Mapping[str, Tensor]) -> str:
    blocks = roles.blocks
    if "embedding" not in roles.outside or not blocks:
        return roles.in_words
    if any("inv_freq" in name for name in state):
        return "it has rotary positions (inv_freq), which no transformer here has"
    if roles.left:
        return roles.in_words
    for block in blocks.values():
        has_attention = ({"q", "k", "v"} <= set(block) or "qkv" in block) and "o" in block
        if not has_attention or ("in" in block) != ("out" in block):
            return roles.in_words
        if "gate" in block and ({"in.bias", "gate.bias"} & set(block)):
            return "its gated MLP has biases, which none here has"
        if ("norm1" in block) != ("norm2" in block) and "in" in block:
            return "it has one norm in a block, where none here has fewer than two"
    if len({frozenset(block) for block in blocks.values()}) > 1:
        return "its blocks are not alike"
    has_norms = "norm1" in blocks[min(blocks)]
    if not has_norms and "final_norm" in roles.outside:
        return "it has a norm before the readout alone, which none here has"
    return ""


def _plans(roles: Roles, state: Mapping[str, Tensor]) -> Iterator[_Plan]:
    first = roles.blocks[min(roles.blocks)]
    shape = {role: tuple(state[name].shape) for role, name in first.items()}
    n_rows, d_model = state[roles.outside["embedding"]].shape
    readings = list(_tokens(roles, state, n_rows, d_model))
    for outputs_first in _orientations(shape, d_model):
        width = math.prod(shape["o"]) // d_model
        is_of_torch = "in_proj" in first.get("qkv", "")
        fused = _FUSED[: 1 if is_of_torch else 3] if "qkv" in first else ("",)
        heads = [n for n in _HEADS if width % n == 0]
        d_mlp = math.prod(shape["in"]) // d_model if "in" in shape else 1
        scales = (1.0, math.sqrt(d_model)) if is_of_torch else (1.0,)
        open_fields = itertools.product(
            scales, _activations(first), _directions(roles), fused, readings, heads
        )
        for scale, act_fn, direction, order_of_fused, (sequence, order), n_heads in open_fields:
            fields: dict[str, Any] = {
                **{"n_layers": len(roles.blocks), "d_model": d_model, "n_heads": n_heads},
                **{"d_head": width // n_heads, "d_mlp": d_mlp, "act_fn": act_fn},
                **{"input_format": sequence, "attention_dir": direction},
                **{"gated_mlp": "gate" in first, "attn_only": "in" not in first},
            }
            for norm in _norms(roles, first):
                spec = ModelSpec(**fields, **norm)
                yield _Plan(roles, spec, order, outputs_first, order_of_fused, scale)


def _orientations(shape: Mapping[str, tuple[int, ...]], d_model: int) -> tuple[bool, ...]:
    """Whether outputs come first, as the matrices that are not square show; both if none is."""
    for role in ("in", "gate", "qkv", "q"):
        if role in shape and len(set(shape[role])) == 2:
            return (shape[role][1] == d_model,)
    for role in ("out", "o"):
        if role in shape and len(set(shape[role])) == 2:
            return (shape[role][0] == d_model,)
    return True, False


def _tokens(
    roles: Roles, state: Mapping[str, Tensor], n_rows: int, d_model: int
) -> Iterator[tuple[str, int]]:
    """Input formats and numbers of operands that the sizes of the tables allow."""
    name = roles.outside.get("unembedding")
    n_outputs = n_rows if name is None else math.prod(state[name].shape) // d_model
    positions = roles.outside.get("positions")
    n_positions = None if positions is None else math.prod(state[positions].shape) // d_model
    found = []
    for sequence, signs in SEQUENCES.items():
        n_signs = sum(sign not in "ab" for sign in signs)
        order = n_rows - n_signs
        is_fine = 2 <= order <= MAX_ORDER and n_outputs in (order, n_rows)
        if is_fine and (n_positions is None or n_positions >= len(signs)):
            found.append((sequence, order))
    exact = [one for one in found if n_positions == len(SEQUENCES[one[0]])]
    yield from exact or found


def _activations(block: Mapping[str, str]) -> tuple[str, ...]:
    if "in" not in block:
        return ("relu",)
    return ("silu", "gelu", "relu") if "gate" in block else ("relu", "gelu", "silu", "tanh")


def _directions(roles: Roles) -> tuple[str, ...]:
    # The last position sees every other, so in a single block the direction does not matter.
    return ("causal",) if len(roles.blocks) == 1 else ("causal", "bidirectional")


def _norms(roles: Roles, block: Mapping[str, str]) -> tuple[dict[str, Any], ...]:
    if "norm1" not in block:
        return ({},)
    position = "before" if "final_norm" in roles.outside else "after"
    kinds = ("LN",) if "norm1.bias" in block else ("RMS", "LN")
    return tuple({"normalization": kind, "norm_position": position} for kind in kinds)
