"""From an analysis to a file."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from grokinterp.fields import checked
from grokinterp.report.page import render_page
from grokinterp.report.sections import analysis_sections
from grokinterp.report.text import show_value
from grokinterp.runs.atomic import make_folder, write_atomically
from grokinterp.trajectory.analysis import Analysis


def write_report(analysis: Analysis, path: str | Path) -> Path:
    """Write an analysis as one HTML file that needs no network and no other file.

    The file appears whole or not at all: it is written beside its place and renamed. Folders
    that are missing are made.

    Parameters
    ----------
    analysis
        Of a run of any outcome; what is missing is said with its reason.
    path
        File to write, such as ``ckpts/analysis/report.html``.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    RunFolderError
        If the file cannot be written; an older report stays as it was.

    Examples
    --------
    >>> import grokinterp as gi
    >>> gi.write_report(analysis, "ckpts/analysis/report.html")
    PosixPath('ckpts/analysis/report.html')
    """
    checked("analysis", analysis, Analysis, "Make it of a run: gi.analyze_run(run).")
    path = Path(checked("path", path, str | PathLike))
    make_folder(path.parent, "Choose one that can be written.")
    write_atomically(path, render_report(analysis).encode())
    return path


def render_report(analysis: Analysis) -> str:
    """Return the report of an analysis as an HTML document."""
    task = analysis.run.task.spec
    operation = analysis.run.task.operation
    group = f"mod {task.p}"
    if task.degree is not None:
        first = "b first, then a" if operation.group else "the rightmost first"
        group = f"({first}) in S<sub>{task.degree}</sub>"
    title = f"Grokking report: {task.in_words}"
    n_checkpoints = analysis.summary.get("n_checkpoints", len(analysis.trajectory))
    checkpoints = "checkpoint" if n_checkpoints == 1 else "checkpoints"
    share = f"from {100 * task.train_fraction:.4g}% of the pairs"
    if not analysis.run.split.is_known:
        share = "from pairs that are not known"
    lead = (
        f'<p class="lead">Learning {operation.formula} {group} {share}; '
        f"{show_value(n_checkpoints)} {checkpoints}; "
        f"last step {show_value(analysis.run.last_step)}.</p>"
    )
    return render_page(title, lead, analysis_sections(analysis))
