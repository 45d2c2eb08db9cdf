"""Finite groups: by name or from a Cayley table, which of them a table is, and their characters."""

from grokinterp.groups.cayley import (
    TableAsGroup,
    check_cayley_table,
    is_latin_square,
    table_as_group,
)
from grokinterp.groups.characters import CharacterTable, character_table
from grokinterp.groups.finite_group import FiniteGroup, inverses
from grokinterp.groups.isomorphism import isomorphism, known_name
from grokinterp.groups.named import canonical_name, named_group
from grokinterp.groups.nearest import nearest_group_table
from grokinterp.groups.permutations import compose, composition_table, permutations
from grokinterp.groups.real_characters import (
    RealCharacter,
    RepresentationType,
    real_characters,
)
from grokinterp.groups.subgroups import SubgroupClass, subgroup_classes, why_no_subgroups

__all__ = [
    "CharacterTable",
    "FiniteGroup",
    "RealCharacter",
    "RepresentationType",
    "SubgroupClass",
    "TableAsGroup",
    "canonical_name",
    "character_table",
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
    "real_characters",
    "subgroup_classes",
    "table_as_group",
    "why_no_subgroups",
]
