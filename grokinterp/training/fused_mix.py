# numba and its types need not be there where types are checked.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false, reportCallIssue=false
"""What attention reads, in one pass over the batch: kernels compiled by numba.

Forward: the attention of a pair, its weighted rows and the ReLU, while the row is in the
processor's cache. Backward: the pairs of one token together, so that its rows and their
gradient stay there too, and no two threads write to the same place. No sum depends on the
number of threads.

The kernels run on the threads that torch already has. Torch's threads wait for the next
product with open eyes, and a second team beside them would share the processors with them.
"""

from __future__ import annotations

import ctypes
import functools
import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from jaxtyping import Float, Int
from numba import carray, cfunc, types
from numba.core import cgutils
from numba.extending import intrinsic
from torch import Tensor

from grokinterp.models.pair_tables import PairTables, value_rows
from grokinterp.training.table_gradients import value_row_gradients
from grokinterp.training.token_mixes import Leaves

# Sums may be taken in another order and products joined to them; NaN and infinity keep their
# meaning, because a training that diverges is recognized by them.
_FASTMATH = {"reassoc", "contract", "nsz"}
_PROCESS = ctypes.CDLL(None)
HAS_TEAM = hasattr(_PROCESS, "GOMP_parallel") and hasattr(_PROCESS, "omp_get_thread_num")
"""Whether torch's threads are those of GNU OpenMP, which can run other functions too."""


class FusedMix:
    """Attention, weighted rows and ReLU of every pair in one pass."""

    name = "kernels compiled by numba"

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
        self._n_threads = torch.get_num_threads() if HAS_TEAM else 1
        # Columns of a row of partial sums for each thread, added up at the end.
        self._sums = torch.zeros(self._n_threads, width, dtype=dtype)
        even = torch.linspace(0, len(pairs), self._n_threads + 1).long()
        self._cuts_of_pairs = even
        self._cuts_of_tokens = [torch.searchsorted(starts, even) for starts in self._starts]
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
        self._run(self._mix, 0, self._cuts_of_pairs, self._tokens, *leaves, self._pattern, read)

    def backward(self, leaves: Leaves, read: Tensor, gradient: Tensor, totals: Leaves) -> None:
        """Add the gradient of each leaf to its total, given that of `read`."""
        d_scores, d_score_equals, d_rows, d_constant = totals
        batch = (leaves[2], self._pattern, read, gradient, d_rows, self._d_pattern, self._sums)
        # By a first: it turns the gradient of neurons that are off to zero.
        for operand in range(2):
            places = (self._starts[operand], self._orders[operand])
            self._run(self._unmix, operand, self._cuts_of_tokens[operand], *places, *batch)
        d_constant += self._sums.sum(0)
        patterns = (self._pattern, self._d_pattern)
        job = (self._cuts_of_pairs, self._tokens, *patterns, d_scores, d_score_equals)
        self._run(self._unscore, 0, *job, n_threads=1)

    def _run(
        self, kernel: Any, operand: int, *tensors: Tensor, n_threads: int | None = None
    ) -> None:
        # Only addresses go there; the tensors are held until the kernel is done.
        job = [*self._sizes, operand, *(tensor.data_ptr() for tensor in tensors)]
        at = (ctypes.c_int64 * len(job))(*job)
        if self._n_threads == 1 or n_threads == 1:
            kernel.ctypes(at)
        else:
            _PROCESS.GOMP_parallel(kernel.ctypes, at, self._n_threads, 0)


def _compiled(function: Any) -> Any:
    # Whoever checks types at run time has wrapped the function; numba needs its bytecode.
    plain = inspect.unwrap(function)
    return numba.njit(fastmath=_FASTMATH, error_model="numpy")(plain)


@intrinsic
def _pointer(typing_context, address):
    """Read an integer as the address of something."""

    def code(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), code


