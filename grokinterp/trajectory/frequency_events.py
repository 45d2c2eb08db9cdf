"""Births, deaths and swaps of frequencies, and second circuits, from arrays of their power.

Columns are components: the frequencies of a cyclic group, or the representations of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from grokinterp.circuits.key_frequencies import MIN_SHARE
from grokinterp.fields import check_types, require
from grokinterp.trajectory.switches import Switch, find_switches, half_windows, smoothed

SWAP_GAP = 0.1
"""Part of the steps up to a swap that may lie between its death and its birth: early in a run, much
happens within `patience` steps."""

Steps = Int[np.ndarray, " checkpoint"]
Table = Float[np.ndarray, "checkpoint component"]


@dataclass(frozen=True)
class LifeRule:
    """When a component is there, when it is gone, and what else counts as an event.

    Examples
    --------
    >>> LifeRule(over_rest=4.0).min_share
    0.015
    """

    min_share: float = MIN_SHARE
    """Share of the logits' power that a component needs to be there: that of the rule for key
    frequencies."""
    over_rest: float = 3.0
    """It also has to hold this many times what the weak components hold (the lower quartile, in
    proportion to the number of waves). Where nothing is learned, all hold about the same."""
    least_coefficient: float = 0.02
    """And the coefficient of its wave needs this fraction of the largest of the run. Initial logits
    are small, and a share of them means nothing."""
    gone_below: float = 0.5
    """It is gone below this fraction of what it needs to be there. Between the two it stays what it
    was."""
    coefficient_ratio: float = 2.0
    """A birth or death also changes the coefficient of the wave, in logits, by this factor at
    least. A share alone also moves when another component grows or dies."""
    swap_part: float = 0.5
    """Part of the share lost in a death that a birth at the same time has to gain for the two to be
    a swap."""
    second_part: float = 0.5
    """Share of the power that components which the first circuit did not have hold in a second
    circuit."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("min_share", "least_coefficient", "gone_below", "swap_part", "second_part"):
            require(self, name, 0 < getattr(self, name) <= 1, "Use a value in (0, 1].")
        for name in ("over_rest", "coefficient_ratio"):
            require(self, name, getattr(self, name) >= 1, "Use 1 or more.")


@dataclass(frozen=True)
class Change:
    """A birth or a death of one component."""

    component: int
    """Column of the tables."""
    is_birth: bool
    start_step: int
    """Last checkpoint at which it was still gone (of a death: still there)."""
    step: int
    """First checkpoint at which it is there (of a death: gone)."""
    share_before: float
    """Median share of the logits' power from the change before this one (or the first checkpoint)
    to `start_step`."""
    share_after: float
    """The same from `step` to the next change, or to the last checkpoint."""
    coefficient_before: float
    """Median coefficient of the wave likewise, in logits."""
    coefficient_after: float
    is_again: bool = False
    """Whether its last change was one of the same kind, since what undid that came from other
    components alone: its share moved, and not its coefficient."""

    @property
    def gain(self) -> float:
        """Change of the share; negative for a death."""
        return self.share_after - self.share_before


@dataclass(frozen=True)
class Swap:
    """A death and a birth at the same time, of which one makes up for the other."""

    death: Change
    birth: Change

    @property
    def step(self) -> int:
        """Checkpoint from which both have happened."""
        return max(self.death.step, self.birth.step)


@dataclass(frozen=True)
class NewCircuit:
    """Most of the power has gone to components that an earlier circuit did not have."""

    step: int
    """First checkpoint at which it is so."""
    earlier: tuple[int, ...]
    """Components of the earlier circuit."""
    new: tuple[int, ...]
    """Components that are there now and were not part of it."""
    share_before: float
    """Share of the power that those which were new held a checkpoint earlier."""
    share_after: float
    """Median of that share in the `patience` steps from `step` on."""


