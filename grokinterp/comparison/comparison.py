"""Many runs: what differs between them, and what came of it, a row for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from grokinterp.comparison.settings import Fields, Settings, config_fields, find_settings
from grokinterp.reprs import MOST_LISTED, card_repr, in_lines
from grokinterp.trajectory.analysis import Analysis
from grokinterp.trajectory.recorded import has_recorded

STEP_COLUMNS = (
    "memorization_step",
    "first_crossing_step",
    "grokking_step",
    "censored_at",
    "grokking_delay",
    "transition_width",
)
FINAL_COLUMNS = (
    "train_loss",
    "test_loss",
    "train_accuracy",
    "test_accuracy",
    "restricted_loss_test",
    "excluded_loss_train",
    "sum_squared_weights",
    "gini_W_E",
    "gini_W_L",
    "fraction_logit_variance_explained",
    "fraction_single_frequency_neurons",
    "fraction_single_representation_neurons",
    "effective_rank_W_E",
)
"""Measures of the last checkpoint, where a run has them."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Analyses side by side, with what differs between their configs."""

    analyses: tuple[Analysis, ...]
    names: tuple[str, ...]
    """A different name for each run: that of its folder or file where it has one."""
    by: tuple[str, ...] | None = None
    """Fields that make a setting; None for all that differ but seeds and lengths."""
    configs: tuple[Fields, ...] = field(init=False)
    """Values of each config by dotted name."""
    settings: Settings = field(init=False)
    """What differs, which runs have the same setting, and what they are called."""
    table: pd.DataFrame = field(init=False)
    """One row per run; see :func:`~grokinterp.comparison.compare`."""

    def __post_init__(self) -> None:
        configs = tuple(config_fields(analysis.run) for analysis in self.analyses)
        for name, value in (
            ("configs", configs),
            ("settings", find_settings(configs, self.names, self.by)),
        ):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "table", _table(self))

    def __repr__(self) -> str:
        kinds = dict(zip(self.labels, self.table["outcome_kind"], strict=True))
        rows = dict(list(kinds.items())[:MOST_LISTED])
        if len(kinds) > len(rows):
            rows["..."] = f"and {len(kinds) - len(rows)} more"
        came = f"{self.n_generalized} generalized, {self.n_censored} not by their last step"
        return in_lines(f"Comparison of {len(kinds)} runs: {came}", rows)

    _repr_html_ = card_repr

    @property
    def labels(self) -> tuple[str, ...]:
        """The shortest name that distinguishes each run."""
        return self.settings.labels

    def steps_of(self, column: str) -> np.ndarray:
        """Return a column of steps of the table as float64, NaN where there is none."""
        return self.table[column].to_numpy(dtype=np.float64, na_value=np.nan)

    @property
    def n_generalized(self) -> int:
        """Runs that have a grokking step."""
        return int(np.isfinite(self.steps_of("grokking_step")).sum())

    @property
    def n_censored(self) -> int:
        """Runs that never grokked, as far as they were seen."""
        return int(np.isfinite(self.steps_of("censored_at")).sum())

    def groups(self) -> dict[str, list[int]]:
        """Positions of the runs of each setting, settings in the order of their values."""
        found: dict[str, list[int]] = {}
        for position in self._ordered():
            found.setdefault(self.settings.settings[position], []).append(position)
        return found

    def values_of(self, name: str) -> list[Any]:
        """Value of a config field for each run; None where it is not known."""
        return [config.get(name) for config in self.configs]

    def _ordered(self) -> list[int]:
        columns = [self.values_of(name) for name in self.settings.of_setting]
        return sorted(
            range(len(self.analyses)), key=lambda i: tuple(_rank(values[i]) for values in columns)
        )


def names_of(paths: Sequence[Path | None]) -> tuple[str, ...]:
    """Return the ends of paths that distinguish them; ``run 2`` for the second if it has none.

    Examples
    --------
    >>> names_of([Path("a/ckpts"), Path("b/ckpts"), None])
    ('a/ckpts', 'b/ckpts', 'run 3')
    """
    parts = [() if path is None else path.resolve().parts for path in paths]
    depth, longest = 1, max(map(len, parts), default=0)
    named = [part for part in parts if part]
    while depth < longest and len({part[-depth:] for part in named}) < len(named):
        depth += 1
    return tuple(
        Path(*part[-depth:]).as_posix() if part else f"run {position}"
        for position, part in enumerate(parts, start=1)
    )


def _table(compared: Comparison) -> pd.DataFrame:
    rows = [_row(analysis) for analysis in compared.analyses]
    table: dict[str, Any] = {"run": list(compared.labels)}
    table |= {name: column_of(compared.values_of(name)) for name in compared.settings.fields}
    for name in rows[0]:
        values = [row[name] for row in rows]
        if name in _ALWAYS or any(value is not None for value in values):
            table[name] = column_of(values, is_step=name in STEP_COLUMNS)
    return pd.DataFrame(table)


_ALWAYS = ("outcome_kind", *STEP_COLUMNS, "key_frequencies", "algorithm", "folder")


def column_of(values: list[Any], *, is_step: bool = False) -> pd.Series:
    """Make a column that keeps whole numbers whole where some are missing."""
    known = [value for value in values if value is not None]
    if is_step or (known and all(type(value) is int for value in known)):
        return pd.Series(values, dtype="Int64")
    if known and all(type(value) in (int, float) for value in known):
        return pd.Series(values, dtype="float64")
    return pd.Series(values, dtype=object)


def _row(analysis: Analysis) -> dict[str, Any]:
    run, milestones, keys = analysis.run, analysis.milestones, analysis.key_frequencies
    has_representations = run.task.has_representations
    steps = {**vars(milestones), "censored_at": censored_at(analysis)}
    return {
        "outcome_kind": milestones.outcome_kind,
        **{name: steps[name] for name in STEP_COLUMNS},
        "key_frequencies": () if has_representations else keys.frequencies,
        "key_representations": (keys.names or ()) if has_representations else None,
        "algorithm": analysis.algorithm.verdict,
        **{name: analysis.final.get(name) for name in FINAL_COLUMNS},
        "n_checkpoints": len(run.steps),
        "last_step": run.last_step,
        "folder": None if run.folder is None else str(run.folder),
    }


def censored_at(analysis: Analysis) -> int | None:
    """Last step of a run that never grokked; None for one that did, and where it is not known.

    A test accuracy that is above its threshold where the record begins says nothing about
    later: that run is not censored from above.
    """
    run = analysis.run
    if analysis.milestones.grokking_step is not None:
        return None
    table = run.curves if has_recorded(run, "test_accuracy") else analysis.trajectory
    if "test_accuracy" not in table:
        return None
    accuracies = table["test_accuracy"].dropna().to_numpy(dtype=float)
    if not len(accuracies) or accuracies[0] > analysis.thresholds.grokking:
        return None
    return run.last_step


def _rank(value: Any) -> tuple[int, float, str]:
    """Order of values of any kind: numbers by size, then words, then what is not known."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return 0, float(value), ""
    return (2, 0.0, "") if value is None else (1, 0.0, str(value))
