"""Which of several readings of the same weights answers a task, tried on some pairs first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from grokinterp.errors import ConfigError
from grokinterp.groups import nearest_group_table
from grokinterp.models.pair_tables import pair_logits
from grokinterp.runs.importers.answers import Answers
from grokinterp.runs.importers.explanations import CLAIMED_FROM
from grokinterp.runs.importers.parameters import Network
from grokinterp.tasks import OPERATIONS, Task, TaskSpec

ENOUGH = 0.5
"""Fraction of the pairs that a reading must answer to be more than the least bad one."""
_PAIRS = 512
_MOST_TABLES = 48
AS_ACCURATE = 0.02
"""Accuracy within which two readings are right as often."""
_AS_CLEAR = 0.01
"""Relative: within it the reading that comes first is preferred."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A reading, how often it is right on the operation that it does best, and how clearly."""

    network: Network
    operation: str
    """``group`` where its answers are the table of a group that is no operation."""
    accuracy: float
    margin: float
    """Mean lead of the largest logit over the next, in standard deviations of the logits. Unlike a
    loss it does not grow with the scale of the logits, which a wrong activation may raise."""


def judged(candidates: Sequence[Network]) -> list[Judged]:
    """Sort readings of the same weights, the one to take first.

    Every operation is tried on up to 512 pairs. If no reading is right on half of them, tables of
    answers that are nearly those of a group are looked for.

    Parameters
    ----------
    candidates
        At least one, the one to prefer first.
    """
    tried = [_on_some_pairs(network) for network in candidates]
    if max(one.accuracy for one in tried) < ENOUGH:
        tried = [_with_group(one) for one in tried[:_MOST_TABLES]] + tried[_MOST_TABLES:]
    best = max(one.accuracy for one in tried)
    margin = max(one.margin for one in tried if one.accuracy >= best - AS_ACCURATE)

    def rank(one: Judged) -> tuple[bool, float]:
        is_as_accurate = one.accuracy >= best - AS_ACCURATE
        is_as_clear = is_as_accurate and one.margin >= margin * (1 - _AS_CLEAR)
        return not is_as_clear, -one.margin if is_as_accurate else 1 - one.accuracy

    # sorted keeps the order of equals, which is that of preference.
    first = [one for one in tried if not rank(one)[0]]
    return first + sorted((one for one in tried if rank(one)[0]), key=rank)


def _on_some_pairs(network: Network) -> Judged:
    p = network.order
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(p * p, generator=generator)[:_PAIRS]
    pairs = torch.stack([rows // p, rows % p], dim=1)
    with torch.no_grad():
        logits = pair_logits(network.parameters, network.spec, pairs).double()
    first, second = logits.topk(2, dim=1).values.unbind(1)
    margin = ((first - second) / logits.std(dim=1).clamp(min=1e-30)).mean()
    answers = logits.argmax(dim=1).numpy()
    scores = {name: float((answers == table[rows.numpy()]).mean()) for name, table in _tables(p)}
    operation = max(scores, key=lambda name: scores[name])
    return Judged(network, operation, scores[operation], float(margin))


def _tables(p: int) -> list[tuple[str, np.ndarray]]:
    """(p * p,) answers of every operation modulo p, -1 where it is not defined."""
    found = []
    for name, operation in OPERATIONS.items():
        if operation.compute is None or operation.is_of_permutations:
            continue
        try:
            task = Task(TaskSpec(operation=name, p=p))  # pyright: ignore[reportArgumentType]
        except ConfigError:
            continue
        table = np.full(p * p, -1)
        table[task.pairs[:, 0] * p + task.pairs[:, 1]] = task.labels
        found.append((name, table))
    return found


def _with_group(one: Judged) -> Judged:
    table = Answers.of(one.network).table
    mended = nearest_group_table(table)
    share = 0.0 if mended is None else float((mended == table).mean())
    return one if share < CLAIMED_FROM else Judged(one.network, "group", share, one.margin)
