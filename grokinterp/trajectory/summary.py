"""The fields of summary.json: what is known about a run, and why anything is not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from grokinterp.circuits import Algorithm, KeyFrequencies
from grokinterp.measures import Measure
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.run import Run
from grokinterp.trajectory.circuit_steps import CircuitSteps, why_never
from grokinterp.trajectory.milestones import Milestones, Thresholds
from grokinterp.trajectory.phases import Phases

PHASES_SOURCE = (
    "Nanda, Chan, Lieberum, Smith and Steinhardt, Progress measures for grokking via "
    "mechanistic interpretability, ICLR 2023, arXiv:2301.05217"
)

ALGORITHM_SOURCE = (
    "Zhong, Liu, Tegmark and Andreas, The clock and the pizza: two stories in mechanistic "
    "explanation of neural networks, NeurIPS 2023, arXiv:2306.17844"
)


def summarize(
    run: Run,
    key_frequencies: KeyFrequencies,
    trajectory: pd.DataFrame,
    milestones: Milestones,
    phases: Phases,
    circuit_steps: CircuitSteps | None,
    algorithm: Algorithm,
    measures: Sequence[Measure],
    failures: Mapping[str, str],
    thresholds: Thresholds | None,
) -> dict[str, Any]:
    """Return the fields of summary.json; plain values, with null where nothing is known."""
    limits = thresholds or Thresholds()
    found = {
        "memorization_step": milestones.memorization_step,
        "grokking_step": milestones.grokking_step,
        "first_crossing_step": milestones.first_crossing_step,
        "grokking_delay": milestones.grokking_delay,
        "transition_width": milestones.transition_width,
        "transition_width_unmirrored": milestones.plateau_transition_width,
    }
    view = run.task.group_view
    has_representations = run.task.has_representations
    components = "representations" if has_representations else "frequencies"
    final = _final(trajectory)
    return {
        "origin": run.origin,
        "config": run.config.to_dict(),
        "n_checkpoints": len(run.steps),
        "n_checkpoints_analyzed": len(trajectory),
        "last_step": run.last_step,
        **_keys(key_frequencies, has_representations),
        "key_frequency_rule": key_frequencies.rule,
        **found,
        "grokking_threshold": limits.grokking,
        "phases": phases.as_dict(),
        "circuits": circuit_steps.as_dict() if circuit_steps else None,
        "outcome_kind": milestones.outcome_kind,
        "outcome": _unfinished(run) + milestones.outcome,
        "algorithm": algorithm.to_dict(),
        "final": final,
        "n_pairs_left_out": view.n_left_out if view is not None else 0,
        "evidence": _evidence(key_frequencies),
        "reasons": {
            **_reasons(run, key_frequencies, found, final, phases, algorithm, milestones),
            **_reasons_of_circuits(circuit_steps, trajectory, limits, components),
            **_reasons_of_imported(run, milestones, measures),
        },
        "failures": dict(failures),
        "citations": _citations(_taken(measures, trajectory)),
    }


def _keys(key_frequencies: KeyFrequencies, has_representations: bool) -> dict[str, Any]:
    """Key frequencies, or none and the key representations."""
    if not has_representations:
        return {"key_frequencies": list(key_frequencies.frequencies)}
    return {"key_frequencies": [], "key_representations": list(key_frequencies.names or ())}


def _unfinished(run: Run) -> str:
    """What to say before the outcome of a run that is still being trained, or was stopped."""
    if not isinstance(run.config, TrainConfig):
        return ""
    n_steps = run.config.n_steps
    if run.folder is None or run.diverged_at is not None or run.last_step >= n_steps:
        return ""
    return f"Not finished (step {run.last_step:,} of {n_steps:,}). "


def plain_number(value: Any) -> float | int | None:
    """Return a number for JSON: None where it is not finite."""
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if isinstance(value, int) else number


def _final(trajectory: pd.DataFrame) -> dict[str, float | int | None]:
    if trajectory.empty:
        return {}
    row = {str(name): plain_number(value) for name, value in trajectory.iloc[-1].items()}
    return {**row, "step": int(trajectory["step"].iloc[-1])}


def _evidence(key_frequencies: KeyFrequencies) -> list[dict[str, Any]]:
    if key_frequencies.evidence is None:
        return []
    rows = key_frequencies.evidence.astype(object)
    return rows.where(rows.notna(), None).to_dict(orient="records")


def _reasons(
    run: Run,
    key_frequencies: KeyFrequencies,
    found: Mapping[str, int | None],
    final: Mapping[str, float | int | None],
    phases: Phases,
    algorithm: Algorithm,
    milestones: Milestones,
) -> dict[str, str]:
    operation = run.task.operation.words
    known = dict(milestones.reasons)
    known["transition_width_unmirrored"] = (
        known.get("plateau_transition_width", "")
        if run.task.operation.is_commutative
        else f"{operation} does not commute, so no pair is mirrored"
    )
    reasons = {name: known[name] for name, value in found.items() if value is None}
    for name, value in final.items():
        if value is None:
            reasons[f"final.{name}"] = "there is no pair to average over, or it is not finite"
    reasons |= {f"phases.{name}": reason for name, reason in phases.reasons.items()}
    if algorithm.verdict == "none":
        reasons["algorithm"] = algorithm.reason
    has_representations = run.task.has_representations
    if has_representations:
        reasons["key_frequencies"] = "permutations have representations and no frequencies"
        reasons["by_frequency"] = reasons["key_frequencies"]
    if not key_frequencies.frequencies:
        field = "key_representations" if has_representations else "key_frequencies"
        reasons[field] = key_frequencies.reason or "none was given"
    if run.task.group_view is None:
        reasons["by_frequency"] = (
            f"{run.task.spec.in_words} has no cyclic view, so there are no trigonometric columns"
        )
    return reasons


def _reasons_of_circuits(
    steps: CircuitSteps | None, trajectory: pd.DataFrame, limits: Thresholds, components: str
) -> dict[str, str]:
    if steps is None:
        return {"circuits": f"it takes key {components} and measures of both circuits"}
    reasons = why_never(trajectory, steps, limits)
    return {f"circuits.{name}": reason for name, reason in reasons.items()}


def _reasons_of_imported(
    run: Run, milestones: Milestones, measures: Sequence[Measure]
) -> dict[str, str]:
    """Why things are missing that a run of our own always has."""
    reasons: dict[str, str] = {}
    if milestones.outcome_kind is None:
        reasons["outcome_kind"] = milestones.outcome
    if run.is_imported:
        reasons["config"] = "trained elsewhere: fields that are null are not known"
    if not run.split.is_known:
        unknown = "it is not known which pairs were trained on"
        reasons["split"] = unknown
        if milestones.transition_width is None:
            reasons |= dict.fromkeys(("transition_width", "transition_width_unmirrored"), unknown)
        columns = [c for measure in measures for c in measure.split_columns]
        reasons |= {f"final.{column}": unknown for column in columns}
    return reasons


def _taken(measures: Sequence[Measure], trajectory: pd.DataFrame) -> list[Measure]:
    """Measures with a column; those of a user, whose columns nobody knows, in any case."""
    return [m for m in measures if not m.columns or set(m.columns) & set(trajectory.columns)]


def _citations(measures: Sequence[Measure]) -> dict[str, str]:
    cited = {measure.name: measure.source for measure in measures if measure.source}
    return {"phases": PHASES_SOURCE, "algorithm": ALGORITHM_SOURCE, **cited}
