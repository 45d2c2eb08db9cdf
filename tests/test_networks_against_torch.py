"""Norms, gates, fixed positions, formats, outputs and tied embeddings, against torch's own."""

import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from grokinterp.errors import ConfigError
from grokinterp.models import ModelSpec
from grokinterp.models.initialization import initial_parameters, is_trained, parameter_shapes
from grokinterp.models.pair_tables import (
    fields_without_tables,
    forward_pairs,
    has_pair_tables,
    pair_logits,
)
from grokinterp.models.transformer import (
    input_tokens,
    transformer_logits,
    unembedding,
    vocabulary_sizes,
)

EXACT64 = {"rtol": 1e-10, "atol": 1e-11}
"""The same sums in float64 in another order, some of them divided by a small norm."""


def make_spec(**fields):
    return ModelSpec(**{"d_model": 12, "n_heads": 3, "d_head": 4, "d_mlp": 7, **fields})


def random_parameters(spec, order=5, seed=0):
    """Weights, biases and norms that are all far from zero, in float64."""
    generator = torch.Generator().manual_seed(seed)
    shapes = parameter_shapes(spec, **spec.vocabulary_sizes(order))
    from grokinterp.models.initialization import tie

    draw = {"generator": generator, "dtype": torch.float64}
    drawn = {name: 0.5 * torch.randn(shape, **draw) for name, shape in shapes.items()}
    tie(drawn, spec)
    return drawn


def all_pairs(order=5):
    return torch.cartesian_prod(torch.arange(order), torch.arange(order))


ACTS = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": lambda x: x * (1 + (math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)).tanh()) / 2,
    "silu": lambda x: x * x.sigmoid(),
    "tanh": lambda x: 1 - 2 / ((2 * x).exp() + 1),
    "square": lambda x: x * x,
}
SEQUENCES = {
    "a_b_equals": lambda a, b: [a, b, 5],
    "a_b": lambda a, b: [a, b],
    "a_op_b_equals": lambda a, b: [a, 6, b, 5],
    "equals_a_b": lambda a, b: [5, a, b],
}


def logits_by_torch(w, spec):
    """The network on all pairs, of torch's own norms and attention; the last position's logits."""

    def norm(name, x):
        weight, bias = w.get(name + ".w"), w.get(name + ".b")
        if spec.normalization.startswith("LN"):
            return F.layer_norm(x, (spec.d_model,), weight, bias, spec.norm_epsilon)
        if spec.normalization.startswith("RMS"):
            return F.rms_norm(x, (spec.d_model,), weight, spec.norm_epsilon)
        return x

    def attention(prefix, x):
        q, k, v = (
            torch.einsum("npm,hmd->nhpd", x, w[f"{prefix}W_{c}"]) + w[f"{prefix}b_{c}"][:, None]
            for c in "QKV"
        )
        z = F.scaled_dot_product_attention(q, k, v, is_causal=spec.attention_dir == "causal")
        return torch.einsum("nhpd,hdm->npm", z, w[prefix + "W_O"]) + w[prefix + "b_O"]

    def mlp(prefix, x):
        act, b_in = ACTS[spec.act_fn], w[prefix + "b_in"]
        linear = x @ w[prefix + "W_in"]
        gated = spec.gated_mlp
        post = act(x @ w[prefix + "W_gate"]) * linear + b_in if gated else act(linear + b_in)
        return post @ w[prefix + "W_out"] + w[prefix + "b_out"]

    rows = [SEQUENCES[spec.input_format](a, b) for a, b in all_pairs().tolist()]
    tokens = torch.tensor(rows)
    x = w["embed.W_E"][tokens] + w["pos_embed.W_pos"]
    for layer in range(spec.n_layers):
        prefix = f"blocks.{layer}."
        parts = [("ln1", "attn.", attention), ("ln2", "mlp.", mlp)][: 1 if spec.attn_only else 2]
        for name, part, write in parts:
            if spec.norm_position == "before":
                x = x + write(prefix + part, norm(prefix + name, x))
            else:
                x = norm(prefix + name, x + write(prefix + part, x))
    x = norm("ln_final", x) if spec.norm_position == "before" else x
    W_U = w["embed.W_E"][: len(w["unembed.b_U"])].T if spec.tied_embeddings else w["unembed.W_U"]
    return (x @ W_U + w["unembed.b_U"])[:, -1]


