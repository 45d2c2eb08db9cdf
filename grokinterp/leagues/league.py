"""The league of progress measures: how early each warns, and how often without cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from grokinterp.errors import ConfigError
from grokinterp.fields import checked, shown
from grokinterp.leagues.baselines import BASELINES
from grokinterp.leagues.making import TRAJECTORY_FILE
from grokinterp.leagues.measuring import LOOKING_AHEAD, measure_along
from grokinterp.leagues.scores import (
    MOST_FALSE_ALARMS,
    Direction,
    Score,
    WatchedCurve,
    score,
)
from grokinterp.leagues.tables import BankTable, check_folder, shipped_table, table_of_folder
from grokinterp.measures import MEASURES, Measure, as_measures
from grokinterp.registered import registered
from grokinterp.reprs import card_repr, in_lines

if TYPE_CHECKING:
    import plotly.graph_objects as go

OVER_MAXIMUM = "_over_maximum"
"""Ends the columns that are divided by their largest value so far."""
HAS_SPECTRUM = "spectral_entropy_logits"
"""Column that has values wherever frequencies, or representations, have a meaning."""
_OF_KEYS = {column for one in MEASURES if "key_frequencies" in one.needs for column in one.columns}
_DIVIDED = ("test_loss", "sum_squared_weights", "effective_rank_W_E")
MeasureLike = Measure | Callable[..., Any]


@dataclass(frozen=True, eq=False)
class League:
    """What measures are worth as warnings, and on which runs that was judged.

    Examples
    --------
    >>> league = gi.league(gi.MEASURES)
    >>> bool(league.table.loc["test_loss", "n_groks"] >= 20)
    True
    """

    table: pd.DataFrame
    """A row per measure, the best first, by ``warned`` and then ``lead_over_grokking``.

    ``n_groks``, ``n_cannot``, ``n_censored``: runs in which it has values. ``warned``: share of
    the grokking runs with an alarm before the jump. ``lead``: median over all grokking runs, in
    steps, a run without a warning having 0; with ``lead_q25`` and ``lead_q75``.
    ``lead_over_grokking`` and ``lead_over_memorization``, the lead over the step of grokking and of
    memorization, with their quartiles. ``false_alarms_cannot`` and ``false_alarms_censored``:
    shares of these runs with an alarm. ``auc``. Names that end in ``_low`` and ``_high``: the 95 %
    interval over configurations. ``rises``, ``falls``: halves in which that direction was
    used."""
    looking_ahead: pd.DataFrame
    """The same for columns that know the key frequencies of the last checkpoint."""
    runs: pd.DataFrame
    """The runs: ``setting``, ``ending``, ``memorization_step``, ``grokking_step`` and what else
    is known."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a measure has no row, by its name."""
    most_false_alarms: float = MOST_FALSE_ALARMS
    """Part of the runs that do not grok which cross a threshold where it is fixed."""

    @cached_property
    def n_configurations(self) -> int:
        """Configurations whose runs were judged."""
        return len(set(self.runs["setting"]))

    def plot(self) -> go.Figure:
        """Draw the table; see :func:`grokinterp.figures.plot_league`.

        Examples
        --------
        >>> gi.league(gi.MEASURES).plot().layout.xaxis.title.text
        'share of runs'
        """
        return registered("plot of a league")(self)

    @property
    def title(self) -> str:
        """``League of 53 measures``."""
        return f"League of {len(self.table)} measures"

    def in_rows(self) -> dict[str, str | None]:
        """The runs and the measure that warns most, in words by label."""
        endings = self.runs["ending"].value_counts()
        best = self.table.index[0] if len(self.table) else None
        return {
            "runs": ", ".join(f"{endings.get(k, 0)} {w}" for k, w in _ENDINGS.items()),
            "configurations": str(self.n_configurations),
            "warns most": best and f"{best}: {self.table['warned'].iloc[0]:.0%} of the runs",
            "looking ahead": f"{len(self.looking_ahead)} more",
        }

    def __repr__(self) -> str:
        return in_lines(self.title, self.in_rows())

    _repr_html_ = card_repr


_ENDINGS = {
    "groks": "grok",
    "cannot": "cannot grok",
    "censored": "had not within their steps",
    "no_delay": "without delay, not judged",
}


