"""Which runs of a sweep a worker trains together.

Importing this module imports no torch, so it asks for less than
:func:`grokinterp.train_many` knows: runs that look alike are sent together, and what among
them does not fit into one batch is trained beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from grokinterp.experiments.sweep.run_task import RunTask
from grokinterp.models.spec import ModelSpec
from grokinterp.runs.config import TrainConfig
from grokinterp.tasks.modular import TaskSpec

Bundle = tuple[RunTask, ...]
"""Runs that one worker does, together where they can be."""

MOST_TOGETHER = 8
"""Runs of a bundle: more in a batch save nothing, and come back late."""


def bundles_of(tasks: Sequence[RunTask], n_workers: int) -> list[Bundle]:
    """Distribute runs over workers, those that can be batched in equal shares.

    Parameters
    ----------
    tasks
        The longest first.
    n_workers
        Among whom they are shared out.

    Returns
    -------
    list
        Every task in one bundle; in the order of their first, and longest, runs.
    """
    groups: dict[object, list[RunTask]] = {}
    bundles: list[Bundle] = []
    for task in tasks:
        kind = _kind_of(task.config) if task.batched else None
        if kind is None:
            bundles.append((task,))
        else:
            groups.setdefault(kind, []).append(task)
    for group in groups.values():
        n_rounds = -(-len(group) // (MOST_TOGETHER * n_workers))
        n_bundles = min(n_rounds * n_workers, len(group))
        bundles += [tuple(group[start::n_bundles]) for start in range(n_bundles)]
    place = {task.config.hash(): number for number, task in enumerate(tasks)}
    return sorted(bundles, key=lambda bundle: place[bundle[0].config.hash()])


def _kind_of(config: TrainConfig) -> object | None:
    """What runs that share a batch have in common, or None where there is no batched step."""
    task, model = config.task, config.model
    if not isinstance(model, ModelSpec) or not isinstance(task, TaskSpec):
        return None
    if model.n_layers != 1 or config.pressures.dropout:
        return None
    if config.batch_size is not None or config.optimizer.algorithm == "muon":
        return None
    model = dataclasses.replace(model, init_seed=0, init_scale=1.0)
    return model, task.operation, task.p, task.degree, task.group
