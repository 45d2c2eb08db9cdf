r"""The power that groups of pairs reach by chance, drawn from random groupings.

Each of a thousand draws averages all rows of the logits by n random groups, which is most of the
work. Three exact identities make it less:

* Power is a sum over the classes, so it is the same in any other orthonormal basis of them. The
  logits of a network with d_model = 128 have rank 128, those of one that generalizes nearly 40: in
  a basis of the directions that they use, fewer numbers are added up.
* A sum over random groups needs no mean; powers are divided by n² at the end.
* The cosines of a function on Z_n are those of its even part and the sines those of its odd
  part, which are half as long.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from grokinterp.spectra.harmonics import GroupHarmonics

DROPPED_POWER = 1e-9
"""Part of the rows' power that the directions which are left out may hold. Powers are computed in
float32 and are right to 1e-6."""
_DRAWS_AT_A_TIME = 8
_ROWS_PER_CLASS = 8
_ROWS_AT_A_TIME = 1024


def permuted_power_quantile(
    values: Float[Tensor, "pair c"],
    harmonics: GroupHarmonics,
    *,
    quantile: float = 0.999,
    n_permutations: int = 1000,
    seed: int = 0,
) -> float:
    """Power that the strongest frequency reaches by chance, were the pairs in random order.

    The n*n rows are dealt at random into n groups of n, as if the groups were the pairs with
    the same index sum; each group is averaged and the averages are Fourier-transformed. The
    largest power of any frequency is one draw; the quantile over all draws is returned. A
    frequency above it is no accident of one row or of n groups being few, and because the
    largest frequency is drawn, testing all n//2 at once needs no correction.

    Parameters
    ----------
    values
        One row per pair; only their set matters.
    harmonics
        Of the group of n elements.
    quantile
        Of the largest power.
    n_permutations
        Draws.
    seed
        Of the permutations, by a generator of its own.

    Returns
    -------
    float
        Power, in the units of ``harmonics.power(means over the true groups)``.
    """
    generator = torch.Generator().manual_seed(seed)
    n = len(harmonics.basis)
    values = in_fewer_directions((values - values.mean(dim=0)).float())
    spectrum = _Spectrum(harmonics, values.dtype)
    largest = []
    for start in range(0, n_permutations, _DRAWS_AT_A_TIME):
        n_draws = min(_DRAWS_AT_A_TIME, n_permutations - start)
        rows = torch.empty(n_draws, n * n, dtype=torch.int32)
        for draw in rows:
            torch.randperm(n * n, generator=generator, out=draw)
        sums = F.embedding_bag(rows.view(-1, n), values, mode="sum")
        largest.append(spectrum.power(sums.unflatten(0, (n_draws, n))).amax(dim=1))
    return float(torch.cat(largest).double().quantile(quantile)) / n**2


def in_fewer_directions(values: Float[Tensor, "pair c"]) -> Float[Tensor, "pair some"]:
    """Rows in an orthonormal basis of the directions that hold all but 1e-9 of their power.

    The basis is found from some of the rows. If the others have more than
    :data:`DROPPED_POWER` outside it, the rows are returned as they are.

    Examples
    --------
    >>> of_rank_two = torch.randn(900, 2) @ torch.randn(2, 30)
    >>> in_fewer_directions(of_rank_two).shape, in_fewer_directions(torch.randn(900, 30)).shape
    (torch.Size([900, 2]), torch.Size([900, 30]))
    """
    n_rows, n_classes = values.shape
    # Every k-th row with a k that shares no factor with the number of rows, so that neither a nor
    # b nor their sum is the same in all of them.
    every = max(n_rows // (_ROWS_PER_CLASS * n_classes), 1)
    while math.gcd(every, n_rows) > 1:
        every += 1
    some = values[::every].double()
    products = some.T @ some
    if not products.isfinite().all():
        return values
    powers, directions = torch.linalg.eigh(products)
    is_small = powers[:-1].cumsum(dim=0) <= DROPPED_POWER / 10 * powers.sum()
    n_dropped = int(is_small.sum())
    if not n_dropped:
        return values
    basis = directions[:, n_dropped:].float()
    rotated = values.new_empty(n_rows, basis.shape[1])
    left, power = 0.0, 0.0
    # As many at a time in any case: products of other sizes are rounded otherwise.
    for part, into in zip(
        values.split(_ROWS_AT_A_TIME), rotated.split(_ROWS_AT_A_TIME), strict=True
    ):
        torch.mm(part, basis, out=into)
        left += float((part - into @ basis.T).square_().sum())
        power += float(part.square().sum())
    return rotated if left <= DROPPED_POWER * power else values


class _Spectrum:
    """Power of every frequency, or representation, of sums over the elements of a group."""

    def __init__(self, harmonics: GroupHarmonics, dtype: torch.dtype) -> None:
        self._component = harmonics.component[1:] - 1
        self._n_components = harmonics.n_components
        self._waves = harmonics.basis[1:].to(dtype)
        self._is_cyclic = harmonics.names is None
        n = len(harmonics.basis)
        n_both = (n - 1) // 2
        # Elements 0 .. n//2 for cosines; 1 .. (n-1)//2, which have another of the opposite sign,
        # for sines.
        self._first, self._second = slice(1, n_both + 1), slice(n - n_both, n)
        self._cosines = self._waves[::2, : n // 2 + 1].contiguous()
        self._sines = self._waves[1::2, self._first].contiguous()

    def power(self, values: Float[Tensor, "draw x c"]) -> Float[Tensor, "draw component"]:
        """Squared norm per component, the constant dropped."""
        if not self._is_cyclic:
            of_waves = (self._waves @ values).square().sum(dim=2)
            power = of_waves.new_zeros(len(values), self._n_components)
            return power.index_add_(1, self._component, of_waves)
        backwards = values[:, self._second].flip(1)
        odd = values[:, self._first] - backwards
        even = values[:, : self._cosines.shape[1]].clone()
        even[:, self._first] += backwards
        power = (self._cosines @ even).square_().sum(dim=2)
        power[:, : len(self._sines)] += (self._sines @ odd).square_().sum(dim=2)
        return power
