"""Models A and B of Zhong et al. 2023 (arXiv:2306.17844): a pizza and a clock modulo 59."""

import math

import pytest

from grokinterp.circuits import find_algorithm, find_key_frequencies, take_snapshot
from grokinterp.circuits.circles import isolate_circle
from grokinterp.circuits.gradients import gradient_symmetricity
from grokinterp.circuits.logit_formulas import logit_variance_explained
from grokinterp.runs.loading import load_run
from tests.foreign import data_file

P = 59
PIZZA, CLOCK = "p99zdpze5l", "l8k1hzciux"
# Published as percentages with two decimals, from a network that computes in float32.
ROUNDING = 0.005 + 0.001


def read(run):
    data_file(f"config_{run}.json")
    return take_snapshot(load_run(data_file(f"model_{run}.pt")))


@pytest.fixture(scope="module")
def pizza():
    return read(PIZZA)


@pytest.fixture(scope="module")
def clock():
    return read(CLOCK)


def judged(snapshot):
    keys = find_key_frequencies(snapshot)
    assert not keys.is_dense
    return find_algorithm(snapshot, keys)


def test_the_published_pizza_is_a_pizza(pizza):
    algorithm = judged(pizza)
    assert pizza.accuracy_all == 1
    assert algorithm.verdict == "pizza"
    assert algorithm.distance_irrelevance == pytest.approx(0.17, abs=0.01)
    assert algorithm.gradient_symmetricity.mean == pytest.approx(0.9937, abs=2e-4)
    assert algorithm.circularity > 0.995


def test_the_published_clock_is_a_clock(clock):
    algorithm = judged(clock)
    assert clock.accuracy_all == 1
    assert algorithm.verdict == "clock"
    assert algorithm.distance_irrelevance == pytest.approx(0.85, abs=0.01)
    # .3336 was published, over 100 triples; the standard error of 100 is .04.
    assert algorithm.gradient_symmetricity.mean == pytest.approx(0.3336, abs=5 * 0.042)
    assert algorithm.circularity > 0.995


def test_the_whole_logits_of_the_accompanied_pizza_look_like_a_clocks(pizza):
    explained = judged(pizza).variance_explained
    assert explained["clock"] > 0.99 > 0.85 > explained["pizza_product"]


@pytest.mark.parametrize(
    ("formula", "published"),
    [
        ("clock", {17: 75.41, 3: 75.62, 15: 75.38}),
        ("pizza_product", {17: 99.18, 3: 99.18, 15: 99.28}),
        # The authors' notebook.
        ("pizza_absolute", {17: 98.31, 3: 98.31, 15: 98.41}),
    ],
)
def test_the_formulas_explain_of_each_circle_what_was_published(pizza, formula, published):
    for frequency, percent in published.items():
        circle = isolate_circle(pizza, frequency, isolation="principal_components")
        explained = logit_variance_explained(circle, [frequency], formula)
        # Theirs is the formula scaled to the logits' deviation, not fitted: 2r - 1, not r².
        assert 100 * (2 * math.sqrt(explained) - 1) == pytest.approx(percent, abs=ROUNDING)


def test_the_accompanying_formula_explains_the_circles_of_twice_the_frequency(pizza):
    published = {17: 97.56, 3: 97.23, 15: 97.69}
    for frequency, percent in published.items():
        double = min(2 * frequency % P, -2 * frequency % P)
        circle = isolate_circle(pizza, double, isolation="principal_components")
        explained = logit_variance_explained(circle, [frequency], "accompanying")
        assert 100 * (2 * math.sqrt(explained) - 1) == pytest.approx(percent, abs=ROUNDING)


def test_one_circle_alone_answers_as_many_pairs_as_was_published(pizza):
    alone = isolate_circle(pizza, 3, isolation="principal_components")
    assert alone.accuracy_all == pytest.approx(0.328, abs=0.0005)


@pytest.mark.slow
def test_over_all_triples_the_gradient_symmetricity_is_exact(pizza, clock):
    for snapshot, expected in ((pizza, 0.994), (clock, 0.346)):
        exact = gradient_symmetricity(snapshot, n_triples=None)
        assert exact.n_triples == P**3 and exact.standard_error == 0
        assert exact.mean == pytest.approx(expected, abs=5e-4)