@functools.cache
def _kernels(dtype: torch.dtype) -> tuple[Any, ...]:
    """The passes for numbers of one precision, as functions of the address of a job."""
    number = np.float32 if dtype == torch.float32 else np.float64
    team_rank: Any = types.ExternalFunction("omp_get_thread_num", types.int32())

    def mix(address):
        job = carray(address, 14)
        n_pairs, n_tokens, n_heads, d_mlp, width = job[0], job[1], job[2], job[3], job[4]
        rank = team_rank()
        cuts = carray(_pointer(job[6]), (rank + 2,), np.int64)
        _mix(
            cuts[rank],
            cuts[rank + 1],
            carray(_pointer(job[7]), (2, n_pairs), np.int64),
            carray(_pointer(job[8]), (2, n_tokens, n_heads), number),
            carray(_pointer(job[9]), (n_heads,), number),
            carray(_pointer(job[10]), (n_heads, 2, n_tokens, width), number),
            carray(_pointer(job[11]), (width,), number),
            carray(_pointer(job[12]), (n_pairs, n_heads, 3), number),
            carray(_pointer(job[13]), (n_pairs, width), number),
            d_mlp,
        )

    def unmix(address):
        job = carray(address, 16)
        n_pairs, n_tokens, n_heads, d_mlp, width = job[0], job[1], job[2], job[3], job[4]
        rank = team_rank()
        cuts = carray(_pointer(job[6]), (rank + 2,), np.int64)
        _unmix(
            cuts[rank],
            cuts[rank + 1],
            job[5],
            carray(_pointer(job[7]), (n_tokens + 1,), np.int64),
            carray(_pointer(job[8]), (n_pairs,), np.int64),
            carray(_pointer(job[9]), (n_heads, 2, n_tokens, width), number),
            carray(_pointer(job[10]), (n_pairs, n_heads, 3), number),
            carray(_pointer(job[11]), (n_pairs, width), number),
            carray(_pointer(job[12]), (n_pairs, width), number),
            carray(_pointer(job[13]), (n_heads, 2, n_tokens, width), number),
            carray(_pointer(job[14]), (n_pairs, n_heads, 3), number),
            carray(_pointer(job[15]), (rank + 1, width), number)[rank],
            d_mlp,
        )

    def unscore(address):
        job = carray(address, 12)
        n_pairs, n_tokens, n_heads = job[0], job[1], job[2]
        _unscore(
            carray(_pointer(job[7]), (2, n_pairs), np.int64),
            carray(_pointer(job[8]), (n_pairs, n_heads, 3), number),
            carray(_pointer(job[9]), (n_pairs, n_heads, 3), number),
            carray(_pointer(job[10]), (2, n_tokens, n_heads), number),
            carray(_pointer(job[11]), (n_heads,), number),
        )

    signature = types.void(types.CPointer(types.int64))
    compiled: Callable[..., Any] = cfunc(signature)
    return tuple(compiled(inspect.unwrap(kernel)) for kernel in (mix, unmix, unscore))


@_compiled
def _mix(first, last, tokens, scores, score_equals, rows, constant, pattern, read, d_mlp):
    n_heads, zero = len(score_equals), constant[0] * 0
    for pair in range(first, last):
        a, b = tokens[0, pair], tokens[1, pair]
        for head in range(n_heads):
            at_a, at_b, at_equals = scores[0, a, head], scores[1, b, head], score_equals[head]
            largest = max(at_a, max(at_b, at_equals))
            at_a, at_b = np.exp(at_a - largest), np.exp(at_b - largest)
            at_equals = np.exp(at_equals - largest)
            total = at_a + at_b + at_equals
            pattern[pair, head, 0] = at_a / total
            pattern[pair, head, 1] = at_b / total
            pattern[pair, head, 2] = at_equals / total
        row = read[pair]
        row[:] = constant
        for head in range(0, n_heads - 1, 2):
            _add_rows(
                row,
                pattern[pair, head],
                rows[head, 0, a],
                rows[head, 1, b],
                pattern[pair, head + 1],
                rows[head + 1, 0, a],
                rows[head + 1, 1, b],
            )
        if n_heads % 2:
            last_head = n_heads - 1
            weights = pattern[pair, last_head]
            for column in range(len(row)):
                row[column] += (
                    weights[0] * rows[last_head, 0, a, column]
                    + weights[1] * rows[last_head, 1, b, column]
                )
        for column in range(d_mlp):
            # Written so that NaN stays NaN.
            row[column] = zero if row[column] <= zero else row[column]


@_compiled
def _add_rows(row, weights, row_a, row_b, more_weights, more_a, more_b):
    """Of two heads at once, so that the sum is read and written half as often."""
    for_a, for_b = weights[0], weights[1]
    more_for_a, more_for_b = more_weights[0], more_weights[1]
    for column in range(len(row)):
        row[column] += (
            for_a * row_a[column]
            + for_b * row_b[column]
            + more_for_a * more_a[column]
            + more_for_b * more_b[column]
        )


@_compiled
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
        for place in range(starts[token], starts[token + 1]):
            pair = order[place]
            along = gradient[pair]
            if operand == 0:
                _switch_off(along, read[pair], sums, d_mlp)
            for head in range(n_heads):
                d_pattern[pair, head, operand] = _add_and_project(
                    along,
                    pattern[pair, head, operand],
                    rows[head, operand, token],
                    d_rows[head, operand, token],
                )


@_compiled
def _switch_off(along, row, sums, d_mlp):
    zero = along[0] * 0
    for column in range(d_mlp):
        along[column] = zero if row[column] <= zero else along[column]
    for column in range(len(along)):
        sums[column] += along[column]


@_compiled
def _add_and_project(along, weight, row, d_row):
    projection = along[0] * 0
    for column in range(len(along)):
        d_row[column] += weight * along[column]
        projection += along[column] * row[column]
    return projection


@_compiled
def _unscore(tokens, pattern, d_pattern, d_scores, d_score_equals):
    for pair in range(len(pattern)):
        a, b = tokens[0, pair], tokens[1, pair]
        for head in range(len(d_score_equals)):
            at, d_at = pattern[pair, head], d_pattern[pair, head]
            mean = at[0] * d_at[0] + at[1] * d_at[1]
            d_scores[0, a, head] += at[0] * (d_at[0] - mean)
            d_scores[1, b, head] += at[1] * (d_at[1] - mean)
            d_score_equals[head] -= at[2] * mean
