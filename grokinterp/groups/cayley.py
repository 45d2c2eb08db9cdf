"""Cayley tables of one's own: checked, and turned into groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.groups.finite_group import FiniteGroup


@dataclass(frozen=True, eq=False)
class TableAsGroup:
    """A table of answers as the products of a group, its rows, columns and answers relabeled.

    The answer to the pair ``(first[i], second[j])`` is ``answers[group.products[i, j]]``.
    """

    group: FiniteGroup
    first: np.ndarray
    """(n,) row of the table for every element of the group."""
    second: np.ndarray
    """(n,) column for every element."""
    answers: np.ndarray
    """(n,) answer for every element."""


def check_cayley_table(entries: np.ndarray, where: str = "group_table") -> None:
    """Refuse a table that is not that of a group, with the first law that it breaks.

    Raises
    ------
    ConfigError
        If it is not a Latin square, has no identity, or is not associative.

    Examples
    --------
    >>> check_cayley_table(np.array([[0, 1], [1, 0]]))
    >>> check_cayley_table(np.array([[0, 1, 2], [1, 2, 0], [2, 1, 0]]))
    Traceback (most recent call last):
    grokinterp.errors.ConfigError: group_table is not a Latin square: column 1 has 1 twice. ...
    """
    remedy = "Give the table of a group, or use operation=table, which takes any table."
    n = len(entries)
    for axis, line in ((0, "row"), (1, "column")):
        lines = entries if axis == 0 else entries.T
        for number, values in enumerate(lines):
            counts = np.bincount(values[values >= 0], minlength=n)
            if (values < 0).any():
                raise ConfigError(f"{where} has a hole in {line} {number}. {remedy}")
            if len(counts) > n:
                raise ConfigError(
                    f"{where} has the product {values.max()} in {line} {number}; its elements are "
                    f"0 .. {n - 1}. {remedy}"
                )
            if (counts > 1).any():
                raise ConfigError(
                    f"{where} is not a Latin square: {line} {number} has {int(counts.argmax())} "
                    f"twice. {remedy}"
                )
    if identity_of(entries) is None:
        raise ConfigError(
            f"{where} has no identity: no element e with e∘x = x∘e = x for all x. {remedy}"
        )
    broken = _not_associative(entries)
    if broken is not None:
        a, b, c = broken
        left, right = entries[entries[a, b], c], entries[a, entries[b, c]]
        raise ConfigError(
            f"{where} is not associative: ({a}∘{b})∘{c} = {left}, but {a}∘({b}∘{c}) = {right}. "
            f"{remedy}"
        )


def identity_of(entries: np.ndarray) -> int | None:
    """Return the two-sided identity of a square table; None if there is none."""
    index = np.arange(len(entries))
    is_identity = (entries == index).all(axis=1) & (entries.T == index).all(axis=1)
    return int(is_identity.argmax()) if is_identity.any() else None


def is_latin_square(entries: np.ndarray) -> bool:
    """Whether every row and every column has each of 0 .. n-1 once.

    Examples
    --------
    >>> is_latin_square(np.array([[0, 1], [1, 0]])), is_latin_square(np.array([[0, 0], [1, 1]]))
    (True, False)
    """
    index = np.arange(len(entries))
    return all(bool((np.sort(lines, axis=1) == index).all()) for lines in (entries, entries.T))


def table_as_group(entries: np.ndarray) -> TableAsGroup | None:
    """Return a table as products of a group; None if no relabeling makes it one.

    Rows, columns and answers may each be in an order of their own, as they are in subtraction.
    A Latin square whose rows are renamed by its first column and whose columns by its first row
    has an identity. It is a group if any such square is (Albert, "Quasigroups I", 1943,
    theorem 2).

    Parameters
    ----------
    entries
        (n, n) answers.

    Examples
    --------
    >>> a, b = np.indices((5, 5))
    >>> table_as_group((a - b) % 5).group.order, table_as_group(a * b % 5)
    (5, None)
    """
    if len(entries) < 2 or not is_latin_square(entries):
        return None
    entries = np.asarray(entries, dtype=np.int64)
    identity = identity_of(entries)
    corner = 0 if identity is None else identity
    # Row x is renamed to the answer of (x, corner), column y to that of (corner, y).
    first, second = np.argsort(entries[:, corner]), np.argsort(entries[corner])
    loop = entries[np.ix_(first, second)]
    unit = int(entries[corner, corner])
    # The identity comes first; the others stay in their order.
    answers = np.concatenate([[unit], np.delete(np.arange(len(loop)), unit)])
    place = np.argsort(answers)
    products = place[loop[np.ix_(answers, answers)]]
    if _not_associative(products) is not None:
        return None
    products.setflags(write=False)
    return TableAsGroup(FiniteGroup("", products), first[answers], second[answers], answers)


def _not_associative(products: np.ndarray) -> tuple[int, int, int] | None:
    """First triple found with (ab)c != a(bc); None if the square is associative.

    By Light's test it is enough that b runs through elements that generate the square.
    """
    n = len(products)
    is_reached = np.zeros(n, dtype=bool)
    for b in range(n):
        if is_reached[b]:
            continue
        left, right = products[products[:, b]], products[:, products[b]]
        if not np.array_equal(left, right):
            a, c = np.argwhere(left != right)[0]
            return int(a), b, int(c)
        is_reached[b] = True
        frontier = np.flatnonzero(is_reached)
        while len(frontier):
            known = np.flatnonzero(is_reached)
            new = np.unique(
                np.concatenate(
                    [
                        products[np.ix_(frontier, known)].ravel(),
                        products[np.ix_(known, frontier)].ravel(),
                    ]
                )
            )
            frontier = new[~is_reached[new]]
            is_reached[frontier] = True
    return None
