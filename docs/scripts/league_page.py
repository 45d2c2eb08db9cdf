"""Write the tables of docs/league.md: python docs/scripts/league_page.py [FOLDER_OF_OTHERS].

The tables of the shipped bank, and, where the grids of others are at hand, those too. Each stands
between two comments of its name.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd

import grokinterp as gi
from grokinterp.leagues import curves_of_grid
from grokinterp.leagues.tables import shipped_table

PAGE = Path(__file__).parents[1] / "league.md"
FIGURE = PAGE.with_name("figures") / "league.png"


def percent(value: float) -> str:
    """Whole per cent, or a dash where there is none."""
    return "–" if pd.isna(value) else f"{100 * value:.0f}"


def share(row: pd.Series, name: str) -> str:
    """Per cent with its interval."""
    if pd.isna(row[name]):
        return "–"
    if pd.isna(row[f"{name}_low"]):
        return percent(row[name])
    return f"{percent(row[name])} ({percent(row[f'{name}_low'])}–{percent(row[f'{name}_high'])})"


def league_table(table: pd.DataFrame) -> str:
    """Return a Markdown table, a line per measure."""
    lines = [
        "| measure | runs | warned, % | lead, steps | lead / grokking step | lead / memorization "
        "step | false alarms: cannot, % | censored, % | AUC |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in table.iterrows():
        runs = "/".join(str(int(row[f"n_{kind}"])) for kind in ("groks", "cannot", "censored"))
        quartiles = f"{row['lead_q25']:.0f}–{row['lead_q75']:.0f}"
        cells = [
            f"`{name}`",
            runs,
            share(row, "warned"),
            f"{row['lead']:.0f} [{quartiles}]",
            relative(row, "lead_over_grokking"),
            relative(row, "lead_over_memorization"),
            share(row, "false_alarms_cannot"),
            share(row, "false_alarms_censored"),
            f"{row['auc']:.2f} ({row['auc_low']:.2f}–{row['auc_high']:.2f})",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def relative(row: pd.Series, name: str) -> str:
    """Median with quartiles."""
    return f"{row[name]:.2f} [{row[f'{name}_q25']:.2f}–{row[f'{name}_q75']:.2f}]"


def counts() -> str:
    """Return how many runs of which kind are shipped."""
    runs = shipped_table().runs
    endings = ("groks", "cannot", "censored", "no_delay")
    table = pd.crosstab(runs["kind"], runs["ending"]).reindex(columns=endings, fill_value=0)
    lines = ["| planned as | " + " | ".join(endings) + " | configurations |", "|---" * 6 + "|"]
    for kind, row in table.iterrows():
        n = runs.loc[runs["kind"] == kind, "setting"].nunique()
        lines.append(f"| {kind} | " + " | ".join(str(v) for v in row) + f" | {n} |")
    total = " | ".join(str(v) for v in table.sum())
    lines.append(f"| all | {total} | {runs['setting'].nunique()} |")
    return "\n".join(lines)


def put(text: str, name: str, content: str) -> str:
    """Replace what stands between the two comments of a name."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    assert pattern.search(text), name
    return pattern.sub(lambda found: f"{found[1]}\n{content}\n\n{found[2]}", text)


def main(words: list[str]) -> None:
    """Write the page, and its figure where kaleido is installed."""
    text = PAGE.read_text(encoding="utf-8")
    league = gi.league(gi.MEASURES)
    text = put(text, "counts", counts())
    text = put(text, "bank", league_table(league.table))
    text = put(text, "ahead", league_table(league.looking_ahead))
    for folder in map(Path, words):
        found = gi.judge_curves(curves_of_grid(folder))
        text = put(text, folder.name, league_table(found.table))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
