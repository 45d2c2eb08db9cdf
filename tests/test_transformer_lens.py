"""Our model against TransformerLens's own.

Passes under TransformerLens 4, whose model is the bridge, and under 3, which still has the
``HookedTransformer`` that ours must agree with hook by hook.
"""

import copy
import warnings
from dataclasses import replace
from importlib.metadata import version

import pytest
import torch
import transformer_lens

from grokinterp.errors import ConfigError
from grokinterp.models import ModelSpec
from grokinterp.models.hooked_transformer import HookedTransformer
from grokinterp.models.initialization import (
    fixed_positions,
    is_trained,
    parameter_shapes,
    tie,
)
from grokinterp.models.pair_tables import pair_logits
from grokinterp.models.transformer import HOOKS_BEHIND_FLAGS, input_tokens
from grokinterp.models.transformer_lens import from_transformer_lens, to_transformer_lens
from grokinterp.runs import TrainConfig
from grokinterp.tasks import TaskSpec
from grokinterp.training import train

IS_3 = int(version("transformer-lens").split(".")[0]) < 4
needs_3 = pytest.mark.skipif(
    not IS_3, reason="TransformerLens 4 has no HookedTransformer to compare with"
)
needs_4 = pytest.mark.skipif(IS_3, reason="only TransformerLens 4 converts to a bridge")

SAME_SUMS64 = {"rtol": 1e-11, "atol": 1e-12}
"""float64; both form the same sums of some hundred terms in another order."""

SAME_SUMS32 = {"rtol": 1e-4, "atol": 1e-5}
"""The same in float32: measured: 3e-7 of the largest logit, which others cancel from."""

SPECS = {
    "one-relu": ModelSpec(d_model=10, n_heads=3, d_head=4, d_mlp=7),
    "one-gelu": ModelSpec(d_model=10, n_heads=3, d_head=4, d_mlp=7, act_fn="gelu"),
    "two-relu": ModelSpec(n_layers=2, d_model=10, n_heads=3, d_head=4, d_mlp=7, biases="all"),
    "two-gelu": ModelSpec(n_layers=2, d_model=8, n_heads=4, d_head=2, d_mlp=7, act_fn="gelu"),
    "tiny": ModelSpec(d_model=1, n_heads=1, d_head=1, d_mlp=1, biases="none"),
    "both-ways": ModelSpec(
        n_layers=2, d_model=10, n_heads=3, d_head=4, d_mlp=7, attention_dir="bidirectional"
    ),
    "two-ln": ModelSpec(
        **{"n_layers": 2, "d_model": 10, "n_heads": 3, "d_head": 4, "d_mlp": 7},
        **{"act_fn": "gelu_new", "biases": "all", "normalization": "LN"},
    ),
    "three-lnpre": ModelSpec(
        **{"n_layers": 3, "d_model": 10, "n_heads": 3, "d_head": 4, "d_mlp": 7},
        **{"act_fn": "silu", "normalization": "LNPre", "norm_epsilon": 0.01},
    ),
    "two-swiglu-rms": ModelSpec(
        **{"n_layers": 2, "d_model": 10, "n_heads": 3, "d_head": 4, "d_mlp": 7},
        **{"act_fn": "silu", "biases": "none", "normalization": "RMS", "gated_mlp": True},
    ),
    "two-attention-only-rmspre": ModelSpec(
        **{"n_layers": 2, "d_model": 10, "n_heads": 3, "d_head": 4, "d_mlp": 40},
        **{"normalization": "RMSPre", "attn_only": True},
    ),
    "two-sinusoids": ModelSpec(
        **{"n_layers": 2, "d_model": 10, "n_heads": 3, "d_head": 4, "d_mlp": 7},
        positions="sinusoidal",
    ),
    "no-positions": ModelSpec(d_model=10, n_heads=3, d_head=4, d_mlp=7, positions="none"),
}
IN_FLOAT32_ON_A_BRIDGE = ("LNPre", "RMS", "RMSPre")


