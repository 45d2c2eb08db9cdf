import math

import numpy as np
import pytest
import torch

from grokinterp.circuits import Snapshot, ablate, neuron_table
from grokinterp.circuits.neuron_polynomials import (
    activation_fits,
    logits_of_neurons,
    neuron_frequencies,
    polynomial_neurons,
)
from grokinterp.models import ModelSpec
from tests import planted
from tests.tolerances import CHAINED64, FLOAT32


def snapshot_of_neurons(p, functions, operation="addition"):
    parts = planted.split(p, operation)
    n = parts.task.cyclic_view.order
    i, j = torch.meshgrid(torch.arange(n).double(), torch.arange(n).double(), indexing="ij")
    neurons = torch.zeros(parts.task.n_pairs, 8, dtype=torch.float64)
    for column, function in enumerate(functions):
        rows = torch.tensor(parts.task.cyclic_view.pair_rows)
        neurons[rows, column] = function(i, j).flatten()
    return planted.snapshot(planted.noise(parts.task.n_pairs, p), parts, neurons)


def cos(k, x, p):
    return torch.cos(2 * math.pi * k * x / p)


@pytest.mark.parametrize("p", [12, 13])
def test_polynomials_of_one_frequency_stay_and_other_frequencies_go(p):
    k = p // 2
    snapshot = snapshot_of_neurons(
        p,
        [
            lambda i, j: 1 + cos(k, i, p) + 2 * cos(k, i + j, p) - cos(k, i - j, p),
            lambda i, j: 2 + 3 * cos(2, i, p) * cos(2, j, p) + cos(k, i, p),
            lambda i, j: 0 * i + 4.0,
        ],
    )
    frequencies, shares = neuron_frequencies(snapshot)
    assert frequencies[:3].tolist() == [k, 2, 0]
    assert shares[0] == pytest.approx(1.0, **CHAINED64)
    polynomials = polynomial_neurons(snapshot)
    true = snapshot.neurons[snapshot.pair_rows]
    assert polynomials[:, 0].numpy() == pytest.approx(true[:, 0].numpy(), **CHAINED64)
    assert polynomials[:, 2].numpy() == pytest.approx(4.0, **CHAINED64)
    i, j = torch.div(torch.arange(p * p), p, rounding_mode="floor"), torch.arange(p * p) % p
    expected = 2 + 3 * cos(2, i.double(), p) * cos(2, j.double(), p)
    assert polynomials[:, 1].numpy() == pytest.approx(expected.numpy(), **CHAINED64)


def test_neurons_of_multiplication_are_polynomials_in_discrete_logarithms():
    snapshot = snapshot_of_neurons(
        13, [lambda i, j: 1 + cos(5, i, 12) * cos(5, j, 12)], "multiplication"
    )
    polynomials = polynomial_neurons(snapshot)
    true = snapshot.neurons[snapshot.pair_rows]
    assert polynomials[:, 0].numpy() == pytest.approx(true[:, 0].numpy(), **CHAINED64)


def random_snapshot(p=7, scale=1.0):
    spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=10)
    parameters = planted.random_parameters(spec, p)
    parameters["unembed.W_U"] *= scale
    return Snapshot.from_parameters(parameters, planted.split(p), spec)


def test_the_networks_own_neurons_give_its_own_logits():
    snapshot = random_snapshot()
    rows = snapshot.pair_rows
    logits = logits_of_neurons(snapshot, snapshot.neurons[rows])
    assert logits.numpy() == pytest.approx(snapshot.logits[rows].numpy(), **FLOAT32)
    silent = logits_of_neurons(snapshot, 0 * snapshot.neurons[rows])
    expected = ablate(snapshot, component="mlp", fill="zero").losses["all"]
    losses = torch.nn.functional.cross_entropy(silent, snapshot.labels[rows])
    assert float(losses) == pytest.approx(expected, **FLOAT32)


# At the larger scale margins leave the range of float32 when they are exponentiated.
@pytest.mark.parametrize("scale", [1.0, 300.0])
@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_the_table_of_neurons_agrees_with_the_ablation_of_each(fill, scale):
    snapshot = random_snapshot(scale=scale)
    table = neuron_table(snapshot)
    for neuron in range(10):
        one = ablate(snapshot, component=f"neuron_{neuron}", fill=fill)
        assert table[f"loss_{fill}"][neuron] == pytest.approx(one.losses["all"], rel=1e-4)
        assert table[f"accuracy_{fill}"][neuron] == pytest.approx(one.accuracies["all"])
    losses = table[f"loss_{fill}"].round(6)
    assert losses.nunique() > 5


def test_a_small_loss_keeps_its_digits_in_the_table_of_neurons():
    snapshot = planted.pizza_snapshot(31, [3, 7, 15], scale=600.0)
    assert snapshot.losses.mean() < 1e-6
    table = neuron_table(snapshot)
    one = ablate(snapshot, component="neuron_20", fill="mean")
    assert table["loss_mean"][20] == pytest.approx(one.losses["all"], rel=1e-3)
    assert table["frequency"].tolist() == [3] * 16 + [7] * 16 + [15] * 16
    assert table["is_single_frequency"].all()


def test_a_task_without_frequencies_has_a_table_without_them():
    split = planted.split(12, "multiplication")
    snapshot = planted.snapshot(planted.noise(144, 12), split)
    table = neuron_table(snapshot)
    assert "frequency" not in table
    assert len(table) == 8


def test_a_dead_neuron_has_no_frequency():
    snapshot = random_snapshot()
    neurons = snapshot.neurons.clone()
    neurons[:, 3] = 0
    table = neuron_table(planted.with_activations(snapshot, neurons=neurons))
    before = neuron_table(snapshot)["frequency"].isna()
    assert not before[3]
    assert table["frequency"].isna().tolist() == [i == 3 or before[i] for i in range(10)]
    assert table["fraction_active"][3] == 0


def test_what_a_line_and_a_parabola_explain_is_what_least_squares_says():
    snapshot = random_snapshot(11)
    found = activation_fits(snapshot)
    block = snapshot.last_block
    pre = block.pre_activations(block.resid_mid).double().numpy()
    for neuron in range(10):
        post = snapshot.neurons[:, neuron].double().numpy()
        if not post.any():
            continue
        for degree, shape in ((1, "linear"), (2, "quadratic")):
            fit = np.polyval(np.polyfit(pre[:, neuron], post, degree), pre[:, neuron])
            expected = 1 - ((post - fit) ** 2).sum() / ((post - post.mean()) ** 2).sum()
            assert float(found[shape][neuron]) == pytest.approx(expected, rel=1e-5)
    assert (found["quadratic"] > found["linear"] + 0.01).any()
