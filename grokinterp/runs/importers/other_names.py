"""State dicts under any names: a perceptron or a transformer, if the network answers a task.

Names and shapes say which tensor is what. What they leave open becomes several readings, and the
one that answers best is taken. A network that answers no known task is refused: its names may
have been understood wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from grokinterp.errors import CheckpointError, one_line
from grokinterp.fields import shown
from grokinterp.runs.importers.assembly import CheckpointFiles, imported_run, listed, plural
from grokinterp.runs.importers.evidence import find_reading
from grokinterp.runs.importers.foreign_files import (
    ForeignPath,
    Importer,
    read_foreign_file,
)
from grokinterp.runs.importers.hints import NO_HINTS, Hints
from grokinterp.runs.importers.judging import ENOUGH, Judged, judged
from grokinterp.runs.importers.parameters import WRAPPERS, Network, layout_of
from grokinterp.runs.importers.perceptrons import perceptron_readings
from grokinterp.runs.importers.step_names import step_in_name
from grokinterp.runs.importers.transformer_names import transformer_readings
from grokinterp.runs.record import ImportedRun, WeightsInMemory
from grokinterp.tasks import Split, Task

_REMEDY = (
    "Give its module, --module package.module:build, or rename its parameters as TransformerLens "
    "does; see docs/importing.md."
)


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
        return "no *.pt, *.pth or *.safetensors whose names end in a step"
    content = read_foreign_file(files[max(files)]) if files else source.content
    return "" if unnamed_state_dict(content) is not None else "no table of tensors alone"


def load(source: ForeignPath, hints: Hints = NO_HINTS) -> ImportedRun:
    """Read a file, or a folder of files whose names end in the step."""
    files = _step_files(source)
    content = read_foreign_file(files[max(files)]) if files else source.content
    state = unnamed_state_dict(content)
    assert state is not None
    chosen, note = choose(state, hints)
    reading = find_reading([chosen], hints=hints)
    step = step_in_name(source.path, is_alone=True) if not files else None
    when = f"step {step:,}, as its name says" if step is not None else "an unknown step, shown as 0"
    where = f"imported from {source.path.name} (other_names): the weights at {when}."
    if files:
        where = f"imported from the folder {source.path.name} (other_names): "
        where += f"{plural(len(files), 'file')}, whose names end in the step."

    def read(path: Path) -> dict[str, Tensor]:
        found = unnamed_state_dict(read_foreign_file(path))
        if found is None or chosen.reread is None:
            raise CheckpointError("it holds no state dict.")
        network = chosen.reread(found)
        if (network.spec, network.order) != (chosen.spec, chosen.order):
            raise CheckpointError("it holds a network of another shape than the last file.")
        return network.parameters

    left = {file.name for file in source.files} - {file.name for file in files.values()}
    return imported_run(
        source,
        CheckpointFiles(files, read) if files else WeightsInMemory({step or 0: chosen.parameters}),
        chosen.spec,
        Split.unknown(reading.task),
        origin=[
            where,
            *chosen.notes,
            note,
            reading.account,
            "Which pairs were trained on is not known.",
            listed([*chosen.ignored, *left]),
        ],
        doubts=reading.doubts,
    )


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


def choose(state: Mapping[str, Tensor], hints: Hints = NO_HINTS) -> tuple[Network, str]:
    """Choose how to read a state dict, and say what no shape shows of it.

    Raises
    ------
    CheckpointError
        If its shapes are those of no network that is known here or of none that is as it is
        given, or none of the readings answers a task.
    """
    candidates = _as_given(all_readings(state), hints)
    spec = hints.task_on(candidates[0].order)
    ranked = judged(candidates, None if spec is None else Task(spec))
    best = ranked[0]
    if best.accuracy < ENOUGH:
        raise CheckpointError(
            f"it is {unknown_names(state)}. The best of {plural(len(candidates), 'reading')} of "
            f"its shapes, a {best.network.spec.in_words}, is right on only {best.accuracy:.1%} "
            f"of the pairs of {best.operation}, too few for a trained network. {_REMEDY}"
        )
    return best.network, _chosen(best, ranked)


def _as_given(candidates: list[Network], hints: Hints) -> list[Network]:
    """Those readings that have what is given of the network."""
    given = dict(hints.model)
    fitting = [
        network
        for network in candidates
        if all(getattr(network.spec, name, None) == value for name, value in given.items())
    ]
    if fitting:
        return fitting
    kinds = sorted({type(network.spec).__name__ for network in candidates})
    values = ", ".join(
        f"{name}={shown(value)}"
        for name, value in given.items()
        if all(getattr(network.spec, name, None) != value for network in candidates)
    )
    raise CheckpointError(
        f"its shapes can be read as {' or '.join(kinds)}, but not with what is given of the "
        f"network ({values or 'all of it together'}). Leave it out, or give the network as a "
        "module."
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
