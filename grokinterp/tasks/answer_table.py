"""Any table of answers as a task, checked once and named by its contents."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.fields import plain_number, shown
from grokinterp.tasks.answer_files import read_answers
from grokinterp.tasks.examples import frozen
from grokinterp.tasks.operations import Operation

LARGEST_P = 4096
"""Most tokens of any task: 17 million pairs, half a gigabyte of tokens."""
MOST_ANSWERS = 2**16
"""Most answers of a table."""
DIGEST = "sha256:"
"""Prefix of the name of a table."""
HOLE = -1
"""Entry of a pair that is not defined."""


class AnswerTable:
    """An (n, n) table: entry [a, b] is the answer to the pair (a, b), -1 if there is none.

    Two tables are equal if their entries are. ``str(table)`` is the name of a table, the SHA-256
    of its entries as little-endian int64, row by row; config.json holds this name. A table is
    immutable, and pickles contain its entries.

    Parameters
    ----------
    entries
        (n, n) non-negative integers, as an array, a tensor, a data frame or nested lists; -1,
        None or NaN if the pair is not defined.
    where
        What error messages call it.

    Raises
    ------
    ConfigError
        If it is not square, has other entries, or has fewer than two answers.

    Examples
    --------
    >>> table = AnswerTable([[0, 1, 2], [1, 2, None], [2, None, 1]])
    >>> table.n_tokens, table.n_pairs, table.largest, table.is_commutative
    (3, 7, 2, True)
    >>> str(table)
    'sha256:...'
    """

    def __init__(self, entries: Any, where: str = "labels") -> None:
        self.entries = frozen(_checked_entries(entries, where))
        """(n, n) int32, read-only."""
        little_endian = self.entries.astype("<i8").tobytes()
        self.sha256 = hashlib.sha256(little_endian).hexdigest()
        """64 hexadecimal digits."""
        _IN_USE[str(self)] = self

    @classmethod
    def of(cls, given: Any, where: str = "labels") -> AnswerTable:
        """Return the table that a path, a name or an array denotes.

        A name, ``sha256:...``, finds a table that a spec in this process holds.

        Raises
        ------
        ConfigError
            If there is none, or it is not a table of answers.

        Examples
        --------
        >>> table = AnswerTable.of([[0, 1], [1, 0]])
        >>> AnswerTable.of(str(table)) is table
        True
        """
        if isinstance(given, AnswerTable):
            return given
        if isinstance(given, str) and given.startswith(DIGEST):
            known = _IN_USE.get(given)
            if known is None:
                raise ConfigError(
                    f"{where}={shown_name(given)} is the name of a table that is not loaded. It is "
                    "in labels.safetensors beside config.json: load that folder with "
                    "gi.load_run, or give the table itself."
                )
            return known
        if isinstance(given, str | PathLike):
            path = Path(given)
            return cls(read_answers(path, where), f"{where}={str(path)!r}")
        return cls(given, where)

    @property
    def n_tokens(self) -> int:
        """n, the number of operands."""
        return len(self.entries)

    @property
    def n_pairs(self) -> int:
        """Number of pairs that have an answer."""
        return int((self.entries != HOLE).sum())

    @property
    def largest(self) -> int:
        """The largest answer."""
        return int(self.entries.max())

    @property
    def in_words(self) -> str:
        """``a table of 23 x 23 answers (3f2a…)``."""
        n = self.n_tokens
        return f"a table of {n} x {n} answers ({self.sha256[:4]}…)"

    @cached_property
    def is_commutative(self) -> bool:
        """Whether a pair and its mirror image have the same answer if both have one.

        False if no pair of two different tokens and its mirror image both have one.
        """
        upper = np.triu(np.ones(self.entries.shape, dtype=bool), 1)
        both = upper & (self.entries != HOLE) & (self.entries.T != HOLE)
        return bool(both.any() and (self.entries == self.entries.T)[both].all())

    @cached_property
    def operation(self) -> Operation:
        """The table as an operation."""
        return Operation(
            "table",
            "⋆",
            "entry (a, b) of a table of answers",
            "a table of answers",
            self.is_commutative,
            lambda a, b, p: self.entries[a, b].astype(np.int64),
        )

    def __str__(self) -> str:
        return DIGEST + self.sha256

    def __repr__(self) -> str:
        return f"<{self.in_words}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AnswerTable) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __reduce__(self) -> tuple[type[AnswerTable], tuple[np.ndarray]]:
        return AnswerTable, (self.entries,)

    def __copy__(self) -> AnswerTable:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> AnswerTable:
        return self


_IN_USE: WeakValueDictionary[str, AnswerTable] = WeakValueDictionary()
"""Tables by name, as long as some spec holds them: from_dict() reads what to_dict() wrote."""


def shown_name(name: Any) -> str:
    """Return the whole name of a table; of what is no name as much as a message shows."""
    is_whole = isinstance(name, str) and len(name) == len(DIGEST) + 64
    return name if is_whole else shown(name)


def _checked_entries(given: Any, where: str) -> np.ndarray:
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | dict):
        raise ConfigError(
            f"{where}={shown(given)} is not a table. Give a path or an array of shape (n, n)."
        )
    array = _as_array(given, where)
    _check_shape(array.shape, where)
    if array.dtype == object:
        array = _without_none(array, where)
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), HOLE, array)
    elif array.dtype.kind not in "iu":
        raise ConfigError(f"{where} has entries of type {array.dtype}. Answers are whole numbers.")
    _check_values(array, where)
    return np.ascontiguousarray(array, dtype=np.int32)


def _as_array(given: Any, where: str) -> np.ndarray:
    try:
        if hasattr(given, "detach"):  # a tensor, without importing torch
            given = given.detach().cpu().numpy()
        if isinstance(given, np.ma.MaskedArray):
            given = np.ma.filled(given.astype(float), np.nan)
        return np.asarray(given)
    except (ValueError, TypeError, RuntimeError) as error:
        is_ragged = "inhomogeneous" in str(error)
        reason = "its rows are not equally long" if is_ragged else str(error).splitlines()[0]
        raise ConfigError(f"{where} cannot be read as a table: {reason.rstrip('.')}.") from None


def _check_shape(shape: tuple[int, ...], where: str) -> None:
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ConfigError(
            f"{where} has shape {shape}. A table of answers is square, (n, n), with a row for "
            "every a and a column for every b; -1 stands for no answer."
        )
    if not 2 <= shape[0] <= LARGEST_P:
        raise ConfigError(f"{where} has {shape[0]:,} rows. A table has 2 to {LARGEST_P:,}.")


def _without_none(array: np.ndarray, where: str) -> np.ndarray:
    """Numbers of an array of objects, as lists with None and data frames become."""
    numbers = np.empty(array.shape)
    for place, cell in np.ndenumerate(array):
        # plain_number() makes None of infinity as well, which is no hole.
        is_infinite = isinstance(cell, float) and math.isinf(cell)
        value = cell if is_infinite else plain_number(cell)
        if isinstance(value, bool | str) or not isinstance(value, int | float | None):
            raise ConfigError(
                f"{where} has {shown(cell)} at {list(place)}. Answers are whole numbers."
            )
        numbers[place] = HOLE if value is None else value
    return numbers


def _check_values(array: np.ndarray, where: str) -> None:
    bad = (array < HOLE) | (array >= MOST_ANSWERS) | (array != np.floor(array))
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ConfigError(
            f"{where} has {array[place]:g} at {list(place)}. Answers are whole numbers from 0 to "
            f"{MOST_ANSWERS - 1:,}; -1 stands for no answer."
        )
    answers = array[array != HOLE]
    if not answers.size or answers.min() == answers.max():
        raise ConfigError(
            f"{where} has {'a single' if answers.size else 'no'} answer. There is nothing to "
            "learn: give a table with two answers or more."
        )
