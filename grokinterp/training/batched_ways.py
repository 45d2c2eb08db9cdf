"""Which networks can be trained together, and how."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from grokinterp.models import ModelSpec
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.network import Network
from grokinterp.tasks import task_of
from grokinterp.training.batch import BatchedWay, Entrant
from grokinterp.training.pair_table_step import PairTableEvaluation, why_no_pair_tables
from grokinterp.training.stacked_pairs import MemberPairs, StackedPairStep
from grokinterp.training.stacked_weights import StackedWeights


@dataclass(frozen=True)
class StackedPairs:
    """The exact step of one-layer networks on pairs."""

    spec: ModelSpec
    n_tokens: int
    n_classes: int
    bytes_per_member: int

    def step(self, weights: StackedWeights) -> StackedPairStep:
        """Make the step of a stack."""
        return StackedPairStep(weights, self.spec)

    def member(self, entrant: Entrant) -> MemberPairs:
        """Make what the step needs of one member."""
        config, dtype = entrant.config, entrant.parameters["embed.W_E"].dtype
        return MemberPairs(
            self.spec,
            self.n_tokens,
            self.n_classes,
            dtype,
            *entrant.batch("train"),
            config.loss,
            config.loss_dtype,
        )

    def evaluation(self, entrant: Entrant) -> PairTableEvaluation:
        """Make the test of one member."""
        of_loss = (entrant.config.loss_dtype, entrant.config.loss)
        return PairTableEvaluation(entrant.parameters, self.spec, *entrant.batch("test"), *of_loss)


def batched_way(config: TrainConfig, device: str) -> tuple[Hashable, BatchedWay] | str:
    """Return how a run is trained among others, and what it has in common with these.

    Returns
    -------
    tuple
        A key that is the same for runs that fit into one batch, and the way.
    str
        Why it has to be trained alone.
    """
    reason = why_no_pair_tables(config.model, config.pressures.dropout)
    if reason is not None or not isinstance(config.model, ModelSpec):
        return reason or "no transformer"
    usual = ModelSpec()
    # Initial weights are a member's own; all else of the model is arithmetic.
    spec = dataclasses.replace(
        config.model, init=usual.init, init_scale=usual.init_scale, init_seed=usual.init_seed
    )
    shapes = Network(spec, task_of(config.task)).shapes
    n_tokens, n_classes = shapes["embed.W_E"][0] - 1, shapes["unembed.b_U"][0]
    way = StackedPairs(spec, n_tokens, n_classes, _bytes_of(shapes))
    return way, way


def _bytes_of(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Weights, gradients and two moments in float32."""
    return 16 * sum(math.prod(shape) for shape in shapes.values())
