"""Many runs in one call: the same bits in any company, and what becomes of each."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from grokinterp.errors import ConfigError, FailedRunsError, FolderInUseError
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.initialization import initial_parameters
from grokinterp.runs import OptimizerSpec, TrainConfig
from grokinterp.runs.atomic import exclusive_lock
from grokinterp.runs.network import Network
from grokinterp.runs.pressures import PressureSpec
from grokinterp.runs.stored_run import load_run
from grokinterp.tasks import PolynomialSpec, Task, TaskSpec, draw_split, task_of
from grokinterp.training import batched_ways, kernel_choice, train, train_many
from grokinterp.training.batch import Entrant
from grokinterp.training.pair_table_step import PairTableStep
from grokinterp.training.stacked_pairs import MemberPairs, StackedPairStep
from grokinterp.training.stacked_weights import StackedWeights, stack_of
from grokinterp.training.step import AutogradStep
from tests import tiny
from tests.test_training import same_bits

# Algebra in float64 with sums of some thousand terms in another order.
EXACT64 = {"rtol": 1e-9, "atol": 1e-13}


def seed(number, **changes):
    """A config of one shape; the number sets split, initial weights and part of the pairs."""
    base = tiny.config(**{"n_steps": 30, "checkpoint_every": 15, **changes})
    return dataclasses.replace(
        base,
        task=dataclasses.replace(
            base.task, split_seed=number, train_fraction=0.5 + 0.05 * (number % 5)
        ),
        model=dataclasses.replace(base.model, init_seed=number),
    )


def trained_alone(config, folder):
    return train_many([config], folder / "alone", n_threads=1, progress=False)[0]


@pytest.fixture(scope="module", params=["torch alone", "kernels"])
def way(request):
    """With and without numba: without it the exact step is batched, with it each has its own."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "torch alone":
            patch.setattr(kernel_choice, "has_numba", lambda: False)
        elif not kernel_choice.has_numba():
            pytest.skip("no numba here (the extra fast)")
        yield request.param


@pytest.fixture
def torch_alone(monkeypatch):
    """As where numba is not installed, in processes that are started too."""
    monkeypatch.setattr(kernel_choice, "has_numba", lambda: False)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")


def random_parameters(spec, p, number):
    """Random weights and biases in float64, so that every gradient is tested."""
    shapes = initial_parameters(spec, **spec.vocabulary_sizes(p))
    generator = torch.Generator().manual_seed(number)
    return {
        name: torch.randn(value.shape, generator=generator, dtype=torch.float64) * 0.3
        for name, value in shapes.items()
    }


def pairs_of(p, number):
    task = Task(TaskSpec(p=p, train_fraction=0.3 + 0.1 * number, split_seed=number))
    rows = draw_split(task).train
    return torch.tensor(task.pairs[rows]), torch.tensor(task.labels[rows])


@pytest.mark.parametrize("p", [2, 11])
@pytest.mark.parametrize("n_heads", [1, 4])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.usefixtures("torch_alone")
def test_every_gradient_of_every_member_is_that_of_the_step_of_one_network(p, n_heads, loss):
    spec = ModelSpec(d_model=12, n_heads=n_heads, d_head=3, d_mlp=20)
    drawn = [random_parameters(spec, p, number) for number in range(3)]
    shapes = {name: tuple(value.shape) for name, value in drawn[0].items()}
    stack = StackedWeights(shapes, shapes, 4, torch.float64, "cpu")
    places = [stack.member(slot) for slot in range(3)]
    for place, weights in zip(places, drawn, strict=True):
        for name, value in weights.items():
            place[name].detach().copy_(value)
    members = [
        MemberPairs(spec, p, p, torch.float64, *pairs_of(p, number), loss, "float64")
        for number in range(3)
    ]
    assert members[0].name.endswith("many at once")
    step = StackedPairStep(stack, spec)
    step.losses_and_gradients(members)
    losses = step.losses_and_gradients(members)
    for number, weights in enumerate(drawn):
        parameters = {name: value.requires_grad_() for name, value in weights.items()}
        single = PairTableStep(parameters, spec, *pairs_of(p, number), "float64", loss)
        torch.testing.assert_close(losses[number], single.loss_and_gradients(), **EXACT64)
        assert members[number].accuracy() == single.accuracy()
        for name, value in parameters.items():
            torch.testing.assert_close(places[number][name].grad, value.grad, **EXACT64, msg=name)


