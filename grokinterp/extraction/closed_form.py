"""What an extraction returns: a formula, and how well it does what the network does."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits import KeyFrequencies, Snapshot
from grokinterp.circuits.generalization import AccuracyOn
from grokinterp.extraction.formulas import Formula
from grokinterp.extraction.scores import portions_of_formula
from grokinterp.reprs import card_repr, in_lines, listed

FITTED_ON: dict[str, str] = {
    "unmirrored_test": "test pairs whose mirror image is not trained",
    "test": "test pairs",
    "all": "all pairs, since no test pairs are known: what is memorized enters too",
}
"""Pairs that a formula is fitted on, in words."""


@dataclass(frozen=True)
class Agreement:
    """Fraction of the pairs to which the formula gives the network's answer, right or wrong."""

    all: float
    """Over all pairs of the view."""
    right: float
    """Over the pairs that the network answers correctly; NaN if there are none."""
    wrong: float
    """Over the pairs that the network answers wrongly; NaN if there are none. Level one answers
    every pair with the same sum alike, so a formula that is right everywhere has 0 here."""


@dataclass(frozen=True)
class ShuffledPhases:
    """The same terms with phases that fit nothing, drawn several times."""

    accuracies: tuple[float, ...]
    """Accuracy on all pairs, draw by draw; empty if the formula has no phases."""
    losses: tuple[float, ...]
    """Loss on all pairs in nats, draw by draw."""

    @property
    def mean_accuracy(self) -> float:
        """Mean over the draws; NaN without any."""
        return sum(self.accuracies) / len(self.accuracies) if self.accuracies else math.nan

    @property
    def largest_accuracy(self) -> float:
        """The best draw; NaN without any."""
        return max(self.accuracies, default=math.nan)

    @property
    def smallest_loss(self) -> float:
        """The best draw, in nats; NaN without any."""
        return min(self.losses, default=math.nan)


@dataclass(frozen=True, eq=False)
class ClosedForm:
    """A formula that was extracted from a network, and what it does on all pairs.

    Accuracies, losses and agreements are over the pairs of the task's view of a group, which are
    all pairs but those with a zero in multiplication and division.

    Examples
    --------
    >>> form = gi.extract(snapshot, keys)
    >>> form.accuracy, form.n_parameters, form.logits().shape
    (1.0, 6, torch.Size([169, 13]))
    """

    snapshot: Snapshot = field(repr=False)
    """The checkpoint that it was extracted from."""
    key_frequencies: KeyFrequencies
    """Frequencies, or representations, that it may use."""
    level: int
    """1: a formula for the logits. 2: a formula for every neuron, whose sum the logits are."""
    formula: Formula
    """What computes the logits."""
    fitted_on: AccuracyOn | None
    """Pairs that the numbers were fitted on: ``unmirrored_test``, ``test``, or ``all`` where no
    test pairs are known. None if they were read off the weights."""
    accuracy: float
    """Fraction of all pairs that the formula answers correctly. Of level one it proves nothing:
    one wave with a positive amplitude and a phase of 0 is right everywhere."""
    test_accuracy: float
    """The same over the test pairs; NaN if none are known."""
    loss: float
    """Mean cross-entropy of the formula over all pairs, in nats."""
    network_accuracy: float
    """Fraction of the same pairs that the network answers correctly."""
    network_loss: float
    """Mean cross-entropy of the network over the same pairs, in nats."""
    agreement: Agreement
    """How often the formula answers as the network does."""
    variance_explained: float
    """Share of the network's logits, centered per pair, that the formula explains: 1 - residual
    / total. Below 0 if zero would be closer; NaN if the network's logits are constant."""
    shuffled: ShuffledPhases
    """What the same formula does with shuffled phases."""
    n_network_parameters: int | None
    """Trained parameters of the network; None if its weights are not known."""

    def __repr__(self) -> str:
        return in_lines(self.title, self.in_rows())

    _repr_html_ = card_repr

    @property
    def title(self) -> str:
        """``ClosedForm of addition modulo 113 at step 25,000: 5 waves of a + b - c``."""
        at = f"{self.snapshot.task.spec.in_words} at step {self.snapshot.step:,}"
        return f"ClosedForm of {at}: {self.formula.in_words}"

    @property
    def table(self) -> pd.DataFrame:
        """The numbers of the formula, a row per term.

        Level one: ``frequency``, ``amplitude`` in logits and ``phase`` in radians; in a group
        that is not cyclic ``representation``, ``dimension`` and ``amplitude``. Level two of a
        perceptron: ``neuron``, ``frequency``, and ``amplitude_a``, ``phase_a``, ``amplitude_b``,
        ``phase_b``, ``amplitude_out``, ``phase_out``. Of other networks: ``neuron``,
        ``frequency``, coefficients in logits, named after their terms (``cos_a_cos_b``, and
        ``cos_cos`` where a and b are treated alike), and ``phase_out``.
        """
        return self.formula.table

    @property
    def n_parameters(self) -> int:
        """How many numbers the formula is made of, frequencies counted."""
        return self.formula.n_parameters

    @property
    def fraction_of_parameters(self) -> float:
        """These as a fraction of the network's trained parameters; NaN if they are not known."""
        if not self.n_network_parameters:
            return math.nan
        return self.n_parameters / self.n_network_parameters

    def logits(self) -> Float[Tensor, "view_pair c"]:
        """Logits of the formula.

        Returns
        -------
        Tensor
            (n*n, c) float64, rows as in ``snapshot.pair_rows``; columns of tokens that no pair
            of the view answers with are 0, the mean of the others.
        """
        parts = [part for _, part in portions_of_formula(self.snapshot, self.formula)]
        return torch.cat(parts)

    def in_rows(self) -> dict[str, str | None]:
        """What it found, in words by label."""
        null, agreement = self.shuffled, self.agreement
        of_network = ""
        if self.n_network_parameters:
            of_network = (
                f" of the network's {self.n_network_parameters:,} "
                f"({self.fraction_of_parameters:.2%})"
            )
        shuffled = None
        if null.accuracies:
            shuffled = (
                f"accuracy {null.mean_accuracy:.3g}, at most {null.largest_accuracy:.3g} in "
                f"{len(null.accuracies)} draws"
            )
        return {
            "terms": listed(self.key_frequencies.labels),
            "accuracy": f"{self.accuracy:.4g} on all pairs (network {self.network_accuracy:.4g})",
            "loss": f"{self.loss:.3g} nats (network {self.network_loss:.3g})",
            "agreement": _agreement(agreement),
            "explains": None
            if math.isnan(self.variance_explained)
            else f"{self.variance_explained:.1%} of the variance of the network's logits",
            "parameters": f"{self.n_parameters:,}{of_network}",
            "fitted on": "nothing: read off the weights"
            if self.fitted_on is None
            else FITTED_ON[self.fitted_on],
            "shuffled phases": shuffled,
        }


def _agreement(agreement: Agreement) -> str:
    """The network's answer is given to how many pairs; those that do not exist are left out."""
    parts = {
        "of all pairs": agreement.all,
        "where the network is right": agreement.right,
        "where it is wrong": agreement.wrong,
    }
    return ", ".join(f"{x:.4g} {where}" for where, x in parts.items() if not math.isnan(x))
