r"""Whether neurons of a network that adds are active on approximate cosets.

With :math:`g = \gcd(k, n)` and :math:`m = n/g`, a neuron of frequency k depends on residues
modulo m. Its step is :math:`d = (k/g)^{-1} \bmod m`, and the sets
:math:`\{c - k_1 d, \dots, c, \dots, c + k_2 d\}` of residues are **approximate cosets**: those that
a cosine of frequency k goes through in a row. A residue modulo m is an exact coset if g > 1.
"""

from __future__ import annotations

import math

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.circuits.neuron_phases import neuron_frequencies
from grokinterp.circuits.snapshot import Snapshot

_NEURONS_AT_A_TIME = 32
_SEED = 0


def approximate_cosets(snapshot: Snapshot) -> pd.DataFrame:
    r"""How much of what makes a neuron active lies on approximate cosets of its frequency.

    For every b the elements a with an activation above zero are compared with the run of residues,
    in steps of d, that has as many elements and holds most of them; for every a the elements b
    likewise. A rectified sum of two waves of frequency k is active on such runs exactly.

    Returns
    -------
    DataFrame
        One row per neuron: ``approximate_coset_step``, d of the frequency that explains most of
        the neuron (empty for a dead one); ``approximate_coset_share``, the fraction of its active
        pairs that lie in these runs, without the a and b at which it is active throughout;
        ``approximate_coset_null``, the same with the residues in a random order. The two are
        equal where m is below 4, since there all sets of residues are runs. NaN where the neuron
        is active everywhere or nowhere.

    Raises
    ------
    ConfigError
        If the task is no sum in a cyclic group, or the network has no neurons.

    References
    ----------
    McCracken et al., "Uncovering a universal abstract algorithm for modular addition in neural
    networks", NeurIPS 2025, arXiv:2505.18266, definitions 4.1 and 4.3, theorem 4.4. The share and
    its null are this library's.

    Examples
    --------
    >>> import grokinterp as gi
    >>> table = approximate_cosets(gi.take_snapshot(gi.load_run("ckpts/")))
    >>> bool((table["approximate_coset_share"] > table["approximate_coset_null"]).mean() > 0.9)
    True
    """
    n = snapshot.require_cyclic_view().order
    snapshot.network.require("neurons")
    frequencies, _ = neuron_frequencies(snapshot)
    shares = torch.full((2, len(frequencies)), torch.nan, dtype=torch.float64)
    steps = pd.Series(pd.NA, index=range(len(frequencies)), dtype="Int64")
    generator = torch.Generator().manual_seed(_SEED)
    for k in frequencies[frequencies > 0].unique().tolist():
        step, place = places_of(k, n)
        shuffled = torch.randperm(int(place.max()) + 1, generator=generator)[place]
        chosen = (frequencies == k).nonzero().flatten()
        for neurons in chosen.split(_NEURONS_AT_A_TIME):
            active = snapshot.in_view(snapshot.neurons[:, neurons] > 0).view(n, n, -1)
            for row, order in enumerate((place, shuffled)):
                shares[row, neurons] = _share_in_runs(active, order)
        steps[chosen.tolist()] = step
    return pd.DataFrame(
        {
            "approximate_coset_step": steps,
            "approximate_coset_share": shares[0].numpy(),
            "approximate_coset_null": shares[1].numpy(),
        }
    )


def places_of(k: int, n: int) -> tuple[int, Int[Tensor, " x"]]:
    """Step d of a frequency, and for each element of Z_n its place in the order 0, d, 2d, ...

    Examples
    --------
    >>> places_of(2, 5)
    (3, tensor([0, 2, 4, 1, 3]))
    >>> places_of(4, 6)
    (2, tensor([0, 2, 1, 0, 2, 1]))
    """
    g = math.gcd(k, n)
    m = n // g
    return pow(k // g, -1, m), torch.arange(n) * (k // g) % m


def _share_in_runs(
    active: Bool[Tensor, "i j neuron"], place: Int[Tensor, " x"]
) -> Float[Tensor, " neuron"]:
    inside = total = torch.zeros(active.shape[2], dtype=torch.float64)
    for first in (active, active.transpose(0, 1)):
        found, asked = _in_best_runs(first, place)
        inside, total = inside + found, total + asked
    return inside / total


def _in_best_runs(
    active: Bool[Tensor, "i j neuron"], place: Int[Tensor, " x"]
) -> tuple[Float[Tensor, " neuron"], Float[Tensor, " neuron"]]:
    """Active pairs within the best run of places for every j, and all of them."""
    n, m = len(place), int(place.max()) + 1
    counts = torch.zeros(m, *active.shape[1:]).index_add_(0, place, active.float())
    sizes = counts.sum(dim=0)
    lengths = (sizes / (n // m)).ceil().long()
    # Entry [u] is the sum of the places before u, twice around.
    sums = torch.cat([torch.zeros(1, *sizes.shape), torch.cat([counts, counts]).cumsum(dim=0)])
    ends = torch.arange(m)[:, None, None] + lengths
    best = (sums.gather(0, ends) - sums[:m]).amax(dim=0)
    is_asked = lengths < m
    best, sizes = best * is_asked, sizes * is_asked
    return best.sum(dim=0, dtype=torch.float64), sizes.sum(dim=0, dtype=torch.float64)