def tolerance_of(spec, dtype=torch.float64):
    """That of the precision in which TransformerLens computes."""
    is_rounded = not IS_3 and spec.normalization in IN_FLOAT32_ON_A_BRIDGE
    return SAME_SUMS32 if dtype == torch.float32 or is_rounded else SAME_SUMS64


all_specs = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def random_model(spec, dtype=torch.float64, d_vocab=6, n_ctx=3, d_vocab_out=5):
    """A model whose weights and biases are all far from zero."""
    generator = torch.Generator().manual_seed(0)
    shapes = parameter_shapes(spec, d_vocab, n_ctx, d_vocab_out)
    parameters = {
        n: 0.5 * torch.randn(s, generator=generator, dtype=dtype) for n, s in shapes.items()
    }
    if spec.positions != "learned":
        parameters["pos_embed.W_pos"] = fixed_positions(spec, n_ctx).to(dtype)
    if spec.gated_mlp:  # TransformerLens 4 knows no biases there
        parameters |= {n: 0 * v for n, v in parameters.items() if n[-6:] in ("p.b_in", ".b_out")}
    tie(parameters, spec)
    return HookedTransformer.from_parameters(spec, parameters)


def all_sequences(d_vocab=6):
    tokens = torch.arange(d_vocab)
    return torch.cartesian_prod(tokens, tokens, tokens)


TOKENS = all_sequences()[::13]


def own_class(**fields):
    """A network of TransformerLens itself, with random weights, of whichever class it has."""
    sizes = {"d_model": 8, "n_heads": 2, "d_head": 4, "n_ctx": 3, "d_mlp": 7, "d_vocab": 6}
    fields = {"n_layers": 1, "act_fn": "relu", "normalization_type": None, **sizes, **fields}
    if IS_3:
        config = transformer_lens.HookedTransformerConfig(**fields, device="cpu")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "HookedTransformer is deprecated")
            return transformer_lens.HookedTransformer(config)
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge.sources import boot_native

    return boot_native(TransformerBridgeConfig(**fields))


# --- there and back ---------------------------------------------------------------------


@all_specs
def test_the_twin_is_of_the_class_that_this_version_has(spec):
    twin = to_transformer_lens(random_model(spec))
    assert type(twin).__name__ == ("HookedTransformer" if IS_3 else "TransformerBridge")
    assert type(twin).__module__.startswith("transformer_lens.")


@all_specs
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_the_twin_gives_the_same_logits(spec, dtype):
    model = random_model(spec, dtype)
    with torch.no_grad():
        ours, theirs = model(TOKENS), to_transformer_lens(model)(TOKENS)
    assert theirs.dtype == dtype
    torch.testing.assert_close(theirs, ours, **tolerance_of(spec, dtype))


def test_the_twin_of_a_two_token_network_gives_the_same_logits_and_comes_back():
    spec = ModelSpec(d_model=10, n_heads=3, d_head=4, d_mlp=7, input_format="a_b")
    model = random_model(spec, **spec.vocabulary_sizes(5))
    twin, tokens = to_transformer_lens(model), all_sequences(5)[:, 1:]
    with torch.no_grad():
        torch.testing.assert_close(twin(tokens), model(tokens), **SAME_SUMS64)
    assert from_transformer_lens(twin).spec == model.spec


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        (r"attention_rate=0\.5", {"attention_rate": 0.5}),
        ("act_fn=tanh", {"act_fn": "tanh"}),
        ("act_fn=square", {"act_fn": "square", "gated_mlp": True}),
        ("norm_position=after", {"normalization": "LN", "norm_position": "after"}),
    ],
)
def test_a_part_without_counterpart_there_is_named(part, fields):
    spec = ModelSpec(d_model=4, n_heads=1, d_head=4, d_mlp=4, **fields)
    with pytest.raises(ConfigError, match=rf"^{part} has no counterpart in TransformerLens, which"):
        to_transformer_lens(random_model(spec))


