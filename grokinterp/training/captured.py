"""The work of a step as a graph: recorded once, replayed without Python or launches of kernels.

The steps before it are plain ones, so that all memory and optimizer state is there when the graph
is recorded, and so that a run has the same numbers whether it is recorded or not. The learning
rate is a number in the graph: it is recorded once the warm-up of the learning rate is over. Loss
and update are two graphs, since tests and checkpoints see the weights between them; gradients lie
in memory that the first keeps.

The tests drive the flow around :class:`CudaGraph` with a graph on the CPU that records the
operations of torch. On a GPU it was run by hand: docs/performance.md says what was checked there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from grokinterp.errors import first_sentence
from grokinterp.runs.config import TrainConfig
from grokinterp.training.course import Training
from grokinterp.training.recorder import Recorder
from grokinterp.training.step import TrainingStep

log = logging.getLogger(__name__)
PLAIN_STEPS = 3
"""Before a graph is recorded, as torch advises."""


@runtime_checkable
class Graph(Protocol):
    """Records work on a device once, and does it again on the same memory."""

    def warm_up(self, work: Callable[[], object]) -> None:
        """Do the work plainly, in the way in which it will be recorded."""
        ...

    def capture(self, work: Callable[[], object]) -> None:
        """Record the work without doing it."""
        ...

    def replay(self) -> None:
        """Do what was recorded."""
        ...


class CudaGraph:
    """A graph of CUDA, recorded on a stream of its own."""

    def __init__(self) -> None:
        self._graph, self._stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()

    def warm_up(self, work: Callable[[], object]) -> None:
        """Do the work on the stream on which it will be recorded."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            work()
        torch.cuda.current_stream().wait_stream(self._stream)

    def capture(self, work: Callable[[], object]) -> None:
        """Record the work without doing it."""
        # The outer context gives the stream back where the end of a recording raises.
        with torch.cuda.stream(torch.cuda.current_stream()):
            with torch.cuda.graph(self._graph, stream=self._stream):
                work()

    def replay(self) -> None:
        """Do what was recorded, on the current stream."""
        self._graph.replay()


def why_not_captured(config: TrainConfig, device: str) -> str | None:
    """Why the steps of a run are not recorded, or None where they are.

    Examples
    --------
    >>> why_not_captured(TrainConfig(), "cpu")
    'cpu has no graphs'
    """
    pressures = config.pressures
    if torch.device(device).type != "cuda":
        return f"{device} has no graphs"
    if config.batch_size is not None:
        return f"batch_size={config.batch_size} draws on the CPU"
    if pressures.dropout:
        return f"dropout={pressures.dropout:g} draws on the CPU"
    if pressures.gradient_noise:
        return f"gradient_noise={pressures.gradient_noise:g} draws on the CPU"
    if config.optimizer.algorithm == "muon":
        return "algorithm=muon moves weights to and fro between its steps"
    if config.optimizer.schedule != "constant":
        # A graph would fix the rate of the step at which it is recorded.
        return f"schedule={config.optimizer.schedule} changes the learning rate from step to step"
    # Its window has a place for each step, which a graph would fix.
    return "grokfast=ma counts steps" if pressures.grokfast == "ma" else None


def capture_name(name: str, config: TrainConfig, device: str) -> str:
    """Name of a step, with whether it is recorded where the device could."""
    if torch.device(device).type != "cuda":
        return name
    reason = why_not_captured(config, device)
    return f"{name}, captured" if reason is None else f"{name} (not captured: {reason})"


class PlainMotion:
    """Loss and update of a run, one call of torch after another."""

    def __init__(self, step: TrainingStep, training: Training) -> None:
        self._step, self._training = step, training

    def loss(self) -> Tensor:
        """Return the loss at the present weights, with its gradients in place."""
        return self._step.loss_and_gradients(self._training.n_updates)

    def update(self) -> None:
        """Move the weights."""
        self._training.update()


class CapturedMotion(PlainMotion):
    """Loss and update of a run as two graphs, after a few plain steps.

    Parameters
    ----------
    step, training
        What is recorded.
    new_graph
        Makes an empty graph.
    failed
        Called with the reason if a recording fails; the run goes on plainly.
    """

    def __init__(
        self,
        step: TrainingStep,
        training: Training,
        new_graph: Callable[[], Graph],
        failed: Callable[[str], None],
    ) -> None:
        super().__init__(step, training)
        self._of_loss, self._of_update = new_graph(), new_graph()
        self._failed, self._is_plain = failed, False
        n_warm = training.config.optimizer.warmup_steps
        self._first = max(training.n_updates + PLAIN_STEPS, n_warm)
        self._held: list[Tensor] = []
        self._has_update = False
        for group in training.optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = True

    def loss(self) -> Tensor:
        """Return the loss at the present weights, with its gradients in place."""
        if self._is_plain:
            return super().loss()
        if not self._held:
            if self._training.n_updates < self._first:
                self._of_loss.warm_up(self._compute)
                return self._held.pop()
            if not self._captures(self._of_loss, self._compute):
                self._held = []
                return super().loss()
        self._of_loss.replay()
        # The next replay writes over the graph's own.
        return self._held[0].clone()

    def update(self) -> None:
        """Move the weights."""
        if self._is_plain:
            return super().update()
        if not self._has_update:
            if self._training.n_updates < self._first:
                return self._of_update.warm_up(super().update)
            if not self._captures(self._of_update, self._training.move):
                return super().update()
            self._has_update = True
        self._of_update.replay()
        self._training.n_updates += 1

    def _compute(self) -> None:
        self._held = [super().loss()]

    def _captures(self, graph: Graph, work: Callable[[], object]) -> bool:
        try:
            graph.capture(work)
        except RuntimeError as error:
            self._is_plain = True
            self._failed(first_sentence(error))
            return False
        return True


def motion_of(step: TrainingStep, training: Training, recorder: Recorder) -> PlainMotion:
    """Return how a run moves: recorded where its device and config allow it."""
    device = next(iter(training.parameters.values())).device
    if why_not_captured(training.config, str(device)) is not None:
        return PlainMotion(step, training)
    plain_name = step.name.removesuffix(", captured")

    def failed(reason: str) -> None:
        log.warning("the steps of this run are not captured: %s", reason)
        step.name = f"{plain_name} (not captured: {reason})"
        recorder.note_environment(step.name, str(device))

    return CapturedMotion(step, training, CudaGraph, failed)
