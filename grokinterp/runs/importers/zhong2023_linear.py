"""The linear models of Zhong et al. 2023: perceptrons of four types, named in their config.

``A``: the embeddings of a and b are summed, then one layer with ReLU, then the unembedding. ``B``:
a linear layer more behind the neurons. ``C``: that layer has a ReLU too. ``D``: as ``A``, with
embeddings side by side. The published files are of types ``B`` and ``D``.

References
----------
Zhong et al., "The clock and the pizza: two stories in mechanistic explanation of neural
networks", NeurIPS 2023, arXiv:2306.17844, published code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from grokinterp.errors import CheckpointError
from grokinterp.fields import shown
from grokinterp.models import MlpSpec
from grokinterp.runs.importers.parameters import Network
from grokinterp.runs.importers.perceptrons import perceptron_readings

_TYPES = {"A": ("summed", 1), "B": ("summed", 1), "C": ("summed", 2), "D": ("concatenated", 1)}
"""How a and b are combined, and layers with an activation."""
_LAYERS = {"A": 2, "B": 3, "C": 3, "D": 2}
"""Linear layers, the unembedding included."""


def is_linear(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has the names of one of the four types."""
    return {"embed.weight", "unembed.weight", "l1.weight"} <= set(state)


def linear_network(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> Network:
    """Read a linear model as the type that its config names.

    Raises
    ------
    CheckpointError
        If there is no such type, or the weights are those of another.
    """
    kind = config.get("model_type")
    if kind not in _TYPES:
        raise CheckpointError(
            f"its config has model_type={shown(kind)}; the linear models have A, B, C or D."
        )
    combination, n_active = _TYPES[kind]
    for network in perceptron_readings(state, ["relu"]):
        spec = network.spec
        assert isinstance(spec, MlpSpec)
        n_layers = sum(f"l{i}.weight" in state for i in (1, 2, 3)) + 1
        is_type = (spec.combination, len(spec.widths)) == (combination, n_active)
        if is_type and n_layers == _LAYERS[kind] and spec.embedding == "shared":
            return network
    shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in state.items())
    raise CheckpointError(f"its config has model_type={kind}, but its shapes are {shapes}.")
