r"""The loss without each neuron, one after another, for less than one pass each.

Without neuron m the logits of a pair change by x r, x being the change of its activation and r its
row of the neuron-logit map. With :math:`l_c` the differences to the logit of the answer y, the
odds against it are

.. math:: \sum_{c \ne y} e^{l_c + x (r_c - r_y)}
          = e^{-x r_y} \sum_k \frac{(x - x_0)^k}{k!} \sum_{c \ne y} e^{l_c}\, e^{x_0 r_c} r_c^k .

The inner sums are matrix products of all pairs with all neurons, one for each power. The range of x
is cut into pieces around centers :math:`x_0` in which :math:`|(x - x_0) r_c| \le 1`; there eleven
powers, or fewer, give all digits of float32. So a neuron takes some ten products of each logit and
no exponential.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import hardshrink, softplus, threshold

from grokinterp.circuits.snapshot import Snapshot

_POWERS = 11
"""The first term that is left out is 1/11! = 2.5e-8 of the sum."""
_LEAST_TERM = 1e-9
"""Of the first term. What is smaller is rounding, and its products with small odds would be
numbers below the normal ones, which take a processor a hundred times as long."""
_LEAST_ODDS = 1e-20
"""Of the largest in a row, likewise."""
_MOST_PIECES = 16
"""Beyond it, where the exponentials would leave the range of float32, every logit is computed."""
_PAIRS_AT_A_TIME = 1024
_NEURONS_AT_A_TIME = 64
_ENTRIES_AT_A_TIME = 4096
_UNSURE = 1e-4
"""Odds are right to 1e-6; what is nearer to a bound is compared class by class."""


def losses_without_each(
    snapshot: Snapshot, fills: Float[Tensor, "fill neuron"]
) -> tuple[Float[Tensor, "fill neuron"], Float[Tensor, "fill neuron"]]:
    """Mean loss and accuracy over all pairs with one neuron at another value, for each neuron.

    Parameters
    ----------
    snapshot
        Of a network with neurons and a linear readout. With a norm before the logits, its scale is
        frozen while a neuron changes.
    fills
        Values to put in place of each neuron.

    Returns
    -------
    tuple
        Losses in nats and accuracies, float64. Losses are computed from differences to the correct
        logit in float32, which loses no digits of a small loss.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> losses, accuracies = losses_without_each(snapshot, torch.zeros(1, 64))
    >>> int(losses[0].argmax()), losses.shape
    (33, torch.Size([1, 64]))
    """
    fills = fills.float()
    n_pairs, n_neurons = snapshot.neurons.shape
    groups = _groups(snapshot, fills)
    losses = torch.zeros(len(fills), n_neurons, dtype=torch.float64)
    n_correct = torch.zeros(len(fills), n_neurons, dtype=torch.long)
    for rows in torch.arange(n_pairs).split(_PAIRS_AT_A_TIME):
        pairs = _Pairs.of(snapshot, rows)
        changes = fills[:, None] - snapshot.neurons[rows].float()
        if snapshot.network.readout.scale is not None:
            changes = changes / snapshot.network.readout.scale[rows, None].float()
        for group in groups:
            for fill, change in enumerate(changes[:, :, group.neurons]):
                loss, odds = group.losses_and_odds(pairs, change)
                losses[fill, group.neurons] += loss.sum(dim=0, dtype=torch.float64)
                is_right = _are_right(pairs, change, group.rows, odds)
                n_correct[fill, group.neurons] += is_right.sum(dim=0)
    return losses / n_pairs, n_correct.double() / n_pairs


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Some pairs, their logits as differences to the correct one."""

    answers: Int[Tensor, " pair"]
    above: Float[Tensor, "pair c"]
    """-inf at the answer."""
    top: Float[Tensor, "pair 1"]
    """The largest of them."""
    top_class: Int[Tensor, " pair"]
    """Which it is."""
    odds: Float[Tensor, "pair c"]
    """exp(above), divided by the largest of the row."""

    @classmethod
    def of(cls, snapshot: Snapshot, rows: Int[Tensor, " pair"]) -> _Pairs:
        answers = snapshot.labels[rows]
        logits = snapshot.logits[rows].float()
        above = logits - logits.gather(1, answers[:, None])
        above.scatter_(1, answers[:, None], -torch.inf)
        top, top_class = above.max(dim=1, keepdim=True)
        odds = threshold((above - top).exp_(), _LEAST_ODDS, 0.0)
        return cls(answers, above, top, top_class[:, 0], odds)


