"""Tasks of every kind: what goes in, what should come out, and how they are split."""

import random
import sys

import numpy as np
import pytest

from grokinterp.errors import ConfigError
from grokinterp.tasks import (
    BreastCancerSpec,
    BreastCancerTask,
    DigitsSpec,
    DigitsTask,
    Examples,
    PolynomialSpec,
    PolynomialTask,
    Task,
    TaskSpec,
    draw_split,
    task_of,
)
from tests.tolerances import EXACT64, FLOAT32

SPECS = [
    TaskSpec(p=13, train_fraction=0.4),
    TaskSpec("division", p=7, train_fraction=0.4),
    DigitsSpec(n_train=100),
    BreastCancerSpec(n_train=100),
    PolynomialSpec(dimension=10, n_train=30, n_test=20),
]
KINDS = {
    TaskSpec: Task,
    DigitsSpec: DigitsTask,
    BreastCancerSpec: BreastCancerTask,
    PolynomialSpec: PolynomialTask,
}


@pytest.fixture(params=SPECS, ids=lambda spec: spec.in_words)
def task(request):
    return task_of(request.param)


def test_every_kind_of_task_keeps_its_promises_of_shape(task):
    assert isinstance(task, Examples) and type(task) is KINDS[type(task.spec)]
    assert task.inputs.shape == (task.n_examples, task.n_inputs)
    assert task.targets.shape == (task.n_examples, task.n_outputs)
    assert task.inputs.dtype == task.targets.dtype == np.float32
    if task.is_classification:
        assert task.labels.shape == (task.n_examples,) and task.labels.dtype == np.int64
        assert np.array_equal(task.targets.argmax(axis=1), task.labels)
        assert np.array_equal(np.unique(task.targets), [0, 1])
        assert (task.targets.sum(axis=1) == 1).all()


def test_every_example_is_on_exactly_one_side(task):
    split = draw_split(task)
    both = np.sort(np.concatenate([split.train, split.test]))
    assert np.array_equal(both, np.arange(task.n_examples))
    assert (split.is_train ^ split.is_test).all()
    assert np.array_equal(np.flatnonzero(split.is_train), np.sort(split.train))


def test_only_pairs_of_commutative_operations_are_mirrored(task):
    mirrored = draw_split(task).is_mirrored
    assert mirrored.shape == (task.n_examples,)
    assert mirrored.any() == (isinstance(task, Task) and task.operation.is_commutative)


def test_two_hot_inputs_name_both_tokens_and_have_norm_1():
    task = task_of(TaskSpec("division", p=7))
    assert np.linalg.norm(task.inputs, axis=1) == pytest.approx(1, **FLOAT32)
    first, second = task.inputs[:, :7], task.inputs[:, 7:]
    assert np.array_equal(first.argmax(axis=1), task.pairs[:, 0])
    assert np.array_equal(second.argmax(axis=1), task.pairs[:, 1])
    assert ((task.inputs != 0).sum(axis=1) == 2).all()


@pytest.mark.parametrize("fractions", [(0.1, 0.2), (0.2, 0.75), (0.75, 0.9)])
@pytest.mark.parametrize("method", ["python_shuffle", "torch_randperm"])
@pytest.mark.parametrize("unit", ["ordered_pairs", "unordered_pairs"])
def test_a_smaller_train_fraction_gives_a_prefix_of_the_larger_training_set(
    fractions, method, unit
):
    few, many = (
        draw_split(Task(TaskSpec("addition", 13, None, f, 3, method, unit))).train
        for f in fractions
    )
    assert len(few) < len(many)
    assert np.array_equal(few, many[: len(few)])
    other_seed = draw_split(Task(TaskSpec("addition", 13, None, fractions[1], 4, method, unit)))
    assert not np.array_equal(few, other_seed.train[: len(few)])


