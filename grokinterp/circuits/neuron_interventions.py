"""Logits of a network in whose neurons something was replaced."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.circuits.interventions import (
    Intervention,
    evaluated_rows,
    named_component,
    replaced,
    replaced_in_portions,
    require_rest,
)
from grokinterp.circuits.key_frequencies import SINGLE_FREQUENCY_SHARE
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.errors import ConfigError
from grokinterp.portions import fits, portions
from grokinterp.spectra import block_coefficients, block_component, block_values


def at_neurons(
    snapshot: Snapshot, frequencies: tuple[int, ...], intervention: Intervention
) -> Iterator[Float[Tensor, "row c"]]:
    """Logits after an intervention on some neurons, or on some frequencies in all of them.

    Raises
    ------
    ConfigError
        If the network has no such neuron, or nothing else to replace.
    """
    n_bytes = 8 * len(evaluated_rows(snapshot)) * snapshot.logits.shape[1]
    if fits(n_bytes):
        yield _at_all_neurons(snapshot, frequencies, intervention)
    else:
        yield from _at_neurons_in_portions(snapshot, frequencies, intervention)


def _at_all_neurons(
    snapshot: Snapshot, frequencies: tuple[int, ...], intervention: Intervention
) -> Float[Tensor, "row c"]:
    rows = evaluated_rows(snapshot)
    if not snapshot.has("readout") or snapshot.network.readout.scale is not None:
        changed = _changed_neurons(snapshot, rows, frequencies, intervention)
        return snapshot.network.logits_from_neurons(changed, rows).double()
    # From the neurons on the network is affine, so that everything that is done to them can be
    # done to what they write into the logits.
    written = snapshot.written_by_neurons[rows]
    if intervention.component.is_of_waves:
        component = named_component(intervention, written, _blocks(snapshot, written, frequencies))
    else:
        chosen = _neuron_mask(snapshot, frequencies, intervention)
        component = snapshot.through_W_L(snapshot.neurons[rows][:, chosen], rows, chosen)
    logits = snapshot.logits[rows] - written
    return logits.add_(replaced(written, component, intervention))


def _at_neurons_in_portions(
    snapshot: Snapshot, frequencies: tuple[int, ...], intervention: Intervention
) -> Iterator[Float[Tensor, "row c"]]:
    every_row, network = evaluated_rows(snapshot), snapshot.network
    is_linear = snapshot.has("readout") and network.readout.scale is None
    columns = slice(None)
    if intervention.component.is_of_waves:
        component = _blocks_of_neurons(snapshot, frequencies)
    else:
        mask = _neuron_mask(snapshot, frequencies, intervention)
        component = mask.double()
        if is_linear and not intervention.keep:
            # Nothing is done to the others.
            columns, component = mask, component[mask]
        component = component.expand(len(every_row), -1)

    def split(some: Int[Tensor, " some"]) -> tuple[Tensor, Tensor]:
        neurons = snapshot.neurons[every_row[some]][:, columns].double()
        if intervention.component.is_of_waves:
            return neurons, named_component(intervention, neurons, component[some])
        return neurons, neurons * component[some]

    width = max(snapshot.logits.shape[1], snapshot.neurons.shape[1])
    start = 0
    for changed in replaced_in_portions(split, len(every_row), 8 * width, intervention):
        rows = every_row[start : start + len(changed)]
        start += len(changed)
        if not is_linear:
            yield network.logits_from_neurons(changed.to(snapshot.neurons.dtype), rows).double()
            continue
        changed -= snapshot.neurons[rows][:, columns]
        yield (changed @ snapshot.W_L[columns]).add_(snapshot.logits[rows])


def _blocks_of_neurons(
    snapshot: Snapshot, frequencies: tuple[int, ...]
) -> Float[Tensor, "row neuron"]:
    """Blocks of some frequencies in the activations on all pairs of the view, in float64."""
    n, n_neurons = snapshot.require_view().order, snapshot.neurons.shape[1]
    grid_rows = snapshot.pair_rows.view(n, n)
    parts = portions(n, 8 * n * n_neurons)
    waves = [snapshot.harmonics.waves(torch.tensor([0, k])) for k in frequencies]
    coefficients = [torch.zeros(len(w), len(w), n_neurons, dtype=torch.float64) for w in waves]
    for part in parts:
        grid = snapshot.neurons[grid_rows[part]].double()
        for of_k, w in zip(coefficients, waves, strict=True):
            of_k += block_coefficients(grid, w[:, part], w)
    blocks = torch.zeros(n, n, n_neurons, dtype=torch.float64)
    for of_k, w in zip(coefficients, waves, strict=True):
        of_k[0, 0] = 0
        for part in parts:
            blocks[part] += block_values(of_k, w[:, part], w)
    return blocks.flatten(0, 1)


def _changed_neurons(
    snapshot: Snapshot,
    rows: Int[Tensor, " row"],
    frequencies: tuple[int, ...],
    intervention: Intervention,
) -> Float[Tensor, "row neuron"]:
    """Activations after an intervention, for networks that are not affine from there on."""
    neurons = snapshot.neurons[rows].double()
    if intervention.component.is_of_waves:
        component = named_component(intervention, neurons, _blocks(snapshot, neurons, frequencies))
    else:
        component = neurons * _neuron_mask(snapshot, frequencies, intervention)
    return replaced(neurons, component, intervention).to(snapshot.neurons.dtype)


def _blocks(
    snapshot: Snapshot, values: Float[Tensor, "row x"], frequencies: tuple[int, ...]
) -> Float[Tensor, "row x"]:
    """Blocks of some frequencies in a function on all pairs of the view."""
    n = snapshot.require_view().order
    grid = values.unflatten(0, (n, n))
    waves = torch.zeros_like(grid)
    for k in frequencies:
        waves += block_component(grid, snapshot.harmonics.waves(torch.tensor([0, k])))
    return waves.flatten(0, 1)


def _neuron_mask(
    snapshot: Snapshot, frequencies: tuple[int, ...], intervention: Intervention
) -> Bool[Tensor, " neuron"]:
    kind, which = intervention.component.kind, intervention.component.which
    n_neurons = snapshot.neurons.shape[1]
    if kind == "mlp":
        require_rest(intervention)
        return torch.ones(n_neurons, dtype=torch.bool)
    if kind == "neuron":
        assert isinstance(which, int)
        if which >= n_neurons:
            raise ConfigError(f"neuron {which} is not one of 0 .. {n_neurons - 1}.")
        return torch.arange(n_neurons) == which
    shares = snapshot.neuron_frequency_shares
    if kind == "neurons_of":
        return shares[frequencies[0] - 1] > SINGLE_FREQUENCY_SHARE
    return (shares <= SINGLE_FREQUENCY_SHARE).all(dim=0)
