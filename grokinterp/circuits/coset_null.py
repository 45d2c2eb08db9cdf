r"""How much of a neuron cosets explain, and how much of it they would explain by chance.

For a function f on a group, the autocorrelation :math:`r(h) = \sum_x f(x) f(xh)` has all shares
in it: averaging f over the left cosets of a subgroup H leaves
:math:`\frac{1}{|H|} \sum_{h \in H} r(h)` of its squared norm :math:`r(1)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.groups import FiniteGroup
from grokinterp.groups.subgroups import SubgroupClass

COSET_SHARE = 0.95
"""A neuron is on cosets if they explain more than this share of it."""
MOST_LEFT = 0.5
"""It leaves unexplained less than this part of what the best draw leaves."""
N_DRAWS = 40
"""Draws of random vectors, and of relabeled elements."""
_SEED = 0
_TINY = 1e-30
_COLUMNS_AT_A_TIME = 1024
"""Profiles whose autocorrelation is taken at once: as many as the processor's cache holds."""


@dataclass(frozen=True, eq=False)
class Profiles:
    """What neurons depend on through a alone, and through b alone."""

    first: Float[Tensor, "x neuron"]
    """Centered, by the element a."""
    second: Float[Tensor, "x neuron"]
    """Centered, by the element b."""

    def of(self, neurons: Int[Tensor, " chosen"]) -> Profiles:
        """Return the profiles of some neurons."""
        return Profiles(self.first[:, neurons], self.second[:, neurons])

    def scaled(self) -> Profiles:
        """Return profiles in float32 with squares that add up to 1 for each neuron."""
        total = (self.first.square() + self.second.square()).sum(dim=0).sqrt()
        total = torch.where(total > 0, total, torch.ones_like(total))
        return Profiles((self.first / total).float(), (self.second / total).float())

    def fits(
        self, group: FiniteGroup, classes: Sequence[SubgroupClass]
    ) -> tuple[Float[Tensor, "subgroup neuron"], Tensor, Tensor]:
        """Share of both profiles that the best H and the best K of every class explain.

        Returns
        -------
        tuple
            Shares (class, neuron), 0 where both profiles are; and the numbers, within their
            class, of the best H and of the best K.
        """
        powers = [profile.square().sum(dim=0) for profile in (self.first, self.second)]
        total = powers[0] + powers[1]
        best = [
            _best_of_classes(autocorrelation(group, profile, from_left=from_left), classes)
            for profile, from_left in ((self.first, False), (self.second, True))
        ]
        (left, H), (right, K) = best
        fits = (left * powers[0] + right * powers[1]) / total
        return torch.where(total > 0, fits, torch.zeros_like(fits)), H, K

    def drawn(self, first: Tensor, second: Tensor) -> Profiles:
        """Other profiles in place of these, each with the power of the one it replaces."""
        old, new = (self.first, self.second), (first, second)
        scaled = [
            theirs * (ours.norm(dim=0) / theirs.norm(dim=0).clamp_min(_TINY))
            for ours, theirs in zip(old, new, strict=True)
        ]
        return Profiles(*scaled)


def autocorrelation(
    group: FiniteGroup, profile: Float[Tensor, "x column"], *, from_left: bool
) -> Float[Tensor, "h column"]:
    r"""Return :math:`\sum_x f(x) f(xh)`, or :math:`\sum_x f(x) f(hx)`, over the squared norm of f.

    0 for a profile that is 0.
    """
    products = torch.from_numpy(group.products.copy())
    inverses, moved = group.inverses, products.T if from_left is False else products
    parts = []
    for columns in profile.split(_COLUMNS_AT_A_TIME, dim=1):
        columns = columns.contiguous()
        found = columns.new_zeros(columns.shape)
        for h in range(group.order):
            # h and its inverse have the same autocorrelation.
            if inverses[h] < h:
                found[h] = found[int(inverses[h])]
            else:
                found[h] = (columns * columns[moved[h]]).sum(dim=0)
        parts.append(found / found[0].clamp_min(_TINY))
    return torch.cat(parts, dim=1)


