"""Laws through measured times: power laws, censored times and tests of fit, shares, bootstraps."""

from grokinterp.laws.bootstrap import BootstrapInterval, bootstrap_over_groups
from grokinterp.laws.lack_of_fit import LackOfFit, measure_lack_of_fit
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
    "LackOfFit",
    "PowerLaw",
    "ShareInterval",
    "bootstrap_over_groups",
    "bootstrap_slope",
    "fit_censored_power_law",
    "fit_power_law",
    "measure_lack_of_fit",
    "median_with_censoring",
    "share_interval",
]
