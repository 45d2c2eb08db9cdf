import math

import numpy as np
import pytest
import torch

from grokinterp.circuits import KeyFrequencies
from grokinterp.circuits.neuron_logit_map import neuron_logit_map, projected_neurons
from grokinterp.circuits.neuron_polynomials import logits_of_neurons
from grokinterp.models.loss import cross_entropy
from tests import planted
from tests.tolerances import CHAINED64, FLOAT32

PLANTED = [3, 7, 15]


@pytest.fixture(scope="module")
def pizza():
    return planted.pizza_snapshot(31, PLANTED)


def noisy(p, operation="addition"):
    parts = planted.split(p, operation)
    n_pairs = parts.task.n_pairs
    neurons = planted.noise(n_pairs, 8, seed=5).relu()
    return planted.snapshot(planted.noise(n_pairs, parts.task.n_classes), parts, neurons)


def naive(snapshot, k, function):
    """Direction, share and coefficient of one wave by plain double sums over pairs, classes."""
    task, view = snapshot.task, snapshot.task.cyclic_view
    n = view.order
    W_L = (snapshot.weight("W_out").double() @ snapshot.weight("W_U").double()).numpy()
    wave = function(2 * np.pi * k * np.arange(n) / n)
    direction = W_L[:, view.class_tokens] @ wave / (wave @ wave)
    along = snapshot.neurons.double().numpy() @ direction
    index = {int(token): s for s, token in enumerate(view.class_tokens)}
    rows = view.pair_rows
    sums = np.array([index[int(task.labels[row])] for row in rows])
    along, at = along[rows], wave[sums]
    coefficient = (along @ at) / (at @ at)
    centered = along - along.mean()
    return direction, coefficient**2 * (at @ at) / (centered @ centered), coefficient


@pytest.mark.parametrize(("p", "operation"), [(13, "addition"), (12, "addition")])
def test_directions_shares_and_coefficients_are_those_of_plain_sums(p, operation):
    snapshot = noisy(p, operation)
    k = p // 2
    found = neuron_logit_map(snapshot, KeyFrequencies.given(p, [2, k]))
    waves = [(2, np.cos), (2, np.sin), (k, np.cos)] + ([(k, np.sin)] if p % 2 else [])
    assert found.frequencies.tolist() == [k for k, _ in waves]
    assert found.is_sine == tuple(function is np.sin for _, function in waves)
    for i, (frequency, function) in enumerate(waves):
        direction, share, coefficient = naive(snapshot, frequency, function)
        assert found.directions[i].numpy() == pytest.approx(direction, **CHAINED64)
        assert found.fraction_explained[i] == pytest.approx(share, **CHAINED64)
        assert found.coefficients[i] == pytest.approx(coefficient, **CHAINED64)


def test_subtraction_and_multiplication_are_read_in_their_cyclic_view():
    for operation, n in (("subtraction", 13), ("multiplication", 12)):
        snapshot = noisy(13, operation)
        found = neuron_logit_map(snapshot, KeyFrequencies.given(n, [5]))
        direction, share, coefficient = naive(snapshot, 5, np.cos)
        assert found.directions[0].numpy() == pytest.approx(direction, **CHAINED64)
        assert found.fraction_explained[0] == pytest.approx(share, **CHAINED64)
        assert found.coefficients[0] == pytest.approx(coefficient, **CHAINED64)


def test_a_planted_map_has_two_directions_per_frequency_and_nothing_else(pizza):
    keys = KeyFrequencies.given(31, PLANTED)
    found = neuron_logit_map(pizza, keys)
    assert len(found.directions) == 6
    assert found.residual_norm_fraction == pytest.approx(0, abs=1e-6)
    # Three frequencies hold a third of the power each; without one, sqrt(1/3) of the norm stays.
    two = neuron_logit_map(pizza, KeyFrequencies.given(31, PLANTED[:2]))
    assert two.residual_norm_fraction == pytest.approx(math.sqrt(1 / 3), rel=1e-6)
    wrong = neuron_logit_map(pizza, KeyFrequencies.given(31, [k + 1 for k in PLANTED[:2]]))
    assert wrong.residual_norm_fraction == pytest.approx(1.0, rel=1e-6)
    for i, (k, function) in enumerate([(k, f) for k in PLANTED for f in (np.cos, np.sin)]):
        _, share, coefficient = naive(pizza, k, function)
        assert found.fraction_explained[i] == pytest.approx(share, **CHAINED64)
        assert found.coefficients[i] == pytest.approx(coefficient, **CHAINED64)


def test_the_neurons_speak_only_along_the_planted_directions(pizza):
    found = neuron_logit_map(pizza, KeyFrequencies.given(31, PLANTED))
    kept = projected_neurons(pizza, found.directions, keep=True)
    logits = logits_of_neurons(pizza, kept.float())
    # Up to a constant per pair, which no loss sees; the planted map has none.
    true = pizza.logits[pizza.pair_rows]
    assert logits.numpy() == pytest.approx(true.numpy(), rel=1e-4, abs=1e-4)
    labels = pizza.labels[pizza.pair_rows]
    rest = projected_neurons(pizza, found.directions, keep=False)
    silent = cross_entropy(logits_of_neurons(pizza, rest.float()), labels)
    assert silent == pytest.approx(math.log(31), rel=1e-4)


def test_projections_add_up_and_a_random_direction_is_not_enough(pizza):
    direction = planted.noise(1, 48)
    kept = projected_neurons(pizza, direction, keep=True)
    rest = projected_neurons(pizza, direction, keep=False)
    neurons = pizza.neurons[pizza.pair_rows].double()
    assert (kept + rest).numpy() == pytest.approx(neurons.numpy(), **FLOAT32)
    # Rounded to the float32 of the activations.
    assert (rest.double() @ direction[0]).numpy() == pytest.approx(0, abs=1e-5)
    logits = logits_of_neurons(pizza, kept.float())
    assert (
        torch.linalg.matrix_rank(
            logits - (pizza.logits - pizza.written_by_neurons)[pizza.pair_rows], rtol=1e-4
        )
        == 1
    )