@needs_4
def test_a_bridge_takes_no_biases_of_gated_mlps():
    model = random_model(SPECS["two-swiglu-rms"])
    with torch.no_grad():
        model.blocks[1].mlp.b_in[3] = 1e-9
    with pytest.raises(ConfigError, match=r"blocks\.1\.mlp\.b_in other than zero has no counter"):
        to_transformer_lens(model)


@needs_3
def test_biases_of_gated_mlps_are_converted():
    model = random_model(SPECS["two-swiglu-rms"])
    with torch.no_grad():
        model.blocks[1].mlp.b_in += 0.5
        model.blocks[1].mlp.b_out += 0.5
        ours, theirs = model(TOKENS), to_transformer_lens(model)(TOKENS)
    torch.testing.assert_close(theirs, ours, **SAME_SUMS64)


@pytest.mark.parametrize("biases", ["none", "all"])
def test_attention_decides_on_the_biases_of_a_gated_network(biases):
    spec = replace(SPECS["two-swiglu-rms"], biases=biases)
    assert from_transformer_lens(to_transformer_lens(random_model(spec))).spec.biases == biases


def test_tied_embeddings_become_a_copy():
    spec = replace(SPECS["two-ln"], tied_embeddings=True)
    model = random_model(spec)
    twin = to_transformer_lens(model)
    with torch.no_grad():
        torch.testing.assert_close(twin(TOKENS), model(TOKENS), **SAME_SUMS64)
    back = from_transformer_lens(twin)
    assert back.spec == SPECS["two-ln"]
    assert torch.equal(back.W_U, model.W_E[:5].T)


@pytest.mark.parametrize(
    ("fields", "given"),
    [
        ({"input_format": "a_op_b_equals"}, None),
        ({"outputs": "tokens"}, None),
        ({"input_format": "equals_a_b", "outputs": "tokens"}, "equals_a_b"),
    ],
)
def test_formats_and_outputs_come_back(fields, given):
    spec = replace(SPECS["two-ln"], **fields)
    model = random_model(spec, **spec.vocabulary_sizes(5))
    twin = to_transformer_lens(model)
    back = from_transformer_lens(twin, input_format=given)
    assert (back.spec, back.cfg) == (spec, model.cfg)
    tokens = input_tokens(torch.tensor([[0, 1], [4, 2]]), spec, model.cfg.d_vocab)
    with torch.no_grad():
        torch.testing.assert_close(twin(tokens), model(tokens), **SAME_SUMS64)


