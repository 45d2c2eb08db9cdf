"""Runs of logits alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.errors import CheckpointError, ShapeError
from grokinterp.fields import shown
from grokinterp.models.module_forward import answers_of, with_values
from grokinterp.models.module_spec import LogitsSpec
from grokinterp.models.network_parts import LogitParts, PartName
from grokinterp.runs.config import ImportedConfig
from grokinterp.runs.given import by_step, given_curves, split_of
from grokinterp.runs.importers.assembly import DRAW_FIELDS, SPLIT_FIELDS, plural
from grokinterp.runs.memory import refuse_shared_memory
from grokinterp.runs.record import ForeignNetworks, ImportedRun, digest_of
from grokinterp.tasks import Task, TaskSpec


@dataclass(frozen=True, eq=False)
class LogitsInMemory(ForeignNetworks):
    """Checkpoints kept as a dictionary of logits by step."""

    by_step: Mapping[int, Float[Tensor, "pair c"]]
    """Logits of all pairs, float32."""

    @property
    def missing(self) -> Mapping[PartName, str]:
        """Reason for each part; all are missing."""
        return LogitParts(next(iter(self.by_step.values()))).missing

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps that have logits, ascending."""
        return tuple(sorted(self.by_step))

    def parameters(self, step: int) -> dict[str, Tensor]:
        """No weights are known."""
        return {}

    def checksum(self, step: int) -> str:
        """SHA-256 over the logits."""
        return digest_of({"logits": self.by_step[step]})

    def network(self, step: int) -> LogitParts:
        """Return the logits and nothing else."""
        return LogitParts(self.logits(step))

    def logits(self, step: int, rows: Int[Tensor, " row"] | None = None) -> Float[Tensor, "row c"]:
        """Logits of some pairs (None: all).

        Raises
        ------
        CheckpointError
            If one of them is not finite.
        """
        found = self.by_step[step] if rows is None else self.by_step[step][rows]
        require_finite(found, step)
        return found

    def model(self, step: int) -> NoReturn:
        """Refuse: there is no network."""
        raise CheckpointError(
            "only the logits of this run are known, so there is no network to return. "
            "gi.Run.from_modules takes networks."
        )


def run_from_logits(
    logits: Mapping[int, Any],
    task: TaskSpec,
    train_pairs: Any,
    curves: pd.DataFrame | None,
) -> ImportedRun:
    """Read logits in memory; see :meth:`grokinterp.runs.run.Run.from_logits`."""
    split = split_of(task, train_pairs)
    tensors = {step: _tensor(v, step) for step, v in by_step("logits", "logits", logits).items()}
    refuse_shared_memory(
        {step: [tensor] for step, tensor in tensors.items()}, "Use logits.clone() at each step."
    )
    by, cut, n_answers = {}, "", split.task.n_classes
    for step, tensor in tensors.items():
        _require_rows(tensor, split.task, step)
        by[step] = answers_of(tensor, n_answers, f"step {step}: logits").float().clone()
        if tensor.shape[1] > n_answers:
            cut = f"Of {tensor.shape[1]:,} outputs the first {n_answers:,} were read."
    how = "The split was given." if split.is_known else "The split was not given."
    of = plural(len(by), "step")
    origin = [f"made of the logits of {of}; nothing else is known of the network.", how, cut]
    return ImportedRun(
        config=ImportedConfig(
            split.task.spec, LogitsSpec(), DRAW_FIELDS if split.is_known else SPLIT_FIELDS
        ),
        split=split,
        checkpoints=LogitsInMemory(by),
        curves=given_curves(curves),
        origin=" ".join(sentence for sentence in origin if sentence),
        folder=None,
    )


def require_finite(logits: Tensor, step: int) -> None:
    """Refuse logits that are NaN or infinite.

    Raises
    ------
    CheckpointError
        With the step.
    """
    if not torch.isfinite(logits).all():
        raise CheckpointError(
            f"step {step} has logits that are not finite. Leave that step out, or analyze an "
            "earlier one."
        )


def _require_rows(logits: Tensor, task: Task, step: int) -> None:
    shape = tuple(logits.shape)
    if logits.ndim != 2 or shape[0] != task.n_pairs:
        raise ShapeError(
            f"step {step}: logits of shape {shape} do not have a row for each of {task.n_pairs:,} "
            f"pairs. They must have the shape ({task.n_pairs}, {task.n_classes}), with rows in the "
            "order of Task(task).pairs."
        )


def _tensor(value: Any, step: int) -> Tensor:
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        # torch shares no memory that is read-only, runs backwards, has more than 64 bits or the
        # other order of bytes.
        is_plain = value.flags.writeable and min(value.strides, default=0) >= 0
        value = value if value.itemsize <= 8 else value.astype(np.float64)
        value = value.astype(value.dtype.newbyteorder("="), copy=False)
        value = torch.from_numpy(value if is_plain else value.copy())
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = f"a tensor of {value.dtype}" if isinstance(value, Tensor) else shown(value)
        raise ShapeError(
            f"step {step} has {kind} for its logits. Pass a tensor or an array of floats, "
            "one row per pair."
        )
    return with_values(value.detach(), f"step {step} has logits").cpu()
