r"""Causal transformers on pairs, with what the pairs of one operand share computed once.

Under causal attention a position sees itself and those before it. So everything before b depends
on a alone: the p sequences that begin with different a stand for all p^2 pairs. With ``a o b =``
half of the positions of a batch are shared in this way, with ``a b =`` a third of them.

The numbers are those of :func:`grokinterp.models.transformer.transformer_logits` up to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from grokinterp.models.norms import CENTERED
from grokinterp.models.spec import ModelSpec
from grokinterp.models.transformer import ForwardPass, input_tokens, no_hook


def is_prefix_shared(spec: ModelSpec, d_vocab: int, pairs: Int[Tensor, "pair 2"]) -> bool:
    """Whether pairs share more than it costs to compute the beginnings of all operands.

    On the CPU alone: elsewhere sums over the pairs of an operand need not have an order, and
    a run that resumes would not have the bits of one that never stopped.

    Examples
    --------
    >>> pairs = torch.zeros(512, 2, dtype=torch.int64)
    >>> is_prefix_shared(ModelSpec(), 98, pairs), is_prefix_shared(ModelSpec(), 98, pairs[:90])
    (True, False)
    >>> is_prefix_shared(ModelSpec(attention_dir="bidirectional"), 98, pairs)
    False
    """
    is_worth_it = len(pairs) > _n_operands(spec, d_vocab)
    return spec.attention_dir == "causal" and is_worth_it and pairs.device.type == "cpu"


def _n_operands(spec: ModelSpec, d_vocab: int) -> int:
    return (d_vocab - len(spec.signs)) // spec.n_operand_tables


def shared_prefix_logits(
    parameters: Mapping[str, Tensor], pairs: Int[Tensor, "pair 2"], spec: ModelSpec
) -> Float[Tensor, "pair d_vocab_out"]:
    """Logits at the last position, differentiable.

    Examples
    --------
    >>> from grokinterp.models.initialization import initial_parameters
    >>> spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=16, n_layers=2)
    >>> parameters = initial_parameters(spec, d_vocab=6, n_ctx=3, d_vocab_out=5)
    >>> pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    >>> shared_prefix_logits(parameters, pairs, spec).shape
    torch.Size([25, 5])
    """
    n_shared = spec.operand_positions[1]
    d_vocab = len(parameters["embed.W_E"])
    n_operands = _n_operands(spec, d_vocab)
    first = torch.arange(n_operands, device=pairs.device)
    beginnings = input_tokens(torch.stack([first, first], 1), spec, d_vocab)[:, :n_shared]
    ends = input_tokens(pairs, spec, d_vocab)[:, n_shared:]
    layout = _Layout(n_operands, n_shared, len(pairs), pairs[:, 0])
    return _SharedPrefixPass(parameters, spec, no_hook, frozenset(), True, layout).logits_of(
        beginnings, ends
    )


@dataclass(frozen=True)
class _Layout:
    """How positions lie in a row: those before b for each a, then the others for each pair."""

    n_operands: int
    n_shared: int
    """Positions before b."""
    n_pairs: int
    a: Tensor
    """Operand a of each pair."""

    def split(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Both kinds of rows as (sequence, position, ...)."""
        n_first = self.n_operands * self.n_shared
        kept = rows.shape[1:]
        shared, own = rows[:n_first], rows[n_first:]
        return (
            shared.view(self.n_operands, self.n_shared, *kept),
            own.view(self.n_pairs, -1, *kept),
        )

    def of_pairs(self, shared: Tensor, own: Tensor) -> Tensor:
        """All positions of every pair, (pair, position, ...)."""
        # As an embedding: its gradient is a sum by operand that torch has a kernel for.
        gathered = F.embedding(self.a, shared.flatten(1)).view(self.n_pairs, *shared.shape[1:])
        return torch.cat([gathered, own], dim=1)


@dataclass(frozen=True)
class _SharedPrefixPass(ForwardPass):
    """The pass of :class:`ForwardPass` over rows, each a position of some sequence."""

    layout: _Layout

    def logits_of(self, beginnings: Tensor, ends: Tensor) -> Tensor:
        """Logits of every pair at its last position."""
        tokens = torch.cat([beginnings.flatten(), ends.flatten()])
        W_pos, n_shared = self.parameters["pos_embed.W_pos"], beginnings.shape[1]
        positions = [
            W_pos[:n_shared].repeat(len(beginnings), 1),
            W_pos[n_shared : n_shared + ends.shape[1]].repeat(len(ends), 1),
        ]
        residual = F.embedding(tokens, self.parameters["embed.W_E"]) + torch.cat(positions)
        return self.read(self.through_blocks(residual.unsqueeze(1))).squeeze(1)

    def cut(self, residual: Tensor) -> Tensor:
        """The last position of each pair."""
        return self.layout.split(residual)[1][:, -1]

    def attend(self, prefix: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """What every row's heads read; all rows, or the last position of each pair alone."""
        (k_shared, k_own), (v_shared, v_own) = (self.layout.split(x.squeeze(1)) for x in (k, v))
        keys, values = self.layout.of_pairs(k_shared, k_own), self.layout.of_pairs(v_shared, v_own)
        if len(q) == self.layout.n_pairs:
            return self._read(q, keys, values)
        q_shared, q_own = self.layout.split(q.squeeze(1))
        z = [
            self._read(q_shared, k_shared, v_shared).flatten(0, 1),
            self._read(q_own, keys, values).flatten(0, 1),
        ]
        return torch.cat(z).unsqueeze(1)

    def _read(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.spec.attention_rate != 1:
            return super().attend("", q, k, v)
        is_seen = q.new_ones(q.shape[1], k.shape[1], dtype=torch.bool)
        is_seen = is_seen.tril(k.shape[1] - q.shape[1])
        # Between the axes of torch's function, (..., head, position, d_head), and ours.
        heads = (x.transpose(1, 2) for x in (q, k, v))
        return F.scaled_dot_product_attention(*heads, attn_mask=is_seen).transpose(1, 2)

    def normalize(self, norm: str, x: Tensor) -> Tensor:
        """A norm as one operation, since no hook asks for what lies within."""
        eps, shape = self.spec.norm_epsilon, x.shape[-1:]
        w, b = (self.parameters.get(norm + name) for name in ("w", "b"))
        if self.spec.normalization in CENTERED:
            return F.layer_norm(x, shape, w, b, eps)
        return F.rms_norm(x, shape, w, eps)
