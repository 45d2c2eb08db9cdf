r"""Regression with a fixed kernel: what a network that stays lazy would end at."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from grokinterp.errors import FitError

SMALLEST_EIGENVALUE = 1e-12
"""Relative to the largest: below it a mode is rounding, and is never learned."""


@dataclass(frozen=True, eq=False)
class KernelRegression:
    r"""Gradient descent on a squared error in the space of functions of a kernel.

    A network :math:`f = f_0 + \nabla f_0 \cdot (w - w_0)` that is linear in its weights, with
    :math:`f_0 = 0` and the tangent kernel K, has after t steps of gradient descent at learning
    rate :math:`\eta` on the mean squared error of n points

    .. math:: f(x) = K(x, X) \frac{1 - (1 - rK)^t}{K} y, \qquad r = 2\eta/n

    which tends to :math:`K(x, X) K^{-1} y`, the regression without ridge. A network that is lazy
    throughout has these losses.

    Examples
    --------
    One point of the kernel 4 at the rate 0.125 halves its error in every step, and a test point of
    kernel 2 with it learns half as much.

    >>> kernel, targets = np.array([[4.0, 2.0], [2.0, 4.0]]), np.array([1.0, 1.0])
    >>> regression = KernelRegression.of(kernel, targets, n_train=1, rate=0.125)
    >>> regression.train_loss(2), regression.test_loss(2), regression.test_loss(math.inf)
    (0.0625, 0.390625, 0.25)

    References
    ----------
    Jacot, Gabriel and Hongler, "Neural tangent kernel", NeurIPS 2018, arXiv:1806.07572.
    """

    eigenvalues: Float[np.ndarray, " mode"]
    """Of the kernel of the training points; the modes that are rounding are left out."""
    projections: Float[np.ndarray, " mode"]
    """Training targets in the eigenvectors."""
    readings: Float[np.ndarray, "test mode"]
    """Kernel of test with training points, times the eigenvectors."""
    unlearned: float
    """Training loss in the modes that were left out."""
    targets: Float[np.ndarray, " test"]
    rate: float
    n_train: int

    @classmethod
    def of(
        cls,
        kernel: Float[np.ndarray, "point point"],
        targets: Float[np.ndarray, " point"],
        *,
        n_train: int,
        rate: int | float,
    ) -> KernelRegression:
        """Decompose the kernel; the training points come first.

        Parameters
        ----------
        kernel
            Of all points; decomposed in float64.
        targets
            Of all points.
        rate
            2 eta / n_train, for a network trained at learning rate eta on the mean squared error.

        Raises
        ------
        FitError
            If the rate is so large that gradient descent diverges.
        """
        kernel, targets = np.asarray(kernel, dtype=float), np.asarray(targets, dtype=float)
        values, vectors = np.linalg.eigh(kernel[:n_train, :n_train])
        if rate * values[-1] >= 2:
            raise FitError(
                f"rate={rate:g} times the largest eigenvalue {values[-1]:g} is not below 2, so "
                "gradient descent diverges. Use a smaller learning rate."
            )
        known = values > SMALLEST_EIGENVALUE * values[-1]
        projections = vectors.T @ targets[:n_train]
        return cls(
            values[known],
            projections[known],
            kernel[n_train:, :n_train] @ vectors[:, known],
            float(projections[~known] @ projections[~known]) / n_train,
            targets[n_train:],
            rate,
            n_train,
        )

    def train_loss(self, step: int | float) -> float:
        """Mean squared error of the training points after `step` steps; ``math.inf``: the limit."""
        rest = self._rest(step) * self.projections
        return float(rest @ rest) / self.n_train + self.unlearned

    def test_loss(self, step: int | float) -> float:
        """Mean squared error of the test points after `step` steps; ``math.inf``: no ridge."""
        learned = (1 - self._rest(step)) * self.projections / self.eigenvalues
        return float(np.mean((self.readings @ learned - self.targets) ** 2))

    def least_test_loss(self) -> float:
        """Return the least test loss along the descent: stopped early at the best step."""
        slowest = 10 / (self.rate * self.eigenvalues[0])
        steps = [0.0, *np.geomspace(1, max(slowest, 2), 200), math.inf]
        return min(self.test_loss(step) for step in steps)

    def _rest(self, step: int | float) -> Float[np.ndarray, " mode"]:
        """Part of each mode that is not learned yet."""
        shrinks = 1 - self.rate * self.eigenvalues
        if math.isinf(step):
            return np.zeros_like(shrinks)
        # Rates above 1 change the sign in every step, which matters at whole steps alone.
        return np.sign(shrinks) ** round(step) * np.abs(shrinks) ** step
