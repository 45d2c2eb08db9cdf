"""Loading a run from wherever it came: our own folders, and other people's files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any

from grokinterp.errors import CheckpointError, ConfigError, RunFolderError
from grokinterp.fields import checked, shown
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.runs import exported, stored_run
from grokinterp.runs.atomic import is_there
from grokinterp.runs.exported import EXPORT_FORMAT
from grokinterp.runs.importers import IMPORTERS, ForeignPath
from grokinterp.runs.importers.assembly import with_given_pairs
from grokinterp.runs.importers.hints import Hints
from grokinterp.runs.importers.sweeps import refuse_sweep
from grokinterp.runs.reading import MOST_JSON_BYTES, read_bytes, read_json_table
from grokinterp.runs.record import ImportedRun
from grokinterp.runs.run import Run
from grokinterp.tasks import TaskSpec

OWN_FORMAT = "grokinterp"
HUB = "hf:/"
"""How addresses of the Hugging Face Hub begin; of two slashes a Path keeps one."""


def load_run(
    path: str | Path,
    format: str | None = None,
    *,
    task: TaskSpec | None = None,
    model: ModelSpec | MlpSpec | None = None,
    train_pairs: Any = None,
) -> Run:
    """Load a run: a folder of ours, or a file or folder in one of the formats of others.

    Files and folders of the Hugging Face Hub are downloaded into its cache:
    ``hf://owner/name[@revision][/path]``.

    Nothing in a file is run. What a foreign file does not say is inferred from how its network
    answers, or not known: ``run.origin`` says which, and ``run.split.is_known`` whether there
    are training pairs.

    Parameters
    ----------
    path
        Run folder, checkpoint file, or folder of checkpoint files, here or on the Hub.
    format
        ``grokinterp``, ``export``, or the name of an importer: ``chughtai2023``, ``zhong2023``,
        ``grokking_demo``, ``nanda2023``, ``transformer_lens``, ``state_dicts``, ``other_names``.
        None: whichever recognizes it.
    task
        What the network of a foreign file learned, in place of what the file shows; its
        split settings are ignored. None: found from its answers.
    model
        Its shape, where weights do not show it. None: found from weights and answers.
    train_pairs
        What it was trained on: rows into ``Task(task).pairs``, or an (n, 2) array of pairs.
        None: as far as the file shows it.

    Raises
    ------
    RunFolderError
        If the path does not exist, a run folder is not whole, or the Hub cannot be read.
    CheckpointError
        If no importer recognizes the path, or the one that does cannot read it.
    ConfigError
        If there is no such format, `task`, `model` or `train_pairs` does not fit the file, or
        they are given for a run folder of ours, which says all of it.

    Examples
    --------
    >>> import grokinterp as gi
    >>> gi.load_run("ckpts/").steps[-1]
    800
    >>> print(gi.load_run("low_precision_mod_addition.pth").origin)
    imported from low_precision_mod_addition.pth ...
    """
    hints = Hints.of(
        checked("task", task, TaskSpec | None),
        checked("model", model, ModelSpec | MlpSpec | None),
        train_pairs,
    )
    return read_run(path, format, hints)


def read_run(path: str | Path, format: str | None, hints: Hints) -> Run:
    """Load a run with whatever a user says about it; see :func:`load_run`."""
    checked("path", path, str | PathLike)
    if str(path).startswith(HUB):
        return _run_of_hub(str(path), format, hints)
    return _read(Path(path), format, hints)


def _run_of_hub(address: str, format: str | None, hints: Hints) -> Run:
    # Only now: what does not come from there needs no client.
    from grokinterp.runs.hub import fetch

    fetched = fetch(address)
    try:
        run = _read(fetched.path, format, hints)
    except CheckpointError:
        # Some formats are folders, with one file of weights.
        if fetched.folder is None:
            raise
        try:
            run = _read(fetched.folder, format, hints)
        except CheckpointError:
            run = None
        if run is None:
            raise
    # What is analyzed goes elsewhere than into the cache of the Hub.
    from_cache = (
        " (the Hub was not reached: only what its cache has)" if fetched.is_of_cache else ""
    )
    origin = f"downloaded from {fetched.address}{from_cache}: {run.origin}"
    return dataclasses.replace(run, origin=origin, folder=None)


def _read(path: Path, format: str | None, hints: Hints) -> Run:
    source = ForeignPath(path)
    names = (OWN_FORMAT, EXPORT_FORMAT, *(importer.name for importer in IMPORTERS))
    if checked("format", format, str | None) is not None and format not in names:
        raise ConfigError(f"format={shown(format)} is not known. Choose one of {', '.join(names)}.")
    if not is_there(source.path):
        raise RunFolderError(f"{path} does not exist. Train into it, or check the spelling.")
    is_export = format in (None, EXPORT_FORMAT) and exported.is_export(path)
    if is_export or format == OWN_FORMAT or (format is None and _is_own(source)):
        _refuse_hints(path, hints)
        return (exported if is_export else stored_run).load_run(path)
    tried = [
        f"{OWN_FORMAT} (no config.json of a run)",
        f"{EXPORT_FORMAT} (no export_version in config.json)",
    ]
    if format == EXPORT_FORMAT:
        raise CheckpointError(f"{path} is not of the format {tried[1]}. Leave out --format.")
    if source.is_folder:
        refuse_sweep(source.files, str(path))
    for importer in IMPORTERS:
        if format not in (None, importer.name):
            continue
        objection = importer.objection(source)
        if not objection:
            return _load(importer.load, source, hints)
        tried.append(f"{importer.name} ({objection})")
    if format is None and _was_meant_as_own(source):
        return stored_run.load_run(path)  # which says what is wrong with it
    if format is not None:
        raise CheckpointError(
            f"{path} is not of the format {tried[-1]}. Leave out --format, or see "
            "docs/importing.md."
        )
    raise CheckpointError(
        f"no importer recognizes {path}. Tried {', '.join(tried)}. Pass --format NAME, for a "
        "network of your own --module package.module:build, or see docs/importing.md."
    )


def _refuse_hints(path: Path, hints: Hints) -> None:
    if hints.names:
        raise ConfigError(
            f"{path} holds a run of grokinterp, whose config.json says its task, its network and "
            f"its split. Leave out {', '.join(hints.names[:4])}."
        )


def _is_own(source: ForeignPath) -> bool:
    path = source.path / "config.json"
    try:
        content = read_bytes(path, most=MOST_JSON_BYTES)
        # A damaged one of ours is still ours: whoever reads it says what is wrong with it.
        return b"format_version" in content and "model_type" not in read_json_table(path)
    except OSError:
        return False
    except ValueError:
        return True


def _was_meant_as_own(source: ForeignPath) -> bool:
    folder = source.path
    if not folder.is_dir():
        return False
    if not (folder / "config.json").exists():
        return not any(folder.iterdir())
    # A folder of the Hub has weights beside its config.json, one of ours has them in a folder.
    return (folder / "checkpoints").is_dir() or not source.files


def _load(
    load: Callable[[ForeignPath, Hints], ImportedRun], source: ForeignPath, hints: Hints
) -> Run:
    try:
        found = load(source, hints)
    except CheckpointError as error:
        text = str(error)
        raise CheckpointError(
            text if str(source.path) in text else f"{source.path}: {text}"
        ) from None
    return Run.from_imported(with_given_pairs(found, hints.train_pairs))
