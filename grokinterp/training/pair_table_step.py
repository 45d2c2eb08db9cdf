"""The exact fast training step of the one-layer network: its gradients written out by hand.

Nothing goes through autograd: neither the small tables over tokens and their gradients
(:mod:`grokinterp.training.table_gradients`), nor what lies between tables and loss, where the
batch is and memory is used again. What remains are three dense matrix products, of the neurons
with the classes, and a few weighted rows per pair. Torch computes them in parts
(:mod:`grokinterp.training.part_pass`), or a compiled kernel at once
(:mod:`grokinterp.training.team_pass`).
Function and gradients are those of the hooked model up to float rounding: every gradient is
compared with autograd in float64 by the tests.
"""

from __future__ import annotations

import itertools
import math
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.pair_tables import fields_without_tables
from grokinterp.training.kernel_choice import blas, takes_kernels
from grokinterp.training.loss import accuracy, batch_loss
from grokinterp.training.part_pass import PartPass
from grokinterp.training.token_sums import most_pairs

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


def _equal_parts(n_rows: int, n_parts: int) -> list[slice]:
    """Consecutive parts whose lengths differ by one at most, the longer ones first."""
    length, n_longer = divmod(n_rows, max(n_parts, 1))
    ends = [part * length + min(part, n_longer) for part in range(n_parts + 1)]
    return [slice(start, end) for start, end in itertools.pairwise(ends)]


@runtime_checkable
class PairPass(Protocol):
    """A way in which a fixed batch goes through the network."""

    name: str
    """What the log and environment.json call it."""

    @property
    def logits(self) -> Tensor:
        """Of every pair, at the weights of the last pass."""
        ...

    def loss(self) -> Tensor:
        """Return the mean loss at the present weights."""
        ...

    def loss_and_gradients(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean loss at the present weights and the gradient of every weight."""
        ...


class _Batch:
    """A fixed batch of pairs, and the way in which it goes through the network.

    In the order of a, so that a part needs few rows of a; a mean over the batch does not depend
    on the order beyond rounding.
    """

    def __init__(
        self,
        parameters: dict[str, Tensor],
        spec: ModelSpec,
        pairs: Int[Tensor, "pair 2"],
        labels: Int[Tensor, " pair"],
        of_loss: tuple[str, str],
        *,
        with_numba: bool | None,
        is_trained: bool,
    ) -> None:
        n_tokens, n_classes = len(parameters["embed.W_E"]) - 1, parameters["unembed.W_U"].shape[1]
        dtype = parameters["embed.W_E"].dtype
        order = torch.argsort(pairs[:, 0] * n_tokens + pairs[:, 1])
        pairs, self.labels = pairs[order].contiguous(), labels[order]
        most = most_pairs(pairs.device, PAIRS_AT_A_TIME)
        parts = _equal_parts(len(pairs), math.ceil(len(pairs) / most))
        has_kernels = takes_kernels(pairs.device, with_numba) and blas(dtype) is not None
        losses = None
        if not (has_kernels and of_loss == ("cross_entropy", "float64")):
            losses = [
                batch_loss(
                    of_loss[0],
                    self.labels[part],
                    n_classes,
                    of_loss[1],
                    n_examples=len(pairs),
                    with_numba=with_numba,
                )
                for part in parts
            ]
        self.way: PairPass
        if has_kernels:
            # Only now: numba need not be there, and takes its time to import.
            from grokinterp.training.team_pass import TeamPass

            self.way = TeamPass(
                parameters, spec, pairs, self.labels, parts, losses, is_trained=is_trained
            )
        else:
            assert losses is not None
            self.way = PartPass(parameters, spec, pairs, parts, losses)
        self.name = f"pair tables (exact, one layer), {self.way.name}"


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
        False: without the compiled kernel even if numba is installed. None: with it where numba is
        installed and torch shows its matrix product.
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
        self._batch = _Batch(
            parameters,
            spec,
            pairs,
            labels,
            (loss, loss_dtype),
            with_numba=with_numba,
            is_trained=True,
        )
        self.name = self._batch.name
        self._parameters = parameters

    def loss_and_gradients(self, n_updates: int = 0) -> Tensor:
        """Return the loss at the present weights and set ``.grad`` of each."""
        with torch.no_grad():
            loss, gradients = self._batch.way.loss_and_gradients()
        for name, parameter in self._parameters.items():
            parameter.grad = gradients[name] if parameter.requires_grad else None
        return loss

    def accuracy(self) -> Tensor:
        """Return the training accuracy at the weights of the last loss; costs no pass."""
        return accuracy(self._batch.way.logits, self._batch.labels)


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
        self._batch = _Batch(
            parameters,
            spec,
            pairs,
            labels,
            (loss, loss_dtype),
            with_numba=with_numba,
            is_trained=False,
        )

    def loss_and_accuracy(self) -> tuple[Tensor, Tensor]:
        """Return both at the present weights."""
        way = self._batch.way
        with torch.no_grad():
            return way.loss(), accuracy(way.logits, self._batch.labels)
