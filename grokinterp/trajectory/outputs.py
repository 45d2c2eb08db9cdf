"""An analysis on disk: tables as CSV, the summary as JSON."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from grokinterp.fields import checked
from grokinterp.runs.atomic import make_folder, remove_leftovers, write_atomically
from grokinterp.runs.store import write_json
from grokinterp.trajectory.analysis import Analysis
from grokinterp.trajectory.events import events_table


def write_tables(analysis: Analysis, folder: str | Path) -> list[Path]:
    """Write the tables of an analysis, measures.csv and others, and summary.json.

    A table without rows is not written.

    Numbers read back as the same floats; a value that is not known is an empty cell or null.

    Raises
    ------
    RunFolderError
        If the folder cannot be written.
    """
    checked("analysis", analysis, Analysis, "Make it of a run: gi.analyze_run(run).")
    folder = Path(checked("folder", folder, str | PathLike))
    make_folder(folder, "Choose one that can be written.")
    remove_leftovers(folder)
    tables = {
        "measures.csv": analysis.trajectory,
        "by_frequency.csv": analysis.by_frequency,
        "by_representation.csv": analysis.by_representation,
        "ablations.csv": analysis.ablations,
        "circuit.csv": analysis.circuit,
        "neurons.csv": analysis.neurons,
        "closed_form.csv": analysis.closed_form,
        "closed_form_terms.csv": analysis.closed_form_terms,
        "closed_form_curve.csv": analysis.closed_form_curve,
        "events.csv": events_table(analysis.events),
        "certificate.csv": analysis.certificate,
        "learning_coefficient.csv": analysis.learning_coefficient,
        "two_dimensional_modes.csv": analysis.mode_families,
        "two_dimensional_spectrum.csv": analysis.mode_spectrum,
    }
    written = []
    for name, table in tables.items():
        if len(table):
            write_atomically(folder / name, table_as_csv(table).encode())
            written.append(folder / name)
        else:
            # An earlier analysis with other settings may have left one; it would be stale.
            (folder / name).unlink(missing_ok=True)
    write_json(folder / "summary.json", _plain(analysis.summary))
    return [*written, folder / "summary.json"]


def table_as_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV text with floats that round-trip."""
    return table.to_csv(index=False, lineterminator="\n")


def _plain(values: Any) -> Any:
    # numpy scalars and the like become what JSON knows.
    return json.loads(json.dumps(values, default=lambda value: value.item()))
