"""Memorizing and generalizing networks under one weight decay: their laws, and where they meet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from grokinterp.errors import ConfigError
from grokinterp.experiments.chart import Chart, Mark, Series
from grokinterp.experiments.experiment import Number, plain_number
from grokinterp.laws.power_law import PowerLaw, fit_power_law

CONVERGED_LOSS, CONVERGED_DRIFT = 1e-5, 0.03
"""A memorizing run is at rest below this training loss and this drift of its norm."""
HELD_ACCURACY, SHARE_OF_SUM = 0.95, 0.95
"""A generalizing run is nothing but the circuit above these."""
FORGOTTEN_ACCURACY = 0.5
MIN_POINTS = 4
MIN_SIZES = {"memorizing": 3, "generalizing": 2}


Row = dict[str, Any]
"""A row of the table of runs."""


@dataclass(frozen=True, eq=False)
class Circuits:
    """Both circuits at one weight decay."""

    weight_decay: float
    memorizing: list[Row]
    """Runs on random labels that have come to rest."""
    unconverged: list[Row]
    """The others."""
    held: list[Row]
    """Continued runs that are nothing but the trigonometric circuit."""
    lost: list[Row]
    """The others."""
    laws: Mapping[str, PowerLaw | None]
    """Norm against size, of ``memorizing`` and of ``generalizing``; None with too few points."""
    critical_sizes: Mapping[int, float]
    """By seed: size at which both circuits have the same norm."""

    @classmethod
    def of(cls, table: pd.DataFrame, weight_decay: float) -> Circuits:
        """Select the runs of a weight decay and fit both laws."""
        runs = [row for row in rows_of(table) if row["weight_decay"] == weight_decay]
        random = [row for row in runs if row["circuit"] == "memorizing"]
        continued = [row for row in runs if row["circuit"] == "generalizing"]
        memorizing, held = [r for r in random if _is_at_rest(r)], [r for r in continued if _held(r)]
        law = _law(memorizing, "memorizing")
        return cls(
            weight_decay,
            memorizing,
            [row for row in random if not _is_at_rest(row)],
            held,
            [row for row in continued if not _held(row)],
            {"memorizing": law, "generalizing": _law(held, "generalizing")},
            _critical_sizes(law, held),
        )

    @property
    def continued(self) -> list[Row]:
        """All continued runs, whether they held their answers or not."""
        return [*self.held, *self.lost]

    @property
    def critical_size(self) -> float | None:
        """D_crit: geometric mean over seeds; None where no seed has both circuits."""
        sizes = list(self.critical_sizes.values())
        return math.exp(float(np.mean(np.log(sizes)))) if sizes else None

    @property
    def forgetting(self) -> tuple[int | None, int | None]:
        """D_low, D_high: sizes up to which every run forgets, and from which every one keeps."""
        accuracies: dict[int, list[float]] = {}
        for row in self.continued:
            accuracies.setdefault(int(row["n_train"]), []).append(row["late_accuracy"])
        sizes = sorted(accuracies)
        forgets = [all(a < FORGOTTEN_ACCURACY for a in accuracies[size]) for size in sizes]
        keeps = [all(a > HELD_ACCURACY for a in accuracies[size]) for size in sizes]
        low = [size for i, size in enumerate(sizes) if all(forgets[: i + 1])]
        high = [size for i, size in enumerate(sizes) if all(keeps[i:])]
        return max(low, default=None), min(high, default=None)

    @property
    def logit_crossing(self) -> float | None:
        """Size at which both circuits give the same logit per norm, by a power law."""
        if not self.held or len(self.memorizing) < MIN_POINTS:
            return None
        try:
            law = fit_power_law(
                _column(self.memorizing, "n_train"),
                _column(self.memorizing, "logit_per_norm"),
                ["all"] * len(self.memorizing),
            )
        except ConfigError:
            return None
        if law.exponent >= 0:
            return None
        return law.crossing("all", median(_column(self.held, "logit_per_norm")))

    def row(self) -> dict[str, Number]:
        """Return the figures of the comparison as a row of a table."""
        low, high = self.forgetting
        row: dict[str, Any] = {
            "weight_decay": self.weight_decay,
            "n_unconverged": len(self.unconverged),
        }
        for name, law in self.laws.items():
            row |= {
                f"{name}_exponent": law and law.exponent,
                f"{name}_exponent_low": law and law.low,
                f"{name}_exponent_high": law and law.high,
                f"n_{name}": law and law.n,
            }
        row |= {
            "generalizing_norm": median(_column(self.held, "norm")) if self.held else None,
            "critical_size": self.critical_size,
            "critical_size_lowest_seed": min(self.critical_sizes.values(), default=None),
            "critical_size_highest_seed": max(self.critical_sizes.values(), default=None),
            "forgets_up_to": low,
            "keeps_from": high,
            "logit_per_norm_crossing": self.logit_crossing,
        }
        return {name: plain_number(value) for name, value in row.items()}


def rows_of(table: pd.DataFrame) -> list[Row]:
    """Rows of a table as dictionaries; NaN, which no comparison holds for, where there is none."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def _is_at_rest(row: Row) -> bool:
    return row["train_loss"] < CONVERGED_LOSS and row["norm_drift"] < CONVERGED_DRIFT


