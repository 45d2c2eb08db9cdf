"""The network as a formula, as a part of the report."""

from __future__ import annotations

import pandas as pd

from grokinterp import figures
from grokinterp.extraction.closed_form import FITTED_ON
from grokinterp.extraction.curve import exists_from
from grokinterp.extraction.extraction import LEVELS, Level
from grokinterp.report.page import Section, figure_block, paragraph
from grokinterp.report.text import escape, show_percent, show_value, table
from grokinterp.trajectory.analysis import Analysis

_LEVELS = {1: "logits", 2: "neurons"}
_ROWS = {
    "accuracy": "accuracy, all pairs",
    "test_accuracy": "accuracy, test pairs",
    "network_accuracy": "the network's, all pairs",
    "loss": "loss, all pairs (nats)",
    "network_loss": "the network's (nats)",
    "agreement": "same answer as the network",
    "agreement_right": "... on pairs that the network answers right",
    "agreement_wrong": "... on pairs that it answers wrong",
    "variance_explained": "variance of the network's logits explained",
    "n_parameters": "parameters",
    "fraction_of_parameters": "... of the network's",
    "shuffled_accuracy": "accuracy with shuffled phases, mean",
    "shuffled_loss": "loss with shuffled phases, smallest (nats)",
}
_PERCENT = ("agreement", "accuracy", "variance", "fraction")
_MOST_TERMS = 60
"""Waves that are listed; the rest are in the table on disk."""
_CAPTION = (
    "Formulas of checkpoints along the run, with the key frequencies of the last. Above: the share "
    "of the variance of the network's logits that each formula explains. Middle and below: "
    "accuracy and loss of the network and of each formula, over all pairs. Where a formula has a "
    "high accuracy and explains little, it is not yet what the network computes."
)


def closed_form_section(analysis: Analysis) -> Section:
    """How well the closed forms do beside the network, and the waves of level one."""
    title = "The network as a formula"
    scores = analysis.closed_form
    if scores.empty:
        known = analysis.why("key_frequencies", "key_representations")
        because = f" Reason: {escape(known)}." if known else ""
        note = f"No formula was extracted.{because}"
        return Section("closed-form", title, (paragraph(note, kind="note"),))
    lead = (
        "A table of numbers replaces the network: waves in place of its logits (level 1), then "
        "waves of one frequency in place of every neuron (level 2). Accuracy alone proves nothing. "
        "One wave of a+b−c with a positive amplitude is right on every pair, and neurons rebuilt "
        "from weights that only memorize can be right too. Look at the variance of the network's "
        "logits that the formula explains, at its loss, and at its agreement with the network."
    )
    blocks = [paragraph(lead), _scores(scores), *_not_rebuilt(analysis), _terms(analysis)]
    blocks.extend(_along(analysis))
    return Section("closed-form", title, tuple(blocks))


def _scores(scores: pd.DataFrame) -> str:
    forms = scores.to_dict(orient="records")
    header = ("", *(f"level {form['level']}: {_LEVELS[int(form['level'])]}" for form in forms))
    rows = [("formula", *(escape(form["formula"]) for form in forms))]
    rows.append(("fitted on", *(escape(_fitted_on(form["fitted_on"])) for form in forms)))
    for name, words in _ROWS.items():
        is_share = any(word in name for word in _PERCENT)
        show = show_percent if is_share else show_value
        rows.append((escape(words), *(show(form[name]) for form in forms)))
    return table(header, rows, caption="How well each formula does, at the last checkpoint")


def _fitted_on(name: str) -> str:
    return "read off the weights" if name == "weights" else FITTED_ON.get(name, name)


def _not_rebuilt(analysis: Analysis) -> list[str]:
    """Why there is no level two, where there is none."""
    if 2 in analysis.closed_form["level"].tolist():
        return []
    missing = analysis.run.missing_parts
    known = [missing[part] for part in ("neurons", "readout") if part in missing]
    if analysis.run.task.has_representations:
        known = ["its group has representations and no frequencies"]
    reason = known[0] if known else "its logits are no sum over neurons of key frequencies"
    note = f"The neurons were not rebuilt. Reason: {escape(reason)}."
    return [paragraph(note, kind="note")]


def _terms(analysis: Analysis) -> str:
    terms = analysis.closed_form_terms
    if terms.empty:
        return ""
    terms = terms.loc[terms["level"] == 1].dropna(axis=1, how="all").drop(columns="level")
    rows = [tuple(map(show_value, row)) for row in terms.head(_MOST_TERMS).to_numpy(object)]
    shown = table(
        tuple(map(str, terms.columns)),
        rows,
        caption="The formula of level 1: amplitudes in logits, phases in radians",
        n_text=1,
    )
    if len(terms) <= _MOST_TERMS:
        return shown
    return shown + paragraph(f"The first {_MOST_TERMS} of {len(terms):,}.", kind="note")


def _along(analysis: Analysis) -> list[str]:
    """When each formula describes the network, and the curves."""
    curve = analysis.closed_form_curve
    if curve.empty or len(set(curve["step"])) < 2:
        return []
    by_step: dict[int | None, list[Level]] = {}
    for level in LEVELS:
        if level in set(curve["level"]):
            by_step.setdefault(exists_from(curve, level), []).append(level)
    lines = [_exists(step, levels) for step, levels in by_step.items()]
    grokking = analysis.milestones.grokking_step
    if grokking is not None:
        lines.append(f"The grokking step is {grokking:,}.")
    figure = figures.plot_extraction_curve(curve)
    return [paragraph(" ".join(lines)), figure_block("figure-extraction-curve", figure, _CAPTION)]


def _exists(step: int | None, levels: list[Level]) -> str:
    if len(levels) > 1:
        formula, explain, do = "The formulas of both levels", "explain", "do"
    else:
        formula, explain, do = f"The formula of level {levels[0]}", "explains", "does"
    half = "half of the variance of the logits"
    if step is None:
        return f"{formula} {do} not explain {half} at the last checkpoint."
    return f"{formula} {explain} more than {half} from step {step:,} on."
