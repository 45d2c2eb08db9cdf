"""Files of the Hugging Face Hub: ``hf://owner/name[@revision][/path]``, downloaded into its cache.

Of a repository only what is read is downloaded, and nothing in it is run. Tokens, the endpoint, the
cache and the offline mode are those of huggingface_hub (``HF_TOKEN``, ``HF_ENDPOINT``,
``HF_HOME``, ``HF_HUB_OFFLINE``).
"""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import filter as matching
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from grokinterp.errors import ConfigError, RunFolderError, one_line
from grokinterp.fields import shown
from grokinterp.runs.importers.foreign_files import MAX_BYTES, SUFFIXES
from grokinterp.runs.reading import MOST_JSON_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEME = "hf://"
_ADDRESS = re.compile(r"hf:/{1,2}([\w.-]+)/([\w.-]+?)(?:@([^/@]+))?(?:/(.*?))?/?")
_DESCRIPTIONS = (".json", ".txt", ".csv", ".yaml", ".yml")
"""Small files beside weights that an importer may ask for."""
_OF_A_RUN = (
    "config.json",
    "environment.json",
    "labels.safetensors",
    "split.safetensors",
    "curves.csv",
    "checkpoints/*",
)
_BESIDE_WEIGHTS = ("split.safetensors", "labels.safetensors", "checkpoints/step_*.safetensors")
"""What an exported folder has besides ``model.safetensors`` and its descriptions."""
_NO_WEIGHTS = ("split.safetensors", "labels.safetensors", "resume.safetensors")
_ANY_CHARACTER = str.maketrans({"[": "[[]", "*": "[*]", "?": "[?]"})


@dataclass(frozen=True)
class Address:
    """What an address names.

    Examples
    --------
    >>> Address.of("hf://ada/mod59@v1/checkpoints/step_100.pt").path
    'checkpoints/step_100.pt'
    """

    repository: str
    """``owner/name``."""
    revision: str | None
    """Branch, tag or commit; None: ``main``."""
    path: str
    """File or folder in it; empty: the repository itself."""

    def __str__(self) -> str:
        at = f"@{quote(self.revision, safe='')}" if self.revision else ""
        return f"{SCHEME}{self.repository}{at}{'/' if self.path else ''}{self.path}"

    @property
    def name(self) -> str:
        """Last part without its suffix, for files made of what is there."""
        return PurePosixPath(self.path or self.repository).stem

    @classmethod
    def of(cls, text: str) -> Address:
        """Read an address.

        Raises
        ------
        ConfigError
            If it is of another form.
        """
        found = _ADDRESS.fullmatch(text)
        owner, name, revision, path = found.groups() if found else ("", "", None, None)
        is_fine = found and all(part.strip("./") for part in (owner, name, revision or "a"))
        if not is_fine or ".." in (path or "").split("/") or not (path or "a").isprintable():
            raise ConfigError(
                f"{shown(text)} is not an address on the Hugging Face Hub. Write "
                "hf://owner/name, hf://owner/name@revision or hf://owner/name/path."
            )
        if owner in ("datasets", "spaces"):
            raise ConfigError(
                f"{shown(text)} names one of the {owner}. Networks are read from model "
                "repositories, hf://owner/name."
            )
        return cls(f"{owner}/{name}", unquote(revision) if revision else None, path or "")


@dataclass(frozen=True)
class Fetched:
    """What was downloaded."""

    path: Path
    """File or folder in the cache of the Hub."""
    address: str
    """With the commit in place of the revision."""
    is_of_cache: bool
    """Whether the Hub was not reached, so that only what the cache has was seen."""
    folder: Path | None
    """Where `path` was chosen and not named, the folder that it was chosen in."""


