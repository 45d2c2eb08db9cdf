"""The fields of summary.json: an analysis as plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from grokinterp.bibliography import reference
from grokinterp.circuits import KeyFrequencies
from grokinterp.fields import plain_number
from grokinterp.measures import Measure
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.run import Run
from grokinterp.trajectory.reasons import steps_by_name

if TYPE_CHECKING:
    from grokinterp.trajectory.analysis import Analysis

PHASES_PAPER = "nanda2023progress"
ALGORITHM_PAPER = "zhong2023clock"


def summarize(analysis: Analysis) -> dict[str, Any]:
    """Return the fields of summary.json; plain values, with null where nothing is known."""
    run, keys = analysis.run, analysis.key_frequencies
    view, circuit_steps = run.task.group_view, analysis.circuit_steps
    return {
        "doubts": list(run.doubts),
        "origin": run.origin,
        "config": run.config.to_dict(),
        "n_checkpoints": len(run.steps),
        "n_checkpoints_analyzed": len(analysis.trajectory),
        "last_step": run.last_step,
        "key_frequencies": [] if run.task.has_representations else list(keys.frequencies),
        "key_representations": list(keys.representations),
        "key_representations_published": list(keys.published_representations),
        "key_frequency_rule": keys.rule,
        **steps_by_name(analysis.milestones),
        "plateau_accuracy": analysis.milestones.plateau_accuracy,
        "grokking_threshold": analysis.thresholds.grokking,
        "phases": analysis.phases.as_dict(),
        "circuits": circuit_steps.as_dict() if circuit_steps else None,
        "outcome_kind": analysis.milestones.outcome_kind,
        "outcome": analysis.outcome,
        "events": [event.to_dict() for event in analysis.events],
        "algorithm": analysis.algorithm.to_dict(),
        "final": dict(analysis.final),
        "n_pairs_left_out": view.n_left_out if view is not None else 0,
        "evidence": _evidence(keys),
        "reasons": dict(analysis.reasons),
        "failures": dict(analysis.failures),
        "citations": dict(analysis.citations),
    }


def _evidence(key_frequencies: KeyFrequencies) -> list[dict[str, Any]]:
    if key_frequencies.evidence is None:
        return []
    rows = key_frequencies.evidence.astype(object)
    return rows.where(rows.notna(), None).to_dict(orient="records")


def unfinished(run: Run) -> str:
    """What to say before the outcome of a run that is still being trained, or was stopped."""
    if not isinstance(run.config, TrainConfig):
        return ""
    n_steps = run.config.n_steps
    if run.folder is None or run.diverged_at is not None or run.last_step >= n_steps:
        return ""
    return f"Not finished (step {run.last_step:,} of {n_steps:,}). "


def final_numbers(trajectory: pd.DataFrame) -> dict[str, float | int | None]:
    """Return the last row of a table of measures, None for what is not finite."""
    if trajectory.empty:
        return {}
    row: dict[str, Any] = {
        str(name): plain_number(value) for name, value in trajectory.iloc[-1].items()
    }
    return {**row, "step": int(trajectory["step"].iloc[-1])}


def sources_of(measures: tuple[Measure, ...], trajectory: pd.DataFrame) -> dict[str, str]:
    """Return what phases, algorithm and the measures that have a column were taken from.

    The columns of a measure of a user's own are not known: it was certainly asked for.
    """
    columns = set(trajectory.columns)
    taken = [m for m in measures if not m.columns or columns & set(m.columns)]
    return {
        "phases": reference(PHASES_PAPER),
        "algorithm": reference(ALGORITHM_PAPER),
        **{measure.name: measure.source for measure in taken if measure.source},
    }
