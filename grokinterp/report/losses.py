"""Losses and accuracies along training, as parts of the report."""

from __future__ import annotations

import math

from grokinterp.figures.curves import shows_squared_error
from grokinterp.figures.lines import MAX_POINTS, finite_points
from grokinterp.figures.spectrum import spectrum_of
from grokinterp.report.analysis_figures import figure_if_any, figure_or_reason
from grokinterp.report.outcome import phase_table
from grokinterp.report.page import Section, paragraph
from grokinterp.trajectory.analysis import Analysis

_LOSSES = ("train_loss", "test_loss")


def loss_and_accuracy_section(analysis: Analysis) -> Section:
    """Loss and accuracy along training, with the steps of the phases."""
    n = analysis.run.task.n_classes
    n_points = max(len(finite_points(analysis.run.curves, name)[0]) for name in _LOSSES)
    thinned = (
        f" The {n_points:,} recorded losses are thinned to what a screen can show, and every peak "
        "is kept."
        if n_points > MAX_POINTS
        else ""
    )
    rises = f"first rises far above the level of guessing ({math.log(n):.2f} nats)"
    if shows_squared_error(analysis):
        rises = "stays high or rises at first"
    forecast = _forecast_sentence(analysis)
    loss = figure_or_reason(
        analysis,
        "loss",
        f"{forecast}In a run that groks, the train loss falls early. The test loss {rises}, and it "
        "falls much later. If the run has them, the phases are shaded, and dashed lines mark the "
        f"memorization and the grokking step. Logarithmic axis.{thinned}",
    )
    accuracy = figure_or_reason(
        analysis,
        "accuracy",
        "In a run that groks, the distance between the two rises is the grokking delay. If there "
        "are further accuracies, click on them in the legend to see them.",
    )
    return Section(
        "loss-and-accuracy", "Loss and accuracy", (loss, accuracy, phase_table(analysis))
    )


def _forecast_sentence(analysis: Analysis) -> str:
    """Say when a run under way is expected to grok; nothing of one that is over."""
    if analysis.forecast is None:
        return ""
    sentence = analysis.forecast.sentence
    band = "" if analysis.forecast.median is None else " (purple band)"
    return f"The run has steps before it: {sentence}{band}. "


def restricted_and_excluded_section(analysis: Analysis) -> Section:
    """Loss with the trigonometric circuit alone, and without it."""
    spectrum = spectrum_of(analysis)
    here = ""
    if spectrum.noun == "representation":
        here = " The trigonometric circuit is what ρ(ab) of the key representations spans."
    both = figure_or_reason(
        analysis,
        "restricted-and-excluded-loss",
        "Restricted loss keeps only the trigonometric circuit, excluded loss removes it. In a run "
        "that groks, the restricted loss falls and the excluded loss rises on the plateau, before "
        "the test loss moves. Click on further splits in the legend to see them." + here,
    )
    each = figure_if_any(
        analysis,
        "excluded-loss-by-frequency",
        f"Loss on the training pairs with a single key {spectrum.noun} removed. The higher the "
        f"line, the more the network depends on that {spectrum.noun}.",
    )
    blocks = (both, *each)
    return Section("restricted-and-excluded-loss", "Restricted and excluded loss", blocks)


def mirrored_accuracy_section(analysis: Analysis) -> Section:
    """Accuracy on the test pairs that commutativity answers, and on the others."""
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
