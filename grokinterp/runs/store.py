"""A run on disk: the folder's layout, written atomically and checked when read."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from grokinterp.errors import CheckpointError, ConfigError, RunFolderError
from grokinterp.runs.atomic import append_durably, whole_lines, write_atomically
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.run import CURVE_COLUMNS, Run
from grokinterp.tasks import Split, Task

FORMAT_VERSION = 1
INDEX_HEADER = "step,file,sha256"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunFolder:
    """Paths and contents of one run folder."""

    path: Path

    @property
    def config_file(self) -> Path:
        """The configuration, as JSON."""
        return self.path / "config.json"

    @property
    def curves_file(self) -> Path:
        """Losses and accuracies, one row per step."""
        return self.path / "curves.csv"

    @property
    def checkpoint_folder(self) -> Path:
        """One safetensors file per kept step."""
        return self.path / "checkpoints"

    @property
    def index_file(self) -> Path:
        """Step, file and SHA-256 of every reported checkpoint."""
        return self.checkpoint_folder / "index.csv"

    @property
    def resume_file(self) -> Path:
        """Weights, optimizer moments and step: all that training needs to go on."""
        return self.path / "resume.safetensors"

    def read_config(self) -> TrainConfig:
        """Read config.json.

        Raises
        ------
        RunFolderError
            If there is none, or it does not describe a run.
        """
        if not self.config_file.exists():
            raise RunFolderError(_not_a_run(self.path))
        try:
            values = json.loads(self.config_file.read_text(encoding="utf-8"))
            version = values.pop("format_version")
        except (ValueError, KeyError, AttributeError, TypeError, OSError):
            raise RunFolderError(
                f"{self.config_file} does not describe a run of grokinterp (no format_version). "
                "Name a folder that grokinterp.train wrote."
            ) from None
        if version != FORMAT_VERSION:
            raise RunFolderError(
                f"{self.config_file} has format_version={version!r}; this version of grokinterp "
                f"reads {FORMAT_VERSION}. Use the version that wrote it."
            )
        try:
            return TrainConfig.from_dict(values)
        except ConfigError as error:
            raise RunFolderError(f"{self.config_file}: {error}") from error

    def write_config(self, config: TrainConfig) -> None:
        """Write config.json."""
        write_json(self.config_file, {"format_version": FORMAT_VERSION, **config.to_dict()})

    def read_split(self, task: Task) -> Split:
        """Read split.safetensors.

        Raises
        ------
        RunFolderError
            If it is missing, damaged, or does not partition the task's pairs.
        """
        path = self.path / "split.safetensors"
        try:
            rows = safetensors.torch.load(path.read_bytes())
            split = Split(task, rows["train"].numpy(), rows["test"].numpy())
            both = np.sort(np.concatenate([split.train, split.test]))
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise RunFolderError(f"cannot read {path}: {error}. It is part of the run.") from None
        if not np.array_equal(both, np.arange(task.n_pairs)):
            raise RunFolderError(
                f"{path} does not hold every one of the {task.n_pairs} pairs exactly once. "
                "Restore it from the original run."
            )
        return split

    def write_split(self, split: Split) -> None:
        """Write split.safetensors."""
        rows = {"train": torch.tensor(split.train), "test": torch.tensor(split.test)}
        write_atomically(self.path / "split.safetensors", safetensors.torch.save(rows))

    def read_curves(self) -> pd.DataFrame:
        """Read the whole lines of curves.csv, whether or not training still runs."""
        lines = whole_lines(self.curves_file)
        if not lines:
            return pd.DataFrame({name: pd.Series(dtype=float) for name in CURVE_COLUMNS})
        try:
            header, *rows = csv.reader(lines)
            # float() gives back the very number that repr() wrote; CSV readers need not.
            numbers = np.array([[float(cell or "nan") for cell in row] for row in rows])
            columns = dict(zip(header, numbers.reshape(-1, len(header)).T, strict=True))
            steps = columns["step"].astype(np.int64)
            return pd.DataFrame({**{n: columns[n] for n in CURVE_COLUMNS}, "step": steps})
        except (ValueError, KeyError) as error:
            raise RunFolderError(
                f"cannot read {self.curves_file}: {error}. Restore it from the original run."
            ) from None

    def append_curves(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Append rows to curves.csv; None becomes an empty cell."""
        append_durably(self.curves_file, "".join(_csv_line(row) for row in rows))

    def truncate_curves(self, last_step: int) -> None:
        """Drop the rows after a step, which a resumed training writes again."""
        header = ",".join(CURVE_COLUMNS)
        kept = [
            line
            for line in whole_lines(self.curves_file)[1:]
            if int(line.split(",", 1)[0]) <= last_step
        ]
        write_atomically(self.curves_file, ("\n".join([header, *kept]) + "\n").encode())

    def read_index(self) -> dict[int, tuple[str, str]]:
        """Read (file, SHA-256) of every reported checkpoint, by step."""
        lines = whole_lines(self.index_file)
        entries = {}
        for row in csv.reader(lines[1:]):
            if len(row) == 3 and row[0].isdigit():
                entries[int(row[0])] = (row[1], row[2])
        return dict(sorted(entries.items()))

    def write_checkpoint(self, step: int, parameters: Mapping[str, Tensor]) -> None:
        """Write the weights of a step, then report them in index.csv."""
        content = safetensors.torch.save(
            {name: value.detach().cpu().contiguous() for name, value in parameters.items()}
        )
        digest = hashlib.sha256(content).hexdigest()
        file = f"step_{step:08d}.safetensors"
        index = self.read_index()
        if index.get(step) == (file, digest) and (self.checkpoint_folder / file).exists():
            return
        write_atomically(self.checkpoint_folder / file, content)
        if step in index or not index:
            self._write_index({**index, step: (file, digest)})
        else:
            append_durably(self.index_file, f"{step},{file},{digest}\n")

    def mend_index(self) -> None:
        """Drop a half-written last line, so that the next one starts on its own."""
        if self.index_file.exists():
            self._write_index(self.read_index())

    def _write_index(self, index: Mapping[int, tuple[str, str]]) -> None:
        lines = [INDEX_HEADER, *(f"{s},{f},{d}" for s, (f, d) in sorted(index.items()))]
        write_atomically(self.index_file, ("\n".join(lines) + "\n").encode())


