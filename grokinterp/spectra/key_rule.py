"""Which frequencies a spectrum singles out: the key-frequency rule on arrays."""

from __future__ import annotations

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor

from grokinterp.spectra.harmonics import GroupHarmonics

DENSE_FRACTION = 0.9
"""Part of all frequencies that holds power in a dense spectrum."""
MIN_DENSE_COMPONENTS = 8
"""Below this many components nearly all of them being key is not remarkable: four of six
frequencies are no rarity at p = 13, and S_5 has six representations besides the trivial one."""
SAME_POWER = 1e-5
"""Relative difference up to which a power and that under permuted pairs are the same: the latter is
computed in float32, and at n = 2 and 3 permutations restore the very groups."""


def shares(power: Float[Tensor, " freq"]) -> Float[Tensor, " freq"]:
    """Fraction of the total power that each frequency holds; NaN when there is none.

    Examples
    --------
    >>> shares(torch.tensor([1.0, 3.0])).tolist()
    [0.25, 0.75]
    """
    return power / power.sum()


def frequencies_above(
    power_shares: Float[Tensor, " freq"], *, min_share: float, null_share: float
) -> tuple[int, ...]:
    """Frequencies whose share exceeds both a fixed bound and what chance reaches, sorted.

    A share that exceeds chance by less than :data:`SAME_POWER` of it is no larger than chance.

    Examples
    --------
    >>> frequencies_above(torch.tensor([0.9, 0.09, 0.01]), min_share=0.015, null_share=0.02)
    (1, 2)
    """
    by_chance = null_share * (1 + SAME_POWER)
    is_above = (power_shares > min_share) & (power_shares > by_chance)
    return tuple(int(k) + 1 for k in is_above.nonzero().flatten())


def dense_components(
    power_shares: Float[Tensor, " freq"], harmonics: GroupHarmonics, *, null_share: float
) -> tuple[int, ...]:
    """Frequencies that hold power where nearly all of them do, sorted; else none.

    A spectrum is dense if at least :data:`DENSE_FRACTION` of at least
    :data:`MIN_DENSE_COMPONENTS` frequencies each hold more than half of their uniform share and
    more than chance reaches. The uniform share goes with the number of waves, two for a
    frequency, one for the highest of an even n, for a representation the dimension of what its
    matrix elements span: it is what the table of right answers has, whose logits are 1 at the
    answer and 0 elsewhere.

    Parameters
    ----------
    power_shares
        Fraction of the power of every component, the constant left out.
    harmonics
        Of the group.
    null_share
        Share that the strongest component reaches by chance.

    Examples
    --------
    >>> from grokinterp.spectra import cyclic_harmonics
    >>> dense_components(torch.full((9,), 1 / 9), cyclic_harmonics(19), null_share=0.01)
    (1, 2, 3, 4, 5, 6, 7, 8, 9)
    >>> dense_components(torch.eye(9)[0], cyclic_harmonics(19), null_share=0.01)
    ()
    """
    n_waves = harmonics.component.bincount()[1:].double()
    uniform = n_waves / n_waves.sum()
    found = (power_shares > 0.5 * uniform) & (power_shares > null_share)
    n_wanted = DENSE_FRACTION * len(found)
    if len(found) < MIN_DENSE_COMPONENTS or int(found.sum()) < n_wanted:
        return ()
    return tuple(int(k) + 1 for k in found.nonzero().flatten())


def double_of(n: int, halves: Iterable[int]) -> dict[int, int]:
    """Label frequencies that are plus or minus twice another, modulo n.

    A square of a wave of frequency k contains 2k, so a nonlinear network shows doubles of
    the frequencies it uses.

    Parameters
    ----------
    n
        Order of the cyclic group.
    halves
        Frequencies whose doubles are looked for. At even n two of them can have the same
        double; the first one given is then named.

    Returns
    -------
    dict[int, int]
        ``{double: half}``. A frequency that is its own double (n/3) is left out.

    Examples
    --------
    >>> double_of(113, [9, 38, 45])
    {18: 9, 37: 38, 23: 45}
    """
    labels: dict[int, int] = {}
    for half in halves:
        double = min(2 * half % n, -2 * half % n)
        if double not in (0, half):
            labels.setdefault(double, half)
    return labels
