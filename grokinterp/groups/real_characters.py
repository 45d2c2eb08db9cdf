r"""Real irreducible representations of any finite group: type, dimension, character and name.

A complex irreducible representation of dimension d with character χ gives one real one:

==============  =========  ==================  ======================================
type            dimension  trace               functions on the group that it spans
==============  =========  ==================  ======================================
``real``        d          χ                   d²
``complex``     2d         χ + its conjugate   2d², together with its conjugate
``quaternionic``  2d       2χ                  d²
==============  =========  ==================  ======================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from grokinterp.groups.characters import character_table
from grokinterp.groups.finite_group import FiniteGroup
from grokinterp.groups.representation_names import representation_names

RepresentationType = Literal["real", "complex", "quaternionic"]
"""Frobenius-Schur type: whether the matrices that commute with a real irreducible representation
are the real numbers, the complex numbers or the quaternions."""


@dataclass(frozen=True, eq=False)
class RealCharacter:
    """One real irreducible representation, known by its trace.

    Examples
    --------
    >>> from grokinterp.groups import named_group
    >>> for c in real_characters(named_group("Q8"))[3:]:
    ...     print(c.name, c.type, c.dimension, c.n_functions, c.values.astype(int).tolist())
    sign_b real 1 1 [1, -1, 1, -1, 1]
    freq_1 quaternionic 4 4 [4, 0, -4, 0, 0]
    """

    name: str
    type: RepresentationType
    values: np.ndarray
    """(class,) float64: trace of the real matrices."""
    complex_values: np.ndarray
    """(class,) complex128: character χ of the complex representation; of two conjugate ones that
    whose name has the lower frequency, or no ``conj``."""

    @property
    def dimension(self) -> int:
        """Size of the real matrices: d for real type, else 2d."""
        return round(self.values[0])

    @property
    def complex_dimension(self) -> int:
        """Dimension d of the complex representation."""
        return round(self.complex_values[0].real)

    @property
    def n_functions(self) -> int:
        """Dimension of the space of functions on the group that its matrix elements span."""
        return self.complex_dimension**2 * (2 if self.type == "complex" else 1)


@lru_cache(maxsize=16)
def real_characters(group: FiniteGroup) -> tuple[RealCharacter, ...]:
    """Return all real irreducible representations of a group, the trivial one first.

    By real dimension, then in the order of
    :func:`~grokinterp.groups.characters.character_table`.

    Examples
    --------
    >>> from grokinterp.groups import named_group
    >>> [c.name for c in real_characters(named_group("D6"))]
    ['trivial', 'sign', 'sign_a', 'sign_b', 'freq_1', 'freq_2']
    >>> [(c.name, c.dimension) for c in real_characters(named_group("Aff5"))]
    [('trivial', 1), ('sign', 1), ('freq_1', 2), ('standard', 4)]
    """
    table, names, found = character_table(group), representation_names(group), []
    types: dict[int, RepresentationType] = {1: "real", 0: "complex", -1: "quaternionic"}
    for first in np.flatnonzero(table.conjugates >= np.arange(len(names))):
        k = min(first, table.conjugates[first], key=lambda k: _place(names[k]))
        character, kind = table.values[k], types[int(table.frobenius_schur[k])]
        trace = character.real * (1 if kind == "real" else 2)
        found.append(RealCharacter(names[k], kind, trace, character))
    return tuple(sorted(found, key=lambda c: (c.name != "trivial", c.dimension)))


def _place(name: str) -> tuple:
    numbers = [int(k) for k in re.findall(r"freq_([0-9]+)", name)]
    return numbers, name.count("_conj"), name
