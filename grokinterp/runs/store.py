"""A run on disk: the folder's layout, written atomically and checked when read."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from grokinterp.errors import CheckpointError, ConfigError, RunFolderError
from grokinterp.fields import shown
from grokinterp.runs.atomic import append_durably, is_there, whole_lines, write_atomically
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.network import Network
from grokinterp.runs.reading import read_bytes, read_json_table, require_file, require_within
from grokinterp.runs.record import BATCH_LOSS, CURVE_COLUMNS, loss_of_every_step
from grokinterp.runs.stopping import early_stop
from grokinterp.runs.stored_tables import put_tables, write_tables
from grokinterp.tasks import Examples, Split, task_of

FORMAT_VERSION = 1
HEADER_BYTES = 2**20
"""Most that a safetensors file of ours has besides its numbers."""
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
    def labels_file(self) -> Path:
        """Tables of answers of this run and its parents, each under its SHA-256."""
        return self.path / "labels.safetensors"

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
        """Weights, optimizer moments and step: all that training needs to resume."""
        return self.path / "resume.safetensors"

    def read_config(self) -> TrainConfig:
        """Read config.json.

        Raises
        ------
        RunFolderError
            If there is none, it does not describe a run, or a table of answers that it names
            is missing or damaged.
        """
        if not is_there(self.config_file):
            raise RunFolderError(_not_a_run(self.path))
        try:
            values = read_json_table(self.config_file, within=self.path)
            version = values.pop("format_version")
        except (ValueError, KeyError, OSError) as error:
            reason = "no format_version" if isinstance(error, KeyError) else _reason(error)
            raise RunFolderError(
                f"{self.config_file} does not describe a run of grokinterp ({reason}). "
                "Name a folder that grokinterp.train wrote."
            ) from None
        if version != FORMAT_VERSION:
            raise RunFolderError(
                f"{self.config_file} has format_version={shown(version)}; this version of "
                f"grokinterp reads {FORMAT_VERSION}. Use the version that wrote it."
            )
        put_tables(values, self.labels_file)
        try:
            return TrainConfig.from_dict(values)
        except ConfigError as error:
            raise RunFolderError(f"{self.config_file}: {error}") from error

    @staticmethod
    def parameter_shapes(config: TrainConfig) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter that a checkpoint of this config holds."""
        return Network(config.model, task_of(config.task)).shapes

    def is_finished(self, config: TrainConfig) -> bool:
        """Whether nothing is left to train: all steps done, stopped early, or not finite.

        Raises
        ------
        RunFolderError, CheckpointError
            If a file that says so is damaged, or the last checkpoint is not listed.
        """
        step = self.stored_step()
        if step is None:
            return False
        curves = self.read_curves()
        if not np.isfinite(loss_of_every_step(curves).to_numpy()).all():
            return True
        if step < config.n_steps and early_stop(config, curves)[1] != step:
            return False
        if len(curves) <= step:
            raise RunFolderError(
                f"{self.curves_file} ends before step {step}, where the run ended. Restore it, or "
                f"remove {self.resume_file.name} to train again from the start."
            )
        if step not in self.read_index():
            raise RunFolderError(
                f"{self.index_file} does not list step {step}, where the run ended. Restore it, "
                f"or remove {self.resume_file.name} to train again from the start."
            )
        return True

    def stored_step(self) -> int | None:
        """Step at which training can resume; None where there is nothing to resume from.

        Raises
        ------
        CheckpointError
            If resume.safetensors is damaged.
        """
        if not is_there(self.resume_file):
            return None
        require_file(self.resume_file, self.path)
        try:
            with safe_open(self.resume_file, framework="pt") as file:
                return int(file.metadata()["step"])
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise self.damaged_resume(error) from None

    def damaged_resume(self, error: Exception) -> CheckpointError:
        """Return the error that a damaged resume file deserves."""
        return CheckpointError(
            f"{self.resume_file} is damaged ({error}). The checkpoints beside it can still be "
            "analyzed; remove the file to train again from the start."
        )

    def write_config(self, config: TrainConfig) -> None:
        """Write config.json, and before it the tables of answers that it names."""
        write_tables(self.labels_file, config)
        write_json(self.config_file, {"format_version": FORMAT_VERSION, **config.to_dict()})

    def read_split(self, task: Examples) -> Split:
        """Read split.safetensors.

        Raises
        ------
        RunFolderError
            If it is missing, damaged, or does not partition the task's pairs.
        """
        path = self.path / "split.safetensors"
        try:
            most = 16 * task.n_examples + HEADER_BYTES
            rows = safetensors.torch.load(read_bytes(path, most=most, within=self.path))
            split = Split(task, rows["train"].numpy(), rows["test"].numpy())
            both = np.sort(np.concatenate([split.train, split.test]))
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise RunFolderError(f"cannot read {path}: {error}. It is part of the run.") from None
        if not np.array_equal(both, np.arange(task.n_examples)):
            raise RunFolderError(
                f"{path} does not hold every one of the {task.n_examples} pairs exactly once. "
                "Restore it from the original run."
            )
        return split

    def write_split(self, split: Split) -> None:
        """Write split.safetensors."""
        rows = {"train": torch.tensor(split.train), "test": torch.tensor(split.test)}
        write_atomically(self.path / "split.safetensors", safetensors.torch.save(rows))

    def read_curves(self) -> pd.DataFrame:
        """Read the whole lines of curves.csv, whether or not training still runs."""
        require_within(self.curves_file, self.path)
        lines = whole_lines(self.curves_file)
        if not lines:
            return pd.DataFrame({name: pd.Series(dtype=float) for name in CURVE_COLUMNS})
        try:
            header, *rows = csv.reader(lines)
            # float() gives back the very number that repr() wrote; CSV readers need not.
            numbers = np.array([[float(cell or "nan") for cell in row] for row in rows])
            columns = dict(zip(header, numbers.reshape(-1, len(header)).T, strict=True))
            steps = columns["step"]
            if not np.array_equal(steps, np.arange(len(steps))):
                raise ValueError("its steps are not 0, 1, 2, ...")
            names = (*CURVE_COLUMNS, *(name for name in (BATCH_LOSS,) if name in header))
            table = {name: columns[name] for name in names}
            return pd.DataFrame({**table, "step": steps.astype(np.int64)})
        except (ValueError, KeyError) as error:
            raise RunFolderError(
                f"{self.curves_file} is damaged: {error}. Restore it from the original run."
            ) from None

    def append_curves(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Append rows to curves.csv; None becomes an empty cell."""
        append_durably(self.curves_file, "".join(_csv_line(row) for row in rows))

    def truncate_curves(self, last_step: int, config: TrainConfig) -> None:
        """Drop the rows after a step, which a resumed training writes again.

        Raises
        ------
        RunFolderError
            If the rows up to that step are not all there.
        """
        columns = CURVE_COLUMNS if config.batch_size is None else (*CURVE_COLUMNS, BATCH_LOSS)
        header = ",".join(columns)
        n_rows = len(self.read_curves()) if last_step >= 0 else 0
        if n_rows <= last_step:
            raise RunFolderError(
                f"{self.curves_file} ends before step {last_step}, where the run stopped. Restore "
                f"it, or remove {self.resume_file.name} to train again from the start."
            )
        kept = whole_lines(self.curves_file)[1 : last_step + 2]
        write_atomically(self.curves_file, ("\n".join([header, *kept]) + "\n").encode())

    def read_index(self) -> dict[int, tuple[str, str]]:
        """Read (file, SHA-256) of every reported checkpoint, by step."""
        require_within(self.index_file, self.path)
        lines = whole_lines(self.index_file)
        entries = {}
        for row in csv.reader(lines[1:]):
            is_step = row[:1] and row[0].isascii() and row[0].isdecimal() and len(row[0]) < 16
            if len(row) == 3 and is_step:
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

    def mend_index(self, *, is_new: bool) -> None:
        """Drop a half-written last line; for training from the start, all but the initial weights.

        Those are where training starts from, so what was said of them stays true.
        """
        if self.index_file.exists():
            index = self.read_index()
            self._write_index({s: line for s, line in index.items() if not is_new or s == 0})

    def _write_index(self, index: Mapping[int, tuple[str, str]]) -> None:
        lines = [INDEX_HEADER, *(f"{s},{f},{d}" for s, (f, d) in sorted(index.items()))]
        write_atomically(self.index_file, ("\n".join(lines) + "\n").encode())


def write_json(path: Path, values: Any) -> None:
    """Write a value as indented JSON, atomically; NaN and infinity are refused."""
    text = json.dumps(values, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(path, (text + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON table; an absent or unreadable file is an empty table."""
    try:
        return read_json_table(path)
    except (OSError, ValueError, RunFolderError):
        log.warning("%s cannot be read; going on without it.", path)
        return {}


def _csv_line(row: tuple[Any, ...]) -> str:
    # repr of a float is the shortest text that reads back as the same float.
    return ",".join("" if cell is None else repr(cell) for cell in row) + "\n"


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON: {error}"
    return (getattr(error, "strerror", None) or str(error)) or type(error).__name__


def _not_a_run(path: Path) -> str:
    if path.is_file():
        return f"{path} is a file, not a run folder. Name the folder that grokinterp.train wrote."
    if not any(path.iterdir()):
        return f"{path} is empty. Train a run into it first: python -m grokinterp.train {path}"
    return (
        f"{path} is not a run folder (it has no config.json). "
        "Name the folder that grokinterp.train wrote."
    )
