"""What a run is made of: the columns of its curves, its checkpoints, what an importer found."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.models.network_parts import NetworkParts, PartName
from grokinterp.runs.config import ImportedConfig
from grokinterp.tasks import Split

CURVE_COLUMNS = ("step", "train_loss", "test_loss", "train_accuracy", "test_accuracy")
BATCH_LOSS = "batch_loss"
"""Column of a run with minibatches: the loss that each update went down on, at every step."""


@runtime_checkable
class Checkpoints(Protocol):
    """Where the weights of a run come from."""

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps that have weights, ascending."""
        ...

    def parameters(self, step: int) -> dict[str, Tensor]:
        """Weights after `step` updates, on the CPU, under TransformerLens names."""
        ...

    def checksum(self, step: int) -> str:
        """Digest that changes when the weights do."""
        ...

    def name(self, step: int) -> str:
        """What a message calls this checkpoint: a file name where there is a file."""
        ...


def loss_of_every_step(curves: pd.DataFrame) -> pd.Series:
    """Training loss as it was computed at every step: on the step's batch, whatever its size.

    Examples
    --------
    >>> loss_of_every_step(pd.DataFrame({"train_loss": [2.0, None], "batch_loss": [2.1, 1.9]}))
    0    2.1
    1    1.9
    Name: batch_loss, dtype: float64
    """
    return curves.loc[:, BATCH_LOSS if BATCH_LOSS in curves else "train_loss"]


def digest_of(parameters: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names and values of weights."""
    digest = hashlib.sha256()
    for name, value in sorted(parameters.items()):
        digest.update(name.encode())
        # Bytes and not numbers: numpy has no bfloat16.
        digest.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class ForeignNetworks(ABC):
    """Checkpoints of networks with a forward pass of their own.

    A :class:`~grokinterp.runs.run.Run` gets parts and logits of such networks from here.
    """

    missing: Mapping[PartName, str]
    """Reason for each part that these networks do not have."""

    @property
    @abstractmethod
    def steps(self) -> tuple[int, ...]:
        """Steps that were given, ascending."""

    @abstractmethod
    def parameters(self, step: int) -> dict[str, Tensor]:
        """Weights after `step` updates under their own names; empty if none are known."""

    @abstractmethod
    def checksum(self, step: int) -> str:
        """Digest that changes when the network does."""

    @abstractmethod
    def network(self, step: int) -> NetworkParts:
        """Run the network of a step on all pairs.

        Raises
        ------
        CheckpointError
            If a logit is not finite.
        """

    @abstractmethod
    def logits(self, step: int, rows: Int[Tensor, " row"] | None = None) -> Float[Tensor, "row c"]:
        """Logits of a step on some pairs (None: all)."""

    @abstractmethod
    def model(self, step: int) -> Any:
        """Return the network itself.

        Raises
        ------
        CheckpointError
            If there is none.
        """

    def name(self, step: int) -> str:
        """Return ``step 1200``."""
        return f"step {step}"


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
    doubts: tuple[str, ...] = ()
