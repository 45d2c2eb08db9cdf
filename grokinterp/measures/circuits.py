"""How well each of the two circuits does alone: the progress measures."""

from __future__ import annotations

from grokinterp.bibliography import reference
from grokinterp.circuits import memorization, trigonometric
from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.circuits.task_pairs import ON
from grokinterp.measures.measure import measure

_NANDA = reference("nanda2023progress")


@measure(
    source=f"{_NANDA}, section 5",
    columns=("restricted_loss_all", "restricted_loss_train", "restricted_loss_test"),
    needs=("group", "key_frequencies"),
    split_columns=("restricted_loss_train", "restricted_loss_test"),
    misleads=(
        "The projection is over all pairs, trained ones too, so a network that only memorizes "
        "lowers it: to 0.6 of 4.8 nats in S_5 with 80 % of the pairs trained. And the key "
        "frequencies are those of the last checkpoint, so early values use knowledge of the end. "
        "If nearly all frequencies are key, it is close to the loss of the whole network."
    ),
)
def restricted_loss(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> dict[str, float]:
    """Loss of the trigonometric circuit alone, in nats: the memorization circuit removed."""
    return {
        f"restricted_loss_{on}": trigonometric.restricted_loss(snapshot, key_frequencies, on=on)
        for on in ON
    }


@measure(
    source=f"{_NANDA}, section 5",
    columns=("excluded_loss_all", "excluded_loss_train"),
    needs=("group", "key_frequencies"),
    split_columns=("excluded_loss_train",),
    misleads=(
        "It is high at the start as well (log p, before anything is learned), so only a rise "
        "after a fall shows a circuit; and a key frequency that the rule missed stays in it. "
        "Nor is it early for certain: in the network of Nanda et al. it is half way up 800 steps "
        "after the test loss is half way down."
    ),
)
def excluded_loss(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> dict[str, float]:
    """Loss of the memorization circuit alone, in nats: the trigonometric circuit removed."""
    component = trigonometric.trigonometric_component(snapshot, key_frequencies.frequencies)
    losses = memorization.excluded_pair_losses(snapshot, component[None])
    return {
        f"excluded_loss_{on}": float(memorization.mean_over_pairs(snapshot, losses, on=on)[0])
        for on in ("all", "train")
    }


@measure(
    source=f"{_NANDA}, section 5",
    needs=("group", "key_frequencies", "split"),
    misleads=(
        "It asks which of the remaining logits is largest, not how large it is: logits that no "
        "longer matter beside the circuit can still be right. They contain everything outside "
        "the key frequencies, memorized or not."
    ),
)
def excluded_accuracy_train(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Fraction of the training pairs that the memorization circuit alone answers correctly."""
    return memorization.excluded_accuracy(snapshot, key_frequencies, on="train")


@measure(
    source=f"{_NANDA}, section 4.2",
    needs=("group", "key_frequencies"),
    misleads=(
        "It does not show a clock: 99.5 % in the published pizza. Nor is it needed to be right: "
        "the published low-precision network has 47 % and answers 99.95 % of all pairs."
    ),
)
def fraction_logit_variance_explained(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Fraction of the centered logits' variance that the cosines of a+b-c explain."""
    return trigonometric.fraction_logit_variance_explained(snapshot, key_frequencies)
