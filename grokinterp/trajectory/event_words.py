"""Events of a run in sentences, and many of one kind in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grokinterp.trajectory.events import Event, EventKind
from grokinterp.trajectory.frequency_events import Change, NewCircuit, Swap

MOST_ALONE = 3
"""Spikes and slingshots that are told one by one; more of a kind are told in one sentence."""
_LEAST_SHIFT = 0.01
"""Smallest change of the spectrum around a spike that is worth a sentence."""
_NAMES = {"slingshot": "slingshots", "spike": "spikes of the training loss"}


def birth_words(change: Change, name: str, patience: int) -> str:
    """Say that a frequency is there now."""
    slowly = _since("grown", change, patience)
    again = " It had been there earlier, until others outgrew it." if change.is_again else ""
    return (
        f"{name} is born at step {change.step:,}{slowly}. While it is there, it holds "
        f"{_percent(change.share_after)} of the power of the logits, with a coefficient of "
        f"{change.coefficient_after:.2g} logits; before, the coefficient was "
        f"{_size(change.coefficient_before)}.{again}"
    )


def death_words(change: Change, name: str, patience: int) -> str:
    """Say that a frequency is gone."""
    slowly = _since("shrunk", change, patience)
    again = " It had been gone earlier, until others shrank." if change.is_again else ""
    return (
        f"{name} is gone at step {change.step:,}{slowly}. While it was there, it held "
        f"{_percent(change.share_before)} of the power of the logits, with a coefficient of "
        f"{change.coefficient_before:.2g} logits; after, the coefficient is "
        f"{_size(change.coefficient_after)}.{again}"
    )


def swap_words(swap: Swap, old: str, new: str) -> str:
    """Say that one frequency has taken the place of another."""
    return (
        f"{new} takes the place of {old[0].lower()}{old[1:]} by step {swap.step:,}: the one that "
        f"is gone held {_percent(swap.death.share_before)} of the power of the logits, the one "
        f"that is there holds {_percent(swap.birth.share_after)}."
    )


def circuit_words(found: NewCircuit, earlier: str, new: str, plural: str) -> str:
    """Say that most of the power lies in other frequencies than before."""
    return (
        f"A second circuit from step {found.step:,} on: {_percent(found.share_after)} of the power "
        f"of the logits lies in {plural} that the circuit before it did not have ({new}); that "
        f"one had {earlier}."
    )


def collapse_words(step: int, before: float, lowest: float, regained: int | None, last: int) -> str:
    """Say that an accuracy was lost, and whether it has come back."""
    back = (
        f"it is back at step {regained:,}"
        if regained is not None
        else f"it has not come back by the last test, at step {last:,}"
    )
    return (
        f"The test accuracy is lost at step {step:,}: it was {before:.1%} before, falls to "
        f"{lowest:.1%}, and {back}."
    )


def spike_words(event: Event) -> str:
    """Say that the training loss shot up, and what came with it."""
    seen = event.evidence
    gain, lowest, shift = (
        seen.get(name) for name in ("norm_gain", "accuracy_lowest", "spectrum_change")
    )
    said = (
        f"The training loss shoots up at step {event.step:,}, from {seen['loss_before']:.2g} to "
        f"{seen['peak_loss']:.2g} nats, and is down again at step {seen['end_step']:,}"
    )
    if event.kind == "slingshot":
        said += f"; the norm of W_U rises by {gain:.1%} around it"
    elif gain is None:
        said += "; the norm of W_U is not known at enough checkpoints around it"
    else:
        said += "; no rise of the norm of W_U goes with it"
    if lowest is not None:
        said += f". The lowest test accuracy recorded meanwhile is {lowest:.1%}"
    if isinstance(shift, float) and shift >= _LEAST_SHIFT:
        said += f". After it {shift:.0%} of the power of the logits lies elsewhere in the spectrum"
    return f"{said}."


def condensed(events: Sequence[Event]) -> list[Event]:
    """Join many spikes, or slingshots, into one event that says how many there are.

    Examples
    --------
    >>> seen = {"loss_before": 1e-7, "peak_loss": 0.5, "end_step": 0}
    >>> spikes = [Event("spike", step, (), seen, "") for step in range(1000, 9000, 1000)]
    >>> told = condensed(spikes)
    >>> len(told), told[0].sentence[:65]
    (1, '8 spikes of the training loss, from step 1,000 to step 8,000: in ')
    """
    told: list[Event] = []
    for event in events:
        same = [one for one in events if one.kind == event.kind]
        if event.kind not in _NAMES or len(same) <= MOST_ALONE:
            told.append(event)
        elif event is same[0]:
            told.append(Event(event.kind, event.step, (), {}, _many(event.kind, same)))
    return told


def _many(kind: EventKind, events: Sequence[Event]) -> str:
    before, peak = (
        float(np.median([event.evidence[name] for event in events]))  # pyright: ignore
        for name in ("loss_before", "peak_loss")
    )
    return (
        f"{len(events)} {_NAMES[kind]}, from step {events[0].step:,} to step {events[-1].step:,}: "
        f"in median it rises from {before:.2g} to {peak:.2g} nats."
    )


def _since(what: str, change: Change, patience: int) -> str:
    """What to say of a change that took long."""
    if change.step - change.start_step <= patience:
        return ""
    return f", having {what} since step {change.start_step:,}"


def _percent(fraction: float) -> str:
    """A fraction with two digits, or one place where it is small."""
    return f"{fraction:.0%}" if fraction >= 0.1 else f"{fraction:.1%}"


def _size(coefficient: float) -> str:
    """A coefficient that may be none."""
    return f"{coefficient:.2g}" if abs(coefficient) >= 0.01 else "below 0.01"
