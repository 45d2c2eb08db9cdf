import numpy as np
import pytest
import torch

from grokinterp.circuits.embedding import embedding_spectrum, embedding_through_heads
from tests import planted
from tests.tolerances import CHAINED64, FLOAT32


@pytest.mark.parametrize("p", [13, 31])
def test_a_planted_embedding_has_its_waves_and_nothing_else(p):
    keys = [2, p // 2]
    spectrum = embedding_spectrum(planted.pizza_snapshot(p, keys)).set_index("frequency")
    # cos and sin of amplitude one over p tokens have a squared norm of p / 2 each.
    for k in keys:
        assert spectrum["cosine_norm"][k] == pytest.approx(np.sqrt(p / 2), **FLOAT32)
        assert spectrum["sine_norm"][k] == pytest.approx(np.sqrt(p / 2), **FLOAT32)
        assert spectrum["W_E_norm"][k] == pytest.approx(np.sqrt(p), **FLOAT32)
    assert spectrum.drop(index=keys)["W_E_norm"].to_numpy() == pytest.approx(0, abs=1e-5)
    assert spectrum["through_heads_norm"].nlargest(2).index.tolist() == keys or set(
        spectrum["through_heads_norm"].nlargest(2).index
    ) == set(keys)


def test_the_highest_frequency_of_an_even_order_has_no_sine():
    snapshot = planted.snapshot(planted.noise(144, 12), planted.split(12))
    spectrum = embedding_spectrum(snapshot)
    assert spectrum["sine_norm"].isna().tolist() == [False] * 5 + [True]
    assert spectrum["W_E_norm"][5] == pytest.approx(spectrum["cosine_norm"][5])


@pytest.mark.parametrize(("operation", "p"), [("addition", 7), ("multiplication", 7)])
def test_what_reaches_the_neurons_is_the_sum_over_heads_of_the_product(operation, p):
    parts = planted.split(p, operation)
    snapshot = planted.snapshot(planted.noise(parts.task.n_pairs, p), parts)
    W_E, W_in = (snapshot.weight(name).double() for name in ("W_E", "W_in"))
    W_V, W_O = (snapshot.weight(name).double() for name in ("W_V", "W_O"))
    for row, token in enumerate(parts.task.cyclic_view.class_tokens):
        expected = sum(((W_E[token] @ v) @ o) @ W_in for v, o in zip(W_V, W_O, strict=True))
        found = embedding_through_heads(snapshot)[row]
        assert found.numpy() == pytest.approx(torch.as_tensor(expected).numpy(), **CHAINED64)


def test_a_wave_of_discrete_logarithms_is_one_frequency_of_multiplication():
    parts = planted.split(31, "multiplication")
    snapshot = planted.snapshot(planted.noise(31 * 31, 31), parts)
    tokens = torch.tensor(parts.task.cyclic_view.class_tokens)
    wave = torch.cos(2 * torch.pi * 4 * torch.arange(30) / 30)
    snapshot.parameters["embed.W_E"][tokens] = torch.outer(wave, torch.ones(6))
    norms = embedding_spectrum(snapshot).set_index("frequency")["W_E_norm"]
    assert norms[4] == pytest.approx(np.sqrt(15 * 6), **FLOAT32)
    assert norms.drop(index=4).to_numpy() == pytest.approx(0, abs=1e-5)
