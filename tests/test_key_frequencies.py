import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from grokinterp.circuits import (
    KeyFrequencies,
    find_algorithm,
    find_key_frequencies,
    take_snapshot,
)
from grokinterp.circuits.generalization import generalization_accuracy
from grokinterp.circuits.key_frequencies import logit_power_shares
from grokinterp.circuits.key_frequency_set import DENSE_CAVEAT
from grokinterp.commands.analyze import summary_lines
from grokinterp.errors import ConfigError
from grokinterp.models import ModelSpec
from grokinterp.report.key_frequencies import what_keys_hold
from grokinterp.runs.config import OptimizerSpec, TrainConfig
from grokinterp.spectra import (
    component_frequencies,
    cyclic_harmonics,
    double_of,
    fourier_basis,
    frequencies_above,
    permuted_power_quantile,
    power_by_frequency,
    shares,
    sum_rows,
)
from grokinterp.tasks import Split, Task, TaskSpec
from grokinterp.training import train
from tests import planted, synthetic
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


@pytest.mark.parametrize(("p", "found"), [(2, ()), (3, ()), (5, (1, 2))])
def test_rounding_does_not_decide_where_permutations_restore_the_groups(p, found):
    parts = planted.split(p)
    right = torch.nn.functional.one_hot(torch.tensor(parts.task.labels), p)
    for seed in range(8):
        logits = (6 + seed) * right + planted.noise(p * p, p, seed=seed, scale=0.3)
        keys = find_key_frequencies(planted.snapshot(logits.float(), parts))
        assert keys.frequencies == found


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
    assert "test pairs whose mirror image is not trained is 0." in keys.reason
    assert not keys.evidence["is_key"].any()


def test_constant_logits_have_no_frequencies_and_no_exception():
    split = planted.split(13)
    keys = find_key_frequencies(planted.snapshot(torch.zeros(169, 13), split), **QUICK)
    assert keys.frequencies == ()
    assert keys.evidence["logit_power_share"].isna().all()


def lookup_table(p, left_out=()):
    """Logits that are 10 at the right answer and 0 elsewhere, without some frequencies."""
    split = planted.split(p)
    basis, of_row = fourier_basis(p), component_frequencies(p)
    kept = basis[~torch.isin(of_row, torch.tensor([*left_out], dtype=torch.long))]
    by_difference = 10 * (kept.T @ kept)[0]
    i, j, c = torch.meshgrid(*[torch.arange(p)] * 3, indexing="ij")
    return planted.snapshot(by_difference[(i + j - c) % p].flatten(0, 1), split)


