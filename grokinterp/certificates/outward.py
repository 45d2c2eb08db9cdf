r"""Arithmetic that is rounded outwards: values with bounds on how far they are from the truth.

A :class:`Ball` is an array of float64 midpoints with a radius for each. With
:math:`u = 2^{-53}`, a dot product of n terms in any order is within
:math:`\gamma_n |x|^T|y|`, :math:`\gamma_n = nu/(1-nu)`, of the exact one (Higham, Accuracy and
Stability of Numerical Algorithms, section 3.1). Radii are computed in float64 too, and made
larger by more than their own rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

UNIT = 2.0**-53
"""Unit of rounding of float64."""
_UNDERFLOW = 2.0**-1000
"""More than any sum of this library loses where products underflow."""


@dataclass
class Operations:
    """Floating-point operations: each addition, product, comparison, root or exponential is one."""

    values: float = 0.0
    """Those that compute values."""
    bounds: float = 0.0
    """Those that compute bounds on values, and radii."""

    @property
    def total(self) -> float:
        """All of them."""
        return self.values + self.bounds


@dataclass(frozen=True, eq=False)
class Ball:
    """An array that is known to lie within `rad` of `mid`, entry by entry."""

    mid: Float[np.ndarray, ...]
    rad: Float[np.ndarray, ...]

    @classmethod
    def exact(cls, value: Float[np.ndarray, ...]) -> Ball:
        """Take float64 numbers for what they are."""
        mid = np.asarray(value, dtype=np.float64)
        return cls(mid, np.zeros_like(mid))

    def __getitem__(self, index: Any) -> Ball:
        return Ball(self.mid[index], self.rad[index])

    @property
    def size(self) -> Float[np.ndarray, ...]:
        """The largest absolute value that each entry can have."""
        return up(np.abs(self.mid) + self.rad, 2)

    @property
    def transposed(self) -> Ball:
        """The transposed matrix."""
        return Ball(self.mid.T, self.rad.T)


def gamma(n: int) -> float:
    r"""Return :math:`\gamma_n`, rounded up.

    Examples
    --------
    >>> gamma(100) > 100 * UNIT
    True
    """
    return float(np.nextafter(n * UNIT / (1 - n * UNIT), 1)) * (1 + 4 * UNIT)


def up(bound: Float[np.ndarray, ...] | float, n_operations: int) -> Float[np.ndarray, ...]:
    """Make a bound that took so many operations on numbers of one sign larger than their error."""
    return np.asarray(bound) * (1 + 2 * gamma(n_operations + 4)) + _UNDERFLOW


def matrix_product(left: Ball, right: Ball, operations: Operations) -> Ball:
    """Multiply two matrices; radii by norms of rows and columns, which cost no second product."""
    n = left.mid.shape[-1]
    mid = left.mid @ right.mid
    rows, columns = norms(left.mid, operations), norms(right.mid, operations, axis=0)
    rows_off, columns_off = norms(left.rad, operations), norms(right.rad, operations, axis=0)
    # Each dot product is off by at most gamma |x||y|, and radii by Cauchy and Schwarz.
    from_rows = rows * gamma(n) + rows_off
    rad = from_rows[..., None] * columns + (rows + rows_off)[..., None] * columns_off
    operations.values += 2.0 * n * mid.size
    operations.bounds += 4.0 * mid.size
    return Ball(mid, up(rad, 8))


def added(left: Ball, right: Ball, operations: Operations) -> Ball:
    """Add two arrays."""
    mid = left.mid + right.mid
    operations.values += mid.size
    operations.bounds += 3.0 * mid.size
    return Ball(mid, up(left.rad + right.rad + UNIT * np.abs(mid), 4))


def negative(ball: Ball) -> Ball:
    """Change the sign, which is exact."""
    return Ball(-ball.mid, ball.rad)


def scaled(ball: Ball, factor: float, operations: Operations) -> Ball:
    """Multiply by one number that float64 holds within two roundings, such as 1 / m."""
    mid = ball.mid * factor
    operations.values += mid.size
    operations.bounds += 3.0 * mid.size
    return Ball(mid, up((ball.rad * abs(factor) + 4 * UNIT * np.abs(mid)) * (1 + 4 * UNIT), 8))


def norms(
    sizes: Float[np.ndarray, ...], operations: Operations, axis: int = -1
) -> Float[np.ndarray, ...]:
    """Bound Euclidean norms along an axis from above."""
    operations.bounds += 2.0 * sizes.size
    return up(np.sqrt(np.square(sizes).sum(axis=axis)), sizes.shape[axis] + 2)
