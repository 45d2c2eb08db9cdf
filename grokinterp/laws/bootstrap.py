"""Intervals that come from drawing whole groups again, such as the runs of one seed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int
from scipy import stats

from grokinterp.errors import FitError

MOST_FAILED = 0.05
"""Part of the draws on which a statistic may fail."""
MIN_GROUPS = 4
"""With three groups a twenty-seventh of all draws is of one group alone, and the ends of the
interval are those of single groups."""

Statistic = Callable[[Int[np.ndarray, " row"], list[Any]], float]
"""From rows, some of them more than once, and a name for the copy of the group of each, a
number."""


@dataclass(frozen=True)
class BootstrapInterval:
    """A 95 % interval of a statistic, by drawing groups again."""

    low: float
    high: float
    n_groups: int
    n_draws: int
    """Draws, those on which the statistic failed included."""
    n_failed: int


def bootstrap_over_groups(
    groups: Sequence[Hashable], statistic: Statistic, *, n_draws: int = 2000, seed: int = 0
) -> BootstrapInterval:
    r"""Return the interval of a statistic over groups drawn with replacement.

    What the members of a group share, such as the constant and the slope of one seed, is drawn
    with them, so groups may differ in ways that the statistic's own model does not have. The
    ends are the quantiles at :math:`\Phi(\mp\sqrt{n/(n-1)}\,t_{0.975,\,n-1})` of n groups, which
    for many groups are those at 2.5 and 97.5 %: the plain ones are too narrow for few.

    Parameters
    ----------
    groups
        (n,) names, one for each row of the data.
    statistic
        Is given the rows of a draw and, for each, the name of its copy: a group that was drawn
        twice comes as two groups. A :class:`~grokinterp.FitError` counts as a failed draw.
    n_draws
        How many.
    seed
        Of the draws.

    Raises
    ------
    FitError
        With fewer than 4 groups, or if the statistic fails on more than 5 % of the draws.

    Examples
    --------
    >>> import numpy as np
    >>> values = np.array([1.0, 1.2, 2.0, 2.1, 3.0, 3.2, 4.0, 4.1, 5.0, 5.2])
    >>> seeds = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    >>> interval = bootstrap_over_groups(seeds, lambda rows, copies: values[rows].mean())
    >>> bool(interval.low < values.mean() < interval.high), interval.n_groups
    (True, 5)

    References
    ----------
    Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69,
    2015, section 4.3 (expanded percentile intervals).
    """
    names = list(dict.fromkeys(groups))
    if len(names) < MIN_GROUPS:
        raise FitError(
            f"{len(names)} groups are too few to draw from; {MIN_GROUPS} are needed. Add seeds."
        )
    rows_of = [np.flatnonzero([group == name for group in groups]) for name in names]
    generator = np.random.default_rng(seed)
    draws = np.sort(generator.integers(len(names), size=(n_draws, len(names))), axis=1)
    distinct, counts = np.unique(draws, axis=0, return_counts=True)
    values = np.array([_value(statistic, rows_of, drawn) for drawn in distinct.tolist()])
    n_failed = int(counts[np.isnan(values)].sum())
    if n_failed > MOST_FAILED * n_draws:
        raise FitError(
            f"the statistic could not be had from {n_failed} of {n_draws} draws of the groups. Add "
            "seeds, or run longer."
        )
    is_had = ~np.isnan(values)
    every = np.repeat(values[is_had], counts[is_had])
    tail = expanded_tail(len(names))
    low, high = np.quantile(every, [tail, 1 - tail])
    return BootstrapInterval(float(low), float(high), len(names), n_draws, n_failed)


def expanded_tail(n_groups: int) -> float:
    """Part of the draws below the lower end of an expanded 95 % percentile interval.

    Examples
    --------
    >>> round(expanded_tail(5), 4), round(expanded_tail(1000), 4)
    (0.001, 0.0248)
    """
    quantile = stats.t.ppf(0.975, n_groups - 1) * np.sqrt(n_groups / (n_groups - 1))
    return float(stats.norm.cdf(-quantile))


def _value(statistic: Statistic, rows_of: list[np.ndarray], drawn: list[int]) -> float:
    rows = np.concatenate([rows_of[group] for group in drawn])
    copies = [copy for copy, group in enumerate(drawn) for _ in rows_of[group]]
    try:
        return statistic(rows, copies)
    except FitError:
        return float("nan")
