"""Callbacks: functions that are told how a training goes, and can change none of its numbers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from grokinterp.errors import CallbackError, CheckpointError, ConfigError, first_sentence
from grokinterp.fields import shown
from grokinterp.runs.config import TrainConfig
from grokinterp.tasks import Split

log = logging.getLogger(__name__)

Moment = Literal["begin", "step", "end"]
Outcome = Literal["finished", "stopped_early", "diverged", "interrupted"]
_NUMBERS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "batch_loss")


@dataclass(frozen=True, eq=False)
class TrainingEvent:
    """What a callback of :func:`grokinterp.train` is told.

    Examples
    --------
    >>> import grokinterp as gi
    >>> from dataclasses import replace
    >>> def show(event):
    ...     if event.moment != "step" or event.is_tested:
    ...         print(event.moment, event.step, sorted(event.numbers)[:2], event.outcome)
    >>> config = replace(gi.PRESETS["quick"], n_steps=10)
    >>> run = gi.train(config, "ckpts/watched", callbacks=[show], progress=False)
    begin 0 [] None
    step 0 ['test_accuracy', 'test_loss'] None
    step 10 ['test_accuracy', 'test_loss'] None
    end 10 ['test_accuracy', 'test_loss'] finished
    """

    moment: Moment
    """``begin``: before the first step of this call. ``step``: after a test or a checkpoint,
    once it is on disk. ``end``: the last call, whatever ended the training."""
    step: int
    """Updates applied so far; at ``begin`` 0, or the step at which the run resumes."""
    config: TrainConfig
    """The config of the run: with ``train_many``, that of the member."""
    split: Split
    """Which examples are trained on."""
    train_loss: float | None = None
    """Loss at the present weights, as in ``run.curves``; None where it is not known."""
    test_loss: float | None = None
    """None at a checkpoint that is not tested."""
    train_accuracy: float | None = None
    """Fraction in [0, 1]; None where nothing is tested, and for a regression."""
    test_accuracy: float | None = None
    """As `train_accuracy`."""
    batch_loss: float | None = None
    """Loss of the minibatch of this step; None for a run without minibatches."""
    is_tested: bool = False
    """Whether this step was tested."""
    is_checkpoint: bool = False
    """Whether the weights of this step are in the run folder."""
    outcome: Outcome | None = None
    """At ``end``: ``finished``, ``stopped_early`` (``config.stop_accuracy``), ``diverged``, or
    ``interrupted`` by an exception. None before."""
    error: BaseException | None = None
    """What interrupted the run, if it is known."""
    _present: _PresentWeights = field(repr=False, default_factory=lambda: _PresentWeights({}))

    @property
    def n_steps(self) -> int:
        """Step at which the run ends."""
        return self.config.n_steps

    @property
    def numbers(self) -> dict[str, float]:
        """Losses and accuracies that are known, by the name of their column in ``run.curves``."""
        values = {name: getattr(self, name) for name in _NUMBERS}
        return {name: value for name, value in values.items() if value is not None}

    def weights(self) -> Mapping[str, Tensor]:
        """Copy the present weights to the CPU, under the names of a checkpoint.

        Nothing is copied, and no device is waited for, until this is called.

        Returns
        -------
        Mapping[str, Tensor]
            Detached copies; changing one changes nothing else.

        Raises
        ------
        CheckpointError
            If the callback has returned already, or the run was interrupted, perhaps in the
            middle of an update.
        """
        return self._present.copied(self.step)


Callback = Callable[[TrainingEvent], Any]
"""Is called with every event; what it returns is not used."""


class Callbacks:
    """The callbacks of one call, for all runs that it trains.

    Parameters
    ----------
    callbacks
        Called in this order, never two at a time.

    Raises
    ------
    ConfigError
        If one of them cannot be called.
    """

    def __init__(self, callbacks: Sequence[Callback] = ()) -> None:
        if callable(callbacks) or not isinstance(callbacks, Sequence):
            raise ConfigError(
                f"callbacks={shown(callbacks)} is not a list. Pass functions of one event, "
                "callbacks=[function]."
            )
        for callback in callbacks:
            if isinstance(callback, type) or not callable(callback):
                what = "is a class" if isinstance(callback, type) else "cannot be called"
                raise ConfigError(
                    f"the callback {shown(callback)} {what}. Pass functions of one event, or "
                    "objects with __call__."
                )
        self._callbacks = tuple(callbacks)
        # Batches of train_many run in threads.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._callbacks)

    def call(self, number: int, event: TrainingEvent, folder: Path) -> None:
        """Call one of them.

        Raises
        ------
        CallbackError
            If it raises; with its name, and what is on disk.
        """
        callback = self._callbacks[number]
        try:
            with self._lock, _numerics_kept():
                callback(event)
        except Exception as error:
            name = getattr(callback, "__qualname__", type(callback).__qualname__)
            whole = event.outcome is not None and event.outcome != "interrupted"
            remedy = (
                f"The run in {folder} is complete: load_run reads it."
                if whole
                else f"Mend it or leave it out: the same call resumes {folder} to the same bits."
            )
            place = f"callback {number + 1} of {len(self)} ({name})"
            what = f"{type(error).__name__}: {first_sentence(error)}"
            when = {"begin": "the beginning, ", "step": "", "end": "the end, "}[event.moment]
            raise CallbackError(
                f"{place} failed at {when}step {event.step}: {what}. {remedy}"
            ) from error


NOBODY = Callbacks()


class Watch:
    """Tells the callbacks how one run goes.

    Parameters
    ----------
    callbacks
        Whom to tell.
    config, split, folder
        Of the run.
    parameters
        Its weights, in motion.
    """

    def __init__(
        self,
        callbacks: Callbacks,
        config: TrainConfig,
        split: Split,
        folder: Path,
        parameters: Mapping[str, Tensor],
    ) -> None:
        self._callbacks, self._folder, self._parameters = callbacks, folder, parameters
        self._of_run = {"config": config, "split": split}
        self._listeners: list[int] = []

    def begin(self, step: int) -> None:
        """Tell that training begins at this step.

        Raises
        ------
        CallbackError
            If a callback raises; those before it are told that the run was interrupted.
        """
        for number in range(len(self._callbacks)):
            try:
                self._call(number, {"moment": "begin", "step": step})
            except BaseException as error:
                self.interrupted(step, error)
                raise
            self._listeners.append(number)

    def step(self, step: int, **known: Any) -> None:
        """Tell what is known at a step that was tested or is a checkpoint.

        Raises
        ------
        CallbackError
            If a callback raises. It is told nothing more.
        """
        for number in tuple(self._listeners):
            self._call(number, {"moment": "step", "step": step, **known})

    def end(self, step: int, outcome: Outcome, **known: Any) -> None:
        """Tell all callbacks that the run has ended by itself.

        Raises
        ------
        CallbackError
            The first that was raised, once all were told.
        """
        listeners, self._listeners = self._listeners, []
        failures: list[CallbackError] = []
        for number in listeners:
            try:
                self._call(number, {"moment": "end", "step": step, "outcome": outcome, **known})
            except CallbackError as error:
                failures.append(error)
        for error in failures[1:]:
            log.warning("%s", error)
        if failures:
            raise failures[0]

    def interrupted(self, step: int, error: BaseException | None) -> None:
        """Tell that an exception ends the run; what a callback raises now is only logged."""
        listeners, self._listeners = self._listeners, []
        event = {"moment": "end", "step": step, "outcome": "interrupted", "error": error}
        for number in listeners:
            try:
                self._call(number, event)
            except CallbackError as another:
                log.warning("%s", another)

    def _call(self, number: int, known: dict[str, Any]) -> None:
        is_between_updates = known.get("outcome") != "interrupted"
        present = _PresentWeights(self._parameters if is_between_updates else None)
        try:
            event = TrainingEvent(**self._of_run, **known, _present=present)
            self._callbacks.call(number, event, self._folder)
        except CallbackError:
            # Whoever has failed is told nothing more, not even the end.
            self._listeners = [other for other in self._listeners if other != number]
            raise
        finally:
            present.parameters = None


def live_figure() -> Callback | None:
    """Return the figure of ``live=True``, or None where none can be shown, which is logged."""
    # By its public name: figures are made from what is trained, and training imports none.
    return import_module("grokinterp").figures.live_figure()


@dataclass(eq=False)
class _PresentWeights:
    """Weights in motion, for as long as they stand still."""

    parameters: Mapping[str, Tensor] | None

    def copied(self, step: int) -> Mapping[str, Tensor]:
        """Copies on the CPU."""
        if self.parameters is None:
            raise CheckpointError(
                f"the weights of step {step} are gone: the run went on, or was interrupted during "
                "an update. Call event.weights() before the callback returns, or read a "
                "checkpoint of the run."
            )
        return MappingProxyType(
            {
                name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
                for name, value in self.parameters.items()
            }
        )


@contextmanager
def _numerics_kept() -> Iterator[None]:
    """Put back the settings of torch on which the numbers of a training depend."""
    n_threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    has_gradients = torch.is_grad_enabled()
    try:
        yield
    finally:
        if torch.get_num_threads() != n_threads:
            torch.set_num_threads(n_threads)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(has_gradients)
