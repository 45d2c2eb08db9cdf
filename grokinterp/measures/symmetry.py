"""Which of the known algorithms the network looks like: clock or pizza."""

from __future__ import annotations

from grokinterp.circuits import algorithm, circles, gradients, logit_formulas
from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.measures.measure import measure

_ZHONG = "Zhong et al., NeurIPS 2023, arXiv:2306.17844, section 4"


@measure(
    source=_ZHONG,
    columns=("gradient_symmetricity", "gradient_symmetricity_standard_error"),
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


@measure(source=_ZHONG, needs_cyclic_view=True)
def distance_irrelevance(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """How much the correct logit varies among pairs of equal distance, against its whole spread."""
    return algorithm.distance_irrelevance(snapshot)


@measure(source="Zhong et al., NeurIPS 2023, arXiv:2306.17844", needs_cyclic_view=True)
def circularity(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """How close the embedding's first four principal components are to waves of one frequency."""
    return circles.circularity(snapshot)


@measure(source=_ZHONG, needs_cyclic_view=True, needs_key_frequencies=True)
def fraction_logit_variance_explained_pizza(
    snapshot: Snapshot, key_frequencies: KeyFrequencies
) -> float:
    """Fraction of the centered logits' variance that the pizza's product formula explains."""
    return logit_formulas.logit_variance_explained(
        snapshot, key_frequencies.frequencies, "pizza_product"
    )
