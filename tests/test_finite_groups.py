"""Groups by name and from Cayley tables: their laws, and which group a table is."""

import dataclasses

import numpy as np
import pytest
from sympy.combinatorics import Permutation
from sympy.combinatorics.named_groups import AlternatingGroup

from grokinterp.errors import ConfigError
from grokinterp.groups import (
    FiniteGroup,
    canonical_name,
    check_cayley_table,
    isomorphism,
    known_name,
    named_group,
    permutations,
    real_characters,
    table_as_group,
)
from grokinterp.runs.config import TrainConfig
from grokinterp.tasks import Task, TaskSpec

NAMES = (
    *("cyclic(7)", "cyclic(12)", "dihedral(2)", "dihedral(5)", "dihedral(6)", "dicyclic(2)"),
    *("dicyclic(3)", "quaternion", "symmetric(3)", "symmetric(4)", "alternating(4)"),
    *("alternating(5)", "affine(5)", "affine(7)", "heisenberg(2)", "heisenberg(3)"),
    *("cyclic(2) x cyclic(4)", "cyclic(3) x symmetric(3)", "cyclic(2) x quaternion"),
)
ORDERS = (7, 12, 4, 10, 12, 8, 12, 8, 6, 24, 12, 60, 20, 42, 8, 27, 8, 18, 16)


def relabeled(products, seed=0):
    """The same group with its elements in another order, and that order."""
    order = np.random.default_rng(seed).permutation(len(products))
    place = np.argsort(order)
    return order[products[np.ix_(place, place)]], order


@pytest.mark.parametrize(("name", "order"), [*zip(NAMES, ORDERS, strict=True)])
def test_a_named_group_obeys_the_laws_with_the_identity_first(name, order):
    group = named_group(name)
    assert (group.order, group.name) == (order, name)
    check_cayley_table(group.products)
    index = np.arange(order)
    assert np.array_equal(group.products[0], index) and np.array_equal(group.products[:, 0], index)
    # Every triple, and not only those of the check under test.
    p = group.products
    assert np.array_equal(p[p], p[index[:, None, None], p[None]])
    assert group.class_sizes.sum() == order
    assert (np.gcd(group.element_orders, order) == group.element_orders).all()
    assert all(order % size == 0 for size in group.class_sizes)
    assert group.is_abelian == (group.n_classes == order)


def test_elements_stand_in_the_stated_order():
    dihedral = named_group("dihedral(5)").products
    r, s = 1, 5
    assert dihedral[r, s] == 6 and dihedral[s, r] == 9 and dihedral[s, s] == 0
    quaternion = named_group("Q8").products
    one, i, minus, j, k = 0, 1, 2, 4, 5
    assert quaternion[i, i] == quaternion[j, j] == quaternion[k, k] == minus
    assert quaternion[i, j] == k and quaternion[j, i] == quaternion[minus, k] != k
    assert quaternion[minus, minus] == one
    affine = named_group("affine(5)").products  # x -> ux + v has index (u - 1) 5 + v
    double, shift = 5, 1
    assert affine[double, shift] == 5 + 2 and affine[shift, double] == 5 + 1
    product = named_group("C2xS3").products
    assert product[6 + 1, 2] == 6 + named_group("S3").products[1, 2]


def test_even_permutations_compose_as_in_sympy():
    group = named_group("alternating(4)")
    even = [list(row) for row in permutations(4) if Permutation(list(row)).is_even]
    assert len(even) == AlternatingGroup(4).order() == group.order
    for i, a in enumerate(even):
        for j, b in enumerate(even):
            # sympy applies the left factor first.
            assert even[group.products[i, j]] == (Permutation(b) * Permutation(a)).array_form


