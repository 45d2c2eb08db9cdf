"""Networks that other people trained: one module per format, in the order they are tried."""

from grokinterp.runs.importers import (
    chughtai2023,
    grokking_demo,
    nanda2023,
    other_names,
    state_dicts,
    transformer_lens,
    zhong2023,
)
from grokinterp.runs.importers.foreign_files import ForeignPath, Importer

IMPORTERS: tuple[Importer, ...] = (
    chughtai2023.IMPORTER,
    zhong2023.IMPORTER,
    grokking_demo.IMPORTER,
    nanda2023.IMPORTER,
    transformer_lens.IMPORTER,
    state_dicts.IMPORTER,
    other_names.IMPORTER,
)
"""A new format is one module and one line; the first that has no objection reads the path."""

__all__ = ["IMPORTERS", "ForeignPath", "Importer"]
