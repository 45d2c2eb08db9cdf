"""The circuit that one can change, as a part of the report."""

from __future__ import annotations

from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.explorer import explorer_block
from grokinterp.report.page import Section, paragraph
from grokinterp.report.text import escape
from grokinterp.trajectory.analysis import Analysis


def explorer_section(analysis: Analysis) -> Section:
    """The explorer, or why there is none."""
    title = "The circuit, to try out"
    try:
        block = explorer_block(analysis)
    except (CheckpointError, ConfigError) as error:
        return Section("explorer", title, (paragraph(_sentence(error), kind="note"),))
    waves = "character" if analysis.key_frequencies.names else "clock hands and wave"
    lead = (
        "The browser runs the last checkpoint. Choose a and b, or click a cell of the table of "
        f"pairs. Each row shows the {waves} of one component, and the last row their sum, which is "
        "largest at the answer. Switch components off or scale them, and accuracy and loss change "
        'at once. They are the numbers of the table of <a href="#ablations">ablations</a> for the '
        "same change."
    )
    return Section("explorer", title, (paragraph(lead), block))


def _sentence(error: Exception) -> str:
    text = str(error)
    return escape(text[:1].upper() + text[1:])
