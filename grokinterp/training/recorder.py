"""What training leaves on disk while it runs, in an order that survives any kill.

At a checkpoint: the weights, their line in the index, the curve rows up to that step, and at
last resume.safetensors. Whatever was written after the last resume file is computed again,
with the same bits, when training resumes.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from grokinterp.errors import RunFolderError
from grokinterp.runs.atomic import (
    TEMPORARY_PREFIX,
    append_durably,
    exclusive_lock,
    make_folder,
    whole_lines,
    write_atomically,
)
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.store import RunFolder, read_json, write_json
from grokinterp.runs.stored_tables import holds_tables
from grokinterp.tasks import Split, draw_split, task_of
from grokinterp.training.environment import describe_environment, differences
from grokinterp.training.modifiers import Modifier
from grokinterp.training.optimizer import moment_names

log = logging.getLogger(__name__)


@runtime_checkable
class State(Protocol):
    """The part of a training that is saved."""

    parameters: dict[str, Tensor]
    trained: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    modifiers: list[Modifier]
    n_updates: int


@contextmanager
def open_recorder(path: Path, config: TrainConfig) -> Iterator[Recorder]:
    """Lock a run folder and make it ready for a config: new, continued or extended.

    Raises
    ------
    RunFolderError
        If the folder holds another run or something else, or cannot be written.
    ConfigError
        If the split cannot be drawn; nothing is written then.
    """
    # Before anything is made: a split that cannot be drawn leaves no folder behind.
    split = draw_split(task_of(config.task))
    make_folder(path, "Choose another folder.")
    folder = RunFolder(path)
    _refuse_other_contents(folder, config)
    with exclusive_lock(path):
        # Another training may have started between the look and the lock.
        _refuse_other_contents(folder, config)
        # First of all files: a folder without it is not ours.
        folder.write_config(config)
        make_folder(folder.checkpoint_folder, "Remove what is in its place.")
        for place in (path, folder.checkpoint_folder):
            for leftover in place.glob(TEMPORARY_PREFIX + "*"):
                leftover.unlink(missing_ok=True)
        if not (path / "split.safetensors").exists():
            folder.write_split(split)
        yield Recorder(folder, config, folder.read_split(split.task))


class Recorder:
    """Writes one run; made by :func:`open_recorder`."""

    def __init__(self, folder: RunFolder, config: TrainConfig, split: Split) -> None:
        self.folder, self.config, self.split = folder, config, split
        self.resumed_step = -1
        self._rows: list[tuple[Any, ...]] = []
        self._timing_file = folder.path / "timing.csv"

    def note_environment(self, step_name: str, device: str) -> None:
        """Write environment.json, or warn where a resumed run's bits may differ."""
        path, now = self.folder.path / "environment.json", describe_environment(step_name, device)
        if not path.exists():
            write_json(path, now)
            return
        before = read_json(path)
        changed = differences(before, now)
        if changed:
            log.warning(
                "this run was started %s (%s): its numbers may differ in the last bits.",
                _how_else(changed),
                "; ".join(changed),
            )
            before.setdefault("resumed_with", []).append(now)
            write_json(path, before)

    def restore(
        self,
        parameters: dict[str, Tensor],
        trained: dict[str, Tensor],
        optimizer: torch.optim.Optimizer,
        modifiers: list[Modifier],
    ) -> int:
        """Put weights, moments and what modifiers remember back; return the step they are of.

        Raises
        ------
        CheckpointError
            If resume.safetensors is damaged.
        """
        step = self.folder.stored_step()
        self.folder.mend_index(is_new=step is None)
        if step is None:
            self.folder.truncate_curves(-1, self.config)
            write_atomically(self._timing_file, b"step,seconds\n")
            return 0
        self.folder.truncate_curves(step, self.config)
        try:
            stored = safetensors.torch.load(self.folder.resume_file.read_bytes())
            self._put_back(stored, step, parameters, trained, optimizer)
            device = next(iter(parameters.values())).device
            for number, modifier in enumerate(modifiers):
                prefix = f"modifier_{number}."
                found = {
                    n.removeprefix(prefix): v.to(device)
                    for n, v in stored.items()
                    if n.startswith(prefix)
                }
                modifier.restore(found)
        except (SafetensorError, OSError, KeyError, RuntimeError) as error:
            raise self.folder.damaged_resume(error) from None
        self.resumed_step = step
        rows = [line.split(",") for line in whole_lines(self._timing_file)[1:]]
        kept = [",".join(row) for row in rows if row[0].isdecimal() and int(row[0]) <= step]
        write_atomically(self._timing_file, "\n".join(["step,seconds", *kept, ""]).encode())
        return step

    def _put_back(
        self,
        stored: dict[str, Tensor],
        step: int,
        parameters: dict[str, Tensor],
        trained: dict[str, Tensor],
        optimizer: torch.optim.Optimizer,
    ) -> None:
        kept = moment_names(self.config.optimizer, list(parameters))
        with torch.no_grad():
            for name, value in parameters.items():
                value.copy_(stored[f"parameters.{name}"])
            for name, value in trained.items():
                # A fused optimizer counts steps where the weights are.
                count = torch.tensor(float(step), device=value.device)
                state: dict[str, Tensor] = {"step": count}
                for moment in kept[name]:
                    # Fresh memory, aligned as torch aligns it, so that the bits agree.
                    state[moment] = torch.empty_like(value).copy_(stored[f"{moment}.{name}"])
                optimizer.state[value] = state

    def add_row(self, row: tuple[Any, ...]) -> None:
        """Remember a row of the curves until the next save."""
        self._rows.append(row)

    def save(self, state: State, seconds: float) -> None:
        """Write checkpoint, curves and resume file, in this order."""
        step = state.n_updates
        if step == self.resumed_step:
            return
        self.folder.write_checkpoint(step, state.parameters)
        self._flush(step, seconds)
        tensors = {f"parameters.{name}": value for name, value in state.parameters.items()}
        kept = moment_names(self.config.optimizer, list(state.parameters))
        for name, value in state.trained.items():
            moments = state.optimizer.state.get(value) or {}
            for moment in kept[name]:
                tensors[f"{moment}.{name}"] = moments.get(moment, torch.zeros_like(value))
        for number, modifier in enumerate(state.modifiers):
            for name, value in modifier.state().items():
                tensors[f"modifier_{number}.{name}"] = value
        content = safetensors.torch.save(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            metadata={"step": str(step)},
        )
        write_atomically(self.folder.resume_file, content)

    def finish_diverged(self, seconds: float) -> None:
        """Write the curves up to the loss that is not finite; the checkpoints stay."""
        self._flush(self._rows[-1][0], seconds)

    def _flush(self, step: int, seconds: float) -> None:
        self.folder.append_curves(self._rows)
        self._rows = []
        append_durably(self._timing_file, f"{step},{seconds:.3f}\n")


