"""From a checkpoint to the parts of its network, whatever kind of network it is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.mlp_parts import MlpParts, missing_in_mlp
from grokinterp.models.network_parts import NetworkParts, PartName
from grokinterp.models.transformer_parts import TransformerParts, missing_in_transformer
from grokinterp.tasks import Task


def network_parts(
    spec: ModelSpec | MlpSpec, parameters: Mapping[str, Tensor], task: Task
) -> NetworkParts:
    """Run a network of this library once on all pairs of a task.

    Examples
    --------
    >>> network_parts(run.spec, run.parameters(), run.task).logits.shape
    torch.Size([169, 13])
    """
    pairs = torch.from_numpy(task.pairs.copy())
    if isinstance(spec, MlpSpec):
        return MlpParts.of(parameters, spec, pairs, task.n_tokens)
    return TransformerParts.of(parameters, spec, pairs, task.n_tokens, task.n_classes)


def missing_parts(spec: ModelSpec | MlpSpec) -> Mapping[PartName, str]:
    """Return the reason for each part that a network of such a shape does not have."""
    return missing_in_mlp(spec) if isinstance(spec, MlpSpec) else missing_in_transformer(spec)
