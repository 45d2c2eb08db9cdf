"""A finite group as its table of products, with what follows from the table alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class FiniteGroup:
    """A group on the indices 0 .. n-1, of which 0 is the identity.

    Groups by name come from :func:`~grokinterp.groups.named.named_group`, groups of a Cayley
    table from :func:`~grokinterp.groups.cayley.group_of_table`.

    Examples
    --------
    >>> from grokinterp.groups import named_group
    >>> group = named_group("dihedral(5)")
    >>> group.order, group.is_abelian, group.n_classes, group.exponent
    (10, False, 4, 10)
    >>> group.class_sizes.tolist(), group.element_orders.tolist()
    ([1, 2, 2, 5], [1, 5, 5, 5, 5, 2, 2, 2, 2, 2])
    """

    name: str
    """Canonical name, such as ``dihedral(5)`` or ``cyclic(2) x cyclic(59)``; empty for a group
    that no name is known of."""
    products: np.ndarray
    """(n, n) int64, read-only: index of the product of elements i and j."""

    def __repr__(self) -> str:
        return f"<{self.in_words}>"

    @property
    def order(self) -> int:
        """n, the number of elements."""
        return len(self.products)

    @property
    def in_words(self) -> str:
        """``dihedral(5)``, or ``a group of order 10`` where there is no name."""
        return self.name or f"a group of order {self.order}"

    @cached_property
    def inverses(self) -> np.ndarray:
        """(n,) index of the inverse of every element."""
        return _frozen(inverses(self.products))

    @cached_property
    def element_orders(self) -> np.ndarray:
        """(n,) smallest power of every element that is the identity."""
        orders, power = np.ones(self.order, dtype=np.int64), np.arange(self.order)
        for exponent in range(2, self.order + 1):
            waiting = power != 0
            if not waiting.any():
                break
            power = np.where(waiting, self.products[power, np.arange(self.order)], 0)
            orders[waiting] = exponent
        return _frozen(orders)

    @cached_property
    def exponent(self) -> int:
        """Smallest e with g^e = 1 for every element g."""
        return math.lcm(*map(int, self.element_orders))

    @cached_property
    def is_abelian(self) -> bool:
        """Whether all elements commute."""
        return bool((self.products == self.products.T).all())

    @property
    def is_cyclic(self) -> bool:
        """Whether one element generates the group."""
        return int(self.element_orders.max()) == self.order

    @cached_property
    def powers_of_generator(self) -> np.ndarray:
        """(n,) powers g^0, g^1, ... of the first generator of a cyclic group."""
        generator = int((self.element_orders == self.order).argmax())
        powers = np.zeros(self.order, dtype=np.int64)
        for k in range(1, self.order):
            powers[k] = self.products[powers[k - 1], generator]
        return _frozen(powers)

    @cached_property
    def conjugacy_class(self) -> np.ndarray:
        """(n,) class of every element; classes are numbered by their first element."""
        found = np.full(self.order, -1, dtype=np.int64)
        n_found, everyone = 0, np.arange(self.order)
        for element in range(self.order):
            if found[element] < 0:
                conjugates = self.products[self.products[everyone, element], self.inverses]
                found[conjugates] = n_found
                n_found += 1
        return _frozen(found)

    @property
    def n_classes(self) -> int:
        """Number of conjugacy classes, which is that of the complex irreducible representations."""
        return int(self.conjugacy_class.max()) + 1

    @cached_property
    def class_sizes(self) -> np.ndarray:
        """(n_classes,) number of elements of every class."""
        return _frozen(np.bincount(self.conjugacy_class))

    @cached_property
    def class_representatives(self) -> np.ndarray:
        """(n_classes,) first element of every class."""
        return _frozen(np.unique(self.conjugacy_class, return_index=True)[1])

    @cached_property
    def generators(self) -> tuple[int, ...]:
        """A few elements that generate the group, chosen greedily by their order."""
        chosen: list[int] = []
        reached = np.zeros(1, dtype=np.int64)
        by_order = np.argsort(-self.element_orders, kind="stable")
        while len(reached) < self.order:
            is_reached = np.isin(by_order, reached)
            chosen.append(int(by_order[~is_reached][0]))
            reached = self.generated(chosen)
        return tuple(chosen)

    def generated(self, elements: list[int] | np.ndarray) -> np.ndarray:
        """Return the sorted elements of the subgroup that some elements generate.

        Examples
        --------
        >>> from grokinterp.groups import named_group
        >>> named_group("cyclic(6)").generated([4]).tolist()
        [0, 2, 4]
        """
        is_in = np.zeros(self.order, dtype=bool)
        is_in[0] = True
        frontier, steps = np.zeros(1, dtype=np.int64), np.asarray(elements, dtype=np.int64)
        while len(frontier) and len(steps):
            reached = np.unique(self.products[frontier[:, None], steps])
            frontier = reached[~is_in[reached]]
            is_in[frontier] = True
        return np.flatnonzero(is_in)


def inverses(products: np.ndarray) -> np.ndarray:
    """Index of every element's inverse, from a group's table of products.

    Parameters
    ----------
    products
        (n, n) index of the product of elements i and j; element 0 is the identity.

    Examples
    --------
    >>> from grokinterp.groups.permutations import composition_table
    >>> inverses(composition_table(3)).tolist()
    [0, 1, 2, 4, 3, 5]
    """
    return (products == 0).argmax(axis=1)


def _frozen(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