def _how_else(changed: list[str]) -> str:
    names = {change.split()[0] for change in changed}
    if names <= {"n_threads"}:
        return "with other settings of the machine"
    return "in another way" if names <= {"n_threads", "training_step"} else "elsewhere"


def _refuse_other_contents(folder: RunFolder, config: TrainConfig) -> None:
    try:
        names = {entry.name for entry in folder.path.iterdir()}
    except OSError as error:
        raise RunFolderError(f"cannot read {folder.path}: {error.strerror}.") from None
    if "config.json" not in names:
        # A run writes its config first, and before it the tables of answers that it names, so
        # without one only these, a lock or a file cut short is ours.
        ours = {".lock"}
        if holds_tables(folder.labels_file, config):
            ours.add(folder.labels_file.name)
        foreign = {n for n in names - ours if not n.startswith(TEMPORARY_PREFIX)}
        if foreign:
            raise RunFolderError(
                f"{folder.path} is not empty and holds no run of grokinterp "
                f"(it has {min(foreign)!r} and no config.json). Choose an empty or new folder."
            )
        return
    there = folder.read_config()
    if dataclasses.replace(there, n_steps=config.n_steps) != config:
        raise RunFolderError(
            f"{folder.path} holds a run with another config ({_first_difference(there, config)}). "
            "Choose another folder, or train with the config in its config.json."
        )
    if there.n_steps > config.n_steps:
        raise RunFolderError(
            f"{folder.path} holds this run with n_steps={there.n_steps}, more than "
            f"{config.n_steps}. Choose another folder, or n_steps={there.n_steps} or more."
        )


def _first_difference(there: TrainConfig, here: TrainConfig) -> str:
    def flat(config: TrainConfig) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in config.to_dict().items():
            nested = value if isinstance(value, dict) else {"": value}
            values |= {f"{name}.{k}".rstrip("."): v for k, v in nested.items()}
        return values

    before, now = flat(there), flat(here)
    name = next(n for n in before if before[n] != now[n] and n != "n_steps")
    return f"{name} is {before[name]} there, {now[name]} here"
