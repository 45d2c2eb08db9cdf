"""Wilson's interval of a share, against its definition and against its coverage."""

import math

import numpy as np
import pytest

from grokinterp.errors import FitError
from grokinterp.laws import share_interval
from tests.tolerances import EXACT64

QUANTILE = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""


@pytest.mark.parametrize(("n_yes", "n_all"), [(3, 15), (1, 2), (14, 15), (40, 97)])
def test_the_ends_are_as_many_standard_deviations_from_what_was_seen(n_yes, n_all):
    found = share_interval(n_yes, n_all)
    assert found.share == n_yes / n_all and found.low < found.share < found.high
    for end in (found.low, found.high):
        away = abs(found.share - end) / np.sqrt(end * (1 - end) / n_all)
        assert away == pytest.approx(QUANTILE, **EXACT64)


@pytest.mark.parametrize("n", [1, 8, 25])
def test_none_and_all_have_an_interval_of_a_width_and_mirror_each_other(n):
    none, every = share_interval(0, n), share_interval(n, n)
    assert none.low == 0 and every.high == 1
    # Where none was seen, the definition gives z^2 / (n + z^2).
    assert none.high == pytest.approx(QUANTILE**2 / (n + QUANTILE**2), **EXACT64)
    assert every.low == pytest.approx(1 - none.high, **EXACT64)


def test_nineteen_of_twenty_intervals_hold_the_share_that_was_planted():
    """On average over the shares that may be planted, which is what Wilson's interval promises."""
    n = 25
    intervals = [share_interval(k, n) for k in range(n + 1)]
    planted = np.linspace(0.005, 0.995, 199)
    wide, half = (
        np.mean([_coverage(intervals, q, width) for q in planted]) for width in (1.0, 0.5)
    )
    assert 0.945 < wide < 0.96
    assert half < 0.75  # half as wide an interval would not do


def _coverage(intervals, planted, width):
    """Chance that the interval of what is drawn holds the planted share."""
    n = len(intervals) - 1
    return sum(
        math.comb(n, k) * planted**k * (1 - planted) ** (n - k)
        for k, interval in enumerate(intervals)
        if abs(planted - (interval.low + interval.high) / 2)
        <= width * (interval.high - interval.low) / 2
    )


def test_of_nothing_there_is_no_share_and_of_more_than_all_neither():
    nothing = share_interval(0, 0)
    assert nothing.share is nothing.low is nothing.high is None and nothing.in_words == "0 of 0"
    for n_yes, n_all in ((3, 2), (-1, 2)):
        with pytest.raises(FitError, match=f"{n_yes} of {n_all} is no share"):
            share_interval(n_yes, n_all)