SPECS = [
    *(make_spec(normalization=kind) for kind in ("LN", "LNPre", "RMS", "RMSPre")),
    *(make_spec(normalization=kind, norm_position="after", n_layers=2) for kind in ("LN", "RMS")),
    make_spec(normalization="RMSPre", norm_position="after", norm_epsilon=0.3),
    make_spec(normalization="LN", norm_epsilon=0.3, n_layers=3, attention_dir="bidirectional"),
    *(make_spec(act_fn=name) for name in ACTS),
    *(make_spec(act_fn=name, gated_mlp=True) for name in ("silu", "gelu", "square")),
    make_spec(act_fn="silu", gated_mlp=True, normalization="RMS", n_layers=2),
    *(make_spec(attn_only=True, n_layers=n) for n in (1, 2, 3)),
    make_spec(attn_only=True, normalization="LN", n_layers=2),
    make_spec(attn_only=True, normalization="LN", norm_position="after", n_layers=2),
    *(make_spec(positions=kind) for kind in ("sinusoidal", "none")),
    *(make_spec(input_format=name) for name in SEQUENCES),
    make_spec(input_format="a_op_b_equals", normalization="LN", n_layers=2, outputs="tokens"),
    make_spec(outputs="tokens"),
    make_spec(tied_embeddings=True),
    make_spec(tied_embeddings=True, outputs="tokens", normalization="LN", n_layers=2),
]


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_logits_equal_those_of_torch_s_own_layers(spec):
    parameters = random_parameters(spec)
    expected = logits_by_torch(parameters, spec)
    found = forward_pairs(parameters, spec, all_pairs())
    torch.testing.assert_close(found.logits, expected, **EXACT64)
    torch.testing.assert_close(pair_logits(parameters, spec, all_pairs()), expected, **EXACT64)
    assert found.pattern.shape == (25, 3, spec.n_ctx)
    assert (found.neurons is None) == spec.attn_only
    assert found.neurons is None or found.neurons.shape == (25, 7)


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("act_fn", ["relu", "gelu"])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_layer_norm_before_or_after_is_that_of_torch_s_transformer(norm_first, act_fn, n_layers):
    position = "before" if norm_first else "after"
    spec = make_spec(
        normalization="LN", norm_position=position, act_fn=act_fn, n_layers=n_layers, biases="all"
    )
    parameters = random_parameters(spec)
    tokens = input_tokens(all_pairs(), spec, 6)
    stream = parameters["embed.W_E"][tokens] + parameters["pos_embed.W_pos"]
    mask = torch.full((3, 3), -torch.inf, dtype=torch.float64).triu(1)
    for layer in range(n_layers):
        stream = _encoder_layer(parameters, spec, layer)(stream, src_mask=mask)
    if norm_first:
        final = nn.LayerNorm(12, dtype=torch.float64)
        final.load_state_dict(
            {"weight": parameters["ln_final.w"], "bias": parameters["ln_final.b"]}
        )
        stream = final(stream)
    expected = stream @ parameters["unembed.W_U"] + parameters["unembed.b_U"]
    actual = transformer_logits(parameters, tokens, spec)
    torch.testing.assert_close(actual, expected.detach(), **EXACT64)
    other = "after" if norm_first else "before"
    swapped = transformer_logits(
        {"ln_final.w": torch.ones(12), "ln_final.b": torch.zeros(12), **parameters},
        tokens,
        dataclasses.replace(spec, norm_position=other),
    )
    assert (swapped - expected).abs().max() > 1e-2


def _encoder_layer(parameters, spec, layer):
    """torch's layer with the weights of one of our blocks."""
    theirs = nn.TransformerEncoderLayer(
        spec.d_model,
        spec.n_heads,
        spec.d_mlp,
        dropout=0.0,
        activation=ACTS[spec.act_fn],
        batch_first=True,
        norm_first=spec.norm_position == "before",
        dtype=torch.float64,
    )
    prefix = f"blocks.{layer}."
    w = {n.removeprefix(prefix): v for n, v in parameters.items() if n.startswith(prefix)}
    flat = [w["attn.W_" + c].movedim(1, 2).flatten(0, 1) for c in "QKV"]
    theirs.load_state_dict(
        {
            "self_attn.in_proj_weight": torch.cat(flat),
            "self_attn.in_proj_bias": torch.cat([w["attn.b_" + c].flatten() for c in "QKV"]),
            "self_attn.out_proj.weight": w["attn.W_O"].flatten(0, 1).T,
            "self_attn.out_proj.bias": w["attn.b_O"],
            "linear1.weight": w["mlp.W_in"].T,
            "linear1.bias": w["mlp.b_in"],
            "linear2.weight": w["mlp.W_out"].T,
            "linear2.bias": w["mlp.b_out"],
            "norm1.weight": w["ln1.w"],
            "norm1.bias": w["ln1.b"],
            "norm2.weight": w["ln2.w"],
            "norm2.bias": w["ln2.b"],
        }
    )
    return theirs.eval()


