"""Runs side by side as one HTML page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from grokinterp import figures
from grokinterp.citing import cite
from grokinterp.comparison import Comparison, comparison_of
from grokinterp.comparison.setting_table import SUMMARIZED, setting_table
from grokinterp.comparison.settings import short_names
from grokinterp.errors import FitError
from grokinterp.report.page import Section, figure_block, paragraph, render_page
from grokinterp.report.text import (
    escape,
    field_table,
    is_missing,
    show_field,
    show_percent,
    show_value,
    table,
)
from grokinterp.runs.run import Run
from grokinterp.trajectory.analysis import Analysis

_OUTCOMES = {
    "grokked": "grokked",
    "generalized_without_delay": "generalized without delay",
    "generalized_before_memorizing": "generalized before memorizing",
    "slow_convergence": "converged slowly",
    "memorized": "memorized",
    "did_not_fit": "did not fit",
    "collapsed": "collapsed",
    "not_settled": "not settled",
    "diverged": "diverged",
}
_PERCENT = ("train_accuracy", "test_accuracy")
_NOT_SHOWN = (
    "run",
    "outcome_kind",
    "first_crossing_step",
    "censored_at",
    "n_checkpoints",
    "folder",
)
_OF_CIRCUITS = {
    "restricted_loss_test": "Loss on the test pairs with the trigonometric circuit alone. If it "
    "falls long before the test loss, the circuit was there before the test loss showed it. Runs "
    "without key frequencies have no line.",
    "excluded_loss_train": "Loss on the training pairs with the trigonometric circuit "
    "removed: it rises as the network comes to rely on that circuit.",
}
_OF_WEIGHTS = {
    "sum_squared_weights": "All weights, on a logarithmic axis. In a run that groks they fall "
    "in cleanup, when weight decay removes the memorization circuit.",
    "gini_W_E": "Gini coefficient of the embedding's Fourier components: 0 if all are equal, 1 if "
    "a single one is left. Networks whose embedding is not known have no line.",
}


def render_comparison(
    runs: Sequence[Analysis | Run | str | Path] | Comparison,
    addresses: Sequence[str | None] | None = None,
    failures: Mapping[str, str] | None = None,
) -> str:
    """Return the report of a comparison as an HTML document.

    `addresses` are those of the runs' own reports, in their order.
    """
    compared = comparison_of(runs)
    links = [None] * len(compared.analyses) if addresses is None else addresses
    sections = [
        _outcome(compared),
        _runs(compared, links),
        _settings(compared),
        _grokking_steps(compared),
        _curves(compared),
        _circuits(compared),
        _weights(compared),
        _failures(failures or {}),
        _same(compared),
        _citations(compared),
    ]
    n_runs = len(compared.analyses)
    title = f"Comparison of {n_runs} {'run' if n_runs == 1 else 'runs'}"
    lead = f'<p class="lead">{_what_differs(compared)}</p>'
    return render_page(title, lead, [section for section in sections if section is not None])


def comparison_figures(compared: Comparison) -> dict[str, go.Figure]:
    """Every figure of the report for which there are numbers, by name, in its order."""
    drawn = {}
    for name, draw in _plots(compared).items():
        try:
            drawn[name] = draw()
        except FitError:
            continue
    return drawn


def _plots(compared: Comparison) -> dict[str, Callable[[], go.Figure]]:
    measures = {
        column.replace("_", "-"): partial(figures.plot_compared, compared, column)
        for column in (*_OF_CIRCUITS, *_OF_WEIGHTS)
        if any(column in analysis.trajectory for analysis in compared.analyses)
    }
    return {
        "grokking-steps": partial(figures.plot_grokking_steps, compared),
        "loss": partial(figures.plot_compared_losses, compared),
        "accuracy": partial(figures.plot_compared_accuracies, compared),
        **measures,
    }


def _what_differs(compared: Comparison) -> str:
    names = [f"<code>{escape(name)}</code>" for name in compared.settings.fields]
    if not names:
        return "Their configs are the same."
    return f"They differ in {', '.join(names)}."


def _outcome(compared: Comparison) -> Section:
    kinds = compared.table["outcome_kind"].tolist()
    n_runs, n_generalized, n_censored = len(kinds), compared.n_generalized, compared.n_censored
    sentence = f"{n_generalized} of {n_runs} runs generalized, suddenly or slowly."
    if n_censored:
        words = "One has not by its" if n_censored == 1 else f"{n_censored} have not by their"
        sentence += f" {words} last step; the grokking step, if there is one, is later."
    facts = [("runs", show_value(n_runs)), ("settings", show_value(len(compared.groups())))]
    for kind, words in _OUTCOMES.items():
        if kind in kinds:
            facts.append((words, show_value(kinds.count(kind))))
    if n_generalized:
        steps = compared.steps_of("grokking_step")
        facts.append(("earliest grokking step", show_value(int(np.nanmin(steps)))))
        facts.append(("latest grokking step", show_value(int(np.nanmax(steps)))))
    boxes = "".join(
        f'<div class="fact"><dt>{escape(name)}</dt><dd>{value}</dd></div>' for name, value in facts
    )
    blocks = (paragraph(sentence, kind="outcome"), f'<dl class="facts">{boxes}</dl>')
    return Section("outcome", "Outcome", blocks)


def _runs(compared: Comparison, links: Sequence[str | None]) -> Section:
    frame = compared.table
    columns: dict[str, list[str]] = {
        "run": [_link(name, at) for name, at in zip(compared.names, links, strict=True)]
    }
    names = short_names(compared.settings.fields)
    for field in compared.settings.fields:
        columns[names[field]] = [_setting_cell(value) for value in frame[field].tolist()]
    columns["outcome"] = [
        escape(_OUTCOMES.get(kind, "not known")) for kind in frame["outcome_kind"].tolist()
    ]
    n_text = len(columns)
    columns["grokking_step"] = [_grokking_cell(*pair) for pair in _grokking_and_censoring(compared)]
    measured = [
        str(name)
        for name in frame.columns
        if name not in columns
        and name not in ("run", *_NOT_SHOWN)
        and name not in compared.settings.fields
    ]
    for name in measured:
        columns[name] = [_cell(name, value) for value in frame[name].tolist()]
    header = [name.replace("_", " ") for name in columns]
    rows = list(zip(*columns.values(), strict=True))
    note = paragraph(
        "Each name links to the report of that run. For a run that has not generalized the table "
        "shows its last step: its grokking step, if there is one, is later."
    )
    block = table(header, rows, caption="All runs (compare.csv has every column)", n_text=n_text)
    return Section("runs", "Runs", (note, block))


def _grokking_and_censoring(compared: Comparison) -> list[tuple[float, float]]:
    columns = (compared.steps_of(name).tolist() for name in ("grokking_step", "censored_at"))
    return list(zip(*columns, strict=True))


def _grokking_cell(step: float, limit: float) -> str:
    return show_value(step) if is_missing(limit) else f"not by {show_value(limit)}"


def _link(label: str, address: str | None) -> str:
    text = escape(label)
    return text if address is None else f'<a href="{escape(address)}">{text}</a>'


def _setting_cell(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(show_field(part) for part in value)
    if isinstance(value, str):
        return escape(value)
    return show_value(None) if is_missing(value) else show_field(value)


def _cell(name: str, value: Any) -> str:
    if is_missing(value):
        return show_value(None)
    return show_percent(value) if name in _PERCENT else show_value(value)


def _settings(compared: Comparison) -> Section | None:
    groups = compared.groups()
    if max(len(group) for group in groups.values()) < 2:
        return None
    frame = setting_table(compared)
    columns: dict[str, list[str]] = {
        "setting": [escape(name) for name in frame["setting"]],
        "runs": [show_value(n) for n in frame["n_runs"]],
        "generalized": [show_value(n) for n in frame["n_generalized"]],
        "grokking step": [_grokking_range(row) for row in frame.to_dict(orient="records")],
    }
    for name in SUMMARIZED:
        if name in frame and not all(map(is_missing, frame[name].tolist())):
            columns[name.replace("_", " ")] = [
                _range(name, row) for row in frame.to_dict(orient="records")
            ]
    note = paragraph(
        "Median of the runs of a setting, and their range. Runs of one setting differ in their "
        "seeds, or in how long they were watched. If a run has not generalized, the median counts "
        "its grokking step as later than its last step (Kaplan and Meier)."
    )
    rows = list(zip(*columns.values(), strict=True))
    block = table(list(columns), rows, caption="Settings (settings.csv)", n_text=1)
    return Section("settings", "Settings: median and range", (note, block))


def _grokking_range(row: Mapping[Any, Any]) -> str:
    low, high = row["grokking_step_low"], row["grokking_step_high"]
    if is_missing(low):
        return "none generalized"
    end = "not reached by all" if is_missing(high) else show_value(int(high))
    median = row["grokking_step"]
    middle = "no median" if is_missing(median) else show_value(median)
    return f"{middle} ({show_value(int(low))} to {end})"


def _range(name: str, row: Mapping[Any, Any]) -> str:
    ends = [row[name], row[f"{name}_low"], row[f"{name}_high"]]
    if is_missing(ends[0]):
        return show_value(None)
    middle, low, high = (
        _cell(name, float(f"{v:.4g}") if isinstance(v, float) else v) for v in ends
    )
    return f"{middle} ({low} to {high})"


def _grokking_steps(compared: Comparison) -> Section | None:
    block = _figure(
        compared,
        "grokking-steps",
        "One point per run. Open triangles are runs that had not generalized by their last step: "
        "their grokking step is later. If settings have several runs, the line joins their "
        "medians. It has a gap if too few runs have generalized for a median.",
    )
    return Section("grokking-steps", "When the runs generalized", (block,)) if block else None


_COLORS = (
    "Runs of one setting share a color; the seeds of a setting differ in how strong it is. "
    "Click on a setting in the legend to hide its runs, and double-click to see them alone."
)


def _curves(compared: Comparison) -> Section | None:
    return _section(
        "loss-and-accuracy",
        "Loss and accuracy",
        _figure(
            compared,
            "loss",
            f"Test loss solid, train loss dashed, on a logarithmic axis. {_COLORS}",
        ),
        _figure(
            compared,
            "accuracy",
            "Test accuracy solid, train accuracy dashed. The later the solid line of a run "
            "follows its dashed one, the longer its grokking delay.",
        ),
    )


def _circuits(compared: Comparison) -> Section | None:
    return _measures(compared, "circuits", "Restricted and excluded loss", _OF_CIRCUITS)


def _weights(compared: Comparison) -> Section | None:
    return _measures(compared, "weights", "Weights and sparsity", _OF_WEIGHTS)


def _measures(
    compared: Comparison, name: str, title: str, captions: Mapping[str, str]
) -> Section | None:
    blocks = [
        _figure(compared, column.replace("_", "-"), caption) for column, caption in captions.items()
    ]
    return _section(name, title, *blocks)


def _figure(compared: Comparison, name: str, caption: str) -> str:
    """HTML of a figure; nothing where there is nothing to draw."""
    draw = _plots(compared).get(name)
    if draw is None:
        return ""
    try:
        return figure_block(f"figure-{name}", draw(), caption)
    except FitError:
        return ""


def _section(name: str, title: str, *blocks: str) -> Section | None:
    kept = tuple(block for block in blocks if block)
    return Section(name, title, kept) if kept else None


def _failures(failures: Mapping[str, str]) -> Section | None:
    if not failures:
        return None
    rows = [(f"<code>{escape(name)}</code>", escape(why)) for name, why in failures.items()]
    block = table(("run", "reason"), rows, caption="Not in this comparison")
    return Section("failures", "Runs that could not be analyzed", (block,))


def _same(compared: Comparison) -> Section | None:
    first, *others = compared.configs
    same = {
        name: value
        for name, value in first.items()
        if all(name in other and other[name] == value for other in others)
    }
    if not same:
        return None
    rows = field_table(same, caption="Fields of config.json")
    folded = f"<details><summary>{len(same)} fields that all runs share</summary>{rows}</details>"
    return Section("same", "What is the same", (folded,))


def _citations(compared: Comparison) -> Section:
    bibtex = escape(cite(list(compared.analyses)))
    block = (
        "<details><summary>BibTeX of the library and of the papers of what was measured "
        'here</summary><div class="scroll" role="region" tabindex="0" aria-label="BibTeX">'
        f"<pre>{bibtex}</pre></div></details>"
    )
    return Section("citations", "How to cite", (block,))
