"""What is said of a reading that was chosen: what came close to it, and what is in doubt."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from grokinterp.errors import one_line
from grokinterp.runs.importers.explanations import Explanation
from grokinterp.runs.importers.fits import best_first
from grokinterp.runs.importers.parameters import Network
from grokinterp.runs.importers.readings import choices_of
from grokinterp.runs.importers.scored_readings import Scored
from grokinterp.tasks import Task

_FACTOR = re.compile(r"(^|[._])(\w*_)?(scale|temperature|multiplier|gain)$", re.IGNORECASE)
"""Names of learned factors, unlike those of metrics and buffers that lie beside weights."""
CLOSE = 1.1
"""Ratio of losses up to which two readings cannot be told apart: of small networks that were
trained with GELU or SiLU another activation can have a loss that is 3 % off."""


def doubt_of_factors(network: Network) -> tuple[str, ...]:
    """Doubt a network with a parameter that is called a factor and was left out."""
    factors = [one_line(name, 60) for name in network.ignored if _FACTOR.search(name)]
    if not factors:
        return ()
    named = ", ".join(sorted(factors)[:4])
    return (
        f"The file has {named}, by name a factor of the network, and it was left out: losses are "
        "wrong if the network uses it. Multiply it into the weights before it, or read your own "
        "module.",
    )


def doubt_of_said(
    chosen: Scored, found: Explanation, said: str, trained: np.ndarray | None
) -> tuple[str, ...]:
    """Doubt an operation that is only said, unless the network is as unsure as a guesser."""
    if trained is not None or chosen.fit.mean_loss < 1.1 * math.log(found.task.n_classes):
        return ()
    return (
        f"The operation is said to be {said}, but only {found.accuracy:.1%} of all pairs are right "
        "and no known operation explains the others: name the task if it is another one.",
    )


def doubt_of_given(chosen: Scored, given: Task, trained: np.ndarray | None) -> tuple[str, ...]:
    """Doubt a given task that the network does not do, where it may also have memorized pairs.

    Known training pairs tell the two apart; whoever makes the split of them looks at that.
    """
    is_guessing = chosen.fit.mean_loss < 1.1 * math.log(given.n_classes)
    if trained is not None or is_guessing:
        return ()
    return (
        f"The task was given, {given.spec.in_words}, and the network is right on "
        f"{chosen.best.accuracy:.1%} of all pairs: either the task or the reading is wrong, or it "
        "has memorized some pairs. Give its training pairs, which tell these apart.",
    )


def about_rivals(chosen: Scored, scored: Sequence[Scored], candidates: Sequence[Network]) -> str:
    """Say which open fields were chosen, how well, and what came second."""
    stated = [s for s in scored if not s.network.against]
    if len(stated) < 2:
        return ""
    mine = choices_of(chosen.network)
    all_choices = [choices_of(network) for network in candidates if not network.against]
    is_open = [k for k in mine if len({str(choices.get(k)) for choices in all_choices}) > 1]
    if not is_open:
        return ""
    text = ", ".join(f"{name}={mine[name]}" for name in is_open)
    others = [s for s in stated if choices_of(s.network) != mine]
    if not others:
        return ""
    ranked = [others[place] for place in best_first([s.fit for s in others])]
    rival = ranked[0]

    def differs(other: Scored) -> str:
        theirs = choices_of(other.network)
        return ", ".join(
            f"{k}={v}" for k, v in theirs.items() if v != mine.get(k) and k != "d_head"
        )

    account = (
        f" Not shown by the weights, chosen by how well they answer: {text}. The loss is "
        f"{chosen.fit.mean_loss:.4g}; the next best reading ({differs(rival)}) has "
        f"{rival.fit.mean_loss:.4g} and is right on {rival.best.judged:.2%}."
    )
    close = [differs(other) for other in ranked if _are_close(chosen, other)]
    if close:
        account += f" Too close to tell apart by that: {'; '.join(close[:3])}."
    return account


def _are_close(one: Scored, other: Scored) -> bool:
    lowest, highest = sorted([one.fit.mean_loss, other.fit.mean_loss])
    return highest <= lowest * CLOSE
