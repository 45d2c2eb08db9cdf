"""The exact fast training step of the one-layer network: its gradients written out by hand.

The small tables over tokens are built under autograd; between the tables and the loss, where
the batch is, forward and backward are written out on memory that is used again. What remains
are six matrix products. Function and gradients are those of the hooked model up to float
rounding: every gradient is compared with autograd in float64 by the tests.
"""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.pair_tables import PairTables, has_pair_tables, pair_tables
from grokinterp.training.loss import accuracy, batch_loss


def why_no_pair_tables(spec: ModelSpec | MlpSpec, dropout: float = 0.0) -> str | None:
    """Why the fast step cannot train this network, or None where it can.

    Examples
    --------
    >>> why_no_pair_tables(ModelSpec(n_layers=2))
    'n_layers=2, input_format=a_b_equals, attention_rate=1'
    """
    if isinstance(spec, MlpSpec):
        return "a multilayer perceptron"
    if not has_pair_tables(spec):
        return (
            f"n_layers={spec.n_layers}, input_format={spec.input_format}, "
            f"attention_rate={spec.attention_rate:g}"
        )
    if spec.act_fn != "relu":
        return f"act_fn={spec.act_fn}"
    # A mask on what attention adds differs from pair to pair, and the tables are shared.
    return f"dropout={dropout:g}" if dropout else None


class PairTableStep:
    """Loss and gradients of the one-layer ReLU network on a fixed batch of pairs."""

    name = "pair tables (exact, one layer)"

    def __init__(
        self,
        parameters: dict[str, Tensor],
        spec: ModelSpec,
        pairs: Int[Tensor, "pair 2"],
        labels: Int[Tensor, " pair"],
        loss_dtype: str,
        loss: str = "cross_entropy",
    ) -> None:
        # Rows in the order of a make the sums over equal a run through memory in order; the
        # mean over the batch does not depend on the order beyond rounding.
        order = torch.argsort(pairs[:, 0] * len(parameters["embed.W_E"]) + pairs[:, 1])
        self._a, self._b = pairs[order, 0].contiguous(), pairs[order, 1].contiguous()
        self._parameters, self._spec = parameters, spec
        n_classes = parameters["unembed.W_U"].shape[1]
        self._labels = labels[order]
        self._loss = batch_loss(loss, self._labels, n_classes, loss_dtype)
        n, d_z, like = len(pairs), spec.n_heads * spec.d_head, parameters["embed.W_E"]

        def buffer(*shape: int) -> Tensor:
            return torch.empty(n, *shape, dtype=like.dtype, device=like.device)

        # The last column of z stays 1 and meets the readout's row of constants.
        self._z = torch.ones(n, d_z + 1, dtype=like.dtype, device=like.device)
        self._z_gradient = buffer(d_z + 1)
        self._read = buffer(spec.d_mlp + n_classes)
        self._read_gradient = buffer(spec.d_mlp + n_classes)
        self._value_a, self._value_b = buffer(d_z), buffer(d_z)

    def loss_and_gradients(self, n_updates: int = 0) -> float:
        """Return the loss at the present weights and set ``.grad`` of each."""
        for parameter in self._parameters.values():
            parameter.grad = None
        tables = pair_tables(self._parameters, self._spec)
        with torch.no_grad():
            pattern = self._mix_values(tables)
            loss = self._forward_backward(tables)
            gradients = self._unmix_gradients(tables, pattern)
        readout_gradient = self._z.T @ self._read_gradient
        neurons = self._read[:, : self._spec.d_mlp]
        W_L_gradient = neurons.T @ self._read_gradient[:, self._spec.d_mlp :]
        torch.autograd.backward(
            [tables.scores, tables.score_equals, tables.values, tables.value_equals]
            + [tables.readout, tables.W_L],
            [*gradients, readout_gradient, W_L_gradient],
        )
        return loss.item()

    def accuracy(self) -> float:
        """Return the training accuracy at the weights of the last loss; costs no pass."""
        return accuracy(self._read[:, self._spec.d_mlp :], self._labels)

    def _mix_values(self, tables: PairTables) -> Tensor:
        """Fill z with the values of a, b and ``=`` weighted by the attention; return it."""
        n = len(self._a)
        at_equals = tables.score_equals.expand(n, -1)
        scores = torch.stack([tables.scores[0, self._a], tables.scores[1, self._b], at_equals], -1)
        pattern = scores.softmax(dim=-1)
        torch.index_select(tables.values[0].flatten(1), 0, self._a, out=self._value_a)
        torch.index_select(tables.values[1].flatten(1), 0, self._b, out=self._value_b)
        z = self._by_head(self._z[:, :-1])
        torch.mul(self._by_head(self._value_a), pattern[..., 0, None], out=z)
        z.addcmul_(self._by_head(self._value_b), pattern[..., 1, None])
        z.addcmul_(tables.value_equals, pattern[..., 2, None])
        return pattern

    def _forward_backward(self, tables: PairTables) -> Tensor:
        """From z to the loss and back to the gradient of z."""
        d_mlp = self._spec.d_mlp
        torch.mm(self._z, tables.readout, out=self._read)
        neurons, logits = self._read[:, :d_mlp], self._read[:, d_mlp:]
        neurons.relu_()
        logits.addmm_(neurons, tables.W_L)
        d_neurons, d_logits = self._read_gradient[:, :d_mlp], self._read_gradient[:, d_mlp:]
        loss = self._loss.loss_and_gradient(logits, d_logits)
        torch.mm(d_logits, tables.W_L.T, out=d_neurons)
        # A neuron that is positive after the ReLU was positive before: in place is enough.
        torch.ops.aten.threshold_backward.grad_input(d_neurons, neurons, 0, grad_input=d_neurons)
        torch.mm(self._read_gradient, tables.readout.T, out=self._z_gradient)
        return loss

    def _unmix_gradients(self, tables: PairTables, pattern: Tensor) -> list[Tensor]:
        """Gradients of scores, score_equals, values and value_equals from that of z."""
        d_z = self._by_head(self._z_gradient[:, :-1])
        along_values = [
            (d_z * values).sum(-1)
            for values in (
                self._by_head(self._value_a),
                self._by_head(self._value_b),
                tables.value_equals,
            )
        ]
        d_pattern = torch.stack(along_values, dim=-1)
        d_scores = pattern * (d_pattern - (d_pattern * pattern).sum(-1, keepdim=True))
        scores, values = torch.zeros_like(tables.scores), torch.zeros_like(tables.values)
        for operand, tokens in enumerate((self._a, self._b)):
            scores[operand].index_add_(0, tokens, d_scores[..., operand])
            values[operand].index_add_(0, tokens, d_z * pattern[..., operand, None])
        value_equals = (d_z * pattern[..., 2, None]).sum(0)
        return [scores, d_scores[..., 2].sum(0), values, value_equals]

    def _by_head(self, flat: Tensor) -> Tensor:
        return flat.unflatten(-1, (self._spec.n_heads, self._spec.d_head))
