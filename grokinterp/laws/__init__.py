"""Laws through measured times: power laws, fits with times that are censored, and a test of fit."""

from grokinterp.laws.lack_of_fit import LackOfFit, measure_lack_of_fit
from grokinterp.laws.power_law import PowerLaw, fit_power_law
from grokinterp.laws.survival import CensoredFit, fit_censored_power_law, median_with_censoring

__all__ = [
    "CensoredFit",
    "LackOfFit",
    "PowerLaw",
    "fit_censored_power_law",
    "fit_power_law",
    "measure_lack_of_fit",
    "median_with_censoring",
]
