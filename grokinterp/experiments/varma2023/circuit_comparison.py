"""Memorizing and generalizing networks under one weight decay: their laws, and where they meet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from grokinterp.errors import ConfigError, FitError
from grokinterp.experiments.records import (
    Record,
    Runs,
    by,
    has,
    is_above,
    is_below,
    median_of,
    where,
)
from grokinterp.experiments.varma2023.efficiency import COLUMN_NAMES, CriticalSize, critical_sizes
from grokinterp.fields import Number, plain_number
from grokinterp.laws.logistic import Logistic, fit_logistic
from grokinterp.laws.over_seeds import GeometricMean, geometric_mean
from grokinterp.laws.power_law import PowerLaw, fit_power_law

CONVERGED_LOSS, CONVERGED_DRIFT = 1e-5, 0.03
"""A memorizing run is at rest below this training loss and this drift of its norm."""
HELD_ACCURACY, SHARE_OF_SUM = 0.95, 0.95
"""A generalizing run is nothing but the circuit above these."""
FORGOTTEN_ACCURACY = 0.5
CHANCE = 1 / 37
"""Accuracy of a guess among the answers."""
MIN_POINTS = 4
MIN_SIZES = {"memorizing": 3, "generalizing": 2}


@dataclass(frozen=True, eq=False)
class Circuits:
    """Both circuits at one weight decay."""

    weight_decay: float
    memorizing: list[Record]
    """Runs on random labels that have come to rest."""
    unconverged: list[Record]
    """The others."""
    held: list[Record]
    """Continued runs that are nothing but the trigonometric circuit."""
    lost: list[Record]
    """The others."""
    laws: Mapping[str, PowerLaw | None]
    """Norm against size, of ``memorizing`` and of ``generalizing``; None with too few points."""
    critical: Mapping[str, CriticalSize]
    """D_crit by each reading of efficiency."""
    curve: Logistic | None
    """Accuracy of the continued runs against size; None where no seed passes half-way."""

    @classmethod
    def of(cls, runs: Runs, weight_decay: float) -> Circuits:
        """Select the runs of a weight decay and fit both laws."""
        random = where(runs, circuit="memorizing", weight_decay=weight_decay)
        continued = where(runs, circuit="generalizing", weight_decay=weight_decay)
        memorizing, held = where(random, _is_at_rest), where(continued, _held)
        return cls(
            weight_decay,
            memorizing,
            where(random, lambda run: not _is_at_rest(run)),
            held,
            where(continued, lambda run: not _held(run)),
            {
                "memorizing": _law(memorizing, "memorizing"),
                "generalizing": _law(held, "generalizing"),
            },
            critical_sizes(memorizing, held),
            _forgetting_curve(continued),
        )

    @property
    def continued(self) -> list[Record]:
        """All continued runs, whether they held their answers or not."""
        return [*self.held, *self.lost]

    @property
    def forgetting(self) -> tuple[int | None, int | None]:
        """D_low, D_high: sizes up to which every run forgets, and from which every one keeps."""
        by_size = by(self.continued, "n_train")
        sizes = sorted(by_size)
        forgets, keeps = (
            [all(is_so(run, "late_accuracy", level) for run in by_size[size]) for size in sizes]
            for is_so, level in ((is_below, FORGOTTEN_ACCURACY), (is_above, HELD_ACCURACY))
        )
        low = [size for i, size in enumerate(sizes) if all(forgets[: i + 1])]
        high = [size for i, size in enumerate(sizes) if all(keeps[i:])]
        return max(low, default=None), min(high, default=None)

    def middle_over_critical(self, reading: str) -> GeometricMean | None:
        """Size at which half is forgotten over D_crit, over the seeds that have both."""
        if self.curve is None:
            return None
        critical = self.critical[reading].by_seed
        ratios = [size / critical[s] for s, size in self.curve.middles.items() if s in critical]
        return geometric_mean(ratios) if ratios else None

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
        row["generalizing_norm"] = median(column_of(self.held, "norm")) if self.held else None
        for circuit, runs in (("memorizing", self.memorizing), ("generalizing", self.held)):
            for column in ("correct_logit", "logit_degree"):
                row[f"{circuit}_{column}"] = median_of(runs, column)
        for reading, critical in self.critical.items():
            row |= _interval(f"critical_size_{COLUMN_NAMES[reading]}", critical.mean)
        row |= _interval("forgetting_middle", self.curve and self.curve.middle)
        row |= {"steepness": self.curve and self.curve.steepness}
        row |= {"forgets_up_to": low, "keeps_from": high}
        return {name: plain_number(value) for name, value in row.items()}


def _interval(name: str, mean: GeometricMean | None) -> dict[str, float | None]:
    """Return a mean with its interval as three columns; no end that is not finite."""
    low = None if mean is None or mean.low == 0 else mean.low
    high = None if mean is None or math.isinf(mean.high) else mean.high
    return {name: mean and mean.value, f"{name}_low": low, f"{name}_high": high}


def has_settled(run: Record) -> bool:
    """Whether the norm of a run is at rest, so that going on would not change what it is."""
    return is_below(run, "norm_drift", CONVERGED_DRIFT)


def _is_at_rest(run: Record) -> bool:
    return is_below(run, "train_loss", CONVERGED_LOSS) and has_settled(run)


def _held(run: Record) -> bool:
    is_circuit = is_above(run, "fraction_logit_power_of_sum", SHARE_OF_SUM)
    return is_above(run, "late_accuracy", HELD_ACCURACY) and is_circuit


def _law(rows: list[Record], circuit: str) -> PowerLaw | None:
    sizes = column_of(rows, "n_train")
    if len(rows) < MIN_POINTS or len(set(sizes)) < MIN_SIZES[circuit]:
        return None
    try:
        return fit_power_law(sizes, column_of(rows, "norm"), [row["seed"] for row in rows])
    except ConfigError:  # no seed has two sizes
        return None


def _forgetting_curve(continued: Runs) -> Logistic | None:
    known = where(continued, has("late_accuracy"))
    sizes, accuracies = (column_of(known, name) for name in ("n_train", "late_accuracy"))
    try:
        return fit_logistic(sizes, accuracies, [run["seed"] for run in known], floor=CHANCE)
    except FitError:  # no seed forgets on some sizes and keeps on others
        return None


def column_of(runs: Runs, name: str) -> list[float]:
    """Return a column as numbers, NaN where a run has none."""
    return [math.nan if run[name] is None else float(run[name]) for run in runs]
