"""Which function writes the card of an object, and a card for when it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grokinterp.cards.configs import imported_config_card, train_config_card
from grokinterp.cards.explanations import (
    certificate_card,
    forecast_card,
    league_card,
    mode_families_card,
)
from grokinterp.cards.formulas import closed_form_card
from grokinterp.cards.learning_coefficient import learning_coefficient_card
from grokinterp.cards.markup import Card, card_html
from grokinterp.cards.results import analysis_card, comparison_card, reproduction_card
from grokinterp.cards.runs import run_card
from grokinterp.cards.snapshots import key_frequencies_card, snapshot_card
from grokinterp.errors import first_sentence

CARDS: dict[str, Callable[[Any], Card]] = {
    "TrainConfig": train_config_card,
    "ImportedConfig": imported_config_card,
    "Run": run_card,
    "Snapshot": snapshot_card,
    "KeyFrequencies": key_frequencies_card,
    "ClosedForm": closed_form_card,
    "LearningCoefficient": learning_coefficient_card,
    "Certificate": certificate_card,
    "ModeFamilies": mode_families_card,
    "League": league_card,
    "Forecast": forecast_card,
    "Analysis": analysis_card,
    "Comparison": comparison_card,
    "Reproduction": reproduction_card,
}
"""Function by the name of the class. Names and not classes: showing a config imports no torch."""


def card_of(value: Any) -> str:
    """Return the card of an object as HTML. It never raises: a notebook shows what it can.

    Examples
    --------
    >>> card_of(analysis).count("<script"), "Analysis of addition modulo 13" in card_of(analysis)
    (0, True)
    """
    kinds = [kind.__name__ for kind in type(value).__mro__]
    make = next((CARDS[name] for name in kinds if name in CARDS), _plain)
    # Whatever is wrong with an object, looking at it must not end in a traceback: its other
    # attributes are what one then looks at.
    try:
        return card_html(make(value))
    except Exception as error:
        return card_html(_broken(value, error))


def _plain(value: Any) -> Card:
    return Card(type(value).__name__, code=repr(value))


def _broken(value: Any, error: Exception) -> Card:
    said = f"{first_sentence(error)} ({type(error).__name__})"
    return Card(type(value).__name__, warnings={"Cannot be shown": said})
