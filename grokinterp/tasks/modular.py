"""Binary operations on Z_p and on permutations as tables of pairs and answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.tasks.permutations import (
    DEGREES,
    TOO_LARGE,
    composition_table,
    degree_of_order,
    inverses,
)

OperationName = Literal[
    "addition", "subtraction", "multiplication", "division", "permutation_composition"
]
SplitMethod = Literal["python_shuffle", "torch_randperm"]
SplitUnit = Literal["ordered_pairs", "unordered_pairs"]


@dataclass(frozen=True)
class Operation:
    """One binary operation ``c = a ∘ b`` on the residues modulo p, or on permutations."""

    name: str
    symbol: str
    is_commutative: bool
    compute: Callable[[np.ndarray, np.ndarray, int], np.ndarray]
    """Answer of every pair; only called on pairs where the operation is defined."""
    needs_prime: bool = False
    excludes_zero_divisor: bool = False
    is_of_permutations: bool = False


def _divide(a: np.ndarray, b: np.ndarray, p: int) -> np.ndarray:
    inverse = np.array([0] + [pow(int(x), -1, p) for x in range(1, p)], dtype=np.int64)
    return a * inverse[b] % p


def _compose(a: np.ndarray, b: np.ndarray, order: int) -> np.ndarray:
    return composition_table(degree_of_order(order))[a, b]


OPERATIONS: dict[str, Operation] = {
    "addition": Operation("addition", "+", True, lambda a, b, p: (a + b) % p),
    "subtraction": Operation("subtraction", "-", False, lambda a, b, p: (a - b) % p),
    "multiplication": Operation("multiplication", "*", True, lambda a, b, p: a * b % p),
    "division": Operation(
        "division", "/", False, _divide, needs_prime=True, excludes_zero_divisor=True
    ),
    "permutation_composition": Operation(
        "permutation_composition", "∘", False, _compose, is_of_permutations=True
    ),
}


@dataclass(frozen=True)
class TaskSpec:
    """Which operation is learned, and which of its pairs are trained on.

    Examples
    --------
    >>> TaskSpec(operation="addition", p=59, train_fraction=0.4).p
    59
    """

    operation: OperationName = "addition"
    """Binary operation modulo p, or composition in the symmetric group S_degree, where a ∘ b
    applies b first. Division needs a prime p and leaves out b = 0."""
    p: int = 113
    """Modulus; the tokens 0 .. p-1 are the residues and token p is ``=``. For permutations
    the number of elements, degree!, whatever is given; token 0 is the identity."""
    degree: int | None = None
    """n of S_n, 2 to 5, for permutations; None for operations modulo p. S_6 has too many pairs
    to analyze: 1.4 GiB of logits for one checkpoint."""
    train_fraction: float = 0.3
    """Fraction of the pairs (or of the unordered pairs) that are trained on, in (0, 1)."""
    split_seed: int = 0
    """Seed of the split alone; the weights have their own."""
    split_method: SplitMethod = "python_shuffle"
    """``python_shuffle``: ``random.Random(seed).shuffle`` as in Nanda et al.'s code;
    ``torch_randperm``: ``torch.randperm`` after the seed, as in the Grokking_Demo notebook."""
    split_unit: SplitUnit = "ordered_pairs"
    """``unordered_pairs`` puts (a, b) and (b, a) on the same side; commutative operations only."""

    def __post_init__(self) -> None:
        operation = OPERATIONS.get(self.operation)
        if operation is None:
            raise ConfigError(
                f"operation={self.operation!r} is not known. Choose one of {', '.join(OPERATIONS)}."
            )
        self._check_degree(operation)
        if self.p < 2:
            raise ConfigError(f"p={self.p} is too small. The modulus must be at least 2.")
        if operation.needs_prime and not is_prime(self.p):
            raise ConfigError(
                f"{self.operation} is not defined modulo p={self.p}, which is composite. "
                "Choose a prime p."
            )
        if not 0 < self.train_fraction < 1:
            hint = (
                f" It is a fraction, not a percentage: use {self.train_fraction / 100:g}."
                if 1 < self.train_fraction < 100
                else " Choose a value strictly between 0 and 1, such as 0.3."
            )
            raise ConfigError(f"train_fraction={self.train_fraction} is outside (0, 1).{hint}")
        if not 0 <= self.split_seed < 2**63:
            raise ConfigError(f"split_seed={self.split_seed} is outside 0 .. 2**63 - 1.")
        if self.split_method not in ("python_shuffle", "torch_randperm"):
            raise ConfigError(
                f"split_method={self.split_method!r} is not known. "
                "Choose python_shuffle or torch_randperm."
            )
        if self.split_unit not in ("ordered_pairs", "unordered_pairs"):
            raise ConfigError(
                f"split_unit={self.split_unit!r} is not known. "
                "Choose ordered_pairs or unordered_pairs."
            )
        if self.split_unit == "unordered_pairs" and not operation.is_commutative:
            raise ConfigError(
                f"split_unit=unordered_pairs needs a commutative operation; {self.operation} "
                "is not. Use split_unit=ordered_pairs."
            )

    @property
    def in_words(self) -> str:
        """``addition modulo 113``, or ``permutation composition in S_5``."""
        group = f"modulo {self.p}" if self.degree is None else f"in S_{self.degree}"
        return f"{self.operation.replace('_', ' ')} {group}"

    def _check_degree(self, operation: Operation) -> None:
        if not operation.is_of_permutations:
            if self.degree is not None:
                raise ConfigError(
                    f"degree={self.degree} does not go with {self.operation}. Leave it out, or "
                    "use operation=permutation_composition."
                )
            return
        if self.degree not in DEGREES:
            reason = f" ({TOO_LARGE})" if (self.degree or 0) > max(DEGREES) else ""
            raise ConfigError(
                f"degree={self.degree} is not allowed{reason}. Choose 2, 3, 4 or 5, the degree n "
                "of S_n."
            )
        object.__setattr__(self, "p", math.factorial(self.degree))


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
        return _frozen((index[:, None] + index) % self.order)

    @cached_property
    def inverses(self) -> np.ndarray:
        """(n,) index of the inverse of every element."""
        return _frozen(inverses(self.products))


@dataclass(frozen=True, eq=False)
class Task:
    """All pairs of a task with their answers: materialized once, never changed.

    Examples
    --------
    >>> task = Task(TaskSpec(p=5))
    >>> task.n_pairs, int(task.labels[5 * 3 + 4])
    (25, 2)
    """

    spec: TaskSpec

    @property
    def operation(self) -> Operation:
        """The operation with its symbol and properties."""
        return OPERATIONS[self.spec.operation]

    @property
    def n_classes(self) -> int:
        """Number of possible answers, which is also the number of output columns."""
        return self.spec.p

    @property
    def d_vocab(self) -> int:
        """Number of input tokens: the residues and ``=``."""
        return self.spec.p + 1

    @property
    def n_pairs(self) -> int:
        """Number of pairs on which the operation is defined."""
        return len(self.labels)

    @cached_property
    def pairs(self) -> np.ndarray:
        """(n_pairs, 2) int64: a and b, a-major. Row ``a * p + b`` unless pairs are left out."""
        a, b = np.divmod(np.arange(self.spec.p**2, dtype=np.int64), self.spec.p)
        pairs = np.stack([a, b], axis=1)
        if self.operation.excludes_zero_divisor:
            pairs = pairs[pairs[:, 1] != 0]
        return _frozen(pairs)

    @cached_property
    def labels(self) -> np.ndarray:
        """(n_pairs,) int64: the correct answer of every pair, in 0 .. p-1."""
        return _frozen(self.operation.compute(self.pairs[:, 0], self.pairs[:, 1], self.spec.p))

    @cached_property
    def tokens(self) -> np.ndarray:
        """(n_pairs, 3) int64: the input sequences ``a b =``."""
        equals = np.full((self.n_pairs, 1), self.spec.p, dtype=np.int64)
        return _frozen(np.concatenate([self.pairs, equals], axis=1))

    @cached_property
    def mirror_rows(self) -> np.ndarray:
        """(n_pairs,) row of (b, a) for every pair (a, b); -1 where (b, a) is not defined."""
        rows = np.full((self.spec.p, self.spec.p), -1, dtype=np.int64)
        rows[self.pairs[:, 0], self.pairs[:, 1]] = np.arange(self.n_pairs)
        return _frozen(rows[self.pairs[:, 1], self.pairs[:, 0]])

    @property
    def cyclic_view(self) -> GroupView | None:
        """The task as addition in a cyclic group, or None where there is no such view.

        Multiplication modulo a composite p has none, nor have permutations.
        """
        view = self.group_view
        return view if view is not None and view.is_cyclic else None

    @cached_property
    def group_view(self) -> GroupView | None:
        """The task as multiplication in a group, or None where there is no such view.

        Multiplication modulo a composite p has none.
        """
        p, name = self.spec.p, self.spec.operation
        if self.operation.is_of_permutations:
            tokens = np.arange(p, dtype=np.int64)
            return GroupView(p, _frozen(np.arange(p * p)), _frozen(tokens), 0, self.spec.degree)
        rows = np.full((p, p), -1, dtype=np.int64)
        rows[self.pairs[:, 0], self.pairs[:, 1]] = np.arange(self.n_pairs)
        if name in ("addition", "subtraction"):
            elements = np.arange(p, dtype=np.int64)
        elif is_prime(p):
            g = primitive_root(p)
            elements = np.array([pow(g, e, p) for e in range(p - 1)], dtype=np.int64)
        else:
            return None
        n = len(elements)
        inverts_second = name in ("subtraction", "division")
        second = elements[-np.arange(n) % n] if inverts_second else elements
        pair_rows = rows[elements[:, None], second[None, :]].reshape(-1)
        return GroupView(n, _frozen(pair_rows), _frozen(elements), self.n_pairs - n * n)


def is_prime(n: int) -> bool:
    """Whether n is a prime number, by trial division (moduli here are small)."""
    return n >= 2 and all(n % d for d in range(2, math.isqrt(n) + 1))


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


def _frozen(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
