import numpy as np
import pandas as pd
import pytest
import torch

from grokinterp.circuits import KeyFrequencies, find_key_frequencies
from grokinterp.circuits.key_frequencies import logit_power_shares
from grokinterp.errors import ConfigError
from grokinterp.spectra import (
    cyclic_harmonics,
    double_of,
    frequencies_above,
    permuted_power_quantile,
    power_by_frequency,
    shares,
    sum_rows,
)
from tests import planted
from tests.tolerances import EXACT64

QUICK = {"n_permutations": 200}


@pytest.mark.parametrize("p", [5, 12, 13, 59, 113])
@pytest.mark.parametrize("place", ["lowest", "middle", "highest"])
def test_the_planted_frequency_is_found_and_no_other(p, place):
    k = planted.frequency_at(place, p)
    # At even p one even frequency alone answers nothing: it is the same for c and c + p/2.
    frequencies = sorted({1, k} if p == 12 else {k})
    snapshot = planted.trigonometric_snapshot(p, frequencies, scale=40.0)
    keys = find_key_frequencies(snapshot, n_permutations=200 if p < 100 else 50)
    assert keys.frequencies == tuple(frequencies)
    assert keys.reason is None
    assert (keys.order, keys.rule, keys.step) == (p, "logit_power", 0)


@pytest.mark.parametrize("p", [2, 3])
def test_with_a_handful_of_pairs_nothing_stands_out_from_chance(p):
    # One permutation in 280 of nine pairs restores their three groups: more than .1 %.
    snapshot = planted.trigonometric_snapshot(p, [1], scale=40.0)
    keys = find_key_frequencies(snapshot)
    assert snapshot.accuracy_all == 1.0
    assert keys.frequencies == ()
    assert "chance" in keys.reason


@pytest.mark.parametrize("operation", ["addition", "subtraction", "multiplication", "division"])
def test_all_operations_with_a_cyclic_view_are_one_code_path(operation):
    split = planted.split(13, operation)
    logits = planted.cosines(split.task, {1: 20.0, 5: 40.0})
    zero_rows = torch.tensor(split.task.labels) == 0
    if operation in ("multiplication", "division"):
        logits[zero_rows, 0] = 100.0
    keys = find_key_frequencies(planted.snapshot(logits, split), **QUICK)
    assert keys.frequencies == (1, 5)
    assert keys.order == (13 if operation in ("addition", "subtraction") else 12)


def test_a_frequency_below_the_bound_is_not_key():
    split = planted.split(59)
    # Power goes with the square of the amplitude: 1 % and 2.2 % of it.
    for ratio, expected in ((0.1, (3,)), (0.15, (3, 5))):
        snapshot = planted.snapshot(planted.cosines(split.task, {3: 100, 5: 100 * ratio}), split)
        assert find_key_frequencies(snapshot, **QUICK).frequencies == expected


def test_a_network_that_has_not_generalized_has_no_key_frequencies_and_says_why():
    split = planted.split(13)
    logits = planted.cosines(split.task, {3: 1.0}) + planted.noise(169, 13, scale=3.0)
    keys = find_key_frequencies(planted.snapshot(logits, split), **QUICK)
    assert keys.frequencies == ()
    assert "accuracy on all pairs is 0." in keys.reason
    assert not keys.evidence["is_key"].any()


def test_constant_logits_have_no_frequencies_and_no_exception():
    split = planted.split(13)
    keys = find_key_frequencies(planted.snapshot(torch.zeros(169, 13), split), **QUICK)
    assert keys.frequencies == ()
    assert keys.evidence["logit_power_share"].isna().all()


def test_right_answers_without_any_wave_give_no_keys_but_a_reason():
    # The answer of each pair stands out by the same amount: all 30 frequencies are equal.
    split = planted.split(61, train_fraction=0.3)
    logits = 10 * torch.nn.functional.one_hot(torch.tensor(split.task.labels)).double()
    logits += planted.noise(*logits.shape, scale=0.01)
    keys = find_key_frequencies(planted.snapshot(logits, split), **QUICK)
    assert keys.frequencies == tuple(range(1, 31))  # each holds 1/30 = 3.3 % > 1.5 %
    split = planted.split(151, train_fraction=0.3)
    logits = 10 * torch.nn.functional.one_hot(torch.tensor(split.task.labels)).double()
    keys = find_key_frequencies(planted.snapshot(logits.float(), split), n_permutations=2)
    assert keys.frequencies == ()  # 1/75 = 1.3 %
    assert "no frequency holds more than 1.5%" in keys.reason


def test_a_task_without_a_cyclic_view_has_none_and_says_why():
    split = planted.split(12, "multiplication")
    keys = find_key_frequencies(planted.snapshot(planted.noise(144, 12), split))
    assert keys.frequencies == ()
    assert keys.evidence is None
    assert "multiplication modulo 12 has no cyclic view" in keys.reason


def test_relabeling_the_group_leaves_power_by_frequency_unchanged():
    p, shift = 13, 4
    split = planted.split(p)
    logits = planted.noise(p * p, p)
    cube = logits.view(p, p, p)
    moved = cube.roll((shift, shift), dims=(0, 2)).reshape(p * p, p)
    before = logit_power_shares(planted.snapshot(logits, split)).numpy()
    assert logit_power_shares(planted.snapshot(moved, split)).numpy() == pytest.approx(
        before, **EXACT64
    )
    stretched = cube[torch.arange(p) * 2 % p].reshape(p * p, p)
    assert logit_power_shares(planted.snapshot(stretched, split)).numpy() != pytest.approx(
        before, rel=0.01
    )


