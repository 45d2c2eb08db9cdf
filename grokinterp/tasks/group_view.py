"""The group behind a task, and its pairs arranged by the group's product."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.groups import (
    FiniteGroup,
    TableAsGroup,
    inverses,
    isomorphism,
    known_name,
    named_group,
    table_as_group,
)
from grokinterp.tasks.examples import frozen
from grokinterp.tasks.operations import is_prime


@dataclass(frozen=True, eq=False)
class GroupView:
    r"""The pairs of a task arranged so that the answer is the product of two group elements.

    With n the order of the group behind the task, row ``i * n + j`` of `pair_rows` is the
    pair whose answer is class ``class_tokens[products[i, j]]``. In a cyclic group the product
    of i and j is (i + j) % n: addition is its own view; subtraction runs through b backwards;
    multiplication and division modulo a prime go through discrete logarithms, which leaves
    out the pairs with a zero. Other groups are their own view, and a table of answers has one if
    its rows, columns and answers can be renamed so that it is a group's. Every spectrum and
    circuit of the library is computed in this view, so it is written once: for
    :math:`\cos w_k(i + j)`, and for a representation :math:`\rho(ij)` in its place.
    """

    order: int
    """n: p for addition and subtraction, p - 1 for multiplication and division, else the order of
    the group."""
    pair_rows: np.ndarray
    """(n*n,) rows into the task's list of pairs, i-major."""
    class_tokens: np.ndarray
    """(n,) token of each group element, in the order of the indices; 0 is the identity's."""
    n_left_out: int
    """Pairs of the task that are not in the view (those with a zero)."""
    group: FiniteGroup | None = None
    """The group; None for a cyclic one, where the indices are added modulo n."""

    @property
    def is_cyclic(self) -> bool:
        """Whether the group is Z_n, which has frequencies."""
        return self.group is None

    @property
    def in_words(self) -> str:
        """``cyclic(59)``, ``dihedral(59)``, or ``a group of order 16`` where no name is known."""
        return f"cyclic({self.order})" if self.group is None else self.group.in_words

    @property
    def n_frequencies(self) -> int:
        """Number of frequencies 1 .. n//2 of Z_n; at even n the highest has no sine."""
        return self.order // 2

    @cached_property
    def products(self) -> np.ndarray:
        """(n, n) index of the product of elements i and j."""
        if self.group is not None:
            return self.group.products
        index = np.arange(self.order)
        return frozen((index[:, None] + index) % self.order)

    @cached_property
    def inverses(self) -> np.ndarray:
        """(n,) index of the inverse of every element."""
        return frozen(inverses(self.products))


def view_of_group(group: FiniteGroup, rows: np.ndarray) -> GroupView:
    """Return the view of a task whose tokens are the elements of a group in its own order.

    Parameters
    ----------
    group
        The group; a cyclic one is viewed through the powers of its first generator.
    rows
        (n, n) row into the task's list of pairs, by the tokens a and b.

    Examples
    --------
    >>> from grokinterp.groups import named_group
    >>> view_of_group(named_group("C2xC3"), np.arange(36).reshape(6, 6)).class_tokens.tolist()
    [0, 4, 2, 3, 1, 5]
    """
    index = np.arange(group.order)
    return _view(TableAsGroup(group, index, index, index), group, rows)


def view_of_table(entries: np.ndarray, rows: np.ndarray, name: str = "") -> GroupView | None:
    """Return the view of a table of answers; None if it is not that of a group.

    Parameters
    ----------
    entries
        (n, n) answers 0 .. n-1.
    rows
        (n, n) row into the task's list of pairs.
    name
        Group that its elements are to be numbered as; "": the known group that it is
        isomorphic to, if there is one.

    Raises
    ------
    ConfigError
        If it is not isomorphic to the group of that name.

    Examples
    --------
    >>> a, b = np.indices((5, 5))
    >>> view_of_table((a - b) % 5, np.arange(25).reshape(5, 5)).in_words
    'cyclic(5)'
    """
    found = table_as_group(entries)
    if found is None:
        return None
    name = name or known_name(found.group)
    if not name:
        return _view(found, found.group, rows)
    group = named_group(name)
    renamed = isomorphism(group, found.group)
    if renamed is None:
        is_known = known_name(found.group)
        raise ConfigError(
            f"group={name!r} does not go with group_table, which is the table of "
            f"{is_known or found.group.in_words}. Leave one of them out."
        )
    columns = (found.first[renamed], found.second[renamed], found.answers[renamed])
    return _view(TableAsGroup(group, *columns), group, rows)


def _view(table: TableAsGroup, group: FiniteGroup, rows: np.ndarray) -> GroupView:
    order, is_cyclic = np.arange(group.order), group.is_cyclic
    if is_cyclic:
        order = group.powers_of_generator
    pair_rows = rows[np.ix_(table.first[order], table.second[order])].reshape(-1)
    n_left_out = int((rows >= 0).sum()) - len(pair_rows)
    tokens = frozen(table.answers[order].astype(np.int64))
    whole = None if is_cyclic else group
    return GroupView(group.order, frozen(pair_rows), tokens, n_left_out, whole)


def primitive_root(p: int) -> int:
    """Smallest generator of the multiplicative group modulo a prime p.

    Raises
    ------
    ConfigError
        If p is not a prime.
    """
    if not is_prime(p):
        raise ConfigError(f"p={p} is not a prime, so discrete logarithms modulo p do not exist.")
    order = p - 1
    factors = {q for q in range(2, order + 1) if order % q == 0 and is_prime(q)}
    return next(
        g for g in range(1, p) if all(pow(g, order // q, p) != 1 for q in factors) or p == 2
    )
