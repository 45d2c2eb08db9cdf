"""State dicts of described transformers: read exactly, or refused with what does not fit."""

import dataclasses

import pytest
import torch

import grokinterp as gi
from grokinterp.errors import CheckpointError
from grokinterp.models import ModelSpec
from grokinterp.runs.importers.described import needs_description
from grokinterp.runs.network import Network

P = 7
TASK = gi.TaskSpec(p=P)
SMALL = ModelSpec(d_model=16, n_heads=2, d_head=8, d_mlp=24, biases="all")
KINDS = {
    "LN, two blocks": {"normalization": "LN", "n_layers": 2},
    "RMSPre after": {"normalization": "RMSPre", "norm_position": "after"},
    "gated silu": {"gated_mlp": True, "act_fn": "silu"},
    "attention only": {"attn_only": True},
    "a o b =, tied": {"input_format": "a_op_b_equals", "tied_embeddings": True},
    "sinusoidal, tokens": {"positions": "sinusoidal", "outputs": "tokens"},
}


def spec_and_state(kind):
    spec = dataclasses.replace(SMALL, **KINDS[kind])
    return spec, Network(spec, gi.Task(TASK)).initial_parameters()


def read(state, spec, task=TASK):
    return gi.Run.from_state_dicts({0: state}, task=task, model=spec)


@pytest.mark.parametrize("kind", KINDS)
def test_a_described_network_computes_what_it_did(kind):
    spec, state = spec_and_state(kind)
    run = read({**state, "blocks.0.attn.mask": torch.ones(3, 3)}, spec)
    expected = Network(spec, gi.Task(TASK)).outputs(state, torch.tensor(run.task.pairs))
    # The analysis adds up the same numbers in another order.
    torch.testing.assert_close(run.network().logits, expected[:, :P], rtol=1e-5, atol=5e-6)
    assert "blocks.0.attn.mask" in run.origin
    assert run.spec == spec


def test_what_the_description_says_need_not_be_written():
    for kind, name in (("a o b =, tied", "unembed.W_U"), ("sinusoidal, tokens", "pos_embed.W_pos")):
        spec, state = spec_and_state(kind)
        short = {key: value for key, value in state.items() if key != name}
        torch.testing.assert_close(read(short, spec).parameters()[name], state[name])


def test_what_it_does_not_say_has_to_be_there():
    spec, state = spec_and_state("LN, two blocks")
    for name in ("unembed.W_U", "pos_embed.W_pos", "blocks.1.ln2.b"):
        with pytest.raises(CheckpointError, match=f"no {name}"):
            read({key: value for key, value in state.items() if key != name}, spec)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {**s, "blocks.0.mlp.W_gate": torch.ones(16, 24)}, "part that the given model"),
        (lambda s: {**s, "ln_final.w": torch.ones(15)}, r"ln_final.w has shape \(15,\)"),
        (lambda s: {**s, "ln_final.w": torch.full((16,), torch.nan)}, "not finite in ln_final.w"),
    ],
)
def test_a_state_dict_that_does_not_fit_the_description_is_refused(change, message):
    spec, state = spec_and_state("LN, two blocks")
    with pytest.raises(CheckpointError, match=message) as error:
        read(change(state), spec)
    assert "\n" not in str(error.value)


def test_a_table_of_positions_that_is_not_the_described_one_is_refused():
    spec, state = spec_and_state("sinusoidal, tokens")
    assert read({**state, "pos_embed.W_pos": state["pos_embed.W_pos"] + 1e-6}, spec).steps == (0,)
    moved = {**state, "pos_embed.W_pos": state["pos_embed.W_pos"] + 0.5}
    with pytest.raises(CheckpointError, match="positions=sinusoidal, but pos_embed.W_pos is anot"):
        read(moved, spec)
    with pytest.raises(CheckpointError, match="positions=none, but pos_embed.W_pos is another"):
        read(state, dataclasses.replace(spec, positions="none"))
    read(moved, dataclasses.replace(spec, positions="learned"))


def test_another_modulus_is_refused_with_the_shape():
    spec, state = spec_and_state("LN, two blocks")
    with pytest.raises(CheckpointError, match="embed.W_E has shape"):
        read(state, spec, gi.TaskSpec(p=11))


def test_a_norm_with_weights_is_found_by_their_names():
    spec, state = spec_and_state("LN, two blocks")
    found = gi.Run.from_state_dicts({0: state}, task=TASK).transformer
    assert (found.normalization, found.n_layers) == ("LN", spec.n_layers)
    state.pop("ln_final.w")
    with pytest.raises(CheckpointError, match=r"ln_final\.b belongs to a part"):
        gi.Run.from_state_dicts({0: state}, task=TASK)


def test_networks_that_shapes_show_need_no_description():
    assert not needs_description(dataclasses.replace(SMALL, act_fn="gelu", input_format="a_b"))
    assert all(needs_description(spec_and_state(kind)[0]) for kind in KINDS)
