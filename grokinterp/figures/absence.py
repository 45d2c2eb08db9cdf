"""Why there is nothing to draw, said in one line."""

from __future__ import annotations

from grokinterp.errors import FitError
from grokinterp.trajectory.analysis import Analysis


def nothing_to_draw(analysis: Analysis, fact: str, *fields: str) -> FitError:
    """Error with the fact and the first reason that the summary knows for these fields.

    Parameters
    ----------
    analysis
        Its ``summary["reasons"]`` say why a field has no value.
    fact
        What is not there; a sentence without its full stop.
    fields
        Names of fields whose reasons fit, the best first.

    Examples
    --------
    >>> nothing_to_draw(analysis, "No loss was recorded", "train_loss")
    FitError('No loss was recorded.')
    """
    reasons = analysis.summary.get("reasons") or {}
    # Permutations have no key frequencies in any case; then the other reason is the one.
    known = [
        reasons[field]
        for field in (*fields, "key_representations", "key_frequencies")
        if reasons.get(field)
    ]
    because = f" Reason: {known[0]}." if known else ""
    return FitError(f"{fact}.{because}")
