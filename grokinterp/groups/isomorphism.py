"""Which group a table of products is: isomorphisms, and the names of known groups."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.groups.finite_group import FiniteGroup
from grokinterp.groups.named import canonical_name, named_group, order_of_name


def isomorphism(source: FiniteGroup, target: FiniteGroup) -> np.ndarray | None:
    """Return an isomorphism: the element of `target` for every element of `source`.

    The identity map is taken where it is one, and between groups that multiply in opposite orders
    the inverse of every element; neither renames a representation. Otherwise generators of
    `source` go to the first elements of `target` that fit, in the order of their indices. Another
    isomorphism differs from it by an automorphism, which may rename representations.

    Returns
    -------
    ndarray or None
        (n,) int64 with ``target.products[f[a], f[b]] == f[source.products[a, b]]``; None if
        the groups are not isomorphic.

    Examples
    --------
    >>> isomorphism(named_group("C6"), named_group("C2xC3")).tolist()
    [0, 4, 2, 3, 1, 5]
    >>> isomorphism(named_group("C4"), named_group("C2xC2")) is None
    True
    """
    if source.order != target.order:
        return None
    if np.array_equal(source.products, target.products):
        return np.arange(source.order)
    if np.array_equal(source.products, target.products.T):
        return source.inverses.copy()
    kinds_of_source, kinds_of_target = _kinds(source), _kinds(target)
    if Counter(kinds_of_source) != Counter(kinds_of_target):
        return None
    generators = source.generators
    choices = [
        [y for y, kind in enumerate(kinds_of_target) if kind == kinds_of_source[x]]
        for x in generators
    ]
    return _extended(source, target, generators, choices, ())


@lru_cache(maxsize=64)
def known_name(group: FiniteGroup) -> str:
    """Return the canonical name of the known group that a group is isomorphic to; else "".

    Examples
    --------
    >>> known_name(named_group("C2xC59")), known_name(named_group("C2xC2"))
    ('cyclic(118)', 'cyclic(2) x cyclic(2)')
    >>> known_name(named_group("C3xC2xC2")), known_name(named_group("Dic2"))
    ('cyclic(2) x cyclic(6)', 'quaternion')
    """
    if group.is_cyclic:
        return f"cyclic({group.order})"
    if group.is_abelian:
        return " x ".join(f"cyclic({d})" for d in _invariant_factors(group))
    if group.name in _named_of(group.order):
        return group.name
    kinds = Counter(_kinds(group))
    for name in _names_of(group.order):
        candidate = named_group(name)
        same = not candidate.is_abelian and Counter(_kinds(candidate)) == kinds
        if same and isomorphism(candidate, group) is not None:
            return name
    return ""


def _extended(
    source: FiniteGroup,
    target: FiniteGroup,
    generators: tuple[int, ...],
    choices: list[list[int]],
    images: tuple[int, ...],
) -> np.ndarray | None:
    """Try images of the remaining generators, those before being given."""
    for image in choices[len(images)]:
        chosen = (*images, image)
        found = _homomorphism(source, target, generators[: len(chosen)], chosen)
        if found is None:
            continue
        if len(chosen) == len(generators):
            return found
        whole = _extended(source, target, generators, choices, chosen)
        if whole is not None:
            return whole
    return None


def _homomorphism(
    source: FiniteGroup, target: FiniteGroup, generators: tuple[int, ...], images: tuple[int, ...]
) -> np.ndarray | None:
    """Injective homomorphism from what some elements generate, -1 outside; None if none is."""
    found = np.full(source.order, -1, dtype=np.int64)
    found[0] = 0
    frontier = np.zeros(1, dtype=np.int64)
    while len(frontier):
        reached = []
        for generator, image in zip(generators, images, strict=True):
            after = source.products[frontier, generator]
            wanted = target.products[found[frontier], image]
            is_new = found[after] < 0
            found[after[is_new]] = wanted[is_new]
            if not np.array_equal(found[after], wanted):
                return None
            reached.append(after[is_new])
        frontier = np.concatenate(reached)
    values = found[found >= 0]
    return found if len(np.unique(values)) == len(values) else None


def _kinds(group: FiniteGroup) -> list[tuple[int, int]]:
    """Order and class size of every element, which isomorphisms preserve."""
    sizes = group.class_sizes[group.conjugacy_class]
    return list(zip(group.element_orders.tolist(), sizes.tolist(), strict=True))


def _invariant_factors(group: FiniteGroup) -> list[int]:
    """Orders d1 | d2 | ... of the cyclic factors of an abelian group."""
    factors: list[int] = []
    for q in _prime_factors(group.order):
        # Elements whose order divides q^i number q^(sum of min(i, exponent of each factor)).
        exponents, power, before = [], q, 0
        while True:
            log = round(math.log(int((power % group.element_orders == 0).sum()), q))
            if log == before:
                break
            exponents.append(log - before)
            before, power = log, power * q
        orders = [sum(1 for e in exponents if e > i) for i in range(exponents[0])]
        for i, exponent in enumerate(orders):
            if i == len(factors):
                factors.append(1)
            factors[i] *= q**exponent
    return sorted(factors)


def _prime_factors(n: int) -> list[int]:
    return [q for q in range(2, n + 1) if n % q == 0 and all(q % d for d in range(2, q))]


@lru_cache(maxsize=32)
def _named_of(order: int) -> frozenset[str]:
    return frozenset(_names_of(order))


def _names_of(order: int) -> Iterator[str]:
    """Names of groups of an order that are not abelian: single ones first, then products."""
    yield from _single_names(order)
    for m in range(2, order):
        if order % m == 0 and order // m >= 2:
            for first in (f"cyclic({m})", *_single_names(m)):
                for second in _single_names(order // m):
                    yield f"{first} x {second}"


def _single_names(order: int) -> Iterator[str]:
    wanted = [f"symmetric({d})" for d in (3, 4, 5, 6)] + [f"alternating({d})" for d in (4, 5, 6)]
    wanted += [f"dihedral({order // 2})"] if order % 2 == 0 and order >= 6 else []
    wanted += ["quaternion"] if order == 8 else []
    wanted += [f"dicyclic({order // 4})"] if order % 4 == 0 and order >= 12 else []
    root = math.isqrt(order) + 1
    wanted += [f"affine({root})"] if root * (root - 1) == order else []
    cube = round(order ** (1 / 3))
    wanted += [f"heisenberg({cube})"] if cube**3 == order and cube > 2 else []
    for name in wanted:
        try:
            canonical = canonical_name(name)
        except ConfigError:  # a composite p
            continue
        if order_of_name(canonical) == order:
            yield canonical
