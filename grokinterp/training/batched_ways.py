"""How runs are trained together: which fit into one batch, and what computes it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.portions import fits
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.network import Network
from grokinterp.tasks import draw_split, task_of
from grokinterp.training.batch import BatchedWay, Entrant
from grokinterp.training.course import weight_dtype
from grokinterp.training.kernel_choice import takes_kernels
from grokinterp.training.pair_table_step import PairTableEvaluation, why_no_pair_tables
from grokinterp.training.stacked_autograd import MemberBatch, StackedAutogradStep
from grokinterp.training.stacked_pairs import MemberPairs, StackedPairStep
from grokinterp.training.stacked_weights import StackedWeights
from grokinterp.training.step import Evaluation, TrainingStep
from grokinterp.training.ways import ways_of

MOST_BYTES_AT_A_TIME = 16 * 2**20
"""Of weights, gradients and moments that one thread of the CPU works on in turn: more are slower,
since they do not stay near the processor."""
MOST_AT_A_TIME = 8
"""Members whose tables are made in one call on the CPU; more save nothing."""
MOST_ON_DEVICE = 256
"""Members at once on a device; each holds a file open, the lock of its folder."""


def batched_way(config: TrainConfig, device: str) -> BatchedWay:
    """Choose how a run is computed among others; equal ways fit into one batch.

    Raises
    ------
    ConfigError
        If the split cannot be drawn, which a device has to know.
    """
    if config.batch_size is not None or config.optimizer.algorithm == "muon":
        # Minibatches are drawn for one network at a time, and Muon keeps copies of its weights.
        return OneByOne()
    if not is_cpu(device):
        return _on_device(config)
    is_exact = why_no_pair_tables(config.model, config.pressures.dropout) is None
    if not is_exact or not isinstance(config.model, ModelSpec) or has_kernels():
        return OneByOne()
    network = Network(config.model, task_of(config.task))
    shapes, dtype = network.shapes, weight_dtype(config)
    n_tokens, n_classes = shapes["embed.W_E"][0] - 1, shapes["unembed.b_U"][0]
    n_bytes = dtype.itemsize * sum(math.prod(shape) for shape in shapes.values())
    trained = tuple(name for name in shapes if network.is_trained(name))
    return StackedPairs(_arithmetic_of(config.model), n_tokens, n_classes, n_bytes, trained, dtype)


def has_kernels() -> bool:
    """Whether the exact step of one network is compiled, and leaves nothing to be saved."""
    return takes_kernels(torch.device("cpu"), None)


def is_cpu(device: str) -> bool:
    """Whether batches are worked on by threads of the processor."""
    return torch.device(device).type == "cpu"


def _on_device(config: TrainConfig) -> BatchedWay:
    if config.pressures.dropout:
        # The masks are drawn for one network after the other.
        return OneByOne()
    split = draw_split(task_of(config.task))
    if not fits(8 * len(split.train) * split.task.n_outputs):
        # The step of one network works such a batch off in portions.
        return OneByOne()
    of_loss, dtype = (config.loss, config.loss_dtype), weight_dtype(config)
    shapes = tuple(Network(config.model, split.task).shapes.items())
    return StackedAutograd(_arithmetic_of(config.model), *of_loss, len(split.train), shapes, dtype)


def _arithmetic_of(spec: ModelSpec | MlpSpec) -> Any:
    """A spec without what only its initial weights depend on, which are each member's own."""
    usual = type(spec)()
    own = {"init_seed": usual.init_seed, "init_scale": usual.init_scale}
    if isinstance(spec, ModelSpec):
        # A perceptron's kind of initial weights decides on factors of its layers, too.
        own["init"] = usual.init
    return dataclasses.replace(spec, **own)


@dataclass(frozen=True)
class StackedPairs:
    """The exact step of one-layer networks on pairs, on a CPU without compiled kernels."""

    spec: ModelSpec
    n_tokens: int
    n_classes: int
    n_bytes: int
    """Weights of one network."""
    trained: tuple[str, ...]
    dtype: torch.dtype

    @property
    def most_at_a_time(self) -> int:
        """Members whose weights, gradients and two moments stay near the processor."""
        return min(max(MOST_BYTES_AT_A_TIME // (4 * self.n_bytes), 1), MOST_AT_A_TIME)

    def step(self, weights: StackedWeights) -> StackedPairStep:
        """Make the step of a stack."""
        return StackedPairStep(weights, self.spec)

    def member(self, entrant: Entrant) -> tuple[MemberPairs, Evaluation]:
        """Make what the step needs of one member, and its test."""
        config = entrant.config
        of_loss = (config.loss, config.loss_dtype)
        pairs = MemberPairs(
            self.spec, self.n_tokens, self.n_classes, self.dtype, *entrant.batch("train"), *of_loss
        )
        return pairs, PairTableEvaluation(
            entrant.parameters, self.spec, *entrant.batch("test"), *reversed(of_loss)
        )


@dataclass(frozen=True)
class StackedAutograd:
    """The general step, on a device: as many runs as there are, if their batches are as long."""

    spec: ModelSpec | MlpSpec
    loss: str
    loss_dtype: str
    n_train: int
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    dtype: torch.dtype

    most_at_a_time = MOST_ON_DEVICE

    def step(self, weights: StackedWeights) -> StackedAutogradStep:
        """Make the step of a stack."""
        return StackedAutogradStep(weights, self.spec, self.loss, self.loss_dtype)

    def member(self, entrant: Entrant) -> tuple[MemberBatch, Evaluation]:
        """Make what the step needs of one member, and its test."""
        batch = MemberBatch(entrant.config, entrant.parameters, *entrant.batch("train"))
        return batch, _ordinary(entrant)[1]


@dataclass(frozen=True)
class OneByOne:
    """Each network by the step that it has alone, bit for bit."""

    most_at_a_time = 1

    def step(self, weights: StackedWeights) -> OneByOne:
        """Every member has a step of its own."""
        return self

    def losses_and_gradients(
        self, members: Sequence[TrainingStep], n_updates: Sequence[int]
    ) -> list[Tensor]:
        """Return the loss of every member; the gradients are where its weights have theirs."""
        pairs = zip(members, n_updates, strict=True)
        return [member.loss_and_gradients(n) for member, n in pairs]

    def member(self, entrant: Entrant) -> tuple[TrainingStep, Evaluation]:
        """Make step and test of one network."""
        return _ordinary(entrant)


def _ordinary(entrant: Entrant) -> tuple[TrainingStep, Evaluation]:
    batches = {side: entrant.batch(side) for side in ("train", "test")}
    return ways_of(entrant.config, entrant.network, entrant.parameters, batches)
