"""What random groups of pairs reach by chance, from its distribution and by drawing."""

import pytest
import torch
from scipy import stats

from grokinterp import portions as sizes
from grokinterp.circuits import find_key_frequencies, key_frequencies
from grokinterp.report.key_frequencies import level_of_chance
from grokinterp.spectra import (
    cyclic_harmonics,
    gaussian_power_quantile,
    permuted_power_quantile,
    symmetric_harmonics,
)
from grokinterp.spectra.random_grouping import row_covariance, weighted_chi_square_tail
from tests import planted

OF_DRAWS = 0.06
"""The 99.9 % quantile of 4,000 draws has a standard error of up to 2 %, and the Gaussian
approximation an error of its own below 2 % at these sizes."""


def rows_of_low_rank(n, seed=0):
    """Logits of a network with three neurons: covariances matter, not variances alone."""
    generator = torch.Generator().manual_seed(seed)
    neurons = torch.rand(n * n, 3, generator=generator)
    return neurons @ torch.randn(3, n, generator=generator)


@pytest.mark.parametrize(
    "harmonics", [cyclic_harmonics(23), cyclic_harmonics(24), symmetric_harmonics(4)]
)
def test_the_distribution_agrees_with_draws(harmonics):
    values = rows_of_low_rank(len(harmonics.basis))
    drawn = permuted_power_quantile(values, harmonics, n_permutations=4000)
    assert gaussian_power_quantile(values, harmonics) == pytest.approx(drawn, rel=OF_DRAWS)


def test_another_covariance_of_the_same_variances_does_not_agree(monkeypatch):
    harmonics = cyclic_harmonics(23)
    values = rows_of_low_rank(23)
    drawn = permuted_power_quantile(values, harmonics, n_permutations=4000)
    variances = row_covariance(values).diagonal().diag()
    monkeypatch.setattr("grokinterp.spectra.random_grouping.row_covariance", lambda _: variances)
    wrong = gaussian_power_quantile(values, harmonics)
    assert abs(wrong / drawn - 1) > 5 * OF_DRAWS


def test_a_quantile_of_one_component_is_that_of_its_chi_square():
    # Two classes of opposite logits have one eigenvalue, Z_3 one frequency of two waves.
    values = torch.randn(9, 1, generator=torch.Generator().manual_seed(0)) @ torch.tensor(
        [[1, -1.0]]
    )
    variance = 2 * float(values[:, 0].double().var(correction=0)) * 3 / 8
    exact = variance * stats.chi2.ppf(0.999, 2)
    found = gaussian_power_quantile(values, cyclic_harmonics(3))
    assert found == pytest.approx(exact, rel=0.003)
    assert gaussian_power_quantile(values, cyclic_harmonics(3), quantile=0.99) < 0.7 * exact


@pytest.mark.parametrize("degrees", [1, 2, 9])
@pytest.mark.parametrize("tail", [0.3, 0.01, 1e-3, 1e-6])
def test_the_tail_of_equal_weights_is_that_of_a_chi_square(degrees, tail):
    value = 2.5 * stats.chi2.isf(tail, 3 * degrees)
    found = weighted_chi_square_tail(torch.full((3,), 2.5), degrees, value)
    assert found == pytest.approx(tail, rel=0.02)


def test_the_tail_of_unequal_weights_is_what_draws_have():
    weights = torch.tensor([5.0, 3.0, 1.0, 0.5])
    generator = torch.Generator().manual_seed(0)
    draws = (weights * torch.randn(400_000, 2, 4, generator=generator).square()).sum(dim=(1, 2))
    for value in (10.0, 40.0, 60.0):
        drawn = float((draws > value).double().mean())
        error = (drawn / 400_000) ** 0.5
        found = weighted_chi_square_tail(weights, 2, value)
        assert found == pytest.approx(drawn, abs=5 * error + 0.02 * drawn)
        assert weighted_chi_square_tail(weights.flip(0)[:3], 2, value) < 0.9 * drawn


def test_at_its_mean_a_sum_has_a_tail():
    assert weighted_chi_square_tail(torch.ones(4), 3, 12.0) == pytest.approx(0.5, abs=0.1)


def test_rows_that_are_all_equal_reach_nothing():
    assert gaussian_power_quantile(torch.ones(25, 5), cyclic_harmonics(5)) == 0


def test_the_covariance_is_that_of_all_rows_in_whatever_portions(monkeypatch):
    values = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    exact = torch.cov(values.double().T, correction=0)
    torch.testing.assert_close(row_covariance(values), exact, rtol=1e-5, atol=1e-6)
    monkeypatch.setattr(sizes, "WHOLE_BYTES", 8 * 4 * 7)
    monkeypatch.setattr(sizes, "PORTION_BYTES", 8 * 4 * 7)
    torch.testing.assert_close(row_covariance(values), exact, rtol=1e-5, atol=1e-6)


def test_the_rule_finds_the_same_keys_from_draws_and_from_the_distribution():
    split = planted.split(31)
    waves = planted.cosines(split.task, {3: 5.0, 7: 4.0})
    snapshot = planted.snapshot(waves + planted.noise(31**2, 31, scale=0.3), split)
    drawn, computed = (find_key_frequencies(snapshot, n_permutations=n) for n in (1000, 0))
    assert drawn.frequencies == computed.frequencies == (3, 7)
    shares = [keys.evidence["null_share"].iloc[0] for keys in (drawn, computed)]
    assert shares[1] == pytest.approx(shares[0], rel=OF_DRAWS)
    assert "1,000 random groupings" in level_of_chance(drawn)
    assert "of random groupings" in level_of_chance(computed)


def test_only_many_logits_are_not_permuted_unless_it_is_asked_for(monkeypatch):
    snapshot = planted.trigonometric_snapshot(13, [2])
    assert find_key_frequencies(snapshot).n_permutations == 1000
    monkeypatch.setattr(key_frequencies, "MOST_PERMUTED_LOGITS", 13**3 - 1)
    assert find_key_frequencies(snapshot).n_permutations == 0
    assert find_key_frequencies(snapshot, n_permutations=20).n_permutations == 20
    monkeypatch.setattr(key_frequencies, "MOST_PERMUTED_LOGITS", 13**3)
    assert find_key_frequencies(snapshot).n_permutations == 1000
    assert 322**3 < 2**25 < 323**3 and 113**3 < 2**25 < 720**3
