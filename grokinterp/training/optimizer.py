"""The optimizer that a config names, its learning rate, and what of it is kept to resume."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.runs.optimizer import OptimizerSpec, hidden_matrices
from grokinterp.training.muon import MuonWithAdamW


def build_optimizer(spec: OptimizerSpec, parameters: Mapping[str, Tensor]) -> torch.optim.Optimizer:
    """Make the optimizer; a decay toward the initial weights is a modifier, not its own.

    Parameters
    ----------
    spec
        What to make.
    parameters
        All weights of the network by name. Those that require a gradient are trained.

    Examples
    --------
    >>> weights = {"W": torch.zeros(2, requires_grad=True)}
    >>> type(build_optimizer(OptimizerSpec(algorithm="sgd"), weights)).__name__
    'SGD'
    """
    if spec.algorithm == "muon":
        hidden = hidden_matrices(list(parameters))
        others = [name for name in parameters if name not in hidden]
        of_others = groups_of(spec, parameters, others)
        return MuonWithAdamW(spec, parameters, groups_of(spec, parameters, hidden), of_others)
    groups = groups_of(spec, parameters, list(parameters))
    if spec.algorithm == "sgd":
        return torch.optim.SGD(groups, lr=spec.learning_rate, momentum=spec.momentum, fused=True)
    kind = torch.optim.AdamW if spec.algorithm == "adamw" else torch.optim.Adam
    return kind(groups, lr=spec.learning_rate, betas=spec.betas, eps=spec.eps, fused=True)


def groups_of(
    spec: OptimizerSpec, parameters: Mapping[str, Tensor], names: Collection[str]
) -> list[dict[str, Any]]:
    """Trained weights in torch's groups: those that decay, and those that do not, if there are any.

    Parameters
    ----------
    spec
        Says which decay, and by how much.
    parameters
        All weights of the network.
    names
        Of those that are wanted.

    Examples
    --------
    >>> weights = {name: torch.zeros(2, requires_grad=True) for name in ("W_E", "W_in", "W_U")}
    >>> groups = groups_of(OptimizerSpec(decayed=("W_in",)), weights, list(weights))
    >>> [(len(group["params"]), group["weight_decay"]) for group in groups]
    [(1, 1.0), (2, 0.0)]
    """
    trained = [name for name, value in parameters.items() if value.requires_grad]
    decayed = spec.decayed_names(list(parameters), trained)
    decay = spec.weight_decay if spec.decay_towards == "zero" else 0.0
    wanted = [name for name in trained if name in names]
    parts = (
        ([name for name in wanted if name in decayed], decay),
        ([name for name in wanted if name not in decayed], 0.0),
    )
    return [
        {"params": [parameters[name] for name in of_part], "weight_decay": its_decay}
        for of_part, its_decay in parts
        if of_part
    ]


def check_algorithm(spec: OptimizerSpec) -> None:
    """Refuse an algorithm that the torch of this installation does not have.

    Raises
    ------
    ConfigError
        With the version of torch.
    """
    if spec.algorithm == "muon" and not hasattr(torch.optim, "Muon"):
        raise ConfigError(
            f"algorithm=muon needs torch 2.9 or later, and this is torch {torch.__version__}. "
            "Install a later torch, or use algorithm=adamw."
        )


def moment_names(spec: OptimizerSpec, names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Names of the tensors that the optimizer keeps, for every weight of a network.

    Examples
    --------
    >>> moment_names(OptimizerSpec(algorithm="muon"), ["embed.W_E", "blocks.0.mlp.W_in"])
    {'embed.W_E': ('exp_avg', 'exp_avg_sq'), 'blocks.0.mlp.W_in': ('momentum_buffer',)}
    """
    if spec.algorithm == "sgd":
        return dict.fromkeys(names, ("momentum_buffer",) if spec.momentum else ())
    kept: dict[str, tuple[str, ...]] = dict.fromkeys(names, ("exp_avg", "exp_avg_sq"))
    if spec.algorithm == "muon":
        kept |= dict.fromkeys(hidden_matrices(names), ("momentum_buffer",))
    return kept


def learning_rate_at(spec: OptimizerSpec, n_updates: int) -> float:
    r"""Learning rate of update number `n_updates`, from 0.

    With :math:`w` warm-up steps, :math:`\eta` the learning rate, :math:`\eta_1` the final one
    and :math:`T` the ``schedule_steps``, update :math:`s` uses

    .. math:: \eta \, \min(s / w, 1) \quad (s \le w), \qquad
              \eta_1 + (\eta - \eta_1) \, f\!\left(\min\left(\frac{s - w}{T - w}, 1\right)\right)
              \quad (s > w),

    where :math:`f(x)` is 1 (``constant``), :math:`1 - x` (``linear``) or
    :math:`(1 + \cos \pi x) / 2` (``cosine``).

    Examples
    --------
    >>> spec = OptimizerSpec(
    ...     learning_rate=0.1, warmup_steps=10, schedule="linear", schedule_steps=110
    ... )
    >>> [learning_rate_at(spec, n_updates) for n_updates in (0, 5, 10, 60, 110, 500)]
    [0.0, 0.05, 0.1, 0.05, 0.0, 0.0]
    """
    warmup = spec.warmup_steps
    if n_updates < warmup:
        return spec.learning_rate * (n_updates / warmup)
    if spec.schedule == "constant":
        return spec.learning_rate
    assert spec.schedule_steps is not None
    if n_updates >= spec.schedule_steps:
        return spec.final_learning_rate
    done = (n_updates - warmup) / (spec.schedule_steps - warmup)
    left = 1 - done if spec.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return spec.final_learning_rate + (spec.learning_rate - spec.final_learning_rate) * left
