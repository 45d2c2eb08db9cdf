"""What every single frequency does in the network: the rows of by_frequency.csv."""

from __future__ import annotations

import pandas as pd

from grokinterp.circuits.key_frequencies import (
    embedding_norms,
    logit_power_shares,
    neurons_by_frequency,
)
from grokinterp.circuits.memorization import excluded_losses_by_frequency
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.circuits.trigonometric import logit_coefficients
from grokinterp.tasks import Split

BY_FREQUENCY_VERSION = 1
"""Raised whenever the numbers of :func:`by_frequency_table` change."""

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


def by_frequency_columns(split: Split) -> tuple[str, ...]:
    """Columns of :func:`by_frequency_table`: without a split there is none of training pairs."""
    return tuple(c for c in BY_FREQUENCY_COLUMNS if split.is_known or c != "excluded_loss_train")


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
    >>> table = by_frequency_table(gi.take_snapshot(gi.load_run("ckpts/")))  # doctest: +SKIP
    >>> table.nlargest(5, "logit_power_share")  # doctest: +SKIP
    """
    columns = list(by_frequency_columns(snapshot.split))
    if snapshot.view is None:
        return pd.DataFrame(columns=pd.Index(columns))
    excluded = excluded_losses_by_frequency(snapshot)
    values = {
        "step": snapshot.step,
        "frequency": range(1, snapshot.view.n_frequencies + 1),
        "embedding_norm": embedding_norms(snapshot).numpy(),
        "n_neurons": neurons_by_frequency(snapshot).numpy(),
        "logit_power_share": logit_power_shares(snapshot).numpy(),
        "logit_coefficient": logit_coefficients(snapshot).numpy(),
        "excluded_loss_all": excluded["all"].numpy(),
        "excluded_loss_train": excluded["train"].numpy(),
    }
    return pd.DataFrame({name: values[name] for name in columns})
