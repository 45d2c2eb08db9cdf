"""Multilayer perceptrons: their function, initial weights, losses and training."""

import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from grokinterp.errors import ConfigError
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.mlp import first_mlp_parameters, mlp_outputs
from grokinterp.models.pair_tables import pair_logits
from grokinterp.runs import OptimizerSpec, TrainConfig
from grokinterp.runs.network import Network
from grokinterp.tasks import DigitsSpec, PolynomialSpec, Task, TaskSpec, task_of
from grokinterp.training import train
from grokinterp.training.loss import LOSSES
from tests import tiny


def config(**changes):
    base = tiny.config(
        model=MlpSpec(widths=(32,)),
        optimizer=OptimizerSpec(learning_rate=1e-2, weight_decay=0.0),
        n_steps=60,
        checkpoint_every=20,
    )
    return dataclasses.replace(base, **changes)


def two_hot(pairs, p):
    return (F.one_hot(pairs[:, 0], 2 * p) + F.one_hot(pairs[:, 1] + p, 2 * p)).float()


@pytest.mark.parametrize("init", ["normal", "torch_linear"])
def test_pairs_enter_as_two_one_hot_vectors(init):
    p, spec = 7, MlpSpec(widths=(6, 5), act_fn="tanh", biases=True, init=init, output_scale=3.0)
    parameters = first_mlp_parameters(spec, 2 * p, p)
    pairs = torch.tensor([[0, 6], [3, 3], [5, 1]])
    hidden = two_hot(pairs, p)
    for layer in range(3):
        hidden = hidden @ parameters[f"layers.{layer}.W"] + parameters[f"layers.{layer}.b"]
        hidden = hidden.tanh() if layer < 2 else 3.0 * hidden
    torch.testing.assert_close(mlp_outputs(parameters, pairs, spec), hidden)
    torch.testing.assert_close(pair_logits(parameters, spec, pairs), hidden)


def test_the_committee_of_kumar_et_al_is_its_formula():
    """f(x) = alpha/N sum_i (h_i + eps/2 h_i^2), h = w.x, minus the same at the initial weights."""
    spec = MlpSpec(
        widths=(8,),
        act_fn="linear_quadratic",
        curvature=0.25,
        init="mean_field",
        trains_readout=False,
        output_scale=4.0,
        is_centered=True,
    )
    first = first_mlp_parameters(spec, 5, 1)
    moved = {**first, "layers.0.W": first["layers.0.W"] + 0.3}
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))

    def formula(w):
        h = x @ w
        return 4.0 / 8 * (h + 0.125 * h**2).sum(1, keepdim=True)

    expected = formula(moved["layers.0.W"]) - formula(first["layers.0.W"])
    torch.testing.assert_close(mlp_outputs(moved, x, spec), expected)
    assert not mlp_outputs(first, x, spec).any()
    assert not spec.is_trained("layers.1.W") and (first["layers.1.W"] == 1).all()


def test_the_mean_field_scales_pairs_by_root_two_and_the_output_by_the_width():
    p, spec = 5, MlpSpec(widths=(9,), act_fn="square", init="mean_field", init_scale=0.3)
    parameters = first_mlp_parameters(spec, 2 * p, p)
    pairs = torch.tensor([[1, 4], [2, 2]])
    hidden = (two_hot(pairs, p) / math.sqrt(2) @ parameters["layers.0.W"]) ** 2
    torch.testing.assert_close(
        mlp_outputs(parameters, pairs, spec), hidden @ parameters["layers.1.W"] / 9
    )


@pytest.mark.parametrize("combination", ["concatenated", "summed"])
@pytest.mark.parametrize("embedding", ["none", "shared", "separate"])
@pytest.mark.parametrize("init", ["normal", "torch_linear", "mean_field"])
def test_every_input_form_is_its_formula(embedding, combination, init):
    p, width = 7, {} if embedding == "none" else {"d_embed": 4}
    spec = MlpSpec(
        widths=(6,), act_fn="silu", embedding=embedding, combination=combination, init=init, **width
    )
    parameters = first_mlp_parameters(spec, 2 * p, p)
    one_hot = torch.eye(p)
    tables = [parameters[name] for name in spec.embedding_names] or [one_hot]
    pairs = torch.tensor([[0, 6], [3, 3], [5, 1]])
    a, b = tables[0][pairs[:, 0]], tables[-1][pairs[:, 1]]
    read = a + b if combination == "summed" else torch.cat([a, b], dim=1)
    mean_field = init == "mean_field"
    n_parts = 2 * (1 if embedding == "none" else 4)
    hidden = F.silu(read @ parameters["layers.0.W"] / (n_parts**0.5 if mean_field else 1))
    expected = hidden @ parameters["layers.1.W"] / (6 if mean_field else 1)
    torch.testing.assert_close(mlp_outputs(parameters, pairs, spec), expected)
    network = Network(spec, Task(TaskSpec(p=p)))
    assert {n: tuple(v.shape) for n, v in parameters.items()} == network.shapes
    swapped = mlp_outputs(parameters, pairs.flip(1), spec)
    commutes = combination == "summed" and embedding != "separate"
    assert torch.allclose(swapped, expected, atol=1e-6) == commutes