@pytest.mark.parametrize(
    ("short", "name"),
    [
        ("D59", "dihedral(59)"),
        ("C2xC59", "cyclic(2) x cyclic(59)"),
        ("z 7", "cyclic(7)"),
        ("Dic5", "dicyclic(5)"),
        ("Q8", "quaternion"),
        ("Aff11", "affine(11)"),
        ("heis3", "heisenberg(3)"),
        ("C2^5", " x ".join(["cyclic(2)"] * 5)),
        ("symmetric(5)", "symmetric(5)"),
        ("cyclic(2) × dihedral(3)", "cyclic(2) x dihedral(3)"),
    ],
)
def test_short_forms_have_one_canonical_name(short, name):
    assert canonical_name(short) == canonical_name(name) == name
    assert TaskSpec(operation="group", group=short).group == name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("monster", "'monster' is not known. Choose cyclic.* give its Cayley table as group_table"),
        ("", "is not known"),
        ("D", "has no number. Write dihedral"),
        ("S7", "has n=7. For symmetric.n. use 2 to 6"),
        ("Aff6", "p=6, which is composite"),
        ("C1", "n=1. For cyclic"),
        ("D3000", "6,000 elements"),
        ("x".join(["C4096"] * 2000), r"\.\.\. has over .* elements"),
        ("C" * 9999, r"\.\.\. is not known"),
        ("C2^13", "power 13"),
        ("Q16", "write dicyclic"),
        ("C9999999999", "n="),
    ],
)
def test_names_that_mean_nothing_are_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        TaskSpec(operation="group", group=name)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda t: t[:, [1, 0, 2, 3, 4, 5]], "no identity"),
        (lambda t: np.where(t == 5, 4, t), "not a Latin square: row 0 has 4 twice"),
        (lambda t: np.where(t == 5, 7, t), "product 7 in row 0"),
        (lambda t: np.where(t == 5, -1, t), "hole in row 0"),
    ],
)
def test_the_first_law_that_a_table_breaks_is_named(changed, message):
    table = named_group("S3").products.copy()
    with pytest.raises(ConfigError, match=message):
        TaskSpec(operation="group", group_table=changed(table))
    assert TaskSpec(operation="group", group_table=table).p == 6


def test_a_loop_that_is_not_associative_is_refused_with_the_triple():
    loop = np.array(
        [[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]]
    )
    with pytest.raises(ConfigError, match="not associative") as caught:
        check_cayley_table(loop)
    text = str(caught.value)
    a, b, c = (int(text.split("not associative: ")[1][at]) for at in (1, 3, 6))
    left, right = loop[loop[a, b], c], loop[a, loop[b, c]]
    assert left != right and f"= {left}, but {a}∘({b}∘{c}) = {right}" in text
    assert table_as_group(loop) is None
    assert Task(TaskSpec(operation="table", labels=loop)).group_view is None


@pytest.mark.parametrize("name", [name for name in NAMES if name != "dicyclic(2)"])
def test_a_group_is_recognized_in_any_order_of_its_elements(name):
    group = named_group(name)
    table, order = relabeled(group.products, seed=3)
    found = table_as_group(table)
    known = known_name(found.group)
    same = isomorphism(named_group(known), group)
    assert same is not None
    onto = isomorphism(group, found.group)
    assert np.array_equal(found.group.products[np.ix_(onto, onto)], onto[group.products])
    assert found.answers[0] == order[0]  # the identity


@pytest.mark.parametrize("name", ["C5xAff5", "heisenberg(3)", "C3xA4"])
def test_the_other_order_of_composition_renames_no_representation(name):
    group = named_group(name)
    # Neighbor: the first generators that fit, which is what elements in a random order get.
    opposite = FiniteGroup("", group.products.T.copy())
    order = np.random.default_rng(2).permutation(np.arange(1, group.order))
    order = np.concatenate([[0], order])
    place = np.argsort(order)
    shuffled = FiniteGroup("", place[opposite.products[np.ix_(order, order)]])
    kept = []
    for target, token in ((opposite, np.arange(group.order)), (shuffled, order)):
        found = isomorphism(group, target)
        assert np.array_equal(found[group.products], target.products[np.ix_(found, found)])
        traces = [c.values[group.conjugacy_class] for c in real_characters(group)]
        kept.append(all(np.allclose(trace[token[found]], trace) for trace in traces))
    assert kept == [True, False]
    spec = TaskSpec("group", group=group.name, group_table=group.products.T)
    assert np.array_equal(Task(spec).group_view.class_tokens, group.inverses)


