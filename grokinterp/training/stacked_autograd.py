"""The general step of many networks at once, for devices: autograd over a stack of weights.

A device computes sixty-four small networks in about the time of one, because starting an
operation takes longer than its arithmetic. On the CPU there is no such gain, so there each
network keeps a step of its own (:class:`~grokinterp.training.batched_ways.OneByOne`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.mlp import first_outputs, mlp_outputs
from grokinterp.models.pair_tables import forward_tables, has_pair_tables, pair_tables
from grokinterp.models.transformer import input_tokens, transformer_logits
from grokinterp.runs.config import TrainConfig
from grokinterp.training.environment import BATCHED
from grokinterp.training.loss import LOSSES, accuracy
from grokinterp.training.stacked_weights import StackedWeights

Weights = Mapping[str, Tensor]


class MemberBatch:
    """What one member is trained on, as the stacked step reads it.

    Parameters
    ----------
    config
        Of the member.
    parameters
        Weights that it begins with.
    inputs, targets
        The batch.
    """

    name = f"autograd, {BATCHED}"

    def __init__(
        self, config: TrainConfig, parameters: Weights, inputs: Tensor, targets: Tensor
    ) -> None:
        spec = config.model
        # What is subtracted from the outputs, if the network is centered.
        self.at_first = torch.zeros((), device=inputs.device)
        if isinstance(spec, MlpSpec) and spec.is_centered:
            self.at_first = first_outputs(parameters, inputs, spec)
        if isinstance(spec, ModelSpec) and not has_pair_tables(spec):
            inputs = input_tokens(inputs, spec, len(parameters["embed.W_E"]))
        self.inputs = self.targets = inputs
        self._labels = targets if targets.ndim == 1 else None
        if config.loss == "mse" and self._labels is not None:
            names = ("unembed.b_U", f"layers.{len(getattr(spec, 'widths', ()))}.W")
            n_outputs = next(parameters[name].shape[-1] for name in names if name in parameters)
            targets = F.one_hot(targets, n_outputs).to(torch.float32)
        self.targets = targets
        self.outputs = torch.empty(0)

    def accuracy(self) -> Tensor:
        """Return the training accuracy at the weights of the last loss; NaN without classes."""
        if self._labels is None:
            return torch.tensor(torch.nan, device=self.inputs.device)
        return accuracy(self.outputs, self._labels)


class StackedAutogradStep:
    """Losses and gradients of all networks in a stack, by one pass of autograd over it.

    Parameters
    ----------
    weights
        Of the members.
    spec
        Shape of the networks.
    loss, loss_dtype
        Name and precision of the loss, the same for all.
    """

    def __init__(
        self, weights: StackedWeights, spec: ModelSpec | MlpSpec, loss: str, loss_dtype: str
    ) -> None:
        self._weights = weights
        self._spec = dataclasses.replace(spec, is_centered=False) if _is_mlp(spec) else spec
        self._loss, self._loss_dtype = LOSSES[loss], loss_dtype
        self._members: list[MemberBatch] = []
        self._data: tuple[Tensor, ...] = ()
        self._function = torch.func.vmap(torch.func.grad(self._loss_of, has_aux=True))

    def losses_and_gradients(
        self, members: Sequence[MemberBatch], n_updates: Sequence[int]
    ) -> list[Tensor]:
        """Return the loss of every member and write its gradients into the stack."""
        if list(members) != self._members:
            self._members = list(members)
            data = zip(*((m.inputs, m.targets, m.at_first) for m in members), strict=True)
            self._data = tuple(torch.stack(one) for one in data)
        values, gradients = self._weights.first(len(members))
        trained = {n: v for n, v in values.items() if n in self._weights.trained}
        fixed = {n: v for n, v in values.items() if n not in self._weights.trained}
        found, (losses, outputs) = self._function(trained, fixed, *self._data)
        for name, gradient in found.items():
            gradients[name].copy_(gradient)
        for member, of_member in zip(members, outputs, strict=True):
            member.outputs = of_member
        return list(losses)

    def _loss_of(
        self, trained: Weights, fixed: Weights, inputs: Tensor, targets: Tensor, at_first: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        outputs = self._outputs({**trained, **fixed}, inputs) - at_first
        loss = self._loss(outputs, targets, self._loss_dtype)
        return loss, (loss.detach(), outputs.detach())

    def _outputs(self, weights: Weights, inputs: Tensor) -> Tensor:
        if isinstance(self._spec, MlpSpec):
            return mlp_outputs(weights, inputs, self._spec)
        if has_pair_tables(self._spec):
            return forward_tables(pair_tables(weights, self._spec), self._spec, inputs).logits
        return transformer_logits(weights, inputs, self._spec, last_only=True)[:, -1]


def _is_mlp(spec: ModelSpec | MlpSpec) -> bool:
    return isinstance(spec, MlpSpec)
