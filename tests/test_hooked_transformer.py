import copy
import pickle

import pytest
import torch

from grokinterp.errors import ConfigError, ShapeError
from grokinterp.models import ModelSpec
from grokinterp.models.hooked_transformer import HookedTransformer
from grokinterp.models.initialization import initial_parameters, is_bias, parameter_shapes
from grokinterp.models.transformer import HOOKS_BEHIND_FLAGS, transformer_logits

EXACT64 = {"rtol": 1e-11, "atol": 1e-12}
"""Two orders of summation of the same sums in float64."""

SIZES = {"d_vocab": 6, "n_ctx": 3, "d_vocab_out": 5}


def make_spec(**fields):
    return ModelSpec(**{"d_model": 10, "n_heads": 3, "d_head": 4, "d_mlp": 7, **fields})


def random_model(dtype=torch.float64, **fields):
    """A model whose weights and biases are all far from zero."""
    spec = make_spec(**fields)
    generator = torch.Generator().manual_seed(0)
    shapes = parameter_shapes(spec, **SIZES)
    return HookedTransformer.from_parameters(
        spec,
        {n: 0.5 * torch.randn(s, generator=generator, dtype=dtype) for n, s in shapes.items()},
    )


def all_sequences(d_vocab=6):
    tokens = torch.arange(d_vocab)
    return torch.cartesian_prod(tokens, tokens, tokens)


TOKENS = all_sequences()[::5]


def assert_close(actual, expected):
    torch.testing.assert_close(actual, expected, **EXACT64)


# --- parameters -------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["nanda2023", "tl_demo"])
def test_first_weights_are_those_of_the_spec_under_transformer_lens_names(init):
    spec = make_spec(n_layers=2, init=init, init_seed=3)
    state, expected = (
        HookedTransformer(spec, **SIZES).state_dict(),
        initial_parameters(spec, **SIZES),
    )
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def test_making_a_model_leaves_the_global_random_state_alone():
    before = torch.random.get_rng_state()
    HookedTransformer(make_spec(), **SIZES)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(("biases", "n_trained"), [("none", 0), ("mlp", 2), ("all", 7)])
def test_biases_that_the_spec_leaves_out_need_no_gradient(biases, n_trained):
    named = dict(HookedTransformer(make_spec(biases=biases), **SIZES).named_parameters())
    assert sum(named[name].requires_grad for name in named if is_bias(name)) == n_trained
    assert all(named[name].requires_grad for name in named if not is_bias(name))


def test_a_model_from_parameters_holds_copies_in_their_precision():
    source = random_model().state_dict()
    model = HookedTransformer.from_parameters(make_spec(), source)
    assert all(torch.equal(model.state_dict()[name], source[name]) for name in source)
    with torch.no_grad():
        model.embed.W_E += 1
    assert not torch.equal(model.W_E, source["embed.W_E"])
    assert model.cfg.dtype == torch.float64


def test_parameters_of_another_network_are_refused():
    source = random_model().state_dict()
    with pytest.raises(ShapeError, match="d_head"):
        HookedTransformer.from_parameters(make_spec(d_head=2), source)
    with pytest.raises(ConfigError, match=r"blocks\.1\.attn\.W_Q is missing for n_layers=2"):
        HookedTransformer.from_parameters(make_spec(n_layers=2), source)


def test_mask_buffers_of_older_state_dicts_are_passed_over():
    state = random_model().state_dict()
    buffers = {"blocks.0.attn.mask": torch.ones(3, 3), "blocks.0.attn.IGNORE": torch.tensor(-1e5)}
    model = random_model()
    assert str(model.load_state_dict(state | buffers)) == "<All keys matched successfully>"
    with pytest.raises(RuntimeError, match="W_X"):
        model.load_state_dict(state | {"blocks.0.attn.W_X": torch.ones(1)})


@pytest.mark.parametrize("n_layers", [1, 2])
def test_weight_properties_stack_the_layers(n_layers):
    model = random_model(n_layers=n_layers)
    state = model.state_dict()
    for name in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O"):
        for layer in range(n_layers):
            assert torch.equal(getattr(model, name)[layer], state[f"blocks.{layer}.attn.{name}"])
    for name in ("W_in", "b_in", "W_out", "b_out"):
        for layer in range(n_layers):
            assert torch.equal(getattr(model, name)[layer], state[f"blocks.{layer}.mlp.{name}"])
    for name, path in [
        ("W_E", "embed"),
        ("W_pos", "pos_embed"),
        ("W_U", "unembed"),
        ("b_U", "unembed"),
    ]:
        assert torch.equal(getattr(model, name), state[f"{path}.{name}"])
    assert torch.equal(model.W_E_pos, torch.cat([model.W_E, model.W_pos]))
    assert model.W_Q.shape == (n_layers, 3, 10, 4)
    assert model.all_head_labels()[-1] == f"L{n_layers - 1}H2"


