"""The analysis of networks that compose permutations, on planted truth."""

import math

import numpy as np
import pytest
import torch

from grokinterp.circuits import (
    KeyFrequencies,
    ablate,
    ablation_table,
    circuit_table,
    find_algorithm,
    find_key_frequencies,
    neuron_table,
)
from grokinterp.circuits.components import SITES
from grokinterp.circuits.key_frequencies import character_similarities, embedding_norms
from grokinterp.circuits.logit_coefficients import logit_coefficients
from grokinterp.circuits.memorization import (
    excluded_logits,
    excluded_loss,
    excluded_losses_by_frequency,
)
from grokinterp.circuits.trigonometric import (
    cosine_logits,
    fraction_logit_variance_explained,
    restricted_logits,
    restricted_loss,
)
from grokinterp.errors import ConfigError
from grokinterp.measures import MEASURES, by_representation_table
from grokinterp.spectra import power_by_frequency, symmetric_harmonics, symmetric_representations
from grokinterp.tasks import Task, TaskSpec, draw_split, permutations
from tests import planted
from tests.tolerances import CHAINED64, EXACT64

DEGREES = [3, 4, 5]


def split(degree):
    return draw_split(Task(TaskSpec("permutation_composition", degree=degree, train_fraction=0.6)))


def character_logits(task, amplitudes, *, is_reversed=False):
    """sum_rho alpha_rho chi_rho(a b c^-1), from one-line notation and traces alone."""
    degree = task.spec.degree
    elements = permutations(degree)
    token = {tuple(row): i for i, row in enumerate(elements.tolist())}
    inverse = np.argsort(elements, axis=1)
    characters = {r.name: r.character.numpy() for r in symmetric_representations(degree)}
    mixed = sum(alpha * characters[name] for name, alpha in amplitudes.items())
    a, b = task.pairs.T
    first, second = (elements[b], elements[a]) if is_reversed else (elements[a], elements[b])
    product = np.take_along_axis(first, second, axis=1)
    place = degree ** np.arange(degree)
    by_code = {int(np.array(row) @ place): i for row, i in token.items()}
    logits = np.zeros((task.n_pairs, task.n_classes))
    for c in range(task.n_classes):
        quotient = product[:, inverse[c]]
        logits[:, c] = mixed[[by_code[int(code)] for code in quotient @ place]]
    return torch.from_numpy(logits)


def snapshot_of(degree, amplitudes, noise=0.0, **changes):
    parts = split(degree)
    logits = character_logits(parts.task, amplitudes, **changes)
    return planted.snapshot(logits + noise * planted.noise(*logits.shape), parts)


@pytest.mark.parametrize("degree", DEGREES)
def test_planted_representations_are_found_with_their_coefficients_and_nothing_else(degree):
    amplitudes = {"standard": 4.0, "sign": 3.0}
    snapshot = snapshot_of(degree, amplitudes)
    assert snapshot.accuracy_all == 1.0
    keys = find_key_frequencies(snapshot, n_permutations=100)
    assert set(keys.names) == set(amplitudes)
    found = dict(
        zip(symmetric_harmonics(degree).names[1:], logit_coefficients(snapshot), strict=True)
    )
    for name, coefficient in found.items():
        assert float(coefficient) == pytest.approx(amplitudes.get(name, 0.0), **CHAINED64)
    assert fraction_logit_variance_explained(snapshot, keys) == pytest.approx(1, **CHAINED64)
    one = KeyFrequencies.given_for(snapshot.view, ["standard"])
    # Characters have equal norms, so the shares are as the squares of the amplitudes.
    explained = fraction_logit_variance_explained(snapshot, one)
    assert explained == pytest.approx(16 / 25, **CHAINED64)
    similarity = character_similarities(snapshot)
    assert float(similarity.square().sum()) == pytest.approx(1, **CHAINED64)
    assert cosine_logits(snapshot, keys).numpy() == pytest.approx(
        snapshot.logits_by_sum[:, 0].numpy(), **CHAINED64
    )


@pytest.mark.parametrize("degree", DEGREES)
def test_removing_the_only_planted_representation_leaves_uniform_logits(degree):
    snapshot = snapshot_of(degree, {"standard": 5.0})
    n = math.factorial(degree)
    planted_one = KeyFrequencies.given_for(snapshot.view, ["standard"])
    assert excluded_loss(snapshot, planted_one, on="all") == pytest.approx(math.log(n), **CHAINED64)
    full = float(snapshot.losses.mean())
    assert restricted_loss(snapshot, planted_one, on="all") == pytest.approx(full, **CHAINED64)
    other = KeyFrequencies.given_for(snapshot.view, ["sign"])
    assert excluded_loss(snapshot, other, on="all") == pytest.approx(full, **CHAINED64)
    assert restricted_loss(snapshot, other, on="all") == pytest.approx(math.log(n), **CHAINED64)


