"""Norms, gates, activations, positions, formats, outputs and ties against torch.nn."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from grokinterp.commands.train import main
from grokinterp.errors import ConfigError
from grokinterp.models import ModelSpec
from grokinterp.models.hooked_transformer import HookedTransformer
from grokinterp.models.initialization import (
    fixed_positions,
    initial_parameters,
    is_of_norm,
    is_trained,
    parameter_shapes,
    tie,
)
from grokinterp.models.pair_tables import forward_pairs, has_pair_tables, pair_logits
from grokinterp.models.transformer import input_tokens, transformer_logits, vocabulary_sizes
from grokinterp.runs import TrainConfig
from grokinterp.runs.loading import load_run
from grokinterp.runs.network import Network
from grokinterp.tasks import Task, TaskSpec
from grokinterp.training import train
from tests import tiny

pytestmark = pytest.mark.long  # Networks of other sizes.

EXACT64 = {"rtol": 1e-10, "atol": 1e-11}
"""Two orders of summation of the same sums in float64, through up to three norms."""
WIDTHS = {"d_model": 12, "n_heads": 3, "d_head": 4, "d_mlp": 7}
NORMS = ("none", "LN", "LNPre", "RMS", "RMSPre")


def spec_of(**fields):
    return ModelSpec(**{**WIDTHS, **fields})


def random_parameters(spec, p=5, seed=0, **sizes):
    """Weights and biases that are all far from zero, in float64."""
    generator = torch.Generator().manual_seed(seed)
    shapes = parameter_shapes(spec, **(sizes or spec.vocabulary_sizes(p)))
    parameters = {
        name: 0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)
        for name, shape in shapes.items()
    }
    if spec.positions != "learned":
        W_pos = fixed_positions(spec, len(parameters["pos_embed.W_pos"]))
        parameters["pos_embed.W_pos"] = W_pos.double()
    tie(parameters, spec)
    return parameters


def all_pairs(p=5):
    return torch.cartesian_prod(torch.arange(p), torch.arange(p))


# --- torch's own encoder ----------------------------------------------------------------


def torch_encoder(spec, parameters):
    """The blocks as nn.TransformerEncoder with the same weights."""
    layer = nn.TransformerEncoderLayer(
        spec.d_model,
        spec.n_heads,
        spec.d_mlp,
        dropout=0.0,
        activation=spec.act_fn,
        layer_norm_eps=spec.norm_epsilon,
        batch_first=True,
        norm_first=spec.norm_position == "before",
        dtype=torch.float64,
    )
    last = None
    if spec.norm_position == "before":
        last = nn.LayerNorm(spec.d_model, eps=spec.norm_epsilon, dtype=torch.float64)
        last.weight.data, last.bias.data = parameters["ln_final.w"], parameters["ln_final.b"]
    encoder = nn.TransformerEncoder(layer, spec.n_layers, norm=last, enable_nested_tensor=False)
    for i, block in enumerate(encoder.layers):
        w = {k.removeprefix(f"blocks.{i}."): v for k, v in parameters.items()}
        rows = [w[f"attn.W_{x}"].transpose(1, 2).flatten(0, 1) for x in "QKV"]
        block.self_attn.in_proj_weight.data = torch.cat(rows)
        biases = [w[f"attn.b_{x}"].flatten() for x in "QKV"]
        block.self_attn.in_proj_bias.data = torch.cat(biases)
        block.self_attn.out_proj.weight.data = w["attn.W_O"].flatten(0, 1).T
        block.self_attn.out_proj.bias.data = w["attn.b_O"]
        block.linear1.weight.data, block.linear1.bias.data = w["mlp.W_in"].T, w["mlp.b_in"]
        block.linear2.weight.data, block.linear2.bias.data = w["mlp.W_out"].T, w["mlp.b_out"]
        block.norm1.weight.data, block.norm1.bias.data = w["ln1.w"], w["ln1.b"]
        block.norm2.weight.data, block.norm2.bias.data = w["ln2.w"], w["ln2.b"]
    return encoder


@pytest.mark.parametrize("norm_position", ["before", "after"])
@pytest.mark.parametrize("attention_dir", ["causal", "bidirectional"])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_layer_norm_before_and_after_is_that_of_torchs_encoder(
    n_layers, attention_dir, norm_position
):
    spec = spec_of(
        **{"n_layers": n_layers, "normalization": "LN", "norm_position": norm_position},
        **{"act_fn": "gelu", "attention_dir": attention_dir, "norm_epsilon": 1e-3},
    )
    parameters = random_parameters(spec)
    tokens = input_tokens(all_pairs(), spec, 6)
    stream = parameters["embed.W_E"][tokens] + parameters["pos_embed.W_pos"]
    mask = torch.ones(3, 3, dtype=torch.bool).triu(1) if attention_dir == "causal" else None
    stream = torch_encoder(spec, parameters)(stream, mask=mask)
    expected = stream @ parameters["unembed.W_U"] + parameters["unembed.b_U"]
    torch.testing.assert_close(transformer_logits(parameters, tokens, spec), expected, **EXACT64)
    other = dataclasses.replace(spec, norm_epsilon=1e-5)
    assert (transformer_logits(parameters, tokens, other) - expected).abs().max() > 1e-6


# --- everything else --------------------------------------------------------------------

PLAIN_ACTIVATIONS = {
    "relu": nn.ReLU(),
    "gelu": nn.GELU(),
    "gelu_new": nn.GELU(approximate="tanh"),
    "silu": nn.SiLU(),
    "tanh": nn.Tanh(),
    "square": lambda x: x * x,
}


def plain_norm(spec, parameters, name, x):
    if spec.normalization.startswith("LN"):
        names = (f"{name}.w", f"{name}.b") if spec.normalization == "LN" else ()
        weights = (parameters[n] for n in names)
        return F.layer_norm(x, x.shape[-1:], *weights, eps=spec.norm_epsilon)
    if spec.normalization.startswith("RMS"):
        x = x * (x.square().sum(-1, keepdim=True) / x.shape[-1] + spec.norm_epsilon).rsqrt()
        return x * parameters[f"{name}.w"] if spec.normalization == "RMS" else x
    return x


def plain_logits(spec, parameters, pairs, p=5):
    """Logits at the last position, block by block with torch's own parts."""
    before = spec.norm_position == "before"
    signs = {"=": p, "o": p + 1}
    order = {
        "a_b_equals": "ab=",
        "a_b": "ab",
        "a_op_b_equals": "aob=",
        "equals_a_b": "=ab",
    }[spec.input_format]
    columns = {"a": pairs[:, 0], "b": pairs[:, 1]}
    columns |= {k: torch.full_like(pairs[:, 0], v) for k, v in signs.items()}
    x = parameters["embed.W_E"][torch.stack([columns[c] for c in order], 1)]
    x = x + parameters["pos_embed.W_pos"]
    for i in range(spec.n_layers):
        w = {k.removeprefix(f"blocks.{i}."): v for k, v in parameters.items()}
        y = plain_norm(spec, w, "ln1", x) if before else x
        q, k, v = (
            torch.stack([y @ w[f"attn.W_{c}"][h] + w[f"attn.b_{c}"][h] for h in range(3)], 1)
            for c in "QKV"
        )
        z = F.scaled_dot_product_attention(q, k, v, is_causal=spec.attention_dir == "causal")
        x = x + sum(z[:, h] @ w["attn.W_O"][h] for h in range(3)) + w["attn.b_O"]
        x = x if before else plain_norm(spec, w, "ln1", x)
        if spec.attn_only:
            continue
        y = plain_norm(spec, w, "ln2", x) if before else x
        act = PLAIN_ACTIVATIONS[spec.act_fn]
        if spec.gated_mlp:
            neurons = act(y @ w["mlp.W_gate"]) * (y @ w["mlp.W_in"]) + w["mlp.b_in"]
        else:
            neurons = act(y @ w["mlp.W_in"] + w["mlp.b_in"])
        x = x + neurons @ w["mlp.W_out"] + w["mlp.b_out"]
        x = x if before else plain_norm(spec, w, "ln2", x)
    x = plain_norm(spec, parameters, "ln_final", x[:, -1]) if before else x[:, -1]
    b_U = parameters["unembed.b_U"]
    W_E, W_U = parameters["embed.W_E"], parameters["unembed.W_U"]
    return x @ (W_E[: len(b_U)].T if spec.tied_embeddings else W_U) + b_U


