"""Laws through measured times: power laws, and fits in which some times are censored."""

from grokinterp.laws.power_law import PowerLaw, fit_power_law
from grokinterp.laws.shares import ShareInterval, share_interval
from grokinterp.laws.survival import CensoredFit, fit_censored_power_law, median_with_censoring

__all__ = [
    "CensoredFit",
    "PowerLaw",
    "ShareInterval",
    "fit_censored_power_law",
    "fit_power_law",
    "median_with_censoring",
    "share_interval",
]