def test_a_network_that_composes_in_the_other_order_has_no_circuit_for_this_task():
    snapshot = snapshot_of(4, {"standard": 5.0}, is_reversed=True)
    assert snapshot.accuracy_all < 0.5
    keys = find_key_frequencies(snapshot, n_permutations=20)
    assert keys.frequencies == () and "accuracy" in keys.reason
    standard = KeyFrequencies.given_for(snapshot.view, ["standard"])
    assert fraction_logit_variance_explained(snapshot, standard) < 0.3


@pytest.mark.parametrize(
    ("task_spec", "keys", "expected"),
    [
        (
            TaskSpec("permutation_composition", degree=5, train_fraction=0.8),
            ["standard", "standard_sign", "sign"],
            0.6,
        ),
        (TaskSpec(p=113, train_fraction=0.3), [14, 35, 41, 42, 52], 4.1),
    ],
    ids=["S_5", "Z_113"],
)
def test_a_network_that_only_memorizes_lowers_the_restricted_loss(task_spec, keys, expected):
    parts = draw_split(Task(task_spec))
    known = torch.nn.functional.one_hot(torch.tensor(parts.task.labels)).double()
    known[torch.tensor(parts.test)] = 0
    snapshot = planted.snapshot(25 * known, parts)
    chosen = KeyFrequencies.given_for(parts.task.group_view, keys)
    found = restricted_loss(snapshot, chosen, on="test")
    # To the one digit that the documentation gives.
    assert round(found, 1) == expected < math.log(parts.task.n_classes) - 0.5
    # What tells it from a circuit: it answers its training pairs without.
    assert excluded_loss(snapshot, chosen, on="train") < 0.01
    assert excluded_loss(snapshot_of(5, {"standard": 5.0}), _standard(), on="train") > 1


def _standard():
    view = Task(TaskSpec("permutation_composition", degree=5)).group_view
    return KeyFrequencies.given_for(view, ["standard"])


def test_components_are_projections_on_matrix_elements_one_by_one():
    snapshot = snapshot_of(3, {"standard": 2.0, "sign": 1.0}, noise=1.0)
    keys = KeyFrequencies.given_for(snapshot.view, ["standard"])
    matrices = symmetric_representations(3)[1].matrices[snapshot.labels]
    left = snapshot.logits.clone()
    for i in range(2):
        for j in range(2):
            wave = matrices[:, i, j] / matrices[:, i, j].norm()
            left -= wave[:, None] * (wave @ snapshot.logits)
    found = excluded_logits(snapshot, keys)
    assert found.flatten(0, 1).numpy() == pytest.approx(
        left[snapshot.rows_by_sum.flatten()].numpy(), **CHAINED64
    )
    mean = snapshot.logits.mean(dim=0)
    kept = (snapshot.logits - left + mean)[snapshot.rows_by_sum[:, 0]]
    assert restricted_logits(snapshot, keys).numpy() == pytest.approx(kept.numpy(), **CHAINED64)


@pytest.mark.parametrize("degree", [3, 4])
def test_the_table_has_a_row_for_every_representation_but_the_trivial_one(degree):
    snapshot = snapshot_of(degree, {"standard": 4.0, "sign": 3.0}, noise=0.1)
    table = by_representation_table(snapshot).set_index("representation")
    names = symmetric_harmonics(degree).names
    assert table.index.tolist() == list(names[1:])
    assert table["logit_power_share"].sum() == pytest.approx(1)
    excluded = excluded_losses_by_frequency(snapshot)
    for k, name in enumerate(names[1:]):
        one = KeyFrequencies.given_for(snapshot.view, [name])
        assert float(excluded["all"][k]) == pytest.approx(
            excluded_loss(snapshot, one, on="all"), **CHAINED64
        )
        assert table["excluded_loss_train"][name] == pytest.approx(
            excluded_loss(snapshot, one, on="train"), **CHAINED64
        )
    assert len(by_representation_table(planted.trigonometric_snapshot(13, [2]))) == 0


