"""Conditions under which a network may or may not grok: what is trained, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.runs.config import OptimizerSpec, TrainConfig
from grokinterp.runs.pressures import PressureSpec
from grokinterp.tasks import BreastCancerSpec, DigitsSpec, TaskSpec

Base = Literal["transformer", "perceptron", "digits", "tumors"]

USUAL_LEVEL = 0.95
LEVELS: Mapping[Base, float] = {"digits": 0.85, "tumors": 0.9}
"""Test accuracy above which a network has generalized, where 95 % is out of reach."""


@dataclass(frozen=True)
class Condition:
    """One setting, which is run with several seeds."""

    name: str
    base: Base
    """Which network and task it changes."""
    in_words: str
    """What is trained, in a few words."""
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Fields to change by part of the config: ``{"optimizer": {"weight_decay": 0.0}}``; the
    part ``config`` is the config itself."""
    row: str = ""
    """Row of the literature's table to which its runs belong; empty: none."""
    prediction: tuple[str, ...] = ()
    """Outcomes that a source leads one to expect of this very setting; empty: it is judged with
    its row, or with others."""
    source: str = ""
    """Whose prediction it is."""
    n_steps: int = 10_000
    """Longest run of the full version."""
    n_steps_quick: int | None = 6500
    """Longest run of the quick version; None: it is left out there."""

    @property
    def level(self) -> float:
        """Test accuracy above which a run has generalized."""
        return LEVELS.get(self.base, USUAL_LEVEL)

    def config(self, seed: int, n_steps: int) -> TrainConfig:
        """Config of one run of at most `n_steps`.

        Examples
        --------
        >>> free = Condition("none", "transformer", "", {"optimizer": {"weight_decay": 0.0}})
        >>> free.config(seed=0, n_steps=100).optimizer.weight_decay
        0.0
        """
        config = replace(_BASES[self.base](seed), stop_accuracy=self.level, n_steps=n_steps)
        for part, values in self.changes.items():
            if part == "config":
                config = replace(config, **values)
            else:
                config = replace(config, **{part: replace(getattr(config, part), **values)})
        return config


def _transformer(seed: int) -> TrainConfig:
    return TrainConfig(
        task=TaskSpec(p=37, train_fraction=0.6, split_seed=seed),
        model=ModelSpec(d_model=32, d_head=8, d_mlp=128, init_seed=seed),
        optimizer=OptimizerSpec(learning_rate=3e-3, weight_decay=1.0),
        pressures=PressureSpec(seed=seed),
        test_every=20,
        checkpoint_every=50,
        stop_patience=200,
    )


def _perceptron(seed: int) -> TrainConfig:
    return TrainConfig(
        task=TaskSpec(p=23, train_fraction=0.75, split_seed=seed),
        model=MlpSpec(
            widths=(256,), act_fn="square", init="mean_field", init_scale=0.3, init_seed=seed
        ),
        optimizer=OptimizerSpec(learning_rate=3e-3, weight_decay=0.0, warmup_steps=0),
        loss="mse",
        test_every=20,
        checkpoint_every=50,
        stop_patience=200,
    )


def _natural(task: DigitsSpec | BreastCancerSpec, seed: int) -> TrainConfig:
    return TrainConfig(
        task=task,
        model=MlpSpec(widths=(100, 100), biases=True, init="torch_linear", init_seed=seed),
        optimizer=OptimizerSpec(weight_decay=0.3, warmup_steps=0),
        test_every=10,
        checkpoint_every=500,
        stop_patience=1000,
    )


_BASES = {
    "transformer": _transformer,
    "perceptron": _perceptron,
    "digits": lambda seed: _natural(DigitsSpec(n_train=1200, split_seed=seed), seed),
    "tumors": lambda seed: _natural(BreastCancerSpec(n_train=400, split_seed=seed), seed),
}
