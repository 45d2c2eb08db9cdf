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

from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.runs.importers.assembly import (
    DRAW_FIELDS,
    given_split,
    imported_run,
    listed,
    numbers_in,
    plural,
    quoted,
)
from grokinterp.runs.importers.contents import (
    COUNTS_OF_SEVERAL,
    Contents,
    config_in,
    find_contents,
    passed_over,
    require_own_memory,
)
from grokinterp.runs.importers.evidence import Reading, find_reading
from grokinterp.runs.importers.foreign_files import ForeignPath, Importer
from grokinterp.runs.importers.hints import NO_HINTS, Hints
from grokinterp.runs.importers.inferred_splits import find_split
from grokinterp.runs.importers.layouts import layout_of
from grokinterp.runs.importers.logs import logs_of
from grokinterp.runs.importers.parameters import find_state_dict, networks_of
from grokinterp.runs.importers.readings import open_readings
from grokinterp.runs.importers.stored_config import known_fields
from grokinterp.runs.importers.trained_pairs import stored_table
from grokinterp.runs.record import ImportedRun, WeightsInMemory
from grokinterp.tasks import Split

DATA_SEED = 598
_USED = {"train_losses", "test_losses", "train_indices", "test_indices"}


def objection(source: ForeignPath) -> str:
    """Say why a path is no such file; empty if it is."""
    if source.is_folder:
        return "a folder"
    content = source.content
    if not isinstance(content, Mapping) or not isinstance(
        content.get("checkpoints"), (list, tuple)
    ):
        return "no dictionary with key 'checkpoints'"
    if "checkpoint_epochs" not in content and any(key in content for key in COUNTS_OF_SEVERAL):
        return "no 'checkpoint_epochs' but other steps"
    if not content["checkpoints"] or find_state_dict(content["checkpoints"][-1]) is None:
        return "no state dicts under 'checkpoints'"
    layout = layout_of(find_state_dict(content["checkpoints"][-1]) or {})
    return "" if layout in ("transformer_lens", "bridge") else "its weights are transposed"


def load(source: ForeignPath, hints: Hints = NO_HINTS) -> ImportedRun:
    """Read the dictionary."""
    content = source.content
    config = config_in(content)
    found = _checkpoints(content)
    states, steps = found.states, found.steps
    logs = logs_of(content, epochs=found.numbers)
    candidates = open_readings(states[-1], {**known_fields(config), **hints.model})
    trained = stored_table(_train_rows(content), hints, candidates[0].order)
    reading = find_reading(candidates, said="addition", hints=hints, trained=trained)
    spec = reading.network.spec
    kind = reading.network.kind
    weights = {
        step: network.parameters for step, network in networks_of(steps, states, **kind).items()
    }
    split, how, unknown = _split(reading, content, hints)
    where = f"imported from {source.path.name} (grokking_demo): "
    where += f"{plural(len(steps), 'checkpoint')}, the last "
    return imported_run(
        source,
        WeightsInMemory(weights),
        spec,
        split,
        curves=logs.curves(test_delay=1),
        origin=[
            f"{where}at step {steps[-1]:,}.",
            "" if reading.network.extra_output is None else "One output too many was cut.",
            reading.account,
            how,
            logs.account,
            quoted(config),
            listed(reading.network.ignored),
            passed_over(content, found, _USED - set(logs.left_out)),
        ],
        unknown=unknown,
        doubts=reading.doubts,
    )


def _checkpoints(content: Mapping[str, Any]) -> Contents:
    keys = ("checkpoints", "checkpoint_epochs")
    found = find_contents({key: content[key] for key in keys if key in content})
    if found is None:
        raise CheckpointError("its checkpoints are not all state dicts of one kind. Save them all.")
    require_own_memory(found)
    return found


def _train_rows(content: Mapping[str, Any]) -> np.ndarray | None:
    """Rows of the task's pairs that were trained on; None if it does not say."""
    if "train_indices" not in content:
        return None
    return np.array(numbers_in(content["train_indices"])).astype(np.int64)


def _split(
    reading: Reading, content: Mapping[str, Any], hints: Hints
) -> tuple[Split, str, tuple[str, ...]]:
    """The split, how it was found, and what is not known of it."""
    rows = _train_rows(content)
    if rows is not None:
        try:
            split = given_split(reading.task, rows)
        except (ConfigError, ValueError):
            if hints.train_pairs is not None:
                return Split.unknown(reading.task), "Its train_indices are no rows of the task.", ()
            raise CheckpointError(
                "its train_indices are not different rows of the task's pairs. Use "
                "gi.Run.from_state_dicts({step: state_dict}, task=..., train_pairs=...)."
            ) from None
        return split, "The split is its train_indices.", DRAW_FIELDS
    split, how = find_split(reading, method="torch_randperm", seeds=(DATA_SEED,), fractions=(0.3,))
    return split, how, ()


IMPORTER = Importer("grokking_demo", objection, load)
