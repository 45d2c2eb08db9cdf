"""Frequencies or representations in embedding, neurons and logits, as parts of the report."""

from __future__ import annotations

from grokinterp.circuits.key_frequencies import MIN_SHARE
from grokinterp.figures.embedding import MAX_FRAMES, MAX_HEATMAP_STEPS
from grokinterp.figures.spectrum import spectrum_of
from grokinterp.report.analysis_figures import figure_if_any, figure_or_reason
from grokinterp.report.key_frequencies import (
    evidence_table,
    keys_of_the_publication,
    level_of_chance,
    what_keys_hold,
)
from grokinterp.report.network_words import embedding_words
from grokinterp.report.page import Section, paragraph
from grokinterp.report.text import escape, show_keys, show_value
from grokinterp.trajectory.analysis import Analysis


def _representations(analysis: Analysis) -> Section:
    block = figure_or_reason(
        analysis,
        "representations",
        "One line per irreducible representation, thick if it is key. The panels show its share of "
        "the power of the logits, averaged over the pairs with the same product; its norm in the "
        "embedding; the loss on the training pairs with its matrix elements of ab removed from the "
        "logits; and the number of neurons with over 85% of their activation in it.",
    )
    return Section("representations", "Representations along training", (block,))


def embedding_spectrum_section(analysis: Analysis) -> Section:
    """Frequencies of the embedding along training, or representations of a group."""
    if analysis.run.task.has_representations:
        return _representations(analysis)
    table = analysis.by_frequency
    n = len(set(table["step"])) if "step" in table else 0
    how = "the first, the last, those nearest to the marked steps, and evenly spaced ones between"
    slider = f" The slider shows {MAX_FRAMES} of the {n:,} checkpoints: {how}."
    columns = f" The map shows {MAX_HEATMAP_STEPS} of the {n:,} checkpoints: {how}."
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
    heatmap = figure_if_any(
        analysis,
        "embedding-heatmap",
        "The same norms for all steps at once. A bright row is a frequency that is large in the "
        "embedding. Marks at the right edge are the key frequencies. The solid white line follows "
        "the slider above." + (columns if n > MAX_HEATMAP_STEPS else ""),
    )
    return Section("embedding-spectrum", "Embedding spectrum", (spectrum, *heatmap))


def key_frequencies_section(analysis: Analysis) -> Section:
    """The key frequencies or representations, and what speaks for each."""
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
                "By the rule <code>logit_power</code> a representation is key if its share of the "
                "power of the logits, averaged over the pairs with the same product, exceeds "
                f"{MIN_SHARE:.1%} and {level_of_chance(keys)}. The other columns do not count."
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
            " The other panels do not count, since the logits may not use a frequency that is "
            "large in the embedding."
        )
    elif "neurons" not in missing:
        others = " The other panels do not count."
    return figure_or_reason(
        analysis,
        "key-frequencies",
        "By the rule <code>logit_power</code> a frequency is key if its share of the logit power "
        f"lies above both lines of the first panel: a threshold, and "
        f"{level_of_chance(analysis.key_frequencies)}.{others}",
    )


def neuron_section(analysis: Analysis) -> Section:
    """How neurons gather around the key frequencies, and their phases."""
    spectrum = spectrum_of(analysis)
    noun = spectrum.noun
    block = figure_or_reason(
        analysis,
        "neurons",
        f"In a run that groks, more and more neurons respond to a single key {noun}. A neuron "
        f"counts as single-{noun} if one {noun} holds over 85% of its centered activation."
        + _about_phases(analysis),
    )
    phases = figure_if_any(
        analysis,
        "neuron-phases",
        "Each neuron has a wave of a + b, and it writes a wave of c to the logits. On the dashed "
        "line the two phases are equal, and the waves of all neurons add up at the correct answer. "
        "Phases are periodic, so the corners at the upper left and the lower right belong to that "
        f"line too. The figure shows the neurons of the last checkpoint in which one {noun} "
        "explains over 85% of what depends on a + b alone.",
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


def logits_explained_section(analysis: Analysis) -> Section:
    """How much of the logits the waves of the key frequencies explain."""
    spectrum = spectrum_of(analysis)
    block = figure_or_reason(
        analysis,
        "logits-explained",
        f"The {spectrum.waves} of the key {spectrum.plural} explain this fraction of the variance "
        "of the logits, with these amplitudes. In a clean circuit the fraction ends near 1.",
    )
    return Section("logits-explained", "Logits explained", (block,))
