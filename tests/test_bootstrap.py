"""Intervals from groups drawn again: their width, what counts as a copy, and when there is none."""

import numpy as np
import pytest
from scipy import stats

from grokinterp.errors import FitError
from grokinterp.laws import bootstrap_over_groups

GROUPS = [group for group in range(10) for _ in range(3)]


@pytest.fixture(scope="module")
def values():
    generator = np.random.default_rng(0)
    return generator.normal(0, 1, 10)[GROUPS] + generator.normal(0, 0.01, 30)


def test_the_interval_of_a_mean_is_that_of_student(values):
    interval = bootstrap_over_groups(GROUPS, lambda rows, copies: values[rows].mean())
    means = values.reshape(10, 3).mean(axis=1)
    half = stats.t.ppf(0.975, 9) * means.std(ddof=1) / np.sqrt(10)
    assert interval.high - interval.low == pytest.approx(2 * half, rel=0.1)
    # The plain percentiles are too narrow, and rows as if they were groups far more so.
    rows = bootstrap_over_groups(range(30), lambda rows, copies: values[rows].mean())
    assert rows.high - rows.low < 0.8 * 2 * half


def test_a_group_that_is_drawn_twice_comes_as_two_groups():
    seen = []

    def n_copies(rows, copies):
        seen.append((len(rows), len(set(copies))))
        return 0.0

    bootstrap_over_groups(GROUPS, n_copies, n_draws=20)
    assert set(seen) == {(30, 10)}


def test_the_same_draws_come_again(values):
    one, other = (
        bootstrap_over_groups(GROUPS, lambda rows, copies: values[rows].mean(), n_draws=200)
        for _ in range(2)
    )
    assert one == other


def test_three_groups_are_too_few(values):
    with pytest.raises(FitError, match="3 groups are too few to draw from; 4 are needed"):
        bootstrap_over_groups([0, 1, 2], lambda rows, copies: 0.0)


@pytest.mark.parametrize(("needed", "is_fine"), [(5, True), (8, False)])
def test_draws_on_which_the_statistic_fails_are_counted(needed, is_fine):
    def statistic(rows, copies):
        if len(set(rows.tolist())) < 3 * needed:
            raise FitError("too few different groups")
        return float(rows.mean())

    if is_fine:
        assert 0 < bootstrap_over_groups(GROUPS, statistic).n_failed < 100
    else:
        with pytest.raises(FitError, match="could not be had from .* of 2000 draws"):
            bootstrap_over_groups(GROUPS, statistic)
