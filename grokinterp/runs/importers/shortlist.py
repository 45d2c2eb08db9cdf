"""The few of many readings that are worth a look at all pairs, chosen on a sample of pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from grokinterp.runs.importers.answers import Answers
from grokinterp.runs.importers.explanations import CLAIMED_FROM
from grokinterp.runs.importers.fits import PRICE, Fit, best_first, fit_of, steadiness
from grokinterp.runs.importers.parameters import Network
from grokinterp.runs.importers.readings import n_unusual
from grokinterp.tasks import Task

SEED = 0
"""Of the samples, which are the same for all readings."""
N_PAIRS, N_OF_LINES = 96, 32
"""Pairs of the first sample, and of one row and one column of the table beside them."""
N_MORE = 1500
"""Pairs of the second sample."""
N_KEPT = 4
"""Readings that go on for their losses; half as many for their answers as well, which may be
those of a group that has no name here."""


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
    lines, others = _lines(p), _others(p, trained, N_PAIRS)
    pairs, counted = np.concatenate([*lines, others]), slice(sum(map(len, lines)), None)
    truths = _truths(tasks, pairs, counted)
    by_loss, by_answers = {}, {}
    for i, network in enumerate(candidates):
        found = Answers.of(network, pairs)
        price = PRICE ** n_unusual(network, candidates[0])
        by_loss[i] = _fit(found, truths, price)
        by_answers[i] = _like_a_group(found, [len(line) for line in lines], price)
    kept = {0}
    for is_stated, n in ((True, N_KEPT), (False, 1)):
        places = [i for i, network in enumerate(candidates) if is_stated != bool(network.against)]
        kept |= {places[j] for j in best_first([by_loss[i] for i in places])[:n]}
        kept |= set(sorted(places, key=lambda i: by_answers[i])[: (n + 1) // 2])
    return _narrowed([candidates[i] for i in sorted(kept)], tasks, trained)


def _narrowed(
    kept: list[Network], tasks: Sequence[Task], trained: np.ndarray | None
) -> list[Network]:
    """The best two, the first and the best that departs, if a known task explains the best."""
    if kept[0].order ** 2 <= N_MORE:
        return kept
    pairs = _others(kept[0].order, trained, N_MORE)
    truths = _truths(tasks, pairs, slice(None))
    fits = [_fit(Answers.of(n, pairs), truths, PRICE ** n_unusual(n, kept[0])) for n in kept]
    if max(fit.accuracy for fit in fits) < CLAIMED_FROM:
        return kept
    order = best_first(fits)
    stated = [i for i in order if not kept[i].against]
    departing = [i for i in order if kept[i].against]
    return [kept[i] for i in sorted({0, *stated[:2], *departing[:1]})]


def _lines(p: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a part of one row and of a part of one column of the table."""
    rng = np.random.default_rng(SEED)
    row, column = rng.integers(0, p, size=2)
    along = rng.permutation(p)[:N_OF_LINES]
    return (
        np.stack([np.full(len(along), row), along], axis=1),
        np.stack([along, np.full(len(along), column)], axis=1),
    )


def _others(p: int, trained: np.ndarray | None, n: int) -> np.ndarray:
    """Pairs that count, drawn from those that were trained on where these are known."""
    pool = np.arange(p * p) if trained is None else np.flatnonzero(trained)
    drawn = np.random.default_rng(SEED).permutation(pool)[:n]
    return np.stack(np.divmod(drawn, p), axis=1)


def _truths(
    tasks: Sequence[Task], pairs: np.ndarray, counted: slice
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each task the pairs that count and have an answer, and the answers."""
    places, truths = np.arange(len(pairs))[counted], []
    for task in tasks:
        table = np.full((task.n_tokens, task.n_tokens), -1, dtype=np.int64)
        table[task.pairs[:, 0], task.pairs[:, 1]] = task.labels
        labels = table[pairs[places, 0], pairs[places, 1]]
        if (labels >= 0).any():
            truths.append((places[labels >= 0], labels[labels >= 0]))
    return truths


def _fit(found: Answers, truths: list[tuple[np.ndarray, np.ndarray]], price: float) -> Fit:
    """How well the task that fits best explains some of the pairs."""
    fits = [
        fit_of(found.logits[rows], found.losses(rows, labels), torch.tensor(labels), price)
        for rows, labels in truths
    ]
    return fits[best_first(fits)[0]] if fits else Fit(0.0, np.inf, np.inf, -np.inf, price)


def _like_a_group(found: Answers, lengths: list[int], price: float) -> tuple[float, float]:
    """Sorts readings whose lines have no answer twice first, and the steadiest of these."""
    answers, start, n_different = found.answers, 0, 0
    for length in lengths:
        n_different += len(np.unique(answers[start : start + length]))
        start += length
    two = found.logits.topk(2, dim=1).values.double()
    share = n_different / max(start, 1)
    return -round(share, 1), -steadiness(two[:, 0] - two[:, 1]) / price
