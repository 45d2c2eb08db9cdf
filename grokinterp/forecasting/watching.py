"""A line below the progress bar that says when the run is expected to grok."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from grokinterp.errors import GrokinterpError
from grokinterp.forecasting.bank_runs import longest_followed
from grokinterp.forecasting.coverage import why_not_covered
from grokinterp.forecasting.forecast import forecast_of
from grokinterp.forecasting.states import FollowedRun, features_of_config
from grokinterp.tasks import Task
from grokinterp.training import TrainingEvent
from grokinterp.trajectory.thresholds import Thresholds

RATIO = 1.2
"""Forecasts come at the first test from each of its powers on, whether or not a run was resumed."""
_COLUMNS = ("step", "train_loss", "test_loss", "train_accuracy", "test_accuracy")


class ForecastLine:
    """Callback that says, while a network is trained, when it is expected to grok.

    Parameters
    ----------
    folder
        The run folder: a run that is resumed has curves there already.
    write
        Is given the line each time it changes; None for a line below the progress bar.

    Examples
    --------
    >>> import dataclasses
    >>> lines = []
    >>> line = ForecastLine("ckpts/watched", write=lines.append)
    >>> short = dataclasses.replace(gi.PRESETS["perceptron"], n_steps=200)
    >>> run = gi.train(short, "ckpts/watched", callbacks=[line], progress=False)
    >>> lines[-1][:24], line.sentence == lines[-1]
    ('expected to grok at ...', True)
    """

    def __init__(self, folder: str | Path, write: Callable[[str], object] | None = None) -> None:
        self._folder, self._write = Path(folder), write
        self._bar: tqdm | None = None
        self._rows: list[tuple[float, ...]] = []
        self._next = 0.0
        self._why = ""
        self.sentence = ""

    def __call__(self, event: TrainingEvent) -> None:
        """Note what was tested, and forecast again where enough steps have passed."""
        if event.moment == "begin":
            self._begin(event)
        elif event.moment == "step" and event.is_tested:
            self._note(event)
            is_due = event.step >= max(self._next, 1)
            if is_due and not self._why:
                self._next = RATIO ** (1 + math.floor(math.log(event.step) / math.log(RATIO)))
                self._say(self._forecast(event))
        elif event.moment == "end":
            if self._rows and not self._why:
                self._say(self._forecast(event))
            if self._bar is not None:
                self._bar.close()

    def _begin(self, event: TrainingEvent) -> None:
        self._why = why_not_covered(event.config.to_dict())
        if self._write is None:
            self._bar = tqdm(total=0, position=1, bar_format="{desc}", leave=True)
        if self._why:
            self._say(f"no forecast: the bank of runs has nothing like it: {self._why}")
        elif event.step > 0:
            self._rows = self._recorded(event.step)

    def _recorded(self, step: int) -> list[tuple[float, ...]]:
        """Curves of a run that is resumed, up to where it resumes."""
        from grokinterp.runs.loading import load_run

        try:
            curves = load_run(self._folder).curves
        except GrokinterpError:
            return []
        tested = curves.loc[curves["step"] < step, list(_COLUMNS)].dropna()
        return [tuple(map(float, row)) for row in tested.to_numpy()]

    def _note(self, event: TrainingEvent) -> None:
        values = (event.step, *(getattr(event, name) for name in _COLUMNS[1:]))
        if None not in values:
            self._rows.append(tuple(float(value) for value in values if value is not None))

    def _forecast(self, event: TrainingEvent) -> str:
        task = event.split.task
        if not self._rows or not isinstance(task, Task):
            return "no forecast: losses and accuracies on test pairs are not recorded"
        columns = np.array(self._rows).T
        if columns[-1][-1] > Thresholds().grokking:
            return f"it has generalized by step {event.step:,}"
        run = FollowedRun(
            "this run",
            features_of_config(event.config.to_dict()),
            task.n_classes,
            *columns,
            last_step=float("inf"),
        )
        step, longest = round(self._rows[-1][0]), longest_followed()
        horizon = min(event.config.n_steps, longest) if event.config.n_steps > step else longest
        return forecast_of(run, step, horizon).sentence

    def _say(self, sentence: str) -> None:
        if sentence == self.sentence:
            return
        self.sentence = sentence
        if self._write is not None:
            self._write(sentence)
        elif self._bar is not None:
            self._bar.set_description_str(sentence)
