"""A network in the form in which a browser computes its logits on all pairs.

=============  ==================================================================================
kind           what is carried
=============  ==================================================================================
``attention``  one-layer transformers: the tables of :mod:`grokinterp.models.pair_tables`
``sum``        perceptrons with one hidden layer: what a and b bring to each neuron, and the readout
``logits``     every other network: its logits, if a page can hold them
=============  ==================================================================================
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from grokinterp.circuits import Snapshot
from grokinterp.explorer.packing import packed
from grokinterp.models import MlpSpec
from grokinterp.models.mlp import outputs_of_neurons, outputs_of_operands
from grokinterp.models.mlp_parts import MlpParts
from grokinterp.models.pair_tables import has_pair_tables, pair_tables
from grokinterp.models.transformer_parts import TransformerParts


def network_data(snapshot: Snapshot) -> dict[str, Any]:
    """Return what a browser needs to compute the logits, with the rule that it follows.

    Examples
    --------
    >>> network_data(snapshot)["kind"]
    'attention'
    """
    network = snapshot.network
    if isinstance(network, TransformerParts) and has_pair_tables(network.spec):
        return _transformer(network, snapshot.logits.shape[1])
    if isinstance(network, MlpParts) and _is_shallow(network.spec):
        return _perceptron(network, snapshot.logits.shape[1])
    return {"kind": "logits", "logits": packed(snapshot.logits[snapshot.pair_rows], "<f4")}


def _is_shallow(spec: MlpSpec) -> bool:
    return len(spec.widths) == 1 and not spec.is_centered


def _transformer(network: TransformerParts, n_outputs: int) -> dict[str, Any]:
    spec = network.spec
    parameters = {name: value.double() for name, value in network.parameters.items()}
    tables = pair_tables(parameters, spec)
    readout = tables.readout[:, : spec.d_mlp + n_outputs]
    arrays = {
        "scores": tables.scores,
        "score_equals": tables.score_equals,
        "values": tables.values,
        "value_equals": tables.value_equals,
        "readout": readout,
        "W_L": tables.W_L[:, :n_outputs],
    }
    return {
        "kind": "attention",
        "act": spec.act_fn,
        "n_tokens": tables.scores.shape[1],
        "n_heads": spec.n_heads,
        "d_head": spec.d_head,
        "n_neurons": spec.d_mlp,
        **{name: packed(value, "<f4") for name, value in arrays.items()},
    }


def _perceptron(network: MlpParts, n_outputs: int) -> dict[str, Any]:
    spec, tables = network.spec, network.operands
    parameters = {name: value.double() for name, value in network.parameters.items()}
    a, b = tables.a.double(), tables.b.double()
    # Before the nonlinearity everything is linear, behind it too: functions of zero are offsets.
    of_nothing = _before_neurons(parameters, a[:1] * 0, b[:1] * 0, spec)
    arrays = {
        "from_a": _before_neurons(parameters, a, (b[:1] * 0).expand(len(a), -1), spec),
        "from_b": _before_neurons(parameters, (a[:1] * 0).expand(len(b), -1), b, spec) - of_nothing,
    }
    eye = torch.eye(spec.widths[0], dtype=torch.float64)
    offset = outputs_of_neurons(parameters, eye[:1] * 0, spec)
    arrays["readout"] = (outputs_of_neurons(parameters, eye, spec) - offset)[:, :n_outputs]
    arrays["offset"] = offset[:, :n_outputs]
    return {
        "kind": "sum",
        "act": spec.act_fn,
        "curvature": spec.curvature,
        "n_neurons": spec.widths[0],
        **{name: packed(value, "<f4") for name, value in arrays.items()},
    }


def _before_neurons(parameters: dict[str, Tensor], a: Tensor, b: Tensor, spec: MlpSpec) -> Tensor:
    kept: list[Tensor] = []

    def keep(name: str, activation: Tensor) -> Tensor:
        if name == "layers.0.hook_pre":
            kept.append(activation)
        return activation

    outputs_of_operands(parameters, a, b, spec, keep)
    return kept[0]
