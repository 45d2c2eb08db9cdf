"""Write the tables and the picture of docs/forecast.md.

``python docs/scripts/forecast_page.py [GRID ...]`` judges the shipped bank, and, where grids of
others are at hand, those too. Each table stands between two comments of its name. It takes about
five minutes for the bank, and as many for a large grid.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from grokinterp.forecasting.bank_runs import bank, runs_of_grid
from grokinterp.forecasting.calibrated import METHODS
from grokinterp.forecasting.judging import judge_forecasts, score_forecasts
from grokinterp.laws.cure import SEEN

PAGE = Path(__file__).parents[1] / "forecast.md"
FIGURE = PAGE.with_name("figures") / "forecast.png"
HORIZONS = {"bank": 1500, "grokfss": 20_000, "tfgrok": 20_000}
SHOWN = "log-logistic"


def interval(row: pd.Series, name: str, digits: int = 2) -> str:
    """Return a number with its interval."""
    if pd.isna(row[name]):
        return "–"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[name]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def error_table(scores: pd.DataFrame) -> str:
    """Return what each method errs, and what curves add."""
    lines = [
        "| curves up to | model | runs (configurations) | refused | rms of log T | "
        "gain over config alone | within a configuration |",
        "|---|---|---|---|---|---|---|",
    ]
    for _, row in scores.iterrows():
        is_config = row["method"] == METHODS[0].name
        if not row["n"]:
            none = [row["mark"], row["method"], "0", f"{row['n_refused']}", *"–––"]
            lines.append("| " + " | ".join(none) + " |")
            continue
        cells = [
            row["mark"],
            row["method"],
            f"{row['n']} ({row['n_settings']:.0f})",
            f"{row['n_refused']}",
            f"{row['rms']:.3f}",
            "–" if is_config else interval(row, "gain", 3),
            interval(row, "within"),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def calibration_table(scores: pd.DataFrame) -> str:
    """Return whether intervals hold, of the model that is used."""
    lines = [
        "| curves up to | in the interval, by configuration | of all runs | upper / lower end | "
        "censored runs that outlived the lower end | never: squared error | of the share alone |",
        "|---|---|---|---|---|---|---|",
    ]
    for _, row in scores[(scores["method"] == SHOWN) & (scores["n"] > 0)].iterrows():
        outlived = (
            f"{row['outlived']:.0%} of {row['n_censored']:.0f}".replace("%", " %")
            if row["n_censored"]
            else "–"
        )
        cells = [
            row["mark"],
            interval(row, "covered"),
            f"{row['covered_runs']:.2f}",
            f"{row['factor']:.1f}",
            outlived,
            f"{row['brier']:.3f}",
            f"{row['brier_base']:.3f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def picture(judged: pd.DataFrame) -> go.Figure:
    """Draw forecasts against what came, at 2 memorization steps, with intervals."""
    part = judged[
        (judged["method"] == SHOWN)
        & (judged["mark"] == "2 memorization steps")
        & (judged["status"] == SEEN)
    ]
    above = (part["high"] - part["median"]).clip(lower=0)
    below = (part["median"] - part["low"]).clip(lower=0)
    bars = {"type": "data", "array": above, "arrayminus": below, "thickness": 0.7, "width": 0}
    figure = go.Figure(
        go.Scatter(x=part["end"], y=part["median"], mode="markers", error_y=bars, showlegend=False)
    )
    ends = [float(part["end"].min()) * 0.8, float(part["end"].max()) * 1.25]
    figure.add_scatter(x=ends, y=ends, mode="lines", line={"dash": "dash"}, showlegend=False)
    figure.update_layout(
        template="plotly_white",
        width=720,
        height=520,
        title="Forecast at twice the memorization step, configuration left out",
        xaxis={"type": "log", "title": "grokking step"},
        yaxis={"type": "log", "title": "forecast, with its 90 % interval"},
    )
    return figure


def write_block(name: str, text: str) -> None:
    """Put a text between the two comments of its name."""
    page = PAGE.read_text(encoding="utf-8")
    block = re.compile(rf"(<!-- {name} -->\n\n).*?(\n\n<!-- end of {name} -->)", re.DOTALL)
    if not block.search(page):
        raise SystemExit(f"{PAGE} has no block {name}")
    PAGE.write_text(block.sub(lambda m: m[1] + text + m[2], page), encoding="utf-8")


def main(folders: list[str]) -> None:
    """Judge the bank and the grids, and write what came out."""
    grids = {Path(folder).name: runs_of_grid(folder) for folder in folders}
    for name, runs in {"bank": bank(), **grids}.items():
        horizon = HORIZONS.get(name, int(np.median([run.steps[-1] for run in runs])))
        judged = judge_forecasts(runs, horizon=horizon)
        scores = score_forecasts(judged, horizon=horizon)
        sys.stdout.write(scores.round(3).to_string() + "\n")
        write_block(f"{name} errors", error_table(scores))
        write_block(f"{name} calibration", calibration_table(scores))
        if name == "bank":
            picture(judged).write_image(FIGURE, scale=2)


if __name__ == "__main__":
    main(sys.argv[1:])
