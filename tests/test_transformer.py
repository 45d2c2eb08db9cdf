import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from grokinterp.errors import ConfigError, ShapeError
from grokinterp.models import ModelSpec
from grokinterp.models.initialization import parameter_shapes
from grokinterp.models.pair_tables import forward_pairs, has_pair_tables, pair_logits
from grokinterp.models.transformer import (
    HOOKS_BEHIND_FLAGS,
    transformer_logits,
    vocabulary_sizes,
)

EXACT64 = {"rtol": 1e-11, "atol": 1e-12}
"""Two orders of summation of the same sums in float64; measured: below 2e-14."""

SPECS = [
    ModelSpec(n_layers=n_layers, act_fn=act_fn, d_model=10, n_heads=3, d_head=4, d_mlp=7)
    for n_layers in (1, 2)
    for act_fn in ("relu", "gelu")
]
ATTENTION_KINDS = [
    ModelSpec(
        n_layers=n_layers,
        d_model=10,
        n_heads=3,
        d_head=4,
        d_mlp=7,
        attention_dir=attention_dir,
        attention_rate=rate,
    )
    for n_layers in (1, 2)
    for attention_dir, rate in [("bidirectional", 1.0), ("causal", 0.3), ("bidirectional", 0.0)]
]


def random_parameters(spec, d_vocab=6, n_ctx=3, d_vocab_out=5, dtype=torch.float64, seed=0):
    """Weights and biases that are all far from zero."""
    generator = torch.Generator().manual_seed(seed)
    shapes = parameter_shapes(spec, d_vocab, n_ctx, d_vocab_out)
    return {n: 0.5 * torch.randn(s, generator=generator, dtype=dtype) for n, s in shapes.items()}


def all_sequences(d_vocab=6):
    tokens = torch.arange(d_vocab)
    return torch.cartesian_prod(tokens, tokens, tokens)


erf = np.vectorize(math.erf)


def logits_by_loops(parameters, sequence, spec):
    """The same network in numpy, one sequence, one head, one query at a time."""
    w = {name: value.numpy() for name, value in parameters.items()}
    stream = np.stack([w["embed.W_E"][t] + w["pos_embed.W_pos"][i] for i, t in enumerate(sequence)])
    for layer in range(spec.n_layers):
        attn = {k: w[f"blocks.{layer}.attn.{k}"] for k in "W_Q W_K W_V W_O b_Q b_K b_V".split()}
        written = np.zeros_like(stream)
        for head in range(spec.n_heads):
            q, k, v = (stream @ attn["W_" + x][head] + attn["b_" + x][head] for x in "QKV")
            for i in range(len(stream)):
                n_seen = i + 1 if spec.attention_dir == "causal" else len(stream)
                weights = np.exp(k[:n_seen] @ q[i] / np.sqrt(spec.d_head))
                pattern = spec.attention_rate * weights / weights.sum() + 1 - spec.attention_rate
                written[i] += pattern @ v[:n_seen] @ attn["W_O"][head]
        stream = stream + written + w[f"blocks.{layer}.attn.b_O"]
        mlp = {k: w[f"blocks.{layer}.mlp.{k}"] for k in ("W_in", "b_in", "W_out", "b_out")}
        pre = stream @ mlp["W_in"] + mlp["b_in"]
        is_relu = spec.act_fn == "relu"
        post = np.maximum(pre, 0) if is_relu else pre * (1 + erf(pre / np.sqrt(2))) / 2
        stream = stream + post @ mlp["W_out"] + mlp["b_out"]
    return stream @ w["unembed.W_U"] + w["unembed.b_U"]


@pytest.mark.parametrize("spec", [*SPECS, *ATTENTION_KINDS])
def test_logits_equal_those_of_explicit_loops(spec):
    parameters, tokens = random_parameters(spec), all_sequences()[::17]
    expected = np.stack([logits_by_loops(parameters, row.tolist(), spec) for row in tokens])
    actual = transformer_logits(parameters, tokens, spec)
    torch.testing.assert_close(actual, torch.from_numpy(expected), **EXACT64)


@pytest.mark.parametrize("name", parameter_shapes(SPECS[2], 6, 3, 5))
def test_every_parameter_but_the_key_bias_moves_the_logits(name):
    spec = SPECS[2]
    parameters, tokens = random_parameters(spec), all_sequences()
    before = transformer_logits(parameters, tokens, spec)
    parameters[name] = parameters[name] + 0.1
    moved = (transformer_logits(parameters, tokens, spec) - before).abs().max().item()
    if name.endswith("b_K"):  # adds q_i . b_K to a whole row of scores, which softmax ignores
        assert moved < 1e-12
    else:
        assert moved > 1e-4