def test_circuits_are_the_products_of_their_factors():
    model = random_model(n_layers=2)
    assert_close(model.OV.AB, model.W_V @ model.W_O)
    assert_close(model.QK.AB, model.W_Q @ model.W_K.transpose(-2, -1))
    attn = model.blocks[1].attn
    assert_close(attn.OV.AB, model.OV.AB[1])
    assert_close(attn.QK.AB, model.QK.AB[1])


def test_config_says_what_the_model_is_at_any_time():
    model = random_model(n_layers=2, act_fn="gelu")
    cfg = model.cfg
    assert (cfg.n_layers, cfg.d_model, cfg.n_heads, cfg.d_head, cfg.d_mlp) == (2, 10, 3, 4, 7)
    assert (cfg.d_vocab, cfg.d_vocab_out, cfg.n_ctx, cfg.act_fn) == (6, 5, 3, "gelu")
    assert (cfg.normalization_type, cfg.attn_scale, cfg.device) == (None, 2.0, torch.device("cpu"))
    assert model.to(torch.float32).cfg.dtype == torch.float32
    model.set_use_attn_result(True)
    assert model.cfg.use_attn_result
    assert not cfg.use_attn_result


# --- forward pass -----------------------------------------------------------------------


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("act_fn", ["relu", "gelu"])
def test_logits_are_bit_for_bit_those_of_the_function(n_layers, act_fn):
    model = random_model(n_layers=n_layers, act_fn=act_fn)
    parameters = dict(model.named_parameters())
    assert torch.equal(model(TOKENS), transformer_logits(parameters, TOKENS, model.spec))


def test_one_sequence_is_a_batch_of_one():
    model = random_model()
    assert torch.equal(model(TOKENS[7]), model(TOKENS[7:8]))
    _, cache = model.run_with_cache(TOKENS[7], remove_batch_dim=True)
    assert cache["resid_post", 0].shape == (3, 10)


def test_copies_and_pickles_give_the_same_logits_and_stand_alone():
    model = random_model(n_layers=2)
    model.set_use_attn_result(True)
    expected = model(TOKENS)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin(TOKENS), expected)
        zeroed = twin.run_with_hooks(
            TOKENS, fwd_hooks=[("blocks.1.attn.hook_result", lambda x, hook: 0 * x)]
        )
        assert not torch.allclose(zeroed, expected)
        with torch.no_grad():
            twin.unembed.b_U += 1
    assert torch.equal(model(TOKENS), expected)


def test_functional_calls_and_vmap_evaluate_many_weights_at_once():
    model = random_model(n_layers=2)
    names = list(model.state_dict())
    stacks = {n: torch.stack([p, 2 * p, p.roll(1, -1)]) for n, p in model.state_dict().items()}

    def logits(parameters):
        return torch.func.functional_call(model, parameters, (TOKENS,))

    together = torch.vmap(logits)(stacks)
    for i in range(3):
        one = {name: stacks[name][i] for name in names}
        assert_close(together[i], transformer_logits(one, TOKENS, model.spec))
    assert not torch.allclose(together[0], together[2])


def test_one_tensor_may_stand_for_two_parameters():
    model = random_model(n_layers=2)
    shared = model.blocks[0].attn.W_Q.detach()
    tied = {f"blocks.{layer}.attn.W_{x}": shared for layer in range(2) for x in "QK"}
    actual = torch.func.functional_call(model, tied, (TOKENS,))
    assert_close(actual, transformer_logits(model.state_dict() | tied, TOKENS, model.spec))


def test_gradients_through_the_hooked_model_are_those_of_the_function():
    model = random_model(biases="all")
    names = [name for name, _ in model.named_parameters()]
    hooked = torch.autograd.grad(model(TOKENS).square().sum(), list(model.parameters()))
    leaves = {n: v.clone().requires_grad_() for n, v in model.state_dict().items()}
    plain = torch.autograd.grad(
        transformer_logits(leaves, TOKENS, model.spec).square().sum(), [leaves[n] for n in names]
    )
    assert all(torch.equal(a, b) for a, b in zip(hooked, plain, strict=True))