def test_a_trained_network_with_layer_norm_gives_the_same_logits_there(tmp_path):
    model = ModelSpec(
        **{"n_layers": 2, "d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 32},
        **{"normalization": "LN", "act_fn": "gelu_new", "biases": "all"},
    )
    config = TrainConfig(task=TaskSpec(p=7), model=model, n_steps=40)
    run = train(config, tmp_path, progress=False)
    tokens = input_tokens(torch.tensor(run.split.task.pairs), model, 8)
    hooked = HookedTransformer.from_parameters(model, run.parameters())
    assert run.curves["train_loss"].iloc[-1] < 0.5 * run.curves["train_loss"].iloc[0]
    assert (hooked.blocks[1].ln2.w - 1).abs().max() > 0.01
    with torch.no_grad():
        ours, theirs = hooked.double()(tokens), to_transformer_lens(hooked)(tokens)
        torch.testing.assert_close(theirs, ours, **SAME_SUMS64)
        expected = pair_logits(run.parameters(), model, torch.tensor(run.split.task.pairs))
        torch.testing.assert_close(theirs[:, -1].float(), expected, **SAME_SUMS32)


def test_the_twin_of_other_weights_gives_other_logits():
    model = random_model(SPECS["two-gelu"])
    twin = to_transformer_lens(model)
    with torch.no_grad():
        model.blocks[1].attn.b_V[0, 0] += 1e-6
        difference = (twin(TOKENS) - model(TOKENS)).abs().max()
    assert difference > 1e-8


@all_specs
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_there_and_back_gives_the_same_parameters(spec, dtype):
    model = random_model(spec, dtype)
    back = from_transformer_lens(to_transformer_lens(model))
    assert back.spec == spec
    assert back.cfg == model.cfg
    assert back.state_dict().keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name


@pytest.mark.parametrize(("d_vocab", "n_ctx", "d_vocab_out"), [(3, 3, 2), (12, 2, 12), (5, 4, 9)])
def test_inputs_outputs_and_context_may_differ_in_size(d_vocab, n_ctx, d_vocab_out):
    sizes = {"d_vocab": d_vocab, "n_ctx": n_ctx, "d_vocab_out": d_vocab_out}
    model = random_model(SPECS["one-relu"], **sizes)
    twin = to_transformer_lens(model)
    tokens = torch.randint(d_vocab, (20, n_ctx), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(twin(tokens), model(tokens), **SAME_SUMS64)
    assert from_transformer_lens(twin).cfg == model.cfg


def test_bare_parameters_are_converted_with_their_spec():
    model = random_model(SPECS["two-relu"])
    twin = to_transformer_lens(model.state_dict(), model.spec)
    with torch.no_grad():
        torch.testing.assert_close(twin(TOKENS), model(TOKENS), **SAME_SUMS64)
    with pytest.raises(ConfigError, match="spec=None with bare parameters"):
        to_transformer_lens(model.state_dict())


def test_a_module_of_ones_own_is_not_converted(without_type_checks):
    with pytest.raises(ConfigError, match="Linear is not a transformer of this library"):
        to_transformer_lens(torch.nn.Linear(2, 2))


def test_twins_hold_copies():
    model = random_model(SPECS["one-relu"])
    twin = to_transformer_lens(model)
    back = from_transformer_lens(twin)
    with torch.no_grad():
        expected = model(TOKENS)
        for parameter in twin.parameters():
            parameter.add_(1)
        assert torch.equal(model(TOKENS), expected)
        assert torch.equal(back(TOKENS), expected)
        assert not torch.allclose(twin(TOKENS), expected)


@pytest.mark.parametrize("biases", ["mlp", "none", "all"])
def test_which_biases_are_trained_survives_the_way_there_and_back(biases):
    spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=7, biases=biases)
    twin = to_transformer_lens(random_model(spec))
    assert from_transformer_lens(twin).spec.biases == biases
    with torch.no_grad():  # where views do not say whether their base needs a gradient
        assert from_transformer_lens(twin).spec.biases == biases
    n_expected = sum(is_trained(name, spec) for name in parameter_shapes(spec, 6, 3, 5))
    if not IS_3 and biases == "all":
        n_expected -= 1  # a bridge keeps b_U as a buffer
    assert sum(parameter.requires_grad for parameter in twin.parameters()) == n_expected


def test_a_set_of_trained_biases_without_a_name_must_be_given_one():
    twin = to_transformer_lens(random_model(SPECS["two-relu"]))
    next(p for name, p in twin.named_parameters() if is_bias_of_keys(name)).requires_grad_(False)
    with pytest.raises(ConfigError, match=r"no set that a ModelSpec names\. Pass biases="):
        from_transformer_lens(twin)
    assert from_transformer_lens(twin, biases="none").spec.biases == "none"


def is_bias_of_keys(name):
    return name.endswith("b_K") if IS_3 else ".k." in name and name.endswith("bias")


def test_conversion_leaves_the_global_random_state_alone():
    model = random_model(SPECS["one-relu"])
    before = torch.random.get_rng_state()
    from_transformer_lens(to_transformer_lens(model))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("act_fn", "fields"),
    [
        ("relu", {}),
        ("gelu", {}),
        ("gelu_new", {"normalization_type": "LN"}),
        ("silu", {"normalization_type": "RMS", "gated_mlp": True, "final_rms": True}),
        ("relu", {"normalization_type": "LNPre", "attn_only": True, "eps": 1e-3}),
    ],
)
def test_a_network_that_transformer_lens_made_is_taken_over(act_fn, fields):
    own = own_class(act_fn=act_fn, n_layers=2, d_vocab_out=5, **fields)
    ours = from_transformer_lens(own)
    with torch.no_grad():
        torch.testing.assert_close(ours(TOKENS), own(TOKENS), **SAME_SUMS32)
    assert ours.cfg.d_vocab_out == 5
    assert ours.spec.act_fn == act_fn


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("act_fn", {"act_fn": "solu_ln"}),
        ("final_rms", {"normalization_type": "LNPre", "final_rms": True}),
        ("positional_embedding_type", {"positional_embedding_type": "rotary", "rotary_dim": 4}),
        ("n_key_value_heads", {"n_key_value_heads": 1}),
        ("attn_scale", {"attn_scale": 3.0}),
        ("attn_scores_soft_cap", {"attn_scores_soft_cap": 5.0}),
        ("output_logits_soft_cap", {"output_logits_soft_cap": 5.0}),
    ],
)
def test_a_network_with_a_part_that_ours_has_not_is_refused_by_field(field, fields):
    own = own_class(**fields)
    with pytest.raises(ConfigError, match=rf"^{field}=.* has no counterpart .* with {field}="):
        from_transformer_lens(own)


