"""A run as it is exported: weights as safetensors, and beside them what a reader needs.

======================  =====================================================================
``config.json``         ``export_version``; the config of the run, what of it is not known, where
                        it comes from, and the SHA-256 of every file of weights
``model.safetensors``   the last checkpoint; earlier ones, if they are exported too, are
                        ``checkpoints/step_00000100.safetensors``
``split.safetensors``   rows of ``train`` and ``test``, if they are known
``curves.csv``          losses and accuracies by step, if there are any
``labels.safetensors``  the tables of answers or of a group that the config names
======================  =====================================================================

Modules of other people are exported with their own names of parameters, and logits alone without
weights: what has no forward pass here cannot be loaded here.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from grokinterp.errors import CheckpointError, RunFolderError, one_line
from grokinterp.fields import build, shown
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.runs.atomic import make_folder, write_atomically
from grokinterp.runs.config import ImportedConfig, TrainConfig
from grokinterp.runs.importers.assembly import curves_of
from grokinterp.runs.network import Network
from grokinterp.runs.reading import MOST_JSON_BYTES, MOST_TABLE_BYTES, read_bytes, read_json_table
from grokinterp.runs.record import BATCH_LOSS, CURVE_COLUMNS, ForeignNetworks, digest_of
from grokinterp.runs.run import Run
from grokinterp.runs.store import RunFolder, write_json
from grokinterp.runs.stored_tables import put_tables, write_tables
from grokinterp.tasks import Split, TaskSpec, task_of

EXPORT_FORMAT = "export"
EXPORT_VERSION = 1
WEIGHTS = "model.safetensors"
_MOST_BYTES = 8 * 2**30
_MOST_WORDS = 10_000
"""Characters of an origin or a doubt; they have some hundreds."""


def is_export(path: Path) -> bool:
    """Whether a folder is one that :func:`write_run` wrote."""
    try:
        return b'"export_version"' in read_bytes(path / "config.json", most=MOST_JSON_BYTES)
    except (OSError, RunFolderError):
        return False


def write_run(run: Run, folder: Path, steps: Iterable[int]) -> None:
    """Write a run into an empty folder: the weights of some steps, the last as the model.

    Raises
    ------
    RunFolderError
        If the folder cannot be written.
    """
    steps = sorted(steps)
    described = {
        "export_version": EXPORT_VERSION,
        "origin": run.origin,
        "doubts": list(run.doubts),
        "is_imported": run.is_imported,
        "unknown": list(run.config.unknown) if isinstance(run.config, ImportedConfig) else [],
        "config": run.config.to_dict(),
        "parameters": {name: list(value.shape) for name, value in run.parameters().items()},
        "can_be_loaded": not isinstance(run.checkpoints, ForeignNetworks),
        "weights": [
            line
            for step in steps
            if (line := _write_weights(run, step, folder, is_last=step == steps[-1]))
        ],
    }
    if run.split.is_known:
        rows = {"train": torch.tensor(run.split.train), "test": torch.tensor(run.split.test)}
        write_atomically(folder / "split.safetensors", safetensors.torch.save(rows))
    if len(run.curves):
        text = run.curves.to_csv(index=False, lineterminator="\n")
        write_atomically(folder / "curves.csv", text.encode())
    write_tables(folder / "labels.safetensors", run.config)
    write_json(folder / "config.json", described)


def write_list(folder: Path) -> None:
    """Add the names of all files of a new export to its config.json."""
    place = folder / "config.json"
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    write_json(place, {**read_json_table(place), "files": names})


def listed_files(folder: Path) -> list[Path]:
    """Files of an export that is there, as its config.json lists them; none if it cannot say."""
    try:
        names = read_json_table(folder / "config.json", within=folder)["files"]
        paths = [folder / str(name) for name in names]
        return [path for path in paths if path.resolve().is_relative_to(folder.resolve())]
    except (OSError, RunFolderError, KeyError, TypeError, ValueError):
        return []


def _write_weights(run: Run, step: int, folder: Path, *, is_last: bool) -> dict[str, Any] | None:
    """Write the weights of a step, if it has any; its line in config.json."""
    weights = run.parameters(step)
    if not weights:
        return None
    name = WEIGHTS if is_last else f"checkpoints/step_{step:08d}.safetensors"
    make_folder((folder / name).parent, "Choose one that can be written.")
    # Parameters that share memory in a module become tensors of their own.
    content = safetensors.torch.save(
        {key: value.detach().cpu().clone().contiguous() for key, value in weights.items()}
    )
    write_atomically(folder / name, content)
    digest = hashlib.sha256(content).hexdigest()
    return {"step": step, "file": name, "sha256": digest, "checksum": run.checksum(step)}


@dataclass(frozen=True, eq=False)
class ExportedCheckpoints:
    """Weights of an exported folder, read one at a time and checked by their SHA-256."""

    folder: Path
    lines: Mapping[int, Mapping[str, Any]]
    """``file``, ``sha256`` and ``checksum`` of every step."""
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps that have weights, ascending."""
        return tuple(sorted(self.lines))

    def checksum(self, step: int) -> str:
        """What the exported run called these weights."""
        return self.lines[step]["checksum"]

    def name(self, step: int) -> str:
        """File name within the folder."""
        return self.lines[step]["file"]

    def parameters(self, step: int) -> dict[str, Tensor]:
        """Weights after `step` updates.

        Raises
        ------
        CheckpointError
            If the file is missing, or its bytes are not those that were exported.
        """
        line, path = self.lines[step], self.folder / self.name(step)
        try:
            content = read_bytes(path, most=_MOST_BYTES, within=self.folder)
            if hashlib.sha256(content).hexdigest() != line["sha256"]:
                raise ValueError("its SHA-256 is not the one in config.json")
            found = safetensors.torch.load(content)
            if {name: tuple(value.shape) for name, value in found.items()} != self.shapes:
                raise ValueError("its shapes are not those of the network in config.json")
            weights = {name: found[name] for name in self.shapes}
            if line["checksum"] not in (line["sha256"], digest_of(weights)):
                raise ValueError("its checksum is not the one in config.json")
        except (OSError, SafetensorError, RunFolderError, ValueError) as error:
            raise CheckpointError(
                f"{path} is damaged: {getattr(error, 'strerror', None) or error}. Download it "
                "again, or export the run again."
            ) from None
        return weights


