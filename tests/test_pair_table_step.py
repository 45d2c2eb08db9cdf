"""The exact fast step against autograd through the transformer's forward pass."""

import dataclasses
import math

import pytest
import torch

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.initialization import initial_parameters, is_bias, is_trained
from grokinterp.models.pair_tables import forward_pairs, pair_logits
from grokinterp.models.transformer import transformer_logits
from grokinterp.runs.network import Network
from grokinterp.tasks import Task, TaskSpec, draw_split
from grokinterp.training import kernel_choice, pair_table_step, token_mixes
from grokinterp.training.pair_table_step import (
    PairTableEvaluation,
    PairTableStep,
    why_no_pair_tables,
)
from grokinterp.training.step import AutogradStep, ForwardEvaluation

# Algebra in float64 with sums of some thousand terms in another order.
EXACT64 = {"rtol": 1e-9, "atol": 1e-13}


def float64_parameters(spec, p):
    """Random weights with biases that are not zero, so that every gradient is tested."""
    generator = torch.Generator().manual_seed(7)
    parameters = initial_parameters(spec, **spec.vocabulary_sizes(p))
    return {
        name: (
            torch.randn(value.shape, generator=generator, dtype=torch.float64) * 0.3
            if is_bias(name)
            else value.double()
        ).requires_grad_(is_trained(name, spec))
        for name, value in parameters.items()
    }


def batch(p, operation="addition"):
    task = Task(TaskSpec(p=p, operation=operation, train_fraction=0.5))
    rows = draw_split(task).train
    return torch.tensor(task.pairs[rows]), torch.tensor(task.labels[rows])


