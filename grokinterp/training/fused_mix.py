# numba and its types need not be there where types are checked.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false, reportCallIssue=false
"""What attention reads, in one pass over the batch: kernels compiled by numba.

Forward: the attention of a pair, its weighted rows and the ReLU, while the row is in the
processor's cache. Backward: the pairs of one token together, so that its rows and their
gradient stay there too, and no two threads write to the same place.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import carray
from torch import Tensor

from grokinterp.models.pair_tables import PairTables, value_rows
from grokinterp.training.compiled import (
    NAME,
    compiled,
    even_cuts,
    kernel,
    number_type,
    pointer,
    run_kernel,
    team_rank,
    team_size,
)
from grokinterp.training.table_gradients import Leaves, value_row_gradients


class FusedMix:
    """Attention, weighted rows and ReLU of every pair in one pass."""

    name = NAME

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
        self._tokens = pairs.T.contiguous()
        self._orders = torch.argsort(self._tokens, dim=1, stable=True)
        counts = torch.stack([torch.bincount(row, minlength=n_tokens) for row in self._tokens])
        self._starts = torch.nn.functional.pad(counts.cumsum(1), (1, 0))
        self._pattern = torch.empty(len(pairs), n_heads, 3, dtype=dtype)
        self._d_pattern = torch.zeros_like(self._pattern)
        self._sizes = (len(pairs), n_tokens, n_heads, d_mlp, width)
        self._mix, self._unmix, self._unscore = _kernels(dtype)
        self._n_threads = team_size()
        # Columns of a row of partial sums for each thread, added up at the end.
        self._sums = torch.zeros(self._n_threads, width, dtype=dtype)
        self._cuts_of_pairs = even_cuts(len(pairs))
        self._cuts_of_tokens = [
            torch.searchsorted(starts, self._cuts_of_pairs) for starts in self._starts
        ]
        for cuts in self._cuts_of_tokens:
            cuts[0], cuts[-1] = 0, n_tokens

    def leaves(self, tables: PairTables) -> Leaves:
        """Tables of scores, rows of values through the readout, and what is constant."""
        return (tables.scores, tables.score_equals, *value_rows(tables, self.width))

    def table_gradients(self, tables: PairTables, totals: Leaves, d_W_L: Tensor) -> PairTables:
        """Gradient of each table, given those of the rows."""
        return value_row_gradients(tables, totals, d_W_L)

    def forward(self, leaves: Leaves, read: Float[Tensor, "pair width"]) -> None:
        """Write the neurons after ReLU and the logits' part beside them into `read`."""
        tensors = (self._cuts_of_pairs, self._tokens, *leaves, self._pattern, read)
        run_kernel(self._mix, [*self._sizes, 0, *tensors], self._n_threads)

    def backward(self, leaves: Leaves, read: Tensor, gradient: Tensor, totals: Leaves) -> None:
        """Add the gradient of each leaf to its total, given that of `read`."""
        d_scores, d_score_equals, d_rows, d_constant = totals
        batch = (leaves[2], self._pattern, read, gradient, d_rows, self._d_pattern, self._sums)
        # By a first: it turns the gradient of neurons that are off to zero.
        for operand in range(2):
            places = (self._starts[operand], self._orders[operand])
            tensors = (self._cuts_of_tokens[operand], *places, *batch)
            run_kernel(self._unmix, [*self._sizes, operand, *tensors], self._n_threads)
        d_constant += self._sums.sum(0)
        tensors = (self._tokens, self._pattern, self._d_pattern, d_scores, d_score_equals)
        run_kernel(self._unscore, [*self._sizes, 0, *tensors], 1)


