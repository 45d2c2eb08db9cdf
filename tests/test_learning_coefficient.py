"""Sampler and diagnostics against exact values; estimates against integrals."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from grokinterp.errors import ConfigError
from grokinterp.learning_coefficient import Acceptable, estimate_coefficient
from grokinterp.learning_coefficient.diagnostics import (
    effective_sample_size,
    r_hat,
    split_chains,
    standard_error,
)
from grokinterp.learning_coefficient.estimate import grid_of
from grokinterp.learning_coefficient.plateau import find_plateau, why_no_plateau
from grokinterp.learning_coefficient.sgld import Sgld, sample_chains
from grokinterp.learning_coefficient.singular_models import (
    product_of_two,
    quadratic,
    reduced_rank_at_one,
    reduced_rank_at_zero,
    reduced_rank_of_two,
)
from tests.tolerances import EXACT64

pytestmark = pytest.mark.long  # Chains take seconds each.

MODELS = {
    "quadratic": (quadratic((0.5, 1.0, 4.0)), (3e-4, 6e-4)),
    "x2y2": (product_of_two(), (1e-3, 3e-3)),
    "2-1-2": (reduced_rank_at_zero(2, 2), (1e-3, 3e-3)),
    "3-1-2": (reduced_rank_at_zero(3, 2), (1e-3, 3e-3)),
    "1-2-1": (reduced_rank_of_two(), (1e-3, 3e-3)),
    "1-1-1": (reduced_rank_at_one(), (3e-4, 1e-3)),
}
N_BETA, LOCALIZATION = 100.0, 10.0


def autoregressive(phi, n_chains, n_draws, seed=0):
    """Chains whose effective sample size is known: N (1 - phi) / (1 + phi)."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n_chains, n_draws)) * math.sqrt(1 - phi**2)
    draws = np.empty((n_chains, n_draws))
    draws[:, 0] = rng.normal(size=n_chains)
    for t in range(1, n_draws):
        draws[:, t] = phi * draws[:, t - 1] + noise[:, t]
    return draws


# Diagnostics.


@pytest.mark.parametrize("phi", [-0.4, 0.0, 0.5, 0.9])
def test_effective_sample_size_is_that_of_an_autoregressive_process(phi):
    draws = autoregressive(phi, 8, 20_000)
    expected = draws.size * (1 - phi) / (1 + phi)
    assert effective_sample_size(draws) == pytest.approx(expected, rel=0.1)


def test_the_standard_error_is_the_spread_of_means_of_repeated_runs():
    means = [autoregressive(0.8, 4, 500, seed).mean() for seed in range(200)]
    stated = np.mean([standard_error(autoregressive(0.8, 4, 500, seed)) for seed in range(20)])
    # The spread of 200 means is known to 5 %.
    assert stated == pytest.approx(np.std(means), rel=0.25)


