"""Questions of the literature: what is trained, what was predicted, and how it is judged.

One module per question; ``catalogue.py`` is the list.
"""

from grokinterp.experiments.catalogue import EXPERIMENTS, experiment_of
from grokinterp.experiments.chart import Chart, Mark, Series
from grokinterp.experiments.experiment import (
    VERDICTS,
    Claim,
    Experiment,
    Findings,
    PlannedRun,
    Scale,
    overall_verdict,
)

__all__ = [
    "EXPERIMENTS",
    "VERDICTS",
    "Chart",
    "Claim",
    "Experiment",
    "Findings",
    "Mark",
    "PlannedRun",
    "Scale",
    "Series",
    "experiment_of",
    "overall_verdict",
]