GRID = [
    *({"normalization": norm, "n_layers": n} for norm in NORMS for n in (1, 2, 3)),
    *({"normalization": norm, "norm_position": "after", "n_layers": 2} for norm in NORMS[1:]),
    *({"act_fn": act, "gated_mlp": gated} for act in PLAIN_ACTIVATIONS for gated in (False, True)),
    *({"input_format": f, "n_layers": n} for f in ("a_op_b_equals", "equals_a_b") for n in (1, 2)),
    {"input_format": "equals_a_b", "attention_dir": "bidirectional", "normalization": "RMS"},
    *({"positions": positions} for positions in ("sinusoidal", "none")),
    *({"attn_only": True, "n_layers": 2, "normalization": norm} for norm in ("none", "LN")),
    {"attn_only": True, "n_layers": 2, "normalization": "LN", "norm_position": "after"},
    {"outputs": "tokens"},
    {"outputs": "tokens", "tied_embeddings": True, "input_format": "a_op_b_equals"},
    {"tied_embeddings": True, "normalization": "LN", "n_layers": 2},
]


def name_of(fields):
    return "-".join(map(str, fields.values()))


grid = pytest.mark.parametrize("fields", GRID, ids=name_of)


@grid
def test_every_kind_of_network_is_that_of_torchs_parts(fields):
    spec = spec_of(**fields)
    parameters, pairs = random_parameters(spec), all_pairs()
    expected = plain_logits(spec, parameters, pairs)
    found = forward_pairs(parameters, spec, pairs)
    torch.testing.assert_close(found.logits, expected, **EXACT64)
    torch.testing.assert_close(pair_logits(parameters, spec, pairs), expected, **EXACT64)
    assert found.pattern.shape == (25, 3, spec.n_ctx)
    assert found.neurons is None if spec.attn_only else found.neurons.shape == (25, 7)
    assert expected.shape[1] == spec.vocabulary_sizes(5)["d_vocab_out"]


