"""When each of the two circuits works along a run, and when one overtakes the other."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from grokinterp.trajectory.lasting import first_lasting
from grokinterp.trajectory.thresholds import Thresholds


@dataclass(frozen=True)
class CircuitSteps:
    """Steps of checkpoints, so as coarse as these are spaced; None where it never happens."""

    memorization_works_from: int | None
    """First step from which the network without its trigonometric circuit answers the training
    pairs: its accuracy lasts above the grokking threshold, see
    :func:`~grokinterp.trajectory.lasting.first_lasting`; at most a fifth of the checkpoints of
    `patience` steps may be otherwise."""
    memorization_works_until: int | None
    """First step after that from which it lasts below the threshold."""
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
        return first_lasting(steps, np.asarray(is_so), limits.patience, limits=limits)

    begins = first(_memorizes(trajectory, limits))
    stops = first(_stopped(trajectory, limits, begins))
    return CircuitSteps(
        memorization_works_from=begins,
        memorization_works_until=stops,
        trigonometric_works_from=first(_generalizes(trajectory, limits)),
        trigonometric_is_stronger_from=first(_is_stronger(trajectory)),
    )


def why_never(
    trajectory: pd.DataFrame, found: CircuitSteps, thresholds: Thresholds
) -> dict[str, str]:
    """Say why a step is None, by name: it never came, or it came and did not stay.

    Parameters
    ----------
    trajectory, thresholds
        As :func:`find_circuit_steps` took them.
    found
        What it returned.
    """
    line = f"{thresholds.grokking:g}"
    staying = f"the {thresholds.patience:,} steps that count as staying"
    memorizes = _memorizes(trajectory, thresholds)
    begins = found.memorization_works_from
    accuracy = "the training accuracy without the trigonometric circuit was"
    alone = "the test accuracy of the trigonometric circuit alone was"

    def why(is_so: Any, brief: str, never: str) -> str:
        stretch = _longest_stretch(trajectory["step"], is_so)
        return never if stretch is None else f"{brief} {stretch}, which is shorter than {staying}"

    if begins is not None:
        stopped = _stopped(trajectory, thresholds, begins)
        until = why(stopped, "it stopped", "it works to the last step")
    else:
        until = f"it never worked for {staying}" if memorizes.any() else "it never works"
    reasons = {
        "memorization_works_from": why(
            memorizes, f"{accuracy} above {line}", f"{accuracy} above {line} at no checkpoint"
        ),
        "memorization_works_until": until,
        "trigonometric_works_from": why(
            _generalizes(trajectory, thresholds),
            f"{alone} above {line}",
            f"{alone} above {line} at no checkpoint",
        ),
        "trigonometric_is_stronger_from": why(
            _is_stronger(trajectory),
            "it was stronger",
            "everything else contributes more to the correct logit of the training pairs "
            "throughout",
        ),
    }
    return {name: reasons[name] for name, step in found.as_dict().items() if step is None}


def _memorizes(trajectory: pd.DataFrame, limits: Thresholds) -> Any:
    return trajectory["excluded_accuracy_train"] > limits.grokking


def _stopped(trajectory: pd.DataFrame, limits: Thresholds, begins: int | None) -> Any:
    after = trajectory["step"] > (math.inf if begins is None else begins)
    return ~_memorizes(trajectory, limits) & after


def _generalizes(trajectory: pd.DataFrame, limits: Thresholds) -> Any:
    return trajectory["held_out_restricted_accuracy"] > limits.grokking


def _is_stronger(trajectory: pd.DataFrame) -> Any:
    trigonometric = trajectory["trigonometric_logit_train"]
    return (trigonometric > trajectory["memorization_logit_train"]) & (trigonometric > 0)


def _longest_stretch(steps: Any, is_so: Any) -> str | None:
    """The longest run of checkpoints of which something is so, in words."""
    at = np.flatnonzero(is_so)
    if not len(at):
        return None
    stretches = np.split(at, np.flatnonzero(np.diff(at) > 1) + 1)
    ends = [(int(steps.iloc[s[0]]), int(steps.iloc[s[-1]])) for s in stretches]
    first, last = max(ends, key=lambda stretch: stretch[1] - stretch[0])
    if first == last and len(ends) == 1:
        return f"at step {first:,} alone"
    if first == last:
        return f"at single checkpoints, such as step {first:,}"
    often = "at longest " if len(ends) > 1 else ""
    return f"{often}from step {first:,} to step {last:,}"