@dataclass(frozen=True, eq=False)
class Powers:
    """What every component holds along a run: a row per checkpoint, a column per component."""

    steps: Steps
    """Of the checkpoints, rising."""
    shares: Table
    """Share of the logits' power; NaN counts as none."""
    coefficients: Table
    """Coefficient of the wave in the logits, in logits; what is negative or NaN counts as none."""
    n_waves: Sequence[int]
    """Waves of each component: 2 of a frequency, 1 of the highest of an even n."""

    def heights(self, rule: LifeRule, patience: int) -> Table:
        """How high each component stands over what it needs to be there: 1 is enough.

        Examples
        --------
        >>> shares = np.array([[0.25, 0.25, 0.25, 0.25], [0.97, 0.01, 0.01, 0.01]])
        >>> powers = Powers(np.array([0, 100]), shares, 10 * shares, (2, 2, 2, 2))
        >>> powers.heights(LifeRule(), patience=1000).round(2)
        array([[ 0.33,  0.33,  0.33,  0.33],
               [32.33,  0.33,  0.33,  0.33]])
        """
        known, waves = np.nan_to_num(self.shares), np.asarray(self.n_waves, dtype=float)
        if not known.size:
            return known
        weak = np.quantile(known / waves, 0.25, axis=1, keepdims=True)
        by_share = known / np.maximum(rule.min_share, rule.over_rest * weak * waves)
        sizes = np.nan_to_num(self.coefficients)
        # Of a running median, so that a spike of the logits is not what all else is measured by.
        largest = smoothed(sizes.max(axis=1), half_windows(self.steps, patience)).max()
        if largest <= 0:
            return np.zeros_like(known)
        return np.minimum(by_share, sizes / (rule.least_coefficient * largest))


def find_changes(
    powers: Powers, *, patience: int, rule: LifeRule | None = None
) -> tuple[Change, ...]:
    """Find the births and deaths of components.

    Parameters
    ----------
    powers
        What every component holds at every checkpoint.
    patience
        Steps; an excursion that takes less than half of them is none. See
        :func:`~grokinterp.trajectory.switches.find_switches`.
    rule
        What counts; None for the defaults.

    Returns
    -------
    tuple[Change, ...]
        In order of steps. What is there at the first checkpoint was not born.

    Examples
    --------
    >>> steps = np.arange(0, 5000, 100)
    >>> sizes = np.full((50, 6), 0.3)
    >>> sizes[steps >= 2000, 4] = 3.0
    >>> powers = Powers(steps, sizes**2 / (sizes**2).sum(axis=1, keepdims=True), sizes, (2,) * 6)
    >>> [(c.component, c.is_birth, c.step) for c in find_changes(powers, patience=1000)]
    [(4, True, 2000)]
    """
    rule = rule or LifeRule()
    heights = powers.heights(rule, patience)
    found: list[Change] = []
    for component, height in enumerate(heights.T):
        switches = find_switches(
            powers.steps, height, high=1.0, low=rule.gone_below, patience=patience
        )
        changes = _changes_of(powers, component, switches)
        own = [change for change in changes if _is_of_its_own(change, rule)]
        found += own[:1]
        found += [
            replace(change, is_again=change.is_birth == last.is_birth)
            for last, change in pairwise(own)
        ]
    return tuple(sorted(found, key=lambda change: (change.step, change.component)))


def pair_swaps(
    changes: Sequence[Change], *, patience: int, rule: LifeRule | None = None
) -> tuple[tuple[Swap, ...], tuple[Change, ...]]:
    """Join a death and a birth at the same time into a swap; return swaps, and what is left.

    They are at the same time if they overlap, or lie no more than half of `patience`, nor more than
    a tenth of the steps up to there, apart. The birth has to gain at least `swap_part` of the share
    that the death loses. Each belongs to one swap, the closest in time first.

    Examples
    --------
    >>> death = Change(3, False, 1900, 2000, 0.3, 0.001, 9.0, 0.5)
    >>> birth = Change(7, True, 1800, 2000, 0.001, 0.4, 0.5, 9.0)
    >>> swaps, left = pair_swaps([death, birth], patience=1000)
    >>> [(s.death.component, s.birth.component, s.step) for s in swaps], left
    ([(3, 7, 2000)], ())
    """
    rule, left = rule or LifeRule(), list(changes)
    pairs = [
        Swap(death, birth)
        for death in changes
        for birth in changes
        if birth.is_birth and not death.is_birth and death.component != birth.component
        if _gap(death, birth) <= min(patience / 2, SWAP_GAP * max(death.step, birth.step))
        if birth.gain >= -rule.swap_part * death.gain
    ]
    swaps: list[Swap] = []
    for pair in sorted(pairs, key=lambda swap: abs(swap.death.step - swap.birth.step)):
        if pair.death in left and pair.birth in left:
            left.remove(pair.death)
            left.remove(pair.birth)
            swaps.append(pair)
    return tuple(sorted(swaps, key=lambda swap: swap.step)), tuple(left)