@grid
def test_every_kind_of_network_is_hooked_with_the_same_logits(fields):
    spec = spec_of(**fields)
    parameters = random_parameters(spec)
    model = HookedTransformer.from_parameters(spec, parameters)
    tokens = input_tokens(all_pairs(), spec, len(parameters["embed.W_E"]))
    with torch.no_grad():
        logits, cache = model.run_with_cache(tokens)
    torch.testing.assert_close(
        logits[:, -1], plain_logits(spec, parameters, all_pairs()), **EXACT64
    )
    assert model.state_dict().keys() == parameters.keys()
    norms = {name for name in cache.keys() if "ln" in name}
    expected = {f"blocks.{i}.ln{j}" for i in range(spec.n_layers) for j in (1, 2)}
    expected -= {n for n in expected if n.endswith("2")} if spec.attn_only else set()
    expected |= {"ln_final"} if spec.norm_position == "before" else set()
    expected = set() if spec.normalization == "none" else expected
    assert norms == {f"{n}.hook_{x}" for n in expected for x in ("scale", "normalized")}
    assert ("blocks.0.mlp.hook_pre_linear" in cache) == spec.gated_mlp
    assert ("blocks.0.mlp.hook_post" in cache) != spec.attn_only


@grid
def test_every_trained_parameter_of_a_network_has_a_finite_gradient(fields):
    spec = spec_of(**fields, biases="all")
    parameters = random_parameters(spec)
    for name, value in parameters.items():
        value.requires_grad_(is_trained(name, spec))
    tokens = input_tokens(all_pairs(), spec, len(parameters["embed.W_E"]))
    transformer_logits(parameters, tokens, spec)[:, -1].square().sum().backward()
    largest = max(v.grad.abs().max() for v in parameters.values() if v.grad is not None)
    for name, value in parameters.items():
        if not is_trained(name, spec):
            assert name in ("pos_embed.W_pos", "unembed.W_U")
            continue
        assert value.grad.isfinite().all(), name
        # A bias of the keys shifts all scores of a query alike.
        assert (value.grad.abs().max() > 1e-12 * largest) != name.endswith("b_K"), name


# --- training ---------------------------------------------------------------------------

TRAINED = [
    {"normalization": "LN", "n_layers": 2, "act_fn": "gelu"},
    {"normalization": "RMS", "gated_mlp": True, "act_fn": "silu"},
    {"normalization": "LN", "norm_position": "after", "n_layers": 3},
    {"normalization": "LNPre", "positions": "sinusoidal", "act_fn": "tanh"},
    {"attn_only": True, "n_layers": 2, "positions": "none"},
    {"tied_embeddings": True, "input_format": "a_op_b_equals", "act_fn": "gelu_new"},
    {"outputs": "tokens", "input_format": "equals_a_b", "act_fn": "square"},
]


