"""A comparison on disk: its report, its tables, its summary."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from grokinterp.comparison import Comparison, comparison_of, setting_table
from grokinterp.errors import ConfigError
from grokinterp.fields import shown
from grokinterp.report.comparison import render_comparison
from grokinterp.report.text import is_missing
from grokinterp.runs.atomic import make_folder, write_atomically
from grokinterp.runs.run import Run
from grokinterp.runs.store import write_json
from grokinterp.trajectory.analysis import Analysis
from grokinterp.trajectory.outputs import table_as_csv

KIND = "comparison"
"""Field ``kind`` of the summary.json of a comparison, which tells its folder from others."""
# A single run gets an error of its own from `comparison_of`.
_RUNS = (Comparison, Iterable, Analysis, Run, Path)


def write_comparison(
    runs: Sequence[Analysis | Run | str | Path] | Comparison,
    folder: str | Path,
    by: str | Sequence[str] | None = None,
    *,
    reports: Sequence[Path | None] | None = None,
    failures: Mapping[str, str] | None = None,
) -> Path:
    """Write runs side by side: report.html, compare.csv, settings.csv and summary.json.

    Parameters
    ----------
    runs
        As :func:`grokinterp.compare` takes them, or a comparison that was made of them.
    folder
        Where the files go; made if it is missing.
    by
        Config fields that make a setting; None: all that differ but seeds and lengths.
    reports
        The report of each run, in their order, to link to. None: ``analysis/report.html`` in
        the run's folder, where there is one.
    failures
        Runs that could not be analyzed, by name, and why.

    Returns
    -------
    pathlib.Path
        The report: one file that needs no network. Its links to the runs' own reports are
        relative and hold as long as the folders stay where they are to each other.

    Raises
    ------
    RunFolderError
        If the folder cannot be written.
    GrokinterpError
        As :func:`grokinterp.compare` does.

    Examples
    --------
    >>> import grokinterp as gi
    >>> gi.write_comparison(["runs/wd0.5", "runs/wd1"], "runs/comparison")
    PosixPath('runs/comparison/report.html')
    """
    if isinstance(runs, pd.DataFrame) or not isinstance(runs, _RUNS):
        raise ConfigError(
            f"runs={shown(runs)} is of the wrong type. It takes a list of analyses, runs or paths "
            "of run folders, or a Comparison; a table of gi.compare has no curves."
        )
    compared, folder = comparison_of(runs, by), Path(folder)
    addresses = addresses_of(compared, folder, reports)
    make_folder(folder, "Choose one that can be written.")
    settings = setting_table(compared)
    html = render_comparison(compared, addresses, failures)
    write_atomically(folder / "report.html", html.encode())
    for name, frame in (("compare.csv", compared.table), ("settings.csv", settings)):
        write_atomically(folder / name, table_as_csv(_flat_cells(frame)).encode())
    write_json(folder / "summary.json", _summary(compared, settings, addresses, failures))
    return folder / "report.html"


def is_comparison(folder: Path) -> bool:
    """Whether a folder was written by :func:`write_comparison`, and so is no run."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        return isinstance(summary, dict) and summary.get("kind") == KIND
    except (OSError, ValueError):
        return False


def addresses_of(
    compared: Comparison, folder: Path, reports: Sequence[Path | None] | None = None
) -> list[str | None]:
    """Address of each run's own report, seen from the folder of a comparison.

    Raises
    ------
    ConfigError
        If there is not one report for each run.
    """
    links = _own_reports(compared) if reports is None else list(reports)
    if len(links) != len(compared.analyses):
        raise ConfigError(
            f"{len(links)} reports for {len(compared.analyses)} runs. Give one for each, or None."
        )
    return [None if link is None else _address(link, folder) for link in links]


def _own_reports(compared: Comparison) -> list[Path | None]:
    folders = [analysis.run.folder for analysis in compared.analyses]
    reports = [None if f is None else f / "analysis" / "report.html" for f in folders]
    return [r if r is not None and r.exists() else None for r in reports]


def _address(report: Path, folder: Path) -> str:
    try:
        relative = os.path.relpath(report.resolve(), folder.resolve())
    except ValueError:  # another drive of Windows
        return report.resolve().as_uri()
    return quote(Path(relative).as_posix())


def _flat_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Tuples as text, for CSV."""

    def show(value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, tuple) else value

    objects = [name for name in frame.columns if frame[name].dtype == object]
    return frame.assign(**{name: [show(v) for v in frame[name]] for name in objects})


def _summary(
    compared: Comparison,
    settings: pd.DataFrame,
    addresses: Sequence[str | None],
    failures: Mapping[str, str] | None,
) -> dict[str, Any]:
    rows = _plain_rows(compared.table)
    for row, analysis, address in zip(rows, compared.analyses, addresses, strict=True):
        row["outcome"] = analysis.outcome
        row["report"] = address
    return {
        "kind": KIND,
        "n_runs": len(rows),
        "n_generalized": compared.n_generalized,
        "n_censored": compared.n_censored,
        "differing_fields": list(compared.settings.fields),
        "setting_fields": list(compared.settings.of_setting),
        "runs": rows,
        "settings": _plain_rows(settings),
        "failures": dict(failures or {}),
    }


def _plain_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of plain values, None where there is none."""
    return [
        {str(name): _plain(value) for name, value in row.items()}
        for row in frame.to_dict(orient="records")
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    if is_missing(value):
        return None
    return value.item() if hasattr(value, "item") else value
