"""The card of a formula that was extracted from a network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from grokinterp.cards.markup import Card
from grokinterp.cards.pictures import bars

if TYPE_CHECKING:
    from grokinterp.extraction import ClosedForm


def closed_form_card(form: ClosedForm) -> Card:
    """How well the formula does beside the network, and how large its terms are."""
    share = form.variance_explained
    doubt = None
    if not math.isnan(share) and share < 0.5:
        doubt = (
            f"the formula explains {share:.1%} of the variance of the network's logits, so what "
            "it answers is not what the network computes"
        )
    return Card(
        title=form.title,
        warnings={"Before you believe it": doubt},
        rows=form.in_rows(),
        pictures=[_amplitudes(form)],
        calls={
            "form.table": "has a row for each term",
            "form.logits()": "computes its logits on all pairs",
        },
    )


def _amplitudes(form: ClosedForm) -> str:
    """Amplitudes of the waves of level one."""
    table = form.table
    if form.level != 1:
        return ""
    heights = np.abs(table["amplitude"].to_numpy(dtype=float))
    names = table.iloc[:, 0].tolist()
    return bars(heights, np.ones(len(heights), dtype=bool), "amplitude in logits", names)
