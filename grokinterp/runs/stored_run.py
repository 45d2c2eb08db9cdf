"""A run folder, read back as a run: checkpoints one at a time, each checked by its SHA-256."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from functools import cached_property
from os import PathLike
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from grokinterp.errors import CheckpointError, RunFolderError, first_sentence
from grokinterp.fields import checked, shown
from grokinterp.runs.atomic import is_there
from grokinterp.runs.reading import read_bytes
from grokinterp.runs.run import Run
from grokinterp.runs.store import HEADER_BYTES, RunFolder, read_json
from grokinterp.tasks import task_of


class StoredCheckpoints:
    """Checkpoints of a run folder, read one at a time and checked against index.csv."""

    def __init__(self, folder: RunFolder, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._folder, self._shapes = folder, shapes

    @cached_property
    def _index(self) -> dict[int, tuple[str, str]]:
        return self._folder.read_index()

    @property
    def steps(self) -> tuple[int, ...]:
        """Reported steps, ascending."""
        return tuple(self._index)

    def checksum(self, step: int) -> str:
        """SHA-256 of the whole file, as reported when it was written."""
        return self._index[step][1]

    def name(self, step: int) -> str:
        """File name within the run folder."""
        return f"checkpoints/{self._index[step][0]}"

    def parameters(self, step: int) -> dict[str, Tensor]:
        """Weights after `step` updates.

        Raises
        ------
        CheckpointError
            If the file is missing or its bytes are not the ones that were reported.
        """
        file, digest = self._index[step]
        path = self._folder.checkpoint_folder / file
        is_name = 0 < len(file) < 256 and file.isprintable() and file != ".."
        if not is_name or path.parent != self._folder.checkpoint_folder or path.name != file:
            raise CheckpointError(
                f"{self._folder.index_file} names {shown(file)}, outside its folder. Restore it "
                "from the original run."
            )
        most = 8 * sum(math.prod(shape) for shape in self._shapes.values()) + HEADER_BYTES
        try:
            content = read_bytes(path, most=most, within=self._folder.path)
        except RunFolderError as error:
            raise CheckpointError(str(error)) from None
        except OSError as error:
            raise CheckpointError(
                f"{path} is listed in index.csv but cannot be read: {error.strerror}. "
                "Restore it, or remove its line from index.csv."
            ) from None
        if hashlib.sha256(content).hexdigest() != digest:
            raise CheckpointError(
                f"{path} is damaged: its SHA-256 is not the one in index.csv. "
                "Restore it, or remove its line from index.csv."
            )
        try:
            parameters = safetensors.torch.load(content)
        except (SafetensorError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{path} is not a safetensors file: {first_sentence(error)}."
            ) from None
        shapes = {name: tuple(value.shape) for name, value in parameters.items()}
        if shapes != self._shapes:
            names = [n for n in {**self._shapes, **shapes} if shapes.get(n) != self._shapes.get(n)]
            raise CheckpointError(
                f"{path} does not fit config.json: {names[0]} is {shapes.get(names[0], 'absent')}, "
                f"expected {self._shapes.get(names[0], 'absent')}."
            )
        # The library hands them over in another order every time, and with the order of a sum
        # its last digit would change.
        return {name: parameters[name] for name in self._shapes}


def load_run(folder: str | Path) -> Run:
    """Read a run folder, finished or still being trained.

    Checkpoints are read when asked for, and each is checked against its SHA-256.

    Raises
    ------
    RunFolderError
        If the folder does not exist or is not a run folder.

    Examples
    --------
    >>> run = load_run("ckpts/")
    """
    run_folder = RunFolder(Path(checked("folder", folder, str | PathLike)))
    if not is_there(run_folder.path):
        raise RunFolderError(f"{folder} does not exist. Train into it, or check the spelling.")
    config = run_folder.read_config()
    split = run_folder.read_split(task_of(config.task))
    checkpoints = StoredCheckpoints(run_folder, run_folder.parameter_shapes(config))
    # A run that is being trained grows: what is in the index now has its curves soon after.
    if not checkpoints.steps and len(list(run_folder.checkpoint_folder.glob("step_*"))) > 1:
        raise RunFolderError(
            f"{run_folder.index_file} is missing or damaged, though there are checkpoints. "
            "Restore it from the original run."
        )
    return Run(
        config=config,
        split=split,
        checkpoints=checkpoints,
        curves=run_folder.read_curves(),
        origin=f"trained by grokinterp into {run_folder.path.name or run_folder.path}",
        folder=run_folder.path,
        environment=read_json(run_folder.path / "environment.json"),
    )
