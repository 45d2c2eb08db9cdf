r"""The exact step of a multilayer perceptron on pairs: its gradients written out by hand.

A pair enters the first layer as two rows, :math:`r_a + s_b`, so the first product is over the
tokens and not over the batch: for one-hot vectors the rows are those of the weight matrix and
nothing is multiplied, for embeddings they are one product per operand. Backward, the gradients of
the pairs of a token are added up before they meet anything else. Behind the first layer a batch
goes through in parts that stay in the processor's cache, and memory is used again. Function and
gradients are those of :func:`grokinterp.models.mlp.mlp_outputs` up to float rounding: every
gradient is compared with autograd in float64 by the tests.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.training.loss import accuracy
from grokinterp.training.perceptron_batch import Layer, PairBatch, PairPart
from grokinterp.training.token_sums import sums_of_bags

Backward = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From the gradient of activations, pre-activations and activations to that of pre-activations."""


def why_no_pair_rows(spec: ModelSpec | MlpSpec, inputs: Tensor, dropout: float = 0.0) -> str | None:
    """Why this step cannot train a perceptron on these inputs, or None where it can.

    Examples
    --------
    >>> why_no_pair_rows(MlpSpec(), torch.zeros(1, 64))
    'inputs are vectors'
    >>> why_no_pair_rows(MlpSpec(), torch.tensor([[0, 1]])) is None
    True
    """
    if isinstance(spec, ModelSpec):
        return "a transformer"
    if inputs.is_floating_point():
        return "inputs are vectors"
    if inputs.device.type == "mps":
        return "no bags of rows on this device"
    return f"dropout={dropout:g}" if dropout else None


class PerceptronStep:
    """Loss and gradients of a multilayer perceptron on a fixed batch of pairs.

    Parameters
    ----------
    parameters
        Weights, of which those that require a gradient are trained.
    spec
        Of a network that :func:`why_no_pair_rows` has nothing against.
    pairs, labels
        The batch.
    loss_dtype, loss
        Precision and name of the loss.
    with_numba
        As in :func:`~grokinterp.training.token_mixes.token_mix`.

    Examples
    --------
    >>> from grokinterp.models.mlp import first_mlp_parameters
    >>> spec = MlpSpec(widths=(16,))
    >>> parameters = first_mlp_parameters(spec, n_inputs=10, n_outputs=5)
    >>> parameters = {name: value.requires_grad_() for name, value in parameters.items()}
    >>> pairs, labels = torch.tensor([[0, 1], [4, 2]]), torch.tensor([1, 1])
    >>> step = PerceptronStep(parameters, spec, pairs, labels, "float64")
    >>> step.loss_and_gradients().shape, parameters["layers.0.W"].grad.shape
    (torch.Size([]), torch.Size([10, 16]))
    """

    def __init__(
        self,
        parameters: dict[str, Tensor],
        spec: MlpSpec,
        pairs: Int[Tensor, "pair 2"],
        labels: Int[Tensor, " pair"],
        loss_dtype: str,
        loss: str = "cross_entropy",
        *,
        with_numba: bool | None = None,
    ) -> None:
        self.name = "pair rows (exact, multilayer perceptron)"
        self._batch = batch = PairBatch(parameters, spec, pairs, labels)
        self._parameters, self._spec = parameters, spec
        self._losses = batch.losses(loss, loss_dtype, with_numba)
        self._d_logits = batch.logits.new_empty(batch.most, batch.widths[-1])
        self._backward = _BACKWARD[spec.act_fn](spec)

    def loss_and_gradients(self, n_updates: int = 0) -> Tensor:
        """Return the loss at the present weights and set ``.grad`` of each."""
        with torch.no_grad():
            loss, gradients = self._forward_backward()
        for name, parameter in self._parameters.items():
            parameter.grad = gradients.get(name) if parameter.requires_grad else None
        return loss

    def accuracy(self) -> Tensor:
        """Return the training accuracy at the weights of the last loss; costs no pass."""
        return accuracy(self._batch.logits, self._batch.labels)

    def _forward_backward(self) -> tuple[Tensor, dict[str, Tensor]]:
        batch, losses = self._batch, []
        table = batch.weights.table()
        d_table = torch.zeros_like(table)
        gradients = {
            name: torch.zeros_like(value)
            for name, value in self._parameters.items()
            if value.requires_grad and name.startswith("layers.") and name[7] != "0"
        }
        smallest = torch.finfo(table.dtype).smallest_normal
        for part, part_loss in self._losses:
            layers = batch.forward(part, table)
            d_logits = self._d_logits[: len(part.pairs)]
            losses.append(part_loss.loss_and_gradient(batch.logits[part.rows], d_logits))
            # Products with numbers below the normal ones take some ten times as long.
            torch.hardshrink(d_logits, smallest, out=d_logits)
            d_pre = self._through_layers(d_logits, layers, gradients)
            self._add_to_rows(part, d_pre, d_table)
        return torch.stack(losses).sum(), gradients | batch.weights.table_gradients(d_table)

    def _through_layers(
        self, d_pre: Tensor, layers: list[Layer], gradients: dict[str, Tensor]
    ) -> Float[Tensor, "pair neuron"]:
        """Add the gradients of all layers but the first; return that of its pre-activations."""
        weights = self._batch.weights
        if self._spec.output_scale != 1:
            d_pre = d_pre * self._spec.output_scale
        for layer in range(len(layers), 0, -1):
            scale, (pre, post) = weights.scale(layer), layers[layer - 1]
            name = f"layers.{layer}."
            if name + "W" in gradients:
                gradients[name + "W"].addmm_(post.T, d_pre, alpha=scale)
            if name + "b" in gradients:
                gradients[name + "b"] += d_pre.sum(0)
            d_post = d_pre @ weights.of(layer).T
            d_post = d_post.mul_(scale) if scale != 1 else d_post
            d_pre = self._backward(d_post, pre, post)
        return d_pre

    def _add_to_rows(self, part: PairPart, d_pre: Tensor, d_table: Tensor) -> None:
        """Add up the gradients of the pairs of each token, of a and of b."""
        # The pairs of a token as a bag: rows in a stated order, so the same bits every time.
        d_table[part.tokens] += sums_of_bags(d_pre, part.places, part.of_tokens)
        d_table[self._batch.n_tokens :] += sums_of_bags(d_pre, part.by_b, part.starts_of_b)


