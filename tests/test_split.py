"""Splits: the published ones, both units, and the mirrored pairs."""

import random

import numpy as np
import pytest
import torch

from grokinterp.errors import ConfigError
from grokinterp.tasks import Task, TaskSpec, draw_split


def pairs_of(split, side, n):
    return [tuple(int(x) for x in pair) for pair in split.task.pairs[getattr(split, side)[:n]]]


def test_the_notebook_split_is_the_published_one():
    spec = TaskSpec(p=113, train_fraction=0.3, split_seed=598, split_method="torch_randperm")
    split = draw_split(Task(spec))
    assert pairs_of(split, "train", 5) == [(21, 31), (30, 98), (47, 10), (86, 21), (99, 83)]
    assert pairs_of(split, "test", 5) == [(43, 40), (31, 42), (39, 63), (35, 61), (112, 102)]


@pytest.mark.parametrize("p", [12, 59, 113])
def test_the_shuffled_split_is_that_of_the_paper_code(p):
    pairs = [(a, b) for a in range(p) for b in range(p)]
    random.Random(0).shuffle(pairs)
    n_train = int(0.3 * len(pairs))
    split = draw_split(Task(TaskSpec(p=p, train_fraction=0.3)))
    assert pairs_of(split, "train", n_train) == pairs[:n_train]
    assert len(split.test) == p * p - n_train


def test_113_at_30_percent_gives_3830_training_pairs():
    split = draw_split(Task(TaskSpec(p=113, train_fraction=0.3)))
    assert (len(split.train), len(split.test)) == (3830, 8939)


@pytest.mark.parametrize("method", ["python_shuffle", "torch_randperm"])
def test_seed_zero_shuffles_and_seeds_differ(method):
    def rows(seed):
        spec = TaskSpec(p=13, train_fraction=0.5, split_seed=seed, split_method=method)
        return draw_split(Task(spec)).train.tolist()

    assert rows(0) != sorted(rows(0))
    assert rows(0) == rows(0)
    assert rows(0) != rows(1)


@pytest.mark.usefixtures("without_type_checks")
def test_drawing_a_split_leaves_the_global_random_states_alone():
    before = random.getstate(), torch.random.get_rng_state()
    for method in ("python_shuffle", "torch_randperm"):
        draw_split(Task(TaskSpec(p=7, split_method=method, train_fraction=0.5)))
    assert random.getstate() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


@pytest.mark.parametrize("p", [2, 3, 12, 13])
@pytest.mark.parametrize("unit", ["ordered_pairs", "unordered_pairs"])
def test_every_pair_is_on_exactly_one_side(p, unit):
    split = draw_split(Task(TaskSpec(p=p, train_fraction=0.5, split_unit=unit)))
    assert np.array_equal(np.sort(np.concatenate([split.train, split.test])), np.arange(p * p))
    assert (split.is_train ^ split.is_test).all()


def test_unordered_pairs_stay_together_so_nothing_is_mirrored():
    spec = TaskSpec(p=13, train_fraction=0.5, split_unit="unordered_pairs")
    split = draw_split(Task(spec))
    assert np.array_equal(split.is_train, split.is_train[split.task.mirror_rows])
    assert not (split.is_mirrored & split.is_test).any()


def test_ordered_pairs_leave_about_the_train_fraction_of_the_test_pairs_mirrored():
    split = draw_split(Task(TaskSpec(p=59, train_fraction=0.6)))
    fraction = split.is_mirrored[split.test].mean()
    assert abs(fraction - 0.6) < 5 * (0.24 / len(split.test)) ** 0.5


def test_a_pair_with_equal_halves_is_never_mirrored():
    split = draw_split(Task(TaskSpec(p=13, train_fraction=0.7)))
    diagonal = split.task.pairs[:, 0] == split.task.pairs[:, 1]
    assert not split.is_mirrored[diagonal].any()


def test_a_side_without_a_pair_is_refused():
    with pytest.raises(ConfigError, match="leaves 0 of 4 ordered pairs to train on"):
        draw_split(Task(TaskSpec(p=2, train_fraction=0.1)))


@pytest.mark.parametrize("operation", ["subtraction", "division", "conditional", "random_labels"])
def test_nothing_is_mirrored_where_the_operation_does_not_commute(operation):
    split = draw_split(Task(TaskSpec(operation, 13, train_fraction=0.6)))
    assert not split.is_mirrored.any()
    assert np.array_equal(split.unmirrored_test, split.test)
    # The neighbor: the same pairs of an operation that commutes.
    commutes = draw_split(Task(TaskSpec("addition", 13, train_fraction=0.6)))
    assert 0.4 < commutes.is_mirrored[commutes.test].mean() < 0.8
    assert 0 < len(commutes.unmirrored_test) < len(commutes.test)
    assert not commutes.is_mirrored[commutes.unmirrored_test].any()