def test_a_cyclic_group_is_called_cyclic_whatever_it_was_made_as():
    assert [known_name(named_group(name)) for name in ("Aff2", "C3xAff2", "S2")] == [
        "cyclic(2)",
        "cyclic(6)",
        "cyclic(2)",
    ]
    assert known_name(named_group("Aff3")) == "affine(3)"


def test_groups_of_the_same_order_are_told_apart():
    of_order_8 = ["C8", "C2xC4", "C2^3", "D4", "Q8"]
    names = {
        known_name(table_as_group(relabeled(named_group(n).products)[0]).group) for n in of_order_8
    }
    assert len(names) == 5
    for first in of_order_8:
        for second in of_order_8:
            found = isomorphism(named_group(first), named_group(second))
            assert (found is not None) == (first == second)


def test_a_table_with_all_three_sides_renamed_is_still_a_view_of_its_group():
    products = named_group("D5").products
    rng = np.random.default_rng(1)
    rows, columns, answers = (rng.permutation(10) for _ in range(3))
    task = Task(TaskSpec(operation="table", labels=answers[products[np.ix_(rows, columns)]]))
    view = task.group_view
    assert view.in_words == "dihedral(5)" and not view.is_cyclic
    assert np.array_equal(
        task.labels[view.pair_rows].reshape(10, 10), view.class_tokens[view.products]
    )
    assert not np.array_equal(view.class_tokens, task.pairs[view.pair_rows[::10], 0])


def test_a_group_that_is_cyclic_has_the_cyclic_view_in_any_order():
    table, _ = relabeled(named_group("C2xC3").products)
    for spec in (
        TaskSpec(operation="group", group="C2xC3"),
        TaskSpec(operation="group", group_table=table),
        TaskSpec(operation="group", group="C6", group_table=table),
    ):
        task = Task(spec)
        view = task.cyclic_view
        index = np.arange(6)
        sums = (index[:, None] + index) % 6
        assert np.array_equal(task.labels[view.pair_rows].reshape(6, 6), view.class_tokens[sums])
    natural = Task(TaskSpec(operation="group", group="C6")).cyclic_view
    assert np.array_equal(natural.pair_rows, Task(TaskSpec(p=6)).cyclic_view.pair_rows)


def test_a_name_beside_a_table_must_be_that_of_its_group():
    table = named_group("D4").products
    with pytest.raises(ConfigError, match=r"table of dihedral\(4\). Leave one of them out"):
        TaskSpec(operation="group", group="Q8", group_table=table)
    with pytest.raises(ConfigError, match="has 10 elements, group_table has 8"):
        TaskSpec(operation="group", group="D5", group_table=table)
    with pytest.raises(ConfigError, match="needs group or group_table"):
        TaskSpec(operation="group")
    with pytest.raises(ConfigError, match="does not go with addition"):
        TaskSpec(group="D5")


def test_configs_of_groups_read_back_and_others_keep_their_hash(tmp_path):
    import grokinterp as gi

    plain = TrainConfig()
    assert "group" not in str(plain.hash()) and plain.to_dict()["task"]["group"] is None
    named = dataclasses.replace(plain, task=TaskSpec(operation="group", group="D5"), n_steps=3)
    assert TrainConfig.from_dict(named.to_dict()) == named and named.hash() != plain.hash()
    table, _ = relabeled(named_group("D5").products)
    own = dataclasses.replace(named, task=TaskSpec(operation="group", group_table=table))
    gi.train(own, tmp_path / "run")
    loaded = gi.load_run(tmp_path / "run")
    assert loaded.config == own and np.array_equal(loaded.task.labels, table.reshape(-1))
    (tmp_path / "run" / "labels.safetensors").unlink()
    with pytest.raises(gi.GrokinterpError, match="labels.safetensors is missing"):
        gi.load_run(tmp_path / "run")
