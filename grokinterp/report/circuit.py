"""The trigonometric circuit and the ablations of the last checkpoint, as parts of the report."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from grokinterp import figures
from grokinterp.circuits.components import words_of_component
from grokinterp.errors import FitError
from grokinterp.figures.spectrum import spectrum_of
from grokinterp.report.analysis_figures import figure_if_any, figure_or_reason
from grokinterp.report.network_words import has_transformer_names
from grokinterp.report.page import Section, figure_block, paragraph
from grokinterp.report.text import (
    MISSING,
    escape,
    show_keys,
    show_percent,
    show_value,
    table,
)
from grokinterp.trajectory.analysis import Analysis

_STAGES = {
    "embedding": (
        "Embedding",
        "The embedding represents each token by cosines and sines of the key frequencies.",
    ),
    "attention": (
        "Attention",
        "The pattern of each head is compared with a linear function of waves of the two tokens. "
        "The losses say what the difference costs.",
    ),
    "neurons": (
        "Neurons",
        "Each neuron is compared with a polynomial of degree two in the cosines and sines of one "
        "frequency, with at most one factor of each token.",
    ),
    "neuron_logit_map": (
        "Neuron-logit map",
        "For each key frequency, W_L has two directions u and v of the neurons, from which the "
        "logits read a cosine and a sine of a+b.",
    ),
    "logits": (
        "Logits",
        "The logits are compared with a sum of cosines of a+b−c, with one amplitude per key "
        "frequency.",
    ),
}
_OF_TRANSFORMERS = {
    "embedding": " What reaches the neurons, through values and heads, is cleaner than W_E itself.",
    "neuron_logit_map": " W_L = W_out W_U.",
}
"""Sentences added for transformers that have neurons."""
_CIRCUIT_STEPS = {
    "memorization_works_from": "memorization circuit alone answers the training pairs from",
    "memorization_works_until": "memorization circuit alone answers the training pairs until",
    "trigonometric_works_from": "trigonometric circuit alone answers the test pairs from",
    "trigonometric_is_stronger_from": "trigonometric circuit is stronger on training pairs from",
}


def circuit_section(analysis: Analysis) -> Section:
    """What each replacement costs, then every number stage by stage."""
    title = "The trigonometric circuit, step by step"
    circuit = analysis.circuit
    if circuit.empty:
        known = analysis.why("key_frequencies", "by_frequency")
        because = f" Reason: {escape(known)}." if known else ""
        note = "The circuit was not followed through the network." + because
        return Section("circuit", title, (paragraph(note, kind="note"),))
    step = analysis.key_frequencies.step
    lead = paragraph(
        "Every line replaces a part of the network by the circuit's formula for it, or removes "
        "everything else, and runs the rest of the network. If the formula is right, the loss "
        "stays near the network's own. A loss far above that means that something is left out."
        + (f" Last checkpoint, step {show_value(step)}." if step is not None else "")
    )
    has_heads = bool(circuit["head"].notna().any())
    blocks = [lead, *_stages_left_out(analysis), _losses(circuit)]
    for stage, (name, text) in _STAGES.items():
        rows = [row for row in circuit.to_dict(orient="records") if row["stage"] == stage]
        if rows:
            if has_transformer_names(analysis) and "neurons" not in analysis.run.missing_parts:
                text += _OF_TRANSFORMERS.get(stage, "")
            body = paragraph(escape(text)) + _stage_table(rows, name, has_heads=has_heads)
            blocks.append(
                f"<details><summary>{escape(name)}: all numbers</summary>{body}</details>"
            )
    return Section("circuit", title, tuple(blocks))


def _stages_left_out(analysis: Analysis) -> list[str]:
    """One note on the stages that the network does not have; nothing if it has all."""
    left_out = [n.lower() for s, (n, _) in _STAGES.items() if analysis.why(f"circuit.{s}")]
    if not left_out:
        return []
    return [
        paragraph(
            f"Stages that cannot be followed in this network: {', '.join(left_out)}. The reasons "
            'are under <a href="#not-computed">What could not be computed</a>.',
            kind="note",
        )
    ]


def strength_section(analysis: Analysis) -> Section:
    """When each circuit works, and how strong it is against the other."""
    title = "The two circuits against each other"
    try:
        figure = figures.plot_circuit_strength(analysis)
    except FitError as error:
        return Section("circuit-strength", title, (paragraph(escape(error), kind="note"),))
    caption = (
        "The first panel shows what each circuit contributes to the correct logit, minus the mean "
        "logit: both circuits on the training pairs, and the memorization circuit on the test "
        "pairs. Then come the accuracy of each circuit alone, and the share of the logits' power "
        "outside the trigonometric circuit. The trigonometric circuit is read off test pairs that "
        "the network cannot have memorized, so memorizing alone does not look like a circuit. In a "
        "run that groks, the dotted lines rise first and fall in cleanup."
    )
    blocks = [figure_block("figure-circuit-strength", figure, caption)]
    if analysis.circuit_steps is not None:
        blocks.append(_steps_table(analysis, analysis.circuit_steps.as_dict()))
    return Section("circuit-strength", title, tuple(blocks))


def ablation_section(analysis: Analysis) -> Section:
    """The last checkpoint without each of its parts."""
    block = figure_or_reason(
        analysis,
        "ablations",
        "Loss of the last checkpoint with parts of the logits removed. Bars are for all pairs, "
        "dots for train and test. A long bar is a part that the network needs. Logarithmic axis.",
    )
    paths = (
        " If a path has the same value for all pairs, mean and resampling change nothing."
        if has_transformer_names(analysis)
        else ""
    )
    parts = figure_if_any(
        analysis,
        "component-ablations",
        "Loss on all pairs with each part replaced by its mean over the pairs, by zero, or by its "
        "value at another pair. The dashed line is the whole network, so the network does not need "
        f"the parts whose marks are on it.{paths} Logarithmic axis.",
    )
    blocks = [block, *parts]
    if len(analysis.ablations):
        blocks.append(ablation_table_html(analysis.ablations, spectrum_of(analysis).plural))
    return Section("ablations", "Ablations", tuple(blocks))


def ablation_table_html(ablations: pd.DataFrame, plural: str = "frequencies") -> str:
    """All rows of ablations.csv: those of the logits open, the others folded away.

    `plural` is what the table calls the column ``frequencies``.
    """
    rows = ablations.rename(columns={"frequencies": plural}).to_dict(orient="records")
    first = [row for row in rows if row["intervention"] in ("none", "removed from logits")]
    first = first or rows
    rest = [row for row in rows if row not in first]
    shown = _ablation_rows(first, "Ablations of the logits; losses in nats")
    if not rest:
        return shown
    folded = _ablation_rows(rest, "All other ablations; losses in nats")
    return f"{shown}<details><summary>{len(rest)} more ablations</summary>{folded}</details>"


def _ablation_rows(ablations: list[dict], caption: str) -> str:
    rows = []
    for row in ablations:
        cells = []
        for name, value in row.items():
            if str(name).startswith("accuracy_"):
                cells.append(show_percent(value))
            elif name in ("frequencies", "representations"):
                keys = [int(key) if key.isdigit() else key for key in str(value or "").split()]
                cells.append(show_keys(keys) or MISSING)
            elif name == "component":
                cells.append(escape(words_of_component(value)))
            else:
                cells.append(show_value(value))
        rows.append(cells)
    header = [str(name).replace("_", " ") for name in ablations[0]]
    return table(header, rows, caption=caption, n_text=3)


def _losses(circuit: pd.DataFrame) -> str:
    losses = [
        row
        for row in circuit.to_dict(orient="records")
        if row["unit"] == "nats" and pd.isna(row["head"])
    ]
    full = float(losses[0]["value"])
    rows = [
        (
            escape(str(row["quantity"]).removeprefix("loss, ")),
            escape(str(row["stage"]).replace("_", "-")),
            show_value(row["value"]),
            show_value(row["value"] / full) if full > 0 else MISSING,
        )
        for row in losses
    ]
    header = ("what was replaced", "stage", "loss", "times the network's")
    return table(header, rows, caption="What each replacement costs; losses in nats", n_text=2)


def _stage_table(rows: list[dict], name: str, *, has_heads: bool) -> str:
    which = ("frequency", "head") if has_heads else ("frequency",)
    cells = [
        (
            escape(row["quantity"]),
            *("" if pd.isna(row[column]) else show_value(row[column]) for column in which),
            show_value(row["value"]),
            escape(row["unit"]),
        )
        for row in rows
    ]
    header = ("quantity", *which, "value", "unit")
    return table(header, cells, caption=name, n_text=1)


def _steps_table(analysis: Analysis, steps: Mapping[str, int | None]) -> str:
    rows = [
        (escape(text), show_value(steps[name]), escape(analysis.why(f"circuits.{name}")))
        for name, text in _CIRCUIT_STEPS.items()
    ]
    return table(("event", "step", "remark"), rows, caption="When each circuit works")
