"""How strong each of the two circuits is, and against the other."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

from grokinterp.bibliography import reference
from grokinterp.circuits.evidence import memorization_share
from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.circuits.trigonometric import held_out_component
from grokinterp.measures.measure import measure
from grokinterp.models.loss import are_correct, pair_losses

_VARMA = f"{reference('varma2023explaining')}, section 4 (correct logits by circuit)"


@measure(
    source=f"grokinterp, after {reference('nanda2023progress')}, section 5",
    version=2,
    columns=("held_out_restricted_loss", "held_out_restricted_accuracy"),
    needs=("group", "key_frequencies", "split"),
    misleads=(
        "It averages over few pairs for each answer when most pairs are trained. If an answer has "
        "no unmirrored test pair, mirrored ones are used, whose answers follow from the training "
        "pairs and a∘b = b∘a."
    ),
)
def held_out_restricted(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> dict[str, float]:
    """Loss in nats and accuracy on test pairs of the circuit that test pairs alone show.

    Unlike the restricted loss it cannot fall because of what is memorized. NaN if some
    answer has no test pair.
    """
    logits = held_out_component(snapshot, key_frequencies)
    n_pairs = snapshot.mask_by_sum("test").sum(dim=1).double()
    if not logits.isfinite().all():
        return {"held_out_restricted_loss": math.nan, "held_out_restricted_accuracy": math.nan}
    losses = pair_losses(logits, snapshot.class_tokens)
    is_right = are_correct(logits, snapshot.class_tokens).double()
    return {
        "held_out_restricted_loss": float(n_pairs @ losses / n_pairs.sum()),
        "held_out_restricted_accuracy": float(n_pairs @ is_right / n_pairs.sum()),
    }


@measure(
    source=_VARMA,
    needs=("group", "key_frequencies"),
    misleads=(
        "Everything outside the key frequencies counts as memorization, noise too: it is 1 at "
        "the first step. Power is not accuracy: with 0.75 of it outside, the circuit alone "
        "already answered 69 % of the test pairs of `p113`."
    ),
)
def fraction_logit_power_memorization(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Fraction of the logits' power that is not in the trigonometric circuit.

    Logits centered per pair and per class. NaN when they do not depend on the pair.
    """
    return memorization_share(snapshot, key_frequencies)


@measure(
    source=_VARMA,
    version=2,
    columns=(
        "trigonometric_logit_train",
        "memorization_logit_train",
        "trigonometric_logit_test",
        "memorization_logit_test",
    ),
    needs=("group", "key_frequencies", "split"),
    misleads=(
        "They are means of logits, not answers, and can be large while some pairs are wrong. "
        "Logits grow with the weights, so compare the two circuits at one step, not one circuit "
        "between steps."
    ),
)
def circuit_logits(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> dict[str, float]:
    """Correct logit minus the mean logit that each circuit contributes, averaged over pairs.

    In logits; on the training and on the test pairs. The trigonometric circuit is what the
    test pairs alone show of it, the memorization circuit everything else; the two add up to
    the network's. NaN if some answer has no test pair.
    """
    component = held_out_component(snapshot, key_frequencies)
    circuit = _above_mean(component - component.mean(dim=0), snapshot.class_tokens)
    network = snapshot.logit_statistics.above_mean
    found = {}
    for on in ("train", "test"):
        mask = snapshot.mask_by_sum(on)
        n_pairs = mask.sum(dim=1).double()
        trigonometric = float(n_pairs @ circuit / n_pairs.sum())
        found[f"trigonometric_logit_{on}"] = trigonometric
        found[f"memorization_logit_{on}"] = float(network[mask].mean()) - trigonometric
    return found


def _above_mean(logits: Float[Tensor, "s c"], answers: Tensor) -> Float[Tensor, " s"]:
    return logits.gather(1, answers[:, None])[:, 0] - logits.mean(dim=1)
