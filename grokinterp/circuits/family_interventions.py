"""Logits of a network that keeps one family of two-dimensional modes, or loses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits.snapshot import Snapshot
from grokinterp.portions import portions
from grokinterp.spectra.pair_modes import CONSTANT, family_parts

LogitsWith = Callable[[int, bool], Iterator[Float[Tensor, "row c"]]]
"""From a family, and whether it is kept and not removed, to the logits of consecutive pairs of the
view. What is removed is replaced by its mean over the pairs, which only the constant has: a kept
family stays beside the mean, and the constant is replaced by zero."""


def logits_with(snapshot: Snapshot) -> LogitsWith:
    """Change the logits themselves."""
    return _changing(snapshot, snapshot.in_view(snapshot.logits))


def logits_with_neurons(snapshot: Snapshot) -> LogitsWith:
    """Change the neurons, and run the network from there on.

    From the neurons on a network without a norm is affine, so what is done to them can be done to
    what they write into the logits.
    """
    is_affine = snapshot.has("readout") and snapshot.network.readout.scale is None
    if not is_affine or snapshot.is_large:
        return _running_on(snapshot)
    written = snapshot.in_view(snapshot.written_by_neurons)
    others = snapshot.in_view(snapshot.logits) - written
    changed_by = _changing(snapshot, written)

    def changed(family: int, is_kept: bool) -> Iterator[Tensor]:
        start = 0
        for part in changed_by(family, is_kept):
            yield part + others[start : start + len(part)]
            start += len(part)

    return changed


def _running_on(snapshot: Snapshot) -> LogitsWith:
    changed_by = _changing(snapshot, snapshot.in_view(snapshot.neurons))

    def changed(family: int, is_kept: bool) -> Iterator[Tensor]:
        start = 0
        for part in changed_by(family, is_kept):
            rows = snapshot.pair_rows[start : start + len(part)]
            start += len(part)
            with torch.no_grad():
                neurons = part.to(snapshot.neurons.dtype)
                yield snapshot.network.logits_from_neurons(neurons, rows).double()

    return changed


def _changing(snapshot: Snapshot, values: Float[Tensor, "pair column"]) -> LogitsWith:
    """Functions on the pairs of the view with one family, or without it."""
    n = snapshot.require_view().order
    parts = family_parts(values, snapshot.products, snapshot.harmonics)
    width = max(values.shape[1], snapshot.logits.shape[1])

    def changed(family: int, is_kept: bool) -> Iterator[Tensor]:
        for rows in portions(n, 8 * n * width):
            some = values[rows.start * n : rows.stop * n]
            part = parts.part(family, some, rows)
            if not is_kept:
                yield some - part
            else:
                yield part if family == CONSTANT else part + parts.mean

    return changed
