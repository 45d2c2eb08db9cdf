"""The card of an estimate of the local learning coefficient."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokinterp.cards.markup import Card

if TYPE_CHECKING:
    from grokinterp.learning_coefficient import LearningCoefficient


def learning_coefficient_card(found: LearningCoefficient) -> Card:
    """The value with its settings, or why there is none."""
    rows = {label: text for label, text in found.in_rows().items() if label != "because"}
    return Card(
        title=found.title,
        warnings={"Why there is no value": found.reason},
        rows=rows,
        calls={
            "found.plateau": "has a row for each setting that was tried",
            "gi.figures.plot_learning_coefficient(found)": "draws its chains and its plateau",
        },
    )
