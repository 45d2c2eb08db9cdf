"""Initial weights: the published ones, their sizes, and no global randomness."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from grokinterp.models import ModelSpec
from grokinterp.models.initialization import initial_parameters, is_bias, is_trained
from grokinterp.models.pair_tables import forward_pairs
from grokinterp.runs import PRESETS
from grokinterp.tasks import Task, draw_split


def draw(spec, p):
    return initial_parameters(spec, d_vocab=p + 1, n_ctx=3, d_vocab_out=p)


def initial_losses(config):
    task = Task(config.task)
    split = draw_split(task)
    pairs, labels = torch.tensor(task.pairs), torch.tensor(task.labels)
    logits = forward_pairs(draw(config.model, config.task.p), config.model, pairs).logits.double()
    return [
        F.cross_entropy(logits[rows], labels[rows]).item() for rows in (split.train, split.test)
    ]


def test_the_demo_starts_from_the_published_losses():
    train_loss, test_loss = initial_losses(PRESETS["tl_demo"])
    assert f"{train_loss:.4f} {test_loss:.4f}" == "4.7350 4.7333"


def test_another_order_of_drawing_is_another_network():
    """TransformerLens 3.9 draws W_Q, W_O, W_K, W_V and gets 4.7359 / 4.7330: so would a slip."""
    config = PRESETS["tl_demo"]
    parameters = draw(config.model, 113)
    parameters["blocks.0.attn.W_V"], parameters["blocks.0.attn.W_K"] = (
        parameters["blocks.0.attn.W_K"],
        parameters["blocks.0.attn.W_V"],
    )
    task = Task(config.task)
    rows = draw_split(task).train
    pairs, labels = torch.tensor(task.pairs)[rows], torch.tensor(task.labels)[rows]
    loss = F.cross_entropy(forward_pairs(parameters, config.model, pairs).logits.double(), labels)
    assert f"{loss:.4f}" != "4.7350"


@pytest.mark.parametrize(
    ("init", "expected"),
    [("nanda2023", (1 / 64, 1 / 60)), ("tl_demo", (0.64 / 64, 0.64 / 64))],
)
def test_the_variance_of_each_matrix_is_the_stated_one(init, expected):
    parameters = draw(ModelSpec(d_model=64, n_heads=4, d_head=16, d_mlp=256, init=init), 59)
    for name, value in parameters.items():
        if is_bias(name):
            assert not value.any()
            continue
        variance = expected[1] if name == "unembed.W_U" else expected[0]
        # The standard error of a variance over n normal draws is variance * sqrt(2 / n).
        allowed = 5 * variance * math.sqrt(2 / value.numel())
        assert abs(value.square().mean().item() - variance) < allowed, name


def test_torch_defaults_have_the_distributions_of_torch_layers():
    sizes = {"d_model": 64, "n_heads": 4, "d_head": 8, "d_mlp": 256}
    parameters = draw(ModelSpec(**sizes, init="torch_defaults", biases="all"), 59)
    layers = {
        "attn.W_Q": nn.Linear(64, 8),
        "attn.W_O": nn.Linear(32, 64),
        "mlp.W_in": nn.Linear(64, 256),
        "mlp.W_out": nn.Linear(256, 64),
    }
    for name, layer in layers.items():
        value = parameters[f"blocks.0.{name}"]
        bound = layer.weight.abs().max().item()
        # The largest of thousands of uniform draws lies just below the bound.
        assert 0.98 < value.abs().max().item() / bound < 1.02, name
        assert value.abs().mean().item() == pytest.approx(bound / 2, rel=0.05)
    assert parameters["embed.W_E"].std().item() == pytest.approx(1, rel=0.05)
    assert parameters["unembed.W_U"].abs().max().item() < 1 / 8
    assert not parameters["blocks.0.mlp.b_in"].any()


def test_seeds_differ_and_the_global_random_state_is_untouched():
    before = torch.random.get_rng_state()
    first, again = draw(ModelSpec(), 13), draw(ModelSpec(), 13)
    other = draw(ModelSpec(init_seed=1), 13)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embed.W_E"], other["embed.W_E"])


@pytest.mark.parametrize(
    ("biases", "expected"),
    [
        ("none", set()),
        ("mlp", {"blocks.0.mlp.b_in", "blocks.0.mlp.b_out"}),
        (
            "all",
            {f"blocks.0.attn.b_{x}" for x in "QKVO"}
            | {"blocks.0.mlp.b_in", "blocks.0.mlp.b_out", "unembed.b_U"},
        ),
    ],
)
def test_only_the_chosen_biases_are_trained(biases, expected):
    spec = ModelSpec(biases=biases)
    names = draw(spec, 5)
    assert {n for n in names if is_bias(n) and is_trained(n, spec)} == expected
    assert all(is_trained(n, spec) for n in names if not is_bias(n))
