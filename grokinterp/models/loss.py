"""Cross-entropy in nats and accuracy of logits that are being analyzed: one place for both.

Everything is computed in float64. float32 cannot say anything about losses below 1e-7, and
grokked networks go there.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from grokinterp.portions import portions


def pair_losses(
    logits: Float[Tensor, "pair c"], labels: Int[Tensor, " pair"]
) -> Float[Tensor, " pair"]:
    """Cross-entropy of every pair, in nats.

    Parameters
    ----------
    logits
        One row per pair, every class a column.
    labels
        Column of the correct answer.

    Returns
    -------
    Tensor
        (pair,) float64. NaN where a logit is not finite; logits that are finite give a
        finite loss, however large they are.

    Examples
    --------
    >>> import torch
    >>> pair_losses(torch.zeros(1, 5), torch.tensor([3])).exp()
    tensor([5.0000], dtype=torch.float64)
    """
    losses = [
        F.cross_entropy(logits[rows].double(), labels[rows], reduction="none")
        for rows in portions(len(logits), 8 * logits.shape[1])
    ]
    return torch.cat(losses)


def cross_entropy(logits: Float[Tensor, "pair c"], labels: Int[Tensor, " pair"]) -> float:
    """Mean cross-entropy over pairs, in nats, computed in float64; NaN over no pairs."""
    return float(pair_losses(logits, labels).mean())


def are_correct(
    logits: Float[Tensor, "pair c"], labels: Int[Tensor, " pair"]
) -> Bool[Tensor, " pair"]:
    """Whether the largest logit is that of the correct answer.

    Of equal largest logits the first column counts, so a network whose logits are constant
    is right on the pairs whose answer is the first class.
    """
    return logits.argmax(dim=-1) == labels


def accuracy(logits: Float[Tensor, "pair c"], labels: Int[Tensor, " pair"]) -> float:
    """Fraction of the pairs whose largest logit is that of the answer; NaN over no pairs."""
    return float(are_correct(logits, labels).double().mean())
