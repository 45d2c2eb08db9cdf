"""Fields of a spec: their types and values, checked where a spec is made, from code or JSON."""

from __future__ import annotations

import dataclasses
import math
import os
import types
from collections.abc import Iterable, Mapping
from functools import cache
from numbers import Integral, Real
from os import PathLike
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from grokinterp.errors import ConfigError

MOST_SHOWN = 60
"""Characters of a value that a message shows."""
LARGEST_SIZE = 2**16
"""Most neurons, dimensions or heads that one field may ask for."""
Number = float | int | str | bool | None
"""A value of a table's cell as JSON has it; None where there is none, never NaN."""


def check_types(spec: Any) -> None:
    """Refuse a spec with a field of the wrong type; called first in every ``__post_init__``.

    The types are the annotations of the fields. Numbers of numpy become those of Python, a
    whole number given for a ``float`` becomes one, a list given for a tuple a tuple. Numbers
    are finite, and a ``bool`` is no number.

    Raises
    ------
    ConfigError
        With the field, its value and what it takes.

    Examples
    --------
    >>> import numpy as np
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Spec:
    ...     p: int
    ...     train_fraction: float
    ...     def __post_init__(self):
    ...         check_types(self)
    >>> spec = Spec(p=np.int64(59), train_fraction=np.float32(0.5))
    >>> type(spec.p), type(spec.train_fraction)
    (<class 'int'>, <class 'float'>)
    """
    for name, kind in _kinds_of(type(spec)).items():
        value = getattr(spec, name)
        plain = checked(name, value, kind)
        if plain is not value:
            object.__setattr__(spec, name, plain)


def checked(name: str, value: Any, kind: Any, remedy: str = "") -> Any:
    """Return a value as its type has it: a field, or an argument of a public function.

    Parameters
    ----------
    name
        What the message calls it.
    value
        What was given.
    kind
        ``bool``, ``int``, ``float``, ``str``, a ``Literal``, a tuple of these, a class, or a
        union of them.
    remedy
        What else to do about it, in a sentence.

    Raises
    ------
    ConfigError
        If it is of another type.

    Examples
    --------
    >>> checked("betas", [0.9, 1], tuple[float, float])
    (0.9, 1.0)
    """
    plain = _plain(value, kind)
    if plain is not _MISFIT:
        return plain
    words = tuple(word for one in _alternatives(kind) for word in _choices_of(one))
    if words:
        raise ConfigError(
            f"{name}={shown(value)} is not known. Choose one of {', '.join(map(str, words))}."
        )
    if isinstance(value, (float, np.floating)) and not math.isfinite(value):
        raise ConfigError(f"{name}={float(value)} is not allowed. It takes {_in_words(kind)}.")
    fact = f"{name}={shown(value)} is of the wrong type. It takes {_in_words(kind)}."
    raise ConfigError(f"{fact} {remedy}".rstrip())


def later_field(default: Any) -> Any:
    """Field of a spec that came after configs were first written; see :func:`settled`.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Spec:
    ...     p: int = 113
    ...     normalization: str = later_field("none")
    >>> settled(Spec()), settled(Spec(normalization="LN"))
    ({'p': 113}, {'p': 113, 'normalization': 'LN'})
    """
    return dataclasses.field(default=default, metadata={_LATER: True})


def settled(spec: Any) -> dict[str, Any]:
    """Fields of a spec as a nested table, without later fields that have their default.

    A digest of this names the same config before and after a field was added, so that finished
    sweeps are still found. A table of answers is represented by its name.
    """
    table: dict[str, Any] = {}
    for field in dataclasses.fields(spec):
        value = getattr(spec, field.name)
        if field.metadata.get(_LATER) and value == field.default:
            continue
        table[field.name] = settled(value) if dataclasses.is_dataclass(value) else in_json(value)
    return table


def in_json(value: Any) -> Any:
    """Return a field's value as JSON can hold it: a table of answers becomes its name.

    Examples
    --------
    >>> in_json((0.9, 0.98)), in_json(None)
    ((0.9, 0.98), None)
    """
    is_plain = value is None or isinstance(value, bool | int | float | str | tuple | list | dict)
    return value if is_plain else str(value)


def require(spec: Any, name: str, is_fine: bool, remedy: str) -> None:
    """Refuse a field's value unless it is fine.

    Raises
    ------
    ConfigError
        With the field, its value and the remedy.
    """
    if not is_fine:
        raise ConfigError(f"{name}={shown(getattr(spec, name))} is not allowed. {remedy}")


def require_sizes(spec: Any, *names: str) -> None:
    """Refuse a spec with a size that is below 1, or larger than any network here can be.

    Raises
    ------
    ConfigError
        With the field and its value.
    """
    for name in names:
        value = getattr(spec, name)
        if value < 1:
            raise ConfigError(f"{name}={value} is too small. It must be at least 1.")
        if value > LARGEST_SIZE:
            raise ConfigError(
                f"{name}={shown(value)} is too large. It must be at most {LARGEST_SIZE:,}."
            )


def check_seed(name: str, seed: int) -> None:
    """Refuse a seed that torch's and numpy's generators do not all take.

    Raises
    ------
    ConfigError
        If it is negative or has more than 63 bits.
    """
    if not 0 <= seed < 2**63:
        raise ConfigError(f"{name}={shown(seed)} is outside 0 .. 2**63 - 1.")