SMALL = dict(d_model=12, n_heads=2, d_head=6, d_mlp=20)
KINDS = {
    "one layer": (ModelSpec(**SMALL), TaskSpec(p=7)),
    "two layers": (ModelSpec(n_layers=2, act_fn="gelu", **SMALL), TaskSpec(p=7)),
    "norms": (ModelSpec(normalization="LN", tied_embeddings=True, **SMALL), TaskSpec(p=7)),
    "gated": (ModelSpec(gated_mlp=True, positions="sinusoidal", **SMALL), TaskSpec(p=7)),
    "one-hot": (MlpSpec(widths=(8, 6), biases=True, trains_readout=False), TaskSpec(p=7)),
    "centered": (
        MlpSpec(widths=(8,), act_fn="square", init="mean_field", is_centered=True),
        TaskSpec(p=7),
    ),
    "embedded": (MlpSpec(widths=(8,), embedding="separate", d_embed=5), TaskSpec(p=7)),
    "vectors": (MlpSpec(widths=(8,), biases=True), PolynomialSpec(n_train=20, n_test=10)),
}


def entrants(model, task, loss, stack_of_weights):
    """Three runs of one shape with weights in a stack."""
    for number in range(3):
        config = TrainConfig(
            task=dataclasses.replace(task, **{SEED_OF[type(task)]: number}),
            model=dataclasses.replace(model, init_seed=number),
            loss=loss,
        )
        split = draw_split(task_of(config.task))
        network = Network(config.model, split.task)
        initial = network.initial_parameters()
        if not stack_of_weights:
            shapes = {name: tuple(value.shape) for name, value in initial.items()}
            trained = {name for name in shapes if network.is_trained(name)}
            stack_of_weights.append(StackedWeights(shapes, trained, 3, torch.float64, "cpu"))
        parameters = stack_of_weights[0].member(number)
        for name, value in initial.items():
            parameters[name].detach().copy_(value)
        yield InFloat64(config, network, parameters, split, "cpu")


class InFloat64(Entrant):
    """Vectors in the precision of the weights."""

    def batch(self, side):
        inputs, targets = super().batch(side)
        return (inputs.double() if inputs.is_floating_point() else inputs), targets


SEED_OF = {TaskSpec: "split_seed", PolynomialSpec: "seed"}


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        (kind, loss)
        for kind in KINDS
        for loss in ("cross_entropy", "mse", "stable_max")
        if loss == "mse" or kind != "vectors"
    ],
)
def test_every_gradient_of_the_step_for_devices_is_that_of_autograd(kind, loss):
    model, task = KINDS[kind]
    stacks = []
    members = list(entrants(model, task, loss, stacks))
    way = batched_ways.StackedAutograd(model, loss, "float64", 0, (), torch.float64)
    of_step = [way.member(member)[0] for member in members]
    losses = way.step(stacks[0]).losses_and_gradients(of_step, [0, 0, 0])
    for number, member in enumerate(members):
        own = {
            name: value.detach().clone().requires_grad_(value.requires_grad)
            for name, value in member.parameters.items()
        }
        step = AutogradStep(own, member.network, *member.batch("train"), "float64", loss)
        torch.testing.assert_close(losses[number].double(), step.loss_and_gradients(), **EXACT64)
        torch.testing.assert_close(
            of_step[number].accuracy(), step.accuracy(), rtol=0, atol=0, equal_nan=True
        )
        for name, value in own.items():
            if value.requires_grad:
                found = member.parameters[name].grad
                torch.testing.assert_close(found, value.grad, **EXACT64, msg=name)


@pytest.mark.parametrize("kind", ["one layer", "norms", "one-hot"])
def test_the_step_for_devices_never_reads_a_number(kind):
    """On meta there are no numbers: to read one, or to move one to the CPU, is an error."""
    model, task = KINDS[kind]
    config = TrainConfig(task=task, model=model)
    split = draw_split(task_of(task))
    network = Network(model, split.task)
    shapes = network.shapes
    trained = {name for name in shapes if network.is_trained(name)}
    stack = StackedWeights(shapes, trained, 2, torch.float32, "meta")
    way = batched_ways.batched_way(config, "meta")
    assert isinstance(way, batched_ways.StackedAutograd)
    entered = [Entrant(config, network, stack.member(slot), split, "meta") for slot in range(2)]
    members = [way.member(entrant)[0] for entrant in entered]
    losses = way.step(stack).losses_and_gradients(members, [0, 0])
    assert [loss.device.type for loss in losses] == ["meta", "meta"]
    assert members[0].accuracy().device.type == "meta"


