"""A training in motion, and what it leaves behind as it goes.

One network alone (:mod:`grokinterp.training.loop`) and many in one batch
(:mod:`grokinterp.training.many`) go this way; they differ in how losses and gradients are
computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from grokinterp.runs.config import TrainConfig
from grokinterp.runs.network import Network
from grokinterp.runs.record import BATCH_LOSS, CURVE_COLUMNS
from grokinterp.runs.run import Run
from grokinterp.runs.stopping import EarlyStop, early_stop
from grokinterp.training.callbacks import NOBODY, Callbacks, Watch
from grokinterp.training.loss import DTYPES
from grokinterp.training.minibatches import MinibatchStep
from grokinterp.training.modifiers import Modifier, modifiers_of
from grokinterp.training.optimizer import build_optimizer, learning_rate_at
from grokinterp.training.recorder import Recorder
from grokinterp.training.step import Evaluation
from grokinterp.training.unread_losses import UnreadLosses


@runtime_checkable
class OfStep(Protocol):
    """What a training asks of the step that computes its gradients."""

    name: str
    """What environment.json calls this way of computing."""

    def accuracy(self) -> Tensor:
        """Return the training accuracy at the weights of the last loss."""
        ...


def first_weights(config: TrainConfig, network: Network, parent: Run | None) -> dict[str, Tensor]:
    """Weights that a run begins with: drawn, or the last ones of its parent."""
    initial = network.initial_parameters() if parent is None else parent.parameters()
    return {name: value.to(weight_dtype(config)) for name, value in initial.items()}


def weight_dtype(config: TrainConfig) -> torch.dtype:
    """Precision of a run's weights."""
    return DTYPES[config.weight_dtype]


@dataclass(frozen=True)
class Tested:
    """What a test finds at the present weights: nats and shares."""

    test_loss: float
    train_accuracy: float
    test_accuracy: float
    train_loss: float | None
    """On all training examples; None where the loss of the step says it."""


@dataclass
class Training:
    """Weights and optimizer in motion."""

    config: TrainConfig
    network: Network
    parameters: dict[str, Tensor]
    trained: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    modifiers: list[Modifier]
    train_accuracy: Callable[[], Tensor]
    """Of the weights of the last training loss."""
    evaluation: Evaluation
    on_all_trained: Evaluation | None
    """Of all training examples, where a step takes a part of them."""
    n_updates: int

    @classmethod
    def start(
        cls,
        network: Network,
        parameters: dict[str, Tensor],
        step: OfStep,
        evaluation: Evaluation,
        recorder: Recorder,
    ) -> Training:
        """Begin with these weights, or put those in their place with which the run stopped."""
        config, device = recorder.config, next(iter(parameters.values())).device
        trained = {name: value for name, value in parameters.items() if value.requires_grad}
        began_with = {name: value.detach().clone() for name, value in trained.items()}
        optimizer = build_optimizer(config.optimizer, parameters)
        modifiers = modifiers_of(config, began_with)
        recorder.note_environment(step.name, str(device))
        n_updates = recorder.restore(parameters, trained, optimizer, modifiers)
        return cls(
            config,
            network,
            parameters,
            trained,
            optimizer,
            modifiers,
            step.accuracy,
            evaluation,
            step.on_all if isinstance(step, MinibatchStep) else None,
            n_updates,
        )

    def tested(self) -> Tested:
        """Test at the present weights."""
        test_loss, test_accuracy = self.evaluation.loss_and_accuracy()
        if self.on_all_trained is None:
            train_loss, train_accuracy = None, self.train_accuracy().item()
        else:
            both = self.on_all_trained.loss_and_accuracy()
            train_loss, train_accuracy = (value.item() for value in both)
        return Tested(test_loss.item(), train_accuracy, test_accuracy.item(), train_loss)

    def update(self) -> None:
        """Apply one optimizer update with the learning rate of its step, and count it."""
        self.move()
        self.n_updates += 1

    def move(self) -> None:
        """Apply the update without counting it."""
        lr = learning_rate_at(self.config.optimizer, self.n_updates)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        for modifier in self.modifiers:
            modifier.change_gradients(self.trained, self.n_updates, lr)
        self.optimizer.step()
        for modifier in self.modifiers:
            modifier.after_update(self.trained)
        self.network.after_update(self.parameters)


