"""Parts of transformers of the literature: every way back gives the network's own logits."""

import dataclasses

import pytest
import torch

from grokinterp.circuits import Snapshot, ablate, ablate_with_hooks, ablation_table
from grokinterp.circuits.components import SITES
from grokinterp.circuits.gradients import gradient_symmetricity
from grokinterp.errors import ConfigError
from grokinterp.measures import MEASURES
from grokinterp.models import ModelSpec
from grokinterp.models.network_parts import Operands
from grokinterp.runs.network import Network
from grokinterp.runs.parts import missing_parts
from tests import planted

P = 11
SMALL = ModelSpec(d_model=16, n_heads=2, d_head=8, d_mlp=24, biases="all")
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
"""A few float32 products one after the other, of logits around one."""
KINDS = {
    "LN before": {"normalization": "LN"},
    "LNPre before, two blocks": {"normalization": "LNPre", "n_layers": 2},
    "RMS before, gated": {"normalization": "RMS", "gated_mlp": True, "act_fn": "silu"},
    "RMSPre after": {"normalization": "RMSPre", "norm_position": "after"},
    "LN after, two blocks, both ways": {
        "normalization": "LN",
        "norm_position": "after",
        "n_layers": 2,
        "attention_dir": "bidirectional",
    },
    "gated without norm": {"gated_mlp": True, "act_fn": "gelu_new"},
    "square, a o b =": {"act_fn": "square", "input_format": "a_op_b_equals"},
    "tanh, = a b, sinusoidal": {
        "act_fn": "tanh",
        "input_format": "equals_a_b",
        "positions": "sinusoidal",
    },
    "p + 1 outputs, no positions": {"outputs": "tokens", "positions": "none"},
    "tied, LN": {"tied_embeddings": True, "normalization": "LN"},
    "attention only, LN, two blocks": {"attn_only": True, "normalization": "LN", "n_layers": 2},
    "attention only, LN after": {
        "attn_only": True,
        "normalization": "LN",
        "norm_position": "after",
    },
}


def snapshot_of(kind: str) -> Snapshot:
    spec = dataclasses.replace(SMALL, **KINDS[kind])
    split = planted.split(P)
    weights = Network(spec, split.task).initial_parameters()
    for seed, (name, value) in enumerate(weights.items()):
        # Norm weights and biases too, so that none is forgotten or taken for another.
        if name != "pos_embed.W_pos" and not (spec.tied_embeddings and name == "unembed.W_U"):
            value += 0.3 * planted.noise(*value.shape, seed=seed).float()
    if spec.tied_embeddings:
        weights["unembed.W_U"] = weights["embed.W_E"][: weights["unembed.b_U"].shape[0]].T.clone()
    return Snapshot.from_parameters(weights, split, spec)


@pytest.fixture(params=KINDS)
def snapshot(request) -> Snapshot:
    return snapshot_of(request.param)


def test_logits_from_its_own_operands_are_its_logits(snapshot):
    rows = torch.arange(len(snapshot.logits))
    pairs, tables = snapshot.arrangement.pairs, snapshot.operands
    a, b = tables.a[pairs[:, 0]], tables.b[pairs[:, 1]]
    found = snapshot.network.logits_from_operands(a, b, rows)
    torch.testing.assert_close(found, snapshot.logits, **CLOSE)
    other = snapshot.network.logits_from_operands(a.flip(0), b, rows)
    assert (other - snapshot.logits).abs().max() > 0.01


def test_other_tables_are_what_the_tokens_bring_in_and_nothing_else(snapshot):
    table = snapshot.operands.a.flip(0)
    found = snapshot.network.with_operands(Operands(table, table)).logits
    # Token x gets the embedding that p - 1 - x had before.
    backwards = (P - 1 - snapshot.arrangement.pairs) @ torch.tensor([P, 1])
    torch.testing.assert_close(found, snapshot.logits[backwards], **CLOSE)


def test_the_edges_of_the_last_block_end_in_the_logits(snapshot):
    torch.testing.assert_close(snapshot.last_block.logits(), snapshot.logits, **CLOSE)


