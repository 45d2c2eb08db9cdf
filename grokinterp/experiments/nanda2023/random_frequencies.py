"""The progress measures of frequencies that a network does not use: what the key ones must beat.

A measure that looks back from the last checkpoint moves before the jump for many reasons. As many
frequencies as are key, drawn at random from the others, have the same measures; a lead that they
have too is not one of the circuit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from grokinterp.runs.run import Run

N_RANDOM = 9
"""Sets of random frequencies: were the key ones such a set, they would be ahead of all in a tenth
of the runs."""
DRAW_SEED = 0


def random_sets(keys: Sequence[int], n_frequencies: int) -> list[tuple[int, ...]]:
    """Return sets of frequencies that are not key, as many in each as are, where there are.

    Examples
    --------
    >>> [len(one) for one in random_sets([3, 5], 11)][:3], 5 in sum(random_sets([3, 5], 11), ())
    ([2, 2, 2], False)
    """
    others = [k for k in range(1, n_frequencies + 1) if k not in keys]
    n_drawn = min(len(keys), len(others))
    if not n_drawn:
        return []
    generator = np.random.default_rng(DRAW_SEED)
    drawn = [generator.choice(others, n_drawn, replace=False) for _ in range(N_RANDOM)]
    return [tuple(sorted(one.tolist())) for one in drawn]


def losses_of_random_frequencies(
    run: Run, steps: Iterable[int], keys: Sequence[int]
) -> list[pd.DataFrame]:
    """Return excluded and restricted losses of every set along a run.

    Parameters
    ----------
    run
        A run on a cyclic group.
    steps
        Checkpoints.
    keys
        The key frequencies.

    Returns
    -------
    list
        For each set a row for each checkpoint: ``excluded_loss_train``,
        ``restricted_loss_test``, in nats. Empty without key frequencies, or where all are key.
    """
    from grokinterp.circuits import KeyFrequencies, excluded_loss, restricted_loss, take_snapshot

    sets = [
        KeyFrequencies.given(run.task.n_classes, one)
        for one in random_sets(keys, run.task.n_classes // 2)
    ]
    rows: list[list[dict[str, float]]] = [[] for _ in sets]
    for step in steps if sets else ():
        snapshot = take_snapshot(run, int(step))
        for its, one in zip(rows, sets, strict=True):
            its.append(
                {
                    "excluded_loss_train": excluded_loss(snapshot, one, on="train"),
                    "restricted_loss_test": restricted_loss(snapshot, one, on="test"),
                }
            )
    return [pd.DataFrame(its) for its in rows]
