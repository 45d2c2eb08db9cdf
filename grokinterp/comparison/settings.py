"""What differs between the configs of runs, and the names that distinguish runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grokinterp.errors import ConfigError
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.run import Run

Fields = Mapping[str, Any]
"""Values of a config by dotted name, such as ``optimizer.weight_decay``."""

WATCHING = ("n_steps", "test_every", "checkpoint_every", "stop_accuracy", "stop_patience")
"""Fields that say how long and how closely a run is watched. They are no part of a setting: a
run that is stopped earlier is censored earlier."""

# Longer names are no better than those of folders.
_LONGEST_LABEL = 48


def config_fields(run: Run) -> dict[str, Any]:
    """Values of a run's config by dotted name; those that are not known are left out.

    A parent is represented by the hash of its config, a transformer by ``model.architecture``.

    Examples
    --------
    >>> config_fields(run)["optimizer.weight_decay"]
    1.0
    """
    config = run.config
    values = config.to_dict()
    parent = config.parent.hash() if isinstance(config, TrainConfig) and config.parent else None
    values["parent"] = parent
    flat: dict[str, Any] = {}
    for name, value in values.items():
        parts = value if isinstance(value, dict) else {"": value}
        flat |= {f"{name}.{part}".rstrip("."): _plain(v) for part, v in parts.items()}
    if run.is_imported:
        flat = {name: value for name, value in flat.items() if value is not None}
    return {**flat, **{k: flat.get(k, v) for k, v in _KINDS.items()}}


_KINDS = {"task.dataset": "pairs", "model.architecture": "transformer"}
"""What a task and a network are whose tables do not say it."""


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def differing_fields(configs: Sequence[Fields]) -> tuple[str, ...]:
    """Names of the fields that have two values among those which are known.

    Examples
    --------
    >>> differing_fields([{"n_steps": 9, "model.init_seed": 0}, {"n_steps": 9}])
    ()
    >>> differing_fields([{"task.p": 31, "n_steps": 9}, {"task.p": 29, "n_steps": 9}])
    ('task.p',)
    """
    names = dict.fromkeys(name for config in configs for name in config)
    return tuple(
        name for name in names if len({config[name] for config in configs if name in config}) > 1
    )


def is_seed(field: str) -> bool:
    """Whether a field is a seed: runs that differ in seeds alone have the same setting."""
    return field.rpartition(".")[2].endswith("seed")


def is_of_setting(field: str) -> bool:
    """Whether runs that differ in this field have different settings."""
    return not is_seed(field) and field not in WATCHING


def short_names(fields: Sequence[str]) -> dict[str, str]:
    """Last part of each dotted name, or all of it where two end alike.

    Examples
    --------
    >>> short_names(["optimizer.weight_decay", "pressures.seed", "task.seed"])
    {'optimizer.weight_decay': 'weight_decay', 'pressures.seed': 'pressures.seed', \
'task.seed': 'task.seed'}
    """
    last = [field.rpartition(".")[2] for field in fields]
    return {f: f if last.count(n) > 1 else n for f, n in zip(fields, last, strict=True)}


def describe(config: Fields, fields: Sequence[str]) -> str:
    """Return ``weight_decay=0.5, init_seed=1``: what a config has in some fields.

    Examples
    --------
    >>> describe({"task.p": 31, "loss": "mse"}, ["task.p", "optimizer.eps", "loss"])
    'p=31, eps not known, loss=mse'
    """
    return ", ".join(
        f"{name}={show_setting(config[field])}" if field in config else f"{name} not known"
        for field, name in short_names(fields).items()
    )


def show_setting(value: Any) -> str:
    """Text of a value as it would be typed: ``0.5``, ``none``, ``100-100`` for a tuple."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return "-".join(show_setting(part) for part in value)
    return "none" if value is None else str(value)


@dataclass(frozen=True)
class Settings:
    """Which runs have the same setting, and what each run and each setting is called."""

    fields: tuple[str, ...]
    """Fields that differ between the runs, in the order of a config, and those of `by`."""
    of_setting: tuple[str, ...]
    """Those that make the setting: neither seeds nor for how long a run is watched, or `by`."""
    settings: tuple[str, ...]
    """Name of the setting of each run; ``""`` where all runs have the same."""
    labels: tuple[str, ...]
    """The shortest name that distinguishes each run."""


def find_settings(
    configs: Sequence[Fields], names: Sequence[str], by: str | Sequence[str] | None = None
) -> Settings:
    """Find what differs between runs, group them by it, and name them.

    Parameters
    ----------
    configs
        Of :func:`config_fields`.
    names
        A different name for each run, such as that of its folder: the label where configs
        do not distinguish runs, or only in many words.
    by
        Fields that make the setting; None: all that differ but seeds and :data:`WATCHING`.

    Raises
    ------
    ConfigError
        If no config has a field of `by`.

    Examples
    --------
    >>> rows = [(0, 0), (0, 1), (1, 0), (1, 1)]
    >>> configs = [{"optimizer.weight_decay": w, "model.init_seed": s} for w, s in rows]
    >>> found = find_settings(configs, ["a", "b", "c", "d"])
    >>> found.labels[1], found.settings[1]
    ('weight_decay=0, init_seed=1', 'weight_decay=0')
    """
    fields = differing_fields(configs)
    if by is None:
        of_setting = tuple(field for field in fields if is_of_setting(field))
    else:
        of_setting = _known_fields(configs, (by,) if isinstance(by, str) else tuple(by))
    return Settings(
        fields=tuple(dict.fromkeys((*of_setting, *fields))),
        of_setting=of_setting,
        settings=tuple(describe(config, of_setting) for config in configs),
        labels=_labels(configs, names, fields, of_setting),
    )


def _known_fields(configs: Sequence[Fields], by: tuple[str, ...]) -> tuple[str, ...]:
    """Full names of fields, each of which may be given by its last part alone."""
    known = dict.fromkeys(name for config in configs for name in config)
    found = []
    for given in by:
        fitting = [n for n in known if n == given or n.rpartition(".")[2] == given]
        if given in known:
            fitting = [given]
        if len(fitting) != 1:
            near = ", ".join(fitting or differing_fields(configs)) or "none differs"
            problem = "is the end of several fields" if fitting else "is no field of these configs"
            raise ConfigError(f"by={given!r} {problem}. Choose one of {near}.")
        found += fitting
    return tuple(dict.fromkeys(found))


def _labels(
    configs: Sequence[Fields],
    names: Sequence[str],
    fields: Sequence[str],
    of_setting: Sequence[str],
) -> tuple[str, ...]:
    """Name runs by as few fields as distinguish them, or else by their own names."""
    others = [field for field in fields if field not in of_setting]
    told_apart: list[str] = []
    # What makes a setting says more than a seed, and a seed more than a length.
    for field in (*of_setting, *sorted(others, key=is_seed, reverse=True)):
        if _n_groups(configs, [*told_apart, field]) > _n_groups(configs, told_apart):
            told_apart.append(field)
    labels = [describe(config, told_apart) for config in configs]
    if any(len(label) > _LONGEST_LABEL for label in labels) or len(set(labels)) == 1:
        return tuple(names)
    return tuple(
        label if labels.count(label) == 1 else f"{label} ({name})"
        for label, name in zip(labels, names, strict=True)
    )


def _n_groups(configs: Sequence[Fields], fields: Sequence[str]) -> int:
    missing = object()
    return len({tuple(config.get(field, missing) for field in fields) for config in configs})
