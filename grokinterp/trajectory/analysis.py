"""The chain from a run to its explanation, written once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from grokinterp.circuits import (
    Algorithm,
    KeyFrequencies,
    find_algorithm,
    take_snapshot,
)
from grokinterp.errors import ConfigError
from grokinterp.fields import checked, shown
from grokinterp.measures import MEASURES, Measure, as_measures
from grokinterp.registered import registered
from grokinterp.reprs import card_repr, in_lines, listed
from grokinterp.runs.run import Run
from grokinterp.trajectory.cache import NumberCache, cache_context, cache_file
from grokinterp.trajectory.circuit_steps import CircuitSteps, find_circuit_steps
from grokinterp.trajectory.doubted import no_algorithm, no_keys, no_phases
from grokinterp.trajectory.events import Event
from grokinterp.trajectory.formulas_along import formulas_along
from grokinterp.trajectory.frequency_events import LifeRule
from grokinterp.trajectory.last_checkpoint import (
    choose_key_frequencies,
    last_readable,
    look_into,
)
from grokinterp.trajectory.life import Story, events_of, spectra_of
from grokinterp.trajectory.measuring import Progress, choose_jobs_for, measure_run
from grokinterp.trajectory.milestones import Milestones, Thresholds
from grokinterp.trajectory.phases import Phases, find_phases
from grokinterp.trajectory.processes import check_jobs
from grokinterp.trajectory.reasons import find_reasons
from grokinterp.trajectory.recorded import known_curves
from grokinterp.trajectory.run_milestones import milestones_of
from grokinterp.trajectory.summary import final_numbers, sources_of, summarize, unfinished

if TYPE_CHECKING:
    import plotly.graph_objects as go

NOT_ASKED = Algorithm("none", "nobody looked for one")


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is known about a run: key frequencies, measures, milestones, phases, circuits.

    Examples
    --------
    >>> import grokinterp as gi
    >>> analysis = gi.analyze_run(gi.load_run("ckpts/"))
    >>> analysis.milestones.grokking_step, analysis.final["test_accuracy"]
    (..., 1.0)
    """

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
    milestones: Milestones
    """The steps of memorization and generalization, and which kind of outcome that is."""
    circuit_steps: CircuitSteps | None = None
    """When each circuit works; None without key frequencies or without a known split."""
    algorithm: Algorithm = NOT_ASKED
    """Clock or pizza at the last checkpoint, with the evidence; ``none`` with the reason."""
    thresholds: Thresholds = Thresholds()
    """What counted as memorized, as generalized, as staying there, as late and as sharp."""
    measures: tuple[Measure, ...] = MEASURES
    """The measures that were taken."""
    by_representation: pd.DataFrame = field(default_factory=pd.DataFrame)
    """One row per checkpoint and irreducible representation; empty for a cyclic group."""
    circuit: pd.DataFrame = field(default_factory=pd.DataFrame)
    """The trigonometric circuit of the last checkpoint, step by step; see
    :func:`~grokinterp.circuits.evidence.circuit_table`. Empty where there is none."""
    neurons: pd.DataFrame = field(default_factory=pd.DataFrame)
    """One row per neuron of the last checkpoint; see
    :func:`~grokinterp.circuits.neuron_polynomials.neuron_table`."""
    closed_form: pd.DataFrame = field(default_factory=pd.DataFrame)
    """How well each closed form of the last checkpoint does, a row per level; see
    :func:`~grokinterp.extract`. Empty where there is none."""
    closed_form_terms: pd.DataFrame = field(default_factory=pd.DataFrame)
    """What these closed forms are made of, a row per wave or neuron."""
    closed_form_curve: pd.DataFrame = field(default_factory=pd.DataFrame)
    """How well the closed forms of up to 24 checkpoints along the run do, and of those around the
    step from which one describes the network; the columns are those of
    :func:`~grokinterp.extraction_curve`. Empty where there is none."""
    events: tuple[Event, ...] = ()
    """What happened along the run, in order of steps; see :func:`~grokinterp.find_events`."""
    certificate: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Proved lower bounds on the accuracy of the last checkpoint, a row per strategy; see
    :func:`~grokinterp.certify`. Empty where there is no closed form."""
    learning_coefficient: pd.DataFrame = field(default_factory=pd.DataFrame)
    """What :func:`~grokinterp.learning_coefficient_curve` found, if it was asked for; see
    :meth:`with_learning_coefficient`. Otherwise empty."""
    mode_families: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Families of two-dimensional modes of the last checkpoint; see
    :func:`~grokinterp.mode_families`. Empty where the task has no view of a group."""
    mode_spectrum: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Their spectrum, a row per part, mode and family."""
    failures: dict[str, str] = field(default_factory=dict)
    """Checkpoints that were left out, by name, and why."""

    @property
    def outcome(self) -> str:
        """What became of the run, in a sentence; says first where it is not finished."""
        return unfinished(self.run) + self.milestones.outcome

    @cached_property
    def final(self) -> dict[str, float | int | None]:
        """Measures of the last checkpoint by column; None where one is not finite."""
        return final_numbers(self.trajectory)

    @cached_property
    def reasons(self) -> dict[str, str]:
        """Why a field has no value, by its name in summary.json, such as ``phases.cleanup``."""
        return find_reasons(self)

    def why(self, *fields: str) -> str:
        """Return the reason of the first of these fields that has one; empty if none has.

        Examples
        --------
        >>> analysis.why("grokking_step"), analysis.why("by_representation", "phases.cleanup")
        ('', '')
        """
        return next((self.reasons[name] for name in fields if self.reasons.get(name)), "")

    @cached_property
    def citations(self) -> dict[str, str]:
        """Where phases, algorithm and measures come from, by name, each in a line."""
        return sources_of(self.measures, self.trajectory)

    def story(self, rule: LifeRule | None = None) -> Story:
        """Return what events are found in, by a rule or by the usual one."""
        spectra = spectra_of(self.run, self.by_frequency, self.by_representation)
        return Story(
            self.run,
            self.trajectory,
            self.milestones,
            spectra,
            self.thresholds,
            rule or LifeRule(),
        )

    def with_learning_coefficient(self, curve: pd.DataFrame) -> Analysis:
        """Return the same analysis with a table that costs too much to be made unasked.

        The report then has a section, and ``write_tables`` writes learning_coefficient.csv.

        Raises
        ------
        ConfigError
            If `curve` is not what :func:`~grokinterp.learning_coefficient_curve` returns.

        Examples
        --------
        >>> settings = {"n_beta": 2, "step_size": 1e-3, "n_draws": 50}
        >>> curve = gi.learning_coefficient_curve(run, **settings, every=8)
        >>> len(analysis.with_learning_coefficient(curve).learning_coefficient)
        3
        """
        checked("curve", curve, pd.DataFrame, "Make one: gi.learning_coefficient_curve(run, ...).")
        if not {"step", "value", "reason", "n_beta"} <= set(curve):
            raise ConfigError(
                "curve has no columns step, value, reason and n_beta. Pass what "
                "gi.learning_coefficient_curve(run, ...) returns."
            )
        return replace(self, learning_coefficient=curve)

    def plot(self) -> go.Figure:
        """Draw the one figure that says most about the run.

        The losses with those of the circuit alone and without it, where there are key frequencies;
        see :func:`grokinterp.figures.plot_story`.

        Raises
        ------
        FitError
            If neither a loss nor an accuracy is known.

        Examples
        --------
        >>> analysis.plot().layout.title.text
        'Restricted and excluded loss'
        """
        return registered("plot of an analysis")(self)

    @cached_property
    def forecast(self) -> Any:
        """When the run will grok, while it has steps before it; see :func:`grokinterp.forecast`.

        A :class:`~grokinterp.Forecast`; None where the run is over, has generalized or was
        imported.

        Examples
        --------
        >>> analysis.forecast is None
        True
        """
        return registered("forecast of a run under way")(self.run)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The fields of summary.json, derived from all others."""
        return summarize(self)

    def __repr__(self) -> str:
        keys, found = self.key_frequencies, self.algorithm
        size = f"{len(self.trajectory)} checkpoints, {self.trajectory.shape[1]} columns"
        return in_lines(
            f"Analysis of {self.run.task.spec.in_words}",
            {
                "doubts": " ".join(self.run.doubts) or None,
                "outcome": self.outcome,
                "keys": listed(keys.names or keys.frequencies) or f"none: {keys.reason}",
                "algorithm": f"{found.verdict}: {found.reason}" if found else None,
                "trajectory": size,
                "ablations": f"{len(self.ablations)} at the last checkpoint",
                "left out": listed(self.failures),
            },
        )

    _repr_html_ = card_repr


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
    n_jobs: int | None = None,
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
        Frequencies, or in a group that is not cyclic names of representations, to use instead
        of those that the last checkpoint's logits show: for runs that were stopped on the plateau.
    every
        Take every k-th checkpoint; the last is always taken.
    deep
        Also follow the circuit through the last checkpoint, ablate all of its parts, list its
        neurons, split it into families of modes, extract its closed forms and those of checkpoints
        along the run: some twenty seconds at p = 113. Otherwise only the logits are ablated.
    thresholds
        What counts as memorized and as generalized.
    cache_folder
        Where numbers are kept for the next analysis (None: ``analysis/`` in the run's own
        folder; a run in memory is not cached).
    progress
        Wraps the steps to show progress, such as ``tqdm``.
    n_jobs
        Processes that measure checkpoints, with one thread each. None: one for each thread that
        torch may use, where there is work for some 20 seconds and the memory is free; else one.
        The log says how many. Numbers are the same to the bit as in one process on one thread.
        Networks of your own, and measures that cannot be pickled, stay in this process.

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
        If a key frequency is outside 1 .. n//2, `every` is below 1, or `n_jobs` is no number of
        processes.

    Examples
    --------
    >>> import grokinterp as gi
    >>> analysis = gi.analyze_run(gi.load_run("ckpts/"))
    >>> analysis.key_frequencies.frequencies
    (2, 3)
    """
    _require_arguments(run, key_frequencies, every, thresholds)
    catalogue, limits = as_measures(measures), thresholds or Thresholds()
    check_jobs(n_jobs)
    cache = NumberCache(cache_file(run, cache_folder), cache_context(run))
    failures: dict[str, str] = {}
    last = last_readable(run, failures)
    # A copy, so that what the rule looks at is not kept for the whole analysis.
    is_doubted = bool(run.doubts) and key_frequencies is None
    keys = (
        no_keys(run, last)
        if is_doubted
        else choose_key_frequencies(last.without_cache(), key_frequencies)
    )
    steps = _chosen_steps(run, every, last.step)
    # What is large is held for one step at a time.
    n_processes = n_jobs or choose_jobs_for(run, steps, catalogue, keys, cache, last)
    last = None if last.is_large else last
    along = measure_run(run, steps, catalogue, keys, cache, progress=progress, n_jobs=n_processes)
    last = last or take_snapshot(run, steps[-1])
    tables = look_into(last, keys, cache, deep=deep)
    levels = tables.closed_form["level"].tolist() if len(tables.closed_form) else []
    along_formulas = formulas_along(run, along.trajectory["step"].tolist(), keys, levels, cache)
    algorithm = no_algorithm(run) if run.doubts else find_algorithm(last, keys)
    del last
    cache.save()
    losses, accuracies = known_curves(run)
    found = Analysis(
        run=run,
        key_frequencies=keys,
        trajectory=along.trajectory,
        by_frequency=along.by_frequency,
        by_representation=along.by_representation,
        ablations=tables.ablations,
        circuit=tables.circuit,
        neurons=tables.neurons,
        closed_form=tables.closed_form,
        closed_form_terms=tables.closed_form_terms,
        closed_form_curve=along_formulas,
        certificate=tables.certificate,
        mode_families=tables.mode_families,
        mode_spectrum=tables.mode_spectrum,
        phases=no_phases(run)
        if run.doubts
        else find_phases(losses, along.trajectory, thresholds=limits),
        milestones=milestones_of(run, accuracies, limits),
        circuit_steps=None if run.doubts else find_circuit_steps(along.trajectory, limits),
        algorithm=algorithm,
        thresholds=limits,
        measures=catalogue,
        failures={**failures, **along.failures},
    )
    return replace(found, events=events_of(found.story()))


def _require_arguments(run: Any, key_frequencies: Any, every: Any, thresholds: Any) -> None:
    """Refuse arguments of the wrong type before anything is computed."""
    checked("run", run, Run, "Load it first: gi.load_run(folder).")
    if checked("every", every, int) < 1:
        raise ConfigError(f"every={shown(every)} is not allowed. Use 1 for every checkpoint.")
    checked("thresholds", thresholds, Thresholds | None)
    if isinstance(key_frequencies, str) or not isinstance(key_frequencies, Iterable | None):
        raise ConfigError(
            f"key_frequencies={shown(key_frequencies)} is of the wrong type. It takes a list, such "
            "as [9, 38, 45], or None."
        )


def _chosen_steps(run: Run, every: int, last: int) -> list[int]:
    """Every k-th step, and the last that can be read, which need not be among them."""
    return sorted({*(step for step in run.steps[::every] if step < last), last})
