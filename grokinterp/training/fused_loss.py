# numba and its types need not be there where types are checked.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false, reportCallIssue=false
"""Cross-entropy and its gradient in one pass over the logits: a kernel compiled by numba.

In float64, whatever the precision of the logits. The exponential is written out, because a
loop that calls the one of the mathematical library is not vectorized.
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
    kernel,
    number_type,
    pointer,
    run_kernel,
    team_rank,
    team_size,
)

_LOG2_E = 1 / math.log(2)
# log 2 in two parts: a whole number times the first is exact.
_LOG_2_HIGH, _LOG_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_SMALLEST_EXPONENT = -708.0
_T13, _T12, _T11, _T10, _T9, _T8, _T7, _T6, _T5, _T4, _T3 = (
    1 / math.factorial(n) for n in range(13, 2, -1)
)


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
        self._row = torch.empty(self._n_threads, n_classes, dtype=torch.float64)

    def loss(self, logits: Float[Tensor, "pair c"]) -> Tensor:
        """Return the share of these pairs in the mean."""
        return self.loss_and_gradient(logits, torch.empty_like(logits))

    def loss_and_gradient(
        self, logits: Float[Tensor, "pair c"], gradient: Float[Tensor, "pair c"]
    ) -> Tensor:
        """Return the share of these pairs in the mean and write its gradient."""
        sizes = [len(logits), self._n_classes, self._n_examples]
        tensors = [self._cuts, self._labels, logits, gradient, self._losses, self._row]
        run_kernel(_kernel(logits.dtype), [*sizes, *tensors], self._n_threads)
        return self._losses.sum() / self._n_examples


@functools.cache
def _kernel(dtype: torch.dtype) -> Any:
    number = number_type(dtype)

    def cross_entropy(address):
        job = carray(address, 9)
        n_pairs, n_classes = job[0], job[1]
        rank = team_rank()
        cuts = carray(pointer(job[3]), (rank + 2,), np.int64)
        _cross_entropy(
            cuts[rank],
            cuts[rank + 1],
            job[2],
            carray(pointer(job[4]), (n_pairs,), np.int64),
            carray(pointer(job[5]), (n_pairs, n_classes), number),
            carray(pointer(job[6]), (n_pairs, n_classes), number),
            carray(pointer(job[7]), (n_pairs,), np.float64),
            carray(pointer(job[8]), (rank + 1, n_classes), np.float64)[rank],
        )

    return kernel(cross_entropy)


@compiled
def _cross_entropy(first, last, n_examples, labels, logits, gradient, losses, scores):
    for pair in range(first, last):
        label, row, along = labels[pair], logits[pair], gradient[pair]
        largest = np.float64(_largest(row))
        total = _exponentials(row, largest, scores)
        losses[pair] = np.log(total) - (np.float64(row[label]) - largest)
        scale = 1 / (total * n_examples)
        for one in range(len(row)):
            along[one] = scores[one] * scale
        along[label] = scores[label] * scale - 1 / n_examples


@compiled
def _largest(row):
    largest = row[0]
    for one in range(1, len(row)):
        largest = row[one] if row[one] > largest else largest
    return largest


@compiled
def _exponentials(row, largest, scores):
    """Write exp(row - largest) and return the sum; what is below 1e-307 is 1e-307."""
    total = 0.0
    for one in range(len(row)):
        exponent = np.float64(row[one]) - largest
        # Written so that NaN stays NaN.
        exponent = _SMALLEST_EXPONENT if exponent < _SMALLEST_EXPONENT else exponent
        doublings = np.floor(exponent * _LOG2_E + 0.5)
        x = (exponent - doublings * _LOG_2_HIGH) - doublings * _LOG_2_LOW
        # The Taylor series: |x| is at most log(2) / 2, where its rest is below 1e-17.
        y = ((((((_T13 * x + _T12) * x + _T11) * x + _T10) * x + _T9) * x + _T8) * x + _T7) * x
        y = ((((((y + _T6) * x + _T5) * x + _T4) * x + _T3) * x + 0.5) * x + 1.0) * x + 1.0
        power_of_two = np.int64((np.int64(doublings) + 1023) << 52).view(np.float64)
        scores[one] = y * power_of_two
        total += scores[one]
    return total
