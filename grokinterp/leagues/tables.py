"""Trajectories of many runs as one compressed table: what is shipped, and what a folder has.

A table is an .npz of float32 columns. ``runs`` is JSON: for each run its setting, the kind that was
planned, its config and its milestones. The columns of ``trajectory`` have a row for every measured
checkpoint, those of ``curves`` one for every test; ``trajectory/run`` and ``curves/run`` say of
which run. The shipped table is ``grokinterp/leagues/bank.npz``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from grokinterp.errors import ConfigError, RunFolderError
from grokinterp.leagues.bank import planned_settings
from grokinterp.leagues.making import TRAJECTORY_FILE
from grokinterp.leagues.measuring import packed_columns
from grokinterp.leagues.scores import Ending
from grokinterp.runs.atomic import write_atomically
from grokinterp.runs.config import TrainConfig

SHIPPED = "bank.npz"
CURVES = ("step", "train_loss", "test_loss", "train_accuracy", "test_accuracy")
WITHOUT_DELAY = ("generalized_without_delay", "generalized_before_memorizing")
"""Outcomes of runs that generalize, but do not grok."""


@dataclass(frozen=True, eq=False)
class BankTable:
    """Runs, their measures along the way and their curves."""

    runs: pd.DataFrame
    """A row per run: ``run`` (hash of its config), ``setting``, ``kind``, ``seed``, ``ending``,
    ``outcome_kind``, ``memorization_step``, ``grokking_step``, ``last_step``, ``config``."""
    trajectory: pd.DataFrame
    """``run`` (row of `runs`), ``step`` and the columns of the measures."""
    curves: pd.DataFrame
    """``run`` (row of `runs`), ``step``, losses and accuracies at every test."""

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Measures that there are values of."""
        return tuple(c for c in self.trajectory if c not in ("run", "step"))

    def trajectories(self) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
        """Go through the runs: the row of each and its trajectory."""
        parts = self._by_run
        for row, record in enumerate(self.runs.to_dict(orient="records")):
            if row in parts:
                yield {str(k): v for k, v in record.items()}, parts[row]

    @cached_property
    def _by_run(self) -> dict[Any, pd.DataFrame]:
        return dict(iter(self.trajectory.groupby("run", sort=False)))


def write_table(table: BankTable, file: Path) -> None:
    """Write a table, compressed; floats as float32."""
    columns = {
        "runs": np.frombuffer((table.runs.to_json(orient="records") or "").encode(), np.uint8)
    }
    for name in ("trajectory", "curves"):
        part: pd.DataFrame = getattr(table, name)
        columns |= {f"{name}/{column}": part[column].to_numpy() for column in part}
    write_atomically(file, packed_columns(columns))


def read_table(file: Path) -> BankTable:
    """Read what :func:`write_table` wrote.

    Raises
    ------
    RunFolderError
        If there is no such file, or it is no table.
    """
    try:
        return _table_of(file.read_bytes())
    except (OSError, ValueError, KeyError) as error:
        raise RunFolderError(
            f"{file} cannot be read as a table of runs ({type(error).__name__}). Make it with "
            "python -m grokinterp.league table BANK FILE."
        ) from None


@cache
def shipped_table() -> BankTable:
    """Return the runs of the bank that is shipped with the package."""
    return _table_of((files("grokinterp.leagues") / SHIPPED).read_bytes())


def _table_of(content: bytes) -> BankTable:
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        runs = pd.DataFrame(json.loads(stored["runs"].tobytes().decode()))
        parts: dict[str, dict[str, np.ndarray]] = {"trajectory": {}, "curves": {}}
        for name in stored.files:
            part, _, column = name.partition("/")
            if part in parts:
                parts[part][column] = stored[name]
    return BankTable(_with_steps(runs), *(pd.DataFrame(columns) for columns in parts.values()))


def _with_steps(runs: pd.DataFrame) -> pd.DataFrame:
    """Make steps floats, NaN where there is none, whatever the runs are."""
    return runs.astype(dict.fromkeys(("memorization_step", "grokking_step"), float))


def table_of_folder(folder: Path) -> BankTable:
    """Gather the runs under a folder that were measured.

    Raises
    ------
    RunFolderError
        If there is none.
    """
    from grokinterp.runs.stored_run import load_run

    planned = known_runs()
    runs, trajectories, curves = [], [], []
    for place in sorted(folder.glob(f"*/{TRAJECTORY_FILE}")):
        run = load_run(place.parent)
        row = len(runs)
        assert isinstance(run.config, TrainConfig)
        runs.append(_row_of(run, planned.get(run.config.hash(), {})))
        with np.load(place, allow_pickle=False) as stored:
            trajectory = {name: stored[name] for name in stored.files}
        trajectories.append(pd.DataFrame({"run": row, **trajectory}))
        tested = pd.DataFrame(run.curves.dropna(subset=["test_accuracy"]))
        curves.append(pd.DataFrame(tested[[*CURVES]]).assign(run=row))
    if not runs:
        raise RunFolderError(
            f"{folder} has no run with a {TRAJECTORY_FILE}. Make a bank there with python -m "
            f"grokinterp.league make {folder}."
        )
    return BankTable(
        _with_steps(pd.DataFrame(runs)),
        pd.concat(trajectories, ignore_index=True),
        pd.concat(curves, ignore_index=True),
    )


@cache
def known_runs() -> Mapping[str, dict[str, Any]]:
    """Setting, kind and seed of every run of the bank, by the hash of its config."""
    return {
        setting.with_seed(seed).hash(): {
            "setting": setting.name,
            "kind": setting.kind,
            "seed": seed,
        }
        for setting, seed in planned_settings()
    }


def _row_of(run: Any, planned: Mapping[str, Any]) -> dict[str, Any]:
    from grokinterp.trajectory.run_milestones import milestones_of

    found = milestones_of(run)
    labels = planned or {"setting": setting_of(run.config), "kind": None, "seed": None}
    return {
        "run": run.config.hash(),
        **labels,
        "ending": ending_of(run.config, labels["kind"], found.outcome_kind, found.grokking_step),
        "outcome_kind": found.outcome_kind,
        "memorization_step": found.memorization_step,
        "grokking_step": found.grokking_step,
        "last_step": int(run.steps[-1]),
        "config": run.config.to_dict(),
    }


def ending_of(
    config: Any, kind: str | None, outcome_kind: str | None, grokking_step: int | None
) -> Ending | Literal["no_delay"]:
    """Say how a run counts: by its curves where it groks, else by what there was to learn.

    A run that generalizes without delay does neither: ``no_delay``, which no league judges.
    """
    if outcome_kind in WITHOUT_DELAY:
        return "no_delay"
    if grokking_step is not None:
        return "groks"
    is_random = getattr(config.task, "operation", None) == "random_labels"
    return "cannot" if kind == "cannot" or is_random else "censored"


def setting_of(config: Any) -> str:
    """Name the configuration of a run that is none of the bank's: all but its seeds."""
    table = config.to_dict()
    for part, names in {"task": ("split_seed", "label_seed"), "model": ("init_seed",)}.items():
        for name in names:
            (table.get(part) or {}).pop(name, None)
    return json.dumps(table, sort_keys=True)


def check_folder(runs: Any) -> Path:
    """Return the folder of a bank.

    Raises
    ------
    ConfigError
        If it is no folder.
    """
    folder = Path(runs)
    if not folder.is_dir():
        raise ConfigError(
            f"runs={str(runs)!r} is no folder. Make one with python -m grokinterp.league make "
            f"{runs} --small."
        )
    return folder