@pytest.mark.parametrize("p", [37, 38, 59, 60, 113, 163])
def test_a_table_of_right_answers_is_dense_at_every_p(p):
    keys = find_key_frequencies(lookup_table(p), n_permutations=2)
    assert keys.frequencies == tuple(range(1, p // 2 + 1))
    assert keys.is_dense and keys.evidence["is_dense"].all()
    (caveat,) = keys.caveats
    assert "logits alone cannot tell such a circuit from a lookup table; neurons can" in caveat


def test_report_and_command_say_that_a_set_is_dense():
    usual = synthetic.grokked_analysis(8)
    assert not usual.key_frequencies.caveats
    keys = dataclasses.replace(usual.key_frequencies, is_dense=True)
    dense = dataclasses.replace(usual, key_frequencies=keys)
    assert f"{DENSE_CAVEAT[1:]}." in what_keys_hold(dense)[0]
    assert DENSE_CAVEAT in " ".join(summary_lines(dense))
    assert DENSE_CAVEAT[1:] not in what_keys_hold(usual)[0]
    assert DENSE_CAVEAT not in " ".join(summary_lines(usual))


@pytest.mark.parametrize("p", [37, 38, 59, 113, 163])
def test_a_spectrum_without_a_block_of_its_frequencies_is_not_dense(p):
    block = range(1, 2 + p // 2 // 8)
    assert 0.8 < 1 - len(block) / (p // 2) < 0.9
    keys = find_key_frequencies(lookup_table(p, block), n_permutations=2)
    assert not keys.is_dense and not keys.caveats
    assert not set(keys.frequencies) & set(block)
    # With 1/69 of the power each no frequency stands out: 1.4 %.
    assert (keys.frequencies == ()) == (p == 163)
    if p == 163:
        assert "no frequency holds more than 1.5%" in keys.reason
    few = find_key_frequencies(lookup_table(p, range(1, 2 + p // 2 // 20)), n_permutations=2)
    assert few.is_dense


@pytest.mark.parametrize("p", [37, 60, 113])
def test_five_frequencies_are_not_dense(p):
    snapshot = planted.trigonometric_snapshot(p, [1, 3, 5, 8, 13], scale=40.0)
    keys = find_key_frequencies(snapshot, n_permutations=20)
    assert keys.frequencies == (1, 3, 5, 8, 13)
    assert not keys.is_dense and not keys.evidence["is_dense"].any()


def test_at_seven_frequencies_all_of_them_are_no_rarity():
    few, more = (find_key_frequencies(lookup_table(p), **QUICK) for p in (15, 17))
    assert few.frequencies == tuple(range(1, 8)) and not few.is_dense
    assert more.frequencies == tuple(range(1, 9)) and more.is_dense


def test_all_representations_being_key_is_no_rarity():
    split = planted.split(24, "permutation_composition", degree=4)
    logits = 10 * torch.nn.functional.one_hot(torch.tensor(split.task.labels)).double()
    keys = find_key_frequencies(planted.snapshot(logits, split), **QUICK)
    assert len(keys.names) == 4 and not keys.is_dense


def test_noise_beside_a_table_leaves_it_dense():
    p = 61
    dense = lookup_table(p)
    noisy = planted.snapshot(dense.logits + planted.noise(p * p, p), dense.split)
    assert find_key_frequencies(noisy, **QUICK).is_dense


KEYS_OF_37 = {3: 30.0, 5: 25.0, 11: 20.0}


def memorizer(split, amplitudes, *, knows_mirrors):
    """Right on its training pairs and, by commutativity alone, on their mirror images."""
    logits = planted.cosines(split.task, amplitudes)
    known = split.is_train | split.is_mirrored if knows_mirrors else split.is_train
    unknown = torch.tensor(~known).nonzero().flatten()
    # Elsewhere the answer after the right one.
    logits[unknown] = logits[unknown].roll(1, dims=1)
    return planted.snapshot(logits, split)


def test_a_memorizer_that_knows_its_mirrored_pairs_has_no_key_frequencies():
    split = planted.split(37, train_fraction=0.85)
    snapshot = memorizer(split, KEYS_OF_37, knows_mirrors=True)
    assert snapshot.accuracy_all > 0.95
    keys = find_key_frequencies(snapshot, **QUICK)
    n = len(split.unmirrored_test)
    assert keys.frequencies == () and keys.accuracy_on == "unmirrored_test"
    assert keys.reason == (
        f"accuracy on the {n} test pairs whose mirror image is not trained is 0.000 at step 0, not "
        "above 0.95"
    )
    # The spectrum alone would not have said so.
    shares_of = keys.evidence.set_index("frequency")["logit_power_share"]
    assert (shares_of[list(KEYS_OF_37)] > 0.1).all()


def test_a_network_that_generalizes_has_them_at_the_same_train_fraction():
    split = planted.split(37, train_fraction=0.85)
    keys = find_key_frequencies(
        planted.snapshot(planted.cosines(split.task, KEYS_OF_37), split), **QUICK
    )
    assert keys.frequencies == tuple(KEYS_OF_37) and keys.accuracy_on == "unmirrored_test"
    assert (keys.evidence["accuracy_on"] == "unmirrored_test").all()
    assert not keys.caveats


def test_without_a_known_split_all_pairs_have_to_do_and_the_set_says_so():
    split = planted.split(37, train_fraction=0.85)
    known = memorizer(split, KEYS_OF_37, knows_mirrors=True)
    unknown = planted.snapshot(known.logits, Split.unknown(split.task))
    keys = find_key_frequencies(unknown, **QUICK)
    assert set(KEYS_OF_37) <= set(keys.frequencies) and keys.accuracy_on == "all"
    (caveat,) = keys.caveats
    assert "no test pairs are known" in caveat and "memorizes" in caveat
    wrong = planted.snapshot(known.logits.roll(1, dims=1), Split.unknown(split.task))
    reason = find_key_frequencies(wrong, **QUICK).reason
    assert reason.startswith("accuracy on all pairs (the split is not known) is 0.0")


def test_where_every_pair_is_trained_all_pairs_have_to_do():
    task = Task(TaskSpec(p=37))
    split = Split(task, np.arange(task.n_pairs), np.empty(0, dtype=np.int64))
    solved = planted.snapshot(planted.cosines(task, KEYS_OF_37), split)
    assert generalization_accuracy(solved).pairs == "all pairs (none is a test pair)"
    assert find_key_frequencies(solved, **QUICK).accuracy_on == "all"


def test_where_each_test_pair_is_mirrored_the_test_pairs_have_to_do():
    task = Task(TaskSpec(p=13))
    is_test = task.pairs[:, 0] > task.pairs[:, 1]
    split = Split(task, np.flatnonzero(~is_test), np.flatnonzero(is_test))
    accuracy = generalization_accuracy(memorizer(split, {2: 9.0, 5: 9.0}, knows_mirrors=True))
    assert (accuracy.on, accuracy.value, accuracy.is_solution) == ("test", 1.0, True)
    assert "all with a trained mirror image" in accuracy.pairs
    accuracy = generalization_accuracy(memorizer(split, {2: 9.0, 5: 9.0}, knows_mirrors=False))
    assert (accuracy.value, accuracy.is_solution) == (0.0, False)


def test_of_an_operation_that_does_not_commute_every_test_pair_counts():
    split = planted.split(37, "subtraction", train_fraction=0.96)
    snapshot = memorizer(split, KEYS_OF_37, knows_mirrors=False)
    assert snapshot.accuracy_all > 0.95
    accuracy = generalization_accuracy(snapshot)
    assert (accuracy.on, accuracy.value) == ("test", 0.0)
    assert accuracy.pairs == f"the {len(split.test)} test pairs"
    one = planted.split(7, "subtraction", train_fraction=48.5 / 49)
    of_one = planted.snapshot(planted.cosines(one.task, {2: 9.0}), one)
    assert generalization_accuracy(of_one).pairs == "the one test pair"
    solved = planted.snapshot(planted.cosines(split.task, KEYS_OF_37), split)
    assert generalization_accuracy(solved).value == 1.0


def test_a_trained_network_that_only_memorizes_has_no_key_frequencies(tmp_path):
    """85 % of the pairs without weight decay: 98 % of all pairs are right within 300 steps."""
    config = TrainConfig(
        task=TaskSpec(p=37, train_fraction=0.85),
        model=ModelSpec(d_model=32, n_heads=4, d_head=8, d_mlp=128),
        optimizer=OptimizerSpec(learning_rate=3e-3, weight_decay=0.0),
        n_steps=300,
        test_every=300,
        checkpoint_every=300,
    )
    snapshot = take_snapshot(train(config, tmp_path / "run", n_threads=1, progress=False))
    assert snapshot.accuracy_all > 0.95
    keys = find_key_frequencies(snapshot, **QUICK)
    assert keys.frequencies == ()
    assert "test pairs whose mirror image is not trained is 0." in keys.reason
    # More than the bound and more than chance: the accuracy alone keeps them out.
    evidence = keys.evidence
    bound = evidence["null_share"].clip(lower=0.015)
    assert (evidence["logit_power_share"] > bound).any()
    assert find_algorithm(snapshot, keys).verdict == "none"


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
        "character_similarity",
        "logit_power_share",
        "null_share",
        "embedding_norm",
        "n_neurons",
        "W_L_norm",
        "is_key",
        "is_key_published",
        "double_of",
        "is_dense",
        "accuracy_on",
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