def _held(row: Row) -> bool:
    is_circuit = row["fraction_logit_power_of_sum"] > SHARE_OF_SUM
    return row["late_accuracy"] > HELD_ACCURACY and is_circuit


def _law(rows: list[Row], circuit: str) -> PowerLaw | None:
    sizes = _column(rows, "n_train")
    if len(rows) < MIN_POINTS or len(set(sizes)) < MIN_SIZES[circuit]:
        return None
    try:
        return fit_power_law(sizes, _column(rows, "norm"), [row["seed"] for row in rows])
    except ConfigError:  # no seed has two sizes
        return None


def _critical_sizes(law: PowerLaw | None, held: list[Row]) -> dict[int, float]:
    if law is None or law.exponent <= 0:
        return {}
    norms: dict[int, list[float]] = {}
    for row in held:
        norms.setdefault(row["seed"], []).append(row["norm"])
    return {
        seed: law.crossing(seed, median(found))
        for seed, found in norms.items()
        if seed in law.intercepts
    }


def circuit_charts(table: pd.DataFrame, circuits: Circuits) -> tuple[Chart, ...]:
    """Draw norms, logits per norm and accuracies against the number of training pairs."""
    critical = circuits.critical_size
    marks = () if critical is None else (Mark("x", critical, f"D_crit {critical:.0f}"),)
    groups = (
        ("memorizing, at rest", circuits.memorizing, 0),
        ("memorizing, not converged", circuits.unconverged, 2),
        ("generalizing", circuits.held, 1),
        ("continued, and not the circuit alone", circuits.lost, 3),
    )
    points = {
        column: tuple(
            Series(name, _column(rows, "n_train"), _column(rows, column), color_index=color)
            for name, rows, color in groups
            if rows
        )
        for column in ("norm", "logit_per_norm")
    }
    return (
        Chart(
            "norm-against-size",
            "What each circuit weighs",
            "training pairs D",
            "norm of all trained weights",
            "The memorizing circuit weighs more the more pairs it knows; the generalizing one "
            "the same for any number. They meet at D_crit.",
            (*points["norm"], *_law_lines(circuits)),
            is_x_log=True,
            is_y_log=True,
            marks=marks,
        ),
        Chart(
            "logit-per-norm",
            "Logit per norm",
            "training pairs D",
            "correct logit minus mean logit, per norm",
            "A cruder efficiency: networks of this kind are not homogeneous, so logits do not "
            "grow in proportion to the norm.",
            points["logit_per_norm"],
            is_x_log=True,
            marks=marks,
        ),
        _forgetting_chart(table, marks),
    )


def _law_lines(circuits: Circuits) -> tuple[Series, ...]:
    lines = []
    for index, (name, law) in enumerate(circuits.laws.items()):
        if law is not None:
            rows = circuits.memorizing if name == "memorizing" else circuits.held
            sizes = _column(rows, "n_train")
            x = [min(sizes), max(sizes)]
            label = f"{name}: exponent {law.exponent:.3f}"
            y = [law.at(size) for size in x]
            lines.append(Series(label, x, y, kind="line", color_index=index, is_dashed=True))
    return tuple(lines)


def _forgetting_chart(table: pd.DataFrame, marks: tuple[Mark, ...]) -> Chart:
    groups: dict[tuple[str, float], list[Row]] = {}
    for row in rows_of(table):
        if row["circuit"] != "memorizing":
            groups.setdefault((row["circuit"], row["weight_decay"]), []).append(row)
    series = []
    for (circuit, decay), rows in groups.items():
        is_scratch = circuit == "from scratch"
        series.append(
            Series(
                f"{'from scratch' if is_scratch else 'continued'}, weight decay {decay:g}",
                _column(rows, "n_train"),
                _column(rows, "late_accuracy"),
                low=_column(rows, "lowest_accuracy") if is_scratch else None,
                high=_column(rows, "highest_accuracy") if is_scratch else None,
            )
        )
    return Chart(
        "accuracy-against-size",
        "Ungrokking",
        "training pairs D",
        "test accuracy on unmirrored pairs",
        "A grokked network that is continued on D pairs forgets below D_crit and keeps its "
        "answers above. Bars of runs from scratch: range over the second half of training.",
        tuple(series),
        is_x_log=True,
        marks=marks,
    )


def _column(rows: list[Row], name: str) -> list[float]:
    return [float(row[name]) for row in rows]
