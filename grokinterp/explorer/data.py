"""What an explorer carries: the last network, its circuit, and the hands of earlier checkpoints."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import torch

from grokinterp.circuits import Snapshot, take_snapshot
from grokinterp.circuits.trigonometric import trigonometric_component
from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.explorer.hands import hands_of, in_short_integers
from grokinterp.explorer.network import network_data
from grokinterp.explorer.packing import packed
from grokinterp.runs.record import ForeignNetworks
from grokinterp.trajectory.analysis import Analysis

MOST_BYTES = 3 * 2**20
"""Size of the data in the page."""
MOST_LOGITS = 2**24
"""Logits of all pairs that a page computes: those of n = 256. It needs 64 MiB for them."""
MOST_CONTROLS = 8
"""Key frequencies with a control each; those with less of the logits share one."""
MOST_STEPS = 20
"""Checkpoints that the slider through training has."""


def why_no_explorer(analysis: Analysis) -> str | None:
    """Why an analysis has no circuit that a page can show; None if it may have one.

    Nothing is computed for it, so the data may turn out too large all the same.

    Examples
    --------
    >>> why_no_explorer(analysis) is None
    True
    """
    task = analysis.run.task
    if not analysis.key_frequencies.frequencies:
        known = analysis.why("key_frequencies", "key_representations")
        return known or "there are no key frequencies"
    n_logits = task.n_pairs * task.n_classes
    if n_logits > MOST_LOGITS:
        return f"{n_logits:,} logits are more than the {MOST_LOGITS:,} that a page computes"
    return None


def explorer_json(analysis: Analysis) -> str:
    """Return everything that the page needs as JSON that is safe inside a script element.

    Raises
    ------
    ConfigError
        If the analysis has no circuit to show, or what is needed takes more than
        :data:`MOST_BYTES`.
    CheckpointError
        If the weights of the last checkpoint cannot be read.

    Examples
    --------
    >>> found = json.loads(explorer_json(analysis))
    >>> found["order"], [part["name"] for part in found["components"]]
    (13, ['frequency_2', 'frequency_3'])
    """
    reason = why_no_explorer(analysis)
    if reason is not None:
        raise ConfigError(f"there is no circuit to explore: {reason}.")
    keys, run = analysis.key_frequencies, analysis.run
    if not isinstance(run.checkpoints, ForeignNetworks) and not run.parameters(keys.step):
        raise ConfigError("there is no circuit to explore: no weights are kept.")
    snapshot = take_snapshot(run, keys.step)
    alone, together = _ranked(snapshot, list(keys.frequencies))
    data = {
        **_task_data(analysis, snapshot),
        "step": snapshot.step,
        "components": _components(analysis, snapshot, alone, together),
        "network": network_data(snapshot),
        "steps": _steps(analysis, snapshot, alone),
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    if len(text) > MOST_BYTES:
        raise ConfigError(
            "there is no circuit to explore: the last network takes "
            f"{len(text) / 2**20:.1f} MiB, and a page may carry {MOST_BYTES / 2**20:g}."
        )
    # "</script>" and "<!--" would end the element, whatever the JSON says.
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _ranked(snapshot: Snapshot, frequencies: list[int]) -> tuple[list[int], list[int]]:
    """Those that get a control each, with most of the logits, and those that share one."""
    if len(frequencies) <= MOST_CONTROLS:
        return frequencies, []
    norms = {k: float(trigonometric_component(snapshot, [k]).norm()) for k in frequencies}
    first = sorted(frequencies, key=lambda k: -norms[k])[: MOST_CONTROLS - 1]
    return sorted(first), [k for k in frequencies if k not in first]


def _task_data(analysis: Analysis, snapshot: Snapshot) -> dict[str, Any]:
    view, rows = snapshot.require_view(), snapshot.pair_rows
    arrangement, task = snapshot.arrangement, analysis.run.task
    train = None
    if snapshot.split.is_known:
        train = packed(snapshot.pair_mask("train")[rows], "|u1")
    return {
        "title": task.spec.in_words,
        "order": view.order,
        "outputs": task.n_classes,
        "cyclic": view.is_cyclic,
        "formula": task.operation.formula,
        "first": arrangement.first_tokens.tolist(),
        "second": arrangement.second_tokens.tolist(),
        "classes": snapshot.class_tokens.tolist(),
        "products": packed(snapshot.products, "<u2"),
        "train": train,
    }


def _components(
    analysis: Analysis, snapshot: Snapshot, alone: list[int], together: list[int]
) -> list[dict[str, Any]]:
    keys = analysis.key_frequencies
    names = dict(zip(keys.frequencies, keys.names or keys.frequencies, strict=True))
    kind = "frequency" if keys.names is None else "representation"
    parts = [_component(snapshot, f"{kind}_{names[k]}", f"{kind} {names[k]}", [k]) for k in alone]
    if together:
        plural = "frequencies" if keys.names is None else "representations"
        label = f"the other {len(together)} key {plural}"
        parts.append(_component(snapshot, "others", label, together))
    return parts


def _component(snapshot: Snapshot, name: str, label: str, frequencies: list[int]) -> dict[str, Any]:
    waves = snapshot.harmonics.waves(torch.tensor(frequencies, dtype=torch.long))
    has_hands = snapshot.require_view().is_cyclic and len(frequencies) == 1
    return {
        "name": name,
        "label": label,
        "frequency": frequencies[0] if has_hands else None,
        "n_waves": len(waves),
        "waves": packed(waves, "<f8"),
    }


def _steps(analysis: Analysis, last: Snapshot, alone: list[int]) -> list[dict[str, Any]]:
    """Checkpoints with how well the network did there; in a cyclic group with its hands."""
    if not last.require_view().is_cyclic:
        return []
    table = analysis.trajectory.set_index("step")
    earlier = [int(step) for step in table.index if step < last.step]
    places = np.unique(np.linspace(0, len(earlier) - 1, MOST_STEPS - 1).round().astype(int))
    chosen = [earlier[place] for place in places] if earlier else []
    entries = []
    for step in [*chosen, last.step]:
        try:
            snapshot = last if step == last.step else take_snapshot(analysis.run, step)
        except CheckpointError:
            continue  # analysis.failures has it, with the reason
        hands = {
            name: {"scales": scales, "points": packed(points, "<i2")}
            for name, values in hands_of(snapshot, alone).items()
            for scales, points in [in_short_integers(values)]
        }
        numbers = table.loc[step].to_dict() if step in table.index else {}
        kept = {
            name: float(f"{numbers[name]:.5g}")
            for name in ("train_accuracy", "test_accuracy", "train_loss", "test_loss")
            if math.isfinite(numbers.get(name, math.nan))
        }
        entries.append({"step": step, **kept, "hands": hands})
    return entries
