"""How well a reading of a network answers, and which of several readings is the right one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

PRICE = 1.05
"""Factor by which a value that is not the usual one of an open field has to be better: in the
published low-precision network GELU in place of ReLU lowers the loss by half a percent, and in
a ReLU network that answers 93 % of 169 pairs SiLU lowers it by 3 %."""
CLEARLY = 0.02
"""Accuracy by which one reading is clearly better than another."""
EXACT = 100.0
"""Steadiness from which on a reading leaves nothing to explain: that of trained networks is 1 to
20, that of weights that were written down is more."""
NEARLY_ALL = 0.995
"""Accuracy from which on the loss no longer distinguishes readings."""
UNSURE_FROM = 0.5
"""Loss in nats from which on a network counts as unsure of its answers. One that was trained
to be right on nearly all pairs lies below."""


@dataclass(frozen=True)
class Fit:
    """A reading judged by right answers."""

    accuracy: float
    """Fraction of right answers."""
    loss: float
    """Mean cross-entropy in nats, where a pair counts no more than a guess would. A network that
    has memorized its training pairs is sure of wrong answers to the others, and a wrong reading
    of it that is sure of nothing would have the lower mean."""
    mean_loss: float
    """Mean cross-entropy in nats."""
    steadiness: float
    """Mean margin of the right answer over the next, in standard deviations of that margin. The
    scale of the logits does not change it."""
    price: float = 1.0
    """What the reading costs for being unusual."""

    @property
    def is_nearly_all(self) -> bool:
        """Whether nearly all answers are right."""
        return self.accuracy >= NEARLY_ALL


def fit_of(
    logits: Float[Tensor, "pair c"],
    losses: np.ndarray,
    labels: Int[Tensor, " pair"],
    price: float = 1.0,
) -> Fit:
    """Judge logits by right answers.

    Parameters
    ----------
    logits
        One row per pair.
    losses
        Cross-entropy of each pair, in nats.
    labels
        The right answers.
    price
        What the reading costs for being unusual.
    """
    guess = math.log(logits.shape[1])
    rows = torch.arange(len(labels))
    others = logits.clone()
    right = others[rows, labels].clone()
    others[rows, labels] = -torch.inf
    margins = (right - others.amax(dim=1)).double()
    accuracy = float((margins > 0).double().mean())
    if not np.isfinite(losses).all():
        return Fit(accuracy, math.inf, math.inf, -math.inf, price)
    return Fit(
        accuracy,
        float(np.minimum(losses, guess).mean()),
        float(losses.mean()),
        steadiness(margins),
        price,
    )


def steadiness(margins: Float[Tensor, " pair"]) -> float:
    """Mean of margins in units of their standard deviation; large for margins that are equal."""
    mean = float(margins.mean())
    return mean / (float(margins.std(correction=0)) + 1e-6 * abs(mean) + 1e-12)


def best_first(fits: Sequence[Fit]) -> list[int]:
    """Order readings, the most credible first.

    The lowest loss comes first. Where readings are right on nearly all pairs, the loss says only
    how large the logits are (the square of what a ReLU gives has the lower one), so among these
    the steadiest comes first: what is wrong about a reading is noise in its margins. A reading that
    is right but unsure is none of these: a norm or a square can make small, equal margins of
    answers that are sure without it. The usual reading stays unless another one is clearly more
    accurate, or lower in loss whether or not wrong answers are clipped; if it is right on nearly
    all pairs, unless another one is both steadier and lower in loss.

    Examples
    --------
    >>> relu, square = Fit(1.0, 3e-7, 3e-7, 13.3), Fit(1.0, 1e-12, 1e-12, 3.3)
    >>> best_first([square, relu]), best_first([Fit(0.9, 0.4, 0.4, 2.0), Fit(0.5, 2.5, 9.0, -1.0)])
    ([1, 0], [0, 1])
    """

    def key(place: int) -> tuple[bool, float]:
        fit = fits[place]
        if fit.is_nearly_all and fit.mean_loss < UNSURE_FROM:
            return False, -fit.steadiness / fit.price
        return True, (fit.loss + 1e-9) * fit.price

    order = sorted(range(len(fits)), key=key)
    usual = next((place for place in order if fits[place].price == 1), None)
    if usual is not None and not _beats(fits[order[0]], fits[usual]):
        order.remove(usual)
        order.insert(0, usual)
    return order


def _beats(one: Fit, usual: Fit) -> bool:
    if not usual.is_nearly_all:
        # Of answers that are wrong in both readings, either loss may be lower by luck.
        is_lower = one.loss * one.price < usual.loss and one.mean_loss * one.price < usual.mean_loss
        return one.accuracy > usual.accuracy + CLEARLY or is_lower
    is_steadier = usual.steadiness < EXACT and one.steadiness / one.price > usual.steadiness
    return is_steadier and (one.mean_loss + 1e-9) * one.price < usual.mean_loss + 1e-9
