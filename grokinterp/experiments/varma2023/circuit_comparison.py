"""Memorizing and generalizing networks under one weight decay: their laws, and where they meet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.experiments.records import Record, Runs, by, is_above, is_below, where
from grokinterp.fields import Number, plain_number
from grokinterp.laws.power_law import PowerLaw, fit_power_law

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
    critical_sizes: Mapping[int, float]
    """By seed: size at which both circuits have the same norm."""

    @classmethod
    def of(cls, runs: Runs, weight_decay: float) -> Circuits:
        """Select the runs of a weight decay and fit both laws."""
        random = where(runs, circuit="memorizing", weight_decay=weight_decay)
        continued = where(runs, circuit="generalizing", weight_decay=weight_decay)
        memorizing, held = where(random, _is_at_rest), where(continued, _held)
        law = _law(memorizing, "memorizing")
        return cls(
            weight_decay,
            memorizing,
            where(random, lambda run: not _is_at_rest(run)),
            held,
            where(continued, lambda run: not _held(run)),
            {"memorizing": law, "generalizing": _law(held, "generalizing")},
            _critical_sizes(law, held),
        )

    @property
    def continued(self) -> list[Record]:
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
        by_size = by(self.continued, "n_train")
        sizes = sorted(by_size)
        forgets, keeps = (
            [all(is_so(run, "late_accuracy", level) for run in by_size[size]) for size in sizes]
            for is_so, level in ((is_below, FORGOTTEN_ACCURACY), (is_above, HELD_ACCURACY))
        )
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
                column_of(self.memorizing, "n_train"),
                column_of(self.memorizing, "logit_per_norm"),
                ["all"] * len(self.memorizing),
            )
        except ConfigError:
            return None
        if law.exponent >= 0:
            return None
        return law.crossing("all", median(column_of(self.held, "logit_per_norm")))

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
            "generalizing_norm": median(column_of(self.held, "norm")) if self.held else None,
            "critical_size": self.critical_size,
            "critical_size_lowest_seed": min(self.critical_sizes.values(), default=None),
            "critical_size_highest_seed": max(self.critical_sizes.values(), default=None),
            "forgets_up_to": low,
            "keeps_from": high,
            "logit_per_norm_crossing": self.logit_crossing,
        }
        return {name: plain_number(value) for name, value in row.items()}


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


def _critical_sizes(law: PowerLaw | None, held: list[Record]) -> dict[int, float]:
    if law is None or law.exponent <= 0:
        return {}
    return {
        seed: law.crossing(seed, median(column_of(runs, "norm")))
        for seed, runs in by(held, "seed").items()
        if seed in law.intercepts
    }


def column_of(runs: Runs, name: str) -> list[float]:
    """Return a column as numbers, NaN where a run has none."""
    return [math.nan if run[name] is None else float(run[name]) for run in runs]
