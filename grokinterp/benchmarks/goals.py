"""What this library wants to reach, and whether a machine's figures reach it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A bound for one figure of the benchmark.

    Examples
    --------
    >>> goal = Goal("a step at p = 113", at_most=20.0, unit="ms")
    >>> goal.verdict([17.0, 18.5, 19.0])
    'goal: a step at p = 113, at most 20 ms: 18.5 ms (17 to 19): met'
    >>> goal.verdict([17.0, 18.5, 24.0])
    'goal: a step at p = 113, at most 20 ms: 18.5 ms (17 to 24): not clear, rounds on both sides'
    """

    figure: str
    at_most: float | None = None
    at_least: float | None = None
    unit: str = ""

    def verdict(self, by_round: Sequence[float]) -> str:
        """One line: the goal, the median of the rounds, their spread, and what follows.

        Parameters
        ----------
        by_round
            The figure in every round.

        Raises
        ------
        ValueError
            If there is no round.
        """
        if not by_round:
            raise ValueError("a verdict needs at least one round")
        kept = [self._is_met(value) for value in by_round]
        words = (
            "met" if all(kept) else "not clear, rounds on both sides" if any(kept) else "not met"
        )
        middle, unit = _median(by_round), f" {self.unit}" if self.unit else ""
        spread = f" ({_short(min(by_round))} to {_short(max(by_round))})"
        spread = spread if len(by_round) > 1 else " (one round)"
        return (
            f"goal: {self.figure}, {self._bound()}{unit}: {_short(middle)}{unit}{spread}: {words}"
        )

    def _is_met(self, value: float) -> bool:
        is_small = self.at_most is None or value <= self.at_most
        return is_small and (self.at_least is None or value >= self.at_least)

    def _bound(self) -> str:
        if self.at_most is not None:
            return f"at most {_short(self.at_most)}"
        assert self.at_least is not None
        return f"at least {_short(self.at_least)}"


def _median(values: Sequence[float]) -> float:
    """Of an even number of values the upper of the middle two: one that was measured."""
    return sorted(values)[len(values) // 2]


def _short(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
