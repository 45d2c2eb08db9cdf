"""The lines that ``python -m grokinterp.analyze`` prints about an analysis."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from grokinterp.trajectory import Analysis


MOST_EVENTS = 6
"""Events that are printed."""


def summary_lines(analysis: Analysis) -> list[str]:
    """Return the short summary: outcome, key frequencies, steps, phases, events, ablations."""
    found, algorithm = analysis.key_frequencies, analysis.algorithm
    lines = [_without_doubts(analysis, analysis.outcome)]
    is_group = analysis.run.task.has_representations
    width = 20 if is_group else 18
    if analysis.run.missing_parts:
        lines.append(f"{'network':{width}}{analysis.run.spec.in_words}")
    if is_group:
        names = found.names or ()
        lines.append(_line(analysis, "key_representations", ", ".join(names), width))
        published = found.published_representations
        if also := [name for name in published if name not in names]:
            word = "also " if names else ""
            lines.append(f"{'':{width}}by the published rule {word}{', '.join(also)}")
    else:
        keys = ", ".join(map(str, found.frequencies))
        lines.append(_line(analysis, "key_frequencies", keys, width))
    lines += [f"{'':{width}}{caveat}" for caveat in found.caveats]
    for name in ("memorization_step", "grokking_step"):
        step = getattr(analysis.milestones, name)
        lines.append(_line(analysis, name, "" if step is None else f"{step:,}", width))
    why = _without_doubts(analysis, algorithm.reason)
    lines.append(f"{'algorithm':{width}}{algorithm.verdict}: {why}")
    for name, span in analysis.phases.as_dict().items():
        text = f"steps {span[0]:,} to {span[1]:,}" if span else ""
        lines.append(_line(analysis, f"phases.{name}", text, width))
    if analysis.forecast is not None:
        lines.append(f"{'forecast':{width}}{analysis.forecast.sentence}")
    lines += _event_lines(analysis, width)
    lines += _ablation_lines(analysis, width)
    for name, reason in analysis.failures.items():
        lines.append(f"{'left out':{width}}{name}: {reason}")
    return lines


def _event_lines(analysis: Analysis, width: int) -> list[str]:
    """The first events after the network generalized; of those before, how many there are."""
    from grokinterp.trajectory.event_words import condensed

    if not analysis.events:
        return [_line(analysis, "events", "", width)]
    grokked = analysis.milestones.grokking_step
    after = [event for event in analysis.events if grokked is None or event.step > grokked]
    n_before, told = len(analysis.events) - len(after), condensed(after)
    n_left = max(len(told) - MOST_EVENTS, 0)
    texts = [event.sentence for event in told[:MOST_EVENTS]]
    if n_left:
        texts.append(f"and {n_left} more (events.csv)")
    if n_before:
        also = " also" if after else ""
        texts.append(f"{n_before}{also} up to the grokking step (events.csv)")
    return [f"{label:{width}}{text}" for label, text in zip(_labels(texts), texts, strict=True)]


def _labels(texts: list[str]) -> list[str]:
    return ["events", *("" for _ in texts[1:])]


def _ablation_lines(analysis: Analysis, width: int) -> list[str]:
    """Losses and accuracy without each part of the logits; nothing if nothing was ablated."""
    from grokinterp.circuits.components import words_of_component

    sides = [on for on in ("all", "train", "test") if f"loss_{on}" in analysis.ablations]
    if not len(analysis.ablations):
        return []
    rows = [
        row
        for row in analysis.ablations.to_dict(orient="records")
        if row["intervention"] in ("none", "removed from logits")
    ]
    lines = [f"{'ablations':{width}}loss on {', '.join(sides)} pairs; accuracy on all"]
    whats = [
        f"{words_of_component(row['component'])} {row['intervention']}".removesuffix(" none")
        for row in rows
    ]
    longest = max([44, *map(len, whats)])
    for row, what in zip(rows, whats, strict=True):
        losses = "  ".join(_number(row[f"loss_{on}"]) for on in sides)
        lines.append(f"  {what:{longest}}{losses}   {row['accuracy_all']:7.2%}")
    return lines


def _line(analysis: Analysis, field: str, text: str, width: int) -> str:
    """One field: its text, or none and the reason that the analysis knows."""
    label = field.removeprefix("phases.").replace("_", " ")
    why = _without_doubts(analysis, analysis.why(field) or "unknown")
    return f"{label + ' ':{width}}{text or 'none: ' + why}"


def _without_doubts(analysis: Analysis, text: str) -> str:
    """A text without the doubts that it quotes: they are the first lines of the output."""
    doubts = " ".join(analysis.run.doubts).rstrip(".")
    return text.replace(f": {doubts}", "") if doubts else text


def _number(value: float) -> str:
    return f"{value:9.3g}" if math.isfinite(value) else f"{'-':>9}"
