"""The runs of the shipped bank, and those of other people's grids, as forecasts see them."""

from __future__ import annotations

from functools import cache
from os import PathLike
from pathlib import Path

import numpy as np
import pandas as pd

from grokinterp.errors import RunFolderError
from grokinterp.forecasting.states import FollowedRun, features_of_config, setting_features
from grokinterp.leagues.tables import BankTable, shipped_table

_CURVES = ("step", "train_loss", "test_loss", "train_accuracy", "test_accuracy")


def followed_runs(table: BankTable) -> tuple[FollowedRun, ...]:
    """Return the runs of a table, each with what became of it."""
    curves = dict(iter(table.curves.groupby("run", sort=False)))
    return tuple(
        _followed(row, curves[number])
        for number, row in enumerate(table.runs.to_dict(orient="records"))
        if number in curves
    )


def _followed(row: dict, curves: pd.DataFrame) -> FollowedRun:
    grokked, known = row["grokking_step"], features_of_config(row["config"])
    return FollowedRun(
        # What a model cannot tell apart, such as addition and subtraction, is one configuration.
        " ".join(f"{name}={value:.4g}" for name, value in known.items()),
        known,
        row["config"]["task"]["n_answers"] or row["config"]["task"]["p"],
        *(curves[name].to_numpy(dtype=float) for name in _CURVES),
        grokking_step=None if pd.isna(grokked) else float(grokked),
        last_step=None if row["ending"] == "cannot" else float(row["last_step"]),
    )


@cache
def bank() -> tuple[FollowedRun, ...]:
    """Return the runs of the shipped bank."""
    return followed_runs(shipped_table())


@cache
def longest_followed() -> int:
    """Steps for which the bank's longest runs that did not grok were followed."""
    return round(max(run.last_step for run in bank() if run.status == 1 and run.last_step))


def runs_of_grid(folder: str | PathLike[str]) -> tuple[FollowedRun, ...]:
    """Read the runs of a grid that :func:`grokinterp.leagues.curves_of_grid` reads too.

    Raises
    ------
    RunFolderError
        If the folder has no such file.
    """
    places = sorted(Path(folder).glob("*.npz"))
    if not places:
        raise RunFolderError(f"{folder} has no .npz file of runs. Name the folder of a grid.")
    found: list[FollowedRun] = []
    for place in places:
        with np.load(place, allow_pickle=False) as stored:
            columns = {name: stored[name] for name in stored.files}
        found += _runs_of_file(place.stem, columns)
    return tuple(found)


def _runs_of_file(setting: str, columns: dict[str, np.ndarray]) -> list[FollowedRun]:
    known = setting_features(
        is_transformer="n_heads" in columns,
        p=int(columns["p"]),
        train_fraction=float(columns["alpha"]),
        learning_rate=float(columns["lr"]),
        weight_decay=float(columns["lam"]),
    )
    steps = columns["steps"].astype(float)
    along = ("train_loss", "test_loss", "train_acc", "test_acc")
    return [
        FollowedRun(
            setting,
            known,
            int(columns["p"]),
            steps,
            *(columns[name][seed].astype(float) for name in along),
            grokking_step=float(grokked) if grokked > 0 else None,
            last_step=float(steps[-1]),
        )
        for seed, grokked in enumerate(columns["T_grok_per_seed"])
    ]
