"""The dictionary that TransformerLens's Grokking_Demo notebook saves.

``model``, ``config``, ``checkpoints``, ``checkpoint_epochs``, ``train_losses``,
``test_losses``, ``train_indices``, ``test_indices``. The training loss of epoch e is taken
before the update and belongs to step e; the test loss and the checkpoint of epoch e are taken
after it and belong to step e + 1. The pickled config is read without TransformerLens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.runs.importers.assembly import (
    DRAW_FIELDS,
    are_steps,
    curves_of,
    given_split,
    imported_run,
    listed,
    numbers_in,
    plural,
    quoted,
)
from grokinterp.runs.importers.evidence import Reading, find_reading, find_split
from grokinterp.runs.importers.foreign_files import ForeignPath, Importer, plain_fields
from grokinterp.runs.importers.hints import NO_HINTS, Hints
from grokinterp.runs.importers.parameters import (
    find_state_dict,
    layout_of,
    networks_of,
)
from grokinterp.runs.importers.readings import open_readings
from grokinterp.runs.importers.stored_config import known_fields
from grokinterp.runs.record import ImportedRun, WeightsInMemory
from grokinterp.tasks import Split

DATA_SEED = 598
_USED = {"model", "config", "checkpoints", "checkpoint_epochs", "train_losses", "test_losses"}
_USED |= {"train_indices", "test_indices"}


def objection(source: ForeignPath) -> str:
    """Say why a path is no such file; empty if it is."""
    if source.path.is_dir():
        return "a folder"
    content = source.content
    if not isinstance(content, Mapping) or not isinstance(
        content.get("checkpoints"), (list, tuple)
    ):
        return "no dictionary with key 'checkpoints'"
    if not content["checkpoints"] or find_state_dict(content["checkpoints"][-1]) is None:
        return "no state dicts under 'checkpoints'"
    layout = layout_of(_states(content)[-1])
    return "" if layout in ("transformer_lens", "bridge") else "its weights are transposed"


def load(source: ForeignPath, hints: Hints = NO_HINTS) -> ImportedRun:
    """Read the dictionary."""
    content = source.content
    config = plain_fields(content.get("config"))
    states, steps = _states(content), _steps(content)
    candidates = open_readings(states[-1], {**known_fields(config), **hints.model})
    reading = find_reading(candidates, said="addition", hints=hints)
    spec = reading.network.spec
    kind = reading.network.kind
    weights = {
        step: network.parameters for step, network in networks_of(steps, states, **kind).items()
    }
    split, how, unknown = _split(reading, content)
    train, test = (numbers_in(content.get(f"{side}_losses")) for side in ("train", "test"))
    where = f"imported from {source.path.name} (grokking_demo): "
    where += f"{plural(len(steps), 'checkpoint')}, the last "
    return imported_run(
        source,
        WeightsInMemory(weights),
        spec,
        split,
        curves=curves_of(dict(enumerate(train)), {e + 1: loss for e, loss in enumerate(test)}),
        origin=[
            f"{where}at step {steps[-1]:,}.",
            "" if reading.network.extra_output is None else "One output too many was cut.",
            reading.account,
            how,
            quoted(config),
            listed([*reading.network.ignored, *(str(k) for k in content if k not in _USED)]),
        ],
        unknown=unknown,
        doubts=reading.doubts,
    )


def _states(content: Mapping[str, Any]) -> list[Mapping[str, Tensor]]:
    found = [find_state_dict(state) for state in content["checkpoints"]]
    return [state for state in found if state is not None]


def _steps(content: Mapping[str, Any]) -> list[int]:
    epochs, n = numbers_in(content.get("checkpoint_epochs")), len(_states(content))
    if len(epochs) != n or not are_steps(epochs):
        raise CheckpointError(
            f"the file has {n} checkpoints and {len(epochs)} checkpoint_epochs, so their "
            "steps are not known. Use gi.Run.from_state_dicts({step: state_dict}, ...)."
        )
    return [int(epoch) + 1 for epoch in epochs]


def _split(reading: Reading, content: Mapping[str, Any]) -> tuple[Split, str, tuple[str, ...]]:
    """The split, how it was found, and what is not known of it."""
    if "train_indices" in content:
        try:
            rows = np.array(numbers_in(content["train_indices"])).astype(np.int64)
            split = given_split(reading.task, rows)
        except (ConfigError, ValueError):
            raise CheckpointError(
                "its train_indices are not different rows of the task's pairs. Use "
                "gi.Run.from_state_dicts({step: state_dict}, task=..., train_pairs=...)."
            ) from None
        return split, "The split is its train_indices.", DRAW_FIELDS
    split, how = find_split(reading, method="torch_randperm", seeds=(DATA_SEED,), fractions=(0.3,))
    return split, how, ()


IMPORTER = Importer("grokking_demo", objection, load)
