"""A run in memory: config, split, curves and the checkpoints along the trajectory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.fields import checked, shown
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.module_forward import Inputs
from grokinterp.models.module_spec import LogitsSpec, ModuleSpec, Parts
from grokinterp.models.network_parts import NetworkParts, PartName
from grokinterp.models.pair_tables import pair_logits
from grokinterp.registered import registered
from grokinterp.reprs import card_repr, in_lines
from grokinterp.runs.config import ImportedConfig, TrainConfig
from grokinterp.runs.importers.state_dicts import run_from_state_dicts
from grokinterp.runs.logits import run_from_logits
from grokinterp.runs.modules import run_from_modules
from grokinterp.runs.parts import missing_parts, network_parts
from grokinterp.runs.record import (
    CURVE_COLUMNS,
    Checkpoints,
    ForeignNetworks,
    ImportedRun,
    WeightsInMemory,
    loss_of_every_step,
)
from grokinterp.runs.split_doubts import doubts_of_split
from grokinterp.tasks import Split, Task, TaskSpec

__all__ = ["CURVE_COLUMNS", "Checkpoints", "Run", "WeightsInMemory"]


@dataclass(frozen=True, eq=False)
class Run:
    """A training run, from wherever it came.

    Examples
    --------
    >>> import grokinterp as gi
    >>> run = gi.load_run("ckpts/")
    >>> run.steps[-1], float(run.curves["test_loss"].dropna().iloc[-1])
    (800, 0.0...)
    """

    config: TrainConfig | ImportedConfig
    """What was trained and how; of a run from elsewhere, as far as it is known."""
    split: Split
    """Which pairs were trained on, if that is known (``split.is_known``)."""
    checkpoints: Checkpoints | ForeignNetworks
    """The weights by step, or networks with a forward pass of their own."""
    curves: pd.DataFrame
    """step, train_loss, test_loss (nats), train_accuracy, test_accuracy; one row per step,
    NaN where nothing was tested or recorded. Empty for a run that came without curves. With
    minibatches there is a sixth column, batch_loss, and train_loss is there where the run was
    tested."""
    origin: str
    """Where the run comes from, in a sentence, with whatever had to be guessed."""
    folder: Path | None = None
    """Folder that holds the run, or None for a run in memory or a single file."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    """Versions, machine and thread count of the training."""
    doubts: tuple[str, ...] = ()
    """Why other people's files may have been misread, a sentence each; usually nothing. While
    there are any, no verdict is built on the reading."""

    def __repr__(self) -> str:
        steps, curves = self.steps, self.curves
        tested = curves.dropna(subset=["test_loss"])
        # All numbers are of one step; what was not tested has its last losses.
        last = (tested if len(tested) else curves.ffill()).tail(1).to_dict(orient="records")
        numbers = [(name, last[0][name]) for name in CURVE_COLUMNS[1:] if last]
        at = int(last[0]["step"]) if last else self.last_step
        known = [f"{name.replace('_', ' ')} {v:.3g}" for name, v in numbers if not math.isnan(v)]
        span = f"{len(steps)}, from step {steps[0]:,} to {steps[-1]:,}" if steps else "none yet"
        return in_lines(
            f"Run of {self.split.task.spec.in_words}",
            {
                "doubts": " ".join(self.doubts) or None,
                "split": repr(self.split).partition(": ")[2],
                "network": self.spec.in_words,
                "checkpoints": span,
                f"at step {at:,}": ", ".join(known),
                "diverged": f"at step {self.diverged_at:,}" if self.diverged_at else None,
                "folder": str(self.folder) if self.folder else None,
                "origin": self.origin if self.is_imported else None,
            },
        )

    _repr_html_ = card_repr

    @property
    def task(self) -> Task:
        """All pairs with their answers.

        Raises
        ------
        ConfigError
            If the run learned something else than pairs; ``split.task`` is whatever it learned.
        """
        if not isinstance(self.split.task, Task):
            raise ConfigError(
                f"{self.origin} learned {self.split.task.spec.in_words}, which has no pairs of "
                "tokens. Spectra and circuits need a run on pairs; run.curves and "
                "run.parameters(step) are there for any."
            )
        return self.split.task

    @property
    def spec(self) -> ModelSpec | MlpSpec | ModuleSpec | LogitsSpec:
        """Shape of the network; for a network from elsewhere, what is known of it."""
        return self.config.model

    @property
    def transformer(self) -> ModelSpec:
        """Shape of the network of a run that trained a transformer.

        Raises
        ------
        ConfigError
            If it trained another kind of network.
        """
        if not isinstance(self.spec, ModelSpec):
            raise ConfigError(
                f"{self.origin} has no transformer but a {self.spec.in_words}. run.network(step) "
                "has the parts of any network."
            )
        return self.spec

    @property
    def missing_parts(self) -> Mapping[PartName, str]:
        """Reason for each part that the network does not have.

        Examples
        --------
        >>> gi.load_run("ckpts/").missing_parts
        {}
        """
        if isinstance(self.checkpoints, ForeignNetworks):
            return self.checkpoints.missing
        return missing_parts(self._own_spec)

    def network(
        self, step: int | None = None, parameters: Mapping[str, Tensor] | None = None
    ) -> NetworkParts:
        """Run the network of a step on all pairs (None: the last kept) and return its parts.

        Parameters
        ----------
        step
            A checkpointed step.
        parameters
            The weights of that step, if they have been read already.

        Raises
        ------
        CheckpointError
            If nothing was kept at that step, or its file is damaged.
        ConfigError
            If the run is not on pairs.

        Examples
        --------
        >>> gi.load_run("ckpts/").network().neurons.shape
        torch.Size([169, 64])
        """
        if isinstance(self.checkpoints, ForeignNetworks):
            return self.checkpoints.network(self.resolve_step(step))
        weights = self.parameters(step) if parameters is None else parameters
        return network_parts(self._own_spec, weights, self.task)

    def logits(self, step: int | None = None, rows: Any = None) -> Tensor:
        """Logits of the answers at a step (None: the last kept) on all pairs, or on some rows.

        Returns
        -------
        Tensor
            (n, answers) in the precision of the weights, float32 unless the run has
            ``weight_dtype=float64``; intermediate activations are not kept.

        Raises
        ------
        CheckpointError
            If nothing was kept at that step, or its file is damaged.
        ConfigError
            If the run is not on pairs.

        Examples
        --------
        >>> gi.load_run("ckpts/").logits(800, rows=[0, 1]).shape
        torch.Size([2, 13])
        """
        task = self.task
        if isinstance(self.checkpoints, ForeignNetworks):
            chosen = None if rows is None else torch.arange(task.n_pairs)[np.asarray(rows)]
            return self.checkpoints.logits(self.resolve_step(step), chosen)
        pairs = torch.tensor(task.pairs if rows is None else task.pairs[np.asarray(rows)])
        with torch.no_grad():
            return pair_logits(self.parameters(step), self._own_spec, pairs)[:, : task.n_classes]

    @property
    def _own_spec(self) -> ModelSpec | MlpSpec:
        assert isinstance(self.spec, (ModelSpec, MlpSpec))
        return self.spec

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps whose weights were kept, ascending."""
        return self.checkpoints.steps

    @property
    def is_imported(self) -> bool:
        """Whether the run was trained elsewhere, so that not all of it may be known."""
        return isinstance(self.config, ImportedConfig)

    @property
    def last_step(self) -> int:
        """Last step of curves and checkpoints: the number of updates the run has seen."""
        recorded = [int(self.curves["step"].iloc[-1])] if len(self.curves) else []
        return max([*recorded, *self.steps[-1:]], default=0)

    @cached_property
    def diverged_at(self) -> int | None:
        """Step at which the training loss stopped being finite, or None."""
        loss = loss_of_every_step(self.curves).to_numpy()
        # Our training records every step; a log from elsewhere may have gaps, which are NaN,
        # and its importer writes infinity for a loss that was recorded and not finite.
        bad = ~np.isfinite(loss)
        if self.is_imported:
            bad = np.isinf(loss) | np.isinf(self.curves["train_loss"].to_numpy())
        return int(self.curves["step"].to_numpy()[bad][0]) if bad.any() else None

    @classmethod
    def from_state_dicts(
        cls,
        state_dicts: Mapping[int, Mapping[str, Any]],
        *,
        task: TaskSpec,
        train_pairs: Any = None,
        model: ModelSpec | MlpSpec | None = None,
    ) -> Run:
        """Make a run of the state dicts of anyone's own training loop.

        Parameters
        ----------
        state_dicts
            By step: the number of updates applied. Names are TransformerLens's, of a
            HookedTransformer or of a bridge, or others that shapes explain; buffers are passed
            over.
        task
            What was learned; of its split only the operation and p count.
        train_pairs
            What was trained on: rows into ``Task(task).pairs``, or an (n, 2) array of the
            pairs themselves. None: not known, and whatever needs it will be absent.
        model
            Shape of the network; None to read it off the state dicts. What they do not show is
            then tried in every way, and the reading that answers the task best is taken.
            Needed for an attention rate, fixed positions and tied embeddings.

        Raises
        ------
        CheckpointError
            If a state dict is not of such a network.
        ConfigError
            If `train_pairs` are not pairs of the task.

        Examples
        --------
        >>> import grokinterp as gi
        >>> initial, last, pairs = run.parameters(0), run.parameters(800), run.split.train
        >>> run = gi.Run.from_state_dicts(
        ...     {0: initial, 800: last}, task=gi.TaskSpec(p=13), train_pairs=pairs
        ... )
        >>> run.steps
        (0, 800)
        """
        checked("state_dicts", state_dicts, Mapping, "Pass {step: state_dict}.")
        checked("task", task, TaskSpec)
        checked("model", model, ModelSpec | MlpSpec | None)
        return cls.from_imported(run_from_state_dicts(state_dicts, task, train_pairs, model))

    @classmethod
    def from_modules(
        cls,
        modules: Mapping[int, Any],
        *,
        task: TaskSpec,
        inputs: Inputs = "a b =",
        parts: Parts | None = None,
        train_pairs: Any = None,
        curves: pd.DataFrame | None = None,
    ) -> Run:
        """Make a run of modules, any ``torch.nn.Module``.

        Whatever the logits show is measured in any case; `parts` names the submodules that show
        the rest. Modules run in eval mode, on their own device, up to 4,096 pairs at a time, and
        are left as they were.

        Parameters
        ----------
        modules
            By step, the number of updates applied: a copy of the network, made with
            ``copy.deepcopy``. Wrappers of ``torch.compile`` and for several devices are removed.
            It returns logits of shape (pairs, answers), or (pairs, positions, answers), of which
            the last position is read: as a tensor, as the first entry of a tuple, or as
            ``.logits``. If there is one output more than answers, the last is dropped.
        task
            What was learned. Its split settings are ignored; see `train_pairs`.
        inputs
            What the module is called with. ``"a b"``: a (pairs, 2) tensor of int64; ``"a b ="``:
            (pairs, 3), with ``=`` as token ``n_tokens``. Or a function that turns the (pairs, 2)
            tensor into a tensor, a tuple of positional arguments, or a dictionary of keyword
            arguments.
        parts
            Names of submodules; None: logits and weights only.
        train_pairs
            What was trained on: rows into ``Task(task).pairs``, or an (n, 2) array of the
            pairs themselves. None: not known, and whatever needs it will be absent.
        curves
            What was logged: a table with ``step`` and any of ``train_loss``, ``test_loss``,
            ``train_accuracy``, ``test_accuracy``. None: computed from the modules.

        Raises
        ------
        ConfigError
            If a value is not a module, the last module or `inputs` raises, a name is not a
            submodule, or its activations cannot be such a part.
        ShapeError
            If the last module returns the wrong number of rows or of outputs.
        CheckpointError
            If a step is not a number of updates, or two steps share a module or its weights.

        Examples
        --------
        >>> import grokinterp as gi
        >>> modules = {step: run.model(step) for step in (0, 800)}
        >>> run = gi.Run.from_modules(
        ...     modules,
        ...     task=gi.TaskSpec(p=13),
        ...     parts=gi.Parts(operands="hook_embed", neurons="blocks.0.mlp.hook_post"),
        ...     train_pairs=run.split.train,
        ... )
        >>> gi.find_key_frequencies(gi.take_snapshot(run)).frequencies
        (2, 3)
        """
        checked("modules", modules, Mapping, "Pass {step: module}.")
        checked("task", task, TaskSpec)
        checked("parts", parts, Parts | None, "Pass gi.Parts(operands=..., neurons=...).")
        found = run_from_modules(modules, task, inputs, parts or Parts(), train_pairs, curves)
        return cls.from_imported(found)

    @classmethod
    def from_logits(
        cls,
        logits: Mapping[int, Any],
        *,
        task: TaskSpec,
        train_pairs: Any = None,
        curves: pd.DataFrame | None = None,
    ) -> Run:
        """Make a run of logits alone, from any network.

        Losses, accuracies, spectra of the logits, key frequencies and ablations of the logits need
        nothing else. Whatever looks inside the network is absent, with the reason.

        Parameters
        ----------
        logits
            By step, the number of updates applied: (n_pairs, answers) tensors or arrays, with
            rows in the order of ``Task(task).pairs``. If there is one column more than answers,
            such as an output for ``=``, the last is dropped.
        task
            What was learned. Its split settings are ignored; see `train_pairs`.
        train_pairs
            What was trained on: rows into ``Task(task).pairs``, or an (n, 2) array of the
            pairs themselves. None: not known, and whatever needs it will be absent.
        curves
            What was logged: a table with ``step`` and any of ``train_loss``, ``test_loss``,
            ``train_accuracy``, ``test_accuracy``. None: computed from the logits.

        Raises
        ------
        CheckpointError
            If a step is not a number of updates, or two steps share memory.
        ShapeError
            If logits do not have one row per pair and one column per answer.
        ConfigError
            If `train_pairs` are not pairs of the task, or `curves` is not such a table.

        Examples
        --------
        >>> import grokinterp as gi
        >>> logits = {step: run.logits(step) for step in (0, 800)}
        >>> run = gi.Run.from_logits(logits, task=gi.TaskSpec(p=13), train_pairs=run.split.train)
        >>> gi.take_snapshot(run).accuracy_all, run.missing_parts["neurons"]
        (1.0, 'a network known only by its logits shows no neurons')
        """
        checked("logits", logits, Mapping, "Pass {step: logits}.")
        checked("task", task, TaskSpec)
        return cls.from_imported(run_from_logits(logits, task, train_pairs, curves))

    @classmethod
    def from_imported(cls, found: ImportedRun) -> Run:
        """Make a run of what an importer found; :func:`grokinterp.load_run` calls it."""
        run = cls(**vars(found))
        if not isinstance(run.split.task, Task):
            return run
        # Training pairs are what is best known; why they are missed comes next.
        doubts = (*doubts_of_split(run.split, run.steps, run.logits), *run.doubts)
        origin = " ".join([*doubts, run.origin])
        return dataclasses.replace(run, doubts=doubts, origin=origin)

    def parameters(self, step: int | None = None) -> dict[str, Tensor]:
        """Weights after `step` updates (None: the last kept), under TransformerLens names.

        For a module, its state dict; for logits alone, an empty dictionary.

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
            With TransformerLens names, hooks and ``run_with_cache``; of a run of modules the
            module itself.
        """
        if isinstance(self.checkpoints, ForeignNetworks):
            return self.checkpoints.model(self.resolve_step(step))
        from grokinterp.models.hooked_transformer import HookedTransformer

        return HookedTransformer.from_parameters(self.transformer, self.parameters(step))

    def forecast(
        self, at: int | None = None, *, horizon: int | None = None, level: float = 0.9
    ) -> Any:
        """Return a :class:`~grokinterp.Forecast`; see :func:`grokinterp.forecast`.

        Examples
        --------
        >>> run.forecast().median is None  # nothing in the bank is as small
        True
        """
        return registered("forecast")(self, at, horizon=horizon, level=level)

    def resolve_step(self, step: int | None) -> int:
        """Return `step` if its weights were kept, the last kept step for None.

        Raises
        ------
        CheckpointError
            If there are no weights of that step.
        """
        checked("step", step, int | None)
        if not self.steps:
            raise CheckpointError(f"{self.origin} has no checkpoints yet. Train it first.")
        if step is None:
            return self.steps[-1]
        if step not in self.steps:
            nearest = min(self.steps, key=lambda kept: abs(kept - step))
            raise CheckpointError(
                f"no checkpoint at step {shown(step)}; the nearest is {nearest}, of "
                f"{len(self.steps)} between {self.steps[0]} and {self.steps[-1]}."
            )
        return step
