"""The parts of a multilayer perceptron on pairs of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.models.mlp import mlp_outputs
from grokinterp.models.mlp_spec import MlpSpec
from grokinterp.models.network_parts import PART_WORDS, NetworkParts, PartName, Readout

_PAIRS_AT_A_TIME = 8192


@dataclass(frozen=True, eq=False)
class MlpParts(NetworkParts):
    """A perceptron's weights and what it computes on all pairs."""

    parameters: Mapping[str, Tensor]
    """Weights under the names of ``MlpSpec.parameter_shapes``."""
    spec: MlpSpec
    """Shape of the network."""
    pairs: Int[Tensor, "pair 2"]
    """Tokens a and b of every pair."""
    n_tokens: int
    """Tokens that may stand as a or b."""
    logits: Float[Tensor, "pair c"]
    """Outputs of all pairs."""
    hidden: Float[Tensor, "pair neuron"]
    """Last hidden layer after its nonlinearity."""

    @classmethod
    def of(
        cls,
        parameters: Mapping[str, Tensor],
        spec: MlpSpec,
        pairs: Int[Tensor, "pair 2"],
        n_tokens: int,
    ) -> MlpParts:
        """Run the network once on all pairs."""
        kept: list[Tensor] = []
        last = f"layers.{len(spec.widths) - 1}.hook_post"

        def keep(name: str, activation: Tensor) -> Tensor:
            if name == last:
                kept.append(activation)
            return activation

        with torch.no_grad():
            parts = pairs.split(_PAIRS_AT_A_TIME)
            logits = [mlp_outputs(parameters, part, spec, keep) for part in parts]
        return cls(dict(parameters), spec, pairs, n_tokens, torch.cat(logits), torch.cat(kept))

    @property
    def in_words(self) -> str:
        """``multilayer perceptron: widths 256, relu``."""
        return self.spec.in_words

    @property
    def missing(self) -> Mapping[PartName, str]:
        """Why a part is not there."""
        return missing_in_mlp(self.spec)

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Weights by name."""
        return self.parameters

    @property
    def neurons(self) -> Float[Tensor, "pair neuron"]:
        """Activations of the last hidden layer."""
        return self.hidden

    @cached_property
    def readout(self) -> Readout:
        """The last matrix with every factor that stands before the output."""
        W = self.parameters[f"layers.{len(self.spec.widths)}.W"].double()
        divisor = len(W) if self.spec.init == "mean_field" else 1
        return Readout(W * (self.spec.output_scale / divisor))


def missing_in_mlp(spec: MlpSpec) -> dict[PartName, str]:
    """Return why a part is not there, for each that such a perceptron has not."""
    absent: tuple[PartName, ...] = (
        "operands",
        "pre_activations",
        "pattern",
        "way_from_operands",
        "way_from_neurons",
        "blocks",
    )
    return {part: f"a multilayer perceptron has no {PART_WORDS[part]}" for part in absent}
