"""From what an importer has read and inferred to the parts of a run that say which is which."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from grokinterp.errors import CheckpointError, ConfigError, one_line
from grokinterp.fields import shown
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.runs.config import ImportedConfig
from grokinterp.runs.importers.foreign_files import ForeignPath
from grokinterp.runs.record import CURVE_COLUMNS, Checkpoints, ImportedRun, digest_of
from grokinterp.tasks import Split, Task

SPLIT_FIELDS = ("task.train_fraction", "task.split_seed", "task.split_method", "task.split_unit")
DRAW_FIELDS = SPLIT_FIELDS[1:]
"""What is not known of a split whose pairs are given: how they were drawn."""
MOST_WORDS = 20_000
"""Characters of an origin; it has some hundreds, and with many names of files a few thousand."""
_UNKNOWN_SPLIT = re.compile(
    r"(Which pairs were trained on is not known|(None|\d+) of the \d+ published splits"
    r"|The one published split tried)[^.]*\. ?"
)
"""Sentences of an origin that are no longer true where the training pairs are given."""
LARGEST_STEP = 2**53
"""Above it not every whole number is a float of its own."""
MODEL_FIELDS = ("model.biases", "model.init", "model.init_seed")
PERCEPTRON_FIELDS = MODEL_FIELDS[1:]
"""Of a perceptron, whose weights show its biases."""


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


def imported_run(
    source: ForeignPath | None,
    weights: Checkpoints,
    spec: ModelSpec | MlpSpec,
    split: Split,
    *,
    origin: Iterable[str],
    curves: pd.DataFrame | None = None,
    unknown: Iterable[str] = (),
    doubts: Iterable[str] = (),
) -> ImportedRun:
    """Put the parts of a run together.

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
    doubts
        Why the network or the split may have been misread, a sentence each.
    """
    of_model = PERCEPTRON_FIELDS if isinstance(spec, MlpSpec) else MODEL_FIELDS
    fields = (*of_model, *(unknown if split.is_known else SPLIT_FIELDS))
    is_folder = source is not None and source.path.is_dir()
    return ImportedRun(
        config=ImportedConfig(split.task.spec, spec, fields),
        split=split,
        checkpoints=weights,
        curves=curves if curves is not None else curves_of({}, {}),
        # Names of files are words of others too.
        origin=one_line(" ".join(sentence for sentence in origin if sentence), MOST_WORDS),
        folder=source.path if source is not None and is_folder else None,
        doubts=tuple(doubts),
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


def are_steps(numbers: Sequence[float]) -> bool:
    """Whether numbers are different whole numbers from 0 on, as steps and epochs are."""
    is_step = (0 <= n < LARGEST_STEP and n == n // 1 for n in numbers)
    return len(set(numbers)) == len(numbers) and all(is_step)


def given_split(task: Task, train_pairs: Any) -> Split:
    """Return the split whose training pairs are given, as rows or as pairs; the rest is tested.

    Raises
    ------
    ConfigError
        If they are not different pairs of the task.
    """
    if isinstance(train_pairs, Split):
        raise ConfigError("train_pairs is a split. Pass its rows, split.train.")
    try:
        given = np.asarray(train_pairs.tolist() if hasattr(train_pairs, "tolist") else train_pairs)
    except ValueError:
        raise ConfigError(
            "train_pairs has rows of different lengths. Pass rows into Task(task).pairs, or an "
            "(n, 2) array of pairs (a, b)."
        ) from None
    if given.dtype.kind == "b":
        raise ConfigError("train_pairs holds truth values. Pass the rows of those that are true.")
    rows = np.array([-1])
    if given.dtype.kind in "iu" and given.ndim == 2 and given.shape[1] == 2:
        row_of = {tuple(pair): row for row, pair in enumerate(task.pairs.tolist())}
        rows = np.array([row_of.get(tuple(pair), -1) for pair in given.tolist()], dtype=np.int64)
    elif given.dtype.kind in "iu" and given.ndim == 1:
        rows = given.astype(np.int64)
    is_row = (rows >= 0) & (rows < task.n_pairs)
    if not len(rows) or not is_row.all() or len(np.unique(rows)) < len(rows):
        raise ConfigError(
            f"train_pairs of shape {given.shape} are not different pairs of the task. Pass rows "
            f"0 .. {task.n_pairs - 1} of Task(task).pairs, or an (n, 2) array of pairs (a, b)."
        )
    fraction = len(rows) / task.n_pairs
    if fraction < 1:
        task = Task(dataclasses.replace(task.spec, train_fraction=fraction))
    return Split(task, rows, np.setdiff1d(np.arange(task.n_pairs), rows))


def with_given_pairs(found: ImportedRun, train_pairs: Any) -> ImportedRun:
    """Return what an importer found with the training pairs that the user gives, if any.

    They take the place of those that the file shows; the origin says so.

    Raises
    ------
    ConfigError
        If they are not different pairs of the task.
    """
    if train_pairs is None:
        return found
    split = given_split(found.split.task, train_pairs)
    n_train, n_pairs = len(split.train), split.task.n_pairs
    account = f"The training pairs were given: {n_train:,} of {n_pairs:,}."
    shown_rows = np.sort(found.split.train)
    if found.split.is_known and not np.array_equal(np.sort(split.train), shown_rows):
        account += f" The file shows others ({plural(len(shown_rows), 'pair')})."
    unknown = [field for field in found.config.unknown if field not in SPLIT_FIELDS]
    return dataclasses.replace(
        found,
        config=dataclasses.replace(
            found.config, task=split.task.spec, unknown=(*unknown, *DRAW_FIELDS)
        ),
        split=split,
        origin=f"{_UNKNOWN_SPLIT.sub('', found.origin).strip()} {account}",
    )


def listed(names: Iterable[str], what: str = "Ignored") -> str:
    """Sentence that lists names; empty for none."""
    names = sorted(one_line(name, 60) for name in names)
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return f"{what}: {shown}." if names else ""


def plural(n: int, noun: str) -> str:
    """Number and noun: ``1 file``, ``2 files``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def quoted(fields: Mapping[str, Any]) -> str:
    """Sentence that quotes a stored config without believing it, and not what is off in it."""
    values = [
        f"{k}={shown(v)}" for k, v in sorted(fields.items()) if v is not None and v is not False
    ]
    more = f", and {len(values) - 24} more" if len(values) > 24 else ""
    text = ", ".join(values[:24]) + more
    return f"Its stored config, relied on only where this text says so: {text}." if text else ""
