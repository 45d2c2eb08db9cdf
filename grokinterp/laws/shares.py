"""Shares of runs, with the interval in which the share of all such runs may lie."""

from __future__ import annotations

from dataclasses import dataclass

from grokinterp.errors import FitError


@dataclass(frozen=True)
class ShareInterval:
    """How many of how many, and Wilson's 95 % interval of the share."""

    n_yes: int
    n_all: int
    share: float | None
    """n_yes / n_all; None of none."""
    low: float | None
    """Lower end of the interval."""
    high: float | None
    """Upper end."""

    @property
    def in_words(self) -> str:
        """Return such as ``3 of 15 (20 %, 7 to 45 %)``."""
        if self.share is None or self.low is None or self.high is None:
            return "0 of 0"
        percents = f"{100 * self.share:.0f} %, {100 * self.low:.0f} to {100 * self.high:.0f} %"
        return f"{self.n_yes} of {self.n_all} ({percents})"


def share_interval(n_yes: int, n_all: int) -> ShareInterval:
    r"""Return a share with its 95 % interval by Wilson's method.

    The interval holds every share :math:`q` from which the one that was seen, :math:`\hat q`, is
    less than 1.96 standard deviations :math:`\sqrt{q(1-q)/n}` away. Unlike
    :math:`\hat q \pm 1.96\sqrt{\hat q(1-\hat q)/n}` it has a width where none or all were seen.
    It takes the runs for independent draws; runs of several settings are so only in so far as the
    settings were drawn like the seeds.

    Parameters
    ----------
    n_yes, n_all
        How many of how many runs.

    Returns
    -------
    ShareInterval
        Without share and interval where `n_all` is 0.

    Raises
    ------
    FitError
        If `n_yes` is not one of 0 .. `n_all`.

    Examples
    --------
    >>> share_interval(3, 15).in_words
    '3 of 15 (20 %, 7 to 45 %)'

    References
    ----------
    Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22 (1927), 209-212.
    """
    if not 0 <= n_yes <= n_all:
        raise FitError(
            f"{n_yes} of {n_all} is no share. Give how many of how many, the part first."
        )
    if n_all == 0:
        return ShareInterval(0, 0, None, None, None)
    # scipy.stats takes a second to import, and only this needs it.
    from scipy.stats import binomtest

    interval = binomtest(n_yes, n_all).proportion_ci(method="wilson")
    # The exact ends of none and of all are 0 and 1; scipy's differ from them by rounding.
    low = 0.0 if n_yes == 0 else float(interval.low)
    high = 1.0 if n_yes == n_all else float(interval.high)
    return ShareInterval(n_yes, n_all, n_yes / n_all, low, high)
