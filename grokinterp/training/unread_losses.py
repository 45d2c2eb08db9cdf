"""Training losses that lie on the device until somebody reads them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MOST_UNREAD = 1000
"""Losses that are kept on a device at most: so late, at the latest, a divergence is noticed."""


class UnreadLosses:
    """Losses of consecutive steps, read from the device together.

    To read a number from a GPU is to wait until it has computed everything before. So losses
    are read where a number is wanted, and not at every step; on the CPU nobody waits.

    Parameters
    ----------
    device
        Where the losses are.

    Examples
    --------
    >>> unread = UnreadLosses(torch.device("cpu"))
    >>> unread.add(7, torch.tensor(0.5))
    >>> unread.are_due, unread.read()
    (True, [(7, 0.5)])
    """

    def __init__(self, device: torch.device) -> None:
        self._waits = device.type != "cpu"
        self._losses: list[tuple[int, Tensor]] = []

    def add(self, step: int, loss: Tensor) -> None:
        """Keep the loss at the weights after `step` updates."""
        self._losses.append((step, loss))

    @property
    def are_due(self) -> bool:
        """Whether the losses are to be read now, though no number is wanted."""
        return not self._waits or len(self._losses) >= MOST_UNREAD

    def read(self) -> list[tuple[int, float]]:
        """Return steps and losses up to the first that is not finite, and forget them all."""
        steps, losses = zip(*self._losses, strict=True)
        self._losses = []
        found: list[tuple[int, float]] = []
        for step, loss in zip(steps, torch.stack(losses).tolist(), strict=True):
            found.append((step, loss))
            if not math.isfinite(loss):
                break
        return found
