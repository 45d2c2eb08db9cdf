r"""Pairs of indices with the same sum, or the same difference, modulo n.

A function on Z_n x Z_n has its components along :math:`\cos w_k(i+j)` and
:math:`\sin w_k(i+j)` entirely in its means over the pairs with the same sum, and those along
:math:`\cos w_k(i-j)`, :math:`\sin w_k(i-j)` in its means over the pairs with the same
difference. Both cost n numbers instead of n².
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def sum_rows(n: int) -> Int[Tensor, "s i"]:
    """Rows ``i * n + j`` of the pairs with ``(i + j) % n == s``, one group a row.

    Examples
    --------
    >>> sum_rows(3).tolist()
    [[0, 5, 7], [1, 3, 8], [2, 4, 6]]
    """
    i = torch.arange(n)
    return i[None, :] * n + (i[:, None] - i[None, :]) % n


def difference_rows(n: int) -> Int[Tensor, "d i"]:
    """Rows ``i * n + j`` of the pairs with ``(i - j) % n == d``, one group a row.

    Examples
    --------
    >>> difference_rows(3).tolist()
    [[0, 4, 8], [2, 3, 7], [1, 5, 6]]
    """
    i = torch.arange(n)
    return i[None, :] * n + (i[None, :] - i[:, None]) % n


def group_means(
    values: Float[Tensor, "pair column"], rows: Int[Tensor, "group member"]
) -> Float[Tensor, "group column"]:
    """Mean of every column over each group of rows, without copying the rows.

    Parameters
    ----------
    values
        One row per pair. The mean is taken in its dtype.
    rows
        Rows of `values` that belong to each group.
    """
    return F.embedding_bag(rows, values, mode="mean")
