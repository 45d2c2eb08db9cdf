"""What moves the weights: algorithm, learning rate over the steps, and weight decay."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from grokinterp.errors import ConfigError
from grokinterp.fields import check_types, later_field, require, shown
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.reprs import spec_repr

OptimizerName = Literal["adamw", "adam", "sgd", "muon"]
DecayTarget = Literal["zero", "init"]
Schedule = Literal["constant", "linear", "cosine"]
HIDDEN_MATRICES = ("W_Q", "W_K", "W_V", "W_O", "W_in", "W_out", "W_gate")
"""Last parts of the names of a transformer's hidden matrices."""


@dataclass(frozen=True)
class OptimizerSpec:
    """AdamW, Adam, gradient descent or Muon, with weight decay, a warm-up and a schedule.

    The update from step s to s + 1 uses ``learning_rate * min(s / warmup_steps, 1)``, so with
    a warm-up the first update changes nothing, as in Nanda et al.'s code. A schedule lowers the
    learning rate from the end of the warm-up on.

    Examples
    --------
    >>> OptimizerSpec(schedule="cosine", schedule_steps=5000)
    OptimizerSpec(schedule='cosine', schedule_steps=5000)
    """

    learning_rate: float = 1e-3
    """η, per step; the largest, where there is a warm-up or a schedule."""
    weight_decay: float = 1.0
    """λ: with adamw and muon every decayed weight shrinks by (1 - ηλ) per step; with the others
    λ times the weight is added to the gradient."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Decay rates of Adam's two moments; with ``muon`` for the weights that AdamW updates."""
    eps: float = 1e-8
    """Adam's epsilon."""
    warmup_steps: int = 10
    """Steps of linear warm-up; 0 for none."""
    algorithm: OptimizerName = "adamw"
    """``adamw``: decoupled weight decay. ``adam``: the decay is part of the gradient (L2).
    ``sgd``: gradient descent, with momentum. ``muon``: orthogonalized momentum for hidden
    matrices, AdamW for all other weights (embeddings, positions, readout, biases, norms);
    needs torch 2.9."""
    decay_towards: DecayTarget = "zero"
    """What weights decay toward: zero, or the weights that the run began with."""
    momentum: float = 0.0
    """Momentum of ``sgd``; ``muon`` has ``muon_momentum``."""
    schedule: Schedule = later_field("constant")
    """What becomes of the learning rate after the warm-up: it stays (``constant``), or falls to
    ``final_learning_rate`` along a line (``linear``) or half a cosine (``cosine``)."""
    schedule_steps: int | None = later_field(None)
    """Step at which the fall ends, counted from the start of the run, warm-up included. It is a
    number of its own, and not ``n_steps``, because a larger ``n_steps`` extends a run and changes
    none of its numbers."""
    final_learning_rate: float = later_field(0.0)
    """Learning rate at ``schedule_steps`` and after it."""
    decayed: tuple[str, ...] | None = later_field(None)
    """Weights on which the weight decay acts, by the names of a checkpoint
    (``blocks.0.mlp.W_in``) or their last part (``W_in``: in every block); None: all that are
    trained. On a command line all words that follow are names, so the folder comes first."""
    muon_momentum: float = later_field(0.95)
    """Momentum of ``muon``: decay rate of its average of the gradients."""
    muon_nesterov: bool = later_field(True)
    """Whether ``muon`` orthogonalizes Nesterov's momentum, in which the gradient counts again."""
    muon_ns_steps: int = later_field(5)
    """Newton-Schulz iterations with which ``muon`` orthogonalizes an update."""

    __repr__ = spec_repr

    def __post_init__(self) -> None:
        check_types(self)
        require(self, "learning_rate", self.learning_rate > 0, "It must be positive.")
        require(self, "weight_decay", self.weight_decay >= 0, "Use 0 for no weight decay.")
        require(self, "betas", all(0 <= b < 1 for b in self.betas), "Both must lie in [0, 1).")
        # With eps 0 a weight without gradient is updated by 0/0.
        require(self, "eps", self.eps > 0, "It must be positive.")
        require(self, "momentum", 0 <= self.momentum < 1, "Use a value in [0, 1).")
        is_used = self.algorithm == "sgd" or self.momentum == 0
        own = "muon_momentum" if self.algorithm == "muon" else "betas"
        require(self, "momentum", is_used, f"It is of sgd; {self.algorithm} has {own}.")
        require(self, "warmup_steps", self.warmup_steps >= 0, "Use 0 for no warm-up.")
        self._check_schedule()
        self._check_muon()
        if self.decayed is not None:
            remedy = "Name at least one weight, or use weight_decay=0."
            require(self, "decayed", bool(self.decayed), remedy)
            # In whatever order, and however often, a name was written.
            object.__setattr__(self, "decayed", tuple(sorted(set(self.decayed))))

    def _check_schedule(self) -> None:
        if self.schedule == "constant":
            remedy = "It belongs to schedule=linear or cosine; choose one, or leave it out."
            require(self, "schedule_steps", self.schedule_steps is None, remedy)
            require(self, "final_learning_rate", self.final_learning_rate == 0, remedy)
            return
        if self.schedule_steps is None:
            raise ConfigError(
                f"schedule={self.schedule} needs schedule_steps, the step at which the learning "
                "rate is at its end. Give it, such as the n_steps of the run."
            )
        is_later = self.schedule_steps > self.warmup_steps
        remedy = f"The warm-up takes {self.warmup_steps} steps, and the fall begins after it."
        require(self, "schedule_steps", is_later, f"{remedy} Use a larger number.")
        final = self.final_learning_rate
        remedy = f"Use a value from 0 to learning_rate={self.learning_rate:g}."
        require(self, "final_learning_rate", 0 <= final <= self.learning_rate, remedy)

    def _check_muon(self) -> None:
        require(self, "muon_momentum", 0 <= self.muon_momentum < 1, "Use a value in [0, 1).")
        # Torch refuses a hundred.
        require(self, "muon_ns_steps", 1 <= self.muon_ns_steps < 100, "Use 1 to 99.")
        for name in ("muon_momentum", "muon_nesterov", "muon_ns_steps"):
            is_used = self.algorithm == "muon" or getattr(self, name) == getattr(type(self), name)
            require(self, name, is_used, "It belongs to algorithm=muon; leave it out.")

    def decayed_names(self, names: Collection[str], trained: Collection[str]) -> tuple[str, ...]:
        """Return the weights of a network on which the weight decay acts.

        Parameters
        ----------
        names
            Of all weights of the network.
        trained
            Names of those that are trained.

        Raises
        ------
        ConfigError
            If ``decayed`` has a name that the network does not have, or of a weight that is not
            trained.

        Examples
        --------
        >>> names = ["embed.W_E", "blocks.0.mlp.W_in", "blocks.1.mlp.W_in", "unembed.W_U"]
        >>> OptimizerSpec(decayed=("W_in", "embed.W_E")).decayed_names(names, names)
        ('embed.W_E', 'blocks.0.mlp.W_in', 'blocks.1.mlp.W_in')
        """
        if self.decayed is None:
            return tuple(name for name in names if name in trained)
        for wanted in self.decayed:
            if not any(_is_meant(wanted, name) for name in trained):
                is_there = any(_is_meant(wanted, name) for name in names)
                fact = "is not trained" if is_there else "is no weight of this network"
                raise ConfigError(
                    f"decayed={shown(wanted)} {fact}. Choose from {_listed(trained)}."
                )
        return tuple(
            name
            for name in names
            if name in trained and any(_is_meant(wanted, name) for wanted in self.decayed)
        )


