import math

import pytest
import torch

from grokinterp.circuits import KeyFrequencies, Snapshot, ablate, ablation_table
from grokinterp.circuits.loss import cross_entropy
from grokinterp.circuits.memorization import excluded_accuracy, excluded_loss
from grokinterp.circuits.trigonometric import restricted_loss
from grokinterp.errors import ConfigError
from tests import planted
from tests.tolerances import CHAINED64

COLUMNS = [
    "component",
    "intervention",
    "frequencies",
    "loss_all",
    "loss_train",
    "loss_test",
    "accuracy_all",
    "accuracy_train",
    "accuracy_test",
]


@pytest.fixture(scope="module")
def pizza():
    return planted.pizza_snapshot(31, [3, 7, 15])


KEYS = KeyFrequencies(31, (3, 7, 15))
REMAINS_AT_EMBEDDING = {"circuit": "memorization_circuit", "at": "embedding"}


def noisy_snapshot():
    split = planted.split(13)
    waves = planted.cosines(split.task, {2: 4.0, 6: 3.0})
    return planted.snapshot(waves + planted.noise(169, 13), split)


def test_the_table_has_the_full_network_both_circuits_and_every_key_frequency(pizza):
    table = ablation_table(pizza, KEYS)
    assert list(table.columns) == COLUMNS
    assert table["component"].tolist() == [
        "full",
        "trigonometric_circuit",
        "memorization_circuit",
        "frequency_3",
        "frequency_7",
        "frequency_15",
    ]
    assert table["frequencies"].tolist() == ["", "3 7 15", "3 7 15", "3", "7", "15"]
    assert table["intervention"].tolist() == ["none", *["removed from logits"] * 5]


def test_the_rows_are_the_losses_of_the_two_circuits():
    snapshot = noisy_snapshot()
    keys = KeyFrequencies.given(13, [2, 6])
    table = ablation_table(snapshot, keys).set_index("component")
    for on in ("all", "train", "test"):
        mask = snapshot.pair_mask(on)
        full = float(snapshot.losses[mask].mean())
        column = table[f"loss_{on}"]
        assert column["full"] == pytest.approx(full, **CHAINED64)
        assert column["trigonometric_circuit"] == pytest.approx(
            excluded_loss(snapshot, keys, on=on), **CHAINED64
        )
        assert column["memorization_circuit"] == pytest.approx(
            restricted_loss(snapshot, keys, on=on), **CHAINED64
        )
        one = KeyFrequencies.given(13, [6])
        assert column["frequency_6"] == pytest.approx(
            excluded_loss(snapshot, one, on=on), **CHAINED64
        )
        accuracies = table[f"accuracy_{on}"]
        assert accuracies["trigonometric_circuit"] == excluded_accuracy(snapshot, keys, on=on)
        assert accuracies["full"] == float(snapshot.are_correct[mask].double().mean())


@pytest.mark.parametrize("at", ["logits", "neurons", "embedding"])
def test_a_planted_network_fails_without_its_frequencies_and_lives_on_them_alone(pizza, at):
    assert pizza.accuracy_all == 1.0
    without = ablate(pizza, KEYS, circuit="trigonometric_circuit", at=at)
    # What is left of a pizza still carries cos w(a - b) cos w(a + b - c), right now and then.
    assert without.accuracies["all"] < 0.3
    alone = ablate(pizza, KEYS, circuit="memorization_circuit", at=at)
    assert alone.accuracies["all"] > 0.9
    other = KeyFrequencies.given(31, [5])
    unused = ablate(pizza, other, circuit="trigonometric_circuit", at=at)
    assert unused.accuracies["all"] == 1.0
    assert alone.intervention == f"removed from {at}"


def test_an_embedding_without_waves_leaves_a_network_that_knows_nothing(pizza):
    # Only the constant is left, which the planted embedding does not have.
    without = ablate(pizza, KEYS, circuit="trigonometric_circuit", at="embedding")
    assert without.losses["all"] == pytest.approx(math.log(31), rel=1e-5)