def test_every_option_changes_the_logits():
    plain = make_spec()
    base = forward_pairs(random_parameters(plain), plain, all_pairs()).logits
    for change in (
        *({"act_fn": name} for name in ACTS if name != "relu"),
        *({"normalization": kind} for kind in ("LNPre", "RMSPre")),
    ):
        spec = make_spec(**change)
        # The same weights, since these options bring none of their own.
        logits = forward_pairs(random_parameters(spec), spec, all_pairs()).logits
        assert (logits - base).abs().max() > 1e-2, change


# --- parameters ---------------------------------------------------------------------------


def names_of(**fields):
    return set(parameter_shapes(make_spec(**fields), 6, 3, 5))


def test_parameters_carry_transformer_lens_s_names():
    plain = names_of()
    norms = {"blocks.0.ln1", "blocks.0.ln2", "ln_final"}
    both = {f"{norm}.{leaf}" for norm in norms for leaf in "wb"}
    assert names_of(normalization="LN") - plain == both
    assert names_of(normalization="RMS") - plain == {f"{norm}.w" for norm in norms}
    assert names_of(normalization="LNPre") == names_of(normalization="RMSPre") == plain
    after = names_of(normalization="LN", norm_position="after")
    assert both - after == {"ln_final.w", "ln_final.b"}
    assert names_of(gated_mlp=True) - plain == {"blocks.0.mlp.W_gate"}
    # A tied W_U is written as well, so that readers find it under its name.
    assert names_of(tied_embeddings=True) == plain
    assert plain - names_of(attn_only=True) == {n for n in plain if ".mlp." in n}
    assert not {n for n in names_of(attn_only=True, normalization="LN") if ".ln2." in n}


def first(**fields):
    spec = make_spec(**fields)
    return initial_parameters(spec, **spec.vocabulary_sizes(5))


def test_norms_begin_at_the_identity_whatever_the_scale_of_the_weights():
    drawn = first(normalization="LN", init_scale=8.0)
    for norm in ("blocks.0.ln1", "blocks.0.ln2", "ln_final"):
        assert torch.equal(drawn[norm + ".w"], torch.ones(12))
        assert not drawn[norm + ".b"].any()
    assert torch.equal(drawn["embed.W_E"], 8 * first()["embed.W_E"])


def test_options_leave_the_draws_of_what_they_do_not_concern_alone():
    plain = first()
    for fields in ({"normalization": "LN"}, {"act_fn": "silu"}, {"gated_mlp": True}):
        drawn = first(**fields)
        assert all(torch.equal(drawn[name], plain[name]) for name in plain.keys() & drawn.keys())
    tied = first(tied_embeddings=True)
    assert torch.equal(tied["embed.W_E"], plain["embed.W_E"])
    assert torch.equal(tied["unembed.W_U"], tied["embed.W_E"][: tied["unembed.W_U"].shape[1]].T)


def test_sinusoidal_positions_are_the_published_table_and_stay():
    spec = make_spec(positions="sinusoidal", input_format="a_op_b_equals", init_scale=3.0)
    table = initial_parameters(spec, **spec.vocabulary_sizes(5))["pos_embed.W_pos"]
    for t in range(4):
        for i in range(6):
            angle = t / 10_000 ** (2 * i / 12)
            assert table[t, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-7)
            assert table[t, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-7)
    assert not is_trained("pos_embed.W_pos", spec)
    assert not first(positions="none")["pos_embed.W_pos"].any()
    assert not is_trained("pos_embed.W_pos", make_spec(positions="none"))
    assert is_trained("pos_embed.W_pos", make_spec())


@pytest.mark.parametrize("biases", ["none", "mlp", "all"])
def test_norms_are_trained_whatever_the_biases(biases):
    spec = make_spec(normalization="LN", biases=biases)
    assert all(
        is_trained(f"{norm}.{x}", spec) for norm in ("blocks.0.ln1", "ln_final") for x in "wb"
    )


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_sizes_are_read_off_the_parameters(spec):
    assert vocabulary_sizes(random_parameters(spec), spec) == spec.vocabulary_sizes(5)


def test_a_network_of_another_kind_is_named_with_its_fields():
    parameters = random_parameters(make_spec())
    spec = make_spec(normalization="LN")
    with pytest.raises(ConfigError, match=r"ln1\.w is missing for n_layers=1, normalization=LN\."):
        vocabulary_sizes(parameters, spec)
    with pytest.raises(ConfigError, match=r"W_in is unknown for n_layers=1, attn_only=True\."):
        vocabulary_sizes(parameters, make_spec(attn_only=True))


