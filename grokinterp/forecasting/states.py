"""What is known of a run at a step: its settings and its curves until then, as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from grokinterp.laws.cure import CENSORED, NEVER, SEEN
from grokinterp.trajectory.thresholds import Thresholds

LEAST_LOSS = 1e-8
"""Losses below it count as it: rounding decides what lies under it."""
LEAST_DECAY = 0.1
"""Weight decay as a logarithm; none counts as this much, and has a feature of its own."""
LARGEST_LOSS = 1e3
"""Test losses above as many times that of guessing count as that."""
LOOK_BACK = 1.5
"""Slopes are those since the step that is this many times earlier."""
FINEST_TESTS = 10
"""Steps between tests in the bank."""
TESTS_OF_A_STEP = 20
"""Tests up to a landmark that make its slopes as good as the bank's."""
SETTING_FEATURES = (
    "is_transformer",
    "log_p",
    "train_fraction",
    "log_learning_rate",
    "log_weight_decay",
    "has_no_decay",
    "is_random",
    "is_sum_of_squares",
    "is_unordered",
)
CURVE_FEATURES = (
    "log_step",
    "is_memorized",
    "log_memorization_step",
    "log_train_loss",
    "log_test_loss",
    "log_test_loss_over_maximum",
    "log_odds_test_accuracy",
    "slope_log_test_loss",
    "slope_log_odds_test_accuracy",
)


@dataclass(frozen=True, eq=False)
class FollowedRun:
    """A run as forecasts see it: settings, curves, and what became of it."""

    setting: str
    """Its configuration: all but the seeds."""
    known: Mapping[str, float]
    """The features of :data:`SETTING_FEATURES`."""
    n_answers: int
    steps: Float[np.ndarray, " test"]
    train_loss: Float[np.ndarray, " test"]
    test_loss: Float[np.ndarray, " test"]
    train_accuracy: Float[np.ndarray, " test"]
    test_accuracy: Float[np.ndarray, " test"]
    grokking_step: int | float | None = None
    """Step from which its test accuracy lasts above 0.95, with or without a delay."""
    last_step: int | float | None = None
    """Step until which it was followed; None if it can never grok."""

    @property
    def status(self) -> int:
        """Whether the time was seen, is later than the last look, or never comes."""
        if self.grokking_step is not None:
            return SEEN
        return NEVER if self.last_step is None else CENSORED

    @property
    def end(self) -> float:
        """Step at which it grokked or was last looked at; infinite if it never groks."""
        last = np.inf if self.last_step is None else self.last_step
        return float(last if self.grokking_step is None else self.grokking_step)

    def memorization_step(self, at: int | float) -> float | None:
        """First tested step up to a step at which the training pairs are memorized."""
        above = (self.train_accuracy > Thresholds().memorization) & (self.steps <= at)
        return float(self.steps[np.argmax(above)]) if above.any() else None

    def why_no_state(self, at: int | float) -> str:
        """Say why nothing can be read off the curves at a step; empty if it can."""
        seen = self.steps <= at
        losses = np.concatenate([self.train_loss[seen], self.test_loss[seen]])
        if not seen.any():
            return f"it was not tested up to step {at:,.0f}"
        if not np.isfinite(losses).all():
            return "a loss of it is not finite"
        spacing = float(np.diff(self.steps[seen])[-1]) if seen.sum() > 1 else 0.0
        finest = max(FINEST_TESTS, at / TESTS_OF_A_STEP)
        if spacing > finest:
            return (
                f"it is tested every {spacing:,.0f} steps, and a forecast at step {at:,.0f} needs "
                f"a test every {finest:,.0f}"
            )
        return ""

    def state(self, at: int | float) -> Float[np.ndarray, " feature"]:
        """Features of the settings, then of the curves up to a step."""
        seen = self.steps <= at
        loss = np.clip(self.test_loss[seen] / np.log(self.n_answers), LEAST_LOSS, LARGEST_LOSS)
        chance = 1 / self.n_answers
        above = np.clip((self.test_accuracy[seen] - chance) / (1 - chance), 0, 1)
        odds = np.log((above + 0.02) / (1.02 - above))
        memorized = self.memorization_step(at)
        before = min(int(np.searchsorted(self.steps[seen], at / LOOK_BACK)), len(loss) - 1)
        curves = (
            np.log(max(at, 1.0)),
            float(memorized is not None),
            np.log(max(at if memorized is None else memorized, 1.0)),
            np.log(max(float(self.train_loss[seen][-1]), LEAST_LOSS)),
            np.log(loss[-1]),
            np.log(loss[-1] / loss.max()),
            odds[-1],
            (np.log(loss[-1]) - np.log(loss[before])) / np.log(LOOK_BACK),
            (odds[-1] - odds[before]) / np.log(LOOK_BACK),
        )
        return np.array([*(self.known[name] for name in SETTING_FEATURES), *curves])


def setting_features(
    *,
    is_transformer: bool,
    p: int,
    train_fraction: int | float,
    learning_rate: int | float,
    weight_decay: int | float,
    operation: str = "addition",
    is_unordered: bool = False,
) -> dict[str, float]:
    """Return the features of a run's settings, by name."""
    return {
        "is_transformer": float(is_transformer),
        "log_p": float(np.log(p)),
        "train_fraction": float(train_fraction),
        "log_learning_rate": float(np.log(learning_rate)),
        "log_weight_decay": float(np.log(max(weight_decay, LEAST_DECAY))),
        "has_no_decay": float(weight_decay == 0),
        "is_random": float(operation in ("random_labels", "table")),
        "is_sum_of_squares": float(operation == "sum_of_squares"),
        "is_unordered": float(is_unordered),
    }


def features_of_config(config: Mapping[str, Any]) -> dict[str, float]:
    """Return the features of a config, as ``config.to_dict()`` gives it."""
    task, optimizer = config["task"], config["optimizer"]
    return setting_features(
        is_transformer="d_model" in config["model"],
        p=task["p"],
        train_fraction=task["train_fraction"],
        learning_rate=optimizer["learning_rate"],
        weight_decay=optimizer["weight_decay"],
        operation=task["operation"],
        is_unordered=task["split_unit"] == "unordered_pairs",
    )