Draws = Iterator[Callable[[Int[Tensor, " chosen"]], Profiles]]
"""Each makes drawn profiles of some neurons."""


def mixed(group: FiniteGroup, profiles: Profiles) -> Draws:
    r"""Draws of random vectors.

    The part of the profile of a in a representation is :math:`w^T \rho(a) v`, that of b is
    :math:`u^T \rho(b) z`; in a network that multiplies, u is v. Here both v and u are taken through
    the same random matrix :math:`\sum_g c_g \rho(g)`, the c_g independent and normal, which makes
    them random vectors of the same representation and leaves them equal if they are:
    :math:`f'(x) = \sum_g c_g f(xg)` and :math:`g'(x) = \sum_g c_g g(g^{-1}x)`. What a class
    explains of them says how near it comes to vectors without any structure.
    """
    products = torch.from_numpy(group.products.copy())
    inverses = torch.from_numpy(group.inverses.copy())
    generator = torch.Generator().manual_seed(_SEED)
    for _ in range(N_DRAWS):
        weights = torch.randn(group.order, generator=generator)

        def draw(neurons: Tensor, weights: Tensor = weights) -> Profiles:
            chosen = profiles.of(neurons)
            # Entry [x, y] is the weight of x^-1 y, and of x y^-1.
            from_right, from_left = weights[products[inverses]], weights[products[:, inverses]]
            return chosen.drawn(from_right @ chosen.first, from_left @ chosen.second)

        yield draw


def relabeled(group: FiniteGroup, profiles: Profiles) -> Draws:
    """Draws in which the elements that a and b stand for are permuted.

    The cosets keep their sizes and lose their meaning. Even so, a profile with a few large values
    is on cosets of some small subgroup.
    """
    generator = torch.Generator().manual_seed(_SEED)
    for _ in range(N_DRAWS):
        orders = [torch.randperm(group.order, generator=generator) for _ in range(2)]

        def draw(neurons: Tensor, orders: list[Tensor] = orders) -> Profiles:
            chosen = profiles.of(neurons)
            return Profiles(chosen.first[orders[0]], chosen.second[orders[1]])

        yield draw


def raised(
    nulls: Float[Tensor, "subgroup neuron"],
    fits: Float[Tensor, "subgroup neuron"],
    is_asked: Bool[Tensor, "subgroup neuron"],
    group: FiniteGroup,
    classes: Sequence[SubgroupClass],
    draws: Draws,
) -> Float[Tensor, "subgroup neuron"]:
    """Raise nulls to the largest fits of some draws, where they are asked for.

    A neuron takes no further part once no fit that is asked for exceeds its null.
    """
    nulls = nulls.clone()
    for draw in draws:
        neurons = (is_asked & (fits > nulls)).any(dim=0).nonzero().flatten()
        if not len(neurons):
            break
        drawn = draw(neurons).fits(group, classes)[0].double()
        drawn = torch.where(is_asked[:, neurons], drawn, 0.0)
        nulls[:, neurons] = nulls[:, neurons].maximum(drawn)
    return nulls


def exceeds(fit: Any, null: Any) -> Any:
    """Whether cosets leave less of a neuron than half of what they leave by chance."""
    return 1 - fit < MOST_LEFT * (1 - null)


def _best_of_classes(
    correlation: Float[Tensor, "h neuron"], classes: Sequence[SubgroupClass]
) -> tuple[Float[Tensor, "subgroup neuron"], Int[Tensor, "subgroup neuron"]]:
    """Largest mean of the autocorrelation over the elements of one of a class's subgroups."""
    best = []
    for found in classes:
        is_in = correlation.new_zeros(found.n_conjugates, len(correlation))
        is_in.scatter_(1, torch.from_numpy(found.elements.copy()), 1 / found.order)
        best.append((is_in @ correlation).max(dim=0))
    return torch.stack([b.values for b in best]), torch.stack([b.indices for b in best])
