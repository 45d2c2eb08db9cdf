"""Linear models and two-embedding transformers of Zhong et al. 2023."""

import json

import pytest
import torch

import grokinterp as gi
from grokinterp.errors import CheckpointError
from grokinterp.models.pair_tables import pair_logits
from tests import planted
from tests.foreign import data_file, in_published_orientation

P, KEYS = 13, (2, 5)
GRID = torch.cartesian_prod(torch.arange(P), torch.arange(P))
SAME = {"rtol": 1e-4, "atol": 1e-4}


def adding():
    """A planted perceptron on the sum of two embeddings, under the names of type A."""
    E, W_in, W_out = (v.float() for v in planted.summing_parameters(P, KEYS).values())
    l1 = {"l1.weight": W_in.T.contiguous(), "l1.bias": torch.zeros(W_in.shape[1])}
    return {"embed.weight": E, "unembed.weight": W_out.T.contiguous(), **l1}


def of_type(kind):
    state = adding()
    width = len(state["l1.weight"])
    if kind == "D":
        state["l1.weight"] = state["l1.weight"].repeat(1, 2)
    if kind in "BC":
        # Neurons are not negative, so the identity passes a ReLU; what is added does not.
        state["l2.weight"] = torch.eye(width)
        state["l2.bias"] = torch.zeros(width)
    return state


def write(folder, state, **config):
    torch.save(state, folder / "model_abc.pt")
    (folder / "config_abc.json").write_text(json.dumps({"epoch": 90, **config}))
    return folder / "model_abc.pt"


@pytest.mark.parametrize(
    ("kind", "widths", "combination"),
    [
        ("A", 1, "summed"),
        ("B", 1, "summed"),
        ("C", 2, "summed"),
        ("D", 1, "concatenated"),
    ],
)
def test_each_type_is_read_as_its_config_says(tmp_path, kind, widths, combination):
    run = gi.load_run(write(tmp_path, of_type(kind), model_type=kind))
    assert len(run.spec.widths) == widths and run.spec.combination == combination
    expected = pair_logits(
        {n: v.float() for n, v in planted.summing_parameters(P, KEYS).items()},
        planted.summing_spec(),
        GRID,
    )
    torch.testing.assert_close(run.logits(90), expected, **SAME)
    assert run.task.spec == gi.TaskSpec(p=P) and f"of type {kind}" in run.origin
    other = "A" if kind != "A" else "D"
    with pytest.raises(CheckpointError, match=f"model_type={other}, but its shapes are"):
        gi.load_run(write(tmp_path, of_type(kind), model_type=other))


def test_types_b_and_c_are_two_networks_of_the_same_shapes(tmp_path):
    state = of_type("B")
    state["l2.bias"] = state["l2.bias"] - 0.3
    runs = [gi.load_run(write(tmp_path, state, model_type=kind)) for kind in "BC"]
    assert (runs[0].logits(90) - runs[1].logits(90)).abs().max() > 0.1
    with pytest.raises(
        CheckpointError, match="model_type='E'; the linear models have A, B, C or D"
    ):
        gi.load_run(write(tmp_path, state, model_type="E"))


def test_two_embeddings_are_read_where_the_config_says_so(tmp_path):
    spec, w = planted.clock_spec(list(KEYS)), planted.clock_parameters(P, list(KEYS))
    table, sign = w["embed.W_E"][:P], w["embed.W_E"][P:]
    # b has a table of its own, in another order: only with two tables this is addition.
    doubled = {**w, "embed.W_E": torch.cat([table, table, sign])}
    state = in_published_orientation(doubled, extra_output=False)
    more = torch.full((spec.d_model, P + 1), -0.01)
    state["unembed.W_U"] = torch.cat([state["unembed.W_U"], more], dim=1)
    config = {"attn_coeff": 1, "eqn_sign": True, "diff_vocab": True}
    run = gi.load_run(write(tmp_path, state, **config))
    assert run.spec.operand_embeddings == "separate" and "two embeddings" in run.origin
    assert run.task.spec == gi.TaskSpec(p=P)
    torch.testing.assert_close(run.logits(90), pair_logits(w, spec, GRID), **SAME)
    assert len(run.parameters(90)["embed.W_E"]) == 2 * P + 1
    with pytest.raises(CheckpointError):
        gi.load_run(write(tmp_path, state, **{**config, "diff_vocab": False}))


@pytest.mark.parametrize(
    ("runid", "kind", "combination"),
    [("7r4zst7evs", "D", "concatenated"), ("amw6ox6bzn", "B", "summed")],
)
def test_a_published_linear_model_answers_all_pairs(runid, kind, combination):
    run = gi.load_run(data_file(f"linear/model_{runid}.pt"))
    assert run.spec.combination == combination and run.spec.widths == (256,)
    assert (run.logits().argmax(1) == torch.tensor(run.task.labels)).all()
    assert run.task.spec == gi.TaskSpec(p=59) and run.steps == (20_000,)
    assert not run.split.is_known and not run.doubts


def test_a_layer_without_activation_is_told_by_the_loss_where_no_config_says_it(tmp_path):
    """With the activation that it lacks the network is right too, but less sure of it."""
    path = data_file("linear/model_amw6ox6bzn.pt")
    state = torch.load(path, map_location="cpu", weights_only=True)
    torch.save(state, tmp_path / "bare.pt")
    run = gi.load_run(tmp_path / "bare.pt")
    assert run.spec.widths == (256,) and "next best reading (widths=(256, 256))" in run.origin
    torch.testing.assert_close(run.logits(), gi.load_run(path).logits())
