"""One step of full-batch training: the loss at the present weights and its gradients."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from jaxtyping import Int
from torch import Tensor

from grokinterp.models import ModelSpec
from grokinterp.models.transformer import input_tokens, transformer_logits
from grokinterp.training.loss import accuracy, cross_entropy


@runtime_checkable
class TrainingStep(Protocol):
    """Computes the training loss and leaves gradients in the parameters."""

    name: str
    """What the log and environment.json call this way of computing."""

    def loss_and_gradients(self) -> float:
        """Return the loss in nats at the present weights and set ``.grad`` of each."""
        ...

    def accuracy(self) -> float:
        """Return the training accuracy at the weights of the last loss; costs no pass."""
        ...


class AutogradStep:
    """The general path: autograd through the transformer's forward pass.

    It serves every architecture, and is what the fast step is tested against.
    """

    name = "autograd"

    def __init__(
        self,
        parameters: dict[str, Tensor],
        spec: ModelSpec,
        pairs: Int[Tensor, "pair 2"],
        labels: Int[Tensor, " pair"],
        loss_dtype: str,
    ) -> None:
        self._tokens = input_tokens(pairs, spec, len(parameters["embed.W_E"]))
        self._parameters, self._spec = parameters, spec
        self._labels, self._loss_dtype = labels, loss_dtype
        self._logits: Tensor | None = None

    def loss_and_gradients(self) -> float:
        """Return the loss in nats at the present weights and set ``.grad`` of each."""
        for parameter in self._parameters.values():
            parameter.grad = None
        logits = transformer_logits(self._parameters, self._tokens, self._spec)[:, -1]
        loss = cross_entropy(logits, self._labels, self._loss_dtype)
        loss.backward()
        self._logits = logits.detach()
        return loss.item()

    def accuracy(self) -> float:
        """Return the training accuracy at the weights of the last loss; costs no pass."""
        assert self._logits is not None
        return accuracy(self._logits, self._labels)
