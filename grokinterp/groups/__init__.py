"""Finite groups: by name or from a Cayley table, and which of them a table is."""

from grokinterp.groups.cayley import (
    TableAsGroup,
    check_cayley_table,
    is_latin_square,
    table_as_group,
)
from grokinterp.groups.finite_group import FiniteGroup, inverses
from grokinterp.groups.isomorphism import isomorphism, known_name
from grokinterp.groups.named import canonical_name, named_group
from grokinterp.groups.nearest import nearest_group_table
from grokinterp.groups.permutations import compose, composition_table, permutations

__all__ = [
    "FiniteGroup",
    "TableAsGroup",
    "canonical_name",
    "check_cayley_table",
    "compose",
    "composition_table",
    "inverses",
    "is_latin_square",
    "isomorphism",
    "known_name",
    "named_group",
    "nearest_group_table",
    "permutations",
    "table_as_group",
]
