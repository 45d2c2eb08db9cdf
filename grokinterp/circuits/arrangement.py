"""What depends on a task alone: its pairs as tensors, arranged by the product of its group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from grokinterp.tasks import GroupView, Split, Task


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Tensors of a task that are the same for every checkpoint; made once and only read.

    Examples
    --------
    >>> from grokinterp.tasks import TaskSpec
    >>> task = Task(TaskSpec(p=5))
    >>> arrangement_of(task).rows_by_sum.shape, arrangement_of(task) is arrangement_of(task)
    (torch.Size([5, 5]), True)
    """

    pairs: Int[Tensor, "pair 2"]
    """Tokens a and b of every pair."""
    labels: Int[Tensor, " pair"]
    """Correct answer of every pair."""
    view: GroupView | None
    """The task as multiplication in a group; None where there is none."""

    @cached_property
    def pair_rows(self) -> Int[Tensor, " view_pair"]:
        """Rows of ``task.pairs`` in the order of the view: entry ``i * n + j``."""
        return torch.from_numpy(self._view.pair_rows.copy())

    @cached_property
    def rows_outside(self) -> Int[Tensor, " other"]:
        """Rows of ``task.pairs`` that the view leaves out, such as those with a zero."""
        is_outside = torch.ones(len(self.labels), dtype=torch.bool)
        is_outside[self.pair_rows] = False
        return is_outside.nonzero().flatten()

    @cached_property
    def is_own_order(self) -> bool:
        """Whether the view has every pair of the task, in the task's own order."""
        return len(self.pair_rows) == len(self.labels) and bool((self.pair_rows.diff() == 1).all())

    @cached_property
    def products(self) -> Int[Tensor, "i j"]:
        """Index of the product of elements i and j of the group: i + j modulo n if cyclic."""
        return torch.from_numpy(self._view.products.copy())

    @cached_property
    def rows_by_sum(self) -> Int[Tensor, "s i"]:
        """Rows of ``task.pairs`` by product: entry [s, i] has the indices i and i^-1 s."""
        n = self._view.order
        inverse = torch.from_numpy(self._view.inverses.copy())
        second = self.products[inverse].T
        return self.pair_rows[torch.arange(n) * n + second]

    @cached_property
    def class_tokens(self) -> Int[Tensor, " s"]:
        """Answer of the pairs with product s."""
        return torch.from_numpy(self._view.class_tokens.copy())

    @cached_property
    def first_tokens(self) -> Int[Tensor, " x"]:
        """Token of each element of the group where it stands as a, in the order of the view.

        Other than `class_tokens` in a table whose answers are named in another way.
        """
        return self.pairs[self.pair_rows[:: self._view.order], 0]

    @cached_property
    def second_tokens(self) -> Int[Tensor, " x"]:
        """Token of each element of the group where it stands as b, in the order of the view.

        Other than `class_tokens` where the product is that of a and the inverse of b.
        """
        return self.pairs[self.pair_rows[: self._view.order], 1]

    @property
    def _view(self) -> GroupView:
        assert self.view is not None  # snapshots ask require_view() first
        return self.view


@dataclass(frozen=True, eq=False)
class SplitMasks:
    """Sides of a split as masks over the pairs; made once and only read."""

    train: Bool[Tensor, " pair"]
    test: Bool[Tensor, " pair"]
    unmirrored_test: Bool[Tensor, " pair"]
    """Test pairs whose answer commutativity does not give away; see ``Split.is_mirrored``."""


# Values hold arrays of the keys and never the keys, so both go when the run does.
_ARRANGEMENTS: WeakKeyDictionary[Task, Arrangement] = WeakKeyDictionary()
_MASKS: WeakKeyDictionary[Split, SplitMasks] = WeakKeyDictionary()


def arrangement_of(task: Task) -> Arrangement:
    """Return the tensors of a task, the same ones for as long as the task is in use."""
    found = _ARRANGEMENTS.get(task)
    if found is None:
        pairs, labels = torch.from_numpy(task.pairs.copy()), torch.from_numpy(task.labels.copy())
        found = _ARRANGEMENTS[task] = Arrangement(pairs, labels, task.group_view)
    return found


def masks_of(split: Split) -> SplitMasks:
    """Return the masks of a split, the same ones for as long as the split is in use."""
    found = _MASKS.get(split)
    if found is None:
        masks = (split.is_train, split.is_test, split.is_test & ~split.is_mirrored)
        found = _MASKS[split] = SplitMasks(*(torch.from_numpy(mask.copy()) for mask in masks))
    return found