def test_neurons_lead_to_the_logits_and_the_readout_is_the_linear_part(snapshot):
    network, rows = snapshot.network, torch.arange(len(snapshot.logits))
    if not snapshot.has("neurons"):
        with pytest.raises(ConfigError, match="attention-only transformer has no neurons"):
            assert network.readout
        return
    torch.testing.assert_close(
        network.logits_from_neurons(snapshot.neurons, rows), snapshot.logits, **CLOSE
    )
    # With the scale held, a small change of the neurons moves the logits by change @ W_L / scale,
    # up to what the change does to the scale: none for a change that a norm does not see.
    change = 1e-3 * planted.noise(*snapshot.neurons.shape, seed=5).float()
    moved = network.logits_from_neurons(snapshot.neurons + change, rows) - snapshot.logits
    expected = snapshot.through_W_L(change, rows)
    if network.readout.scale is None:
        torch.testing.assert_close(moved.double(), expected, rtol=1e-2, atol=1e-5)
        return
    scale_moves = moved.double() - expected
    # What the moved scale adds lies along the logits that the norm divides.
    direction = snapshot.logits.double() - snapshot.last_block.weights["b_U"].double()
    beta = snapshot.last_block.weights.get(f"{snapshot.last_block.last_norm}b")
    if beta is not None:
        direction = direction - beta.double() @ snapshot.last_block.weights["W_U"].double()
    share = (scale_moves * direction).sum(1, keepdim=True) / direction.square().sum(1, keepdim=True)
    left = scale_moves - share * direction
    assert left.norm() < 0.02 * expected.norm()
    assert scale_moves.norm() > 5 * left.norm()


def test_ablations_agree_with_hooks_on_the_whole_network(snapshot):
    last = snapshot.spec.n_layers - 1

    def off(activation, hook):
        return activation * 0

    point = f"blocks.{last}.attn.hook_z"
    by_hook = ablate_with_hooks(snapshot, [(point, off)]).losses["all"]
    by_name = ablate(snapshot, component="attention", fill="zero").losses["all"]
    assert by_name == pytest.approx(by_hook, rel=1e-4)
    if snapshot.has("neurons"):
        point = f"blocks.{last}.mlp.hook_post"
        by_hook = ablate_with_hooks(snapshot, [(point, off)]).losses["all"]
        by_name = ablate(snapshot, component="mlp", fill="zero").losses["all"]
        assert by_name == pytest.approx(by_hook, rel=1e-4)


def test_every_measure_that_the_parts_allow_gives_a_number(snapshot):
    keys = planted_keys(snapshot)
    missing = missing_parts(snapshot.spec)
    for measure in MEASURES:
        if measure.applies_to(snapshot.task, keys, missing=missing):
            values = measure.values(snapshot, keys)
            assert set(values) == set(measure.columns)
    table = ablation_table(snapshot, keys, at=SITES)
    sites = set(table["intervention"].str.extract(r"(?:from|in) (\w+)")[0].dropna())
    assert ("neurons" in sites) == snapshot.has("neurons")


def planted_keys(snapshot):
    from grokinterp.circuits import KeyFrequencies

    return KeyFrequencies.given(P, [2, 3])


def test_gradients_by_tables_and_by_the_whole_network_agree_where_tokens_are_outputs():
    wide = snapshot_of("p + 1 outputs, no positions")
    assert wide.logits.shape[1] == P
    by_tables = gradient_symmetricity(wide, n_triples=50).mean
    network = wide.transformer
    deep = dataclasses.replace(network.spec, attention_rate=1.0, n_layers=1)
    assert deep == network.spec
    rows = torch.arange(50)
    classes = rows % P
    pairs, tables = wide.arrangement.pairs, wide.operands
    a, b = tables.a[pairs[rows, 0]], tables.b[pairs[rows, 1]]
    one = network.chosen_logits(a, b, rows, classes)
    whole = network.logits_from_operands(a, b, rows).gather(1, classes[:, None])[:, 0]
    torch.testing.assert_close(one, whole, **CLOSE)
    assert -1 <= by_tables <= 1
