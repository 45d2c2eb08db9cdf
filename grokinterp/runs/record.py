"""What a run is made of: the columns of its curves, its checkpoints, what an importer found."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import pandas as pd
from torch import Tensor

from grokinterp.runs.config import ImportedConfig
from grokinterp.tasks import Split

CURVE_COLUMNS = ("step", "train_loss", "test_loss", "train_accuracy", "test_accuracy")


@runtime_checkable
class Checkpoints(Protocol):
    """Where the weights of a run come from."""

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps that have weights, ascending."""
        ...

    def parameters(self, step: int) -> dict[str, Tensor]:
        """Weights after `step` updates, float32 on the CPU, under TransformerLens names."""
        ...

    def checksum(self, step: int) -> str:
        """Digest that changes when the weights do."""
        ...

    def name(self, step: int) -> str:
        """What a message calls this checkpoint: a file name where there is a file."""
        ...


def digest_of(parameters: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names and values of weights."""
    digest = hashlib.sha256()
    for name, value in sorted(parameters.items()):
        digest.update(name.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class WeightsInMemory:
    """Checkpoints kept as a dictionary of weights by step."""

    by_step: Mapping[int, Mapping[str, Tensor]]

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps that have weights, ascending."""
        return tuple(sorted(self.by_step))

    def parameters(self, step: int) -> dict[str, Tensor]:
        """Weights after `step` updates."""
        return {name: value.detach() for name, value in self.by_step[step].items()}

    def checksum(self, step: int) -> str:
        """SHA-256 over names and values."""
        return digest_of(self.parameters(step))

    def name(self, step: int) -> str:
        """Return ``step 1200``."""
        return f"step {step}"


@dataclass(frozen=True, eq=False)
class ImportedRun:
    """What an importer found: the fields of a :class:`~grokinterp.runs.run.Run` of that name."""

    config: ImportedConfig
    split: Split
    checkpoints: Checkpoints
    curves: pd.DataFrame
    origin: str
    folder: Path | None
