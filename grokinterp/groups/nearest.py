"""The table of a group that a table with some wrong answers was meant to be."""

from __future__ import annotations

import numpy as np

from grokinterp.groups.cayley import is_latin_square, table_as_group
from grokinterp.groups.finite_group import inverses

N_REFERENCES = 24
"""Rows that every other row is compared with: votes for each entry of the group's table."""


def nearest_group_table(entries: np.ndarray, *, seed: int = 0) -> np.ndarray | None:
    r"""Return the table that a table of answers becomes once a few wrong answers are mended.

    In a table :math:`T[a, b] = r(a)\, c(b)` of a group the map from row a' to row a is
    multiplication by :math:`r(a)\, r(a')^{-1}`. Each such map is seen in as many pairs of rows
    as there are elements. So the maps are found by majority, and then r and c as well.

    Parameters
    ----------
    entries
        (n, n) answers 0 .. n-1.
    seed
        Of the choice of the rows that the others are compared with.

    Returns
    -------
    ndarray or None
        (n, n) int64: rows, columns and answers can be renamed so that it is a group's table. None
        if majorities make none; whether it agrees with `entries` is for the caller to judge.

    Examples
    --------
    >>> a, b = np.indices((7, 7))
    >>> damaged = (a + 3 * b) % 7
    >>> damaged[2, 4] = 0
    >>> bool((nearest_group_table(damaged) == (a + 3 * b) % 7).all())
    True
    >>> nearest_group_table(a * b % 7) is None
    True
    """
    n = len(entries)
    chosen = np.random.default_rng(seed).permutation(n)[:N_REFERENCES]
    products = _products_by_majority(np.asarray(entries, dtype=np.int64), chosen)
    if products is None or not is_latin_square(products) or table_as_group(products) is None:
        return None
    inverse = inverses(products)
    columns = entries[chosen[0]]
    rows = _distinct_by_majority(products[entries, inverse[columns]].T)
    columns = _distinct_by_majority(products[inverse[rows][:, None], entries])
    return products[rows[:, None], columns]


def _products_by_majority(entries: np.ndarray, chosen: np.ndarray) -> np.ndarray | None:
    """Products of answers, answer 0 being the identity; None if a product has no votes."""
    n = len(entries)
    column_of = np.full((len(chosen), n), -1, dtype=np.int64)
    column_of[np.arange(len(chosen))[:, None], entries[chosen]] = np.arange(n)
    # maps[a, i, s]: what stands in row a where the chosen row i has s.
    maps = np.where(column_of >= 0, entries[:, column_of], -1).reshape(-1, n)
    voters = [maps[maps[:, 0] == k] for k in range(n)]
    return np.stack([_majority(v) for v in voters]) if all(map(len, voters)) else None


def _distinct_by_majority(votes: np.ndarray) -> np.ndarray:
    """Different numbers for all columns: their most frequent ones, to whom has the most votes.

    A row of nothing but wrong answers may look like another one; it gets what is left.
    """
    counts = _counts(votes)
    chosen = np.full(len(counts), -1, dtype=np.int64)
    is_taken = np.zeros(len(counts), dtype=bool)
    for column in np.argsort(-counts.max(axis=1), kind="stable"):
        wanted = int(counts[column].argmax())
        if not is_taken[wanted]:
            chosen[column], is_taken[wanted] = wanted, True
    chosen[chosen < 0] = np.flatnonzero(~is_taken)
    return chosen


def _majority(votes: np.ndarray) -> np.ndarray:
    """Most frequent number of each column of an array with n columns; -1 is no vote."""
    return _counts(votes).argmax(axis=1)


def _counts(votes: np.ndarray) -> np.ndarray:
    """(column, number) votes."""
    n = votes.shape[1]
    column = np.broadcast_to(np.arange(n) * n, votes.shape)[votes >= 0]
    return np.bincount(column + votes[votes >= 0], minlength=n * n).reshape(n, n)