# --- hooks ------------------------------------------------------------------------------


def test_hooks_last_as_long_as_their_run():
    model = random_model()
    before = model(TOKENS)
    name = "blocks.0.mlp.hook_post"
    edited = model.run_with_hooks(TOKENS, fwd_hooks=[(name, lambda x, hook: torch.zeros_like(x))])
    assert not torch.allclose(edited, before)
    assert torch.equal(model(TOKENS), before)
    model.add_hook(name, lambda x, hook: torch.zeros_like(x))
    assert torch.equal(model(TOKENS), edited)
    model.reset_hooks()
    assert torch.equal(model(TOKENS), before)


def test_a_hook_may_write_into_one_sequence_of_every_activation():
    model = random_model(n_layers=2)
    with torch.no_grad():
        before = model(TOKENS)
        for name in model.run_with_cache(TOKENS)[1]:

            def write(x, hook):
                x[4] *= 0.5

            after = model.run_with_hooks(TOKENS, fwd_hooks=[(name, write)])
            changed = (after != before).flatten(1).any(dim=1)
            assert changed.nonzero().flatten().tolist() == [4], name


@pytest.mark.parametrize("flag", HOOKS_BEHIND_FLAGS)
def test_a_hook_behind_a_flag_that_is_off_is_refused(flag):
    model = random_model()
    leaf = HOOKS_BEHIND_FLAGS[flag][0]
    name = "blocks.0." + ("attn." if leaf == "hook_result" else "") + leaf
    halve = (name, lambda x, hook: x / 2)
    with pytest.raises(ConfigError, match=rf"{name} is off.*set_{flag}\(True\)"):
        model.run_with_hooks(TOKENS, fwd_hooks=[halve])
    with pytest.raises(ConfigError, match=f"set_{flag}"):
        model.add_hook(*halve)
    assert name not in model.run_with_cache(TOKENS)[1]
    before = model(TOKENS)
    getattr(model, f"set_{flag}")(True)
    assert not torch.allclose(model.run_with_hooks(TOKENS, fwd_hooks=[halve]), before)
    assert name in model.run_with_cache(TOKENS)[1]
    getattr(model, f"set_{flag}")(False)
    assert torch.equal(model(TOKENS), before)


def test_two_ways_of_splitting_the_input_exclude_each_other():
    model = random_model()
    model.set_use_attn_in(True)
    with pytest.raises(ConfigError, match="use_split_qkv_input=True excludes"):
        model.set_use_split_qkv_input(True)
    assert not model.cfg.use_split_qkv_input


def test_backward_hooks_see_the_gradient():
    model = random_model()
    seen = {}

    def keep(gradient, hook):
        seen[hook.name] = gradient

    with model.hooks(bwd_hooks=[("blocks.0.hook_mlp_out", keep)]):
        model(TOKENS)[:, -1, 2].sum().backward()
    expected = torch.zeros(len(TOKENS), 3, 10, dtype=torch.float64)
    expected[:, -1] = model.W_U[:, 2].detach()
    assert_close(seen["blocks.0.hook_mlp_out"].detach(), expected)


# --- cache ------------------------------------------------------------------------------


def run(n_layers=2, **options):
    model = random_model(n_layers=n_layers)
    with torch.no_grad():
        return model, *model.run_with_cache(TOKENS, **options)


def test_the_cache_is_read_by_full_and_short_names():
    model, logits, cache = run()
    assert torch.equal(logits, model(TOKENS))
    assert torch.equal(cache["pattern", 0], cache["blocks.0.attn.hook_pattern"])
    assert torch.equal(cache["post", 1], cache["blocks.1.mlp.hook_post"])
    assert torch.equal(cache["embed"], model.W_E[TOKENS])
    assert torch.equal(cache["resid_post", -1], cache["blocks.1.hook_resid_post"])
    assert_close(cache["pattern", 0].sum(-1), torch.ones(len(TOKENS), 3, 3, dtype=torch.float64))
    assert cache["pattern", 0].triu(1).abs().max() == 0