def _is_meant(wanted: str, name: str) -> bool:
    return wanted in (name, name.rsplit(".", 1)[-1])


def _listed(trained: Collection[str]) -> str:
    """Last parts of names, each once, and how a name is written in full."""
    last_parts = dict.fromkeys(name.rsplit(".", 1)[-1] for name in trained)
    in_full = list(trained)[len(trained) // 2]
    return f"{', '.join(last_parts)}, or in full, such as {in_full}"


def hidden_matrices(names: Collection[str]) -> tuple[str, ...]:
    """Return the weights that Muon updates, of the names of all weights of a network.

    In a transformer the matrices of attention and MLP. In a perceptron the layers between
    others: not the last, and not the first unless an embedding comes before it. Embeddings,
    positions, the readout, biases and the weights of norms are not among them.

    Examples
    --------
    >>> hidden_matrices(["embed.W_E", "blocks.0.attn.W_O", "blocks.0.attn.b_O", "unembed.W_U"])
    ('blocks.0.attn.W_O',)
    >>> hidden_matrices(["layers.0.W", "layers.1.W", "layers.2.W"])
    ('layers.1.W',)

    References
    ----------
    Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
    kellerjordan.github.io/posts/muon.
    """
    layers = [name for name in names if re.fullmatch(r"layers\.\d+\.W", name)]
    if layers:
        is_embedded = any(name.startswith("embed.") for name in names)
        return tuple(layers[0 if is_embedded else 1 : -1])
    return tuple(name for name in names if name.rsplit(".", 1)[-1] in HIDDEN_MATRICES)


def check_weights(spec: OptimizerSpec, model: ModelSpec | MlpSpec) -> None:
    """Refuse an optimizer that names weights which a network does not have, or does not train.

    Muon is refused for a network without hidden matrices.

    Raises
    ------
    ConfigError
        With the name and the names that there are, or with the algorithm.
    """
    if spec.decayed is not None:
        spec.decayed_names(*_names_of(model))
    if spec.algorithm == "muon" and not hidden_matrices(_names_of(model)[0]):
        raise ConfigError(
            "algorithm=muon updates hidden matrices, and this network has none: its first and its "
            "last layer are AdamW's. Use algorithm=adamw, more widths, or an embedding."
        )


def _names_of(model: ModelSpec | MlpSpec) -> tuple[list[str], list[str]]:
    """Names of all weights of a network, and of those that are trained; sizes do not matter."""
    if isinstance(model, MlpSpec):
        names = list(model.parameter_shapes(n_inputs=2, n_outputs=1))
        return names, [name for name in names if model.is_trained(name)]
    # Only where weights are named: it imports torch, which --help does without.
    from grokinterp.models.initialization import is_trained, parameter_shapes

    names = list(parameter_shapes(model, d_vocab=1, n_ctx=1, d_vocab_out=1))
    return names, [name for name in names if is_trained(name, model)]
