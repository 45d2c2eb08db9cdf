r"""Functions of two group elements, split into families of two-dimensional modes.

A function of the pair (i, j) is a sum of products of a harmonic of i and one of j. In :math:`Z_n`
the modes :math:`e^{i(w_k i + w_l j)}` with l = k are the functions of i + j, those with l = -k the
functions of i - j, those with l = 0 or k = 0 functions of one index. Products of cosines and sines
mix the first two: :math:`\cos w_k i \cos w_k j` is half of each. So functions of the sum are found
as means over the pairs with one sum, and what else a frequency has at both indices is its
difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.portions import portions
from grokinterp.spectra.blocks import block_coefficients, block_values
from grokinterp.spectra.harmonics import GroupHarmonics

CYCLIC_FAMILIES = ("constant", "sum", "difference", "a", "b", "generic")
"""Families of the modes of Z_n: (0, 0), (k, k), (k, -k), (k, 0), (0, k), and all others."""
GROUP_FAMILIES = ("constant", "product", "same_representation", "a", "b", "generic")
"""Their counterparts in any other group; see :func:`family_power`."""
CONSTANT, PRODUCT, SAME, _FIRST, _SECOND, _GENERIC = range(6)


def family_names(harmonics: GroupHarmonics) -> tuple[str, ...]:
    """Names of the families, in the order of every array of this module.

    Examples
    --------
    >>> from grokinterp.spectra import cyclic_harmonics
    >>> family_names(cyclic_harmonics(5))
    ('constant', 'sum', 'difference', 'a', 'b', 'generic')
    """
    return CYCLIC_FAMILIES if harmonics.names is None else GROUP_FAMILIES


def count_modes(harmonics: GroupHarmonics) -> list[int]:
    """Count the dimensions of each family; together n² of them.

    Examples
    --------
    >>> from grokinterp.spectra import cyclic_harmonics
    >>> count_modes(cyclic_harmonics(5)), count_modes(cyclic_harmonics(6))
    ([1, 4, 4, 4, 4, 8], [1, 5, 4, 5, 5, 16])
    """
    n = len(harmonics.basis)
    widths = harmonics.component.bincount()[1:]
    same = int(widths.square().sum()) - (n - 1)
    counted = [1, n - 1, same, n - 1, n - 1]
    return [*counted, n * n - sum(counted)]


@dataclass(frozen=True, eq=False)
class FamilyPower:
    """Squared norms of some functions on the pairs, by family."""

    by_column: Float[Tensor, "family column"]
    """(6, m) float64: of every column, in the order of :func:`family_names`."""
    by_components: Float[Tensor, "component component"]
    """Of all columns, by the component of i and that of j; 0 is the constant. A component at both
    indices has the functions of the product and the others of its block."""
    of_product: Float[Tensor, " component"]
    """Of all columns, the functions of the product alone, by component; 0 for the constant."""


def family_power(
    values: Float[Tensor, "pair column"],
    products: Int[Tensor, "i j"],
    harmonics: GroupHarmonics,
) -> FamilyPower:
    r"""Squared norms of functions on the pairs, by family and by the components of both indices.

    With :math:`C_\rho` the span of the matrix elements of a real irreducible representation (in
    :math:`Z_n` of cosine and sine of a frequency), the spaces :math:`C_\rho \otimes C_\sigma` are
    orthogonal. The functions of the product lie in those with :math:`\sigma = \rho`.

    Parameters
    ----------
    values
        A row for each pair, i-major; one function a column. A portion of the columns is
        transformed at a time.
    products
        Index of the product of elements i and j.
    harmonics
        Of the group.

    Examples
    --------
    >>> from grokinterp.spectra import cyclic_harmonics
    >>> i, j = torch.meshgrid(torch.arange(5), torch.arange(5), indexing="ij")
    >>> wave = torch.cos(2 * torch.pi * (i + j).double() / 5).reshape(25, 1)
    >>> power = family_power(wave, (i + j) % 5, cyclic_harmonics(5))
    >>> power.by_column.flatten().round(decimals=6).abs().tolist()
    [0.0, 12.5, 0.0, 0.0, 0.0, 0.0]
    """
    n, n_columns = len(products), values.shape[1]
    component, n_all = harmonics.component, harmonics.n_components + 1
    by_column = torch.zeros(6, n_columns, dtype=torch.float64)
    by_components = torch.zeros(n_all * n_all, dtype=torch.float64)
    of_product = torch.zeros(n_all, dtype=torch.float64)
    family = family_of_components(component).flatten()
    one_hot = torch.nn.functional.one_hot(family, 6).T.double()
    cells = (component[:, None] * n_all + component).flatten()
    for columns in portions(n_columns, 3 * 8 * n * n):
        some = values[:, columns].double()
        power = _transformed(some.view(n, n, -1), harmonics.basis).square_().flatten(0, 1)
        by_column[:, columns] = one_hot @ power
        by_components.index_add_(0, cells, power.sum(dim=1))
        means = _means(some, products.flatten(), n)
        waves = n * (harmonics.basis @ means).square()
        of_product.index_add_(0, component, waves.sum(dim=1))
        by_column[PRODUCT, columns] = waves[1:].sum(dim=0)
    # What is left of a component at both indices, by a difference that rounding can make negative.
    by_column[SAME] = (by_column[SAME] - by_column[PRODUCT]).clamp(min=0)
    of_product[0] = 0
    return FamilyPower(by_column, by_components.view(n_all, n_all), of_product)


def family_of_components(component: Int[Tensor, " fourier"]) -> Int[Tensor, "fourier fourier"]:
    """Family of the product of each two harmonics, by their components.

    Those of one component at both indices, which hold functions of the product too, are `SAME`.

    Examples
    --------
    >>> family_of_components(torch.tensor([0, 1, 1])).tolist()
    [[0, 4, 4], [3, 2, 2], [3, 2, 2]]
    """
    family = torch.full((len(component), len(component)), _GENERIC)
    family[component[:, None] == component] = SAME
    family[:, 0], family[0, :], family[0, 0] = _FIRST, _SECOND, CONSTANT
    return family


def _transformed(
    grid: Float[Tensor, "i j column"], basis: Float[Tensor, "fourier x"]
) -> Float[Tensor, "fourier fourier column"]:
    """Coefficients on the products of all harmonics, by two matrix products."""
    n = len(grid)
    return torch.matmul(basis, (basis @ grid.reshape(n, -1)).view(grid.shape))


def _means(
    values: Float[Tensor, "pair column"], group: Int[Tensor, " pair"], n: int
) -> Float[Tensor, "x column"]:
    """Means over the n pairs of each group."""
    sums = torch.zeros(n, values.shape[1], dtype=torch.float64)
    return sums.index_add_(0, group, values) / n


@dataclass(frozen=True, eq=False)
class FamilyParts:
    """Functions on the pairs, as a sum of one function of each family.

    The families but the generic one are kept as functions of one element, or as a few coefficients,
    so that the part of a family can be made for some pairs at a time.
    """

    products: Int[Tensor, "i j"]
    """Index of the product of elements i and j."""
    mean: Float[Tensor, " column"]
    """Mean over all pairs."""
    of_product: Float[Tensor, "x column"]
    """Functions of the product, without the mean; likewise the next two."""
    of_first: Float[Tensor, "x column"]
    """Functions of the first element."""
    of_second: Float[Tensor, "x column"]
    """Functions of the second element."""
    of_difference: Float[Tensor, "x column"] | None
    """Functions of i - j that are not functions of i + j; None in a group that is not cyclic."""
    blocks: tuple[tuple[Tensor, Tensor], ...]
    """There for each component its waves and its coefficients at both indices."""

    def part(
        self, family: int, values: Float[Tensor, "pair column"], rows: slice
    ) -> Float[Tensor, "pair column"]:
        """Part of a family at all pairs of some first elements.

        Parameters
        ----------
        family
            Its place among :func:`family_names`.
        values
            The functions at these pairs; only the generic family asks for them.
        rows
            The first elements i.
        """
        if family == _GENERIC:
            rest = values.double()
            for other in range(_GENERIC):
                rest = rest - self.part(other, values, rows)
            return rest
        n = len(self.products)
        first = torch.arange(n)[rows]
        if family == CONSTANT:
            return self.mean.expand(len(first) * n, -1)
        if family == _FIRST:
            return self.of_first[first].repeat_interleave(n, dim=0)
        if family == _SECOND:
            return self.of_second.repeat(len(first), 1)
        of_product = self.of_product[self.products[rows].flatten()]
        if family == PRODUCT:
            return of_product
        if self.of_difference is not None:
            return self.of_difference[((first[:, None] - torch.arange(n)) % n).flatten()]
        blocks = (block_values(c, w[:, rows], w).flatten(0, 1) for w, c in self.blocks)
        return sum(blocks, start=torch.zeros(())) - of_product


def family_parts(
    values: Float[Tensor, "pair column"],
    products: Int[Tensor, "i j"],
    harmonics: GroupHarmonics,
) -> FamilyParts:
    """Split functions on the pairs into the families; see :func:`family_power`.

    Examples
    --------
    >>> from grokinterp.spectra import cyclic_harmonics
    >>> i, j = torch.meshgrid(torch.arange(5), torch.arange(5), indexing="ij")
    >>> values = (i + 10 * j).double().reshape(25, 1)
    >>> parts = family_parts(values, (i + j) % 5, cyclic_harmonics(5))
    >>> parts.mean.tolist(), parts.of_first.flatten().tolist()
    ([22.0], [-2.0, -1.0, 0.0, 1.0, 2.0])
    """
    n = len(products)
    index = torch.arange(n)
    mean = sum((part.double().sum(dim=0) for part in _rows(values, n)), torch.zeros(())) / n**2

    def centered(group: Tensor) -> Tensor:
        sums = torch.zeros(n, values.shape[1], dtype=torch.float64)
        for part, of_part in zip(_rows(values, n), _rows(group.flatten(), n, values), strict=True):
            sums.index_add_(0, of_part, part.double())
        return sums / n - mean

    difference, blocks = None, []
    if harmonics.names is None:
        difference = centered((index[:, None] - index) % n)
        if n % 2 == 0:
            # The alternating wave is one function of i + j and of i - j, and counts as the former.
            highest = harmonics.basis[-1:]
            difference -= highest.T @ (highest @ difference)
    else:
        for k in range(1, harmonics.n_components + 1):
            waves = harmonics.waves(torch.tensor([k]))
            blocks.append((waves, _block(values, waves, n)))
    first, second = index[:, None].expand(n, n), index.expand(n, n)
    of_sum = centered(products)
    return FamilyParts(
        products, mean, of_sum, centered(first), centered(second), difference, tuple(blocks)
    )


def _rows(values: Tensor, n: int, like: Tensor | None = None) -> Iterator[Tensor]:
    """All pairs of some first elements after another; portions are those of the array `like`."""
    width = (values if like is None else like).shape[1]
    for rows in portions(n, 8 * n * width):
        yield values[rows.start * n : rows.stop * n]


def _block(
    values: Float[Tensor, "pair column"], waves: Float[Tensor, "wave x"], n: int
) -> Float[Tensor, "wave wave column"]:
    """Coefficients of the products of some waves of i and of j."""
    total = torch.zeros(len(waves), len(waves), values.shape[1], dtype=torch.float64)
    for rows in portions(n, 8 * n * values.shape[1]):
        grid = values[rows.start * n : rows.stop * n].double().view(-1, n, values.shape[1])
        total += block_coefficients(grid, waves[:, rows], waves)
    return total
