"""Which tasks explain a table of answers: operations modulo p, and groups in any order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.groups import (
    isomorphism,
    known_name,
    named_group,
    nearest_group_table,
    table_as_group,
)
from grokinterp.groups.cayley import identity_of
from grokinterp.groups.permutations import DEGREES
from grokinterp.tasks import OPERATIONS, Task, TaskSpec

CLAIMED_FROM = 0.9
"""Accuracy from which on an operation explains a network. Different tables of groups of an order
agree on at most eight ninths of their entries, unless one is the other with elements renamed."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """A task, and how far a network does it."""

    task: Task
    accuracy: float
    """Fraction of all pairs of the task that are answered correctly."""
    judged: float
    """The same of the pairs that count: those it was trained on where they are known."""

    @property
    def words(self) -> str:
        """``addition``, or ``multiplication in dihedral(5), ...`` with what was renamed."""
        spec = self.task.spec
        if spec.operation == "table" and self.task.group_view is not None:
            group = self.task.group_view.in_words
            return f"the table of {group} with its rows, columns or answers renamed"
        if spec.operation == "table":
            return spec.in_words
        if spec.cayley_table is not None:
            return f"{self.task.operation.words}, with its elements in an order of their own"
        return self.task.operation.words if spec.operation == "group" else spec.operation


def known_explanations(
    table: np.ndarray, trained: np.ndarray | None = None, said: str | None = None
) -> list[Explanation]:
    """Judge a table of answers by every operation on its tokens, the best first.

    Of operations that are right equally often the one that is said comes first, then the one
    that answers more pairs, then the first of the catalogue, which begins with addition.

    Parameters
    ----------
    table
        (p, p) answers.
    trained
        (p, p) whether a pair was trained on; None where that is not known.
    said
        Operation that the format or a stored config names.
    """
    found = [judged(table, task, trained) for task in known_tasks(len(table))]
    return sorted(found, key=lambda e: (-e.judged, e.task.spec.operation != said, -e.task.n_pairs))


def judged(table: np.ndarray, task: Task, trained: np.ndarray | None) -> Explanation:
    """How far a table of answers is that of a task."""
    a, b = task.pairs.T
    is_right = table[a, b] == task.labels
    counts = np.ones(len(a), dtype=bool) if trained is None else trained[a, b]
    counts = counts if counts.any() else np.ones(len(a), dtype=bool)
    return Explanation(task, float(is_right.mean()), float(is_right[counts].mean()))


@lru_cache(maxsize=4)
def known_tasks(p: int) -> tuple[Task, ...]:
    """Every operation on p tokens with p answers, those of permutations included."""
    return tuple(_known_tasks(p))


def _known_tasks(p: int) -> Iterator[Task]:
    degrees = {len(named_group(f"S{n}").products): n for n in DEGREES if n < 6}
    for name, operation in OPERATIONS.items():
        if operation.is_random or (operation.is_of_permutations and p not in degrees):
            continue
        fields = {"degree": degrees[p]} if operation.is_of_permutations else {"p": p}
        try:
            task = Task(TaskSpec(operation=name, **fields))  # pyright: ignore[reportArgumentType]
        except ConfigError:
            continue
        if task.n_classes == p and task.n_pairs:
            yield task


def group_explanation(table: np.ndarray, trained: np.ndarray | None) -> Explanation | None:
    """Judge a table of answers by the group that it nearly is; None if it is near none.

    The elements may be in any order. Where only rows, columns or answers on their own can be
    renamed to make a group, as in subtraction, the task is the table itself.
    """
    mended = nearest_group_table(table)
    if mended is None or (mended == table).mean() < CLAIMED_FROM / 2:
        return None
    found = table_as_group(mended)
    assert found is not None
    if identity_of(mended) is None:
        spec = TaskSpec(operation="table", labels=mended, n_answers=len(mended))
    else:
        name = known_name(found.group)
        is_natural = bool(name) and np.array_equal(named_group(name).products, mended)
        labels = None if is_natural else mended
        spec = TaskSpec(operation="group", group=name or None, group_table=labels)
    return judged(table, Task(spec), trained)


def renamed_explanation(
    table: np.ndarray, given: Task, trained: np.ndarray | None
) -> Explanation | None:
    """Judge a table of answers by the group of a given task, its elements in another order.

    Returns
    -------
    Explanation or None
        None if the given task has no group of all its tokens, or the table is near no group
        that is isomorphic to it.
    """
    view = given.group_view
    if view is None or view.n_left_out or view.order != len(table):
        return None
    if identity_of(given.labels.reshape(len(table), -1)) is None:
        return None
    mended = nearest_group_table(table)
    found = None if mended is None else table_as_group(mended)
    if mended is None or found is None or identity_of(mended) is None:
        return None
    group = view.group if view.group is not None else named_group(f"C{view.order}")
    if isomorphism(group, found.group) is None:
        return None
    spec = TaskSpec(
        operation="group",
        group=group.name or None,
        group_table=mended,
        train_fraction=given.spec.train_fraction,
    )
    return judged(table, Task(spec), trained)


def how_renamed(task: Task) -> str:
    """Say which isomorphism a task with its elements in an order of their own is read through."""
    view = task.group_view
    if task.spec.cayley_table is None or view is None:
        return ""
    tokens = ", ".join(map(str, view.class_tokens[:4].tolist()))
    rest = ", ..." if view.order > 4 else ""
    what = "frequencies" if view.is_cyclic else "representations"
    return (
        f" Its tokens are the elements of {view.in_words} through an isomorphism that takes the "
        f"elements 0, 1, 2, ... to the tokens {tokens}{rest}; another one, which differs by an "
        f"automorphism, may rename {what}."
    )
