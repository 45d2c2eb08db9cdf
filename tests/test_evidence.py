import math

import numpy as np
import pytest
import torch

from grokinterp.circuits import KeyFrequencies, ablate, ablation_table, circuit_table
from grokinterp.circuits.components import SITES
from grokinterp.circuits.evidence import (
    CIRCUIT_COLUMNS,
    STAGES,
    block_logits,
    memorization_share,
)
from grokinterp.circuits.trigonometric import cosine_logits, restricted_loss
from grokinterp.models.loss import cross_entropy
from grokinterp.spectra import fourier_basis
from tests import planted
from tests.tolerances import CHAINED64, FLOAT32

PLANTED = [3, 7, 15]
KEYS = KeyFrequencies(31, tuple(PLANTED))


@pytest.fixture(scope="module")
def pizza():
    return planted.pizza_snapshot(31, PLANTED)


@pytest.fixture(scope="module")
def table(pizza):
    return circuit_table(pizza, KEYS)


def value(table, quantity, **which):
    rows = table[table["quantity"] == quantity]
    for name, number in which.items():
        rows = rows[rows[name] == number]
    assert len(rows) == 1, (quantity, which, len(rows))
    return float(rows["value"].iloc[0])


def test_the_table_walks_through_every_stage_in_order(table):
    assert tuple(table.columns) == CIRCUIT_COLUMNS
    assert tuple(dict.fromkeys(table["stage"])) == STAGES
    assert set(table["unit"]) == {"nats", "norm", "fraction", "count", "logits"}
    assert not table.duplicated(["stage", "quantity", "frequency", "head"]).any()


def test_a_planted_network_shows_what_was_planted(table):
    in_keys = "fraction of the power of W_E in the key frequencies"
    assert value(table, in_keys) == pytest.approx(1, **FLOAT32)
    assert value(table, "rank of W_L along the key frequencies") == 6
    assert value(table, "norm of W_L outside them") == pytest.approx(0, abs=1e-6)
    for k in PLANTED:
        assert value(table, "norm in W_E", frequency=k) == pytest.approx(math.sqrt(31), **FLOAT32)
        assert value(table, "neurons with over 85 % in one frequency", frequency=k) == 16
    assert value(table, "fraction of neurons in a key frequency") == 1
    # Attention is uniform, so its linear fit is itself.
    full = value(table, "loss, nothing replaced")
    for what in ("one frequency each", "all key frequencies"):
        assert value(table, f"loss, all patterns linear in {what}") == pytest.approx(full, rel=1e-4)
    projected = value(table, "loss, neurons projected on these directions")
    assert projected == pytest.approx(full, rel=1e-4)
    orthogonal = value(table, "loss, neurons projected on what is orthogonal to them")
    assert orthogonal == pytest.approx(math.log(31), rel=1e-4)


def test_a_frequency_beside_the_true_one_explains_nothing(pizza):
    wrong = circuit_table(pizza, KeyFrequencies.given(31, [k + 1 for k in PLANTED[:2]]))
    assert value(wrong, "fraction of neurons in a key frequency") == 0
    assert value(wrong, "neurons with over 85 % in another frequency") == 48
    assert value(wrong, "norm of W_L outside them") == pytest.approx(1, rel=1e-5)
    assert value(wrong, "variance explained by the cosines of a+b-c") == pytest.approx(0, abs=1e-5)
    share = value(wrong, "fraction of the logits' power outside the trigonometric circuit")
    # Harmonics of a ReLU's waves fold back on every frequency modulo p, a little.
    assert share == pytest.approx(1, rel=1e-4)


def test_losses_of_the_table_are_those_of_the_ablations(pizza, table):
    restricted = value(table, "loss, logits kept only along the waves of a+b")
    assert restricted == pytest.approx(restricted_loss(pizza, KEYS, on="all"), **CHAINED64)
    excluded = ablate(pizza, KEYS, component="trigonometric_circuit").losses["all"]
    removed = value(table, "loss, trigonometric circuit removed")
    assert removed == pytest.approx(excluded, **CHAINED64)


def cosine_snapshot(p=13, amplitudes=None, operation="addition"):
    parts = planted.split(p, operation)
    return planted.snapshot(planted.cosines(parts.task, amplitudes or {2: 4.0, 6: 3.0}), parts)


