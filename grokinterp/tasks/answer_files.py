"""Tables of answers in files: only numbers are read, and no code in a file is executed."""

from __future__ import annotations

import csv
import json
import math
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from grokinterp.errors import ConfigError
from grokinterp.fields import shown

MOST_BYTES = 2**28
"""Of a file: twice what the largest table has as int64."""
_NO_ANSWER = {"", "nan", "na", "none", "null"}
"""Cells of a text file for a pair that is not defined."""


def read_answers(path: Path, where: str = "labels") -> Any:
    """Return what a file holds, by its ending: an array, or rows of numbers with None for holes.

    ``.npy``; ``.csv``, ``.tsv`` and ``.txt`` with commas, semicolons, tabs or spaces; ``.json``, a
    list of rows; ``.safetensors`` with one tensor. Lines of text that begin with ``#`` are
    ignored.

    Parameters
    ----------
    path
        The file.
    where
        Name of the argument that names it, for error messages.

    Raises
    ------
    ConfigError
        With the file and what is wrong with it.
    """
    where = f"{where}={str(path)!r}"
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise ConfigError(
            f"{where} has an unknown ending. Use {', '.join(_READERS)}, or in Python an array."
        )
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{where} is not a file. Give the path of the file with the table.")
        if found.st_size > MOST_BYTES:
            raise ConfigError(
                f"{where} has {found.st_size:,} bytes, more than the {MOST_BYTES:,} that a table "
                "can have."
            )
        return read(path)
    except FileNotFoundError:
        raise ConfigError(f"{where} does not exist. Check the path.") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{where} cannot be read: {reason}. Check the path.") from None
    except (ValueError, csv.Error, SafetensorError, RecursionError, KeyError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        reason = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise ConfigError(f"{where} holds no table of answers: {reason.rstrip('.')}.") from None


def _from_npy(path: Path) -> np.ndarray:
    try:
        # Mapped, so that a header that promises more than the file has is refused, as objects are.
        return np.array(np.lib.format.open_memmap(path, mode="r"))
    except OSError:
        raise
    except Exception as error:  # the header is a literal of Python, and numpy's parser raises all
        raise ValueError(str(error)) from None


def _from_safetensors(path: Path) -> np.ndarray:
    tensors = load(path.read_bytes())
    if len(tensors) != 1:
        raise ValueError(f"it has {len(tensors)} tensors, not one")
    return next(iter(tensors.values()))


def _from_json(path: Path) -> list[Any]:
    rows = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(rows, list):
        raise ValueError("it is no list of rows")
    return rows


def _from_text(path: Path) -> list[list[float]]:
    text = path.read_text(encoding="utf-8-sig")
    delimiter = next((sign for sign in ",;\t" if sign in text), None)
    numbered = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip(" ") and not line.startswith("#")
    ]
    lines = [line for _, line in numbered]
    rows = [*csv.reader(lines, delimiter=delimiter)] if delimiter else [s.split() for s in lines]
    table = [_numbers(row, number) for (number, _), row in zip(numbered, rows, strict=True)]
    if rows and rows[0] and rows[0][0].strip() == "":
        _refuse_numbered_margins(table)
    return table


def _numbers(row: list[str], line: int) -> list[float]:
    numbers = []
    for cell in (cell.strip() for cell in row):
        try:
            numbers.append(math.nan if cell.lower() in _NO_ANSWER else float(cell))
        except ValueError:
            raise ValueError(f"line {line} has {shown(cell)}, which is no number") from None
    return numbers


def _refuse_numbered_margins(table: list[list[float]]) -> None:
    """Refuse the names of rows and columns that pandas writes, which would be read as answers."""
    margin = list(range(len(table) - 1))
    if table[0][1:] == margin and [row[0] for row in table[1:]] == margin:
        raise ValueError(
            "its first row and column number the others. Write it without them (in pandas: "
            "header=False, index=False)"
        )


_READERS: dict[str, Callable[[Path], Any]] = {
    ".npy": _from_npy,
    ".csv": _from_text,
    ".tsv": _from_text,
    ".txt": _from_text,
    ".json": _from_json,
    ".safetensors": _from_safetensors,
}