@pytest.mark.parametrize("rate", [1.0, 0.3])
def test_a_token_reaches_later_positions_and_no_earlier_one(rate):
    spec = dataclasses.replace(SPECS[2], attention_rate=rate)
    parameters = random_parameters(spec)
    first, second = transformer_logits(parameters, torch.tensor([[1, 2, 3], [1, 4, 3]]), spec)
    torch.testing.assert_close(first[0], second[0], **EXACT64)
    assert (first[1:] - second[1:]).abs().amin() > 1e-9


def test_without_a_mask_a_token_reaches_earlier_positions_too():
    spec = dataclasses.replace(SPECS[2], attention_dir="bidirectional")
    first, second = transformer_logits(
        random_parameters(spec), torch.tensor([[1, 2, 3], [1, 4, 3]]), spec
    )
    assert (first - second).abs().amin() > 1e-9


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_a_pattern_mixes_the_softmax_with_ones_at_the_given_rate(rate):
    spec = dataclasses.replace(SPECS[0], attention_rate=rate, attention_dir="bidirectional")
    seen = {}

    def keep(name, activation):
        seen[name] = activation
        return activation

    transformer_logits(random_parameters(spec), all_sequences()[::17], spec, keep)
    pattern = seen["blocks.0.attn.hook_pattern"]
    softmax = seen["blocks.0.attn.hook_attn_scores"].softmax(-1)
    torch.testing.assert_close(pattern, rate * softmax + (1 - rate), **EXACT64)
    rows = torch.full(pattern.shape[:3], rate + 3 * (1 - rate), dtype=torch.float64)
    torch.testing.assert_close(pattern.sum(-1), rows, **EXACT64)


KINDS = [
    dataclasses.replace(spec, input_format=input_format)
    for spec in [*SPECS, *ATTENTION_KINDS]
    for input_format in ("a_b_equals", "a_b")
]


@pytest.mark.parametrize("spec", KINDS)
def test_the_network_on_pairs_is_the_forward_pass_at_the_last_position(spec):
    sizes = spec.vocabulary_sizes(5)
    parameters = random_parameters(spec, **sizes)
    pairs = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    tokens = pairs if sizes["n_ctx"] == 2 else torch.nn.functional.pad(pairs, (0, 1), value=5)
    expected = np.stack([logits_by_loops(parameters, row.tolist(), spec)[-1] for row in tokens])
    found = forward_pairs(parameters, spec, pairs)
    torch.testing.assert_close(found.logits, torch.from_numpy(expected), **EXACT64)
    torch.testing.assert_close(pair_logits(parameters, spec, pairs), found.logits, **EXACT64)
    assert found.pattern.shape == (25, 3, sizes["n_ctx"])
    assert found.neurons.shape == (25, 7)


def test_tables_serve_one_layer_that_is_read_at_the_equals_sign():
    spec = ModelSpec()
    assert has_pair_tables(spec)
    # Compared with the loops above: the last position sees all others under either direction.
    assert has_pair_tables(dataclasses.replace(spec, attention_dir="bidirectional"))
    for change in ({"n_layers": 2}, {"input_format": "a_b"}, {"attention_rate": 0.99}):
        assert not has_pair_tables(dataclasses.replace(spec, **change))


def fired(spec, flags=()):
    names = []

    def record(name, activation):
        names.append(name)
        return activation

    transformer_logits(random_parameters(spec), all_sequences(), spec, record, flags=flags)
    return names


@pytest.mark.parametrize("flag", [None, *HOOKS_BEHIND_FLAGS])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_every_activation_meets_its_hook_once(n_layers, flag):
    spec = SPECS[0 if n_layers == 1 else 2]
    block = {
        *("hook_resid_pre", "hook_attn_out", "hook_resid_mid", "hook_mlp_out", "hook_resid_post"),
        *(f"attn.hook_{x}" for x in ("q", "k", "v", "attn_scores", "pattern", "z")),
        *("mlp.hook_pre", "mlp.hook_post"),
    }
    extra = HOOKS_BEHIND_FLAGS[flag] if flag else ()
    block |= {"attn." + name if name == "hook_result" else name for name in extra}
    expected = {"hook_embed", "hook_pos_embed", "unembed.hook_in", "unembed.hook_out"}
    expected |= {f"blocks.{layer}.{name}" for layer in range(n_layers) for name in block}
    names = fired(spec, [flag] if flag else [])
    assert len(names) == len(set(names))
    assert set(names) == expected


@pytest.mark.parametrize("flag", HOOKS_BEHIND_FLAGS)
def test_flags_do_not_change_the_function(flag):
    spec = SPECS[3]
    parameters, tokens = random_parameters(spec), all_sequences()
    plain = transformer_logits(parameters, tokens, spec)
    torch.testing.assert_close(
        transformer_logits(parameters, tokens, spec, flags=[flag]), plain, **EXACT64
    )