@pytest.mark.parametrize(
    ("p", "operation", "keys"),
    [(13, "addition", [2, 6]), (12, "addition", [2, 6]), (13, "division", [2, 6])],
)
def test_logits_that_are_cosines_are_reproduced_exactly(p, operation, keys):
    snapshot = cosine_snapshot(p, operation=operation)
    given = KeyFrequencies.given(snapshot.require_view().order, keys)
    by_sum = cosine_logits(snapshot, given)
    expected = snapshot.logits_by_sum[:, 0]
    assert by_sum.numpy() == pytest.approx(expected.numpy(), **CHAINED64)
    one = KeyFrequencies.given(given.order, keys[:1])
    assert cosine_logits(snapshot, one).numpy() != pytest.approx(expected.numpy(), rel=0.1)
    blocks = block_logits(snapshot, given)
    assert blocks.numpy() == pytest.approx(snapshot.logits[snapshot.pair_rows].numpy(), **CHAINED64)


def test_blocks_hold_waves_of_the_difference_too_and_restricted_logits_do_not():
    parts = planted.split(13)
    a, b = parts.task.pairs.T
    wave = torch.tensor(np.cos(2 * np.pi * 2 * (a - b) / 13))[:, None]
    column = torch.zeros(13, dtype=torch.float64)
    column[5] = 1
    snapshot = planted.snapshot(wave * column, parts)
    kept = block_logits(snapshot, KeyFrequencies.given(13, [2]))
    assert kept.numpy() == pytest.approx(snapshot.logits.numpy(), **CHAINED64)
    other = block_logits(snapshot, KeyFrequencies.given(13, [4]))
    assert other.numpy() == pytest.approx(0, abs=1e-12)


def test_the_share_of_the_memorization_circuit_is_the_planted_one():
    snapshot = cosine_snapshot()
    keys = KeyFrequencies.given(13, [2, 6])
    assert memorization_share(snapshot, keys) == pytest.approx(0, abs=1e-12)
    # Powers are as the squares of the amplitudes 4 and 3.
    two = KeyFrequencies.given(13, [2])
    assert memorization_share(snapshot, two) == pytest.approx(9 / 25, **CHAINED64)
    shifted = planted.snapshot(
        snapshot.logits + planted.noise(169, 1) + planted.noise(1, 13), snapshot.split
    )
    assert memorization_share(shifted, two) == pytest.approx(9 / 25, **CHAINED64)
    lookup = torch.zeros(169, 13, dtype=torch.float64)
    lookup[torch.arange(169), torch.randperm(169) % 13] = 5.0
    noisy = planted.snapshot(lookup, snapshot.split)
    assert memorization_share(noisy, keys) > 0.9


def test_without_key_frequencies_the_table_is_empty_and_has_its_columns():
    snapshot = cosine_snapshot()
    empty = circuit_table(snapshot, KeyFrequencies(13, (), reason="none"))
    assert tuple(empty.columns) == CIRCUIT_COLUMNS
    assert len(empty) == 0
    split = planted.split(12, "multiplication")
    other = planted.snapshot(planted.noise(144, 12), split)
    assert len(circuit_table(other, KeyFrequencies(12, ()))) == 0


def test_polynomials_are_what_two_transforms_and_a_mask_give(pizza, table):
    waves, expected = fourier_basis(31), torch.zeros(31, 31, 48, dtype=torch.float64)
    kept = total = 0.0
    for neuron in range(48):
        k = PLANTED[neuron // 16]
        inside = torch.isin(torch.arange(31), torch.tensor([0, 2 * k - 1, 2 * k]))
        activation = pizza.neurons[:, neuron].double().reshape(31, 31)
        components = waves @ activation @ waves.T
        masked = components * inside[:, None] * inside
        kept += float(masked.square().sum() - masked[0, 0] ** 2)
        total += float(components.square().sum() - components[0, 0] ** 2)
        expected[:, :, neuron] = waves.T @ masked @ waves
    explained = value(table, "variance of all neurons explained by polynomials")
    assert explained == pytest.approx(kept / total, **FLOAT32)
    assert explained < 0.99
    change = expected.flatten(0, 1) - pizza.neurons
    loss = cross_entropy(pizza.logits + change @ pizza.W_L, pizza.labels)
    found = value(table, "loss, all neurons replaced by their polynomials")
    assert found == pytest.approx(loss, rel=1e-4)
    assert found != pytest.approx(value(table, "loss, nothing replaced"), rel=0.1)


def test_tables_of_a_checkpoint_leave_nothing_large_in_its_snapshot():
    snapshot = planted.pizza_snapshot(13, {3: 1.0})
    keys = KeyFrequencies.given(13, [3])
    ablation_table(snapshot, keys, at=SITES)
    circuit_table(snapshot, keys)
    assert not vars(snapshot).keys() & {"last_block", "written_by_neurons", "logits_by_sum"}
