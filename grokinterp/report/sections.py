"""What the report of an analysis shows, part by part."""

from __future__ import annotations

import math
from typing import Any

from grokinterp.circuits.cosets import why_no_cosets
from grokinterp.circuits.key_frequencies import MIN_SHARE
from grokinterp.errors import FitError
from grokinterp.figures import FIGURES
from grokinterp.figures.curves import shows_squared_error
from grokinterp.figures.drawn import why_never_drawn
from grokinterp.figures.embedding import MAX_FRAMES, MAX_HEATMAP_STEPS
from grokinterp.figures.lines import MAX_POINTS
from grokinterp.figures.spectrum import spectrum_of
from grokinterp.report.algorithm import algorithm_section
from grokinterp.report.circuit import (
    ablation_table_html,
    circuit_section,
    strength_section,
)
from grokinterp.report.cosets import coset_section
from grokinterp.report.key_frequencies import (
    evidence_table,
    keys_of_the_publication,
    level_of_chance,
    what_keys_hold,
)
from grokinterp.report.network_words import (
    embedding_words,
    has_transformer_names,
    readout_words,
)
from grokinterp.report.outcome import outcome_section, phase_table
from grokinterp.report.page import Section, figure_block, paragraph
from grokinterp.report.provenance import provenance_sections
from grokinterp.report.text import escape, show_keys, show_value
from grokinterp.trajectory.analysis import Analysis


def analysis_sections(analysis: Analysis) -> list[Section]:
    """All sections of the report, in order; a section without numbers says why.

    Sections that a kind of network cannot have are listed, with the reasons, under what could
    not be computed.
    """
    sections = [
        outcome_section(analysis),
        _loss_and_accuracy(analysis),
        _embedding_spectrum(analysis),
        _key_frequencies(analysis),
        _restricted_and_excluded(analysis),
        _neurons(analysis),
        coset_section(analysis),
        _logits_explained(analysis),
        algorithm_section(analysis),
        _gini_and_weights(analysis),
        _further_measures(analysis),
        _mirrored_accuracy(analysis),
        circuit_section(analysis),
        strength_section(analysis),
        _ablations(analysis),
    ]
    # The reason why a task has none is that of its measure, under the fields.
    if not _has_cosets(analysis):
        sections = [section for section in sections if section.name != "cosets"]
    absent = {s: why for s in sections if (why := _why_not_in_report(analysis, s.name))}
    kept = [section for section in sections if section not in absent]
    return [*kept, *provenance_sections(analysis, absent)]


_FIGURES_OF_SECTIONS = {
    "embedding-spectrum": ("embedding-spectrum", "embedding-heatmap"),
    "neurons": ("neurons", "neuron-phases"),
    "gini-and-weights": ("gini", "sum-squared-weights"),
}
"""Figures that make up a section, for the sections that a network can lack."""


def _has_cosets(analysis: Analysis) -> bool:
    return "neurons" not in analysis.run.missing_parts and not why_no_cosets(analysis.run.task)


def _why_not_in_report(analysis: Analysis, section: str) -> str:
    """Why a kind of network or task has no such section; empty if it has."""
    names = _FIGURES_OF_SECTIONS.get(section, ())
    reasons = [why_never_drawn(name, analysis.run.missing_parts) for name in names]
    given = [reason for reason in reasons if reason is not None]
    return "; ".join(dict.fromkeys(given)) if given and len(given) == len(names) else ""


def figure_or_reason(analysis: Analysis, name: str, caption: str, *, followed_by: str = "") -> str:
    """The figure of a name of the catalogue, or a note that says why there is none."""
    try:
        figure = FIGURES[name](analysis)
    except FitError as error:
        return paragraph(escape(error), kind="note")
    layout: Any = figure.layout
    if len(analysis.trajectory) == 1 and layout.xaxis.tickvals:
        caption += " There is one checkpoint, so every line is one point."
    return figure_block(f"figure-{name}", figure, caption, followed_by=followed_by)


def _figure_if_any(analysis: Analysis, name: str, caption: str) -> list[str]:
    """The figure alone; nothing where another block of the section has said why."""
    try:
        return [figure_block(f"figure-{name}", FIGURES[name](analysis), caption)]
    except FitError:
        return []


