r"""Which neurons respond to cosets of a subgroup, and whether that says more than a representation.

A neuron that is a function of the left coset aH of its first operand and of the right coset Kb of
its second takes [G:H] [G:K] values. Any function does so for the trivial subgroup, and a matrix
element of a representation comes near it for some small subgroup by luck: in the standard
representation of S_5 a random vector explains 0.999 with some transposition. So a subgroup counts
only if it explains more than chance does (:mod:`grokinterp.circuits.coset_null`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from grokinterp.circuits.coset_null import (
    COSET_SHARE,
    Profiles,
    exceeds,
    mixed,
    raised,
    relabeled,
)
from grokinterp.circuits.neurons import DEAD_RELATIVE_SPREAD
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.errors import ConfigError
from grokinterp.groups import FiniteGroup, named_group
from grokinterp.groups.subgroups import (
    LARGEST_LISTED_ORDER,
    SubgroupClass,
    subgroup_classes,
    why_no_subgroups,
)
from grokinterp.portions import portions
from grokinterp.tasks import GroupView, Task


def coset_neurons(snapshot: Snapshot) -> pd.DataFrame:
    r"""Which neurons are functions of the cosets aH and Kb, one row per neuron.

    The profiles of a neuron are f(a), the mean of its pre-activation over b, and g(b), that over
    a, both centered; in a perceptron on one-hot pairs the pre-activation is f + g. (Where the
    network has no pre-activations, they are means of the activation.) The fit of a class of
    conjugate subgroups is the share of :math:`\|f\|^2 + \|g\|^2` that is left when f is averaged
    over the left cosets aH and g over the right cosets Kb, with the best H and the best K of the
    class. A **coset neuron** has a proper subgroup with fit and share > 0.95 that leaves less
    than half of what the null leaves, 1 - fit < (1 - null) / 2; the largest such subgroup is named.

    Returns
    -------
    DataFrame
        ``neuron``; ``coset_subgroup``, the largest subgroup that makes it a coset neuron, else
        the largest whose fit exceeds 0.95, else empty; ``coset_index``, its number of cosets;
        ``coset_fit``; ``coset_null``, the largest fit in 40 draws in which the vectors that each
        representation is contracted with are random (not for a normal subgroup) and in 40 in
        which the elements are relabeled, fewer once all nulls of the neuron reach its fits;
        ``coset_share``, the share of the neuron's centered activation that is a function of the
        pair (aH, Kb);
        ``coset_share_sum``, the share that is f(aH) + g(Kb); ``is_coset_neuron``. Dead neurons
        have no subgroup.

    Raises
    ------
    ConfigError
        If the task is no product in a group, its subgroups cannot be listed or it has no proper
        one, or the network has no neurons.

    Notes
    -----
    ``is_coset_neuron`` is false for what a generic matrix element of the same representations
    reaches as well, even at a share of 0.999; that does not say that the neuron is not on cosets.
    By luck alone up to 5 in 100 generic neurons of S_5 count. Neurons that are translates of one
    another exceed chance together.

    References
    ----------
    Stander et al., "Grokking group multiplication with cosets", ICML 2024, arXiv:2312.06581,
    who find neurons on cosets in networks on S_5 and S_6; null and rule are this library's.

    Examples
    --------
    >>> import grokinterp as gi
    >>> gi.coset_neurons(gi.take_snapshot(gi.load_run("ckpts/")))
    Traceback (most recent call last):
    grokinterp.errors.ConfigError: ... cyclic(13) has prime order, ...
    """
    reason = why_no_cosets(snapshot.task)
    if reason is not None:
        raise ConfigError(f"there are no cosets to look for: {reason}. Choose another task.")
    snapshot.network.require("neurons")
    group = group_of(snapshot.require_view())
    classes = [found for found in subgroup_classes(group) if found.is_proper]
    classes.sort(key=lambda found: -found.order)
    activation = _centered(snapshot, snapshot.neurons)
    chosen = _choose(group, classes, activation, _profiles(snapshot, activation))
    return pd.DataFrame({"neuron": range(len(chosen)), **_columns(chosen)})


def why_no_cosets(task: Task) -> str | None:
    """Return why the cosets of a task's group cannot be looked for; None if they can.

    Examples
    --------
    >>> from grokinterp.tasks import TaskSpec
    >>> why_no_cosets(Task(TaskSpec(p=113)))
    'cyclic(113) has prime order, so it has no subgroup but the trivial one and itself'
    >>> why_no_cosets(Task(TaskSpec("multiplication", 113))) is None
    True
    """
    view = task.group_view
    if view is None:
        return f"{task.spec.in_words} is no product in a group"
    if view.order == 1:
        return f"{task.spec.in_words} has a group of one element"
    if view.group is None and view.order > LARGEST_LISTED_ORDER:
        return (
            f"{view.in_words} has {view.order:,} elements; subgroups are listed of groups with at "
            f"most {LARGEST_LISTED_ORDER:,}"
        )
    return why_no_subgroups(group_of(view))


def group_of(view: GroupView) -> FiniteGroup:
    """Return the group of a view, cyclic ones included, on the indices of the view."""
    return named_group(f"cyclic({view.order})") if view.group is None else view.group


@dataclass(frozen=True)
class _Chosen:
    """What was found for one neuron."""

    name: str
    index: int
    fit: float
    null: float
    share: float
    share_sum: float
    counts: bool


def _columns(chosen: list[_Chosen | None]) -> dict[str, object]:
    def number(field: str) -> list[float]:
        return [np.nan if one is None else getattr(one, field) for one in chosen]

    indices = [pd.NA if one is None else one.index for one in chosen]
    return {
        "coset_subgroup": [None if one is None else one.name for one in chosen],
        "coset_index": pd.array(indices, dtype="Int64"),
        "coset_fit": number("fit"),
        "coset_null": number("null"),
        "coset_share": number("share"),
        "coset_share_sum": number("share_sum"),
        "is_coset_neuron": [one is not None and one.counts for one in chosen],
    }


def _centered(snapshot: Snapshot, values: Tensor) -> Float[Tensor, "i j neuron"]:
    n = snapshot.require_view().order
    grid = snapshot.in_view(values).view(n, n, -1)
    return grid - grid.mean(dim=(0, 1), dtype=torch.float64).to(grid.dtype)


def _profiles(snapshot: Snapshot, activation: Float[Tensor, "i j neuron"]) -> Profiles:
    """Main effects of a and of b; zero for neurons whose activation is constant."""
    n, _, n_neurons = activation.shape
    has_pre = snapshot.has("pre_activations")
    shown = snapshot.network.pre_activations if has_pre else None
    parts = []
    for some in portions(n_neurons, activation.element_size() * n * n):
        grid = activation[:, :, some]
        is_alive = _is_alive(grid, snapshot.neurons[:, some])
        if shown is not None:
            grid = _centered(snapshot, shown[:, some])
        first, second = (grid.mean(dim=d, dtype=torch.float64) for d in (1, 0))
        parts.append((first * is_alive, second * is_alive))
    return Profiles(*(torch.cat(effects, dim=1) for effects in zip(*parts, strict=True)))


def _is_alive(
    activation: Float[Tensor, "i j some"], neurons: Float[Tensor, "pair some"]
) -> Bool[Tensor, " some"]:
    # Squares beyond 1e38 do not fit float32.
    largest = neurons.abs().amax(dim=0).clamp_min(torch.finfo(torch.float32).tiny)
    power = (activation / largest).square().mean(dim=(0, 1), dtype=torch.float64)
    size = power + (neurons / largest).mean(dim=0, dtype=torch.float64).square()
    return power > DEAD_RELATIVE_SPREAD**2 * size


def _choose(
    group: FiniteGroup,
    classes: list[SubgroupClass],
    activation: Float[Tensor, "i j neuron"],
    profiles: Profiles,
) -> list[_Chosen | None]:
    fits, first, second = profiles.fits(group, classes)
    nulls = _nulls(group, classes, profiles, fits)
    chosen: list[_Chosen | None] = [None] * fits.shape[1]
    for at, neuron in (fits > COSET_SHARE).nonzero().tolist():
        before = chosen[neuron]
        found, fit, null = classes[at], float(fits[at, neuron]), float(nulls[at, neuron])
        counts = bool(exceeds(fit, null))
        if before is not None and (before.counts or not counts):
            continue
        H = found.elements[int(first[at, neuron])]
        K = found.elements[int(second[at, neuron])]
        shares = coset_shares(group, activation[:, :, neuron], H, K)
        counts = counts and shares[0] > COSET_SHARE
        if counts or before is None:
            chosen[neuron] = _Chosen(found.name, found.index, fit, null, *shares, counts)
    return chosen


def _nulls(
    group: FiniteGroup,
    classes: list[SubgroupClass],
    profiles: Profiles,
    fits: Float[Tensor, "subgroup neuron"],
) -> Float[Tensor, "subgroup neuron"]:
    """What chance reaches, for fits that are large enough to ask."""
    is_normal = torch.tensor([found.is_normal for found in classes])[:, None]
    nulls, is_candidate = torch.zeros_like(fits), fits > COSET_SHARE
    # A representation that sends a normal subgroup to 1 is constant on its cosets whatever the
    # vector, so there is nothing that a random one could reach by luck.
    for chance, is_asked in ((mixed, is_candidate & ~is_normal), (relabeled, is_candidate)):
        chance = chance(group, profiles.scaled())
        nulls = raised(nulls, fits, is_asked, group, classes, chance)
    return nulls


def coset_shares(
    group: FiniteGroup, activation: Float[Tensor, "i j"], H: np.ndarray, K: np.ndarray
) -> tuple[float, float]:
    """Shares of a centered activation that are a function of (aH, Kb), and a sum f(aH) + g(Kb).

    Parameters
    ----------
    group
        The group whose elements index `activation`.
    activation
        One neuron, its mean over all pairs subtracted.
    H, K
        Elements of two subgroups of the same order.

    Examples
    --------
    >>> sign = torch.tensor([1.0, -1.0, 1.0, -1.0])
    >>> coset_shares(named_group("C4"), sign[:, None] * sign, np.array([0, 2]), np.array([0, 2]))
    (1.0, 0.0)
    """
    activation = activation.double()
    left, right = (
        torch.from_numpy(cosets) for cosets in (left_cosets(group, H), right_cosets(group, K))
    )
    means = activation[left].mean(dim=1)[:, right].mean(dim=2)
    total = float(activation.square().mean())
    if total == 0:
        return np.nan, np.nan
    by_first, by_second = means.mean(dim=1), means.mean(dim=0)
    sums = float(by_first.square().mean() + by_second.square().mean())
    return float(means.square().mean()) / total, sums / total


def left_cosets(group: FiniteGroup, H: np.ndarray) -> np.ndarray:
    """Elements of every left coset aH.

    Returns
    -------
    ndarray
        (index, order), cosets in the order of their smallest elements.

    Examples
    --------
    >>> left_cosets(named_group("C6"), np.array([0, 3])).tolist()
    [[0, 3], [1, 4], [2, 5]]
    """
    return np.unique(np.sort(group.products[:, H], axis=1), axis=0)


def right_cosets(group: FiniteGroup, K: np.ndarray) -> np.ndarray:
    """Elements of every right coset Kb, as :func:`left_cosets`."""
    return np.unique(np.sort(group.products[K].T, axis=1), axis=0)
