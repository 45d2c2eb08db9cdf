import math

import numpy as np
import pytest
from scipy.stats import f, norm

from grokinterp.errors import FitError
from grokinterp.laws.survival import (
    CHI_SQUARE_95,
    fit_censored_power_law,
    median_with_censoring,
)
from tests.tolerances import CHAINED64

LAMBDAS = np.array([0.125, 0.25, 0.5, 1.0, 2.0, 4.0])


def planted(rng, n_seeds=5, slope=-1.0, sigma=0.25, budget=math.inf):
    """Times proportional to a power of x, with a constant per seed, cut off at a budget."""
    x = np.tile(LAMBDAS, n_seeds)
    seeds = np.repeat(np.arange(n_seeds), len(LAMBDAS))
    log_t = 7 + 0.3 * seeds / n_seeds + slope * np.log(x) + sigma * rng.normal(size=len(x))
    times = np.exp(log_t)
    return x, np.minimum(times, budget), times > budget, seeds


def test_without_censoring_the_fit_is_least_squares():
    x, times, is_censored, seeds = planted(np.random.default_rng(0))
    fit = fit_censored_power_law(x, times, is_censored, seeds)
    design = np.column_stack([np.log(x), *(seeds == seed for seed in range(5))])
    expected, squares, _, _ = np.linalg.lstsq(design, np.log(times), rcond=None)
    assert fit.slope == pytest.approx(expected[0], **CHAINED64)
    assert list(fit.intercepts.values()) == pytest.approx(list(expected[1:]), **CHAINED64)
    assert fit.sigma == pytest.approx(math.sqrt(squares[0] / len(x)), **CHAINED64)
    assert (fit.n, fit.n_censored) == (30, 0)


def test_without_censoring_the_ends_of_the_interval_cost_what_chi_square_allows():
    x, times, is_censored, seeds = planted(np.random.default_rng(1))
    fit = fit_censored_power_law(x, times, is_censored, seeds)
    members = np.column_stack([seeds == seed for seed in range(5)]).astype(float)

    def squares(slope):
        rest = np.log(times) - slope * np.log(x)
        return np.linalg.lstsq(members, rest, rcond=None)[1][0]

    # The profile of a normal linear model: n log of the ratio of the sums of squares.
    for end in (fit.low, fit.high):
        cost = len(x) * math.log(squares(end) / squares(fit.slope))
        assert cost == pytest.approx(CHI_SQUARE_95, rel=1e-5)  # the root is sought to 1e-7
    assert fit.low < fit.slope < fit.high


def test_the_likelihood_is_that_of_the_definition_and_at_its_maximum():
    x, times, is_censored, seeds = planted(np.random.default_rng(2), budget=3000)
    fit = fit_censored_power_law(x, times, is_censored, seeds)

    def log_likelihood(slope, sigma):
        location = np.array([fit.intercepts[seed] for seed in seeds]) + slope * np.log(x)
        z = (np.log(times) - location) / sigma
        return np.where(is_censored, norm.logsf(z), norm.logpdf(z) - math.log(sigma)).sum()

    assert fit.log_likelihood == pytest.approx(log_likelihood(fit.slope, fit.sigma), **CHAINED64)
    for slope, sigma in ((1.02, 1), (0.98, 1), (1, 1.02), (1, 0.98)):
        assert log_likelihood(fit.slope * slope, fit.sigma * sigma) < fit.log_likelihood


def test_censored_times_bias_the_naive_fit_and_not_this_one(without_type_checks):
    rng = np.random.default_rng(3)
    ours, naive, shares = [], [], []
    for _ in range(40):
        x, times, is_censored, seeds = planted(rng, budget=3000)
        ours.append(fit_censored_power_law(x, times, is_censored, seeds).slope)
        naive.append(fit_censored_power_law(x, times, np.zeros_like(is_censored), seeds).slope)
        shares.append(is_censored.mean())
    assert 0.2 < np.mean(shares) < 0.4
    # Standard error of the mean of 40 slopes; 5 of it on both sides.
    assert abs(np.mean(ours) + 1) < 5 * np.std(ours) / math.sqrt(40)
    assert np.mean(naive) + 1 > 5 * np.std(naive) / math.sqrt(40)