def _loss_and_accuracy(analysis: Analysis) -> Section:
    n = analysis.run.task.n_classes
    thinned = (
        f" The {len(analysis.run.curves):,} recorded steps are thinned to what a screen can "
        "show; every peak is kept."
        if len(analysis.run.curves) > MAX_POINTS
        else ""
    )
    rises = f"first rises far above the level of guessing ({math.log(n):.2f} nats)"
    if shows_squared_error(analysis):
        rises = "stays high or rises at first"
    loss = figure_or_reason(
        analysis,
        "loss",
        f"In a run that groks, train loss falls early, while test loss {rises} and falls much "
        "later. Shaded and dashed, where the run has them: the phases, the memorization and the "
        f"grokking step. Logarithmic axis.{thinned}",
    )
    accuracy = figure_or_reason(
        analysis,
        "accuracy",
        "In a run that groks, the distance between the two rises is the grokking delay. Further "
        "accuracies, where there are any, can be switched on in the legend.",
    )
    return Section(
        "loss-and-accuracy", "Loss and accuracy", (loss, accuracy, phase_table(analysis))
    )


def _representations(analysis: Analysis) -> Section:
    block = figure_or_reason(
        analysis,
        "representations",
        "One line per irreducible representation, the key ones thick: its share of the power of "
        "the logits averaged over the pairs with the same product, its norm in the embedding, the "
        "loss on the training pairs with its matrix elements of ab removed from the logits, and "
        "the neurons with over 85% of their activation in it.",
    )
    return Section("representations", "Representations along training", (block,))


def _embedding_spectrum(analysis: Analysis) -> Section:
    if analysis.run.task.has_representations:
        return _representations(analysis)
    table = analysis.by_frequency
    n = len(set(table["step"])) if "step" in table else 0
    how = "the first, the last, those nearest to the marked steps, and evenly spaced ones between"
    slider = f" The slider shows {MAX_FRAMES} of the {n:,} checkpoints: {how}."
    columns = f" Drawn are {MAX_HEATMAP_STEPS} of the {n:,} checkpoints: {how}."
    course = "in a run that groks, a flat spectrum turns into a few tall bars."
    if analysis.key_frequencies.is_dense:
        course = "nearly all frequencies are key here, so the bars grow together."
    move = f" Move the slider, by mouse or by arrow keys: {course}" if n > 1 else ""
    spectrum = figure_or_reason(
        analysis,
        "embedding-spectrum",
        f"Norm of {embedding_words(analysis)} along the cosine and the sine of every frequency."
        + move
        + (slider if n > MAX_FRAMES else ""),
        followed_by="figure-embedding-heatmap",
    )
    heatmap = _figure_if_any(
        analysis,
        "embedding-heatmap",
        "The same norms for all steps at once. A bright row is a frequency that the embedding "
        "holds; key frequencies carry a mark at the right edge. The solid white line is the step "
        "at which the slider above stands." + (columns if n > MAX_HEATMAP_STEPS else ""),
    )
    return Section("embedding-spectrum", "Embedding spectrum", (spectrum, *heatmap))


def _key_frequencies(analysis: Analysis) -> Section:
    keys = analysis.key_frequencies
    spectrum = spectrum_of(analysis)
    what = f"Key {spectrum.plural}"
    step = f" at step {show_value(keys.step)}" if keys.step is not None else ""
    found = show_keys(spectrum.keys) if keys.frequencies else "none"
    blocks = [
        paragraph(
            f"{what}: <strong>{found}</strong>, by the rule <code>{escape(keys.rule)}</code>{step}."
        )
    ]
    if not keys.frequencies and keys.reason:
        blocks.append(paragraph(f"The set is empty: {escape(keys.reason)}.", kind="note"))
    blocks += what_keys_hold(analysis)
    if spectrum.noun == "representation":
        blocks.append(
            paragraph(
                "By the rule <code>logit_power</code> a representation is key when its share of "
                "the power of the logits, averaged over the pairs with the same product, exceeds "
                f"{MIN_SHARE:.1%} and {level_of_chance(keys)}. The other columns change nothing."
            )
        )
        blocks += keys_of_the_publication(keys)
    else:
        blocks.append(_evidence_figure(analysis))
    if keys.evidence is not None and len(keys.evidence):
        blocks.append(evidence_table(spectrum, keys))
    return Section("key-frequencies", f"{what} and their evidence", tuple(blocks))


