"""The closed forms of one checkpoint as tables: how well each does, and what it is made of."""

from __future__ import annotations

import pandas as pd

from grokinterp.circuits import KeyFrequencies, Snapshot
from grokinterp.circuits.ablations import MOST_LOGITS
from grokinterp.errors import ConfigError
from grokinterp.extraction.closed_form import ClosedForm
from grokinterp.extraction.curve import scores_of
from grokinterp.extraction.extraction import LEVELS, extract


def closed_forms(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> list[ClosedForm]:
    """Extract every level that can be extracted, in order.

    None without key frequencies, and none of more than
    :data:`~grokinterp.circuits.ablations.MOST_LOGITS` logits, as in S_6.

    Examples
    --------
    >>> [form.level for form in closed_forms(snapshot, keys)]
    [1, 2]
    """
    forms = []
    if snapshot.logits.numel() > MOST_LOGITS:
        return forms
    for level in LEVELS:
        try:
            forms.append(extract(snapshot, key_frequencies, level=level))
        except ConfigError:
            continue
    return forms


def scores_table(forms: list[ClosedForm]) -> pd.DataFrame:
    """A row per closed form, with the columns of :func:`~grokinterp.extraction.scores_of`."""
    return pd.DataFrame([scores_of(form) for form in forms])


def terms_table(forms: list[ClosedForm]) -> pd.DataFrame:
    """A row per term of every closed form: ``level``, and the columns of ``ClosedForm.table``.

    Columns that a level does not have are empty in its rows.

    Examples
    --------
    >>> table = terms_table(closed_forms(snapshot, keys))
    >>> table.loc[table.level == 1, ["frequency", "amplitude"]]
       frequency  amplitude
    0          2        ...
    1          3        ...
    """
    tables = [form.table.assign(level=form.level) for form in forms]
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    whole = {name: "Int64" for name in WHOLE_TERMS if name in table}
    columns = ["level", *(name for name in table if name != "level")]
    return table.reindex(columns=columns).astype(whole)


WHOLE_TERMS = ("neuron", "frequency", "dimension")
"""Columns of :func:`terms_table` that hold whole numbers."""
