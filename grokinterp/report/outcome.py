"""The outcome of a run in a sentence, a row of facts and its phases."""

from __future__ import annotations

from grokinterp.figures.spectrum import spectrum_of
from grokinterp.report.page import Section, paragraph
from grokinterp.report.text import (
    escape,
    is_missing,
    show_keys,
    show_percent,
    show_value,
    table,
)
from grokinterp.report.words import glossary
from grokinterp.trajectory.analysis import Analysis


def outcome_section(analysis: Analysis) -> Section:
    """The sentence, the facts and, folded away, every measure of the last checkpoint.

    Doubts about the reading of other people's files come before all of them.
    """
    doubts = analysis.run.doubts
    blocks = [
        *(paragraph(f"<strong>Doubt.</strong> {escape(d)}", kind="note") for d in doubts),
        paragraph(escape(analysis.outcome), kind="outcome"),
        _facts(analysis),
        glossary(analysis),
        _final_measures(analysis),
    ]
    return Section("outcome", "Outcome", tuple(block for block in blocks if block))


def phase_table(analysis: Analysis) -> str:
    """First and last step of each phase, or why it has none."""
    rows = []
    for name in ("memorization", "circuit_formation", "cleanup"):
        span = getattr(analysis.phases, name)
        reason = escape(analysis.phases.reasons.get(name, ""))
        first, last = (show_value(step) for step in span or (None, None))
        rows.append((escape(name.replace("_", " ")), first, last, reason))
    return table(("phase", "first step", "last step", "remark"), rows, caption="Phases")


def _facts(analysis: Analysis) -> str:
    milestones, final = analysis.milestones, analysis.final
    # A record that begins late or has no accuracies cannot say that a step was not reached.
    absent = "not known" if milestones.outcome_kind is None else "not reached"
    facts = [
        _step_fact(analysis, "grokking_step", absent),
        _step_fact(analysis, "memorization_step", absent),
        _step_fact(analysis, "grokking_delay", "not defined"),
        _keys_fact(analysis),
    ]
    for split in ("train", "test"):
        loss = final.get(f"{split}_loss")
        if not is_missing(loss):
            facts.append(_fact(f"final {split} loss", show_value(float(f"{loss:.3g}")), "nats"))
    for split in ("train", "test"):
        accuracy = final.get(f"{split}_accuracy")
        if not is_missing(accuracy):
            facts.append(_fact(f"final {split} accuracy", show_percent(accuracy), ""))
    if analysis.algorithm.verdict != "none":
        facts.append(_fact("algorithm", escape(analysis.algorithm.verdict), ""))
    return f'<dl class="facts">{"".join(facts)}</dl>'


def _step_fact(analysis: Analysis, field: str, absent: str) -> str:
    step, label = getattr(analysis.milestones, field), field.replace("_", " ")
    if step is None:
        return _fact(label, absent, escape(analysis.why(field)))
    return _fact(label, show_value(step), "steps" if field.endswith("delay") else "")


def _keys_fact(analysis: Analysis) -> str:
    keys, spectrum = analysis.key_frequencies, spectrum_of(analysis)
    label = f"key {spectrum.plural}"
    if keys.frequencies:
        n = keys.order // 2 if spectrum.noun == "frequency" else len(spectrum.colored)
        return _fact(label, show_keys(spectrum.keys), f"of {n}")
    return _fact(label, "none", escape(keys.reason or ""))


def _fact(label: str, value: str, remark: str) -> str:
    why = f'<dd class="why">{remark}</dd>' if remark else ""
    return f'<div class="fact"><dt>{escape(label)}</dt><dd>{value}</dd>{why}</div>'


def _final_measures(analysis: Analysis) -> str:
    measured = [
        (f"<code>{escape(name)}</code>", show_value(value))
        for name, value in analysis.final.items()
        if not is_missing(value)
    ]
    if not measured:
        return ""
    measures = table(
        ("measure", "value"),
        measured,
        caption="Measures of the last checkpoint; losses in nats, accuracies as fractions",
        n_text=1,
    )
    return (
        f"<details><summary>All {len(measured)} measures of the last checkpoint</summary>"
        f"{measures}</details>"
    )
