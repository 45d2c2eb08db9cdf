"""Which of the ways to compute a step a run takes."""

from __future__ import annotations

from torch import Tensor

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.shared_prefix import is_prefix_shared
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.network import Network
from grokinterp.training.dropout import Dropout
from grokinterp.training.minibatches import MinibatchStep
from grokinterp.training.pair_table_step import (
    PairTableEvaluation,
    PairTableStep,
    why_no_pair_tables,
)
from grokinterp.training.perceptron_step import (
    PerceptronEvaluation,
    PerceptronStep,
    why_no_pair_rows,
)
from grokinterp.training.step import AutogradStep, Evaluation, ForwardEvaluation, TrainingStep


def ways_of(
    config: TrainConfig,
    network: Network,
    parameters: dict[str, Tensor],
    batches: dict[str, tuple[Tensor, Tensor]],
) -> tuple[TrainingStep, Evaluation]:
    """How the training loss and its gradients, and the test loss, are computed."""
    if config.batch_size is not None:
        return _minibatch_ways(config, network, parameters, batches)
    pressures, of_loss = config.pressures, (config.loss_dtype, config.loss)
    reason = why_no_pair_tables(config.model, pressures.dropout)
    if reason is None and isinstance(config.model, ModelSpec):
        return (
            PairTableStep(parameters, config.model, *batches["train"], *of_loss),
            PairTableEvaluation(parameters, config.model, *batches["test"], *of_loss),
        )
    reason_of_rows = why_no_pair_rows(config.model, batches["train"][0], pressures.dropout)
    if reason_of_rows is None and isinstance(config.model, MlpSpec):
        return (
            PerceptronStep(parameters, config.model, *batches["train"], *of_loss),
            PerceptronEvaluation(parameters, config.model, *batches["test"], *of_loss),
        )
    dropout = _dropout_of(config)
    step = AutogradStep(parameters, network, *batches["train"], *of_loss, dropout)
    is_perceptron = isinstance(config.model, MlpSpec)
    why = f"rows: {reason_of_rows}" if is_perceptron else f"tables: {reason}"
    step.name = f"autograd (no pair {why})"
    if dropout is None and isinstance(config.model, ModelSpec):
        if is_prefix_shared(config.model, len(parameters["embed.W_E"]), batches["train"][0]):
            step.name += ", shared prefixes"
    return step, ForwardEvaluation(parameters, network, *batches["test"], *of_loss)


def _minibatch_ways(
    config: TrainConfig,
    network: Network,
    parameters: dict[str, Tensor],
    batches: dict[str, tuple[Tensor, Tensor]],
) -> tuple[TrainingStep, Evaluation]:
    """The step over a part of the examples, and the fastest test of either side there is."""
    on_all, evaluation = (
        evaluation_of(config, network, parameters, batches[side]) for side in ("train", "test")
    )
    dropout = _dropout_of(config)
    step = MinibatchStep(parameters, network, *batches["train"], config, dropout, on_all)
    return step, evaluation


def evaluation_of(
    config: TrainConfig,
    network: Network,
    parameters: dict[str, Tensor],
    batch: tuple[Tensor, Tensor],
) -> Evaluation:
    """How loss and accuracy on a batch that stays the same are computed without gradients."""
    of_loss = (config.loss_dtype, config.loss)
    if isinstance(config.model, ModelSpec):
        if why_no_pair_tables(config.model) is None:
            return PairTableEvaluation(parameters, config.model, *batch, *of_loss)
    elif why_no_pair_rows(config.model, batch[0]) is None:
        return PerceptronEvaluation(parameters, config.model, *batch, *of_loss)
    return ForwardEvaluation(parameters, network, *batch, *of_loss)


def _dropout_of(config: TrainConfig) -> Dropout | None:
    pressures = config.pressures
    return Dropout(pressures.dropout, pressures.seed) if pressures.dropout else None
