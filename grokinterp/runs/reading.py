"""Reading files that anyone may have written: bounded in size, and from where they seem to be."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

from grokinterp.errors import RunFolderError

MOST_JSON_BYTES = 16 * 2**20
"""Of a table of settings; a config.json has two thousand bytes, and fifty parents of it a
hundred thousand."""
MOST_TABLE_BYTES = 2**30
"""Of a CSV file or a cache; the curves of a million steps have a tenth of that."""


def read_bytes(path: Path, *, most: int, within: Path | None = None) -> bytes:
    """Read a whole file that has a size one can hold.

    Parameters
    ----------
    path
        The file.
    most
        Bytes that it may have.
    within
        Folder that it has to lie in once links are followed; None: anywhere.

    Raises
    ------
    RunFolderError
        If it is larger, no file (a pipe would be waited for), or a link leads out of the folder.
    OSError
        If it cannot be read.
    """
    size = require_file(path, within)
    if size > most:
        raise RunFolderError(
            f"{path} has {size:,} bytes, more than the {most:,} that such a file can "
            "have. Restore it from where it comes from."
        )
    return path.read_bytes()


def require_file(path: Path, within: Path | None = None) -> int:
    """Refuse a pipe or a device, which would be waited for, and a link out of a folder.

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    RunFolderError
        If it is no file, or lies outside of `within`.
    OSError
        If it cannot be looked at.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise RunFolderError(f"{path} is no file. Put the file itself in its place.")
    if within is not None:
        require_within(path, within)
    return found.st_size


def require_within(path: Path, folder: Path) -> None:
    """Refuse a path that links lead out of a folder, so that a folder is what it seems to be.

    Raises
    ------
    RunFolderError
        If it lies elsewhere.
    """
    try:
        place = path.resolve()
    except (OSError, RuntimeError):  # which of the two depends on the version of Python
        raise RunFolderError(
            f"{path} is a link that leads to itself. Put the file itself in its place."
        ) from None
    if not any(place.is_relative_to(home) for home in _homes_of(folder.resolve())):
        raise RunFolderError(
            f"{path} is a link that leads out of {folder}. Put the file itself in its place."
        )


def _homes_of(folder: Path) -> list[Path]:
    """Where the files of a folder may lie: in it, or where a cache of the Hub has them.

    A folder ``models--owner--name/snapshots/COMMIT`` there holds links to ``blobs`` beside
    ``snapshots``, and those may be links to the ``blobs`` that all repositories share.
    """
    above = [part for part in (folder, *folder.parents) if part.parent.name == "snapshots"]
    caches = [part.parent.parent for part in above]
    return [
        folder,
        *(
            place / "blobs"
            for cache in caches
            if cache.name.startswith("models--")
            for place in (cache, cache.parent)
        ),
    ]


def read_json_table(path: Path, *, within: Path | None = None) -> dict[str, Any]:
    """Read a JSON file that holds a table.

    Raises
    ------
    RunFolderError
        As :func:`read_bytes` does.
    OSError
        If it cannot be read.
    ValueError
        If it is not JSON in UTF-8, nested too deep, has a key twice, or holds something else.
    """
    content = read_bytes(path, most=MOST_JSON_BYTES, within=within)
    try:
        values = json.loads(content.decode("utf-8"), object_pairs_hook=_table)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if not isinstance(values, dict):
        raise ValueError("it holds no table")
    return values


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:40]!r} is in it twice")
    return table
