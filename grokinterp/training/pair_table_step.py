"""The exact fast training step of the one-layer network: its gradients written out by hand.

Nothing goes through autograd: neither the small tables over tokens and their gradients
(:mod:`grokinterp.training.table_gradients`), nor what lies between tables and loss, where the
batch is and memory is used again. What remains are three dense matrix products, of the neurons
with the classes, and a few weighted rows per pair (:mod:`grokinterp.training.token_mixes`).
Function and gradients are those of the hooked model up to float rounding: every gradient is
compared with autograd in float64 by the tests.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Int
from torch import Tensor

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.pair_tables import has_pair_tables, pair_tables
from grokinterp.training.loss import accuracy, batch_loss
from grokinterp.training.table_gradients import weight_gradients
from grokinterp.training.token_mixes import Leaves, token_mix

PAIRS_AT_A_TIME = 1024
"""What lies between tables and loss for as many pairs stays in the processor's cache."""


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
    """Loss and gradients of the one-layer ReLU network on a fixed batch of pairs.

    Parameters
    ----------
    parameters
        Weights, of which those that require a gradient are trained.
    spec
        Shape of the network; one that :func:`why_no_pair_tables` has nothing against.
    pairs, labels
        The batch.
    loss_dtype, loss
        Precision and name of the loss.
    with_numba
        As in :func:`~grokinterp.training.token_mixes.token_mix`.
    """

    def __init__(
        self,
        parameters: dict[str, Tensor],
        spec: ModelSpec,
        pairs: Int[Tensor, "pair 2"],
        labels: Int[Tensor, " pair"],
        loss_dtype: str,
        loss: str = "cross_entropy",
        *,
        with_numba: bool | None = None,
    ) -> None:
        n_tokens = len(parameters["embed.W_E"]) - 1
        # In the order of a, so that a part of the batch needs few rows of a; the mean over the
        # batch does not depend on the order beyond rounding.
        order = torch.argsort(pairs[:, 0] * n_tokens + pairs[:, 1])
        self._parameters, self._spec, self._labels = parameters, spec, labels[order]
        like, n_classes = parameters["embed.W_E"], parameters["unembed.W_U"].shape[1]
        n_pairs, d_mlp = len(pairs), spec.d_mlp
        self._logits = torch.empty(n_pairs, n_classes, dtype=like.dtype, device=like.device)
        self._d_logits = torch.empty_like(self._logits)
        n_parts = math.ceil(n_pairs / PAIRS_AT_A_TIME)
        self._parts = []
        for rows in torch.arange(n_pairs).tensor_split(n_parts):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            mix = token_mix(
                pairs[order[part]].contiguous(),
                n_tokens,
                spec.n_heads,
                d_mlp,
                n_classes,
                like.dtype,
                with_numba=with_numba,
            )
            part_loss = batch_loss(loss, self._labels[part], n_classes, loss_dtype)
            self._parts.append((part, mix, part_loss))
        self.name = f"pair tables (exact, one layer), {self._parts[0][1].name}"
        most = max(part.stop - part.start for part, _, _ in self._parts)
        shape = (most, self._parts[0][1].width)
        self._read = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self._gradient = torch.zeros_like(self._read)
        self._totals: Leaves = ()

    def loss_and_gradients(self, n_updates: int = 0) -> float:
        """Return the loss at the present weights and set ``.grad`` of each."""
        mix = self._parts[0][1]
        with torch.no_grad():
            tables = pair_tables(self._parameters, self._spec)
            loss = self._forward_backward((*mix.leaves(tables), tables.W_L))
            *totals, d_W_L = self._totals
            d_tables = mix.table_gradients(tables, tuple(totals), d_W_L)
            gradients = weight_gradients(self._parameters, self._spec, d_tables)
        for name, parameter in self._parameters.items():
            parameter.grad = gradients[name] if parameter.requires_grad else None
        return loss.item()

    def accuracy(self) -> float:
        """Return the training accuracy at the weights of the last loss; costs no pass."""
        return accuracy(self._logits, self._labels)

    def _forward_backward(self, leaves: Leaves) -> Tensor:
        """Mean loss over the batch; its gradients are added up in the totals."""
        if not self._totals:
            self._totals = tuple(torch.empty_like(leaf) for leaf in leaves)
        for total in self._totals:
            total.zero_()
        *read_leaves, W_L = leaves
        *read_totals, d_W_L = self._totals
        losses, d_mlp = [], self._spec.d_mlp
        classes = slice(d_mlp, d_mlp + W_L.shape[1])
        for part, mix, part_loss in self._parts:
            n_pairs = part.stop - part.start
            share = n_pairs / len(self._labels)
            read, gradient = self._read[:n_pairs], self._gradient[:n_pairs]
            neurons, logits = read[:, :d_mlp], self._logits[part]
            mix.forward(tuple(read_leaves), read)
            torch.addmm(read[:, classes], neurons, W_L, out=logits)
            d_logits = self._d_logits[part]
            losses.append(share * part_loss.loss_and_gradient(logits, d_logits))
            d_logits *= share
            torch.mm(d_logits, W_L.T, out=gradient[:, :d_mlp])
            gradient[:, classes] = d_logits
            mix.backward(tuple(read_leaves), read, gradient, tuple(read_totals))
            d_W_L.addmm_(neurons.T, d_logits)
        return torch.stack(losses).sum()
