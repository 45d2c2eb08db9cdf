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

from grokinterp.errors import CheckpointError, RunFolderError, one_line
from grokinterp.runs.importers.archives import check_archive, is_zip
from grokinterp.runs.importers.hints import Hints
from grokinterp.runs.reading import require_file, require_within
from grokinterp.runs.record import ImportedRun

MAX_BYTES = 8 * 2**30
"""Size of a single file; the largest published one has half a gigabyte."""
SUFFIXES = (".pt", ".pth", ".safetensors")
_NUMBER_AT_END = re.compile(r"(\d+)$")
_STEP_AT_END = re.compile(r"(?:^|step|epoch|iter|ckpt|checkpoint)[-_]?(\d+)$", re.IGNORECASE)
# What torch's own list of harmless names leaves out: numbers and arrays of numpy.
_NUMPY_SCALAR, _NUMPY_ARRAY = np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0]


class Quoted:
    """Stands in for an object of somebody else's class: its fields, and none of its code."""

    def __init__(self, *arguments: Any, **fields: Any) -> None:
        self.__dict__.update(fields)

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)


@dataclass(frozen=True)
class ForeignPath:
    """A file or folder that some importer may know, read once and only when asked for."""

    path: Path

    @cached_property
    def content(self) -> Any:
        """What a single file holds; see :func:`read_foreign_file`."""
        return read_foreign_file(self.path)

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
    """Read tensors, numbers, strings, lists and tables from a ``.pt`` or safetensors file.

    Nothing in the file is run: torch reads it with ``weights_only=True``. The only classes
    that are let through are numbers and arrays of numpy, and TransformerLens's config, which
    becomes a :class:`Quoted`. Tensors come to the CPU, whatever device they were on.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is too large, or holds objects of any other class.
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
            value = value.__dict__
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
            waiting.extend(value.values() if isinstance(value, Mapping) else value)


def _require_within(path: Path, folder: Path) -> None:
    try:
        require_within(path, folder)
    except RunFolderError as error:
        raise CheckpointError(str(error)) from None


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        if is_zip(path):
            check_archive(path)
        with torch.serialization.safe_globals(_harmless()), warnings.catch_warnings():
            # A pickle that torch did not write is refused in a line of ours a moment later.
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise _refused(path, str(error)) from None
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}.") from None
    except Exception as error:  # a damaged file fails anywhere in torch
        # Of torch's paragraphs the first sentence is the fact.
        fact = (str(error).splitlines() or [type(error).__name__])[0].split(". ")[0].rstrip(".")
        raise CheckpointError(
            f"{path} cannot be read as a torch file: {fact}. Fetch or save it again."
        ) from None


def step_in_name(path: Path, *, is_alone: bool = False) -> int | None:
    """Return the number that a file's name ends in: 1200 for ``step_00001200.safetensors``.

    The number of a file that `is_alone` must follow a word such as step or epoch, or be the
    whole name: the 113 of ``model_p113.pt`` is no step.
    """
    number = (_STEP_AT_END if is_alone else _NUMBER_AT_END).search(path.stem)
    # More digits are no step of any training, but an identifier.
    return int(number.group(1)) if number and len(number.group(1)) < 16 else None


def plain_fields(value: Any) -> dict[str, Any]:
    """Fields of a stored config whose values are plain: numbers, strings, None."""
    fields = value.__dict__ if isinstance(value, Quoted) else value
    if not isinstance(fields, Mapping):
        return {}
    kept = {
        one_line(str(k), 60): v.item() if isinstance(v, np.generic) else v
        for k, v in fields.items()
    }
    return {k: v for k, v in kept.items() if v is None or isinstance(v, (bool, int, float, str))}


def _harmless() -> list[Any]:
    names = [
        "transformer_lens.HookedTransformerConfig.HookedTransformerConfig",
        "transformer_lens.config.HookedTransformerConfig.HookedTransformerConfig",
        "transformer_lens.config.hooked_transformer_config.HookedTransformerConfig",
        "transformer_lens.config.TransformerBridgeConfig.TransformerBridgeConfig",
        "transformer_lens.config.transformer_bridge_config.TransformerBridgeConfig",
        "easy_transformer.EasyTransformerConfig.EasyTransformerConfig",
    ]
    numbers = [type(np.dtype(kind)) for kind in ("f8", "f4", "f2", "i8", "i4", "u1", "?")]
    modules = ("numpy.core.multiarray", "numpy._core.multiarray")
    return [
        *((Quoted, name) for name in names),
        *((_NUMPY_SCALAR, f"{module}.scalar") for module in modules),
        *((_NUMPY_ARRAY, f"{module}._reconstruct") for module in modules),
        *(np.ndarray, np.dtype),
        *numbers,
    ]


def _refused(path: Path, message: str) -> CheckpointError:
    name = re.search(r"GLOBAL (\S+)", message)
    what = f"an object of class {name.group(1)}" if name else "more than tensors and numbers"
    return CheckpointError(
        f"{path} holds {what}, and reading that would run code from the file. Save the weights "
        "alone, torch.save(model.state_dict(), path), or see docs/importing.md."
    )
