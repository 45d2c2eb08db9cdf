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
from grokinterp.groups.permutations import compose, composition_table, permutations
from grokinterp.groups.subgroups import SubgroupClass, subgroup_classes, why_no_subgroups

__all__ = [
    "FiniteGroup",
    "SubgroupClass",
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
    "permutations",
    "subgroup_classes",
    "table_as_group",
    "why_no_subgroups",
]
