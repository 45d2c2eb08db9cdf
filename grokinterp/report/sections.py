"""What the report of an analysis shows, part by part."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go

from grokinterp import figures
from grokinterp.circuits.key_frequencies import MIN_SHARE
from grokinterp.figures.embedding import MAX_FRAMES
from grokinterp.figures.lines import MAX_POINTS
from grokinterp.figures.spectrum import Spectrum, spectrum_of
from grokinterp.report.algorithm import algorithm_section
from grokinterp.report.circuit import (
    ablation_table_html,
    circuit_section,
    component_blocks,
    strength_section,
)
from grokinterp.report.outcome import outcome_section, phase_table
from grokinterp.report.page import Section, figure_block, paragraph
from grokinterp.report.provenance import provenance_sections
from grokinterp.report.text import escape, show_percent, show_value, table
from grokinterp.trajectory.analysis import Analysis

Plot = Callable[[Analysis], go.Figure | None]
_N_RUNNERS_UP = 3


def analysis_sections(analysis: Analysis) -> list[Section]:
    """All sections of the report, in order; a section without numbers says why."""
    return [
        outcome_section(analysis),
        _loss_and_accuracy(analysis),
        _embedding_spectrum(analysis),
        _key_frequencies(analysis),
        _restricted_and_excluded(analysis),
        _neurons(analysis),
        _logits_explained(analysis),
        algorithm_section(analysis),
        _gini_and_weights(analysis),
        _further_measures(analysis),
        _mirrored_accuracy(analysis),
        circuit_section(analysis),
        strength_section(analysis),
        _ablations(analysis),
        *provenance_sections(analysis),
    ]


def _figure_or_reason(
    analysis: Analysis, plot: Plot, name: str, caption: str, *fields: str, absent: str
) -> str:
    """The figure, or a note with the first reason that the summary knows for these fields."""
    figure = plot(analysis)
    if figure is not None:
        return figure_block(name, figure, caption)
    reasons = analysis.summary.get("reasons") or {}
    # Permutations have no key frequencies in any case; then the other reason is the one.
    fields = (*fields, "key_representations", "key_frequencies")
    known = [reasons[field] for field in fields if reasons.get(field)]
    because = f" Reason: {escape(known[0])}." if known else ""
    return paragraph(f"{absent}{because}", kind="note")


def _loss_and_accuracy(analysis: Analysis) -> Section:
    thinned = (
        f" The {len(analysis.run.curves):,} recorded steps are thinned to what a screen can "
        "show; every peak is kept."
        if len(analysis.run.curves) > MAX_POINTS
        else ""
    )
    loss = _figure_or_reason(
        analysis,
        figures.plot_losses,
        "figure-loss",
        "In a run that groks, train loss falls early, while test loss first rises far above the "
        "level of guessing and falls much later. Shaded and dashed, where the run has them: the "
        f"phases, the memorization and the grokking step. Logarithmic axis.{thinned}",
        "train_loss",
        absent="No finite loss was recorded.",
    )
    accuracy = _figure_or_reason(
        analysis,
        figures.plot_accuracies,
        "figure-accuracy",
        "In a run that groks, the distance between the two rises is the grokking delay. Further "
        "accuracies, where there are any, can be switched on in the legend.",
        "train_accuracy",
        absent="No accuracy was recorded.",
    )
    return Section(
        "loss-and-accuracy", "Loss and accuracy", (loss, accuracy, phase_table(analysis))
    )


def _representations(analysis: Analysis) -> Section:
    block = _figure_or_reason(
        analysis,
        figures.plot_representations,
        "figure-representations",
        "One line per irreducible representation, the key ones thick: its share of the power of "
        "the logits averaged over the pairs with the same product, its norm in the embedding, the "
        "loss on the training pairs with its matrix elements of ab removed from the logits, and "
        "the neurons with over 85% of their activation in it.",
        "key_representations",
        absent="No representation was followed.",
    )
    return Section("representations", "Representations along training", (block,))


def _embedding_spectrum(analysis: Analysis) -> Section:
    if analysis.run.task.has_representations:
        return _representations(analysis)
    table = analysis.by_frequency
    n = len(set(table["step"])) if "step" in table else 0
    shown = (
        f" The slider shows {MAX_FRAMES} of the {n:,} checkpoints: the first, the last, those "
        "nearest to the marked steps, and evenly spaced ones between."
        if n > MAX_FRAMES
        else ""
    )
    spectrum = _figure_or_reason(
        analysis,
        figures.plot_embedding_spectrum,
        "figure-embedding-spectrum",
        "Norm of the embedding at every frequency of the Fourier basis. Move the slider: in a run "
        "that groks, a flat spectrum turns into a few tall bars." + shown,
        "by_frequency",
        absent="There is no spectrum of the embedding.",
    )
    heatmap = figures.plot_embedding_heatmap(analysis)
    blocks = [spectrum]
    if heatmap is not None:
        caption = (
            "The same norms for all steps at once. A bright row is a frequency that the embedding "
            "holds; key frequencies carry a mark at the right edge."
        )
        blocks.append(figure_block("figure-embedding-heatmap", heatmap, caption))
    return Section("embedding-spectrum", "Embedding spectrum", tuple(blocks))


def _key_frequencies(analysis: Analysis) -> Section:
    keys = analysis.key_frequencies
    spectrum = spectrum_of(analysis)
    what = f"Key {spectrum.plural}"
    step = f" at step {show_value(keys.step)}" if keys.step is not None else ""
    found = show_value(spectrum.keys) if keys.frequencies else "none"
    blocks = [
        paragraph(
            f"{what}: <strong>{found}</strong>, by the rule <code>{escape(keys.rule)}</code>{step}."
        )
    ]
    if not keys.frequencies and keys.reason:
        blocks.append(paragraph(f"The set is empty: {escape(keys.reason)}.", kind="note"))
    if spectrum.noun == "representation":
        blocks.append(
            paragraph(
                "By the rule <code>logit_power</code> a representation is key when its share of "
                "the power of the logits, averaged over the pairs with the same product, exceeds "
                f"{MIN_SHARE:.1%} and what permuted pairs reach. The other columns change nothing."
            )
        )
    else:
        blocks.append(_evidence_figure(analysis))
    if keys.evidence is not None and len(keys.evidence):
        blocks.append(_evidence_table(spectrum, keys.evidence))
    return Section("key-frequencies", f"{what} and their evidence", tuple(blocks))


def _evidence_figure(analysis: Analysis) -> str:
    return _figure_or_reason(
        analysis,
        figures.plot_key_frequency_evidence,
        "figure-key-frequencies",
        "By the rule <code>logit_power</code> a frequency is key when its share of the logit "
        "power lies above both lines of the first panel. The other panels change nothing: a "
        "frequency can be large in the embedding and unused by the logits.",
        "evidence",
        absent="There is no evidence frequency by frequency.",
    )


def _evidence_table(spectrum: Spectrum, evidence: pd.DataFrame) -> str:
    rows_of_keys = [row for row in evidence.to_dict("records") if row["is_key"]]
    others = [row for row in evidence.to_dict("records") if not row["is_key"]]
    others.sort(key=lambda row: -row.get("logit_power_share", 0.0))
    columns = {
        "dimension": ("dimension", show_value),
        "character_similarity": ("character similarity", show_value),
        "logit_power_share": ("share of logit power", show_percent),
        "null_share": ("permuted pairs, 99.9%", show_percent),
        "embedding_norm": ("embedding norm", show_value),
        "n_neurons": ("neurons", show_value),
        "W_L_norm": ("W_L norm", show_value),
        "double_of": ("double of", show_value),
    }
    present = {name: how for name, how in columns.items() if name in evidence}
    rows = []
    for row in [*rows_of_keys, *others[:_N_RUNNERS_UP]]:
        mark = '<span class="key">key</span>' if row["is_key"] else "no"
        cells = [show(row[name]) for name, (_, show) in present.items()]
        rows.append((escape(row[spectrum.noun]), mark, *cells))
    header = (spectrum.noun, "key", *(title for title, _ in present.values()))
    plural, strongest = spectrum.plural, f"the {_N_RUNNERS_UP} strongest"
    is_any_key = len(rows_of_keys) > 0
    caption = f"Key {plural} and {strongest} others" if is_any_key else f"All {plural}: {strongest}"
    return table(header, rows, caption=caption, n_text=2)


def _restricted_and_excluded(analysis: Analysis) -> Section:
    spectrum = spectrum_of(analysis)
    here = ""
    if spectrum.noun == "representation":
        here = " The trigonometric circuit is what ρ(ab) of the key representations spans."
    both = _figure_or_reason(
        analysis,
        figures.plot_restricted_and_excluded_loss,
        "figure-restricted-and-excluded-loss",
        "Restricted loss keeps only the trigonometric circuit, excluded loss removes it. "
        "In a run that groks the restricted loss falls and the excluded loss rises across the "
        "plateau, before the test loss moves. Further splits can be switched on in the legend."
        + here,
        "restricted_loss_all",
        "restricted_loss",
        "excluded_loss",
        absent="There is neither a restricted nor an excluded loss. That takes key "
        f"{spectrum.plural}.",
    )
    blocks = [both]
    each = figures.plot_excluded_loss_by_frequency(analysis)
    if each is not None:
        caption = (
            f"Loss on the training pairs with a single key {spectrum.noun} removed: the higher "
            f"the line, the more the network depends on that {spectrum.noun}."
        )
        blocks.append(figure_block("figure-excluded-loss-by-frequency", each, caption))
    return Section("restricted-and-excluded-loss", "Restricted and excluded loss", tuple(blocks))


def _neurons(analysis: Analysis) -> Section:
    spectrum = spectrum_of(analysis)
    noun, plural = spectrum.noun, spectrum.plural
    block = _figure_or_reason(
        analysis,
        figures.plot_neurons,
        "figure-neurons",
        f"In a run that groks, neurons gather around the key {plural}. A neuron counts as "
        f"single-{noun} when over 85% of its centered activation lies in one {noun}.",
        f"fraction_single_{noun}_neurons",
        absent=f"Neurons were not assigned to {plural}.",
    )
    return Section("neurons", "Neurons", (block,))


def _logits_explained(analysis: Analysis) -> Section:
    spectrum = spectrum_of(analysis)
    waves, plural = spectrum.waves, spectrum.plural
    block = _figure_or_reason(
        analysis,
        figures.plot_logits_explained,
        "figure-logits-explained",
        f"How much of the variance of the logits the {waves} of the key {plural} explain, and "
        "with which amplitudes. In a clean circuit the fraction ends near 1.",
        "fraction_logit_variance_explained",
        absent=f"The logits were not explained by {waves}. That takes key {plural}.",
    )
    return Section("logits-explained", "Logits explained", (block,))


def _gini_and_weights(analysis: Analysis) -> Section:
    gini = _figure_or_reason(
        analysis,
        figures.plot_gini,
        "figure-gini",
        "0 means that all Fourier components are equal, 1 that a single one is left. In a run "
        "that groks, both rise as the circuit forms and again in cleanup.",
        "gini_W_E",
        "by_frequency",
        absent="The Gini coefficients were not computed.",
    )
    weights = _figure_or_reason(
        analysis,
        figures.plot_sum_squared_weights,
        "figure-sum-squared-weights",
        "In a run that groks, weight decay removes the memorization circuit in cleanup: the total "
        "falls and then stays flat. Logarithmic axis.",
        "sum_squared_weights",
        absent="The sum of squared weights was not computed.",
    )
    return Section("gini-and-weights", "Gini coefficient and weights", (gini, weights))


def _further_measures(analysis: Analysis) -> Section:
    block = _figure_or_reason(
        analysis,
        figures.plot_further_measures,
        "figure-further-measures",
        "Effective rank counts the dimensions that the embedding uses. Gradient symmetricity is "
        "near 1 for the pizza algorithm and lower for the clock; distance irrelevance is low for "
        "the pizza and higher for the clock; circularity is near 1 where the embedding consists of "
        "circles. What they say of the last checkpoint stands under Which algorithm. Measures that "
        "were added to the library's stand below.",
        "gradient_symmetricity",
        "effective_rank_W_E",
        absent="No further measure was computed.",
    )
    return Section("further-measures", "Further measures", (block,))


def _mirrored_accuracy(analysis: Analysis) -> Section:
    title = "Mirrored and unmirrored accuracy"
    operation = analysis.run.task.operation
    if not operation.is_commutative:
        words = operation.words
        note = f"{words} does not commute, so a pair says nothing about its mirror image."
        return Section("mirrored-accuracy", title, (paragraph(escape(note), kind="note"),))
    why = paragraph(
        "A network that memorizes and knows only a∘b = b∘a is right on every test pair (a, b) "
        "whose mirror image (b, a) is trained, and at chance on the others: it scores about the "
        "train fraction on the test pairs. Such an accuracy is no partial grokking."
    )
    block = _figure_or_reason(
        analysis,
        figures.plot_mirrored_accuracies,
        "figure-mirrored-accuracy",
        "While the mirrored pairs are right and the unmirrored ones at chance, the network has "
        "learned that the operation commutes and no more. The unmirrored line shows when it has "
        "learned the operation.",
        "test_accuracy_mirrored",
        absent="The two accuracies were not told apart.",
    )
    return Section("mirrored-accuracy", title, (why, block))


def _ablations(analysis: Analysis) -> Section:
    block = _figure_or_reason(
        analysis,
        figures.plot_ablations,
        "figure-ablations",
        "Loss of the last checkpoint with parts of the logits removed: bars for all pairs, dots "
        "for train and test. What the network needs shows as a long bar. Logarithmic axis.",
        "ablations",
        absent="Nothing was ablated.",
    )
    blocks = [block]
    blocks += component_blocks(analysis)
    if len(analysis.ablations):
        blocks.append(ablation_table_html(analysis.ablations))
    return Section("ablations", "Ablations", tuple(blocks))
