r"""The real orthonormal Fourier basis of Z_n and what it says about a tensor.

With :math:`w_k = 2\pi k/n`, the rows of the basis are a constant, then for each frequency
k = 1 .. n//2 the function :math:`\cos w_k x` and the function :math:`\sin w_k x`, all of norm
one. At even n the highest frequency alternates in sign and has no sine. There are n rows at
every n.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.errors import ConfigError, ShapeError


def n_frequencies(n: int) -> int:
    """Count the frequencies 1 .. n//2 of Z_n.

    Examples
    --------
    >>> n_frequencies(113), n_frequencies(12)
    (56, 6)
    """
    return n // 2


def fourier_basis(n: int) -> Float[Tensor, "fourier x"]:
    r"""Real orthonormal basis of the functions on Z_n, one function a row.

    Row 0 is constant; rows 2k - 1 and 2k are :math:`\cos w_k x` and :math:`\sin w_k x`.

    Parameters
    ----------
    n
        Order of the cyclic group, at least 2.

    Returns
    -------
    Tensor
        (n, n) float64, a copy of its own for every caller.

    Raises
    ------
    ConfigError
        If n is below 2: a group of one element has no frequency.

    Examples
    --------
    >>> fourier_basis(4).shape
    torch.Size([4, 4])
    >>> (fourier_basis(4)[3] * 2).tolist()
    [1.0, -1.0, 1.0, -1.0]
    """
    if n < 2:
        raise ConfigError(f"n={n} has no Fourier basis. The order must be at least 2.")
    return _basis(n).clone()


@lru_cache(maxsize=8)
def _basis(n: int) -> Tensor:
    x = torch.arange(n)
    k = component_frequencies(n)
    is_sine = torch.arange(n) % 2 == 0
    # The product is reduced modulo n while it is still an integer, so that no angle exceeds
    # a full turn and high frequencies are as exact as low ones.
    angle = (2 * math.pi / n) * (k[:, None] * x[None, :] % n).double()
    basis = torch.where(is_sine[:, None], angle.sin(), angle.cos())
    basis[0] = 1.0
    if n % 2 == 0:
        basis[-1] = (1 - 2 * (x % 2)).double()
    return basis / basis.norm(dim=1, keepdim=True)


def component_frequencies(n: int) -> Int[Tensor, " fourier"]:
    """Return the frequency of every row of :func:`fourier_basis`, 0 for the constant.

    Examples
    --------
    >>> component_frequencies(6).tolist()
    [0, 1, 1, 2, 2, 3]
    """
    return (torch.arange(n) + 1) // 2


def to_fourier(values: Float[Tensor, ...], dim: int = 0) -> Float[Tensor, ...]:
    r"""Fourier components of a tensor along one axis.

    The axis of length n is replaced by the n coefficients in the order of
    :func:`fourier_basis`. A matrix product, so the other axes can be anything; sums of
    squares are kept (Parseval).

    Parameters
    ----------
    values
        Any tensor whose axis `dim` runs over Z_n. Its dtype is kept.
    dim
        The axis to transform.

    Raises
    ------
    ConfigError
        If the axis is shorter than 2.

    Examples
    --------
    >>> wave = torch.cos(2 * torch.pi * 3 * torch.arange(8.0) / 8)
    >>> to_fourier(wave).abs().argmax().item()
    5
    """
    basis = fourier_basis(values.shape[dim]).to(values.dtype)
    moved = values.movedim(dim, 0)
    return (basis @ moved.reshape(len(basis), -1)).reshape(moved.shape).movedim(0, dim)


def component_norms(values: Float[Tensor, "x ..."]) -> Float[Tensor, " fourier"]:
    """Norm of each of the n Fourier components along the first axis, over all other axes.

    Cosine and sine are two components; the constant is the first.

    Returns
    -------
    Tensor
        (n,) float64, in the order of :func:`fourier_basis`.
    """
    return to_fourier(values.double()).reshape(len(values), -1).norm(dim=1)


def power_by_frequency(values: Float[Tensor, "x ..."]) -> Float[Tensor, " freq"]:
    """Squared norm per frequency along the first axis, the constant dropped.

    Cosine, sine and all other axes are summed.

    Returns
    -------
    Tensor
        (n//2,) float64; entry k - 1 belongs to frequency k.

    Raises
    ------
    ShapeError
        If `values` has no axis.

    Examples
    --------
    >>> power_by_frequency(torch.tensor([1.0, -1.0, 1.0, -1.0])).round().tolist()
    [0.0, 4.0]
    """
    if values.ndim == 0:
        raise ShapeError("A spectrum needs an axis to run along; got a single number.")
    n = len(values)
    power = torch.zeros(n_frequencies(n) + 1, dtype=torch.float64)
    power.index_add_(0, component_frequencies(n), component_norms(values).square())
    return power[1:]


def norms_by_frequency(values: Float[Tensor, "x ..."]) -> Float[Tensor, " freq"]:
    """Norm per frequency along the first axis: cosine, sine and all other axes together.

    For an embedding with one row per group element this is the height of a frequency in the
    embedding's spectrum.

    Returns
    -------
    Tensor
        (n//2,) float64; entry k - 1 belongs to frequency k.
    """
    return power_by_frequency(values).sqrt()
