"""Whether steps have become much slower than they were: other programs use the machine."""

from __future__ import annotations

import statistics
from collections import deque

MUCH_SLOWER = 3.0
"""Factor from which on it is said that a run is slowed down."""
N_STEPS = 25
"""Steps whose median is compared: a test or a checkpoint among them does not count."""


class Pace:
    """How the time of a step compares with that of the fastest steps of the run so far.

    Examples
    --------
    >>> pace = Pace()
    >>> for step in range(100):
    ...     pace.step_ended(0.01 * min(step, 50) + 0.05 * max(step - 50, 0))
    >>> round(pace.slowdown, 1)
    5.0
    """

    def __init__(self) -> None:
        self._before: float | None = None
        self._last: deque[float] = deque(maxlen=N_STEPS)
        self._n_seen = 0
        self._fastest, self._present = float("inf"), float("inf")

    def step_ended(self, seconds: float) -> None:
        """Note the time at which a step ended, of a clock that only goes forward."""
        if self._before is not None:
            self._last.append(seconds - self._before)
            self._n_seen += 1
            if self._n_seen % N_STEPS == 0:
                self._present = statistics.median(self._last)
                self._fastest = min(self._fastest, self._present)
        self._before = seconds

    @property
    def slowdown(self) -> float:
        """Time of a step now over that of the fastest stretch; 1 until there is a stretch."""
        return self._present / self._fastest if 0 < self._fastest < float("inf") else 1.0

    @property
    def is_slowed_down(self) -> bool:
        """Whether steps take at least :data:`MUCH_SLOWER` times as long as they did."""
        return self.slowdown >= MUCH_SLOWER
