"""The words of the field that a report uses, for readers who know networks and not grokking."""

from __future__ import annotations

import math

from grokinterp.figures.curves import shows_squared_error
from grokinterp.figures.spectrum import spectrum_of
from grokinterp.report.network_words import weight_words
from grokinterp.report.text import escape
from grokinterp.trajectory.analysis import Analysis

_ABLATION = (
    "ablation",
    "Taking a part out and measuring the loss again: what matters costs loss.",
)
_SYMMETRICITY = (
    "gradient symmetricity",
    "Mean cosine between the gradients of a logit for the embeddings of the two tokens: 1 where "
    "the network treats them alike.",
)


def glossary(analysis: Analysis) -> str:
    """HTML of a list of terms, folded away; those of frequencies or of representations."""
    terms = "".join(
        f"<dt>{escape(term)}</dt><dd>{meaning}</dd>" for term, meaning in _terms(analysis)
    )
    return (
        '<details id="words"><summary>Words that this report uses</summary>'
        f'<dl class="words">{terms}</dl></details>'
    )


def _terms(analysis: Analysis) -> list[tuple[str, str]]:
    task = analysis.run.task
    spectrum = spectrum_of(analysis)
    n, limits = task.n_classes, analysis.thresholds
    common = [
        (
            "pair",
            "One input (a, b) of the operation. Some pairs are trained on, the others are the test "
            "pairs; <em>all</em> pairs are both together.",
        ),
        (
            "step",
            "One update of the weights. Step 0 is the network as it was initialized.",
        ),
        (
            "loss",
            "Mean cross-entropy in nats (natural logarithm). A network that guesses among the "
            f"{n} answers has ln {n} = {math.log(n):.2f} nats.{_about_trained_loss(analysis)}",
        ),
        (
            "memorization step, grokking step, delay",
            "The first step from which the accuracy stays above "
            f"{100 * limits.memorization:g}% on the training pairs; above "
            f"{100 * limits.grokking:g}% on the test pairs; and the steps between the two.",
        ),
        (
            "phases",
            "Memorization: the test loss rises. Circuit formation: it falls to half its highest "
            "value, while the circuit that generalizes grows. Cleanup: weight decay removes what "
            "was memorized.",
        ),
    ]
    weights = weight_words(analysis)
    if task.cyclic_view is None and not task.has_representations:
        # Such as a table of answers: there are no waves, so no words for them.
        has_gradients = not {"operands", "way_from_operands"} & set(analysis.run.missing_parts)
        return [*common, _ABLATION, *([_SYMMETRICITY] if has_gradients else []), *weights]
    circuit = [
        (
            "trigonometric and memorization circuit",
            f"The first is what the logits hold along the key {spectrum.plural}; the second is "
            "the rest of them.",
        ),
        (
            "restricted and excluded loss",
            "Loss with the trigonometric circuit alone, and with that circuit removed.",
        ),
        _ABLATION,
    ]
    algorithm = [] if task.has_representations else _terms_of_algorithm(analysis)
    return [*common, *_terms_of_spectrum(analysis), *circuit, *algorithm, *weights]


def _about_trained_loss(analysis: Analysis) -> str:
    if not shows_squared_error(analysis):
        return ""
    return (
        " This run was trained on squared errors. The loss figure and the phases use the recorded "
        "squared errors; all measures are cross-entropies."
    )


def _terms_of_spectrum(analysis: Analysis) -> list[tuple[str, str]]:
    if spectrum_of(analysis).noun == "representation":
        return [
            (
                "representation",
                "A way to write the elements of the group as matrices that multiply as they do. "
                "What waves are to addition modulo p, the irreducible representations are here.",
            ),
            (
                "key representations",
                "Those that carry the logits of the last checkpoint, by the rule that stands "
                "beside their evidence.",
            ),
        ]
    order = analysis.key_frequencies.order
    return [
        (
            "frequency k",
            f"The wave that goes round k times while a token runs through all {order} values: "
            f"cos(2πka/{order}) and the sine of the same. There are {order // 2}.",
        ),
        (
            "key frequencies",
            "Those that carry the logits of the last checkpoint, by the rule that stands beside "
            "their evidence. A network that computes a + b by turning circles needs only a few.",
        ),
    ]


def _terms_of_algorithm(analysis: Analysis) -> list[tuple[str, str]]:
    """Clock and pizza, and the evidence for them that the network's parts allow."""
    missing = analysis.run.missing_parts
    terms = [
        (
            "clock and pizza",
            "Two algorithms for addition that put every token on a circle. A clock multiplies and "
            "gets the angle of a + b whatever a and b are. A pizza adds the two embeddings and "
            "looks at the direction of the sum, which is short when a and b lie far apart and says "
            "nothing when they lie opposite each other.",
        ),
        (
            "gradient symmetricity",
            "Mean cosine between the gradients of a logit for the embeddings of the two tokens: "
            "near 1 where the logits change alike with both, as in a pizza; lower in a clock.",
        ),
        (
            "distance irrelevance",
            "Spread of the correct logit among pairs of the same a − b, as a fraction of its "
            "whole spread: near 1 where the distance of the two tokens does not matter, 0 where "
            "nothing else does, so lower in a pizza than in a clock.",
        ),
        (
            "circularity",
            "How close the first principal components of the embedding are to waves of one "
            "frequency: 1 where it consists of circles, as in both algorithms.",
        ),
        (
            "circle alone",
            "The network run again with nothing of the embeddings of the tokens but their mean and "
            "one key frequency; the formulas of clock and pizza are compared on its logits.",
        ),
    ]
    if "operands" in missing:
        return [term for term in terms if term[0] in ("clock and pizza", "distance irrelevance")]
    if "way_from_operands" in missing:
        return [t for t in terms if t[0] not in ("gradient symmetricity", "circle alone")]
    return terms
