"""Groups by name: their elements in a stated order, and the table of products.

Orders of the elements (index 0 is always the identity):

``cyclic(n)``
    0 .. n-1, with addition modulo n.
``dihedral(n)``
    Order 2n: the rotations r^0 .. r^(n-1), then the reflections r^0 s .. r^(n-1) s.
``dicyclic(n)``
    Order 4n: a^0 .. a^(2n-1), then a^0 x .. a^(2n-1) x, with x² = a^n and x a = a⁻¹ x.
``quaternion``
    dicyclic(2): 1, i, -1, -i, j, k, -j, -k.
``symmetric(n)``, ``alternating(n)``
    Permutations (the even ones) in the lexicographic order of their one-line notation; the product
    applies the right factor first.
``affine(p)``
    Maps x -> ux + v modulo a prime p, order p(p-1): index (u-1)p + v; the product applies the
    right factor first.
``heisenberg(p)``
    Matrices [[1, x, z], [0, 1, y], [0, 0, 1]] modulo a prime p, order p³: index (x p + y) p + z.
products
    ``G x H``: index i |H| + j.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.fields import shown
from grokinterp.groups.finite_group import FiniteGroup
from grokinterp.groups.permutations import LARGEST_DEGREE, composition_table, permutations

LARGEST_ORDER = 4096
"""Most elements of a named group, as many as a task has tokens."""
_EXAMPLES = (
    "cyclic(113) or C113, dihedral(59) or D59, dicyclic(5) or Dic5, quaternion or Q8, symmetric(5) "
    "or S5, alternating(5) or A5, affine(11) or Aff11, heisenberg(3) or Heis3, and products such "
    "as C2xC59"
)
_WORDS = {
    "cyclic": "cyclic", "c": "cyclic", "z": "cyclic",
    "dihedral": "dihedral", "d": "dihedral",
    "dicyclic": "dicyclic", "dic": "dicyclic",
    "quaternion": "quaternion", "q": "quaternion",
    "symmetric": "symmetric", "s": "symmetric",
    "alternating": "alternating", "a": "alternating",
    "affine": "affine", "aff": "affine",
    "heisenberg": "heisenberg", "heis": "heisenberg",
}  # fmt: skip
_FACTOR = re.compile(r"([a-z]+)[ _]*(?:\( *(\d+) *\)|(\d+))?(?:\^ *(\d+))?")


def canonical_name(name: str) -> str:
    """Return the one name that a config has for a group: ``dihedral(59)`` for ``D59``.

    Raises
    ------
    ConfigError
        If no such group is known, or it has more than 4,096 elements.

    Examples
    --------
    >>> canonical_name("D59"), canonical_name("C2xC59"), canonical_name("C2^3")
    ('dihedral(59)', 'cyclic(2) x cyclic(59)', 'cyclic(2) x cyclic(2) x cyclic(2)')
    """
    order_of_name(name)
    return " x ".join(_factor_name(word, n) for word, n in _factors(name))


def order_of_name(name: str) -> int:
    """Return the number of elements of a named group, without making its table.

    Raises
    ------
    ConfigError
        As :func:`canonical_name`.

    Examples
    --------
    >>> order_of_name("dihedral(59)"), order_of_name("Heis3")
    (118, 27)
    """
    order = 1
    for word, n in _factors(name):
        order *= _order(word, n)
        # Not multiplied out: Python writes no number of more than 4,300 digits.
        if order > LARGEST_ORDER**3:
            break
    if not 2 <= order <= LARGEST_ORDER:
        count = f"{order:,}" if order <= LARGEST_ORDER**3 else f"over {LARGEST_ORDER**3:,}"
        raise ConfigError(
            f"group={shown(name)} has {count} elements. Choose a group of 2 to {LARGEST_ORDER:,}."
        )
    return order


def named_group(name: str) -> FiniteGroup:
    """Return the group of a name, its canonical one or a short form.

    Raises
    ------
    ConfigError
        If no such group is known, or it has more than 4,096 elements.

    Examples
    --------
    >>> named_group("D4").products[1, 4], named_group("D4").products[4, 1]
    (np.int64(5), np.int64(7))
    """
    return _named_group(canonical_name(name))


def alternating_elements(degree: int) -> np.ndarray:
    """Index in S_degree of every element of A_degree, the even permutations, in order.

    Examples
    --------
    >>> alternating_elements(3).tolist()
    [0, 3, 4]
    """
    elements = permutations(degree)
    n_inversions = np.zeros(len(elements), dtype=np.int64)
    for i in range(degree):
        n_inversions += (elements[:, i : i + 1] > elements[:, i + 1 :]).sum(axis=1)
    return np.flatnonzero(n_inversions % 2 == 0)


def factors_of_name(name: str) -> list[tuple[str, int]]:
    """Return kind and number of every factor of a named group.

    Raises
    ------
    ConfigError
        If no such group is known.

    Examples
    --------
    >>> factors_of_name("C2xD59")
    [('cyclic', 2), ('dihedral', 59)]
    """
    return _factors(name)


@lru_cache(maxsize=16)
def _named_group(name: str) -> FiniteGroup:
    products = np.zeros((1, 1), dtype=np.int64)
    for word, n in _factors(name):
        products = _direct_product(products, _TABLES[word](n))
    products.setflags(write=False)
    return FiniteGroup(name, products)


def _factors(name: str) -> list[tuple[str, int]]:
    factors = []
    for part in re.split(r" *[x×*] *", name.strip().lower()):
        match = _FACTOR.fullmatch(part)
        word = _WORDS.get(match.group(1)) if match else None
        if match is None or word is None:
            raise ConfigError(
                f"group={shown(name)} is not known. Choose {_EXAMPLES}; or give its Cayley table "
                "as group_table."
            )
        given = match.group(2) or match.group(3)
        is_quaternion = word == "quaternion"
        if given is None and not is_quaternion:
            raise ConfigError(
                f"group={shown(name)} has no number. Write {word}(n), such as {word}(5)."
            )
        if is_quaternion and given not in (None, "8"):
            raise ConfigError(
                f"group={shown(name)} is not known. quaternion has eight elements; write "
                "dicyclic(n) for the generalized ones."
            )
        n = 8 if given is None else int(given[:9])
        repeats = int((match.group(4) or "1")[:3])
        _check_number(name, word, n)
        if not 1 <= repeats <= 12:
            raise ConfigError(f"group={shown(name)} has the power {repeats}. Use 1 to 12.")
        factors += [(word, n)] * repeats
    return factors


def _check_number(name: str, word: str, n: int) -> None:
    least = {"symmetric": 2, "alternating": 3, "dihedral": 2, "dicyclic": 2}.get(word, 2)
    most = LARGEST_DEGREE if word in ("symmetric", "alternating") else LARGEST_ORDER
    if not least <= n <= most:
        raise ConfigError(f"group={shown(name)} has n={n}. For {word}(n) use {least} to {most:,}.")
    is_of_prime = word in ("affine", "heisenberg")
    if is_of_prime and any(n % d == 0 for d in range(2, math.isqrt(n) + 1)):
        raise ConfigError(f"group={shown(name)} has p={n}, which is composite. Choose a prime p.")


def _order(word: str, n: int) -> int:
    return {
        "cyclic": n,
        "dihedral": 2 * n,
        "dicyclic": 4 * n,
        "quaternion": 8,
        "symmetric": math.factorial(min(n, 20)),
        "alternating": math.factorial(min(n, 20)) // 2,
        "affine": n * (n - 1),
        "heisenberg": n**3,
    }[word]


def _factor_name(word: str, n: int) -> str:
    return word if word == "quaternion" else f"{word}({n})"


def _direct_product(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    n, m = len(first), len(second)
    table = first[:, None, :, None] * m + second[None, :, None, :]
    return table.reshape(n * m, n * m)


def _cyclic(n: int) -> np.ndarray:
    index = np.arange(n)
    return (index[:, None] + index) % n


def _dihedral(n: int) -> np.ndarray:
    flip, turn = np.divmod(np.arange(2 * n), n)
    turns = (turn[:, None] + np.where(flip[:, None] == 1, -turn, turn)) % n
    return (flip[:, None] ^ flip) * n + turns


def _dicyclic(n: int) -> np.ndarray:
    flip, turn = np.divmod(np.arange(4 * n), 2 * n)
    turns = turn[:, None] + np.where(flip[:, None] == 1, -turn, turn) + n * (flip[:, None] & flip)
    return (flip[:, None] ^ flip) * 2 * n + turns % (2 * n)


def _alternating(degree: int) -> np.ndarray:
    even = alternating_elements(degree)
    index = np.full(math.factorial(degree), -1, dtype=np.int64)
    index[even] = np.arange(len(even))
    return index[composition_table(degree)[np.ix_(even, even)]]


def _affine(p: int) -> np.ndarray:
    u, v = np.divmod(np.arange(p * (p - 1)), p)
    u = u + 1
    return (u[:, None] * u % p - 1) * p + (u[:, None] * v + v[:, None]) % p


def _heisenberg(p: int) -> np.ndarray:
    index = np.arange(p**3)
    x, y, z = index // p**2, index // p % p, index % p
    sums = [(c[:, None] + c) % p for c in (x, y)]
    corner = (z[:, None] + z + x[:, None] * y) % p
    return (sums[0] * p + sums[1]) * p + corner


_TABLES: dict[str, Callable[[int], np.ndarray]] = {
    "cyclic": _cyclic,
    "dihedral": _dihedral,
    "dicyclic": _dicyclic,
    "quaternion": lambda n: _dicyclic(2),
    "symmetric": lambda degree: composition_table(degree).astype(np.int64),
    "alternating": _alternating,
    "affine": _affine,
    "heisenberg": _heisenberg,
}
