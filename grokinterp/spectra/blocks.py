"""Functions of two indices, projected on the products of a few waves of each."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def block_component(
    values: Float[Tensor, "i j column"], waves: Float[Tensor, "wave x"]
) -> Float[Tensor, "i j column"]:
    r"""Part of every column in the span of the products of two waves, without the constant.

    With the constant and the cosine and sine of one frequency as `waves`, the 3 x 3 block of
    that frequency: :math:`\{1, \cos w_k i, \sin w_k i\} \times \{1, \cos w_k j, \sin w_k j\}`.

    Parameters
    ----------
    values
        Functions on the pairs of indices, one a column.
    waves
        Orthonormal functions of one index, the constant first.

    Examples
    --------
    >>> from grokinterp.spectra import fourier_basis
    >>> values = fourier_basis(5)[3][:, None, None].expand(5, 5, 1)
    >>> inside = block_component(values, fourier_basis(5)[[0, 3, 4]])
    >>> bool((inside - values).abs().max() < 1e-12)
    True
    """
    waves = waves.to(values.dtype)
    block = block_coefficients(values, waves, waves)
    block[0, 0] = 0
    return block_values(block, waves, waves)


def block_coefficients(
    values: Float[Tensor, "i j column"], first: Float[Tensor, "f i"], second: Float[Tensor, "g j"]
) -> Float[Tensor, "f g column"]:
    """Coefficients of every column on the products of a wave of i and a wave of j.

    Those of some i alone add up to those of all.
    """
    return torch.einsum("fi,ijm,gj->fgm", first, values, second)


def block_values(
    coefficients: Float[Tensor, "f g column"],
    first: Float[Tensor, "f i"],
    second: Float[Tensor, "g j"],
) -> Float[Tensor, "i j column"]:
    """Functions of two indices that have these coefficients."""
    return torch.einsum("fi,fgm,gj->ijm", first, coefficients, second)
