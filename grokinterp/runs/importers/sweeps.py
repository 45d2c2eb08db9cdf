"""Folders whose files are runs of a sweep, one each, and not the steps of one run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from grokinterp.errors import CheckpointError, one_line
from grokinterp.runs.importers.foreign_files import ForeignPath
from grokinterp.runs.importers.step_names import differing_settings, settings_in_name

_MOST_VALUES = 4


def runs_in(path: Path) -> tuple[Path, ...]:
    """Return the files of a folder that are a run each; none if it is anything else.

    They are runs where numbers after words such as seed, wd, lr, frac or p differ in their
    names, and no two files have the same ones.
    """
    source = ForeignPath(path)
    if not source.is_folder or (path / "config.json").exists():
        return ()
    differing = differing_settings(source.files)
    if not differing:
        return ()
    settings = [tuple(sorted(settings_in_name(file).items())) for file in source.files]
    return source.files if len(set(settings)) == len(settings) else ()


def refuse_sweep(files: Sequence[Path], where: str) -> None:
    """Refuse files that belong to several runs, where the steps of one are asked for.

    Raises
    ------
    CheckpointError
        With the settings in which their names differ, and how runs are compared.
    """
    differing = differing_settings(files)
    if not differing:
        return
    settings = "; ".join(f"{one_line(word, 40)} {_shown(v)}" for word, v in differing.items())
    n = len({tuple(sorted(settings_in_name(file).items())) for file in files})
    remedy = "Compare them: gi.compare([FILE, ...]), or python -m grokinterp.analyze FILE FILE ..."
    if n < len(files):
        remedy = "Put the files of each run into a folder of its own, and compare the folders."
    raise CheckpointError(
        f"{where} holds {n} runs, not the steps of one: names of its files differ in {settings}. "
        f"{remedy}"
    )


def _shown(values: Sequence[str]) -> str:
    more = ", ..." if len(values) > _MOST_VALUES else ""
    return f"({', '.join(one_line(v, 20) for v in values[:_MOST_VALUES])}{more})"
