"""Everything that determines the numbers of a run, and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from grokinterp.errors import ConfigError
from grokinterp.models import ModelSpec
from grokinterp.tasks import TaskSpec

LossDtype = Literal["float64", "float32"]


@dataclass(frozen=True)
class OptimizerSpec:
    """AdamW with decoupled weight decay and a linear warm-up.

    The update from step s to s + 1 uses ``learning_rate * min(s / warmup_steps, 1)``, so with
    a warm-up the first update changes nothing, as in Nanda et al.'s code.
    """

    learning_rate: float = 1e-3
    """η, per step."""
    weight_decay: float = 1.0
    """λ: every trained weight shrinks by (1 - ηλ) per step."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Decay rates of Adam's two moments."""
    eps: float = 1e-8
    """Adam's epsilon."""
    warmup_steps: int = 10
    """Steps of linear warm-up; 0 for none."""

    def __post_init__(self) -> None:
        _require(self, "learning_rate", self.learning_rate > 0, "It must be positive.")
        _require(self, "weight_decay", self.weight_decay >= 0, "Use 0 for no weight decay.")
        _require(self, "betas", all(0 <= b < 1 for b in self.betas), "Both must lie in [0, 1).")
        # With eps 0 a weight without gradient is updated by 0/0.
        _require(self, "eps", self.eps > 0, "It must be positive.")
        _require(self, "warmup_steps", self.warmup_steps >= 0, "Use 0 for no warm-up.")


@dataclass(frozen=True)
class TrainConfig:
    """A task, a network, an optimizer, and how long and how closely to watch.

    Examples
    --------
    >>> import dataclasses
    >>> dataclasses.replace(PRESETS["nanda2023"], n_steps=100).n_steps
    100
    """

    task: TaskSpec = field(default_factory=TaskSpec)
    model: ModelSpec = field(default_factory=ModelSpec)
    optimizer: OptimizerSpec = field(default_factory=OptimizerSpec)
    n_steps: int = 25_000
    """Optimizer updates."""
    loss_dtype: LossDtype = "float64"
    """Precision of the log-softmax of the loss. float32 says nothing below about 1e-7."""
    test_every: int = 10
    """Steps between evaluations of test loss and of both accuracies."""
    checkpoint_every: int = 100
    """Steps between checkpoints once the early, log-spaced ones are past."""

    def __post_init__(self) -> None:
        _require(self, "n_steps", self.n_steps >= 1, "It must be at least 1.")
        _require(self, "test_every", self.test_every >= 1, "It must be at least 1.")
        _require(self, "checkpoint_every", self.checkpoint_every >= 1, "It must be at least 1.")
        _require(
            self,
            "loss_dtype",
            self.loss_dtype in ("float64", "float32"),
            "Choose float64 or float32.",
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dictionary, as written to config.json."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        ConfigError
            If a field is unknown, or its value is not allowed.
        """
        values = dict(values)
        for name, part in (("task", TaskSpec), ("model", ModelSpec), ("optimizer", OptimizerSpec)):
            if name in values:
                values[name] = _build(part, values[name], name)
        return _build(cls, values, "config")

    def hash(self) -> str:
        """Return 12 hexadecimal digits that name this config."""
        canonical = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def checkpoint_steps(self) -> list[int]:
        """Steps whose weights are kept: log-spaced early, then regular, first and last always.

        1, 2, 4, 8, ... up to the spacing, then every `checkpoint_every` steps.
        """
        early = {2**i for i in range(self.n_steps.bit_length()) if 2**i < self.checkpoint_every}
        regular = range(0, self.n_steps + 1, self.checkpoint_every)
        return sorted({0, self.n_steps, *early, *regular} & set(range(self.n_steps + 1)))


@dataclass(frozen=True)
class ImportedConfig:
    """What is known of a network that was trained elsewhere: task and model, in part.

    Nothing is known of the optimizer, the number of steps and the precision of the loss, so
    those fields of :class:`TrainConfig` are not here.

    Examples
    --------
    >>> config = ImportedConfig(TaskSpec(p=59), ModelSpec(), unknown=("model.init",))
    >>> config.to_dict()["model"]["init"], config.to_dict()["optimizer"]
    (None, None)
    """

    task: TaskSpec
    model: ModelSpec
    unknown: tuple[str, ...] = ()
    """Fields such as ``task.split_seed`` whose values here stand for nothing."""

    def to_dict(self) -> dict[str, Any]:
        """Return the table of :meth:`TrainConfig.to_dict`, None for whatever is not known."""
        known: dict[str, Any] = dict.fromkeys(f.name for f in dataclasses.fields(TrainConfig))
        for part in ("task", "model"):
            values = dataclasses.asdict(getattr(self, part))
            known[part] = {k: None if f"{part}.{k}" in self.unknown else values[k] for k in values}
        return json.loads(json.dumps(known))


def _require(spec: Any, name: str, is_fine: bool, remedy: str) -> None:
    value = getattr(spec, name)
    is_number = isinstance(value, (int, float))
    # A NaN compares false with everything, so it fails every bound; infinity does not.
    if not is_fine or (is_number and not math.isfinite(value)):
        raise ConfigError(f"{name}={value} is not allowed. {remedy}")


def _build(part: type, values: Any, where: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{where} is {type(values).__name__}, not a table of fields.")
    known = {f.name: f for f in dataclasses.fields(part)}
    for name in values:
        if name not in known:
            raise ConfigError(f"{where} has an unknown field {name!r}. Known: {', '.join(known)}.")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    for name, value in values.items():
        if not _has_type(value, str(known[name].type)):
            raise ConfigError(
                f"{where} has {name}={value!r}, which is of the wrong type; it takes "
                f"{known[name].type}."
            )
    return part(**values)


def _has_type(value: Any, annotation: str) -> bool:
    """Whether a value read from JSON fits a field; fields of other tables are built already."""
    if annotation.endswith(" | None"):
        return value is None or _has_type(value, annotation.removesuffix(" | None"))
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if annotation == "int":
        return is_whole
    if annotation == "float":
        return is_whole or isinstance(value, float)
    if annotation.startswith("tuple"):
        numbers = value if isinstance(value, tuple) else ()
        return (
            len(numbers) == annotation.count("float") == sum(_has_type(n, "float") for n in numbers)
        )
    return isinstance(value, (str, TaskSpec, ModelSpec, OptimizerSpec))


PRESETS: dict[str, TrainConfig] = {
    "quick": TrainConfig(
        task=TaskSpec(p=59, train_fraction=0.5), n_steps=4000, checkpoint_every=50
    ),
    "nanda2023": TrainConfig(),
    "tl_demo": TrainConfig(
        task=TaskSpec(split_seed=598, split_method="torch_randperm"),
        model=ModelSpec(biases="none", init="tl_demo", init_seed=999),
        optimizer=OptimizerSpec(warmup_steps=0),
    ),
    "s5": TrainConfig(
        task=TaskSpec("permutation_composition", degree=5, train_fraction=0.6),
        model=ModelSpec(biases="none", init="tl_demo"),
        optimizer=OptimizerSpec(warmup_steps=0),
        n_steps=50_000,
        checkpoint_every=250,
    ),
}
"""Named configurations: ``quick``, ``nanda2023``, ``tl_demo``, ``s5``. The last has the settings
of Chughtai et al. 2023 (arXiv:2302.03025) for transformers on S_5, not their seeds or splits."""
