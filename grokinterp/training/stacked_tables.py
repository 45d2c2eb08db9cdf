"""Tables over tokens of many one-layer networks in one call, and their gradients.

The formulas are those of :mod:`grokinterp.models.pair_tables` and
:mod:`grokinterp.training.table_gradients` with a first dimension for the members. Alone, a
network pays more for starting a hundred small operations than for their arithmetic.

Every result is written into a stack with a gap between its members
(:func:`~grokinterp.training.stacked_weights.stack_of`), and a sum never goes over members. So
the bits of a member depend neither on how many there are nor on its place among them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from grokinterp.models import ModelSpec
from grokinterp.training.stacked_weights import stack_of


class StackedTables:
    """Tables of some networks, with room for the gradients of each.

    Parameters
    ----------
    weights, gradients
        Of all members, under the names of the network; the first dimension is the member.
    spec
        Shape of the networks.
    width
        Columns of what a pair reads, as in :func:`~grokinterp.models.pair_tables.value_rows`.

    Notes
    -----
    With T tokens, inputs are numbered: tokens as a, tokens as b, then ``=``. The readout has a row
    for each component of z, a row of constants, and one for ``b_out``, which goes through W_U
    alone.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        gradients: Mapping[str, Tensor],
        spec: ModelSpec,
        width: int,
    ) -> None:
        self._w = {name.removeprefix("blocks.0."): value for name, value in weights.items()}
        self._g = {name.removeprefix("blocks.0."): value for name, value in gradients.items()}
        W_E, W_U = weights["embed.W_E"], weights["unembed.W_U"]
        n_members, n_heads, d_head = len(W_E), spec.n_heads, spec.d_head
        self._n_tokens = n_tokens = W_E.shape[1] - 1
        self._d_mlp, self._n_classes, self._width = spec.d_mlp, W_U.shape[2], width
        self._n_heads, self._d_head, self._d_z = n_heads, d_head, n_heads * d_head
        self._scale = 1 / math.sqrt(d_head)

        def room(*shape: int) -> Tensor:
            return stack_of(n_members, shape, W_E.dtype, W_E.device)

        n_inputs = 2 * n_tokens + 1
        self._inputs, self._d_inputs = (room(n_inputs, spec.d_model) for _ in range(2))
        self._query, self._d_query = (room(n_heads, d_head) for _ in range(2))
        self._direction, self._d_direction = (room(n_heads, spec.d_model) for _ in range(2))
        self._values, self._d_values = (room(n_heads, n_inputs, d_head) for _ in range(2))
        self._values_less_equals = room(n_heads, 2 * n_tokens, d_head)
        self._into, self._d_into = (room(self._d_z + 2, spec.d_model) for _ in range(2))
        self._readout, self._d_readout = (room(self._d_z + 2, width) for _ in range(2))
        self._scores, self._d_scores = (room(n_inputs, n_heads) for _ in range(2))
        self._rows, self._d_rows = (room(n_heads, 2, n_tokens, width) for _ in range(2))
        self._constant, self._d_constant = (room(width) for _ in range(2))
        self._W_L, self._d_W_L = (room(spec.d_mlp, self._n_classes) for _ in range(2))
        parts = (self._scores, self._rows, self._constant, self._W_L)
        self._leaves = [self._of_member(slot, *parts) for slot in range(n_members)]
        parts = (self._d_scores, self._d_rows, self._d_constant, self._d_W_L)
        self._totals = [self._of_member(slot, *parts) for slot in range(n_members)]

    def _of_member(
        self, slot: int, scores: Tensor, rows: Tensor, constant: Tensor, W_L: Tensor
    ) -> tuple[Tensor, ...]:
        of_operands = scores[slot, :-1].unflatten(0, (2, self._n_tokens))
        return (of_operands, scores[slot, -1], rows[slot], constant[slot], W_L[slot])

    def leaves(self, slot: int) -> tuple[Tensor, ...]:
        """What the pairs of a member read: scores, rows, constant, and at last W_L."""
        return self._leaves[slot]

    def totals(self, slot: int) -> tuple[Tensor, ...]:
        """Where the gradients of :meth:`leaves` are added up."""
        return self._totals[slot]

    def forward(self) -> None:
        """Make the tables of all members at their present weights; set the totals to zero."""
        w, inputs, d_z, d_mlp = self._w, self._inputs, self._d_z, self._d_mlp
        W_E, W_pos = w["embed.W_E"], w["pos_embed.W_pos"]
        operands = inputs[:, :-1].unflatten(1, (2, self._n_tokens))
        torch.add(W_E[:, None, :-1], W_pos[:, :2, None], out=operands)
        torch.add(W_E[:, -1], W_pos[:, 2], out=inputs[:, -1])
        self._attend()
        into, readout, equals = self._into, self._readout, inputs[:, -1]
        into[:, :d_z].unflatten(1, (self._n_heads, self._d_head)).copy_(w["attn.W_O"])
        torch.add(equals, w["attn.b_O"], out=into[:, d_z])
        into[:, d_z + 1] = w["mlp.b_out"]
        torch.bmm(into[:, :-1], w["mlp.W_in"], out=readout[:, :-1, :d_mlp])
        logits_part = readout[..., d_mlp : d_mlp + self._n_classes]
        torch.bmm(into, w["unembed.W_U"], out=logits_part)
        readout[:, d_z, :d_mlp] += w["mlp.b_in"]
        logits_part[:, d_z] += logits_part[:, d_z + 1] + w["unembed.b_U"]
        torch.bmm(w["mlp.W_out"], w["unembed.W_U"], out=self._W_L)
        self._read_values()
        for total in (self._d_scores, self._d_rows, self._d_constant, self._d_W_L):
            total.zero_()

    def _attend(self) -> None:
        """Queries, scores and values of every input."""
        w, inputs, query, direction = self._w, self._inputs, self._query, self._direction
        equals = inputs[:, -1:]
        for head in range(self._n_heads):
            into_query = query[:, head : head + 1]
            bias = w["attn.b_Q"][:, head : head + 1]
            torch.baddbmm(bias, equals, w["attn.W_Q"][:, head], out=into_query)
            along = direction[:, head, :, None]
            torch.bmm(w["attn.W_K"][:, head], into_query.transpose(1, 2), out=along)
            bias = w["attn.b_V"][:, head : head + 1]
            torch.baddbmm(bias, inputs, w["attn.W_V"][:, head], out=self._values[:, head])
        offset = (w["attn.b_K"] * query).sum(-1)
        torch.baddbmm(offset[:, None], inputs, direction.transpose(1, 2), out=self._scores)
        self._scores.mul_(self._scale)

    def _read_values(self) -> None:
        """Send every value through the readout."""
        values, readout = self._values, self._readout
        torch.sub(values[:, :, :-1], values[:, :, -1:], out=self._values_less_equals)
        rows = self._rows.flatten(2, 3)
        for head in range(self._n_heads):
            of_head = readout[:, head * self._d_head : (head + 1) * self._d_head]
            torch.bmm(self._values_less_equals[:, head], of_head, out=rows[:, head])
        at_equals = values[:, :, -1].flatten(1)[:, None]
        constant = self._constant[:, None]
        d_z = self._d_z
        torch.baddbmm(readout[:, d_z : d_z + 1], at_equals, readout[:, :d_z], out=constant)

    def backward(self) -> None:
        """Write the gradient of every weight, given the totals of all members."""
        w, g, d_z, d_mlp = self._w, self._g, self._d_z, self._d_mlp
        self._back_through_values()
        into, d_readout = self._into, self._d_readout
        into_neurons, into_logits = d_readout[:, :-1, :d_mlp], d_readout[..., d_mlp:]
        into_logits = into_logits[..., : self._n_classes]
        torch.bmm(into[:, :-1].transpose(1, 2), into_neurons, out=g["mlp.W_in"])
        torch.bmm(into.transpose(1, 2), into_logits, out=g["unembed.W_U"])
        g["unembed.W_U"].baddbmm_(w["mlp.W_out"].transpose(1, 2), self._d_W_L)
        torch.bmm(self._d_W_L, w["unembed.W_U"].transpose(1, 2), out=g["mlp.W_out"])
        d_into = self._d_into
        torch.bmm(into_logits, w["unembed.W_U"].transpose(1, 2), out=d_into)
        d_into[:, :-1].baddbmm_(into_neurons, w["mlp.W_in"].transpose(1, 2))
        g["attn.W_O"].copy_(d_into[:, :d_z].unflatten(1, (self._n_heads, self._d_head)))
        g["attn.b_O"].copy_(d_into[:, d_z])
        g["mlp.b_out"].copy_(d_into[:, d_z + 1])
        g["mlp.b_in"].copy_(into_neurons[:, d_z])
        g["unembed.b_U"].copy_(into_logits[:, d_z])
        self._back_through_attention()
        self._d_inputs[:, -1] += d_into[:, d_z]
        of_operands = self._d_inputs[:, :-1].unflatten(1, (2, self._n_tokens))
        torch.add(of_operands[:, 0], of_operands[:, 1], out=g["embed.W_E"][:, :-1])
        g["embed.W_E"][:, -1] = self._d_inputs[:, -1]
        torch.sum(of_operands, 2, out=g["pos_embed.W_pos"][:, :2])
        g["pos_embed.W_pos"][:, 2] = self._d_inputs[:, -1]

    def _back_through_values(self) -> None:
        """Gradients of values and readout, given those of the rows."""
        values, readout, d_values, d_readout = (
            self._values,
            self._readout,
            self._d_values,
            self._d_readout,
        )
        along, constant, d_z = self._d_rows.flatten(2, 3), self._d_constant, self._d_z
        for head in range(self._n_heads):
            rows = slice(head * self._d_head, (head + 1) * self._d_head)
            from_values = self._values_less_equals[:, head].transpose(1, 2)
            torch.bmm(from_values, along[:, head], out=d_readout[:, rows])
            back = readout[:, rows].transpose(1, 2)
            torch.bmm(along[:, head], back, out=d_values[:, head, :-1])
        at_equals = values[:, :, -1].flatten(1)
        d_readout[:, :d_z].addcmul_(at_equals[..., None], constant[:, None])
        d_readout[:, d_z] = constant
        d_readout[:, d_z + 1, self._d_mlp :] = constant[:, self._d_mlp :]
        # The total of the constants is not wanted as such any more.
        d_equals = stack_of(len(values), (self._d_z, 1), values.dtype, values.device)
        torch.bmm(readout[:, :d_z], constant[..., None], out=d_equals)
        d_equals = d_equals.view(len(values), self._n_heads, self._d_head)
        torch.sub(d_equals, d_values[:, :, :-1].sum(2), out=d_values[:, :, -1])

    def _back_through_attention(self) -> None:
        """Gradients of queries, keys and values, and of the inputs."""
        w, g, inputs, d_inputs = self._w, self._g, self._inputs, self._d_inputs
        query, d_query, d_values = self._query, self._d_query, self._d_values
        d_scores = self._d_scores.mul_(self._scale)
        d_offset = d_scores.sum(1)[..., None]
        d_direction = self._d_direction
        torch.bmm(d_scores.transpose(1, 2), inputs, out=d_direction)
        torch.bmm(d_scores, self._direction, out=d_inputs)
        equals, d_equals = inputs[:, -1], d_inputs[:, -1:]
        torch.mul(d_offset, w["attn.b_K"], out=d_query)
        for head in range(self._n_heads):
            W_Q, W_K, W_V = (w[f"attn.W_{name}"][:, head] for name in "QKV")
            d_inputs.baddbmm_(d_values[:, head], W_V.transpose(1, 2))
            torch.bmm(inputs.transpose(1, 2), d_values[:, head], out=g["attn.W_V"][:, head])
            of_head = d_query[:, head : head + 1]
            of_head.baddbmm_(d_direction[:, head : head + 1], W_K)
            d_equals.baddbmm_(of_head, W_Q.transpose(1, 2))
        torch.mul(equals[:, None, :, None], d_query[:, :, None], out=g["attn.W_Q"])
        torch.mul(d_direction[..., None], query[:, :, None], out=g["attn.W_K"])
        torch.mul(d_offset, query, out=g["attn.b_K"])
        g["attn.b_Q"].copy_(d_query)
        torch.sum(d_values, 2, out=g["attn.b_V"])
