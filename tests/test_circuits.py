import math

import numpy as np
import pytest
import torch

from grokinterp.circuits import KeyFrequencies
from grokinterp.circuits.memorization import (
    excluded_accuracy,
    excluded_logits,
    excluded_loss,
    excluded_losses_by_frequency,
    excluded_pair_losses,
)
from grokinterp.circuits.neurons import frequency_shares
from grokinterp.circuits.trigonometric import (
    fraction_logit_variance_explained,
    logit_coefficients,
    restricted_logits,
    restricted_loss,
    trigonometric_component,
)
from grokinterp.errors import ConfigError
from grokinterp.models.loss import accuracy, cross_entropy, pair_losses
from grokinterp.spectra import sum_rows
from tests import planted
from tests.tolerances import CHAINED64, EXACT64

P = [2, 3, 12, 13, 59]


def noisy_snapshot(p, operation="addition", scale=3.0, noise=1.0, seed=0):
    """Waves at the lowest and highest frequency, noise, and pairs that are left out."""
    split = planted.split(p, operation)
    task = split.task
    n = task.cyclic_view.order
    waves = planted.cosines(task, {1: scale, n // 2: scale / 2})
    return planted.snapshot(
        waves + planted.noise(task.n_pairs, task.n_classes, scale=noise, seed=seed), split
    )


def naive_waves(task, k):
    """cos w_k(i + j) and sin w_k(i + j) on the task's own rows; zero where the view has none."""
    view = task.cyclic_view
    i, j = np.divmod(np.arange(view.order**2), view.order)
    waves = []
    for function in (np.cos, np.sin):
        wave = np.zeros(task.n_pairs)
        wave[view.pair_rows] = function(2 * np.pi * k * (i + j) / view.order)
        if np.linalg.norm(wave) > 1e-6:
            waves.append(wave / np.linalg.norm(wave))
    return waves


def naive_component(snapshot, frequencies):
    """Projection of every logit column, one wave at a time, over all pairs."""
    logits = snapshot.logits.numpy()
    component = np.zeros_like(logits)
    for k in frequencies:
        for wave in naive_waves(snapshot.task, k):
            component += np.outer(wave, wave @ logits)
    return component


def naive_loss(logits, labels, rows):
    logits, labels = logits[rows], labels[rows]
    largest = logits.max(axis=1)
    log_sum = largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))
    return (log_sum - logits[np.arange(len(labels)), labels]).mean()


def rows_of(snapshot, on):
    in_view = np.zeros(snapshot.task.n_pairs, dtype=bool)
    in_view[snapshot.task.cyclic_view.pair_rows] = True
    return in_view & snapshot.pair_mask(on).numpy()


CASES = [
    *[("addition", p) for p in P],
    ("subtraction", 13),
    ("multiplication", 13),
    ("multiplication", 3),
    ("division", 13),
]


