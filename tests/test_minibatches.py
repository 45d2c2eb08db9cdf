"""Minibatches: who is drawn, what the curves hold, and that a run goes on to the same bits."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

import grokinterp as gi
from grokinterp.figures import plot_losses
from grokinterp.models import MlpSpec
from grokinterp.runs import PRESETS, OptimizerSpec, PressureSpec
from grokinterp.runs.network import Network
from grokinterp.tasks import TaskSpec, task_of
from grokinterp.training import train
from grokinterp.training.captured import why_not_captured
from grokinterp.training.minibatches import MinibatchSampler
from grokinterp.trajectory import analyze_run
from grokinterp.trajectory.slingshots import SpikeRule, find_spikes
from tests import tiny

N_TRAIN = 118
"""Training pairs of the tiny run."""
SAMPLINGS = ["without_replacement", "with_replacement"]


def small(**changes):
    return tiny.config(**{"n_steps": 30, "checkpoint_every": 10, "batch_size": 32} | changes)


def rows_of(n_updates, n=N_TRAIN, **changes):
    sampler = MinibatchSampler(n, small(**changes))
    return [sampler.rows(step).tolist() for step in range(n_updates)]


def test_an_epoch_takes_every_example_once_in_an_order_of_its_own():
    batches = rows_of(8)
    assert [len(batch) for batch in batches] == [32, 32, 32, 22] * 2
    first, second = sum(batches[:4], []), sum(batches[4:], [])
    assert sorted(first) == sorted(second) == list(range(N_TRAIN))
    assert first != second != list(range(N_TRAIN))


def test_with_replacement_examples_come_by_chance():
    batches = rows_of(400, batch_sampling="with_replacement")
    assert all(len(batch) == 32 for batch in batches)
    counts = np.bincount(np.concatenate(batches), minlength=N_TRAIN)
    mean = 400 * 32 / N_TRAIN
    # Variance of a count of independent draws; without replacement it would be near 0.
    spread = ((counts - mean) ** 2).mean() / mean
    assert 0.6 < spread < 1.5
    epochs = np.bincount(np.concatenate(rows_of(400)), minlength=N_TRAIN)
    assert epochs.max() - epochs.min() <= 1


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_examples_of_a_step_depend_on_seed_and_step_alone(sampling):
    config = small(batch_sampling=sampling)
    in_order = rows_of(12, batch_sampling=sampling)
    backwards = MinibatchSampler(N_TRAIN, config)
    assert [backwards.rows(step).tolist() for step in reversed(range(12))] == in_order[::-1]
    assert in_order != rows_of(12, batch_sampling=sampling, batch_seed=1)
    assert in_order[:4] != in_order[4:8]


@pytest.mark.parametrize(
    "model",
    [
        tiny.config().model,
        dataclasses.replace(tiny.config().model, n_layers=2, normalization="LN"),
        MlpSpec(widths=(16,), is_centered=True),
    ],
    ids=["one layer", "two layers", "centered perceptron"],
)
def test_the_curves_hold_the_loss_of_each_batch_and_of_all_examples(tmp_path, model):
    config = small(model=model)
    run = train(config, tmp_path, progress=False)
    assert list(run.curves)[-1] == "batch_loss" and run.curves["batch_loss"].notna().all()
    tested = run.curves["train_loss"].dropna()
    assert tested.index.tolist() == [0, 10, 20, 30]
    network = Network(config.model, run.split.task)
    inputs, targets = (x[run.split.train] for x in (network.inputs, network.targets))
    assert len(targets) == N_TRAIN
    sampler = MinibatchSampler(N_TRAIN, config)
    forward = network.forward_on(run.parameters(0), inputs)
    for step in (0, 10, 30):
        with torch.no_grad():
            logits = forward(run.parameters(step), lambda name, value: value).double()
        losses = F.cross_entropy(logits, targets, reduction="none")
        on_batch = losses[sampler.rows(step)].mean().item()
        row = run.curves.loc[step]
        assert row["batch_loss"] == pytest.approx(on_batch, rel=1e-5)
        assert row["train_loss"] == pytest.approx(losses.mean().item(), rel=1e-5)
        # A centered network begins with the same loss on every example.
        assert step == 0 or abs(row["batch_loss"] - row["train_loss"]) > 1e-4
        right = (logits.argmax(-1) == targets).double().mean().item()
        assert row["train_accuracy"] == pytest.approx(right)


def test_an_update_follows_the_gradient_of_its_batch(tmp_path):
    """Two updates of gradient descent, computed here by autograd."""
    optimizer = OptimizerSpec(0.5, algorithm="sgd", weight_decay=0.0, warmup_steps=0)
    config = small(optimizer=optimizer, n_steps=2, checkpoint_every=1, weight_dtype="float64")
    run = train(config, tmp_path, progress=False)
    network = Network(config.model, run.split.task)
    inputs, targets = (x[run.split.train] for x in (network.inputs, network.targets))
    batches = rows_of(2)
    for step in range(2):
        before, after = run.parameters(step), run.parameters(step + 1)
        weights = {n: v.requires_grad_(network.is_trained(n)) for n, v in before.items()}
        rows = batches[step]
        F.cross_entropy(network.outputs(weights, inputs[rows]), targets[rows]).backward()
        for name, value in weights.items():
            if value.requires_grad:
                expected = value.detach() - 0.5 * value.grad
                torch.testing.assert_close(after[name], expected, rtol=1e-9, atol=1e-12)


def test_a_batch_of_all_examples_is_the_full_batch(tmp_path):
    changes = {"weight_dtype": "float64", "n_steps": 20}
    whole = train(tiny.config(**changes), tmp_path / "whole", progress=False)
    batched = train(small(**changes, batch_size=10_000), tmp_path / "batched", progress=False)
    expected = whole.curves["train_loss"].to_numpy()
    np.testing.assert_allclose(batched.curves["batch_loss"], expected, rtol=1e-9)
    part = train(small(**changes, batch_size=100), tmp_path / "part", progress=False)
    assert not np.allclose(part.curves["batch_loss"], expected, rtol=1e-3)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_stopped_run_goes_on_to_the_same_bits(tmp_path, sampling):
    """It stops within an epoch, at the checkpoint of step 10 of epochs of 4."""
    config = small(batch_sampling=sampling, pressures=PressureSpec(dropout=0.1), checkpoint_every=5)
    whole = train(config, tmp_path / "whole", progress=False)
    train(dataclasses.replace(config, n_steps=10), tmp_path / "parts", progress=False)
    parts = train(config, tmp_path / "parts", progress=False)
    assert [parts.checksum(step) for step in whole.steps] == [
        whole.checksum(step) for step in whole.steps
    ]
    assert parts.curves.equals(whole.curves)
    other = train(dataclasses.replace(config, batch_seed=1), tmp_path / "other", progress=False)
    assert other.checksum() != whole.checksum()


def test_runs_trained_together_have_the_bits_of_runs_alone(tmp_path):
    configs = [small(), small(batch_seed=1), tiny.config(n_steps=30)]
    together = gi.train_many(configs, tmp_path, progress=False)
    alone = train(configs[1], tmp_path / "alone", n_threads=1, progress=False)
    assert together[1].checksum() == alone.checksum() != together[0].checksum()
    assert together[1].curves.equals(alone.curves)
    assert "batch_loss" not in together[2].curves


def test_a_batch_loss_that_is_not_finite_ends_the_run(tmp_path):
    config = small(optimizer=OptimizerSpec(learning_rate=1e18, warmup_steps=0))
    run = train(config, tmp_path, progress=False)
    assert run.diverged_at is not None and run.diverged_at == run.last_step < 30
    again = train(config, tmp_path, progress=False)
    assert again.curves.equals(run.curves)


def test_a_finished_run_is_not_diverged_where_nothing_was_tested(tmp_path):
    run = train(small(), tmp_path, progress=False)
    assert run.curves["train_loss"].isna().any() and run.diverged_at is None


def test_spikes_are_found_on_the_losses_of_the_batches(tmp_path):
    run = train(small(n_steps=300, checkpoint_every=100), tmp_path, progress=False)
    loss = np.full(len(run.curves), 1e-6)
    loss[150:170] = 0.5
    spikes = find_spikes(run.curves.assign(batch_loss=loss))
    assert [spike.onset_step for spike in spikes] == [150]
    assert not find_spikes(run.curves.assign(batch_loss=1e-6))


@pytest.mark.long
@pytest.mark.parametrize("batch_size", [39, 4])
def test_a_batch_of_few_examples_is_no_spike(tmp_path, batch_size):
    """With 39 every fourth batch has a single example; the loss on all examples has no spike."""
    optimizer = OptimizerSpec(learning_rate=3e-3, weight_decay=0.0)
    config = small(
        n_steps=700, checkpoint_every=700, test_every=1, batch_size=batch_size, optimizer=optimizer
    )
    curves = train(config, tmp_path, progress=False).curves
    assert not find_spikes(curves)
    tested = curves.assign(train_loss=curves["train_loss"].where(curves["step"] % 10 == 0))
    assert not find_spikes(tested)
    if batch_size == 39:
        single = SpikeRule(median_steps=1)
        assert find_spikes(tested, single), "the batch losses by themselves look like spikes"


def test_what_is_said_of_a_run_names_its_minibatches_and_its_last_test(tmp_path):
    config = small(n_steps=30, test_every=20, checkpoint_every=25)
    run = train(config, tmp_path / "run", progress=False)
    cut = dataclasses.replace(run, curves=run.curves.iloc[:26])
    loss = run.curves["train_loss"]
    assert f"at step 20 train loss {loss[20]:.3g}" in " ".join(repr(cut).split())
    assert f"at step 30 train loss {loss[30]:.3g}" in " ".join(repr(run).split())
    card = (gi.export(analyze_run(run), tmp_path / "out") / "README.md").read_text()
    assert "batch\\_size=32, batch\\_sampling=without\\_replacement" in card
    assert "muon" not in card and "schedule" not in card
    plain = train(tiny.config(n_steps=5), tmp_path / "plain", progress=False)
    card = (gi.export(analyze_run(plain), tmp_path / "other") / "README.md").read_text()
    assert "batch" not in card.lower()


def test_a_given_loss_that_is_infinite_is_where_a_run_diverged():
    given = {"step": [0, 10, 20], "train_loss": [2, np.inf, np.nan], "batch_loss": [2.1, 2.0, 1.9]}
    run = gi.Run.from_logits(
        {20: np.zeros((25, 5))}, task=TaskSpec(p=5), curves=pd.DataFrame(given)
    )
    assert run.diverged_at == 10


def test_an_exported_run_keeps_the_losses_of_its_batches(tmp_path):
    run = train(small(), tmp_path / "run", progress=False)
    assert gi.load_run(gi.export(analyze_run(run), tmp_path / "out")).curves.equals(run.curves)


def test_the_report_draws_the_losses_at_the_tests(tmp_path):
    run = train(small(), tmp_path, progress=False)
    figure = plot_losses(analyze_run(run))
    drawn = {line.name: len(line.x) for line in figure.data}
    assert drawn["train"] == drawn["test"] == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size=0 is not allowed. It must be at least 1"),
        ({"batch_seed": -1, "batch_size": 8}, "batch_seed=-1 is outside"),
        ({"batch_seed": 3}, "batch_seed=3 is not allowed. It is of minibatches"),
        ({"batch_sampling": "with_replacement"}, "It is of minibatches; set batch_size"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, message):
    with pytest.raises(gi.ConfigError, match=message):
        tiny.config(**changes)


def test_minibatches_change_the_hash_and_their_absence_does_not():
    base = tiny.config()
    assert dataclasses.replace(base, batch_size=None).hash() == base.hash()
    sized = dataclasses.replace(base, batch_size=32)
    assert len({base.hash(), sized.hash(), dataclasses.replace(sized, batch_seed=1).hash()}) == 3


def test_a_step_that_draws_its_batch_is_not_captured():
    assert why_not_captured(small(), "cuda") == "batch_size=32 draws on the CPU"


def test_the_presets_of_the_papers_are_what_they_say():
    power, thilak = PRESETS["power2022"], PRESETS["thilak2022"]
    network = Network(power.model, task_of(power.task))
    n_inner = sum(
        value.numel()
        for name, value in network.initial_parameters().items()
        if name.startswith("blocks") and network.is_trained(name) and ".ln" not in name
    )
    # The paper: about 4e5 parameters besides the embeddings.
    assert n_inner == 2 * (4 * 128**2 + 2 * 128 * 512) == 393_216
    assert task_of(power.task).n_examples == 97 * 96
    assert thilak.optimizer == OptimizerSpec(algorithm="adam", weight_decay=0.0)
    assert dataclasses.replace(thilak, optimizer=power.optimizer) == power
    assert power.task == TaskSpec("division", p=97, train_fraction=0.5)