def test_removing_nothing_from_the_embedding_changes_nothing(pizza):
    every = KeyFrequencies.given(31, range(1, 16))
    kept = ablate(pizza, every, **REMAINS_AT_EMBEDDING)
    assert kept.losses["all"] == pytest.approx(float(pizza.losses.mean()), rel=1e-4)
    unused = KeyFrequencies.given(31, [5])
    without = ablate(pizza, unused, circuit="trigonometric_circuit", at="embedding")
    assert without.losses["all"] == pytest.approx(float(pizza.losses.mean()), rel=1e-4)


def test_the_constant_of_the_embedding_belongs_to_neither_circuit():
    parameters = planted.pizza_parameters(31, [3, 7, 15])
    parameters["embed.W_E"][:31, :6] += 0.2
    snapshot = Snapshot.from_parameters(
        parameters, planted.split(31), planted.pizza_spec([3, 7, 15])
    )
    every = KeyFrequencies.given(31, range(1, 16))
    kept = ablate(snapshot, every, **REMAINS_AT_EMBEDDING)
    assert kept.losses["all"] == pytest.approx(float(snapshot.losses.mean()), rel=1e-4)
    centered = ablate(planted.pizza_snapshot(31, [3, 7, 15]), every, **REMAINS_AT_EMBEDDING)
    assert centered.losses["all"] != pytest.approx(kept.losses["all"], rel=1e-2)


def test_neurons_of_one_frequency_are_removed_with_their_effect_on_the_logits():
    # One planted frequency: neurons are functions of waves of it and of its multiples, so at
    # p = 3, where all multiples are the same frequency, removing it removes everything.
    snapshot = planted.pizza_snapshot(3, [1])
    keys = KeyFrequencies.given(3, [1])
    without = ablate(snapshot, keys, circuit="trigonometric_circuit", at="neurons")
    constant = snapshot.neurons.double().mean(dim=0) @ snapshot.W_L
    expected = cross_entropy(constant.expand(9, 3), snapshot.labels)
    assert without.losses["all"] == pytest.approx(expected, rel=1e-5)
    assert expected != pytest.approx(float(snapshot.losses.mean()), rel=0.1)
    alone = ablate(snapshot, keys, circuit="memorization_circuit", at="neurons")
    assert alone.losses["all"] == pytest.approx(float(snapshot.losses.mean()), rel=1e-4)


def test_several_places_stand_in_one_table(pizza):
    table = ablation_table(pizza, KEYS, at=("logits", "embedding"))
    assert len(table) == 1 + 5 + 5
    assert set(table["intervention"][1:]) == {"removed from logits", "removed from embedding"}


def test_without_key_frequencies_only_the_full_network_is_left():
    snapshot = noisy_snapshot()
    table = ablation_table(snapshot, KeyFrequencies(13, (), reason="none"))
    assert table["component"].tolist() == ["full"]
    split = planted.split(12, "multiplication")
    other = planted.snapshot(planted.noise(144, 12), split)
    table = ablation_table(other, KeyFrequencies(12, ()))
    assert table["loss_all"][0] == pytest.approx(float(other.losses.mean()), **CHAINED64)


def test_multiplication_is_judged_on_the_pairs_of_its_view():
    split = planted.split(13, "multiplication")
    logits = planted.cosines(split.task, {5: 20.0})
    snapshot = planted.snapshot(logits, split)
    full = ablation_table(snapshot, KeyFrequencies.given(12, [5])).iloc[0]
    in_view = torch.tensor(split.task.labels) != 0
    assert full["accuracy_all"] == 1.0
    assert full["loss_all"] == pytest.approx(float(snapshot.losses[in_view].mean()), **CHAINED64)
    assert snapshot.accuracy_all == 1.0  # a zero answer is the first class of constant logits


def test_unknown_circuits_and_tasks_without_a_view_are_refused(pizza):
    with pytest.raises(Exception, match="circuit"):
        ablate(pizza, KEYS, circuit="attention")
    with pytest.raises(Exception, match="at"):
        ablate(pizza, KEYS, circuit="trigonometric_circuit", at="attention")
    split = planted.split(12, "multiplication")
    snapshot = planted.snapshot(planted.noise(144, 12), split)
    with pytest.raises(ConfigError, match="multiplication modulo 12 has no cyclic view"):
        ablate(snapshot, KeyFrequencies(12, (1,)), circuit="trigonometric_circuit")
