"""Why training pairs that are stored or given may not be those of a network, or misread."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from grokinterp.errors import CheckpointError
from grokinterp.models.loss import are_correct, pair_losses
from grokinterp.tasks import Split

N_STEPS = 6
"""Checkpoints that are looked at, spread over the run."""
Z_SURER = 3.0
"""Standard errors of the mean rank of the losses by which the network is surer of its training
pairs: chance reaches it at one of the checkpoints in a hundred splits."""
Z_OTHERS = 5.0
"""The same of the other pairs, by which training on the given ones is ruled out."""
ANSWERED = 0.9
"""Training accuracy below which the reading itself is questioned."""
ABOVE_GUESSING = 1.2
"""Factor over the loss of a guess that training never leaves on its own pairs."""
PARTLY = (0.05, 0.99)
"""Accuracies between which a network distinguishes pairs: above chance, and below all of them."""


@dataclass(frozen=True)
class _Look:
    """How one checkpoint answers the training pairs and the others."""

    step: int
    train_accuracy: float
    test_accuracy: float
    accuracy: float
    train_loss: float
    z: float
    """How much surer it is of the training pairs, in standard errors of the mean rank."""


def doubts_of_split(
    split: Split, steps: Sequence[int], logits_of: Callable[[int], Tensor]
) -> tuple[str, ...]:
    """Say why the training pairs, or the reading of the network, are probably wrong.

    Training makes a network surer of the pairs that it is trained on. At some checkpoint these
    have lower losses, unless it has learned nothing, or everything. A network that has learned
    everything is doubted too if it is surer of the others by 5 standard errors.

    Parameters
    ----------
    split
        With known training pairs; otherwise there is nothing to doubt.
    steps
        All checkpoints.
    logits_of
        Logits on all pairs at a step.

    Returns
    -------
    tuple
        A sentence, or nothing.
    """
    if not split.is_known or not len(split.test):
        return ()
    looks = [look for step in _spread(steps) if (look := _look(split, step, logits_of))]
    if not looks:
        return ()
    n_classes = split.task.n_classes
    last, surest = looks[-1], max(look.z for look in looks)
    has_answered = max(look.train_accuracy for look in looks) >= ANSWERED
    if not has_answered and _is_misread(last, looks, math.log(n_classes)):
        better = surest >= Z_SURER
        fact = (
            "have a loss above that of a guess" if better else "are not answered better than others"
        )
        return (
            f"The training pairs {fact}, so the reading is probably wrong, or these are not its "
            f"training pairs: at step {last.step:,} {last.train_accuracy:.1%} of them are right "
            f"and {last.test_accuracy:.1%} of the others, with a training loss of "
            f"{last.train_loss:.3g} nats where a guess has {math.log(n_classes):.3g}.",
        )
    low, high = PARTLY[0] + 1 / n_classes, PARTLY[1]
    is_surer_of_others = min(look.z for look in looks) <= -Z_OTHERS
    tells_apart = any(low < look.accuracy < high for look in looks)
    if surest < Z_SURER and (tells_apart or is_surer_of_others):
        n = len(looks)
        where = f"any of {n} checkpoints" if n > 1 else f"step {last.step:,}"
        side = f"lower by {surest:.1f}" if surest >= 0 else f"higher by {-surest:.1f}"
        bound = "" if n == 1 else " at most" if surest >= 0 else " at least"
        return (
            f"The network is not surer of the training pairs than of the others at {where}: their "
            f"losses are {side} standard errors of the mean rank{bound}. So these "
            "are probably not the pairs that it was trained on.",
        )
    return ()


def _is_misread(last: _Look, looks: Sequence[_Look], guess: float) -> bool:
    """Whether the last checkpoint has answers, but not the right ones on the training pairs."""
    # At step 0 too: a file that says no step is shown there.
    if last.train_loss > ABOVE_GUESSING * guess:
        return True
    has_learned = last.accuracy > PARTLY[0] + math.exp(-guess)
    return has_learned and max(look.z for look in looks) < Z_SURER


def _spread(steps: Sequence[int]) -> list[int]:
    """Return at most :data:`N_STEPS` steps, the first and the last among them."""
    if len(steps) <= N_STEPS:
        return list(steps)
    places = np.linspace(0, len(steps) - 1, N_STEPS).round().astype(int)
    return [steps[place] for place in places]


def _look(split: Split, step: int, logits_of: Callable[[int], Tensor]) -> _Look | None:
    try:
        logits = logits_of(step)
    except CheckpointError:  # it is left out of the analysis as well, with the reason
        return None
    labels = torch.tensor(split.task.labels)
    losses = pair_losses(logits, labels).numpy()
    if not np.isfinite(losses).all():
        return None
    is_right = are_correct(logits, labels).numpy()
    return _Look(
        step,
        float(is_right[split.train].mean()),
        float(is_right[split.test].mean()),
        float(is_right.mean()),
        float(losses[split.train].mean()),
        _z(losses, split.train, split.test),
    )


def _z(losses: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """Difference of the mean ranks of the losses in standard errors; equal losses share a rank."""
    ranks = pd.Series(np.concatenate([losses[train], losses[test]])).rank().to_numpy()
    if ranks.std() == 0:
        return 0.0
    ranks = (ranks - ranks.mean()) / ranks.std()
    difference = ranks[len(train) :].mean() - ranks[: len(train)].mean()
    return float(difference / math.sqrt(1 / len(train) + 1 / len(test)))
