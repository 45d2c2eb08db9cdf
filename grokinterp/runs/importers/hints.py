"""What a user says about a file: it goes before whatever the file shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from grokinterp.tasks import TaskSpec

TASK_FIELDS = (
    "operation",
    "p",
    "degree",
    "label_seed",
    "labels",
    "n_answers",
    "group",
    "group_table",
)
"""Fields of a task that say what is learned; the others say how its pairs were split."""


@dataclass(frozen=True, eq=False)
class Hints:
    """Fields of task and model that are given, and the training pairs if they are.

    Examples
    --------
    >>> Hints(task={"operation": "subtraction"}).task_on(23).in_words
    'subtraction modulo 23'
    >>> Hints().task_on(23) is None
    True
    """

    task: Mapping[str, Any] = field(default_factory=dict)
    """Given fields of :class:`~grokinterp.tasks.TaskSpec`, among :data:`TASK_FIELDS`."""
    model: Mapping[str, Any] = field(default_factory=dict)
    """Given fields of a :class:`~grokinterp.models.ModelSpec` or an ``MlpSpec``."""
    train_pairs: Any = None
    """Rows or pairs that were trained on; None where they are not given."""

    @classmethod
    def of(cls, task: TaskSpec | None, model: Any, train_pairs: Any) -> Hints:
        """Take whole specs: every field that differs from its default is given."""
        fields = {name: getattr(task, name) for name in TASK_FIELDS} if task is not None else {}
        return cls(
            {name: value for name, value in fields.items() if value is not None},
            {} if model is None else _fields_of(model),
            train_pairs,
        )

    def task_on(self, order: int) -> TaskSpec | None:
        """Return the task that is given for a network with `order` operands; None if none is.

        Raises
        ------
        ConfigError
            If the fields do not go together.
        """
        if "operation" not in self.task:
            return None
        return TaskSpec(**{"p": order, **self.task})


def _fields_of(model: Any) -> dict[str, Any]:
    return {one.name: getattr(model, one.name) for one in dataclasses.fields(model)}


NO_HINTS = Hints()
"""Nothing is said about the file."""
