"""When each of the two circuits works along a run, and when one overtakes the other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from grokinterp.trajectory.milestones import Thresholds, first_lasting


@dataclass(frozen=True)
class CircuitSteps:
    """Steps of checkpoints, so as coarse as these are spaced; None where it never happens."""

    memorization_works_from: int | None
    """First step from which the network without its trigonometric circuit answers the training
    pairs (accuracy above the grokking threshold, for `patience` steps or to the end)."""
    memorization_works_until: int | None
    """First step after that from which it stays below the threshold."""
    trigonometric_works_from: int | None
    """First step from which the trigonometric circuit alone, as the test pairs show it, answers
    them."""
    trigonometric_is_stronger_from: int | None
    """First step from which it contributes more to the correct logit of the training pairs
    than everything else does."""

    def as_dict(self) -> dict[str, int | None]:
        """Return the fields by name."""
        return asdict(self)


_NEEDED = (
    "excluded_accuracy_train",
    "held_out_restricted_accuracy",
    "trigonometric_logit_train",
    "memorization_logit_train",
)


def find_circuit_steps(
    trajectory: pd.DataFrame, thresholds: Thresholds | None = None
) -> CircuitSteps | None:
    """Find when each circuit starts to work, and when the memorization circuit stops.

    Parameters
    ----------
    trajectory
        Columns ``step``, ``excluded_accuracy_train``, ``held_out_restricted_accuracy``,
        ``trigonometric_logit_train`` and ``memorization_logit_train``.
    thresholds
        ``grokking`` is the accuracy above which a circuit works, ``patience`` for how long.

    Returns
    -------
    CircuitSteps or None
        None where these columns are absent: without key frequencies, or without a known split.

    Examples
    --------
    >>> trajectory = pd.DataFrame({
    ...     "step": [0, 1000, 2000, 3000],
    ...     "excluded_accuracy_train": [0.0, 1.0, 1.0, 0.1],
    ...     "held_out_restricted_accuracy": [0.0, 0.1, 1.0, 1.0],
    ...     "trigonometric_logit_train": [0.0, 1.0, 8.0, 20.0],
    ...     "memorization_logit_train": [0.0, 9.0, 9.0, 1.0],
    ... })
    >>> find_circuit_steps(trajectory).as_dict()["trigonometric_works_from"]
    2000

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, section 5; Varma et al., arXiv:2309.02390, section 4.
    """
    if not set(_NEEDED) <= set(trajectory.columns):
        return None
    limits = thresholds or Thresholds()
    steps = trajectory["step"].to_numpy(dtype=np.int64)

    def first(is_so: Any) -> int | None:
        return first_lasting(steps, np.asarray(is_so), limits.patience)

    memorizes = trajectory["excluded_accuracy_train"] > limits.grokking
    begins = first(memorizes)
    ends = None if begins is None else first(~memorizes & (trajectory["step"] > begins))
    is_stronger = (
        trajectory["trigonometric_logit_train"] > trajectory["memorization_logit_train"]
    ) & (trajectory["trigonometric_logit_train"] > 0)
    return CircuitSteps(
        memorization_works_from=begins,
        memorization_works_until=ends,
        trigonometric_works_from=first(
            trajectory["held_out_restricted_accuracy"] > limits.grokking
        ),
        trigonometric_is_stronger_from=first(is_stronger),
    )