@pytest.mark.parametrize("fields", TRAINED, ids=name_of)
def test_networks_of_the_literature_train_and_resume_with_the_same_bits(fields, tmp_path):
    base = tiny.config(n_steps=40)
    config = dataclasses.replace(base, model=dataclasses.replace(base.model, **fields))
    run = train(config, tmp_path / "run", progress=False)
    assert run.environment["training_step"].startswith("autograd (no pair tables: ")
    loss = run.curves["train_loss"]
    assert loss.iloc[-1] < 0.97 * loss.iloc[0]
    parameters = run.parameters(40)
    network = Network(config.model, run.split.task)
    outputs = network.outputs(parameters, network.inputs[run.split.train])
    labels = network.targets[run.split.train]
    assert loss.iloc[-1] == pytest.approx(
        F.cross_entropy(outputs.double(), labels).item(), rel=1e-5
    )
    for name, value in network.initial_parameters().items():
        stays = name == "pos_embed.W_pos" and config.model.positions != "learned"
        stays = stays or not (is_trained(name, config.model) or name == "unembed.W_U")
        assert torch.equal(parameters[name], value) == stays, name
    vocabulary_sizes(parameters, config.model)  # what is tied is tied still
    train(dataclasses.replace(config, n_steps=20), tmp_path / "half", progress=False)
    again = train(config, tmp_path / "half", progress=False)
    assert all(torch.equal(again.parameters(40)[n], v) for n, v in parameters.items())


def test_losses_are_over_all_outputs_and_answers_are_the_first(tmp_path):
    base = tiny.config(n_steps=30)
    config = dataclasses.replace(base, model=dataclasses.replace(base.model, outputs="tokens"))
    run = train(config, tmp_path, progress=False)
    p = config.task.p
    network = Network(config.model, run.split.task)
    rows = run.split.train
    outputs = network.outputs(run.parameters(), network.inputs[rows]).double()
    labels = network.targets[rows]
    assert outputs.shape == (len(rows), p + 1)
    assert network.answers(outputs).shape == (len(rows), p)
    of_all, of_answers = (F.cross_entropy(x, labels) for x in (outputs, network.answers(outputs)))
    assert run.curves["train_loss"].iloc[-1] == pytest.approx(of_all.item(), rel=1e-6)
    assert of_answers < of_all * (1 - 1e-4)
    # The fast step trains an output for `=` too.
    assert run.environment["training_step"].startswith("pair tables")


def test_dropout_acts_on_networks_with_norms(tmp_path):
    base = tiny.config(n_steps=10)
    model = dataclasses.replace(base.model, normalization="LN", attn_only=True)
    config = dataclasses.replace(base, model=model)
    pressures = dataclasses.replace(config.pressures, dropout=0.3)
    plain = train(config, tmp_path / "plain", progress=False)
    dropped = train(
        dataclasses.replace(config, pressures=pressures), tmp_path / "dropped", progress=False
    )
    assert plain.curves["train_loss"].iloc[0] != dropped.curves["train_loss"].iloc[0]
    assert plain.curves["test_loss"].iloc[0] == dropped.curves["test_loss"].iloc[0]


# --- specs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"norm_position": "after"}, "norm_position='after' is not allowed. It belongs to a norm"),
        ({"norm_epsilon": 1e-6}, "norm_epsilon=1e-06 is not allowed. It belongs to a norm"),
        ({"normalization": "LN", "norm_epsilon": 0.0}, "It must be positive"),
        (
            {"attn_only": True, "gated_mlp": True},
            "gated_mlp=True is not allowed. It belongs to an MLP",
        ),
        (
            {"attn_only": True, "act_fn": "silu"},
            "act_fn='silu' is not allowed. It belongs to an MLP",
        ),
        ({"normalization": "BN"}, "normalization='BN' is not known. Choose one of none, LN"),
        ({"positions": "rotary"}, "positions='rotary' is not known. Choose one of learned"),
    ],
)
def test_combinations_that_mean_nothing_are_refused(fields, message, without_type_checks):
    with pytest.raises(ConfigError) as caught:
        ModelSpec(**fields)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fields", [{"outputs": "tokens"}, {"tied_embeddings": True}])
