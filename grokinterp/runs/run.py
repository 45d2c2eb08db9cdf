"""A run in memory: config, split, curves and the checkpoints along the trajectory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from torch import Tensor

from grokinterp.errors import CheckpointError
from grokinterp.models import ModelSpec
from grokinterp.runs.config import TrainConfig
from grokinterp.tasks import Split, Task

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
        digest = hashlib.sha256()
        for name, value in sorted(self.parameters(step).items()):
            digest.update(name.encode())
            digest.update(value.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def name(self, step: int) -> str:
        """Return ``step 1200``."""
        return f"step {step}"


@dataclass(frozen=True, eq=False)
class Run:
    """A training run, from wherever it came.

    Examples
    --------
    >>> import grokinterp as gi
    >>> run = gi.load_run("ckpts/")  # doctest: +SKIP
    >>> run.steps[-1], run.curves["test_loss"].dropna().iloc[-1]  # doctest: +SKIP
    """

    config: TrainConfig
    """What was trained and how."""
    split: Split
    """Which pairs were trained on."""
    checkpoints: Checkpoints
    """The weights by step."""
    curves: pd.DataFrame
    """step, train_loss, test_loss (nats), train_accuracy, test_accuracy; one row per step,
    NaN where nothing was tested."""
    origin: str
    """Where the run comes from, in a sentence, with whatever had to be guessed."""
    folder: Path | None = None
    """Run folder, or None for a run that lives in memory."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Versions, machine and thread count of the training."""

    @property
    def task(self) -> Task:
        """All pairs with their answers."""
        return self.split.task

    @property
    def spec(self) -> ModelSpec:
        """Shape of the network."""
        return self.config.model

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps whose weights were kept, ascending."""
        return self.checkpoints.steps

    @property
    def last_step(self) -> int:
        """Last step of the curves: the number of updates the run has seen."""
        return int(self.curves["step"].iloc[-1]) if len(self.curves) else self.steps[-1]

    @cached_property
    def diverged_at(self) -> int | None:
        """Step at which the training loss stopped being finite, or None."""
        bad = ~np.isfinite(self.curves["train_loss"].to_numpy())
        return int(self.curves["step"].to_numpy()[bad][0]) if bad.any() else None

    def parameters(self, step: int | None = None) -> dict[str, Tensor]:
        """Weights after `step` updates (None: the last kept), under TransformerLens names.

        Raises
        ------
        CheckpointError
            If no weights were kept at that step, or their file is damaged.
        """
        return self.checkpoints.parameters(self.resolve_step(step))

    def checksum(self, step: int | None = None) -> str:
        """Digest of the weights of a step."""
        return self.checkpoints.checksum(self.resolve_step(step))

    def model(self, step: int | None = None) -> Any:
        """Return the hooked transformer with the weights of a step (None: the last kept).

        Returns
        -------
        HookedTransformer
            With TransformerLens names, hooks and ``run_with_cache``.
        """
        from grokinterp.models.hooked_transformer import HookedTransformer

        return HookedTransformer.from_parameters(self.spec, self.parameters(step))

    def resolve_step(self, step: int | None) -> int:
        """Return `step` if its weights were kept, the last kept step for None.

        Raises
        ------
        CheckpointError
            If there are no weights of that step.
        """
        if not self.steps:
            raise CheckpointError(f"{self.origin} has no checkpoints yet. Train it first.")
        if step is None:
            return self.steps[-1]
        if step not in self.steps:
            nearest = min(self.steps, key=lambda kept: abs(kept - step))
            raise CheckpointError(
                f"no checkpoint at step {step}; the nearest is {nearest}, of {len(self.steps)} "
                f"between {self.steps[0]} and {self.steps[-1]}."
            )
        return step
