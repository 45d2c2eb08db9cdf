"""What a worker does with one run of a sweep: train it, observe it, return its rows.

Importing this module imports no torch, so that the process that hands out the work stays small.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grokinterp.errors import FailedRunsError, FolderInUseError, GrokinterpError
from grokinterp.experiments.experiment import PlannedRun
from grokinterp.fields import Number, plain_number
from grokinterp.runs.config import TrainConfig

PARENT_POLL_SECONDS = 0.25

LOCK_WAIT_SECONDS = 30.0
"""How long a run waits for the worker of an earlier sweep that was killed to let go of it."""


@dataclass(frozen=True, eq=False)
class RunTask:
    """A run to be finished, for every row of the plan that has its config."""

    config: TrainConfig
    planned: tuple[tuple[int, PlannedRun], ...]
    """Rows of the plan, with their positions; none for a run that is only a parent."""
    store_folder: Path
    """Absolute; the same folder for every worker."""
    experiment: str
    observe: Callable[[Any, PlannedRun], Mapping[str, Number]] | None
    observe_version: int
    batched: bool = False
    """Whether it is trained in a batch where there is one for its network."""

    @property
    def folder(self) -> Path:
        """Folder of the run in the store."""
        return self.store_folder / self.config.hash()


@dataclass(frozen=True, eq=False)
class RunResult:
    """Rows of a finished run, or why there are none."""

    task: RunTask
    rows: Mapping[int, Mapping[str, Number]]
    """By position in the plan."""
    failure: str | None = None
    """One line, or None."""


def finish_runs(tasks: tuple[RunTask, ...]) -> list[RunResult]:
    """Train some runs, together where they can be, and make the rows of each."""
    together = [task for task in tasks if _goes_batched(task)]
    # None of them, where each was begun with a step of its own.
    if len(together) > 1:
        _train_together(together)
    return [finish_run(task) for task in tasks]


def finish_run(task: RunTask) -> RunResult:
    """Train a run where that is not done yet, with one thread, and make its rows.

    An error becomes a failure with its reason, so that the other runs go on.
    """
    try:
        return RunResult(task, _train_and_observe(task))
    except GrokinterpError as error:
        return RunResult(task, {}, str(error))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        text = " ".join(str(error).split())
        return RunResult(task, {}, f"{type(error).__name__}: {text} ({where})")


def finish_run_in_worker(task: RunTask) -> RunResult:
    """Do the same in a process of our own, which ends when the one that started it is gone."""
    _end_with_parent()
    return finish_run(task)


def finish_runs_in_worker(tasks: tuple[RunTask, ...]) -> list[RunResult]:
    """Do the same as :func:`finish_runs` in a process of our own."""
    _end_with_parent()
    return finish_runs(tasks)


def _train_and_observe(task: RunTask) -> dict[int, dict[str, Number]]:
    import torch

    from grokinterp.experiments.run_table import row_of

    torch.set_num_threads(1)
    run = _train(task)
    rows = {}
    for position, planned in task.planned:
        row = row_of(run, planned)
        observed = _observations(task, run, planned)
        twice = sorted(set(row) & set(observed))
        if twice:
            raise GrokinterpError(f"{twice[0]} is a column of every run. Observe another name.")
        rows[position] = row | observed
    return rows


def _goes_batched(task: RunTask) -> bool:
    """Whether a run is trained in a batch.

    One that was stopped goes on in the way in which it was begun, so its bits are those of one
    way.
    """
    from grokinterp.runs.store import read_json
    from grokinterp.training.environment import is_batched

    file = task.folder / "environment.json"
    return is_batched(read_json(file)) if file.exists() else task.batched


def _train_together(tasks: list[RunTask]) -> None:
    """Train runs of one store; what fails is tried again alone, and tells its reason there."""
    from grokinterp.training import train_many

    try:
        configs = [task.config for task in tasks]
        train_many(configs, tasks[0].store_folder, n_threads=1, progress=False)
    except GrokinterpError:
        return


def _train_in_batch(task: RunTask) -> Any:
    """Train one run as a batch does, which is the same to the bit."""
    from grokinterp.training import train_many

    try:
        return train_many([task.config], task.store_folder, n_threads=1, progress=False)[0]
    except FailedRunsError as error:
        raise error.failures.get(task.config.hash(), error) from None


def _train(task: RunTask) -> Any:
    """Finish the run, once whoever writes it now is gone."""
    from grokinterp.runs.stored_run import load_run
    from grokinterp.training import train

    parent = task.config.parent
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while True:
        try:
            if _goes_batched(task):
                return _train_in_batch(task)
            return train(
                task.config,
                task.folder,
                n_threads=1,
                progress=False,
                parent=None if parent is None else load_run(task.store_folder / parent.hash()),
            )
        except FolderInUseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PARENT_POLL_SECONDS)


def _observations(task: RunTask, run: Any, planned: PlannedRun) -> dict[str, Number]:
    """Observe a run, or read what was observed before."""
    from grokinterp.runs.atomic import make_folder, remove_leftovers
    from grokinterp.runs.store import read_json, write_json

    if task.observe is None:
        return {}
    labels = dict(planned.labels)
    file = task.folder / "observations" / f"{task.experiment}.json"
    kept = read_json(file) if file.exists() else {}
    if kept.get("labels", labels) != labels:
        # A config may stand in a plan twice, with other labels, which `observe` may read.
        digest = hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:12]
        file = file.with_name(f"{task.experiment}_{digest}.json")
        kept = read_json(file) if file.exists() else {}
    is_new = kept.get("observe_version") == task.observe_version
    if is_new and isinstance(kept.get("numbers"), dict):
        return kept["numbers"]
    observed = task.observe(run, planned)
    numbers = {name: plain_number(value) for name, value in observed.items()}
    make_folder(file.parent, "Remove what is in its place.")
    remove_leftovers(file.parent)
    version = task.observe_version
    write_json(file, {"observe_version": version, "labels": labels, "numbers": numbers})
    return numbers


_watch: threading.Thread | None = None


def _end_with_parent() -> None:
    """Make this process end when the one that started it is gone, however that went.

    Otherwise a worker whose sweep was killed would go on training, and hold the lock of its
    run folder against the sweep that is started next.
    """
    global _watch
    if _watch is None:
        # The terminal sends an interruption to every process; the one that hands out the work
        # ends the others.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _watch = threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True)
        _watch.start()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_SECONDS)
    os._exit(1)
