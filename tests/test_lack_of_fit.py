"""A test of fit for censored times: silent on planted laws, loud where a law breaks."""

import math

import numpy as np
import pytest
from scipy.stats import f

from grokinterp.errors import FitError
from grokinterp.laws import measure_lack_of_fit

RHO = np.array([1.0, 1.1, 1.2, 1.3, 1.4])


def planted(rng, *, rate=7.5, curvature=0.0, budget=math.inf, gate=math.inf, n_seeds=5):
    """Times proportional to exp(rate rho), or none at all from a gate on, cut off at a budget."""
    rho, seeds = np.tile(RHO, n_seeds), np.repeat(np.arange(n_seeds), len(RHO))
    log_t = 5.3 + rate * (rho - 1) + curvature * (rho - 1) ** 2
    log_t += 0.2 * rng.normal(size=n_seeds)[seeds] + 0.3 * rng.normal(size=len(rho))
    times = np.where(rho >= gate, math.inf, np.exp(log_t))
    return np.exp(rho), np.minimum(times, budget), times > budget, seeds


def rejected(rng, n_draws, apart=None, **law):
    """Share of planted tables in which the law is rejected at the level 0.05."""
    found = [measure_lack_of_fit(*planted(rng, **law), apart=apart) for _ in range(n_draws)]
    return np.mean([one.p_value < 0.05 for one in found])


def test_without_censoring_it_is_the_f_test_of_lack_of_fit():
    x, times, is_censored, seeds = planted(np.random.default_rng(0), n_seeds=3)
    found = measure_lack_of_fit(x, times, is_censored, seeds)
    members = [seeds == seed for seed in range(3)]
    law = np.column_stack([np.log(x), *members])
    free = np.column_stack([*(np.isclose(x, math.e**rho) for rho in RHO[1:]), *members])
    squares = [
        np.linalg.lstsq(a.astype(float), np.log(times), rcond=None)[1][0] for a in (law, free)
    ]
    expected = f.sf((squares[0] / squares[1] - 1) * (15 - 7) / 3, 3, 15 - 7)
    assert found.p_value == pytest.approx(expected, rel=1e-8)
    assert (found.n_free, found.n, found.n_censored, found.shift) == (3, 15, 0, None)


def test_an_exponential_law_is_rejected_no_more_often_than_the_level_says(without_type_checks):
    rng = np.random.default_rng(1)
    # Binomial standard error of 100 draws at 0.05: 0.022; 4 of it.
    assert rejected(rng, 100) < 0.05 + 4 * 0.022
    assert rejected(rng, 100, budget=3500) < 0.05 + 4 * 0.022
    assert rejected(rng, 100, budget=3500, apart=[math.exp(1.4)]) < 0.05 + 4 * 0.022


def test_a_gate_is_rejected_and_so_is_a_law_that_bends(without_type_checks):
    rng = np.random.default_rng(2)
    assert rejected(rng, 20, gate=1.4, budget=8000) > 0.8
    assert rejected(rng, 20, gate=1.4, budget=8000, apart=[math.exp(1.4)]) > 0.9
    assert rejected(rng, 20, gate=1.3, budget=8000) > 0.8
    assert rejected(rng, 20, curvature=-40.0) > 0.9


def test_a_gate_that_a_short_budget_hides_is_not_seen(without_type_checks):
    """The law predicts some 4,000 steps at the largest x, so "not by 3,000" says nothing."""
    rng = np.random.default_rng(3)
    assert rejected(rng, 20, gate=1.4, budget=3000, apart=[math.exp(1.4)]) < 0.3


def test_what_is_set_apart_is_compared_with_the_law_through_the_others():
    x, times, is_censored, seeds = planted(np.random.default_rng(4))
    largest = x == x.max()
    late = measure_lack_of_fit(
        x, np.where(largest, 10 * times, times), is_censored, seeds, apart=[x.max()]
    )
    usual = measure_lack_of_fit(x, times, is_censored, seeds, apart=[x.max()])
    assert late.shift is not None and usual.shift is not None
    # The mean apart moves with the times there, to the last digit.
    assert late.shift == pytest.approx(usual.shift + math.log(10), rel=1e-6)
    assert late.p_value < 0.01 < usual.p_value and late.n_free == 1
    out = measure_lack_of_fit(x, times, is_censored | largest, seeds, apart=[x.max()])
    assert out.shift == math.inf and out.n_censored == 5
    early = np.where(largest, times / 1000, times)
    never = measure_lack_of_fit(x, early, is_censored | largest, seeds, apart=[x.max()])
    assert never.p_value > 0.5  # later than an early step says nothing


def test_a_group_without_a_time_counts_and_has_no_say():
    x, times, is_censored, seeds = planted(np.random.default_rng(5))
    plain = measure_lack_of_fit(x, times, is_censored, seeds)
    more = measure_lack_of_fit(
        [*x, *x[:2]], [*times, 9, 9], [*is_censored, True, True], [*seeds, 9, 9]
    )
    assert more.p_value == pytest.approx(plain.p_value, rel=1e-8)
    assert (more.n, more.n_censored) == (27, 2)


REFUSED = {
    "two values of x lie on any": ([1, 1, 2, 2], [5, 6, 7, 9], [False] * 4, {}),
    "3 times were seen, which do not": ([1, 2, 3], [5, 6, 9], [False] * 3, {}),
    "every time is censored, so": ([1, 2, 3], [5, 6, 9], [True] * 3, {}),
    "no time has x = 4": ([1, 1, 2, 3], [5, 6, 7, 9], [False] * 4, {"apart": [4.0]}),
    "1 groups for 3 times": ([1, 2, 3], [5, 6, 9], [False] * 3, {"groups": ["a"]}),
    "a time of 0 has no logarithm": ([1, 2, 3], [5, 0, 9], [False] * 3, {}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_times_that_determine_no_test_are_refused_in_one_line(message):
    x, times, is_censored, others = REFUSED[message]
    with pytest.raises(FitError, match=message) as caught:
        measure_lack_of_fit(x, times, is_censored, **others)
    assert "\n" not in str(caught.value)
