"""The symmetric groups S_2 to S_6 as tables: elements and composition.

Elements are the permutations of 0 .. n-1 in the lexicographic order of their one-line notation;
element 0 is the identity. ``compose(a, b)`` applies **b first, then a**:
``compose(a, b)[x] = a[b[x]]``. (openai/grok's published data applies a first.)
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache

import numpy as np

from grokinterp.errors import ConfigError

LARGEST_DEGREE = 6
"""S_7 would have 25 million pairs."""
DEGREES = (2, 3, 4, 5, 6)
"""Degrees that tasks exist for."""


@lru_cache(maxsize=6)
def permutations(degree: int) -> np.ndarray:
    """All elements of S_degree in one-line notation.

    Returns
    -------
    ndarray
        (degree!, degree) int64, read-only; row 0 is the identity.

    Examples
    --------
    >>> permutations(3)[:3].tolist()
    [[0, 1, 2], [0, 2, 1], [1, 0, 2]]
    """
    elements = np.array(list(itertools.permutations(range(degree))), dtype=np.int64)
    elements.setflags(write=False)
    return elements


def compose(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Permutation that applies b first, then a, in one-line notation.

    Examples
    --------
    >>> compose(np.array([1, 0, 2]), np.array([0, 2, 1])).tolist()
    [1, 2, 0]
    >>> compose(np.array([0, 2, 1]), np.array([1, 0, 2])).tolist()
    [2, 0, 1]
    """
    return a[b]


@lru_cache(maxsize=6)
def composition_table(degree: int) -> np.ndarray:
    """Token of ``compose(a, b)`` for every pair of tokens.

    Returns
    -------
    ndarray
        (degree!, degree!) int64, read-only; row a, column b.

    Examples
    --------
    >>> composition_table(3)[2, 1], composition_table(3)[1, 2]
    (np.int64(3), np.int64(4))
    """
    elements = permutations(degree)
    # The number that the digits spell in base `degree` names a permutation.
    place = degree ** np.arange(degree - 1, -1, -1)
    token = np.zeros(degree**degree, dtype=np.int64)
    token[elements @ place] = np.arange(len(elements))
    # Entry [a, b, x] is a[b[x]].
    table = token[elements[:, elements] @ place]
    table.setflags(write=False)
    return table


def degree_of_order(order: int) -> int:
    """Degree n of the symmetric group with n! elements.

    Raises
    ------
    ConfigError
        If `order` is no such factorial.

    Examples
    --------
    >>> degree_of_order(120)
    5
    """
    for degree in DEGREES:
        if math.factorial(degree) == order:
            return degree
    raise ConfigError(
        f"{order} is not the order of S_2 to S_6. Use degree=2, 3, 4, 5 or 6 (2, 6, 24, 120, 720 "
        "elements)."
    )
