"""Which configs the bank says anything about."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from grokinterp.leagues.tables import shipped_table

SPREAD = {
    "task.p": math.log(1.35),
    "task.train_fraction": 0.16,
    "optimizer.learning_rate": math.log(2.01),
    "optimizer.weight_decay": math.log(2.01),
}
"""How far from a config of the bank one may lie: in the logarithm, of the fraction as it is."""
IGNORED = frozenset(
    {
        *("task.split_seed", "task.label_seed", "model.init_seed", "batch_seed", "pressures.seed"),
        *("n_steps", "test_every", "checkpoint_every", "stop_accuracy", "stop_patience"),
    }
)
"""Settings that change which run it is, or what is recorded of it, and not how runs go."""
_ANYWHERE = frozenset({"task.operation", "task.split_unit"})
"""Settings that need to occur in the bank, but not together with all the others."""
_MOST_NAMED = 3


def why_not_covered(config: Mapping[str, Any]) -> str:
    """Say which settings of a config lie outside of the bank; empty where the bank covers it.

    A config is covered if some config of the bank has the same settings but seeds and lengths,
    and is near in the four numbers of :data:`SPREAD`. Operation and unit of the split need to
    occur in the bank, with whatever other settings.

    Examples
    --------
    >>> import dataclasses
    >>> why_not_covered(gi.PRESETS["quick"].to_dict())
    ''
    >>> why_not_covered(gi.PRESETS["nanda2023"].to_dict())[:30]
    'p=113 (in the bank: 23 to 59),'
    """
    if "operation" not in config.get("task", {}):
        return "its task is not one on pairs of tokens"
    if config.get("parent") is not None:
        return "it starts from the weights of another run"
    if config["task"]["operation"] == "table":
        return "its answers are a table, which may have any structure"
    asked = flat(config)
    alike = [one for one in _bank() if _kind(one) == _kind(asked)]
    if not alike:
        return f"no network of the bank is a {_kind(asked)}"
    outside = [text for name in asked if (text := _outside(name, asked, alike))]
    if outside:
        more = len(outside) - _MOST_NAMED
        rest = f", and {more} more" if more > 0 else ""
        return ", ".join(outside[:_MOST_NAMED]) + rest
    strange = min((_strange(asked, one) for one in alike), key=len)
    if strange:
        together = ", ".join(f"{_short(name)}={_in_words(asked[name])}" for name in strange)
        return f"no config of the bank is near this combination: {together}"
    return ""


def _strange(asked: Mapping[str, Any], one: Mapping[str, Any]) -> list[str]:
    """Settings in which a config is not near one of the bank."""
    far = [name for name, distance in _distances(asked, one) if distance > SPREAD[name]]
    others = (name for name in asked if name not in SPREAD and name not in _ANYWHERE)
    return [*far, *(name for name in others if asked[name] != one.get(name))]


def flat(config: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return the settings of a config under names with points.

    Examples
    --------
    >>> flat({"task": {"p": 23}, "widths": [4, 4], "loss": "mse"})
    {'task.p': 23, 'widths': (4, 4), 'loss': 'mse'}
    """
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{name}.")
        elif f"{before}{name}" not in IGNORED:
            is_list = isinstance(value, Sequence) and not isinstance(value, str)
            found[f"{before}{name}"] = tuple(value) if is_list else value
    return found


@cache
def _bank() -> tuple[dict[str, Any], ...]:
    configs = shipped_table().runs["config"]
    found = (flat(one) for one in configs if one["task"]["operation"] != "table")
    return tuple({tuple(sorted(one.items(), key=str)): one for one in found}.values())


def _kind(settings: Mapping[str, Any]) -> str:
    return str(settings.get("model.architecture", "transformer"))


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _outside(name: str, asked: Mapping[str, Any], bank: list[dict[str, Any]]) -> str:
    value = asked[name]
    seen: list[Any] = [one.get(name) for one in bank]
    if name in SPREAD:
        near = (one for one in bank if dict(_distances(asked, one))[name] <= SPREAD[name])
        if any(near):
            return ""
        return f"{_short(name)}={value:g} (in the bank: {min(seen):g} to {max(seen):g})"
    if value in seen:
        return ""
    known = dict.fromkeys(map(_in_words, seen))
    return f"{_short(name)}={_in_words(value)} (in the bank: {', '.join(known)})"


def _in_words(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _distances(asked: Mapping[str, Any], one: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name in SPREAD:
        a, b = float(asked[name]), float(one[name])
        if name == "task.train_fraction":
            yield name, abs(a - b)
        elif min(a, b) <= 0:
            yield name, 0.0 if a == b else math.inf
        else:
            yield name, abs(math.log(a / b))
