"""Where both circuits are equally efficient, by each reading of efficiency.

A circuit is efficient that gives a large correct logit with a small norm of its weights. Networks
that were trained under the same weight decay rest at different norms and at different logits, so
there is more than one way to compare them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np

from grokinterp.errors import FitError
from grokinterp.experiments.curve_cells import points_of
from grokinterp.experiments.records import Record, Runs, by, values_of, where
from grokinterp.laws.curved_law import CurvedLaw, fit_curved_law
from grokinterp.laws.over_seeds import GeometricMean, geometric_mean

MATCHED, PER_NORM, AT_REST = "norm at matched logit", "logit per norm", "norm at rest"
"""Readings of efficiency: the norm that gives a stated correct logit; the correct logit per norm
where training comes to rest; and the norm alone there, whatever the logit."""
COLUMN_NAMES = {MATCHED: "matched_logit", PER_NORM: "logit_per_norm", AT_REST: "norm_at_rest"}


@dataclass(frozen=True, eq=False)
class CriticalSize:
    """D_crit by one reading of efficiency."""

    reading: str
    law: CurvedLaw | None
    """Price of memorizing over that of generalizing, against the number of training pairs, by seed;
    None with too few runs."""
    by_seed: Mapping[Hashable, float]
    """D_crit of the seeds that have one between their smallest and largest size."""
    prices: tuple[tuple[float, float], ...]
    """(training pairs, price over that of generalizing) of every memorizing run."""

    @property
    def mean(self) -> GeometricMean | None:
        """D_crit over seeds; None where no seed has one."""
        return geometric_mean(self.by_seed.values()) if self.by_seed else None


def critical_sizes(memorizing: Runs, generalizing: Runs) -> dict[str, CriticalSize]:
    """Return D_crit by each reading, from runs of either circuit that have come to rest."""
    prices = {
        MATCHED: lambda run, rule: _or_nan(_norm_at(run, rule["logit"])) / rule["norm_at_logit"],
        PER_NORM: lambda run, rule: rule["logit_per_norm"] / run["logit_per_norm"],
        AT_REST: lambda run, rule: run["norm"] / rule["norm"],
    }
    rules = {seed: _typical(runs) for seed, runs in by(generalizing, "seed").items()}
    known = where(memorizing, lambda run: rules.get(run["seed"]) is not None)
    return {name: _critical_size(name, known, rules, price) for name, price in prices.items()}


def _typical(runs: Runs) -> dict[str, float] | None:
    """What the generalizing circuit of a seed is like: medians over sizes, which hardly differ."""
    columns = ("correct_logit", "logit_per_norm", "norm")
    found = {name: values_of(runs, name) for name in columns}
    if not all(found.values()):
        return None
    logit = median(found["correct_logit"])
    norms = [norm for run in runs if (norm := _norm_at(run, logit)) is not None]
    return {
        "logit": logit,
        "norm_at_logit": median(norms) if norms else math.nan,
        "logit_per_norm": median(found["logit_per_norm"]),
        "norm": median(found["norm"]),
    }


def _norm_at(run: Record, logit: float) -> float | None:
    """Norm that the run's weights have when all are scaled so that the correct logit is this.

    None where no scale that was tried comes to it.
    """
    scales, logits = points_of(run["scaled_logits"], 2).T
    if len(scales) < 2 or (np.diff(logits) <= 0).any() or not logits[0] <= logit <= logits[-1]:
        return None
    log_scale = np.interp(math.log(logit), np.log(logits), np.log(scales))
    return run["last_norm"] * math.exp(float(log_scale))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _critical_size(
    reading: str,
    runs: Runs,
    rules: Mapping[int, dict[str, float] | None],
    price: Callable[[Record, dict[str, float]], float],
) -> CriticalSize:
    found = []
    for run in runs:
        rule = rules[run["seed"]]
        value = math.nan if rule is None else price(run, rule)
        if 0 < value < math.inf:
            found.append((float(run["n_train"]), float(value), run["seed"]))
    points = tuple((size, value) for size, value, _ in found)
    try:
        law = (
            fit_curved_law(*(list(column) for column in zip(*found, strict=True)))
            if found
            else None
        )
    except FitError:
        law = None
    crossings = {} if law is None else {s: law.rising_through(s, 1.0) for s in law.intercepts}
    by_seed = {seed: size for seed, size in crossings.items() if size is not None}
    return CriticalSize(reading, law, by_seed, points)