def test_on_a_device_all_networks_but_those_with_dropout_are_batched(tmp_path, monkeypatch):
    """The CPU stands for the device: the same step, the same way in and out of the batch."""
    monkeypatch.setattr(batched_ways, "is_cpu", lambda device: False)
    perceptron = dataclasses.replace(seed(5, n_steps=20), model=MlpSpec(widths=(8,)))
    other = dataclasses.replace(perceptron, model=MlpSpec(widths=(8,), init_seed=1), n_steps=12)
    dropout = seed(1, n_steps=4, pressures=PressureSpec(dropout=0.1))
    configs = [seed(0, n_steps=20), seed(5, n_steps=12), perceptron, other, dropout]
    runs = train_many(configs, tmp_path / "many", progress=False)
    steps = [run.environment["training_step"] for run in runs]
    assert steps[:4] == ["autograd, many at once"] * 4
    assert steps[4] == "autograd (no pair tables: dropout=0.1)"
    for run in runs[:4]:
        # A device chooses its products by the size of the batch, and so may this processor's
        # library: equal bits are promised for the steps of the CPU alone, not for this one.
        alone = trained_alone(run.config, tmp_path).curves["train_loss"]
        np.testing.assert_allclose(run.curves["train_loss"], alone, rtol=1e-4)
        ordinary = train(run.config, tmp_path / run.folder.name, progress=False)
        losses = [one.curves["train_loss"][:4] for one in (run, ordinary)]
        np.testing.assert_allclose(*losses, rtol=1e-4)


def test_members_of_a_stack_begin_at_a_line_of_the_cache_and_never_touch():
    for shape in [(5, 2), (16,), (4, 8), (1,)]:
        stack = stack_of(3, shape, torch.float32, "cpu")
        assert all(member.data_ptr() % 64 == 0 for member in stack)
        assert stack.stride(0) > stack[0].numel()


DECAYS_TWO = OptimizerSpec(
    learning_rate=1e-2,
    warmup_steps=0,
    schedule="cosine",
    schedule_steps=20,
    decayed=("W_E", "W_in"),
)
DECAYS_ONE = OptimizerSpec(
    algorithm="sgd",
    learning_rate=0.05,
    momentum=0.9,
    schedule="linear",
    schedule_steps=25,
    decayed=("W_U",),
)
COMPANY = [
    dict(n_steps=12),
    dict(optimizer=DECAYS_TWO),
    dict(pressures=PressureSpec(l1=1e-4, gradient_noise=1e-3, grokfast="ema", clamp_norm=True)),
    dict(optimizer=DECAYS_ONE),
    dict(test_every=7, checkpoint_every=4, loss_dtype="float32"),
    dict(optimizer=OptimizerSpec(learning_rate=1e18, warmup_steps=0)),
    dict(loss="mse", pressures=PressureSpec(grokfast="ma", grokfast_window=5, perp_grad=True)),
]


@pytest.fixture(scope="module")
def company(way, tmp_path_factory):
    """Runs of one shape that differ in all that may differ, in two batches of three."""
    folder = tmp_path_factory.mktemp("company")
    configs = [seed(number, **changes) for number, changes in enumerate(COMPANY)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batched_ways, "MOST_AT_A_TIME", 3)
        runs = train_many(configs, folder, n_threads=2, progress=False)
    return configs, runs


@pytest.mark.parametrize("number", range(len(COMPANY)))
def test_a_run_has_the_same_bits_alone_and_among_others(number, company, tmp_path):
    configs, runs = company
    alone = trained_alone(configs[number], tmp_path)
    assert same_bits(runs[number], alone)
    assert runs[number].folder.name == configs[number].hash()


