"""The exact step of a perceptron against autograd through its forward pass."""

import dataclasses
import itertools

import pytest
import torch

import grokinterp as gi
from grokinterp.models import MlpSpec
from grokinterp.runs.network import Network
from grokinterp.tasks import Task, TaskSpec, draw_split, task_of
from grokinterp.training import perceptron_batch
from grokinterp.training.perceptron_step import (
    PerceptronEvaluation,
    PerceptronStep,
    why_no_pair_rows,
)
from grokinterp.training.step import AutogradStep, ForwardEvaluation
from grokinterp.training.ways import ways_of
from tests.counted import CountedProducts

# Algebra in float64 with sums of some hundred terms in another order.
EXACT64 = {"rtol": 1e-9, "atol": 1e-13}
PARTS = {"none": {}, "shared": {"d_embed": 6}, "separate": {"d_embed": 6}}
SPECS = [
    *(
        MlpSpec(widths=(8,), embedding=embedding, combination=combination, init=init, biases=True)
        for embedding, combination, init in itertools.product(
            PARTS, ("concatenated", "summed"), ("normal", "mean_field")
        )
    ),
    *(
        MlpSpec(widths=(8, 7), act_fn=name, biases=True, curvature=0.4 if "linear" in name else 1.0)
        for name in ("relu", "gelu", "gelu_new", "silu", "tanh", "square", "linear_quadratic")
    ),
    MlpSpec(widths=(8, 7, 6), init="mean_field", output_scale=3.0, init_scale=2.0),
    MlpSpec(widths=(8,), is_centered=True, output_scale=0.2, biases=True),
    MlpSpec(widths=(8,), trains_readout=False),
    MlpSpec(widths=(8,), trains_readout=False, biases=True, embedding="shared"),
]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Parts of a few pairs, so that there are several of different lengths."""
    monkeypatch.setattr(perceptron_batch, "PAIRS_AT_A_TIME", 10)


def built(spec, side="train", p=7, fraction=0.7, dtype=torch.float64, device="cpu"):
    """Network, weights that are not those of the beginning, and one side of a split."""
    task = Task(TaskSpec(p=p, train_fraction=fraction))
    network = Network(spec, task)
    generator = torch.Generator().manual_seed(7)
    parameters = {}
    for name, value in network.initial_parameters().items():
        change = 0.3 * torch.randn(value.shape, generator=generator)
        moved = value + change if network.is_trained(name) else value
        moved = moved.to(device, dtype).requires_grad_(network.is_trained(name))
        parameters[name] = moved
    rows = getattr(draw_split(task), side)
    pairs, labels = torch.tensor(task.pairs[rows]), torch.tensor(task.labels[rows])
    return network, parameters, (pairs.to(device), labels.to(device))


def gradients(step, parameters):
    loss = step.loss_and_gradients().item()
    return loss, {n: v.grad.clone() for n, v in parameters.items() if v.grad is not None}


@pytest.mark.parametrize(
    ("spec", "loss"),
    [(spec, "cross_entropy") for spec in SPECS]
    + [(spec, loss) for spec in SPECS[::5] for loss in ("mse", "stable_max")],
    ids=str,
)
def test_every_gradient_is_that_of_autograd(spec, loss):
    loss_dtype = "float64"
    network, parameters, batch = built(spec)
    autograd = AutogradStep(parameters, network, *batch, loss_dtype, loss)
    expected_loss, expected = gradients(autograd, parameters)
    step = PerceptronStep(parameters, spec, *batch, loss_dtype, loss)
    for _ in range(2):  # memory is used again
        found_loss, found = gradients(step, parameters)
        assert found_loss == pytest.approx(expected_loss, rel=1e-12)
        assert set(found) == set(expected) == {n for n in parameters if network.is_trained(n)}
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, **EXACT64, msg=name)
            # The fused optimizers read memory and do not look at strides.
            assert parameters[name].grad.stride() == parameters[name].stride(), name
    assert step.accuracy().item() == pytest.approx(autograd.accuracy().item())


def test_the_comparison_notices_a_single_wrong_weight():
    spec = MlpSpec(widths=(8, 7), act_fn="tanh")
    network, parameters, batch = built(spec)
    _, expected = gradients(AutogradStep(parameters, network, *batch, "float64"), parameters)
    with torch.no_grad():
        parameters["layers.0.W"][0, 0] += 1e-6
    _, found = gradients(PerceptronStep(parameters, spec, *batch, "float64"), parameters)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(found["layers.1.W"], expected["layers.1.W"], **EXACT64)


@pytest.mark.parametrize("loss_dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_float32_weights_give_the_numbers_of_autograd_up_to_rounding(loss, loss_dtype):
    spec = MlpSpec(widths=(8, 7), embedding="separate", d_embed=6, biases=True)
    network, parameters, batch = built(spec, dtype=torch.float32)
    expected_loss, expected = gradients(
        AutogradStep(parameters, network, *batch, loss_dtype, loss), parameters
    )
    found_loss, found = gradients(
        PerceptronStep(parameters, spec, *batch, loss_dtype, loss), parameters
    )
    assert found_loss == pytest.approx(expected_loss, rel=1e-6)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-7, msg=name)


@pytest.mark.parametrize("fraction", [0.7, 0.97])
@pytest.mark.parametrize("spec", SPECS[-4:], ids=str)
def test_a_test_is_that_of_the_forward_pass(spec, fraction):
    network, parameters, batch = built(spec, "test", fraction=fraction)
    expected = ForwardEvaluation(parameters, network, *batch, "float64").loss_and_accuracy()
    found = PerceptronEvaluation(parameters, spec, *batch, "float64").loss_and_accuracy()
    assert [x.item() for x in found] == pytest.approx([x.item() for x in expected], nan_ok=True)


def test_the_first_layer_is_gathered_and_not_multiplied():
    """Products with the batch are those of the layers behind it: three each."""
    spec = MlpSpec(widths=(8, 7))
    network, parameters, batch = built(spec)
    behind = 3 * len(batch[0]) * (8 * 7 + 7 * 7)
    step = PerceptronStep(parameters, spec, *batch, "float64")
    with CountedProducts() as counted:
        step.loss_and_gradients()
    assert counted.n == behind


@pytest.mark.parametrize(
    ("changes", "way"),
    [
        ({}, "pair rows (exact, multilayer perceptron)"),
        ({"pressures": gi.PressureSpec(dropout=0.1)}, "autograd (no pair rows: dropout=0.1)"),
        (
            {"task": gi.DigitsSpec(n_train=50), "model": MlpSpec(), "loss": "cross_entropy"},
            "autograd (no pair rows: inputs are vectors)",
        ),
    ],
)
def test_a_run_takes_it_where_it_can_and_says_why_where_not(changes, way):
    config = dataclasses.replace(gi.PRESETS["perceptron"], **changes)
    task = task_of(config.task)
    network, split = Network(config.model, task), draw_split(task)
    sides = {"train": split.train[:20], "test": split.test[:20]}
    batches = {name: (network.inputs[rows], network.targets[rows]) for name, rows in sides.items()}
    step, evaluation = ways_of(config, network, network.initial_parameters(), batches)
    assert step.name == way
    assert isinstance(evaluation, PerceptronEvaluation) == way.startswith("pair rows")


def test_on_apples_gpus_it_goes_through_autograd():
    pairs = torch.empty(1, 2, dtype=torch.long, device="meta")
    assert why_no_pair_rows(MlpSpec(), pairs) is None
    assert "transformer" in str(why_no_pair_rows(gi.ModelSpec(), pairs))
