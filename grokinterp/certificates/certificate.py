"""What a certificate says: a lower bound on accuracy that is a proof, and what it cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import pandas as pd

from grokinterp.extraction import ClosedForm
from grokinterp.reprs import card_repr, in_lines


@dataclass(frozen=True)
class Strategy:
    """One way to prove pairs right, and how far it came."""

    strategy: str
    """``every pair``, ``exact neurons``, ``neurons by group``, ``per token`` or
    ``operator norms``."""
    accuracy_lower_bound: float = float("nan")
    """Proved fraction of the pairs of the view; NaN where the strategy is absent."""
    relative_cost: float = float("nan")
    """Operations of the proof, divided by those of the cheapest exact forward pass over the same
    pairs."""
    bound_minus_cost: float = float("nan")
    """What the bound is worth: checking a fraction of the pairs would prove that fraction."""
    unexplained_dimension: int | None = None
    """Numbers that the proof takes as it finds them."""
    n_functions: int | None = None
    """Functions of the answer along which the readout is followed, over all groups of neurons."""
    assumes: str = ""
    """What the proof rests on beside float64's rounding."""
    reason: str | None = None
    """Why it is absent."""


@dataclass(frozen=True, eq=False)
class Certificate:
    """A proved lower bound on a network's accuracy.

    The accuracy is that of the ideal network: its weights are taken as exact and its arithmetic
    as that of real numbers, over the pairs of the task's view of a group. Where only logits are
    known it is that of the logits.

    Examples
    --------
    >>> certificate = gi.certify(snapshot, gi.extract(snapshot, keys))
    >>> certificate.accuracy_lower_bound <= snapshot.accuracy_all
    True
    """

    closed_form: ClosedForm = field(repr=False)
    """Whose frequencies the strategies follow."""
    rows: tuple[Strategy, ...]
    """Every strategy, in the order of the ladder."""

    @property
    def best(self) -> Strategy:
        """The strategy whose bound exceeds its cost by most, of those that prove a pair."""
        found = [row for row in self.rows if row.accuracy_lower_bound > 0]
        return max(found, key=lambda row: row.bound_minus_cost, default=self.rows[0])

    @property
    def accuracy_lower_bound(self) -> float:
        """Proved fraction of the pairs, by the best strategy."""
        return self.best.accuracy_lower_bound

    @property
    def relative_cost(self) -> float:
        """Operations of the best strategy, relative to the cheapest exact forward pass."""
        return self.best.relative_cost

    @property
    def unexplained_dimension(self) -> int | None:
        """Numbers that the best strategy takes as it finds them."""
        return self.best.unexplained_dimension

    @property
    def strategies(self) -> pd.DataFrame:
        """A row per strategy, with the fields of :class:`Strategy`; absent ones have a reason."""
        table = pd.DataFrame([asdict(row) for row in self.rows])
        return table.astype({"unexplained_dimension": "Int64", "n_functions": "Int64"})

    @property
    def title(self) -> str:
        """``Certificate of addition modulo 113 at step 25,000``."""
        return self.closed_form.title.replace("ClosedForm", "Certificate", 1).partition(":")[0]

    def in_rows(self) -> dict[str, str]:
        """What each strategy proves, or why it is absent, in words by its name."""
        return {row.strategy: _in_words(row) for row in self.rows}

    def __repr__(self) -> str:
        return in_lines(self.title, self.in_rows())

    _repr_html_ = card_repr


def _in_words(row: Strategy) -> str:
    if row.reason is not None:
        return f"absent: {row.reason}"
    return (
        f"accuracy at least {row.accuracy_lower_bound:.4g} at {row.relative_cost:.3g} of the cost "
        "of checking every pair"
    )
