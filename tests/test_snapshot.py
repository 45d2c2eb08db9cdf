import dataclasses
import gc
import weakref

import pytest
import torch

from grokinterp.circuits import Snapshot, take_snapshot
from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.models import ModelSpec
from grokinterp.models.initialization import initial_parameters
from grokinterp.models.transformer import transformer_logits
from tests import planted
from tests.tolerances import EXACT64, FLOAT32

SMALL = ModelSpec(d_model=16, n_heads=2, d_head=8, d_mlp=24)


def parameters_of(split, spec=SMALL):
    p = split.task.spec.p
    return initial_parameters(spec, d_vocab=p + 1, n_ctx=3, d_vocab_out=p)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_a_snapshot_holds_the_logits_of_the_forward_pass_on_every_pair(n_layers):
    split = planted.split(13)
    spec = dataclasses.replace(SMALL, n_layers=n_layers)
    parameters = parameters_of(split, spec)
    snapshot = Snapshot.from_parameters(parameters, split, spec, step=7, checksum="abc")
    logits = transformer_logits(parameters, torch.tensor(split.task.tokens), spec)[:, -1]
    assert snapshot.logits.numpy() == pytest.approx(logits.numpy(), **FLOAT32)
    assert snapshot.neurons.shape == (169, 24)
    assert snapshot.pattern.sum(dim=2).numpy() == pytest.approx(1, **FLOAT32)
    assert (snapshot.step, snapshot.checksum) == (7, "abc")


@pytest.mark.parametrize("name", ["embed.W_E", "blocks.0.mlp.b_in"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(name, value):
    split = planted.split(5)
    parameters = parameters_of(split)
    parameters[name].view(-1)[-1] = value
    with pytest.raises(CheckpointError, match=rf"step 40 has non-finite weights in {name}\."):
        Snapshot.from_parameters(parameters, split, SMALL, step=40)


@pytest.mark.parametrize("operation", ["addition", "subtraction", "multiplication", "division"])
@pytest.mark.parametrize("p", [3, 5, 13])
def test_pairs_by_sum_share_their_answer(operation, p):
    split = planted.split(p, operation)
    snapshot = planted.snapshot(planted.noise(split.task.n_pairs, p), split)
    answers = snapshot.labels[snapshot.rows_by_sum]
    assert (answers == snapshot.class_tokens[:, None]).all()
    assert torch.equal(snapshot.logits_by_sum, snapshot.logits[snapshot.rows_by_sum])


def test_means_by_sum_are_means_over_the_pairs_with_that_answer():
    split = planted.split(7)
    snapshot = planted.snapshot(planted.noise(49, 7), split)
    for s in range(7):
        expected = snapshot.logits[snapshot.labels == s].mean(dim=0)
        found = snapshot.mean_logits_by_sum[s]
        assert found.numpy() == pytest.approx(expected.numpy(), **EXACT64)


def test_train_and_test_masks_divide_the_pairs():
    snapshot = planted.trigonometric_snapshot(13, [2])
    train, test = snapshot.pair_mask("train"), snapshot.pair_mask("test")
    assert not (train & test).any()
    assert (train | test).all()
    assert snapshot.pair_mask("all").all()
    assert int(snapshot.mask_by_sum("train").sum()) == len(snapshot.split.train)


@pytest.mark.parametrize(("operation", "p"), [("multiplication", 12), ("multiplication", 2)])
def test_a_task_without_frequencies_has_no_view_and_says_so(operation, p):
    split = planted.split(p, operation)
    snapshot = planted.snapshot(planted.noise(split.task.n_pairs, p), split)
    assert snapshot.view is None
    with pytest.raises(ConfigError, match=f"multiplication modulo {p} has no cyclic view"):
        snapshot.require_view()


def test_weights_have_short_names_and_the_last_block_counts():
    split = planted.split(5)
    spec = dataclasses.replace(SMALL, n_layers=2)
    parameters = parameters_of(split, spec)
    snapshot = Snapshot.from_parameters(parameters, split, spec)
    assert snapshot.weight("W_E") is parameters["embed.W_E"]
    assert snapshot.weight("W_out") is parameters["blocks.1.mlp.W_out"]
    with pytest.raises(KeyError):
        snapshot.weight("W_X")


def test_take_snapshot_reads_a_checkpoint_of_a_run():
    import pandas as pd

    from grokinterp.runs.config import TrainConfig
    from grokinterp.runs.run import Run, WeightsInMemory

    split = planted.split(5)
    parameters = parameters_of(split)
    doubled = parameters | {"embed.W_E": 2 * parameters["embed.W_E"]}
    config = TrainConfig(task=split.task.spec, model=SMALL)
    weights = WeightsInMemory({0: parameters, 10: doubled})
    run = Run(config, split, weights, pd.DataFrame({"step": [0, 10]}), "by hand")
    last, first = take_snapshot(run), take_snapshot(run, 0)
    assert (last.step, first.step) == (10, 0)
    assert torch.equal(last.weight("W_E"), 2 * first.weight("W_E"))
    assert last.checksum == run.checksum(10) != first.checksum
    with pytest.raises(CheckpointError, match="no checkpoint at step 5"):
        take_snapshot(run, 5)


def test_what_depends_on_the_task_alone_is_made_once_and_goes_with_the_task():
    split = planted.split(13, "multiplication")
    first, second = (
        planted.snapshot(planted.noise(split.task.n_pairs, 13, seed=seed), split) for seed in (0, 1)
    )
    for name in ("labels", "pair_rows", "products", "rows_by_sum", "class_tokens"):
        assert getattr(first, name) is getattr(second, name), name
    assert first.pair_mask("test") is second.pair_mask("test")
    assert not torch.equal(first.logits_by_sum, second.logits_by_sum)
    other = planted.split(13, "addition")
    another = planted.snapshot(planted.noise(169, 13), other)
    assert another.rows_by_sum is not first.rows_by_sum
    kept = weakref.ref(split.task), weakref.ref(first.arrangement)
    del split, first, second
    gc.collect()
    assert [reference() for reference in kept] == [None, None]


def test_a_snapshot_without_its_cache_is_the_same_snapshot_and_has_kept_nothing():
    split = planted.split(7)
    snapshot = planted.snapshot(planted.noise(49, 7), split)
    large = snapshot.logits_by_sum
    again = snapshot.without_cache()
    assert "logits_by_sum" in vars(snapshot) and "logits_by_sum" not in vars(again)
    assert again.logits is snapshot.logits and again.step == snapshot.step
    assert torch.equal(again.logits_by_sum, large) and again.logits_by_sum is not large
