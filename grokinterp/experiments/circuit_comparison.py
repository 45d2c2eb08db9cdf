"""Memorizing and generalizing networks under one weight decay: their laws, and where they meet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from grokinterp.errors import ConfigError
from grokinterp.experiments.chart import Chart, Mark, Series
from grokinterp.experiments.experiment import Number, plain_number
from grokinterp.experiments.power_law import PowerLaw, fit_power_law

CONVERGED_LOSS, CONVERGED_DRIFT = 1e-5, 0.03
"""A memorizing run is at rest below this training loss and this drift of its norm."""
HELD_ACCURACY, SHARE_OF_SUM = 0.95, 0.95
"""A generalizing run is nothing but the circuit above these."""
FORGOTTEN_ACCURACY = 0.5
MIN_POINTS = 4
MIN_SIZES = {"memorizing": 3, "generalizing": 2}


@dataclass(frozen=True, eq=False)
class Circuits:
    """Both circuits at one weight decay."""

    weight_decay: float
    memorizing: pd.DataFrame
    """Runs on random labels that have come to rest."""
    n_unconverged: int
    """The others."""
    generalizing: pd.DataFrame
    """All continued runs, whether they held their answers or not."""
    held: pd.DataFrame
    """Those that are nothing but the trigonometric circuit."""
    laws: Mapping[str, PowerLaw | None]
    """Norm against size, of ``memorizing`` and of ``generalizing``; None with too few points."""
    critical_sizes: Mapping[int, float]
    """By seed: size at which both circuits have the same norm."""

    @classmethod
    def of(cls, table: pd.DataFrame, weight_decay: float) -> Circuits:
        """Select the runs of a weight decay and fit both laws."""
        rows = table[table["weight_decay"] == weight_decay]
        random = rows[rows["circuit"] == "memorizing"]
        is_at_rest = (random["train_loss"] < CONVERGED_LOSS) & (
            random["norm_drift"] < CONVERGED_DRIFT
        )
        memorizing = random[is_at_rest]
        generalizing = rows[rows["circuit"] == "generalizing"]
        held = generalizing[
            (generalizing["late_accuracy"] > HELD_ACCURACY)
            & (generalizing["fraction_logit_power_of_sum"] > SHARE_OF_SUM)
        ]
        law = _law(memorizing, "memorizing")
        return cls(
            weight_decay,
            memorizing,
            len(random) - len(memorizing),
            generalizing,
            held,
            {"memorizing": law, "generalizing": _law(held, "generalizing")},
            _critical_sizes(law, held),
        )

    @property
    def critical_size(self) -> float | None:
        """D_crit: geometric mean over seeds; None where no seed has both circuits."""
        sizes = list(self.critical_sizes.values())
        return math.exp(float(np.mean(np.log(sizes)))) if sizes else None

    @property
    def forgetting(self) -> tuple[int | None, int | None]:
        """D_low, D_high: sizes up to which every run forgets, and from which every one keeps."""
        by_size = self.generalizing.groupby("n_train")["late_accuracy"]
        forgets = [int(size) for size, worst in by_size.max().items() if worst < FORGOTTEN_ACCURACY]
        keeps = [int(size) for size, least in by_size.min().items() if least > HELD_ACCURACY]
        sizes = sorted(int(size) for size in by_size.groups)
        low = [size for size in forgets if all(s in forgets for s in sizes if s <= size)]
        high = [size for size in keeps if all(s in keeps for s in sizes if s >= size)]
        return max(low, default=None), min(high, default=None)

    @property
    def logit_crossing(self) -> float | None:
        """Size at which both circuits give the same logit per norm, by a power law."""
        if self.held.empty or len(self.memorizing) < MIN_POINTS:
            return None
        try:
            law = fit_power_law(
                self.memorizing["n_train"].tolist(),
                self.memorizing["logit_per_norm"].tolist(),
                ["all"] * len(self.memorizing),
            )
        except ConfigError:
            return None
        if law.exponent >= 0:
            return None
        return law.crossing("all", float(self.held["logit_per_norm"].median()))

    def row(self) -> dict[str, Number]:
        """Return the figures of the comparison as a row of a table."""
        low, high = self.forgetting
        row = {"weight_decay": self.weight_decay, "n_unconverged": self.n_unconverged}
        for name, law in self.laws.items():
            row |= {
                f"{name}_exponent": law and law.exponent,
                f"{name}_exponent_low": law and law.low,
                f"{name}_exponent_high": law and law.high,
                f"n_{name}": law and law.n,
            }
        row |= {
            "generalizing_norm": None if self.held.empty else float(self.held["norm"].median()),
            "critical_size": self.critical_size,
            "critical_size_lowest_seed": min(self.critical_sizes.values(), default=None),
            "critical_size_highest_seed": max(self.critical_sizes.values(), default=None),
            "forgets_up_to": low,
            "keeps_from": high,
            "logit_per_norm_crossing": self.logit_crossing,
        }
        return {name: plain_number(value) for name, value in row.items()}


def _law(rows: pd.DataFrame, circuit: str) -> PowerLaw | None:
    if len(rows) < MIN_POINTS or rows["n_train"].nunique() < MIN_SIZES[circuit]:
        return None
    try:
        return fit_power_law(rows["n_train"].tolist(), rows["norm"].tolist(), rows["seed"].tolist())
    except ConfigError:  # as many seeds as points
        return None


def _critical_sizes(law: PowerLaw | None, held: pd.DataFrame) -> dict[int, float]:
    if law is None or law.exponent <= 0:
        return {}
    norms = held.groupby("seed")["norm"].median()
    return {
        int(seed): law.crossing(seed, float(norm))
        for seed, norm in norms.items()
        if seed in law.intercepts
    }


def circuit_charts(table: pd.DataFrame, circuits: Circuits) -> tuple[Chart, ...]:
    """Draw norms, logits per norm and accuracies against the number of training pairs."""
    critical = circuits.critical_size
    marks = () if critical is None else (Mark("x", critical, f"D_crit {critical:.0f}"),)
    random = table[
        (table["circuit"] == "memorizing") & (table["weight_decay"] == circuits.weight_decay)
    ]
    unconverged = random.drop(index=circuits.memorizing.index)
    lost = circuits.generalizing.drop(index=circuits.held.index)
    groups = (
        ("memorizing, at rest", circuits.memorizing, 0),
        ("memorizing, not converged", unconverged, 2),
        ("generalizing", circuits.held, 1),
        ("continued, and not the circuit alone", lost, 3),
    )
    points = {
        column: tuple(
            Series(name, rows["n_train"], rows[column], color_index=color)
            for name, rows, color in groups
            if len(rows)
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
            x = [float(rows["n_train"].min()), float(rows["n_train"].max())]
            label = f"{name}: exponent {law.exponent:.3f}"
            y = [law.at(size) for size in x]
            lines.append(Series(label, x, y, kind="line", color_index=index, is_dashed=True))
    return tuple(lines)


def _forgetting_chart(table: pd.DataFrame, marks: tuple[Mark, ...]) -> Chart:
    continued = table[table["circuit"] != "memorizing"]
    series = []
    for (circuit, decay), rows in continued.groupby(["circuit", "weight_decay"]):
        is_scratch = circuit == "from scratch"
        series.append(
            Series(
                f"{'from scratch' if is_scratch else 'continued'}, weight decay {decay:g}",
                rows["n_train"],
                rows["late_accuracy"],
                low=rows["lowest_accuracy"] if is_scratch else None,
                high=rows["highest_accuracy"] if is_scratch else None,
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
