"""What is looked into at one checkpoint alone: the circuit, its ablations, its neurons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from grokinterp.circuits import (
    KeyFrequencies,
    Snapshot,
    ablation_table,
    circuit_table,
    neuron_table,
)
from grokinterp.circuits.ablations import full_network
from grokinterp.circuits.components import SITES
from grokinterp.circuits.evidence import CIRCUIT_COLUMNS
from grokinterp.trajectory.cache import NumberCache, cache_key

TABLES_VERSION = 1
"""Raised whenever the numbers of one of these tables change."""
_WHOLE_NUMBERS = ("frequency", "head")


@dataclass(frozen=True, eq=False)
class CheckpointTables:
    """Tables of one checkpoint."""

    ablations: pd.DataFrame
    """Rows of ablations.csv."""
    circuit: pd.DataFrame
    """Rows of circuit.csv; empty without key frequencies of a cyclic task."""
    neurons: pd.DataFrame
    """Rows of neurons.csv; empty where they were not asked for."""


def look_into(
    snapshot: Snapshot, key_frequencies: KeyFrequencies, cache: NumberCache, *, deep: bool
) -> CheckpointTables:
    """Make the tables of one checkpoint, or remember them.

    Parameters
    ----------
    snapshot
        Usually of the last checkpoint.
    key_frequencies
        What tells the circuits apart.
    cache
        Where tables of these weights may be known already.
    deep
        Everything; otherwise only the ablations of the logits, which cost least.
    """
    keys = key_frequencies.frequencies

    def remembered(name: str, make: Callable[[], pd.DataFrame], *needed: str) -> pd.DataFrame:
        key = cache_key(name, TABLES_VERSION, keys)
        known = cache.find(snapshot.checksum, key) if snapshot.checksum else None
        if known is not None and set(needed) <= set(known):
            table = pd.DataFrame(known)
            unknown = {str(c): "float64" for c in table if bool(table[c].isna().all())}
            return table.astype(unknown | {c: "Int64" for c in _WHOLE_NUMBERS if c in table})
        table = make()
        if snapshot.checksum:
            cells = table.astype(object).where(table.notna(), None)
            cache.keep(snapshot.checksum, key, cells.to_dict(orient="list"))
        return table

    if not deep:
        at_logits = ablation_table(snapshot, key_frequencies)
        return CheckpointTables(at_logits, pd.DataFrame(), pd.DataFrame())
    return CheckpointTables(
        remembered(
            "ablations",
            lambda: ablation_table(snapshot.without_cache(), key_frequencies, at=SITES),
            *full_network(snapshot.without_cache()).to_row(),
        ),
        remembered(
            "circuit",
            lambda: circuit_table(snapshot.without_cache(), key_frequencies),
            *CIRCUIT_COLUMNS,
        ),
        remembered(
            "neurons",
            lambda: neuron_table(snapshot.without_cache()),
            "neuron",
            "loss_zero",
            "loss_mean",
        ),
    )
