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
    "The loss is measured again with a part removed. A part that matters costs loss.",
)
_SYMMETRICITY = (
    "gradient symmetricity",
    "Mean cosine between the gradients of a logit with respect to the embeddings of the two "
    "tokens. It is 1 if the network treats them alike.",
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
            "One input (a, b) of the operation. The network is trained on some pairs, the training "
            "pairs. The others are the test pairs, and <em>all</em> pairs are both together.",
        ),
        (
            "step",
            "One update of the weights. Step 0 is the network before training.",
        ),
        (
            "loss",
            "Mean cross-entropy in nats (natural logarithm). A network that guesses among the "
            f"{n} answers has a loss of ln {n} = {math.log(n):.2f} nats."
            f"{_about_trained_loss(analysis)}",
        ),
        (
            "memorization step, grokking step, delay",
            "Memorization step: the first step from which the accuracy on the training pairs stays "
            f"above {100 * limits.memorization:g}%. Grokking step: the first from which that on "
            f"the test pairs stays above {100 * limits.grokking:g}%. Delay: the steps between.",
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
            f"The first is the part of the logits along the key {spectrum.plural}, and the second "
            "is all the rest of the logits.",
        ),
        (
            "restricted and excluded loss",
            "Restricted: the trigonometric circuit alone. Excluded: everything but that circuit.",
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
                "The irreducible representations play the role of the waves in addition modulo p.",
            ),
            (
                "key representations",
                "Those that the logits of the last checkpoint consist of, by the rule that is "
                "shown with their evidence.",
            ),
        ]
    order = analysis.key_frequencies.order
    return [
        (
            "frequency k",
            f"The wave that turns k times while a token a runs through all {order} values: "
            f"cos(2πka/{order}) and sin(2πka/{order}). There are {order // 2} frequencies.",
        ),
        (
            "key frequencies",
            "Those that the logits of the last checkpoint consist of, by the rule that is shown "
            "with their evidence. A network that computes a + b by turning circles needs few.",
        ),
    ]


def _terms_of_algorithm(analysis: Analysis) -> list[tuple[str, str]]:
    """Clock and pizza, and the evidence for them that the network's parts allow."""
    missing = analysis.run.missing_parts
    terms = [
        (
            "clock and pizza",
            "Two algorithms for addition that put every token on a circle. A clock multiplies, and "
            "gets the angle of a + b for all a and b. A pizza adds the two embeddings and reads "
            "the direction of the sum. The farther apart a and b are, the shorter the sum, and "
            "when they are opposite it has no direction.",
        ),
        (
            "gradient symmetricity",
            "Mean cosine between the gradients of a logit with respect to the embeddings of the "
            "two tokens. It is near 1 in a pizza, whose logits change alike with both, and lower "
            "in a clock.",
        ),
        (
            "distance irrelevance",
            "Spread of the correct logit among pairs with the same a − b, as a fraction of its "
            "whole spread. It is near 1 if the distance of the two tokens does not matter and 0 "
            "if nothing else does. A pizza has a lower value than a clock.",
        ),
        (
            "circularity",
            "How close the first principal components of the embedding are to waves of one "
            "frequency. It is 1 if the embedding consists of circles, as in both algorithms.",
        ),
        (
            "circle alone",
            "The network is run again with only the mean and one key frequency of the embeddings. "
            "The formulas of clock and pizza are compared on its logits.",
        ),
    ]
    if "operands" in missing:
        return [term for term in terms if term[0] in ("clock and pizza", "distance irrelevance")]
    if "way_from_operands" in missing:
        return [t for t in terms if t[0] not in ("gradient symmetricity", "circle alone")]
    return terms
