"""State dicts under any names: a perceptron or a transformer, if the network answers a task.

Names and shapes say which tensor is what. What they leave open becomes several readings, and the
one that answers best is taken. A network that answers no known task is refused: its names may
have been understood wrongly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from grokinterp.errors import CheckpointError, one_line
from grokinterp.fields import shown
from grokinterp.models import MlpSpec
from grokinterp.runs.importers.assembly import (
    CheckpointFiles,
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
from grokinterp.runs.importers.judging import AS_ACCURATE, ENOUGH, Judged, judged
from grokinterp.runs.importers.layouts import layout_of
from grokinterp.runs.importers.logs import Logs, logs_of
from grokinterp.runs.importers.parameters import Network
from grokinterp.runs.importers.perceptrons import perceptron_readings
from grokinterp.runs.importers.state_dict_names import WRAPPERS
from grokinterp.runs.importers.step_names import step_in_name
from grokinterp.runs.importers.stored_config import known_fields
from grokinterp.runs.importers.transformer_lens import step_of_one
from grokinterp.runs.importers.transformer_names import transformer_readings
from grokinterp.runs.record import ImportedRun, WeightsInMemory
from grokinterp.tasks import Split, Task

_REMEDY = (
    "Give its module, --module package.module:build, or rename its parameters as TransformerLens "
    "does; see docs/importing.md."
)


_OF_NO_SHAPE = ("act_fn", "attention_dir", "attention_rate", "norm_epsilon", "curvature")
"""Fields that are taken as they are given where no reading has them."""

_OF_CONFIG = ("act_fn", "attention_dir", "norm_epsilon", "normalization", "n_heads", "d_head")
"""Fields that a stored config decides: shapes do not show them, or not alone."""


def unnamed_state_dict(content: Any) -> dict[str, Tensor] | None:
    """Return a state dict under names that are not the library's, bare or under ``model``.

    A prefix that all names share, such as ``net.``, is removed. None if there is no table of
    tensors, or its names are known.
    """
    if not isinstance(content, Mapping):
        return None
    for found in (content, *(content.get(name) for name in WRAPPERS)):
        if not isinstance(found, Mapping) or not found:
            continue
        tensors = {str(n): v for n, v in found.items() if isinstance(v, Tensor)}
        n_matrices = sum(v.ndim == 2 and v.is_floating_point() for v in tensors.values())
        if len(tensors) < len(found) or n_matrices < 2:
            continue
        state = _without_shared_prefix(tensors)
        return None if layout_of(state) else state
    return None


def unknown_names(state: Mapping[str, Tensor]) -> str:
    """``a state dict whose names are not known (fc1.weight, fc1.bias, ...)``."""
    names = [one_line(name, 40) for name in list(state)[:3]]
    more = ", ..." if len(state) > 3 else ""
    return f"a state dict whose names are not known ({', '.join(names)}{more})"


def objection(source: ForeignPath) -> str:
    """Say why a path is no such file or folder; empty if it is."""
    files = _step_files(source)
    if source.is_folder and not files:
        is_twice = any(step_in_name(file) is not None for file in source.files)
        return "two of its files have the same step" if is_twice else "no names that say a step"
    if files:
        found: object = unnamed_state_dict(read_foreign_file(files[max(files)]))
    else:
        found = find_contents(source.content, unnamed_state_dict)
    return "" if found is not None else "no table of tensors alone"


def load(source: ForeignPath, hints: Hints = NO_HINTS) -> ImportedRun:
    """Read a file of one or several state dicts, or a folder of files whose names say the step.

    The last state dict shows the network and the task.
    """
    files = _step_files(source)
    content = read_foreign_file(files[max(files)]) if files else source.content
    found = find_contents(content, unnamed_state_dict)
    assert found is not None
    config = config_in(content, source.config_beside)
    reading, note = read_under_other_names(found.states[-1], hints, config)
    # A network that only memorized is right on its training pairs alone.
    if hints.train_pairs is None:
        _refuse_another_task(found.states[-1], reading)
    chosen = reading.network
    if files:
        where = f"the folder {source.path.name} (other_names): {plural(len(files), 'file')}, whose "
        where += "names say the step"
        weights = CheckpointFiles(files, lambda path: _parameters(read_foreign_file(path), chosen))
    else:
        weights, when = _weights(source, found, chosen)
        where = f"{source.path.name} (other_names): {when}"
    # Losses beside a single state dict do not say when they were taken.
    is_dated = not files and found.counted == "epoch"
    logs = logs_of(content, epochs=found.numbers) if is_dated else Logs({}, {}, "")
    used = {"train_losses", "test_losses"} - set(logs.left_out) if is_dated else ()
    left = {file.name for file in source.files} - {file.name for file in files.values()}
    return imported_run(
        source,
        weights,
        chosen.spec,
        Split.unknown(reading.task),
        curves=logs.curves(),
        origin=[
            f"imported from {where}.",
            found.account if len(found.states) > 1 else "",
            *chosen.notes,
            note,
            reading.account,
            "Which pairs were trained on is not known.",
            logs.account,
            quoted(config),
            listed([*chosen.ignored, *left]),
            passed_over(content, found, used, unnamed_state_dict),
        ],
        doubts=reading.doubts,
    )


def _weights(source: ForeignPath, found: Contents, last: Network) -> tuple[WeightsInMemory, str]:
    """Weights of a file by step, and where the steps are from."""
    if len(found.states) == 1:
        step, how = step_of_one(source, found)
        return WeightsInMemory({step: last.parameters}), f"the weights at {how}"
    require_own_memory(found)
    steps = found.steps
    by_step = {
        step: _parameters(state, last) for step, state in zip(steps, found.states, strict=True)
    }
    checkpoints = plural(len(steps), "checkpoint")
    return WeightsInMemory(by_step), f"{checkpoints}, the last at step {steps[-1]:,}"


def _parameters(content: Any, last: Network) -> dict[str, Tensor]:
    """Parameters of another step, read as the last."""
    found = unnamed_state_dict(content)
    if found is None or last.reread is None:
        raise CheckpointError("it holds no state dict.")
    network = last.reread(found)
    if (network.spec, network.order) != (last.spec, last.order):
        raise CheckpointError("it holds a network of another shape than the last file.")
    return network.parameters


def all_readings(state: Mapping[str, Tensor]) -> list[Network]:
    """Read a state dict in every way that names and shapes leave open, one at least.

    Raises
    ------
    CheckpointError
        If its shapes are those of no network that is known here.
    """
    candidates = [*perceptron_readings(state)]
    why = ""
    if not candidates:
        candidates, why = transformer_readings(state)
    if not candidates:
        raise CheckpointError(
            f"it is {unknown_names(state)}, and neither a perceptron nor a transformer known here"
            f"{f': {why}' if why else ''}. {_REMEDY}"
        )
    return candidates


def stated_readings(
    state: Mapping[str, Tensor], hints: Hints, config: Mapping[str, Any] | None = None
) -> list[Network]:
    """Read a state dict in every way that names, shapes and what is stated leave open.

    Parameters
    ----------
    state
        Names to tensors.
    hints
        Fields of the model decide between readings; a given task says the number of operands.
    config
        Fields of a config stored with it. Those that no shape shows decide where the user says
        nothing.

    Raises
    ------
    CheckpointError
        If its shapes are those of no network that is known here, or contradict what is stated.
    """
    candidates = all_readings(state)
    known = known_fields(config or {})
    if known.get("use_attn_scale") is False and hasattr(candidates[0].spec, "attention_dir"):
        raise CheckpointError(
            "its stored config says that attention scores are not divided by the square root of "
            f"d_head, which is read under TransformerLens's names alone. {_REMEDY}"
        )
    in_config = {k: v for k, v in known.items() if k in _OF_CONFIG}
    if all(getattr(one.spec, "normalization", "none") == "none" for one in candidates):
        # Configs of Hugging Face have one whether there is a norm or not.
        in_config.pop("norm_epsilon", None)
    for name, value in {**in_config, **hints.model}.items():
        fitting = [one for one in candidates if getattr(one.spec, name, None) == value]
        if not fitting and name in _OF_NO_SHAPE:
            fitting = [_with(one, name, value) for one in candidates if hasattr(one.spec, name)]
        if not fitting and name not in hints.model:
            if not any(hasattr(one.spec, name) for one in candidates):
                continue
            raise CheckpointError(
                f"its stored config has {name}={shown(value)}, but names and shapes are those of a "
                f"{candidates[0].spec.in_words}. Say what the network is: model=..., or --model."
                f"{name.replace('_', '-')}."
            )
        if not fitting:
            specs = [one.spec for one in candidates]
            found = {str(getattr(s, name)) for s in specs if hasattr(s, name)}
            values = " or ".join(sorted(found))
            theirs = f"with {name}={values}" if found else "that has no such field"
            raise CheckpointError(
                f"model.{name}={shown(value)} is given, but names and shapes are those of a "
                f"network {theirs}, a {candidates[0].spec.in_words}. Correct it, or leave it out."
            )
        candidates = fitting
    # Modulo p the order is p, which need not be said; others have it from their group or table.
    has_order = any(name in hints.task for name in ("degree", "labels", "group", "group_table"))
    spec = hints.task_on(0) if has_order else None
    order = hints.task.get("p") if spec is None else Task(spec).n_tokens
    return [one for one in candidates if one.order == order] or candidates


def _with(network: Network, name: str, value: Any) -> Network:
    """The network with a field that no weight shows, at all its checkpoints."""
    reread = network.reread
    assert reread is not None
    spec = dataclasses.replace(network.spec, **{name: value})
    return dataclasses.replace(
        network, spec=spec, reread=lambda state: _with(reread(state), name, value)
    )


def read_under_other_names(
    state: Mapping[str, Tensor], hints: Hints, config: Mapping[str, Any] | None = None
) -> tuple[Reading, str]:
    """Find the reading that answers a task, the given one if one is given.

    Returns
    -------
    reading
        With a doubt if the network contradicts the given task.
    note
        What no shape shows of it, in a sentence; empty if the account of the reading says so.

    Raises
    ------
    CheckpointError
        If no reading answers a task, or none is as the user says.
    """
    candidates = stated_readings(state, hints, config)
    is_said = "operation" in hints.task or hints.train_pairs is not None
    ranked = judged(candidates)
    if ranked[0].accuracy >= ENOUGH or not is_said:
        _refuse_idle(state, ranked)
        if isinstance(ranked[0].network.spec, MlpSpec):
            return find_reading(_as_accurate(candidates, ranked), hints=hints), ""
        return find_reading([ranked[0].network], hints=hints), _chosen(ranked[0], ranked)
    order = candidates[0].order
    reading = find_reading([one for one in candidates if one.order == order], hints=hints)
    return reading, ""


def _as_accurate(candidates: Sequence[Network], ranked: list[Judged]) -> list[Network]:
    """Readings that are right as often as the best one, in the order of preference."""
    best, order = ranked[0], ranked[0].network.order
    alike = [one.network for one in ranked if one.accuracy >= best.accuracy - AS_ACCURATE]
    return [one for one in candidates if one.order == order and one in alike]


def _refuse_another_task(state: Mapping[str, Tensor], reading: Reading) -> None:
    """Refuse a file whose network does not do the given task, and no other one either."""
    if reading.accuracy < ENOUGH and not reading.is_explained:
        raise CheckpointError(
            f"it is {unknown_names(state)}. The best reading of its shapes, a "
            f"{reading.network.spec.in_words}, is right on {reading.accuracy:.1%} of the pairs of "
            f"the given task, {reading.task.spec.in_words}. {_REMEDY}"
        )


def _refuse_idle(state: Mapping[str, Tensor], ranked: list[Judged]) -> None:
    """Refuse a network that answers no task: its names may have been understood wrongly."""
    best = ranked[0]
    if best.accuracy < ENOUGH:
        raise CheckpointError(
            f"it is {unknown_names(state)}. The best of {plural(len(ranked), 'reading')} of "
            f"its shapes, a {best.network.spec.in_words}, is right on only {best.accuracy:.1%} "
            f"of the pairs of {best.operation}, too few for a trained network. {_REMEDY}"
        )


def _chosen(best: Judged, ranked: list[Judged]) -> str:
    """Say which fields no shape shows, and what the next reading would have answered."""
    if len(ranked) < 2:
        return ""
    own = vars(best.network.spec)
    others = [vars(one.network.spec) for one in ranked]
    fields = [name for name in own if any(own[name] != other.get(name) for other in others)]
    text = ", ".join(f"{name}={own[name]}" for name in fields)
    rival = next((o for o in ranked[1:] if o.network.spec != best.network.spec), None)
    if rival is None or not text:
        return ""
    there = vars(rival.network.spec)
    other = ", ".join(f"{n}={there[n]}" for n in own if own[n] != there.get(n))
    return (
        f"Not shown by the weights, chosen by how clearly they answer: {text} (next: {other}, "
        f"right on {rival.accuracy:.1%} of the pairs tried, with a margin of {rival.margin:.2f} "
        f"standard deviations of the logits instead of {best.margin:.2f})."
    )


def _without_shared_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = list(state)
    while all("." in name for name in names):
        first = names[0].split(".", 1)[0]
        # One letter and digits are layers, not wrappers: ``0.weight``.
        if first.isdecimal() or any(not name.startswith(f"{first}.") for name in names):
            break
        names = [name.split(".", 1)[1] for name in names]
    return dict(zip(names, state.values(), strict=True))


def _step_files(source: ForeignPath) -> dict[int, Path]:
    named = [(step_in_name(file), file) for file in source.files]
    found = {step: file for step, file in named if step is not None}
    return found if len(found) == sum(step is not None for step, _ in named) else {}


IMPORTER = Importer("other_names", objection, load)
