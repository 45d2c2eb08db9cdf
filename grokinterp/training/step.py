"""One step of training: the loss at the present weights and its gradients."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from grokinterp.models.transformer import no_hook
from grokinterp.portions import portions
from grokinterp.runs.network import Network
from grokinterp.training.dropout import Dropout
from grokinterp.training.loss import LOSSES, accuracy, widest


@runtime_checkable
class TrainingStep(Protocol):
    """Computes the training loss and leaves gradients in the parameters."""

    name: str
    """What the log and environment.json call this way of computing."""

    def loss_and_gradients(self, n_updates: int = 0) -> Tensor:
        """Return the loss at the present weights and set ``.grad`` of each.

        The loss stays on the device, so that nobody waits for it before it is wanted.
        """
        ...

    def accuracy(self) -> Tensor:
        """Return the training accuracy at the weights of the last loss."""
        ...


@runtime_checkable
class Evaluation(Protocol):
    """Computes the loss and the accuracy on examples that are not trained on."""

    def loss_and_accuracy(self) -> tuple[Tensor, Tensor]:
        """Return both at the present weights; the accuracy of a regression is NaN."""
        ...


class AutogradStep:
    """The general path: autograd through the network's forward pass.

    It serves every architecture and loss, and is what the fast step is tested against.

    Parameters
    ----------
    parameters
        Weights, of which those that require a gradient are trained.
    network
        Forward pass.
    inputs, targets
        The batch.
    loss_dtype, loss
        Precision and name of the loss.
    dropout
        What is dropped in the forward pass of an update; the accuracy is taken without.

    Notes
    -----
    A batch whose outputs are larger than a portion is worked off in portions whose gradients add
    up; with dropout it is one, since a mask is drawn for a whole batch.
    """

    def __init__(
        self,
        parameters: dict[str, Tensor],
        network: Network,
        inputs: Tensor,
        targets: Tensor,
        loss_dtype: str,
        loss: str = "cross_entropy",
        dropout: Dropout | None = None,
    ) -> None:
        self.name = "autograd"
        parts = _portions_of(network, inputs) if dropout is None else [slice(None)]
        self._parts = [(network.forward_on(parameters, inputs[s]), targets[s]) for s in parts]
        self._parameters, self._targets, self._dropout = parameters, targets, dropout
        self._loss, self._loss_dtype = LOSSES[loss], loss_dtype
        self._outputs: list[Tensor] = []

    def loss_and_gradients(self, n_updates: int = 0) -> Tensor:
        """Return the loss at the present weights and set ``.grad`` of each."""
        for parameter in self._parameters.values():
            parameter.grad = None
        hook = no_hook if self._dropout is None else self._dropout.hook(n_updates)
        self._outputs, losses = [], []
        for forward, targets in self._parts:
            outputs = forward(self._parameters, hook)
            loss = self._loss(outputs, targets, self._loss_dtype) * self._share(targets)
            loss.backward()
            self._outputs.append(outputs.detach())
            losses.append(loss.detach())
        return added(losses)

    def _share(self, targets: Tensor) -> float:
        return len(targets) / len(self._targets)

    def accuracy(self) -> Tensor:
        """Return the training accuracy at the weights of the last loss.

        It costs no pass, but for a network with dropout, which is asked without. NaN where
        the targets are no classes.
        """
        if self._targets.ndim != 1:
            return torch.tensor(math.nan, device=self._targets.device)
        outputs = self._outputs
        if not outputs or self._dropout is not None:
            with torch.no_grad():
                outputs = [forward(self._parameters, no_hook) for forward, _ in self._parts]
        of_parts = zip(outputs, (targets for _, targets in self._parts), strict=True)
        return added([accuracy(part, targets) * self._share(targets) for part, targets in of_parts])


def added(shares: list[Tensor]) -> Tensor:
    """Sum of the shares of parts in a mean, in the order of the parts; zero of none."""
    first = shares[0] if shares else torch.zeros(())
    return sum((share.to(widest(share.device)) for share in shares), first.new_zeros(()))


def _portions_of(network: Network, inputs: Tensor) -> list[slice]:
    """Examples whose outputs fit into a portion in float64, one portion after another."""
    return portions(len(inputs), 8 * network.task.n_outputs)


class ForwardEvaluation:
    """The general path of a test: the network's forward pass.

    Parameters
    ----------
    parameters, network, inputs, targets, loss_dtype, loss
        As in :class:`AutogradStep`.
    """

    def __init__(
        self,
        parameters: dict[str, Tensor],
        network: Network,
        inputs: Tensor,
        targets: Tensor,
        loss_dtype: str,
        loss: str = "cross_entropy",
    ) -> None:
        parts = _portions_of(network, inputs)
        self._parts = [(network.forward_on(parameters, inputs[s]), targets[s]) for s in parts]
        self._parameters, self._targets = parameters, targets
        self._loss, self._loss_dtype = LOSSES[loss], loss_dtype

    def loss_and_accuracy(self) -> tuple[Tensor, Tensor]:
        """Return both at the present weights; the accuracy of a regression is NaN."""
        is_of_classes = self._targets.ndim == 1
        losses, right = [], []
        for forward, targets in self._parts:
            share = len(targets) / max(len(self._targets), 1)
            with torch.no_grad():
                outputs = forward(self._parameters, no_hook)
                loss = self._loss(outputs, targets, self._loss_dtype)
            losses.append(loss.to(widest(loss.device)) * share)
            if is_of_classes:
                right.append(accuracy(outputs, targets) * share)
        nothing = torch.tensor(math.nan, device=self._targets.device)
        return added(losses), added(right) if is_of_classes else nothing
