"""The zip archives that torch writes, looked at before torch reads them."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from grokinterp.errors import CheckpointError

MOST_MEMBERS = 200_000
"""Tensors are members; a file with a thousand checkpoints of a deep network has 60,000."""
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
        raise CheckpointError(
            f"{path} cannot be read as a torch file: {error}. Fetch or save it again."
        ) from None
    fact = "a comment" if comment else _fault_of(members)
    if fact:
        raise CheckpointError(
            f"{path} is a zip archive with {fact}, which torch.save never writes. Save the "
            "weights again with torch.save."
        )


def _fault_of(members: list[zipfile.ZipInfo]) -> str:
    if len(members) > MOST_MEMBERS:
        return f"{len(members):,} members"
    names: set[str] = set()
    end = 0
    for member in sorted(members, key=lambda one: one.header_offset):
        name = member.orig_filename
        if member.compress_type != zipfile.ZIP_STORED:
            return f"the compressed member {name!r}"
        if member.flag_bits & 1:
            return f"the encrypted member {name!r}"
        if member.file_size != member.compress_size:
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