@pytest.mark.parametrize("number", range(len(COMPANY)))
def test_the_first_steps_are_those_of_training_alone_up_to_rounding(number, company, tmp_path):
    configs, runs = company
    config = configs[number]
    ordinary = train(config, tmp_path / "run", progress=False)
    ours = runs[number].curves
    assert ours["step"].equals(ordinary.curves["step"])
    assert ours.notna().equals(ordinary.curves.notna())
    assert runs[number].diverged_at == ordinary.diverged_at
    n_first = 4 if ordinary.diverged_at is None else 1
    np.testing.assert_allclose(
        ours["train_loss"][:n_first], ordinary.curves["train_loss"][:n_first], rtol=1e-4
    )
    assert ours["test_loss"][0] == pytest.approx(ordinary.curves["test_loss"][0], rel=1e-5)
    assert runs[number].steps == ordinary.steps
    names = sorted(path.name for path in ordinary.folder.iterdir())
    assert sorted(path.name for path in runs[number].folder.iterdir()) == names
    is_batched = runs[number].environment["training_step"].endswith("many at once")
    assert is_batched is not same_bits(runs[number], ordinary)


@pytest.mark.usefixtures("torch_alone")
def test_a_run_takes_the_groups_of_its_optimizer_along_to_another_slot(tmp_path):
    diverges, moves = (seed(number, **COMPANY[number]) for number in (5, 3))
    runs = train_many([diverges, moves], tmp_path / "two", n_threads=1, progress=False)
    assert runs[0].diverged_at is not None and runs[0].diverged_at < 20
    assert same_bits(runs[1], trained_alone(moves, tmp_path))


@pytest.mark.usefixtures("torch_alone")
def test_members_in_float64_are_computed_in_float64(tmp_path):
    configs = [seed(number, weight_dtype="float64", n_steps=20) for number in range(2)]
    for run, config in zip(
        train_many(configs, tmp_path / "many", progress=False), configs, strict=True
    ):
        alone = train(config, tmp_path / str(config.model.init_seed), progress=False)
        assert run.environment["training_step"].endswith("many at once")
        for name, value in run.parameters().items():
            assert value.dtype == torch.float64
            torch.testing.assert_close(value, alone.parameters()[name], rtol=1e-9, atol=1e-12)


def test_members_that_differ_do_not_get_each_others_numbers(company):
    _, runs = company
    firsts = [run.curves["train_loss"][0] for run in runs]
    assert len(set(firsts)) == len(firsts)
    assert runs[5].diverged_at is not None and runs[5].diverged_at < 30
    assert all(run.diverged_at is None for run in [*runs[:5], runs[6]])


def test_runs_come_back_in_the_order_of_the_configs_and_equal_ones_are_trained_once(tmp_path):
    configs = [seed(3, n_steps=4), seed(1, n_steps=4), seed(3, n_steps=4)]
    runs = train_many(configs, tmp_path, progress=False)
    assert [run.config for run in runs] == configs
    assert len(list(tmp_path.iterdir())) == 2


def test_a_finished_run_is_read_and_nothing_of_it_is_written(tmp_path):
    configs = [seed(0, n_steps=4), seed(1, n_steps=4)]
    train_many(configs[:1], tmp_path, progress=False)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    runs = train_many(configs, tmp_path, progress=False)
    after = {path: path.stat().st_mtime_ns for path in before if path != tmp_path}
    assert after == {path: at for path, at in before.items() if path != tmp_path}
    assert [run.steps[-1] for run in runs] == [4, 4]


@pytest.mark.usefixtures("torch_alone")
def test_an_early_stop_leaves_the_batch_where_training_alone_stops(tmp_path):
    stopping = seed(2, n_steps=400, stop_accuracy=0.15, stop_patience=10, checkpoint_every=100)
    configs = [seed(0, n_steps=60), stopping, seed(1, n_steps=160)]
    runs = train_many(configs, tmp_path / "many", progress=False)
    ordinary = train(stopping, tmp_path / "one", progress=False)
    assert runs[1].last_step < 400
    assert abs(runs[1].last_step - ordinary.last_step) <= stopping.test_every
    assert [run.last_step for run in runs[::2]] == [60, 160]
    assert same_bits(runs[1], trained_alone(stopping, tmp_path))
    assert same_bits(runs[2], trained_alone(configs[2], tmp_path))


