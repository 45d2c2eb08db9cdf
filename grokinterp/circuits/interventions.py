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
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.circuits.components import Component, Site
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.errors import ConfigError
from grokinterp.portions import portions

Fill = Literal["mean", "zero", "resample"]
FILLS: tuple[Fill, ...] = ("mean", "zero", "resample")

_SITE_WORDS = {
    "logits": "logits",
    "neurons": "neurons",
    "embedding": "embedding",
    "heads": "attention",
    "paths": "residual stream",
}


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


def replaced_in_portions(
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


def named_component(intervention: Intervention, activation: Tensor, waves: Tensor) -> Tensor:
    """Waves of the frequencies, or for the memorization circuit all that is not in them."""
    return activation - waves if intervention.component.kind == "memorization_circuit" else waves


def require_rest(intervention: Intervention) -> None:
    """Refuse to keep a component that is all there is at its site.

    Raises
    ------
    ConfigError
        If the intervention keeps it.
    """
    if intervention.keep:
        raise ConfigError(
            f"keep=True with {intervention.component} leaves nothing else to replace. Keep a head, "
            "neurons, a frequency or a circuit."
        )