def test_evidence_stands_beside_the_set():
    keys = find_key_frequencies(planted.pizza_snapshot(31, [3, 6, 13]), **QUICK)
    evidence = keys.evidence
    assert list(evidence.columns) == [
        "frequency",
        "logit_power_share",
        "null_share",
        "embedding_norm",
        "n_neurons",
        "W_L_norm",
        "is_key",
        "double_of",
    ]
    assert evidence["frequency"].tolist() == list(range(1, 16))
    assert evidence["frequency"][evidence["is_key"]].tolist() == [3, 6, 13]
    assert evidence["double_of"].dtype == "Int64"
    doubles = evidence.set_index("frequency")["double_of"]
    assert doubles[6] == 3
    assert doubles[12] == 6
    assert doubles[5] == 13  # 26 = -5 modulo 31
    assert pd.isna(doubles[3])
    assert evidence["null_share"].nunique() == 1
    assert 0 < evidence["null_share"][0] < 0.015


@pytest.mark.parametrize("rule", ["logit_power", "neurons", "embedding_norm"])
def test_every_rule_finds_the_frequencies_of_a_planted_network(rule):
    snapshot = planted.pizza_snapshot(31, [3, 7, 15])
    keys = find_key_frequencies(snapshot, rule, **QUICK)
    assert keys.frequencies == (3, 7, 15)
    assert keys.rule == rule


def test_the_embedding_rule_sees_what_the_logits_do_not_use():
    parameters = planted.pizza_parameters(31, [3, 7])
    x = torch.arange(31)
    # Norms go with the amplitude; a planted frequency has a cosine and a sine of one.
    for k, amplitude in ((11, 0.3), (5, 0.4)):
        wave = torch.cos(2 * torch.pi * k * x / 31) * amplitude
        parameters["embed.W_E"][:31, -1 if k == 11 else -2] = wave
    snapshot = planted.Snapshot.from_parameters(
        parameters, planted.split(31), planted.pizza_spec([3, 7])
    )
    assert find_key_frequencies(snapshot, "embedding_norm", **QUICK).frequencies == (3, 5, 7)
    assert find_key_frequencies(snapshot, **QUICK).frequencies == (3, 7)


def test_an_unknown_rule_is_refused():
    snapshot = planted.trigonometric_snapshot(13, [2])
    # ConfigError, or the type checker's own where it runs first.
    with pytest.raises(Exception, match="rule"):
        find_key_frequencies(snapshot, "by_eye")


def test_given_frequencies_are_sorted_and_checked():
    assert KeyFrequencies.given(113, [45, 9, 38, 9]).frequencies == (9, 38, 45)
    assert KeyFrequencies.given(113, [56]).frequencies == (56,)
    for bad in (57, 0, -3):
        with pytest.raises(ConfigError, match=rf"frequency {bad} is not one of 1 .. 56"):
            KeyFrequencies.given(113, [9, bad])
    with pytest.raises(ConfigError, match="no frequency is given"):
        KeyFrequencies.given(113, [])


@pytest.mark.parametrize("n", [5, 12])
def test_null_power_is_that_of_the_same_rule_on_shuffled_rows(n):
    values = planted.noise(n * n, 4)
    found = permuted_power_quantile(
        values, cyclic_harmonics(n), quantile=0.5, n_permutations=400, seed=3
    )
    rng = np.random.default_rng(0)
    largest = []
    for _ in range(400):
        shuffled = values[torch.tensor(rng.permutation(n * n))]
        largest.append(float(power_by_frequency(shuffled[sum_rows(n)].mean(dim=1)).max()))
    # Standard error of a median of 400, from the spread of the draws themselves.
    error = 1.2533 * np.std(largest) / 20
    assert found == pytest.approx(np.median(largest), abs=5 * np.sqrt(2) * error)
    assert found != pytest.approx(2 * np.median(largest), abs=5 * np.sqrt(2) * error)


def test_noise_alone_stays_below_what_chance_reaches():
    n = 23
    for seed in range(20):
        values = planted.noise(n * n, n, seed=seed)
        null = permuted_power_quantile(values, cyclic_harmonics(n), n_permutations=200)
        power = power_by_frequency(values[sum_rows(n)].mean(dim=1))
        # Without the null, the bound of 1.5 % would make nearly every frequency key.
        assert len(frequencies_above(shares(power), min_share=0.015, null_share=0.0)) > 8
        null_share = null / float(power.sum())
        assert frequencies_above(shares(power), min_share=0.015, null_share=null_share) == ()


def test_the_null_is_drawn_from_its_own_seed():
    values = planted.noise(49, 7)
    state = torch.random.get_rng_state()
    first = permuted_power_quantile(values, cyclic_harmonics(7), n_permutations=20, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert permuted_power_quantile(values, cyclic_harmonics(7), n_permutations=20, seed=1) == first
    assert permuted_power_quantile(values, cyclic_harmonics(7), n_permutations=20, seed=2) != first


def test_doubles_are_labelled_modulo_n():
    assert double_of(113, [9, 38, 45]) == {18: 9, 37: 38, 23: 45}
    assert double_of(12, [6]) == {}  # twice 6 is the constant
    assert double_of(12, [4]) == {}  # twice 4 is -4, the same frequency
    assert double_of(12, [2, 4]) == {4: 2}
    assert double_of(12, [5, 1]) == {2: 5}  # both 1 and 5 double to 2: the first is named
