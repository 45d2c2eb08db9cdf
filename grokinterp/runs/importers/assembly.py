"""From what an importer has read and inferred to a Run that says which is which."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from grokinterp.errors import CheckpointError
from grokinterp.models import ModelSpec
from grokinterp.runs.config import ImportedConfig
from grokinterp.runs.importers.foreign_files import ForeignPath
from grokinterp.runs.run import CURVE_COLUMNS, Checkpoints, Run, digest_of
from grokinterp.tasks import Split

SPLIT_FIELDS = ("task.train_fraction", "task.split_seed", "task.split_method", "task.split_unit")
MODEL_FIELDS = ("model.biases", "model.init", "model.init_seed")


@dataclass(frozen=True, eq=False)
class CheckpointFiles:
    """Checkpoints in files of their own, read one at a time."""

    files: Mapping[int, Path]
    """File of every step."""
    read: Callable[[Path], dict[str, Tensor]]
    """Reads a file into parameters of this library."""

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps that have weights, ascending."""
        return tuple(sorted(self.files))

    def parameters(self, step: int) -> dict[str, Tensor]:
        """Weights after `step` updates.

        Raises
        ------
        CheckpointError
            If the file is damaged, or holds another network than the last one does.
        """
        try:
            return self.read(self.files[step])
        except CheckpointError as error:
            raise CheckpointError(f"{self.name(step)}: {error}") from None

    def checksum(self, step: int) -> str:
        """SHA-256 over names and values."""
        return digest_of(self.parameters(step))

    def name(self, step: int) -> str:
        """File name within the folder."""
        return self.files[step].name


def build_run(
    source: ForeignPath | None,
    weights: Checkpoints,
    spec: ModelSpec,
    split: Split,
    *,
    origin: Iterable[str],
    curves: pd.DataFrame | None = None,
    unknown: Iterable[str] = (),
) -> Run:
    """Put a run together.

    Parameters
    ----------
    source
        Where it came from; None for tensors in memory.
    weights
        Checkpoints, in the library's names.
    spec
        Shape of the network.
    split
        Of the task that was found; see :meth:`Split.unknown`.
    origin
        Sentences: where from, what was inferred and how, what was ignored.
    curves
        Losses by step, if any were logged.
    unknown
        Fields of the split that are not known though the split is.
    """
    fields = (*MODEL_FIELDS, *(unknown if split.is_known else SPLIT_FIELDS))
    is_folder = source is not None and source.path.is_dir()
    return Run(
        config=ImportedConfig(split.task.spec, spec, fields),
        split=split,
        checkpoints=weights,
        curves=curves if curves is not None else curves_of({}, {}),
        origin=" ".join(sentence for sentence in origin if sentence),
        folder=source.path if source is not None and is_folder else None,
    )


def curves_of(train: Mapping[int, float], test: Mapping[int, float]) -> pd.DataFrame:
    """Make curves of logged losses by step; a logged loss that is not finite becomes infinity."""
    steps = sorted({*train, *test})
    table: dict[str, Any] = {name: np.full(len(steps), np.nan) for name in CURVE_COLUMNS}
    table["step"] = np.array(steps, dtype=np.int64)
    for name, losses in (("train_loss", train), ("test_loss", test)):
        for row, step in enumerate(steps):
            if step in losses:
                value = losses[step]
                table[name][row] = value if math.isfinite(value) else math.inf
    return pd.DataFrame(table)


def numbers_in(value: Any) -> list[float]:
    """Return a logged list as floats; empty if it is anything else."""
    if isinstance(value, Tensor) and value.ndim == 1:
        value = value.tolist()
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        return []
    singles = [v.item() if isinstance(v, Tensor) and v.numel() == 1 else v for v in value]
    is_number = [isinstance(v, (int, float, np.number)) for v in singles]
    return [float(v) for v in singles] if singles and all(is_number) else []


def split_of_rows(split: Split, train: np.ndarray) -> Split:
    """Return a split with these rows trained on and the others tested."""
    is_test = np.ones(split.task.n_pairs, dtype=bool)
    is_test[train] = False
    fraction = len(train) / split.task.n_pairs
    task = split.task
    if 0 < fraction < 1:
        task = type(task)(dataclasses.replace(task.spec, train_fraction=fraction))
    return Split(task, train, np.flatnonzero(is_test))


def listed(names: Iterable[str], what: str = "Ignored") -> str:
    """Sentence that lists names; empty for none."""
    names = sorted(names)
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return f"{what}: {shown}." if names else ""


def plural(n: int, noun: str) -> str:
    """Number and noun: ``1 file``, ``2 files``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def quoted(fields: Mapping[str, Any]) -> str:
    """Sentence that quotes a stored config without believing it, and not what is off in it."""
    shown = [f"{k}={v!r}" for k, v in sorted(fields.items()) if v is not None and v is not False]
    more = f", and {len(shown) - 24} more" if len(shown) > 24 else ""
    text = ", ".join(shown[:24]) + more
    return f"Its stored config, quoted and not relied on: {text}." if text else ""
