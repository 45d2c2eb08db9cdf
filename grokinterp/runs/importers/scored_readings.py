"""Readings of the same weights with what explains each best, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from grokinterp.runs.importers.answers import Answers, rows_in_grid
from grokinterp.runs.importers.explanations import (
    CLAIMED_FROM,
    Explanation,
    group_explanation,
    judged,
    known_explanations,
    renamed_explanation,
)
from grokinterp.runs.importers.fits import Fit, best_first, fit_of
from grokinterp.runs.importers.parameters import Network
from grokinterp.runs.importers.readings import choices_of, price_of
from grokinterp.tasks import Task

CLEARLY = 0.02
"""Accuracy by which a reading or a task is clearly better than another."""
SPREADS_OF_CHANCE = 4.0
"""Standard errors of an accuracy that the best of some hundred readings may gain by chance."""


@dataclass(frozen=True, eq=False)
class Scored:
    """A reading with what explains it best."""

    answers: Answers
    best: Explanation
    tried: tuple[Explanation, ...]
    fit: Fit
    """By the right answers to the pairs that count."""
    n_pairs: int
    """How many pairs count."""

    @property
    def network(self) -> Network:
        """The network as it was read."""
        return self.answers.network


def score(
    answers: Answers,
    usual: Network,
    given: Task | None,
    said: str | None,
    trained: np.ndarray | None,
) -> Scored:
    """Find what explains one reading best, and how well."""
    table = answers.table
    if given is not None:
        tried = [judged(table, given, trained)]
        renamed = renamed_explanation(table, given, trained)
        is_better = renamed is not None and renamed.judged > tried[0].judged + CLEARLY
        tried = [renamed, *tried] if renamed is not None and is_better else tried
    else:
        tried = known_explanations(table, trained, said)
        if tried[0].judged < 1:
            group = group_explanation(table, None)
            # Only exactly, or from all pairs: what is made of the answers fits them by design.
            if group is not None and group.accuracy > max(tried[0].accuracy, tried[0].judged):
                tried = [group, *tried]
    best = tried[0]
    rows, labels = rows_in_grid(best.task), best.task.labels
    if trained is not None and trained.reshape(-1)[rows].any():
        counts = trained.reshape(-1)[rows]
        rows, labels = rows[counts], labels[counts]
    price = price_of(answers.network, usual)
    losses = answers.losses(rows, labels)
    fit = fit_of(answers.logits[rows], losses, torch.tensor(labels), price)
    return Scored(answers, best, tuple(tried), fit, len(rows))


def best_reading(scored: Sequence[Scored]) -> tuple[Scored, tuple[str, ...]]:
    """The best reading of those that depart from nothing, and a doubt if another beats it."""
    stated = [s for s in scored if not s.network.against]
    best = _fewest_heads(_best(stated), stated)
    others = [s for s in scored if s.network.against]
    rival = _best(others) if others else None
    if rival is None or not _is_clearly_better(rival, best) or is_chance(rival, best):
        return best, ()
    values = ", ".join(f"{k}={v}" for k, v in rival.network.against.items())
    instead = choices_of(rival.network)
    read = ", ".join(f"{k}={instead[k]}" for k in rival.network.against)
    return best, (
        f"It is stated that the network has {values}, but read with {read} it is right on "
        f"{rival.best.judged:.1%} of the pairs (loss {rival.fit.mean_loss:.3g}) instead of "
        f"{best.best.judged:.1%} (loss {best.fit.mean_loss:.3g}): the stated value is probably "
        "wrong.",
    )


def is_chance(rival: Scored, best: Scored) -> bool:
    """Whether of many readings one may be right on that many pairs more by chance."""
    rate = rival.best.judged
    spread = math.sqrt(rate * (1 - rate) / rival.n_pairs)
    is_surer = rival.fit.loss < best.fit.loss / 4
    return not is_surer and rate - best.best.judged < SPREADS_OF_CHANCE * spread


def _best(scored: Sequence[Scored]) -> Scored:
    """The most credible, among those that something explains if there are any."""
    explained = [s for s in scored if s.best.judged >= CLAIMED_FROM] or list(scored)
    return explained[best_first([s.fit for s in explained])[0]]


def _fewest_heads(best: Scored, scored: Sequence[Scored]) -> Scored:
    mine = _without_heads(best)
    alike = [s for s in scored if _without_heads(s) == mine and not _is_clearly_better(best, s)]
    return min(alike, key=lambda s: getattr(s.network.spec, "n_heads", 0))


def _without_heads(scored: Scored) -> dict[str, object]:
    chosen = choices_of(scored.network)
    return {name: chosen[name] for name in chosen if name not in ("n_heads", "d_head")}


def _is_clearly_better(one: Scored, than: Scored) -> bool:
    if one.best.judged > than.best.judged + CLEARLY:
        return True
    return (
        one.best.judged > than.best.judged - CLEARLY
        and one.fit.loss < than.fit.loss / 4
        and not than.fit.is_nearly_all
    )
