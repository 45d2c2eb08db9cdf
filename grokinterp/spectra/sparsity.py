"""How few components carry a vector or a matrix."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def gini(values: Float[Tensor, " component"]) -> float:
    r"""Gini coefficient of a vector of magnitudes.

    For :math:`x_1 \le \dots \le x_n`,
    :math:`G = \sum_i (2i - n - 1)\, x_i / (n \sum_i x_i)`: 0 for equal entries,
    :math:`1 - 1/n` when one entry holds everything. The sign of an entry is ignored.

    Returns
    -------
    float
        In [0, 1 - 1/n]; NaN for a vector of zeros or with entries that are not finite.

    Examples
    --------
    >>> gini(torch.tensor([0.0, 0.0, 0.0, 5.0]))
    0.75

    References
    ----------
    Hurley & Rickard, "Comparing measures of sparsity", IEEE Transactions on Information
    Theory 55 (2009), arXiv:0811.4706.
    """
    x = values.double().abs()
    largest = x.max()
    # Dividing by the largest entry keeps the sums of huge entries finite.
    x = (x / largest).sort().values
    n = len(x)
    weights = 2 * torch.arange(1, n + 1, dtype=torch.float64) - n - 1
    return float((weights @ x) / (n * x.sum()))


def effective_rank(matrix: Float[Tensor, "row column"]) -> float:
    r"""Exponential of the entropy of a matrix's squared singular values.

    :math:`\exp(-\sum_i s_i \ln s_i)` with :math:`s_i = \sigma_i^2 / \sum_j \sigma_j^2`: the
    number of equally strong directions that would have the same entropy.

    Returns
    -------
    float
        Between 1 and the smaller side of the matrix; NaN for a matrix of zeros or with
        entries that are not finite.

    Examples
    --------
    >>> round(effective_rank(torch.eye(7)), 6)
    7.0

    References
    ----------
    Roy & Vetterli, "The effective rank: a measure of effective dimensionality", EUSIPCO
    2007, there with the singular values themselves; the squares are those of the grokking
    literature.
    """
    scaled = matrix.double() / matrix.double().abs().max()
    if not torch.isfinite(scaled).all():
        return float("nan")
    rows, columns = scaled.shape
    gram = scaled @ scaled.T if rows <= columns else scaled.T @ scaled
    power = torch.linalg.eigvalsh(gram).clamp(min=0)
    return float(torch.special.entr(power / power.sum()).sum().exp())