def naive_r_hat_of_scores(draws):
    """Split R-hat as equations 1 to 4 of Vehtari et al. 2021 have it, with loops."""
    from scipy.stats import norm, rankdata

    halves = [
        half for chain in draws for half in (chain[: len(chain) // 2], chain[-(len(chain) // 2) :])
    ]
    median = np.median(np.concatenate(halves))
    found = []
    for transformed in (halves, [np.abs(half - median) for half in halves]):
        ranks = rankdata(np.concatenate(transformed))
        scores = norm.ppf((ranks - 3 / 8) / (len(ranks) + 1 / 4)).reshape(len(halves), -1)
        m, n = scores.shape
        means = [float(np.mean(chain)) for chain in scores]
        grand = sum(means) / m
        between = n / (m - 1) * sum((mean - grand) ** 2 for mean in means)
        within = (
            sum(
                sum((x - mean) ** 2 for x in chain) / (n - 1)
                for chain, mean in zip(scores, means, strict=True)
            )
            / m
        )
        found.append(math.sqrt(((n - 1) / n * within + between / n) / within))
    return max(found)


@pytest.mark.parametrize("n_draws", [20, 21])
def test_r_hat_is_that_of_the_equations(n_draws):
    draws = autoregressive(0.7, 3, n_draws)
    assert r_hat(draws) == pytest.approx(naive_r_hat_of_scores(draws), **EXACT64)


def test_r_hat_sees_a_trend_a_shift_and_a_difference_in_spread():
    draws = autoregressive(0.0, 4, 1000)
    assert r_hat(draws) < 1.01
    assert r_hat(draws + np.linspace(0, 3, 1000)) > 1.2
    assert r_hat(draws + np.array([[0], [0], [0], [2]])) > 1.2
    assert r_hat(draws * np.array([[1], [1], [1], [5]])) > 1.1


def test_heavy_tails_do_not_hide_that_chains_differ():
    draws = np.random.default_rng(0).standard_cauchy(size=(4, 1000))
    assert r_hat(draws) < 1.02
    assert r_hat(draws + np.array([[0], [0], [0], [5]])) > 1.15


@pytest.mark.parametrize(
    "draws",
    [np.ones((4, 100)), np.full((4, 100), np.nan), np.random.default_rng(0).normal(size=(4, 3))],
)
def test_chains_that_cannot_be_judged_have_no_diagnostics(draws):
    assert math.isnan(r_hat(draws)) and math.isnan(effective_sample_size(draws))


def test_halves_leave_out_the_middle_of_an_odd_number_of_draws():
    assert split_chains(np.arange(10.0).reshape(2, 5)).tolist() == [[0, 1], [5, 6], [3, 4], [8, 9]]


# The sampler.


@pytest.mark.parametrize("step_size", [1e-3, 0.02, 0.05])
def test_sgld_of_a_quadratic_has_the_variance_of_its_discretization(step_size):
    """Precision P and step e give the variance 1 / (P (1 - e P / 4)), not 1 / P."""
    h, n_beta, gamma = 0.4, 100.0, 5.0
    settings = Sgld(step_size, n_beta, gamma, n_chains=128, n_burn_in=300, n_draws=1500, seed=3)
    model = quadratic((h,))
    losses = sample_chains(model.loss, model.center, settings).losses.numpy()
    precision = n_beta * h + gamma
    exact = n_beta * h / (2 * precision) / (1 - step_size * precision / 4)
    found, error = n_beta * losses.mean(), n_beta * standard_error(losses)
    assert error < 0.03 * exact
    assert found == pytest.approx(exact, abs=5 * error)
    if step_size > 0.01:
        # The sibling: without the bias of the step the value is another.
        assert abs(found - model.expectation(n_beta, gamma)) > 5 * error


def test_metropolis_would_accept_nearly_all_small_steps_and_few_large_ones():
    model = quadratic((1.0, 1.0))
    kept = [
        sample_chains(model.loss, model.center, Sgld(e, 100.0, n_draws=300)).acceptance
        for e in (1e-4, 1e-2, 3.5e-2)
    ]
    assert kept[0] > 0.99 and kept[0] > kept[1] > kept[2] and kept[2] < 0.6


def test_chains_depend_on_the_seed_alone_and_differ_from_each_other():
    model, settings = quadratic((1.0,)), Sgld(1e-3, 10.0, n_draws=20)
    one, same = (sample_chains(model.loss, model.center, settings).losses for _ in range(2))
    other = sample_chains(model.loss, model.center, Sgld(1e-3, 10.0, n_draws=20, seed=1)).losses
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])


# Truth: the models' integrals.


def importance_sampled(model, n_beta, localization):
    """The same expectation by drawing from the localization alone and weighting."""
    rng = np.random.default_rng(0)
    noise = torch.tensor(rng.normal(size=(400_000, len(model.center)))) / math.sqrt(localization)
    losses = model.loss(model.center + noise)
    weights = (-n_beta * losses).exp()
    return float(n_beta * (weights * losses).sum() / weights.sum())


@pytest.mark.parametrize("name", MODELS)
def test_integrals_are_what_weighted_draws_give(name):
    model = MODELS[name][0]
    found = importance_sampled(model, 50.0, 2.0)
    assert model.expectation(50.0, 2.0) == pytest.approx(found, rel=0.02)


@pytest.mark.parametrize("name", MODELS)
def test_integrals_approach_the_learning_coefficient(name):
    model = MODELS[name][0]
    distances = [abs(model.expectation(n, 1.0) - model.asymptote) for n in (1e2, 1e4, 1e6)]
    assert distances[2] <= distances[1] <= distances[0] < 0.3
    assert distances[2] < 0.08


def test_the_product_of_two_is_far_from_its_limit():
    found = [product_of_two().expectation(n_beta, 1.0) for n_beta in (1e2, 1e4, 1e6)]
    assert found == pytest.approx([0.354, 0.412, 0.4375], abs=0.001)


