"""The last checkpoint: its key frequencies, its circuit, its ablations, its neurons."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache as once

import pandas as pd

from grokinterp.certificates.certify import WHOLE_ROWS, certificate_table
from grokinterp.circuits import (
    KeyFrequencies,
    Snapshot,
    ablation_table,
    circuit_table,
    find_key_frequencies,
    neuron_table,
    take_snapshot,
)
from grokinterp.circuits.ablations import full_network
from grokinterp.circuits.components import SITES
from grokinterp.circuits.evidence import CIRCUIT_COLUMNS
from grokinterp.circuits.mode_families import mode_tables
from grokinterp.errors import CheckpointError
from grokinterp.extraction.closed_form import ClosedForm
from grokinterp.extraction.tables import WHOLE_TERMS, closed_forms, scores_table, terms_table
from grokinterp.runs.run import Run
from grokinterp.trajectory.cache import NumberCache, cache_key, remembered_table

TABLES_VERSION = 3
"""Raised whenever the numbers of one of these tables change."""
_WHOLE_NUMBERS = ("frequency", "head", "coset_index", "approximate_coset_step")


@dataclass(frozen=True, eq=False)
class CheckpointTables:
    """Tables of one checkpoint."""

    ablations: pd.DataFrame
    """Rows of ablations.csv."""
    circuit: pd.DataFrame
    """Rows of circuit.csv; empty without key frequencies of a cyclic task."""
    neurons: pd.DataFrame
    """Rows of neurons.csv; empty where they were not asked for."""
    closed_form: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows of closed_form.csv; empty without key frequencies, or where they were not asked for."""
    closed_form_terms: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows of closed_form_terms.csv; empty where those of closed_form.csv are."""
    certificate: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows of certificate.csv; empty where those of closed_form.csv are."""
    mode_families: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows of two_dimensional_modes.csv; empty where the task has no view of a group, or where they
    were not asked for."""
    mode_spectrum: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Rows of two_dimensional_spectrum.csv; empty where those of two_dimensional_modes.csv are."""


def last_readable(run: Run, failures: dict[str, str]) -> Snapshot:
    """Take a snapshot of the last checkpoint that can be read.

    Parameters
    ----------
    run
        With at least one checkpoint.
    failures
        Takes up the checkpoints after it, by name, each with what is wrong with it.

    Raises
    ------
    CheckpointError
        If no checkpoint can be read.
    """
    run.resolve_step(None)
    for step in reversed(run.steps):
        try:
            return take_snapshot(run, step)
        except CheckpointError as error:
            failures[run.checkpoints.name(step)] = str(error)
    raise CheckpointError(
        f"none of the {len(run.steps)} checkpoints can be read. The first: "
        f"{next(iter(failures.values()))}"
    )


def choose_key_frequencies(last: Snapshot, given: Iterable[int | str] | None) -> KeyFrequencies:
    """Return the key frequencies of a snapshot, or those that were given, with its evidence.

    Raises
    ------
    ConfigError
        If one that was given does not exist in the group of the task.
    """
    found = find_key_frequencies(last)
    if given is None:
        return found
    # The evidence of the rule stays beside a set that was given, so that both can be compared.
    override = KeyFrequencies.given_for(last.require_view(), tuple(given))
    evidence = found.evidence
    if evidence is not None:
        is_key = [k + 1 in override.frequencies for k in range(len(evidence))]
        evidence = evidence.assign(is_key=is_key)
    n_permutations = found.n_permutations
    return replace(override, step=last.step, evidence=evidence, n_permutations=n_permutations)


def look_into(
    snapshot: Snapshot, key_frequencies: KeyFrequencies, cache: NumberCache, *, deep: bool
) -> CheckpointTables:
    """Make the tables of one checkpoint, or remember them.

    Parameters
    ----------
    snapshot
        Usually of the last checkpoint.
    key_frequencies
        What distinguishes the circuits.
    cache
        Where tables of these weights may be known already.
    deep
        Everything; otherwise only the ablations of the logits, which cost least.
    """
    keys = key_frequencies.frequencies

    def remembered(name: str, make: Callable[[], pd.DataFrame], *needed: str) -> pd.DataFrame:
        key = cache_key(name, TABLES_VERSION, keys)
        return remembered_table(cache, snapshot.checksum, key, make, needed, _WHOLE_NUMBERS)

    if not deep:
        at_logits = ablation_table(snapshot, key_frequencies)
        return CheckpointTables(at_logits, pd.DataFrame(), pd.DataFrame())

    @once
    def forms() -> list[ClosedForm]:
        return closed_forms(snapshot.without_cache(), key_frequencies)

    @once
    def families() -> tuple[pd.DataFrame, pd.DataFrame]:
        return mode_tables(snapshot.without_cache(), key_frequencies)

    # Without key frequencies there are no columns, and nothing that takes time to find that again.
    terms = remembered("closed_form_terms", lambda: terms_table(forms()), "level")
    proofs = remembered("certificate", lambda: certificate_table(forms()), "strategy")
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
        pd.DataFrame()
        if not snapshot.has("neurons")
        else remembered(
            "neurons",
            lambda: neuron_table(snapshot.without_cache()),
            "neuron",
            *(("loss_zero", "loss_mean") if snapshot.has("readout") else ()),
        ),
        remembered("closed_form", lambda: scores_table(forms()), "level", "accuracy"),
        terms.astype({name: "Int64" for name in WHOLE_TERMS if name in terms}),
        proofs.astype({name: "Int64" for name in WHOLE_ROWS if name in proofs}),
        remembered("mode_families", lambda: families()[0], "part", "share_by_chance"),
        remembered("mode_spectrum", lambda: families()[1], "part", "share"),
    )
