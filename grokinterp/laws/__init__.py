"""Laws through measured times and curves: fits, tests of fit, and intervals over seeds."""

from grokinterp.laws.bootstrap import BootstrapInterval, bootstrap_over_groups
from grokinterp.laws.curved_law import CurvedLaw, fit_curved_law
from grokinterp.laws.lack_of_fit import LackOfFit, measure_lack_of_fit
from grokinterp.laws.logistic import Logistic, fit_logistic
from grokinterp.laws.over_seeds import GeometricMean, geometric_mean
from grokinterp.laws.power_law import PowerLaw, fit_power_law
from grokinterp.laws.shares import ShareInterval, share_interval
from grokinterp.laws.survival import (
    CensoredFit,
    bootstrap_slope,
    fit_censored_power_law,
    median_with_censoring,
)

__all__ = [
    "BootstrapInterval",
    "CensoredFit",
    "CurvedLaw",
    "GeometricMean",
    "LackOfFit",
    "Logistic",
    "PowerLaw",
    "ShareInterval",
    "bootstrap_over_groups",
    "bootstrap_slope",
    "fit_censored_power_law",
    "fit_curved_law",
    "fit_logistic",
    "fit_power_law",
    "geometric_mean",
    "measure_lack_of_fit",
    "median_with_censoring",
    "share_interval",
]
