"""Why a field of an analysis has no value, by the names of summary.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokinterp.circuits.cosets import why_no_cosets
from grokinterp.trajectory.circuit_steps import why_never
from grokinterp.trajectory.doubted import why_no_verdict
from grokinterp.trajectory.life import why_no_events
from grokinterp.trajectory.milestones import Milestones
from grokinterp.trajectory.needed_parts import of_missing_parts

if TYPE_CHECKING:
    from grokinterp.trajectory.analysis import Analysis

NOT_FOUND = "the record does not show it"
"""Said of a step whose milestones were made by hand, without a reason for it."""
NO_NUMBER = "there is no pair to average over, or it is not finite"
NO_MATRIX = "the network has no such matrix of its own"
SPLIT_UNKNOWN = "it is not known which pairs were trained on"

_MATRIX = "sum_squared_weights_"


def steps_by_name(milestones: Milestones) -> dict[str, int | None]:
    """Return the steps, the delay and the widths of a run under their names in summary.json."""
    return {
        "memorization_step": milestones.memorization_step,
        "grokking_step": milestones.grokking_step,
        "first_crossing_step": milestones.first_crossing_step,
        "grokking_delay": milestones.grokking_delay,
        "transition_width": milestones.transition_width,
        "transition_width_unmirrored": milestones.plateau_transition_width,
        "lost_step": milestones.lost_step,
    }


def find_reasons(analysis: Analysis) -> dict[str, str]:
    """Say of every field that is null or empty why it is, each in a sentence without its stop.

    Returns
    -------
    dict
        By name: that of a field of summary.json, or a dotted one within it, such as
        ``phases.cleanup`` or ``final.test_loss``; or of a table, of one of its columns, or of a
        stage or place without rows, such as ``neurons``, ``by_frequency.n_neurons``,
        ``circuit.attention`` or ``ablations.heads``.
    """
    phases, algorithm = analysis.phases, analysis.algorithm
    return {
        **_of_steps(analysis),
        **{
            f"final.{name}": NO_MATRIX if name.startswith(_MATRIX) else NO_NUMBER
            for name, value in analysis.final.items()
            if value is None
        },
        **{f"phases.{name}": reason for name, reason in phases.reasons.items()},
        **({"algorithm": algorithm.reason} if algorithm.verdict == "none" else {}),
        **_of_spectrum(analysis),
        **_of_circuits(analysis),
        **_of_events(analysis),
        **of_missing_parts(analysis),
        **_of_runs_from_elsewhere(analysis),
    }


def _of_steps(analysis: Analysis) -> dict[str, str]:
    milestones, operation = analysis.milestones, analysis.run.task.operation
    split = analysis.run.split
    steps, known = steps_by_name(milestones), dict(milestones.reasons)
    if "plateau_transition_width" in known:
        known["transition_width_unmirrored"] = known.pop("plateau_transition_width")
    found = {**steps, "plateau_accuracy": milestones.plateau_accuracy}
    reasons = {name: NOT_FOUND for name, value in found.items() if value is None} | known
    # The curves do not distinguish these: there are no such pairs, or the split is not known.
    if milestones.plateau_transition_width is None:
        if not split.is_known:
            reasons["transition_width_unmirrored"] = SPLIT_UNKNOWN
        elif not operation.is_commutative:
            reasons["transition_width_unmirrored"] = (
                f"{operation.words} does not commute, so no pair is mirrored"
            )
        elif not split.is_mirrored[split.test].any():
            reasons["transition_width_unmirrored"] = (
                "no test pair has a trained mirror image; transition_width is already that of "
                "unmirrored pairs"
            )
    return reasons


def _of_spectrum(analysis: Analysis) -> dict[str, str]:
    """Why there are no key frequencies, no frequencies at all, or no representations."""
    task, keys = analysis.run.task, analysis.key_frequencies
    reasons = {}
    if task.has_representations:
        nothing = f"{task.spec.in_words} has representations and no frequencies"
        reasons = {"key_frequencies": nothing, "by_frequency": nothing}
    if not keys.frequencies:
        reason = keys.reason or "none was given"
        reasons["key_representations"] = reason
        if not task.has_representations:
            reasons["key_frequencies"] = reason
    if not keys.published_representations:
        reasons["key_representations_published"] = (
            keys.reason
            if keys.evidence is None and keys.reason
            else "no character has a cosine above 0.005 with the logits"
        )
    of_cosets = [c for m in analysis.measures if "subgroups" in m.needs for c in m.columns]
    no_cosets = why_no_cosets(task) if task.group_view is not None else None
    if no_cosets is not None:
        reasons |= {f"final.{column}": no_cosets for column in of_cosets}
    if task.group_view is None:
        reasons["by_frequency"] = (
            f"{task.spec.in_words} has no cyclic view, so there are no trigonometric columns"
        )
    return reasons


def _of_events(analysis: Analysis) -> dict[str, str]:
    if analysis.events:
        return {}
    return {"events": why_no_verdict(analysis.run) or why_no_events(analysis.story())}


def _of_circuits(analysis: Analysis) -> dict[str, str]:
    if analysis.run.doubts:
        return {"circuits": why_no_verdict(analysis.run)}
    if analysis.circuit_steps is None:
        has_representations = analysis.run.task.has_representations
        components = "representations" if has_representations else "frequencies"
        return {"circuits": f"it takes key {components} and measures of both circuits"}
    never = why_never(analysis.trajectory, analysis.circuit_steps, analysis.thresholds)
    return {f"circuits.{name}": reason for name, reason in never.items()}


def _of_runs_from_elsewhere(analysis: Analysis) -> dict[str, str]:
    """Why things are missing that a run of our own always has."""
    reasons = {}
    if analysis.milestones.outcome_kind is None:
        reasons["outcome_kind"] = analysis.milestones.outcome
    if analysis.run.is_imported:
        reasons["config"] = "trained elsewhere: fields that are null are not known"
    if not analysis.run.split.is_known:
        columns = [c for measure in analysis.measures for c in measure.split_columns]
        reasons["split"] = SPLIT_UNKNOWN
        reasons |= {f"final.{column}": SPLIT_UNKNOWN for column in columns}
    return reasons
