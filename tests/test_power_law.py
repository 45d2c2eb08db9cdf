"""Power laws with an intercept for each seed."""

import math

import numpy as np
import pytest

from grokinterp.errors import ConfigError
from grokinterp.laws.power_law import fit_power_law
from tests.tolerances import EXACT64


def planted(rng, exponent=0.3, scatter=0.05, sizes=(50, 100, 200, 400), seeds=(0, 1, 2)):
    x = np.tile(sizes, len(seeds))
    groups = np.repeat(seeds, len(sizes))
    log_y = 1 + 0.4 * groups + exponent * np.log(x) + scatter * rng.standard_normal(len(x))
    return x.astype(float).tolist(), np.exp(log_y).tolist(), groups.tolist()


def test_a_law_without_scatter_is_found_exactly():
    x, y, groups = planted(np.random.default_rng(0), scatter=0)
    law = fit_power_law(x, y, groups)
    assert law.exponent == pytest.approx(0.3, **EXACT64)
    assert law.intercepts[2] == pytest.approx(1.8, **EXACT64)
    assert law.crossing(1, math.exp(1.4) * 100**0.3) == pytest.approx(100)


def test_the_fit_is_that_of_least_squares_on_indicator_columns():
    x, y, groups = planted(np.random.default_rng(1))
    columns = [np.log(x), *(np.array(groups) == g for g in (0, 1, 2))]
    design = np.stack(columns, axis=1).astype(float)
    solution = np.linalg.lstsq(design, np.log(y), rcond=None)[0]
    law = fit_power_law(x, y, groups)
    assert [law.exponent, *law.intercepts.values()] == pytest.approx(solution, rel=1e-9)


def test_the_interval_covers_the_truth_in_95_of_100():
    rng = np.random.default_rng(2)
    n = 400
    laws = [fit_power_law(*planted(rng)) for _ in range(n)]
    covered = np.mean([law.low < 0.3 < law.high for law in laws])
    # Five standard errors of a binomial fraction.
    assert abs(covered - 0.95) < 5 * np.sqrt(0.95 * 0.05 / n)


def test_seeds_that_differ_do_not_bend_the_law():
    x, y, groups = [10.0, 100.0, 1000.0], [1.0, 5.0, 5.0], [0, 1, 1]
    assert fit_power_law(x, y, groups).exponent == pytest.approx(0, abs=1e-12)
    assert fit_power_law(x, y, [0, 0, 0]).exponent > 0.3


def test_without_two_sizes_in_a_seed_there_is_no_exponent():
    with pytest.raises(ConfigError, match="no two different x"):
        fit_power_law([10.0, 100.0], [1.0, 2.0], [0, 1])