@pytest.mark.parametrize("name", MODELS)
def test_the_estimate_is_within_a_tenth_of_the_integral(name):
    model, step_sizes = MODELS[name]
    settings = Sgld(1.0, 1.0, LOCALIZATION, n_chains=64, n_burn_in=1000, n_draws=2000)
    grid = grid_of([N_BETA], step_sizes, settings)
    found = estimate_coefficient(model.loss, model.center, grid)
    exact = model.expectation(N_BETA, LOCALIZATION)
    assert found.value == pytest.approx(exact, rel=0.1)
    assert found.standard_error < 0.05 * exact and found.r_hat < 1.1
    assert found.settings.step_size == step_sizes[0]


# The plateau.


def cells(estimates, problems=None):
    """A grid: rows are n beta, columns step sizes."""
    rows = [
        {
            "n_beta": 10.0 ** (i + 1),
            "step_size": 10.0 ** (j - 5),
            "estimate": value,
            "problem": (problems or {}).get((i, j), ""),
        }
        for i, row in enumerate(estimates)
        for j, value in enumerate(row)
    ]
    return pd.DataFrame(rows)


def test_a_plateau_is_a_block_that_agrees_and_its_smallest_step_counts():
    table = cells([[1, 5.0, 5.1, 9], [2, 5.2, 5.3, 9], [3, 8, 9, 12]])
    rows = find_plateau(table, 0.1)
    assert sorted(rows) == [1, 2, 5, 6]
    assert rows[0] == 5  # the larger n beta, the smaller step


def test_of_several_plateaus_the_largest_n_beta_counts():
    table = cells([[5, 5, 9], [5.1, 5.1, 8], [5.4, 5.4, 7]])
    assert find_plateau(table, 0.1)[0] == 6


def test_agreement_in_one_direction_alone_is_no_plateau():
    assert find_plateau(cells([[5, 5, 5], [9, 9, 9]]), 0.1) == []
    assert find_plateau(cells([[5, 9], [5, 9]]), 0.1) == []


def test_a_cell_with_a_problem_is_on_no_plateau():
    table = cells([[5, 5], [5, 5]], {(0, 1): "the chains have not mixed"})
    assert find_plateau(table, 0.1) == []
    assert "3 of 4 settings are usable" in why_no_plateau(table, 0.1)


def estimate_of(loss, center, **settings):
    grid = grid_of([50.0], settings.pop("step_sizes", [1e-3]), Sgld(1.0, 1.0, **settings))
    return estimate_coefficient(loss, torch.tensor(center).double(), grid)


def test_chains_that_have_not_mixed_give_no_value():
    # Flat but for a slow well: within so few steps all chains still leave the center.
    found = estimate_of(
        lambda w: 1e-3 * w.square().sum(dim=1), [0.0], step_sizes=[1e-6], n_burn_in=0, n_draws=50
    )
    assert found.value is None and "have not mixed" in found.reason
    assert found.r_hat > 1.1 and math.isfinite(found.estimate)


def test_a_negative_estimate_is_no_value():
    found = estimate_of(
        lambda w: (w - 1).square().sum(dim=1) / 2, [0.0], n_burn_in=2000, n_draws=3000
    )
    assert found.value is None and "not at a minimum" in found.reason and found.estimate < 0


def test_a_step_size_that_diverges_gives_no_value():
    found = estimate_of(lambda w: w.square().square().sum(dim=1), [0.0, 0.0], step_sizes=[0.5])
    assert found.value is None and "diverged" in found.reason


def test_estimates_that_never_agree_give_no_value():
    model = quadratic((1.0,) * 3)
    found = estimate_of(
        model.loss, [0.0] * 3, step_sizes=[2e-2, 6e-2], n_burn_in=500, n_draws=3000, n_chains=8
    )
    assert found.value is None and found.reason.startswith("there is no plateau: 2 of 2")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sgld(0.0, 1.0), "step_size=0.0 is not above 0."),
        (lambda: Sgld(1e-3, -1.0), "n_beta=-1.0 is not above 0."),
        (lambda: Sgld(1e-3, 1.0, n_chains=1), "n_chains=1 is below 2."),
        (lambda: Acceptable(largest_r_hat=1.0), "largest_r_hat=1.0 is not above 1"),
        (lambda: Acceptable(tolerance=10.0), "tolerance=10.0 is outside (0, 1)"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, words):
    with pytest.raises(ConfigError, match=words.replace("(", r"\(").replace(")", r"\)")):
        make()
