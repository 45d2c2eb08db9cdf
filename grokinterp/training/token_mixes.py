r"""What attention reads for a fixed batch of pairs, and its gradients: two ways to compute it.

A pair reads a sum of rows that belong to its tokens, weighted by its attention. On the CPU
that is a bag of rows (:class:`BagMix`). Elsewhere the weighted values meet the readout as one
dense product (:class:`DenseMix`). Both give the same up to rounding.
"""

from __future__ import annotations

import functools
import warnings
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from grokinterp.models.pair_tables import PairTables, value_rows
from grokinterp.training.table_gradients import Leaves, value_row_gradients
from grokinterp.training.token_sums import TokenSums


@runtime_checkable
class TokenMix(Protocol):
    """Reads tables for a fixed batch of pairs."""

    name: str
    """What the log and environment.json call this way of computing."""
    width: int
    """Columns of what a pair reads: neurons, classes, and possibly zeros behind them."""

    def leaves(self, tables: PairTables) -> Leaves:
        """Tensors that the batch reads."""
        ...

    def table_gradients(self, tables: PairTables, totals: Leaves, d_W_L: Tensor) -> PairTables:
        """Gradient of each table, given those of the leaves and of the neuron-logit map."""
        ...

    def forward(self, leaves: Leaves, read: Float[Tensor, "pair width"]) -> None:
        """Write the neurons after ReLU and the logits' part beside them into `read`."""
        ...

    def backward(
        self,
        leaves: Leaves,
        read: Float[Tensor, "pair width"],
        gradient: Float[Tensor, "pair width"],
        totals: Leaves,
    ) -> None:
        """Add the gradient of each leaf to its total, given that of `read`.

        The gradient of neurons that are off is set to zero in place.
        """
        ...


def token_mix(
    pairs: Int[Tensor, "pair 2"],
    n_tokens: int,
    n_heads: int,
    d_mlp: int,
    n_classes: int,
    dtype: torch.dtype,
) -> TokenMix:
    """Choose the fastest way that this machine has.

    Parameters
    ----------
    pairs
        The batch, best in the order of a.
    n_tokens
        Tokens that a and b can be.
    n_heads, d_mlp, n_classes
        Of the network.
    dtype
        Of its parameters.

    Examples
    --------
    >>> pairs = torch.tensor([[0, 1], [2, 2]])
    >>> token_mix(pairs, 3, 4, 16, 3, torch.float32).name
    'weighted rows (embedding bags)'
    """
    if pairs.device.type == "cpu" and _has_sampled_products():
        return BagMix(pairs, n_tokens, n_heads, d_mlp, d_mlp + n_classes, dtype)
    return DenseMix(pairs, n_tokens, n_heads, d_mlp, d_mlp + n_classes)


def attention_to_operands(
    scores: Float[Tensor, "2 token head"],
    score_equals: Float[Tensor, " head"],
    pairs: Int[Tensor, "pair 2"],
) -> Float[Tensor, "pos pair head"]:
    """Pattern of the last position over a, b and ``=``."""
    at_equals = score_equals.expand(len(pairs), -1)
    a, b = pairs[:, 0], pairs[:, 1]
    # A softmax over the first dimension is a loop over long rows.
    return torch.stack([scores[0, a], scores[1, b], at_equals]).softmax(0)


def sums_of_operands(pairs: Int[Tensor, "pair 2"], n_tokens: int) -> tuple[TokenSums, TokenSums]:
    """What adds up over the pairs of each token of a, and of each token of b."""
    return TokenSums(pairs[:, 0], n_tokens), TokenSums(pairs[:, 1], n_tokens)


def add_score_gradients(
    pattern: Float[Tensor, "pos pair head"],
    d_pattern: Float[Tensor, "pos pair head"],
    sums: tuple[TokenSums, TokenSums],
    scores: Float[Tensor, "2 token head"],
    score_equals: Float[Tensor, " head"],
) -> None:
    """Add the gradients of the tables of scores, given that of the pattern."""
    d_scores = pattern * (d_pattern - (d_pattern * pattern).sum(0))
    for operand in range(2):
        sums[operand].add(scores[operand], d_scores[operand])
    score_equals += d_scores[2].sum(0)