@pytest.mark.usefixtures("torch_alone")
def test_shapes_and_networks_of_all_kinds_may_be_mixed(tmp_path):
    other_shape = dataclasses.replace(seed(0, n_steps=4), task=TaskSpec(p=11))
    dropout = seed(1, n_steps=4, pressures=PressureSpec(dropout=0.1))
    perceptron = dataclasses.replace(seed(2, n_steps=4), model=MlpSpec(widths=(8,)))
    configs = [seed(0, n_steps=4), other_shape, dropout, perceptron]
    runs = train_many(configs, tmp_path / "many", n_threads=2, progress=False)
    steps = [run.environment["training_step"] for run in runs]
    assert [step.endswith("many at once") for step in steps] == [True, True, False, False]
    assert [run.steps[-1] for run in runs] == [4] * 4
    for run in runs[2:]:
        alone = train(run.config, tmp_path / run.folder.name, n_threads=1, progress=False)
        assert same_bits(run, alone)
        assert run.environment == alone.environment


def test_a_run_that_cannot_be_trained_leaves_the_others_their_work(tmp_path):
    configs = [seed(number, n_steps=8) for number in range(4)]
    held, foreign, unsplit = (tmp_path / config.hash() for config in configs[:3])
    impossible = dataclasses.replace(
        configs[2], task=TaskSpec(p=13, train_fraction=1e-4, split_seed=2)
    )
    held.mkdir()
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("precious")
    with exclusive_lock(held), pytest.raises(FailedRunsError) as caught:
        train_many([*configs[:2], impossible, configs[3]], tmp_path, progress=False)
    failures = caught.value.failures
    assert set(failures) == {configs[0].hash(), configs[1].hash(), impossible.hash()}
    assert isinstance(failures[configs[0].hash()], FolderInUseError)
    assert isinstance(failures[impossible.hash()], ConfigError)
    message = str(caught.value)
    assert message.startswith("3 of 4 runs could not be finished, the others are.")
    assert "thesis.tex" in message and "another process" in message
    assert load_run(tmp_path / configs[3].hash()).steps[-1] == 8
    assert not unsplit.exists() and not (tmp_path / impossible.hash()).exists()
    (foreign / "thesis.tex").unlink()
    assert [run.steps[-1] for run in train_many(configs, tmp_path, progress=False)] == [8] * 4


def test_parents_are_trained_first_and_children_begin_with_their_weights(tmp_path):
    parent = seed(0, n_steps=6)
    children = [
        dataclasses.replace(seed(number, n_steps=6), model=parent.model, parent=parent)
        for number in (1, 2)
    ]
    runs = train_many(children, tmp_path, progress=False)
    source = load_run(tmp_path / parent.hash())
    assert source.steps[-1] == 6
    for run in runs:
        assert run.checksum(0) == source.checksum(6)