def _evidence_figure(analysis: Analysis) -> str:
    missing, others = analysis.run.missing_parts, ""
    if "operands" not in missing:
        others = (
            " The other panels do not decide: a frequency can be large in the embedding and "
            "unused by the logits."
        )
    elif "neurons" not in missing:
        others = " The other panels do not decide."
    return figure_or_reason(
        analysis,
        "key-frequencies",
        "By the rule <code>logit_power</code> a frequency is key when its share of the logit "
        f"power lies above both lines of the first panel: a threshold, and "
        f"{level_of_chance(analysis.key_frequencies)}.{others}",
    )


def _restricted_and_excluded(analysis: Analysis) -> Section:
    spectrum = spectrum_of(analysis)
    here = ""
    if spectrum.noun == "representation":
        here = " The trigonometric circuit is what ρ(ab) of the key representations spans."
    both = figure_or_reason(
        analysis,
        "restricted-and-excluded-loss",
        "Restricted loss keeps only the trigonometric circuit, excluded loss removes it. "
        "In a run that groks the restricted loss falls and the excluded loss rises across the "
        "plateau, before the test loss moves. Further splits can be switched on in the legend."
        + here,
    )
    each = _figure_if_any(
        analysis,
        "excluded-loss-by-frequency",
        f"Loss on the training pairs with a single key {spectrum.noun} removed: the higher "
        f"the line, the more the network depends on that {spectrum.noun}.",
    )
    blocks = (both, *each)
    return Section("restricted-and-excluded-loss", "Restricted and excluded loss", blocks)


def _neurons(analysis: Analysis) -> Section:
    spectrum = spectrum_of(analysis)
    noun, plural = spectrum.noun, spectrum.plural
    block = figure_or_reason(
        analysis,
        "neurons",
        f"In a run that groks, neurons gather around the key {plural}. A neuron counts as "
        f"single-{noun} when over 85% of its centered activation lies in one {noun}."
        + _about_phases(analysis),
    )
    phases = _figure_if_any(
        analysis,
        "neuron-phases",
        "Each neuron has a wave of a + b, and it writes a wave of c to the logits. On the dashed "
        "line the two phases are equal, and the waves of all neurons add up at the correct answer. "
        "Phases are periodic, so the corners at the upper left and the lower right belong to that "
        f"line too. Shown are the neurons, at the last checkpoint, in which one {noun} explains "
        "over 85% of what depends on a + b alone.",
    )
    return Section("neurons", "Neurons", (block, *phases))


def _about_phases(analysis: Analysis) -> str:
    if "phase_coherence" not in analysis.trajectory:
        return ""
    squares = getattr(analysis.run.spec, "act_fn", "") == "square"
    return (
        " The square of two waves, (cos w<sub>k</sub>a + cos w<sub>k</sub>b)², has a fifth of its "
        "variance at frequency 2k, so such a neuron does not count."
        if squares
        else ""
    ) + (
        " A neuron has one wave of a + b if one frequency explains over 85% of what depends on "
        "a + b alone in it. Phase coherence is 1 if the waves that all neurons write to the logits "
        "align at the correct answer, and near 0 if their phases are random. Networks that "
        "memorize have it too."
    )


def _logits_explained(analysis: Analysis) -> Section:
    spectrum = spectrum_of(analysis)
    block = figure_or_reason(
        analysis,
        "logits-explained",
        f"How much of the variance of the logits the {spectrum.waves} of the key "
        f"{spectrum.plural} explain, and with which amplitudes. In a clean circuit the fraction "
        "ends near 1.",
    )
    return Section("logits-explained", "Logits explained", (block,))


