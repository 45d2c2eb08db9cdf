"""From a result to a file: an analysis, several beside each other, a reproduction."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from grokinterp.comparison import Comparison, comparison_of
from grokinterp.errors import ConfigError
from grokinterp.experiments.reproduction import Reproduction
from grokinterp.fields import checked, shown
from grokinterp.report.comparison import render_comparison
from grokinterp.report.comparison_files import addresses_of
from grokinterp.report.experiment import render_experiment_report
from grokinterp.report.page import render_page
from grokinterp.report.sections import analysis_sections
from grokinterp.report.text import escape, show_value
from grokinterp.runs.atomic import make_folder, write_atomically
from grokinterp.trajectory.analysis import Analysis

Result = Analysis | Comparison | Reproduction


def write_report(result: Result | Sequence[Analysis], path: str | Path) -> Path:
    """Write a result as one HTML file that needs no network and no other file.

    The file appears whole or not at all: it is written beside its place and renamed. Folders
    that are missing are made.

    Parameters
    ----------
    result
        An analysis of a run of any outcome; several analyses in a list, or a comparison, which
        become the report that lays them over each other; or what :func:`grokinterp.reproduce`
        returned. What is missing is said with its reason.
    path
        File to write, such as ``ckpts/analysis/report.html``.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ConfigError
        If `result` is none of these.
    RunFolderError
        If the file cannot be written; an older report stays as it was.

    Notes
    -----
    :func:`grokinterp.write_comparison` writes the tables of a comparison as well.

    Examples
    --------
    >>> import grokinterp as gi
    >>> gi.write_report(analysis, "ckpts/analysis/report.html")
    PosixPath('ckpts/analysis/report.html')
    >>> gi.write_report(analyses, "together.html")
    PosixPath('together.html')
    """
    result = _readable(result)
    path = Path(checked("path", path, str | PathLike))
    make_folder(path.parent, "Choose one that can be written.")
    write_atomically(path, _render(result, path.parent).encode())
    return path


def write_experiment_report(result: Reproduction, path: str | Path) -> Path:
    """Write a reproduction as one HTML file, as :func:`write_report` does.

    The prediction and the criterion are quoted from where they were written down before the
    runs; every run is listed, those that never generalized as ``not by N steps``.

    Parameters
    ----------
    result
        Of :func:`grokinterp.reproduce`.
    path
        File to write. Folders that are missing are made.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    ConfigError
        If `result` is no reproduction.
    RunFolderError
        If the file cannot be written; an older report stays as it was.

    Examples
    --------
    >>> import grokinterp as gi
    >>> result = gi.reproduce("weight_decay", quick=True)  # takes minutes  # doctest: +SKIP
    >>> gi.write_experiment_report(result, "report.html")
    PosixPath('report.html')
    """
    checked("result", result, Reproduction, "Make it of a question: gi.reproduce(name).")
    return write_report(result, path)


def _readable(result: Result | Sequence[Analysis]) -> Result:
    """The result, a list of analyses as their comparison; refuses whatever has no report."""
    if isinstance(result, Analysis | Comparison | Reproduction):
        return result
    if isinstance(result, list | tuple):
        return comparison_of(result)
    raise ConfigError(
        f"result={shown(result)} is of the wrong type. It takes an Analysis, a list of them, a "
        "Comparison or a Reproduction. Make one: gi.analyze_run(run), gi.comparison_of(runs) or "
        "gi.reproduce(name)."
    )


def _render(result: Result, folder: Path) -> str:
    """HTML of a report that will lie in a folder."""
    if isinstance(result, Analysis):
        return render_report(result)
    if isinstance(result, Comparison):
        return render_comparison(result, addresses_of(result, folder))
    return render_experiment_report(result)


def render_report(analysis: Analysis) -> str:
    """Return the report of an analysis as an HTML document."""
    task = analysis.run.task.spec
    operation = analysis.run.task.operation
    group = f"mod {task.p}" if task.table is None else f"on {task.p} tokens"
    if task.operation == "group":
        group = escape(operation.words.removeprefix("multiplication "))
    if task.degree is not None:
        first = "b first, then a" if operation.group else "the rightmost first"
        group = f"({first}) in S<sub>{task.degree}</sub>"
    title = f"Grokking report: {task.in_words}"
    n_checkpoints = len(analysis.run.steps)
    checkpoints = "checkpoint" if n_checkpoints == 1 else "checkpoints"
    share = f"from {100 * task.train_fraction:.4g}% of the pairs"
    if not analysis.run.split.is_known:
        share = "from pairs that are not known"
    lead = (
        f'<p class="lead">Learning {operation.formula} {group} {share}; '
        f"{escape(analysis.run.spec.in_words)}; {show_value(n_checkpoints)} {checkpoints}; "
        f"last step {show_value(analysis.run.last_step)}.</p>"
    )
    return render_page(title, lead, analysis_sections(analysis))
