"""The three phases of a grokking run: memorization, circuit formation, cleanup."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

PHASES = ("memorization", "circuit_formation", "cleanup")
CLEANUP_FRACTION = 0.95


@dataclass(frozen=True)
class Phases:
    """First and last step of each phase, or None with a reason."""

    memorization: tuple[int, int] | None = None
    circuit_formation: tuple[int, int] | None = None
    cleanup: tuple[int, int] | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a phase is None, by its name."""

    def as_dict(self) -> dict[str, list[int] | None]:
        """Return {name: [first step, last step] or None}, in order."""
        spans = {name: getattr(self, name) for name in PHASES}
        return {name: list(span) if span else None for name, span in spans.items()}


def find_phases(curves: pd.DataFrame, weights: pd.DataFrame) -> Phases:
    """Find the phases from the test loss and the sum of squared weights.

    Memorization ends at the maximum of the test loss. Circuit formation ends, and cleanup
    begins, at the first tested step from which on the test loss stays below half that
    maximum. Cleanup ends when 95 % of the later fall of the sum of squared weights is done.
    Both published runs whose curves are known have their maximum at 1,399 and 1,420, where
    the paper puts the end of memorization (about 1,400).

    Parameters
    ----------
    curves
        Columns ``step`` and ``test_loss`` (nats); rows without a test loss are passed over.
    weights
        Columns ``step`` and ``sum_squared_weights``.

    Examples
    --------
    >>> curves = pd.DataFrame({"step": [0, 10, 20, 30], "test_loss": [5.0, 30.0, 20.0, 0.1]})
    >>> weights = pd.DataFrame({"step": [0, 30, 40], "sum_squared_weights": [9.0, 5.0, 1.0]})
    >>> find_phases(curves, weights).as_dict()
    {'memorization': [0, 10], 'circuit_formation': [10, 30], 'cleanup': [30, 40]}

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability", ICLR
    2023, arXiv:2301.05217, section 5 and figure 7 (there the boundaries are drawn by eye).
    """
    tested = curves.loc[curves["test_loss"].notna(), ["step", "test_loss"]]
    if tested.empty:
        return _none_of("the run has no test loss", *PHASES)
    loss, steps = tested["test_loss"].to_numpy(), tested["step"].to_numpy()
    peak = int(loss.argmax())
    if peak == 0:
        return _none_of("the test loss never rises above its first value", *PHASES)
    memorization = (int(steps[0]), int(steps[peak]))
    above_half = loss >= loss[peak] / 2
    last_above = len(loss) - 1 - int(above_half[::-1].argmax())
    if last_above == len(loss) - 1:
        reason = "the test loss does not stay below half its maximum"
        rest = _none_of(reason, *PHASES[1:])
        return Phases(memorization, None, None, rest.reasons)
    cleanup_start = int(steps[last_above + 1])
    cleanup_end, reason = _end_of_cleanup(weights, cleanup_start)
    formation = (memorization[1], cleanup_start)
    if cleanup_end is None:
        return Phases(memorization, formation, None, {"cleanup": reason})
    return Phases(memorization, formation, (cleanup_start, cleanup_end))


def _end_of_cleanup(weights: pd.DataFrame, start: int) -> tuple[int | None, str]:
    if "sum_squared_weights" not in weights:
        return None, "the sum of squared weights was not measured"
    later = weights.loc[(weights["step"] >= start) & weights["sum_squared_weights"].notna()]
    if len(later) < 2:
        return None, f"there are fewer than two checkpoints after step {start}"
    values = later["sum_squared_weights"].to_numpy()
    fall = values[0] - values[-1]
    if fall <= 0:
        return None, f"the sum of squared weights does not fall after step {start}"
    done = values <= values[0] - CLEANUP_FRACTION * fall
    return int(later["step"].to_numpy()[done.argmax()]), ""


def _none_of(reason: str, *names: str) -> Phases:
    return Phases(reasons=dict.fromkeys(names, reason))
