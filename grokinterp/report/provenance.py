"""Where the numbers come from: what is missing and why, settings, versions, sources."""

from __future__ import annotations

from collections.abc import Mapping

from grokinterp.report.page import Section, paragraph
from grokinterp.report.text import escape, field_table, link_papers, table
from grokinterp.trajectory.analysis import Analysis


def provenance_sections(analysis: Analysis, absent: Mapping[Section, str]) -> list[Section]:
    """What could not be computed, configuration, versions, origin, citations.

    Parameters
    ----------
    analysis
        Of any run.
    absent
        Sections that this kind of network does not have, each with the reason.
    """
    return [
        Section("not-computed", "What could not be computed", _not_computed(analysis, absent)),
        Section("config", "Configuration", _config(analysis)),
        Section("environment", "Versions and machine", _environment(analysis)),
        Section("origin", "Origin", _origin(analysis)),
        Section("citations", "Citations", _citations(analysis.citations)),
    ]


def _not_computed(analysis: Analysis, absent: Mapping[Section, str]) -> tuple[str, ...]:
    blocks = []
    if absent:
        # Their ids stay, so that links to them lead to the reason.
        rows = [
            (f'<span id="{escape(section.name)}">{escape(section.title)}</span>', escape(why))
            for section, why in absent.items()
        ]
        blocks.append(table(("section", "reason"), rows, caption="Not in this report"))
    # That nothing was lost is no gap in what is known.
    reasons = {k: v for k, v in analysis.reasons.items() if k != "lost_step"}
    if reasons:
        rows = [(", ".join(names), escape(why)) for names, why in _grouped(reasons, analysis)]
        blocks.append(table(("field", "reason"), rows, caption="Fields without a value"))
    if analysis.failures:
        rows = [(f"<code>{escape(k)}</code>", escape(v)) for k, v in analysis.failures.items()]
        blocks.append(table(("checkpoint", "reason"), rows, caption="Checkpoints left out"))
    return tuple(blocks) or (paragraph("Everything that applies to this task was computed."),)


def _grouped(reasons: Mapping[str, str], analysis: Analysis) -> list[tuple[list[str], str]]:
    """Columns and tables that are absent for the same reason together, other fields alone."""
    of_parts = set(analysis.run.missing_parts.values())
    groups: dict[tuple[str, str], list[str]] = {}
    for name, reason in reasons.items():
        is_one_of_many = "." in name or reason in of_parts
        group = "" if is_one_of_many else name
        groups.setdefault((group, reason), []).append(f"<code>{escape(name)}</code>")
    return [(names, reason) for (_, reason), names in groups.items()]


def _config(analysis: Analysis) -> tuple[str, ...]:
    run = analysis.run
    if not run.is_imported:
        return (field_table(run.config.to_dict(), caption="Fields of config.json"),)
    note = (
        "The network was trained elsewhere. These fields were given, read off its weights or "
        "inferred, as the origin says. A dash means that a field is not known."
    )
    return (paragraph(note), field_table(run.config.to_dict(), caption="What is known"))


def _environment(analysis: Analysis) -> tuple[str, ...]:
    environment = dict(analysis.run.environment)
    if not environment:
        return (paragraph("The run has no record of its versions and machine."),)
    return (field_table(environment, caption="Recorded when the run was trained"),)


def _origin(analysis: Analysis) -> tuple[str, ...]:
    folder = analysis.run.folder
    where = f" Run folder: <code>{escape(folder)}</code>." if folder is not None else ""
    return (paragraph(f"{escape(analysis.run.origin.rstrip('.'))}.{where}"),)


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
