"""Training on minibatches: which examples an update takes, and the step over them."""

from __future__ import annotations

import torch
from torch import Tensor

from grokinterp.models.transformer import no_hook
from grokinterp.portions import portions
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.network import Network
from grokinterp.training.dropout import Dropout, generator_of
from grokinterp.training.loss import LOSSES
from grokinterp.training.step import Evaluation, added

_WITH_REPLACEMENT, _EPOCHS = 2, 3
"""Streams of random numbers, beside those of gradient noise and dropout."""


class MinibatchSampler:
    """Draws the examples of every update, the same ones whenever they are asked for.

    Parameters
    ----------
    n_examples
        Training examples.
    config
        Its `batch_size`, `batch_sampling` and `batch_seed`.
    device
        Where the rows are wanted; they are drawn on the CPU.

    Examples
    --------
    >>> sampler = MinibatchSampler(5, TrainConfig(batch_size=2))
    >>> [len(sampler.rows(step)) for step in range(4)]
    [2, 2, 1, 2]
    >>> sorted(torch.cat([sampler.rows(step) for step in range(3)]).tolist())
    [0, 1, 2, 3, 4]

    Notes
    -----
    No state is kept between updates, so a run that was stopped goes on with the batches that it
    would have had. Without replacement the order of epoch e is that of
    ``torch.randperm(n_examples)`` under a generator that is seeded by `batch_seed` and e.
    """

    def __init__(self, n_examples: int, config: TrainConfig, device: str = "cpu") -> None:
        assert config.batch_size is not None
        self._device = device
        self._n_examples, self._seed = n_examples, config.batch_seed
        self._size = min(config.batch_size, n_examples)
        self._replaces = config.batch_sampling == "with_replacement"
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    @property
    def batches_per_epoch(self) -> int:
        """Updates in which every training example is taken once, without replacement."""
        return -(-self._n_examples // self._size)

    def rows(self, n_updates: int) -> Tensor:
        """Rows of the training examples that update number `n_updates` (from 0) takes.

        Returns
        -------
        Tensor
            (batch_size,) int64; the last batch of an epoch may be shorter.
        """
        if self._replaces:
            generator = generator_of(self._seed, n_updates, _WITH_REPLACEMENT)
            rows = torch.randint(self._n_examples, (self._size,), generator=generator)
            return rows.to(self._device)
        epoch, place = divmod(n_updates, self.batches_per_epoch)
        if epoch != self._epoch:
            generator = generator_of(self._seed, epoch, _EPOCHS)
            # Moved once for the whole epoch.
            order = torch.randperm(self._n_examples, generator=generator)
            self._order, self._epoch = order.to(self._device), epoch
        return self._order[place * self._size : (place + 1) * self._size]


class MinibatchStep:
    """The step over a part of the training examples, by autograd.

    Parameters
    ----------
    parameters
        Weights, of which those that require a gradient are trained.
    network
        Forward pass.
    inputs, targets
        All training examples.
    config
        Its minibatches, and precision and name of its loss.
    dropout
        What is dropped in the forward pass of an update.
    on_all
        Computes loss and accuracy on all training examples.
    """

    def __init__(
        self,
        parameters: dict[str, Tensor],
        network: Network,
        inputs: Tensor,
        targets: Tensor,
        config: TrainConfig,
        dropout: Dropout | None,
        on_all: Evaluation,
    ) -> None:
        self.name = "autograd (minibatches)"
        self.on_all = on_all
        self._sampler = MinibatchSampler(len(inputs), config, str(targets.device))
        self._forward = network.forward_on(parameters, inputs)
        self._parameters, self._targets, self._dropout = parameters, targets, dropout
        self._loss, self._loss_dtype = LOSSES[config.loss], config.loss_dtype
        self._n_outputs = network.task.n_outputs

    def loss_and_gradients(self, n_updates: int = 0) -> Tensor:
        """Return the loss of this update's batch and set ``.grad`` of each weight."""
        for parameter in self._parameters.values():
            parameter.grad = None
        hook = no_hook if self._dropout is None else self._dropout.hook(n_updates)
        rows = self._sampler.rows(n_updates)
        losses = []
        for part in self._parts(len(rows)):
            some = rows[part]
            outputs = self._forward(self._parameters, hook, some)
            loss = self._loss(outputs, self._targets[some], self._loss_dtype)
            loss = loss * (len(some) / len(rows))
            loss.backward()
            losses.append(loss.detach())
        return added(losses)

    def _parts(self, n_rows: int) -> list[slice]:
        """The whole batch, or portions of one whose outputs are too large to hold."""
        if self._dropout is not None:
            return [slice(None)]
        return portions(n_rows, 8 * self._n_outputs)

    def accuracy(self) -> Tensor:
        """Return the accuracy on all training examples at the present weights."""
        return self.on_all.loss_and_accuracy()[1]
