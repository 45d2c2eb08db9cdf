"""How large the weights of a checkpoint are."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.runs.network import Network
from grokinterp.runs.run import Run


def norm_of(weights: Mapping[str, Tensor]) -> float:
    """L2 norm of all weights together, summed in float64.

    Examples
    --------
    >>> import torch
    >>> norm_of({"a": torch.tensor([3.0]), "b": torch.tensor([4.0])})
    5.0
    """
    return sum(float(w.detach().double().square().sum()) for w in weights.values()) ** 0.5


def trained_norm(run: Run, step: int) -> float:
    """L2 norm of the trained weights of a checkpoint: those that stay fixed are left out.

    Raises
    ------
    CheckpointError
        If there is no checkpoint at that step, or it is damaged.
    """
    weights = run.parameters(step)
    if not isinstance(run.spec, (ModelSpec, MlpSpec)):
        return norm_of(weights)
    network = Network(run.spec, run.split.task)
    return norm_of({name: w for name, w in weights.items() if network.is_trained(name)})
