import math

import numpy as np
import pytest
import torch

from grokinterp.circuits import Snapshot
from grokinterp.circuits.attention import fit_attention, logits_of_patterns
from grokinterp.models import ModelSpec
from tests import planted
from tests.tolerances import CHAINED64, FLOAT32


def snapshot_with_pattern(p, to_a, to_b, operation="addition"):
    """A snapshot whose heads attend to a and b by these functions of the two indices."""
    parts = planted.split(p, operation)
    snapshot = planted.snapshot(planted.noise(parts.task.n_pairs, p), parts)
    n = parts.task.cyclic_view.order
    i, j = torch.meshgrid(torch.arange(n).double(), torch.arange(n).double(), indexing="ij")
    pattern = torch.zeros(parts.task.n_pairs, len(to_a), 3, dtype=torch.float64)
    for head, functions in enumerate(zip(to_a, to_b, strict=True)):
        for position, function in enumerate(functions):
            values = torch.as_tensor(function(i, j)).expand(n, n)
            pattern[snapshot.pair_rows, head, position] = values.flatten()
    pattern[:, :, 2] = 0.01
    return planted.with_activations(snapshot, pattern=pattern)


def wave(p, k, of="a", phase=0.4, size=0.3):
    index = {"a": 0, "b": 1}[of]
    return lambda *ij: 0.5 + size * torch.cos(2 * math.pi * k * ij[index] / p + phase)


@pytest.mark.parametrize("p", [3, 12, 13, 59])
@pytest.mark.parametrize("place", ["lowest", "middle", "highest"])
def test_a_planted_frequency_is_found_with_all_of_its_variance(p, place):
    k = planted.frequency_at(place, p)
    snapshot = snapshot_with_pattern(p, [wave(p, k)], [wave(p, k, "b", phase=1.0)])
    fit = fit_attention(snapshot)
    assert fit.frequencies == ((k,),)
    assert fit.fraction_explained == pytest.approx((1.0,), **CHAINED64)
    assert fit.pattern.numpy() == pytest.approx(
        snapshot.pattern[snapshot.pair_rows].numpy(), **CHAINED64
    )


def test_a_wave_of_the_sum_is_no_wave_of_either_token():
    p, k = 13, 4
    of_sum = lambda i, j: 0.5 + 0.3 * torch.cos(2 * math.pi * k * (i + j) / p)  # noqa: E731
    fit = fit_attention(snapshot_with_pattern(p, [of_sum], [of_sum]))
    assert fit.fraction_explained == pytest.approx((0.0,), abs=1e-12)


def test_every_head_has_its_own_frequency_and_a_constant_one_has_none():
    p = 13
    flat = lambda i, j: torch.tensor(0.4, dtype=torch.float64)  # noqa: E731
    snapshot = snapshot_with_pattern(p, [wave(p, 5), flat], [wave(p, 5, "b"), flat])
    fit = fit_attention(snapshot)
    assert fit.frequencies == ((5,), ())
    assert math.isnan(fit.fraction_explained[1])
    assert fit.mean_pattern[1].tolist() == pytest.approx([0.4, 0.4, 0.01])


def test_a_head_of_two_frequencies_is_explained_by_both_and_by_the_stronger_in_part():
    p = 13
    both = lambda i, j: wave(p, 2, size=0.2)(i, j) + wave(p, 6, size=0.1)(i, j)  # noqa: E731
    flat = lambda i, j: torch.tensor(0.4, dtype=torch.float64)  # noqa: E731
    snapshot = snapshot_with_pattern(p, [both], [flat])
    single = fit_attention(snapshot)
    assert single.frequencies == ((2,),)
    # The powers of the two waves are as the squares of their sizes.
    assert single.fraction_explained == pytest.approx((4 / 5,), **CHAINED64)
    together = fit_attention(snapshot, [6, 2])
    assert together.frequencies == ((2, 6),)
    assert together.fraction_explained == pytest.approx((1.0,), **CHAINED64)
    assert fit_attention(snapshot, [3]).fraction_explained == pytest.approx((0.0,), abs=1e-12)


def test_multiplication_is_fitted_in_discrete_logarithms():
    p, n = 13, 12
    snapshot = snapshot_with_pattern(p, [wave(n, 5)], [wave(n, 5, "b")], "multiplication")
    assert fit_attention(snapshot).frequencies == ((5,),)
    assert fit_attention(snapshot).fraction_explained == pytest.approx((1.0,), **CHAINED64)


def random_network(p=11):
    spec = ModelSpec(d_model=16, n_heads=3, d_head=5, d_mlp=24)
    parts = planted.split(p)
    return Snapshot.from_parameters(planted.random_parameters(spec, p), parts, spec)


def test_the_true_patterns_give_the_logits_of_the_network():
    snapshot = random_network()
    true = snapshot.pattern[snapshot.pair_rows]
    logits = logits_of_patterns(snapshot, true)
    assert logits.numpy() == pytest.approx(snapshot.logits[snapshot.pair_rows].numpy(), **FLOAT32)
    other = logits_of_patterns(snapshot, true.flip(2))
    assert np.abs((other - logits).numpy()).max() > 0.1