def league(
    measures: Sequence[MeasureLike] = MEASURES,
    runs: str | PathLike[str] | None = None,
    *,
    directions: Mapping[str, int] | None = None,
    most_false_alarms: int | float = MOST_FALSE_ALARMS,
    seed: int = 0,
) -> League:
    """Judge progress measures as warnings of grokking.

    For each column the threshold that at most 5 % of the runs that do not grok cross is fixed on
    one half of the configurations and judged on the other, and the other way round. A measure is
    watched from the step of memorization on. Its key frequencies are those of each checkpoint.

    Parameters
    ----------
    measures
        What is judged, beside the baselines, which always are: test loss and its ratio to its
        maximum so far, log-probability and probability of the right answer, squared weights,
        Gini, effective rank and spectral entropies. A function ``mine(snapshot, key_frequencies)``
        is a measure too.
    runs
        Folder of run folders, as ``python -m grokinterp.league make bank/ --small`` trains them.
        None: the tables that are shipped, which answer at once but have no weights, so only for
        measures of the library.
    directions
        1 for a column that rises before grokking, -1 for one that falls, by its name. Those of
        other columns are learned where the threshold is fixed.
    most_false_alarms
        Part of the runs that do not grok which may cross the threshold where it is fixed.
    seed
        Of the halves and of the intervals.

    Returns
    -------
    League
        Its ``table`` has a row per column.

    Raises
    ------
    ConfigError
        If a measure is not in the shipped tables, or an argument is not allowed.
    RunFolderError
        If no run under `runs` can be read.

    Examples
    --------
    >>> league = gi.league(gi.MEASURES)
    >>> league.table[["warned", "lead", "false_alarms_cannot"]].shape[1]
    3
    """
    catalogue = as_measures(measures)
    checked("runs", runs, str | PathLike | None)
    check_part("most_false_alarms", most_false_alarms)
    table = shipped_table() if runs is None else _table_with(catalogue, runs)
    columns = _columns_of(catalogue, table, is_shipped=runs is None)
    curves = {column: _curves_of(table, column) for column in columns}
    return judge_curves(
        {column: found for column, found in curves.items() if found},
        runs=table.runs,
        reasons={c: "it has no value in any run" for c, found in curves.items() if not found},
        directions=directions,
        most_false_alarms=most_false_alarms,
        seed=seed,
    )


def judge_curves(
    curves: Mapping[str, Sequence[WatchedCurve]],
    *,
    runs: pd.DataFrame | None = None,
    reasons: Mapping[str, str] | None = None,
    directions: Mapping[str, int] | None = None,
    most_false_alarms: int | float = MOST_FALSE_ALARMS,
    seed: int = 0,
) -> League:
    """Judge measures from their values along runs, whoever recorded them.

    Parameters
    ----------
    curves
        By the name of the measure: its values along each run.
    runs
        What is known of the runs; None: what the curves have.
    reasons
        Why other measures have no curves.
    directions, most_false_alarms, seed
        As in :func:`grokinterp.league`.

    Examples
    --------
    >>> rows = [(kind, f"{kind} {k}") for kind in ("groks", "cannot") for k in range(20)]
    >>> early = [WatchedCurve(name, kind, np.array([0, 100, 200]),
    ...     np.array([0.0, float(kind == "groks"), 0.0]), memorization_step=0,
    ...     grokking_step=200 if kind == "groks" else None) for kind, name in rows]
    >>> found = judge_curves({"early": early}).table.loc["early"]
    >>> float(found["warned"]), float(found["lead"]), float(found["false_alarms_cannot"])
    (1.0, 100.0, 0.0)
    """
    found: dict[str, Score] = {}
    why = dict(reasons or {})
    for name, along in curves.items():
        declared = (directions or {}).get(name)
        if declared not in (None, 1, -1):
            raise ConfigError(
                f"directions[{name!r}]={shown(declared)} is not allowed. Use 1 for a measure that "
                "rises before grokking, -1 for one that falls."
            )
        direction: Direction | None = None if declared is None else 1 if declared == 1 else -1
        one = score(along, direction=direction, most=most_false_alarms, seed=seed)
        if isinstance(one, str):
            why[name] = one
        else:
            found[name] = one
    ahead = {name for name in found if name.endswith(LOOKING_AHEAD)}
    return League(
        _frame({name: one for name, one in found.items() if name not in ahead}),
        _frame({name: one for name, one in found.items() if name in ahead}),
        _runs_of(curves) if runs is None else runs,
        why,
        most_false_alarms,
    )


def check_part(name: str, value: Any) -> None:
    """Refuse what is no part of a whole."""
    if not 0 <= checked(name, value, float | int) < 1:
        raise ConfigError(f"{name}={shown(value)} is outside [0, 1). 0.05 is five in a hundred.")


def _runs_of(curves: Mapping[str, Sequence[WatchedCurve]]) -> pd.DataFrame:
    along = max(curves.values(), key=len, default=())
    names = ("setting", "ending", "memorization_step", "grokking_step")
    return pd.DataFrame([[getattr(c, name) for name in names] for c in along], columns=list(names))


