"""Files of state dicts, loaded into the user's own module."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from grokinterp.errors import CheckpointError, ConfigError, one_line
from grokinterp.models.module_forward import unwrapped
from grokinterp.reprs import listed
from grokinterp.runs.importers.contents import stored_step
from grokinterp.runs.importers.foreign_files import (
    SUFFIXES,
    ForeignPath,
    read_foreign_file,
    step_in_name,
)
from grokinterp.runs.importers.state_dict_names import WRAPPERS, without_prefix_of
from grokinterp.runs.importers.sweeps import refuse_sweep

PAIR_SUFFIXES = (".npy", ".pt", ".pth", ".csv", ".txt")
_MOST_NAMES = 4
_COUNTS = {"correct", "total", "tp", "fp", "tn", "fn", "value", "sum_value", "mean_value", "weight"}
"""Names under which torchmetrics keeps what it counts, beside a network."""


def modules_from_files(module: nn.Module, paths: Sequence[Path]) -> dict[int, nn.Module]:
    """Load files of state dicts into copies of a module, one for each step.

    Parameters
    ----------
    module
        The network, with any weights; it is not changed. Wrappers of ``torch.compile`` and for
        several devices are removed.
    paths
        Files whose names end in their step, one folder of such files, or a single file: its step
        is the number after step, epoch or the like at the end of its name, else 0.

    Raises
    ------
    CheckpointError
        If a file cannot be read, names no step, or holds no state dict of that module.
    ConfigError
        If the module cannot be copied, or is on the device meta.
    """
    files, module = _by_step(paths), unwrapped(module)
    if any(value.is_meta for value in (*module.parameters(), *module.buffers())):
        raise ConfigError(
            f"{type(module).__name__} was built on the device meta, where weights have no values. "
            "Build it on the CPU."
        )
    return {step: _loaded(module, path) for step, path in sorted(files.items())}


def read_pairs(path: Path) -> np.ndarray:
    """Read training pairs, as rows or as pairs, from a file of numbers.

    Raises
    ------
    ConfigError
        If it is of another kind, or cannot be read.
    """
    if path.suffix not in PAIR_SUFFIXES:
        known = ", ".join(PAIR_SUFFIXES)
        raise ConfigError(
            f"{path} does not end in {known}. Save the pairs in one of these formats."
        )
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        if path.suffix in (".csv", ".txt"):
            words = path.read_text(encoding="utf-8").replace(",", " ")
            if not words.strip():
                raise ValueError("it is empty")
            return np.loadtxt(words.splitlines(), dtype=np.int64)
        found = read_foreign_file(path)
    except (OSError, ValueError) as error:
        why = one_line(str(error), 200).rstrip(".")
        raise ConfigError(f"cannot read pairs from {path}: {why}.") from None
    if isinstance(found, Tensor):
        return found.numpy()
    raise ConfigError(f"{path} holds {type(found).__name__}, not a tensor of rows or of pairs.")


def _by_step(paths: Sequence[Path]) -> dict[int, Path]:
    files = list(paths)
    if len(paths) == 1 and paths[0].is_dir():
        files = list(ForeignPath(paths[0]).files)
        if not files:
            raise CheckpointError(f"{paths[0]} has no {', '.join(f'*{one}' for one in SUFFIXES)}.")
    if len(paths) == 1 and not paths[0].is_dir():
        step = step_in_name(files[0], is_alone=True)
        if step is None:
            step = stored_step(read_foreign_file(files[0]))[1]
        return {step or 0: files[0]}
    refuse_sweep(files, str(paths[0]) if len(paths) == 1 else "the command line")
    by_step: dict[int, Path] = {}
    for file in files:
        if file.is_dir():
            raise CheckpointError(f"{file} is a folder. Name files, or one folder alone.")
        step = step_in_name(file)
        if step is None:
            raise CheckpointError(
                f"the name of {file} does not end in its step. Rename it, such as net_1000.pt."
            )
        if step in by_step:
            raise CheckpointError(f"{by_step[step]} and {file} end in the same step, {step}.")
        by_step[step] = file
    return by_step


def _loaded(module: nn.Module, path: Path) -> nn.Module:
    """Return a copy of a module with the weights of a file."""
    try:
        loaded = copy.deepcopy(module)
    except Exception as error:
        text = one_line(str(error), 200).rstrip(".")
        raise ConfigError(
            f"{type(module).__name__} cannot be copied for each step: {type(error).__name__}: "
            f"{text}."
        ) from error
    state = _state_in(read_foreign_file(path), module, path)
    expected = module.state_dict()
    for name, value in state.items():
        # A lazy parameter takes the shape of what is loaded.
        if not isinstance(expected[name], Tensor) or is_lazy(expected[name]):
            continue
        if expected[name].shape != value.shape:
            raise CheckpointError(
                f"{path} has {name} of shape {tuple(value.shape)}; in {type(module).__name__} it "
                f"is {tuple(expected[name].shape)}. Build the module with the same sizes."
            )
    try:
        loaded.load_state_dict(state, strict=True)
    except Exception as error:
        text = one_line(str(error), 300)
        raise CheckpointError(
            f"{path} cannot be loaded into {type(module).__name__}: {text}."
        ) from error
    return loaded


def _without_metrics(state: Mapping[str, Any], expected: set[str]) -> dict[str, Any]:
    """Leave out what torchmetrics counts beside a network."""
    firsts = {name.partition(".")[0] for name in expected}
    leaves: dict[str, set[str]] = {}
    for name in state:
        leaves.setdefault(name.rpartition(".")[0], set()).add(name.rpartition(".")[2])
    # A layer has a weight too, but never only what a metric counts.
    metrics = {room for room, names in leaves.items() if names <= _COUNTS and names != {"weight"}}
    return {
        name: value
        for name, value in state.items()
        if name.partition(".")[0] in firsts or name.rpartition(".")[0] not in metrics
    }


def _state_in(content: Any, module: nn.Module, path: Path) -> dict[str, Tensor]:
    """Find the state dict that has the names of a module, bare or under a usual key."""
    candidates = [content]
    if isinstance(content, Mapping):
        candidates += [content.get(name) for name in WRAPPERS]
    expected = set(module.state_dict())
    states = [
        {name: value for name, value in state.items() if isinstance(value, Tensor)}
        for candidate in candidates
        if isinstance(candidate, Mapping) and all(isinstance(name, str) for name in candidate)
        for state in (candidate, _without_metrics(without_prefix_of(candidate, expected), expected))
    ]
    states = [state for state in states if state]
    if not states:
        raise CheckpointError(
            f"{path} holds no state dict. Save one with torch.save(module.state_dict(), path)."
        )
    best = max(states, key=lambda state: len(expected & set(state)) - len(set(state) - expected))
    missing, unexpected = sorted(expected - set(best)), sorted(set(best) - expected)
    if missing or unexpected:
        facts = [
            f"{what} {listed((one_line(name, 60) for name in names), _MOST_NAMES)}"
            for what, names in (("missing", missing), ("unexpected", unexpected))
            if names
        ]
        raise CheckpointError(
            f"{path} is not a state dict of {type(module).__name__}: {'; '.join(facts)}. Build the "
            "module that was saved."
        )
    return best
