"""What every task has in common: examples, what goes in and what should come out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from jaxtyping import Float, Int


class Examples(ABC):
    """A finite set of examples: the whole of what is trained and tested on.

    An abstract class and no protocol: to see whether an object follows a protocol Python 3.11
    reads every property of it, and `targets` and `inputs` are large.

    Examples
    --------
    >>> from grokinterp.tasks import Task, TaskSpec
    >>> task = Task(TaskSpec(p=5))
    >>> isinstance(task, Examples), task.n_examples, task.n_inputs, task.n_outputs
    (True, 25, 10, 5)
    """

    spec: Any
    """The settings that determine the examples: one of ``AnyTaskSpec``."""

    @property
    @abstractmethod
    def n_examples(self) -> int:
        """Number of examples, trained on or not."""

    @property
    @abstractmethod
    def n_inputs(self) -> int:
        """Number of input columns of a multilayer perceptron."""

    @property
    @abstractmethod
    def n_outputs(self) -> int:
        """Number of columns that the network gives."""

    @property
    @abstractmethod
    def inputs(self) -> Float[np.ndarray, "example n_inputs"]:
        """(n_examples, n_inputs) float32 for a multilayer perceptron."""

    @property
    def is_classification(self) -> bool:
        """Whether every example has one right answer out of `n_outputs`."""
        return True

    @property
    @abstractmethod
    def labels(self) -> Int[np.ndarray, " example"]:
        """(n_examples,) int64: the correct class of every example; for classification only."""

    @property
    def targets(self) -> Float[np.ndarray, "example n_outputs"]:
        """(n_examples, n_outputs) float32; one-hot for classification. Made at every reading."""
        return one_hot(self.labels, self.n_outputs)


def one_hot(labels: Int[np.ndarray, " example"], n: int) -> Float[np.ndarray, "example n"]:
    """Rows of zeros with a 1 in the column of the label, float32.

    Examples
    --------
    >>> one_hot(np.array([1, 0]), 3).tolist()
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    rows = np.zeros((len(labels), n), dtype=np.float32)
    rows[np.arange(len(labels)), labels] = 1
    return rows


def frozen(array: np.ndarray) -> np.ndarray:
    """Return the same array, which from now on cannot be written to."""
    array.setflags(write=False)
    return array
