import numpy as np
import pytest

from grokinterp.errors import ConfigError
from grokinterp.groups import named_group, subgroup_classes, why_no_subgroups
from grokinterp.groups.subgroups import subgroup_of


@pytest.mark.parametrize(
    ("name", "n_classes", "n_subgroups"),
    [
        ("S3", 4, 6),
        ("S4", 11, 30),
        ("S5", 19, 156),
        ("S6", 56, 1455),
        ("A5", 9, 59),
        ("A6", 22, 501),
        ("D59", 4, 62),
        ("D4", 8, 10),
        ("Q8", 6, 6),
        ("C12", 6, 6),
        ("C113", 2, 2),
        ("C2xC2xC2", 16, 16),
        ("C3xC3", 6, 6),
    ],
)
def test_a_group_has_the_known_number_of_subgroups(name, n_classes, n_subgroups):
    classes = subgroup_classes(named_group(name))
    assert len(classes) == n_classes
    assert sum(found.n_conjugates for found in classes) == n_subgroups


@pytest.mark.parametrize("name", ["S4", "A5", "Q8", "C2xS3"])
def test_the_subgroups_are_those_that_two_elements_generate(name):
    # Every subgroup of these groups has two generators.
    group = named_group(name)
    n = group.order
    expected = {tuple(group.generated([x, y]).tolist()) for x in range(n) for y in range(x, n)}
    found = {tuple(H) for c in subgroup_classes(group) for H in c.elements.tolist()}
    assert found == expected


def test_a_class_is_a_subgroup_and_all_its_conjugates():
    group = named_group("S4")
    for found in subgroup_classes(group):
        H = found.elements[0]
        conjugates = {
            tuple(sorted(group.products[group.products[g, H], group.inverses[g]].tolist()))
            for g in range(group.order)
        }
        assert conjugates == {tuple(row) for row in found.elements.tolist()}
        assert found.is_normal == (len(conjugates) == 1)
        assert found.order * found.index == group.order


def test_classes_have_the_names_of_known_groups_and_letters_where_two_have_the_same():
    by_name = {found.name: found for found in subgroup_classes(named_group("S5"))}
    expected = {
        "alternating(5)": (2, True),
        "symmetric(4)": (5, False),
        "affine(5)": (6, False),
        "dihedral(6)": (10, False),
        "symmetric(3)_a": (20, False),
        "symmetric(3)_b": (20, False),
        "cyclic(2) x cyclic(2)_a": (30, False),
    }
    assert {n: (by_name[n].index, by_name[n].is_normal) for n in expected} == expected
    assert "symmetric(3)" not in by_name and "alternating(5)_a" not in by_name
    proper = [found.name for found in by_name.values() if found.is_proper]
    assert len(proper) == 17 and not {"trivial", "symmetric(5)"} & set(proper)


def test_a_subgroup_is_a_group_of_its_own():
    group = named_group("C6")
    assert subgroup_of(group, np.array([0, 3])).products.tolist() == [[0, 1], [1, 0]]
    # 2 + 2 = 4 is in it, so {0, 2} alone is closed under nothing.
    assert (subgroup_of(group, np.array([0, 2])).products < 0).any()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("C113", "cyclic(113) has prime order, so it has no subgroup but the trivial one"),
        ("C2^6", "has more than 2,000 subgroups"),
        ("C1025", "cyclic(1025) has 1,025 elements; subgroups are listed of groups with at most"),
        ("C118", None),
        ("C1024", None),
    ],
)
def test_where_subgroups_are_not_listed_the_reason_is_said(name, reason):
    found = why_no_subgroups(named_group(name))
    assert (found is None) == (reason is None)
    assert reason is None or reason in (found or "")


def test_too_many_subgroups_are_an_error_and_no_wait():
    with pytest.raises(ConfigError, match="more than 2,000 subgroups"):
        subgroup_classes(named_group("C2^8"))
