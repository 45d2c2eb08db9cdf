"""Positions that pairs share are computed once: the same numbers, and fewer of them."""

import pytest
import torch

from grokinterp.models import ModelSpec
from grokinterp.models.initialization import initial_parameters
from grokinterp.models.shared_prefix import is_prefix_shared, shared_prefix_logits
from grokinterp.models.transformer import input_tokens, transformer_logits
from grokinterp.training import train
from tests import tiny

P = 7
SMALL = {"d_model": 12, "n_heads": 3, "d_head": 5, "d_mlp": 20}
SPECS = {
    "one block": {},
    "two blocks": {"n_layers": 2, "biases": "all"},
    "layer norm, as Power et al.": {
        "n_layers": 2,
        "normalization": "LN",
        "norm_position": "after",
        "positions": "sinusoidal",
        "input_format": "a_op_b_equals",
    },
    "norm before, gated": {
        "n_layers": 3,
        "normalization": "RMS",
        "gated_mlp": True,
        "act_fn": "silu",
        "input_format": "equals_a_b",
    },
    "attention only": {"n_layers": 2, "attn_only": True, "input_format": "a_b"},
    "two embeddings": {"n_layers": 2, "operand_embeddings": "separate"},
    "tied, flat attention": {"n_layers": 2, "tied_embeddings": True, "attention_rate": 0.5},
}


def network(changes):
    """Random weights in float64, biases too, and all pairs in a random order, some twice."""
    spec = ModelSpec(**SMALL, **changes)
    sizes = spec.vocabulary_sizes(P)
    weights = {n: v.double() for n, v in initial_parameters(spec, **sizes).items()}
    generator = torch.Generator().manual_seed(3)
    for name, value in weights.items():
        if not value.any() and name != "pos_embed.W_pos":
            value.normal_(generator=generator)
    if spec.tied_embeddings:
        weights["unembed.W_U"] = weights["embed.W_E"][:P].T.clone()
    rows = torch.randint(P * P, (60,), generator=generator)
    return spec, weights, torch.cartesian_prod(torch.arange(P), torch.arange(P))[rows]


@pytest.mark.parametrize("kind", SPECS)
def test_logits_and_every_gradient_are_those_of_the_plain_pass(kind):
    spec, weights, pairs = network(SPECS[kind])
    assert is_prefix_shared(spec, len(weights["embed.W_E"]), pairs)
    found, expected = [], []
    tokens = input_tokens(pairs, spec, len(weights["embed.W_E"]))
    passes = (
        (found, lambda w: shared_prefix_logits(w, pairs, spec)),
        (expected, lambda w: transformer_logits(w, tokens, spec, last_only=True)[:, -1]),
    )
    for results, forward in passes:
        trained = {name: value.clone().requires_grad_() for name, value in weights.items()}
        logits = forward(trained)
        logits.square().sum().backward()
        results += [logits.detach(), *(value.grad for value in trained.values())]
    for one, other in zip(found, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_pairs_do_not_share_what_depends_on_b():
    """Another b changes the answer of its own pair and of no other."""
    spec, weights, pairs = network(SPECS["two blocks"])
    before = shared_prefix_logits(weights, pairs, spec)
    other = pairs.clone()
    other[5, 1] = (other[5, 1] + 1) % P
    changed = (shared_prefix_logits(weights, other, spec) - before).abs().amax(-1) > 1e-9
    assert changed.nonzero().flatten().tolist() == [5]


@pytest.mark.parametrize(
    ("changes", "n_pairs"), [({"attention_dir": "bidirectional"}, 60), ({"n_layers": 2}, P)]
)
def test_nothing_is_shared_where_b_is_seen_from_before_or_pairs_are_few(changes, n_pairs):
    pairs = torch.zeros(n_pairs, 2, dtype=torch.int64)
    assert not is_prefix_shared(ModelSpec(**SMALL, **changes), P + 1, pairs)


@pytest.mark.parametrize(("direction", "is_said"), [("causal", True), ("bidirectional", False)])
def test_the_name_of_the_step_says_so_since_its_last_bits_differ(tmp_path, direction, is_said):
    model = ModelSpec(**SMALL, n_layers=2, attention_dir=direction)
    run = train(tiny.config(model=model, n_steps=1), tmp_path, progress=False)
    assert run.environment["training_step"].endswith(", shared prefixes") == is_said


def test_elsewhere_than_on_the_cpu_nothing_is_shared():
    pairs = torch.zeros(60, 2, dtype=torch.int64)
    spec = ModelSpec(**SMALL, n_layers=2)
    assert is_prefix_shared(spec, P + 1, pairs)
    assert not is_prefix_shared(spec, P + 1, pairs.to("meta"))
