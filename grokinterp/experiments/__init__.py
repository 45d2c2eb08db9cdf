"""Questions of the literature: what is trained, what was predicted, and how it is judged.

One package per question; ``catalogue.py`` is the list.
"""

from grokinterp.experiments.catalogue import EXPERIMENTS, experiment_of
from grokinterp.experiments.chart import Chart, Mark, Series
from grokinterp.experiments.claims import VERDICTS, Claim, Findings, overall_verdict
from grokinterp.experiments.experiment import Experiment, PlannedRun, Scale

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
