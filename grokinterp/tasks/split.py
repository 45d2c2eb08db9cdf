"""Which pairs are trained on: the splits of the published codes, reproduced exactly."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.tasks.breast_cancer import BreastCancerTask
from grokinterp.tasks.digits import DigitsTask
from grokinterp.tasks.examples import Examples
from grokinterp.tasks.modular import Task
from grokinterp.tasks.polynomials import PolynomialTask

AnyTask = TypeVar("AnyTask", bound=Examples)


@dataclass(frozen=True, eq=False)
class Split(Generic[AnyTask]):
    """Rows of the task's examples that are trained on and tested on.

    The order of `train` is the order in which the examples were drawn.
    """

    task: AnyTask
    train: np.ndarray
    """(n_train,) int64 rows into the examples, such as ``task.pairs``."""
    test: np.ndarray
    """(n_test,) int64 rows into the examples."""
    is_known: bool = True
    """False for a network that came without a word on what it was trained on. Both sides are
    then empty, so an average over either is NaN and never a number about other pairs."""

    def __repr__(self) -> str:
        sides = f"{len(self.train):,} to train on, {len(self.test):,} to test on"
        return f"Split of {self.task.spec.in_words}: {sides if self.is_known else 'not known'}"

    @classmethod
    def unknown(cls, task: AnyTask) -> Split[AnyTask]:
        """The split of a network of which only the task is known."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(task, nothing, nothing, is_known=False)

    @cached_property
    def is_train(self) -> np.ndarray:
        """(n_examples,) bool mask of the training examples."""
        return self._mask(self.train)

    @cached_property
    def is_test(self) -> np.ndarray:
        """(n_examples,) bool mask of the test examples."""
        return self._mask(self.test)

    @cached_property
    def is_mirrored(self) -> np.ndarray:
        """(n_examples,) bool: (b, a) is a training pair, a differs from b, and a ∘ b = b ∘ a.

        A network that memorizes and has learned only that the operation commutes is right on
        the mirrored test pairs and at chance on the others, so a test accuracy near the train
        fraction is no partial grokking. Nothing is mirrored where the operation does not
        commute, since the answer of (b, a) says nothing about (a, b) there, nor where the
        examples are no pairs.

        Examples
        --------
        >>> from grokinterp.tasks import Task, TaskSpec
        >>> bool(draw_split(Task(TaskSpec("addition", p=13))).is_mirrored.any())
        True
        >>> bool(draw_split(Task(TaskSpec("subtraction", p=13))).is_mirrored.any())
        False
        """
        if not isinstance(self.task, Task) or not self.task.operation.is_commutative:
            return np.zeros(self.task.n_examples, dtype=bool)
        mirror = self.task.mirror_rows
        known = (mirror >= 0) & self.is_train[np.maximum(mirror, 0)]
        return known & (self.task.pairs[:, 0] != self.task.pairs[:, 1])

    @cached_property
    def unmirrored_test(self) -> np.ndarray:
        """(n,) int64 rows of the test examples that are not mirrored, in the order of `test`.

        The right answers to these cannot come from memorizing and a ∘ b = b ∘ a. All of `test`
        where the operation does not commute.
        """
        return self.test[~self.is_mirrored[self.test]]

    def _mask(self, rows: np.ndarray) -> np.ndarray:
        mask = np.zeros(self.task.n_examples, dtype=bool)
        mask[rows] = True
        return mask


def draw_split(task: AnyTask) -> Split[AnyTask]:
    """Draw the train/test split that the task's spec names.

    Of pairs the units (pairs, or unordered pairs) are shuffled by the named method and the
    first ``int(train_fraction * n_units)`` are trained on. Images and tumors are shuffled and the
    first `n_train` are trained on; drawn points stand in order, those trained on first.

    With the same seed the rows trained on are a prefix of those of any larger training set, so
    a network can be continued on fewer of its own examples.

    Raises
    ------
    ConfigError
        If either side would be empty, or the task is of another kind.

    Examples
    --------
    >>> from grokinterp.tasks import Task, TaskSpec
    >>> len(draw_split(Task(TaskSpec(p=113, train_fraction=0.3))).train)
    3830
    """
    if isinstance(task, Task):
        return Split(task, *_pair_rows(task))
    if isinstance(task, DigitsTask | BreastCancerTask):
        order = _shuffled(task.n_examples, task.spec.split_seed, "python_shuffle")
    elif isinstance(task, PolynomialTask):
        order = np.arange(task.n_examples, dtype=np.int64)
    else:
        raise ConfigError(
            f"{type(task).__name__} is no task that a split is drawn for. Build Split(task, "
            "train, test) from rows of its examples."
        )
    n_train = task.spec.n_train
    return Split(task, order[:n_train], order[n_train:])


def _pair_rows(task: Task) -> tuple[np.ndarray, np.ndarray]:
    spec = task.spec
    units = _units(task)
    order = _shuffled(len(units), spec.split_seed, spec.split_method)
    # Nanda et al. and the notebook both truncate n_units * fraction.
    n_train = int(len(units) * spec.train_fraction)
    if not 0 < n_train < len(units):
        raise ConfigError(
            f"train_fraction={spec.train_fraction} leaves {n_train} of {len(units)} "
            f"{spec.split_unit.replace('_', ' ')} to train on. Both sides need at least one."
        )
    train, test = order[:n_train], order[n_train:]
    return np.concatenate([units[i] for i in train]), np.concatenate([units[i] for i in test])


def _units(task: Task) -> list[np.ndarray]:
    if task.spec.split_unit == "ordered_pairs":
        return list(np.arange(task.n_pairs, dtype=np.int64)[:, None])
    # Of a table with holes the mirror image may not be defined: such a pair is a unit alone.
    is_alone = task.mirror_rows < 0
    first = np.flatnonzero((task.pairs[:, 0] <= task.pairs[:, 1]) | is_alone)
    mirror = np.where(is_alone, np.arange(task.n_pairs), task.mirror_rows)
    return [np.unique([row, mirror[row]]) for row in first]


def _shuffled(n: int, seed: int, method: str) -> np.ndarray:
    if method == "python_shuffle":
        order = list(range(n))
        random.Random(seed).shuffle(order)
        return np.array(order)
    import torch

    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(n, generator=generator).numpy()
