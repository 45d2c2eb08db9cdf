"""When a run ends before its last step because it has generalized."""

from __future__ import annotations

import pandas as pd

from grokinterp.runs.config import TrainConfig


class EarlyStop:
    """Watches test accuracies until one has stayed above the threshold for long enough.

    Examples
    --------
    >>> stop = EarlyStop(TrainConfig(stop_accuracy=0.95, stop_patience=20))
    >>> [stop.is_reached(step, acc) for step, acc in [(0, 0.1), (10, 0.96), (20, 1.0), (30, 1.0)]]
    [False, False, False, True]
    """

    def __init__(self, config: TrainConfig) -> None:
        self._threshold, self._patience = config.stop_accuracy, config.stop_patience
        self._above_since: int | None = None

    def is_reached(self, step: int, test_accuracy: float) -> bool:
        """Take the next tested accuracy and say whether the run ends here."""
        if self._threshold is None or not test_accuracy > self._threshold:
            self._above_since = None
            return False
        if self._above_since is None:
            self._above_since = step
        return step - self._above_since >= self._patience


def early_stop(config: TrainConfig, curves: pd.DataFrame) -> tuple[EarlyStop, int | None]:
    """Follow recorded curves: the watcher after them, and the step at which it ended the run."""
    stop = EarlyStop(config)
    tested = curves.dropna(subset=["test_accuracy"])
    # The test at the last step of a run that was extended since is none of the regular ones.
    is_regular = tested["step"] % config.test_every == 0
    tested = tested.loc[is_regular | (tested["step"] == config.n_steps)]
    for step, accuracy in zip(tested["step"], tested["test_accuracy"], strict=True):
        if stop.is_reached(int(step), float(accuracy)):
            return stop, int(step)
    return stop, None
