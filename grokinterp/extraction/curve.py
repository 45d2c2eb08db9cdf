"""Closed forms along a run, and when one describes the network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from grokinterp.circuits import KeyFrequencies, find_key_frequencies, take_snapshot
from grokinterp.errors import ConfigError
from grokinterp.extraction.closed_form import ClosedForm
from grokinterp.extraction.extraction import N_SHUFFLED, Level, extract
from grokinterp.fields import checked, shown
from grokinterp.runs.run import Run

EXISTS_FROM = 0.5
"""Share of the variance of the network's logits above which a formula describes the network."""


def extraction_curve(
    run: Run,
    key_frequencies: KeyFrequencies | None = None,
    *,
    levels: Sequence[Level] = (1, 2),
    every: int = 1,
    n_shuffled: int = N_SHUFFLED,
    progress: Any = None,
) -> pd.DataFrame:
    """Extract a closed form at every checkpoint, with the same frequencies.

    Parameters
    ----------
    run
        A run with checkpoints of a task with a group view.
    key_frequencies
        What the formulas may use. None: those of the last checkpoint, which is a look ahead.
    levels
        Levels to extract.
    every
        Take every k-th checkpoint; the last is always taken.
    n_shuffled
        Draws of shuffled phases.
    progress
        Wraps the steps to show progress, such as ``tqdm``.

    Returns
    -------
    DataFrame
        A row per checkpoint and level: ``step`` and the columns of :func:`scores_of`. A
        checkpoint at which no neuron is of a key frequency has no row of level two.

    Raises
    ------
    ConfigError
        If an argument is of the wrong type, there are no key frequencies, or a level cannot be
        extracted from this kind of network.

    Examples
    --------
    >>> curve = gi.extraction_curve(run, levels=[1], every=100)
    >>> curve[["step", "level", "network_accuracy"]].round(1)
       step  level  network_accuracy
    0     0      1               0.0
    1   800      1               1.0
    """
    checked("run", run, Run, "Load it first: gi.load_run(folder).")
    checked("key_frequencies", key_frequencies, KeyFrequencies | None)
    if checked("every", every, int) < 1:
        raise ConfigError(f"every={every} is not allowed. Use 1 for every checkpoint.")
    if isinstance(levels, str) or not isinstance(levels, Iterable):
        raise ConfigError(
            f"levels={shown(levels)} is of the wrong type. It takes a list, such as [1, 2]."
        )
    last = take_snapshot(run)
    keys = key_frequencies or find_key_frequencies(last)
    for level in levels:
        # Whatever cannot be extracted anywhere is said before anything is computed.
        extract(last, keys, level=level, n_shuffled=0)
    steps: Iterable[int] = sorted({*run.steps[::every], run.last_step})
    return extraction_curve_at(
        run,
        steps if progress is None else progress(steps),
        keys,
        levels=levels,
        n_shuffled=n_shuffled,
    )


def extraction_curve_at(
    run: Run,
    steps: Iterable[int],
    key_frequencies: KeyFrequencies,
    *,
    levels: Sequence[Level],
    n_shuffled: int,
) -> pd.DataFrame:
    """Extract at some checkpoints; see :func:`extraction_curve`, which checks its arguments."""
    rows = []
    for step in steps:
        snapshot = take_snapshot(run, step)
        for level in levels:
            try:
                form = extract(snapshot, key_frequencies, level=level, n_shuffled=n_shuffled)
            except ConfigError:
                continue  # the last checkpoint has such a form, and this one no such neuron
            rows.append({"step": step, **scores_of(form)})
    return pd.DataFrame(rows)


def scores_of(form: ClosedForm) -> dict[str, float | int | str]:
    """How well a closed form does, as a row of a table.

    Returns
    -------
    dict
        ``level``, ``formula`` in words, ``accuracy``, ``test_accuracy``, ``loss``,
        ``network_accuracy``, ``network_loss``, ``agreement``, ``agreement_right``,
        ``agreement_wrong``, ``variance_explained``, ``n_parameters``,
        ``fraction_of_parameters``, ``fitted_on`` (``weights`` if numbers were read off them), and
        of the draws of shuffled phases ``shuffled_accuracy``, the mean, and ``shuffled_loss``,
        the smallest. Losses are in nats.
    """
    return {
        "level": form.level,
        "formula": form.formula.in_words,
        "accuracy": form.accuracy,
        "test_accuracy": form.test_accuracy,
        "loss": form.loss,
        "network_accuracy": form.network_accuracy,
        "network_loss": form.network_loss,
        "agreement": form.agreement.all,
        "agreement_right": form.agreement.right,
        "agreement_wrong": form.agreement.wrong,
        "variance_explained": form.variance_explained,
        "n_parameters": form.n_parameters,
        "fraction_of_parameters": form.fraction_of_parameters,
        "fitted_on": form.fitted_on or "weights",
        "shuffled_accuracy": form.shuffled.mean_accuracy,
        "shuffled_loss": form.shuffled.smallest_loss,
    }


def exists_from(curve: pd.DataFrame, level: Level) -> int | None:
    """Step from which a formula describes the network, to the end of the curve.

    It explains more than half of the variance of the network's logits from there on. Accuracy is
    not asked for: it can be had without the network (see :func:`~grokinterp.extract`).

    Returns
    -------
    int or None
        None if it does not at the last checkpoint.

    Examples
    --------
    >>> table = pd.DataFrame({"step": [0, 5, 9], "level": 1, "variance_explained": [0.6, 0.1, 0.7]})
    >>> exists_from(table, 1), exists_from(table[:2], 1)
    (9, None)
    """
    of_level = curve.loc[curve["level"] == level, ["step", "variance_explained"]]
    found = None
    for step, share in sorted(of_level.itertuples(index=False, name=None)):
        found = (int(step) if found is None else found) if share > EXISTS_FROM else None
    return found
