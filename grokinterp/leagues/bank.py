"""The bank: which runs a league is judged on, as an explicit list.

Three kinds. ``groks``: settings that were chosen because they generalize late. ``cannot``: random
answers, to ordered or to unordered pairs, which no network can predict. ``censored``: no weight
decay, or little data; such a run had not generalized when its steps were over, and might have
with more. Which kind a run is of is what was planned; what became of it is judged from its curves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.runs.config import PRESETS, OptimizerSpec, TrainConfig
from grokinterp.tasks import TaskSpec
from grokinterp.tasks.operations import OperationName

Kind = Literal["groks", "cannot", "censored"]
SEEDS = range(3)
CHECKPOINT_EVERY = 25
"""Steps between checkpoints: the leads of a league are known to this."""
_FOLLOWED = {"stop_accuracy": 0.95, "stop_patience": 200}


def task_on_pairs(config: TrainConfig) -> TaskSpec:
    """Return the task of a config of the bank, which is always one on pairs of tokens."""
    assert isinstance(config.task, TaskSpec)
    return config.task


@dataclass(frozen=True)
class Setting:
    """A configuration of the bank, whose runs differ in their seeds."""

    name: str
    kind: Kind
    config: TrainConfig

    @property
    def task(self) -> TaskSpec:
        """The task of its config, which is always one on pairs."""
        return task_on_pairs(self.config)

    def with_seed(self, seed: int) -> TrainConfig:
        """Return the config in which a seed draws weights and split, and random answers."""
        task = dataclasses.replace(self.task, split_seed=seed)
        if task.operation == "random_labels":
            task = dataclasses.replace(task, label_seed=seed)
        model = dataclasses.replace(self.config.model, init_seed=seed)
        return dataclasses.replace(self.config, task=task, model=model)


def _transformer(width: int = 32) -> ModelSpec:
    return ModelSpec(d_model=width, n_heads=4, d_head=width // 4, d_mlp=4 * width)


def _perceptron(**options: Any) -> MlpSpec:
    return MlpSpec(**({"embedding": "shared", "d_embed": 32, "widths": (128,)} | options))


def _setting(
    kind: Kind,
    model: ModelSpec | MlpSpec,
    task: TaskSpec,
    *,
    n_steps: int,
    decay: float = 1.0,
    rate: float = 3e-3,
) -> Setting:
    config = TrainConfig(
        task=task,
        model=model,
        optimizer=OptimizerSpec(learning_rate=rate, weight_decay=decay),
        n_steps=n_steps,
        checkpoint_every=CHECKPOINT_EVERY,
        **_FOLLOWED,
    )
    return Setting(_name(kind, config), kind, config)


def _name(kind: Kind, config: TrainConfig) -> str:
    task, optimizer = task_on_pairs(config), config.optimizer
    network = "T" if isinstance(config.model, ModelSpec) else "P"
    if isinstance(config.model, MlpSpec) and config.model.embedding != "shared":
        network += f"-{config.model.embedding}"
    operation = "random_commutative" if task.operation == "table" else task.operation
    unordered = "-unordered" if task.split_unit == "unordered_pairs" else ""
    return (
        f"{kind}:{network}:{operation}{unordered}:p{task.p}:f{task.train_fraction:g}"
        f":wd{optimizer.weight_decay:g}:lr{optimizer.learning_rate:g}"
    )


# (operation, p, fraction of the pairs)
_BY_TRANSFORMERS = (
    ("addition", 23, 0.8),
    ("addition", 29, 0.7),
    ("addition", 31, 0.6),
    ("addition", 31, 0.75),
    ("addition", 37, 0.5),
    ("addition", 37, 0.6),
    ("addition", 37, 0.7),
    ("subtraction", 23, 0.85),
    ("subtraction", 31, 0.75),
    ("subtraction", 37, 0.65),
    ("multiplication", 23, 0.8),
    ("multiplication", 31, 0.7),
    ("multiplication", 37, 0.6),
    ("division", 31, 0.75),
    ("division", 37, 0.65),
    ("sum_of_squares", 31, 0.75),
    ("sum_of_squares", 37, 0.65),
)
_BY_PERCEPTRONS = (
    ("addition", 23, 0.7),
    ("addition", 23, 0.8),
    ("addition", 29, 0.65),
    ("addition", 31, 0.6),
    ("addition", 31, 0.7),
    ("addition", 37, 0.5),
    ("addition", 37, 0.6),
    ("subtraction", 23, 0.8),
    ("subtraction", 31, 0.7),
    ("subtraction", 37, 0.6),
    ("multiplication", 23, 0.75),
    ("multiplication", 31, 0.65),
    ("multiplication", 37, 0.55),
    ("division", 29, 0.7),
    ("division", 37, 0.6),
    ("sum_of_squares", 31, 0.7),
)


def _that_grok() -> Iterator[Setting]:
    for operation, p, fraction in _BY_TRANSFORMERS:
        task = TaskSpec(cast(OperationName, operation), p=p, train_fraction=fraction)
        yield _setting("groks", _transformer(), task, n_steps=3000)
    for operation, p, fraction in _BY_PERCEPTRONS:
        task = TaskSpec(cast(OperationName, operation), p=p, train_fraction=fraction)
        yield _setting("groks", _perceptron(), task, n_steps=3000, rate=1e-2)
    for p, fraction in ((31, 0.75), (37, 0.7)):
        task = TaskSpec(p=p, train_fraction=fraction, split_unit="unordered_pairs")
        yield _setting("groks", _transformer(), task, n_steps=3000)
        yield _setting("groks", _perceptron(), task, n_steps=3000, rate=1e-2)
    for decay in (0.5, 2.0):
        task = TaskSpec(p=31, train_fraction=0.75)
        yield _setting("groks", _transformer(), task, n_steps=3000, decay=decay)
        yield _setting("groks", _perceptron(), task, n_steps=3000, decay=decay, rate=1e-2)
    task = TaskSpec(p=29, train_fraction=0.7)
    separate = _perceptron(embedding="separate")
    yield _setting("groks", separate, task, n_steps=3000, rate=1e-2)
    for name in ("quick", "perceptron"):
        preset = PRESETS[name]
        every = min(preset.checkpoint_every, CHECKPOINT_EVERY)
        config = dataclasses.replace(preset, checkpoint_every=every, **_FOLLOWED)
        yield Setting(f"groks:preset:{name}", "groks", config)


def _random_commutative(p: int, seed: int = 0) -> np.ndarray:
    """Random answers that do not depend on the order of a and b."""
    drawn = np.random.default_rng(seed).integers(p, size=(p, p))
    return np.where(np.tri(p, dtype=bool), drawn, drawn.T)


def _that_cannot() -> Iterator[Setting]:
    networks = ((_transformer(), 3e-3), (_perceptron(), 1e-2))
    for p in (23, 29, 31, 37):
        for fraction in (0.5, 0.75):
            task = TaskSpec("random_labels", p=p, train_fraction=fraction)
            for model, rate in networks:
                yield _setting("cannot", model, task, n_steps=1500, rate=rate)
    for p in (23, 31, 37):
        # Unordered pairs, so that no test pair is the mirror image of a trained one.
        task = TaskSpec(
            "table",
            labels=_random_commutative(p),
            n_answers=p,
            train_fraction=0.7,
            split_unit="unordered_pairs",
        )
        for model, rate in networks:
            yield _setting("cannot", model, task, n_steps=1500, rate=rate)


def _that_are_censored() -> Iterator[Setting]:
    networks = ((_transformer(), 3e-3), (_perceptron(), 3e-3))
    for operation, p, fraction in (
        ("addition", 23, 0.6),
        ("addition", 31, 0.6),
        ("addition", 37, 0.6),
        ("subtraction", 31, 0.6),
        ("multiplication", 37, 0.5),
    ):
        task = TaskSpec(cast(OperationName, operation), p=p, train_fraction=fraction)
        for model, rate in networks:
            yield _setting("censored", model, task, n_steps=1500, decay=0.0, rate=rate)
    for operation, p, fraction in (
        ("addition", 23, 0.3),
        ("addition", 31, 0.25),
        ("addition", 37, 0.2),
        ("subtraction", 31, 0.25),
        ("multiplication", 31, 0.25),
    ):
        task = TaskSpec(cast(OperationName, operation), p=p, train_fraction=fraction)
        for model, rate in networks:
            yield _setting("censored", model, task, n_steps=1500, rate=rate)


SETTINGS: tuple[Setting, ...] = (*_that_grok(), *_that_cannot(), *_that_are_censored())
"""All configurations of the bank."""

SMALL_P = 31
"""Largest modulus of the small bank, and of the runs that are trained first."""
N_SMALL = {"groks": 20, "cannot": 10, "censored": 10}
"""Runs of each kind in the small bank."""


def planned_settings(is_small: bool = False) -> list[tuple[Setting, int]]:
    """Return every setting with every seed; the small bank has p up to 31 and one seed or two.

    Examples
    --------
    >>> small = planned_settings(is_small=True)
    >>> len(small), sum(setting.kind == "groks" for setting, _ in small)
    (40, 20)
    """
    if not is_small:
        return [(setting, seed) for seed in SEEDS for setting in SETTINGS]
    chosen: list[tuple[Setting, int]] = []
    for kind, n_wanted in N_SMALL.items():
        # The smallest first, since these train in seconds.
        of_kind = [s for s in SETTINGS if s.kind == kind and s.task.p <= SMALL_P]
        of_kind.sort(key=lambda setting: setting.task.p)
        runs = [(setting, seed) for seed in SEEDS for setting in of_kind]
        chosen += runs[:n_wanted]
    return chosen
