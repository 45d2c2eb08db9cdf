"""Which pairs a network was trained on, where a file does not say: published splits, tried."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from grokinterp.runs.importers.evidence import Reading
from grokinterp.tasks import Split, Task, TaskSpec, draw_split

SEEDS = range(10)
FRACTIONS = (0.3, 0.25, 0.28, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Seeds and train fractions of the splits that are tried: those of the published runs."""
Z_OF_PROOF = 5.0
"""Standard errors between the mean ranks of trained and untrained pairs that prove a split: for
100 splits tried, chance gives 5 once in 30,000 files."""


def find_split(
    reading: Reading,
    *,
    method: str = "python_shuffle",
    seeds: Iterable[int] = SEEDS,
    fractions: Iterable[float] = FRACTIONS,
    log: Mapping[str, float] | None = None,
) -> tuple[Split, str]:
    """Find which of the splits that published code draws a network was trained on.

    Two things prove a split: the losses that were logged are reproduced on it, or the network
    is surer of its training pairs than of the others by far more than chance.

    Parameters
    ----------
    reading
        Of the last checkpoint.
    method, seeds, fractions
        The splits that are tried.
    log
        Train and test loss that the log leads to expect at these weights, in nats, and under
        ``tolerance`` how far off, in log units, they may be.

    Returns
    -------
    tuple[Split, str]
        The split (unknown if none is proven), and how it was found.
    """
    trials = list(_trials(reading, method, seeds, fractions, log))
    matching = [t for t in trials if t.is_reproduced]
    if matching:
        best = min(matching, key=lambda t: t.discrepancy)
        first = trials[0]
        chosen = first if first.is_reproduced and best.z < Z_OF_PROOF else best
        rivals = {t.spec.split_seed for t in matching} - {chosen.spec.split_seed}
        if chosen is first or not rivals or chosen.z >= Z_OF_PROOF:
            how = f"it reproduces the logged losses (train {chosen.train:.4g}, test "
            how += f"{chosen.test:.4g} nats; {len(matching)} of {len(trials)} splits tried do)"
            return _drawn(chosen, f"{how}; {_ranks(chosen)}")
    elif not log:
        best = max(trials, key=lambda t: t.z)
        if best.z >= Z_OF_PROOF:
            return _drawn(best, _ranks(best))
    unknown = _why_unknown(len(trials), len(matching), has_log=bool(log))
    return Split.unknown(reading.task), f"{unknown}, so the split is not known."


def _why_unknown(n: int, n_matching: int, *, has_log: bool) -> str:
    if n_matching:
        which = f"{n_matching} of the {n} published splits tried"
        return f"{which} reproduce the logged losses and cannot be distinguished"
    if n == 1:
        fact = "does not reproduce the logged losses" if has_log else "is no better than chance"
        return f"The one published split tried {fact}"
    fact = "reproduces the logged losses" if has_log else "could be distinguished from chance"
    return f"None of the {n} published splits tried {fact}"


def expected_next(losses: Sequence[float]) -> tuple[float, float]:
    """Continue a logged loss by one entry: its value, and how far off that may be.

    Returns
    -------
    tuple[float, float]
        Loss in nats, and a tolerance in log units: twice the last change, at least 2 %.
    """
    last, before = losses[-1], losses[-2] if len(losses) > 1 else losses[-1]
    change = math.log(last / before) if 0 < min(last, before) else 0.0
    return last * math.exp(change), max(0.02, 2 * abs(change))


@dataclass(frozen=True)
class _Trial:
    spec: TaskSpec
    train: float
    test: float
    z: float
    discrepancy: float
    is_reproduced: bool


def _trials(
    reading: Reading,
    method: str,
    seeds: Iterable[int],
    fractions: Iterable[float],
    log: Mapping[str, float] | None,
) -> Iterable[_Trial]:
    losses = reading.losses
    ranks = losses.argsort().argsort().astype(float)
    ranks = (ranks - ranks.mean()) / ranks.std()
    for seed in seeds:
        spec = dataclasses.replace(reading.task.spec, split_seed=seed, split_method=method)
        half = draw_split(Task(dataclasses.replace(spec, train_fraction=0.5)))
        order = np.concatenate([half.train, half.test])
        for fraction in fractions:
            n = int(len(order) * fraction)
            if not 0 < n < len(order):
                continue
            train, test = losses[order[:n]].mean(), losses[order[n:]].mean()
            difference = ranks[order[n:]].mean() - ranks[order[:n]].mean()
            z = difference / math.sqrt(1 / n + 1 / (len(order) - n))
            off = _discrepancy(train, test, log) if log else math.inf
            is_same = bool(log) and off <= 1
            yield _Trial(
                dataclasses.replace(spec, train_fraction=fraction), train, test, z, off, is_same
            )


def _discrepancy(train: float, test: float, log: Mapping[str, float]) -> float:
    """Largest distance from the log, in units of its tolerance."""
    found = {"train": train, "test": test}
    distances = [
        abs(math.log(max(found[side], 1e-300) / max(log[side], 1e-300))) / log[f"{side}_tolerance"]
        for side in found
        if side in log
    ]
    return max(distances, default=math.inf)


def _drawn(trial: _Trial, why: str) -> tuple[Split, str]:
    spec = trial.spec
    split = draw_split(Task(spec))
    return split, (
        f"The split was inferred: {spec.split_method} with seed {spec.split_seed}, train fraction "
        f"{spec.train_fraction:g}, since {why}."
    )


def _ranks(trial: _Trial) -> str:
    return f"its training pairs have the lower losses by {trial.z:.1f} standard errors of the rank"
