"""Laws through several seeds, on planted data: curves, bends, and intervals that cover."""

import math

import numpy as np
import pytest

from grokinterp.errors import FitError
from grokinterp.laws.curved_law import fit_curved_law
from grokinterp.laws.logistic import fit_logistic
from grokinterp.laws.over_seeds import geometric_mean

SIZES = (60, 100, 150, 180, 210, 240, 300, 400, 900)


def planted_curves(middles, steepness=6.0, floor=0.03, noise=0.0):
    rng = np.random.default_rng(0)
    points = [
        (x, floor + (1 - floor) / (1 + (x / middle) ** -steepness), seed)
        for seed, middle in enumerate(middles)
        for x in SIZES
    ]
    return zip(
        *[(x, y + noise * rng.standard_normal(), seed) for x, y, seed in points], strict=True
    )


def test_planted_middles_and_steepness_are_found_exactly():
    curve = fit_logistic(*planted_curves((150.0, 200.0, 240.0)), floor=0.03)
    assert list(curve.middles.values()) == pytest.approx([150, 200, 240], rel=1e-5)
    assert curve.steepness == pytest.approx(6.0, rel=1e-5)
    assert curve.middle.value == pytest.approx((150 * 200 * 240) ** (1 / 3), rel=1e-5)
    assert curve.at(curve.middle.value) == pytest.approx(0.515)
    # Another floor is another half-way.
    other = fit_logistic(*planted_curves((150.0, 200.0, 240.0)), floor=0.3)
    assert other.middle.value > 1.05 * curve.middle.value


def test_a_step_is_found_between_the_points_beside_it():
    points = [(x, 0.0 if x < 200 else 1.0, seed) for seed in (0, 1) for x in SIZES]
    curve = fit_logistic(*zip(*points, strict=True), floor=0.0)
    assert all(180 < middle < 210 for middle in curve.middles.values())


def test_a_seed_that_keeps_everything_has_no_middle_and_is_named():
    x, y, seeds = planted_curves((150.0, 200.0, 5.0), noise=0.01)
    curve = fit_logistic(x, y, seeds, floor=0.03)
    assert curve.left_out == (2,) and list(curve.middles) == [0, 1] and curve.n == 18
    with pytest.raises(FitError, match="half-way"):
        fit_logistic(SIZES, [1.0] * len(SIZES), [0] * len(SIZES), floor=0.03)


def test_a_size_or_an_accuracy_that_is_no_number_is_refused():
    for x, y in (([0, 10], [0.0, 1.0]), ([1, 10], [0.0, math.nan])):
        with pytest.raises(FitError, match="not finite"):
            fit_logistic(x, y, "aa", floor=0.0)


def test_the_interval_over_seeds_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(1)
    drawn = np.exp(math.log(200.0) + 0.2 * rng.standard_normal((1000, 5)))
    n_covered = sum(mean.low <= 200 <= mean.high for mean in map(geometric_mean, drawn.tolist()))
    # 5 standard errors of a share of 0.95 of 1,000.
    assert abs(n_covered / 1000 - 0.95) < 5 * math.sqrt(0.95 * 0.05 / 1000)


def test_an_interval_is_within_outside_or_across_a_border():
    mean = geometric_mean([95.0, 100.0, 105.0])
    assert mean.is_within(80, 130) and not mean.is_within(99, 130)
    assert mean.is_outside(120, 200) and mean.is_outside(10, 80)
    assert not mean.is_outside(105, 200)
    one = geometric_mean([100.0])
    assert (one.low, one.high) == (0.0, math.inf) and "one seed" in one.in_words
    for bad in ([], [0.0, 1.0], [math.inf]):
        with pytest.raises(FitError):
            geometric_mean(bad)


def test_a_bent_law_crosses_where_it_was_planted_and_a_straight_one_elsewhere():
    from grokinterp.laws.power_law import fit_power_law

    x = [float(size) for size in (40, 80, 120, 160, 200, 250, 320, 420, 600)] * 2
    seeds = [0] * 9 + [1] * 9
    parabola = [
        0.8 * (1.2 if s else 1.0) * math.exp(0.5 * math.log(v / 40) ** 2)
        for v, s in zip(x, seeds, strict=True)
    ]
    law = fit_curved_law(x, parabola, seeds)
    for seed, factor in ((0, 0.8), (1, 0.96)):
        expected = 40 * math.exp(math.sqrt(2 * math.log(1 / factor)))
        assert law.rising_through(seed, 1.0) == pytest.approx(expected, rel=1e-3)
        assert law.at(seed, expected) == pytest.approx(1.0)
        straight = fit_power_law(x, parabola, seeds).crossing(seed, 1.0)
        assert straight != pytest.approx(expected, rel=0.05)
    assert law.rising_through(0, 0.5) is None  # below every size that was seen


def test_three_sizes_are_too_few_for_a_bend():
    with pytest.raises(FitError, match="4 different"):
        fit_curved_law([1, 2, 3], [1, 2, 3], "aaa")
    with pytest.raises(FitError, match="not positive"):
        fit_curved_law([1, 2, 3, 0], [1, 2, 3, 4], "aaaa")