class PerceptronEvaluation:
    """Loss and accuracy of the same network on a fixed batch that is not trained on.

    Parameters
    ----------
    parameters, spec, pairs, labels, loss_dtype, loss, with_numba
        As in :class:`PerceptronStep`.
    """

    def __init__(
        self,
        parameters: dict[str, Tensor],
        spec: MlpSpec,
        pairs: Int[Tensor, "pair 2"],
        labels: Int[Tensor, " pair"],
        loss_dtype: str,
        loss: str = "cross_entropy",
        *,
        with_numba: bool | None = None,
    ) -> None:
        self._batch = PairBatch(parameters, spec, pairs, labels)
        self._losses = self._batch.losses(loss, loss_dtype, with_numba)

    def loss_and_accuracy(self) -> tuple[Tensor, Tensor]:
        """Return both at the present weights."""
        batch, losses = self._batch, []
        with torch.no_grad():
            table = batch.weights.table()
            for part, part_loss in self._losses:
                batch.forward(part, table)
                losses.append(part_loss.loss(batch.logits[part.rows]))
        return torch.stack(losses).sum(), accuracy(batch.logits, batch.labels)


def _of_pre(derivative: Callable[[Tensor], Tensor]) -> Backward:
    return lambda d_post, pre, post: d_post.mul_(derivative(pre))


_aten = torch.ops.aten
_BACKWARD: dict[str, Callable[[MlpSpec], Backward]] = {
    # Positive after the ReLU is positive before.
    "relu": lambda spec: lambda d_post, pre, post: _aten.threshold_backward(d_post, post, 0),
    "gelu": lambda spec: lambda d_post, pre, post: _aten.gelu_backward(d_post, pre),
    "gelu_new": lambda spec: (
        lambda d_post, pre, post: _aten.gelu_backward(d_post, pre, approximate="tanh")
    ),
    "silu": lambda spec: lambda d_post, pre, post: _aten.silu_backward(d_post, pre),
    "tanh": lambda spec: lambda d_post, pre, post: _aten.tanh_backward(d_post, post),
    "square": lambda spec: _of_pre(lambda pre: 2 * pre),
    "linear_quadratic": lambda spec: _of_pre(lambda pre: 1 + spec.curvature * pre),
}
"""By activation: how its gradient is found, as autograd finds it."""