# --- inputs and outputs ---------------------------------------------------------------------


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences_hold_operands_equals_and_operation_where_the_format_says(name):
    spec = make_spec(input_format=name)
    tokens = input_tokens(all_pairs(), spec, spec.vocabulary_sizes(5)["d_vocab"])
    assert tokens.tolist() == [SEQUENCES[name](a, b) for a, b in all_pairs().tolist()]
    assert torch.equal(tokens[:, list(spec.operand_positions)], all_pairs())
    assert spec.vocabulary_sizes(5)["d_vocab"] == 5 + len(spec.signs)
    assert spec.n_ctx == tokens.shape[1]


def test_outputs_are_those_of_the_answers_or_of_every_token():
    assert make_spec().vocabulary_sizes(5, 3)["d_vocab_out"] == 3
    assert make_spec(outputs="tokens").vocabulary_sizes(5, 3)["d_vocab_out"] == 6
    with_operation = make_spec(outputs="tokens", input_format="a_op_b_equals")
    assert with_operation.vocabulary_sizes(5)["d_vocab_out"] == 7


def test_the_unembedding_is_the_first_columns_of_w_u_or_rows_of_w_e():
    spec = make_spec()
    parameters = random_parameters(spec)
    assert torch.equal(unembedding(parameters, spec)[:, :3], parameters["unembed.W_U"][:, :3])
    tied = make_spec(tied_embeddings=True)
    parameters = random_parameters(tied)
    assert torch.equal(unembedding(parameters, tied)[:, :3], parameters["embed.W_E"][:3].T)


def test_a_tied_embedding_is_trained_from_both_sides():
    spec = make_spec(tied_embeddings=True)
    parameters = {n: v.requires_grad_() for n, v in random_parameters(spec).items()}
    pairs = torch.tensor([[0, 1]])
    forward_pairs(parameters, spec, pairs).logits[0, 3].backward()
    gradient = parameters["embed.W_E"].grad
    # Rows 0, 1 and that of = are read, row 3 is written along; nothing else.
    assert gradient.abs().sum(1).gt(0).tolist() == [True, True, False, True, False, True]


# --- tables and refusals --------------------------------------------------------------------


def test_tables_serve_every_network_that_they_are_exact_for_and_no_other():
    fits = [{}, {"act_fn": "silu"}, {"outputs": "tokens"}, {"positions": "none"}]
    for fields in fits:
        assert has_pair_tables(make_spec(**fields))
    for fields in (
        {"normalization": "LNPre"},
        {"gated_mlp": True},
        {"attn_only": True},
        {"tied_embeddings": True},
        {"input_format": "equals_a_b"},
        {"input_format": "a_op_b_equals"},
    ):
        assert not has_pair_tables(make_spec(**fields))
        assert fields_without_tables(make_spec(**fields)) == [f"{k}={v}" for k, v in fields.items()]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"gated_mlp": True, "attn_only": True},
            r"gated_mlp=True is not allowed. It belongs to an MLP",
        ),
        ({"norm_position": "after"}, r"norm_position='after' is not allowed. It belongs to a norm"),
        ({"norm_epsilon": 1e-3}, r"norm_epsilon=0\.001 is not allowed. It belongs to a norm"),
        ({"normalization": "LN", "norm_epsilon": 0.0}, r"norm_epsilon=0\.0 .* positive"),
        ({"normalization": "BN"}, r"normalization='BN' is not known.*LNPre"),
        ({"act_fn": "swish"}, r"act_fn='swish' is not known.*gelu_new"),
        ({"positions": "rotary"}, r"positions='rotary' is not known.*sinusoidal"),
        ({"input_format": "b_a"}, r"input_format='b_a' is not known.*equals_a_b"),
    ],
)
def test_combinations_that_mean_nothing_are_refused_in_one_line(
    fields, message, without_type_checks
):
    with pytest.raises(ConfigError, match=message) as error:
        make_spec(**fields)
    assert "\n" not in str(error.value)


def test_answers_that_are_no_tokens_are_refused_where_outputs_are_tokens():
    with pytest.raises(ConfigError, match="tied_embeddings=True needs .* 7 answers and 6 tokens"):
        make_spec(tied_embeddings=True).vocabulary_sizes(5, 7)
    with pytest.raises(ConfigError, match="outputs=tokens needs .* 7 answers and 6 tokens"):
        make_spec(outputs="tokens").vocabulary_sizes(5, 7)
