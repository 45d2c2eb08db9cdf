"""Folders of state dicts, a file per step, and state dicts in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any

from torch import Tensor

from grokinterp.errors import CheckpointError
from grokinterp.models import MlpSpec, ModelSpec
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
    config_in,
    describe,
    find_contents,
    stored_step,
)
from grokinterp.runs.importers.described import needs_description, read_described
from grokinterp.runs.importers.evidence import Reading, find_reading
from grokinterp.runs.importers.explanations import CLAIMED_FROM
from grokinterp.runs.importers.foreign_files import (
    SUFFIXES,
    ForeignPath,
    Importer,
    read_foreign_file,
)
from grokinterp.runs.importers.hints import NO_HINTS, Hints
from grokinterp.runs.importers.layouts import layout_of
from grokinterp.runs.importers.other_names import read_under_other_names, unnamed_state_dict
from grokinterp.runs.importers.parameters import Network, find_state_dict, read_network
from grokinterp.runs.importers.perceptrons import described_perceptron
from grokinterp.runs.importers.readings import open_readings
from grokinterp.runs.importers.step_names import names_a_step, step_in_name
from grokinterp.runs.importers.stored_config import known_fields
from grokinterp.runs.memory import refuse_shared_memory
from grokinterp.runs.record import ImportedRun, WeightsInMemory
from grokinterp.tasks import Split, Task, TaskSpec

_KIND = ("act_fn", "attention_dir", "attention_rate")


def objection(source: ForeignPath) -> str:
    """Say why a path is no such folder; empty if it is."""
    if not source.is_folder:
        return "a single file"
    if not source.files:
        return f"no {', '.join(f'*{suffix}' for suffix in SUFFIXES)}"
    files = _step_files(source)
    n_named = sum(step_in_name(file) is not None for file in source.files)
    if n_named > len(files) and not _steps_inside(files):
        return "two of its files end in the same step"
    if not files:
        return "neither the names of its files nor the files say their steps"
    content = read_foreign_file(files[max(files)])
    state, name = _state_in(content), files[max(files)].name
    if state is None:
        return f"{name}: {describe(content)}"
    return "" if layout_of(state) else f"{name}: a state dict without blocks.0.attn.W_O"


def load(source: ForeignPath, hints: Hints = NO_HINTS) -> ImportedRun:
    """Read a folder; the last file shows the network and the task."""
    files = _step_files(source)
    last = read_foreign_file(files[max(files)])
    state = _state_in(last)
    assert state is not None
    config = config_in(last, source.config_beside)
    known = {**known_fields(config), **hints.model}
    reading = find_reading(open_readings(state, known), hints=hints)
    spec = reading.network.spec

    def read(path: Path) -> dict[str, Tensor]:
        found = _state_in(read_foreign_file(path))
        if found is None:
            raise CheckpointError("it holds no state dict.")
        return _like(found, reading.network).parameters

    left = {f.name for f in source.files} - {f.name for f in files.values()}
    says = "which says its step" if len(files) == 1 else "which say their steps"
    how = says if _steps_inside(files) else "whose names say the step"
    return imported_run(
        source,
        CheckpointFiles(files, read),
        spec,
        Split.unknown(reading.task),
        origin=[
            f"imported from the folder {source.path.name} (state_dicts): "
            f"{plural(len(files), 'file')}, {how}.",
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
    model: ModelSpec | MlpSpec | None,
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
            elif reading.network.reread is not None:
                network = reading.network.reread(state)
            elif isinstance(model, ModelSpec) and needs_description(model):
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
    state = find_state_dict(content) or unnamed_state_dict(content)
    if state is None:
        raise CheckpointError("it is not a state dict. Pass model.state_dict().")
    return state


def _read_last(
    state: Mapping[str, Tensor], hints: Hints, model: ModelSpec | MlpSpec | None
) -> Reading:
    """Read the last state dict as its model is described, or else in the best of all ways."""
    task = hints.task_on(0)
    assert task is not None
    if isinstance(model, MlpSpec):
        candidates = [described_perceptron(state, model, Task(task))]
    elif not layout_of(state) and "blocks.0.attn.W_O" not in state:
        said = dataclasses.replace(hints, model=Hints.of(None, model, None).model)
        return read_under_other_names(state, said)[0]
    elif model is None:
        candidates = open_readings(state, n_answers=task.n_answers)
    elif needs_description(model):
        candidates = [read_described(state, model, Task(task))]
    else:
        candidates = [_as_described(state, model, task.n_answers)]
    reading = find_reading(candidates, hints=hints)
    is_off = hints.train_pairs is not None and reading.accuracy < CLAIMED_FROM
    if is_off and isinstance(model, ModelSpec) and layout_of(state):
        return find_reading([*candidates, *_departing(state, model, task)], hints=hints)
    return reading


def _departing(state: Mapping[str, Tensor], model: ModelSpec, task: TaskSpec) -> list[Network]:
    """Readings that depart from the description: one that answers better makes it doubtful."""
    known = Hints.of(None, model, None).model
    try:
        found = open_readings(state, known, n_answers=task.n_answers)
    except CheckpointError:
        return []
    return [network for network in found if network.against]


def _floats_in(content: Any) -> list[Tensor]:
    state = find_state_dict(content) or unnamed_state_dict(content) or {}
    return [value for value in state.values() if value.is_floating_point()]


def _state_in(content: Any) -> Mapping[str, Tensor] | None:
    """The only state dict of a file."""
    found = find_contents(content)
    return found.states[0] if found is not None and len(found.states) == 1 else None


def _step_files(source: ForeignPath) -> dict[int, Path]:
    """Files of a folder by step: as named, unless names count epochs and the files updates."""
    named = [(step, file) for file in source.files if (step := step_in_name(file)) is not None]
    by_name = dict(named)
    if named and all(names_a_step(file) for _, file in named):
        return by_name
    # One file shows whether the files know better than their names.
    sample = named[-1] if named else (None, source.files[-1]) if source.files else None
    if sample is None or _stored(sample[1], is_named=bool(named)) in (None, sample[0]):
        return by_name
    files = [file for _, file in named] if named else source.files
    stored = [(_stored(file, is_named=bool(named)), file) for file in files]
    inside: dict[int, Path] = {}
    for step, file in stored:
        if step is None:
            continue
        if not named and step in inside and not _hold_the_same(inside[step], file):
            raise CheckpointError(
                f"{inside[step].name} and {file.name} both say step {step:,}, and hold other "
                "weights. Put the files of each run into a folder of its own."
            )
        inside[step] = file
    return inside if len(inside) == len(files) or not named else by_name


def _stored(path: Path, *, is_named: bool) -> int | None:
    """The step that a file says, or where its name says nothing its epoch."""
    content = read_foreign_file(path)
    key, number = stored_step(content)
    is_known = _state_in(content) is not None and (key != "epoch" or not is_named)
    return number if is_known else None


def _hold_the_same(one: Path, other: Path) -> bool:
    first, second = (_state_in(read_foreign_file(path)) or {} for path in (one, other))
    return first.keys() == second.keys() and all(
        value.shape == second[name].shape and bool((value == second[name]).all())
        for name, value in first.items()
    )


def _steps_inside(files: Mapping[int, Path]) -> bool:
    return any(step_in_name(file) != step for step, file in files.items())


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
