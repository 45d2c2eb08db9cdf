"""Which of the known algorithms the network looks like: clock or pizza."""

from __future__ import annotations

from grokinterp.bibliography import reference
from grokinterp.circuits import algorithm, circles, gradients, logit_formulas
from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.measures.measure import measure

_ZHONG = reference("zhong2023clock")


@measure(
    source=f"{_ZHONG}, section 4",
    columns=("gradient_symmetricity", "gradient_symmetricity_standard_error"),
    needs=("operands", "same_coordinates", "way_from_operands"),
    misleads=(
        "A network that has learned nothing looks like a pizza: 1.000 at the initial weights of "
        "`nanda2023`, since attention is still uniform. Read it only once the network answers "
        "its pairs."
    ),
)
def gradient_symmetricity(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> dict[str, float]:
    """Mean cosine between the gradients of a logit with respect to its two token embeddings.

    Over 2,000 triples (a, b, c) of a fixed seed, c uniform over the classes.
    """
    symmetricity = gradients.gradient_symmetricity(snapshot)
    return {
        "gradient_symmetricity": symmetricity.mean,
        "gradient_symmetricity_standard_error": symmetricity.standard_error,
    }


@measure(
    source=f"{_ZHONG}, section 4",
    needs=("frequencies",),
    misleads=(
        "A network that has learned nothing looks like a clock: 0.999 at the initial weights of "
        "`nanda2023`. Typical values of clocks (0.4 to 1) and the line for pizzas (0.6) overlap. "
        "The published column of this name uses the largest wrong logit."
    ),
)
def distance_irrelevance(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """How much the correct logit varies among pairs of equal distance, against its whole spread."""
    return algorithm.distance_irrelevance(snapshot)


@measure(
    source=_ZHONG,
    needs=("frequencies", "operands"),
    misleads=(
        "Clocks and pizzas both have circles. m circles of exactly the same size mix in the "
        "principal components and can give as little as 1/m, and noise gives 0.07 at p = 113, "
        "more at smaller p."
    ),
)
def circularity(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """How close the embedding's first four principal components are to waves of one frequency."""
    return circles.circularity(snapshot)


@measure(
    source=f"{_ZHONG}, section 4",
    needs=("frequencies", "key_frequencies"),
    misleads=(
        "A clock has a high value too (80 % in the published one, 8/π² = 81 % in an ideal one). "
        "What distinguishes clock and pizza is which of the two formulas explains more of a circle "
        "alone."
    ),
)
def fraction_logit_variance_explained_pizza(
    snapshot: Snapshot, key_frequencies: KeyFrequencies
) -> float:
    """Fraction of the centered logits' variance that the pizza's product formula explains."""
    return logit_formulas.logit_variance_explained(
        snapshot, key_frequencies.frequencies, "pizza_product"
    )
