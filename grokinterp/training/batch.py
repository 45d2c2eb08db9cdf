"""Networks of one shape that are trained together, each at a step of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from grokinterp.errors import GrokinterpError
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.network import Network
from grokinterp.runs.run import Run
from grokinterp.tasks import Split
from grokinterp.training.callbacks import NOBODY, Callbacks
from grokinterp.training.course import Course, OfStep, Training, first_weights
from grokinterp.training.recorder import Recorder, open_recorder
from grokinterp.training.stacked_weights import StackedWeights
from grokinterp.training.step import Evaluation


@runtime_checkable
class StackedStep(Protocol):
    """Computes losses and gradients of all networks in a stack of weights."""

    def losses_and_gradients(
        self, members: Sequence[Any], n_updates: Sequence[int]
    ) -> list[Tensor]:
        """Return the loss of each member, those of the first slots, and write its gradients."""
        ...


@dataclass(frozen=True, eq=False)
class Entrant:
    """A run that enters a batch, with the place of its weights there."""

    config: TrainConfig
    network: Network
    parameters: dict[str, Tensor]
    split: Split
    device: str

    def batch(self, side: str) -> tuple[Tensor, Tensor]:
        """Inputs and targets of a side of the split."""
        rows = getattr(self.split, side)
        inputs, targets = self.network.inputs[rows], self.network.targets[rows]
        if inputs.is_floating_point():
            inputs = inputs.to(next(iter(self.parameters.values())).dtype)
        return inputs.to(self.device), targets.to(self.device)


@runtime_checkable
class BatchedWay(Protocol):
    """A way to compute many networks of one shape at once."""

    @property
    def most_at_a_time(self) -> int:
        """Members of a batch; more would be slower, or do not fit."""
        ...

    def step(self, weights: StackedWeights) -> StackedStep:
        """Make the step of a stack."""
        ...

    def member(self, entrant: Entrant) -> tuple[OfStep, Evaluation]:
        """Make what the step needs of one member, and its test."""
        ...


@dataclass(eq=False)
class _Member:
    """One run of the batch, with the lock of its folder."""

    training: Training
    course: Course
    of_step: OfStep
    lock: ExitStack
    clock: _Clock

    def move_to(self, places: dict[str, Tensor]) -> None:
        """Take weights and moments along to another slot of the stack."""
        training, state = self.training, self.training.optimizer.state
        moved: dict[Tensor, Tensor] = {}
        for name, place in places.items():
            before = training.parameters[name]
            place.detach().copy_(before.detach())
            training.parameters[name] = place
            if name in training.trained:
                training.trained[name] = moved[before] = place
                if before in state:
                    state[place] = state.pop(before)
        for group in training.optimizer.param_groups:
            group["params"] = [moved[before] for before in group["params"]]


@dataclass(eq=False)
class _Clock:
    """Seconds that one member has taken: its share of each step."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass(eq=False)
class Batch:
    """A stack of networks and whoever moves in and out of it.

    Bits of a member depend neither on the others nor on its slot: it may enter when another has
    left, at whatever step it is.
    """

    way: BatchedWay
    n_slots: int
    folder: Path
    """Folder of all runs."""
    device: str
    parent_of: Callable[[TrainConfig], Run | None]
    callbacks: Callbacks = NOBODY
    _weights: StackedWeights | None = None
    _step: StackedStep | None = None
    _members: list[_Member] = field(default_factory=list)

    @property
    def has_room(self) -> bool:
        """Whether another run can enter."""
        return len(self._members) < self.n_slots

    @property
    def n_members(self) -> int:
        """Runs that are being trained."""
        return len(self._members)

    def enter(self, config: TrainConfig) -> int | None:
        """Take a run in, new or where it stopped; return its step, or None if it is finished.

        Raises
        ------
        GrokinterpError
            If its folder cannot be had or its split cannot be drawn; the others are not touched.
        """
        with ExitStack() as lock:
            recorder = lock.enter_context(open_recorder(self.folder / config.hash(), config))
            if recorder.folder.is_finished(config):
                return None
            member = self._started(config, recorder, lock)
            member.lock = lock.pop_all()
        self._members.append(member)
        return member.training.n_updates

    def _started(self, config: TrainConfig, recorder: Recorder, lock: ExitStack) -> _Member:
        network = Network(config.model, recorder.split.task)
        initial = first_weights(config, network, self.parent_of(config))
        parameters = self._places(network, initial)
        for name, place in parameters.items():
            place.detach().copy_(initial[name])
        entrant = Entrant(config, network, parameters, recorder.split, self.device)
        of_step, evaluation = self.way.member(entrant)
        training = Training.start(network, parameters, of_step, evaluation, recorder)
        clock = _Clock()
        course = Course(training, recorder, clock, self.callbacks)
        course.begin()
        return _Member(training, course, of_step, lock, clock)

    def _places(self, network: Network, initial: dict[str, Tensor]) -> dict[str, Tensor]:
        """The first free slot; whoever comes first decides what the stack is like."""
        shapes = {name: tuple(value.shape) for name, value in initial.items()}
        trained = {name for name in shapes if network.is_trained(name)}
        dtype = next(iter(initial.values())).dtype
        if not self._members:
            self._weights = StackedWeights(shapes, trained, self.n_slots, dtype, self.device)
            self._step = self.way.step(self._weights)
        assert self._weights is not None
        return self._weights.member(len(self._members))

    def advance(self) -> tuple[list[Training], list[tuple[Training, GrokinterpError]]]:
        """Move every member by a step.

        Returns
        -------
        ended
            Those that are finished and have left.
        failed
            Those that have left because they could not go on, such as on a disk that is full.
        """
        assert self._step is not None
        start, n_members = time.monotonic(), len(self._members)
        losses = self._step.losses_and_gradients(
            [member.of_step for member in self._members],
            [member.training.n_updates for member in self._members],
        )
        ended: list[Training] = []
        failed: list[tuple[Training, GrokinterpError]] = []
        leaving = []
        for slot, (member, loss) in enumerate(zip(self._members, losses, strict=True)):
            try:
                if not member.course.is_over(loss):
                    member.training.update()
                    continue
                ended.append(member.training)
            except GrokinterpError as error:
                member.course.interrupted(error)
                failed.append((member.training, error))
            leaving.append(slot)
        share = (time.monotonic() - start) / n_members
        for member in self._members:
            member.clock.seconds += share
        for slot in reversed(leaving):
            self._leave(slot)
        return ended, failed

    def _leave(self, slot: int) -> None:
        """Let a run go; the last one takes its place, so that the first slots stay full."""
        assert self._weights is not None
        gone, last = self._members[slot], self._members.pop()
        gone.lock.close()
        if last is not gone:
            with torch.no_grad():
                last.move_to(self._weights.member(slot))
            self._members[slot] = last

    def close(self) -> None:
        """Give the folders of all members free; what was saved of them stays."""
        while self._members:
            member = self._members.pop()
            with member.lock:
                member.course.interrupted(None)
