"""Closed forms along a run, at as many checkpoints as an analysis has time for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache as once

import numpy as np
import pandas as pd

from grokinterp.circuits import KeyFrequencies
from grokinterp.extraction.curve import exists_from, extraction_curve_at
from grokinterp.extraction.extraction import Level
from grokinterp.runs.run import Run
from grokinterp.trajectory.cache import NumberCache, cache_key, remembered_table

MOST_CHECKPOINTS = 24
"""Checkpoints that are looked at, before those around the step from which a formula exists."""
N_SHUFFLED = 2
"""Draws of shuffled phases at each; the last checkpoint has more in closed_form.csv."""
CURVE_VERSION = 1
"""Raised whenever the numbers of the curve change."""


def formulas_along(
    run: Run,
    steps: Sequence[int],
    key_frequencies: KeyFrequencies,
    levels: Sequence[Level],
    cache: NumberCache,
) -> pd.DataFrame:
    """Extract closed forms at checkpoints spread over the run, or remember them.

    The step from which each level describes the network is then bisected, so that it is that of
    the first such checkpoint where the variance explained passes the threshold once.

    Parameters
    ----------
    steps
        Checkpoints that can be read.
    levels
        Those that the last checkpoint has; none for an empty table.
    """
    if not levels:
        return pd.DataFrame()

    @once
    def at(step: int) -> pd.DataFrame:
        key = cache_key(f"closed_form_curve{levels}", CURVE_VERSION, key_frequencies.frequencies)

        def make() -> pd.DataFrame:
            return extraction_curve_at(
                run, [step], key_frequencies, levels=levels, n_shuffled=N_SHUFFLED
            )

        return remembered_table(cache, run.checksum(step), key, make, ("step", "level"))

    # Of equal weights at two steps, the cache knows one table.
    tables = {step: at(step).assign(step=step) for step in spread(steps, MOST_CHECKPOINTS)}
    for level in levels:
        _bisect(tables, steps, level, lambda step: at(step).assign(step=step))
    return pd.concat([tables[step] for step in sorted(tables)], ignore_index=True)


def spread(steps: Sequence[int], most: int) -> list[int]:
    """Choose checkpoints evenly by their number, the first and the last among them.

    Examples
    --------
    >>> spread([0, 1, 2, 4, 8, 16], 3), spread([0, 5], 3)
    ([0, 2, 16], [0, 5])
    """
    chosen = np.linspace(0, len(steps) - 1, min(most, len(steps))).round().astype(int)
    return [steps[k] for k in sorted(set(chosen.tolist()))]


def _bisect(
    tables: dict[int, pd.DataFrame],
    steps: Sequence[int],
    level: Level,
    at: Callable[[int], pd.DataFrame],
) -> None:
    """Add checkpoints until nothing lies between the last without a formula and the first with."""
    while True:
        first = exists_from(pd.concat(tables.values(), ignore_index=True), level)
        earlier = [step for step in tables if first is not None and step < first]
        if first is None or not earlier:
            return
        between = [step for step in steps if max(earlier) < step < first]
        if not between:
            return
        middle = between[len(between) // 2]
        tables[middle] = at(middle)
