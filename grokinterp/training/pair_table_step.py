"""The exact fast training step of the one-layer network: its gradients written out by hand.

Nothing goes through autograd: neither the small tables over tokens and their gradients
(:mod:`grokinterp.training.table_gradients`), nor what lies between tables and loss, where the
batch is and memory is used again. What remains are three dense matrix products, of the neurons
with the classes, and a few weighted rows per pair (:mod:`grokinterp.training.token_mixes`).
Function and gradients are those of the hooked model up to float rounding: every gradient is
compared with autograd in float64 by the tests.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.pair_tables import PairTables, fields_without_tables, pair_tables
from grokinterp.training.loss import BatchLoss, accuracy, batch_loss
from grokinterp.training.table_gradients import Leaves, weight_gradients
from grokinterp.training.token_mixes import TokenMix, token_mix

PAIRS_AT_A_TIME = 1024
"""What lies between tables and loss for as many pairs stays in the processor's cache."""


def why_no_pair_tables(spec: ModelSpec | MlpSpec, dropout: float = 0.0) -> str | None:
    """Why the fast step cannot train this network, or None where it can.

    Examples
    --------
    >>> why_no_pair_tables(ModelSpec(n_layers=2))
    'n_layers=2'
    """
    if isinstance(spec, MlpSpec):
        return "a multilayer perceptron"
    if fields := fields_without_tables(spec):
        return ", ".join(fields)
    if spec.act_fn != "relu":
        return f"act_fn={spec.act_fn}"
    # A mask on what attention adds differs from pair to pair, and the tables are shared.
    return f"dropout={dropout:g}" if dropout else None


@dataclass(frozen=True, eq=False)
class _Part:
    """Pairs that go through the network together, and where their rows are."""

    rows: slice
    mix: TokenMix


def _equal_parts(n_rows: int, n_parts: int) -> list[slice]:
    """Consecutive parts whose lengths differ by one at most, the longer ones first."""
    length, n_longer = divmod(n_rows, max(n_parts, 1))
    ends = [part * length + min(part, n_longer) for part in range(n_parts + 1)]
    return [slice(start, end) for start, end in itertools.pairwise(ends)]


