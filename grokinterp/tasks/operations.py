"""Binary operations on the residues modulo p and on permutations.

Those that Power et al. compare ("Grokking: generalization beyond overfitting on small
algorithmic datasets", 2022, arXiv:2201.02177, appendix A.1.1), multiplication, and random
labels, which can only be memorized. Their x is a here and their y is b.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from grokinterp.groups import composition_table, inverses
from grokinterp.groups.permutations import degree_of_order

OperationName = Literal[
    "addition",
    "subtraction",
    "multiplication",
    "division",
    "conditional",
    "sum_of_squares",
    "quadratic_form",
    "quadratic_form_plus_x",
    "cubic",
    "cubic_mixed",
    "permutation_composition",
    "permutation_conjugation",
    "permutation_sandwich",
    "random_labels",
    "table",
    "group",
]
GroupKind = Literal["additive", "multiplicative", "symmetric", "named"]


@dataclass(frozen=True)
class Operation:
    """One binary operation ``c = a ∘ b`` on the residues modulo p, or on permutations."""

    name: str
    symbol: str
    """Sign between a and b; ``⋆`` for operations that no sign is in use for."""
    formula: str
    """The answer in terms of a and b, as one would print it."""
    words: str
    """What it is called, without the modulus or the group."""
    is_commutative: bool
    """Whether a ∘ b = b ∘ a for all a, b, whatever the modulus."""
    compute: Callable[[np.ndarray, np.ndarray, int], np.ndarray] | None
    """Answer of every pair; only called on pairs where the operation is defined. None where
    the answers are drawn."""
    group: GroupKind | None = None
    """Group whose product the answer is; None where it is none, so that there is no spectrum."""
    inverts_second: bool = False
    """Whether the product is that of a and the inverse of b."""
    needs_prime: bool = False
    excludes_zero_divisor: bool = False
    is_of_permutations: bool = False

    @property
    def is_random(self) -> bool:
        """Whether the answers are drawn, so that all one can do is memorize."""
        return self.compute is None


def _divide(a: np.ndarray, b: np.ndarray, p: int) -> np.ndarray:
    inverse = np.array([0] + [pow(int(x), -1, p) for x in range(1, p)], dtype=np.int64)
    return a * inverse[b] % p


def _divide_or_subtract(a: np.ndarray, b: np.ndarray, p: int) -> np.ndarray:
    return np.where(b % 2 == 1, _divide(a, b, p), (a - b) % p)


def _compose(a: np.ndarray, b: np.ndarray, order: int) -> np.ndarray:
    return composition_table(degree_of_order(order))[a, b]


def _conjugate(a: np.ndarray, b: np.ndarray, order: int) -> np.ndarray:
    table = composition_table(degree_of_order(order))
    return table[table[a, b], inverses(table)[a]]


def _sandwich(a: np.ndarray, b: np.ndarray, order: int) -> np.ndarray:
    table = composition_table(degree_of_order(order))
    return table[table[a, b], a]


_ALL = (
    Operation("addition", "+", "a + b", "addition", True, lambda a, b, p: (a + b) % p, "additive"),
    Operation(
        "subtraction",
        "-",
        "a − b",
        "subtraction",
        False,
        lambda a, b, p: (a - b) % p,
        "additive",
        inverts_second=True,
    ),
    Operation(
        "multiplication",
        "*",
        "a × b",
        "multiplication",
        True,
        lambda a, b, p: a * b % p,
        "multiplicative",
    ),
    Operation(
        "division",
        "/",
        "a ÷ b",
        "division",
        False,
        _divide,
        "multiplicative",
        inverts_second=True,
        needs_prime=True,
        excludes_zero_divisor=True,
    ),
    Operation(
        "conditional",
        "⋆",
        "a ÷ b if b is odd, else a − b",
        "division by odd, subtraction of even numbers",
        False,
        _divide_or_subtract,
        needs_prime=True,
    ),
    Operation(
        "sum_of_squares",
        "⋆",
        "a² + b²",
        "sum of squares",
        True,
        lambda a, b, p: (a**2 + b**2) % p,
    ),
    Operation(
        "quadratic_form",
        "⋆",
        "a² + ab + b²",
        "quadratic form a²+ab+b²",
        True,
        lambda a, b, p: (a**2 + a * b + b**2) % p,
    ),
    Operation(
        "quadratic_form_plus_x",
        "⋆",
        "a² + ab + b² + a",
        "quadratic polynomial a²+ab+b²+a",
        False,
        lambda a, b, p: (a**2 + a * b + b**2 + a) % p,
    ),
    Operation(
        "cubic",
        "⋆",
        "a³ + ab",
        "cubic polynomial a³+ab",
        False,
        lambda a, b, p: (a**3 + a * b) % p,
    ),
    Operation(
        "cubic_mixed",
        "⋆",
        "a³ + ab² + b",
        "cubic polynomial a³+ab²+b",
        False,
        lambda a, b, p: (a**3 + a * b**2 + b) % p,
    ),
    Operation(
        "permutation_composition",
        "∘",
        "a ∘ b",
        "permutation composition",
        False,
        _compose,
        "symmetric",
        is_of_permutations=True,
    ),
    Operation(
        "permutation_conjugation",
        "⋆",
        "a ∘ b ∘ a⁻¹",
        "permutation conjugation a∘b∘a⁻¹",
        False,
        _conjugate,
        is_of_permutations=True,
    ),
    Operation(
        "permutation_sandwich",
        "⋆",
        "a ∘ b ∘ a",
        "permutation product a∘b∘a",
        False,
        _sandwich,
        is_of_permutations=True,
    ),
    Operation(
        "random_labels", "⋆", "a random answer to a and b", "a table of random labels", False, None
    ),
)

OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in _ALL}
"""Operations by name. ``table`` and ``group`` are not here: their answers are the
spec's own."""


def is_prime(n: int) -> bool:
    """Whether n is a prime number, by trial division (moduli here are small)."""
    return n >= 2 and all(n % d for d in range(2, math.isqrt(n) + 1))
