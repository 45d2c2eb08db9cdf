"""The group of a task whose operation is ``group``: by name, or by a Cayley table."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from grokinterp.errors import ConfigError
from grokinterp.fields import checked, shown
from grokinterp.groups import canonical_name, check_cayley_table, named_group
from grokinterp.groups.named import order_of_name
from grokinterp.tasks.answer_table import AnswerTable
from grokinterp.tasks.group_view import view_of_table
from grokinterp.tasks.operations import Operation


def table_of_group(name: Any, table: Any) -> tuple[str | None, AnswerTable | None]:
    """Return the canonical name and the checked Cayley table of what a spec was given.

    Raises
    ------
    ConfigError
        If neither is given, the name is not known, the table is not that of a group, or it is
        that of another one.

    Examples
    --------
    >>> table_of_group("D59", None)
    ('dihedral(59)', None)
    """
    checked("group", name, str | None)
    if name is None and table is None:
        raise ConfigError(
            "operation=group needs group or group_table, and neither is given. Give a name, such "
            "as group=dihedral(59), or a Cayley table of shape (n, n)."
        )
    name = None if name is None else canonical_name(name)
    if table is None:
        return name, None
    table = AnswerTable.of(table, "group_table")
    _check_table(table, name)
    return name, table


def order_of_group(name: str | None, table: AnswerTable | None) -> int:
    """Return the number of elements, without making a table of products."""
    return table.n_tokens if table is not None else order_of_name(name or "")


def group_operation(name: str | None, table: AnswerTable | None) -> Operation:
    """Return the product in a group as an operation.

    Examples
    --------
    >>> group_operation("dihedral(4)", None).words
    'multiplication in dihedral(4)'
    """
    return _operation(name, table)


@lru_cache(maxsize=32)
def _operation(name: str | None, table: AnswerTable | None) -> Operation:
    if table is None:
        group = named_group(name or "")
        products, is_abelian, words = group.products, group.is_abelian, group.name
    else:
        view = view_of_table(table.entries, _rows(table.n_tokens), name or "")
        assert view is not None  # the table was checked where the spec was made
        products, is_abelian, words = table.entries, table.is_commutative, view.in_words
        if len(words.split()) > 3 and not (view.group and view.group.name):
            words = f"{words} (Cayley table {table.sha256[:4]}…)"
    return Operation(
        "group",
        "·",
        "ab",
        f"multiplication in {words}",
        is_abelian,
        lambda a, b, p: products[a, b].astype(np.int64),
        "named",
    )


@lru_cache(maxsize=32)
def _check_table(table: AnswerTable, name: str | None) -> None:
    check_cayley_table(table.entries)
    if name is not None:
        if order_of_name(name) != table.n_tokens:
            raise ConfigError(
                f"group={shown(name)} has {order_of_name(name)} elements, group_table has "
                f"{table.n_tokens}. Leave one of them out."
            )
        view_of_table(table.entries, _rows(table.n_tokens), name)


def _rows(n: int) -> np.ndarray:
    return np.arange(n * n).reshape(n, n)
