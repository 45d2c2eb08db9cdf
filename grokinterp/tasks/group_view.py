"""The group behind a task, and its pairs arranged by the group's product."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.tasks.examples import frozen
from grokinterp.tasks.operations import is_prime
from grokinterp.tasks.permutations import composition_table, inverses


@dataclass(frozen=True, eq=False)
class GroupView:
    r"""The pairs of a task arranged so that the answer is the product of two group elements.

    With n the order of the group behind the task, row ``i * n + j`` of `pair_rows` is the
    pair whose answer is class ``class_tokens[products[i, j]]``. In a cyclic group the product
    of i and j is (i + j) % n: addition is its own view; subtraction runs through b backwards;
    multiplication and division modulo a prime go through discrete logarithms, which leaves
    out the pairs with a zero. Permutations are their own view. Every spectrum and circuit of
    the library is computed in this view, so it is written once: for
    :math:`\cos w_k(i + j)`, and for a representation :math:`\rho(ij)` in its place.
    """

    order: int
    """n: p for addition and subtraction, p - 1 for multiplication and division, degree! for
    permutations."""
    pair_rows: np.ndarray
    """(n*n,) rows into the task's list of pairs, i-major."""
    class_tokens: np.ndarray
    """(n,) token of each group element, in the order of the indices; 0 is the identity's."""
    n_left_out: int
    """Pairs of the task that are not in the view (those with a zero)."""
    degree: int | None = None
    """n of the symmetric group S_n; None for a cyclic group."""

    @property
    def is_cyclic(self) -> bool:
        """Whether the group is Z_n, which has frequencies."""
        return self.degree is None

    @property
    def n_frequencies(self) -> int:
        """Number of frequencies 1 .. n//2 of Z_n; at even n the highest has no sine."""
        return self.order // 2

    @cached_property
    def products(self) -> np.ndarray:
        """(n, n) index of the product of elements i and j."""
        if self.degree is not None:
            return composition_table(self.degree)
        index = np.arange(self.order)
        return frozen((index[:, None] + index) % self.order)

    @cached_property
    def inverses(self) -> np.ndarray:
        """(n,) index of the inverse of every element."""
        return frozen(inverses(self.products))


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
