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
    LARGEST_STEP,
    CheckpointFiles,
    are_steps,
    curves_of,
    given_split,
    imported_run,
    listed,
    numbers_in,
    plural,
    quoted,
)
from grokinterp.runs.importers.evidence import (
    Reading,
    expected_next,
    find_reading,
    find_split,
)
from grokinterp.runs.importers.foreign_files import (
    ForeignPath,
    Importer,
    plain_fields,
    read_foreign_file,
)
from grokinterp.runs.importers.hints import NO_HINTS, Hints
from grokinterp.runs.importers.parameters import (
    find_state_dict,
    layout_of,
    networks_of,
    read_network,
)
from grokinterp.runs.importers.readings import open_readings
from grokinterp.runs.importers.stored_config import known_fields
from grokinterp.runs.record import ImportedRun, WeightsInMemory
from grokinterp.tasks import Split

_FUNCTIONS = {"add": "addition", "subtract": "subtraction"}
_USED = {"model", "state_dicts", "epochs", "train_losses", "test_losses", "epoch", "config"}
_USED |= {"train_loss", "test_loss", "train_data", "test_data"}


def objection(source: ForeignPath) -> str:
    """Say why a path is none of these files; empty if it is."""
    if source.path.is_dir():
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
    return _load_folder(source, hints) if source.path.is_dir() else _load_file(source, hints)


def _load_file(source: ForeignPath, hints: Hints) -> ImportedRun:
    content = source.content
    train, test, every = _curves(content)
    states, steps = _states(content), _steps(content, len(train))
    reading = _read(states[-1], content, hints)
    log = _expected(train, test) if steps[-1] == len(train) > 0 else None
    split, how, unknown = _split(reading, content.get("train_data"), log)
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
        curves=_curve_table(train, test, every),
        origin=_origin(where, reading, how, content, test),
        unknown=unknown,
        doubts=reading.doubts,
    )


def _load_folder(source: ForeignPath, hints: Hints) -> ImportedRun:
    files = _epoch_files(source)
    last = read_foreign_file(files[max(files)])
    train, test, every = _curves(last)
    start = source.path / "init.pth"
    first = read_foreign_file(start) if start.exists() else {}
    reading = _read(_states(last)[-1], last, hints)
    log = _expected(train, test) if max(files) == len(train) else None
    pairs = first.get("train_data") if isinstance(first, Mapping) else None
    split, how, unknown = _split(reading, pairs, log)
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
        curves=_curve_table(train, test, every),
        origin=_origin(where, reading, how, last, test),
        unknown=unknown,
        doubts=reading.doubts,
    )


def _epoch_files(source: ForeignPath) -> dict[int, Path]:
    """Files of a folder by step: ``init.pth`` is 0, ``100.pth`` 101, ``final.pth`` its epoch."""
    files = {int(f.stem) + 1: f for f in source.files if f.stem.isdecimal()}
    final = next((f for f in source.files if f.stem == "final"), None)
    if final is not None:
        content = read_foreign_file(final)
        files[_steps(content, len(_curves(content)[0]), is_final=True)[-1]] = final
    start = next((f for f in source.files if f.stem == "init"), None)
    return {0: start, **files} if files and start is not None else files


def _states(content: Any) -> list[Mapping[str, Tensor]]:
    if isinstance(content, Mapping) and isinstance(content.get("state_dicts"), (list, tuple)):
        found = [find_state_dict(state) for state in content["state_dicts"]]
        return [state for state in found if state is not None]
    state = find_state_dict(content)
    return [] if state is None else [state]


def _steps(content: Any, n_logged: int, *, is_final: bool = False) -> list[int]:
    n_states = len(_states(content))
    if "state_dicts" in content:
        epochs = numbers_in(content.get("epochs"))
        if len(epochs) != n_states or not are_steps(epochs):
            raise CheckpointError(
                f"the file has {n_states} state_dicts and {len(epochs)} epochs, so their steps are "
                "not known. Use gi.Run.from_state_dicts({step: state_dict}, ...)."
            )
        return [int(epoch) + 1 for epoch in epochs]
    if n_logged:
        return [n_logged]
    epoch = content.get("epoch")
    is_known = isinstance(epoch, int) and 0 <= epoch < LARGEST_STEP
    return [epoch + (not is_final)] if is_known else [0]


def _curves(content: Any) -> tuple[list[float], list[float], int]:
    """Logged losses, and the number of updates between entries of the test loss."""
    if not isinstance(content, Mapping):
        return [], [], 1
    train, test = (numbers_in(content.get(f"{side}_losses")) for side in ("train", "test"))
    every = len(train) // len(test) if test and train else 1
    # A log of another shape than "every so many updates" cannot be put at steps.
    return train, test if len(train) == every * len(test) or not train else [], max(every, 1)


def _curve_table(train: list[float], test: list[float], every: int) -> Any:
    return curves_of(dict(enumerate(train)), {i * every: loss for i, loss in enumerate(test)})


def _expected(train: list[float], test: list[float]) -> dict[str, float]:
    """Losses that a log leads to expect one entry on; empty if it ends in no number."""
    if not all(math.isfinite(loss) for loss in [*train[-2:], *test[-2:]]):
        return {}
    value, tolerance = expected_next(train)
    log = {"train": value, "train_tolerance": tolerance}
    if test:
        value, tolerance = expected_next(test)
        log |= {"test": value, "test_tolerance": tolerance}
    return log


def _read(state: Mapping[str, Tensor], content: Any, hints: Hints) -> Reading:
    config = plain_fields(content.get("config")) if isinstance(content, Mapping) else {}
    said = _FUNCTIONS.get(str(config.get("fn_name")))
    candidates = open_readings(state, {**known_fields(config), **hints.model})
    return find_reading(candidates, said=said, hints=hints)


def _split(
    reading: Reading, pairs: Any, log: dict[str, float] | None
) -> tuple[Split, str, tuple[str, ...]]:
    """The split, how it was found, and what is not known of it."""
    if not isinstance(pairs, (list, tuple, np.ndarray, Tensor)) or not len(pairs):
        split, how = find_split(reading, log=log)
        return split, how, ()
    try:
        a_b = np.array([tuple(pair)[:2] for pair in pairs])
        split = given_split(reading.task, a_b)
    except (ConfigError, TypeError, ValueError):
        raise CheckpointError(
            "its train_data are not different pairs (a, b, p) of the task. Use "
            "gi.Run.from_state_dicts({step: state_dict}, task=..., train_pairs=...)."
        ) from None
    return split, "The split is the one stored with the run.", DRAW_FIELDS


def _origin(where: str, reading: Reading, how: str, content: Any, test: list[float]) -> list[str]:
    cut = "One output more than there are answers was cut."
    config = content.get("config") if isinstance(content, Mapping) else None
    extra = set(content) - _USED if "model" in content or "state_dicts" in content else set()
    # A log whose steps cannot be inferred is passed over like any other key.
    extra |= {"test_losses"} if "test_losses" in content and not test else set()
    return [
        where,
        "Weights were transposed to TransformerLens's orientation.",
        cut if reading.network.extra_output is not None else "",
        reading.account,
        how,
        quoted(plain_fields(config)),
        listed([*reading.network.ignored, *map(str, extra)]),
    ]


IMPORTER = Importer("nanda2023", objection, load)
