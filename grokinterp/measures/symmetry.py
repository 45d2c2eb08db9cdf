"""Which of the known algorithms the network looks like: clock or pizza."""

from __future__ import annotations

import math

from grokinterp.circuits import gradients
from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.measures.measure import measure
from grokinterp.spectra import difference_rows

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
    r"""How much the correct logit varies among pairs of equal distance, against its whole spread.

    :math:`q = \frac{1}{n} \sum_d \mathrm{std}_i(L_{i, i+d}) \,/\, \mathrm{std}(L)` with
    :math:`L_{ij}` the logit of the correct answer and population standard deviations: 1 when
    the distance of the two tokens does not matter, 0 when nothing else does. NaN when all
    correct logits are equal.
    """
    view = snapshot.require_view()
    correct = snapshot.logits.gather(1, snapshot.labels[:, None])[:, 0].double()
    by_distance = correct[snapshot.pair_rows][difference_rows(view.order)]
    spread = float(by_distance.std(correction=0))
    if not spread > 0:
        return math.nan
    return float(by_distance.std(dim=1, correction=0).mean()) / spread
