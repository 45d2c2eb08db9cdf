"""Regression on the square of a projection: what a network learns late when it is lazy.

Kumar et al., "Grokking as the transition from lazy to rich training dynamics", 2023,
arXiv:2310.06110: the linear modes are learned first and cannot explain an even target.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float32

from grokinterp.errors import ConfigError
from grokinterp.fields import check_seed, check_types, require_sizes, shown
from grokinterp.reprs import spec_repr
from grokinterp.tasks.examples import Examples, frozen

MOST_NUMBERS = 10**8
"""Components of all points of one side together: 0.8 GB where they are drawn."""


@dataclass(frozen=True)
class PolynomialSpec:
    """Dimension and numbers of points, all of which are drawn.

    The defaults are the settings of the authors' published code.

    Examples
    --------
    >>> PolynomialSpec().in_words
    'the squared projection of points in 100 dimensions, 550 trained on'
    """

    dataset: Literal["polynomial"] = "polynomial"
    dimension: int = 100
    """D, components of a point."""
    n_train: int = 550
    """P, points that are trained on."""
    n_test: int = 1000
    seed: int = 0
    """Of the direction and of all points. Neither `n_train` nor `n_test` changes the direction
    or the points of the other side, and fewer points are the first of more."""

    __repr__ = spec_repr

    def __post_init__(self) -> None:
        check_types(self)
        require_sizes(self, "dimension")
        for name in ("n_train", "n_test"):
            value = getattr(self, name)
            if value < 1:
                raise ConfigError(f"{name}={value} is too small. It must be at least 1.")
            if value * self.dimension > MOST_NUMBERS:
                raise ConfigError(
                    f"{name}={shown(value)} points in {self.dimension} dimensions are more than "
                    f"{MOST_NUMBERS:,} numbers. Choose fewer points."
                )
        check_seed("seed", self.seed)

    @property
    def in_words(self) -> str:
        """What is learned, in a few words."""
        return (
            f"the squared projection of points in {self.dimension} dimensions, "
            f"{self.n_train} trained on"
        )


@dataclass(frozen=True, eq=False)
class PolynomialTask(Examples):
    r"""Points :math:`x \sim N(0, I/D)` with :math:`y = (\beta\cdot x)^2 / 2`.

    :math:`\beta` is uniform on the sphere :math:`|\beta|^2 = D`, so :math:`\beta\cdot x` is
    standard normal: y has mean 1/2 and variance 1/2, and answering 0 costs a mean squared error
    of 3/4. The points trained on come first.

    Examples
    --------
    >>> task = PolynomialTask(PolynomialSpec())
    >>> task.inputs.shape, task.targets.shape, task.is_classification
    ((1550, 100), (1550, 1), False)
    """

    spec: PolynomialSpec

    @property
    def n_examples(self) -> int:
        """Number of points, trained on or tested on."""
        return self.spec.n_train + self.spec.n_test

    @property
    def n_inputs(self) -> int:
        """D, the dimension."""
        return self.spec.dimension

    @property
    def n_outputs(self) -> int:
        """One number is predicted."""
        return 1

    @property
    def is_classification(self) -> bool:
        """False: the targets are numbers."""
        return False

    @property
    def labels(self) -> np.ndarray:
        """There are none.

        Raises
        ------
        ConfigError
            Always.
        """
        raise ConfigError(f"{self.spec.in_words}, has numbers to predict, no labels. Use targets.")

    @cached_property
    def direction(self) -> np.ndarray:
        r"""(dimension,) float64: :math:`\beta`, of squared norm D."""
        beta = self._generator("direction").standard_normal(self.spec.dimension)
        return frozen(beta * np.sqrt(self.spec.dimension) / np.linalg.norm(beta))

    @cached_property
    def inputs(self) -> Float32[np.ndarray, "point dimension"]:
        """(n_train + n_test, dimension) float32: the points."""
        return frozen(self._points.astype(np.float32))

    @cached_property
    def targets(self) -> Float32[np.ndarray, "point 1"]:
        """(n_train + n_test, 1) float32, computed in float64."""
        y = (self._points @ self.direction) ** 2 / 2
        return frozen(y.astype(np.float32)[:, None])

    @property
    def _points(self) -> np.ndarray:
        spec = self.spec
        train = self._generator("train").standard_normal((spec.n_train, spec.dimension))
        test = self._generator("test").standard_normal((spec.n_test, spec.dimension))
        return np.concatenate([train, test]) / np.sqrt(spec.dimension)

    def _generator(self, part: Literal["direction", "train", "test"]) -> np.random.Generator:
        """A stream for each part, so that the number drawn of one does not shift another."""
        children = np.random.SeedSequence(self.spec.seed).spawn(3)
        child = children[("direction", "train", "test").index(part)]
        return np.random.Generator(np.random.PCG64(child))