def test_a_cache_can_be_filtered_plain_and_without_its_batch_axis():
    _, _, cache = run(names_filter=lambda name: name.endswith("hook_z"), return_cache_object=False)
    assert isinstance(cache, dict)
    assert list(cache) == ["blocks.0.attn.hook_z", "blocks.1.attn.hook_z"]
    model = random_model()
    _, with_batch = model.run_with_cache(TOKENS[:1])
    _, without = model.run_with_cache(TOKENS[:1], remove_batch_dim=True)
    assert torch.equal(without["z", 0], with_batch["z", 0][0])
    assert not without.has_batch_dim
    with pytest.raises(ShapeError, match="44 sequences"):
        model.run_with_cache(TOKENS, remove_batch_dim=True)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_decompositions_of_the_residual_stream_add_up(n_layers):
    model, _, cache = run(n_layers)
    final = cache["resid_post", -1]
    parts, labels = cache.decompose_resid(return_labels=True)
    assert labels[:2] == ["embed", "pos_embed"]
    assert len(labels) == 2 + 2 * n_layers
    assert_close(parts.sum(0), final)
    heads, labels = cache.stack_head_results(return_labels=True, incl_remainder=True)
    assert labels == [*model.all_head_labels(), "remainder"]
    assert_close(heads.sum(0), final)
    neurons = cache.stack_neuron_results(layer=n_layers, incl_remainder=True)
    assert len(neurons) == 7 * n_layers + 1
    assert_close(neurons.sum(0), final)
    full = cache.get_full_resid_decomposition(expand_neurons=True)
    assert_close(full.sum(0), final)
    coarse = cache.get_full_resid_decomposition(expand_neurons=False)
    assert_close(coarse.sum(0), final)


def test_head_results_from_the_cache_are_those_of_the_hook():
    model = random_model(n_layers=2)
    with torch.no_grad():
        from_z = model.run_with_cache(TOKENS)[1].stack_head_results()
        model.set_use_attn_result(True)
        cache = model.run_with_cache(TOKENS)[1]
    hooked = torch.cat([cache["result", layer].movedim(2, 0) for layer in range(2)])
    assert_close(from_z, hooked)


def test_the_last_accumulated_stream_reads_as_the_logits():
    model, logits, cache = run()
    streams, labels = cache.accumulated_resid(return_labels=True, apply_ln=True)
    assert labels[-1] == "final_post"
    assert_close(model.unembed(streams[-1]), logits)
    assert not torch.allclose(model.unembed(streams[0]), logits)
    middle = cache.accumulated_resid(layer=1, incl_mid=True, mlp_input=True)
    assert_close(middle[-1], cache["resid_mid", 1])


def test_logit_attributions_are_products_with_columns_of_the_unembedding():
    model, logits, cache = run()
    parts = cache.decompose_resid(pos_slice=-1)
    correct = TOKENS.sum(dim=1) % 5
    wrong = (correct + 1) % 5
    attributions = cache.logit_attrs(parts, tokens=correct, incorrect_tokens=wrong, pos_slice=-1)
    rows = torch.arange(len(TOKENS))
    difference = (logits - model.b_U)[rows, -1, correct] - (logits - model.b_U)[rows, -1, wrong]
    assert_close(attributions.sum(0), difference.detach())
    one = cache.logit_attrs(parts, tokens=3, pos_slice=-1)
    assert_close(one, parts @ model.W_U[:, 3].detach())


@pytest.mark.parametrize("mlp_input", [False, True])
@pytest.mark.parametrize("layer", [0, 1])
def test_accumulated_biases_are_what_zero_weights_leave_in_the_stream(layer, mlp_input):
    source = random_model(n_layers=2).state_dict()
    zeroed = {n: v if n.endswith(("b_O", "b_out")) else 0 * v for n, v in source.items()}
    model = HookedTransformer.from_parameters(make_spec(n_layers=2), zeroed)
    with torch.no_grad():
        _, cache = model.run_with_cache(TOKENS[:1])
    stream = cache["resid_mid" if mlp_input else "resid_pre", layer][0, 0]
    assert_close(model.accumulated_bias(layer, mlp_input=mlp_input).detach(), stream)
    attention_only = model.accumulated_bias(layer, mlp_input, include_mlp_biases=False)
    assert_close(attention_only, model.b_O[: layer + mlp_input].sum(0))


@pytest.mark.parametrize(("tokens", "shape"), [(2, ()), (torch.tensor([1, 4]), (2,))])
def test_residual_directions_are_columns_of_the_unembedding(tokens, shape):
    model = random_model()
    directions = model.tokens_to_residual_directions(tokens)
    assert directions.shape == (*shape, 10)
    assert torch.equal(directions, model.W_U.T[tokens])
