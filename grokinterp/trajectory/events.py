"""What happened to a network along its run: events, and the table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import pandas as pd

from grokinterp.fields import Number

EventKind = Literal["birth", "death", "swap", "second_circuit", "collapse", "slingshot", "spike"]
"""What happened. A frequency (or representation) is born, is gone, or takes the place of another.
Most of the power moves to frequencies that the first circuit did not have. The test accuracy is
lost. The training loss shoots up and comes back, with a rise of the norm of W_U or without."""

KINDS: tuple[EventKind, ...] = get_args(EventKind)
EVIDENCE = (
    "start_step",
    "end_step",
    "share_before",
    "share_after",
    "coefficient_before",
    "coefficient_after",
    "n_neurons_before",
    "n_neurons_after",
    "accuracy_before",
    "accuracy_lowest",
    "loss_before",
    "peak_loss",
    "peak_step",
    "norm_gain",
    "spectrum_change",
)
"""Columns of events.csv that hold the evidence, in order; a kind of event has some of them."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a network at a step of its run.

    Examples
    --------
    >>> event = Event("death", 3200, (1,), {"share_before": 0.07}, "Frequency 1 is gone.")
    >>> event.to_dict()["frequencies"], event.evidence["share_before"]
    ([1], 0.07)
    """

    kind: EventKind
    """What happened; see :data:`EventKind`."""
    step: int
    """First step at which it has happened: of a checkpoint, or of a loss or accuracy."""
    frequencies: tuple[int, ...] | tuple[str, ...] = ()
    """Those that it happened to; of a swap the one that is gone, then the one that is there. In a
    group that is not cyclic names of representations. None for a collapse or a slingshot."""
    evidence: dict[str, Number] = field(default_factory=dict)
    """The numbers behind it, by the names of :data:`EVIDENCE`; None where one is not known."""
    sentence: str = ""
    """The same for a reader."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, as summary.json has them."""
        return {
            "kind": self.kind,
            "step": self.step,
            "frequencies": list(self.frequencies),
            "evidence": dict(self.evidence),
            "sentence": self.sentence,
        }


def events_table(events: Sequence[Event]) -> pd.DataFrame:
    """Return events as rows of events.csv.

    Returns
    -------
    DataFrame
        ``step``, ``kind``, ``frequencies`` (separated by ``; ``), ``sentence``, and the columns of
        :data:`EVIDENCE` that any of them has. Without events no rows and no columns.

    Examples
    --------
    >>> events = [Event("swap", 900, (3, 7), {"share_after": 0.4}, "7 takes the place of 3.")]
    >>> events_table(events).to_dict(orient="records")[0]["frequencies"]
    '3; 7'
    """
    known = {name for event in events for name in event.evidence}
    return pd.DataFrame(
        [
            {
                "step": event.step,
                "kind": event.kind,
                "frequencies": "; ".join(map(str, event.frequencies)),
                "sentence": event.sentence,
                **{name: event.evidence.get(name) for name in EVIDENCE if name in known},
            }
            for event in events
        ]
    )