@pytest.mark.parametrize(
    "name", fired(SPECS[0], ["use_attn_result", "use_split_qkv_input", "use_hook_mlp_in"])
)
def test_what_a_hook_returns_is_used_in_place_of_the_activation(name):
    spec = SPECS[0]
    parameters, tokens = random_parameters(spec), all_sequences()
    flags = ["use_attn_result", "use_split_qkv_input", "use_hook_mlp_in"]

    def halve(hook_name, activation):
        return activation / 2 if hook_name == name else activation

    before = transformer_logits(parameters, tokens, spec, flags=flags)
    after = transformer_logits(parameters, tokens, spec, halve, flags=flags)
    assert (after - before).abs().max() > 1e-3


def test_a_query_that_is_forbidden_every_key_attends_to_nothing():
    spec = SPECS[0]
    parameters, tokens = random_parameters(spec), all_sequences()
    seen = {}

    def knock_out(name, activation):
        if name.endswith("attn_scores"):
            activation = torch.full_like(activation, -torch.inf)
        seen[name] = activation
        return activation

    logits = transformer_logits(parameters, tokens, spec, knock_out)
    assert logits.isfinite().all()
    bias = parameters["blocks.0.attn.b_O"]
    torch.testing.assert_close(
        seen["blocks.0.hook_attn_out"], bias.expand(len(tokens), 3, -1), **EXACT64
    )


def test_sequences_may_be_shorter_than_the_context():
    spec = SPECS[2]
    parameters, tokens = random_parameters(spec), all_sequences()
    whole = transformer_logits(parameters, tokens, spec)
    torch.testing.assert_close(
        transformer_logits(parameters, tokens[:, :2], spec), whole[:, :2], **EXACT64
    )


def test_sizes_are_read_off_the_parameters():
    parameters = random_parameters(SPECS[0], d_vocab=6, n_ctx=3, d_vocab_out=5)
    sizes = {"d_vocab": 6, "n_ctx": 3, "d_vocab_out": 5}
    assert vocabulary_sizes(parameters, SPECS[0]) == sizes


def test_a_missing_and_an_unknown_parameter_are_named():
    parameters = random_parameters(SPECS[0])
    rest = {name: value for name, value in parameters.items() if not name.endswith("b_Q")}
    with pytest.raises(ConfigError, match=r"blocks\.0\.attn\.b_Q is missing"):
        vocabulary_sizes(rest, SPECS[0])
    deeper = random_parameters(SPECS[2])
    with pytest.raises(ConfigError, match=r"blocks\.1\.attn\.W_Q is unknown for n_layers=1"):
        vocabulary_sizes(deeper, SPECS[0])


def test_a_parameter_of_another_shape_is_named_with_both_shapes():
    parameters = random_parameters(SPECS[0])
    parameters["blocks.0.mlp.W_in"] = torch.zeros(10, 8)
    with pytest.raises(ShapeError, match=r"mlp\.W_in has shape \(10, 8\); expected \(10, 7\)"):
        vocabulary_sizes(parameters, SPECS[0])


def test_the_forward_pass_does_not_import_transformer_lens():
    code = (
        "import sys, grokinterp.models.transformer, grokinterp.models.initialization\n"
        "sys.exit('transformer_lens' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


OTHER_KINDS = [
    {"normalization": "LN"},
    {"normalization": "RMS", "norm_position": "after"},
    {"gated_mlp": True, "act_fn": "silu"},
    {"attn_only": True},
]


@pytest.mark.parametrize(
    "spec",
    [
        *ATTENTION_KINDS,
        *(
            dataclasses.replace(SPECS[0], n_layers=n, **kind)
            for n in (1, 2)
            for kind in OTHER_KINDS
        ),
    ],
    ids=str,
)
def test_the_last_position_alone_is_what_it_is_among_the_others(spec):
    parameters = random_parameters(spec)
    for value in parameters.values():
        value.requires_grad_()
    shapes = {}

    def see(name, activation):
        shapes[name] = activation.shape
        return activation

    def answers(**kind):
        logits = transformer_logits(parameters, all_sequences(), spec, see, **kind)
        gradients = torch.autograd.grad(
            logits[:, -1].square().sum(), list(parameters.values()), allow_unused=True
        )
        return logits, gradients

    every, gradients = answers()
    of_every = dict(shapes)
    last, of_last = answers(last_only=True)
    assert last.shape == (216, 1, 5) and shapes.keys() == of_every.keys()
    torch.testing.assert_close(last[:, -1], every[:, -1], **EXACT64)
    # That of the key bias is zero but for rounding.
    largest = max(float(other.abs().max()) for other in gradients if other is not None)
    for one, other in zip(of_last, gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12 * largest)
    cut = {name for name, shape in shapes.items() if shape != of_every[name]}
    at = f"blocks.{spec.n_layers - 1}."
    assert all(name.startswith((at, "unembed", "ln_final")) for name in cut)
    assert {at + "attn.hook_q", at + "hook_resid_post"} <= cut
    assert not {at + "attn.hook_k", at + "attn.hook_v", at + "hook_resid_pre"} & cut