def test_answers_beyond_the_tokens_need_outputs_of_their_own(fields):
    assert ModelSpec().vocabulary_sizes(5, 9) == {"d_vocab": 6, "n_ctx": 3, "d_vocab_out": 9}
    assert ModelSpec(**fields).vocabulary_sizes(5, 6)["d_vocab_out"] == 6
    with pytest.raises(ConfigError, match="the task has 7 answers and 6 tokens"):
        ModelSpec(**fields).vocabulary_sizes(5, 7)


@pytest.mark.parametrize(
    ("input_format", "n_tokens", "where"),
    [
        ("a_b_equals", 6, (0, 1)),
        ("a_b", 5, (0, 1)),
        ("a_op_b_equals", 7, (0, 2)),
        ("equals_a_b", 6, (1, 2)),
    ],
)
def test_operands_stand_where_the_spec_says(input_format, n_tokens, where):
    spec = ModelSpec(input_format=input_format)
    assert spec.vocabulary_sizes(5)["d_vocab"] == n_tokens
    assert spec.operand_positions == where
    tokens = input_tokens(torch.tensor([[3, 4]]), spec, n_tokens)
    assert tokens[0, list(where)].tolist() == [3, 4]
    assert tokens.shape == (1, spec.n_ctx)


def test_tables_serve_only_networks_that_they_are_exact_for():
    assert has_pair_tables(ModelSpec(outputs="tokens", positions="sinusoidal", act_fn="square"))
    for fields in (
        {"normalization": "RMSPre"},
        {"gated_mlp": True},
        {"attn_only": True},
        {"tied_embeddings": True},
        {"input_format": "equals_a_b"},
        {"input_format": "a_op_b_equals"},
    ):
        assert not has_pair_tables(ModelSpec(**fields))


def test_networks_of_one_seed_share_the_weights_that_both_have():
    sizes = {"d_vocab": 6, "n_ctx": 3, "d_vocab_out": 5}
    plain = initial_parameters(spec_of(n_layers=2), **sizes)
    for fields in (
        {"normalization": "LN", "gated_mlp": True},
        {"normalization": "RMS", "norm_position": "after"},
        {"positions": "none"},
        {"tied_embeddings": True},
    ):
        spec = spec_of(n_layers=2, init_scale=1.0, **fields)
        changed = {"pos_embed.W_pos"} if "positions" in fields else set()
        changed |= {"unembed.W_U"} if "tied_embeddings" in fields else set()
        for name, value in initial_parameters(spec, **sizes).items():
            if name in plain:
                assert torch.equal(value, plain[name]) != (name in changed), name


def test_norms_begin_as_norms_without_weights_and_do_not_scale_with_the_others():
    sizes = {"d_vocab": 6, "n_ctx": 3, "d_vocab_out": 5}
    spec = spec_of(normalization="LN", positions="sinusoidal", init_scale=3.0)
    parameters = initial_parameters(spec, **sizes)
    norms = {name: value for name, value in parameters.items() if is_of_norm(name)}
    assert len(norms) == 6
    for name, value in norms.items():
        assert torch.equal(value, torch.full((12,), float(name.endswith("w"))))
        assert is_trained(name, dataclasses.replace(spec, biases="none"))
    assert torch.equal(parameters["pos_embed.W_pos"], fixed_positions(spec, 3))


