"""The network of Nanda et al. from its seed, and weights in float64."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import grokinterp as gi
from grokinterp.errors import ConfigError
from grokinterp.models import ModelSpec
from grokinterp.models.spec import Outputs
from grokinterp.runs import TrainConfig
from grokinterp.runs.network import Network
from grokinterp.tasks import Task, TaskSpec, draw_split
from grokinterp.training import train
from tests import foreign, tiny

pytestmark = pytest.mark.long

FIRST_LOSSES = {
    0: (4.764052263, 4.768347311),
    1: (4.776912163, 4.767726207),
    2: (4.761131821, 4.757694683),
}
"""Train and test loss in float64 of the published code, by seed."""


def first_losses(seed, outputs: Outputs = "tokens", swapped=()):
    spec = ModelSpec(init="nanda2023_published", init_seed=seed, outputs=outputs)
    return losses_of(spec, TaskSpec(split_seed=seed), swapped)


def losses_of(spec, task, swapped=()):
    network = Network(spec, Task(task))
    weights = {name: value.double() for name, value in network.initial_parameters().items()}
    if swapped:
        # All three have one shape, so a slip in their order is a swap of these.
        one, other = (f"blocks.0.attn.{leaf}" for leaf in swapped)
        weights[one], weights[other] = weights[other], weights[one]
    logits, split = network.outputs(weights, network.inputs), draw_split(network.task)
    sides = (split.train, split.test)
    return [F.cross_entropy(logits[rows], network.targets[rows]).item() for rows in sides]


@pytest.mark.parametrize("seed", FIRST_LOSSES)
def test_a_seed_gives_the_first_losses_of_the_published_code(seed):
    assert first_losses(seed) == pytest.approx(FIRST_LOSSES[seed], abs=1e-6)


@pytest.mark.parametrize(("preset", "is_published"), [("nanda2023", True), ("p113", False)])
def test_the_preset_begins_as_the_published_run_and_its_neighbor_does_not(preset, is_published):
    config = gi.PRESETS[preset]
    found = losses_of(config.model, config.task)
    assert (found == pytest.approx(FIRST_LOSSES[0], abs=1e-6)) is is_published


@pytest.mark.parametrize(
    "slip", [{"swapped": ("W_Q", "W_V")}, {"swapped": ("W_K", "W_V")}, {"outputs": "answers"}]
)
def test_another_order_or_p_outputs_only_is_another_network(slip):
    found = first_losses(0, **slip)
    assert all(abs(one - other) > 1e-4 for one, other in zip(found, FIRST_LOSSES[0], strict=True))


def test_any_size_is_drawn_as_the_published_code_draws_it():
    spec = ModelSpec(
        n_layers=2,
        d_model=8,
        n_heads=2,
        d_head=3,
        d_mlp=12,
        init="nanda2023_published",
        init_seed=7,
        outputs="tokens",
    )
    network = Network(spec, Task(TaskSpec(p=5)))
    state = foreign.in_published_orientation(network.initial_parameters(), extra_output=False)
    block = [(f"attn.W_{letter}", (2, 3, 8)) for letter in "KQV"]
    block += [("attn.W_O", (8, 6)), ("mlp.W_in", (12, 8)), ("mlp.W_out", (8, 12))]
    order = [("embed.W_E", (8, 6)), ("pos_embed.W_pos", (3, 8))]
    order += [(f"blocks.{layer}.{name}", shape) for layer in range(2) for name, shape in block]
    order.append(("unembed.W_U", (8, 6)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        for name, shape in order:
            scale = np.sqrt(6 if name == "unembed.W_U" else 8)
            assert torch.equal(state[name], torch.randn(shape) / scale), name


def test_weights_in_float64_leave_the_hash_alone_at_their_default():
    assert TrainConfig(weight_dtype="float32").hash() == TrainConfig().hash()
    assert TrainConfig(weight_dtype="float64").hash() != TrainConfig().hash()


@pytest.mark.parametrize("act_fn", ["relu", "gelu"])  # pair tables, autograd
def test_a_float64_run_is_float64_on_disk_and_resumes_to_the_same_bits(tmp_path, act_fn):
    model = dataclasses.replace(tiny.config().model, act_fn=act_fn)
    config = tiny.config(model=model, weight_dtype="float64", n_steps=80)
    whole = train(config, tmp_path / "whole", progress=False)
    train(dataclasses.replace(config, n_steps=40), tmp_path / "parts", progress=False)
    parts = train(config, tmp_path / "parts", progress=False)
    assert {value.dtype for value in parts.parameters().values()} == {torch.float64}
    assert [parts.checksum(step) for step in parts.steps] == [
        whole.checksum(step) for step in whole.steps
    ]
    assert parts.curves.equals(whole.curves)
    single = train(
        dataclasses.replace(config, weight_dtype="float32"), tmp_path / "single", progress=False
    )
    for name, value in whole.parameters(0).items():
        assert torch.equal(value, single.parameters(0)[name].double())
    # Rounded to float32 after every step, the weights would be those of the neighbor.
    assert any(
        not torch.equal(value, value.float().double()) for value in whole.parameters(80).values()
    )


def test_a_float64_run_is_analyzed_and_exported(tmp_path):
    run = train(tiny.config(weight_dtype="float64"), tmp_path / "run", progress=False)
    analysis = gi.analyze_run(run)
    # With p outputs only, the losses of the curves are those of the answers.
    snapshot = gi.take_snapshot(run)
    loss = float(snapshot.losses[snapshot.pair_mask("test")].mean())
    assert loss == pytest.approx(run.curves["test_loss"].iloc[-1], rel=1e-9)
    back = gi.load_run(gi.export(analysis, tmp_path / "export"))
    assert back.checksum() == run.checksum()
    assert back.parameters()["embed.W_E"].dtype == torch.float64


def test_a_device_without_float64_refuses_it_in_one_line(tmp_path):
    with pytest.raises(ConfigError, match="device=mps has no float64") as caught:
        train(tiny.config(weight_dtype="float64"), tmp_path / "run", device="mps", progress=False)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def published_seed_1():
    return gi.load_run(foreign.data_file("nanda_low_precision.pth")).curves.set_index("step")


def distances(published, seed, n_steps, folder):
    """Largest relative distance: train loss up to step 100, test loss up to the end."""
    config = TrainConfig(
        task=TaskSpec(split_seed=seed),
        model=ModelSpec(init="nanda2023_published", init_seed=seed, outputs="tokens"),
        loss_dtype="float32",
        n_steps=n_steps,
    )
    curves = train(config, folder, progress=False, n_threads=1).curves.set_index("step")
    relative = (published / curves - 1).abs()
    train_loss, test_loss = relative["train_loss"].loc[:100], relative["test_loss"].dropna()
    assert len(train_loss.dropna()) == 101 and test_loss.index[-1] == n_steps
    return train_loss.max(), test_loss.max()


def test_seed_1_follows_the_published_low_precision_run_for_200_steps(published_seed_1, tmp_path):
    """Not the train loss after step 100: it falls a hundredfold by step 200, and every precision
    tried here is 4 to 5 % below the published one on the way."""
    assert max(distances(published_seed_1, 1, 200, tmp_path / "run")) < 0.01


def test_seed_0_does_not_follow_the_published_run_of_seed_1(published_seed_1, tmp_path):
    assert min(distances(published_seed_1, 0, 120, tmp_path / "run")) > 0.01