def _gini_and_weights(analysis: Analysis) -> Section:
    gini = figure_or_reason(
        analysis,
        "gini",
        "How few frequencies hold the weights: 0 means that all Fourier components are equal, 1 "
        f"that a single one is left. {_what_is_sparse(analysis)}",
    )
    names = (
        " Matrices under their TransformerLens names." if has_transformer_names(analysis) else ""
    )
    weights = figure_or_reason(
        analysis,
        "sum-squared-weights",
        "In a run that groks, weight decay removes the memorization circuit in cleanup: the total "
        f"falls and then stays flat.{names} Logarithmic axis.",
    )
    return Section("gini-and-weights", "Gini coefficient and weights", (gini, weights))


def _what_is_sparse(analysis: Analysis) -> str:
    """What W_E and W_L are, if they exist, and what they do."""
    missing, said = analysis.run.missing_parts, []
    if "operands" not in missing:
        said.append(f"W_E is {embedding_words(analysis)}")
    if "readout" not in missing:
        said.append(readout_words(analysis))
    if analysis.key_frequencies.is_dense:
        rise = "neither has to rise" if len(said) == 2 else "it does not have to rise"
        plural = spectrum_of(analysis).plural
        return f"{', '.join(said)}. Nearly all {plural} are key here, so {rise}."
    rise = "both rise" if len(said) == 2 else "it rises"
    return (
        f"{', '.join(said)}. In a run that groks, {rise} as the circuit forms and again in cleanup."
    )


def _further_measures(analysis: Analysis) -> Section:
    said = [f"Effective rank counts the dimensions that {embedding_words(analysis)} uses."]
    if analysis.run.task.cyclic_view is None:
        said.append(
            "Gradient symmetricity is the cosine between the gradients of a logit for the "
            "embeddings of the two tokens: 1 if the network treats them alike."
        )
    else:
        said.append(
            "Gradient symmetricity is near 1 for the pizza algorithm and lower for the clock; "
            "distance irrelevance is low for the pizza and higher for the clock; circularity is "
            "near 1 if the embedding consists of circles. What they say about the last checkpoint "
            'is under <a href="#algorithm">Which algorithm</a>.'
        )
    if "operands" in analysis.run.missing_parts:
        said = [
            "Distance irrelevance is low for the pizza algorithm and higher for the clock. What it "
            'says about the last checkpoint is under <a href="#algorithm">Which algorithm</a>.'
        ]
    said.append("Each measure of your own has a panel.")
    block = figure_or_reason(analysis, "further-measures", " ".join(said))
    return Section("further-measures", "Further measures", (block,))


def _mirrored_accuracy(analysis: Analysis) -> Section:
    why = paragraph(
        "A network that has memorized its pairs and learned only a∘b = b∘a is right on most test "
        "pairs (a, b) whose mirror image (b, a) is trained, and near chance on the others. It "
        "scores about the train fraction on the test pairs. Such an accuracy is no partial "
        "grokking."
    )
    block = figure_or_reason(
        analysis,
        "mirrored-accuracy",
        "While most mirrored pairs are right and the unmirrored ones are near chance, the network "
        "has learned that the operation commutes and no more. The unmirrored line shows when it "
        "has learned the operation.",
    )
    commutes = analysis.run.task.operation.is_commutative
    blocks = (why, block) if commutes else (block,)
    return Section("mirrored-accuracy", "Mirrored and unmirrored accuracy", blocks)


def _ablations(analysis: Analysis) -> Section:
    block = figure_or_reason(
        analysis,
        "ablations",
        "Loss of the last checkpoint with parts of the logits removed: bars for all pairs, dots "
        "for train and test. What the network needs shows as a long bar. Logarithmic axis.",
    )
    paths = (
        " A path whose value is the same for all pairs is untouched by mean and resampling."
        if has_transformer_names(analysis)
        else ""
    )
    parts = _figure_if_any(
        analysis,
        "component-ablations",
        "Loss on all pairs without each part, whose value is replaced by its mean over the "
        "pairs, by zero, or by its value at another pair. The dashed line is the whole network: "
        f"marks on it are parts that it does not need.{paths} Logarithmic axis.",
    )
    blocks = [block, *parts]
    if len(analysis.ablations):
        blocks.append(ablation_table_html(analysis.ablations, spectrum_of(analysis).plural))
    return Section("ablations", "Ablations", tuple(blocks))
