"""How the trigonometric circuit grows: neurons, logits and the geometry of the embedding."""

from __future__ import annotations

import html

import plotly.graph_objects as go

from grokinterp.figures.circuit_losses import by_key_frequency
from grokinterp.figures.drawn import FIELDS_OF_FIGURES
from grokinterp.figures.lines import Line, Panel, figure_of_panels
from grokinterp.figures.spectrum import spectrum_of
from grokinterp.figures.style import MATRIX_STYLES, SPLIT_COLORS, key_color, key_dash
from grokinterp.measures import MEASURES
from grokinterp.trajectory.analysis import Analysis

_ALL = SPLIT_COLORS["all"]


def plot_neurons(analysis: Analysis) -> go.Figure:
    """Neurons per key frequency, the fraction with a single frequency, and their phase coherence.

    In a group that is not cyclic, neurons per key representation and no phases.

    Returns
    -------
    plotly.graph_objects.Figure
        One panel for each of them that was measured.

    Raises
    ------
    FitError
        If none was.
    """
    wide, lines = by_key_frequency(analysis, "n_neurons")
    spectrum = spectrum_of(analysis)
    noun = spectrum.noun
    single = Line(f"fraction_single_{noun}_neurons", f"single-{noun} neurons", _ALL)
    one_wave = Line("fraction_one_wave_neurons", "one wave of a + b", "#E69F00", "dash")
    coherence = Line("phase_coherence", "phase coherence", "#6741D9")
    panels = (
        Panel("neurons (count)", wide, lines),
        Panel("of all neurons (fraction)", analysis.trajectory, (single, one_wave)),
        Panel("phase coherence<br>(mean cosine)", analysis.trajectory, (coherence,)),
    )
    absent = (
        f"Neurons were not assigned to {spectrum.plural}",
        *FIELDS_OF_FIGURES["neurons"],
    )
    figure = figure_of_panels(analysis, panels, title=f"Neurons by {noun}", absent=absent)
    # A cosine can be negative. Counts cannot: where all are 0, their axis would begin at -1.
    return figure.for_each_yaxis(
        lambda axis: axis.update(rangemode="nonnegative"),
        lambda axis: "cosine" not in (axis.title.text or ""),
    )


def plot_logits_explained(analysis: Analysis) -> go.Figure:
    """Variance of the logits that the key frequencies' cosines explain, and their amplitudes.

    In a group that is not cyclic those of the key representations' characters.

    Returns
    -------
    plotly.graph_objects.Figure
        One panel for the fraction, one for the amplitudes in logits.

    Raises
    ------
    FitError
        If there are no key frequencies.
    """
    wide, lines = by_key_frequency(analysis, "logit_coefficient")
    spectrum = spectrum_of(analysis)
    explained = (
        Line("fraction_logit_variance_explained", "variance explained", _ALL),
        Line(
            "fraction_logit_variance_explained_pizza",
            "by the pizza's formula",
            "#E69F00",
            "dash",
            is_shown=False,
        ),
    )
    panels = (
        Panel("logit variance explained<br>(fraction)", analysis.trajectory, explained),
        Panel(f"coefficient of {spectrum.wave}<br>(logits)", wide, lines),
    )
    absent = (
        f"The logits were not explained by {spectrum.waves}: that takes key {spectrum.plural}",
        *FIELDS_OF_FIGURES["logits-explained"],
    )
    return figure_of_panels(
        analysis, panels, title="Logits explained by the circuit", absent=absent
    )


def plot_further_measures(analysis: Analysis) -> go.Figure:
    """Effective rank, and what distinguishes a clock from a pizza, where they are present.

    Gradient symmetricity is near 1 for a pizza and lower for a clock; distance irrelevance is
    low for a pizza and higher for a clock; circularity is near 1 for both. Columns that are not of
    the library's own measures get a panel each: those are measures that the user has added.

    Returns
    -------
    plotly.graph_objects.Figure
        One panel per measure.

    Raises
    ------
    FitError
        If none was computed.
    """
    color, dash = MATRIX_STYLES["W_E"]
    panels = (
        Panel(
            "effective rank of W_E<br>(dimensions)",
            analysis.trajectory,
            (Line("effective_rank_W_E", "effective rank, W_E", color, dash),),
        ),
        Panel(
            "between 0 and 1<br>(no unit)",
            analysis.trajectory,
            (
                Line("gradient_symmetricity", "gradient symmetricity", "#6741D9"),
                Line("distance_irrelevance", "distance irrelevance", "#E69F00", "dash"),
                Line("circularity", "circularity", "#009E73", "dot"),
            ),
        ),
        *_panels_of_added_measures(analysis),
    )
    absent = ("No further measure was computed", *FIELDS_OF_FIGURES["further-measures"])
    return figure_of_panels(analysis, panels, title="Further measures", absent=absent)


def _panels_of_added_measures(analysis: Analysis) -> list[Panel]:
    own = {"step", *(column for measure in MEASURES for column in measure.columns)}
    panels = []
    for index, column in enumerate(c for c in analysis.trajectory.columns if c not in own):
        # Plotly reads a few HTML tags in strings, and the name is whatever the user chose.
        name = html.escape(str(column))
        line = Line(str(column), name, key_color(index), key_dash(index))
        panels.append(Panel(name, analysis.trajectory, (line,)))
    return panels
