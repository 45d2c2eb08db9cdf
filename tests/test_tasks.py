"""Tasks: answers, cyclic views and what is refused."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from grokinterp.errors import ConfigError
from grokinterp.tasks import OPERATIONS, Task, TaskSpec
from grokinterp.tasks.group_view import primitive_root
from grokinterp.tasks.operations import is_prime

CYCLIC = sorted(n for n, o in OPERATIONS.items() if o.group in ("additive", "multiplicative"))
PRIMES = [2, 3, 5, 7, 13, 59]


@given(p=st.integers(2, 24), operation=st.sampled_from(CYCLIC))
def test_every_answer_solves_its_equation(p, operation):
    if operation == "division" and not is_prime(p):
        return
    task = Task(TaskSpec(operation=operation, p=p))
    a, b, c = task.pairs[:, 0], task.pairs[:, 1], task.labels
    solved = {
        "addition": (a + b - c) % p,
        "subtraction": (b + c - a) % p,
        "multiplication": (a * b - c) % p,
        "division": (b * c - a) % p,
    }
    assert not solved[operation].any()
    assert ((c >= 0) & (c < p)).all()


@pytest.mark.parametrize("p", [2, 12, 13])
def test_every_pair_stands_once_in_row_a_p_plus_b(p):
    task = Task(TaskSpec(p=p))
    assert np.array_equal(task.pairs[:, 0] * p + task.pairs[:, 1], np.arange(p * p))
    assert task.n_pairs == p * p


def test_division_leaves_out_the_zero_divisor_only():
    task = Task(TaskSpec(operation="division", p=7))
    assert task.n_pairs == 7 * 6
    assert (task.pairs[:, 1] != 0).all()


def test_the_input_ends_with_the_equals_token():
    task = Task(TaskSpec(p=5))
    assert task.d_vocab == 6
    assert (task.tokens[:, 2] == 5).all()
    assert np.array_equal(task.tokens[:, :2], task.pairs)


@given(p=st.integers(2, 24), operation=st.sampled_from(CYCLIC))
def test_in_the_cyclic_view_every_answer_is_the_sum_of_the_indices(p, operation):
    if operation == "division" and not is_prime(p):
        return
    task = Task(TaskSpec(operation=operation, p=p))
    view = task.cyclic_view
    if view is None:
        assert operation == "multiplication" and not is_prime(p)
        return
    i, j = np.divmod(np.arange(view.order**2), view.order)
    assert np.array_equal(task.labels[view.pair_rows], view.class_tokens[(i + j) % view.order])
    assert len(set(view.pair_rows)) == view.order**2
    assert view.n_left_out == task.n_pairs - view.order**2


@pytest.mark.parametrize(
    ("operation", "order", "left_out"),
    [("addition", 7, 0), ("subtraction", 7, 0), ("multiplication", 6, 13), ("division", 6, 6)],
)
def test_the_cyclic_view_counts_the_pairs_with_a_zero(operation, order, left_out):
    view = Task(TaskSpec(operation=operation, p=7)).cyclic_view
    assert (view.order, view.n_left_out) == (order, left_out)


def test_the_view_of_addition_is_the_task_itself():
    view = Task(TaskSpec(p=12)).cyclic_view
    assert np.array_equal(view.pair_rows, np.arange(144))
    assert view.n_frequencies == 6


@pytest.mark.parametrize("p", PRIMES)
def test_a_primitive_root_generates_every_nonzero_residue(p):
    g = primitive_root(p)
    assert {pow(g, e, p) for e in range(p - 1)} == set(range(1, p))


def test_a_composite_modulus_has_no_primitive_root_here():
    with pytest.raises(ConfigError, match="p=12 is not a prime"):
        primitive_root(12)


def test_labels_are_materialized_once_and_cannot_be_changed():
    task = Task(TaskSpec(p=5))
    assert task.labels is task.labels
    with pytest.raises(ValueError, match="read-only"):
        task.labels[0] = 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"p": 1}, "p=1 is too small"),
        ({"p": -7}, "p=-7 is too small"),
        ({"train_fraction": 0.0}, r"train_fraction=0.0 is outside \(0, 1\)"),
        ({"train_fraction": 1.0}, r"train_fraction=1.0 is outside"),
        ({"train_fraction": 30.0}, "not a percentage: use 0.3"),
        ({"train_fraction": float("nan")}, "train_fraction=nan is not allowed"),
        ({"operation": "power"}, "operation='power' is not known. Choose one of addition"),
        ({"operation": "division", "p": 12}, "not defined modulo p=12, which is composite"),
        ({"operation": "division", "split_unit": "unordered_pairs"}, "needs a commutative"),
        ({"split_method": "sorted"}, "split_method='sorted' is not known"),
        ({"split_unit": "triples"}, "split_unit='triples' is not known"),
    ],
)
@pytest.mark.usefixtures("without_type_checks")
def test_a_setting_that_means_nothing_is_refused_with_a_remedy(fields, message):
    with pytest.raises(ConfigError, match=message):
        TaskSpec(**fields)


def test_division_by_a_prime_is_accepted():
    assert Task(TaskSpec(operation="division", p=13)).n_pairs == 13 * 12
