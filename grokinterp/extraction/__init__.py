"""From a network to a formula: its logits, or its neurons, from a table of a few numbers."""

from grokinterp.extraction.closed_form import Agreement, ClosedForm, ShuffledPhases
from grokinterp.extraction.curve import exists_from, extraction_curve, scores_of
from grokinterp.extraction.extraction import extract

__all__ = [
    "Agreement",
    "ClosedForm",
    "ShuffledPhases",
    "exists_from",
    "extract",
    "extraction_curve",
    "scores_of",
]
