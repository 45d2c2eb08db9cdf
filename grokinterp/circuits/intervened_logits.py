"""Logits of a network that an intervention was done to, wherever it was done."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.circuits.block_interventions import at_heads, at_paths
from grokinterp.circuits.components import CIRCUITS, Component
from grokinterp.circuits.interventions import (
    FILLS,
    Intervention,
    evaluated_rows,
    named_component,
    replaced,
    replaced_in_portions,
)
from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.neuron_interventions import at_neurons
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.circuits.trigonometric import trigonometric_component
from grokinterp.errors import ConfigError
from grokinterp.portions import fits, portions


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


def _at_logits(
    snapshot: Snapshot, frequencies: tuple[int, ...], intervention: Intervention
) -> Iterator[Float[Tensor, "row c"]]:
    every_row = evaluated_rows(snapshot)
    by_answer = trigonometric_component(snapshot, frequencies)
    answers = _answers(snapshot, every_row)

    def split(some: Int[Tensor, " some"]) -> tuple[Tensor, Tensor]:
        logits = snapshot.logits[every_row[some]].double()
        return logits, named_component(intervention, logits, by_answer[answers[some]])

    # Every product has as many pairs as any other.
    means = snapshot.mean_logits_by_sum.mean(dim=0), by_answer.mean(dim=0)
    means = means[0], named_component(intervention, *means)
    row_bytes = 8 * snapshot.logits.shape[1]
    return replaced_in_portions(split, len(every_row), row_bytes, intervention, means)


def _answers(snapshot: Snapshot, rows: Int[Tensor, " row"]) -> Int[Tensor, " row"]:
    """Position of each pair's answer among the classes of the view."""
    position = torch.zeros(snapshot.task.n_classes, dtype=torch.long)
    position[snapshot.class_tokens] = torch.arange(len(snapshot.class_tokens))
    return position[snapshot.labels[rows]]


def _at_embedding(
    snapshot: Snapshot, frequencies: tuple[int, ...], intervention: Intervention
) -> Iterator[Float[Tensor, "row c"]]:
    chosen = snapshot.harmonics.waves(torch.tensor(frequencies, dtype=torch.long))
    rows = snapshot.operand_rows.double()
    waves = chosen.T @ (chosen @ rows)
    changed = replaced(rows, named_component(intervention, rows, waves), intervention)
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


def _at_once(
    make: Callable[[Snapshot, tuple[int, ...], Intervention], Tensor],
) -> Callable[[Snapshot, tuple[int, ...], Intervention], Iterator[Tensor]]:
    """All rows as one portion."""
    return lambda *arguments: iter([make(*arguments)])


_LOGITS_AT = {
    "logits": _at_logits,
    "neurons": at_neurons,
    "embedding": _at_embedding,
    "heads": _at_once(at_heads),
    "paths": _at_once(at_paths),
}
