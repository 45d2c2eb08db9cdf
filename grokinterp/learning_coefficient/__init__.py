"""The local learning coefficient: how degenerate the minimum is that a network is in."""

from grokinterp.learning_coefficient.coefficient import LearningCoefficient
from grokinterp.learning_coefficient.curve import learning_coefficient_curve
from grokinterp.learning_coefficient.estimate import Acceptable, estimate_coefficient
from grokinterp.learning_coefficient.local import local_learning_coefficient

__all__ = [
    "Acceptable",
    "LearningCoefficient",
    "estimate_coefficient",
    "learning_coefficient_curve",
    "local_learning_coefficient",
]