@needs_3
def test_unscaled_attention_is_refused():
    own = own_class(use_attn_scale=False)
    with pytest.raises(ConfigError, match=r"^attn_scale=1\.0 has no counterpart"):
        from_transformer_lens(own)


def test_what_is_no_model_of_transformer_lens_is_refused():
    with pytest.raises(ConfigError, match=r"Linear has no cfg\. Pass a TransformerLens"):
        from_transformer_lens(torch.nn.Linear(2, 2))


@needs_4
@pytest.mark.parametrize("spec", [SPECS["two-gelu"], SPECS["two-ln"]], ids=["plain", "LN"])
def test_a_bridge_caches_the_activations_that_ours_does(spec):
    model = random_model(spec)
    with torch.no_grad():
        _, ours = model.run_with_cache(TOKENS)
        _, theirs = to_transformer_lens(model).run_with_cache(TOKENS)
    for name in ours.keys():
        # There is no hook between a bridge's scores and its softmax: the name holds patterns.
        counterpart = name.replace("attn_scores", "pattern")
        torch.testing.assert_close(theirs[name], ours[counterpart], **SAME_SUMS64, msg=name)


@needs_4
@pytest.mark.parametrize("name", ["two-gelu", "two-ln", "two-attention-only-rmspre"])
def test_the_logit_lens_of_a_cache_ends_in_the_logits(name):
    model = random_model(SPECS[name]).eval()
    with torch.no_grad():
        logits, cache = model.run_with_cache(TOKENS)
    lens = cache.logit_lens(return_type="logits")
    assert lens.labels == ["0_pre", "1_pre", "final_post"]
    torch.testing.assert_close(lens.values[-1], logits[:, -1], **SAME_SUMS64)


# --- hook by hook against TransformerLens's own class -----------------------------------


def twins(spec, flag=None, dtype=torch.float64):
    ours = random_model(spec, dtype)
    theirs = to_transformer_lens(ours)
    if flag is not None:
        getattr(ours, f"set_{flag}")(True)
        getattr(theirs, f"set_{flag}")(True)
    return ours, theirs


def noise(x, hook):
    generator = torch.Generator().manual_seed(len(hook.name))
    return x + torch.randn(x.shape, generator=generator, dtype=x.dtype)


def zero(x, hook):
    return torch.zeros_like(x)


def write_in_place(x, hook):
    x[1::2] *= 1.5
    x[:, -1] = 0.25


def forbid(x, hook):
    """Minus infinity on the first row, which leaves NaN behind every softmax."""
    x[:, 0] = -torch.inf


