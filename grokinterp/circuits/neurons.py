"""Which frequency, or which representation, each neuron responds to."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.portions import cached_portions, portions
from grokinterp.spectra import GroupHarmonics, difference_rows, group_means, sum_rows
from grokinterp.spectra.fourier import component_frequencies, n_frequencies, to_fourier

DEAD_RELATIVE_SPREAD = 1e-6
"""A neuron whose activation varies by less than this part of its size is constant: float32
rounding alone makes that much."""


def frequency_shares(
    neurons: Float[Tensor, "pair neuron"],
    rows: Int[Tensor, "i j"],
    means_by_sum: Float[Tensor, "s neuron"] | None = None,
) -> Float[Tensor, "freq neuron"]:
    r"""Share of each neuron's centered activation that one frequency explains.

    The activation as a function on Z_n x Z_n, its mean subtracted, is projected on the 3 x 3
    block of :math:`\{1, \cos w_k i, \sin w_k i\} \times \{1, \cos w_k j, \sin w_k j\}`
    without the constant; the share is the squared norm of that projection over the squared
    norm of the centered activation. At even n the highest frequency has no sine and its
    block is 2 x 2.

    The four products of waves span the same space as
    :math:`\cos w_k(i \pm j), \sin w_k(i \pm j)`, so the block is read off the means over
    rows, over columns, over sums and over differences: no transform of n² points is needed.

    Parameters
    ----------
    neurons
        Activations, one row per pair of the task.
    rows
        Row of `neurons` that holds indices i and j.
    means_by_sum
        Means over the pairs with the same i + j, where they are known already.

    Returns
    -------
    Tensor
        (n//2, neuron) float64; over the frequencies they sum to at most 1. Zero for a dead
        neuron, that is one whose activation is the same for every pair up to rounding. NaN
        for activations that are not finite.

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, section 4.1 and published code, which leaves out the highest
    frequency.

    Examples
    --------
    >>> i = torch.arange(5.0)[:, None].expand(5, 5)
    >>> neuron = torch.cos(2 * torch.pi * 2 * i / 5).reshape(25, 1)
    >>> frequency_shares(neuron, torch.arange(25).view(5, 5)).round().flatten().tolist()
    [0.0, 1.0]
    """
    n = len(rows)
    flat = rows.reshape(-1)
    by_difference = _power(group_means(neurons, flat[difference_rows(n)]))
    if n % 2 == 0:
        # (-1)^(i+j) and (-1)^(i-j) are the same function.
        by_difference[-1] = 0
    if means_by_sum is None:
        means_by_sum = group_means(neurons, flat[sum_rows(n)])
    by_first = group_means(neurons, rows)
    power = by_difference + _power(means_by_sum)
    power += _power(by_first) + _power(group_means(neurons, rows.T.contiguous()))
    total, size = _centered_power(neurons, flat, by_first.double().mean(dim=0))
    is_dead = total <= DEAD_RELATIVE_SPREAD**2 * size
    # A unit vector over pairs that depends on one index (or sum) has 1/sqrt(n) of the norm
    # that its n values have, and n equal entries for each of them.
    return torch.where(is_dead, torch.zeros_like(power), n * power / total)


def representation_shares(
    neurons: Float[Tensor, "pair neuron"], rows: Int[Tensor, "i j"], harmonics: GroupHarmonics
) -> Float[Tensor, "component neuron"]:
    r"""Share of each neuron's centered activation that one representation explains.

    The activation as a function on G x G, its mean subtracted, is projected on the products
    :math:`\{1, \rho_{ij}(a)\} \times \{1, \rho_{kl}(b)\}` without the constant: what depends
    on a, on b, on ab or on any other pairing of the two through :math:`\rho` alone.

    Parameters
    ----------
    neurons
        Activations, one row per pair of the task.
    rows
        Row of `neurons` that holds elements i and j.
    harmonics
        Of the group.

    Returns
    -------
    Tensor
        (n_components, neuron) float64, the trivial representation left out; over the others
        they sum to at most 1. Zero for a dead neuron.

    References
    ----------
    Chughtai et al., "A toy model of universality", ICML 2023, arXiv:2302.03025, section 5,
    which distinguishes neurons by :math:`\rho(a), \rho(b), \rho(ab)`.
    """
    flat = rows.reshape(-1)
    some = portions(neurons.shape[1], 8 * len(flat))
    return torch.cat([_shares_of_some(neurons[:, s], flat, len(rows), harmonics) for s in some], 1)


def _shares_of_some(
    neurons: Float[Tensor, "pair some"],
    flat: Int[Tensor, " row"],
    n: int,
    harmonics: GroupHarmonics,
) -> Float[Tensor, "component some"]:
    grid = neurons[flat].unflatten(0, (n, n))
    basis = harmonics.basis.to(neurons.dtype)
    components = torch.einsum("fi,ijm,gj->fgm", basis, grid, basis).double().square()
    n_all = harmonics.n_components + 1
    by_first = components.new_zeros(n_all, *components.shape[1:])
    by_first.index_add_(0, harmonics.component, components)
    power = by_first.new_zeros(n_all, n_all, neurons.shape[1])
    power.index_add_(1, harmonics.component, by_first)
    block = power[1:, 0] + power[0, 1:] + power.diagonal(dim1=0, dim2=1).T[1:]
    total, size = _centered_power(neurons, flat)
    is_dead = total <= DEAD_RELATIVE_SPREAD**2 * size
    return torch.where(is_dead, torch.zeros_like(block), block / total)


def _power(means: Float[Tensor, "i neuron"]) -> Float[Tensor, "freq neuron"]:
    n = len(means)
    components = to_fourier(means.double()).square()
    power = components.new_zeros(n_frequencies(n) + 1, means.shape[1])
    return power.index_add_(0, component_frequencies(n), components)[1:]


def _centered_power(
    neurons: Float[Tensor, "pair neuron"],
    flat_rows: Int[Tensor, " row"],
    mean: Float[Tensor, " neuron"] | None = None,
) -> tuple[Float[Tensor, " neuron"], Float[Tensor, " neuron"]]:
    """Sum of squares around the mean, and of all squares; `mean` if it is known, in float64."""
    viewed = neurons if len(flat_rows) == len(neurons) else neurons[flat_rows]
    if mean is None:
        mean = viewed.mean(dim=0).double()
    total = torch.zeros_like(mean)
    # A centered copy of all activations would cost more to get the memory for than to compute.
    for rows in cached_portions(len(viewed), 8 * viewed.shape[1]):
        part = viewed[rows]
        power = (part - mean.float()).square_().sum(dim=0)
        if not torch.isfinite(power).all():
            # Squares beyond 1e38 do not fit float32.
            power = (part.double() - mean).square_().sum(dim=0)
        total += power
    return total, total + len(flat_rows) * mean.square()
