# numba and its types need not be there where types are checked.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false, reportCallIssue=false
"""Cross-entropy and its gradient in one pass over the logits: a kernel compiled by numba.

In float64, whatever the precision of the logits. The exponential is written out, because the one
of the mathematical library knows no vectors.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import carray
from torch import Tensor

from grokinterp.training.compiled import (
    compiled,
    even_cuts,
    job_at,
    kernel,
    number_type,
    pointer,
    run_kernel,
    source_version,
    team_rank,
    team_size,
)
from grokinterp.training.lanes import (
    all_are,
    fused,
    larger,
    largest_of,
    load,
    load_wide,
    minus,
    no_lanes,
    plus,
    power_of_two,
    store,
    store_rounded,
    times,
    total_of,
    where_above,
)

_LOG2_E = 1 / math.log(2)
# log 2 in two parts: a whole number times the first is exact.
_MINUS_LOG_2_HIGH, _MINUS_LOG_2_LOW = -6.93147180369123816490e-01, -1.90821492927058770002e-10
_SMALLEST_EXPONENT = -708.0
# Added to a number it leaves no bits for what is behind the point.
_ROUNDER = 1.5 * 2.0**52
_T13, _T12, _T11, _T10, _T9, _T8, _T7, _T6, _T5, _T4, _T3 = (
    1 / math.factorial(n) for n in range(13, 2, -1)
)
NO_CLASS = -1e30
"""Logit of a column that only fills a vector: it adds 1e-307 to a sum that is at least 1."""
_IN_A_VECTOR = 8


class FusedCrossEntropy:
    """Cross-entropy of a fixed batch and its gradient, as :class:`LossBuffers` has them.

    Parameters
    ----------
    labels
        Of the batch.
    n_classes
        Columns of the logits.
    n_examples
        That the mean is over: the batch may be a part of them.
    """

    def __init__(self, labels: Int[Tensor, " pair"], n_classes: int, n_examples: int) -> None:
        self._labels, self._n_classes, self._n_examples = labels, n_classes, n_examples
        self._n_threads, self._cuts = team_size(), even_cuts(len(labels))
        self._losses = torch.empty(len(labels), dtype=torch.float64)
        self._n_padded = math.ceil(n_classes / _IN_A_VECTOR) * _IN_A_VECTOR
        self._row = torch.empty(self._n_threads, self._n_padded, dtype=torch.float64)
        self._padded: tuple[Tensor, Tensor] | None = None

    def loss(self, logits: Float[Tensor, "pair c"]) -> Tensor:
        """Return the share of these pairs in the mean."""
        return self.loss_and_gradient(logits, torch.empty_like(logits))

    def loss_and_gradient(
        self, logits: Float[Tensor, "pair c"], gradient: Float[Tensor, "pair c"]
    ) -> Tensor:
        """Return the share of these pairs in the mean and write its gradient."""
        if self._padded is None or self._padded[0].dtype != logits.dtype:
            filled = logits.new_full((len(logits), self._n_padded), NO_CLASS)
            self._padded = (filled, torch.empty_like(filled))
        padded, d_padded = self._padded
        padded[:, : self._n_classes] = logits
        sizes = [len(logits), self._n_padded, self._n_examples]
        tensors = [self._cuts, self._labels, padded, d_padded, self._losses, self._row]
        run_kernel(_kernel(logits.dtype), [*sizes, *tensors], self._n_threads)
        gradient.copy_(d_padded[:, : self._n_classes])
        return self._losses.sum() / self._n_examples


@functools.cache
def _kernel(dtype: torch.dtype) -> Any:
    number, version = number_type(dtype), source_version()

    def cross_entropy(address):
        job = job_at(address, 9, version)
        n_pairs, n_padded, rank = job[0], job[1], team_rank()
        cuts = carray(pointer(job[3]), (rank + 2,), np.int64)
        labels = carray(pointer(job[4]), (n_pairs,), np.int64)
        logits = carray(pointer(job[5]), (n_pairs * n_padded,), number)
        gradient = carray(pointer(job[6]), (n_pairs * n_padded,), number)
        losses = carray(pointer(job[7]), (n_pairs,), np.float64)
        scores = carray(pointer(job[8]), ((rank + 1) * n_padded,), np.float64)
        for pair in range(cuts[rank], cuts[rank + 1]):
            losses[pair] = loss_of_row(
                logits,
                pair * n_padded,
                labels[pair],
                n_padded,
                job[2],
                scores,
                rank * n_padded,
                gradient,
                1,
                0.0,
            )

    return kernel(cross_entropy)


@compiled
def loss_of_row(
    logits, at, label, n_padded, n_examples, scores, to, gradient, with_gradient, smallest
):
    """Return the cross-entropy of a row of logits, and write its gradient where that is wanted.

    The row begins at a place of a flat array and fills whole vectors, and so does its gradient;
    `scores` has room for it in float64 from `to` on. What is at most `smallest` becomes zero.
    """
    most = load_wide(logits, at)
    for column in range(_IN_A_VECTOR, n_padded, _IN_A_VECTOR):
        most = larger(most, load_wide(logits, at + column))
    largest = largest_of(most)
    lead, total = all_are(largest), no_lanes(scores)
    for column in range(0, n_padded, _IN_A_VECTOR):
        score = _exponential(minus(load_wide(logits, at + column), lead))
        store(scores, to + column, score)
        total = plus(total, score)
    all_scores = total_of(total)
    if with_gradient:
        share = 1 / (all_scores * n_examples)
        scale, bound = all_are(share), all_are(smallest)
        for column in range(0, n_padded, _IN_A_VECTOR):
            along = times(load(scores, to + column), scale)
            store_rounded(gradient, at + column, where_above(along, bound, along))
        of_label = scores[to + label] * share - 1 / n_examples
        gradient[at + label] = 0.0 if abs(of_label) <= smallest else of_label
    return np.log(all_scores) - (np.float64(logits[at + label]) - largest)


@compiled
def _exponential(x):
    """The exponential of numbers that are at most zero; below 1e-307 it is 1e-307."""
    x = larger(x, all_are(_SMALLEST_EXPONENT))
    doublings = fused(x, all_are(_LOG2_E), all_are(_ROUNDER))
    whole = minus(doublings, all_are(_ROUNDER))
    x = fused(whole, all_are(_MINUS_LOG_2_HIGH), x)
    x = fused(whole, all_are(_MINUS_LOG_2_LOW), x)
    # The Taylor series: |x| is at most log(2) / 2, where its rest is below 1e-17.
    y = fused(all_are(_T13), x, all_are(_T12))
    y = fused(fused(y, x, all_are(_T11)), x, all_are(_T10))
    y = fused(fused(y, x, all_are(_T9)), x, all_are(_T8))
    y = fused(fused(y, x, all_are(_T7)), x, all_are(_T6))
    y = fused(fused(y, x, all_are(_T5)), x, all_are(_T4))
    y = fused(fused(y, x, all_are(_T3)), x, all_are(0.5))
    y = fused(fused(y, x, all_are(1.0)), x, all_are(1.0))
    return times(y, power_of_two(doublings))
