"""What every single frequency, or representation, does in the network.

The rows of by_frequency.csv and of by_representation.csv.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from grokinterp.circuits.key_frequencies import (
    embedding_norms,
    logit_power_shares,
    neurons_by_frequency,
)
from grokinterp.circuits.logit_coefficients import logit_coefficients
from grokinterp.circuits.memorization import excluded_losses_by_frequency
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.circuits.task_pairs import has_frequencies
from grokinterp.models.network_parts import PartName
from grokinterp.tasks import Split

BY_FREQUENCY_VERSION = 1
"""Raised whenever the numbers of one of the two tables change."""

BY_FREQUENCY_COLUMNS = (
    "step",
    "frequency",
    "embedding_norm",
    "n_neurons",
    "logit_power_share",
    "logit_coefficient",
    "excluded_loss_all",
    "excluded_loss_train",
)


def by_frequency_columns(split: Split, missing: Collection[PartName] = ()) -> tuple[str, ...]:
    """Columns of :func:`by_frequency_table`.

    None of training pairs where the split is not known, nor of a part that is missing.
    """
    absent = {column for column, part in PART_OF_COLUMNS.items() if part in missing}
    if not split.is_known:
        absent.add("excluded_loss_train")
    return tuple(column for column in BY_FREQUENCY_COLUMNS if column not in absent)


REPRESENTATION_COLUMNS = ("representation", "dimension", "type")
"""Columns that say which representation a row is of."""


def by_representation_columns(split: Split, missing: Collection[PartName] = ()) -> tuple[str, ...]:
    """Columns of :func:`by_representation_table`, likewise."""
    return ("step", *REPRESENTATION_COLUMNS, *by_frequency_columns(split, missing)[2:])


PART_OF_COLUMNS: dict[str, PartName] = {"embedding_norm": "operands", "n_neurons": "neurons"}
"""Part of a network without which a column of the two tables is absent."""


def by_frequency_table(snapshot: Snapshot) -> pd.DataFrame:
    r"""One row for every frequency 1 .. n//2, key or not.

    Needs no key frequencies, so it shows a run whose circuit has not been found yet.

    Returns
    -------
    DataFrame
        ``step``; ``frequency``; ``embedding_norm`` over cosine, sine and d_model in the
        orthonormal basis; ``n_neurons`` with over 85 % of their centered activation in this
        frequency; ``logit_power_share`` of the logits averaged by a+b; ``logit_coefficient``
        :math:`\alpha_k` of :math:`\cos w_k(a+b-c)`, in logits; ``excluded_loss_all`` and
        ``excluded_loss_train`` in nats, with the components of this one frequency removed
        from the logits, the latter only where the split is known. No rows for a task
        without a cyclic view.

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, sections 4 and 5; published code leaves out the highest
    frequency.

    Examples
    --------
    >>> import grokinterp as gi
    >>> table = by_frequency_table(gi.take_snapshot(gi.load_run("ckpts/")))
    >>> sorted(table.nlargest(2, "logit_power_share")["frequency"])
    [2, 3]
    """
    if not has_frequencies(snapshot.task):
        columns = by_frequency_columns(snapshot.split, snapshot.network.missing)
        return pd.DataFrame(columns=pd.Index(columns))
    numbers = range(1, snapshot.harmonics.n_components + 1)
    return pd.DataFrame({"step": snapshot.step, "frequency": numbers, **_columns(snapshot)})


def by_representation_table(snapshot: Snapshot) -> pd.DataFrame:
    r"""One row for every real irreducible representation but the trivial one, key or not.

    Returns
    -------
    DataFrame
        ``step``; ``representation``, its ``dimension`` and its ``type`` (``real``, ``complex`` or
        ``quaternionic``); ``embedding_norm`` in the orthonormal basis of its matrix
        elements; ``n_neurons`` with over 85 % of their centered activation in it;
        ``logit_power_share`` of the logits averaged by ab;
        ``logit_coefficient`` :math:`\alpha_\rho` of :math:`\chi_\rho(abc^{-1})`, in logits;
        ``excluded_loss_all`` and ``excluded_loss_train`` in nats, with :math:`\rho_{ij}(ab)`
        removed from the logits; the latter only where the split is known. No rows
        for a cyclic group.

    References
    ----------
    Chughtai et al., "A toy model of universality", ICML 2023, arXiv:2302.03025, section 5.

    Examples
    --------
    >>> import grokinterp as gi
    >>> table = by_representation_table(gi.take_snapshot(gi.load_run("runs/s3")))
    >>> table["representation"].tolist(), table["dimension"].tolist()
    (['standard', 'sign'], [2, 1])
    """
    if not snapshot.task.has_representations:
        columns = by_representation_columns(snapshot.split, snapshot.network.missing)
        return pd.DataFrame(columns=pd.Index(columns))
    harmonics = snapshot.harmonics
    known = (harmonics.names or (), harmonics.dimensions, harmonics.types)
    which = {c: part[1:] for c, part in zip(REPRESENTATION_COLUMNS, known, strict=True)}
    return pd.DataFrame({"step": snapshot.step, **which, **_columns(snapshot)})


def _columns(snapshot: Snapshot) -> dict[str, np.ndarray]:
    excluded = excluded_losses_by_frequency(snapshot)
    sides = ("all", "train") if snapshot.split.is_known else ("all",)
    of_parts = {}
    if snapshot.has("operands"):
        of_parts["embedding_norm"] = embedding_norms(snapshot).numpy()
    if snapshot.has("neurons"):
        of_parts["n_neurons"] = neurons_by_frequency(snapshot).numpy()
    return {
        **of_parts,
        "logit_power_share": logit_power_shares(snapshot).numpy(),
        "logit_coefficient": logit_coefficients(snapshot).numpy(),
        **{f"excluded_loss_{on}": excluded[on].numpy() for on in sides},
    }