@pytest.mark.parametrize(("operation", "p"), CASES)
@pytest.mark.parametrize("on", ["all", "train"])
def test_excluded_loss_is_that_of_the_naive_projection(operation, p, on):
    snapshot = noisy_snapshot(p, operation)
    n = snapshot.view.order
    keys = KeyFrequencies.given(n, {1, n // 2})
    logits = snapshot.logits.numpy() - naive_component(snapshot, keys.frequencies)
    expected = naive_loss(logits, snapshot.task.labels, rows_of(snapshot, on))
    assert excluded_loss(snapshot, keys, on=on) == pytest.approx(expected, **CHAINED64)
    assert excluded_loss(snapshot, keys, on=on) != pytest.approx(expected * 1.001, **CHAINED64)


@pytest.mark.parametrize(("operation", "p"), CASES)
@pytest.mark.parametrize("on", ["all", "train", "test"])
def test_restricted_loss_is_that_of_the_naive_projection(operation, p, on):
    snapshot = noisy_snapshot(p, operation)
    n = snapshot.view.order
    keys = KeyFrequencies.given(n, {1, n // 2})
    class_means = snapshot.logits.numpy()[snapshot.task.cyclic_view.pair_rows].mean(axis=0)
    logits = naive_component(snapshot, keys.frequencies) + class_means
    rows = rows_of(snapshot, on)
    found = restricted_loss(snapshot, keys, on=on)
    if not rows.any():
        assert math.isnan(found)
        return
    assert found == pytest.approx(naive_loss(logits, snapshot.task.labels, rows), **CHAINED64)


@pytest.mark.parametrize(("operation", "p"), CASES)
def test_losses_without_each_frequency_are_those_of_the_naive_projections(operation, p):
    snapshot = noisy_snapshot(p, operation)
    losses = excluded_losses_by_frequency(snapshot)
    for k in range(1, snapshot.view.order // 2 + 1):
        logits = snapshot.logits.numpy() - naive_component(snapshot, [k])
        for on in ("all", "train"):
            expected = naive_loss(logits, snapshot.task.labels, rows_of(snapshot, on))
            assert float(losses[on][k - 1]) == pytest.approx(expected, **CHAINED64)


@pytest.mark.parametrize("scale", [1e2, 1e3, 1e5, 1e30])
def test_the_grouped_product_is_exact_where_its_factors_underflow(scale):
    snapshot = noisy_snapshot(13, scale=scale, noise=scale / 10)
    components = torch.stack([trigonometric_component(snapshot, [k]) for k in range(1, 7)])
    found = excluded_pair_losses(snapshot, components)
    labels = snapshot.class_tokens.repeat_interleave(13)
    for index, component in enumerate(components):
        logits = (snapshot.logits_by_sum - component[:, None]).flatten(0, 1)
        expected = pair_losses(logits, labels)
        # Differences of logits of this size have no more digits than that.
        tolerance = {"rel": 1e-9, "abs": max(1e-9, 1e-13 * scale)}
        assert found[:, :, index].flatten().numpy() == pytest.approx(expected.numpy(), **tolerance)


@pytest.mark.parametrize("p", [3, 13, 59])
@pytest.mark.parametrize("place", ["lowest", "middle", "highest"])
def test_removing_the_only_planted_frequency_leaves_uniform_logits(p, place):
    k = planted.frequency_at(place, p)
    snapshot = planted.trigonometric_snapshot(p, [k])
    keys = KeyFrequencies.given(p, [k])
    for on in ("all", "train", "test"):
        assert excluded_loss(snapshot, keys, on=on) == pytest.approx(math.log(p), **CHAINED64)
    assert float(excluded_losses_by_frequency(snapshot)["all"][k - 1]) == pytest.approx(
        math.log(p), **CHAINED64
    )


def test_removing_another_frequency_changes_nothing():
    snapshot = planted.trigonometric_snapshot(13, [2])
    full = cross_entropy(snapshot.logits, snapshot.labels)
    other = KeyFrequencies.given(13, [5])
    assert excluded_loss(snapshot, other, on="all") == pytest.approx(full, **CHAINED64)
    assert full < math.log(13) / 2


def test_the_restricted_logits_of_a_pure_circuit_are_the_logits():
    snapshot = planted.trigonometric_snapshot(13, [2, 6])
    keys = KeyFrequencies.given(13, [2, 6])
    expected = snapshot.logits_by_sum[:, 3]
    assert restricted_logits(snapshot, keys).numpy() == pytest.approx(expected.numpy(), **CHAINED64)
    assert restricted_loss(snapshot, keys, on="all") == pytest.approx(
        cross_entropy(snapshot.logits, snapshot.labels), **CHAINED64
    )
    one = KeyFrequencies.given(13, [2])
    assert restricted_loss(snapshot, one, on="all") > restricted_loss(snapshot, keys, on="all")


def test_the_per_class_mean_is_put_back_into_the_restricted_logits_alone():
    split = planted.split(13)
    means = planted.noise(13)
    logits = planted.cosines(split.task, {4: 5.0}) + means
    keys = KeyFrequencies.given(13, [4])
    with_means = planted.snapshot(logits, split)
    without = planted.trigonometric_snapshot(13, [4], scale=5.0)
    assert restricted_logits(with_means, keys).numpy() == pytest.approx(
        (restricted_logits(without, keys) + means).numpy(), **CHAINED64
    )
    assert excluded_logits(with_means, keys).numpy() == pytest.approx(
        means.expand(13, 13, 13).numpy(), **CHAINED64
    )


def test_a_network_that_memorizes_keeps_its_training_pairs_without_the_circuit():
    split = planted.split(13, train_fraction=0.4)
    known = torch.nn.functional.one_hot(torch.tensor(split.task.labels), 13).double()
    known[torch.tensor(split.test)] = 0
    waves = planted.cosines(split.task, {2: 6.0, 5: 6.0})
    snapshot = planted.snapshot(waves + 30 * known, split)
    keys = KeyFrequencies.given(13, [2, 5])
    assert excluded_accuracy(snapshot, keys, on="train") == 1.0
    assert excluded_accuracy(snapshot, keys, on="test") < 0.3
    generalizing = planted.snapshot(waves, split)
    assert excluded_accuracy(generalizing, keys, on="train") < 0.3


def test_excluded_accuracy_is_the_share_of_pairs_whose_largest_logit_is_right():
    snapshot = noisy_snapshot(13, noise=3.0)
    keys = KeyFrequencies.given(13, [1])
    logits = snapshot.logits.numpy() - naive_component(snapshot, [1])
    right = logits.argmax(axis=1) == snapshot.task.labels
    for on in ("all", "train", "test"):
        expected = right[rows_of(snapshot, on)].mean()
        assert excluded_accuracy(snapshot, keys, on=on) == pytest.approx(expected, **EXACT64)


def test_adding_a_constant_to_the_logits_of_a_pair_leaves_every_loss_unchanged():
    snapshot = noisy_snapshot(13)
    moved = planted.snapshot(snapshot.logits + planted.noise(169, 1, scale=20.0), snapshot.split)
    keys = KeyFrequencies.given(13, [1, 4])
    for function in (excluded_loss, restricted_loss):
        before = function(snapshot, keys, on="all")
        assert function(moved, keys, on="all") == pytest.approx(before, **CHAINED64)
    assert fraction_logit_variance_explained(moved, keys) == pytest.approx(
        fraction_logit_variance_explained(snapshot, keys), **CHAINED64
    )


@pytest.mark.parametrize(("operation", "p"), CASES)
def test_logit_coefficients_are_the_least_squares_amplitudes(operation, p):
    snapshot = noisy_snapshot(p, operation)
    view = snapshot.view
    n = view.order
    logits = snapshot.logits.numpy()[view.pair_rows][:, view.class_tokens]
    centered = logits - logits.mean(axis=1, keepdims=True)
    i, j, c = np.meshgrid(*[np.arange(n)] * 3, indexing="ij")
    waves = np.stack(
        [np.cos(2 * np.pi * k * (i + j - c) / n).ravel() for k in range(1, n // 2 + 1)], axis=1
    )
    expected, *_ = np.linalg.lstsq(waves, centered.ravel(), rcond=None)
    assert logit_coefficients(snapshot).numpy() == pytest.approx(expected, **CHAINED64)

    chosen = sorted({1, n // 2})
    fit = waves[:, [k - 1 for k in chosen]]
    amplitudes, *_ = np.linalg.lstsq(fit, centered.ravel(), rcond=None)
    residual = ((centered.ravel() - fit @ amplitudes) ** 2).sum()
    explained = 1 - residual / (centered**2).sum()
    keys = KeyFrequencies.given(n, chosen)
    assert fraction_logit_variance_explained(snapshot, keys) == pytest.approx(
        explained, **CHAINED64
    )


def test_an_amplitude_keeps_its_sign():
    split = planted.split(12)
    snapshot = planted.snapshot(planted.cosines(split.task, {2: -3.0, 6: 2.0}), split)
    expected = [0, -3.0, 0, 0, 0, 2.0]
    assert logit_coefficients(snapshot).tolist() == pytest.approx(expected, **CHAINED64)
    keys = KeyFrequencies.given(12, [2, 6])
    assert fraction_logit_variance_explained(snapshot, keys) == pytest.approx(1, **CHAINED64)
    # Power goes with the square, and the alternating wave has twice the power of a cosine.
    one = KeyFrequencies.given(12, [2])
    assert fraction_logit_variance_explained(snapshot, one) == pytest.approx(9 / 17, **CHAINED64)


def test_the_circuits_need_a_cyclic_view():
    split = planted.split(12, "multiplication")
    snapshot = planted.snapshot(planted.noise(144, 12), split)
    with pytest.raises(ConfigError, match="no cyclic view"):
        restricted_loss(snapshot, KeyFrequencies(12, (1,)), on="all")


def test_losses_are_computed_in_float64():
    labels = torch.tensor([0])
    logits = torch.tensor([[30.0, 0.0]])
    assert cross_entropy(logits, labels) == pytest.approx(math.log1p(math.exp(-30)), rel=1e-2)
    assert float(torch.nn.functional.cross_entropy(logits, labels)) == 0.0


def test_loss_of_uniform_logits_is_the_logarithm_of_their_number():
    assert cross_entropy(torch.full((4, 113), 7.5), torch.arange(4)) == pytest.approx(
        math.log(113), **EXACT64
    )


def test_huge_logits_have_a_finite_loss_and_infinite_ones_have_none():
    labels = torch.tensor([1])
    assert cross_entropy(torch.tensor([[1e30, -1e30]]), labels) == pytest.approx(2e30)
    assert math.isnan(cross_entropy(torch.tensor([[torch.inf, 0.0]]), labels))


def test_of_equal_logits_the_first_class_counts():
    assert accuracy(torch.zeros(4, 4), torch.arange(4)) == 0.25


# Neurons


def naive_shares(neurons, n):
    """Projection on the 3 x 3 block of every frequency, entry by entry."""
    x = np.arange(n)
    functions = neurons.T.reshape(-1, n, n)
    centered = functions - functions.mean(axis=(1, 2), keepdims=True)
    shares = []
    for k in range(1, n // 2 + 1):
        waves = [np.ones(n), np.cos(2 * np.pi * k * x / n), np.sin(2 * np.pi * k * x / n)]
        waves = [w / np.linalg.norm(w) for w in waves if np.linalg.norm(w) > 1e-6]
        power = sum(
            (centered @ g @ f) ** 2
            for f in waves
            for g in waves
            if not (f is waves[0] and g is waves[0])
        )
        shares.append(power / (centered**2).sum(axis=(1, 2)))
    return np.array(shares)


@pytest.mark.parametrize("n", [2, 3, 12, 13])
def test_shares_of_neurons_are_those_of_the_naive_block(n):
    neurons = planted.noise(n * n, 5).relu() + 0.1
    found = frequency_shares(neurons, torch.arange(n * n).view(n, n))
    assert found.numpy() == pytest.approx(naive_shares(neurons.numpy(), n), **CHAINED64)


@pytest.mark.parametrize("n", [12, 13])
@pytest.mark.parametrize("place", ["lowest", "middle", "highest"])
def test_a_neuron_of_one_frequency_has_all_its_share_there(n, place):
    k = planted.frequency_at(place, n)
    i, j = torch.meshgrid(torch.arange(n).double(), torch.arange(n).double(), indexing="ij")
    w = 2 * math.pi * k / n
    kinds = [
        (w * i).cos(),
        2 + (w * j + 0.5).cos(),
        (w * i).cos() * (w * j).cos(),
        (w * (i - j)).cos() + 0.3 * (w * i).cos(),
    ]
    neurons = torch.stack([kind.flatten() for kind in kinds], dim=1)
    shares = frequency_shares(neurons, torch.arange(n * n).view(n, n))
    assert shares[k - 1].numpy() == pytest.approx(1, **CHAINED64)
    mixed = neurons + 3 * (2 * math.pi * (i + 2 * j) / n).sin().flatten()[:, None]
    if n > 3:
        assert (frequency_shares(mixed, torch.arange(n * n).view(n, n))[k - 1] < 0.85).all()


def test_dead_and_constant_neurons_have_no_share_and_huge_ones_have_theirs():
    n = 5
    live = planted.noise(25, 1).float()
    neurons = torch.cat([torch.zeros(25, 1), torch.full((25, 1), 0.3), 1e30 * live, live], dim=1)
    shares = frequency_shares(neurons, torch.arange(25).view(n, n))
    assert (shares[:, :2] == 0).all()
    assert shares[:, 2].numpy() == pytest.approx(shares[:, 3].numpy(), rel=1e-5)
    assert (shares[:, 3].sum() > 0.1).all()


def test_a_constant_neuron_that_rounding_moves_is_dead():
    n = 5
    i = torch.arange(25) // n
    wave = torch.cos(2 * math.pi * i / n)[:, None]
    constant = torch.tensor(0.3)
    rounded = constant + torch.finfo(torch.float32).eps / 4 * wave.sign()
    assert rounded.unique().numel() > 1
    assert (frequency_shares(rounded, torch.arange(25).view(n, n)) == 0).all()
    alive = frequency_shares(constant + 1e-3 * wave, torch.arange(25).view(n, n))
    assert float(alive[0, 0]) == pytest.approx(1, rel=1e-3)


def test_neurons_of_a_task_in_another_order_are_read_through_its_view():
    split = planted.split(7, "multiplication")
    view = split.task.cyclic_view
    i, j = np.divmod(np.arange(36), 6)
    neurons = torch.zeros(49, 1, dtype=torch.float64)
    neurons[torch.tensor(view.pair_rows), 0] = torch.tensor(np.cos(2 * np.pi * 2 * (i + j) / 6))
    snapshot = planted.snapshot(planted.noise(49, 7), split, neurons)
    expected = [[0], [1], [0]]
    assert snapshot.neuron_frequency_shares.numpy() == pytest.approx(
        np.array(expected), **CHAINED64
    )
    assert (sum_rows(6).shape, snapshot.rows_by_sum.shape) == ((6, 6), (6, 6))
