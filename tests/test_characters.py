"""Characters, real representations and harmonics of finite groups."""

from functools import lru_cache

import numpy as np
import pytest
import torch

from grokinterp.groups import (
    FiniteGroup,
    canonical_name,
    character_table,
    isomorphism,
    named_group,
    real_characters,
)
from grokinterp.groups.isomorphism import _names_of
from grokinterp.groups.named import alternating_elements
from grokinterp.groups.permutations import permutations
from grokinterp.spectra import group_harmonics, real_representations, symmetric_representations
from tests.tolerances import CHAINED64

LARGEST_ORDER = 24


@lru_cache(maxsize=1)
def small_groups() -> tuple[str, ...]:
    """Every name of a group of at most 24 elements, one for each isomorphic group."""
    names: dict[str, FiniteGroup] = {}
    for order in range(2, LARGEST_ORDER + 1):
        abelian = [f"C{order}"] + [f"C{m}xC{order // m}" for m in range(2, order) if order % m == 0]
        abelian += ["C2^3"] * (order == 8) + ["C2^4", "C2xC2xC4"] * (order == 16)
        abelian += ["C2xC2xC6"] * (order == 24)
        for name in (*abelian, *_names_of(order)):
            group = named_group(canonical_name(name))
            same = [g for g in names.values() if g.order == order]
            if all(isomorphism(group, other) is None for other in same):
                names[group.name] = group
    return tuple(names)


GROUPS = (*small_groups(), "A5", "S5", "D59", "Aff7")


def test_every_kind_of_small_group_is_tested():
    assert {"quaternion", "cyclic(2) x cyclic(4)", "alternating(4)", "affine(5)"} <= set(GROUPS)
    # There are 73 groups of 2 to 24 elements; ten have no name here.
    assert len(small_groups()) == 63


@pytest.mark.parametrize("name", GROUPS)
def test_rows_and_columns_of_a_character_table_are_orthogonal(name):
    group = named_group(name)
    table, sizes = character_table(group), group.class_sizes
    k, values = group.n_classes, table.values
    rows = values * sizes @ values.conj().T / group.order
    columns = values.conj().T @ values * sizes / group.order
    assert np.abs(rows - np.eye(k)).max() < 1e-10
    assert np.abs(columns - np.eye(k)).max() < 1e-10
    assert (table.dimensions**2).sum() == group.order
    assert not (group.order % table.dimensions).any()
    # A table of something else is not: columns of two classes exchanged.
    if len(set(sizes.tolist())) > 1:
        moved = values[:, np.argsort(sizes, kind="stable")[::-1]]
        assert np.abs(moved * sizes @ moved.conj().T / group.order - np.eye(k)).max() > 0.1


@pytest.mark.parametrize("name", GROUPS)
def test_class_sums_of_a_character_are_algebraic_integers_that_multiply_as_the_classes_do(name):
    group = named_group(name)
    table, of = character_table(group), group.conjugacy_class
    omega = table.values * group.class_sizes / table.dimensions[:, None]
    # Class multiplication coefficients, counted: whole numbers, so that ω are eigenvalues of
    # matrices of whole numbers.
    counts = np.zeros((group.n_classes,) * 3)
    for e, z in enumerate(group.class_representatives):
        np.add.at(counts[:, :, e], (of, of[group.products[group.inverses, z]]), 1)
    products = omega[:, :, None] * omega[:, None]
    sums = np.einsum("ke,cde->kcd", omega, counts, optimize=True)
    assert np.abs(products - sums).max() < 1e-8


@pytest.mark.parametrize("name", GROUPS)
def test_types_add_up_to_the_number_of_square_roots(name):
    group = named_group(name)
    table = character_table(group)
    squares = np.bincount(group.products.diagonal(), minlength=group.order)
    by_element = (table.frobenius_schur @ table.values)[group.conjugacy_class]
    assert by_element.real == pytest.approx(squares, **CHAINED64)
    # Were all of real type, the number would be another unless they are.
    wrong = (np.ones(len(table.values)) @ table.values)[group.conjugacy_class].real
    assert (np.abs(wrong - squares).max() > 0.5) == bool((table.frobenius_schur != 1).any())
    is_real = np.abs(table.values.imag).max(axis=1) < 1e-9
    assert ((table.frobenius_schur != 0) == is_real).all()
    assert table.values[table.conjugates] == pytest.approx(table.values.conj(), **CHAINED64)


