"""Other people's files, read without running anything that is in them."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError

from grokinterp.errors import CheckpointError, RunFolderError, first_sentence, one_line
from grokinterp.runs.importers.archives import check_archive, is_zip, read_arrays
from grokinterp.runs.importers.hints import Hints
from grokinterp.runs.importers.inert import (
    Quoted,
    fields_of,
    harmless,
    plain_fields,
    stand_ins,
    uncalled_name,
)
from grokinterp.runs.importers.step_names import step_in_name
from grokinterp.runs.reading import read_json_table, require_file, require_within
from grokinterp.runs.record import ImportedRun

__all__ = [
    "ForeignPath",
    "Importer",
    "plain_fields",
    "read_foreign_file",
    "require_honest_sizes",
    "step_in_name",
]

MAX_BYTES = 8 * 2**30
"""Size of a single file; the largest published one has half a gigabyte."""
SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".npz")
WHOLE_MODELS = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
)
"""Names under which the Hugging Face Hub keeps a model, the first that is there goes."""
MOST_SHARDS = 100
MOST_NAME = 255
"""Characters of a file's name; no file system here has longer ones."""


@dataclass(frozen=True)
class ForeignPath:
    """A file or folder that some importer may know, read once and only when asked for."""

    path: Path

    @cached_property
    def content(self) -> Any:
        """What a single file holds; see :func:`read_foreign_file`."""
        file = self.file
        if file.name.endswith(".index.json"):
            return _read_shards(file)
        return read_foreign_file(file)

    @cached_property
    def file(self) -> Path:
        """The single file: the path itself, or the model in a folder of the Hugging Face Hub."""
        if not self.path.is_dir() or any(step_in_name(file) is not None for file in self.files):
            return self.path
        return next((f for name in WHOLE_MODELS if (f := self.path / name).exists()), self.path)

    @property
    def is_folder(self) -> bool:
        """Whether this is a folder of files, not one file."""
        return self.file.is_dir()

    @cached_property
    def config_beside(self) -> dict[str, Any]:
        """The ``config.json`` of a folder, or of a model of the Hugging Face Hub; else empty.

        Raises
        ------
        CheckpointError
            If it cannot be read.
        """
        folder = self.file if self.is_folder else self.file.parent
        path = folder / "config.json"
        if not (self.is_folder or self.file.name in WHOLE_MODELS) or not path.exists():
            return {}
        try:
            return read_json_table(path, within=path.parent)
        except (OSError, ValueError, RunFolderError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}. Fetch it again.") from None

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Files of a folder that may hold tensors, by name; none for a single file."""
        if not self.path.is_dir():
            return ()
        found = tuple(sorted(f for f in self.path.iterdir() if f.suffix in SUFFIXES))
        for file in found:
            _require_within(file, self.path)
        return found


@dataclass(frozen=True)
class Importer:
    """One format of other people's files."""

    name: str
    """What ``--format`` calls it."""
    objection: Callable[[ForeignPath], str]
    """Why a path is not of this format, in a few words; empty if it is."""
    load: Callable[[ForeignPath, Hints], ImportedRun]
    """Reads a path of this format."""


def read_foreign_file(path: Path) -> Any:
    """Read tensors, numbers, strings, lists and tables from a file of torch, safetensors or numpy.

    Nothing in the file is run: torch reads it with ``weights_only=True``. The only classes
    that are let through are numbers and arrays of numpy, and objects that only hold fields,
    which become a :class:`~grokinterp.runs.importers.inert.Quoted`. Tensors come to the CPU,
    whatever device they were on.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is too large, or would call something of its own.
    """
    try:
        size = require_file(path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}. Check the path.") from None
    except RunFolderError as error:
        raise CheckpointError(str(error)) from None
    if size > MAX_BYTES:
        raise CheckpointError(
            f"{path} has {size / 2**30:.1f} GiB, more than {MAX_BYTES // 2**30}. Split it into one "
            "state dict per file."
        )
    content = _read(path)
    # Arrays of numpy may be compressed; their sizes were compared before they were read.
    if path.suffix != ".npz":
        require_honest_sizes(content, size, path)
    return content


