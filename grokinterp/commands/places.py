"""Where the runs of a command lie, on this machine or on the Hub, and where its files go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from grokinterp.errors import ConfigError, RunFolderError

Place = Path | str
"""A path, or an address of the Hugging Face Hub."""


def place_of(word: str) -> Place:
    """Return the place that a word of the command line names.

    Examples
    --------
    >>> place_of("hf://owner/name"), place_of("runs/one").name
    ('hf://owner/name', 'one')
    """
    return word if word.startswith("hf:/") else Path(word)


def local_path(place: Place) -> Path:
    """Where files that are made of a place go by default: for the Hub, the current folder."""
    if isinstance(place, Path):
        return place
    from grokinterp.runs.hub import Address

    return Path(Address.of(place).name)


def downloaded(place: Place) -> Path:
    """Return the path of a place, fetched first where it is on the Hub."""
    if isinstance(place, Path):
        return place
    from grokinterp.runs.hub import fetch

    return fetch(place).path


def without_comparisons(paths: tuple[Place, ...]) -> list[Place]:
    """Pass over the folders of earlier comparisons, which ``runs/*/`` finds among the runs."""
    if len(paths) == 1:
        return list(paths)
    kept = [path for path in paths if isinstance(path, str) or not _is_comparison(path)]
    return kept or list(paths)


def with_files_of_sweeps(places: list[Place]) -> list[Place]:
    """Put the files of a folder that are a run each in its place."""
    from grokinterp.runs.importers.sweeps import runs_in

    found: list[Place] = []
    for place in places:
        found += (runs_in(place) if isinstance(place, Path) else ()) or (place,)
    return found


def _is_comparison(folder: Path) -> bool:
    if (folder / "config.json").exists() or not (folder / "compare.csv").exists():
        return False
    from grokinterp.report.comparison_files import is_comparison

    return is_comparison(folder)


def folder_of_all(paths: Sequence[Place]) -> Path:
    """Return the innermost folder that holds all runs; relative where that is shorter."""
    try:
        common = os.path.commonpath([local_path(path).resolve().parent for path in paths])
        return min(Path(common), Path(os.path.relpath(common)), key=lambda path: len(str(path)))
    except ValueError:
        raise ConfigError(
            "the runs lie on several drives. Name the folder of the comparison with --out."
        ) from None


def refuse_same_places(paths: list[Place], together: Path) -> None:
    """Refuse runs that are named twice, or whose files would be written over each other's."""
    places: dict[Place, Place] = {}
    for path in paths:
        place = path if isinstance(path, str) else path.resolve()
        if place in places:
            raise ConfigError(f"{path} is named twice. Name each run once.")
        places[place] = path
    taken: dict[Path, Place] = {}
    for path in paths:
        out = default_out(path).resolve()
        if out in taken:
            raise ConfigError(
                f"{taken[out]} and {path} would both be written to {default_out(path)}. Analyze "
                "them one by one with --out, or rename one."
            )
        taken[out] = path
    for place in (*places, *taken):
        if place == together.resolve():
            raise RunFolderError(
                f"{together} is the place of a run, not of a comparison. Name another folder with "
                "--out."
            )


def default_out(path: Place) -> Path:
    """Where report and tables of a run go unless --out says otherwise."""
    if isinstance(path, str):
        return Path(f"{local_path(path)}_analysis")
    return Path(f"{path.stem}_analysis") if path.is_file() else path / "analysis"


def require_writable(folder: Path) -> None:
    """Find out before the analysis, not after it."""
    probe = folder / ".writing-probe"
    try:
        made = [part for part in (folder, *folder.parents) if not part.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        # An analysis that is refused after this leaves nothing behind.
        for part in made:
            part.rmdir()
    except OSError as error:
        raise RunFolderError(
            f"cannot write {folder}: {error.strerror}. Name another folder with --out."
        ) from None
