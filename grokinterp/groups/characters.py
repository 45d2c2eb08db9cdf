r"""Characters of the complex irreducible representations of any finite group.

Dixon's method: the vectors :math:`\omega(C) = |C|\chi(C)/d` of an irreducible character are the
common eigenvectors of the matrices of the class algebra. They are found modulo a prime q with
exponent | q - 1, where roots of unity are numbers, and lifted to complex values through the
multiplicities of the eigenvalues of :math:`\rho(g)`, which are small whole numbers. Characters of
an abelian group are extended from one cyclic subgroup to the next instead.

References
----------
Dixon, "High speed computation of group characters", Numerische Mathematik 10 (1967).
Schneider, "Dixon's character table algorithm revisited", Journal of Symbolic Computation 9 (1990).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from grokinterp.groups.eigenvectors_modulo import common_eigenvectors, element_of_order, prime_for
from grokinterp.groups.finite_group import FiniteGroup

_DECIMALS = 6
"""Values are compared at this precision: those of different characters differ by far more."""


@dataclass(frozen=True, eq=False)
class CharacterTable:
    """Irreducible characters of a group, one a row, on its conjugacy classes, one a column.

    The trivial character comes first, then the real ones of dimension 1, then the others by
    dimension. Where that leaves a choice, the one with the larger real part on the first class
    where they differ comes first, then the one with the larger imaginary part.

    Examples
    --------
    >>> from grokinterp.groups import named_group
    >>> table = character_table(named_group("Q8"))
    >>> table.values.real.astype(int).tolist()[4], table.dimensions.tolist()
    ([2, 0, -2, 0, 0], [1, 1, 1, 1, 2])
    >>> table.frobenius_schur.tolist(), table.conjugates.tolist()
    ([1, 1, 1, 1, -1], [0, 1, 2, 3, 4])
    """

    group: FiniteGroup
    values: np.ndarray
    """(character, class) complex128; classes as in ``group.conjugacy_class``."""

    @cached_property
    def dimensions(self) -> np.ndarray:
        """(character,) int64: dimension of every complex representation."""
        return np.real(self.values[:, 0]).round().astype(np.int64)

    @cached_property
    def frobenius_schur(self) -> np.ndarray:
        """(character,) int64: 1 for real type, 0 for complex, -1 for quaternionic.

        The mean of the character over the squares of all elements.
        """
        squares = self.group.products.diagonal()
        share = np.bincount(self.group.conjugacy_class[squares], minlength=len(self.values))
        return (self.values @ share / self.group.order).real.round().astype(np.int64)

    @cached_property
    def conjugates(self) -> np.ndarray:
        """(character,) number of the complex conjugate of every character."""
        inverse = self.group.conjugacy_class[self.group.inverses[self.group.class_representatives]]
        rows = {_key(row): k for k, row in enumerate(self.values)}
        return np.array([rows[_key(row[inverse])] for row in self.values])


@lru_cache(maxsize=16)
def character_table(group: FiniteGroup) -> CharacterTable:
    """Return the characters of a group.

    Examples
    --------
    >>> from grokinterp.groups import named_group
    >>> character_table(named_group("A5")).dimensions.tolist()
    [1, 3, 3, 4, 5]
    """
    values = _of_abelian(group) if group.is_abelian else _by_dixon(group)
    values = values[sorted(range(len(values)), key=lambda k: _place(values[k]))]
    values.setflags(write=False)
    return CharacterTable(group, values)


def _key(row: np.ndarray) -> tuple[float, ...]:
    # Adding zero turns -0.0 into 0.0.
    rounded = np.stack([np.real(row), np.imag(row)]).round(_DECIMALS) + 0.0
    return tuple(rounded.T.reshape(-1).tolist())


def _place(row: np.ndarray) -> tuple:
    dimension = round(row[0].real)
    is_trivial = np.allclose(row, 1)
    is_complex = dimension == 1 and bool(np.abs(np.imag(row)).max() > 10.0**-_DECIMALS)
    return (not is_trivial, dimension, is_complex, tuple(-x for x in _key(row)))


def _of_abelian(group: FiniteGroup) -> np.ndarray:
    """Extend all characters from a subgroup to the one with another generator."""
    e, subgroup = group.exponent, np.zeros(1, dtype=np.int64)
    exponents = np.zeros((1, 1), dtype=np.int64)  # (character, element of the subgroup), modulo e
    for generator in group.generators:
        is_in = np.zeros(group.order, dtype=bool)
        is_in[subgroup] = True
        powers = [0]
        while not is_in[power := int(group.products[powers[-1], generator])]:
            powers.append(power)
        m = len(powers)
        # The value at the generator is an m-th root of the value at its m-th power.
        start = exponents[:, np.flatnonzero(subgroup == power)[0]] // m
        roots = start[:, None] + np.arange(m) * (e // m)
        steps = roots.reshape(-1, 1, 1) * np.arange(m)[:, None]
        exponents = (np.repeat(exponents, m, axis=0)[:, None] + steps) % e
        exponents = exponents.reshape(len(exponents), -1)
        subgroup = group.products[np.array(powers)[:, None], subgroup].reshape(-1)
    values = np.exp(2j * math.pi / e * exponents)
    return values[:, np.argsort(subgroup)]


def _by_dixon(group: FiniteGroup) -> np.ndarray:
    q = prime_for(group)
    sizes = group.class_sizes
    inverse_class = group.conjugacy_class[group.inverses[group.class_representatives]]
    omega = common_eigenvectors(group, q)
    inverse_sizes = np.array([pow(int(size), -1, q) for size in sizes])
    norms = (omega * omega[:, inverse_class] % q * inverse_sizes % q).sum(axis=1) % q
    squares = {d * d % q: d for d in range(1, math.isqrt(group.order) + 1)}
    dimensions = [squares[group.order * pow(int(norm), -1, q) % q] for norm in norms]
    modular = omega * np.array(dimensions)[:, None] % q * inverse_sizes % q
    return _lifted(group, modular, q)


def _lifted(group: FiniteGroup, modular: np.ndarray, q: int) -> np.ndarray:
    """Complex values from values modulo q, one cyclic subgroup at a time."""
    values = np.zeros(modular.shape, dtype=np.complex128)
    is_known = np.zeros(len(modular), dtype=bool)
    orders = group.element_orders[group.class_representatives]
    # All roots are powers of one: another choice for every order would mix conjugate characters.
    generator = element_of_order(group.exponent, q)
    for at in np.argsort(-orders, kind="stable"):
        if is_known[at]:
            continue
        order, element = int(orders[at]), int(group.class_representatives[at])
        powers = [0]
        for _ in range(order - 1):
            powers.append(int(group.products[powers[-1], element]))
        classes = group.conjugacy_class[powers]
        table = np.arange(order)[:, None] * np.arange(order) % order
        root = pow(generator, group.exponent // order, q)
        roots = np.array([pow(root, j, q) for j in range(order)], dtype=np.float64)
        # Sums of up to 2^13 products of numbers below 2^20 are exact in float64.
        sums = (modular[:, classes].astype(np.float64) @ roots[-table % order]) % q
        multiplicities = sums.astype(np.int64) * pow(order, -1, q) % q
        values[:, classes] = multiplicities @ np.exp(2j * math.pi / order * table)
        is_known[classes] = True
    return values