def build(part: type, values: Any, where: str) -> Any:
    """Make a config dataclass of a table read from JSON; nested tables are built already.

    Raises
    ------
    ConfigError
        If a field is unknown, of the wrong type, or its value is not allowed.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} is {type(values).__name__}, not a table of fields.")
    kinds = _kinds_of(part)
    for name in values:
        if name not in kinds:
            raise ConfigError(
                f"{where} has an unknown field {shown(name)}. Known: {', '.join(kinds)}."
            )
    # JSON knows lists and no tuples, so values are brought to their types before the call.
    return part(**{name: checked(name, value, kinds[name]) for name, value in values.items()})


def shown(value: Any) -> str:
    """Return the repr of a value on one line, cut where it is long.

    Examples
    --------
    >>> from pathlib import Path
    >>> shown(Path("sums.csv")), shown([1] * 100)
    ("'sums.csv'", '[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,...')
    """
    if isinstance(value, PathLike):
        value = os.fspath(value)
    # A string may be a file's whole content, and a number may have more digits than Python prints.
    if isinstance(value, str):
        value = value[: 2 * MOST_SHOWN]
    try:
        text = " ".join(repr(value).split())
    except Exception:  # the repr of somebody's object may fail
        text = f"<{type(value).__name__}>"
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 3]}..."


def plain_number(value: Any) -> Number:
    """Return a number of numpy, pandas or torch as Python's own.

    NaN, pandas's NA and infinity become None, since JSON has none of them; texts stay texts.

    Examples
    --------
    >>> import numpy as np
    >>> plain_number(np.float32(0.5)), plain_number(np.int64(3)), plain_number(float("nan"))
    (0.5, 3, None)
    """
    if hasattr(value, "item"):
        value = value.item()
    # By name, since importing pandas would take this module half a second.
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return None if isinstance(value, float) and not math.isfinite(value) else value


_LATER = "came later"
_MISFIT = object()
_NUMBER_WORDS = ("no", "one", "two", "three", "four")


@cache
def _kinds_of(spec: type) -> dict[str, Any]:
    """Type of every field; annotations are strings until somebody asks."""
    hints = get_type_hints(spec)
    return {f.name: hints[f.name] for f in dataclasses.fields(spec)}


def _plain(value: Any, kind: Any) -> Any:
    """The value as `kind` has it, or _MISFIT."""
    alternatives = _alternatives(kind)
    if len(alternatives) > 1:
        fits = (_plain(value, one) for one in alternatives)
        return next((plain for plain in fits if plain is not _MISFIT), _MISFIT)
    if kind is Any:
        return value
    if get_origin(kind) is Literal:
        return str(value) if isinstance(value, str) and value in get_args(kind) else _MISFIT
    if get_origin(kind) is tuple:
        return _plain_tuple(value, get_args(kind))
    if kind is bool:
        return bool(value) if isinstance(value, (bool, np.bool_)) else _MISFIT
    if kind in (int, float) and isinstance(value, bool):
        return _MISFIT
    if kind is int:
        # The very object, where it is one already: a spec that is fine is not written to.
        if type(value) is int:
            return value
        return int(value) if isinstance(value, Integral) else _MISFIT
    if kind is float:
        return _plain_float(value)
    return value if isinstance(value, kind) else _MISFIT


def _plain_float(value: Any) -> Any:
    if not isinstance(value, Real):
        return _MISFIT
    try:
        number = value if type(value) is float else float(value)
    except (OverflowError, ValueError):  # a whole number that no float can hold
        return _MISFIT
    return number if math.isfinite(number) else _MISFIT


def _plain_tuple(value: Any, kinds: tuple[Any, ...]) -> Any:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        return _MISFIT
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(value) != len(kinds):
        return _MISFIT
    plain = tuple(_plain(one, kind) for one, kind in zip(value, kinds, strict=True))
    if any(one is _MISFIT for one in plain):
        return _MISFIT
    is_same = isinstance(value, tuple) and all(a is b for a, b in zip(plain, value, strict=True))
    return value if is_same else plain


def _alternatives(kind: Any) -> tuple[Any, ...]:
    is_union = get_origin(kind) in (Union, types.UnionType)
    return get_args(kind) if is_union else (kind,)


def _choices_of(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _in_words(kind: Any) -> str:
    alternatives = _alternatives(kind)
    if len(alternatives) > 1:
        words = [_in_words(one) for one in alternatives if one is not type(None)]
        text = ", ".join(words[:-1]) + (" or " if words[:-1] else "") + words[-1]
        return f"{text}, or None" if type(None) in alternatives else text
    if get_origin(kind) is tuple:
        first, *others = get_args(kind)
        plural = {int: "whole numbers", float: "finite numbers", str: "strings"}[first]
        if Ellipsis in others:
            return f"a list of {plural}"
        return f"{_NUMBER_WORDS[1 + len(others)]} {plural}"
    names: dict[Any, str] = {
        bool: "True or False",
        int: "a whole number",
        float: "a finite number",
        str: "a string",
        PathLike: "a path",
        Iterable: "a list",
    }
    name = getattr(kind, "__name__", str(kind))
    return names.get(kind, f"{'an' if name[0] in 'AEIOU' else 'a'} {name}")