def fetch(text: str) -> Fetched:
    """Download what an address names, unless it is in the cache already.

    Raises
    ------
    ConfigError
        If it is no address.
    RunFolderError
        If there is nothing of that name or revision, no network, no permission, no room on the
        disk, or no weights.
    """
    from huggingface_hub import constants, snapshot_download

    address = Address.of(text)
    with _errors_of(address):
        sizes, cached = _listing(address)
        try:
            files, target = needed(sizes, address)
        except RunFolderError as error:
            if cached is None:
                raise
            raise RunFolderError(f"{error} The Hub cannot be reached: this is the cache.") from None
        wanted = {name: sizes[name] for name in files}
        _refuse_huge(wanted, address)
        is_of_cache = cached is not None
        if cached is None:
            new = {name: size for name, size in wanted.items() if not _is_cached(name, address)}
            _require_room(new, address, constants.HF_HUB_CACHE)
            patterns = [name.translate(_ANY_CHARACTER) for name in files]
            cached = Path(
                snapshot_download(
                    address.repository, revision=address.revision, allow_patterns=patterns
                )
            )
    commit = Address(address.repository, cached.name, address.path)
    is_named = target == address.path
    folder = None if is_named else cached / address.path
    return Fetched(cached / target, str(commit), is_of_cache, folder)


def needed(sizes: Mapping[str, int], address: Address) -> tuple[list[str], str]:
    """Choose among the files of a repository.

    Parameters
    ----------
    sizes
        Bytes of every file, by its path.
    address
        What is asked for.

    Returns
    -------
    tuple[list[str], str]
        The files to download, and the file or folder to read.

    Raises
    ------
    RunFolderError
        If there are no weights at that path.

    Examples
    --------
    >>> sizes = {"README.md": 900, "config.json": 80, "model.safetensors": 4000, "old.bin": 9}
    >>> needed(sizes, Address("ada/mod59", None, ""))
    (['config.json', 'model.safetensors'], 'model.safetensors')
    """
    path = address.path
    if path in sizes:
        folder = PurePosixPath(path).parent.as_posix()
        return [path, *_descriptions(sizes, "" if folder == "." else f"{folder}/", path)], path
    start = f"{path}/" if path else ""
    here = {name[len(start) :]: size for name, size in sizes.items() if name.startswith(start)}
    if not here:
        raise RunFolderError(
            f"{address} does not exist: the repository has no {shown(path)}. It has {_some(sizes)}."
        )
    files, target = _chosen(here, address)
    return [start + name for name in files], (start + target).rstrip("/")


def _is_of_weights(name: str) -> bool:
    """Whether a file holds weights by its name: any ``.bin`` may be on the Hub."""
    leaf = name.rpartition("/")[2]
    return name.endswith(SUFFIXES) and (not name.endswith(".bin") or leaf.startswith("pytorch_"))


def _chosen(here: Mapping[str, int], address: Address) -> tuple[list[str], str]:
    """Files of a folder that are read, and which of them is named to the importers."""
    if "config.json" in here and "checkpoints/index.csv" in here:
        wanted = [name for pattern in _OF_A_RUN for name in matching(here, pattern)]
        return list(dict.fromkeys(wanted)), ""
    weights = [
        name
        for name in here
        if "/" not in name and _is_of_weights(name) and name not in _NO_WEIGHTS
    ]
    if "model.safetensors" in weights and "config.json" in here:
        wanted = [name for pattern in _BESIDE_WEIGHTS for name in matching(here, pattern)]
        is_export = "split.safetensors" in here or "summary.json" in here
        files = [*_descriptions(here, "", ""), "model.safetensors", *wanted]
        return files, "" if is_export else "model.safetensors"
    if not weights:
        folders = {name.rpartition("/")[0] for name in here if _is_of_weights(name)}
        raise RunFolderError(
            f"{address} has no {', '.join(SUFFIXES)} at that place. "
            + (
                f"Name a folder that has: {', '.join(sorted(folders)[:4])}."
                if folders - {""}
                else f"It has {_some(here)}."
            )
        )
    files = [*_descriptions(here, "", ""), *weights]
    return files, weights[0] if len(weights) == 1 else ""


def _descriptions(sizes: Mapping[str, int], start: str, weights: str) -> list[str]:
    return [
        name
        for name, size in sizes.items()
        if name.startswith(start)
        and "/" not in name[len(start) :]
        and name.endswith(_DESCRIPTIONS)
        and size <= MOST_JSON_BYTES
        and name != weights
    ]


