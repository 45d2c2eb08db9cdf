"""What is planted on groups of every type of representation is found, and its neighbor is not."""

import math

import numpy as np
import pytest
import torch

from grokinterp.circuits import (
    KeyFrequencies,
    ablate,
    ablation_table,
    excluded_loss,
    find_key_frequencies,
    neuron_table,
    restricted_loss,
)
from grokinterp.circuits.key_frequencies import character_similarities
from grokinterp.circuits.logit_coefficients import logit_coefficients
from grokinterp.circuits.trigonometric import fraction_logit_variance_explained
from grokinterp.errors import ConfigError
from grokinterp.groups import named_group
from grokinterp.measures import MEASURES, by_representation_table
from tests import planted
from tests.tolerances import CHAINED64


def of_dihedral(k, n=7):
    flip, turn = np.divmod(np.arange(2 * n), n)
    return np.where(flip == 0, 2 * np.cos(2 * math.pi * k * turn / n), 0.0)


def of_quaternions():
    return np.array([4.0, 0, -4, 0, 0, 0, 0, 0])


def of_affine(p=7):
    u, v = np.divmod(np.arange(p * (p - 1)), p)
    return np.where(u == 0, np.where(v == 0, p - 1.0, -1.0), 0.0)


def of_affine_scale(k, p=7, root=3):
    log = {pow(root, e, p): e for e in range(p - 1)}
    turn = np.array([log[u + 1] for u in np.arange(p * (p - 1)) // p])
    return 2 * np.cos(2 * math.pi * k * turn / (p - 1))


def of_square(k, m, n=5):
    x, y = np.divmod(np.arange(n * n), n)
    return 2 * np.cos(2 * math.pi * (k * x + m * y) / n)


# Traces written down, amplitudes, types, and a representation that is not planted.
PLANTED = {
    "dihedral": (
        "D7",
        {"freq_1": (of_dihedral(1), 3.0), "freq_3": (of_dihedral(3), 5.0)},
        {"real"},
        "freq_2",
    ),
    "quaternion": (
        "Q8",
        {"freq_1": (of_quaternions(), 2.0), "sign_a": (np.array([1.0, -1] * 4), 4.0)},
        {"real", "quaternionic"},
        "sign",
    ),
    "affine": (
        "Aff7",
        {"freq_1": (of_affine_scale(1), 2.0), "standard": (of_affine(), 3.0)},
        {"real", "complex"},
        "freq_2",
    ),
    "abelian": (
        "C5xC5",
        {
            "freq_1_x_freq_2": (of_square(1, 2), 4.0),
            "freq_1_x_freq_3": (of_square(1, 3), 2.0),
        },
        {"complex"},
        "freq_1_x_freq_1",
    ),
}


@pytest.fixture(params=PLANTED, scope="module")
def case(request):
    name, truth, types, other = PLANTED[request.param]
    mixed = sum(alpha * trace for trace, alpha in truth.values())
    amplitudes = {key: alpha for key, (_, alpha) in truth.items()}
    return planted.on_group(name, torch.tensor(mixed)), amplitudes, types, other


def given(snapshot, names):
    return KeyFrequencies.given_for(snapshot.view, names)


def test_planted_representations_are_found_with_their_coefficients(case):
    snapshot, amplitudes, types, other = case
    assert snapshot.accuracy_all == 1
    harmonics = snapshot.harmonics
    found = dict(zip(harmonics.names[1:], logit_coefficients(snapshot).tolist(), strict=True))
    for name, coefficient in found.items():
        assert coefficient == pytest.approx(amplitudes.get(name, 0), **CHAINED64)
    keys = given(snapshot, amplitudes)
    kinds = dict(zip(harmonics.names, harmonics.types, strict=True))
    assert {kinds[name] for name in keys.names} == types
    assert fraction_logit_variance_explained(snapshot, keys) == pytest.approx(1, **CHAINED64)
    assert float(character_similarities(snapshot).square().sum()) == pytest.approx(1)
    # Another representation explains nothing.
    wrong = given(snapshot, [other])
    assert fraction_logit_variance_explained(snapshot, wrong) == pytest.approx(0, abs=1e-12)


def test_both_rules_find_what_was_planted_and_elements_in_another_order_have_none(case):
    snapshot, amplitudes, _, _ = case
    published = find_key_frequencies(snapshot, rule="character_similarity", n_permutations=5)
    assert set(published.names) == set(amplitudes)
    keys = find_key_frequencies(snapshot, n_permutations=50)
    assert set(keys.published_representations) == set(amplitudes)
    if snapshot.view.order > 8:  # permuted pairs reach far in eight elements
        assert set(keys.names) == set(amplitudes)
    n = snapshot.view.order
    order = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    shuffled = snapshot.logits.view(n, n, n)[order][:, order].reshape(n * n, n)
    moved = planted.snapshot(shuffled, snapshot.split)
    assert moved.accuracy_all < 0.5
    assert find_key_frequencies(moved, n_permutations=5).frequencies == ()
    assert fraction_logit_variance_explained(moved, given(moved, amplitudes)) < 0.4


def test_the_circuit_is_all_that_a_planted_network_has(case):
    snapshot, amplitudes, _, other = case
    keys, wrong = given(snapshot, amplitudes), given(snapshot, [other])
    full, chance = float(snapshot.losses.mean()), math.log(snapshot.view.order)
    assert restricted_loss(snapshot, keys, on="all") == pytest.approx(full, **CHAINED64)
    assert excluded_loss(snapshot, keys, on="all") == pytest.approx(chance, **CHAINED64)
    assert restricted_loss(snapshot, wrong, on="all") == pytest.approx(chance, **CHAINED64)
    assert excluded_loss(snapshot, wrong, on="all") == pytest.approx(full, **CHAINED64)


def test_tables_and_ablations_name_representations_with_their_type(case):
    snapshot, amplitudes, _, other = case
    keys, harmonics = given(snapshot, amplitudes), snapshot.harmonics
    table = by_representation_table(snapshot).set_index("representation")
    assert table["type"].to_dict() == dict(
        zip(harmonics.names[1:], harmonics.types[1:], strict=True)
    )
    assert table["dimension"].tolist() == list(harmonics.dimensions[1:])
    held = table["logit_power_share"]
    assert float(held[list(amplitudes)].sum()) == pytest.approx(1)
    components = set(ablation_table(snapshot, keys)["component"])
    assert {f"representation_{name}" for name in amplitudes} <= components
    chance = math.log(snapshot.view.order)
    alone = ablate(snapshot, keys, component=f"representation_{other}", keep=True)
    assert alone.losses["all"] == pytest.approx(chance, **CHAINED64)
    both = ablate(snapshot, keys, component="trigonometric_circuit", at="logits")
    assert both.losses["all"] == pytest.approx(chance, **CHAINED64)


def test_neurons_belong_to_the_representation_that_they_are_functions_of(case):
    snapshot, amplitudes, _, other = case
    basis = snapshot.harmonics
    n, number = snapshot.view.order, basis.names.index(next(iter(amplitudes)))
    wave = basis.waves(torch.tensor([number]))[-1]
    mixed = wave + basis.waves(torch.tensor([basis.names.index(other)]))[0]
    pairs = snapshot.products
    columns = [wave[pairs], wave[:, None] * wave, mixed[pairs], torch.ones(n, n)]
    neurons = torch.stack([c.reshape(-1) for c in columns], dim=1).float()
    found = planted.snapshot(snapshot.logits, snapshot.split, neurons)
    shares = found.neuron_frequency_shares[number - 1]
    assert float(shares[0]) == pytest.approx(1, rel=1e-5)
    assert float(shares[2]) == pytest.approx(0.5, rel=1e-5) and float(shares[3]) == 0
    assert 0.1 < float(shares[1]) <= 1 + 1e-5
    of = neuron_table(planted.with_activations(snapshot, neurons=torch.cat([neurons] * 2, 1)))
    assert of["representation"][0] == basis.names[number]


def test_every_measure_of_groups_has_a_number_on_a_group_that_is_not_cyclic(case):
    snapshot, amplitudes, _, _ = case
    keys = given(snapshot, amplitudes)
    applied = [m for m in MEASURES if m.applies_to(snapshot.task, keys)]
    names = {m.name for m in applied}
    assert {"restricted_loss", "fraction_single_representation_neurons"} & names
    assert "gini_W_E" not in names


def test_names_of_frequencies_are_taken_for_a_cyclic_group():
    snapshot = planted.trigonometric_snapshot(12, [2, 6])
    keys = KeyFrequencies.given_for(snapshot.view, ["sign", "freq_2"])
    assert keys.frequencies == (2, 6) and keys.representations == ("freq_2", "sign")
    published = find_key_frequencies(snapshot, rule="character_similarity", n_permutations=5)
    assert published.frequencies == (2, 6)
    assert published.published_representations == ("freq_2", "sign")
    assert KeyFrequencies.given_for(snapshot.view, ["freq_6"]).representations == ("sign",)
    for word in ("standard", "freq_7", "trivial"):
        with pytest.raises(ConfigError, match=rf"'{word}' is no frequency. Name some of 1 .. 6\."):
            KeyFrequencies.given_for(snapshot.view, [word])


def test_the_published_rule_takes_a_representation_that_holds_next_to_nothing():
    amplitudes = 10 * of_dihedral(1) + 0.1 * of_dihedral(2)
    snapshot = planted.on_group("D7", torch.tensor(amplitudes))
    ours = find_key_frequencies(snapshot, n_permutations=50)
    assert ours.names == ("freq_1",)
    assert ours.published_representations == ("freq_1", "freq_2")
    held = ours.evidence.set_index("representation")["logit_power_share"]
    assert held["freq_2"] == pytest.approx(1e-4, rel=1e-3)
    weaker = planted.on_group("D7", torch.tensor(10 * of_dihedral(1) + 0.04 * of_dihedral(2)))
    assert find_key_frequencies(weaker, n_permutations=5).published_representations == ("freq_1",)


def test_a_table_of_right_answers_has_a_dense_set_of_representations_not_of_frequencies():
    right = torch.zeros(34, dtype=torch.float64)
    right[0] = 10.0
    dense = find_key_frequencies(planted.on_group("D17", right), n_permutations=20)
    assert dense.is_dense and len(dense.names) == 9
    assert dense.caveats[0].startswith("nearly all representations are key")
    of_numbers = KeyFrequencies(19, tuple(range(1, 10)), is_dense=True)
    assert of_numbers.caveats[0].startswith("nearly all frequencies are key")


def test_a_representation_that_does_not_exist_is_refused_with_those_that_do():
    view = planted.on_group("Q8", torch.tensor(of_quaternions())).view
    assert view.group is named_group("Q8")
    with pytest.raises(ConfigError, match="'trivial' is no representation of quaternion .* sign"):
        KeyFrequencies.given_for(view, ["trivial"])
