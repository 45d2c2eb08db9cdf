r"""An orthonormal basis of the functions on a group, by frequency or by representation.

For :math:`Z_n` the basis are the waves of :func:`~grokinterp.spectra.fourier.fourier_basis`; for
:math:`S_n` the matrix elements :math:`\sqrt{d_\rho/|G|}\,\rho_{ij}(g)` of its irreducible
representations. Either way the functions fall into components that no multiplication in the
group leaves, the first of them the constant, and each component has a real character:
:math:`\cos w_k x`, or :math:`\chi_\rho(g)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.groups import FiniteGroup
from grokinterp.groups.permutations import degree_of_order
from grokinterp.spectra.fourier import component_frequencies, fourier_basis
from grokinterp.spectra.representations import symmetric_representations


@dataclass(frozen=True, eq=False)
class GroupHarmonics:
    """The functions on a group of n elements, component by component."""

    basis: Float[Tensor, "fourier x"]
    """(n, n) float64: orthonormal functions, one a row, the constant first."""
    component: Int[Tensor, " fourier"]
    """Component that each row belongs to: 0 for the constant, then the frequency k, or the
    number of the representation in :func:`symmetric_representations`."""
    characters: Float[Tensor, "component x"]
    """Real character of every component, float64: cos w_k x, or the trace."""
    names: tuple[str, ...] | None
    """Name of every component; None for Z_n, whose components are numbers."""
    dimensions: tuple[int, ...]
    """Dimension of every representation; 1 for the frequencies of Z_n, which are pairs of
    one-dimensional ones."""

    @property
    def n_components(self) -> int:
        """Number of components besides the constant."""
        return len(self.characters) - 1

    def waves(self, components: Int[Tensor, " chosen"]) -> Float[Tensor, "wave x"]:
        """Rows of the basis that belong to some components."""
        return self.basis[torch.isin(self.component, components)]

    def power(self, values: Float[Tensor, "x ..."]) -> Float[Tensor, " component"]:
        """Squared norm of a tensor per component along its first axis, the constant dropped.

        Returns
        -------
        Tensor
            (n_components,) float64.
        """
        flat = values.double().reshape(len(self.basis), -1)
        power = torch.zeros(self.n_components + 1, dtype=torch.float64)
        power.index_add_(0, self.component, (self.basis @ flat).square().sum(dim=1))
        return power[1:]


@lru_cache(maxsize=8)
def cyclic_harmonics(n: int) -> GroupHarmonics:
    """Waves of Z_n.

    Examples
    --------
    >>> cyclic_harmonics(6).component.tolist()
    [0, 1, 1, 2, 2, 3]
    """
    x = torch.arange(n)
    k = torch.arange(n // 2 + 1)
    angle = (2 * math.pi / n) * (k[:, None] * x % n).double()
    return GroupHarmonics(
        fourier_basis(n), component_frequencies(n), angle.cos(), None, (1,) * len(k)
    )


@lru_cache(maxsize=8)
def group_harmonics(group: FiniteGroup) -> GroupHarmonics:
    """Real irreducible representations of any finite group, two conjugate ones being one.

    Examples
    --------
    >>> from grokinterp.groups import named_group
    >>> group_harmonics(named_group("S4")).names
    ('trivial', 'standard', '2d', 'standard_sign', 'sign')
    """
    if group.name.startswith("symmetric(") and " x " not in group.name:
        return symmetric_harmonics(degree_of_order(group.order))
    raise NotImplementedError(group)


@lru_cache(maxsize=4)
def symmetric_harmonics(degree: int) -> GroupHarmonics:
    r"""Matrix elements of the irreducible representations of S_degree.

    References
    ----------
    Serre, "Linear representations of finite groups", 1977, section 2.2 (Schur orthogonality:
    :math:`\sqrt{d_\rho/|G|}\,\rho_{ij}` are orthonormal).

    Examples
    --------
    >>> harmonics = symmetric_harmonics(4)
    >>> harmonics.names, harmonics.dimensions
    (('trivial', 'standard', '2d', 'standard_sign', 'sign'), (1, 3, 2, 3, 1))
    """
    representations = symmetric_representations(degree)
    n = math.factorial(degree)
    rows = [r.matrices.flatten(1).T * math.sqrt(r.dimension / n) for r in representations]
    component = [torch.full((r.dimension**2,), index) for index, r in enumerate(representations)]
    return GroupHarmonics(
        torch.cat(rows),
        torch.cat(component),
        torch.stack([r.character for r in representations]),
        tuple(r.name for r in representations),
        tuple(r.dimension for r in representations),
    )
