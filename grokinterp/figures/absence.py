"""Why there is nothing to draw, said in one line."""

from __future__ import annotations

from grokinterp.errors import FitError
from grokinterp.trajectory.analysis import Analysis


def nothing_to_draw(analysis: Analysis, fact: str, *fields: str) -> FitError:
    """Error with the fact and the first reason that the analysis has for these fields.

    Parameters
    ----------
    analysis
        Its reasons say why a field has no value.
    fact
        What is not there; a sentence without its full stop.
    fields
        Names of fields whose reasons fit, the best first.

    Examples
    --------
    >>> nothing_to_draw(analysis, "No loss was recorded", "train_loss")
    FitError('No loss was recorded.')
    """
    # Groups that are not cyclic have no key frequencies in any case; then the other is the reason.
    reason = analysis.why(*fields, "key_representations", "key_frequencies")
    return FitError(f"{fact}. Reason: {reason}." if reason else f"{fact}.")
