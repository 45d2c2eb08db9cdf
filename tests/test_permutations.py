import dataclasses
import math

import numpy as np
import pytest
from sympy.combinatorics import Permutation

from grokinterp.errors import ConfigError
from grokinterp.groups import inverses
from grokinterp.groups.permutations import degree_of_order
from grokinterp.runs.config import TrainConfig
from grokinterp.tasks import (
    Task,
    TaskSpec,
    compose,
    composition_table,
    draw_split,
    permutations,
)


def spec(degree, **changes):
    return TaskSpec("permutation_composition", degree=degree, **changes)


def test_composition_applies_the_second_first_on_a_pair_that_does_not_commute():
    swap, cycle = np.array([1, 0, 2]), np.array([1, 2, 0])
    # First the cycle 0 -> 1 -> 2 -> 0, then the swap of 0 and 1.
    assert compose(swap, cycle).tolist() == [0, 2, 1]
    assert compose(cycle, swap).tolist() == [2, 1, 0]


@pytest.mark.parametrize("degree", [3, 4])
def test_the_table_agrees_with_sympy_whose_product_applies_the_left_first(degree):
    elements = [Permutation(list(row)) for row in permutations(degree)]
    index = {tuple(p.array_form): i for i, p in enumerate(elements)}
    table = composition_table(degree)
    for i, a in enumerate(elements):
        for j, b in enumerate(elements):
            assert table[i, j] == index[tuple((b * a).array_form)]
    wrong = index[tuple((elements[1] * elements[2]).array_form)]
    assert table[1, 2] != wrong


@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_elements_form_a_group_with_the_identity_first(degree):
    table, n = composition_table(degree), math.factorial(degree)
    assert np.array_equal(table[0], np.arange(n)) and np.array_equal(table[:, 0], np.arange(n))
    assert all(len(set(row)) == n for row in table)
    inverse = inverses(table)
    assert not table[np.arange(n), inverse].any() and not table[inverse, np.arange(n)].any()
    rng = np.random.default_rng(0)
    a, b, c = rng.integers(0, n, (3, 500))
    assert np.array_equal(table[table[a, b], c], table[a, table[b, c]])


@pytest.mark.parametrize("degree", [2, 3, 4, 5])
def test_a_task_has_every_pair_with_its_composition(degree):
    task, n = Task(spec(degree)), math.factorial(degree)
    assert (task.n_classes, task.d_vocab, task.n_pairs) == (n, n + 1, n * n)
    a, b = task.pairs.T
    elements = permutations(degree)
    composed = np.take_along_axis(elements[a], elements[b], axis=1)
    assert np.array_equal(elements[task.labels], composed)
    assert not task.operation.is_commutative
    assert len(draw_split(task).train) == int(0.3 * n * n)


def test_the_number_of_elements_follows_from_the_degree_whatever_p_is_given():
    assert spec(4, p=113).p == 24
    assert dataclasses.replace(spec(4), degree=3).p == 6


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"operation": "permutation_composition"}, "degree=None is not allowed. Choose 2, 3"),
        ({"operation": "permutation_composition", "degree": 7}, "degree=7 is not allowed. Choose"),
        ({"operation": "permutation_composition", "degree": 1}, "degree=1 is not allowed. Choose"),
        ({"degree": 3}, "degree=3 does not go with addition"),
        (
            {
                "operation": "permutation_composition",
                "degree": 3,
                "split_unit": "unordered_pairs",
            },
            "needs a commutative operation",
        ),
    ],
)
def test_degrees_that_mean_nothing_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        TaskSpec(**values)
    with pytest.raises(ConfigError, match="100 is not the order of S_2 to S_6"):
        degree_of_order(100)


def test_configs_with_and_without_a_degree_read_back():
    config = TrainConfig(task=spec(3))
    assert TrainConfig.from_dict(config.to_dict()) == config
    old = TrainConfig().to_dict()
    del old["task"]["degree"]
    assert TrainConfig.from_dict(old) == TrainConfig()
    wrong = config.to_dict()
    wrong["task"]["degree"] = "three"
    with pytest.raises(ConfigError, match="degree='three' is of the wrong type. It takes a whole"):
        TrainConfig.from_dict(wrong)


def test_permutations_are_their_own_view_and_have_no_cyclic_one():
    view = Task(spec(3)).group_view
    assert (view.order, view.in_words, view.n_left_out) == (6, "symmetric(3)", 0)
    assert Task(spec(3)).cyclic_view is None


@pytest.mark.parametrize(
    "task_spec",
    [
        spec(3),
        spec(4),
        TaskSpec(p=7),
        TaskSpec("subtraction", 7),
        TaskSpec("multiplication", 7),
        TaskSpec("division", 7),
    ],
    ids=lambda s: s.operation + str(s.p),
)
def test_in_every_view_the_answer_is_the_product_of_the_two_elements(task_spec):
    task = Task(task_spec)
    view = task.group_view
    n = view.order
    for i in range(n):
        for j in range(n):
            row = view.pair_rows[i * n + j]
            assert task.labels[row] == view.class_tokens[view.products[i, j]]
    assert np.array_equal(view.products[np.arange(n), view.inverses], np.zeros(n))