@pytest.mark.parametrize("kind", [DigitsSpec, BreastCancerSpec])
def test_fewer_natural_examples_are_a_prefix_of_more(kind):
    few, many = (draw_split(task_of(kind(n_train=n))).train for n in (50, 200))
    assert np.array_equal(few, many[:50])
    other = draw_split(task_of(kind(n_train=200, split_seed=1))).train
    assert not np.array_equal(few, other[:50])


def test_a_task_of_another_kind_is_not_split():
    class Coin(Examples):
        n_examples = n_inputs = n_outputs = 1
        inputs = labels = None

    with pytest.raises(ConfigError, match="Coin is no task that a split is drawn for"):
        draw_split(Coin())


def test_the_digits_are_the_published_images():
    task = DigitsTask(DigitsSpec())
    # UCI's description of the test part gives the number of images of every digit.
    counts = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert np.bincount(task.labels).tolist() == counts
    assert (task.inputs.min(), task.inputs.max()) == (0, 1)
    assert np.array_equal(task.inputs * 16, np.round(task.inputs * 16))


def test_the_images_show_the_digits_they_are_labelled_with():
    task = DigitsTask(DigitsSpec())

    def right(labels):
        means = np.stack([task.inputs[labels == digit].mean(axis=0) for digit in range(10)])
        distances = ((task.inputs[:, None] - means) ** 2).sum(axis=2)
        return (distances.argmin(axis=1) == labels).mean()

    # Nearest means tell nine of ten digits; labels that were shifted tell next to nothing.
    assert right(task.labels) > 0.85
    assert right(np.random.default_rng(0).permutation(task.labels)) < 0.3


def test_the_tumors_are_the_published_table():
    task = BreastCancerTask(BreastCancerSpec())
    # UCI: 212 malignant, 357 benign; malignant cells are larger (the first measurement).
    assert np.bincount(task.labels).tolist() == [212, 357]
    malignant, benign = (task.inputs[task.labels == kind, 0].mean() for kind in (0, 1))
    assert malignant > 0.5 > -0.5 > benign
    assert np.abs(task.inputs.mean(axis=0)).max() < 1e-5
    assert task.inputs.std(axis=0) == pytest.approx(1, **FLOAT32)


@pytest.mark.parametrize("seed", [0, 7])
def test_the_digits_are_shuffled_by_the_seed_and_the_first_trained_on(seed):
    order = list(range(1797))
    random.Random(seed).shuffle(order)
    split = draw_split(DigitsTask(DigitsSpec(n_train=200, split_seed=seed)))
    assert split.train.tolist() == order[:200]
    assert split.test.tolist() == order[200:]


def test_without_scikit_learn_natural_data_say_how_to_get_it(monkeypatch):
    from grokinterp.tasks import breast_cancer, digits

    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    digits._images_and_digits.cache_clear()
    breast_cancer._measurements_and_diagnoses.cache_clear()
    for spec in (DigitsSpec(), BreastCancerSpec()):
        with pytest.raises(
            ConfigError, match=r'needs scikit-learn. Install it with pip install "g'
        ):
            _ = task_of(spec).inputs


def test_the_target_is_half_the_squared_projection_on_a_direction_of_squared_norm_d():
    task = PolynomialTask(PolynomialSpec(dimension=20, n_train=50, n_test=30))
    assert task.direction @ task.direction == pytest.approx(20, **EXACT64)
    for x, (y,) in zip(task.inputs, task.targets, strict=True):
        z = sum(float(c) * float(b) for c, b in zip(x, task.direction, strict=True))
        assert y == pytest.approx(z * z / 2, **FLOAT32)


