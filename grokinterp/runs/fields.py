"""Fields of a config: checked one by one, and read back from the tables of a config.json."""

from __future__ import annotations

import dataclasses
import math
import sys
from typing import Any

from grokinterp.errors import ConfigError


def require(spec: Any, name: str, is_fine: bool, remedy: str) -> None:
    """Refuse a field's value unless it is fine and, if a number, finite.

    Raises
    ------
    ConfigError
        With the field, its value and the remedy.
    """
    value = getattr(spec, name)
    is_number = isinstance(value, (int, float))
    # A NaN compares false with everything, so it fails every bound; infinity does not.
    if not is_fine or (is_number and not math.isfinite(value)):
        raise ConfigError(f"{name}={value} is not allowed. {remedy}")


def build(part: type, values: Any, where: str) -> Any:
    """Make a config dataclass of a table read from JSON; nested tables are built already.

    Raises
    ------
    ConfigError
        If a field is unknown, of the wrong type, or its value is not allowed.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where} is {type(values).__name__}, not a table of fields.")
    known = {f.name: f for f in dataclasses.fields(part)}
    for name in values:
        if name not in known:
            raise ConfigError(f"{where} has an unknown field {name!r}. Known: {', '.join(known)}.")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    for name, value in values.items():
        if not _has_type(value, str(known[name].type)):
            raise ConfigError(
                f"{where} has {name}={value!r}, which is of the wrong type; it takes "
                f"{known[name].type}."
            )
    return part(**values)


def _has_type(value: Any, annotation: str) -> bool:
    """Whether a value read from JSON fits a field."""
    if annotation.endswith(" | None"):
        return value is None or _has_type(value, annotation.removesuffix(" | None"))
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if annotation == "bool":
        return isinstance(value, bool)
    if annotation == "int":
        return is_whole
    if annotation == "float":
        # JSON has whole numbers that no float can hold.
        return isinstance(value, float) or (is_whole and abs(value) <= sys.float_info.max)
    if annotation == "tuple[int, ...]":
        return isinstance(value, tuple) and all(_has_type(n, "int") for n in value)
    if annotation.startswith("tuple"):
        numbers = value if isinstance(value, tuple) else ()
        return (
            len(numbers) == annotation.count("float") == sum(_has_type(n, "float") for n in numbers)
        )
    # The other fields are choices, which are text, and tables.
    return isinstance(value, str) or dataclasses.is_dataclass(value)