def find_new_circuits(
    powers: Powers, *, since: int, patience: int, rule: LifeRule | None = None
) -> tuple[NewCircuit, ...]:
    """Find when most of the power lies in components that the first circuit did not have.

    The first circuit is what is there at the first checkpoint from `since` on. After each find,
    what is there then takes its place.

    Parameters
    ----------
    powers, patience, rule
        As :func:`find_changes` takes them.
    since
        Step from which the network generalizes.

    Examples
    --------
    >>> steps = np.arange(0, 5000, 100)
    >>> sizes = np.full((50, 6), 0.3)
    >>> sizes[steps < 3000, 0] = sizes[steps >= 3000, 4] = 9.0
    >>> powers = Powers(steps, sizes**2 / (sizes**2).sum(axis=1, keepdims=True), sizes, (2,) * 6)
    >>> [(c.step, c.earlier, c.new) for c in find_new_circuits(powers, since=1000, patience=1000)]
    [(3000, (0,), (4,))]
    """
    rule, steps = rule or LifeRule(), powers.steps
    shares, there = np.nan_to_num(powers.shares), are_there(powers, patience, rule)
    found: list[NewCircuit] = []
    at: int | None = int(np.searchsorted(steps, since))
    while at is not None and at < len(steps) and there[at].any():
        earlier = there[at]
        held = (shares * (there & ~earlier)).sum(axis=1)
        at = _first_rise(steps, held, at, patience, rule.second_part)
        if at is not None:
            new = there[at] & ~earlier
            after = _within(steps, int(steps[at]), int(steps[at]) + patience)
            found.append(
                NewCircuit(
                    step=int(steps[at]),
                    earlier=tuple(map(int, np.flatnonzero(earlier))),
                    new=tuple(map(int, np.flatnonzero(new))),
                    share_before=float(shares[at - 1, new].sum()),
                    share_after=float(np.median(shares[after][:, new].sum(axis=1))),
                )
            )
    return tuple(found)


def are_there(
    powers: Powers, patience: int, rule: LifeRule
) -> Bool[np.ndarray, "checkpoint component"]:
    """Whether each component is there at each checkpoint, excursions aside."""
    half = half_windows(powers.steps, patience)
    heights = powers.heights(rule, patience)
    return np.stack([smoothed(column, half) >= 1.0 for column in heights.T], axis=1)


def spectrum_change(shares: Table, first: int, last: int) -> float:
    """Part of the power that lies elsewhere at one row than at another: 0 the same, 1 all of it.

    Examples
    --------
    >>> spectrum_change(np.array([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25]]), 0, 1)
    0.25
    """
    known = np.nan_to_num(shares)
    return float(np.abs(known[last] - known[first]).sum() / 2)


def _first_rise(
    steps: Steps, held: np.ndarray, start: int, patience: int, level: float
) -> int | None:
    """Row from which what is held has risen to a level for good; None where it never does."""
    switches = find_switches(
        steps[start:], held[start:], high=level, low=level / 2, patience=patience
    )
    rise = next((switch.step for switch in switches if switch.is_rise), None)
    return None if rise is None else int(np.searchsorted(steps, rise))


def _changes_of(powers: Powers, component: int, switches: Sequence[Switch]) -> list[Change]:
    """Switches of one component with what it holds on either side of each."""
    steps, tables = powers.steps, (powers.shares, powers.coefficients)
    begins = [int(steps[0]), *(switch.step for switch in switches)]
    ends = [*(switch.start_step for switch in switches), int(steps[-1])]
    stretches = [_within(steps, *span) for span in zip(begins, ends, strict=True)]
    of = [np.nan_to_num(table[:, component]) for table in tables]
    shares, sizes = ([float(np.median(one[at])) for at in stretches] for one in of)
    return [
        Change(
            component,
            switch.is_rise,
            switch.start_step,
            switch.step,
            *(shares[i], shares[i + 1], sizes[i], sizes[i + 1]),
        )
        for i, switch in enumerate(switches)
    ]


def _is_of_its_own(change: Change, rule: LifeRule) -> bool:
    """Whether the coefficient has changed with the share."""
    small, large = change.coefficient_before, change.coefficient_after
    if not change.is_birth:
        small, large = large, small
    return large > 0 and large >= rule.coefficient_ratio * max(small, 0.0)


def _within(steps: Steps, first: int, last: int) -> slice:
    """Rows from one step to another, both included."""
    return slice(
        int(np.searchsorted(steps, first)), int(np.searchsorted(steps, last, side="right"))
    )


def _gap(one: Change, other: Change) -> int:
    """Steps between two changes; 0 where they overlap."""
    return max(one.start_step - other.step, other.start_step - one.step, 0)
