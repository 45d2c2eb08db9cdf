"""How noisy the machine was while it was measured."""

from __future__ import annotations

import statistics
import time

import torch

SIDE = 1024
"""Of a square product that takes some 20 ms on a core."""


class NoiseMeter:
    """The same product, timed again and again: what else runs shows in its spread.

    Examples
    --------
    >>> meter = NoiseMeter(n_threads=1, side=32)
    >>> meter.look()
    >>> meter.look()
    >>> len(meter.seconds)
    2
    """

    def __init__(self, n_threads: int, side: int = SIDE) -> None:
        self.seconds: list[float] = []
        self._n_threads = n_threads
        self._left, self._right = torch.ones(side, side), torch.ones(side, side)

    def look(self, n_rounds: int = 9) -> None:
        """Time the product now."""
        before = torch.get_num_threads()
        torch.set_num_threads(self._n_threads)
        try:
            torch.mm(self._left, self._right)
            rounds = []
            for _ in range(n_rounds):
                start = time.perf_counter()
                torch.mm(self._left, self._right)
                rounds.append(time.perf_counter() - start)
        finally:
            torch.set_num_threads(before)
        self.seconds.append(statistics.median(rounds))

    @property
    def spread(self) -> float:
        """Slowest over fastest look; 1 on a quiet machine."""
        return max(self.seconds) / min(self.seconds)

    @property
    def in_words(self) -> str:
        """One line for whoever reads the figures."""
        fastest, slowest = 1e3 * min(self.seconds), 1e3 * max(self.seconds)
        advice = (
            " Something else ran: read ratios and not milliseconds, or measure again."
            if self.spread > NOISY
            else ""
        )
        return (
            f"Noise: the same product took {fastest:.1f} to {slowest:.1f} ms in "
            f"{len(self.seconds)} looks, {self.spread:.2f} times.{advice}"
        )


NOISY = 1.15
"""Spread from which figures are said to be noisy: about what a second busy core costs here."""