def swap_sequences(x, hook):
    return x.flip(0)


FLAGS = [None, "use_attn_result", "use_split_qkv_input", "use_attn_in", "use_hook_mlp_in"]
HOOKED = [k for k in SPECS if k not in ("tiny", "three-lnpre", "two-sinusoids", "no-positions")]
WITH_MLPS = [k for k in HOOKED if not SPECS[k].attn_only]
hooked_specs = pytest.mark.parametrize("spec", [SPECS[k] for k in HOOKED], ids=HOOKED)
specs_with_mlps = pytest.mark.parametrize("spec", [SPECS[k] for k in WITH_MLPS], ids=WITH_MLPS)
flagged_specs = pytest.mark.parametrize(
    ("spec", "flag"),
    [
        pytest.param(SPECS[name], flag, id=f"{flag}-{name}")
        for flag in FLAGS
        for name in (WITH_MLPS if flag == "use_hook_mlp_in" else HOOKED)
    ],
)


@needs_3
@hooked_specs
def test_hook_points_and_state_dict_keys_are_the_same(spec):
    ours, theirs = twins(spec)
    assert ours.hook_dict.keys() == theirs.hook_dict.keys()
    keys = {key for key in theirs.state_dict() if not key.endswith((".mask", ".IGNORE"))}
    assert ours.state_dict().keys() == keys
    assert str(ours.load_state_dict(theirs.state_dict())) == "<All keys matched successfully>"


@needs_3
@flagged_specs
def test_caches_hold_the_same_activations_in_the_same_order(spec, flag):
    ours, theirs = twins(spec, flag)
    with torch.no_grad():
        logits, cache = ours.run_with_cache(TOKENS)
        own_logits, own_cache = theirs.run_with_cache(TOKENS)
    torch.testing.assert_close(logits, own_logits, **SAME_SUMS64)
    assert list(cache.keys()) == list(own_cache.keys())
    for name in cache:
        torch.testing.assert_close(cache[name], own_cache[name], **SAME_SUMS64, msg=name)


@needs_3
@flagged_specs
@pytest.mark.parametrize("edit", [noise, zero, write_in_place, forbid, swap_sequences])
def test_every_edit_at_every_hook_has_the_same_effect_everywhere(spec, flag, edit):
    ours, theirs = twins(spec, flag)
    with torch.no_grad():
        untouched, before = ours.run_with_cache(TOKENS)
        leaves = HOOKS_BEHIND_FLAGS.get(flag, ("",))
        for name in (name for name in before.keys() if name.endswith(leaves)):
            with ours.hooks(fwd_hooks=[(name, edit)]), theirs.hooks(fwd_hooks=[(name, edit)]):
                logits, cache = ours.run_with_cache(TOKENS)
                own_logits, own_cache = theirs.run_with_cache(TOKENS)
            close = {**SAME_SUMS64, "equal_nan": True, "msg": name}
            torch.testing.assert_close(logits, own_logits, **close)
            for other in cache.keys():
                torch.testing.assert_close(cache[other], own_cache[other], **close)
            is_the_same_in_all = edit is swap_sequences and name == "hook_pos_embed"
            assert torch.equal(logits, untouched) == is_the_same_in_all, name


@needs_3
@hooked_specs
def test_an_edit_of_one_twin_alone_is_noticed(spec):
    ours, theirs = twins(spec)
    with torch.no_grad():
        expected = theirs(TOKENS)
        for name in ours.run_with_cache(TOKENS)[1].keys():
            edited = ours.run_with_hooks(TOKENS, fwd_hooks=[(name, noise)])
            assert not torch.allclose(edited, expected, **{"rtol": 1e-6, "atol": 1e-6}), name


