"""Which of the ways to compute a step a run takes."""

from __future__ import annotations

from torch import Tensor

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.network import Network
from grokinterp.training.dropout import Dropout
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
    dropout = Dropout(pressures.dropout, pressures.seed) if pressures.dropout else None
    step = AutogradStep(parameters, network, *batches["train"], *of_loss, dropout)
    is_perceptron = isinstance(config.model, MlpSpec)
    why = f"rows: {reason_of_rows}" if is_perceptron else f"tables: {reason}"
    step.name = f"autograd (no pair {why})"
    return step, ForwardEvaluation(parameters, network, *batches["test"], *of_loss)
