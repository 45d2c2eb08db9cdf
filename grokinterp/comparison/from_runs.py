"""From runs, however they are given, to the table that puts them side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from grokinterp.comparison.comparison import Comparison, names_of
from grokinterp.errors import ConfigError
from grokinterp.runs.loading import load_run
from grokinterp.runs.run import Run
from grokinterp.trajectory.analysis import Analysis, analyze_run


def compare(
    runs: Sequence[Analysis | Run | str | Path],
    by: str | Sequence[str] | None = None,
    *,
    format: str | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> pd.DataFrame:
    """Put runs side by side in a table: what differs between them, and what came of it.

    Parameters
    ----------
    runs
        Analyses, runs, or paths of run folders and of other people's files. Whatever is no
        analysis yet is analyzed with the standard settings; numbers that were kept in its
        ``analysis/`` are used again.
    by
        Config fields that make a setting, such as ``"optimizer.weight_decay"`` (or only
        ``"weight_decay"``): their columns come first and the rows are in their order. None:
        all fields that differ, and the rows as they were given.
    format
        Of the paths, where it is not recognized; see :func:`grokinterp.load_run`.
    progress
        Wraps the steps of every analysis, such as ``tqdm``.

    Returns
    -------
    pandas.DataFrame
        One row per run, with a plain index:

        ``run``
            The shortest name that distinguishes it: the fields that differ, or its folder.
        the config fields that differ
            Under their dotted names; empty where a value is not known.
        ``outcome_kind``, ``memorization_step``, ``first_crossing_step``, ``grokking_step``, \
        ``grokking_delay``, ``transition_width``
            As in summary.json; steps are whole numbers of updates, or ``<NA>``.
        ``censored_at``
            For a run that never grokked, the last step that was seen: its grokking step, if
            it has one, lies above. Such runs are kept, and are not to be left out of means.
        ``key_frequencies``, ``key_representations``, ``algorithm``
            Tuples, and the verdict on the algorithm.
        ``train_loss`` ... ``effective_rank_W_E``
            Measures of the last checkpoint, those that some run has; losses in nats.
        ``n_checkpoints``, ``last_step``, ``folder``
            Checkpoints and updates of the run, and where it lies (None: in memory).

    Raises
    ------
    ConfigError
        If there is no run, the same run is there twice, something is no run, or no config has
        a field of `by`.
    RunFolderError, CheckpointError
        If a path cannot be read.

    Examples
    --------
    >>> import grokinterp as gi
    >>> table = gi.compare(["runs/wd0.5", "runs/wd1", "runs/wd2"])
    >>> table[["run", "grokking_step", "censored_at"]]
                    run  grokking_step  censored_at
    0  weight_decay=0.5           <NA>          800
    1    weight_decay=1            ...         <NA>
    2    weight_decay=2            ...         <NA>
    """
    compared = comparison_of(runs, by, format=format, progress=progress)
    return compared.table


def comparison_of(
    runs: Sequence[Analysis | Run | str | Path] | Comparison,
    by: str | Sequence[str] | None = None,
    *,
    format: str | None = None,
    progress: Callable[[Iterable[int]], Iterable[int]] | None = None,
) -> Comparison:
    """Return the table of :func:`compare` together with the analyses and what differs.

    Parameters and errors are those of :func:`compare`. With `by` the analyses stand in the
    order of its values. A comparison is returned as it is, or made anew with another `by`.
    """
    if isinstance(runs, Comparison):
        return runs if by is None else comparison_of(list(runs.analyses), by)
    if isinstance(runs, (str, Path, Run, Analysis)):
        raise ConfigError(
            f"a comparison takes a list of runs, and {type(runs).__name__} is a single one. Put "
            "it into a list with the others."
        )
    given = list(runs)
    if not given:
        raise ConfigError("there is no run to compare. Give analyses, runs or paths of folders.")
    for item in given:
        if not isinstance(item, (Analysis, Run, str, Path)):
            raise ConfigError(
                f"{type(item).__name__} is no run. Give analyses, runs or paths of run folders."
            )
    _refuse_twice([_place(item) for item in given])
    loaded = [
        item if isinstance(item, (Analysis, Run)) else load_run(item, format) for item in given
    ]
    # A path may lead to the folder of a run that was given beside it.
    _refuse_twice([_place(item) for item in loaded])
    analyses = [
        item if isinstance(item, Analysis) else analyze_run(item, deep=False, progress=progress)
        for item in loaded
    ]
    names = names_of([_path(a) or _path(b) for a, b in zip(given, loaded, strict=True)])
    fields = (by,) if isinstance(by, str) else None if by is None else tuple(by)
    compared = Comparison(tuple(analyses), names, fields)
    if by is None:
        return compared
    order = [position for group in compared.groups().values() for position in group]
    return Comparison(tuple(analyses[i] for i in order), tuple(names[i] for i in order), fields)


def _path(item: Any) -> Path | None:
    if isinstance(item, (str, Path)):
        return Path(item)
    return item.run.folder if isinstance(item, Analysis) else item.folder


def _place(item: Any) -> Any:
    """What two mentions of the same run have in common: its place on disk, or in memory."""
    path = _path(item)
    if path is not None:
        return path.resolve()
    return id(item.run if isinstance(item, Analysis) else item)


def _refuse_twice(places: Sequence[Any]) -> None:
    for position, place in enumerate(places):
        if place in places[:position]:
            what = place if isinstance(place, Path) else "a run in memory"
            raise ConfigError(f"{what} is there twice. Name each run once.")
