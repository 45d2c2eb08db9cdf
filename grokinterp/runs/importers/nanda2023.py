"""The files of Nanda et al. 2023: ``saved_runs/*.pth`` and the folders of their trainer.

A file is a dictionary with ``model``, or ``state_dicts`` and ``epochs``; with curves
``train_losses`` and ``test_losses``, and anything else their code saved. Losses are
logged before an update and weights are stored after it: entry e of a curve belongs to step e,
the weights of epoch e to step e + 1. ``final.pth`` alone has the weights after all updates.

References
----------
Nanda et al., "Progress measures for grokking via mechanistic interpretability", ICLR 2023,
arXiv:2301.05217, published code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.runs.importers.assembly import (
    DRAW_FIELDS,
    CheckpointFiles,
    given_split,
    imported_run,
    listed,
    plural,
    quoted,
)
from grokinterp.runs.importers.contents import (
    Contents,
    config_in,
    find_contents,
    passed_over,
    require_own_memory,
)
from grokinterp.runs.importers.evidence import Reading, find_reading
from grokinterp.runs.importers.foreign_files import (
    ForeignPath,
    Importer,
    read_foreign_file,
)
from grokinterp.runs.importers.hints import NO_HINTS, Hints
from grokinterp.runs.importers.inferred_splits import expected_next, find_split
from grokinterp.runs.importers.layouts import layout_of
from grokinterp.runs.importers.logs import Logs, logs_of
from grokinterp.runs.importers.parameters import networks_of, read_network
from grokinterp.runs.importers.readings import open_readings
from grokinterp.runs.importers.stored_config import known_fields
from grokinterp.runs.importers.trained_pairs import stored_table
from grokinterp.runs.record import ImportedRun, WeightsInMemory
from grokinterp.tasks import Split

_FUNCTIONS = {"add": "addition", "subtract": "subtraction"}
_USED = {"train_losses", "test_losses", "epoch", "train_loss", "test_loss"}
_USED |= {"train_data", "test_data"}
_NO_PAIRS = (
    "its train_data are not different pairs (a, b, p) of the task. Use "
    "gi.Run.from_state_dicts({step: state_dict}, task=..., train_pairs=...)."
)


def objection(source: ForeignPath) -> str:
    """Say why a path is none of these files; empty if it is."""
    if source.is_folder:
        files = _epoch_files(source)
        if not files:
            return "no 100.pth, 200.pth, ... or final.pth"
        content = read_foreign_file(files[max(files)])
    else:
        content = source.content
    states = _states(content)
    if not states:
        return "no dictionary with key 'model' or 'state_dicts'"
    if layout_of(states[-1]) != "transposed":
        return "its weights are not transposed"
    W_pos = states[-1].get("pos_embed.W_pos")
    has_three = W_pos is not None and W_pos.shape[:1] == (3,)
    return "" if has_three else "not three positions a b ="


def load(source: ForeignPath, hints: Hints = NO_HINTS) -> ImportedRun:
    """Read a file or a folder of them."""
    return _load_folder(source, hints) if source.is_folder else _load_file(source, hints)


def _load_file(source: ForeignPath, hints: Hints) -> ImportedRun:
    content = source.content
    found = find_contents(content)
    assert found is not None
    require_own_memory(found)
    logs = _logs(content, found)
    states, steps = found.states, _steps(found, logs)
    pairs = _train_pairs(content)
    config = config_in(content, source.config_beside)
    reading = _read(states[-1], config, hints, pairs)
    split, how, unknown = _split(reading, pairs, _expected(logs, steps[-1]), hints)
    spec = reading.network.transformer
    weights = {
        step: network.parameters
        for step, network in networks_of(steps, states, **reading.network.kind).items()
    }
    where = f"imported from {source.path.name} (nanda2023): "
    where += f"{plural(len(steps), 'checkpoint')}, the last at step {steps[-1]:,}"
    where += "." if steps[-1] else " (the step is not known)."
    return imported_run(
        source,
        WeightsInMemory(weights),
        spec,
        split,
        curves=logs.curves(),
        origin=[*_origin(where, reading, how, content, config, found, logs), found.account],
        unknown=unknown,
        doubts=reading.doubts,
    )


def _load_folder(source: ForeignPath, hints: Hints) -> ImportedRun:
    files = _epoch_files(source)
    last = read_foreign_file(files[max(files)])
    found = find_contents(last)
    assert found is not None
    logs = logs_of(last, last=max(files))
    start = source.path / "init.pth"
    first = read_foreign_file(start) if start.exists() else {}
    pairs = _train_pairs(first)
    config = config_in(last, source.config_beside)
    reading = _read(found.states[-1], config, hints, pairs)
    split, how, unknown = _split(reading, pairs, _expected(logs, max(files)), hints)
    spec = reading.network.transformer

    def read(path: Path) -> dict[str, Tensor]:
        network = read_network(_states(read_foreign_file(path))[-1], **reading.network.kind)
        if network.spec != spec:
            raise CheckpointError("it holds a network of another shape than the last file.")
        return network.parameters

    where = f"imported from the folder {source.path.name} (nanda2023): "
    where += f"{plural(len(files), 'file')}, the last at step {max(files):,}."
    return imported_run(
        source,
        CheckpointFiles(files, read),
        spec,
        split,
        curves=logs.curves(),
        origin=_origin(where, reading, how, last, config, found, logs),
        unknown=unknown,
        doubts=reading.doubts,
    )


def _epoch_files(source: ForeignPath) -> dict[int, Path]:
    """Files of a folder by step: ``init.pth`` is 0, ``100.pth`` 101, ``final.pth`` its epoch."""
    files = {int(f.stem) + 1: f for f in source.files if f.stem.isdecimal()}
    final = next((f for f in source.files if f.stem == "final"), None)
    if final is not None:
        files[_last_step(read_foreign_file(final))] = final
    start = next((f for f in source.files if f.stem == "init"), None)
    return {0: start, **files} if files and start is not None else files


def _states(content: Any) -> tuple[Mapping[str, Tensor], ...]:
    found = find_contents(content)
    return () if found is None else found.states


def _logs(content: Any, found: Contents) -> Logs:
    if found.counted == "epoch":
        return logs_of(content, epochs=found.numbers)
    return logs_of(content, last=_updates(found))


def _updates(found: Contents) -> int | None:
    """Updates that a single network has seen, where the file says so: epoch e is step e + 1."""
    return found.numbers[-1] + (found.key == "epoch") if found.numbers else None


def _steps(found: Contents, logs: Logs) -> list[int]:
    if len(found.states) > 1 or found.counted == "epoch":
        return list(found.steps)
    updates = _updates(found)
    return [len(logs.train) if updates is None else updates]


def _last_step(content: Any) -> int:
    """Step of ``final.pth``, whose epoch is the last one or their number, as its log tells."""
    found = find_contents(content)
    epoch = found.numbers[-1] if found is not None and found.numbers else None
    n_logged = len(logs_of(content).train)
    return n_logged if epoch is None or n_logged == epoch + 1 else epoch


def _expected(logs: Logs, step: int) -> dict[str, float] | None:
    """Losses that a log of every epoch up to a step leads to expect there, if there is one.

    It is empty if the log ends in no number.
    """
    train, test = list(logs.train.values()), list(logs.test.values())
    if not logs.is_every_epoch or len(train) != step:
        return None
    if not all(math.isfinite(loss) for loss in [*train[-2:], *test[-2:]]):
        return {}
    value, tolerance = expected_next(train)
    log = {"train": value, "train_tolerance": tolerance}
    if test:
        value, tolerance = expected_next(test)
        log |= {"test": value, "test_tolerance": tolerance}
    return log


def _train_pairs(content: Any) -> np.ndarray | None:
    """(n, 2) pairs that a file says were trained on; None if it does not say."""
    pairs = content.get("train_data") if isinstance(content, Mapping) else None
    if not isinstance(pairs, (list, tuple, np.ndarray, Tensor)) or not len(pairs):
        return None
    try:
        return np.array([tuple(pair)[:2] for pair in pairs])
    except (TypeError, ValueError):
        raise CheckpointError(_NO_PAIRS) from None


def _read(
    state: Mapping[str, Tensor],
    config: Mapping[str, Any],
    hints: Hints,
    pairs: np.ndarray | None,
) -> Reading:
    said = _FUNCTIONS.get(str(config.get("fn_name")))
    candidates = open_readings(state, {**known_fields(config), **hints.model})
    trained = stored_table(pairs, hints, candidates[0].order)
    return find_reading(candidates, said=said, hints=hints, trained=trained)


def _split(
    reading: Reading, pairs: np.ndarray | None, log: dict[str, float] | None, hints: Hints
) -> tuple[Split, str, tuple[str, ...]]:
    """The split, how it was found, and what is not known of it."""
    if pairs is None:
        split, how = find_split(reading, log=log)
        return split, how, ()
    try:
        split = given_split(reading.task, pairs)
    except ConfigError:
        if hints.train_pairs is not None:
            return Split.unknown(reading.task), "Its train_data are no pairs of the task.", ()
        raise CheckpointError(_NO_PAIRS) from None
    return split, "The split is the one stored with the run.", DRAW_FIELDS


def _origin(
    where: str,
    reading: Reading,
    how: str,
    content: Any,
    config: Mapping[str, Any],
    found: Contents,
    logs: Logs,
) -> list[str]:
    cut = "One output more than there are answers was cut."
    return [
        where,
        "Weights were transposed to TransformerLens's orientation.",
        cut if reading.network.extra_output is not None else "",
        reading.account,
        how,
        logs.account,
        quoted(config),
        listed(reading.network.ignored),
        passed_over(content, found, _USED - set(logs.left_out)),
    ]


IMPORTER = Importer("nanda2023", objection, load)
