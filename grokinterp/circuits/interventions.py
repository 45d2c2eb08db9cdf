"""What can be taken out of a network, where, and what is put in its place.

At every site the activation is split in two, the component and the rest. An intervention
takes one of the two, the component to remove it or the rest to keep the component alone, and
gives it another value: its mean over the pairs, zero, or its value at another pair drawn at
random. The network runs on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.circuits.components import CIRCUITS, Component, Site
from grokinterp.circuits.key_frequencies import SINGLE_FREQUENCY_SHARE, KeyFrequencies
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.circuits.trigonometric import trigonometric_component
from grokinterp.errors import ConfigError
from grokinterp.models.transformer import transformer_logits
from grokinterp.portions import fits, portions
from grokinterp.spectra import block_coefficients, block_component, block_values

Fill = Literal["mean", "zero", "resample"]
FILLS: tuple[Fill, ...] = ("mean", "zero", "resample")

_SITE_WORDS = {
    "logits": "logits",
    "neurons": "neurons",
    "embedding": "embedding",
    "heads": "attention",
    "paths": "residual stream",
}
_SEQUENCES_AT_A_TIME = 4096


@dataclass(frozen=True)
class Intervention:
    """One thing done to a network.

    Examples
    --------
    >>> Intervention(Component.parse("head_2"), "heads", fill="zero").describe()
    'removed from attention (zero)'
    """

    component: Component
    """What it is done to."""
    site: Site
    """Where it is done."""
    keep: bool = False
    """Replace everything else at the site, not the component."""
    fill: Fill = "mean"
    """What is put in: the mean over the pairs (over the tokens, in the embedding), zero, or
    the value at another pair, in a random order without repetition."""
    seed: int = 0
    """Of that order."""

    def describe(self) -> str:
        """Return the cell ``intervention`` of ablations.csv: ``removed from logits``."""
        verb = "kept in" if self.keep else "removed from"
        fill = "" if self.fill == "mean" else f" ({self.fill})"
        return f"{verb} {_SITE_WORDS[self.site]}{fill}"


def evaluated_rows(snapshot: Snapshot) -> Int[Tensor, " row"]:
    """Rows of ``task.pairs`` that an intervention is judged on: the view's where there is one."""
    if snapshot.view is None:
        return torch.arange(snapshot.task.n_pairs)
    return snapshot.pair_rows


def components_of(
    snapshot: Snapshot, component: Component, key_frequencies: KeyFrequencies | None
) -> KeyFrequencies | None:
    """Frequencies or representations that separate a component from the rest.

    None for heads, residual paths and sets of neurons that they do not name.

    Raises
    ------
    ConfigError
        If a circuit is named and no key frequencies are, or a frequency or representation does
        not exist in the task's group.
    """
    if component.kind in ("frequency", "representation", "neurons_of"):
        assert component.which is not None
        return KeyFrequencies.given_for(snapshot.require_view(), [component.which])
    if component.kind not in CIRCUITS:
        return None
    if key_frequencies is None or not key_frequencies.frequencies:
        raise ConfigError(
            f"{component} is defined by key frequencies, and there are none. Pass those of "
            "find_key_frequencies, or KeyFrequencies.given(p, [9, 38])."
        )
    chosen = key_frequencies.names or key_frequencies.frequencies
    return KeyFrequencies.given_for(snapshot.require_view(), chosen)


def logits_after(
    snapshot: Snapshot, key_frequencies: KeyFrequencies | None, intervention: Intervention
) -> Iterator[Float[Tensor, "row c"]]:
    """Logits of the network that an intervention was done to, a portion of the rows at a time.

    Returns
    -------
    Iterator[Tensor]
        Together one row for each of :func:`evaluated_rows`, in their order.

    Raises
    ------
    ConfigError
        If the component does not exist in this network, or nothing else is at the site.
    """
    if intervention.fill not in FILLS:
        raise ConfigError(
            f"fill={intervention.fill!r} is not known. Choose one of {', '.join(FILLS)}."
        )
    found = components_of(snapshot, intervention.component, key_frequencies)
    frequencies = () if found is None else found.frequencies
    return _LOGITS_AT[intervention.site](snapshot, frequencies, intervention)


def replaced(
    activation: Float[Tensor, "row ..."],
    component: Float[Tensor, "row ..."],
    intervention: Intervention,
) -> Float[Tensor, "row ..."]:
    """Give the component of an activation, or with ``keep`` all of the rest, another value."""
    part = activation - component if intervention.keep else component
    # Sums are made in place: at a large p each array of all pairs counts.
    rest = activation - part
    if intervention.fill == "zero":
        return rest
    if intervention.fill == "mean":
        return rest.add_(part.mean(dim=0))
    return rest.add_(part[_order(len(part), intervention)])


