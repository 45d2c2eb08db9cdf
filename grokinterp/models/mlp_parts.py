"""The parts of a multilayer perceptron on pairs of tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.models.mlp import (
    first_outputs,
    mlp_outputs,
    outputs_of_neurons,
    outputs_of_operands,
)
from grokinterp.models.mlp_spec import MlpSpec
from grokinterp.models.network_parts import NetworkParts, Operands, PartName, Readout
from grokinterp.portions import Joined

_PAIRS_AT_A_TIME = 8192


@dataclass(frozen=True, eq=False)
class MlpParts(NetworkParts):
    """A perceptron's weights and what it computes on all pairs.

    Operands are rows of tables as the weights hold them: of the embeddings, or of the first
    matrix for one-hot vectors (its first half for a, its second for b, or all of it for both if
    the two vectors are summed). The divisors of ``mean_field`` are applied after the tables.

    Examples
    --------
    >>> from grokinterp.models.mlp import first_mlp_parameters
    >>> spec = MlpSpec(widths=(16,), embedding="shared", d_embed=8, combination="summed")
    >>> weights = first_mlp_parameters(spec, n_inputs=10, n_outputs=5)
    >>> pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    >>> parts = MlpParts.of(weights, spec, pairs, n_tokens=5)
    >>> parts.logits.shape, parts.operands.a.shape, parts.readout.W_L.shape
    (torch.Size([25, 5]), torch.Size([5, 8]), torch.Size([16, 5]))
    """

    parameters: Mapping[str, Tensor]
    """Weights under the names of ``MlpSpec.parameter_shapes``."""
    spec: MlpSpec
    """Shape of the network."""
    pairs: Int[Tensor, "pair 2"]
    """Tokens a and b of every pair."""
    n_tokens: int
    """Number of tokens that a and b can be."""
    logits: Float[Tensor, "pair c"] = field(repr=False)
    """Outputs of all pairs."""
    hidden: Float[Tensor, "pair neuron"] = field(repr=False)
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
        logits, hidden = _run(parameters, spec, pairs, "hook_post")
        return cls(dict(parameters), spec, pairs, n_tokens, logits, hidden)

    @property
    def in_words(self) -> str:
        """``multilayer perceptron: widths 256, relu``."""
        return self.spec.in_words

    @property
    def missing(self) -> Mapping[PartName, str]:
        """Reason for each part that is missing."""
        return missing_in_mlp(self.spec)

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """Weights by name."""
        return self.parameters

    @cached_property
    def operands(self) -> Operands:
        """Rows of the embeddings, or of the first matrix for one-hot vectors."""
        if self.spec.is_embedded:
            first, *others = (self.parameters[name] for name in self.spec.embedding_names)
            # A view, since two tables may be one tensor and stay two tables.
            return Operands(first, others[0][:] if others else first)
        first = self.parameters["layers.0.W"]
        if self.spec.combination == "summed":
            return Operands(first, first)
        return Operands(first[: self.n_tokens], first[self.n_tokens :])

    @property
    def neurons(self) -> Float[Tensor, "pair neuron"]:
        """Activations of the last hidden layer."""
        return self.hidden

    @cached_property
    def pre_activations(self) -> Float[Tensor, "pair neuron"]:
        """Pre-activations of the last hidden layer, its bias included."""
        plain = replace(self.spec, is_centered=False)
        # The outputs are not needed: one column of the readout makes next to none.
        last = f"layers.{len(self.spec.widths)}."
        weights = {
            name: value[..., :1] if name.startswith(last) else value
            for name, value in self.parameters.items()
        }
        return _run(weights, plain, self.pairs, "hook_pre")[1]

    @cached_property
    def readout(self) -> Readout:
        """The last matrix times every factor of the output."""
        W = self.parameters[f"layers.{len(self.spec.widths)}.W"].double()
        divisor = len(W) if self.spec.init == "mean_field" else 1
        return Readout(W * (self.spec.output_scale / divisor))

    def logits_from_operands(
        self, a: Float[Tensor, "row d"], b: Float[Tensor, "row e"], rows: Int[Tensor, " row"]
    ) -> Float[Tensor, "row c"]:
        """Logits with other embeddings of a and b."""
        outputs = outputs_of_operands(self._constants, a, b, self.spec)
        return self._centered(outputs, rows)

    def with_operands(self, operands: Operands) -> MlpParts:
        """Run the network on all pairs with other tables of a and b.

        Raises
        ------
        ValueError
            If a and b are given different tables where the network has one for both.
        """
        if self.operands.is_shared and not operands.is_shared:
            raise ValueError("this perceptron reads a and b from one table")
        tables = (operands.a,) if self.operands.is_shared else (operands.a, operands.b)
        names = self.spec.embedding_names
        if not names:
            names, tables = ("layers.0.W",), (torch.cat(tables),)
        changed = {
            name: table.to(self.parameters[name].dtype)
            for name, table in zip(names, tables, strict=True)
        }
        return MlpParts.of({**self.parameters, **changed}, self.spec, self.pairs, self.n_tokens)

    def logits_from_neurons(
        self, neurons: Float[Tensor, "row neuron"], rows: Int[Tensor, " row"]
    ) -> Float[Tensor, "row c"]:
        """Logits with other activations of the last hidden layer."""
        weight = self.parameters["layers.0.W"]
        outputs = outputs_of_neurons(self._constants, neurons.to(weight.dtype), self.spec)
        return self._centered(outputs, rows)

    def without_cache(self) -> MlpParts:
        """Return the same parts without cached pre-activations."""
        return replace(self)

    def _centered(self, outputs: Tensor, rows: Int[Tensor, " row"]) -> Tensor:
        if not self.spec.is_centered:
            return outputs
        return outputs - first_outputs(self.parameters, self.pairs[rows], self.spec)

    @property
    def _constants(self) -> dict[str, Tensor]:
        return {name: value.detach() for name, value in self.parameters.items()}


def _run(
    parameters: Mapping[str, Tensor], spec: MlpSpec, pairs: Int[Tensor, "pair 2"], point: str
) -> tuple[Float[Tensor, "pair c"], Float[Tensor, "pair neuron"]]:
    """Outputs of all pairs, and what passes a hook point of the last hidden layer."""
    logits, kept = Joined(len(pairs)), Joined(len(pairs))
    last = f"layers.{len(spec.widths) - 1}.{point}"

    def keep(name: str, activation: Tensor) -> Tensor:
        if name == last:
            kept.add(activation)
        return activation

    with torch.no_grad():
        for part in pairs.split(_PAIRS_AT_A_TIME):
            logits.add(mlp_outputs(parameters, part, spec, keep))
    return logits.rows, kept.rows


def missing_in_mlp(spec: MlpSpec) -> dict[PartName, str]:
    """Return the reason for each part that such a perceptron does not have.

    Examples
    --------
    >>> list(missing_in_mlp(MlpSpec()))
    ['pattern', 'blocks']
    """
    missing: dict[PartName, str] = {
        "pattern": "a multilayer perceptron has no attention",
        "blocks": "a multilayer perceptron has no attention and no residual stream",
    }
    if spec.embedding == "separate" and spec.combination == "concatenated":
        missing["same_coordinates"] = (
            "a and b have separate embeddings that are concatenated, so their gradients are in "
            "different coordinates"
        )
    return missing