WAYS = {"dense products": False, "embedding bags": False, "kernels compiled by numba": None}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Each way of reading tokens that this machine has, the batch in parts of 100 pairs."""
    if request.param.startswith("dense"):
        monkeypatch.setattr(token_mixes, "_has_sampled_products", lambda: False)
    monkeypatch.setattr(pair_table_step, "PAIRS_AT_A_TIME", 100)
    return request.param


@pytest.fixture
def fast_step(way):
    """Build the fast step that reads tokens in this way."""

    def build(*arguments, **named):
        step = PairTableStep(*arguments, with_numba=WAYS[way], **named)
        if way not in step.name:
            pytest.skip(f"no {way} here (the extra fast, or a torch that has them)")
        return step

    return build


def autograd_step(parameters, spec, p, loss_dtype="float64", loss="cross_entropy"):
    network = Network(spec, Task(TaskSpec(p=p)))
    return AutogradStep(parameters, network, *batch(p), loss_dtype, loss)


@pytest.mark.parametrize("p", [2, 3, 12, 13, 59])
@pytest.mark.parametrize("biases", ["mlp", "none", "all"])
@pytest.mark.parametrize("loss_dtype", ["float64", "float32"])
def test_every_gradient_of_the_fast_step_is_that_of_autograd(p, biases, loss_dtype, fast_step):
    spec = ModelSpec(d_model=24, n_heads=3, d_head=8, d_mlp=40, biases=biases)
    parameters = float64_parameters(spec, p)
    tolerance = EXACT64 if loss_dtype == "float64" else {"rtol": 1e-4, "atol": 1e-8}
    reference = autograd_step(parameters, spec, p, loss_dtype)
    expected_loss = reference.loss_and_gradients().item()
    expected = {n: v.grad.clone() for n, v in parameters.items() if v.grad is not None}
    loss = fast_step(parameters, spec, *batch(p), loss_dtype).loss_and_gradients().item()

    assert loss == pytest.approx(expected_loss, rel=1e-12 if loss_dtype == "float64" else 1e-6)
    assert set(expected) == {n for n in parameters if is_trained(n, spec)}
    for name, gradient in expected.items():
        torch.testing.assert_close(parameters[name].grad, gradient, **tolerance, msg=name)
        # The fused optimizers read memory and do not look at strides.
        assert parameters[name].grad.stride() == parameters[name].stride(), name


@pytest.mark.parametrize(
    "fields",
    [{"outputs": "tokens"}, {"positions": "sinusoidal"}, {"positions": "none", "biases": "all"}],
    ids=str,
)
def test_other_outputs_and_positions_take_the_fast_step_with_the_same_gradients(fields, fast_step):
    spec = ModelSpec(d_model=24, n_heads=3, d_head=8, d_mlp=40, **fields)
    assert why_no_pair_tables(spec) is None
    parameters = float64_parameters(spec, 13)
    n_outputs = 14 if "outputs" in fields else 13
    assert parameters["unembed.W_U"].shape == (24, n_outputs)
    expected_loss = autograd_step(parameters, spec, 13).loss_and_gradients().item()
    expected = {n: v.grad.clone() for n, v in parameters.items() if v.grad is not None}
    loss = fast_step(parameters, spec, *batch(13), "float64").loss_and_gradients().item()
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert ("pos_embed.W_pos" in expected) == ("positions" not in fields)
    for name, value in parameters.items():
        assert (value.grad is None) == (name not in expected), name
        if value.grad is not None:
            torch.testing.assert_close(value.grad, expected[name], **EXACT64, msg=name)


def test_the_comparison_notices_a_single_wrong_weight():
    spec = ModelSpec(d_model=24, n_heads=3, d_head=8, d_mlp=40)
    parameters = float64_parameters(spec, 13)
    autograd_step(parameters, spec, 13).loss_and_gradients()
    expected = parameters["blocks.0.attn.W_K"].grad.clone()
    with torch.no_grad():
        parameters["blocks.0.attn.W_Q"][0, 0, 0] += 1e-6
    PairTableStep(parameters, spec, *batch(13), "float64").loss_and_gradients().item()
    with pytest.raises(AssertionError):
        torch.testing.assert_close(parameters["blocks.0.attn.W_K"].grad, expected, **EXACT64)


def test_what_is_too_small_for_a_normal_number_does_not_slow_the_products(fast_step):
    spec = ModelSpec(d_model=24, n_heads=3, d_head=8, d_mlp=40)
    parameters = {
        name: value.detach().float().requires_grad_(value.requires_grad)
        for name, value in float64_parameters(spec, 13).items()
    }
    with torch.no_grad():
        parameters["unembed.W_U"] *= 60
    step = fast_step(parameters, spec, *batch(13), "float64")
    step.loss_and_gradients()
    smallest = torch.finfo(torch.float32).smallest_normal
    exact = torch.softmax(step._batch.way.logits.double(), -1).float()
    assert ((exact > 0) & (exact < smallest)).any(), "the logits are too close to try it"
    sizes = step._batch.way.d_logits.abs()
    assert not ((sizes > 0) & (sizes < smallest)).any()
    assert ((sizes > smallest) & (sizes < 100 * smallest)).any(), "normal numbers went too"


@pytest.mark.parametrize("act_fn", ["relu", "gelu"])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_activations_on_pairs_are_those_of_the_transformer(n_layers, act_fn):
    spec = ModelSpec(
        n_layers=n_layers, d_model=24, n_heads=3, d_head=8, d_mlp=40, act_fn=act_fn, biases="all"
    )
    parameters = float64_parameters(spec, 13)
    pairs, _ = batch(13)
    kept = {}

    def keep(name, activation):
        kept[name] = activation
        return activation

    tokens = torch.cat([pairs, torch.full_like(pairs[:, :1], 13)], dim=1)
    logits = transformer_logits(parameters, tokens, spec, keep)[:, -1]
    result = forward_pairs(parameters, spec, pairs)
    prefix = f"blocks.{n_layers - 1}."
    torch.testing.assert_close(result.logits, logits, **EXACT64)
    torch.testing.assert_close(result.neurons, kept[prefix + "mlp.hook_post"][:, -1], **EXACT64)
    torch.testing.assert_close(
        result.pattern, kept[prefix + "attn.hook_pattern"][:, :, -1], **EXACT64
    )


@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("p", [13, 59])
def test_logits_in_parts_are_those_of_one_pass(n_layers, p):
    spec = ModelSpec(n_layers=n_layers, d_model=24, n_heads=3, d_head=8, d_mlp=40)
    parameters = float64_parameters(spec, p)
    pairs, _ = batch(p)
    assert (len(pairs) > 1024) == (p == 59)
    whole = forward_pairs(parameters, spec, pairs).logits
    torch.testing.assert_close(pair_logits(parameters, spec, pairs), whole, **EXACT64)


@pytest.mark.parametrize("loss", ["mse", "stable_max"])
def test_the_fast_step_follows_every_loss(loss, fast_step):
    spec = ModelSpec(d_model=24, n_heads=3, d_head=8, d_mlp=40)
    parameters = float64_parameters(spec, 13)
    expected_loss = autograd_step(parameters, spec, 13, loss=loss).loss_and_gradients().item()
    expected = {n: v.grad.clone() for n, v in parameters.items() if v.grad is not None}
    step = fast_step(parameters, spec, *batch(13), "float64", loss)
    assert step.loss_and_gradients().item() == pytest.approx(expected_loss, rel=1e-12)
    for name, gradient in expected.items():
        torch.testing.assert_close(parameters[name].grad, gradient, **EXACT64, msg=name)


def test_a_network_that_diverges_shows_it_in_the_loss(fast_step):
    spec = ModelSpec(d_model=24, n_heads=3, d_head=8, d_mlp=40)
    parameters = float64_parameters(spec, 13)
    with torch.no_grad():
        parameters["blocks.0.mlp.W_in"][0, 0] = torch.nan
    assert math.isnan(fast_step(parameters, spec, *batch(13), "float64").loss_and_gradients())


def test_the_accuracy_is_that_of_all_parts(fast_step):
    spec = ModelSpec(d_model=24, n_heads=3, d_head=8, d_mlp=40)
    parameters = float64_parameters(spec, 59)
    step = fast_step(parameters, spec, *batch(59), "float64")
    step.loss_and_gradients()
    pairs, labels = batch(59)
    expected = (pair_logits(parameters, spec, pairs).argmax(-1) == labels).double().mean().item()
    assert step.accuracy().item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "stable_max"])
def test_the_fast_test_is_that_of_the_forward_pass(loss, way):
    spec = ModelSpec(d_model=24, n_heads=3, d_head=8, d_mlp=40)
    parameters = float64_parameters(spec, 59)
    network = Network(spec, Task(TaskSpec(p=59)))
    general = ForwardEvaluation(parameters, network, *batch(59), "float64", loss)
    fast = PairTableEvaluation(parameters, spec, *batch(59), "float64", loss, with_numba=WAYS[way])
    of_fast, of_general = torch.stack(fast.loss_and_accuracy()), general.loss_and_accuracy()
    torch.testing.assert_close(of_fast, torch.stack(of_general), rtol=1e-12, atol=0)


def test_only_one_layer_of_relu_neurons_takes_the_fast_step_and_the_others_say_why():
    assert why_no_pair_tables(ModelSpec()) is None
    assert "n_layers=2" in why_no_pair_tables(ModelSpec(n_layers=2))
    assert why_no_pair_tables(dataclasses.replace(ModelSpec(), act_fn="gelu")) == "act_fn=gelu"
    assert why_no_pair_tables(ModelSpec(), dropout=0.1) == "dropout=0.1"
    normalized = ModelSpec(normalization="LN", tied_embeddings=True, attention_rate=0.5)
    reasons = "attention_rate=0.5, normalization=LN, tied_embeddings=True"
    assert why_no_pair_tables(normalized) == reasons
    assert why_no_pair_tables(MlpSpec()) == "a multilayer perceptron"


def test_the_fast_step_gives_the_same_bits_twice(fast_step):
    spec = ModelSpec()
    gradients = []
    for _ in range(2):
        parameters = {
            n: v.requires_grad_(is_trained(n, spec))
            for n, v in initial_parameters(spec, d_vocab=60, n_ctx=3, d_vocab_out=59).items()
        }
        fast_step(parameters, spec, *batch(59), "float64").loss_and_gradients()
        gradients.append({n: v.grad for n, v in parameters.items() if v.grad is not None})
    assert all(torch.equal(gradients[0][n], gradients[1][n]) for n in gradients[0])


@pytest.mark.parametrize(
    ("is_installed", "has_team", "n_threads", "device", "asked", "expected"),
    [
        (True, True, 2, "cpu", None, True),
        (True, True, 2, "cpu", False, False),
        (True, True, 2, "meta", None, False),
        (False, True, 2, "cpu", None, False),
        (True, False, 2, "cpu", None, False),
        (True, False, 1, "cpu", None, True),
    ],
)
def test_kernels_are_taken_where_they_run_on_all_of_torchs_threads(
    is_installed, has_team, n_threads, device, asked, expected, monkeypatch
):
    monkeypatch.setattr(kernel_choice, "has_numba", lambda: is_installed)
    monkeypatch.setattr(kernel_choice, "openmp", lambda: object() if has_team else None)
    monkeypatch.setattr(torch, "get_num_threads", lambda: n_threads)
    assert kernel_choice.takes_kernels(torch.device(device), asked) is expected