def _order(n_rows: int, intervention: Intervention) -> Int[Tensor, " row"]:
    """Row that each row takes its value from when it is resampled."""
    generator = torch.Generator().manual_seed(intervention.seed)
    return torch.randperm(n_rows, generator=generator)


Split = Callable[[Int[Tensor, " some"]], tuple[Tensor, Tensor]]
"""From some of the evaluated rows to their activation and the component in it."""


def _replaced_in_portions(
    split: Split,
    n_rows: int,
    row_bytes: int,
    intervention: Intervention,
    means: tuple[Tensor, Tensor] | None = None,
) -> Iterator[Float[Tensor, "row ..."]]:
    """Do what :func:`replaced` does to all rows, some of them at a time.

    `means` are those of activation and component over all rows, where they are known already.
    """
    every = torch.arange(n_rows)
    parts = [every[rows] for rows in portions(n_rows, row_bytes)]
    if len(parts) == 1:
        yield replaced(*split(every), intervention)
        return

    def removed(
        activation: Float[Tensor, "row ..."], component: Float[Tensor, "row ..."]
    ) -> Float[Tensor, "row ..."]:
        return activation - component if intervention.keep else component

    mean, order = torch.zeros(()), every
    if intervention.fill == "mean" and means is not None:
        mean = removed(*means)
    elif intervention.fill == "mean":
        sums = [removed(*split(rows)).sum(dim=0) for rows in parts]
        mean = torch.stack(sums).sum(dim=0) / n_rows
    elif intervention.fill == "resample":
        order = _order(n_rows, intervention)
    for rows in parts:
        activation, component = split(rows)
        rest = activation - removed(activation, component)
        if intervention.fill == "mean":
            rest += mean
        elif intervention.fill == "resample":
            rest += removed(*split(order[rows]))
        yield rest


def _at_logits(
    snapshot: Snapshot, frequencies: tuple[int, ...], intervention: Intervention
) -> Iterator[Float[Tensor, "row c"]]:
    every_row = evaluated_rows(snapshot)
    by_answer = trigonometric_component(snapshot, frequencies)
    answers = _answers(snapshot, every_row)

    def split(some: Int[Tensor, " some"]) -> tuple[Tensor, Tensor]:
        logits = snapshot.logits[every_row[some]].double()
        return logits, _named(intervention, logits, by_answer[answers[some]])

    # Every product has as many pairs as any other.
    means = snapshot.mean_logits_by_sum.mean(dim=0), by_answer.mean(dim=0)
    means = means[0], _named(intervention, *means)
    row_bytes = 8 * snapshot.logits.shape[1]
    return _replaced_in_portions(split, len(every_row), row_bytes, intervention, means)


def _answers(snapshot: Snapshot, rows: Int[Tensor, " row"]) -> Int[Tensor, " row"]:
    """Position of each pair's answer among the classes of the view."""
    position = torch.zeros(snapshot.task.n_classes, dtype=torch.long)
    position[snapshot.class_tokens] = torch.arange(len(snapshot.class_tokens))
    return position[snapshot.labels[rows]]


def _named(intervention: Intervention, activation: Tensor, waves: Tensor) -> Tensor:
    """Waves of the frequencies, or for the memorization circuit all that is not in them."""
    return activation - waves if intervention.component.kind == "memorization_circuit" else waves


def _at_neurons(
    snapshot: Snapshot, frequencies: tuple[int, ...], intervention: Intervention
) -> Iterator[Float[Tensor, "row c"]]:
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
        component = _named(intervention, written, _blocks(snapshot, written, frequencies))
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
            return neurons, _named(intervention, neurons, component[some])
        return neurons, neurons * component[some]

    width = max(snapshot.logits.shape[1], snapshot.neurons.shape[1])
    start = 0
    for changed in _replaced_in_portions(split, len(every_row), 8 * width, intervention):
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
        component = _named(intervention, neurons, _blocks(snapshot, neurons, frequencies))
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
        _require_rest(intervention)
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


def _require_rest(intervention: Intervention) -> None:
    if intervention.keep:
        raise ConfigError(
            f"keep=True with {intervention.component} leaves nothing else to replace. Keep a head, "
            "neurons, a frequency or a circuit."
        )


def _at_embedding(
    snapshot: Snapshot, frequencies: tuple[int, ...], intervention: Intervention
) -> Iterator[Float[Tensor, "row c"]]:
    chosen = snapshot.harmonics.waves(torch.tensor(frequencies, dtype=torch.long))
    rows = snapshot.operand_rows.double()
    waves = chosen.T @ (chosen @ rows)
    changed = replaced(rows, _named(intervention, rows, waves), intervention)
    every_row, n_answers = evaluated_rows(snapshot), snapshot.logits.shape[1]
    if fits(8 * len(every_row) * n_answers):
        yield snapshot.with_operand_rows(changed).logits[every_row]
        return
    tables, pairs = snapshot.operands_of_rows(changed), snapshot.arrangement.pairs
    for part in portions(len(every_row), 8 * n_answers):
        at = every_row[part]
        a, b = tables.a[pairs[at, 0]], tables.b[pairs[at, 1]]
        with torch.no_grad():
            yield snapshot.network.logits_from_operands(a, b, at)


