"""All measures of one checkpoint, or of every one, computed or remembered."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from grokinterp.circuits import KeyFrequencies, Snapshot, has_spectrum
from grokinterp.errors import CheckpointError
from grokinterp.measures import (
    BY_FREQUENCY_VERSION,
    Measure,
    by_frequency_columns,
    by_frequency_table,
    by_representation_columns,
    by_representation_table,
)
from grokinterp.runs.run import Run
from grokinterp.trajectory.cache import NumberCache, as_plain, cache_key

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


def measure_run(
    run: Run,
    steps: Iterable[int],
    measures: Sequence[Measure],
    key_frequencies: KeyFrequencies,
    cache: NumberCache,
) -> RunNumbers:
    """Take every measure at these checkpoints; those that cannot be read are named."""
    rows, by_frequency, by_representation = [], [], []
    failures: dict[str, str] = {}
    for step in steps:
        try:
            numbers = measure_checkpoint(run, step, measures, key_frequencies, cache)
        except CheckpointError as error:
            failures[run.checkpoints.name(step)] = str(error)
            continue
        rows.append({"step": step, **numbers.values})
        by_frequency.append(numbers.by_frequency)
        by_representation.append(numbers.by_representation)
    return RunNumbers(
        pd.DataFrame(rows),
        pd.concat(by_frequency, ignore_index=True),
        pd.concat(by_representation, ignore_index=True),
        failures,
    )


def measure_checkpoint(
    run: Run,
    step: int,
    measures: Sequence[Measure],
    key_frequencies: KeyFrequencies,
    cache: NumberCache,
) -> CheckpointNumbers:
    """Take every measure at one checkpoint; the network runs only if a number is new.

    Raises
    ------
    CheckpointError
        If the checkpoint is damaged or has weights that are not finite.
    """
    # Read in any case: a damaged file is named even where its numbers are still known.
    parameters, weights = run.parameters(step), run.checksum(step)
    snapshot: Snapshot | None = None

    def on_snapshot() -> Snapshot:
        nonlocal snapshot
        if snapshot is None:
            network = run.network(step, parameters)
            snapshot = Snapshot.of(network, run.split, step=step, checksum=weights)
        return snapshot

    values: dict[str, float] = {}
    is_known, missing = run.split.is_known, run.missing_parts
    for measure in measures:
        if not measure.applies_to(
            run.task, key_frequencies, split_is_known=is_known, missing=missing
        ):
            continue
        is_of_keys = "key_frequencies" in measure.needs
        keys = key_frequencies.frequencies if is_of_keys else None
        key = cache_key(measure.name, measure.version, keys) if measure.is_cached else None
        known = cache.find(weights, key) if key else None
        columns = measure.columns_where(is_known)
        if known is None or (columns and set(known) != set(columns)):
            known = as_plain(measure.values(on_snapshot(), key_frequencies))
            if key:
                cache.keep(weights, key, known)
        values |= known
    tables = _by_component(run, step, on_snapshot, weights, cache)
    if snapshot is not None and run.steps.index(step) % SAVE_EVERY == 0:
        cache.save()
    return CheckpointNumbers(values, **tables)


def _by_component(
    run: Run, step: int, on_snapshot: Callable[[], Snapshot], weights: str, cache: NumberCache
) -> dict[str, pd.DataFrame]:
    tables = {"by_frequency": pd.DataFrame(), "by_representation": pd.DataFrame()}
    if not has_spectrum(run.task):
        return tables
    name, columns, make = "by_frequency", by_frequency_columns, by_frequency_table
    if run.task.has_representations:
        name, columns = "by_representation", by_representation_columns
        make = by_representation_table
    key = cache_key(name, BY_FREQUENCY_VERSION, None)
    known = cache.find(weights, key)
    if known is None or set(known) != set(columns(run.split, run.missing_parts)):
        known = make(on_snapshot()).to_dict(orient="list")
        cache.keep(weights, key, known)
    # Two steps can have the same weights (a warm-up's first update changes nothing).
    return tables | {name: pd.DataFrame({**known, "step": step})}
