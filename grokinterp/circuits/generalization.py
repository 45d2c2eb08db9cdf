"""Whether a network has a solution to look into: its accuracy on pairs it cannot have memorized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Bool
from torch import Tensor

from grokinterp.circuits.arrangement import masks_of
from grokinterp.circuits.snapshot import Snapshot

MIN_ACCURACY = 0.95
"""Accuracy on pairs it cannot have memorized above which a network has a solution."""

AccuracyOn = Literal["unmirrored_test", "test", "all"]
"""Pairs that an accuracy is taken on: test pairs whose mirror image is not trained, test pairs,
or all pairs."""


@dataclass(frozen=True)
class GeneralizationAccuracy:
    """Accuracy on the pairs of a task that say most about what a network has learned."""

    value: float
    """Fraction of right answers."""
    on: AccuracyOn
    """Which pairs these are."""
    pairs: str
    """The same in words, with their number: ``the 38 test pairs whose mirror image is not
    trained``."""

    @property
    def is_solution(self) -> bool:
        """Whether the network has a solution to look into."""
        return self.value > MIN_ACCURACY


def generalization_accuracy(snapshot: Snapshot) -> GeneralizationAccuracy:
    """Accuracy on the test pairs that memorizing and commutativity do not answer.

    A network that memorizes and has learned only a∘b = b∘a is right on a fraction f(2 - f) of
    all pairs at a train fraction f, above 0.95 from f = 0.777 on. So its test pairs count, and of
    a commutative operation those whose mirror image is not trained.

    Returns
    -------
    GeneralizationAccuracy
        On all test pairs where each has a trained mirror image. On all pairs, which memorizing
        can answer, where there are no test pairs or the split is not known; `pairs` says so.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> generalization_accuracy(snapshot).pairs
    'the 17 test pairs whose mirror image is not trained'
    """
    masks = masks_of(snapshot.split)
    n_test, n_unmirrored = int(masks.test.sum()), int(masks.unmirrored_test.sum())
    if not n_test:
        why = "none is a test pair" if snapshot.split.is_known else "the split is not known"
        return GeneralizationAccuracy(snapshot.accuracy_all, "all", f"all pairs ({why})")
    if not n_unmirrored:
        is_one = n_test == 1
        mirrored = "with a trained mirror image" if is_one else "all with a trained mirror image"
        words = f"{_test_pairs(n_test)}, {mirrored},"
        return GeneralizationAccuracy(_accuracy(snapshot, masks.test), "test", words)
    if not snapshot.task.operation.is_commutative:
        words = _test_pairs(n_test)
        return GeneralizationAccuracy(_accuracy(snapshot, masks.test), "test", words)
    words = f"{_test_pairs(n_unmirrored)} whose mirror image is not trained"
    value = _accuracy(snapshot, masks.unmirrored_test)
    return GeneralizationAccuracy(value, "unmirrored_test", words)


def _test_pairs(n: int) -> str:
    return "the one test pair" if n == 1 else f"the {n:,} test pairs"


def _accuracy(snapshot: Snapshot, mask: Bool[Tensor, " pair"]) -> float:
    return float(snapshot.are_correct[mask].double().mean())