class DenseMix:
    """Weighted values of a, b and ``=``, then one dense product with the readout."""

    name = "dense products"

    def __init__(
        self, pairs: Int[Tensor, "pair 2"], n_tokens: int, n_heads: int, d_mlp: int, width: int
    ) -> None:
        self.width = width
        self._sums = sums_of_operands(pairs, n_tokens)
        self._pairs, self._n_heads, self._d_mlp = pairs, n_heads, d_mlp
        self._buffers: dict[str, Tensor] = {}
        self._pattern = torch.empty(0)

    def leaves(self, tables: PairTables) -> Leaves:
        """Tables of scores and values, and the readout."""
        return (
            tables.scores,
            tables.score_equals,
            tables.values,
            tables.value_equals,
            tables.readout,
        )

    def table_gradients(self, tables: PairTables, totals: Leaves, d_W_L: Tensor) -> PairTables:
        """Gradient of each table: the leaves are tables themselves."""
        return PairTables(*totals, W_L=d_W_L)

    def forward(self, leaves: Leaves, read: Tensor) -> None:
        """Write the neurons after ReLU and the logits' part beside them into `read`."""
        scores, score_equals, values, value_equals, readout = leaves
        self._pattern = attention_to_operands(scores, score_equals, self._pairs)
        z = self._by_head(self._z(readout)[:, :-1])
        for operand, name in enumerate("ab"):
            gathered = self._buffer(name, readout, z[..., 0].numel() // len(z) * z.shape[-1])
            torch.index_select(values[operand].flatten(1), 0, self._pairs[:, operand], out=gathered)
        torch.mul(self._by_head(self._buffers["a"]), self._pattern[0, ..., None], out=z)
        z.addcmul_(self._by_head(self._buffers["b"]), self._pattern[1, ..., None])
        z.addcmul_(value_equals, self._pattern[2, ..., None])
        torch.mm(self._buffers["z"], readout, out=read)
        read[:, : self._d_mlp].relu_()

    def backward(self, leaves: Leaves, read: Tensor, gradient: Tensor, totals: Leaves) -> None:
        """Add the gradient of each leaf to its total, given that of `read`."""
        value_equals, readout = leaves[3:]
        d_scores, d_score_equals, d_values, d_value_equals, d_readout = totals
        mask_gradient(read, gradient, self._d_mlp)
        z = self._buffers["z"]
        d_flat = self._buffer("d_z", readout, z.shape[1])
        torch.mm(gradient, readout.T, out=d_flat)
        d_z = self._by_head(d_flat[:, :-1])
        seen = (self._by_head(self._buffers["a"]), self._by_head(self._buffers["b"]), value_equals)
        d_pattern = torch.stack([(d_z * value).sum(-1) for value in seen])
        for operand in range(2):
            weighted = d_z * self._pattern[operand, ..., None]
            self._sums[operand].add(d_values[operand], weighted)
        add_score_gradients(self._pattern, d_pattern, self._sums, d_scores, d_score_equals)
        d_value_equals += (d_z * self._pattern[2, ..., None]).sum(0)
        d_readout.addmm_(z.T, gradient)

    def _z(self, like: Tensor) -> Tensor:
        if "z" not in self._buffers:
            # The last column stays 1 and meets the readout's row of constants.
            self._buffer("z", like, len(like)).fill_(1.0)
        return self._buffers["z"]

    def _buffer(self, name: str, like: Tensor, width: int) -> Tensor:
        if name not in self._buffers:
            shape = (len(self._pairs), width)
            self._buffers[name] = torch.empty(shape, dtype=like.dtype, device=like.device)
        return self._buffers[name]

    def _by_head(self, flat: Tensor) -> Tensor:
        return flat.unflatten(-1, (self._n_heads, -1))


class BagMix:
    """Bags of rows, weighted by attention; their gradients are bags of the batch's rows.

    Both are ``embedding_bag``, torch's fastest sum of few weighted rows on the CPU. The gradient
    of a weight is an entry of a product of which few are wanted, a sampled one.
    """

    name = "weighted rows (embedding bags)"

    def __init__(
        self,
        pairs: Int[Tensor, "pair 2"],
        n_tokens: int,
        n_heads: int,
        d_mlp: int,
        width: int,
        dtype: torch.dtype,
    ) -> None:
        self.width = width
        self._sums = sums_of_operands(pairs, n_tokens)
        self._pairs, self._d_mlp = pairs, d_mlp
        n_pairs, n_rows = len(pairs), 2 * n_heads * n_tokens
        blocks = torch.arange(2 * n_heads).view(n_heads, 2) * n_tokens
        self._rows = (blocks + pairs[:, None]).flatten(1)
        columns = self._rows.flatten()
        # Stable, so that the pairs of a row stay in order.
        self._by_row = torch.argsort(columns, stable=True)
        self._pairs_by_row = self._by_row // (2 * n_heads)
        counts = torch.bincount(columns, minlength=n_rows)
        self._starts = pad(counts.cumsum(0), (1, 0))
        # Where entries of a product are wanted; their values do not matter.
        self._wanted = torch.sparse_csr_tensor(
            (torch.arange(n_pairs + 1) * 2 * n_heads).int(),
            columns.int(),
            torch.zeros(len(columns), dtype=dtype),
            (n_pairs, n_rows),
            check_invariants=False,
        )
        self._pattern = torch.empty(0, dtype=dtype)
        self._weights = torch.empty(0, dtype=dtype)

    def leaves(self, tables: PairTables) -> Leaves:
        """Tables of scores, rows of values through the readout, and what is constant."""
        return (tables.scores, tables.score_equals, *value_rows(tables, self.width))

    def table_gradients(self, tables: PairTables, totals: Leaves, d_W_L: Tensor) -> PairTables:
        """Gradient of each table, given those of the rows."""
        return value_row_gradients(tables, totals, d_W_L)

    def forward(self, leaves: Leaves, read: Tensor) -> None:
        """Write the neurons after ReLU and the logits' part beside them into `read`."""
        scores, score_equals, rows, constant = leaves
        self._pattern = attention_to_operands(scores, score_equals, self._pairs)
        self._weights = self._pattern[:2].permute(1, 2, 0).flatten(1)
        weighted = embedding_bag(
            self._rows, rows.flatten(0, 2), mode="sum", per_sample_weights=self._weights
        )
        torch.add(weighted, constant, out=read)
        read[:, : self._d_mlp].relu_()

    def backward(self, leaves: Leaves, read: Tensor, gradient: Tensor, totals: Leaves) -> None:
        """Add the gradient of each leaf to its total, given that of `read`."""
        rows = leaves[2].flatten(0, 2)
        d_scores, d_score_equals, d_rows, d_constant = totals
        mask_gradient(read, gradient, self._d_mlp)
        sampled = torch.sparse.sampled_addmm(self._wanted, gradient, rows.T, beta=0.0)
        d_pattern = torch.zeros_like(self._pattern)
        d_pattern[:2] = sampled.values().view(len(self._pairs), -1, 2).permute(2, 0, 1)
        d_rows += embedding_bag(
            self._pairs_by_row,
            gradient,
            self._starts,
            mode="sum",
            per_sample_weights=self._weights.flatten()[self._by_row],
            include_last_offset=True,
        ).view_as(d_rows)
        add_score_gradients(self._pattern, d_pattern, self._sums, d_scores, d_score_equals)
        d_constant += gradient.sum(0)


def mask_gradient(read: Tensor, gradient: Tensor, d_mlp: int) -> None:
    """Set the gradient of neurons that are off to zero, in place."""
    # A neuron that is positive after the ReLU was positive before.
    neurons, d_neurons = read[:, :d_mlp], gradient[:, :d_mlp]
    torch.ops.aten.threshold_backward.grad_input(d_neurons, neurons, 0, grad_input=d_neurons)


@functools.cache
def _has_sampled_products() -> bool:
    """Whether this torch has sampled products of sparse matrices on the CPU."""
    with warnings.catch_warnings():
        # torch announces once per process that sparse matrices are in beta.
        warnings.simplefilter("ignore")
        try:
            zero = torch.zeros(1, dtype=torch.int32)
            one = torch.sparse_csr_tensor(
                torch.arange(2, dtype=torch.int32), zero, torch.ones(1), (1, 1)
            )
            torch.sparse.sampled_addmm(one, torch.ones(1, 1), torch.ones(1, 1), beta=0.0)
        except RuntimeError:
            return False
    return True
