"""Logits on all pairs of a task: losses, right answers, and the logits by product."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from grokinterp.circuits.logit_statistics import LogitStatistics, logit_statistics
from grokinterp.circuits.task_pairs import TaskPairs
from grokinterp.models.loss import are_correct, pair_losses
from grokinterp.portions import fits, portions


class PairLogits(TaskPairs):
    """The pairs of a task with a network's logits on them, which are a field of the subclass."""

    logits: Float[Tensor, "pair c"]

    @cached_property
    def losses(self) -> Float[Tensor, " pair"]:
        """Cross-entropy of every pair in nats, float64."""
        if self.view is None:
            return pair_losses(self.logits, self.labels)
        return self._by_pair(self.logit_statistics.losses, pair_losses)

    @cached_property
    def are_correct(self) -> Bool[Tensor, " pair"]:
        """Whether the network answers each pair correctly."""
        if self.view is None:
            return are_correct(self.logits, self.labels)
        return self._by_pair(self.logit_statistics.are_correct, are_correct)

    def _by_pair(
        self, by_sum: Shaped[Tensor, "s i"], of_others: Callable[[Tensor, Tensor], Tensor]
    ) -> Shaped[Tensor, " pair"]:
        """Values of the view's pairs as rows of the task, with those of its other pairs."""
        values = by_sum.new_empty(len(self.logits))
        values[self.rows_by_sum] = by_sum
        others = self.arrangement.rows_outside
        if len(others):
            values[others] = of_others(self.logits[others], self.labels[others])
        return values

    @cached_property
    def accuracy_all(self) -> float:
        """Fraction of all pairs that are answered correctly."""
        return float(self.are_correct.double().mean())

    @cached_property
    def logits_by_sum(self) -> Float[Tensor, "s i c"]:
        """The logits by product. Columns stay in the order of the tokens.

        A copy of all logits; code that can take some products at a time asks
        :meth:`logits_of_sums` for those of :attr:`sum_portions`.
        """
        return self.logits[self.rows_by_sum]

    @property
    def sum_portions(self) -> list[slice]:
        """Products whose logits fit into a portion in float64, one portion after another."""
        n = self.require_view().order
        return portions(n, 8 * n * self.logits.shape[1])

    @property
    def is_large(self) -> bool:
        """Whether arrays as large as the logits are made in portions."""
        return not fits(8 * self.logits.numel())

    def logits_of_sums(self, sums: slice) -> Float[Tensor, "s i c"]:
        """Rows of :attr:`logits_by_sum`, kept only where all of them are small."""
        if len(self.sum_portions) == 1:
            return self.logits_by_sum[sums]
        return self.logits[self.rows_by_sum[sums]]

    @cached_property
    def logit_statistics(self) -> LogitStatistics:
        """What several measures ask of the logits by product, from one reading of them.

        The chosen pairs are those of :attr:`new_pairs_by_sum`.
        """
        return logit_statistics(
            self.logits, self.rows_by_sum, self.class_tokens, self.new_pairs_by_sum
        )

    @property
    def mean_logits_by_sum(self) -> Float[Tensor, "s c"]:
        """Logits averaged over the pairs with the same product, float64."""
        return self.logit_statistics.means
