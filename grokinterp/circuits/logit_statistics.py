"""What many measures ask of the logits, from one reading of them.

From p = 100 or so on the logits of all pairs are larger than any cache, and memory that is asked
for anew costs more than the arithmetic on it. So the logits are read a few products at a time, into
a buffer in float64 that stays in the cache, and everything that is worth knowing about each part
is computed before the next one is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.models.loss import are_correct
from grokinterp.portions import cached_portions


@dataclass(frozen=True, eq=False)
class LogitStatistics:
    """Numbers of every product and of every pair of the view, float64.

    Entry [s, i] belongs to the pair with elements i and i^-1 s, as in ``rows_by_sum``.
    """

    means: Float[Tensor, "s c"]
    """Logits averaged over the pairs with the same product."""
    chosen_means: Float[Tensor, "s c"]
    """The same over the chosen pairs alone; NaN if a product has none."""
    above_mean: Float[Tensor, "s i"]
    """Logit of the answer minus the mean logit of the pair."""
    losses: Float[Tensor, "s i"]
    """Cross-entropy in nats."""
    are_correct: Bool[Tensor, "s i"]
    """Whether the largest logit is that of the answer; of equal ones the first counts."""
    centered_power: float
    """Sum of the squares of all logits, centered per pair."""
    group_power: float
    """The same of the logits of the group's classes, centered over these; the tokens that no pair
    of the view answers with are left out."""


def logit_blocks(
    logits: Float[Tensor, "pair c"], rows_by_sum: Int[Tensor, "s i"]
) -> Iterator[tuple[slice, Float[Tensor, "some i c"]]]:
    """Go through the logits by product in float64, some products at a time.

    Yields
    ------
    tuple
        Products, and their logits in a buffer that may be overwritten and that the next part
        takes.

    Examples
    --------
    >>> rows = torch.tensor([[0, 3], [1, 2]])
    >>> [(sums, block.tolist()) for sums, block in logit_blocks(torch.eye(4)[:, :2], rows)]
    [(slice(0, 2, None), [[[1.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]])]
    """
    n_sums, n_members = rows_by_sum.shape
    some = cached_portions(n_sums, 8 * n_members * logits.shape[1])
    read = logits.new_empty(some[0].stop * n_members, logits.shape[1])
    buffer = torch.empty(some[0].stop, n_members, logits.shape[1], dtype=torch.float64)
    for sums in some:
        rows = rows_by_sum[sums].flatten()
        torch.index_select(logits, 0, rows, out=read[: len(rows)])
        block = buffer[: sums.stop - sums.start]
        yield sums, block.copy_(read[: len(rows)].view_as(block))


def answer_logits(
    block: Float[Tensor, "s row c"], answers: Int[Tensor, " s"]
) -> Float[Tensor, "s row 1"]:
    """Logit of the answer, which all pairs with the same product share."""
    return block.gather(2, answers[:, None, None].expand(-1, block.shape[1], 1))


def logit_statistics(
    logits: Float[Tensor, "pair c"],
    rows_by_sum: Int[Tensor, "s i"],
    answers: Int[Tensor, " s"],
    chosen: Bool[Tensor, "s i"],
) -> LogitStatistics:
    """Read the logits once.

    Parameters
    ----------
    logits
        One row per pair of the task.
    rows_by_sum
        Rows by product.
    answers
        Column of the answer to the pairs of each product; these are the group's classes.
    chosen
        Pairs of :attr:`LogitStatistics.chosen_means`.
    """
    weights = torch.stack([torch.ones_like(chosen), chosen], dim=1).double()
    weights /= weights.sum(dim=2, keepdim=True)
    parts = [
        _of_block(block, weights[sums], answers[sums], answers)
        for sums, block in logit_blocks(logits, rows_by_sum)
    ]
    means, above_mean, losses, sums_of_odds, are_largest = (
        torch.cat([part[index] for part in parts]) for index in range(5)
    )
    if losses.isfinite().all():
        # Of equal largest logits the first column counts, and then the sum is 2 at least.
        unsure = are_largest & (sums_of_odds > 1.999)
        s, i = unsure.nonzero(as_tuple=True)
        are_largest[s, i] = are_correct(logits[rows_by_sum[s, i]], answers[s])
    else:
        rows = rows_by_sum.flatten()
        of_rows = answers.repeat_interleave(rows_by_sum.shape[1])
        are_largest = are_correct(logits[rows], of_rows).view_as(losses)
    powers = torch.stack([part[5] for part in parts]).sum(dim=0).tolist()
    return LogitStatistics(means[:, 0], means[:, 1], above_mean, losses, are_largest, *powers)


def _of_block(
    block: Float[Tensor, "s i c"],
    weights: Float[Tensor, "s 2 i"],
    answers: Int[Tensor, " s"],
    classes: Int[Tensor, " group"],
) -> tuple[Tensor, ...]:
    """Means, answers above the mean, losses, sums of odds, largest answers, both powers."""
    means = torch.bmm(weights, block)
    block -= block.mean(dim=2, keepdim=True)
    power = torch.linalg.vector_norm(block).square()
    group_power = power
    if len(classes) != block.shape[2]:
        of_group = block[:, :, classes]
        of_group -= of_group.mean(dim=2, keepdim=True)
        group_power = torch.linalg.vector_norm(of_group).square()
    answer = answer_logits(block, answers)
    largest = block.amax(dim=2, keepdim=True)
    sums = block.sub_(largest).exp_().sum(dim=2, keepdim=True)
    losses = sums.log() + (largest - answer)
    per_pair = (answer, losses, sums, answer == largest)
    return means, *(value[:, :, 0] for value in per_pair), torch.stack([power, group_power])