def test_intervals_cover_as_often_as_they_say(without_type_checks):
    rng, n_fits = np.random.default_rng(4), 200
    n_covered = 0
    for _ in range(n_fits):
        fit = fit_censored_power_law(*planted(rng, n_seeds=4))
        n_covered += fit.low <= -1 <= fit.high
    n, df = 24, 24 - 5
    expected = f.cdf(df * math.expm1(CHI_SQUARE_95 / n), 1, df)
    # Binomial standard error .02; 4 of it, which an interval of half the width would miss by far.
    assert 0.9 < expected < 0.95
    assert abs(n_covered / n_fits - expected) < 4 * math.sqrt(expected * (1 - expected) / n_fits)


def test_with_censoring_intervals_still_cover(without_type_checks):
    rng, n_fits = np.random.default_rng(5), 100
    covered = [
        fit.low <= -1 <= fit.high
        for fit in (fit_censored_power_law(*planted(rng, budget=3000)) for _ in range(n_fits))
    ]
    # 95 % in the limit; 4 binomial standard errors of .022 below, and not everything.
    assert 0.86 < np.mean(covered) < 1


def test_a_group_that_is_wholly_censored_is_counted_and_has_no_say():
    x, times, is_censored, seeds = planted(np.random.default_rng(6))
    without = fit_censored_power_law(x, times, is_censored, seeds)
    more = fit_censored_power_law(
        [*x, 0.5, 1.0], [*times, 10, 10], [*is_censored, True, True], [*seeds, 9, 9]
    )
    assert (more.slope, more.low, more.high) == pytest.approx(
        (without.slope, without.low, without.high), **CHAINED64
    )
    assert (more.n, more.n_censored) == (32, 2) and 9 not in more.intercepts


def test_a_slope_that_nothing_bounds_has_an_open_interval():
    # Seen at two neighbouring x, with everything at small x above an early step: any steeper
    # law explains that as well.
    x = [1.0, 1.0, 1.001, 1.001, *[0.01] * 6]
    fit = fit_censored_power_law(x, [90, 110, 89, 109, *[150] * 6], [False] * 4 + [True] * 6)
    assert fit.low < -50 and fit.high < 0


REFUSED = {
    "every time is censored": ([1, 2, 3], [5, 5, 5], [True] * 3, None),
    "have one x within each group": ([1, 1, 1, 2], [5, 6, 7, 9], [False] * 3 + [True], None),
    "2 times were seen, for 2 constants": ([1, 2, 3], [5, 3, 3], [False, False, True], None),
    "on a power law exactly": ([1, 2, 4, 8], [8, 4, 2, 1], [False] * 4, None),
    "a x of 0 has no logarithm": ([0, 1, 2], [5, 6, 7], [False] * 3, None),
    "a time of nan has no logarithm": ([1, 1, 2], [5, 6, math.nan], [False] * 3, None),
    "2 x, 3 times and 3 flags": ([1, 2], [5, 6, 7], [False] * 3, None),
    "2 groups for 3 times": ([1, 2, 3], [5, 6, 7], [False] * 3, ["a", "b"]),
    "every time is censored, so": ([], [], [], None),
}


@pytest.mark.parametrize("message", REFUSED)
def test_data_that_determine_no_slope_are_refused_in_one_line(message):
    with pytest.raises(FitError, match=message) as caught:
        fit_censored_power_law(*REFUSED[message])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("times", "is_censored", "median"),
    [
        ([30, 10, 20], [False] * 3, 20),
        ([10, 20, 30, 40], [False] * 4, 25),
        ([10, 20, 30], [False, False, True], 20),
        # Survival 3/4, then 3/4 * 1/2 = 3/8: the censored run counts as at risk until 15.
        ([10, 15, 20, 30], [False, True, False, False], 20),
        ([10, 20, 30, 30], [False, False, True, True], None),
        ([10, 20, 20], [False, True, True], None),
        ([20, 20], [True, True], None),
        ([], [], None),
    ],
)
def test_the_median_counts_censored_times_as_longer(times, is_censored, median):
    assert median_with_censoring(times, is_censored) == median


def test_without_censoring_the_median_is_the_ordinary_one():
    rng = np.random.default_rng(7)
    for n in (5, 6, 9, 10):
        times = rng.integers(1, 1000, size=n)
        assert median_with_censoring(times, [False] * n) == np.median(times)
