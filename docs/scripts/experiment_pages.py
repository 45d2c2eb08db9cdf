"""Write docs/experiments/NAME.md and its figures from reproductions that were run.

python docs/scripts/experiment_pages.py OUT [NAME ...] [--quick NAME ...]

OUT is the folder that ``python -m grokinterp.reproduce --out OUT`` filled. Nothing is trained: the
runs there are read, judged again by the present criterion, and what comes out is what the page
says. A figure is one of the report's, written through kaleido.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
from pathlib import Path

import pandas as pd

import grokinterp as gi
from grokinterp.experiments.reproduction import Reproduction, verdict_of
from grokinterp.figures.charts import plot_chart

HERE = Path(__file__).resolve().parents[1]
MAX_ROWS = 40
WIDTH = 760


def shown(value: object) -> str:
    """Return a cell as a reader writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")


def markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown, its first rows if it is long."""
    names = [str(name) for name in table.columns]
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for row in table.head(MAX_ROWS).itertuples(index=False):
        lines.append("| " + " | ".join(shown(cell) for cell in row) + " |")
    if len(table) > MAX_ROWS:
        lines.append(f"\nThe first {MAX_ROWS} of {len(table)} rows.")
    return "\n".join(lines)


def training_seconds(result: Reproduction) -> float:
    """Sum of the seconds that the runs of a table took to train, each counted once."""
    total = 0.0
    for run in set(result.table["run"]):
        file = result.out / "runs" / run / "timing.csv"
        total += float(file.read_text().splitlines()[-1].split(",")[1])
    return total


def page(result: Reproduction, figures: Path) -> str:
    """Return the page of a question, writing its figures on the way."""
    verdict, experiment = verdict_of(result), result.experiment
    run = result.out / "runs" / str(result.table["run"].iloc[0])
    machine = json.loads((run / "environment.json").read_text())
    lines = [
        f"# {experiment.name}: {verdict['verdict']}",
        "",
        "After this page you know how the claim below fared in our runs, by which criterion, and "
        "what limits the answer.",
        "",
        f"**The claim.** {experiment.claim}",
        "",
        f"**What was found.** {result.findings.found}",
        "",
        f"**Paper.** {experiment.paper.rstrip('.')}.",
        "",
        f"**Runs.** `{verdict['command']}`: {verdict['n_runs']} runs. {verdict['n_censored']} of "
        "them are censored, which means that they had not generalized by their last step; "
        f"{len(verdict['failures'])} failed. Training took {training_seconds(result) / 60:.0f} "
        f"minutes in all, one thread per run, on {machine['cpu_count']} cores "
        f"({machine['platform']}, torch {machine['torch']}), beside other work.",
        "",
        "This page is written by `docs/scripts/experiment_pages.py` from the runs.",
        "",
        "## Verdict",
        "",
        "| claim | verdict | what was seen |",
        "|---|---|---|",
    ]
    for claim in result.findings.claims:
        beside = "" if claim.is_main else " (beside the verdict)"
        lines.append(f"| {claim.name}{beside} | {claim.verdict} | {shown(claim.sentence)} |")
    for chart in result.findings.charts:
        try:
            figure = plot_chart(chart)
        except gi.FitError:  # no point to draw
            continue
        file = figures / f"{experiment.name}_{result.scale.name}_{chart.name}.png"
        figure.write_image(file, width=WIDTH, height=figure.layout.height, scale=1.5)
        lines += ["", f"![{chart.title}](../figures/experiments/{file.name})", "", chart.caption]
    for title, text in (
        ("Prediction, written beforehand", experiment.prediction),
        ("Criterion, written beforehand", experiment.criterion),
        ("Settings", experiment.settings),
        ("History of the criterion", experiment.history),
    ):
        if text:
            lines += ["", f"## {title}", "", text]
    if (HERE / "experiments" / "earlier" / f"{experiment.name}.md").exists():
        link = f"earlier/{experiment.name}.md"
        lines += ["", f"The page by the earlier criterion is [kept]({link})."]
    for name, table in result.findings.tables.items():
        lines += ["", f"## Table: {name.replace('_', ' ')}", "", markdown(table)]
    if result.findings.notes:
        lines += ["", "## What limits it, and what is known against it", ""]
        lines += [f"- {note}" for note in result.findings.notes]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the pages that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--quick", nargs="*", default=[])
    parser.add_argument("--batched", action="store_true", help="the runs were made with it")
    arguments = parser.parse_args()
    pages, figures = HERE / "experiments", HERE / "figures" / "experiments"
    for folder in (pages, figures):
        folder.mkdir(parents=True, exist_ok=True)
    for name in [*arguments.names, *arguments.quick]:
        is_quick = name in arguments.quick
        result = gi.reproduce(
            name,
            arguments.out,
            quick=is_quick,
            n_jobs=1,
            batched=arguments.batched,
            progress=False,
        )
        file = pages / f"{name}{'_quick' if is_quick else ''}.md"
        file.write_text(page(result, figures), encoding="utf-8")
        print(f"{file}: {result.verdict}; python {platform.python_version()}")  # noqa: T201


if __name__ == "__main__":
    main()
