"""Conditions under which a network may or may not grok, and what the literature says of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.runs.config import OptimizerSpec, TrainConfig
from grokinterp.runs.pressures import PressureSpec
from grokinterp.tasks import DigitsSpec, TaskSpec

Base = Literal["transformer", "perceptron", "digits"]


@dataclass(frozen=True)
class Condition:
    """One row of the table "when it happens"."""

    name: str
    base: Base
    """Which network and task it changes."""
    prediction: tuple[str, ...]
    """Outcomes that the source leads one to expect."""
    source: str
    """Whose prediction it is."""
    in_words: str
    """What is trained, in a few words."""
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Fields to change by part of the config: ``{"optimizer": {"weight_decay": 0.0}}``; the
    part ``config`` is the config itself."""
    is_main: bool = True
    is_in_quick: bool = True

    def config(self, seed: int, n_steps: int) -> TrainConfig:
        """Config of one run of at most `n_steps`.

        Examples
        --------
        >>> free = Condition(
        ...     "none", "transformer", ("memorized",), "", "", {"optimizer": {"weight_decay": 0.0}}
        ... )
        >>> free.config(seed=0, n_steps=100).optimizer.weight_decay
        0.0
        """
        config = _BASES[self.base](seed)
        for part, values in self.changes.items():
            if part != "config":
                config = replace(config, **{part: replace(getattr(config, part), **values)})
        return replace(config, n_steps=n_steps, **self.changes.get("config", {}))


def _transformer(seed: int) -> TrainConfig:
    return TrainConfig(
        task=TaskSpec(p=37, train_fraction=0.6, split_seed=seed),
        model=ModelSpec(d_model=32, d_head=8, d_mlp=128, init_seed=seed),
        optimizer=OptimizerSpec(learning_rate=3e-3, weight_decay=1.0),
        pressures=PressureSpec(seed=seed),
        test_every=20,
        checkpoint_every=50,
        stop_accuracy=0.95,
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
        stop_accuracy=0.95,
        stop_patience=200,
    )


def _digits(seed: int) -> TrainConfig:
    return TrainConfig(
        task=DigitsSpec(n_train=1200, split_seed=seed),
        model=MlpSpec(widths=(100, 100), biases=True, init="torch_linear", init_seed=seed),
        optimizer=OptimizerSpec(weight_decay=0.3, warmup_steps=0),
        test_every=10,
        checkpoint_every=100,
        stop_accuracy=0.95,
        stop_patience=500,
    )


_BASES = {"transformer": _transformer, "perceptron": _perceptron, "digits": _digits}
