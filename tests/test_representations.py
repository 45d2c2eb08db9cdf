import math

import numpy as np
import pytest
import torch

from grokinterp.spectra import (
    cyclic_harmonics,
    fourier_basis,
    power_by_frequency,
    symmetric_harmonics,
    symmetric_representations,
)
from grokinterp.tasks import composition_table, permutations
from tests import planted
from tests.tolerances import EXACT64

DEGREES = [2, 3, 4, 5]


def cycle_type(permutation):
    left, lengths = set(range(len(permutation))), []
    while left:
        start = at = left.pop()
        length = 1
        while (at := permutation[at]) != start:
            left.discard(at)
            length += 1
        lengths.append(length)
    return tuple(sorted(lengths, reverse=True))


@pytest.mark.parametrize(
    ("degree", "dimensions", "names"),
    [
        (2, [1, 1], ["trivial", "sign"]),
        (3, [1, 2, 1], ["trivial", "standard", "sign"]),
        (4, [1, 3, 2, 3, 1], ["trivial", "standard", "2d", "standard_sign", "sign"]),
        (
            5,
            [1, 4, 5, 6, 5, 4, 1],
            ["trivial", "standard", "5d_b", "6d", "5d_a", "standard_sign", "sign"],
        ),
    ],
)
def test_dimensions_are_the_known_ones_and_their_squares_add_up(degree, dimensions, names):
    found = symmetric_representations(degree)
    assert [r.dimension for r in found] == dimensions
    assert [r.name for r in found] == names
    assert sum(d * d for d in dimensions) == math.factorial(degree)


@pytest.mark.parametrize("degree", DEGREES)
def test_the_matrix_of_a_composition_is_the_product_of_the_matrices(degree):
    table = torch.tensor(composition_table(degree))
    for r in symmetric_representations(degree):
        products = torch.einsum("aij,bjk->abik", r.matrices, r.matrices)
        assert float((products - r.matrices[table]).abs().max()) < EXACT64["abs"]
        # In the other order only one-dimensional representations agree.
        other = float((products - r.matrices[table.T]).abs().max())
        assert other < EXACT64["abs"] if r.dimension == 1 else other > 0.1


@pytest.mark.parametrize("degree", DEGREES)
def test_matrix_elements_are_orthogonal_and_matrices_too(degree):
    n = math.factorial(degree)
    basis = symmetric_harmonics(degree).basis
    assert (basis @ basis.T).numpy() == pytest.approx(np.eye(n), **EXACT64)
    for r in symmetric_representations(degree):
        identity = torch.einsum("gij,gkj->gik", r.matrices, r.matrices)
        assert identity.numpy() == pytest.approx(
            np.broadcast_to(np.eye(r.dimension), identity.shape), **EXACT64
        )


@pytest.mark.parametrize("degree", DEGREES)
def test_characters_are_orthogonal_and_equal_on_a_conjugacy_class(degree):
    characters = symmetric_harmonics(degree).characters
    n = math.factorial(degree)
    gram = characters @ characters.T / n
    assert gram.numpy() == pytest.approx(np.eye(len(characters)), **EXACT64)
    by_class = {}
    for element, row in enumerate(permutations(degree)):
        by_class.setdefault(cycle_type(row.tolist()), []).append(element)
    assert len(by_class) == len(characters)
    for members in by_class.values():
        spread = characters[:, members].amax(dim=1) - characters[:, members].amin(dim=1)
        assert float(spread.max()) < 1e-12


