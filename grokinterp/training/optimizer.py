"""The optimizer that a config names, and what of it has to be kept to resume."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from grokinterp.runs.config import OptimizerSpec


def build_optimizer(spec: OptimizerSpec, trained: Iterable[Tensor]) -> torch.optim.Optimizer:
    """Make the optimizer; a decay towards the initial weights is a modifier, not its own.

    Examples
    --------
    >>> weights = [torch.zeros(2, requires_grad=True)]
    >>> type(build_optimizer(OptimizerSpec(algorithm="sgd"), weights)).__name__
    'SGD'
    """
    decay = spec.weight_decay if spec.decay_towards == "zero" else 0.0
    if spec.algorithm == "sgd":
        return torch.optim.SGD(
            trained,
            lr=spec.learning_rate,
            momentum=spec.momentum,
            weight_decay=decay,
            fused=True,
        )
    kind = torch.optim.AdamW if spec.algorithm == "adamw" else torch.optim.Adam
    return kind(
        trained,
        lr=spec.learning_rate,
        betas=spec.betas,
        eps=spec.eps,
        weight_decay=decay,
        fused=True,
    )


def moment_names(spec: OptimizerSpec) -> tuple[str, ...]:
    """Names of the tensors that the optimizer keeps per weight."""
    if spec.algorithm == "sgd":
        return ("momentum_buffer",) if spec.momentum else ()
    return ("exp_avg", "exp_avg_sq")


def warmed_up(spec: OptimizerSpec, n_updates: int) -> float:
    """Learning rate of update number `n_updates`, from 0.

    Examples
    --------
    >>> warmed_up(OptimizerSpec(learning_rate=0.1, warmup_steps=10), 5)
    0.05
    """
    warm = min(n_updates / spec.warmup_steps, 1.0) if spec.warmup_steps else 1.0
    return spec.learning_rate * warm
