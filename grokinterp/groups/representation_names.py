r"""Names of the irreducible representations of a group, as the literature has them.

``cyclic(n)``
    ``freq_k`` has the value exp(2πi k x / n); at even n, ``sign`` is that of k = n/2.
``dihedral(n)``
    ``sign`` is 1 on rotations and -1 on reflections. ``freq_k`` turns the plane by 2πk/n with r.
    At even n, ``sign_a`` is -1 on r and 1 on s, ``sign_b`` is -1 on both.
``dicyclic(n)``, ``quaternion``
    The same with a in place of r and x in that of s; ``freq_k`` turns by πk/n, and at odd n
    the complex pair that is -1 on a is ``freq_n``.
``symmetric(n)``, ``alternating(n)``
    ``standard`` are the permutation matrices without their mean, ``standard_sign`` its product with
    the sign. Letters of symmetric groups go by the value on a transposition, the least first; but
    of S_6, ``5d_a`` is the partition (3, 3) and ``5d_b`` is (2, 2, 2), as Chughtai et al. have it.
    So are the names of A_5: ``5d_a``, and ``3d_a`` has the trace (1 + √5)/2 on the cycle
    (0 1 2 3 4), ``3d_b`` on its square. An automorphism of A_5 exchanges these two.
``affine(p)``
    ``standard`` are the permutation matrices of x -> ux + v without their mean. The others depend
    on u alone: ``freq_k`` is exp(2πi k log u / (p-1)), log to the least primitive root, and
    ``sign`` is 1 where u is a square.
products
    ``sign_x_freq_2``, the name in every factor; the conjugate of ``freq_k`` is ``freq_(n-k)``
    there, that of another complex one ``..._conj``.

All others are named by the dimension of the real representation, ``6d``, with letters in the
order of :func:`~grokinterp.groups.characters.character_table` where there are several, ``8d_a``,
``8d_b``.
"""

from __future__ import annotations

import itertools
import math
import string

import numpy as np

from grokinterp.groups.characters import CharacterTable, character_table
from grokinterp.groups.finite_group import FiniteGroup
from grokinterp.groups.named import alternating_elements, factors_of_name, named_group
from grokinterp.groups.permutations import permutations

_EXACT = 1e-6


def representation_names(group: FiniteGroup) -> tuple[str, ...]:
    """Return a name for every row of the group's character table.

    Examples
    --------
    >>> from grokinterp.groups import named_group
    >>> representation_names(named_group("C2xC3"))
    ('trivial', 'sign_x_trivial', 'trivial_x_freq_1', 'sign_x_freq_1', 'trivial_x_freq_2', \
'sign_x_freq_2')
    >>> representation_names(named_group("A4"))
    ('trivial', '2d', '2d_conj', 'standard')
    """
    table = character_table(group)
    factors = factors_of_name(group.name) if group.name else []
    if len(factors) > 1:
        return _of_product(table, factors)
    known = _KNOWN[factors[0][0]](group, factors[0][1]) if factors else []
    names = {0: "trivial"}
    for name, values in known:
        found = np.flatnonzero(np.abs(table.values - values).max(axis=1) < _EXACT)
        if len(found):
            names.setdefault(int(found[0]), name)
    if factors and factors[0][0] == "symmetric":
        return _by_dimension(table, names, order=_on_a_transposition(group, table))
    return _by_dimension(table, names)


def letters(n: int) -> list[str]:
    """Return n endings: ``a`` .. ``z``, then ``aa``, ``ab``, ...

    Examples
    --------
    >>> letters(28)[25:]
    ['z', 'aa', 'ab']
    """
    of_any_length = (
        "".join(word)
        for length in itertools.count(1)
        for word in itertools.product(string.ascii_lowercase, repeat=length)
    )
    return list(itertools.islice(of_any_length, n))


def _by_dimension(
    table: CharacterTable, names: dict[int, str], order: np.ndarray | None = None
) -> tuple[str, ...]:
    names, by_dimension = dict(names), {}
    order = np.arange(len(table.values)) if order is None else order
    for k in map(int, order):
        if k in names or int(table.conjugates[k]) < k:
            continue
        dimension = int(table.dimensions[k]) * (1 if table.frobenius_schur[k] == 1 else 2)
        by_dimension.setdefault(dimension, []).append(k)
    for dimension, members in by_dimension.items():
        endings = [""] if len(members) == 1 else [f"_{letter}" for letter in letters(len(members))]
        names |= {k: f"{dimension}d{e}" for k, e in zip(members, endings, strict=True)}
    for k, conjugate in enumerate(map(int, table.conjugates)):
        names.setdefault(k, f"{names.get(conjugate, '')}_conj")
    return tuple(names[k] for k in range(len(table.values)))


def _on_a_transposition(group: FiniteGroup, table: CharacterTable) -> np.ndarray:
    """Rows by their value on a transposition, which element 1 is, the least first."""
    values = np.real(table.values[:, group.conjugacy_class[1]])
    return np.argsort(values.round(6), kind="stable")


