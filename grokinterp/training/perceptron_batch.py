"""A fixed batch of pairs in front of a perceptron, in parts that stay in the cache."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

from grokinterp.models import MlpSpec
from grokinterp.models.mlp import activate, first_outputs
from grokinterp.training.loss import BatchLoss, batch_loss
from grokinterp.training.perceptron_weights import PerceptronWeights
from grokinterp.training.token_sums import most_pairs, starts_of

PAIRS_AT_A_TIME = 1024
"""What lies behind the first layer for as many pairs stays in the processor's cache."""
Layer = tuple[Tensor, Tensor]
"""Pre-activations and activations of a hidden layer."""


@dataclass(frozen=True, eq=False)
class PairPart:
    """Pairs that go through the network together."""

    rows: slice
    """Their places in the batch, which is in the order of a."""
    pairs: Int[Tensor, "pair 2"]
    """Rows of the joined table that they read."""
    tokens: slice
    """Tokens that a takes in them."""
    of_tokens: Int[Tensor, " tokens_plus_1"]
    """Where the pairs of each of these tokens begin."""
    by_b: Int[Tensor, " pair"]
    """Pairs in the order of b, and where those of each token begin."""
    starts_of_b: Int[Tensor, " n_plus_1"]

    places: Int[Tensor, " pair"]
    """The pairs as they come."""

    @classmethod
    def of(cls, rows: slice, pairs: Int[Tensor, "pair 2"], n_tokens: int) -> PairPart:
        """Take some consecutive pairs of a batch that is in the order of a."""
        a, b = pairs.unbind(1)
        first, last = 0, n_tokens
        if len(a) and a.device.type == "cpu":  # Elsewhere one would wait for these two numbers.
            first, last = int(a[0]), int(a[-1]) + 1
        return cls(
            rows,
            pairs + torch.tensor([0, n_tokens], device=pairs.device),
            slice(first, last),
            starts_of(a - first, last - first),
            torch.argsort(b, stable=True),
            starts_of(b, n_tokens),
            torch.arange(len(pairs), device=pairs.device),
        )


class PairBatch:
    """A fixed batch of pairs in parts, and the forward pass on one of them."""

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        spec: MlpSpec,
        pairs: Int[Tensor, "pair 2"],
        labels: Int[Tensor, " pair"],
    ) -> None:
        self.weights = PerceptronWeights(parameters, spec)
        self.n_tokens = len(parameters[(*spec.embedding_names, "layers.0.W")[0]])
        if not spec.is_embedded and spec.combination == "concatenated":
            self.n_tokens //= 2
        order = torch.argsort(pairs[:, 0] * self.n_tokens + pairs[:, 1])
        self.labels, pairs = labels[order], pairs[order]
        n_parts = max(math.ceil(len(pairs) / most_pairs(pairs.device, PAIRS_AT_A_TIME)), 1)
        self.parts: list[PairPart] = []
        start = 0
        for some in pairs.tensor_split(n_parts):
            rows = slice(start, start + len(some))
            self.parts.append(PairPart.of(rows, some, self.n_tokens))
            start = rows.stop
        self.at_first = first_outputs(parameters, pairs, spec) if spec.is_centered else None
        most = max(len(part.pairs) for part in self.parts)
        like = parameters["layers.0.W"]
        self.widths = (*spec.widths, parameters[f"layers.{len(spec.widths)}.W"].shape[1])
        self._pre = [like.new_empty(most, width) for width in self.widths[:-1]]
        self.most = most
        self.logits = like.new_empty(len(pairs), self.widths[-1])

    def losses(
        self, loss: str, loss_dtype: str, with_numba: bool | None
    ) -> list[tuple[PairPart, BatchLoss]]:
        """Each part, and its share in the mean loss of the batch."""
        n_examples = max(len(self.labels), 1)
        return [
            (
                part,
                batch_loss(
                    loss,
                    self.labels[part.rows],
                    self.widths[-1],
                    loss_dtype,
                    n_examples=n_examples,
                    with_numba=with_numba,
                ),
            )
            for part in self.parts
        ]

    def forward(self, part: PairPart, table: Float[Tensor, "row neuron"]) -> list[Layer]:
        """Write the logits of a part; return its hidden layers before and after activation."""
        weights, spec = self.weights, self.weights.spec
        pre, layers = embedding_bag(part.pairs, table, mode="sum"), []
        for layer in range(1, len(self.widths)):
            layers.append((pre, activate(pre, spec)))
            is_last, scale = layer == len(spec.widths), weights.scale(layer)
            if is_last:
                scale *= spec.output_scale
            pre = self.logits[part.rows] if is_last else self._pre[layer][: len(part.pairs)]
            torch.addmm(pre, layers[-1][1], weights.of(layer), beta=0, alpha=scale, out=pre)
            if spec.biases:
                pre.add_(weights.bias(layer), alpha=spec.output_scale if is_last else 1.0)
        if self.at_first is not None:
            pre -= self.at_first[part.rows]
        return layers
