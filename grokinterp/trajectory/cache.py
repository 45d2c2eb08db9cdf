"""Numbers of earlier analyses, kept by what they depend on.

A number is used again only for the same weights (SHA-256), the same pairs and split, the same
version of the measure and, where it depends on them, the same key frequencies. So an analysis
costs what is new, and is never stale.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from grokinterp.errors import RunFolderError
from grokinterp.fields import checked, settled
from grokinterp.runs.atomic import append_durably, whole_lines
from grokinterp.runs.run import Run

log = logging.getLogger(__name__)


class NumberCache:
    """Values by (weights, measure and version, key frequencies), in a file of JSON lines."""

    def __init__(self, file: Path | None, context: str) -> None:
        self._file, self._context = file, context
        self._values: dict[tuple[str, str], Any] = {}
        self._new: dict[str, dict[str, Any]] = {}
        for line in _lines(file):
            try:
                entry = json.loads(line)
                if entry["context"] == context:
                    for key, values in entry["numbers"].items():
                        if _are_numbers(values):
                            self._values[entry["weights"], key] = values
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                # A line that is not ours costs a recomputation, nothing else.
                log.warning("a line of %s cannot be read; its numbers are computed again.", file)

    def find(self, weights: str, key: str) -> Any | None:
        """Return the values kept for these weights under this key, or None."""
        return self._values.get((weights, key))

    def keep(self, weights: str, key: str, values: Any) -> None:
        """Remember values; they reach the file at the next :meth:`save`."""
        self._values[weights, key] = values
        self._new.setdefault(weights, {})[key] = values

    def of_weights(self, weights: str) -> dict[str, Any]:
        """Everything that is known about some weights, by key."""
        return {key: values for (of, key), values in self._values.items() if of == weights}

    def save(self) -> None:
        """Append what is new to the file. A file that cannot be written is left alone."""
        if self._file is not None and self._new:
            lines = [
                json.dumps({"weights": weights, "context": self._context, "numbers": numbers})
                for weights, numbers in self._new.items()
            ]
            try:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._end_broken_line()
                append_durably(self._file, "\n".join(lines) + "\n")
            except (OSError, RunFolderError) as error:
                log.warning("the numbers could not be kept for the next analysis: %s", error)
        self._new = {}

    def _end_broken_line(self) -> None:
        # A killed process can leave half a line, which the next one must not continue.
        assert self._file is not None
        content = self._file.read_bytes() if self._file.exists() else b""
        if content and not content.endswith(b"\n"):
            append_durably(self._file, "\n")


def _lines(file: Path | None) -> list[str]:
    try:
        return whole_lines(file) if file else []
    except RunFolderError as error:
        log.warning("%s The numbers are computed again.", error)
        return []


def _are_numbers(values: Any) -> bool:
    """Whether values read from the file are numbers by column, or a table by column."""
    if not isinstance(values, dict) or not values:
        return False
    if all(isinstance(value, list) for value in values.values()):
        cells = [cell for column in values.values() for cell in column]
        return len({len(column) for column in values.values()}) <= 1 and all(
            cell is None or isinstance(cell, (int, float, str)) for cell in cells
        )
    return all(isinstance(value, (int, float)) for value in values.values())


def cache_file(run: Run, folder: str | Path | None) -> Path | None:
    """Where numbers are kept: with the run unless somebody says otherwise."""
    if folder is None:
        return None if run.folder is None else run.folder / "analysis" / "cache.jsonl"
    return Path(checked("cache_folder", folder, str | PathLike | None)) / "cache.jsonl"


def remembered_table(
    cache: NumberCache,
    weights: str,
    key: str,
    make: Callable[[], pd.DataFrame],
    needed: Iterable[str] = (),
    whole: Iterable[str] = (),
) -> pd.DataFrame:
    """Return a table of some weights that is known, or make it and remember it.

    Parameters
    ----------
    weights
        SHA-256 of the weights; empty where it is not known, and nothing is remembered.
    key
        See :func:`cache_key`.
    make
        Makes the table.
    needed
        Columns without which what is known is not used.
    whole
        Columns of whole numbers with empty cells, which JSON does not tell from others.
    """
    known = cache.find(weights, key) if weights else None
    if known is not None and set(needed) <= set(known):
        table = pd.DataFrame(known)
        unknown = {str(c): "float64" for c in table if bool(table[c].isna().all())}
        return table.astype(unknown | {c: "Int64" for c in whole if c in table})
    table = make()
    if weights:
        cells = table.astype(object).where(table.notna(), None)
        cache.keep(weights, key, cells.to_dict(orient="list"))
    return table


def cache_context(run: Run) -> str:
    """Digest of what numbers depend on besides weights: task, network and split."""
    digest = hashlib.sha256()
    table = settled(run.config)
    if run.is_imported:
        # What is not known stands for nothing, so it must not distinguish two runs.
        known = run.config.to_dict()
        table = {part: {k: known[part][k] for k in table[part]} for part in ("task", "model")}
    for part in ("task", "model"):
        digest.update(json.dumps(table[part], sort_keys=True).encode())
    digest.update(run.split.train.tobytes())
    return digest.hexdigest()[:16]


def cache_key(name: str, version: int, key_frequencies: tuple[int, ...] | None) -> str:
    """Name, version and (where they matter) key frequencies of a measure.

    Examples
    --------
    >>> cache_key("restricted_loss", 2, (9, 38))
    'restricted_loss@2:9,38'
    """
    keys = "" if key_frequencies is None else ":" + ",".join(map(str, key_frequencies))
    return f"{name}@{version}{keys}"


def as_plain(values: Mapping[str, Any]) -> dict[str, float]:
    """Return values as Python floats, which JSON keeps exactly."""
    return {name: float(value) for name, value in values.items()}
