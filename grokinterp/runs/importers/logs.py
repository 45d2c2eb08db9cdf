"""Losses that a file logged, put at the steps where it says they stand, or left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from grokinterp.runs.importers.assembly import curves_of, numbers_in


@dataclass(frozen=True)
class Logs:
    """Training and test losses of a file of Nanda et al. 2023 or of the Grokking_Demo."""

    train: Mapping[int, float]
    """By epoch."""
    test: Mapping[int, float]
    """By epoch."""
    account: str
    """What was left out, and why; usually nothing."""
    left_out: tuple[str, ...] = ()
    """Keys of the logs that were left out."""

    @property
    def is_every_epoch(self) -> bool:
        """Whether the training loss of every epoch from 0 on is there."""
        return bool(self.train) and list(self.train) == list(range(len(self.train)))

    def curves(self, *, test_delay: int = 0) -> pd.DataFrame:
        """Return the curves: a training loss of epoch e is taken before the update, at step e.

        Parameters
        ----------
        test_delay
            1 where the test loss of an epoch is taken after its update.
        """
        test = {epoch + test_delay: loss for epoch, loss in self.test.items()}
        return curves_of(self.train, test)


def logs_of(content: Any, *, epochs: Sequence[int] = (), last: int | None = None) -> Logs:
    """Put ``train_losses`` and ``test_losses`` of a file at its epochs.

    A log as long as the checkpoints stands at theirs. One with an entry for every epoch up to
    the last checkpoint, or to before the next would be, stands at epochs 0, 1, 2, ... A test
    log that divides such a training log evenly was written every so many epochs, as the code
    of Nanda et al. does. Any other is left out: its steps are not known.

    Parameters
    ----------
    content
        What the file holds.
    epochs
        Of its checkpoints, ascending, where it says them.
    last
        Updates that its only checkpoint has seen, where it says so.

    Examples
    --------
    >>> logs_of({"train_losses": [3.0, 2.0]}, epochs=[100, 200]).train
    {100: 3.0, 200: 2.0}
    >>> logs_of({"train_losses": [3.0, 2.0]}, last=4000).account
    'Left out: 2 train_losses, which do not say their epochs and are not one per epoch.'
    """
    if not isinstance(content, Mapping):
        return Logs({}, {}, "")
    train, test = (numbers_in(content.get(f"{side}_losses")) for side in ("train", "test"))
    at_train = _epochs_of(len(train), epochs, last)
    at_test = _epochs_of(len(test), epochs, last)
    is_alone = not epochs and last is None
    if at_train == list(range(len(train))) and train and (at_test is None or is_alone) and test:
        every, rest = divmod(len(train), len(test))
        at_test = [i * every for i in range(len(test))] if every and not rest else None
    lost = [
        (f"{side}_losses", len(losses))
        for side, losses, at in (("train", train, at_train), ("test", test, at_test))
        if losses and at is None
    ]
    facts = " and ".join(f"{n:,} {key}" for key, n in lost)
    why = "which do not say their epochs and are not one per epoch"
    return Logs(
        dict(zip(at_train or (), train, strict=False)),
        dict(zip(at_test or (), test, strict=False)),
        f"Left out: {facts}, {why}." if lost else "",
        tuple(key for key, _ in lost),
    )


def _epochs_of(n: int, epochs: Sequence[int], last: int | None) -> list[int] | None:
    """Epochs of a log of n entries; None if nothing says them."""
    if not epochs:
        is_one_per_epoch = last is None or abs(n - last) <= 1
        return list(range(n)) if is_one_per_epoch else None
    if n == len(epochs):
        return list(epochs)
    gaps = [after - before for before, after in zip(epochs, epochs[1:], strict=False)]
    return list(range(n)) if epochs[-1] <= n <= epochs[-1] + 1 + max(gaps, default=0) else None
