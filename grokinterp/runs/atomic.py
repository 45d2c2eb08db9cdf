"""Files that are whole or absent, however the process ends."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grokinterp.errors import FolderInUseError, RunFolderError
from grokinterp.fields import shown
from grokinterp.runs.reading import MOST_TABLE_BYTES, read_bytes

TEMPORARY_PREFIX = ".writing-"

LEFTOVER_SECONDS = 3600.0
"""Where no lock says who writes, a temporary file of this age belongs to a process that died."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Temporary file in the same folder, fsync, rename, fsync of the folder.

    Raises
    ------
    RunFolderError
        If the disk is full or the folder cannot be written; the old file is untouched.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; a run folder is as readable as its owner's umask says.
        os.chmod(temporary, 0o666 & ~_UMASK)  # noqa: PTH101 (a file name, not a Path)
        os.replace(temporary, path)  # noqa: PTH105
        _sync_folder(path.parent)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise _cannot_write(path, error) from error


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half-written, without disturbing one that writes now.

    For folders without a lock: only files older than :data:`LEFTOVER_SECONDS` go.
    """
    try:
        for leftover in folder.glob(TEMPORARY_PREFIX + "*"):
            if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
                leftover.unlink(missing_ok=True)
    except OSError:
        # They are hidden and cost nothing but room.
        return


def is_there(path: Path) -> bool:
    """Whether there is a file or folder of that name.

    Raises
    ------
    RunFolderError
        If it can be none: too long, with a zero byte, or in a folder that cannot be read.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise RunFolderError(
            f"cannot look at {shown(str(path))}: {getattr(error, 'strerror', None) or error}. "
            "Check the path."
        ) from None
    return True


def make_folder(path: Path, remedy: str) -> None:
    """Make a folder and those above it, if they are not there.

    Raises
    ------
    RunFolderError
        If that cannot be done; the message ends with `remedy`.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot make the folder {path}: {error.strerror}. {remedy}") from None


def append_durably(path: Path, text: str) -> None:
    """Append whole lines to a file and wait until they are on disk.

    A process that dies in between may leave a last line without its line break; readers of
    these files drop it (see :func:`whole_lines`).

    Raises
    ------
    RunFolderError
        If the disk is full or the file cannot be written.
    """
    try:
        with path.open("a", encoding="utf-8", newline="") as file:
            size = file.tell()
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                os.truncate(path, size)
                raise
    except OSError as error:
        raise _cannot_write(path, error) from error


def whole_lines(path: Path) -> list[str]:
    """Lines of a file that end with a line break, without it; none if there is no file.

    Raises
    ------
    RunFolderError
        If the file is there and cannot be read, or is too large to be one of ours.
    """
    try:
        text = read_bytes(path, most=MOST_TABLE_BYTES).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunFolderError(
            f"cannot read {path}: {error.strerror}. Check its permissions."
        ) from None
    return text[: text.rfind("\n") + 1].splitlines()


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Hold the right to write into a run folder; the lock goes when its process does.

    Raises
    ------
    FolderInUseError
        If another process holds it.
    RunFolderError
        If the folder cannot be locked at all.
    """
    try:
        descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o666)
    except OSError as error:
        raise _cannot_write(folder / ".lock", error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise RunFolderError(
                    f"cannot lock {folder}: {error.strerror}. Choose a folder on a local disk."
                ) from None
            raise FolderInUseError(
                f"{folder} is being written by another process. Wait for it, or choose another "
                "folder."
            ) from None
        yield
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cannot_write(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"cannot write {path}: {error.strerror or error}. Files written before are intact; make "
        "room or choose another folder, and start the same command again to resume."
    )


def _current_umask() -> int:
    # The only portable way to read the umask is to set it, so it is read once, at import.
    umask = os.umask(0)
    os.umask(umask)
    return umask


_UMASK = _current_umask()