# Fulton & Harris, "Representation theory", sections 2.3 and 3.1; columns by cycle type.
CHARACTER_TABLES = {
    3: {
        "classes": [(1, 1, 1), (2, 1), (3,)],
        "trivial": [1, 1, 1],
        "sign": [1, -1, 1],
        "standard": [2, 0, -1],
    },
    4: {
        "classes": [(1, 1, 1, 1), (2, 1, 1), (3, 1), (4,), (2, 2)],
        "trivial": [1, 1, 1, 1, 1],
        "sign": [1, -1, 1, -1, 1],
        "standard": [3, 1, 0, -1, -1],
        "standard_sign": [3, -1, 0, 1, -1],
        "2d": [2, 0, -1, 0, 2],
    },
    5: {
        "classes": [
            (1, 1, 1, 1, 1),
            (2, 1, 1, 1),
            (3, 1, 1),
            (4, 1),
            (5,),
            (2, 2, 1),
            (3, 2),
        ],
        "trivial": [1, 1, 1, 1, 1, 1, 1],
        "sign": [1, -1, 1, -1, 1, 1, -1],
        "standard": [4, 2, 1, 0, -1, 0, -1],
        "standard_sign": [4, -2, 1, 0, -1, 0, 1],
        "6d": [6, 0, 0, 0, 1, -2, 0],
        "5d_b": [5, 1, -1, -1, 0, 1, 1],
        "5d_a": [5, -1, -1, 1, 0, 1, -1],
    },
}


@pytest.mark.parametrize("degree", CHARACTER_TABLES)
def test_characters_are_those_of_the_published_table(degree):
    table = dict(CHARACTER_TABLES[degree])
    harmonics = symmetric_harmonics(degree)
    types = [cycle_type(row.tolist()) for row in permutations(degree)]
    one_of_each = [types.index(kind) for kind in table.pop("classes")]
    assert set(table) == set(harmonics.names)
    for name, expected in table.items():
        character = harmonics.characters[harmonics.names.index(name)]
        assert character[one_of_each].tolist() == pytest.approx(expected, **EXACT64)


def test_the_letters_of_s5_are_those_of_the_published_results():
    # Traces of the published code's matrices at the transposition (0 1): 5d_a has -1, 5d_b +1.
    transposition = permutations(5).tolist().index([1, 0, 2, 3, 4])
    found = {r.name: r for r in symmetric_representations(5)}
    assert found["5d_a"].partition == (2, 2, 1) and found["5d_b"].partition == (3, 2)
    traces = [float(found[name].character[transposition]) for name in ("5d_a", "5d_b")]
    assert traces == pytest.approx([-1, 1], **EXACT64)


@pytest.mark.parametrize("degree", [3, 4, 5])
def test_the_standard_representation_is_permutations_without_their_mean(degree):
    # Its character is the number of fixed points minus one.
    harmonics = symmetric_harmonics(degree)
    fixed = (permutations(degree) == np.arange(degree)).sum(axis=1) - 1
    character = harmonics.characters[harmonics.names.index("standard")]
    assert character.numpy() == pytest.approx(fixed, **EXACT64)


@pytest.mark.parametrize("degree", DEGREES)
def test_power_is_kept_and_shared_out_among_the_representations(degree):
    n = math.factorial(degree)
    values = planted.noise(n, 3)
    power = symmetric_harmonics(degree).power(values)
    centered = values - values.mean(dim=0)
    assert float(power.sum()) == pytest.approx(float(centered.square().sum()), **EXACT64)
    # One matrix element alone has all its power in its own representation.
    for number, r in enumerate(symmetric_representations(degree)):
        if number:
            alone = symmetric_harmonics(degree).power(r.matrices[:, 0, -1])
            assert float(alone[number - 1]) == pytest.approx(n / r.dimension, **EXACT64)
            assert float(alone.sum()) == pytest.approx(n / r.dimension, **EXACT64)


@pytest.mark.parametrize("n", [2, 3, 12, 13, 59])
def test_cyclic_harmonics_are_the_fourier_basis_with_its_cosines(n):
    harmonics = cyclic_harmonics(n)
    assert torch.equal(harmonics.basis, fourier_basis(n))
    assert (harmonics.n_components, harmonics.names) == (n // 2, None)
    values = planted.noise(n, 4)
    assert harmonics.power(values).numpy() == pytest.approx(
        power_by_frequency(values).numpy(), **EXACT64
    )
    k = n // 2
    expected = np.cos(2 * np.pi * k * np.arange(n) / n)
    assert harmonics.characters[k].numpy() == pytest.approx(expected, abs=1e-12)
    assert (harmonics.waves(torch.tensor([k])) == fourier_basis(n)[harmonics.component == k]).all()
