"""What a spectrum runs over: the frequencies of Z_n, or the representations of a group."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from grokinterp.trajectory.analysis import Analysis

_MAX_IN_OWN_ORDER = 8
"""Representations that are colored in the order of the table."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """The table with one row per checkpoint and component, and the words for a component."""

    table: pd.DataFrame
    """Rows of by_frequency.csv, or of by_representation.csv."""
    noun: str
    """``frequency`` or ``representation``: also the column that names the component, by its
    number or by its name."""
    plural: str
    """``frequencies`` or ``representations``."""
    keys: tuple[int, ...] | tuple[str, ...]
    """Key components, as that column names them."""
    waves: str
    """What the logits are explained by: ``cosines`` or ``characters``."""
    wave: str
    """One of them in HTML, as a function of the pair and the class."""
    colored: tuple[int, ...] | tuple[str, ...]
    """What has a color of its own, in the order of the colors: the key frequencies, or all
    representations, the key ones first where there are many."""


def spectrum_of(analysis: Analysis) -> Spectrum:
    """Return the spectrum that an analysis has: by representation unless its group is cyclic.

    Examples
    --------
    >>> spectrum_of(analysis).plural
    'frequencies'
    """
    keys = analysis.key_frequencies
    if analysis.run.task.has_representations:
        table = analysis.by_representation
        names = dict.fromkeys(table["representation"] if "representation" in table else ())
        if len(names) > _MAX_IN_OWN_ORDER:
            # Colors repeat after some, so those of the key ones come first.
            names = dict.fromkeys([*(keys.names or ()), *names])
        return Spectrum(
            table,
            "representation",
            "representations",
            keys.names or (),
            "characters",
            "χ<sub>ρ</sub>(abc<sup>−1</sup>)",
            tuple(names),
        )
    return Spectrum(
        analysis.by_frequency,
        "frequency",
        "frequencies",
        keys.frequencies,
        "cosines",
        "cos w<sub>k</sub>(a+b−c)",
        keys.frequencies,
    )