@dataclass(frozen=True, eq=False)
class _Group:
    """Neurons whose range of changes is cut into the same number of pieces."""

    neurons: Int[Tensor, " some"]
    rows: Float[Tensor, "some c"]
    """Their rows of W_L, the middle of each row's range taken off: it changes no difference."""
    lowest: Float[Tensor, " some"]
    """Smallest change of each neuron."""
    width: Float[Tensor, " some"]
    """Width of a piece."""
    terms: Float[Tensor, "piece c power some"] | None
    """What e^{l_c} is multiplied by, for each piece, power and neuron; None: too many pieces."""

    @classmethod
    def of(
        cls,
        neurons: Int[Tensor, " some"],
        rows: Float[Tensor, "some c"],
        lowest: Float[Tensor, " some"],
        highest: Float[Tensor, " some"],
        n_pieces: int,
    ) -> _Group:
        if n_pieces > _MOST_PIECES:
            return cls(neurons, rows, lowest, highest - lowest, None)
        # A neuron that is constant has one value in a piece of any width.
        width = ((highest - lowest) / n_pieces).clamp(min=1e-30)
        exact, half = rows.double().T, width.double() / 2
        terms = [torch.ones_like(exact)]
        for power in range(1, _POWERS):
            term = terms[-1] * exact * half / power
            if not (term.abs() > _LEAST_TERM).any():
                break
            terms.append(term)
        series = torch.stack([hardshrink(term, _LEAST_TERM) for term in terms], dim=1)
        pieces = []
        for piece in range(n_pieces):
            center = lowest.double() + (2 * piece + 1) * half
            pieces.append((series * (exact * center).exp()[:, None]).float())
        return cls(neurons, rows, lowest, width, torch.stack(pieces))

    def losses_and_odds(
        self, pairs: _Pairs, change: Float[Tensor, "pair some"]
    ) -> tuple[Float[Tensor, "pair some"], Float[Tensor, "pair some"]]:
        """Loss of every pair without every neuron, and the odds against the answer."""
        of_answer = change * self.rows.T[pairs.answers]
        if self.terms is None:
            return self._one_by_one(pairs, change, of_answer)
        sums = self._sums(pairs, change, self.terms)
        shift = pairs.top - of_answer
        odds = sums * shift.exp()
        losses = odds.log1p()
        if not losses.isfinite().all():
            # Odds beyond 1e38 leave the range of float32.
            losses = softplus(sums.double().log() + shift)
        return losses, odds

    def _sums(self, pairs: _Pairs, change: Tensor, terms: Tensor) -> Float[Tensor, "pair some"]:
        """The sum over the other classes, without the factor of the answer."""
        where = (change - self.lowest) / self.width
        piece = where.floor().clamp_(0, len(terms) - 1)
        # From -1 to 1 within its piece.
        inside = ((where - piece) * 2 - 1).clamp_(-1, 1)
        found = torch.zeros_like(change)
        for index, of_piece in enumerate(terms):
            sums = (pairs.odds @ of_piece.flatten(1)).unflatten(1, of_piece.shape[1:])
            powers = sums.unbind(1)
            value = powers[-1]
            for power in powers[-2::-1]:
                value = torch.addcmul(power, value, inside)
            found = value if len(terms) == 1 else torch.where(piece == index, value, found)
        return found

    def _one_by_one(
        self, pairs: _Pairs, change: Tensor, of_answer: Tensor
    ) -> tuple[Float[Tensor, "pair some"], Float[Tensor, "pair some"]]:
        log_odds = [
            torch.addcmul(pairs.above.double(), x[:, None].double(), row.double()).logsumexp(dim=1)
            for x, row in zip(change.T, self.rows, strict=True)
        ]
        found = torch.stack(log_odds, dim=1) - of_answer
        return softplus(found), found.exp()


def _groups(snapshot: Snapshot, fills: Float[Tensor, "fill neuron"]) -> list[_Group]:
    """Neurons that are treated alike, some at a time."""
    scale = snapshot.network.readout.scale
    lowest = torch.full_like(fills[0], torch.inf)
    highest = -lowest
    for rows in torch.arange(len(snapshot.neurons)).split(_PAIRS_AT_A_TIME):
        changes = fills[:, None] - snapshot.neurons[rows].float()
        if scale is not None:
            changes = changes / scale[rows, None].float()
        lowest = torch.minimum(lowest, changes.amin(dim=(0, 1)))
        highest = torch.maximum(highest, changes.amax(dim=(0, 1)))
    W_L = snapshot.W_L
    middle = (W_L.amax(dim=1, keepdim=True) + W_L.amin(dim=1, keepdim=True)) / 2
    rows = (W_L - middle).float()
    half_exponent = (highest - lowest) / 2 * rows.abs().amax(dim=1)
    # A neuron that is not finite has too many pieces.
    n_pieces = half_exponent.nan_to_num(1e9).clamp(1, 1e9).ceil().long()
    order = n_pieces.argsort()
    found = []
    for some in order.split(_NEURONS_AT_A_TIME):
        is_cut = n_pieces[some] <= _MOST_PIECES
        for chosen in (some[is_cut], some[~is_cut]):
            if len(chosen):
                most = int(n_pieces[chosen[-1]])
                found.append(_Group.of(chosen, rows[chosen], lowest[chosen], highest[chosen], most))
    return found


def _are_right(
    pairs: _Pairs,
    change: Float[Tensor, "pair some"],
    rows: Float[Tensor, "some c"],
    odds: Float[Tensor, "pair some"],
) -> Bool[Tensor, "pair some"]:
    """Whether the answer's logit is above all others; an equal one is not below."""
    n_others = rows.shape[1] - 1
    is_right = odds < 1 - _UNSURE
    # Odds below one leave no class above the answer, and odds above the number of classes one.
    is_open = ~is_right & ~(odds > n_others * (1 + _UNSURE))
    of_answer = change * rows.T[pairs.answers]
    # The class that was largest settles most of the others.
    is_open &= pairs.top + change * rows.T[pairs.top_class] - of_answer < 0
    most = torch.maximum(change * rows.amax(dim=1), change * rows.amin(dim=1))
    is_settled = pairs.top + most - of_answer < 0
    is_right |= is_open & is_settled
    entries = (is_open & ~is_settled).nonzero()
    for pair, neuron in (part.T for part in entries.split(_ENTRIES_AT_A_TIME)):
        x = change[pair, neuron, None]
        margins = torch.addcmul(pairs.above[pair], x, rows[neuron]).amax(dim=1)
        is_right[pair, neuron] = margins < of_answer[pair, neuron]
    return is_right
