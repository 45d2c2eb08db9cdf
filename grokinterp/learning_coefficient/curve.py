"""The local learning coefficient along a run, with the same settings at every checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pandas as pd

from grokinterp.circuits import take_snapshot
from grokinterp.circuits.task_pairs import On
from grokinterp.errors import ConfigError
from grokinterp.fields import checked
from grokinterp.learning_coefficient.coefficient import LearningCoefficient
from grokinterp.learning_coefficient.local import LOCALIZATION, local_learning_coefficient
from grokinterp.models.loss import accuracy
from grokinterp.runs.run import Run


def learning_coefficient_curve(
    run: Run,
    *,
    n_beta: int | float,
    step_size: int | float,
    localization: int | float = LOCALIZATION,
    on: On = "train",
    batch_size: int | None = None,
    n_chains: int = 4,
    n_burn_in: int = 500,
    n_draws: int = 500,
    largest_r_hat: int | float = 1.1,
    seed: int = 0,
    every: int = 1,
    progress: Any = None,
) -> pd.DataFrame:
    """Estimate the local learning coefficient at every checkpoint.

    Estimates with other settings are other quantities, so all checkpoints have the same. No
    plateau is asked for: find one first, with :func:`~grokinterp.local_learning_coefficient`.

    Parameters
    ----------
    run
        A run whose weights are known.
    n_beta, step_size, localization, on, batch_size, n_chains, n_burn_in, n_draws, seed
        As in :func:`~grokinterp.local_learning_coefficient`.
    largest_r_hat
        R-hat above which a checkpoint has no value.
    every
        Take every k-th checkpoint; the last is always taken.
    progress
        Wraps the steps to show progress, such as ``tqdm``.

    Returns
    -------
    DataFrame
        A row per checkpoint: ``step``; ``value``, NaN where there is none, and then the
        ``reason``; ``estimate``, the number all the same; ``standard_error``, ``r_hat``,
        ``effective_sample_size``, ``acceptance``, ``distance``; ``loss`` in nats over the pairs
        `on` and ``test_accuracy``; ``n_beta``, ``step_size``, ``localization``, ``on``.

    Raises
    ------
    ConfigError
        If an argument is of the wrong type or out of range, or the weights are not known.

    Notes
    -----
    It costs ``n_chains * (n_burn_in + n_draws)`` gradients per checkpoint: 4,000 as it stands,
    about as many as training the run took steps.

    Examples
    --------
    >>> curve = gi.learning_coefficient_curve(
    ...     run, n_beta=2, step_size=1e-3, n_burn_in=20, n_draws=20, every=4
    ... )
    >>> curve[["step", "on", "n_beta"]]
       step     on  n_beta
    0     0  train     2.0
    1     8  train     2.0
    2   100  train     2.0
    3   500  train     2.0
    4   800  train     2.0
    """
    checked("run", run, Run, "Load it first: gi.load_run(folder).")
    if checked("every", every, int) < 1:
        raise ConfigError(f"every={every} is not allowed. Use 1 for every checkpoint.")
    steps: Iterable[int] = sorted({*run.steps[::every], run.last_step})
    rows = []
    for step in steps if progress is None else progress(steps):
        snapshot = take_snapshot(run, step)
        found = local_learning_coefficient(
            snapshot,
            n_betas=[n_beta],
            step_sizes=[step_size],
            localization=localization,
            on=on,
            batch_size=batch_size,
            n_chains=n_chains,
            n_burn_in=n_burn_in,
            n_draws=n_draws,
            largest_r_hat=largest_r_hat,
            seed=seed,
        )
        is_test = snapshot.pair_mask("test")
        of_test = accuracy(snapshot.logits[is_test], snapshot.labels[is_test])
        rows.append({"step": step, **_numbers(found), "test_accuracy": of_test, "on": on})
    return pd.DataFrame(rows)


def _numbers(found: LearningCoefficient) -> dict[str, float | str]:
    """One estimate as a row."""
    tried = found.plateau.iloc[0]
    return {
        "value": math.nan if found.value is None else found.value,
        "reason": found.reason or "",
        "estimate": found.estimate,
        "standard_error": found.standard_error,
        "r_hat": found.r_hat,
        "effective_sample_size": found.effective_sample_size,
        "acceptance": float(tried.acceptance),
        "distance": float(tried.distance),
        "loss": found.loss,
        "n_beta": found.settings.n_beta,
        "step_size": found.settings.step_size,
        "localization": found.settings.localization,
    }
