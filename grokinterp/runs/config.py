"""Everything that determines the numbers of a run, and nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from grokinterp.errors import ConfigError
from grokinterp.fields import (
    build,
    check_seed,
    check_types,
    in_json,
    later_field,
    require,
    settled,
    shown,
)
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.module_spec import LogitsSpec, ModuleSpec
from grokinterp.reprs import card_repr, spec_repr
from grokinterp.runs.optimizer import OptimizerSpec, check_weights
from grokinterp.runs.pressures import PressureSpec
from grokinterp.tasks import BreastCancerSpec, DigitsSpec, PolynomialSpec, TaskSpec

LossDtype = Literal["float64", "float32"]
WeightDtype = Literal["float32", "float64"]
LossName = Literal["cross_entropy", "mse", "stable_max"]
BatchSampling = Literal["without_replacement", "with_replacement"]
MOST_CHECKPOINTS = 10**6
"""Checkpoints of one run."""
MOST_PARENTS = 50
"""Runs that may come before a run, each the parent of the next."""


@dataclass(frozen=True)
class TrainConfig:
    """A task, a network, an optimizer, and how long and how closely to watch.

    Examples
    --------
    >>> import dataclasses
    >>> dataclasses.replace(PRESETS["nanda2023"], n_steps=100).n_steps
    100
    """

    task: TaskSpec | DigitsSpec | BreastCancerSpec | PolynomialSpec = field(
        default_factory=TaskSpec
    )
    model: ModelSpec | MlpSpec = field(default_factory=ModelSpec)
    optimizer: OptimizerSpec = field(default_factory=OptimizerSpec)
    pressures: PressureSpec = field(default_factory=PressureSpec)
    n_steps: int = 25_000
    """Optimizer updates."""
    loss: LossName = "cross_entropy"
    """``cross_entropy``; ``mse``, the mean over examples and outputs, against one-hot vectors
    where there are classes; ``stable_max`` (Prieto et al. 2025), a cross-entropy whose softmax
    grows linearly."""
    loss_dtype: LossDtype = "float64"
    """Precision of the loss. A float32 log-softmax says nothing below about 1e-7."""
    test_every: int = 10
    """Steps between evaluations of test loss and of both accuracies."""
    checkpoint_every: int = 100
    """Steps between checkpoints once the early, log-spaced ones are past."""
    stop_accuracy: float | None = None
    """End the run early once the test accuracy has stayed above this; None: never."""
    stop_patience: int = 200
    """Steps for which it has to stay above."""
    parent: TrainConfig | None = None
    """Start from the last weights of the run of this config, with a fresh optimizer; None:
    from initial weights."""
    weight_dtype: WeightDtype = later_field("float32")
    """Precision of the weights, the forward pass, the gradients, the optimizer and the
    checkpoints. Initial weights are drawn in float32 under both, so a run in ``float64`` begins
    with the weights of its neighbor in ``float32``."""
    batch_size: int | None = later_field(None)
    """Examples of an update; None: all training examples, in every update. The curves of a run
    with minibatches have the loss of the batch at every step, and that of all training examples
    at every `test_every`. Where there are fewer examples, a batch has them all."""
    batch_sampling: BatchSampling = later_field("without_replacement")
    """``without_replacement``: an epoch is a new order of all training examples, cut into batches;
    its last batch has what is left over. ``with_replacement``: every example of every batch is
    drawn alone."""
    batch_seed: int = later_field(0)
    """Seed of the minibatches; those of a step depend on this and on the step alone."""

    __repr__ = spec_repr
    _repr_html_ = card_repr

    def __post_init__(self) -> None:
        check_types(self)
        require(self, "n_steps", self.n_steps >= 1, "It must be at least 1.")
        require(self, "test_every", self.test_every >= 1, "It must be at least 1.")
        require(self, "checkpoint_every", self.checkpoint_every >= 1, "It must be at least 1.")
        if self.n_steps // self.checkpoint_every > MOST_CHECKPOINTS:
            raise ConfigError(
                f"n_steps={shown(self.n_steps)} with checkpoint_every="
                f"{self.checkpoint_every} keeps more than {MOST_CHECKPOINTS:,} checkpoints. "
                "Use a larger checkpoint_every."
            )
        if len(self.ancestors) > MOST_PARENTS:
            raise ConfigError(_too_many_parents())
        if self.stop_accuracy is not None:
            require(self, "stop_accuracy", 0 <= self.stop_accuracy < 1, "Use a value in [0, 1).")
        require(self, "stop_patience", self.stop_patience >= 0, "Use 0 to stop at the crossing.")
        self._check_minibatches()
        self._check_parts_fit()
        check_weights(self.optimizer, self.model)

    def _check_minibatches(self) -> None:
        check_seed("batch_seed", self.batch_seed)
        if self.batch_size is not None:
            remedy = "It must be at least 1; leave it out for all training examples."
            require(self, "batch_size", self.batch_size >= 1, remedy)
            return
        remedy = "It is of minibatches; set batch_size, or leave it out."
        is_usual = self.batch_sampling == "without_replacement"
        require(self, "batch_sampling", is_usual, remedy)
        require(self, "batch_seed", self.batch_seed == 0, remedy)

    def _check_parts_fit(self) -> None:
        is_of_pairs = isinstance(self.task, TaskSpec)
        if isinstance(self.model, ModelSpec) and not is_of_pairs:
            raise ConfigError(
                f"a transformer cannot learn {self.task.in_words}. Use an MlpSpec as the model."
            )
        if isinstance(self.model, MlpSpec) and self.model.needs_tokens and not is_of_pairs:
            raise ConfigError(
                f"inputs of {self.task.in_words} are vectors, not pairs of tokens. Use "
                "embedding=none and combination=concatenated."
            )
        if isinstance(self.task, PolynomialSpec):
            require(self, "loss", self.loss == "mse", "A regression needs loss=mse.")
            is_fine = self.stop_accuracy is None
            require(self, "stop_accuracy", is_fine, "A regression has no accuracy; leave it out.")

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dictionary, as written to config.json."""
        return json.loads(json.dumps(dataclasses.asdict(self), default=in_json))

    @property
    def ancestors(self) -> tuple[TrainConfig, ...]:
        """Configs of the runs that this one starts from, the oldest first."""
        return () if self.parent is None else (*self.parent.ancestors, self.parent)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainConfig:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        ConfigError
            If a field is unknown, or its value is not allowed.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(
                f"config is {type(values).__name__}, not a table of fields. Pass what to_dict() "
                "gives."
            )
        _check_generations(values)
        values = dict(values)
        for name, kinds in _PARTS.items():
            if name in values:
                values[name] = build(_kind_of(values[name], kinds), values[name], name)
        if values.get("parent") is not None:
            if not isinstance(values["parent"], dict):
                raise ConfigError("parent is not a table of fields.")
            values["parent"] = cls.from_dict(values["parent"])
        return build(cls, values, "config")

    def hash(self) -> str:
        """Return 12 hexadecimal digits that name this config."""
        canonical = json.dumps(settled(self), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def checkpoint_steps(self) -> list[int]:
        """Steps whose weights are kept: log-spaced early, then regular, first and last always.

        1, 2, 4, 8, ... up to the spacing, then every `checkpoint_every` steps.
        """
        early = {2**i for i in range(self.n_steps.bit_length()) if 2**i < self.checkpoint_every}
        regular = range(0, self.n_steps + 1, self.checkpoint_every)
        return sorted({0, self.n_steps, *early, *regular})


_PARTS: dict[str, dict[str | None, type]] = {
    "task": {
        None: TaskSpec,
        "digits": DigitsSpec,
        "breast_cancer": BreastCancerSpec,
        "polynomial": PolynomialSpec,
    },
    "model": {None: ModelSpec, "mlp": MlpSpec},
    "optimizer": {None: OptimizerSpec},
    "pressures": {None: PressureSpec},
}


def _check_generations(values: Any) -> None:
    """Refuse a table whose parents are nested without end: each is read within the last."""
    table, n_parents = values, 0
    while isinstance(table, dict) and table.get("parent") is not None:
        table, n_parents = table["parent"], n_parents + 1
        if n_parents > MOST_PARENTS:
            raise ConfigError(_too_many_parents())


def _too_many_parents() -> str:
    return f"parent is nested more than {MOST_PARENTS} deep. Start from a run with fewer."


def _kind_of(values: Any, kinds: dict[str | None, type]) -> type:
    """Which dataclass a table is of, by the field that names its kind where it has one."""
    table = values if isinstance(values, dict) else {}
    kind = table.get("dataset", table.get("architecture"))
    if not isinstance(kind, str | None) or kind not in kinds:
        known = ", ".join(name for name in kinds if name)
        remedy = f"Choose one of {known}, or leave it out." if known else "Leave it out."
        raise ConfigError(f"{shown(kind)} is not known. {remedy}")
    return kinds[kind]


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
    model: ModelSpec | MlpSpec | ModuleSpec | LogitsSpec
    unknown: tuple[str, ...] = ()
    """Fields such as ``task.split_seed`` whose values here stand for nothing."""

    __repr__ = spec_repr
    _repr_html_ = card_repr

    def __post_init__(self) -> None:
        check_types(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the table of :meth:`TrainConfig.to_dict`, None for whatever is not known."""
        known: dict[str, Any] = dict.fromkeys(f.name for f in dataclasses.fields(TrainConfig))
        for part in ("task", "model"):
            values = dataclasses.asdict(getattr(self, part))
            known[part] = {k: None if f"{part}.{k}" in self.unknown else values[k] for k in values}
        return json.loads(json.dumps(known, default=in_json))


_DECODER = ModelSpec(
    n_layers=2,
    input_format="a_op_b_equals",
    biases="none",
    init="torch_defaults",
    normalization="LN",
    norm_position="after",
    positions="sinusoidal",
    outputs="tokens",
)
"""The network of Power et al. 2022, as their published code builds it."""

_POWER = TrainConfig(
    task=TaskSpec("division", p=97, train_fraction=0.5),
    model=_DECODER,
    n_steps=100_000,
    loss_dtype="float32",
    test_every=100,
    checkpoint_every=500,
    batch_size=512,
)

PRESETS: dict[str, TrainConfig] = {
    "quick": TrainConfig(
        task=TaskSpec(p=59, train_fraction=0.57, split_unit="unordered_pairs"),
        model=ModelSpec(d_model=64, d_head=16, d_mlp=256),
        optimizer=OptimizerSpec(learning_rate=5e-3),
        n_steps=5000,
        checkpoint_every=50,
    ),
    "nanda2023": TrainConfig(
        model=ModelSpec(init="nanda2023_published", outputs="tokens"), weight_dtype="float64"
    ),
    "p113": TrainConfig(),
    "tl_demo": TrainConfig(
        task=TaskSpec(split_seed=598, split_method="torch_randperm"),
        model=ModelSpec(biases="none", init="tl_demo", init_seed=999),
        optimizer=OptimizerSpec(warmup_steps=0),
    ),
    "power2022": _POWER,
    "thilak2022": dataclasses.replace(
        _POWER, optimizer=OptimizerSpec(algorithm="adam", weight_decay=0.0)
    ),
    "s5": TrainConfig(
        task=TaskSpec("permutation_composition", degree=5, train_fraction=0.6),
        model=ModelSpec(biases="none", init="tl_demo"),
        optimizer=OptimizerSpec(warmup_steps=0),
        n_steps=50_000,
        checkpoint_every=250,
    ),
    "dihedral": TrainConfig(
        task=TaskSpec("group", group="dihedral(29)", train_fraction=0.5),
        model=MlpSpec(embedding="separate"),
        optimizer=OptimizerSpec(learning_rate=5e-3),
        n_steps=2500,
        checkpoint_every=25,
    ),
    "alternating": TrainConfig(
        task=TaskSpec("group", group="alternating(5)", train_fraction=0.6),
        model=MlpSpec(embedding="separate"),
        optimizer=OptimizerSpec(learning_rate=5e-3),
        n_steps=3000,
        checkpoint_every=50,
    ),
    "perceptron": TrainConfig(
        task=TaskSpec(p=23, train_fraction=0.75),
        model=MlpSpec(act_fn="square", init="mean_field", init_scale=0.3),
        optimizer=OptimizerSpec(learning_rate=3e-3, weight_decay=0.0, warmup_steps=0),
        loss="mse",
        n_steps=1000,
    ),
    "digits": TrainConfig(
        task=DigitsSpec(n_train=200),
        model=MlpSpec(widths=(100, 100), biases=True, init="torch_linear", init_scale=8.0),
        optimizer=OptimizerSpec(weight_decay=0.3, warmup_steps=0),
        n_steps=8000,
    ),
}
"""Named configurations. ``quick``, ``nanda2023``, ``p113``, ``tl_demo``: transformers on addition.
``nanda2023``: the main network of Nanda et al. 2023 (arXiv:2301.05217) from its seed, with all of
its p + 1 outputs, in float64. ``p113``: the same settings in float32, with p outputs and initial
weights that are drawn in another order, so another network, and faster. ``power2022``: two blocks
with layer norm on division modulo 97, in minibatches of 512 (Power et al. 2022, arXiv:2201.02177);
``thilak2022``: the same with Adam and no weight decay (Thilak et al. 2022, arXiv:2206.04817).
``s5``: the settings of Chughtai et al. 2023 (arXiv:2302.03025) for transformers on S_5, not their
seeds or splits. ``dihedral``, ``alternating``: their perceptron on the 58 symmetries of a regular
29-gon and on the 60 even permutations of five, of other widths and with a larger learning rate, so
that it groks in seconds. ``perceptron``: two layers with the activation h^2 (Gromov 2023,
arXiv:2301.02679), which grok without weight decay. ``digits``: images, from large initial weights,
after Liu et al. 2022 (arXiv:2210.01117)."""
