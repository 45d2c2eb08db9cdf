"""All pairs of a task: which were trained on, and their order in the view of the task's group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from grokinterp.circuits.arrangement import Arrangement, arrangement_of, masks_of
from grokinterp.errors import ConfigError
from grokinterp.spectra import GroupHarmonics, cyclic_harmonics, group_harmonics
from grokinterp.tasks import GroupView, Split, Task

On = Literal["all", "train", "test"]
"""Pairs to average over."""
ON: tuple[On, ...] = ("all", "train", "test")


@dataclass(frozen=True, eq=False)
class TaskPairs:
    """All pairs of a task, and what depends on the task and the split alone.

    Examples
    --------
    >>> from grokinterp.tasks import TaskSpec, draw_split
    >>> split = draw_split(Task(TaskSpec(p=5, train_fraction=0.4)))
    >>> TaskPairs(split.task, split).pair_mask("train").sum()
    tensor(10)
    """

    task: Task
    """All pairs with their answers."""
    split: Split
    """Which of them were trained on."""

    # What every task has.

    @property
    def arrangement(self) -> Arrangement:
        """Tensors that depend on the task alone; every snapshot of a task has the same."""
        return arrangement_of(self.task)

    @property
    def labels(self) -> Int[Tensor, " pair"]:
        """Correct answer of every pair."""
        return self.arrangement.labels

    def pair_mask(self, on: On) -> Bool[Tensor, " pair"]:
        """Pairs of the task that `on` names."""
        if on == "all":
            return torch.ones(self.task.n_pairs, dtype=torch.bool)
        masks = masks_of(self.split)
        return masks.train if on == "train" else masks.test

    # What only a task with a view of a group has.

    @property
    def view(self) -> GroupView | None:
        """The task as multiplication in a group; None where there is no spectrum to see.

        Besides the tasks without a group, that is a group of one element.
        """
        return self.task.group_view if has_spectrum(self.task) else None

    def require_view(self) -> GroupView:
        """Return the view of the group, for code that cannot do without.

        Raises
        ------
        ConfigError
            If the task has none.
        """
        if self.view is None:
            raise ConfigError(
                f"{self.task.spec.in_words} has no cyclic view, so its logits have no "
                "frequencies. Choose an operation of a group, such as addition; multiplication "
                "needs a prime p."
            )
        return self.view

    def require_cyclic_view(self) -> GroupView:
        """Return the view of a cyclic group, for what only frequencies have a meaning in.

        Raises
        ------
        ConfigError
            If the task has none, or its group is not cyclic.
        """
        view = self.require_view()
        if not view.is_cyclic:
            raise ConfigError(
                f"{self.task.spec.in_words} has representations and no frequencies. Choose an "
                "operation modulo p."
            )
        return view

    @property
    def harmonics(self) -> GroupHarmonics:
        """Functions on the group of the view, by frequency or by representation.

        Raises
        ------
        ConfigError
            If the task has no view.
        """
        view = self.require_view()
        if view.group is None:
            return cyclic_harmonics(view.order)
        return group_harmonics(view.group)

    def _arranged(self) -> Arrangement:
        self.require_view()
        return self.arrangement

    @property
    def pair_rows(self) -> Int[Tensor, " view_pair"]:
        """Rows of ``task.pairs`` in the order of the view: entry ``i * n + j``."""
        return self._arranged().pair_rows

    def in_view(self, values: Shaped[Tensor, "pair ..."]) -> Shaped[Tensor, "view_pair ..."]:
        """Rows of a tensor in the order of the view; no copy where that is the task's own."""
        arrangement = self._arranged()
        return values if arrangement.is_own_order else values[arrangement.pair_rows]

    @property
    def products(self) -> Int[Tensor, "i j"]:
        """Index of the product of elements i and j of the group: i + j modulo n if cyclic."""
        return self._arranged().products

    @property
    def rows_by_sum(self) -> Int[Tensor, "s i"]:
        """Rows of ``task.pairs`` by product: entry [s, i] has the indices i and i^-1 s.

        In a cyclic group the product is the sum, and the indices are i and s - i.
        """
        return self._arranged().rows_by_sum

    @property
    def class_tokens(self) -> Int[Tensor, " s"]:
        """Answer of the pairs with product s."""
        return self._arranged().class_tokens

    @property
    def new_pairs_by_sum(self) -> Bool[Tensor, "s i"]:
        """Pairs of the view that the network cannot have memorized, by product.

        The test pairs whose mirror image is not trained, or all test pairs if some product would
        have none.
        """
        is_new = masks_of(self.split).unmirrored_test[self.rows_by_sum]
        return is_new if is_new.any(dim=1).all() else self.mask_by_sum("test")

    def mask_by_sum(self, on: On) -> Bool[Tensor, "s i"]:
        """Pairs of the view that `on` names, by product."""
        return self.pair_mask(on)[self.rows_by_sum]


def has_frequencies(task: Task) -> bool:
    """Whether the answers of a task are sums in a cyclic group of at least two elements."""
    return task.cyclic_view is not None and task.cyclic_view.order >= 2


def has_spectrum(task: Task) -> bool:
    """Whether the answers of a task are products in a group of at least two elements."""
    return task.group_view is not None and task.group_view.order >= 2
