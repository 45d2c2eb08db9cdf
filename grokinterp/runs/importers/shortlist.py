"""The few of many readings that are worth a look at all pairs, chosen on a sample of pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grokinterp.runs.importers.answers import Answers, clipped_mean
from grokinterp.runs.importers.parameters import Network
from grokinterp.tasks import Task

SEED = 0
"""Of the sample, which is the same for all readings."""
N_PAIRS = 256
"""Pairs of the sample beside its row and its column."""
N_KEPT = 4
"""Readings that are kept for their losses. One is kept for its answers as well, which may be
those of a group that no one has named."""


def shortlisted(
    candidates: Sequence[Network], tasks: Sequence[Task], trained: np.ndarray | None
) -> list[Network]:
    """Return the most promising of several readings, in their order.

    Parameters
    ----------
    candidates
        Of the same weights; the first is always kept, and so is the best of those that depart
        from what is stated.
    tasks
        What the network may do.
    trained
        (p, p) whether a pair was trained on, where that is known: only such pairs count.
    """
    if len(candidates) <= N_KEPT:
        return list(candidates)
    p = candidates[0].order
    pairs, lines, counted = _sample(p, trained)
    truths = _truths(tasks, pairs, counted)
    losses, latin = np.full(len(candidates), np.inf), np.zeros(len(candidates))
    for i, network in enumerate(candidates):
        found = Answers.of(network, pairs)
        losses[i] = min(
            (clipped_mean(found.losses(rows, c), found.guessing) for rows, c in truths),
            default=np.inf,
        )
        answers = found.answers
        latin[i] = sum(len(np.unique(answers[line])) for line in lines)
    is_stated = np.array([not network.against for network in candidates])
    kept = {0}
    for group, n in ((is_stated, N_KEPT), (~is_stated, 1)):
        places = np.flatnonzero(group)
        kept |= set(places[np.argsort(losses[places], kind="stable")][:n].tolist())
        kept |= set(places[np.argsort(-latin[places], kind="stable")][: (n + 1) // 2].tolist())
    return [candidates[i] for i in sorted(kept)]


def _sample(
    p: int, trained: np.ndarray | None
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Pairs of a row and a column of the table and some others; which of them count."""
    rng, index = np.random.default_rng(SEED), np.arange(p)
    row, column = rng.integers(0, p, size=2)
    of_row = np.stack([np.full(p, row), index], axis=1)
    of_column = np.stack([index, np.full(p, column)], axis=1)
    pool = np.arange(p * p) if trained is None else np.flatnonzero(trained)
    others = np.stack(np.divmod(rng.permutation(pool)[:N_PAIRS], p), axis=1)
    pairs = np.concatenate([of_row, of_column, others])
    counted = np.arange(2 * p, len(pairs))
    return pairs, (np.arange(p), np.arange(p, 2 * p)), counted


def _truths(
    tasks: Sequence[Task], pairs: np.ndarray, counted: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each task the rows of the sample that count and have an answer, and the answers."""
    truths = []
    for task in tasks:
        table = np.full((task.n_tokens, task.n_tokens), -1, dtype=np.int64)
        table[task.pairs[:, 0], task.pairs[:, 1]] = task.labels
        labels = table[pairs[counted, 0], pairs[counted, 1]]
        if (labels >= 0).any():
            truths.append((counted[labels >= 0], labels[labels >= 0]))
    return truths
