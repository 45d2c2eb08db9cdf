"""The chain from a run to its explanation, written once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from grokinterp.circuits import (
    Algorithm,
    KeyFrequencies,
    Snapshot,
    find_algorithm,
    find_key_frequencies,
)
from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.fields import checked, shown
from grokinterp.measures import MEASURES, Measure, as_measure
from grokinterp.runs.run import Run
from grokinterp.trajectory.cache import NumberCache, cache_context
from grokinterp.trajectory.circuit_steps import find_circuit_steps
from grokinterp.trajectory.last_checkpoint import look_into
from grokinterp.trajectory.measuring import measure_checkpoint
from grokinterp.trajectory.milestones import Thresholds, find_milestones
from grokinterp.trajectory.mirrored import unmirrored_transition
from grokinterp.trajectory.phases import Phases, find_phases
from grokinterp.trajectory.recorded import checkpoint_curves, has_recorded
from grokinterp.trajectory.summary import summarize

Progress = Callable[[Iterable[int]], Iterable[int]]


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is known about a run: key frequencies, measures, phases, ablations, algorithm."""

    run: Run
    """The run that was analyzed."""
    key_frequencies: KeyFrequencies
    """The frequencies that the measures refer to, with the evidence for them."""
    trajectory: pd.DataFrame
    """One row per checkpoint: ``step`` and the columns of every measure."""
    by_frequency: pd.DataFrame
    """One row per checkpoint and frequency; empty where the task has no cyclic view."""
    ablations: pd.DataFrame
    """Loss and accuracy at the last checkpoint after every standard intervention."""
    phases: Phases
    """Memorization, circuit formation, cleanup."""
    summary: dict[str, Any]
    """The fields of summary.json."""
    measures: tuple[Measure, ...] = MEASURES
    """The measures that were taken."""
    by_representation: pd.DataFrame = field(default_factory=pd.DataFrame)
    """One row per checkpoint and irreducible representation; empty but for permutations."""
    circuit: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The trigonometric circuit of the last checkpoint, step by step; see
    :func:`~grokinterp.circuits.evidence.circuit_table`. Empty where there is none."""
    neurons: pd.DataFrame = field(default_factory=pd.DataFrame)
    """One row per neuron of the last checkpoint; see
    :func:`~grokinterp.circuits.neuron_polynomials.neuron_table`."""
    failures: dict[str, str] = field(default_factory=dict)
    """Checkpoints that were left out, by name, and why."""
    algorithm: Algorithm | None = None
    """Clock or pizza at the last checkpoint, with the evidence; None if nobody asked."""


def analyze_run(
    run: Run,
    measures: Sequence[Measure | Callable[..., Any]] = MEASURES,
    *,
    key_frequencies: Iterable[int | str] | None = None,
    every: int = 1,
    deep: bool = True,
    thresholds: Thresholds | None = None,
    cache_folder: Path | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Explain a run: key frequencies at its end, and every measure along its trajectory.

    Parameters
    ----------
    run
        A run, finished or still being trained.
    measures
        What to measure. A plain function ``mine(snapshot, key_frequencies) -> float`` is a
        measure too; its numbers are not cached.
    key_frequencies
        Frequencies, or for permutations names of representations, to use instead of those that
        the last checkpoint's logits show: for runs that were stopped on the plateau.
    every
        Take every k-th checkpoint; the last is always taken.
    deep
        Also follow the circuit through the last checkpoint, ablate all of its parts and list
        its neurons: some ten seconds at p = 113. Otherwise only the logits are ablated.
    thresholds
        What counts as memorized and as generalized.
    cache_folder
        Where numbers are kept for the next analysis (None: ``analysis/`` in the run's own
        folder; a run in memory is not cached).
    progress
        Wraps the steps to show progress, such as ``tqdm``.

    Returns
    -------
    Analysis
        A run that never generalized has an empty set of key frequencies with a reason, and
        columns without a value where they need one.

    Raises
    ------
    CheckpointError
        If no checkpoint can be read.
    ConfigError
        If a key frequency is outside 1 .. n//2, or `every` is below 1.

    Examples
    --------
    >>> import grokinterp as gi
    >>> analysis = gi.analyze_run(gi.load_run("ckpts/"))  # doctest: +SKIP
    >>> analysis.key_frequencies.frequencies  # doctest: +SKIP
    (9, 38, 45)
    """
    checked("run", run, Run, "Load it first: gi.load_run(folder).")
    if checked("every", every, int) < 1:
        raise ConfigError(f"every={shown(every)} is not allowed. Use 1 for every checkpoint.")
    checked("thresholds", thresholds, Thresholds | None)
    checked("measures", measures, Iterable)
    cache_folder = (
        None
        if cache_folder is None
        else Path(checked("cache_folder", cache_folder, str | PathLike | None))
    )
    if isinstance(key_frequencies, str) or not isinstance(key_frequencies, Iterable | None):
        raise ConfigError(
            f"key_frequencies={shown(key_frequencies)} is of the wrong type. It takes a list, such "
            "as [9, 38, 45], or None."
        )
    catalogue = tuple(as_measure(measure) for measure in measures)
    failures: dict[str, str] = {}
    last = _last_readable(run, failures)
    # A copy, so that what the rule looks at is not kept for the whole analysis.
    keys = _key_frequencies(replace(last), key_frequencies)
    folder = (
        cache_folder if cache_folder is not None or run.folder is None else run.folder / "analysis"
    )
    cache = NumberCache(folder / "cache.jsonl" if folder else None, cache_context(run))
    # The last that can be read is taken, also where it is not among every k-th.
    steps = sorted({*(s for s in _every(run.steps, every) if s < last.step), last.step})
    rows, frequency_rows, representation_rows = [], [], []
    for step in progress(steps) if progress else steps:
        try:
            numbers = measure_checkpoint(run, step, catalogue, keys, cache)
        except CheckpointError as error:
            failures[run.checkpoints.name(step)] = str(error)
            continue
        rows.append({"step": step, **numbers.values})
        frequency_rows.append(numbers.by_frequency)
        representation_rows.append(numbers.by_representation)
    tables = look_into(last, keys, cache, deep=deep)
    cache.save()
    trajectory = pd.DataFrame(rows)
    # A run from elsewhere may come without curves; then the checkpoints have to do.
    recorded = [has_recorded(run, column) for column in ("test_loss", "test_accuracy")]
    known_curves = run.curves if all(recorded) else checkpoint_curves(run)
    curves, accuracies = (run.curves if known else known_curves for known in recorded)
    milestones = find_milestones(
        accuracies,
        diverged_at=run.diverged_at,
        unmirrored=unmirrored_transition(run, accuracies, thresholds),
        thresholds=thresholds,
        chance=1 / run.task.n_classes,
    )
    phases = find_phases(curves, trajectory, thresholds=thresholds)
    algorithm = find_algorithm(last, keys)
    return Analysis(
        run=run,
        key_frequencies=keys,
        trajectory=trajectory,
        by_frequency=pd.concat(frequency_rows, ignore_index=True),
        ablations=tables.ablations,
        phases=phases,
        summary=summarize(
            run,
            keys,
            trajectory,
            milestones,
            phases,
            find_circuit_steps(trajectory, thresholds),
            algorithm,
            catalogue,
            failures,
            thresholds,
        ),
        measures=catalogue,
        by_representation=pd.concat(representation_rows, ignore_index=True),
        circuit=tables.circuit,
        neurons=tables.neurons,
        failures=failures,
        algorithm=algorithm,
    )


