"""How strong each of the two circuits is, and against the other."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits.evidence import memorization_share
from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.loss import are_correct
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.circuits.trigonometric import restricted_logits, trigonometric_component
from grokinterp.measures.measure import measure

_VARMA = "Varma et al. 2023, arXiv:2309.02390, section 4 (correct logits by circuit)"


@measure(
    source="Nanda et al., ICLR 2023, arXiv:2301.05217, section 5",
    needs_split=True,
    needs_group_view=True,
    needs_key_frequencies=True,
)
def restricted_accuracy_test(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Fraction of the test pairs that the trigonometric circuit alone answers correctly.

    NaN over no pairs.
    """
    is_right = are_correct(restricted_logits(snapshot, key_frequencies), snapshot.class_tokens)
    n_pairs = snapshot.mask_by_sum("test").sum(dim=1).double()
    return float(n_pairs @ is_right.double() / n_pairs.sum())


@measure(source=_VARMA, needs_group_view=True, needs_key_frequencies=True)
def fraction_logit_power_memorization(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Fraction of the logits' power that is not in the trigonometric circuit.

    Logits centered per pair and per class. NaN when they do not depend on the pair.
    """
    return memorization_share(snapshot, key_frequencies)


@measure(
    source=_VARMA,
    columns=(
        "trigonometric_logit_train",
        "memorization_logit_train",
        "trigonometric_logit_test",
        "memorization_logit_test",
    ),
    needs_split=True,
    needs_group_view=True,
    needs_key_frequencies=True,
)
def circuit_logits(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> dict[str, float]:
    """Correct logit minus the mean logit that each circuit contributes, averaged over pairs.

    In logits; on the training and on the test pairs. The two add up to the network's.
    """
    component = trigonometric_component(snapshot, key_frequencies.frequencies)
    circuit = _above_mean(component, snapshot.class_tokens)
    network = _above_mean(snapshot.logits.double(), snapshot.labels)[snapshot.rows_by_sum]
    found = {}
    for on in ("train", "test"):
        mask = snapshot.mask_by_sum(on)
        n_pairs = mask.sum(dim=1).double()
        trigonometric = float(n_pairs @ circuit / n_pairs.sum())
        found[f"trigonometric_logit_{on}"] = trigonometric
        found[f"memorization_logit_{on}"] = float(network[mask].mean()) - trigonometric
    return found


def _above_mean(logits: Float[Tensor, "row c"], answers: Tensor) -> Float[Tensor, " row"]:
    return logits.gather(1, answers[:, None])[:, 0] - torch.mean(logits, dim=1)
