"""Cards of a proof, of modes, of a league and of a forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grokinterp.cards.markup import Card
from grokinterp.cards.pictures import bars
from grokinterp.reprs import listed

if TYPE_CHECKING:
    import pandas as pd

    from grokinterp.certificates import Certificate
    from grokinterp.circuits import ModeFamilies
    from grokinterp.forecasting import Forecast
    from grokinterp.leagues import League

MOST_MEASURES = 5
"""Measures of a league that its card lists before it says how many more there are."""


def certificate_card(certificate: Certificate) -> Card:
    """What is proved at best, and what every strategy proves or why it is absent."""
    best = certificate.best
    doubt = None
    if not best.accuracy_lower_bound > 0:
        doubt = "no strategy proves a single pair right, which says nothing against the network"
    elif best.bound_minus_cost <= 0:
        doubt = (
            f"the proof costs {best.relative_cost:.3g} times what checking every pair costs, so "
            "checking pairs one by one would prove no less"
        )
    return Card(
        title=certificate.title,
        warnings={"Before you believe it": doubt},
        rows={**certificate.in_rows(), "the best assumes": best.assumes or None},
        calls={
            "certificate.strategies": "has a row for each strategy",
            "certificate.closed_form": "is the formula that the proofs follow",
        },
    )


def mode_families_card(families: ModeFamilies) -> Card:
    """Share of every family, the accuracy with the largest alone, and what is absent."""
    return Card(
        title=families.title,
        rows={
            **families.in_rows(),
            "network": f"accuracy {families.network.accuracies['all']:.4g} on all pairs",
            "alone": _alone(families.table),
            "not there": listed(f"{part}: {why}" for part, why in families.reasons.items()) or None,
        },
        pictures=[_family_bars(families.table)],
        calls={
            "gi.figures.plot_mode_families(families)": "draws them, with the spectrum",
            "families.table": "has accuracy and loss with and without each family",
        },
    )


def _largest(table: pd.DataFrame) -> tuple[pd.DataFrame, int | None]:
    """Families of the logits that have a share, and the place of the largest."""
    rows = table.loc[(table["part"] == "logits") & table["share"].notna()]
    return rows, int(np.argmax(rows["share"])) if len(rows) else None


def _alone(table: pd.DataFrame) -> str | None:
    rows, place = _largest(table)
    if place is None:
        return None
    row = rows.iloc[place]
    kept, without = row["kept_accuracy_all"], row["ablated_accuracy_all"]
    return f"{row['family']} of the logits: accuracy {kept:.4g}; without it {without:.4g}"


def _family_bars(table: pd.DataFrame) -> str:
    rows, place = _largest(table)
    shares, is_largest = rows["share"].to_numpy(dtype=float), np.arange(len(rows)) == place
    said = f"shares of the variance of the logits: {listed(rows['family'])}"
    return bars(shares, is_largest, said, (), ("largest", "other"))


def forecast_card(forecast: Forecast) -> Card:
    """When a run will grok, how sure that is, or why nothing can be said."""
    return Card(
        title=forecast.title,
        rows=forecast.in_rows(),
        calls={
            "forecast.interval": "has the steps between which it groks, if it groks",
            "forecast.never": f"is the probability of not until step {forecast.horizon:,}",
            "run.forecast(at=...)": "looks at the curves up to an earlier step",
        },
    )


def league_card(league: League) -> Card:
    """On which runs was judged, and what the first measures are worth."""
    rows = {**league.in_rows()}
    rows.pop("warns most")
    for place, (name, row) in enumerate(league.table.head(MOST_MEASURES).iterrows(), start=1):
        # Names are longer than labels may be.
        rows[f"{place}."] = (
            f"{name}: warned before {row['warned']:.0%} of the jumps, in the median "
            f"{row['lead']:,.0f} steps ahead; false alarms in {row['false_alarms_cannot']:.0%} of "
            "the runs that cannot grok"
        )
    n_more = len(league.table) - MOST_MEASURES
    if n_more > 0:
        rows["..."] = f"and {n_more} more measures"
    return Card(
        title=league.title,
        rows=rows,
        calls={
            "league.plot()": "draws them all, the best at the top",
            "league.table": "has their intervals",
            **({"league.reasons": "says why a measure has no row"} if league.reasons else {}),
        },
    )