@functools.cache
def _kernels(dtype: torch.dtype) -> tuple[Any, ...]:
    """The passes for numbers of one precision, as functions of the address of a job."""
    number = number_type(dtype)

    def mix(address):
        job = carray(address, 14)
        n_pairs, n_tokens, n_heads, d_mlp, width = job[0], job[1], job[2], job[3], job[4]
        rank = team_rank()
        cuts = carray(pointer(job[6]), (rank + 2,), np.int64)
        _mix(
            cuts[rank],
            cuts[rank + 1],
            carray(pointer(job[7]), (2, n_pairs), np.int64),
            carray(pointer(job[8]), (2, n_tokens, n_heads), number),
            carray(pointer(job[9]), (n_heads,), number),
            carray(pointer(job[10]), (n_heads, 2, n_tokens, width), number),
            carray(pointer(job[11]), (width,), number),
            carray(pointer(job[12]), (n_pairs, n_heads, 3), number),
            carray(pointer(job[13]), (n_pairs, width), number),
            d_mlp,
        )

    def unmix(address):
        job = carray(address, 16)
        n_pairs, n_tokens, n_heads, d_mlp, width = job[0], job[1], job[2], job[3], job[4]
        rank = team_rank()
        cuts = carray(pointer(job[6]), (rank + 2,), np.int64)
        _unmix(
            cuts[rank],
            cuts[rank + 1],
            job[5],
            carray(pointer(job[7]), (n_tokens + 1,), np.int64),
            carray(pointer(job[8]), (n_pairs,), np.int64),
            carray(pointer(job[9]), (n_heads, 2, n_tokens, width), number),
            carray(pointer(job[10]), (n_pairs, n_heads, 3), number),
            carray(pointer(job[11]), (n_pairs, width), number),
            carray(pointer(job[12]), (n_pairs, width), number),
            carray(pointer(job[13]), (n_heads, 2, n_tokens, width), number),
            carray(pointer(job[14]), (n_pairs, n_heads, 3), number),
            carray(pointer(job[15]), (rank + 1, width), number)[rank],
            d_mlp,
        )

    def unscore(address):
        job = carray(address, 11)
        n_pairs, n_tokens, n_heads = job[0], job[1], job[2]
        _unscore(
            carray(pointer(job[6]), (2, n_pairs), np.int64),
            carray(pointer(job[7]), (n_pairs, n_heads, 3), number),
            carray(pointer(job[8]), (n_pairs, n_heads, 3), number),
            carray(pointer(job[9]), (2, n_tokens, n_heads), number),
            carray(pointer(job[10]), (n_heads,), number),
        )

    return tuple(kernel(one) for one in (mix, unmix, unscore))


@compiled
def _mix(first, last, tokens, scores, score_equals, rows, constant, pattern, read, d_mlp):
    n_heads = len(score_equals)
    for pair in range(first, last):
        a, b = tokens[0, pair], tokens[1, pair]
        _attend(scores[0, a], scores[1, b], score_equals, pattern[pair])
        weights, row = pattern[pair], read[pair]
        row[:] = constant
        head = 0
        while head + 3 < n_heads:
            _add_rows_of_four_heads(
                row,
                weights[head],
                rows[head, 0, a],
                rows[head, 1, b],
                weights[head + 1],
                rows[head + 1, 0, a],
                rows[head + 1, 1, b],
                weights[head + 2],
                rows[head + 2, 0, a],
                rows[head + 2, 1, b],
                weights[head + 3],
                rows[head + 3, 0, a],
                rows[head + 3, 1, b],
            )
            head += 4
        while head < n_heads:
            _add_rows(row, weights[head], rows[head, 0, a], rows[head, 1, b])
            head += 1
        _relu(row, d_mlp)


@compiled
def _attend(scores_a, scores_b, score_equals, pattern):
    for head in range(len(score_equals)):
        at_a, at_b, at_equals = scores_a[head], scores_b[head], score_equals[head]
        largest = max(at_a, max(at_b, at_equals))
        at_a, at_b = np.exp(at_a - largest), np.exp(at_b - largest)
        at_equals = np.exp(at_equals - largest)
        total = at_a + at_b + at_equals
        pattern[head, 0] = at_a / total
        pattern[head, 1] = at_b / total
        pattern[head, 2] = at_equals / total


@compiled
def _add_rows_of_four_heads(row, w0, a0, b0, w1, a1, b1, w2, a2, b2, w3, a3, b3):
    """Of four heads at once, so that the sum is read and written once."""
    w0a, w0b, w1a, w1b = w0[0], w0[1], w1[0], w1[1]
    w2a, w2b, w3a, w3b = w2[0], w2[1], w3[0], w3[1]
    for column in range(len(row)):
        row[column] += (
            w0a * a0[column]
            + w0b * b0[column]
            + w1a * a1[column]
            + w1b * b1[column]
            + w2a * a2[column]
            + w2b * b2[column]
            + w3a * a3[column]
            + w3b * b3[column]
        )