def _some(sizes: Mapping[str, int]) -> str:
    names = [one_line(name, 60) for name in sorted(sizes)]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _listing(address: Address) -> tuple[dict[str, int], Path | None]:
    """Sizes of the files of a repository; the folder of the cache where the Hub is not reached."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        info = HfApi().model_info(
            address.repository, revision=address.revision, files_metadata=True
        )
        return {file.rfilename: file.size or 0 for file in info.siblings or ()}, None
    except Exception as error:
        is_answer = isinstance(error, HfHubHTTPError) and error.response.status_code < 500
        folder = None if is_answer or not _is_of_network(error) else _cached(address)
        if folder is None:
            raise
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}, folder


def _cached(address: Address) -> Path | None:
    """Folder of the cache that holds a revision, or some of its files."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return None
    wanted = address.revision or "main"
    for repository in repositories:
        if (repository.repo_type, repository.repo_id) != ("model", address.repository):
            continue
        for revision in repository.revisions:
            if wanted in revision.refs or wanted == revision.commit_hash:
                return Path(revision.snapshot_path)
    return None


def _is_cached(name: str, address: Address) -> bool:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(address.repository, name, revision=address.revision)
    return isinstance(found, str)


def _refuse_huge(sizes: Mapping[str, int], address: Address) -> None:
    for name, size in sizes.items():
        if size > MAX_BYTES:
            raise RunFolderError(
                f"{address}: {one_line(name, 60)} has {size / 2**30:.1f} GiB, more than "
                f"{MAX_BYTES // 2**30}. No network here is that large; name another file."
            )


def _require_room(sizes: Mapping[str, int], address: Address, cache: str) -> None:
    folder = next(path for path in (Path(cache), *Path(cache).parents) if path.exists())
    free, wanted = shutil.disk_usage(folder).free, sum(sizes.values())
    if wanted > free:
        raise _no_room(address, f"{wanted:,} bytes are needed and {free:,} are free in {folder}")


def _no_room(address: Address, fact: str) -> RunFolderError:
    return RunFolderError(
        f"{address} cannot be downloaded: {fact}. Make room, or set HF_HOME to another disk."
    )


def _is_of_network(error: Exception) -> bool:
    """Whether the Hub could not be reached, or is down; the client has several kinds for it."""
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code >= 500
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return bool(kinds & {"ConnectionError", "TransportError", "TimeoutError", "RequestException"})


@contextmanager
def _errors_of(address: Address) -> Iterator[None]:
    """Answer the errors of the client in a line."""
    try:
        yield
    except (ConfigError, RunFolderError):
        raise
    except Exception as error:
        raise _in_a_line(error, address) from None


def _in_a_line(error: Any, address: Address) -> RunFolderError:
    from huggingface_hub import errors

    where = f"{SCHEME}{address.repository}"
    if isinstance(error, errors.GatedRepoError):
        return RunFolderError(
            f"{where} is gated. Ask for access on its page, and log in: hf auth login."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return RunFolderError(
            f"{where} does not exist, or is private. Check the spelling, or log in: hf auth login."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return RunFolderError(
            f"{where} has no revision {shown(address.revision)}. Name a branch, a tag or a whole "
            "commit hash."
        )
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return _no_room(address, "the disk is full")
    if isinstance(error, errors.OfflineModeIsEnabled):
        return RunFolderError(
            f"{where} is not in the cache, and HF_HUB_OFFLINE is set. Unset it to download."
        )
    if isinstance(error, errors.LocalEntryNotFoundError) or _is_of_network(error):
        return RunFolderError(
            f"{where} cannot be reached and is not in the cache ({_first_line(error)}). Check the "
            "network, HF_ENDPOINT and HF_HUB_OFFLINE."
        )
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return RunFolderError(f"{where} cannot be read with this token. Log in: hf auth login.")
    return RunFolderError(
        f"{where} cannot be downloaded: {_first_line(error)}. Try again, or download it with "
        "hf download."
    )


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return one_line(line, 160).rstrip(".")
