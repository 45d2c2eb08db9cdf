"""Losses and accuracies of the network as it is."""

from __future__ import annotations

import torch

from grokinterp.bibliography import reference
from grokinterp.circuits.arrangement import masks_of
from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.circuits.task_pairs import On
from grokinterp.measures.measure import measure

_NANDA = reference("nanda2023progress")
_POWER = reference("power2022grokking")


@measure(
    source=_NANDA,
    needs=("split",),
    misleads=(
        "It is near zero long before anything generalizes: 5.5e-6 at epoch 999 of the published "
        "Grokking_Demo run, where the test loss is 30.9."
    ),
)
def train_loss(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Mean cross-entropy over the training pairs, in nats."""
    return _loss(snapshot, "train")


@measure(
    source=_NANDA,
    needs=("split",),
    misleads=(
        "A few pairs with confident wrong answers dominate it, so it rises to several times log p "
        "(34.1 at p = 113) while the test accuracy is constant, and it keeps changing after every "
        "pair is right."
    ),
)
def test_loss(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Mean cross-entropy over the test pairs, in nats; NaN if there are none."""
    return _loss(snapshot, "test")


@measure(
    source=_POWER,
    needs=("split",),
    misleads=(
        "It is 1 for a network that memorizes and for one that generalizes, and saturates "
        "within a few hundred steps."
    ),
)
def train_accuracy(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Fraction of the training pairs that are answered correctly."""
    return _accuracy(snapshot, snapshot.pair_mask("train"))


@measure(
    source=_POWER,
    needs=("split",),
    misleads=(
        "If the operation commutes, a network that has memorized its pairs and learned "
        "a∘b = b∘a scores about the training fraction (0.55 at 60 %, without weight decay). That "
        "is not partial grokking."
    ),
)
def test_accuracy(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Fraction of the test pairs that are answered correctly; NaN if there are none."""
    return _accuracy(snapshot, snapshot.pair_mask("test"))


@measure(
    source=_NANDA,
    misleads=(
        "Training and test pairs are mixed in proportion to the training fraction, so it is not "
        "comparable between runs with different fractions."
    ),
)
def loss_all(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Mean cross-entropy over all pairs, in nats."""
    return _loss(snapshot, "all")


@measure(
    source=_POWER,
    misleads=(
        "It is at least the training fraction f for any network that memorizes, and about "
        "f + (1-f) f if the operation commutes: 0.84 at 60 %."
    ),
)
def accuracy_all(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Fraction of all pairs that are answered correctly."""
    return snapshot.accuracy_all


@measure(
    source=f"grokinterp; the gap it splits is that of {reference('tan2023understanding')}",
    columns=("test_accuracy_mirrored", "test_accuracy_unmirrored"),
    needs=("commutative_operation", "split"),
    misleads=(
        "Only the mirror image counts. Other symmetries also give answers away (a² + b² is the "
        "same for -a), and at a large training fraction few unmirrored pairs are left to "
        "average over."
    ),
)
def test_accuracy_by_mirror(
    snapshot: Snapshot, key_frequencies: KeyFrequencies
) -> dict[str, float]:
    """Accuracy on the test pairs (a, b) whose mirror image (b, a) is trained, and on the rest.

    A network that has memorized its pairs and learned a∘b = b∘a is right on the first kind
    alone; a pair (a, a) is of the second. NaN where a kind has no pairs, as when the split keeps
    (a, b) and (b, a) on the same side.
    """
    masks = masks_of(snapshot.split)
    return {
        "test_accuracy_mirrored": _accuracy(snapshot, masks.test & ~masks.unmirrored_test),
        "test_accuracy_unmirrored": _accuracy(snapshot, masks.unmirrored_test),
    }


def _loss(snapshot: Snapshot, on: On) -> float:
    return float(snapshot.losses[snapshot.pair_mask(on)].mean())


def _accuracy(snapshot: Snapshot, mask: torch.Tensor) -> float:
    return float(snapshot.are_correct[mask].double().mean())