class StoredCheckpoints:
    """Checkpoints of a run folder, read one at a time and checked against index.csv."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder

    @cached_property
    def _index(self) -> dict[int, tuple[str, str]]:
        return self._folder.read_index()

    @property
    def steps(self) -> tuple[int, ...]:
        """Reported steps, ascending."""
        return tuple(self._index)

    def checksum(self, step: int) -> str:
        """SHA-256 of the whole file, as reported when it was written."""
        return self._index[step][1]

    def name(self, step: int) -> str:
        """File name within the run folder."""
        return f"checkpoints/{self._index[step][0]}"

    def parameters(self, step: int) -> dict[str, Tensor]:
        """Weights after `step` updates.

        Raises
        ------
        CheckpointError
            If the file is missing or its bytes are not the ones that were reported.
        """
        file, digest = self._index[step]
        path = self._folder.checkpoint_folder / file
        if path.parent != self._folder.checkpoint_folder or path.name != file:
            raise CheckpointError(f"{self._folder.index_file} names {file!r}, outside its folder.")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise CheckpointError(
                f"{path} is listed in index.csv but cannot be read: {error.strerror}. "
                "Restore it, or remove its line from index.csv."
            ) from None
        if hashlib.sha256(content).hexdigest() != digest:
            raise CheckpointError(
                f"{path} is damaged: its SHA-256 is not the one in index.csv. "
                "Restore it, or remove its line from index.csv."
            )
        return safetensors.torch.load(content)


def load_run(folder: str | Path) -> Run:
    """Read a run folder, finished or still being trained.

    Checkpoints are read when asked for, and each is checked against its SHA-256.

    Raises
    ------
    RunFolderError
        If the folder does not exist or is not a run folder.

    Examples
    --------
    >>> run = load_run("ckpts/")  # doctest: +SKIP
    """
    run_folder = RunFolder(Path(folder))
    if not run_folder.path.exists():
        raise RunFolderError(f"{folder} does not exist. Train into it, or check the spelling.")
    config = run_folder.read_config()
    split = run_folder.read_split(Task(config.task))
    return Run(
        config=config,
        split=split,
        checkpoints=StoredCheckpoints(run_folder),
        curves=run_folder.read_curves(),
        origin=f"trained by grokinterp into {run_folder.path.name or run_folder.path}",
        folder=run_folder.path,
        environment=read_json(run_folder.path / "environment.json"),
    )


def write_json(path: Path, values: Any) -> None:
    """Write a value as indented JSON, atomically; NaN and infinity are refused."""
    text = json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(path, (text + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON table; an absent or unreadable file is an empty table."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        log.warning("%s cannot be read; going on without it.", path)
        return {}
    return values if isinstance(values, dict) else {}


def _csv_line(row: tuple[Any, ...]) -> str:
    # repr of a float is the shortest text that reads back as the same float.
    return ",".join("" if cell is None else repr(cell) for cell in row) + "\n"


def _not_a_run(path: Path) -> str:
    if path.is_file():
        return f"{path} is a file, not a run folder. Name the folder that grokinterp.train wrote."
    if not any(path.iterdir()):
        return f"{path} is empty. Train a run into it first: python -m grokinterp.train {path}"
    return (
        f"{path} is not a run folder (it has no config.json). "
        "Name the folder that grokinterp.train wrote."
    )
