import math

import numpy as np
import pytest
import torch

from grokinterp.errors import ConfigError
from grokinterp.spectra import (
    component_frequencies,
    component_norms,
    difference_rows,
    effective_rank,
    fourier_basis,
    gini,
    group_means,
    n_frequencies,
    norms_by_frequency,
    power_by_frequency,
    shares,
    sum_rows,
    to_fourier,
)
from tests import planted
from tests.tolerances import EXACT64

ORDERS = [*range(2, 21), 59, 112, 113]


@pytest.mark.parametrize("n", ORDERS)
def test_basis_is_orthonormal_with_exactly_n_rows(n):
    basis = fourier_basis(n)
    assert basis.shape == (n, n)
    gram = basis @ basis.T
    assert float((gram - torch.eye(n, dtype=torch.float64)).abs().max()) < EXACT64["abs"]


@pytest.mark.parametrize("n", [2, 4, 12, 112])
def test_highest_frequency_of_an_even_order_is_one_alternating_row(n):
    assert component_frequencies(n).tolist().count(n // 2) == 1
    assert (fourier_basis(n)[-1] * math.sqrt(n)).tolist() == pytest.approx(
        [(-1) ** x for x in range(n)], **EXACT64
    )


@pytest.mark.parametrize("n", [3, 13, 113])
def test_highest_frequency_of_an_odd_order_has_a_cosine_and_a_sine(n):
    assert component_frequencies(n).tolist().count(n // 2) == 2


def test_rows_are_the_named_waves():
    n, x = 13, np.arange(13)
    basis = fourier_basis(n).numpy()
    assert basis[0] == pytest.approx(np.full(n, 1 / math.sqrt(n)), **EXACT64)
    for k in range(1, 7):
        norm = math.sqrt(2 / n)
        assert basis[2 * k - 1] == pytest.approx(norm * np.cos(2 * np.pi * k * x / n), **EXACT64)
        assert basis[2 * k] == pytest.approx(norm * np.sin(2 * np.pi * k * x / n), **EXACT64)


def test_order_below_two_is_refused():
    with pytest.raises(ConfigError, match="n=1 has no Fourier basis"):
        fourier_basis(1)


def test_a_caller_cannot_change_the_basis_of_the_next_one():
    fourier_basis(7).zero_()
    assert fourier_basis(7).abs().sum() > 1


@pytest.mark.parametrize("n", [2, 3, 12, 13, 59])
def test_transform_agrees_with_a_complex_fft(n):
    values = planted.noise(n, 5)
    spectrum = np.fft.rfft(values.numpy(), axis=0)
    power = 2 * (np.abs(spectrum) ** 2).sum(axis=1) / n
    if n % 2 == 0:
        power[-1] /= 2
    assert power_by_frequency(values).numpy() == pytest.approx(power[1:], **EXACT64)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_transform_keeps_the_sum_of_squares_on_every_axis(dim):
    values = planted.noise(6, 7, 8)
    transformed = to_fourier(values, dim)
    assert transformed.shape == values.shape
    assert float(transformed.norm()) == pytest.approx(float(values.norm()), **EXACT64)


def test_transform_along_the_wrong_axis_differs():
    values = planted.noise(7, 7)
    assert not torch.allclose(to_fourier(values, 0), to_fourier(values, 1))


@pytest.mark.parametrize("n", [2, 3, 12, 13, 59, 113])
@pytest.mark.parametrize("place", ["lowest", "middle", "highest"])
def test_a_pure_wave_has_all_its_power_at_its_frequency(n, place):
    k = planted.frequency_at(place, n)
    wave = torch.cos(2 * math.pi * k * torch.arange(n, dtype=torch.float64) / n + 0.3)
    fractions = shares(power_by_frequency(wave))
    assert float(fractions[k - 1]) == pytest.approx(1, **EXACT64)
    assert len(fractions) == n_frequencies(n)


def test_the_constant_has_no_frequency():
    values = planted.noise(13, 4)
    shifted = power_by_frequency(values + 5)
    assert shifted.numpy() == pytest.approx(power_by_frequency(values).numpy(), **EXACT64)
    assert float(component_norms(values + 5)[0]) > float(component_norms(values)[0])


def test_norm_by_frequency_joins_cosine_sine_and_columns():
    n, x = 13, torch.arange(13, dtype=torch.float64)
    angle = 2 * math.pi * 4 * x / n
    embedding = torch.stack([3 * angle.cos(), 4 * angle.sin()], dim=1)
    # Each wave of amplitude A has norm A sqrt(n/2).
    expected = 5 * math.sqrt(n / 2)
    assert float(norms_by_frequency(embedding)[3]) == pytest.approx(expected, **EXACT64)


@pytest.mark.parametrize("n", [2, 3, 12, 13])
def test_sum_rows_and_difference_rows_partition_the_pairs(n):
    for rows, sign in ((sum_rows(n), 1), (difference_rows(n), -1)):
        assert sorted(rows.flatten().tolist()) == list(range(n * n))
        i, j = rows // n, rows % n
        assert ((i + sign * j) % n == torch.arange(n)[:, None]).all()
    assert (sum_rows(n) // n == torch.arange(n)).all()


def test_group_means_are_means_of_the_named_rows():
    values = planted.noise(9, 2)
    means = group_means(values, sum_rows(3))
    expected = torch.stack([values[rows].mean(0) for rows in sum_rows(3)])
    assert means.numpy() == pytest.approx(expected.numpy(), **EXACT64)


@pytest.mark.parametrize("n", [2, 5, 113])
def test_gini_of_one_component_is_one_minus_one_over_n_and_of_equal_ones_zero(n):
    assert gini(torch.eye(n)[n // 2]) == pytest.approx(1 - 1 / n, **EXACT64)
    assert gini(torch.full((n,), 0.7)) == pytest.approx(0, **EXACT64)


def test_gini_is_half_the_relative_mean_difference():
    x = planted.noise(50).abs()
    expected = float((x[:, None] - x).abs().sum() / (2 * len(x) ** 2 * x.mean()))
    assert gini(x) == pytest.approx(expected, **EXACT64)
    assert gini(x**2) > 1.1 * expected


def test_gini_does_not_depend_on_scale_or_order():
    x = planted.noise(20).abs()
    assert gini(1e200 * x.flip(0)) == pytest.approx(gini(x), **EXACT64)


def test_gini_and_effective_rank_of_zeros_are_nan():
    assert math.isnan(gini(torch.zeros(5)))
    assert math.isnan(effective_rank(torch.zeros(5, 3)))


@pytest.mark.parametrize("rank", [1, 2, 6])
def test_effective_rank_of_equally_strong_directions_is_their_number(rank):
    left = torch.linalg.qr(planted.noise(9, 9)).Q[:, :rank]
    right = torch.linalg.qr(planted.noise(6, 6, seed=1)).Q[:, :rank]
    for matrix in (left @ right.T, right @ left.T * 1e30):
        assert effective_rank(matrix) == pytest.approx(rank, rel=1e-6)


def test_effective_rank_is_the_entropy_of_squared_singular_values():
    s2 = torch.tensor([9.0, 4.0, 1.0], dtype=torch.float64)
    q = s2 / s2.sum()
    expected = math.exp(-float((q * q.log()).sum()))
    assert effective_rank(s2.sqrt().diag()) == pytest.approx(expected, **EXACT64)
    assert effective_rank(s2.diag()) != pytest.approx(expected, rel=0.1)