@pytest.mark.parametrize(
    ("init", "deviation"), [("normal", 2 / 50**0.5), ("torch_linear", 2.0), ("mean_field", 2.0)]
)
def test_first_embeddings_have_the_deviation_of_their_name(init, deviation):
    spec = MlpSpec(embedding="separate", d_embed=50, init=init, init_scale=2.0)
    weights = first_mlp_parameters(spec, 2 * 800, 3)
    for name in spec.embedding_names:
        # 40,000 draws, as above.
        assert weights[name].std().item() == pytest.approx(deviation, rel=0.02)
    assert not torch.equal(weights["embed.W_A"], weights["embed.W_B"])
    if init == "torch_linear":
        assert weights["layers.0.W"].abs().max().item() <= 2 / math.sqrt(100)


def test_the_draws_of_a_network_without_embeddings_do_not_depend_on_the_new_fields():
    plain = first_mlp_parameters(MlpSpec(widths=(5,), init_seed=3), 8, 4)
    drawn = torch.empty(8, 5).normal_(0, 8**-0.5, generator=torch.Generator().manual_seed(3))
    assert torch.equal(plain["layers.0.W"], drawn)


def test_new_fields_at_their_default_leave_the_hash_of_a_config_alone():
    table = dataclasses.asdict(config())
    old = {k: v for k, v in table["model"].items() if k not in ("embedding", "d_embed")}
    del old["combination"]
    read = TrainConfig.from_dict({**config().to_dict(), "model": old})
    assert read.hash() == config().hash() == "d3e871c66b98"
    embedded = config(model=MlpSpec(widths=(32,), embedding="shared"))
    assert embedded.hash() != config().hash()
    assert TrainConfig.from_dict(embedded.to_dict()) == embedded


def test_gelu_new_is_its_formula_and_not_gelu():
    x = torch.linspace(-3, 3, 13)[:, None]
    weights = {"layers.0.W": torch.ones(1, 1), "layers.1.W": torch.ones(1, 1)}
    formula = 0.5 * x * (1 + torch.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3)))
    outputs = mlp_outputs(weights, x, MlpSpec(widths=(1,), act_fn="gelu_new"))
    torch.testing.assert_close(outputs, formula)
    assert (
        outputs - mlp_outputs(weights, x, MlpSpec(widths=(1,), act_fn="gelu"))
    ).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("init", "expected"),
    [("normal", 2 / math.sqrt(100)), ("mean_field", 2.0), ("torch_linear", 2 / math.sqrt(300))],
)
def test_first_weights_have_the_deviation_of_their_name(init, expected):
    parameters = first_mlp_parameters(MlpSpec(widths=(400,), init=init, init_scale=2.0), 100, 3)
    weight = parameters["layers.0.W"]
    # 40,000 draws: the standard error of their deviation is at most .36 % of it.
    assert weight.std().item() == pytest.approx(expected, rel=0.02)
    if init == "torch_linear":
        assert weight.abs().max().item() <= 2 / math.sqrt(100)


def test_the_mean_squared_error_takes_classes_as_one_hot_vectors():
    outputs, labels = torch.tensor([[0.5, 0.0, 1.0]]), torch.tensor([2])
    assert LOSSES["mse"](outputs, labels, "float64").item() == pytest.approx(0.25 / 3)
    values = torch.tensor([[1.0, 1.0, 1.0]])
    assert LOSSES["mse"](outputs, values, "float64").item() == pytest.approx(1.25 / 3)


