"""The operations of Power et al. and random labels, against answers found in another way."""

import dataclasses
import itertools

import numpy as np
import pytest
from sympy.combinatorics import Permutation

from grokinterp.errors import ConfigError
from grokinterp.runs.config import TrainConfig
from grokinterp.tasks import OPERATIONS, Task, TaskSpec, draw_split, permutations

POLYNOMIALS = {
    "sum_of_squares": lambda x, y: x**2 + y**2,
    "quadratic_form": lambda x, y: x**2 + x * y + y**2,
    "quadratic_form_plus_x": lambda x, y: x**2 + x * y + y**2 + x,
    "cubic": lambda x, y: x**3 + x * y,
    "cubic_mixed": lambda x, y: x**3 + x * y**2 + y,
}
# Each word as sympy multiplies, which applies the left factor first, and a wrong word beside it.
WORDS = {
    "permutation_conjugation": (lambda x, y: x**-1 * y * x, lambda x, y: x * y * x**-1),
    "permutation_sandwich": (lambda x, y: x * y * x, lambda x, y: y * x * y),
}
RANDOM = TaskSpec("random_labels", 59)


def table_of(spec):
    """Answers with a row for every a; only for operations that leave out no pair."""
    return Task(spec).labels.reshape(spec.p, spec.p)


@pytest.mark.parametrize("p", [2, 3, 12, 13, 97])
@pytest.mark.parametrize("name", POLYNOMIALS)
def test_every_polynomial_is_what_integers_of_any_size_give(name, p):
    table = table_of(TaskSpec(name, p))
    for x, y in itertools.product(range(p), repeat=2):
        assert table[x, y] == POLYNOMIALS[name](x, y) % p


def test_the_polynomials_differ_from_one_another():
    tables = [table_of(TaskSpec(name, 13)) for name in POLYNOMIALS]
    for one, other in itertools.combinations(tables, 2):
        assert (one != other).mean() > 0.5


def test_the_conditional_modulo_7_is_the_one_worked_out_by_hand():
    table = table_of(TaskSpec("conditional", 7))
    # 1/1, 1/3, 1/5 are 1, 5, 3 modulo 7; even b subtract, 0 among them.
    assert table[3].tolist() == [3, 3, 1, 1, 6, 2, 4]
    assert table[0].tolist() == [0, 0, 5, 0, 3, 0, 1]


@pytest.mark.parametrize("p", [2, 3, 13, 97])
def test_the_conditional_divides_by_odd_and_subtracts_even_numbers(p):
    task = Task(TaskSpec("conditional", p))
    assert task.n_pairs == p * p
    for (a, b), c in zip(task.pairs.tolist(), task.labels.tolist(), strict=True):
        assert 0 <= c < p
        assert (b * c - a) % p == 0 if b % 2 else (c + b - a) % p == 0


@pytest.mark.parametrize("degree", [3, 4])
@pytest.mark.parametrize("name", WORDS)
def test_words_of_permutations_agree_with_sympy_whose_product_applies_the_left_first(name, degree):
    elements = [Permutation(list(row)) for row in permutations(degree)]
    index = {tuple(e.array_form): i for i, e in enumerate(elements)}
    word, other_word = WORDS[name]
    right, wrong = (
        [[index[tuple(w(x, y).array_form)] for y in elements] for x in elements]
        for w in (word, other_word)
    )
    table = table_of(TaskSpec(name, degree=degree))
    assert table.tolist() == right
    assert table.tolist() != wrong


def test_conjugation_keeps_the_cycle_type_in_s5():
    elements = permutations(5)
    task = Task(TaskSpec("permutation_conjugation", degree=5))
    fixed = (elements == np.arange(5)).sum(axis=1)
    assert np.array_equal(fixed[task.labels], fixed[task.pairs[:, 1]])
    sandwich = Task(TaskSpec("permutation_sandwich", degree=5))
    assert not np.array_equal(fixed[sandwich.labels], fixed[sandwich.pairs[:, 1]])


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"division"}))
def test_commutative_operations_have_symmetric_tables_and_no_others(name):
    for p, degree in ((5, 3), (7, 4), (13, 4)):
        degree = degree if OPERATIONS[name].is_of_permutations else None
        table = table_of(TaskSpec(name, p, degree))
        assert np.array_equal(table, table.T) == OPERATIONS[name].is_commutative


def test_random_labels_are_uniform():
    counts = np.bincount(Task(RANDOM).labels, minlength=59)
    # 59 * 59 pairs, so 59 are expected of every label.
    chi2 = ((counts - 59) ** 2 / 59).sum()
    # Chi-square of 58 degrees of freedom: mean 58, standard deviation sqrt(116). Far below the
    # mean the labels would be dealt out evenly, which is no independent draw.
    assert abs(chi2 - 58) < 5 * 116**0.5