def load_run(folder: Path) -> Run:
    """Load an exported folder.

    Raises
    ------
    RunFolderError
        If a file of it is missing or damaged, or it holds a network that cannot be run here.

    Examples
    --------
    >>> gi.export(analysis, "mod13")
    PosixPath('mod13')
    >>> gi.load_run("mod13").checksum() == run.checksum()
    True
    """
    place = folder / "config.json"
    try:
        described = read_json_table(place, within=folder)
        version = described["export_version"]
        if version != EXPORT_VERSION:
            raise RunFolderError(
                f"{place} has export_version={shown(version)}; this version of grokinterp reads "
                f"{EXPORT_VERSION}. Use the version that wrote it."
            )
        if described["can_be_loaded"] is not True:
            raise RunFolderError(
                f"{folder} holds a network whose forward pass is code of its author. Build it, and "
                f"use gi.Run.from_modules, or analyze {WEIGHTS} with --module."
            )
        config = _config(described, folder)
        lines = {line["step"]: line for line in described["weights"]}
        texts = [line[name] for line in lines.values() for name in ("file", "sha256", "checksum")]
        is_fine = all(type(step) is int and step >= 0 for step in lines) and lines
        if not is_fine or not all(isinstance(text, str) for text in texts):
            raise ValueError("weights are not listed by step")
        shapes = {name: tuple(shape) for name, shape in described["parameters"].items()}
        model = config.model
        assert isinstance(model, (ModelSpec, MlpSpec))
        if shapes != Network(model, task_of(config.task)).shapes:
            raise ValueError("its parameters are not those of its network")
        # Words of whoever wrote the file, which commands print.
        origin = one_line(str(described["origin"]), _MOST_WORDS)
        doubts = tuple(one_line(str(doubt), _MOST_WORDS) for doubt in described["doubts"])
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise RunFolderError(
            f"{place} does not describe an exported run ({reason}). Download or export it again."
        ) from None
    task = task_of(config.task)
    split_file = folder / "split.safetensors"
    return Run(
        config=config,
        split=RunFolder(folder).read_split(task) if split_file.exists() else Split.unknown(task),
        checkpoints=ExportedCheckpoints(folder, lines, shapes),
        curves=_curves(folder / "curves.csv"),
        origin=origin,
        folder=folder,
        doubts=doubts,
    )


def _config(described: Mapping[str, Any], folder: Path) -> TrainConfig | ImportedConfig:
    """The config of the run, with the tables that it names."""
    values = {name: value for name, value in described["config"].items()}
    put_tables(values, folder / "labels.safetensors")
    if described["is_imported"] is not True:
        return TrainConfig.from_dict(values)
    kind = MlpSpec if values["model"].get("architecture") == "mlp" else ModelSpec
    return ImportedConfig(
        build(TaskSpec, _known(values["task"]), "task"),
        build(kind, _known(values["model"]), "model"),
        tuple(str(name) for name in described["unknown"]),
    )


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _curves(path: Path) -> pd.DataFrame:
    """Read curves, of which there need not be any."""
    try:
        header, *lines = csv.reader(
            read_bytes(path, most=MOST_TABLE_BYTES).decode("utf-8").splitlines()
        )
        # float() gives back the very number that was written; CSV readers need not.
        rows = np.array([[float(cell or "nan") for cell in line] for line in lines])
        table = dict(zip(header, rows.reshape(-1, len(header)).T, strict=True))
        more = (name for name in (BATCH_LOSS,) if name in table)
        columns = {name: table[name] for name in (*CURVE_COLUMNS, *more)}
        steps = columns["step"]
        if not (np.diff(steps) > 0).all() or not np.array_equal(steps, steps // 1):
            raise ValueError("its steps are not ascending whole numbers")
    except FileNotFoundError:
        return curves_of({}, {})
    except (OSError, KeyError, ValueError) as error:
        raise RunFolderError(
            f"{path} is damaged: {error}. Download it again, or export the run again."
        ) from None
    return pd.DataFrame({**columns, "step": steps.astype(np.int64)})
