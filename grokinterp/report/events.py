"""What happened along the run, as a part of the report."""

from __future__ import annotations

from collections.abc import Sequence

from grokinterp.figures.spectrum import spectrum_of
from grokinterp.report.analysis_figures import figure_or_reason
from grokinterp.report.page import Section, paragraph
from grokinterp.report.text import escape, show_value, table
from grokinterp.trajectory.analysis import Analysis
from grokinterp.trajectory.event_words import condensed
from grokinterp.trajectory.events import Event

_MOST_ROWS = 40
"""Events that are listed; the rest are in the table on disk."""


def events_section(analysis: Analysis) -> Section:
    """Events after the network generalized, events before, and the power of every frequency."""
    plural = spectrum_of(analysis).plural
    blocks = _sentences(analysis)
    caption = (
        f"Share of the power of the logits that each of the {plural} holds, and the coefficient of "
        "its wave. Triangles mark births (up) and deaths (down), diamonds swaps, and vertical "
        "lines what happened to the network as a whole. Point at a mark to read its sentence."
    )
    blocks.append(figure_or_reason(analysis, "frequency-life", caption))
    return Section("events", "Events along the run", tuple(blocks))


def _sentences(analysis: Analysis) -> list[str]:
    if not analysis.events:
        note = f"There are no events. Reason: {escape(analysis.why('events'))}."
        return [paragraph(note, kind="note")]
    grokked = analysis.milestones.grokking_step
    if grokked is None:
        return _table(analysis.events, "What happened; the network did not generalize for long")
    after = [event for event in analysis.events if event.step > grokked]
    before = [event for event in analysis.events if event.step <= grokked]
    at = f"step {grokked:,}"
    blocks = _table(after, f"After the network generalized, at {at}")
    if not after:
        note = f"There is no event after the network generalized, at {at}."
        blocks = [paragraph(note, kind="note")]
    return [*blocks, *_table(before, f"Up to {at}")]


def _table(events: Sequence[Event], caption: str) -> list[str]:
    if not events:
        return []
    events = condensed(events)
    rows = [
        (show_value(event.step), escape(event.kind.replace("_", " ")), escape(event.sentence))
        for event in events[:_MOST_ROWS]
    ]
    shown = [table(("step", "event", "what happened"), rows, caption=caption)]
    if len(events) > _MOST_ROWS:
        note = f"The first {_MOST_ROWS} of {len(events):,}; events.csv has all."
        shown.append(paragraph(note, kind="note"))
    return shown