def test_random_labels_follow_no_operation_and_no_mirror_image():
    task = Task(RANDOM)
    a, b = task.pairs.T
    distinct = a != b
    error = (1 / 59 / len(a)) ** 0.5
    for guess in (a, b, (a + b) % 59, a * b % 59, (a - b) % 59):
        assert abs((task.labels == guess).mean() - 1 / 59) < 5 * error
    mirrored = (task.labels == task.labels[task.mirror_rows])[distinct].mean()
    # Each unordered pair is counted twice.
    assert abs(mirrored - 1 / 59) < 5 * error * 2**0.5


def test_random_labels_change_with_their_own_seed_and_with_nothing_else():
    labels = Task(RANDOM).labels
    assert np.array_equal(Task(dataclasses.replace(RANDOM)).labels, labels)
    for changes in ({"split_seed": 5}, {"train_fraction": 0.7}):
        assert np.array_equal(Task(dataclasses.replace(RANDOM, **changes)).labels, labels)
    other = Task(dataclasses.replace(RANDOM, label_seed=1))
    assert (other.labels == labels).mean() < 0.1
    assert np.array_equal(draw_split(other).train, draw_split(Task(RANDOM)).train)


def test_the_label_seed_goes_with_random_labels_alone():
    with pytest.raises(ConfigError, match="label_seed=3 does not go with addition"):
        TaskSpec(label_seed=3)
    with pytest.raises(ConfigError, match=r"label_seed=-1 is outside 0 .. 2\*\*63 - 1"):
        TaskSpec("random_labels", label_seed=-1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"operation": "conditional", "p": 12}, "conditional is not defined modulo p=12"),
        ({"operation": "cubic", "split_unit": "unordered_pairs"}, "needs a commutative"),
        ({"operation": "permutation_sandwich"}, "degree=None is not allowed"),
        ({"operation": "cubic", "degree": 3}, "degree=3 does not go with cubic"),
    ],
)
def test_what_the_new_operations_cannot_take_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        TaskSpec(**values)


def test_operations_without_a_group_have_no_view_even_modulo_a_prime():
    for name, operation in OPERATIONS.items():
        task = Task(TaskSpec(name, 7, 3 if operation.is_of_permutations else None))
        assert (task.group_view is None) == (operation.group is None)
        assert task.has_representations == (name == "permutation_composition")


def test_every_operation_says_what_it_is():
    words = {
        TaskSpec(name, 97, 5 if operation.is_of_permutations else None).in_words
        for name, operation in OPERATIONS.items()
    }
    assert len(words) == len(OPERATIONS)
    assert {
        "addition modulo 97",
        "sum of squares modulo 97",
        "permutation conjugation a∘b∘a⁻¹ in S_5",
        "a table of random labels out of 97",
    } <= words
    assert all(o.symbol and o.formula for o in OPERATIONS.values())


def test_a_config_of_before_there_were_label_seeds_still_reads():
    values = TrainConfig().to_dict()
    del values["task"]["label_seed"]
    assert TrainConfig.from_dict(values) == TrainConfig()
    config = TrainConfig(task=dataclasses.replace(RANDOM, label_seed=4))
    assert TrainConfig.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("operation", "degree"), [("quadratic_form", None), ("permutation_conjugation", 3)]
)
def test_a_run_without_a_group_is_analyzed_and_says_what_is_absent(tmp_path, operation, degree):
    from grokinterp.report import render_report
    from grokinterp.training import train
    from grokinterp.trajectory import analyze_run
    from tests import tiny

    task = TaskSpec(operation, 7, degree, train_fraction=0.7)
    config = dataclasses.replace(tiny.config(n_steps=20), task=task)
    analysis = analyze_run(train(config, tmp_path / "run", progress=False))
    columns = set(analysis.trajectory)
    assert {"test_loss", "sum_squared_weights", "effective_rank_W_E"} <= columns
    assert not {"restricted_loss_all", "gini_W_E", "fraction_single_frequency_neurons"} & columns
    assert "fraction_single_representation_neurons" not in columns
    assert ("test_accuracy_mirrored" in columns) == OPERATIONS[operation].is_commutative
    assert analysis.by_frequency.empty and analysis.by_representation.empty
    reasons = analysis.reasons
    assert f"{task.in_words} has no cyclic view" in reasons["by_frequency"]
    assert f"{task.in_words} has no cyclic view" in reasons["key_frequencies"]
    assert not analysis.failures
    assert f"Learning {OPERATIONS[operation].formula}" in render_report(analysis)
