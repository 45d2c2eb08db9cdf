r"""Real orthogonal matrices of the real irreducible representations of any finite group.

The regular representation, :math:`(L_g f)(x) = f(g^{-1}x)` on the functions on the group, contains
every one. Multiplication by a random symmetric element of the group algebra from the right
commutes with it, and each of its eigenspaces is one irreducible representation. One-dimensional
characters, alone or in conjugate pairs, the symmetric groups (Young's orthogonal form) and
rotations of dihedral groups are written down instead.

Bases
-----
The first vectors of a basis are the parts of the indicator functions of elements 0, 1, 2, ...
within the eigenspace, made orthonormal in that order. With commuting matrices (complex type: J
with J² = -1; quaternionic type: J, K and JK) the basis goes on with J, then K, then JK times the
first vectors. So a complex representation ρ = A + iB stands as [[A, -B], [B, A]], and the first
D/m rows, m = 1, 2 or 4 by type, hold every function that the D × D matrix elements span exactly
once.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from grokinterp.groups import FiniteGroup
from grokinterp.groups.permutations import degree_of_order
from grokinterp.groups.real_characters import RealCharacter, RepresentationType, real_characters
from grokinterp.spectra.representations import Representation, symmetric_representations

COMMUTING: dict[RepresentationType, int] = {"real": 1, "complex": 2, "quaternionic": 4}
"""Dimension of the space of matrices that commute with a real irreducible representation."""

_SAME_EIGENVALUE = 1e-7
"""Part of the largest eigenvalue; those of other eigenspaces are a thousand times farther."""
_INDEPENDENT = 0.1
"""Part of its length that a vector has outside the span of those before it to be taken."""
_HOMOMORPHISM = 1e-10


def real_representations(group: FiniteGroup) -> tuple[Representation, ...]:
    """Return every real irreducible representation of a group with its matrices.

    The matrices of all of them hold as many numbers as the group has pairs of elements, and more
    for complex and quaternionic types.

    Returns
    -------
    tuple of Representation
        The trivial one first; those of a symmetric group in the order of
        :func:`~grokinterp.spectra.symmetric_representations`, others in that of
        :func:`~grokinterp.groups.real_characters`.

    Examples
    --------
    >>> from grokinterp.groups import named_group
    >>> group = named_group("Q8")
    >>> quaternion = real_representations(group)[-1]
    >>> quaternion.type, quaternion.matrices.shape
    ('quaternionic', torch.Size([8, 4, 4]))
    >>> i, j = quaternion.matrices[1], quaternion.matrices[4]
    >>> bool(torch.allclose(i @ j, quaternion.matrices[group.products[1, 4]]))
    True
    """
    if group.name.startswith("symmetric(") and " x " not in group.name:
        return symmetric_representations(degree_of_order(group.order))
    characters = real_characters(group)
    written = {c.name: _written_down(group, c) for c in characters}
    wanted = [c for c in characters if written[c.name] is None]
    split = _split(group, wanted) if wanted else {}
    found = []
    for c in characters:
        matrices = written[c.name] if c.name not in split else split[c.name]
        assert matrices is not None
        found.append(Representation(c.name, None, torch.from_numpy(matrices), c.type))
    return tuple(found)


def _written_down(group: FiniteGroup, character: RealCharacter) -> np.ndarray | None:
    if character.dimension == 1:
        return character.values[group.conjugacy_class][:, None, None]
    if character.complex_dimension == 1:
        values = character.complex_values[group.conjugacy_class]
        return _turning(np.real(values), np.imag(values))
    if group.name.startswith("dihedral(") and " x " not in group.name:
        n, k = group.order // 2, int(character.name.removeprefix("freq_"))
        flip, turn = np.divmod(np.arange(2 * n), n)
        angle = 2 * math.pi / n * (k * turn % n)
        matrices = _turning(np.cos(angle), np.sin(angle))
        matrices[flip == 1, :, 1] *= -1
        return matrices
    return None


def _turning(cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    rows = [np.stack([cosine, -sine], axis=1), np.stack([sine, cosine], axis=1)]
    return np.stack(rows, axis=1)


def _split(group: FiniteGroup, wanted: list[RealCharacter]) -> dict[str, np.ndarray]:
    for seed in range(20):
        spaces = _eigenspaces(group, seed)
        found = _chosen(group, wanted, spaces)
        if found is None:
            continue
        matrices = {c.name: _matrices(group, c, found[c.name], seed) for c in wanted}
        if all(_is_homomorphism(group, m) for m in matrices.values()):
            return matrices
    raise AssertionError(f"the regular representation of {group.in_words} was not split")


def _eigenspaces(group: FiniteGroup, seed: int) -> list[np.ndarray]:
    """Eigenspaces of a random symmetric element of the group algebra, which acts from the right."""
    weights = np.random.default_rng(seed).standard_normal(group.order)
    weights += weights[group.inverses]
    values, vectors = np.linalg.eigh(weights[group.products[group.inverses]])
    ends = np.flatnonzero(np.diff(values) > _SAME_EIGENVALUE * np.abs(values).max()) + 1
    return np.split(vectors, ends, axis=1)


def _chosen(
    group: FiniteGroup, wanted: list[RealCharacter], spaces: list[np.ndarray]
) -> dict[str, np.ndarray] | None:
    """First eigenspace of every representation, known by its trace; None if one was not split."""
    inverses = group.inverses[group.class_representatives]
    found: dict[str, np.ndarray] = {}
    for space in spaces:
        candidates = [c for c in wanted if c.dimension == space.shape[1] and c.name not in found]
        if not candidates:
            continue
        moved = group.products[inverses]
        trace = np.array([(space * space[rows]).sum() for rows in moved])
        for c in candidates:
            if np.abs(trace - c.values).max() < 1e-6:
                found[c.name] = space
    return found if len(found) == len(wanted) else None


def _matrices(
    group: FiniteGroup, character: RealCharacter, space: np.ndarray, seed: int
) -> np.ndarray:
    moved = group.products[group.inverses]
    in_space = np.stack([space.T @ space[rows] for rows in moved])
    units = _commuting(group, character, in_space, seed)
    basis = _basis(space, units)
    return basis.T @ in_space @ basis


def _commuting(
    group: FiniteGroup, character: RealCharacter, matrices: np.ndarray, seed: int
) -> list[np.ndarray]:
    """Orthogonal matrices beside the identity that commute with a representation."""
    if character.type == "real":
        return []
    generator = np.random.default_rng(seed)
    found: list[np.ndarray] = []
    dimension = character.dimension
    for _ in range(COMMUTING[character.type] // 2):
        drawn = generator.standard_normal((dimension, dimension))
        mean = ((matrices @ (drawn - drawn.T)) @ matrices.transpose(0, 2, 1)).mean(axis=0)
        for unit in found:
            mean -= unit * (unit * mean).sum() / dimension
        found.append(mean * math.sqrt(dimension) / np.linalg.norm(mean))
    if character.type == "quaternionic":
        return [*found, found[0] @ found[1]]
    # J is i in the representation whose character is `complex_values`: its trace with ρ(g) is
    # the trace of -2B.
    sine = -np.einsum("ij,gji->g", found[0], matrices) / 2
    wanted = np.imag(character.complex_values)[group.conjugacy_class]
    return found if sine @ wanted > 0 else [-found[0]]


def _basis(space: np.ndarray, units: list[np.ndarray]) -> np.ndarray:
    """Orthonormal basis in coordinates of the eigenspace, one vector a column."""
    n_first = space.shape[1] // (len(units) + 1)
    first: list[np.ndarray] = []
    taken = np.zeros((space.shape[1], 0))
    for part in space:
        rest = part - taken @ (taken.T @ part)
        rest -= taken @ (taken.T @ rest)
        if np.linalg.norm(rest) <= _INDEPENDENT * np.linalg.norm(part):
            continue
        rest /= np.linalg.norm(rest)
        first.append(rest)
        taken = np.column_stack([taken, rest, *(unit @ rest for unit in units)])
        if len(first) == n_first:
            break
    columns = np.stack(first, axis=1)
    return np.concatenate([columns, *(unit @ columns for unit in units)], axis=1)


def _is_homomorphism(group: FiniteGroup, matrices: np.ndarray) -> bool:
    generators = list(group.generators)
    for generator in generators:
        error = matrices[generator] @ matrices - matrices[group.products[generator]]
        if np.abs(error).max() > _HOMOMORPHISM:
            return False
    return True
