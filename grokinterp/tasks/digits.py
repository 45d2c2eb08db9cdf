"""Handwritten digits: a small set of natural images, where grokking has to be provoked.

The stand-in for MNIST of Liu et al., "Omnigrok: grokking beyond algorithmic data", ICLR 2023,
arXiv:2210.01117: the test part of the UCI "Optical recognition of handwritten digits" as
scikit-learn ships it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int64

from grokinterp.errors import ConfigError
from grokinterp.fields import check_seed, check_types
from grokinterp.reprs import spec_repr
from grokinterp.tasks.examples import Examples, frozen

N_IMAGES = 1797
N_PIXELS = 64
BRIGHTEST = 16
"""Value of the brightest pixel in the files."""


@dataclass(frozen=True)
class DigitsSpec:
    """How many of the images are trained on, and which.

    Examples
    --------
    >>> DigitsSpec(n_train=200).in_words
    'handwritten digits, 200 of 1797 images trained on'
    """

    dataset: Literal["digits"] = "digits"
    n_train: int = 200
    """Images that are trained on; the others are tested on."""
    split_seed: int = 0
    """Seed of the shuffle that chooses them; with the same seed fewer are the first of more."""

    __repr__ = spec_repr

    def __post_init__(self) -> None:
        check_types(self)
        if not 1 <= self.n_train < N_IMAGES:
            raise ConfigError(
                f"n_train={self.n_train} is not allowed. Choose 1 to {N_IMAGES - 1} of the "
                f"{N_IMAGES} images, so that some are left to test on."
            )
        check_seed("split_seed", self.split_seed)

    @property
    def in_words(self) -> str:
        """What is learned, in a few words."""
        return f"handwritten digits, {self.n_train} of {N_IMAGES} images trained on"


@dataclass(frozen=True, eq=False)
class DigitsTask(Examples):
    """Images of 8 x 8 pixels and the digits that they show.

    Needs scikit-learn, the extra ``grokinterp[digits]``; a ConfigError says so where it is
    missing.

    Examples
    --------
    >>> task = DigitsTask(DigitsSpec())
    >>> task.inputs.shape, task.labels[:3].tolist()
    ((1797, 64), [0, 1, 2])
    """

    spec: DigitsSpec

    @property
    def n_examples(self) -> int:
        """Number of images."""
        return N_IMAGES

    @property
    def n_inputs(self) -> int:
        """Number of pixels of an image."""
        return N_PIXELS

    @property
    def n_outputs(self) -> int:
        """The ten digits."""
        return 10

    @property
    def inputs(self) -> Float32[np.ndarray, "image pixel"]:
        """(1797, 64) float32: brightness in 0 .. 1, row by row."""
        return _images_and_digits()[0]

    @property
    def labels(self) -> Int64[np.ndarray, " image"]:
        """(1797,) int64: the digit of every image."""
        return _images_and_digits()[1]


@lru_cache(maxsize=1)
def _images_and_digits() -> tuple[np.ndarray, np.ndarray]:
    try:
        # Takes a second to import, and only this task needs it.
        from sklearn.datasets import load_digits
    except ImportError:
        raise ConfigError(
            "the task of handwritten digits needs scikit-learn. Install it with "
            'pip install "grokinterp[digits]".'
        ) from None
    pixels, digits = (np.asarray(part) for part in load_digits(return_X_y=True))
    return frozen((pixels / BRIGHTEST).astype(np.float32)), frozen(digits.astype(np.int64))
