"""What a network computes on all pairs, part by part, whatever kind of network it is.

Logits always exist. Everything else is a part that a network may have:

===================== ==========================================================================
part                  what it is
===================== ==========================================================================
``operands``          the embedding of each token as a and as b: two tables, or one for both
``same_coordinates``  both are read in the same coordinates, so that a direction means the same in
                      either table
``neurons``           the last hidden layer after its nonlinearity
``pre_activations``   the same layer before its nonlinearity
``readout``           the linear map from neurons to logits, W_L
``pattern``           attention from the position that is read
``way_from_operands`` logits recomputed from changed operands, differentiable
``way_from_neurons``  logits recomputed from changed neurons
``weights``           named parameters
``blocks``            residual stream and heads under TransformerLens's names
===================== ==========================================================================

Code asks for a part by its name. A part that is missing has one reason.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.errors import ConfigError

PartName = Literal[
    "operands",
    "same_coordinates",
    "neurons",
    "pre_activations",
    "readout",
    "pattern",
    "way_from_operands",
    "way_from_neurons",
    "weights",
    "blocks",
]
PARTS: tuple[PartName, ...] = get_args(PartName)

_ROWS_AT_A_TIME = 4096


@dataclass(frozen=True, eq=False)
class Operands:
    """The embedding of each token as a and as b.

    Examples
    --------
    >>> table = torch.eye(5)
    >>> Operands(table, table).is_shared, Operands(table, 2 * table).is_shared
    (True, False)
    """

    a: Float[Tensor, "token d"]
    """Row of each token that a can be."""
    b: Float[Tensor, "token e"]
    """Row of each token that b can be; the same object as `a` if both share one table."""

    @property
    def is_shared(self) -> bool:
        """Whether a and b are read from one table."""
        return self.a is self.b


@dataclass(frozen=True, eq=False)
class Readout:
    """The linear map from neurons to logits.

    The neurons contribute ``neurons @ W_L`` to the logits, divided by `scale` if there is a norm in
    between. That scale depends on the pair, and on the neurons too; it is frozen at its value, so
    that the map is linear.
    """

    W_L: Float[Tensor, "neuron c"]
    """float64."""
    scale: Float[Tensor, " pair"] | None = None
    """Divisor of the last norm for each pair, float64; None if there is no norm in between."""


class NetworkParts(ABC):
    """One checkpoint of a network, run once on all pairs.

    Rows are pairs in the order of ``task.pairs``. A part that is asked for and missing raises a
    ConfigError with the reason in `missing`.
    """

    logits: Float[Tensor, "pair c"]
    """Logits of the answers, in the precision of the weights: float32 or float64."""
    in_words: str
    """What kind of network it is, in a few words."""
    missing: Mapping[PartName, str]
    """Reason for each part that is missing."""

    def require(self, *parts: PartName) -> None:
        """Refuse to go on without some parts.

        Raises
        ------
        ConfigError
            With the reason of the first that is missing.
        """
        for part in parts:
            if part in self.missing:
                raise ConfigError(self.missing[part])

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Parameters by name."""
        return self._absent("weights")

    @property
    def operands(self) -> Operands:
        """Tables of a and b."""
        return self._absent("operands")

    @property
    def neurons(self) -> Float[Tensor, "pair neuron"]:
        """Activations of the last hidden layer after its nonlinearity."""
        return self._absent("neurons")

    @property
    def pre_activations(self) -> Float[Tensor, "pair neuron"]:
        """Pre-activations of these neurons."""
        return self._absent("pre_activations")

    def pre_activations_of(self, neurons: Int[Tensor, " some"]) -> Float[Tensor, "pair some"]:
        """Pre-activations of some neurons, for code that cannot hold all of them."""
        return self.pre_activations[:, neurons]

    @property
    def readout(self) -> Readout:
        """Linear map from neurons to logits."""
        return self._absent("readout")

    @property
    def pattern(self) -> Float[Tensor, "pair head pos"]:
        """Attention from the position that is read to all positions."""
        return self._absent("pattern")

    def logits_from_operands(
        self,
        a: Float[Tensor, "row d"],
        b: Float[Tensor, "row e"],
        rows: Int[Tensor, " row"],
    ) -> Float[Tensor, "row c"]:
        """Logits of some pairs with other operands: a row of `a` and of `b` for each pair.

        Differentiable in `a` and `b` under ``torch.enable_grad()``.
        """
        return self._absent("way_from_operands")

    def chosen_logits(
        self,
        a: Float[Tensor, "row d"],
        b: Float[Tensor, "row e"],
        rows: Int[Tensor, " row"],
        classes: Int[Tensor, " row"],
    ) -> Float[Tensor, " row"]:
        """One logit of each of these pairs with other operands; also differentiable."""
        return self.logits_from_operands(a, b, rows).gather(1, classes[:, None])[:, 0]

    def with_operands(self, operands: Operands) -> NetworkParts:
        """Run the network on all pairs with other tables of a and b."""
        return self._absent("way_from_operands")

    def logits_from_neurons(
        self, neurons: Float[Tensor, "row neuron"], rows: Int[Tensor, " row"]
    ) -> Float[Tensor, "row c"]:
        """Logits of some pairs with other activations in place of the neurons."""
        return self._absent("way_from_neurons")

    def without_cache(self) -> NetworkParts:
        """Return the same parts without cached values."""
        return self

    def _absent(self, part: PartName) -> Any:
        self.require(part)
        raise AssertionError(f"{type(self).__name__} does not list {part} as missing")


@dataclass(frozen=True, eq=False)
class LogitParts(NetworkParts):
    """Logits and nothing else."""

    logits: Float[Tensor, "pair c"]
    in_words: str = "a network known only by its logits"
    missing: Mapping[PartName, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        reasons = {part: f"{self.in_words} shows no {PART_WORDS[part]}" for part in PARTS}
        object.__setattr__(self, "missing", {**reasons, **self.missing})


PART_WORDS: dict[PartName, str] = {
    "operands": "token embeddings",
    "same_coordinates": "known coordinates in which both a and b are read",
    "neurons": "neurons",
    "pre_activations": "pre-activations",
    "readout": "linear map from neurons to logits",
    "pattern": "attention pattern",
    "way_from_operands": "way to recompute logits from changed operands",
    "way_from_neurons": "way to recompute logits from changed neurons",
    "weights": "weights",
    "blocks": "residual stream with attention heads",
}
"""Each part in words that follow ``shows no``."""