class Course:
    """What a training leaves behind as it goes: curves, tests and checkpoints, up to its end.

    Parameters
    ----------
    training
        What moves.
    recorder
        Where it is written.
    clock
        Seconds that the training has taken in this process.
    callbacks
        Who is told at tests, checkpoints and the end.
    """

    def __init__(
        self,
        training: Training,
        recorder: Recorder,
        clock: Callable[[], float],
        callbacks: Callbacks = NOBODY,
    ) -> None:
        config = training.config
        self.train_loss, self.test_loss = math.nan, math.nan
        self._training, self._recorder, self._clock = training, recorder, clock
        self._keep, self._n_steps = set(config.checkpoint_steps()), config.n_steps
        self._test_every = config.test_every
        self._stop = _stop_after(training, recorder)
        self._unread = UnreadLosses(next(iter(training.parameters.values())).device)
        self._known: dict[str, Any] = {}
        self._watch = Watch(
            callbacks, config, recorder.split, recorder.folder.path, training.parameters
        )

    def begin(self) -> None:
        """Tell the callbacks that training begins.

        Raises
        ------
        CallbackError
            If one of them raises.
        """
        self._watch.begin(self._training.n_updates)

    def interrupted(self, error: BaseException | None) -> None:
        """Tell the callbacks that an exception ends the training, unless it has ended already."""
        self._watch.interrupted(self._training.n_updates, error)

    def is_over(self, loss: Tensor) -> bool:
        """Take the loss at the present weights, test and write what is due, and say if it ends.

        Raises
        ------
        CallbackError
            If a callback raises; what was due is on disk then.
        """
        training, recorder, step = self._training, self._recorder, self._training.n_updates
        self._unread.add(step, loss)
        is_last = step == self._n_steps
        is_tested = step % self._test_every == 0 or is_last
        tested = None
        if is_tested or step in self._keep or self._unread.are_due:
            losses = self._unread.read()
            self.train_loss = losses[-1][1]
            is_fine = math.isfinite(self.train_loss)
            is_tested = is_tested and is_fine and step > recorder.resumed_step
            tested = training.tested() if is_tested else None
            if tested is not None:
                self.test_loss = tested.test_loss
                is_last = self._stop.is_reached(step, tested.test_accuracy) or is_last
            _add_rows(recorder, losses, tested)
            if not is_fine:
                # On a device that is not waited for, updates after this step are thrown away.
                recorder.finish_diverged(self._clock())
                name = "train_loss" if training.config.batch_size is None else "batch_loss"
                self._watch.end(losses[-1][0], "diverged", **{name: self.train_loss})
                return True
        is_checkpoint = step in self._keep or is_last
        if is_checkpoint:
            recorder.save(training, self._clock())
        if step > recorder.resumed_step and (is_checkpoint or tested is not None):
            self._tell(tested, is_checkpoint)
        if is_last:
            outcome = "finished" if step == self._n_steps else "stopped_early"
            self._watch.end(step, outcome, **self._known)
        return is_last

    def _tell(self, tested: Tested | None, is_checkpoint: bool) -> None:
        """Tell the callbacks what was read at this step anyway."""
        training = self._training
        row = _row(training.n_updates, self.train_loss, tested, training.config)
        self._known = dict(zip((*CURVE_COLUMNS, BATCH_LOSS), row, strict=False))
        self._known |= {"is_tested": tested is not None, "is_checkpoint": is_checkpoint}
        step = self._known.pop("step")
        self._watch.step(step, **self._known)


def _add_rows(recorder: Recorder, losses: list[tuple[int, float]], tested: Tested | None) -> None:
    """Add a row per loss to the curves; the last has what was tested at its weights."""
    for step, loss in losses:
        if step > recorder.resumed_step:
            here = tested if step == losses[-1][0] else None
            recorder.add_row(_row(step, loss, here, recorder.config))


def _row(step: int, loss: float, tested: Tested | None, config: TrainConfig) -> tuple[Any, ...]:
    """Row of the curves: step, what was tested, and the loss in its column."""
    cells: tuple[Any, ...] = (None, None, None)
    if tested is not None:
        # A regression has no accuracies: empty cells.
        accuracies = (tested.train_accuracy, tested.test_accuracy)
        known = (None if math.isnan(cell) else cell for cell in accuracies)
        cells = (tested.test_loss, *known)
    if config.batch_size is None:
        return step, loss, *cells
    return step, tested and tested.train_loss, *cells, loss


def _stop_after(training: Training, recorder: Recorder) -> EarlyStop:
    """The watcher of test accuracies, as it stood where the run stopped."""
    curves = recorder.folder.read_curves().iloc[: training.n_updates + 1]
    return early_stop(training.config, curves)[0]