def test_neurons_belong_to_the_representation_that_they_are_a_function_of():
    parts = split(4)
    standard = symmetric_representations(4)[1].matrices
    a, b = (torch.tensor(x) for x in parts.task.pairs.T.copy())
    products = torch.tensor(parts.task.labels)
    neurons = torch.stack(
        [
            2 + standard[a, 0, 1],
            standard[products, 2, 0],
            standard[a, 0, 0] * standard[b, 1, 2],
            symmetric_representations(4)[4].matrices[b, 0, 0],
            0 * a.double() + 3,
            planted.noise(24 * 24),
            standard[a, 0, 0] + symmetric_representations(4)[2].matrices[b, 0, 0],
            standard[products, 1, 1] - standard[b, 2, 2],
        ],
        dim=1,
    )
    snapshot = planted.snapshot(planted.noise(576, 24), parts, neurons)
    shares = snapshot.neuron_frequency_shares
    # Representations 1 (standard), 2 (2d), 3 (standard_sign), 4 (sign).
    for neuron, number in ((0, 1), (1, 1), (2, 1), (3, 4), (7, 1)):
        assert float(shares[number - 1, neuron]) == pytest.approx(1, **EXACT64)
    assert not shares[:, 4].any()
    assert float(shares[:, 5].max()) < 0.5
    assert 0.2 < float(shares[0, 6]) < 0.8
    table = neuron_table(snapshot)
    assert table["representation"].tolist()[:4] == ["standard"] * 3 + ["sign"]
    assert table["representation"].isna().tolist()[:6] == [False] * 4 + [True, False]


def test_ablations_name_representations():
    snapshot = snapshot_of(4, {"standard": 4.0, "sign": 3.0}, noise=0.2)
    keys = find_key_frequencies(snapshot, n_permutations=50)
    table = ablation_table(snapshot, keys)
    assert table["component"].tolist()[:5] == [
        "full",
        "trigonometric_circuit",
        "memorization_circuit",
        "representation_standard",
        "representation_sign",
    ]
    assert table["frequencies"].tolist()[1] == "standard sign"
    one = ablate(snapshot, component="representation_sign")
    sign = KeyFrequencies.given_for(snapshot.view, ["sign"])
    assert one.losses["all"] == pytest.approx(excluded_loss(snapshot, sign, on="all"), **CHAINED64)
    everywhere = ablation_table(snapshot, keys, at=SITES)
    assert np.isfinite(everywhere["loss_all"]).all()
    with pytest.raises(ConfigError, match="'5d_a' is no representation of symmetric\\(4\\)"):
        ablate(snapshot, component="representation_5d_a")
    with pytest.raises(ConfigError, match="'trivial' is no representation of .* that can be key"):
        KeyFrequencies.given_for(snapshot.view, ["trivial"])
    with pytest.raises(ConfigError, match="'sign' is no frequency"):
        KeyFrequencies.given_for(Task(TaskSpec(p=13)).group_view, ["sign"])


def test_what_only_frequencies_have_is_absent_or_says_so():
    snapshot = snapshot_of(3, {"standard": 4.0, "sign": 3.0})
    keys = KeyFrequencies.given_for(snapshot.view, ["standard"])
    assert len(circuit_table(snapshot, keys)) == 0
    assert find_algorithm(snapshot, keys).verdict == "none"
    columns = {
        column
        for measure in MEASURES
        if measure.applies_to(snapshot.task, keys)
        for column in measure.values(snapshot, keys)
    }
    assert {"restricted_loss_test", "excluded_loss_train", "circuit_logits"} & columns
    assert "fraction_single_representation_neurons" in columns
    assert not {"gini_W_E", "distance_irrelevance", "fraction_single_frequency_neurons"} & columns
    with pytest.raises(ConfigError, match="has representations and no frequencies"):
        snapshot.require_cyclic_view()


@pytest.mark.parametrize("operation", ["multiplication", "division"])
def test_multiplication_is_sparse_in_discrete_logarithms_and_dense_without(operation):
    p = 31
    parts = planted.split(p, operation)
    snapshot = planted.snapshot(planted.cosines(parts.task, {4: 9.0, 11: 8.0}), parts)
    tokens = torch.tensor(parts.task.cyclic_view.class_tokens)
    wave = torch.cos(2 * math.pi * 4 * torch.arange(30) / 30)
    snapshot.parameters["embed.W_E"][tokens] = torch.outer(wave, torch.ones(6))
    norms = embedding_norms(snapshot)
    assert int(norms.argmax()) + 1 == 4
    assert float(norms[3].square() / norms.square().sum()) == pytest.approx(1, rel=1e-5)
    assert find_key_frequencies(snapshot, n_permutations=50).frequencies == (4, 11)
    # The same embedding in the order of the residues has no frequency above a third.
    naive = power_by_frequency(snapshot.parameters["embed.W_E"][1:p])
    assert float(naive.max() / naive.sum()) < 1 / 3
