"""All runs of a plan: trained once, wherever there is room, with a table that grows."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from grokinterp.errors import ConfigError
from grokinterp.experiments.experiment import Experiment, PlannedRun
from grokinterp.experiments.sweep.bundles import bundles_of
from grokinterp.experiments.sweep.pool import Backend, Pool, open_pool
from grokinterp.experiments.sweep.run_task import RunResult, RunTask
from grokinterp.fields import Number
from grokinterp.runs.atomic import make_folder, remove_leftovers, write_atomically
from grokinterp.runs.config import TrainConfig
from grokinterp.tasks.modular import TaskSpec


@dataclass(frozen=True)
class Failure:
    """A planned run that has no row."""

    run: str
    """Hash of its config: its folder in the store."""
    labels: Mapping[str, Number]
    reason: str


@dataclass(frozen=True, eq=False)
class Sweep:
    """What came of a plan."""

    table: pd.DataFrame
    """One row for each planned run that was finished, in the order of the plan; see
    :func:`~grokinterp.experiments.run_table.row_of`. NaN where a number does not apply."""
    failures: tuple[Failure, ...]
    """The others, with their reasons."""


def run_sweep(
    planned: Sequence[PlannedRun],
    store_folder: str | Path,
    *,
    experiment: Experiment,
    n_jobs: int | None = None,
    backend: Backend = "loky",
    scheduler: str | None = None,
    batched: bool = False,
    table_file: Path | None = None,
    progress: bool = True,
) -> Sweep:
    """Train what is not trained yet, and make the table of all runs of a plan.

    A run lives in ``STORE/<config.hash()>/`` and is trained once, whatever asks for it: a
    finished one is read, one that was stopped goes on. Parents come before their children, and
    long runs before short ones. What an experiment observes is kept beside the run.

    Parameters
    ----------
    planned
        The plan; configs may occur more than once.
    store_folder
        Where the run folders are. With dask every worker must see it under this path.
    experiment
        Whose observations are made.
    n_jobs, backend, scheduler
        Who works: see :func:`~grokinterp.experiments.sweep.pool.open_pool`. The numbers are the
        same bits, since a run always has one thread.
    batched
        Let each worker train runs of one shape together, as :func:`grokinterp.train_many` does.
        The numbers are those of the batched step, which differ by rounding, whoever shares a
        batch. A run that was begun is finished in the way in which it was begun.
    table_file
        CSV file that is written anew, atomically, whenever a run is finished.
    progress
        Show a progress bar on standard error.

    Returns
    -------
    Sweep
        A run that failed, or whose process was killed, is listed there; the others go on.

    Raises
    ------
    ConfigError
        If the workers are not to be had, or the plan's labels do not fit together.
    RunFolderError
        If the store cannot be written.
    """
    _check_labels(planned)
    store = Path(store_folder).resolve()
    with open_pool(backend, n_jobs, scheduler) as pool:
        make_folder(store, "Choose a folder that can be written.")
        if table_file is not None:
            remove_leftovers(table_file.parent)
        rows: dict[int, Mapping[str, Number]] = {}
        failures: dict[int, Failure] = {}
        failed: dict[str, str] = {}
        tasks = _tasks(planned, store, experiment, batched)
        n_workers = n_jobs or os.cpu_count() or 1
        with tqdm(
            total=len(tasks),
            desc=experiment.name,
            unit="run",
            disable=not progress,
            dynamic_ncols=True,
        ) as bar:
            for result in _results(tasks, pool, failed, n_workers):
                bar.update()
                rows |= result.rows
                if result.failure is not None:
                    failed[result.task.config.hash()] = result.failure
                    failures |= _failures(result)
                elif table_file is not None and result.rows:
                    write_table(_table(rows), table_file)
    return Sweep(_table(rows), tuple(failures[position] for position in sorted(failures)))


def write_table(table: pd.DataFrame, file: Path) -> None:
    """Write a table of runs as CSV: whole numbers stay whole, what is missing is empty.

    Floats read back as the same floats.

    Raises
    ------
    RunFolderError
        If the file cannot be written.
    """
    whole = {
        name: "Int64"
        for name, column in table.items()
        if pd.api.types.is_float_dtype(column)
        and column.isna().any()
        and (column.dropna() % 1 == 0).all()
    }
    text = table.astype(whole).to_csv(index=False, lineterminator="\n")
    write_atomically(file, text.encode())


def _tasks(
    planned: Sequence[PlannedRun], store: Path, experiment: Experiment, batched: bool
) -> list[RunTask]:
    """One task for every config of the plan and for every ancestor of one."""
    positions: dict[str, list[tuple[int, PlannedRun]]] = {}
    configs: dict[str, TrainConfig] = {}
    for position, one in enumerate(planned):
        for ancestor in one.config.ancestors:
            configs.setdefault(ancestor.hash(), ancestor)
        configs.setdefault(one.config.hash(), one.config)
        positions.setdefault(one.config.hash(), []).append((position, one))
    return [
        RunTask(
            config,
            tuple(positions.get(name, ())),
            store,
            experiment.name,
            experiment.observe,
            experiment.observe_version,
            batched,
        )
        for name, config in configs.items()
    ]


def _results(
    tasks: Sequence[RunTask], pool: Pool, failed: Mapping[str, str], n_workers: int
) -> Iterator[RunResult]:
    """Results of all tasks, parents first, each generation with its longest runs first."""
    for generation in _generations(tasks):
        possible = []
        for task in generation:
            parent = task.config.parent
            if parent is not None and parent.hash() in failed:
                reason = f"the run {parent.hash()} that it starts from failed"
                yield RunResult(task, {}, f"{reason}: {failed[parent.hash()]}")
            else:
                possible.append(task)
        longest_first = sorted(possible, key=_expected_work, reverse=True)
        yield from pool(bundles_of(longest_first, n_workers))


def _generations(tasks: Sequence[RunTask]) -> list[list[RunTask]]:
    """Tasks that can run side by side; as late as possible, so that few wait for few."""
    n_descendants = {task.config.hash(): 0 for task in tasks}
    for task in tasks:
        for distance, ancestor in enumerate(reversed(task.config.ancestors), start=1):
            name = ancestor.hash()
            n_descendants[name] = max(n_descendants[name], distance)
    n_generations = 1 + max(n_descendants.values(), default=0)
    generations: list[list[RunTask]] = [[] for _ in range(n_generations)]
    for task in tasks:
        generations[n_generations - 1 - n_descendants[task.config.hash()]].append(task)
    return generations


def _expected_work(task: RunTask) -> float:
    """Steps times examples, as far as it is known before anything is built."""
    spec = task.config.task
    is_of_pairs = isinstance(spec, TaskSpec)
    return task.config.n_steps * (spec.p**2 * spec.train_fraction if is_of_pairs else 1.0)


def _failures(result: RunResult) -> dict[int, Failure]:
    name, reason = result.task.config.hash(), result.failure or ""
    return {
        position: Failure(name, dict(planned.labels), reason)
        for position, planned in result.task.planned
    }


def _table(rows: Mapping[int, Mapping[str, Number]]) -> pd.DataFrame:
    table = pd.DataFrame([rows[position] for position in sorted(rows)])
    return table.map(lambda value: math.nan if value is None else value).infer_objects()


def _check_labels(planned: Sequence[PlannedRun]) -> None:
    names = {frozenset(one.labels) for one in planned}
    if len(names) > 1:
        raise ConfigError("the runs of a plan have different labels. Give each the same names.")