class _Batch:
    """A fixed batch of pairs in parts, with memory that is used again.

    In the order of a, so that a part needs few rows of a; a mean over the batch does not depend
    on the order beyond rounding.
    """

    def __init__(
        self,
        parameters: dict[str, Tensor],
        spec: ModelSpec,
        pairs: Int[Tensor, "pair 2"],
        labels: Int[Tensor, " pair"],
        with_numba: bool | None,
    ) -> None:
        n_tokens, n_classes = len(parameters["embed.W_E"]) - 1, parameters["unembed.W_U"].shape[1]
        like, n_pairs = parameters["embed.W_E"], len(pairs)
        order = torch.argsort(pairs[:, 0] * n_tokens + pairs[:, 1])
        self.labels, self.n_classes = labels[order], n_classes
        self.parts: list[_Part] = []
        for part in _equal_parts(n_pairs, math.ceil(n_pairs / PAIRS_AT_A_TIME)):
            mix = token_mix(
                pairs[order[part]].contiguous(),
                n_tokens,
                spec.n_heads,
                spec.d_mlp,
                n_classes,
                like.dtype,
                with_numba=with_numba,
            )
            self.parts.append(_Part(part, mix))
        self.name = f"pair tables (exact, one layer), {self.mix.name}"
        self._parameters, self._spec = parameters, spec
        most = max(part.rows.stop - part.rows.start for part in self.parts)
        self.read = torch.zeros(most, self.mix.width, dtype=like.dtype, device=like.device)
        self._neurons = slice(0, spec.d_mlp)
        self._direct = slice(spec.d_mlp, spec.d_mlp + n_classes)

    @property
    def mix(self) -> TokenMix:
        """Of any part: what does not depend on the pairs is the same for all."""
        return self.parts[0].mix

    def tables(self) -> PairTables:
        """The tables at the present weights."""
        return pair_tables(self._parameters, self._spec)

    def losses(
        self, loss: str, loss_dtype: str, with_numba: bool | None
    ) -> list[tuple[_Part, BatchLoss]]:
        """Each part, and its share in the mean loss of the batch."""
        return [
            (
                part,
                batch_loss(
                    loss,
                    self.labels[part.rows],
                    self.n_classes,
                    loss_dtype,
                    n_examples=len(self.labels),
                    with_numba=with_numba,
                ),
            )
            for part in self.parts
        ]

    def empty_logits(self) -> Float[Tensor, "pair c"]:
        """Room for the logits of the whole batch."""
        return torch.empty(
            len(self.labels), self.n_classes, dtype=self.read.dtype, device=self.read.device
        )

    def forward(
        self, part: _Part, leaves: Leaves, W_L: Tensor, logits: Float[Tensor, "pair c"]
    ) -> Float[Tensor, "pair width"]:
        """Write the logits of a part, and return what its pairs read."""
        read = self.read[: len(logits)]
        part.mix.forward(leaves, read)
        torch.addmm(read[:, self._direct], read[:, self._neurons], W_L, out=logits)
        return read


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
        self._batch = batch = _Batch(parameters, spec, pairs, labels, with_numba)
        self.name = batch.name
        self._parameters, self._spec = parameters, spec
        self._losses = batch.losses(loss, loss_dtype, with_numba)
        self._logits, self._d_logits = batch.empty_logits(), batch.empty_logits()
        self._gradient = torch.zeros_like(batch.read)
        self._smallest_normal = torch.finfo(self._d_logits.dtype).smallest_normal
        self._totals: Leaves = ()

    def loss_and_gradients(self, n_updates: int = 0) -> Tensor:
        """Return the loss at the present weights and set ``.grad`` of each."""
        mix = self._batch.mix
        with torch.no_grad():
            tables = self._batch.tables()
            loss = self._forward_backward(mix.leaves(tables), tables.W_L)
            *totals, d_W_L = self._totals
            d_tables = mix.table_gradients(tables, tuple(totals), d_W_L)
            gradients = weight_gradients(self._parameters, self._spec, d_tables)
        for name, parameter in self._parameters.items():
            parameter.grad = gradients[name] if parameter.requires_grad else None
        return loss

    def accuracy(self) -> Tensor:
        """Return the training accuracy at the weights of the last loss; costs no pass."""
        return accuracy(self._logits, self._batch.labels)

    def _forward_backward(self, leaves: Leaves, W_L: Tensor) -> Tensor:
        """Mean loss over the batch; its gradients are added up in the totals."""
        if not self._totals:
            self._totals = tuple(torch.empty_like(leaf) for leaf in (*leaves, W_L))
        for total in self._totals:
            total.zero_()
        *read_totals, d_W_L = self._totals
        losses, d_mlp = [], self._spec.d_mlp
        for part, part_loss in self._losses:
            logits, d_logits = self._logits[part.rows], self._d_logits[part.rows]
            read = self._batch.forward(part, leaves, W_L, logits)
            losses.append(part_loss.loss_and_gradient(logits, d_logits))
            # Below the normal numbers a product takes the processor some ten times as long. A
            # network that is sure has thousands there, which are too small to move any sum.
            torch.hardshrink(d_logits, self._smallest_normal, out=d_logits)
            gradient = self._gradient[: len(read)]
            torch.mm(d_logits, W_L.T, out=gradient[:, :d_mlp])
            gradient[:, d_mlp : d_mlp + self._batch.n_classes] = d_logits
            part.mix.backward(leaves, read, gradient, tuple(read_totals))
            d_W_L.addmm_(read[:, :d_mlp].T, d_logits)
        return torch.stack(losses).sum()


class PairTableEvaluation:
    """Loss and accuracy of the same network on a fixed batch that is not trained on.

    Parameters
    ----------
    parameters, spec, pairs, labels, loss_dtype, loss, with_numba
        As in :class:`PairTableStep`.
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
        self._batch = _Batch(parameters, spec, pairs, labels, with_numba)
        self._losses = self._batch.losses(loss, loss_dtype, with_numba)
        self._logits = self._batch.empty_logits()

    def loss_and_accuracy(self) -> tuple[Tensor, Tensor]:
        """Return both at the present weights."""
        losses = []
        with torch.no_grad():
            tables = self._batch.tables()
            leaves = self._batch.mix.leaves(tables)
            for part, part_loss in self._losses:
                logits = self._logits[part.rows]
                self._batch.forward(part, leaves, tables.W_L, logits)
                losses.append(part_loss.loss(logits))
        return torch.stack(losses).sum(), accuracy(self._logits, self._batch.labels)
