r"""Irreducible representations of the symmetric groups, and the Fourier transform they give.

Every irreducible representation of :math:`S_n` belongs to a partition of n. Young's orthogonal
form writes it in real orthogonal matrices: its basis are the standard tableaux of the partition,
and the transposition of i and i + 1 acts on a tableau t by :math:`1/d` times t plus
:math:`\sqrt{1 - 1/d^2}` times the tableau with i and i + 1 exchanged, d being the axial
distance from i to i + 1.
"""

from __future__ import annotations

import itertools
import string
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.groups.real_characters import RepresentationType

Partition = tuple[int, ...]
Tableau = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class Representation:
    """One irreducible representation of a group, by real matrices.

    Examples
    --------
    >>> [(r.name, r.dimension) for r in symmetric_representations(3)]
    [('trivial', 1), ('standard', 2), ('sign', 1)]
    """

    name: str
    """``trivial``, ``sign``, ``standard``, ``standard_sign``; others by dimension, ``6d``, with
    a letter where there are several, ``5d_a``. The letters are those of Chughtai et al.'s
    published results: in S_5 ``5d_a`` is (2, 2, 1) and ``5d_b`` is (3, 2), in S_6 ``5d_a`` is
    (3, 3) and ``5d_b`` is (2, 2, 2). Others as in
    :mod:`grokinterp.groups.representation_names`."""
    partition: Partition | None
    """The partition of n that it belongs to, of S_n; None for other groups."""
    matrices: Float[Tensor, "element row column"]
    """Real orthogonal matrix of every element, float64; the product of two elements goes to the
    product of their matrices. Elements of S_n stand in lexicographic order of one-line notation,
    and their product is ``compose(a, b)``, b first."""
    type: RepresentationType = "real"
    """``real``, ``complex`` (two conjugate complex representations of half the dimension) or
    ``quaternionic`` (twice a complex one of half the dimension)."""

    @property
    def dimension(self) -> int:
        """Size of the matrices."""
        return self.matrices.shape[1]

    @property
    def character(self) -> Float[Tensor, " element"]:
        """Trace of every matrix: the same on conjugate elements."""
        return self.matrices.diagonal(dim1=1, dim2=2).sum(dim=1)


@lru_cache(maxsize=4)
def symmetric_representations(degree: int) -> tuple[Representation, ...]:
    """All irreducible representations of S_degree, the trivial one first.

    Parameters
    ----------
    degree
        n of S_n, at least 2.

    Returns
    -------
    tuple of Representation
        In falling lexicographic order of the partitions; the squares of the dimensions add up
        to n!.

    References
    ----------
    James & Kerber, "The representation theory of the symmetric group", 1981, section 3.4
    (Young's orthogonal form). Names as in Chughtai et al., "A toy model of universality",
    ICML 2023, arXiv:2302.03025.

    Examples
    --------
    >>> [r.dimension for r in symmetric_representations(5)]
    [1, 4, 5, 6, 5, 4, 1]
    """
    partitions = _partitions(degree)
    matrices = [_matrices(partition, degree) for partition in partitions]
    names = _names(partitions, [len(m[0]) for m in matrices])
    return tuple(Representation(*parts) for parts in zip(names, partitions, matrices, strict=True))


def _partitions(n: int) -> list[Partition]:
    # Only permutation tasks need sympy, which takes a while to import.
    from sympy.utilities.iterables import partitions

    found = []
    for multiplicities in cast(Iterator[dict[int, int]], partitions(n)):
        found.append(tuple(sorted(Counter(multiplicities).elements(), reverse=True)))
    return sorted(found, reverse=True)


def _names(partitions: list[Partition], dimensions: list[int]) -> list[str]:
    n = sum(partitions[0])
    # In degree 2 the sign is the standard representation as well; the later entry wins.
    known = {
        (2,) + (1,) * (n - 2): "standard_sign",
        (n - 1, 1): "standard",
        (1,) * n: "sign",
        (n,): "trivial",
    }
    if n == 6:
        # Published files name (3, 3) first, unlike those of S_5.
        known |= {(3, 3): "5d_a", (2, 2, 2): "5d_b"}
    unnamed = [i for i, partition in enumerate(partitions) if partition not in known]
    by_dimension: dict[int, list[int]] = {}
    # From the last partition to the first: the published code takes (2, 2, 1) before (3, 2).
    for i in reversed(unnamed):
        by_dimension.setdefault(dimensions[i], []).append(i)
    names = [known.get(partition, "") for partition in partitions]
    for dimension, members in by_dimension.items():
        for letter, i in zip(string.ascii_lowercase, members, strict=False):
            names[i] = f"{dimension}d" if len(members) == 1 else f"{dimension}d_{letter}"
    return names


def _standard_tableaux(partition: Partition) -> list[Tableau]:
    """Fillings with 0 .. n-1 that grow along rows and columns."""
    if not partition:
        return [()]
    n, found = sum(partition), []
    for row, length in enumerate(partition):
        if row + 1 < len(partition) and partition[row + 1] == length:
            continue  # the largest number stands at the end of a column as well
        smaller = list(partition)
        smaller[row] -= 1
        for tableau in _standard_tableaux(tuple(part for part in smaller if part)):
            rows = [list(r) for r in tableau] + [[] for _ in range(len(partition) - len(tableau))]
            rows[row].append(n - 1)
            found.append(tuple(tuple(r) for r in rows))
    return found


def _adjacent_transpositions(partition: Partition) -> list[np.ndarray]:
    tableaux = _standard_tableaux(partition)
    index = {tableau: i for i, tableau in enumerate(tableaux)}
    matrices = [np.zeros((len(tableaux),) * 2) for _ in range(sum(partition) - 1)]
    for tableau, at in index.items():
        content = {x: c - r for r, row in enumerate(tableau) for c, x in enumerate(row)}
        for i, matrix in enumerate(matrices):
            distance = content[i + 1] - content[i]
            matrix[at, at] = 1 / distance
            swap = {i: i + 1, i + 1: i}
            other = tuple(tuple(swap.get(x, x) for x in row) for row in tableau)
            if other in index:
                matrix[index[other], at] = np.sqrt(1 - 1 / distance**2)
    return matrices


def _matrices(partition: Partition, degree: int) -> Tensor:
    steps = _adjacent_transpositions(partition)
    elements = list(itertools.permutations(range(degree)))
    found = {tuple(range(degree)): np.eye(len(steps[0]))}
    frontier = list(found)
    while frontier:
        reached = []
        for element in frontier:
            for i, step in enumerate(steps):
                # Composed with the transposition of i and i + 1, applied first.
                after = list(element)
                after[i], after[i + 1] = after[i + 1], after[i]
                if tuple(after) not in found:
                    found[tuple(after)] = found[element] @ step
                    reached.append(tuple(after))
        frontier = reached
    return torch.from_numpy(np.stack([found[element] for element in elements]))
