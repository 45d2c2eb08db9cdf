"""What a network computes, inferred from how it answers: the operation, and how to read it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from grokinterp.errors import CheckpointError, ConfigError, one_line
from grokinterp.runs.importers.answers import Answers, rows_in_grid
from grokinterp.runs.importers.assembly import given_split
from grokinterp.runs.importers.explanations import (
    CLAIMED_FROM,
    Explanation,
    group_explanation,
    how_renamed,
    judged,
    known_explanations,
    known_tasks,
    renamed_explanation,
)
from grokinterp.runs.importers.fits import Fit, best_first, fit_of
from grokinterp.runs.importers.hints import NO_HINTS, Hints
from grokinterp.runs.importers.parameters import Network
from grokinterp.runs.importers.readings import choices_of, price_of
from grokinterp.runs.importers.shortlist import shortlisted
from grokinterp.tasks import Task, TaskSpec

CLEARLY = 0.02
"""Accuracy by which a reading or a task is clearly better than another."""
SPREADS_OF_CHANCE = 4.0
"""Standard errors of an accuracy that the best of some hundred readings may gain by chance."""


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


_FACTOR = re.compile(r"(^|[._])(\w*_)?(scale|temperature|multiplier|gain)$", re.IGNORECASE)
"""Names of learned factors, unlike those of metrics and buffers that lie beside weights."""
CLOSE = 1.1
"""Ratio of losses up to which two readings cannot be told apart: of small networks that were
trained with GELU or SiLU another activation can have a loss that is 3 % off."""


@dataclass(frozen=True, eq=False)
class _Scored:
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
        return self.answers.network


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
    given = _given_task(hints, p)
    trained = trained_table(hints.train_pairs, given, p) if trained is None else trained
    tasks = known_tasks(p) if given is None else (given,)

    def scored_for(tasks: Sequence[Task], counted: np.ndarray | None) -> list[_Scored]:
        kept = shortlisted(candidates, tasks, counted)
        return [_score(Answers.of(n), candidates[0], given, said, trained) for n in kept]

    scored = scored_for(tasks, trained)
    chosen, doubts = _chosen(scored)
    is_explained = chosen.best.judged >= CLAIMED_FROM
    if given is not None and not is_explained:
        other = None
        if given.n_classes == p:
            # What another task explains need not be on the shortlist for the given one.
            anyway = scored_for(known_tasks(p), None)
            other = _otherwise_explained([*scored, *anyway], given)
        is_explained = other is not None
        unknown = chosen, (*doubts, *_doubt_of_given(chosen, given, trained))
        chosen, doubts = other or unknown
    try:
        task, said_words, more = _task(chosen, given, said, trained)
    except CheckpointError as error:
        raise CheckpointError(" ".join([str(error), *doubts])) from None
    found = judged(chosen.answers.table, task, trained)
    account = f"{said_words}{how_renamed(task)}{_about_rivals(chosen, scored, candidates)}"
    losses = chosen.answers.losses_of(task)
    doubts = (*more, *doubts, *_doubt_of_factors(chosen.network))
    return Reading(chosen.network, task, found.accuracy, losses, account, doubts, is_explained)


def _doubt_of_factors(network: Network) -> tuple[str, ...]:
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


def trained_table(train_pairs: object, given: Task | None, p: int) -> np.ndarray | None:
    """Return which pairs were trained on, as a (p, p) table; None where that is not known.

    Parameters
    ----------
    train_pairs
        Rows of the task's pairs (of all p * p where no task is given), or (n, 2) pairs.
    given
        The task, if one is given.
    p
        Operands.
    """
    if train_pairs is None:
        return None
    given = given or Task(TaskSpec(p=p))
    chosen = given.pairs[given_split(given, train_pairs).train]
    trained = np.zeros((p, p), dtype=bool)
    trained[chosen[:, 0], chosen[:, 1]] = True
    return trained


def stored_table(train_pairs: object, hints: Hints, p: int) -> np.ndarray | None:
    """Return which pairs a file says were trained on, as a (p, p) table.

    None if it does not say, if the user gives others, or if they are no pairs of the task: whoever
    makes a split of them says what is wrong.
    """
    if train_pairs is None or hints.train_pairs is not None:
        return None
    try:
        return trained_table(train_pairs, _given_task(hints, p), p)
    except ConfigError:
        return None


def _given_task(hints: Hints, p: int) -> Task | None:
    spec = hints.task_on(p)
    if spec is None:
        return None
    task = Task(spec)
    if task.n_tokens != p:
        what = "answers" if task.spec.table is None else "operands"
        raise CheckpointError(
            f"the network has {p} {what}, the task {task.n_tokens}. Check the task's p."
        )
    return task


def _score(
    answers: Answers,
    usual: Network,
    given: Task | None,
    said: str | None,
    trained: np.ndarray | None,
) -> _Scored:
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
    return _Scored(answers, best, tuple(tried), fit, len(rows))


def _chosen(scored: Sequence[_Scored]) -> tuple[_Scored, tuple[str, ...]]:
    """The best reading of those that depart from nothing, and a doubt if another beats it."""
    stated = [s for s in scored if not s.network.against]
    best = _fewest_heads(_best(stated), stated)
    others = [s for s in scored if s.network.against]
    rival = _best(others) if others else None
    if rival is None or not _is_clearly_better(rival, best) or _is_chance(rival, best):
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


def _is_chance(rival: _Scored, best: _Scored) -> bool:
    """Whether of many readings one may be right on that many pairs more by chance."""
    rate = rival.best.judged
    spread = math.sqrt(rate * (1 - rate) / rival.n_pairs)
    is_surer = rival.fit.loss < best.fit.loss / 4
    return not is_surer and rate - best.best.judged < SPREADS_OF_CHANCE * spread


def _best(scored: Sequence[_Scored]) -> _Scored:
    """The most credible, among those that something explains if there are any."""
    explained = [s for s in scored if s.best.judged >= CLAIMED_FROM] or list(scored)
    return explained[best_first([s.fit for s in explained])[0]]


def _fewest_heads(best: _Scored, scored: Sequence[_Scored]) -> _Scored:
    mine = _without_heads(best)
    alike = [s for s in scored if _without_heads(s) == mine and not _is_clearly_better(best, s)]
    return min(alike, key=lambda s: getattr(s.network.spec, "n_heads", 0))


def _without_heads(scored: _Scored) -> dict[str, object]:
    chosen = choices_of(scored.network)
    return {name: chosen[name] for name in chosen if name not in ("n_heads", "d_head")}


def _is_clearly_better(one: _Scored, than: _Scored) -> bool:
    if one.best.judged > than.best.judged + CLEARLY:
        return True
    return (
        one.best.judged > than.best.judged - CLEARLY
        and one.fit.loss < than.fit.loss / 4
        and not than.fit.is_nearly_all
    )


def _task(
    chosen: _Scored, given: Task | None, said: str | None, trained: np.ndarray | None
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
        return found.task, said_words, _doubt_of_said(chosen, found, said, trained)
    raise CheckpointError(
        f"the answers fit no operation modulo {p} and no group ({table}). Name the task: "
        "task=gi.TaskSpec(...), or --task.operation; see docs/importing.md."
    )


def _otherwise_explained(
    scored: Sequence[_Scored], given: Task
) -> tuple[_Scored, tuple[str, ...]] | None:
    """A reading that another task than the given one explains, with that as a doubt."""
    found: list[tuple[_Scored, Explanation]] = []
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


def _doubt_of_said(
    chosen: _Scored, found: Explanation, said: str, trained: np.ndarray | None
) -> tuple[str, ...]:
    """Doubt an operation that is only said, unless the network is as unsure as a guesser."""
    if trained is not None or chosen.fit.mean_loss < 1.1 * math.log(found.task.n_classes):
        return ()
    return (
        f"The operation is said to be {said}, but only {found.accuracy:.1%} of all pairs are right "
        "and no known operation explains the others: name the task if it is another one.",
    )


def _doubt_of_given(chosen: _Scored, given: Task, trained: np.ndarray | None) -> tuple[str, ...]:
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


def _judge_given(chosen: _Scored, given: Task, right: str) -> tuple[Task, str]:
    """The given task, or its group with the elements renamed, and how well it is done."""
    best = chosen.best
    said = f"The task was given: {best.task.spec.in_words}; the network is {right}."
    if best.task is not given:
        said = (
            f"The task was given, {given.spec.in_words}, and the network does it with its elements "
            f"in another order: it is {right}."
        )
    return best.task, said


def _about_rivals(chosen: _Scored, scored: Sequence[_Scored], candidates: Sequence[Network]) -> str:
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

    def differs(other: _Scored) -> str:
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


def _are_close(one: _Scored, other: _Scored) -> bool:
    lowest, highest = sorted([one.fit.mean_loss, other.fit.mean_loss])
    return highest <= lowest * CLOSE
