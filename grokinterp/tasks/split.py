"""Which pairs are trained on: the splits of the published codes, reproduced exactly."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.tasks.modular import Task


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of the task's pairs that are trained on and tested on.

    The order of `train` is the order in which the pairs were drawn.
    """

    task: Task
    train: np.ndarray
    """(n_train,) int64 rows into ``task.pairs``."""
    test: np.ndarray
    """(n_test,) int64 rows into ``task.pairs``."""
    is_known: bool = True
    """False for a network that came without a word on what it was trained on. Both sides are
    then empty, so an average over either is NaN and never a number about other pairs."""

    @classmethod
    def unknown(cls, task: Task) -> Split:
        """The split of a network of which only the task is known."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(task, nothing, nothing, is_known=False)

    @cached_property
    def is_train(self) -> np.ndarray:
        """(n_pairs,) bool mask of the training pairs."""
        mask = np.zeros(self.task.n_pairs, dtype=bool)
        mask[self.train] = True
        return mask

    @cached_property
    def is_test(self) -> np.ndarray:
        """(n_pairs,) bool mask of the test pairs."""
        mask = np.zeros(self.task.n_pairs, dtype=bool)
        mask[self.test] = True
        return mask

    @cached_property
    def is_mirrored(self) -> np.ndarray:
        """(n_pairs,) bool: (b, a) is a training pair and a differs from b.

        A network that memorizes and has learned only ``a ∘ b = b ∘ a`` is right on the
        mirrored test pairs and at chance on the others, so a test accuracy near the train
        fraction is no partial grokking.
        """
        mirror = self.task.mirror_rows
        known = (mirror >= 0) & self.is_train[np.maximum(mirror, 0)]
        return known & (self.task.pairs[:, 0] != self.task.pairs[:, 1])


def draw_split(task: Task) -> Split:
    """Draw the train/test split that the task's spec names.

    The units (pairs, or unordered pairs) are shuffled by the named method and the first
    ``int(train_fraction * n_units)`` are trained on.

    Raises
    ------
    ConfigError
        If either side would be empty.

    Examples
    --------
    >>> from grokinterp.tasks import Task, TaskSpec
    >>> len(draw_split(Task(TaskSpec(p=113, train_fraction=0.3))).train)
    3830
    """
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
    return Split(
        task,
        np.concatenate([units[i] for i in order[:n_train]]),
        np.concatenate([units[i] for i in order[n_train:]]),
    )


def _units(task: Task) -> list[np.ndarray]:
    if task.spec.split_unit == "ordered_pairs":
        return list(np.arange(task.n_pairs, dtype=np.int64)[:, None])
    upper = np.flatnonzero(task.pairs[:, 0] <= task.pairs[:, 1])
    return [np.unique([row, task.mirror_rows[row]]) for row in upper]


def _shuffled(n: int, seed: int, method: str) -> np.ndarray:
    if method == "python_shuffle":
        order = list(range(n))
        random.Random(seed).shuffle(order)
        return np.array(order)
    import torch

    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(n, generator=generator).numpy()
