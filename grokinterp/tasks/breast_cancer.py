"""Breast tumors: a small table of measurements, natural data that is no image.

A second natural set beside the digits, for statements about grokking outside of algorithms such
as those of Liu et al., "Omnigrok: grokking beyond algorithmic data", ICLR 2023, arXiv:2210.01117.
The table is "Breast Cancer Wisconsin (Diagnostic)" (Wolberg, Mangasarian, Street and Street 1993,
UCI Machine Learning Repository, doi:10.24432/C5DW2B) as scikit-learn ships it.
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

N_TUMORS = 569
N_MEASUREMENTS = 30


@dataclass(frozen=True)
class BreastCancerSpec:
    """How many of the tumors are trained on, and which.

    Examples
    --------
    >>> BreastCancerSpec(n_train=50).in_words
    'breast tumors, 50 of 569 trained on'
    """

    dataset: Literal["breast_cancer"] = "breast_cancer"
    n_train: int = 200
    """Tumors that are trained on; the others are tested on."""
    split_seed: int = 0
    """Seed of the shuffle that chooses them; with the same seed fewer are the first of more."""

    __repr__ = spec_repr

    def __post_init__(self) -> None:
        check_types(self)
        if not 1 <= self.n_train < N_TUMORS:
            raise ConfigError(
                f"n_train={self.n_train} is not allowed. Choose 1 to {N_TUMORS - 1} of the "
                f"{N_TUMORS} tumors, so that some are left to test on."
            )
        check_seed("split_seed", self.split_seed)

    @property
    def in_words(self) -> str:
        """What is learned, in a few words."""
        return f"breast tumors, {self.n_train} of {N_TUMORS} trained on"


@dataclass(frozen=True, eq=False)
class BreastCancerTask(Examples):
    """Thirty measurements of a tumor's cells, and whether it is malignant (0) or benign (1).

    Always answering "benign" is right for 357 of 569, 62.7 %. Needs scikit-learn, the extra
    ``grokinterp[digits]``; a ConfigError says so where it is missing.

    Examples
    --------
    >>> task = BreastCancerTask(BreastCancerSpec())
    >>> task.inputs.shape, task.labels[-3:].tolist()
    ((569, 30), [0, 0, 1])
    """

    spec: BreastCancerSpec

    @property
    def n_examples(self) -> int:
        """Number of tumors."""
        return N_TUMORS

    @property
    def n_inputs(self) -> int:
        """Number of measurements of a tumor."""
        return N_MEASUREMENTS

    @property
    def n_outputs(self) -> int:
        """Malignant and benign."""
        return 2

    @property
    def inputs(self) -> Float32[np.ndarray, "example n_inputs"]:
        """(569, 30) float32: every measurement with mean 0 and variance 1 over all tumors.

        All means all, those tested on too; the labels have no part in it.
        """
        return _measurements_and_diagnoses()[0]

    @property
    def labels(self) -> Int64[np.ndarray, " example"]:
        """(569,) int64: 0 for malignant, 1 for benign."""
        return _measurements_and_diagnoses()[1]


@lru_cache(maxsize=1)
def _measurements_and_diagnoses() -> tuple[np.ndarray, np.ndarray]:
    try:
        # Takes a second to import, and only this task needs it.
        from sklearn.datasets import load_breast_cancer
    except ImportError:
        raise ConfigError(
            "the task of breast tumors needs scikit-learn. Install it with "
            'pip install "grokinterp[digits]".'
        ) from None
    measured, diagnoses = (np.asarray(part) for part in load_breast_cancer(return_X_y=True))
    scaled = (measured - measured.mean(axis=0)) / measured.std(axis=0)
    return frozen(scaled.astype(np.float32)), frozen(diagnoses.astype(np.int64))
