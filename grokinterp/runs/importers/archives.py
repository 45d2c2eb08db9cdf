"""The zip archives that torch and numpy write, looked at before anything in them is read."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch

from grokinterp.errors import CheckpointError, first_sentence

MOST_MEMBERS = 200_000
"""Tensors are members; a file with a thousand checkpoints of a deep network has 60,000."""
MOST_INFLATED = 2**28
"""Bytes in the compressed members of an archive of numpy; small networks have a hundredth."""
_LOCAL_HEADER_BYTES = 30


def is_zip(path: Path) -> bool:
    """Whether a file begins as torch's archives do; its older format is a bare pickle."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def check_archive(path: Path) -> None:
    """Refuse a zip archive that torch would not have written.

    torch stores tensors as they are, one member each, so what comes out is never more than the
    file. An archive with compressed or overlapping members can hold a million times its size.

    Raises
    ------
    CheckpointError
        If a member is compressed, encrypted, there twice, overlaps another, or has a name that
        leads out of the archive, or if there are too many.
    OSError
        If the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members, comment = archive.infolist(), archive.comment
    except (zipfile.BadZipFile, NotImplementedError, ValueError, RuntimeError) as error:
        fact = first_sentence(error)
        raise CheckpointError(
            f"{path} cannot be read as a torch file: {fact}. Fetch or save it again."
        ) from None
    fact = "a comment" if comment else _fault_of(members)
    if fact:
        raise CheckpointError(
            f"{path} is a zip archive with {fact}, which torch.save never writes. Save the "
            "weights again with torch.save."
        )


def read_arrays(path: Path, *, most: int) -> dict[str, Any]:
    """Read the arrays that ``numpy.savez`` wrote: tensors, and numbers and strings of no axes.

    Compressed arrays (``savez_compressed``) are read too, as long as they are small; nothing is
    unpickled.

    Parameters
    ----------
    path
        The archive.
    most
        Bytes that all arrays may have.

    Raises
    ------
    CheckpointError
        If it is no such archive, or a member is larger than it may be or holds objects.
    OSError
        If the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            fault = _fault_of(members, may_be_compressed=True)
            inflated = sum(m.file_size for m in members if m.compress_type != zipfile.ZIP_STORED)
            if fault or inflated > MOST_INFLATED or sum(m.file_size for m in members) > most:
                raise ValueError(f"it has {fault or 'more bytes than a small network'}")
            arrays = {}
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise ValueError(f"it has two arrays {name!r}")
                with archive.open(member) as file:
                    arrays[name] = _read_array(file, member)
            return arrays
    except OSError:
        raise
    except Exception as error:  # a damaged archive or header fails anywhere in zlib and numpy
        fact = first_sentence(error)
        raise CheckpointError(
            f"{path} cannot be read as NumPy arrays: {fact}. Save them again with numpy.savez."
        ) from None


def _read_array(file: Any, member: zipfile.ZipInfo) -> Any:
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"{member.filename!r} is of another version of the format")
    shape, is_fortran, kind = read_header(file)
    # The header is believed only where the bytes are there; objects would be unpickled.
    n_bytes = int(np.prod([int(n) for n in shape], dtype=object)) * kind.itemsize
    if kind.hasobject or kind.kind not in "biufU" or min(shape, default=0) < 0:
        raise ValueError(f"{member.filename!r} holds {kind}, not numbers")
    if n_bytes != member.file_size - file.tell():
        raise ValueError(f"{member.filename!r} declares {n_bytes:,} bytes and holds another number")
    array = np.frombuffer(file.read(n_bytes), dtype=kind)
    array = array.reshape(shape, order="F" if is_fortran else "C")
    if array.ndim == 0 or kind.kind == "U":
        return array.tolist()
    plain = np.array(array, dtype=kind.newbyteorder("="), order="C")
    return torch.from_numpy(plain) if kind.kind in "bif" or kind == np.uint8 else plain


def _fault_of(members: list[zipfile.ZipInfo], *, may_be_compressed: bool = False) -> str:
    if len(members) > MOST_MEMBERS:
        return f"{len(members):,} members"
    names: set[str] = set()
    end = 0
    for member in sorted(members, key=lambda one: one.header_offset):
        name = member.orig_filename
        is_stored = member.compress_type == zipfile.ZIP_STORED
        if not is_stored and not may_be_compressed:
            return f"the compressed member {name!r}"
        if member.flag_bits & 1:
            return f"the encrypted member {name!r}"
        if is_stored and member.file_size != member.compress_size:
            return f"two sizes of the member {name!r}"
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if not parts or ".." in parts or parts[0] == "/" or ":" in parts[0] or "\0" in name:
            return f"the member {name!r}, whose name leads out of it"
        if name in names:
            return f"two members {name!r}"
        names.add(name)
        if member.header_offset < end:
            return f"the member {name!r}, which overlaps another"
        end = member.header_offset + _LOCAL_HEADER_BYTES + len(name) + member.compress_size
    return ""
