"""Common eigenvectors of a class algebra modulo a prime: the linear algebra of Dixon's method."""

from __future__ import annotations

import itertools
import math

import numpy as np

from grokinterp.groups.finite_group import FiniteGroup

_LARGEST = 2**20
"""A sum of 2^13 products of numbers below it is exact in float64, and so are matrix products."""
_POINTS_AT_A_TIME = 2**16


def prime_for(group: FiniteGroup) -> int:
    """Return a prime q with exponent | q - 1 and q > 2 sqrt(order), large enough to draw from.

    Random combinations of k class matrices have two equal eigenvalues with a chance of about
    k²/2q, so q is above 50 k² where that is below 2^20.

    Examples
    --------
    >>> from grokinterp.groups import named_group
    >>> prime_for(named_group("S3"))
    457
    """
    bound = max(2 * math.isqrt(group.order) + 2, min(50 * group.n_classes**2, _LARGEST // 2))
    start = bound // group.exponent + 1
    candidates = (m * group.exponent + 1 for m in itertools.count(start))
    return next(q for q in candidates if _is_prime(q))


def element_of_order(order: int, q: int) -> int:
    """Return a number of a given multiplicative order modulo a prime q, a divisor of q - 1.

    Examples
    --------
    >>> element_of_order(3, 7)
    4
    """
    factors = {f for f in range(2, order + 1) if order % f == 0 and _is_prime(f)}
    for base in range(1, q):
        root = pow(base, (q - 1) // order, q)
        if all(pow(root, order // f, q) != 1 for f in factors):
            return root
    raise AssertionError(f"{order} does not divide {q} - 1")


def common_eigenvectors(group: FiniteGroup, q: int) -> np.ndarray:
    """Vectors ω with ω(C) ω(D) = sum of a_CDE ω(E), a being the class multiplication coefficients.

    Returns
    -------
    ndarray
        (k, k) int64 modulo q, one eigenvector a row, 1 on the class of the identity.
    """
    generator = np.random.default_rng(0)
    for _ in range(100):
        weights = generator.integers(1, q, group.n_classes)
        matrix = _combined_class_matrix(group, weights, q)
        powers = _krylov(matrix, generator.integers(1, q, len(matrix)), q)
        # The last power in terms of those before is the characteristic polynomial.
        polynomial = _solve(powers[:-1].T, powers[-1], q)
        if polynomial is None:
            continue  # two eigenvalues are equal, or the vector has no part along one of them
        coefficients = np.append(-polynomial % q, 1)
        roots = _roots(coefficients, q)
        assert len(roots) == len(matrix)  # every eigenvalue is a number modulo q
        vectors = _modular_product(_quotients(coefficients, roots, q), powers[:-1], q)
        first = np.array([pow(int(x), -1, q) for x in vectors[:, 0]])
        return vectors * first[:, None] % q
    raise AssertionError("no combination of class matrices has distinct eigenvalues")


def _combined_class_matrix(group: FiniteGroup, weights: np.ndarray, q: int) -> np.ndarray:
    """Sum over classes C of weights[C] times the ways to write z in E as xy, x in C, y in D."""
    k, of = group.n_classes, group.conjugacy_class
    matrix = np.zeros((k, k), dtype=np.int64)
    for column, z in enumerate(group.class_representatives):
        second = of[group.products[group.inverses, z]]
        sums = np.bincount(second, weights=weights[of].astype(np.float64), minlength=k)
        matrix[:, column] = sums.astype(np.int64) % q
    return matrix


def _modular_product(a: np.ndarray, b: np.ndarray, q: int) -> np.ndarray:
    return (a.astype(np.float64) @ b.astype(np.float64) % q).astype(np.int64)


def _krylov(matrix: np.ndarray, start: np.ndarray, q: int) -> np.ndarray:
    powers = [start]
    for _ in range(len(matrix)):
        powers.append(_modular_product(matrix, powers[-1], q))
    return np.stack(powers)


def _solve(matrix: np.ndarray, right: np.ndarray, q: int) -> np.ndarray | None:
    """Solution of a square system modulo q; None if it is singular."""
    rows = np.concatenate([matrix, right[:, None]], axis=1) % q
    for i in range(len(matrix)):
        candidates = np.flatnonzero(rows[i:, i])
        if not len(candidates):
            return None
        pivot = i + candidates[0]
        rows[[i, pivot]] = rows[[pivot, i]]
        rows[i] = rows[i] * pow(int(rows[i, i]), -1, q) % q
        factors = rows[:, i].copy()
        factors[i] = 0
        rows = (rows - factors[:, None] * rows[i]) % q
    return rows[:, -1]


def _roots(coefficients: np.ndarray, q: int) -> np.ndarray:
    """Roots of a polynomial, lowest coefficient first, found by trying all numbers modulo q."""
    found = []
    for start in range(0, q, _POINTS_AT_A_TIME):
        x = np.arange(start, min(start + _POINTS_AT_A_TIME, q))
        value = np.zeros_like(x)
        for coefficient in coefficients[::-1]:
            value = (value * x + coefficient) % q
        found.append(x[value == 0])
    return np.concatenate(found)


def _quotients(coefficients: np.ndarray, roots: np.ndarray, q: int) -> np.ndarray:
    """(root, power) coefficients of the polynomial divided by x - root."""
    quotients = np.zeros((len(roots), len(coefficients) - 1), dtype=np.int64)
    carried = np.zeros(len(roots), dtype=np.int64)
    for power in range(len(coefficients) - 1, 0, -1):
        carried = (coefficients[power] + carried * roots) % q
        quotients[:, power - 1] = carried
    return quotients


def _is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))
