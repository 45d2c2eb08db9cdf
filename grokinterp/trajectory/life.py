"""The events along a run, gathered from its spectrum, its accuracies and its training loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from grokinterp.fields import Number
from grokinterp.runs.run import Run
from grokinterp.trajectory.course import follow
from grokinterp.trajectory.event_words import (
    birth_words,
    circuit_words,
    collapse_words,
    death_words,
    spike_words,
    swap_words,
)
from grokinterp.trajectory.events import KINDS, Event
from grokinterp.trajectory.frequency_events import (
    Change,
    LifeRule,
    NewCircuit,
    Powers,
    Swap,
    find_changes,
    find_new_circuits,
    pair_swaps,
    spectrum_change,
)
from grokinterp.trajectory.milestones import Milestones
from grokinterp.trajectory.recorded import has_recorded
from grokinterp.trajectory.slingshots import (
    NormCycle,
    Spike,
    SpikeRule,
    find_norm_cycles,
    find_spikes,
    slingshots_of,
)
from grokinterp.trajectory.switches import Switch, find_switches
from grokinterp.trajectory.thresholds import Thresholds

LEAST_CHECKPOINTS = 5
"""Checkpoints below which no change is told from an excursion."""
_NORM = "sum_squared_weights_W_U"
_PARTS_OF_TYPE = {"real": 1, "complex": 2, "quaternionic": 4}


@dataclass(frozen=True, eq=False)
class Spectra:
    """What every frequency, or representation, holds along a run."""

    powers: Powers
    labels: tuple[int, ...] | tuple[str, ...]
    """Frequencies, or names of representations, in the order of the columns."""
    n_neurons: np.ndarray | None
    """Neurons of each at each checkpoint, where the network has neurons."""
    noun: str
    """``frequency`` or ``representation``."""

    @property
    def plural(self) -> str:
        """Both nouns in the plural."""
        return "frequencies" if self.noun == "frequency" else "representations"

    def name(self, component: int) -> str:
        """What a sentence calls one of them."""
        return f"{self.noun.capitalize()} {self.labels[component]}"

    def names(self, components: Sequence[int]) -> str:
        """What a sentence calls several."""
        return ", ".join(str(self.labels[component]) for component in components)


@dataclass(frozen=True, eq=False)
class Story:
    """What events are found in."""

    run: Run
    trajectory: pd.DataFrame
    """One row per checkpoint: ``step`` and measures."""
    milestones: Milestones
    spectra: Spectra | None
    """None where the task has no spectrum, or there are too few checkpoints."""
    limits: Thresholds
    rule: LifeRule

    @property
    def patience(self) -> int:
        """Steps; an excursion of less than half of them is no event."""
        return max(self.limits.patience, 1)


def events_of(story: Story) -> tuple[Event, ...]:
    """Find the events of a run, in order of steps; none in a run whose reading is in doubt."""
    if story.run.doubts:
        return ()
    found = [*_of_spectrum(story), *_collapses(story), *_spikes(story)]
    return tuple(sorted(found, key=lambda event: (event.step, KINDS.index(event.kind))))


def spectra_of(
    run: Run, by_frequency: pd.DataFrame, by_representation: pd.DataFrame
) -> Spectra | None:
    """Return what every frequency or representation holds along a run.

    Parameters
    ----------
    run
        Has the group of its task.
    by_frequency, by_representation
        The tables of its analysis, of which one has rows.

    Returns
    -------
    Spectra or None
        None without a spectrum, or with fewer than 5 checkpoints.
    """
    is_group = run.task.has_representations
    table, noun = (by_representation, "representation") if is_group else (by_frequency, "frequency")
    if noun not in table:
        return None
    steps = np.unique(table["step"].to_numpy(dtype=np.int64))
    if len(steps) < LEAST_CHECKPOINTS:
        return None
    known = dict.fromkeys(table[noun])
    labels = tuple(map(str, known)) if is_group else tuple(map(int, known))

    def wide(column: str) -> np.ndarray:
        cells = table.pivot(index="step", columns=noun, values=column)
        return cells[list(labels)].to_numpy(dtype=float)

    view = run.task.group_view
    n_waves = [1 if view is not None and 2 * label == view.order else 2 for label in labels]
    if is_group:
        rows = table.drop_duplicates(noun)
        n_waves = [
            int(d) ** 2 // _PARTS_OF_TYPE[kind]
            for d, kind in zip(rows["dimension"], rows["type"], strict=True)
        ]
    powers = Powers(steps, wide("logit_power_share"), wide("logit_coefficient"), n_waves)
    return Spectra(powers, labels, wide("n_neurons") if "n_neurons" in table else None, noun)


def why_no_events(story: Story) -> str:
    """Say what was looked at where nothing has happened; or why nothing could be seen."""
    steps = story.trajectory["step"].tolist() if "step" in story.trajectory else []
    if len(steps) < LEAST_CHECKPOINTS:
        return f"changes along a run take {LEAST_CHECKPOINTS} checkpoints, and it has {len(steps)}"
    seen = "the test accuracy and the training loss"
    if story.spectra is not None:
        seen = f"the {story.spectra.plural} of the logits, {seen}"
    return (
        f"nothing that lasts has changed in {seen} in {len(steps):,} checkpoints up to step "
        f"{int(max(steps)):,}"
    )


def _of_spectrum(story: Story) -> list[Event]:
    spectra, patience = story.spectra, story.patience
    if spectra is None:
        return []
    changes = find_changes(spectra.powers, patience=patience, rule=story.rule)
    swaps, alone = pair_swaps(changes, patience=patience, rule=story.rule)
    events = [_change_event(spectra, change, patience) for change in alone]
    events += [_swap_event(spectra, swap) for swap in swaps]
    since = story.milestones.grokking_step
    if since is not None:
        circuits = find_new_circuits(
            spectra.powers, since=since, patience=patience, rule=story.rule
        )
        events += [_circuit_event(spectra, circuit) for circuit in circuits]
    return events


def _change_event(spectra: Spectra, change: Change, patience: int) -> Event:
    name = spectra.name(change.component)
    words = birth_words if change.is_birth else death_words
    return Event(
        "birth" if change.is_birth else "death",
        change.step,
        _labels(spectra, [change.component]),
        _evidence(spectra, change, change),
        words(change, name, patience),
    )


def _swap_event(spectra: Spectra, swap: Swap) -> Event:
    both = [swap.death.component, swap.birth.component]
    old, new = map(spectra.name, both)
    evidence = _evidence(spectra, swap.death, swap.birth)
    return Event("swap", swap.step, _labels(spectra, both), evidence, swap_words(swap, old, new))


def _circuit_event(spectra: Spectra, found: NewCircuit) -> Event:
    earlier, new = spectra.names(found.earlier), spectra.names(found.new)
    return Event(
        "second_circuit",
        found.step,
        _labels(spectra, found.new),
        {"share_before": found.share_before, "share_after": found.share_after},
        circuit_words(found, earlier, new, spectra.plural),
    )


def _evidence(spectra: Spectra, before: Change, after: Change) -> dict[str, Number]:
    """What one component held before its change, and another, or the same, holds after its own."""
    numbers: dict[str, Number] = {
        "start_step": min(before.start_step, after.start_step),
        "share_before": before.share_before,
        "share_after": after.share_after,
        "coefficient_before": before.coefficient_before,
        "coefficient_after": after.coefficient_after,
    }
    if spectra.n_neurons is not None:
        rows = np.searchsorted(spectra.powers.steps, [before.start_step, after.step])
        counts = (
            spectra.n_neurons[row, change.component]
            for row, change in zip(rows, (before, after), strict=True)
        )
        for name, count in zip(("n_neurons_before", "n_neurons_after"), counts, strict=True):
            numbers[name] = int(count) if np.isfinite(count) else None
    return numbers


def _labels(spectra: Spectra, components: Sequence[int]) -> tuple[int, ...] | tuple[str, ...]:
    chosen = [spectra.labels[component] for component in components]
    return tuple(map(str, chosen)) if spectra.noun == "representation" else tuple(map(int, chosen))


def _collapses(story: Story) -> list[Event]:
    """Losses of the test accuracy: those that it recovers from, and that for good."""
    steps, accuracies = _tested(story)
    if not len(steps):
        return []
    limits = story.limits
    switches = find_switches(
        steps,
        accuracies,
        high=limits.grokking,
        low=limits.grokking - limits.dip_depth,
        patience=story.patience,
    )
    falls: list[tuple[int, int | None]]
    falls = [(one.step, _next(switches, i)) for i, one in enumerate(switches) if not one.is_rise]
    lost = follow(steps, accuracies, limits.grokking, limits).lost
    if lost is not None:
        # At the step that the outcome of the run names.
        falls = [*(fall for fall in falls if fall[1] is not None), (lost, None)]
    return [_collapse(steps, accuracies, fell, regained) for fell, regained in falls]


def _collapse(steps: np.ndarray, accuracies: np.ndarray, step: int, regained: int | None) -> Event:
    at = int(np.searchsorted(steps, step))
    end = len(steps) if regained is None else int(np.searchsorted(steps, regained))
    before, lowest = float(accuracies[max(at - 1, 0)]), float(accuracies[at:end].min())
    return Event(
        "collapse",
        step,
        (),
        {"end_step": regained, "accuracy_before": before, "accuracy_lowest": lowest},
        collapse_words(step, before, lowest, regained, int(steps[-1])),
    )


def _tested(story: Story) -> tuple[np.ndarray, np.ndarray]:
    """Steps at which the test accuracy is known, and what it is."""
    column = "test_accuracy"
    table = story.run.curves if has_recorded(story.run, column) else story.trajectory
    if column not in table:
        return np.empty(0, np.int64), np.empty(0)
    known = table.dropna(subset=[column])
    return known["step"].to_numpy(np.int64), known[column].to_numpy(float)


def _next(switches: Sequence[Switch], i: int) -> int | None:
    return switches[i + 1].step if i + 1 < len(switches) else None


def _spikes(story: Story) -> list[Event]:
    """Spikes of the training loss after the training pairs were memorized."""
    curves, since = story.run.curves, _low_from(story)
    # The rule counts steps by rows.
    if since is None or len(curves) < 2 or (np.diff(curves["step"]) != 1).any():
        return []
    spikes = [spike for spike in find_spikes(curves) if spike.onset_step > since]
    steps, norms = _norms(story, since)
    cycles = find_norm_cycles(steps, norms) if len(steps) > 2 else ()
    return [_spike_event(story, spike, cycles, steps) for spike in spikes]


def _low_from(story: Story) -> int | None:
    """Step from which the training loss is low: the training pairs are memorized then."""
    if story.milestones.memorization_step is not None or has_recorded(story.run, "train_accuracy"):
        return story.milestones.memorization_step
    curves = story.run.curves
    is_low = curves["train_loss"].to_numpy(float) < SpikeRule().peak_loss
    return int(curves["step"].to_numpy()[is_low.argmax()]) if is_low.any() else None


def _norms(story: Story, since: int) -> tuple[np.ndarray, np.ndarray]:
    """Norm of the unembedding at the checkpoints after a step."""
    table = story.trajectory
    if _NORM not in table:
        return np.empty(0, np.int64), np.empty(0)
    known = table.dropna(subset=[_NORM]).query("step >= @since")
    return known["step"].to_numpy(np.int64), np.sqrt(known[_NORM].to_numpy(float))


def _spike_event(
    story: Story, spike: Spike, cycles: Sequence[NormCycle], steps: np.ndarray
) -> Event:
    margin = int(max(np.median(np.diff(steps)), 1)) if len(steps) > 1 else 1
    gains = [one.gain for one in cycles if slingshots_of([spike], [one], margin=margin)]
    is_known = len(steps) > 2 and steps[0] <= spike.onset_step and spike.end_step <= steps[-1]
    evidence: dict[str, Number] = {
        "end_step": spike.end_step,
        "peak_step": spike.peak_step,
        "loss_before": spike.loss_before,
        "peak_loss": spike.peak_loss,
        "norm_gain": max(gains) if gains else (0.0 if is_known else None),
        "accuracy_lowest": _lowest_accuracy(story, spike),
        "spectrum_change": _shift(story.spectra, spike),
    }
    bare = Event("slingshot" if gains else "spike", spike.onset_step, (), evidence)
    return Event(bare.kind, bare.step, (), evidence, spike_words(bare))


def _lowest_accuracy(story: Story, spike: Spike) -> float | None:
    steps, accuracies = _tested(story)
    during = accuracies[(steps >= spike.onset_step) & (steps <= spike.end_step)]
    return float(during.min()) if len(during) else None


def _shift(spectra: Spectra | None, spike: Spike) -> float | None:
    """How much of the spectrum differs between the checkpoints before and after a spike."""
    if spectra is None:
        return None
    steps = spectra.powers.steps
    before = int(np.searchsorted(steps, spike.onset_step)) - 1
    after = int(np.searchsorted(steps, spike.end_step))
    if before < 0 or after >= len(steps):
        return None
    return spectrum_change(spectra.powers.shares, before, after)