def _at_heads(
    snapshot: Snapshot, frequencies: tuple[int, ...], intervention: Intervention
) -> Float[Tensor, "row c"]:
    snapshot.network.require("blocks")
    layer, head = _layer_and_head(snapshot, intervention)
    rows = evaluated_rows(snapshot)

    if layer == snapshot.spec.n_layers - 1:
        # What follows reads only the sum of the heads, and so does every kind of filling.
        block = snapshot.last_block
        everything = block.heads.sum(dim=1)
        component = everything if head is None else block.heads[:, head]
        attn_out = block.attn_out()
        attn_out[rows] += replaced(everything[rows], component[rows], intervention)
        return block.logits(attn_out=attn_out - everything)[rows]

    def change(written: Float[Tensor, "row ... head x"]) -> Float[Tensor, "row ... head x"]:
        mask = torch.zeros(written.shape[-2], 1)
        mask[slice(None) if head is None else head] = 1
        return replaced(written, written * mask, intervention)

    return _with_hook(snapshot, f"blocks.{layer}.attn.hook_z", rows, change)


def _with_hook(
    snapshot: Snapshot, name: str, rows: Int[Tensor, " row"], change: Callable[[Tensor], Tensor]
) -> Float[Tensor, "row c"]:
    tokens = snapshot.tokens[rows]
    kept: list[Tensor] = []

    def keep(at: str, activation: Tensor) -> Tensor:
        if at == name:
            kept.append(activation)
        return activation

    with torch.no_grad():
        parts = tokens.split(_SEQUENCES_AT_A_TIME)
        for part in parts:
            transformer_logits(snapshot.parameters, part, snapshot.spec, keep)
        # Means and resampled values are those over all pairs, not over a part.
        changed = iter(change(torch.cat(kept)).split(_SEQUENCES_AT_A_TIME))

        def put(at: str, activation: Tensor) -> Tensor:
            return next(changed) if at == name else activation

        logits = [
            transformer_logits(snapshot.parameters, part, snapshot.spec, put)[:, -1]
            for part in parts
        ]
    return torch.cat(logits)[:, : snapshot.task.n_classes]


def _layer_and_head(snapshot: Snapshot, intervention: Intervention) -> tuple[int, int | None]:
    spec = snapshot.spec
    component = intervention.component
    layer = spec.n_layers - 1 if component.layer is None else component.layer
    head = component.which if isinstance(component.which, int) else None
    if layer >= spec.n_layers or (head is not None and head >= spec.n_heads):
        raise ConfigError(
            f"{component} does not exist: the network has layers 0 .. "
            f"{spec.n_layers - 1} with heads 0 .. {spec.n_heads - 1}."
        )
    if head is None or spec.n_heads == 1:
        _require_rest(intervention)
    return layer, head


def _at_paths(
    snapshot: Snapshot, frequencies: tuple[int, ...], intervention: Intervention
) -> Float[Tensor, "row c"]:
    _require_rest(intervention)
    rows = evaluated_rows(snapshot)
    block = snapshot.last_block

    def filled(edge: Float[Tensor, "pair d_model"]) -> Float[Tensor, "pair d_model"]:
        edge = edge.clone()
        edge[rows] = replaced(edge[rows], edge[rows], intervention)
        return edge

    if intervention.component.kind == "path_around_attention":
        return block.logits(around_attention=filled(block.resid_pre))[rows]
    if intervention.component.kind == "path_around_mlp":
        return block.logits(around_mlp=filled(block.resid_mid))[rows]
    # The bias of attention belongs to no head and stays.
    heads = block.heads.sum(dim=1)
    changed = block.resid_mid_with(block.attn_out() - heads + filled(heads))
    if intervention.component.kind == "attention_to_mlp":
        return block.logits(mlp_in=changed)[rows]
    return block.logits(around_mlp=changed)[rows]


def _at_once(
    make: Callable[[Snapshot, tuple[int, ...], Intervention], Tensor],
) -> Callable[[Snapshot, tuple[int, ...], Intervention], Iterator[Tensor]]:
    """All rows as one portion."""
    return lambda *arguments: iter([make(*arguments)])


_LOGITS_AT = {
    "logits": _at_logits,
    "neurons": _at_neurons,
    "embedding": _at_embedding,
    "heads": _at_once(_at_heads),
    "paths": _at_once(_at_paths),
}
