"""What a user says about a file: it overrides what the file shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.fields import shown
from grokinterp.tasks import TaskSpec

_SHOWN = (
    "n_layers",
    "d_model",
    "n_heads",
    "d_head",
    "d_mlp",
    "biases",
    "widths",
    "embedding",
    "d_embed",
    "combination",
)
"""Sizes, which weights show: at their defaults nobody has said them."""
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
_OF_TRAINING = ("init", "init_scale", "init_seed", "trains_readout")
"""Fields of a network that only its training needs: weights show what became of them."""


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
    """Given fields of a :class:`~grokinterp.models.ModelSpec` or an ``MlpSpec``,
    of which all have ``architecture`` "mlp"."""
    train_pairs: Any = None
    """Rows or pairs that were trained on; None where they are not given."""

    @classmethod
    def of(cls, task: TaskSpec | None, model: Any, train_pairs: Any) -> Hints:
        """Take whole specs: each of their fields is given, at its default too.

        What says nothing about a trained network is left out: how the pairs were split, how the
        initial weights were drawn, the seed of answers that are not drawn, sizes at their defaults.

        Examples
        --------
        >>> Hints.of(TaskSpec(p=23, split_seed=3), None, None).task
        {'operation': 'addition', 'p': 23}
        """
        return cls(
            {} if task is None else _task_fields(task),
            {} if model is None else _model_fields(model),
            train_pairs,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What is given, such as ``task.p``, ``model.act_fn`` and ``train_pairs``."""
        given = [f"task.{name}" for name in self.task] + [f"model.{name}" for name in self.model]
        return (*given, *(["train_pairs"] if self.train_pairs is not None else []))

    def task_on(self, order: int) -> TaskSpec | None:
        """Return the task that is given for a network with `order` operands; None if none is.

        Raises
        ------
        ConfigError
            If the fields do not go together, or p alone is given and is not `order`.
        """
        if "operation" not in self.task:
            p = self.task.get("p", order)
            if order and p != order:
                raise ConfigError(
                    f"p={p} is given, and the network has {order} operands. Check p, or leave it "
                    "out."
                )
            return None
        return TaskSpec(**{"p": order, **self.task})

    def require_model(self, spec: Any) -> None:
        """Refuse a given field of the network that the reading of a format departs from.

        Raises
        ------
        CheckpointError
            With the field, its value, and that of the reading.
        """
        for name, value in self.model.items():
            found = getattr(spec, name, None)
            if found != value:
                read = f"has {name}={shown(found)}" if hasattr(spec, name) else "has no such field"
                raise CheckpointError(
                    f"model.{name}={shown(value)} is given, but the network of the file, a "
                    f"{spec.in_words}, {read}. Correct it, or leave it out."
                )


def _task_fields(task: TaskSpec) -> dict[str, Any]:
    fields = {name: getattr(task, name) for name in TASK_FIELDS}
    if task.operation != "random_labels":
        del fields["label_seed"]
    if task.operation in ("table", "group") or task.degree is not None:
        # It follows from the table, the group or the degree.
        del fields["p"]
    return {name: value for name, value in fields.items() if value is not None}


def _model_fields(model: Any) -> dict[str, Any]:
    return {
        one.name: getattr(model, one.name)
        for one in dataclasses.fields(model)
        if one.name not in _OF_TRAINING
        and not (one.name in _SHOWN and getattr(model, one.name) == one.default)
    }


NO_HINTS = Hints()
"""Nothing is said about the file."""
