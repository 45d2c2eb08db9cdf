"""Where the numbers come from: what is missing and why, settings, versions, sources."""

from __future__ import annotations

from collections.abc import Mapping

from grokinterp.report.page import Section, paragraph
from grokinterp.report.text import escape, field_table, link_papers, table
from grokinterp.trajectory.analysis import Analysis


def provenance_sections(analysis: Analysis) -> list[Section]:
    """What could not be computed, configuration, versions, origin, citations."""
    return [
        Section("not-computed", "What could not be computed", _not_computed(analysis)),
        Section("config", "Configuration", _config(analysis)),
        Section("environment", "Versions and machine", _environment(analysis)),
        Section("origin", "Origin", _origin(analysis)),
        Section("citations", "Citations", _citations(analysis.citations)),
    ]


def _not_computed(analysis: Analysis) -> tuple[str, ...]:
    blocks = []
    # That nothing was lost is no gap in what is known.
    reasons = {k: v for k, v in analysis.reasons.items() if k != "lost_step"}
    if reasons:
        rows = [(f"<code>{escape(k)}</code>", escape(v)) for k, v in reasons.items()]
        blocks.append(table(("field", "reason"), rows, caption="Fields without a value"))
    if analysis.failures:
        rows = [(f"<code>{escape(k)}</code>", escape(v)) for k, v in analysis.failures.items()]
        blocks.append(table(("checkpoint", "reason"), rows, caption="Checkpoints left out"))
    return tuple(blocks) or (paragraph("Everything that applies to this task was computed."),)


def _config(analysis: Analysis) -> tuple[str, ...]:
    run = analysis.run
    if not run.is_imported:
        return (field_table(run.config.to_dict(), caption="Fields of config.json"),)
    note = (
        "The network was trained elsewhere. What stands here was read off its weights or "
        "inferred, as the origin says; a dash stands for what is not known."
    )
    return (paragraph(note), field_table(run.config.to_dict(), caption="What is known"))


def _environment(analysis: Analysis) -> tuple[str, ...]:
    environment = dict(analysis.run.environment)
    if not environment:
        return (paragraph("The run came without a record of its versions and machine."),)
    return (field_table(environment, caption="Recorded when the run was trained"),)


def _origin(analysis: Analysis) -> tuple[str, ...]:
    folder = analysis.run.folder
    where = f" Run folder: <code>{escape(folder)}</code>." if folder is not None else ""
    return (paragraph(f"{escape(analysis.run.origin)}{where}"),)


def _citations(citations: Mapping[str, str]) -> tuple[str, ...]:
    """One entry per source, with what was taken from it."""
    uses: dict[str, list[str]] = {}
    for name, source in citations.items():
        uses.setdefault(source, []).append(name)
    entries = []
    for source, names in uses.items():
        codes = ", ".join(f"<code>{escape(name)}</code>" for name in names)
        entries.append(f"<li>{link_papers(source)} ({codes})</li>")
    return (f'<ul class="references">{"".join(entries)}</ul>',)
