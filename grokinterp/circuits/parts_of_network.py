"""The parts of a snapshot's network, under the names that circuits and measures use."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.models import ModelSpec
from grokinterp.models.last_block import LastBlock
from grokinterp.models.network_parts import NetworkParts, Operands, PartName
from grokinterp.models.transformer_parts import TransformerParts

_PAIRS_AT_A_TIME = 8192


class PartsOfNetwork:
    """Reads the parts of a network, which is a field of the subclass.

    A part that the network does not have raises a ConfigError with the reason.
    """

    network: NetworkParts

    def has(self, *parts: PartName) -> bool:
        """Whether the network has these parts."""
        return not any(part in self.network.missing for part in parts)

    @property
    def neurons(self) -> Float[Tensor, "pair neuron"]:
        """Activations of the last hidden layer after its nonlinearity."""
        return self.network.neurons

    @property
    def pattern(self) -> Float[Tensor, "pair head pos"]:
        """Attention from the position that is read to all positions (last block)."""
        return self.network.pattern

    @property
    def operands(self) -> Operands:
        """The embedding of each token, as a and as b."""
        return self.network.operands

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        """Weights by name as they were kept, on the CPU; transformers use TransformerLens names."""
        return self.network.weights

    @property
    def transformer(self) -> TransformerParts:
        """The network as a transformer with TransformerLens's names.

        Raises
        ------
        ConfigError
            If it is none.
        """
        self.network.require("blocks")
        assert isinstance(self.network, TransformerParts)
        return self.network

    @property
    def spec(self) -> ModelSpec:
        """Shape of a transformer."""
        return self.transformer.spec

    def weight(self, name: str) -> Tensor:
        """Return a weight by its short name (``W_E``); the last block's where there are several.

        Raises
        ------
        KeyError
            If the network has no weight of that name.
        """
        matches = [key for key in self.parameters if key.rsplit(".", 1)[-1] == name]
        if not matches:
            raise KeyError(name)
        return self.parameters[max(matches, key=_block_of)]

    @property
    def tokens(self) -> Int[Tensor, "pair pos"]:
        """Input sequence of every pair, of a transformer."""
        return self.transformer.tokens

    @property
    def last_block(self) -> LastBlock:
        """Every edge from the last block's residual stream to the logits, of a transformer."""
        return self.transformer.last_block

    @property
    def W_L(self) -> Float[Tensor, "neuron c"]:
        """Linear map from neurons to logits, float64: ``W_out @ W_U`` of a last block."""
        return self.network.readout.W_L

    @cached_property
    def written_by_neurons(self) -> Float[Tensor, "pair c"]:
        """What the neurons add to the logits: ``neurons @ W_L``, float64."""
        return self.through_W_L(self.neurons, torch.arange(len(self.neurons)))

    def through_W_L(
        self,
        neurons: Float[Tensor, "row chosen"],
        rows: Int[Tensor, " row"],
        chosen: Bool[Tensor, " neuron"] | None = None,
    ) -> Float[Tensor, "row c"]:
        """Effect of activations of some neurons (None: all) on the logits, in float64.

        A few thousand rows at a time: a float64 copy of all activations is the largest array
        that an analysis would hold. With a norm before the logits, its scale at each of the
        pairs `rows` is frozen.
        """
        W_L = self.W_L if chosen is None else self.W_L[chosen]
        written = torch.cat([part.double() @ W_L for part in neurons.split(_PAIRS_AT_A_TIME)])
        scale = self.network.readout.scale
        return written if scale is None else written.div_(scale[rows, None])


def _block_of(name: str) -> int:
    return int(name.split(".")[1]) if name.startswith("blocks.") else -1