@pytest.mark.parametrize("d_model", [7, 12])
def test_sinusoids_are_those_of_the_paper(d_model):
    table = fixed_positions(ModelSpec(d_model=d_model, positions="sinusoidal"), 4)
    for position, column in itertools.product(range(4), range(d_model)):
        angle = position / 10_000 ** (2 * (column // 2) / d_model)
        expected = math.cos(angle) if column % 2 else math.sin(angle)
        assert table[position, column].item() == pytest.approx(expected, abs=1e-7)


# --- ties -------------------------------------------------------------------------------


def test_a_tied_readout_follows_every_change_of_the_embedding():
    spec = spec_of(tied_embeddings=True)
    model = HookedTransformer.from_parameters(spec, random_parameters(spec))
    for changed in (model, model.float(), model.double()):
        with torch.no_grad():
            changed.embed.W_E += 1
        assert torch.equal(changed.W_U, changed.W_E[:5].T)
        assert torch.equal(changed.state_dict()["unembed.W_U"], changed.W_E[:5].T)
    assert not model.W_U.requires_grad


def test_another_readout_is_not_called_tied():
    spec = spec_of(tied_embeddings=True)
    parameters = random_parameters(spec)
    vocabulary_sizes(parameters, spec)
    parameters["unembed.W_U"] = parameters["unembed.W_U"] + 1e-9
    with pytest.raises(ConfigError, match=r"unembed\.W_U is not embed\.W_E transposed"):
        vocabulary_sizes(parameters, spec)


def test_a_network_of_other_parts_is_named_by_them():
    spec = spec_of(normalization="LN", norm_position="after")
    parameters = random_parameters(spec_of(normalization="LN"))
    with pytest.raises(
        ConfigError,
        match=r"ln_final\.w is unknown for n_layers=1, normalization=LN, norm_position=after",
    ):
        vocabulary_sizes(parameters, spec)


# --- caches -----------------------------------------------------------------------------


@pytest.mark.parametrize("normalization", ["LN", "LNPre", "RMS", "RMSPre"])
@pytest.mark.parametrize("attn_only", [False, True])
def test_a_cache_scales_a_stack_by_the_norm_that_reads_it(normalization, attn_only):
    spec = spec_of(normalization=normalization, n_layers=2, attn_only=attn_only)
    parameters = random_parameters(spec)
    model = HookedTransformer.from_parameters(spec, parameters)
    tokens = input_tokens(all_pairs(), spec, 6)
    with torch.no_grad():
        logits, cache = model.run_with_cache(tokens)
    parts = cache.decompose_resid(layer=-1)
    torch.testing.assert_close(parts.sum(0), cache["resid_post", -1], **EXACT64)
    scaled = cache.apply_ln_to_stack(parts).sum(0)
    torch.testing.assert_close(scaled, cache["ln_final.hook_normalized"], **EXACT64)
    weight = parameters.get("ln_final.w", 1)
    read = scaled * weight + parameters.get("ln_final.b", 0)
    torch.testing.assert_close(model.unembed(read), logits, **EXACT64)
    torch.testing.assert_close(model.ln_final(cache["resid_post", -1]), read, **EXACT64)
    middle = cache.accumulated_resid(layer=1, apply_ln=True)[-1]
    torch.testing.assert_close(middle, cache["blocks.1.ln1.hook_normalized"], **EXACT64)


@pytest.mark.parametrize("norm", ["blocks.0.ln1", "blocks.1.ln2", "ln_final"])
def test_a_norm_whose_scale_is_hooked_is_changed_by_it(norm):
    spec = spec_of(normalization="LN", n_layers=2)
    model = HookedTransformer.from_parameters(spec, random_parameters(spec))
    tokens = input_tokens(all_pairs(), spec, 6)
    with torch.no_grad():
        before = model(tokens)
        for leaf in ("hook_scale", "hook_normalized"):
            hook = (f"{norm}.{leaf}", lambda x, hook: 2 * x)
            assert (model.run_with_hooks(tokens, fwd_hooks=[hook]) - before).abs().max() > 1e-3


def test_a_config_with_new_fields_round_trips():
    model = spec_of(normalization="RMS", gated_mlp=True, act_fn="silu", outputs="tokens")
    config = TrainConfig(task=TaskSpec(p=7), model=model)
    assert TrainConfig.from_dict(config.to_dict()) == config
    assert config.hash() != TrainConfig(task=TaskSpec(p=7), model=spec_of()).hash()
    assert Network(model, Task(config.task)).shapes["blocks.0.ln1.w"] == (12,)


def test_the_command_takes_the_fields(tmp_path, without_type_checks):
    words = "--task.p 5 --n-steps 2 --model.d-model 8 --model.n-heads 2 --model.d-head 4"
    words += " --model.d-mlp 8 --model.normalization LN --model.norm-position after"
    words += " --model.n-layers 2 --model.gated-mlp --model.tied-embeddings"
    words += " --model.input-format a_op_b_equals --model.outputs tokens --model.positions none"
    main([str(tmp_path / "run"), *words.split(), "--quiet"])
    run = load_run(tmp_path / "run")
    assert run.config.model == ModelSpec(
        **{"d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 8, "n_layers": 2, "gated_mlp": True},
        **{"normalization": "LN", "norm_position": "after", "tied_embeddings": True},
        **{"input_format": "a_op_b_equals", "outputs": "tokens", "positions": "none"},
    )
    assert run.parameters(2)["unembed.W_U"].shape == (8, 7)
