"""The seven rows of the literature's table "grokking likely?", and what would agree with each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from grokinterp.experiments.claims import Verdict, share_verdict
from grokinterp.laws import ShareInterval

Answer = Literal["yes", "sometimes", "rare", "no", "unclear"]

SHARE_YES = 2 / 3
SHARE_NOT_YES = 1 / 3
SHARE_RARE = 0.2
HIGHEST_RARE = 1 / 3
"""Where the interval of a share has to end for "rare" and for "no"."""
FEWEST_OF_A_KIND = 2
"""Runs of a kind that are no accident."""
ENOUGH_ALIKE = 10
"""Conclusive runs that have to end alike before "sometimes" is not confirmed."""


@dataclass(frozen=True)
class Row:
    """A condition, and whether the literature holds grokking likely under it."""

    name: str
    answer: Answer
    says: str
    """The literature's answer with what it adds."""
    in_plain_words: str
    """For a reader who knows none of the terms."""


ROWS: tuple[Row, ...] = (
    Row(
        "small structured dataset, weight decay",
        "yes",
        "yes",
        "weight decay and a small dataset that follows a rule",
    ),
    Row(
        "large naturalistic dataset, weight decay",
        "sometimes",
        "sometimes: harder to detect, may be masked by noise",
        "weight decay and natural data",
    ),
    Row(
        "two-layer perceptron, no weight decay",
        "sometimes",
        "sometimes: lazy to rich (Kumar et al.)",
        "two-layer networks without weight decay",
    ),
    Row(
        "no weight decay, no other compression pressure",
        "rare",
        "rare",
        "nothing that keeps the weights small",
    ),
    Row(
        "dataset too small for memorization",
        "no",
        "no: the model cannot memorize, so that phase does not occur",
        "too few examples",
    ),
    Row(
        "very high weight decay",
        "no",
        "no: underfits from the start",
        "very high weight decay",
    ),
    Row(
        "dropout instead of weight decay",
        "unclear",
        "unclear",
        "dropout instead of weight decay",
    ),
)
TOO_SMALL, VERY_HIGH, NATURAL = ROWS[4].name, ROWS[5].name, ROWS[1].name
ROW_OF: Mapping[str, Row] = {row.name: row for row in ROWS}


def answer_of(share: ShareInterval) -> Answer | None:
    """Which word the share of runs that grokked comes to; None with too few runs to say.

    Examples
    --------
    >>> from grokinterp.laws import share_interval
    >>> answer_of(share_interval(5, 5)), answer_of(share_interval(2, 15))
    ('yes', 'rare')
    """
    if share.n_all < FEWEST_OF_A_KIND or share.share is None:
        return None
    if share.n_yes == 0:
        return "no"
    if share.share < SHARE_RARE:
        return "rare"
    return "yes" if share.share >= SHARE_YES - 1e-9 else "sometimes"


def verdict_of(answer: Answer, share: ShareInterval) -> Verdict:
    """Whether the share of conclusive runs that grokked agrees with the literature's word.

    Examples
    --------
    >>> from grokinterp.laws import share_interval
    >>> verdict_of("sometimes", share_interval(5, 15)), verdict_of("no", share_interval(5, 15))
    ('confirmed', 'not confirmed')
    """
    if answer == "unclear" or share.share is None or share.high is None or share.low is None:
        return "inconclusive"
    n_not = share.n_all - share.n_yes
    is_low = share.high < HIGHEST_RARE
    if answer == "yes":
        return share_verdict(
            share.n_yes, share.n_all, confirmed_from=SHARE_YES, refuted_up_to=SHARE_NOT_YES
        )
    if answer == "sometimes":
        is_both = min(share.n_yes, n_not) >= FEWEST_OF_A_KIND
        is_one = min(share.n_yes, n_not) == 0 and share.n_all >= ENOUGH_ALIKE
        return "confirmed" if is_both else "not confirmed" if is_one else "inconclusive"
    if answer == "rare":
        is_rare = share.share < SHARE_RARE and is_low
        return "confirmed" if is_rare else _refuted(share.low >= SHARE_RARE)
    return "confirmed" if share.n_yes == 0 and is_low else _refuted(share.n_yes >= FEWEST_OF_A_KIND)


def _refuted(is_refuted: bool) -> Verdict:
    return "not confirmed" if is_refuted else "inconclusive"
