"""What is wrong with the parts that are named in a module, tried on a few of its pairs."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.models.module_hooks import Place
from grokinterp.models.module_neurons import (
    error_of_readout,
    fed_readout,
    measured_readout,
    readout_tolerance,
)
from grokinterp.models.module_operands import rounding
from grokinterp.models.module_parts import ModuleParts
from grokinterp.models.network_parts import PartName

_N_CHECKED = 16


def _checked_rows(network: ModuleParts) -> Int[Tensor, " row"]:
    # Of few pairs some are left out: logits that depend on the others would not show.
    n_pairs = len(network.logits)
    return torch.linspace(0, n_pairs - 1, min(_N_CHECKED, (n_pairs + 1) // 2)).long().unique()


def _precision(network: ModuleParts) -> torch.dtype:
    """Dtype that the module computes in, as its parameters have it."""
    floats = (p.dtype for p in network.forward.module.parameters() if p.is_floating_point())
    return next(floats, torch.float32)


def _is_same(network: ModuleParts, found: Tensor, rows: Tensor) -> bool:
    """Whether logits are the network's own, up to the rounding of other sums."""
    size = float(network.logits.abs().amax())
    error = float((found - network.logits[rows]).abs().amax())
    return error <= max(1e-3, 4 * rounding(_precision(network))) * size


def require_own_rows(network: ModuleParts) -> None:
    """Refuse a module whose logits of a pair depend on the other pairs of the batch.

    Raises
    ------
    ConfigError
        If they do.
    """
    rows = _checked_rows(network)
    if not _is_same(network, network.forward.logits(network.forward.pairs[rows]), rows):
        raise ConfigError(
            f"logits of {network.in_words} depend on which pairs are in the same batch, as with "
            "batch norm without running statistics. Compute the logits yourself and use "
            "gi.Run.from_logits."
        )


def fault_of_operands(network: ModuleParts) -> dict[PartName, str]:
    """Return why there is no way back from the operands, if there is none."""
    rows, tables = _checked_rows(network), network.operands
    widths = tables.a.shape[1], tables.b.shape[1]
    if widths[0] != widths[1]:
        reason = f"a and b have tables of {widths[0]} and {widths[1]} columns"
        return {
            "way_from_operands": f"{reason}, so changes in one cannot be compared with the other"
        }
    pairs = network.forward.pairs[rows]
    a, b = tables.a[pairs[:, 0]].clone(), tables.b[pairs[:, 1]].clone()
    if not _is_same(network, network.run_from_operands(a, b, rows), rows):
        what = "replacing the operands with themselves changes the logits"
        return {"way_from_operands": f"{what} in {network.in_words}"}
    if not _is_same(network, network.run_from_operands(a.flip(0), b.flip(0), rows), rows.flip(0)):
        what = (
            "its logits also depend on a and b by another path: operands of another pair do not "
            "give the logits of that pair"
        )
        return {"way_from_operands": f"{what} in {network.in_words}"}
    with torch.enable_grad():
        logits = network.run_from_operands(a.requires_grad_(), b.requires_grad_(), rows)
        if logits.requires_grad:
            try:
                found = torch.autograd.grad(logits.sum(), [a, b], allow_unused=True)
            # Such as an operation in place that overwrites what the way back needs.
            except RuntimeError:
                found = (None,)
            if all(gradient is not None for gradient in found):
                return {}
    return {
        "way_from_operands": f"the logits of {network.in_words} have no gradient with respect to "
        "its operands"
    }


def fault_of_coordinates(network: ModuleParts) -> dict[PartName, str]:
    """Return why directions in the tables of a and of b cannot be compared, if they cannot."""
    places, tables = network.places.operands, network.operands
    assert places is not None
    is_one_place = places.kind == "slots" and places.a.place == places.b.place
    if tables.is_shared or is_one_place or places.kind == "sum":
        return {}
    rows = _checked_rows(network)
    pairs = network.forward.pairs[rows]
    a, b = tables.a[pairs[:, 0]], tables.b[pairs[:, 1]]
    generator = torch.Generator().manual_seed(0)
    change = torch.randn(a.shape, generator=generator) * a.std()
    of_a = network.run_from_operands(a + change, b, rows)
    of_b = network.run_from_operands(a, b + change, rows)
    # What is summed behind the tables is changed alike by either; a hundredth is rounding.
    effect = (of_a - network.logits[rows]).abs().amax()
    if (of_a - of_b).abs().amax() <= 0.01 * effect:
        return {}
    return {
        "same_coordinates": f"{network.in_words} has two embeddings that are not summed, so it is "
        "not known whether a and b are read in the same coordinates"
    }


def fault_of_neurons(network: ModuleParts) -> dict[PartName, str]:
    """Return why there is no way back from the neurons, or no readout, if there is none."""
    rows = _checked_rows(network)
    own = network.neurons[rows]
    if not _is_same(network, network.run_from_neurons(own, rows), rows):
        reason = f"replacing the neurons with themselves changes the logits in {network.in_words}"
        return {"way_from_neurons": reason, "readout": reason}
    size = float(own.abs().amax()) or 1.0
    if torch.equal(network.run_from_neurons(own + size, rows), network.run_from_neurons(own, rows)):
        reason = f"changing {network.places.spec.neurons} does not change the logits"
        return {"way_from_neurons": reason, "readout": reason}
    W_L = measured_readout(network.run_from_neurons, network.neurons)
    error = error_of_readout(network.run_from_neurons, network.neurons, network.logits, W_L)
    if error > readout_tolerance(_precision(network)):
        what = f"the map from the neurons of {network.in_words} to its logits"
        return {"readout": f"{what} is not linear"}
    return {}


def is_readout(network: ModuleParts, readout: Place) -> bool:
    """Whether the named layer is fed by the neurons and is W_L.

    Raises
    ------
    ConfigError
        If it is fed by the neurons and is another map than that from neurons to logits.
    """
    assert network.places.neurons is not None
    weight = fed_readout(network.forward, readout.path, network.places.neurons)
    if weight is None:
        return False
    measured = measured_readout(network.run_from_neurons, network.neurons)
    # Of logits, which are what a measured map can be wrong about.
    error = float((weight - measured).abs().amax()) * float(network.neurons.abs().amax())
    limit = readout_tolerance(_precision(network)) * float(network.logits.abs().amax())
    if error > limit:
        raise ConfigError(
            f"readout={readout} has another weight than the map from neurons to logits, so "
            "something follows it. Leave readout out: the map is measured."
        )
    return True