def test_points_and_targets_have_the_moments_of_their_distributions():
    d, n = 10, 20_000
    task = PolynomialTask(PolynomialSpec(dimension=d, n_train=n - 10, n_test=10))
    x, y = task.inputs.astype(np.float64), task.targets[:, 0].astype(np.float64)
    assert abs(x.mean()) < 5 * (1 / d / (n * d)) ** 0.5
    covariance = x.T @ x / n * d
    # Entries of the sample covariance of standard normals: variance 2/n on the diagonal, 1/n off.
    assert np.abs(covariance - np.eye(d)).max() < 5 * (2 / n) ** 0.5
    # z is standard normal: E[z^2 / 2] = 1/2, variance 1/2; E[z^4 / 4] = 3/4, variance 6.
    assert abs(y.mean() - 1 / 2) < 5 * (0.5 / n) ** 0.5
    assert abs((y**2).mean() - 3 / 4) < 5 * (6 / n) ** 0.5


def test_the_direction_is_uniform_on_the_sphere():
    d, n = 5, 400
    directions = np.stack(
        [PolynomialTask(PolynomialSpec(dimension=d, seed=seed)).direction for seed in range(n)]
    )
    # Every component has mean 0 and variance 1, its square (d = 5) variance 3 * 5/7 - 1 = 8/7.
    assert np.abs(directions.mean(axis=0)).max() < 5 * n**-0.5
    assert np.abs((directions**2).mean(axis=0) - 1).max() < 5 * (8 / 7 / n) ** 0.5


def test_more_points_leave_the_direction_the_first_points_and_the_other_side_alone():
    few, many = (PolynomialTask(PolynomialSpec("polynomial", 10, n, 40)) for n in (30, 70))
    assert np.array_equal(few.direction, many.direction)
    assert np.array_equal(few.inputs[:30], many.inputs[:30])
    assert np.array_equal(few.inputs[30:], many.inputs[70:])
    other = PolynomialTask(PolynomialSpec("polynomial", 10, 30, 40, seed=1))
    assert not np.array_equal(few.inputs, other.inputs)
    assert not np.array_equal(few.inputs[:30], few.inputs[30:60])


def test_drawing_points_leaves_the_global_random_state_alone():
    before = np.random.get_state()  # noqa: NPY002
    _ = PolynomialTask(PolynomialSpec()).inputs, Task(TaskSpec("random_labels")).labels
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_numbers_to_predict_have_no_labels():
    with pytest.raises(ConfigError, match="has numbers to predict, no labels. Use targets"):
        _ = PolynomialTask(PolynomialSpec()).labels


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DigitsSpec(n_train=0), "n_train=0 is not allowed. Choose 1 to 1796"),
        (lambda: DigitsSpec(n_train=1797), "n_train=1797 is not allowed"),
        (lambda: DigitsSpec(split_seed=-1), "split_seed=-1 is outside"),
        (lambda: DigitsSpec(dataset="mnist"), "dataset='mnist' is not known. Choose one of digits"),
        (lambda: BreastCancerSpec(n_train=569), "n_train=569 is not allowed. Choose 1 to 568"),
        (lambda: BreastCancerSpec(n_train=0), "n_train=0 is not allowed"),
        (lambda: BreastCancerSpec(split_seed=-1), "split_seed=-1 is outside"),
        (lambda: PolynomialSpec(dataset="sine"), "dataset='sine' is not known. Choose one of poly"),
        (lambda: PolynomialSpec(dimension=0), "dimension=0 is too small"),
        (lambda: PolynomialSpec(n_train=0), "n_train=0 is too small"),
        (lambda: PolynomialSpec(n_test=0), "n_test=0 is too small"),
        (lambda: PolynomialSpec(seed=2**63), "seed=9223372036854775808 is outside"),
    ],
)
@pytest.mark.usefixtures("without_type_checks")
def test_settings_of_other_tasks_that_mean_nothing_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_the_smallest_tasks_exist():
    point = task_of(PolynomialSpec(dimension=1, n_train=1, n_test=1))
    assert abs(point.direction[0]) == pytest.approx(1, **EXACT64)
    assert len(draw_split(DigitsTask(DigitsSpec(n_train=1))).train) == 1
