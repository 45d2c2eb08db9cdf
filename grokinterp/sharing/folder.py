"""From an analysis to a folder that can be uploaded, and loaded again."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from os import PathLike
from pathlib import Path
from typing import Literal

from grokinterp.errors import ConfigError, RunFolderError
from grokinterp.fields import checked, shown
from grokinterp.report import write_report
from grokinterp.runs.atomic import TEMPORARY_PREFIX, is_there, make_folder, write_atomically
from grokinterp.runs.exported import is_export, listed_files, write_list, write_run
from grokinterp.sharing.card import model_card
from grokinterp.trajectory import Analysis, write_tables

_LICENSE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,60}")
_CHOOSE = "Choose an empty or new folder, or one that gi.export wrote."


def export(
    analysis: Analysis,
    folder: str | Path,
    *,
    checkpoints: Literal["last", "all"] = "last",
    report: bool = False,
    license: str | None = None,
) -> Path:
    """Write what one uploads to the Hugging Face Hub: weights, tables and a model card.

    ``gi.load_run(folder)`` reads it back, with the same logits, checksums, split and curves, and
    so does ``gi.load_run("hf://owner/name")`` after ``hf upload owner/name folder``.

    Parameters
    ----------
    analysis
        Of a run of any origin. Modules of other people are written with their own names of
        parameters, and logits alone without weights; README.md says so, and they are not read
        back.
    folder
        New, empty, or written by an earlier export, which is replaced; files of your own in it
        stay.
    checkpoints
        ``last``: only the weights of the last checkpoint, ``model.safetensors``. ``all``: the
        others beside it, so that the whole trajectory can be analyzed again.
    report
        Whether report.html is written too (one to ten megabytes).
    license
        For the card, such as ``mit``: an identifier of the Hub. None: that of the README.md that
        is replaced, or none, with a line that asks for it.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    RunFolderError
        If the folder holds something else, or cannot be written. Then it stays as it was.
    ConfigError
        If an argument is not allowed.

    Examples
    --------
    >>> import grokinterp as gi
    >>> folder = gi.export(analysis, "mod13", license="mit")
    >>> sorted(path.name for path in folder.iterdir())[:4]
    ['README.md', 'ablations.csv', 'by_frequency.csv', 'certificate.csv']
    >>> gi.load_run("mod13").split.train.tolist() == run.split.train.tolist()
    True
    """
    checked("analysis", analysis, Analysis, "Make it of a run: gi.analyze_run(run).")
    checked("checkpoints", checkpoints, Literal["last", "all"])
    checked("report", report, bool)
    folder = Path(checked("folder", folder, str | PathLike))
    require_place(folder)
    license = _checked_license(license) or _license_of(folder / "README.md")
    make_folder(folder.parent, "Choose one that can be written.")
    try:
        made = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=folder.parent))
    except OSError as error:
        raise RunFolderError(f"cannot write {folder}: {error.strerror}. {_CHOOSE}") from None
    try:
        run = analysis.run
        last = run.resolve_step(None)
        steps = [step for step in run.steps if step <= last] if checkpoints == "all" else [last]
        write_run(run, made, steps)
        write_tables(analysis, made)
        if report:
            write_report(analysis, made / "report.html")
        write_atomically(made / "README.md", model_card(analysis, made, license).encode())
        write_list(made)
        _put(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def require_place(folder: Path) -> None:
    """Refuse a folder that holds something else than an export.

    Raises
    ------
    RunFolderError
        With what it is.
    """
    if not is_there(folder):
        return
    if not folder.is_dir():
        raise RunFolderError(f"{folder} is a file. {_CHOOSE}")
    if any(folder.iterdir()) and not is_export(folder):
        raise RunFolderError(f"{folder} is not empty and holds no export. {_CHOOSE}")


def _checked_license(license: str | None) -> str | None:
    if checked("license", license, str | None) is None or _LICENSE.fullmatch(str(license)):
        return license
    raise ConfigError(
        f"license={shown(license)} is not allowed. Use an identifier of the Hub, such as mit or "
        "cc-by-4.0."
    )


def _license_of(card: Path) -> str | None:
    """License in the front matter of an earlier card, which its user may have set."""
    try:
        text = card.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    head = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    found = re.search(r"^license: *([^\s#]+)", head.group(1), re.MULTILINE) if head else None
    name = found.group(1).strip("\"'") if found else ""
    return name if _LICENSE.fullmatch(name) else None


def _put(made: Path, folder: Path) -> None:
    """Put finished files in their place, config.json last; remove those of an earlier export."""
    try:
        folder.mkdir(exist_ok=True)
        earlier = listed_files(folder)
        files = [path.relative_to(made) for path in made.rglob("*") if path.is_file()]
        _refuse_folders_in_the_way(folder, files)
        for file in sorted(files, key=lambda file: file.name == "config.json"):
            (folder / file).parent.mkdir(exist_ok=True)
            os.replace(made / file, folder / file)  # noqa: PTH105
        for path in earlier:
            if path.relative_to(folder) not in files and path.is_file():
                path.unlink()
    except OSError as error:
        raise RunFolderError(
            f"cannot write {folder}: {error.strerror}. Export into another folder."
        ) from None


def _refuse_folders_in_the_way(folder: Path, files: list[Path]) -> None:
    """Refuse before anything is replaced, so that an earlier export stays whole."""
    for file in files:
        place, home = folder / file, (folder / file).parent
        if place.is_dir() or (is_there(home) and not home.is_dir()):
            what = place if place.is_dir() else home
            raise RunFolderError(f"{what} is in the way of an exported file. {_CHOOSE}")
