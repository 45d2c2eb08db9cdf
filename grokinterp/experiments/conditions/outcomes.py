"""How a run ended, and whether a longer one could have ended otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from grokinterp.experiments.claims import (
    AT_ONCE,
    COLLAPSED,
    LATE,
    NOT_GENERALIZED,
    NOT_SETTLED,
)
from grokinterp.experiments.conditions.condition import Base
from grokinterp.experiments.conditions.settings import CONDITION_OF, REFERENCES
from grokinterp.experiments.records import Record, Runs, by, last_step_of, median_time, where

REFERENCE_TIMES = 10.0
"""Median grokking times of the reference for which a run has to be followed before it says that
it does not generalize."""

WORDS = {
    "grokked": "grokked",
    "slow_convergence": "late, not sharp",
    "generalized_without_delay": "without delay",
    "generalized_before_memorizing": "before memorizing",
    "memorized": "memorized",
    "did_not_fit": "did not fit",
    COLLAPSED: "collapsed",
    NOT_SETTLED: "not settled",
    "diverged": "diverged",
}

_AT_LEVEL = {
    "outcome_kind": "level_outcome",
    "grokking_step": "level_grokking_step",
    "grokking_delay": "level_delay",
    "transition_width": "level_width",
}


def at_level(run: Record) -> Record:
    """Return a run as it is judged by the accuracy of its own dataset, instead of 95 %.

    Examples
    --------
    >>> at_level({"level_outcome": None, "outcome_kind": "memorized"})["outcome_kind"]
    'memorized'
    """
    if run.get("level_outcome") is None:
        return run
    crossing = run["level_crossing_step"]
    time = run["last_step"] if crossing is None else crossing
    judged: dict[str, Any] = {name: run[column] for name, column in _AT_LEVEL.items()}
    return run | judged | {"is_censored": crossing is None, "grokking_time": time}


class Table:
    """Runs by setting, with what the references say of how long is long enough."""

    def __init__(self, runs: Runs) -> None:
        self.by_condition: Mapping[str, Runs] = by(runs, "condition")
        self._times = {base: median_time(self.of(name)) for base, name in REFERENCES.items()}

    def of(self, *names: str) -> list[Record]:
        """Runs of these settings."""
        return [run for name in names for run in self.by_condition.get(name, [])]

    def of_row(self, row: str) -> list[Record]:
        """Runs of all settings of a row of the table."""
        return self.of(*(name for name, one in CONDITION_OF.items() if one.row == row))

    def reference_time(self, base: Base) -> float | None:
        """Median steps of the reference to generalize; None where most of it did not."""
        return self._times[base]

    def is_followed(self, run: Record) -> bool:
        """Whether a run lasted long enough to say that it does not generalize."""
        time = self._times[CONDITION_OF[run["condition"]].base]
        return time is not None and run["last_step"] >= REFERENCE_TIMES * time

    def grokked(self, run: Record, *, is_absence: bool = False) -> bool | None:
        """Whether a run generalized late; None where it leaves that open.

        Where it `is_absence` that the literature expects, a run that generalized and collapsed
        is against it.
        """
        kind = run["outcome_kind"]
        if kind in LATE:
            return True
        if kind in AT_ONCE or kind == "diverged":
            return False
        if kind in NOT_GENERALIZED:
            return False if self.is_followed(run) else None
        if kind == COLLAPSED and is_absence and run["grokking_step"] is not None:
            return True
        return None


def outcomes_in_words(runs: Runs) -> str:
    """``memorized x 2 (by step 1,800), grokked``, or ``no runs``."""
    counts = Counter(run["outcome_kind"] for run in runs)
    parts = []
    for kind, n in counts.most_common():
        text = WORDS.get(kind, "outcome not known" if kind is None else str(kind)) + (
            f" x {n}" if n > 1 else ""
        )
        if kind in NOT_GENERALIZED:
            ended = where(runs, outcome_kind=kind)
            text += f" (by step {last_step_of(ended):,})"
        parts.append(text)
    return ", ".join(parts) or "no runs"
