"""What the tokens of a pair add to the first layer of a perceptron, and back from there."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.models import MlpSpec


class PerceptronWeights:
    """The weights by layer, and the factors of the parametrization.

    Parameters
    ----------
    parameters
        Weights; they may change afterwards.
    spec
        Of the network.

    Examples
    --------
    >>> from grokinterp.models.mlp import first_mlp_parameters
    >>> spec = MlpSpec(widths=(16,), embedding="shared", d_embed=4)
    >>> weights = PerceptronWeights(first_mlp_parameters(spec, n_inputs=10, n_outputs=5), spec)
    >>> weights.table().shape  # five tokens as a, then as b
    torch.Size([10, 16])
    """

    def __init__(self, parameters: Mapping[str, Tensor], spec: MlpSpec) -> None:
        self.parameters, self.spec = parameters, spec

    def of(self, layer: int) -> Tensor:
        """Matrix of a layer."""
        return self.parameters[f"layers.{layer}.W"]

    def bias(self, layer: int) -> Tensor:
        """Bias of a layer."""
        return self.parameters[f"layers.{layer}.b"]

    def scale(self, layer: int) -> float:
        """What the product of a layer is multiplied by."""
        spec = self.spec
        if spec.init != "mean_field":
            return 1.0
        if layer == 0:
            return (2 * spec.d_embed) ** -0.5 if spec.is_embedded else 0.5**0.5
        fan_in = len(self.of(layer))
        return 1 / fan_in if layer == len(spec.widths) else fan_in**-0.5

    def table(self) -> Float[Tensor, "row neuron"]:
        """Rows of a, then rows of b: what each token adds to the first pre-activations."""
        spec, weight, scale = self.spec, self.of(0), self.scale(0)
        if spec.is_embedded:
            to_a, to_b = self._sides(weight)
            first, second = self._embeddings()
            table = torch.cat([first @ to_a, second @ to_b])
        else:
            table = torch.cat([weight, weight]) if spec.combination == "summed" else weight
        table = table * scale if scale != 1 else table.clone()
        if spec.biases:
            table[: len(table) // 2] += self.bias(0)
        return table

    def table_gradients(self, d_table: Float[Tensor, "row neuron"]) -> dict[str, Tensor]:
        """Gradients of everything before the first activation, given that of the table."""
        spec, weight = self.spec, self.of(0)
        found: dict[str, Tensor] = {}
        d_a, d_b = d_table.chunk(2)
        if spec.biases:
            found["layers.0.b"] = d_a.sum(0)
        scale = self.scale(0)
        if scale != 1:
            d_table = d_table * scale
            d_a, d_b = d_table.chunk(2)
        if not spec.is_embedded:
            found["layers.0.W"] = d_a + d_b if spec.combination == "summed" else d_table
            return found
        to_a, to_b = self._sides(weight)
        first, second = self._embeddings()
        into_a, into_b = first.T @ d_a, second.T @ d_b
        is_summed = spec.combination == "summed"
        found["layers.0.W"] = into_a + into_b if is_summed else torch.cat([into_a, into_b])
        d_first, d_second = d_a @ to_a.T, d_b @ to_b.T
        if spec.embedding == "shared":
            found["embed.W_E"] = d_first + d_second
        else:
            found |= dict(zip(spec.embedding_names, (d_first, d_second), strict=True))
        return found

    def _sides(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """What the embeddings of a and of b are multiplied with."""
        if self.spec.combination == "summed":
            return weight, weight
        half = len(weight) // 2
        return weight[:half], weight[half:]

    def _embeddings(self) -> tuple[Tensor, Tensor]:
        first, *others = (self.parameters[name] for name in self.spec.embedding_names)
        return first, others[0] if others else first
