"""From the reproduction of a question to one HTML file."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from grokinterp.errors import FitError
from grokinterp.experiments.chart import Chart
from grokinterp.experiments.experiment import STANDARD_COLUMNS
from grokinterp.experiments.reproduction import STORE_NAME, Reproduction
from grokinterp.figures.charts import n_off_axis, plot_chart
from grokinterp.report.page import Section, figure_block, paragraph, render_page
from grokinterp.report.text import (
    escape,
    field_table,
    is_missing,
    link_papers,
    show_field,
    show_value,
    table,
)
from grokinterp.runs.store import read_json
from grokinterp.trajectory.milestones import Thresholds

_RUN_COLUMNS = (
    "memorization_step",
    "grokking_time",
    "first_crossing_99",
    "grokking_step",
    "grokking_delay",
    "transition_width",
    "outcome_kind",
    "train_accuracy",
    "test_accuracy",
    "test_accuracy_mirrored",
    "test_accuracy_unmirrored",
    "train_loss",
    "test_loss",
)
"""Standard columns that the report shows; runs.csv has them all."""


def render_experiment_report(result: Reproduction) -> str:
    """Return the report of a reproduction as an HTML document."""
    experiment = result.experiment
    found = result.findings.found
    lead = (
        (f"<p>{escape(found)}</p>" if found else "")
        + f'<p class="lead">{link_papers(experiment.paper)}</p>'
        f"<p>{escape(experiment.claim)}</p>"
        f'<p class="lead">{_runs_in_words(result)}</p>'
    )
    sections = [
        _verdict(result),
        _written_beforehand(result),
        _charts(result),
        _tables(result),
        _runs(result),
        _failures(result),
        _notes(result),
        _again(result),
    ]
    title = f"Reproduction: {experiment.name}"
    return render_page(title, lead, [section for section in sections if section is not None])


def _runs_in_words(result: Reproduction) -> str:
    n_runs, n_censored = len(result.table), result.n_censored
    words = f"{show_value(n_runs)} {'run' if n_runs == 1 else 'runs'}, {result.scale.name} version"
    if n_censored:
        words += (
            f"; {show_value(n_censored)} had not generalized by the last step and are censored: "
            "they count as longer than that, not as missing"
        )
    return words + "."


def _verdict(result: Reproduction) -> Section:
    kind = result.verdict.replace(" ", "-")
    badge = f'<strong class="verdict {kind}">{escape(result.verdict)}</strong>'
    blocks = [paragraph(badge, kind="outcome")]
    if result.failures:
        blocks.append(
            paragraph(
                f"{len(result.failures)} planned runs failed, so the verdict stays open whatever "
                'the others say: see <a href="#failures">below</a>.',
                kind="note",
            )
        )
    for claim in result.findings.claims:
        role = "" if claim.is_main else ' <span class="missing">(not part of the verdict)</span>'
        name = claim.verdict.replace(" ", "-")
        blocks.append(
            f"<h3>{escape(claim.name)}: "
            f'<span class="verdict {name}">{escape(claim.verdict)}</span>{role}</h3>'
        )
        blocks.append(paragraph(escape(claim.sentence)))
        if claim.numbers:
            facts = "".join(
                f'<div class="fact"><dt>{escape(_words(name))}</dt><dd>{_cell(value)}</dd></div>'
                for name, value in claim.numbers.items()
            )
            blocks.append(f'<dl class="facts">{facts}</dl>')
    return Section("verdict", "Verdict", tuple(blocks))


def _written_beforehand(result: Reproduction) -> Section:
    experiment = result.experiment
    blocks = [
        paragraph("This text was in the module of the experiment when the runs were made.", kind="")
    ]
    for title, text in (
        ("Prediction", experiment.prediction),
        ("Criterion", experiment.criterion),
        ("Settings", experiment.settings),
        ("History", experiment.history),
    ):
        if text is not None:
            blocks.append(f"<h3>{title}</h3><blockquote>{quoted(text)}</blockquote>")
    return Section("beforehand", "Written down beforehand", tuple(blocks))


def quoted(text: str) -> str:
    r"""HTML of a section of a docstring: its paragraphs, lists and code, everything escaped.

    Examples
    --------
    >>> quoted("Below ``-0.5``.\n\n- one\n- <two>")
    '<p>Below <code>-0.5</code>.</p>\n<ul><li>one</li><li>&lt;two&gt;</li></ul>'
    """
    return "\n".join(_quoted_paragraph(part) for part in re.split(r"\n\s*\n", text.strip()))


def _quoted_paragraph(part: str) -> str:
    first, *rest = re.split(r"(?:^|\n)\s*[-*] ", part)
    inline = [_inline(item) for item in rest]
    items = "".join(f"<li>{item}</li>" for item in inline)
    head = f"<p>{_inline(first)}</p>" if first.strip() else ""
    return head + (f"<ul>{items}</ul>" if items else "")


def _inline(text: str) -> str:
    words = link_papers(" ".join(text.split()))
    return re.sub(r"``(.+?)``", r"<code>\1</code>", words)


def _charts(result: Reproduction) -> Section | None:
    blocks = [_chart(chart) for chart in result.findings.charts]
    return Section("charts", "Charts", tuple(blocks)) if blocks else None


def _chart(chart: Chart) -> str:
    try:
        figure = plot_chart(chart)
    except FitError as error:
        return paragraph(escape(error), kind="note")
    caption = escape(chart.caption)
    n_missing = n_off_axis(chart)
    if n_missing:
        caption += f" {n_missing} points at or below zero are not on the logarithmic axis."
    return figure_block(f"figure-{chart.name}", figure, caption)


def _tables(result: Reproduction) -> Section | None:
    blocks = [
        frame_table(frame, caption=f"{name.replace('_', ' ')} ({name}.csv)")
        for name, frame in result.findings.tables.items()
    ]
    return Section("tables", "Summaries", tuple(blocks)) if blocks else None


def frame_table(frame: pd.DataFrame, *, caption: str) -> str:
    """HTML of a table of any numbers and words, every cell escaped; without its index."""
    header = [_words(name) for name in frame.columns]
    rows = [[_cell(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    return table(header, rows, caption=caption, n_text=_n_text(frame))


def _words(name: Any) -> str:
    """A column's name as a reader writes it.

    Examples
    --------
    >>> _words("n_with_spikes")
    'number with spikes'
    """
    return re.sub(r"^n (?=\w)", "number of ", str(name).replace("_", " ")).replace(
        "number of with", "number with"
    )


def _n_text(frame: pd.DataFrame) -> int:
    """How many of the first columns are words; at least the one that names the row."""
    n = 0
    for column in frame.columns:
        if not all(isinstance(value, str) or is_missing(value) for value in frame[column]):
            break
        n += 1
    return max(1, n)


def _cell(value: Any) -> str:
    if is_missing(value):
        return show_value(None)
    if hasattr(value, "item"):
        value = value.item()
    # Settings such as 0.125 and seeds are read best as they are typed.
    return show_field(value) if isinstance(value, int) and abs(value) < 1000 else show_value(value)


def _runs(result: Reproduction) -> Section:
    frame = result.table
    where = f"The folder of a run is <code>{STORE_NAME}/</code> and its name in the first column."
    if not len(frame):
        return Section("runs", "Runs", (paragraph("No run was finished."),))
    labels = [name for name in frame.columns[: list(frame.columns).index("run")]]
    observed = [n for n in frame.columns if n not in labels and n not in STANDARD_COLUMNS]
    shown = [n for n in _RUN_COLUMNS if not all(is_missing(value) for value in frame[n])]
    columns = {"run": [f"<code>{escape(name)}</code>" for name in frame["run"]]}
    for name in [*labels, *shown, *observed]:
        columns[name] = [_cell(value) for value in frame[name]]
    if "grokking_time" in columns:
        columns["grokking_time"] = [
            f"not by {show_value(time)}" if is_censored is True else _cell(time)
            for time, is_censored in zip(
                frame["grokking_time"].tolist(), frame["is_censored"].tolist(), strict=True
            )
        ]
    header = [_words(name) for name in columns]
    rows = list(zip(*columns.values(), strict=True))
    caption = "All runs (runs.csv has every column); steps in updates, losses in nats"
    n_text = _n_text(frame.loc[:, ["run", *labels]])
    body = table(header, rows, caption=caption, n_text=n_text)
    blocks = [paragraph(where), body]
    if "grokking_time" in columns:
        blocks.insert(1, paragraph(_two_times(has_step="grokking_step" in columns)))
    return Section("runs", "Runs", tuple(blocks))


def _two_times(*, has_step: bool) -> str:
    """What the time of a run is, and from what other step its delay and outcome are judged."""
    limits = Thresholds()
    words = (
        "The grokking time is the first tested step with a test accuracy above "
        f"{limits.grokking:.0%}, whether or not it stays there. "
    )
    if not has_step:
        return (
            words + "Delay and outcome are judged by the step from which it stays; no run has one."
        )
    return words + (
        f"The grokking step is the first from which it stays above for {limits.patience:,} steps, "
        "or to the end; delay and outcome are judged by it: the grokking delay is grokking step "
        "less memorization step. Where the accuracy fell again in between, the delay can be "
        "longer than the grokking time."
    )


def _failures(result: Reproduction) -> Section | None:
    if not result.failures:
        return None
    rows = [
        (
            f"<code>{escape(failure.run)}</code>",
            escape(", ".join(f"{name}={value}" for name, value in failure.labels.items())),
            escape(failure.reason),
        )
        for failure in result.failures
    ]
    block = table(("run", "what it was", "reason"), rows, caption="Planned runs without a row")
    return Section("failures", "Runs that failed", (block,))


def _notes(result: Reproduction) -> Section | None:
    if not result.findings.notes:
        return None
    items = "".join(f"<li>{link_papers(note)}</li>" for note in result.findings.notes)
    return Section("notes", "Limits, and what is known against it", (f"<ul>{items}</ul>",))


def _again(result: Reproduction) -> Section:
    blocks = [
        paragraph(f"<code>{escape(result.command)}</code>"),
        paragraph(
            f"This call took {show_value(round(result.seconds))} s. Runs that are in the store "
            "are not trained again; the same command resumes where it was stopped."
        ),
    ]
    environment = _environment(result)
    if environment:
        blocks.append(field_table(environment, caption="Recorded when the first run was trained"))
    return Section("again", "How to reproduce this", tuple(blocks))


def _environment(result: Reproduction) -> dict[str, Any]:
    if not len(result.table):
        return {}
    return read_json(
        result.out / STORE_NAME / str(result.table["run"].iloc[0]) / "environment.json"
    )