def test_stable_max_is_its_formula_and_its_gradient_finite_on_both_sides_of_zero():
    logits = torch.tensor([[3.0, -2.0, 0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    scores = [4.0, 1 / 3, 1.0, 2.0]
    loss = LOSSES["stable_max"](logits, torch.tensor([1]), "float64")
    assert loss.item() == pytest.approx(-math.log(scores[1] / sum(scores)))
    assert torch.autograd.gradcheck(
        lambda x: LOSSES["stable_max"](x, torch.tensor([1]), "float64"), (logits + 0.1,)
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "stable_max"])
def test_a_perceptron_on_pairs_trains_and_its_curves_are_those_of_its_checkpoints(tmp_path, loss):
    run = train(config(loss=loss), tmp_path / "run", progress=False)
    assert run.curves["train_loss"].iloc[-1] < 0.9 * run.curves["train_loss"].iloc[0]
    pairs, labels = torch.tensor(run.task.pairs), torch.tensor(run.task.labels)
    outputs = pair_logits(run.parameters(60), run.spec, pairs)
    for side in ("train", "test"):
        rows = getattr(run.split, side)
        value = LOSSES[loss](outputs[rows], labels[rows], "float64").item()
        assert run.curves[f"{side}_loss"].iloc[-1] == pytest.approx(value, rel=1e-5)
    assert run.environment["training_step"] == "pair rows (exact, multilayer perceptron)"


@pytest.mark.parametrize(
    "changes",
    [
        dict(embedding="shared", d_embed=8, is_centered=True, output_scale=2.0),
        dict(embedding="separate", d_embed=8, combination="summed", init="mean_field"),
        dict(combination="summed", init="torch_linear", biases=True),
        dict(embedding="separate", d_embed=8, trains_readout=False, act_fn="silu"),
    ],
)
def test_every_input_form_trains_by_the_general_path(tmp_path, changes):
    made = config(model=MlpSpec(widths=(32,), **changes), loss="mse")
    run = train(made, tmp_path / "run", progress=False)
    first, last = run.parameters(0), run.parameters(60)
    moved = {name for name, value in first.items() if not torch.equal(value, last[name])}
    fixed = set() if made.model.trains_readout else {"layers.1.W"}
    assert moved == set(first) - fixed
    outputs = pair_logits(last, run.spec, torch.tensor(run.task.pairs))
    labels = torch.tensor(run.task.labels)
    value = LOSSES["mse"](outputs[run.split.test], labels[run.split.test], "float64").item()
    assert run.curves["test_loss"].iloc[-1] == pytest.approx(value, rel=1e-5)
    if made.model.is_centered:
        assert not pair_logits(first, run.spec, torch.tensor(run.task.pairs)).any()


def test_the_digits_are_learned_and_read_back(tmp_path):
    pytest.importorskip("sklearn")
    run = train(config(task=DigitsSpec(n_train=100)), tmp_path / "run", progress=False)
    assert run.curves["test_accuracy"].iloc[-1] > 0.6  # chance is .1
    assert len(run.split.train) == 100 and len(run.split.train) + len(run.split.test) == 1797
    with pytest.raises(ConfigError, match="has no pairs"):
        _ = run.task


def test_a_regression_has_losses_and_no_accuracies(tmp_path):
    model = MlpSpec(
        widths=(40,), act_fn="linear_quadratic", init="mean_field", trains_readout=False
    )
    task = PolynomialSpec(dimension=10, n_train=60, n_test=50)
    optimizer = OptimizerSpec(0.5, algorithm="sgd", weight_decay=0.0, warmup_steps=0)
    made = config(task=task, model=model, optimizer=optimizer, loss="mse")
    run = train(made, tmp_path / "run", progress=False)
    assert run.curves["train_loss"].iloc[-1] < run.curves["train_loss"].iloc[0]
    assert run.curves["test_loss"].notna().any()
    assert run.curves[["train_accuracy", "test_accuracy"]].isna().all(axis=None)
    first, last = run.parameters(0), run.parameters(60)
    assert torch.equal(first["layers.1.W"], last["layers.1.W"])
    assert not torch.equal(first["layers.0.W"], last["layers.0.W"])


def test_a_run_that_starts_from_another_begins_with_its_last_weights(tmp_path):
    parent = train(config(n_steps=20), tmp_path / "parent", progress=False)
    smaller = dataclasses.replace(parent.config.task, train_fraction=0.3)
    made = config(n_steps=8, task=smaller, parent=parent.config)
    child = train(made, tmp_path / "child", progress=False, parent=parent)
    assert all(torch.equal(v, parent.parameters(20)[n]) for n, v in child.parameters(0).items())
    assert set(child.split.train) < set(parent.split.train)
    assert TrainConfig.from_dict(made.to_dict()) == made
    with pytest.raises(ConfigError, match="parent is not given"):
        train(made, tmp_path / "other", progress=False)
    with pytest.raises(ConfigError, match="parent is a run of another config"):
        train(made, tmp_path / "other", progress=False, parent=child)
    assert not (tmp_path / "other").exists()


def test_a_run_stops_once_the_test_accuracy_has_stayed_above_and_is_then_finished(tmp_path):
    made = tiny.config(n_steps=400, stop_accuracy=0.1, stop_patience=30)
    run = train(made, tmp_path / "run", progress=False)
    tested = run.curves.dropna(subset=["test_accuracy"]).set_index("step")["test_accuracy"]
    below = tested.index[tested <= 0.1]
    crossing = tested.index[tested.index > below[-1]][0]
    assert run.last_step == crossing + 30 == run.steps[-1] < 400
    before = (run.folder / "curves.csv").stat().st_mtime_ns
    assert train(made, tmp_path / "run", progress=False).last_step == run.last_step
    assert (run.folder / "curves.csv").stat().st_mtime_ns == before


def test_a_run_killed_within_the_patience_stops_where_it_would_have(tmp_path):
    made = tiny.config(n_steps=400, stop_accuracy=0.1, stop_patience=60, checkpoint_every=10)
    whole = train(made, tmp_path / "whole", progress=False)
    # Stopped by its number of steps in the middle of the patience, then extended.
    part = dataclasses.replace(made, n_steps=whole.last_step - 30)
    train(part, tmp_path / "parts", progress=False)
    again = train(made, tmp_path / "parts", progress=False)
    assert again.last_step == whole.last_step
    assert again.checksum() == whole.checksum()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: MlpSpec(widths=()), "Name at least one"),
        (lambda: MlpSpec(widths=(0,)), "all 1 to 65,536"),
        (lambda: MlpSpec(act_fn="sine"), "act_fn='sine' is not known"),
        (lambda: MlpSpec(output_scale=0.0), "output_scale=0.0 is not allowed"),
        (lambda: MlpSpec(embedding="own"), "Choose one of none, shared, separate"),
        (lambda: MlpSpec(combination="added"), "Choose one of concatenated, summed"),
        (lambda: MlpSpec(d_embed=32), "d_embed=32 is not allowed. It belongs to an embedding"),
        (lambda: MlpSpec(embedding="shared", d_embed=0), "d_embed=0 is too small"),
        (lambda: config(task=DigitsSpec(), model=MlpSpec(embedding="shared")), "are vectors"),
        (lambda: config(task=DigitsSpec(), model=MlpSpec(combination="summed")), "are vectors"),
        (lambda: ModelSpec(init_scale=-1.0), "init_scale=-1.0 is not allowed"),
        (lambda: OptimizerSpec(algorithm="lion"), "Choose one of adamw, adam, sgd"),
        (lambda: OptimizerSpec(momentum=0.9), "It is of sgd; adamw has betas"),
        (lambda: TrainConfig(loss="hinge"), "Choose one of cross_entropy, mse, stable_max"),
        (lambda: TrainConfig(stop_accuracy=1.0), "stop_accuracy=1.0 is not allowed"),
        (lambda: TrainConfig(task=DigitsSpec()), "a transformer cannot learn"),
        (lambda: TrainConfig(task=PolynomialSpec(), model=MlpSpec()), "needs loss=mse"),
        (lambda: TrainConfig.from_dict({"task": {"dataset": "mnist"}}), "'mnist' is not known"),
        (lambda: TrainConfig.from_dict({"parent": 3}), "parent is not a table"),
    ],
)
@pytest.mark.usefixtures("without_type_checks")
def test_a_setting_that_means_nothing_is_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_a_config_with_a_perceptron_on_digits_reads_back_as_itself():
    made = config(task=DigitsSpec(n_train=50), model=MlpSpec(widths=(5, 6)))
    assert TrainConfig.from_dict(made.to_dict()) == made


def test_the_network_of_a_task_has_its_sizes():
    network = Network(MlpSpec(widths=(4,)), Task(TaskSpec(p=5)))
    assert network.shapes == {"layers.0.W": (10, 4), "layers.1.W": (4, 5)}
    regression = Network(MlpSpec(widths=(4,)), task_of(PolynomialSpec(dimension=3, n_train=5)))
    assert regression.shapes == {"layers.0.W": (3, 4), "layers.1.W": (4, 1)}
