"""All measures of one checkpoint, or of every one, computed or remembered."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from grokinterp.circuits import KeyFrequencies, Snapshot, has_spectrum
from grokinterp.errors import CheckpointError
from grokinterp.measures import (
    BY_FREQUENCY_VERSION,
    MEASURES,
    Measure,
    by_frequency_columns,
    by_frequency_table,
    by_representation_columns,
    by_representation_table,
)
from grokinterp.runs.record import ForeignNetworks, WeightsInMemory
from grokinterp.runs.run import Run
from grokinterp.trajectory.cache import NumberCache, as_plain, cache_key
from grokinterp.trajectory.processes import (
    NotSent,
    Work,
    choose_jobs,
    free_memory,
    in_order,
    open_processes,
    packed,
)

log = logging.getLogger(__name__)

SAVE_EVERY = 10


@dataclass(frozen=True, eq=False)
class CheckpointNumbers:
    """What was measured at one checkpoint."""

    values: dict[str, float]
    """Columns of the trajectory."""
    by_frequency: pd.DataFrame
    """Rows of by_frequency.csv; empty where the task has no cyclic view."""
    by_representation: pd.DataFrame
    """Rows of by_representation.csv; empty for a cyclic group."""


@dataclass(frozen=True, eq=False)
class RunNumbers:
    """What was measured along a run."""

    trajectory: pd.DataFrame
    """Rows of measures.csv."""
    by_frequency: pd.DataFrame
    """Rows of by_frequency.csv; empty where the task has no cyclic view."""
    by_representation: pd.DataFrame
    """Rows of by_representation.csv; empty for a cyclic group."""
    failures: dict[str, str]
    """Checkpoints that could not be measured, by name, and why."""


Progress = Callable[[Iterable[int]], Iterable[int]]


def measure_run(
    run: Run,
    steps: Sequence[int],
    measures: Sequence[Measure],
    key_frequencies: KeyFrequencies,
    cache: NumberCache,
    *,
    progress: Progress | None = None,
    n_jobs: int = 1,
) -> RunNumbers:
    """Take every measure at these checkpoints; those that cannot be read are named.

    Parameters
    ----------
    progress
        Wraps the steps.
    n_jobs
        Processes of one thread each; with one everything happens in this process. Numbers are
        those of one process on one thread, to the bit.
    """
    rows, by_frequency, by_representation = [], [], []
    failures: dict[str, str] = {}
    measuring = _Measuring(run, tuple(measures), key_frequencies, cache)
    measured = measuring.in_processes(steps, n_jobs) if n_jobs > 1 else measuring.here(steps)
    try:
        with closing(measured):
            for step, numbers in zip(progress(steps) if progress else steps, measured, strict=True):
                if isinstance(numbers, CheckpointError):
                    failures[run.checkpoints.name(step)] = str(numbers)
                    continue
                rows.append({"step": step, **numbers.values})
                by_frequency.append(numbers.by_frequency)
                by_representation.append(numbers.by_representation)
                if len(rows) % SAVE_EVERY == 0:
                    cache.save()
    finally:
        # Whatever ends this early, what has been measured is kept.
        cache.save()
    return RunNumbers(
        pd.DataFrame(rows),
        pd.concat(by_frequency, ignore_index=True),
        pd.concat(by_representation, ignore_index=True),
        failures,
    )


def n_to_measure(
    run: Run,
    steps: Sequence[int],
    measures: Sequence[Measure],
    key_frequencies: KeyFrequencies,
    cache: NumberCache,
) -> int:
    """Count the checkpoints of which something is not known yet."""
    measuring = _Measuring(run, tuple(measures), key_frequencies, cache)
    return sum(not measuring.is_known(run.checksum(step)) for step in steps)


def choose_jobs_for(
    run: Run,
    steps: Sequence[int],
    measures: Sequence[Measure],
    key_frequencies: KeyFrequencies,
    cache: NumberCache,
    last: Snapshot,
) -> int:
    """Choose how many processes measure what is new, and log it if there are several."""
    if isinstance(run.checkpoints, ForeignNetworks):
        return 1
    arrays = [last.logits, *([last.neurons] if last.has("neurons") else [])]
    n_bytes = sum(array.numel() * array.element_size() for array in arrays)
    work = Work(len(steps), last.logits.numel(), n_bytes)
    n_threads, n_free = torch.get_num_threads(), free_memory()
    if choose_jobs(work, n_threads, n_free) > 1:
        n_new = n_to_measure(run, steps, measures, key_frequencies, cache)
        work = replace(work, n_checkpoints=n_new)
    n_jobs = choose_jobs(work, n_threads, n_free)
    if n_jobs > 1:
        log.info("%d checkpoints are measured in %d processes", work.n_checkpoints, n_jobs)
    return n_jobs


@dataclass(frozen=True, eq=False)
class _Measuring:
    """What to measure, and what is known already."""

    run: Run
    measures: tuple[Measure, ...]
    key_frequencies: KeyFrequencies
    cache: NumberCache

    def here(self, steps: Iterable[int]) -> Generator[CheckpointNumbers | CheckpointError]:
        """Measure one checkpoint after another in this process."""
        for step in steps:
            try:
                # Read in any case: a damaged file is named even where its numbers are known.
                parameters, weights = self.run.parameters(step), self.run.checksum(step)
                yield self.of(step, parameters, weights)
            except CheckpointError as error:
                yield error

    def in_processes(
        self, steps: Sequence[int], n_jobs: int
    ) -> Generator[CheckpointNumbers | CheckpointError]:
        """Measure several checkpoints at once, in processes that are started for it."""
        from joblib.externals.loky.process_executor import (
            BrokenProcessPool,
            TerminatedWorkerError,
        )

        try:
            common = self._common()
        except NotSent as error:
            log.warning("checkpoints are measured in one process: %s", error)
            yield from self.here(steps)
            return
        n_done = 0
        try:
            with open_processes(n_jobs) as pool:
                tasks = self._tasks(steps, common)
                for found in in_order(pool, n_jobs, _measure_elsewhere, tasks, self._keep):
                    yield self._keep(found)
                    n_done += 1
        except BrokenProcessPool as error:
            is_killed = isinstance(error, TerminatedWorkerError)
            what = "a process was killed (out of memory?)"
            log.warning(
                "%s. The other %d checkpoints are measured in one process.",
                what if is_killed else "what a process sent back cannot be read",
                len(steps) - n_done,
            )
            yield from self.here(steps[n_done:])

    def _common(self) -> bytes:
        """What every process needs; weights are sent with each step."""
        if isinstance(self.run.checkpoints, ForeignNetworks):
            raise NotSent("networks with a forward pass of their own stay where they are")
        standard = {id(one): index for index, one in enumerate(MEASURES)}
        measures = [standard.get(id(one), one) for one in self.measures]
        bare = replace(self.run, checkpoints=WeightsInMemory({}), curves=self.run.curves.iloc[:0])
        return packed((bare, measures, self.key_frequencies))

    def _tasks(self, steps: Iterable[int], common: bytes) -> Iterator[Any]:
        """What the processes are given, or the numbers where there is nothing left to do."""
        for step in steps:
            try:
                parameters, weights = self.run.parameters(step), self.run.checksum(step)
            except CheckpointError as error:
                yield error
                continue
            if self.is_known(weights):
                yield self.of(step, parameters, weights)
            else:
                yield common, step, parameters, weights, self.cache.of_weights(weights)

    def _keep(self, found: Any) -> CheckpointNumbers | CheckpointError:
        """Remember what another process has measured."""
        if not isinstance(found, _Elsewhere):
            return found
        for key, values in found.new.items():
            self.cache.keep(found.weights, key, values)
        return found.numbers

    def is_known(self, weights: str) -> bool:
        """Whether every number of some weights is known."""
        of_measures = ((key, columns) for _, key, columns in self._applicable())
        return all(
            self._known(weights, key, columns) is not None
            for key, columns in (*of_measures, *self._tables())
        )

    def of(self, step: int, parameters: dict[str, Tensor], weights: str) -> CheckpointNumbers:
        """Take every measure of some weights; the network runs only if a number is new.

        Raises
        ------
        CheckpointError
            If a weight is not finite.
        """
        snapshot: Snapshot | None = None

        def on_snapshot() -> Snapshot:
            nonlocal snapshot
            if snapshot is None:
                network = self.run.network(step, parameters)
                snapshot = Snapshot.of(network, self.run.split, step=step, checksum=weights)
            return snapshot

        values: dict[str, float] = {}
        for measure, key, columns in self._applicable():
            known = self._known(weights, key, columns)
            if known is None:
                known = as_plain(measure.values(on_snapshot(), self.key_frequencies))
                if key:
                    self.cache.keep(weights, key, known)
            values |= known
        tables = {"by_frequency": pd.DataFrame(), "by_representation": pd.DataFrame()}
        for key, columns in self._tables():
            known = self._known(weights, key, columns)
            make = by_frequency_table
            if self.run.task.has_representations:
                make = by_representation_table
            if known is None:
                known = make(on_snapshot()).to_dict(orient="list")
                self.cache.keep(weights, key, known)
            # Two steps can have the same weights (a warm-up's first update changes nothing).
            tables[key.partition("@")[0]] = pd.DataFrame({**known, "step": step})
        return CheckpointNumbers(values, **tables)

    def _known(self, weights: str, key: str | None, columns: tuple[str, ...]) -> Any | None:
        known = self.cache.find(weights, key) if key else None
        return None if known is not None and columns and set(known) != set(columns) else known

    def _applicable(self) -> Iterator[tuple[Measure, str | None, tuple[str, ...]]]:
        """Measures that have a meaning here, the key that each is kept under, and its columns."""
        is_known, missing = self.run.split.is_known, self.run.missing_parts
        for measure in self.measures:
            if not measure.applies_to(
                self.run.task, self.key_frequencies, split_is_known=is_known, missing=missing
            ):
                continue
            is_of_keys = "key_frequencies" in measure.needs
            keys = self.key_frequencies.frequencies if is_of_keys else None
            key = cache_key(measure.name, measure.version, keys) if measure.is_cached else None
            yield measure, key, measure.columns_where(is_known)

    def _tables(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The table by frequency or by representation, if there is one: its key and columns."""
        if has_spectrum(self.run.task):
            name, columns = "by_frequency", by_frequency_columns
            if self.run.task.has_representations:
                name, columns = "by_representation", by_representation_columns
            key = cache_key(name, BY_FREQUENCY_VERSION, None)
            yield key, columns(self.run.split, self.run.missing_parts)