def test_a_child_of_a_run_that_failed_says_so(tmp_path):
    parent = seed(0, optimizer=OptimizerSpec(learning_rate=1e18, warmup_steps=0))
    child = dataclasses.replace(seed(1, n_steps=4), model=parent.model, parent=parent)
    with pytest.raises(FailedRunsError, match="parent diverged at step") as caught:
        train_many([child, seed(2, n_steps=4)], tmp_path, progress=False)
    assert set(caught.value.failures) == {child.hash()}
    held = tmp_path / "held"
    (held / parent.hash()).mkdir(parents=True)
    with exclusive_lock(held / parent.hash()), pytest.raises(FailedRunsError) as caught:
        train_many([child], held, progress=False)
    assert set(caught.value.failures) == {parent.hash(), child.hash()}
    assert f"the run {parent.hash()} that it starts from failed" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((tiny.config(), "runs"), "configs is not a list of configs"),
        (([tiny.config(), "quick"], "runs"), "configs="),
        (([tiny.config()], 5), "folder=5"),
    ],
)
@pytest.mark.usefixtures("without_type_checks")
def test_what_is_no_list_of_configs_is_refused(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words):
        train_many(*arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("named", [{"n_threads": 0}, {"device": "abacus"}])
def test_threads_and_devices_that_are_not_there_are_refused(named, tmp_path):
    with pytest.raises(ConfigError, match=next(iter(named))):
        train_many([tiny.config()], tmp_path / "runs", progress=False, **named)
    assert not (tmp_path / "runs").exists()


def test_the_number_of_threads_is_that_of_before(tmp_path):
    before = torch.get_num_threads()
    train_many([seed(0, n_steps=2), seed(1, n_steps=4)], tmp_path, n_threads=2, progress=False)
    assert torch.get_num_threads() == before
    environments = tmp_path.glob("*/environment.json")
    assert {json.loads(file.read_text())["n_threads"] for file in environments} == {1}


def test_no_configs_are_no_runs(tmp_path):
    assert train_many([], tmp_path, progress=False) == []


@pytest.mark.usefixtures("torch_alone")
def test_runs_go_over_between_one_and_many_with_a_warning(tmp_path, caplog):
    config = seed(0, n_steps=20, checkpoint_every=10)
    short = dataclasses.replace(config, n_steps=10)
    folder = tmp_path / config.hash()
    train(short, folder, progress=False)
    with caplog.at_level("WARNING"):
        run = train_many([config], tmp_path, progress=False)[0]
    assert "this run was started in another way (training_step pair tables" in caplog.text
    assert run.steps[-1] == 20
    ordinary = train(config, tmp_path / "one", progress=False)
    np.testing.assert_allclose(
        run.curves["train_loss"][:12], ordinary.curves["train_loss"][:12], rtol=1e-4
    )
    further = dataclasses.replace(config, n_steps=30)
    assert train(further, folder, progress=False).steps[-1] == 30


def test_the_bar_counts_steps_of_all_runs_and_runs_that_are_finished(tmp_path, capsys):
    configs = [seed(0, n_steps=4), seed(1, n_steps=8)]
    train_many(configs, tmp_path)
    assert "2 of 2 runs" in (said := capsys.readouterr().err) and "12/12" in said
    train_many(configs, tmp_path)
    assert "0 of 0 runs" in capsys.readouterr().err


@pytest.fixture
def with_interrupts():
    """Interruptions as at a terminal: a shell lets programs in the background ignore them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("torch_alone")
def test_an_interruption_frees_the_folders_and_the_same_call_goes_on(tmp_path, with_interrupts):
    configs = [seed(number, n_steps=20_000, checkpoint_every=500) for number in range(4)]
    index = tmp_path / configs[0].hash() / "checkpoints" / "index.csv"

    def interrupt():
        while not index.exists() or index.read_text().count("\n") < 5:
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        train_many(configs, tmp_path, n_threads=2, progress=False)
    thread.join()
    short = [load_run(tmp_path / config.hash()).last_step for config in configs]
    assert max(short) < 20_000
    for config in configs:
        with exclusive_lock(tmp_path / config.hash()):
            pass


SCRIPT = """
import sys
from grokinterp.training import train_many
from tests.test_train_many import to_be_killed
train_many(to_be_killed(), sys.argv[1], n_threads=2, progress=False)
"""


def to_be_killed():
    pressures = PressureSpec(gradient_noise=1e-4, grokfast="ema")
    return [
        seed(0, n_steps=300, checkpoint_every=20),
        seed(1, n_steps=250, checkpoint_every=33, pressures=pressures),
        seed(2, n_steps=120, checkpoint_every=50),
        seed(3, n_steps=300, checkpoint_every=45),
    ]


@pytest.mark.faults
@pytest.mark.usefixtures("torch_alone")
def test_killed_runs_go_on_to_the_bits_of_undisturbed_ones(tmp_path):
    configs = to_be_killed()
    undisturbed = train_many(configs, tmp_path / "whole", progress=False)
    folder, drawn = tmp_path / "killed", random.Random(5)
    index = folder / configs[0].hash() / "checkpoints" / "index.csv"
    for wanted in (3, 9):
        process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)])
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if index.exists() and index.read_text().count("\n") > wanted:
                break
            time.sleep(0.002)
        time.sleep(drawn.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    runs = train_many(configs, folder, n_threads=1, progress=False)
    for run, whole in zip(runs, undisturbed, strict=True):
        assert same_bits(run, whole)
        assert "resumed_with" not in json.loads((run.folder / "environment.json").read_text())


@pytest.mark.usefixtures("torch_alone")
def test_a_full_disk_ends_in_one_line_and_the_runs_go_on_later(tmp_path):
    """A file size limit of the process stands for the full disk: writes fail in the same way."""
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n" + SCRIPT
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert "4 of 4 runs could not be finished" in last and "cannot write" in last
    assert "the others" not in last
    configs = [dataclasses.replace(config, n_steps=60) for config in to_be_killed()]
    assert len(train_many(configs, tmp_path, progress=False)) == 4
