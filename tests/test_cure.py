"""Times that some never reach: what is planted is found, and what was cut off counts."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from grokinterp.errors import FitError
from grokinterp.laws import cure
from grokinterp.laws.cure import CENSORED, NEVER, SEEN, Times, fit_cure_model

DISTRIBUTIONS = ("log-normal", "log-logistic", "weibull")


def planted(n=3000, seed=0, cut_at=7.0, odds=-1.0):
    """Times with slope 0.5 in x, never with log odds `odds` + x, cut off at exp(`cut_at`)."""
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, 1))
    log_t = 6 + 0.5 * x[:, 0] + 0.3 * draw.normal(size=n)
    is_never = draw.random(n) < 1 / (1 + np.exp(-odds - x[:, 0]))
    status = np.where(is_never, NEVER, np.where(log_t > cut_at, CENSORED, SEEN))
    end = np.where(status == CENSORED, cut_at, log_t)
    return x, Times(end, np.full(n, 2.0), status, np.ones(n))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_gradient_is_that_of_the_likelihood(distribution):
    draw = np.random.default_rng(1)
    x, log_t = draw.normal(size=(60, 3)), 6 + draw.normal(size=60)
    times = Times(
        log_t, np.minimum(log_t - 0.3, 5.0), draw.integers(0, 3, size=60), 0.5 + draw.random(60)
    )
    design = cure._with_constant(x)
    objective = cure._Objective(design, times, cure._DENSITIES[distribution], 1.3)
    theta = np.array([6, *0.3 * draw.normal(size=8)])
    error = check_grad(lambda at: objective(at)[0], lambda at: objective(at)[1], theta)
    assert error < 1e-4 * np.linalg.norm(objective(theta)[1])


def test_what_is_planted_is_found_although_times_are_cut_off():
    x, times = planted()
    model = fit_cure_model(x, times, penalty=0.01)
    ends = np.array([[0.0], [1.0]])
    location, never = model.log_scale(ends), model.never(ends)
    assert location == pytest.approx([6.0, 6.5], abs=0.05)
    assert never == pytest.approx([0.269, 0.5], abs=0.05)
    assert model.sigma == pytest.approx(0.3, abs=0.02)


def test_to_drop_what_was_cut_off_makes_times_too_early():
    x, times = planted(cut_at=6.3, odds=-9.0)
    kept = times.status != CENSORED
    without = fit_cure_model(x[kept], times.rows(kept), penalty=0.01)
    assert without.log_scale(np.array([[1.0]]))[0] < 6.35
    whole = fit_cure_model(x, times, penalty=0.01)
    assert whole.log_scale(np.array([[1.0]]))[0] == pytest.approx(6.5, abs=0.1)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_quantiles_are_where_survival_says(distribution):
    x, times = planted(300)
    model = fit_cure_model(x, times, distribution=distribution)
    start = np.full(5, 5.9)
    for part in (0.05, 0.5, 0.95):
        at = model.log_quantile(x[:5], part, start)
        assert (at >= start).all()
        assert np.exp(model.log_survival(x[:5], at, start)) == pytest.approx(1 - part, abs=1e-6)


def test_a_stronger_penalty_draws_to_zero_and_a_constant_feature_has_no_say():
    x, times = planted(400)
    wide = np.column_stack([x, np.full(400, 3.0)])
    ends = np.array([[0.0, 3.0], [1.0, 3.0], [0.0, 9.0]])
    weak, strong = (fit_cure_model(wide, times, penalty=p).log_scale(ends) for p in (0.01, 1e4))
    assert abs(strong[1] - strong[0]) < 0.2 * abs(weak[1] - weak[0])
    assert weak[2] == pytest.approx(weak[0], abs=1e-3)


def test_too_few_times_and_other_lengths_are_refused():
    x, times = planted(50)
    with pytest.raises(FitError, match="5 are needed"):
        fit_cure_model(x[:3], times.rows(np.arange(3)))
    with pytest.raises(FitError, match="rows of features"):
        fit_cure_model(x[:10], times)