def _table_with(measures: Sequence[Measure], runs: str | PathLike[str]) -> BankTable:
    """Return the runs of a folder, with the columns of measures that are not the library's."""
    from grokinterp.runs.stored_run import load_run

    folder = check_folder(runs)
    table = table_of_folder(folder)
    own = [one for one in measures if not set(one.columns or (one.name,)) <= set(table.columns)]
    if not own:
        return table
    by_run = {place.parent.name: place.parent for place in folder.glob(f"*/{TRAJECTORY_FILE}")}
    parts = []
    for record, trajectory in table.trajectories():
        run = load_run(by_run[record["run"]])
        taken = measure_along(run, own, steps=[int(step) for step in trajectory["step"]])
        parts.append(
            pd.concat([trajectory.reset_index(drop=True), taken.drop(columns="step")], axis=1)
        )
    return BankTable(table.runs, pd.concat(parts, ignore_index=True), table.curves)


def _columns_of(measures: Sequence[Measure], table: BankTable, *, is_shipped: bool) -> list[str]:
    """Columns of these measures and of the baselines, those that look ahead included."""
    wanted: list[str] = []
    for one in (*measures, *_ALWAYS, *BASELINES):
        columns = one.columns or tuple(
            c for c in table.columns if c.removesuffix(LOOKING_AHEAD) == one.name
        )
        absent = [column for column in columns if column not in table.columns]
        if is_shipped and (absent or not columns):
            raise ConfigError(
                f"{one.name} is not in the shipped tables, which have no weights to measure. Train "
                'a bank with python -m grokinterp.league make bank/ --small and pass runs="bank/".'
            )
        for column in columns:
            wanted += [c for c in (column, column + LOOKING_AHEAD) if c in table.columns]
    wanted += [name + OVER_MAXIMUM for name in _DIVIDED if name in table.columns]
    return list(dict.fromkeys(wanted))


_ALWAYS = tuple(
    one
    for one in MEASURES
    if one.name
    in ("test_loss", "test_accuracy", "sum_squared_weights", "gini_W_E", "effective_rank_W_E")
)


def _curves_of(table: BankTable, column: str) -> list[WatchedCurve]:
    """One column along every run that memorized; empty where it has no value anywhere."""
    source = column.removesuffix(OVER_MAXIMUM).removesuffix(LOOKING_AHEAD)
    found, has_values = [], False
    for record, trajectory in table.trajectories():
        if record["ending"] == "no_delay" or np.isnan(record["memorization_step"]):
            continue
        values = trajectory[column.removesuffix(OVER_MAXIMUM)].to_numpy(dtype=float)
        if column.endswith(OVER_MAXIMUM):
            values = values / np.fmax.accumulate(values)
        grokking = record["grokking_step"]
        curve = WatchedCurve(
            record["setting"],
            record["ending"],
            trajectory["step"].to_numpy(),
            values,
            int(record["memorization_step"]),
            None if np.isnan(grokking) else int(grokking),
            # Without key frequencies there is nothing to warn of, but without a group no measure.
            source in _OF_KEYS and bool(trajectory[HAS_SPECTRUM].notna().any()),
        )
        has_values |= not np.isnan(values).all()
        if not np.isnan(curve.extreme(1)):
            found.append(curve)
    return found if has_values else []


def _frame(scores: Mapping[str, Score]) -> pd.DataFrame:
    rows = [_row(one) for one in scores.values()]
    table = pd.DataFrame(rows, index=pd.Index(list(scores), name="measure"), columns=list(_NAMES))
    return table.sort_values(["warned", "lead_over_grokking"], ascending=False, kind="stable")


def _row(one: Score) -> dict[str, Any]:
    row: dict[str, Any] = {
        "n_groks": one.n_groks,
        "n_cannot": one.n_cannot,
        "n_censored": one.n_censored,
    }
    for name in ("warned", "lead", "false_alarms_cannot", "false_alarms_censored", "auc"):
        estimate = asdict(getattr(one, name))
        row |= {name: estimate["value"]}
        row |= {f"{name}_{end}": estimate[end] for end in ("low", "high")}
    row |= dict(zip(("lead_q25", "lead_q75"), one.lead_quartiles, strict=True))
    for name in ("lead_over_grokking", "lead_over_memorization"):
        low, middle, high = getattr(one, name)
        row |= {name: middle, f"{name}_q25": low, f"{name}_q75": high}
    row["rises"] = sum(rule.direction == 1 for rule in one.rules)
    row["falls"] = 2 - row["rises"]
    return row


_NAMES = (
    *("n_groks", "n_cannot", "n_censored", "warned", "warned_low", "warned_high"),
    *("lead", "lead_low", "lead_high", "lead_q25", "lead_q75"),
    *(
        f"lead_over_{of}{end}"
        for of in ("grokking", "memorization")
        for end in ("", "_q25", "_q75")
    ),
    *(f"false_alarms_{k}{end}" for k in ("cannot", "censored") for end in ("", "_low", "_high")),
    *("auc", "auc_low", "auc_high", "rises", "falls"),
)
