"""Cards of a checkpoint and of the key frequencies that were found in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grokinterp.cards.markup import Card
from grokinterp.cards.pictures import bars
from grokinterp.reprs import listed

if TYPE_CHECKING:
    from grokinterp.circuits import KeyFrequencies, Snapshot

_PARTS = ("operands", "neurons", "readout", "pattern", "weights")


def snapshot_card(snapshot: Snapshot) -> Card:
    """Step, split, accuracy and parts of a checkpoint that was run on all pairs."""
    n_pairs, n_answers = snapshot.logits.shape
    parts = [part for part in _PARTS if snapshot.has(part)]
    absent = [part for part in _PARTS if not snapshot.has(part)]
    return Card(
        title=f"Snapshot of {snapshot.task.spec.in_words} at step {snapshot.step:,}",
        rows={
            "accuracy": _accuracies(snapshot),
            "logits": f"{n_pairs:,} pairs, {n_answers:,} answers",
            "network": snapshot.network.in_words,
            "parts": ", ".join(["logits", *parts]),
            "not there": listed(absent) or None,
            "split": repr(snapshot.split).partition(": ")[2],
        },
        calls={
            "gi.find_key_frequencies(snapshot)": "finds the waves that answer",
            "gi.ablate(snapshot, keys, component=...)": "takes a part out",
        },
    )


def _accuracies(snapshot: Snapshot) -> str | None:
    """Accuracy on all pairs and on each side; None where the logits are too many to read twice."""
    if snapshot.is_large and "are_correct" not in vars(snapshot):
        return None
    correct = snapshot.are_correct.double().numpy()
    found = {"all pairs": snapshot.accuracy_all}
    sides = {"training pairs": snapshot.split.train, "test pairs": snapshot.split.test}
    found |= {name: float(correct[rows].mean()) for name, rows in sides.items() if len(rows)}
    return ", ".join(f"{value:.4g} on {name}" for name, value in found.items())


def key_frequencies_card(keys: KeyFrequencies) -> Card:
    """The set, why these, and the share of the logits' power that each frequency holds."""
    noun = "frequencies" if keys.names is None else "representations"
    labels = keys.labels
    at = "" if keys.step is None else f", at step {keys.step:,}"
    if labels:
        calls = {
            "gi.ablate(snapshot, keys)": "shows what is left without them",
            "keys.evidence": f"has a row for each of the {noun}",
        }
    else:
        calls = {"gi.analyze_run(run, key_frequencies=[...])": f"takes {noun} that you name"}
    if keys.evidence is None:
        calls.pop("keys.evidence", None)
    return Card(
        title=f"Key {noun}: {listed(labels) if labels else 'none'}",
        warnings={"Before you believe it": "; ".join(keys.caveats) or None},
        rows={
            "why none": None if labels else keys.reason or "no reason is known",
            "rule": f"{keys.rule.replace('_', ' ')}{at}",
            "group": f"order {keys.order:,}",
            "accuracy on": None
            if keys.accuracy_on is None
            else f"{keys.accuracy_on.replace('_', ' ')} pairs",
        },
        pictures=[_shares(keys)],
        calls=calls,
    )


def _shares(keys: KeyFrequencies) -> str:
    table = keys.evidence
    if table is None or not {"logit_power_share", "is_key"} <= set(table.columns):
        return ""
    shares = table["logit_power_share"].to_numpy(dtype=float)
    is_key = table["is_key"].to_numpy(dtype=bool)
    column = "frequency" if "frequency" in table else "representation"
    names = table[column].tolist()
    largest = [i for i in np.argsort(-shares) if np.isfinite(shares[i])][:4]
    said = "share of the logits' power, largest " + listed(
        f"{names[i]}: {shares[i]:.1%}" for i in largest
    )
    return bars(shares, is_key, said, names)