def _of_product(table: CharacterTable, factors: list[tuple[str, int]]) -> tuple[str, ...]:
    groups = [named_group(f"{word}({n})" if word != "quaternion" else word) for word, n in factors]
    elements = np.unravel_index(table.group.class_representatives, [g.order for g in groups])
    names, values = [""], np.ones((1, len(table.values)), dtype=np.complex128)
    for group, element in zip(groups, elements, strict=True):
        of_factor = character_table(group).values[:, group.conjugacy_class[element]]
        values = (values[:, None] * of_factor).reshape(-1, len(table.values))
        endings = representation_names(group)
        names = [f"{name}_x_{end}" if name else end for name in names for end in endings]
    # Characters are orthogonal, so the row of one is where the product is not zero.
    weighted = table.values.conj() * table.group.class_sizes
    at = np.abs(values @ weighted.T).argmax(axis=1)
    named = dict(zip(at.tolist(), names, strict=True))
    return tuple("trivial" if k == 0 else named[k] for k in range(len(names)))


Known = list[tuple[str, np.ndarray]]


def _waves(angle: np.ndarray, frequencies: range) -> Known:
    return [(f"freq_{k}", np.exp(1j * k * angle)) for k in frequencies]


def _cyclic(group: FiniteGroup, n: int) -> Known:
    x = group.class_representatives
    sign = [("sign", (-1.0) ** x)] if n % 2 == 0 else []
    return sign + _waves(2 * math.pi / n * x, range(1, n))


def _dihedral(group: FiniteGroup, n: int) -> Known:
    flip, turn = np.divmod(group.class_representatives, n)
    signs = _signs(flip, turn)
    turning = [
        (f"freq_{k}", np.where(flip == 0, 2 * np.cos(2 * math.pi * k / n * turn), 0))
        for k in range(1, (n + 1) // 2)
    ]
    return [*signs, *turning]


def _dicyclic(group: FiniteGroup, n: int) -> Known:
    flip, turn = np.divmod(group.class_representatives, 2 * n)
    turning = [
        (f"freq_{k}", np.where(flip == 0, 2 * np.cos(math.pi * k / n * turn), 0))
        for k in range(1, n)
    ]
    # At odd n the square of x is -1 in the characters that are -1 on a.
    pair = (-1.0) ** turn * 1j**flip
    highest = [(f"freq_{n}", pair), (f"freq_{n}_conj", pair.conj())] if n % 2 else []
    return [*_signs(flip, turn), *turning, *highest]


def _signs(flip: np.ndarray, turn: np.ndarray) -> Known:
    of_flip, of_turn = (-1.0) ** flip, (-1.0) ** turn
    return [("sign", of_flip), ("sign_a", of_turn), ("sign_b", of_turn * of_flip)]


def _permuting(elements: np.ndarray, group: FiniteGroup) -> np.ndarray:
    moved = elements[group.class_representatives]
    return (moved == np.arange(moved.shape[1])).sum(axis=1) - 1.0


def _symmetric(group: FiniteGroup, degree: int) -> Known:
    elements = permutations(degree)
    sign = np.where(np.isin(group.class_representatives, alternating_elements(degree)), 1.0, -1.0)
    standard = _permuting(elements, group)
    known = [("sign", sign), ("standard", standard), ("standard_sign", standard * sign)]
    if degree == 6:
        rows = character_table(group).values
        at = group.conjugacy_class[1]  # of a transposition
        is_left = [all(np.abs(row - other).max() > _EXACT for _, other in known) for row in rows]
        five = [row for row, left in zip(rows, is_left, strict=True) if left and _is(row[0], 5)]
        known += [("5d_a" if row[at].real > 0 else "5d_b", row) for row in five]
    return known


def _alternating(group: FiniteGroup, degree: int) -> Known:
    if degree == 3:
        return _cyclic(group, 3)
    elements = permutations(degree)[alternating_elements(degree)]
    known = [("standard", _permuting(elements, group))]
    if degree == 5:
        cycle = np.flatnonzero((elements == (np.arange(5) + 1) % 5).all(axis=1))[0]
        at = group.conjugacy_class[cycle]
        for row in character_table(group).values:
            if _is(row[0], 3):
                known.append(("3d_a" if row[at].real > 0 else "3d_b", row))
            if _is(row[0], 5):
                known.append(("5d_a", row))
    return known


def _is(value: complex, number: int) -> bool:
    return bool(abs(value - number) < _EXACT)


def _affine(group: FiniteGroup, p: int) -> Known:
    u, v = np.divmod(group.class_representatives, p)
    u = u + 1
    standard = np.where(u == 1, np.where(v == 0, p - 1.0, -1.0), 0.0)
    roots = (r for r in range(1, p) if len({pow(r, e, p) for e in range(p - 1)}) == p - 1)
    root = next(roots)
    log = {pow(root, e, p): e for e in range(p - 1)}
    angle = 2 * math.pi / (p - 1) * np.array([log[int(x)] for x in u])
    sign = [("sign", np.exp(1j * (p - 1) / 2 * angle))] if p > 2 else []
    return [*sign, *_waves(angle, range(1, p - 1)), ("standard", standard)]


_KNOWN = {
    "cyclic": _cyclic,
    "dihedral": _dihedral,
    "dicyclic": _dicyclic,
    "quaternion": lambda group, n: _dicyclic(group, 2),
    "symmetric": _symmetric,
    "alternating": _alternating,
    "affine": _affine,
    "heisenberg": lambda group, n: [],
}
