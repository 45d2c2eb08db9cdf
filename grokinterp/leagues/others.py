"""Grids of runs that others published as arrays, for a league without tuning.

The format is that of the repository critical-norm-grokking (arXiv:2606.13753): an .npz for each
setting with ``steps`` (n,), a curve of shape (seed, n) for each measure, ``T_mem_per_seed`` and
``T_grok_per_seed`` (not positive: not within the budget).
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from grokinterp.errors import RunFolderError
from grokinterp.leagues.league import OVER_MAXIMUM
from grokinterp.leagues.scores import WatchedCurve

NAMES = {
    "test_loss": "test_loss",
    "train_loss": "train_loss",
    "test_acc": "test_accuracy",
    "weight_norm": "weight_norm",
    "fourier_gini": "gini_W_E",
    "eff_rank_E": "effective_rank_W_E",
    "spec_entropy_E": "spectral_entropy_W_E",
    "spec_entropy_W2": "spectral_entropy_W_out",
}
"""Names of their curves, and what the library calls the same thing."""
_DIVIDED = ("test_loss", "weight_norm", "eff_rank_E")


def curves_of_grid(folder: str | PathLike[str]) -> dict[str, list[WatchedCurve]]:
    """Read the runs of a folder: by the name of the measure, its values along each run.

    Runs that never memorized are left out. All runs that did not grok are censored: each has an
    operation to learn.

    Raises
    ------
    RunFolderError
        If the folder has no such file, or one cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> np.savez("one.npz", steps=np.arange(3), test_loss=np.array([[3.0, 2.0, 1.0]]),
    ...     T_mem_per_seed=np.array([1]), T_grok_per_seed=np.array([2]))
    >>> curves = curves_of_grid(".")
    >>> sorted(curves), curves["test_loss"][0].ending
    (['test_loss', 'test_loss_over_maximum'], 'groks')
    """
    found: dict[str, list[WatchedCurve]] = {}
    places = sorted(Path(folder).glob("*.npz"))
    if not places:
        raise RunFolderError(f"{folder} has no .npz file of runs. Name the folder of a grid.")
    for place in places:
        try:
            with np.load(place, allow_pickle=False) as stored:
                columns = {name: stored[name] for name in stored.files}
            for name, curves in _curves_of_file(place.stem, columns).items():
                found.setdefault(name, []).extend(curves)
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise RunFolderError(
                f"{place} cannot be read as runs ({type(error).__name__}). It takes steps, "
                "T_mem_per_seed, T_grok_per_seed and curves of shape (seed, step)."
            ) from None
    return found


def _curves_of_file(setting: str, columns: dict[str, Any]) -> dict[str, list[WatchedCurve]]:
    steps = columns["steps"].astype(int)
    found: dict[str, list[WatchedCurve]] = {}
    endings = zip(columns["T_mem_per_seed"], columns["T_grok_per_seed"], strict=True)
    for seed, (memorized, grokked) in enumerate(endings):
        if memorized < 0:
            continue
        jump = int(grokked) if grokked > 0 else None
        ending = "censored" if jump is None else "groks"
        for theirs, ours in NAMES.items():
            if theirs not in columns:
                continue
            values = columns[theirs][seed].astype(float)
            made = {ours: values}
            if theirs in _DIVIDED:
                made[ours + OVER_MAXIMUM] = values / np.fmax.accumulate(values)
            for name, along in made.items():
                curve = WatchedCurve(setting, ending, steps, along, int(memorized), jump)
                found.setdefault(name, []).append(curve)
    return found