def _last_readable(run: Run, failures: dict[str, str]) -> Snapshot:
    run.resolve_step(None)
    for step in reversed(run.steps):
        try:
            return Snapshot.from_parameters(
                run.parameters(step),
                run.split,
                run.transformer,
                step=step,
                checksum=run.checksum(step),
            )
        except CheckpointError as error:
            failures[run.checkpoints.name(step)] = str(error)
    raise CheckpointError(
        f"none of the {len(run.steps)} checkpoints can be read. The first: "
        f"{next(iter(failures.values()))}"
    )


def _key_frequencies(last: Snapshot, given: Iterable[int | str] | None) -> KeyFrequencies:
    found = find_key_frequencies(last)
    if given is None:
        return found
    # The evidence of the rule stays beside a set that was given, so that both can be compared.
    override = KeyFrequencies.given_for(last.require_view(), tuple(given))
    evidence = found.evidence
    if evidence is not None:
        is_key = [k + 1 in override.frequencies for k in range(len(evidence))]
        evidence = evidence.assign(is_key=is_key)
    n_permutations = found.n_permutations
    return replace(override, step=last.step, evidence=evidence, n_permutations=n_permutations)


def _every(steps: tuple[int, ...], every: int) -> list[int]:
    return sorted({*steps[::every], steps[-1]})
