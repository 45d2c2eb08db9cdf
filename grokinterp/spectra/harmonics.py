r"""An orthonormal basis of the functions on a group, by frequency or by representation.

For :math:`Z_n` the basis are the waves of :func:`~grokinterp.spectra.fourier.fourier_basis`; for
any other group matrix elements :math:`\sqrt{D_\rho/|G|}\,\rho_{ij}(g)` of its real irreducible
representations. Either way the functions fall into components that are invariant under
multiplication in the group. The first of them is the constant. Each component has a real character:
:math:`\cos w_k x`, or the trace of the real matrices, which for complex type is
:math:`\chi + \bar\chi` and for quaternionic type :math:`2\chi`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.groups import FiniteGroup, named_group
from grokinterp.groups.real_characters import RepresentationType
from grokinterp.spectra.fourier import component_frequencies, fourier_basis
from grokinterp.spectra.real_representations import COMMUTING, real_representations


@dataclass(frozen=True, eq=False)
class GroupHarmonics:
    """The functions on a group of n elements, component by component."""

    basis: Float[Tensor, "fourier x"]
    """(n, n) float64: orthonormal functions, one a row, the constant first."""
    component: Int[Tensor, " fourier"]
    """Component that each row belongs to: 0 for the constant, then the frequency k, or the
    number of the representation in :func:`real_representations`."""
    characters: Float[Tensor, "component x"]
    """Real character of every component, float64: cos w_k x, or the trace."""
    names: tuple[str, ...] | None
    """Name of every component; None for Z_n, whose components are numbers."""
    dimensions: tuple[int, ...]
    """Dimension of every real representation; 1 for the frequencies of Z_n, which are pairs of
    one-dimensional ones."""
    types: tuple[RepresentationType, ...]
    """Type of every real representation: ``real``, ``complex`` or ``quaternionic``. A frequency
    of Z_n is complex, but for the highest of an even n, which has no sine."""

    @property
    def n_components(self) -> int:
        """Number of components besides the constant."""
        return len(self.characters) - 1

    @property
    def representation_names(self) -> tuple[str, ...]:
        """Name of every component as a representation: of Z_n ``freq_k``, ``sign`` for n/2.

        Examples
        --------
        >>> cyclic_harmonics(6).representation_names
        ('trivial', 'freq_1', 'freq_2', 'sign')
        """
        if self.names is not None:
            return self.names
        numbers = range(1, len(self.types))
        highest = "sign" if len(self.basis) % 2 == 0 else None
        others = [highest if highest and 2 * k == len(self.basis) else f"freq_{k}" for k in numbers]
        return ("trivial", *others)

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
    types: tuple[RepresentationType, ...] = tuple(
        "real" if 2 * k % n == 0 else "complex" for k in range(n // 2 + 1)
    )
    return GroupHarmonics(
        fourier_basis(n), component_frequencies(n), angle.cos(), None, (1,) * len(k), types
    )


@lru_cache(maxsize=8)
def group_harmonics(group: FiniteGroup) -> GroupHarmonics:
    r"""Matrix elements of the real irreducible representations of any finite group.

    Two conjugate complex representations are one real one of twice the dimension, as cosine and
    sine of a frequency are. Of a real representation of dimension D, the first D/m rows are taken,
    m being 1, 2 or 4 by type: these :math:`\sqrt{D/|G|}\,\rho_{ij}` are orthonormal and span what
    all D² matrix elements span.

    References
    ----------
    Serre, "Linear representations of finite groups", 1977, sections 2.2 and 13.2.

    Examples
    --------
    >>> from grokinterp.groups import named_group
    >>> group_harmonics(named_group("S4")).names
    ('trivial', 'standard', '2d', 'standard_sign', 'sign')
    >>> harmonics = group_harmonics(named_group("Dic3"))
    >>> harmonics.names, harmonics.dimensions
    (('trivial', 'sign', 'freq_3', 'freq_2', 'freq_1'), (1, 1, 2, 2, 4))
    >>> harmonics.types[2:], harmonics.component.bincount().tolist()
    (('complex', 'real', 'quaternionic'), [1, 1, 2, 4, 4])
    """
    rows, component, representations = [], [], real_representations(group)
    for index, r in enumerate(representations):
        first = r.matrices[:, : r.dimension // COMMUTING[r.type]]
        rows.append(first.flatten(1).T * math.sqrt(r.dimension / group.order))
        component.append(torch.full((len(rows[-1]),), index))
    return GroupHarmonics(
        torch.cat(rows),
        torch.cat(component),
        torch.stack([r.character for r in representations]),
        tuple(r.name for r in representations),
        tuple(r.dimension for r in representations),
        tuple(r.type for r in representations),
    )


@lru_cache(maxsize=4)
def symmetric_harmonics(degree: int) -> GroupHarmonics:
    """Matrix elements of the irreducible representations of S_degree, in Young's orthogonal form.

    Examples
    --------
    >>> harmonics = symmetric_harmonics(4)
    >>> harmonics.names, harmonics.dimensions
    (('trivial', 'standard', '2d', 'standard_sign', 'sign'), (1, 3, 2, 3, 1))
    """
    return group_harmonics(named_group(f"symmetric({degree})"))