@compiled
def _add_rows(row, weights, row_a, row_b):
    for_a, for_b = weights[0], weights[1]
    for column in range(len(row)):
        row[column] += for_a * row_a[column] + for_b * row_b[column]


@compiled
def _relu(row, d_mlp):
    zero = row[0] * 0
    for column in range(d_mlp):
        # Written so that NaN stays NaN.
        row[column] = zero if row[column] <= zero else row[column]


@compiled
def _unmix(
    first,
    last,
    operand,
    starts,
    order,
    rows,
    pattern,
    read,
    gradient,
    d_rows,
    d_pattern,
    sums,
    d_mlp,
):
    n_heads = len(rows)
    if operand == 0:
        sums[:] = 0
    for token in range(first, last):
        place, end = starts[token], starts[token + 1]
        if operand == 0:
            for at in range(place, end):
                _switch_off(gradient[order[at]], read[order[at]], sums, d_mlp)
        # Four pairs at once, so that a row's gradient is read and written a quarter as often.
        while place + 3 < end:
            q0, q1, q2, q3 = order[place], order[place + 1], order[place + 2], order[place + 3]
            g0, g1, g2, g3 = gradient[q0], gradient[q1], gradient[q2], gradient[q3]
            for head in range(n_heads):
                _add_four(
                    d_rows[head, operand, token],
                    pattern[q0, head, operand],
                    g0,
                    pattern[q1, head, operand],
                    g1,
                    pattern[q2, head, operand],
                    g2,
                    pattern[q3, head, operand],
                    g3,
                )
                along = _project_four(rows[head, operand, token], g0, g1, g2, g3)
                d_pattern[q0, head, operand] = along[0]
                d_pattern[q1, head, operand] = along[1]
                d_pattern[q2, head, operand] = along[2]
                d_pattern[q3, head, operand] = along[3]
            place += 4
        while place < end:
            pair = order[place]
            for head in range(n_heads):
                weight = pattern[pair, head, operand]
                _add(d_rows[head, operand, token], weight, gradient[pair])
                along_row = _project(rows[head, operand, token], gradient[pair])
                d_pattern[pair, head, operand] = along_row
            place += 1


@compiled
def _switch_off(along, row, sums, d_mlp):
    zero = along[0] * 0
    for column in range(d_mlp):
        along[column] = zero if row[column] <= zero else along[column]
    for column in range(len(along)):
        sums[column] += along[column]


@compiled
def _add_four(d_row, w0, g0, w1, g1, w2, g2, w3, g3):
    for column in range(len(d_row)):
        d_row[column] += w0 * g0[column] + w1 * g1[column] + w2 * g2[column] + w3 * g3[column]


@compiled
def _project_four(row, g0, g1, g2, g3):
    s0 = row[0] * 0
    s1, s2, s3 = s0, s0, s0
    for column in range(len(row)):
        at = row[column]
        s0 += g0[column] * at
        s1 += g1[column] * at
        s2 += g2[column] * at
        s3 += g3[column] * at
    return s0, s1, s2, s3


@compiled
def _add(d_row, weight, along):
    for column in range(len(along)):
        d_row[column] += weight * along[column]


@compiled
def _project(row, along):
    projection = row[0] * 0
    for column in range(len(row)):
        projection += along[column] * row[column]
    return projection


@compiled
def _unscore(tokens, pattern, d_pattern, d_scores, d_score_equals):
    for pair in range(len(pattern)):
        a, b = tokens[0, pair], tokens[1, pair]
        for head in range(len(d_score_equals)):
            at, d_at = pattern[pair, head], d_pattern[pair, head]
            mean = at[0] * d_at[0] + at[1] * d_at[1]
            d_scores[0, a, head] += at[0] * (d_at[0] - mean)
            d_scores[1, b, head] += at[1] * (d_at[1] - mean)
            d_score_equals[head] -= at[2] * mean