def require_honest_sizes(content: Any, size: int, path: Path) -> None:
    """Refuse a tensor or array with more bytes than its file, however deep it lies.

    Such a tensor is one number seen a million million times (strides of 0) and costs nothing
    until somebody copies it.

    Raises
    ------
    CheckpointError
        With its shape.
    """
    seen: set[int] = set()
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Quoted):
            value = value.fields
        if (name := uncalled_name(value)) is not None:
            raise _refused(path, f"GLOBAL {name}")
        if isinstance(value, torch.Tensor) and value.layout != torch.strided:
            raise CheckpointError(
                f"{path} has a tensor of shape {tuple(value.shape)} that is not dense. Save the "
                "weights again with to_dense()."
            )
        if isinstance(value, (torch.Tensor, np.ndarray)):
            if value.nbytes > size:
                raise CheckpointError(
                    f"{path} has {size:,} bytes and a tensor of shape {tuple(value.shape)}, which "
                    f"has {value.nbytes:,}. Save the weights again with torch.save."
                )
        elif isinstance(value, (Mapping, list, tuple, set)) and id(value) not in seen:
            seen.add(id(value))
            # A key may be a class or function of the file's own too.
            waiting.extend(entry for entry in value if not isinstance(entry, str))
            waiting.extend(value.values() if isinstance(value, Mapping) else ())


def _require_within(path: Path, folder: Path) -> None:
    try:
        require_within(path, folder)
    except RunFolderError as error:
        raise CheckpointError(str(error)) from None


def _read_shards(index: Path) -> dict[str, Any]:
    """Read the files that an index of the Hugging Face Hub names, as one state dict."""
    try:
        table = read_json_table(index, within=index.parent)
        names = sorted({str(name) for name in fields_of(table["weight_map"]).values()})
    except (OSError, ValueError, KeyError, RunFolderError) as error:
        raise CheckpointError(f"{index} cannot be read: {error}. Fetch it again.") from None
    if len(names) > MOST_SHARDS:
        raise CheckpointError(
            f"{index} names {len(names):,} files; at most {MOST_SHARDS} are read."
        )
    state: dict[str, Any] = {}
    for name in names:
        is_name = name.isprintable() and len(name) <= MOST_NAME and Path(name).name == name
        file = index.with_name(name) if name and is_name else None
        if file is None or file.suffix not in SUFFIXES:
            raise CheckpointError(f"{index} names {one_line(name, 60)!r}, no file beside it.")
        _require_within(file, index.parent)
        state |= fields_of(read_foreign_file(file))
    return state


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        if path.suffix == ".npz":
            return read_arrays(path, most=MAX_BYTES)
        if is_zip(path):
            check_archive(path)
        try:
            return _load(path, [])
        except pickle.UnpicklingError as error:
            if "GLOBAL" not in str(error):
                raise
        try:
            return _load(path, stand_ins(path))
        except pickle.UnpicklingError as error:
            if "Can only SETITEM" not in str(error):
                raise
        # A class that is a dictionary is filled as one.
        return _load(path, stand_ins(path, as_tables=True))
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise _refused(path, str(error)) from None
    except SafetensorError as error:
        fact = first_sentence(error)
        raise CheckpointError(f"{path} is not a safetensors file: {fact}.") from None
    except Exception as error:  # a damaged file fails anywhere in torch
        # Of torch's paragraphs the first sentence is the fact.
        fact = first_sentence(error, 300)
        raise CheckpointError(
            f"{path} cannot be read as a torch file: {fact}. Fetch or save it again."
        ) from None


def _load(path: Path, more: list[Any]) -> Any:
    with torch.serialization.safe_globals([*harmless(), *more]), warnings.catch_warnings():
        # A pickle that torch did not write is refused in a line of ours a moment later.
        warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True)


def _refused(path: Path, message: str) -> CheckpointError:
    name = re.search(r"GLOBAL (\S+)", message)
    what = f"an object of class {name.group(1)}" if name else "more than tensors and numbers"
    return CheckpointError(
        f"{path} holds {what}, and reading that would run code from the file. Save the weights "
        "alone, torch.save(model.state_dict(), path), or see docs/importing.md."
    )
