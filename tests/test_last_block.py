import dataclasses

import pytest
import torch

from grokinterp.circuits import Snapshot
from grokinterp.models import ModelSpec
from tests import planted
from tests.tolerances import FLOAT32

SPEC = ModelSpec(d_model=16, n_heads=3, d_head=5, d_mlp=24)


def random_snapshot(n_layers=1, act_fn="relu"):
    spec = dataclasses.replace(SPEC, n_layers=n_layers, act_fn=act_fn)
    parts = planted.split(7)
    return Snapshot.from_parameters(planted.random_parameters(spec, 7), parts, spec)


@pytest.mark.parametrize("act_fn", ["relu", "gelu"])
@pytest.mark.parametrize("n_layers", [1, 2])
def test_an_untouched_block_gives_the_logits_neurons_and_pattern_of_the_network(n_layers, act_fn):
    snapshot = random_snapshot(n_layers, act_fn)
    block = snapshot.last_block
    # Logits are sums in which larger terms cancel.
    size = float(snapshot.logits.abs().max())
    close = {"abs": FLOAT32["rel"] * size}
    assert block.logits().numpy() == pytest.approx(snapshot.logits.numpy(), **close)
    neurons = block.neurons(block.resid_mid)
    assert neurons.numpy() == pytest.approx(snapshot.neurons.numpy(), **FLOAT32)
    assert block.pattern.numpy() == pytest.approx(snapshot.pattern.numpy(), **FLOAT32)


def test_a_pattern_decides_which_values_a_head_writes():
    block = random_snapshot().last_block
    only_b = torch.zeros_like(block.pattern)
    only_b[:, :, 1] = 1
    written = block.heads_with(only_b)
    expected = torch.stack(
        [block.values[:, 1, head] @ block.weights["W_O"][head] for head in range(3)], dim=1
    )
    assert written.numpy() == pytest.approx(expected.numpy(), **FLOAT32)
    # A transposed W_O would fit just as well where d_head equals d_model.
    assert written.numpy() != pytest.approx(block.heads.numpy(), rel=0.1)


@pytest.mark.parametrize(
    "edge", ["around_attention", "attn_out", "mlp_in", "mlp_out", "around_mlp"]
)
def test_every_edge_carries_something(edge):
    block = random_snapshot().last_block
    changed = block.logits(**{edge: torch.zeros_like(block.resid_pre)})
    assert changed.numpy() != pytest.approx(block.logits().numpy(), rel=1e-2)