@needs_3
@hooked_specs
def test_every_backward_hook_sees_the_same_gradient(spec):
    gradients = []
    for model in twins(spec):
        seen = {}

        def keep(gradient, hook, seen=seen):
            seen[hook.name] = gradient.detach().clone()

        # TransformerLens normalizes for queries, keys and values apart: three gradients at ln1.
        flagged = ("_in", "_input", "_result", "ln1.hook_scale", "ln1.hook_normalized")
        names = [n for n in model.hook_dict if not n.endswith(flagged)]
        if spec.attn_only:
            names = [n for n in names if not n.endswith("hook_mlp_out")]
        with model.hooks(bwd_hooks=[(name, keep) for name in names]):
            (model(TOKENS)[:, -1, :3] ** 2).mean().backward()
        gradients.append(seen)
    ours, theirs = gradients
    assert ours.keys() == theirs.keys() == set(names)
    for name in names:
        torch.testing.assert_close(ours[name], theirs[name], **SAME_SUMS64, msg=name)


@needs_3
@hooked_specs
def test_weight_properties_and_circuits_are_the_same(spec):
    ours, theirs = twins(spec)
    weights = ["W_E", "W_pos", "W_E_pos", "W_U", "b_U"]
    weights += [] if spec.attn_only else ["W_in", "b_in", "W_out", "b_out"]
    weights += ["W_gate"] if spec.gated_mlp else []
    for name in [*weights, *(f"{kind}_{letter}" for kind in "Wb" for letter in "QKVO")]:
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    for name in ("OV", "QK"):
        assert torch.equal(getattr(ours, name).A, getattr(theirs, name).A)
        assert torch.equal(getattr(ours, name).B, getattr(theirs, name).B)
        mine, own = getattr(ours.blocks[0].attn, name), getattr(theirs.blocks[0].attn, name)
        assert torch.equal(mine.AB, own.AB)
    assert ours.all_head_labels() == theirs.all_head_labels()


@needs_3
def test_config_fields_are_the_same():
    ours, theirs = twins(SPECS["two-gelu"])
    for field, value in vars(ours.cfg).items():
        if field not in ("device", "model_name"):
            assert value == getattr(theirs.cfg, field), field
    assert str(ours.cfg.device) == theirs.cfg.device


@needs_3
@specs_with_mlps
def test_cache_methods_give_the_same_tables(spec):
    ours, theirs = twins(spec)
    tables = []
    for model in (ours, theirs):
        with torch.no_grad():
            _, cache = model.run_with_cache(TOKENS)
            parts = cache.decompose_resid(pos_slice=-1)
            tables.append(
                {
                    "decompose_resid": parts,
                    "accumulated_resid": cache.accumulated_resid(incl_mid=True),
                    "normalized": cache.accumulated_resid(apply_ln=True, layer=1),
                    "normalized parts": cache.apply_ln_to_stack(parts, pos_slice=-1),
                    "stack_head_results": cache.stack_head_results(incl_remainder=True),
                    "stack_neuron_results": cache.stack_neuron_results(layer=1),
                    "full": cache.get_full_resid_decomposition(layer=1, mlp_input=False),
                    "logit_attrs": cache.logit_attrs(
                        parts, TOKENS[:, 0] % 5, incorrect_tokens=TOKENS[:, 1] % 5, pos_slice=-1
                    ),
                }
            )
    for name, table in tables[0].items():
        # TransformerLens 3 adds up the biases of a full decomposition in float32.
        tolerance = SAME_SUMS32 if name == "full" else SAME_SUMS64
        torch.testing.assert_close(table, tables[1][name], **tolerance, msg=name)


@needs_3
def test_a_deep_copy_of_ours_still_agrees():
    ours, theirs = twins(SPECS["two-relu"])
    twin = copy.deepcopy(ours)
    edit = [("blocks.1.attn.hook_pattern", swap_sequences)]
    with torch.no_grad():
        torch.testing.assert_close(
            twin.run_with_hooks(TOKENS, fwd_hooks=edit),
            theirs.run_with_hooks(TOKENS, fwd_hooks=edit),
            **SAME_SUMS64,
        )
