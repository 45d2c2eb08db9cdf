"""What a network computes, inferred from how it answers: the operation, and how to read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grokinterp.errors import CheckpointError
from grokinterp.runs.importers.accounts import (
    about_rivals,
    doubt_of_factors,
    doubt_of_given,
    doubt_of_said,
)
from grokinterp.runs.importers.answers import Answers
from grokinterp.runs.importers.explanations import (
    CLAIMED_FROM,
    Explanation,
    group_explanation,
    how_renamed,
    judged,
    known_explanations,
    known_tasks,
)
from grokinterp.runs.importers.hints import NO_HINTS, Hints
from grokinterp.runs.importers.parameters import Network
from grokinterp.runs.importers.scored_readings import Scored, best_reading, score
from grokinterp.runs.importers.shortlist import shortlisted
from grokinterp.runs.importers.trained_pairs import given_task, trained_table
from grokinterp.tasks import Task


@dataclass(frozen=True, eq=False)
class Reading:
    """A network with the task that it does."""

    network: Network
    task: Task
    accuracy: float
    """Fraction of all pairs that it answers correctly."""
    losses: np.ndarray
    """Cross-entropy of every pair in nats, float64, over all outputs the file has."""
    account: str
    """How the operation was found, in a sentence."""
    doubts: tuple[str, ...] = ()
    """Why this may be a misreading, a sentence each; usually nothing."""
    is_explained: bool = True
    """Whether a task, perhaps another than the given one, accounts for the answers."""


def find_reading(
    candidates: Sequence[Network],
    *,
    said: str | None = None,
    hints: Hints = NO_HINTS,
    trained: np.ndarray | None = None,
) -> Reading:
    """Find what a network computes: the operation, and which of several readings is right.

    Every reading is tried, on a sample of pairs first. An operation is claimed if the network is
    right on 90 % of the pairs: one modulo p, one of permutations, or the product of a group,
    found from the network's own table of answers, whatever the order of its elements. The
    best reading is taken, as :func:`~grokinterp.runs.importers.fits.best_first` orders them: a
    value that is not the usual one of its field, which is that of the first reading, has to be
    clearly better.

    Parameters
    ----------
    candidates
        The same weights, read in the ways that their shapes leave open.
    said
        Operation that the format or a stored config names. Where nothing explains the network,
        it is used, with a doubt.
    hints
        What the user says about the file. A task that is given is used; if the network
        contradicts it, that is a doubt, unless only the elements of its group are renamed.
    trained
        (p, p) whether a pair was trained on; None: as the hints say. Where it is known, only
        these pairs count.

    Raises
    ------
    CheckpointError
        If nothing explains the network and no operation was named.
    """
    p = candidates[0].order
    given = given_task(hints, p)
    trained = trained_table(hints.train_pairs, given, p) if trained is None else trained
    tasks = known_tasks(p) if given is None else (given,)

    def scored_for(tasks: Sequence[Task], counted: np.ndarray | None) -> list[Scored]:
        kept = shortlisted(candidates, tasks, counted)
        return [score(Answers.of(n), candidates[0], given, said, trained) for n in kept]

    scored = scored_for(tasks, trained)
    chosen, doubts = best_reading(scored)
    is_explained = chosen.best.judged >= CLAIMED_FROM
    if given is not None and not is_explained:
        other = None
        if given.n_classes == p:
            # What another task explains need not be on the shortlist for the given one.
            anyway = scored_for(known_tasks(p), None)
            other = _otherwise_explained([*scored, *anyway], given)
        is_explained = other is not None
        unknown = chosen, (*doubts, *doubt_of_given(chosen, given, trained))
        chosen, doubts = other or unknown
    try:
        task, said_words, more = _task(chosen, given, said, trained)
    except CheckpointError as error:
        raise CheckpointError(" ".join([str(error), *doubts])) from None
    found = judged(chosen.answers.table, task, trained)
    account = f"{said_words}{how_renamed(task)}{about_rivals(chosen, scored, candidates)}"
    losses = chosen.answers.losses_of(task)
    doubts = (*more, *doubts, *doubt_of_factors(chosen.network))
    return Reading(chosen.network, task, found.accuracy, losses, account, doubts, is_explained)


def _task(
    chosen: Scored, given: Task | None, said: str | None, trained: np.ndarray | None
) -> tuple[Task, str, tuple[str, ...]]:
    """The task to analyze, how it was found, and why it may be the wrong one."""
    best, p = chosen.best, chosen.network.order
    table = ", ".join(f"{e.words} {e.accuracy:.1%}" for e in chosen.tried[:4])
    of_trained = "" if trained is None else f", and on {best.judged:.2%} of the training pairs"
    right = f"right on {best.accuracy:.2%} of all pairs{of_trained}"
    if given is not None:
        return *_judge_given(chosen, given, right), ()
    if best.judged >= CLAIMED_FROM:
        is_said = said in (None, best.task.spec.operation)
        doubt = "" if is_said else f" (it is said to be {said})"
        ties = [e.words for e in chosen.tried[1:] if _is_tie(e, best)]
        same = f"; {' and '.join(ties)} would be the same here" if ties else ""
        account = f"The operation is {best.words}{doubt}: {right} (of those tried: {table}{same})."
        return best.task, account, ()
    known = {e.task.spec.operation: e for e in chosen.tried}
    if said in known:
        found = known[said]
        said_words = (
            f"The operation is said to be {said}, but only {found.accuracy:.2%} of all pairs are "
            f"right (tried: {table})."
        )
        return found.task, said_words, doubt_of_said(chosen, found, said, trained)
    raise CheckpointError(
        f"the answers fit no operation modulo {p} and no group ({table}). Name the task: "
        "task=gi.TaskSpec(...), or --task.operation; see docs/importing.md."
    )


def _otherwise_explained(
    scored: Sequence[Scored], given: Task
) -> tuple[Scored, tuple[str, ...]] | None:
    """A reading that another task than the given one explains, with that as a doubt."""
    found: list[tuple[Scored, Explanation]] = []
    for one in (s for s in scored if not s.network.against):
        table = one.answers.table
        tried = [*known_explanations(table)[:1], group_explanation(table, None)]
        found += [(one, e) for e in tried if e is not None and e.accuracy >= CLAIMED_FROM]
    if not found:
        return None
    one, other = max(found, key=lambda pair: (pair[1].accuracy, -pair[0].fit.price))
    accuracy = judged(one.answers.table, given, None).accuracy
    return one, (
        f"The network contradicts the given task, {given.spec.in_words}: it is right on "
        f"{accuracy:.1%} of the pairs, and {other.words} explains {other.accuracy:.1%}.",
    )


def _is_tie(one: Explanation, best: Explanation) -> bool:
    return one.judged == best.judged and one.task.n_pairs == best.task.n_pairs


def _judge_given(chosen: Scored, given: Task, right: str) -> tuple[Task, str]:
    """The given task, or its group with the elements renamed, and how well it is done."""
    best = chosen.best
    said = f"The task was given: {best.task.spec.in_words}; the network is {right}."
    if best.task is not given:
        said = (
            f"The task was given, {given.spec.in_words}, and the network does it with its elements "
            f"in another order: it is {right}."
        )
    return best.task, said