@dataclass(frozen=True, eq=False)
class _Elsewhere:
    """What another process has measured."""

    weights: str
    numbers: CheckpointNumbers
    new: dict[str, Any]
    """Values for the cache, by key."""


def _measure_elsewhere(
    common: bytes,
    step: int,
    parameters: dict[str, Tensor],
    weights: str,
    known: dict[str, Any],
) -> _Elsewhere | CheckpointError:
    """Take every measure of some weights in this process, for another one."""
    run, measures, key_frequencies = _unpacked(common)
    cache = NumberCache(None, "")
    for key, values in known.items():
        cache.keep(weights, key, values)
    try:
        numbers = _Measuring(run, measures, key_frequencies, cache).of(step, parameters, weights)
    except CheckpointError as error:
        return error
    found = cache.of_weights(weights)
    return _Elsewhere(weights, numbers, {key: found[key] for key in found.keys() - known.keys()})


@lru_cache(maxsize=1)
def _unpacked(common: bytes) -> tuple[Run, tuple[Measure, ...], KeyFrequencies]:
    # Once in a process, so that what is kept with the task is kept for all checkpoints.
    run, sent, key_frequencies = pickle.loads(common)
    measures = tuple(MEASURES[one] if isinstance(one, int) else one for one in sent)
    return run, measures, key_frequencies
