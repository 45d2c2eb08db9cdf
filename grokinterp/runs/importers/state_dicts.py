"""Folders of state dicts, a file per step, and state dicts in memory."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

from torch import Tensor

from grokinterp.errors import CheckpointError
from grokinterp.models import ModelSpec
from grokinterp.runs.importers.assembly import (
    DRAW_FIELDS,
    CheckpointFiles,
    given_split,
    imported_run,
    listed,
    plural,
    quoted,
)
from grokinterp.runs.importers.described import needs_description, read_described
from grokinterp.runs.importers.evidence import Reading, find_reading
from grokinterp.runs.importers.foreign_files import (
    ForeignPath,
    Importer,
    read_foreign_file,
    step_in_name,
)
from grokinterp.runs.importers.hints import NO_HINTS, Hints
from grokinterp.runs.importers.parameters import (
    Network,
    find_state_dict,
    read_network,
)
from grokinterp.runs.importers.readings import open_readings
from grokinterp.runs.importers.stored_config import config_beside, known_fields
from grokinterp.runs.memory import refuse_shared_memory
from grokinterp.runs.record import ImportedRun, WeightsInMemory
from grokinterp.tasks import Split, Task, TaskSpec

_KIND = ("act_fn", "attention_dir", "attention_rate")


def objection(source: ForeignPath) -> str:
    """Say why a path is no such folder; empty if it is."""
    if not source.path.is_dir():
        return "a single file"
    files = _step_files(source)
    n_named = sum(step_in_name(file) is not None for file in source.files)
    if n_named > len(files):
        return "two of its files end in the same step"
    if not files:
        return "no *.pt, *.pth or *.safetensors whose names end in a step"
    state = find_state_dict(read_foreign_file(files[max(files)]))
    return "" if state is not None else f"no state dict in {files[max(files)].name}"


def load(source: ForeignPath, hints: Hints = NO_HINTS) -> ImportedRun:
    """Read a folder; the last file shows the network and the task."""
    files = _step_files(source)
    content = read_foreign_file(files[max(files)])
    state, config = find_state_dict(content), config_beside(content)
    assert state is not None
    candidates = open_readings(state, {**known_fields(config), **hints.model})
    reading = find_reading(candidates, hints=hints)
    spec = reading.network.spec

    def read(path: Path) -> dict[str, Tensor]:
        found = find_state_dict(read_foreign_file(path))
        if found is None:
            raise CheckpointError("it holds no state dict.")
        return _like(found, reading.network).parameters

    left = {f.name for f in source.files} - {f.name for f in files.values()}
    return imported_run(
        source,
        CheckpointFiles(files, read),
        spec,
        Split.unknown(reading.task),
        origin=[
            f"imported from the folder {source.path.name} (state_dicts): "
            f"{plural(len(files), 'file')}, whose names end in the step.",
            reading.account,
            "Which pairs were trained on is not known.",
            quoted(config),
            listed([*reading.network.ignored, *left]),
        ],
        doubts=reading.doubts,
    )


def run_from_state_dicts(
    state_dicts: Mapping[int, Mapping[str, Any]],
    task: TaskSpec,
    train_pairs: Any,
    model: ModelSpec | None,
) -> ImportedRun:
    """Read state dicts in memory; see :meth:`grokinterp.runs.run.Run.from_state_dicts`."""
    if not state_dicts or any(not isinstance(s, Integral) or s < 0 for s in state_dicts):
        raise CheckpointError(
            f"state_dicts has the steps {list(state_dicts)[:5]}. Pass {{step: state_dict}} with "
            "the number of updates applied, 0 or more."
        )
    weights, ignored = {}, set()
    refuse_shared_memory(
        {step: _floats_in(content) for step, content in sorted(state_dicts.items())},
        "Keep {name: value.clone() for name, value in model.state_dict().items()} at each step.",
    )
    reading: Reading | None = None
    # The last first: it shows how all are to be read.
    for step, content in sorted(state_dicts.items(), reverse=True):
        try:
            state = _state_dict(content)
            if reading is None:
                reading = _read_last(state, Hints.of(task, None, train_pairs), model)
                network = reading.network
            elif model is not None and needs_description(model):
                network = read_described(state, model, Task(task))
            else:
                network = _like(state, reading.network)
        except CheckpointError as error:
            raise CheckpointError(f"step {step}: {error}") from None
        weights[int(step)] = {name: value.clone() for name, value in network.parameters.items()}
        ignored |= set(network.ignored)
    assert reading is not None
    split = Split.unknown(reading.task)
    how = "The split was not given."
    if train_pairs is not None:
        split, how = given_split(reading.task, train_pairs), "The split was given."
    return imported_run(
        None,
        WeightsInMemory(weights),
        reading.network.spec,
        split,
        origin=[
            f"made of {plural(len(weights), 'state dict')}.",
            reading.account,
            how,
            listed(ignored),
        ],
        unknown=DRAW_FIELDS,
        doubts=reading.doubts,
    )


def _state_dict(content: Any) -> Mapping[str, Tensor]:
    state = find_state_dict(content)
    if state is None:
        raise CheckpointError(
            "it is no state dict with TransformerLens's names. Pass model.state_dict()."
        )
    return state


def _read_last(state: Mapping[str, Tensor], hints: Hints, model: ModelSpec | None) -> Reading:
    """Read the last state dict as its model is described, or else in the best of all ways."""
    task = hints.task_on(0)
    assert task is not None
    if model is None:
        candidates = open_readings(state, n_answers=task.n_answers)
    elif needs_description(model):
        candidates = [read_described(state, model, Task(task))]
    else:
        candidates = [_as_described(state, model, task.n_answers)]
    return find_reading(candidates, hints=hints)


def _floats_in(content: Any) -> list[Tensor]:
    state = find_state_dict(content) or {}
    return [value for value in state.values() if value.is_floating_point()]


def _step_files(source: ForeignPath) -> dict[int, Path]:
    named = [(step_in_name(file), file) for file in source.files]
    return {step: file for step, file in named if step is not None}


def _as_described(state: Mapping[str, Tensor], spec: ModelSpec, n_answers: int | None) -> Network:
    kind = {name: getattr(spec, name) for name in _KIND}
    network = read_network(state, n_heads=spec.n_heads, n_answers=n_answers, **kind)
    _require_shape(network, spec)
    return network


def _like(state: Mapping[str, Tensor], last: Network) -> Network:
    """Read another checkpoint of a network as the last one was read."""
    network = read_network(state, **last.kind)
    _require_shape(network, last.transformer)
    return network


def _require_shape(network: Network, spec: ModelSpec) -> None:
    for name in ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "input_format"):
        found, expected = getattr(network.spec, name), getattr(spec, name)
        if found != expected:
            raise CheckpointError(f"it has {name}={found}, not {expected} as expected.")


IMPORTER = Importer("state_dicts", objection, load)
