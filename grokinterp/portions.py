"""How much of an array over all pairs is made at a time.

An array with an entry for every pair and every answer has n³ of them: 12 MB of float64 at
p = 113, 3 GB in S_6. Code that needs such an array only to sum over it makes it in portions whose
size is set here, in bytes. Up to p = 251 such an array is a single portion.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

WHOLE_BYTES = 128 * 2**20
"""Most bytes of an array that is a single portion. Pairs and answers of p = 251 fit in float64, so
that nothing changes for tasks of the usual sizes."""
PORTION_BYTES = 64 * 2**20
"""Most bytes of each of several portions. A step holds some four arrays of this size. Portions of
8 MiB, which glibc serves from its heap, take less time, but the process that made the losses of S_6
then peaked at 4.8 GiB and not at 2.3."""

CACHE_BYTES = 2**20
"""Most bytes of a buffer that is used again and again. Two threads have half of it each, which a
second-level cache holds. Memory that is asked for anew costs more than the arithmetic on it: with
such buffers the measures of p = 251 take a third of the time."""


def portions(n_rows: int, row_bytes: int) -> list[slice]:
    """Split rows into consecutive portions of :data:`PORTION_BYTES`, or one if all are small.

    Parameters
    ----------
    n_rows
        Rows in all.
    row_bytes
        Bytes of one row of the array that is made; a row larger than a portion is one alone.

    Examples
    --------
    >>> portions(5, 8), portions(5, PORTION_BYTES // 2)
    ([slice(0, 5, None)], [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)])
    """
    if fits(n_rows * row_bytes):
        return [slice(0, n_rows)]
    return _slices(n_rows, PORTION_BYTES // max(row_bytes, 1))


def cached_portions(n_rows: int, row_bytes: int) -> list[slice]:
    """Split rows into portions of which one after another goes through a buffer in the cache.

    The first is the largest.

    Examples
    --------
    >>> cached_portions(3, CACHE_BYTES // 2)
    [slice(0, 2, None), slice(2, 3, None)]
    """
    return _slices(n_rows, min(CACHE_BYTES, PORTION_BYTES) // max(row_bytes, 1))


def _slices(n_rows: int, at_a_time: int) -> list[slice]:
    at_a_time = max(at_a_time, 1)
    starts = range(0, n_rows, at_a_time)
    return [slice(start, min(start + at_a_time, n_rows)) for start in starts]


def fits(n_bytes: int) -> bool:
    """Whether an array of so many bytes is a single portion.

    Examples
    --------
    >>> fits(8 * 113**3), fits(8 * 720**3)
    (True, False)
    """
    return n_bytes <= WHOLE_BYTES


class Joined:
    """Consecutive portions of rows, written into one array as they come.

    Unlike a concatenation it never holds the rows twice.

    Examples
    --------
    >>> joined = Joined(5)
    >>> for part in torch.arange(5).split(2):
    ...     joined.add(part)
    >>> joined.rows.tolist()
    [0, 1, 2, 3, 4]
    """

    def __init__(self, n_rows: int) -> None:
        self._n_rows, self.n_added = n_rows, 0
        self._rows: Tensor | None = None

    def add(self, part: Tensor) -> None:
        """Append rows; a part with all of them is taken as it is."""
        if self._rows is None:
            is_whole = len(part) == self._n_rows
            self._rows = part if is_whole else part.new_empty(self._n_rows, *part.shape[1:])
        if self._rows is not part:
            self._rows[self.n_added : self.n_added + len(part)] = part
        self.n_added += len(part)

    @property
    def rows(self) -> Tensor:
        """All rows, once every part was added."""
        assert self._rows is not None and self.n_added == self._n_rows
        return self._rows


def joined(parts: Iterable[Tensor], n_rows: int) -> Tensor:
    """Join an iterable of portions, each of which is freed before the next is made."""
    whole = Joined(n_rows)
    for part in parts:
        whole.add(part)
    return whole.rows