@pytest.mark.parametrize("name", GROUPS)
def test_matrices_multiply_as_the_elements_do_and_have_the_characters(name):
    group = named_group(name)
    known = {c.name: c for c in real_characters(group)}
    for r in real_representations(group):
        moved = r.matrices[list(group.generators)]
        products = torch.einsum("aij,bjk->abik", moved, r.matrices)
        right = r.matrices[torch.tensor(group.products[list(group.generators)])]
        assert float((products - right).abs().max()) < 1e-10
        identity = r.matrices @ r.matrices.transpose(1, 2)
        assert float((identity - torch.eye(r.dimension)).abs().max()) < 1e-10
        c = known[r.name]
        assert (r.type, r.dimension) == (c.type, c.dimension)
        trace = c.values[group.conjugacy_class]
        assert r.character.numpy() == pytest.approx(trace, **CHAINED64)
        d = r.dimension // 2
        if r.type == "complex":  # [[A, -B], [B, A]] with A + iB the representation of the name
            sine = r.matrices[:, d:, :d].diagonal(dim1=1, dim2=2).sum(dim=1).numpy()
            wanted = c.complex_values.imag[group.conjugacy_class]
            assert sine == pytest.approx(wanted, **CHAINED64)


@pytest.mark.parametrize("name", GROUPS)
def test_harmonics_are_orthonormal_and_no_multiplication_leaves_a_component(name):
    group = named_group(name)
    harmonics = group_harmonics(group)
    n, basis, component = group.order, harmonics.basis, harmonics.component
    assert float((basis @ basis.T - torch.eye(n)).abs().max()) < 1e-10
    assert float((basis[0] - n**-0.5).abs().max()) < 1e-12
    is_other = component[:, None] != component
    for g in group.generators:
        for moved in (group.products[g], group.products[:, g]):
            inside = basis[:, torch.tensor(moved)] @ basis.T
            assert float(inside[is_other].abs().max()) < 1e-10
    wanted = {c.name: c.n_functions for c in real_characters(group)}
    assert dict(zip(harmonics.names, component.bincount().tolist(), strict=True)) == wanted
    # A reordering that is no multiplication does leave them.
    if n > 8 and len(wanted) < n:
        mixed = basis[:, torch.randperm(n, generator=torch.Generator().manual_seed(0))] @ basis.T
        assert float(mixed[is_other].abs().max()) > 0.01


@pytest.mark.parametrize("degree", [2, 3, 4, 5, 6])
def test_youngs_form_has_the_characters_of_dixons_method_and_the_same_names(degree):
    group = named_group(f"S{degree}")
    known = {c.name: c.values for c in real_characters(group)}
    found = symmetric_representations(degree)
    assert {r.name for r in found} == set(known)
    for r in found:
        representatives = torch.tensor(group.class_representatives)
        assert r.character[representatives].numpy() == pytest.approx(known[r.name], **CHAINED64)


@pytest.mark.parametrize(
    ("name", "names", "types"),
    [
        ("D5", "trivial sign freq_1 freq_2", "rrrr"),
        ("D6", "trivial sign sign_a sign_b freq_1 freq_2", "rrrrrr"),
        ("Q8", "trivial sign sign_a sign_b freq_1", "rrrrq"),
        ("Dic3", "trivial sign freq_3 freq_2 freq_1", "rrcrq"),
        ("A4", "trivial 2d standard", "rcr"),
        ("A5", "trivial 3d_a 3d_b standard 5d_a", "rrrrr"),
        ("Aff7", "trivial sign freq_1 freq_2 standard", "rrccr"),
        ("Heis3", "trivial 2d_a 2d_b 2d_c 2d_d 6d", "rccccc"),
        (
            "C3xC3",
            "trivial freq_1_x_trivial trivial_x_freq_1 freq_1_x_freq_1 freq_1_x_freq_2",
            "rcccc",
        ),
        ("C6", "trivial sign freq_1 freq_2", "rrcc"),
    ],
)
def test_representations_have_the_names_of_the_literature(name, names, types):
    found = real_characters(named_group(name))
    assert [c.name for c in found] == names.split()
    assert "".join(c.type[0] for c in found) == types


def test_a_group_without_a_name_has_names_by_dimension():
    group = FiniteGroup("", named_group("D5").products)
    assert [c.name for c in real_characters(group)] == ["trivial", "1d", "2d_a", "2d_b"]


def test_the_two_of_dimension_three_are_told_apart_by_one_cycle():
    group = named_group("A5")
    elements = permutations(5)[alternating_elements(5)]
    (cycle,) = np.flatnonzero((elements == [1, 2, 3, 4, 0]).all(axis=1))
    square = group.products[cycle, cycle]
    golden = (1 + 5**0.5) / 2
    traces = {c.name: c.values[group.conjugacy_class] for c in real_characters(group)}
    assert traces["3d_a"][cycle] == traces["3d_b"][square] == pytest.approx(golden)
    assert traces["3d_b"][cycle] == traces["3d_a"][square] == pytest.approx(1 - golden)


def test_many_classes_take_neither_time_nor_memory():
    table = character_table(named_group("C16xC16"))
    assert table.values.shape == (256, 256)
    assert np.abs(table.values @ table.values.conj().T / 256 - np.eye(256)).max() < 1e-10
    assert character_table(named_group("D120")).dimensions.tolist() == [1] * 4 + [2] * 59
