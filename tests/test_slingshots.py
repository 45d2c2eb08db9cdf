"""Spikes of the training loss and the norm around them: planted curves and a published one."""

import numpy as np
import pandas as pd
import pytest

import tests.foreign as foreign
from grokinterp.trajectory.slingshots import (
    NormCycle,
    Spike,
    SpikeRule,
    find_norm_cycles,
    find_spikes,
    norm_growth,
    slingshots_of,
)

# Loss more than ten times that of twenty steps before, read off the published log by eye:
# the step before the rise, for the first five of 36.
PUBLISHED_BEFORE_RISE = [2230, 4047, 6314, 7769, 9190]


def curves_of(loss):
    return pd.DataFrame({"step": np.arange(len(loss)), "train_loss": loss})


def planted(*onsets, n=2000, height=0.5, decay=30.0, quiet=1e-7):
    """A quiet loss with spikes that rise at once and fall by e every `decay` steps."""
    steps = np.arange(n)
    loss = np.full(n, quiet)
    for onset in onsets:
        later = steps >= onset
        loss[later] += height * np.exp(-(steps[later] - onset) / decay)
    return curves_of(loss)


def test_planted_spikes_are_found_at_their_steps():
    found = find_spikes(planted(300, 900, 1500))
    assert [spike.onset_step for spike in found] == [300, 900, 1500]
    assert [spike.peak_step for spike in found] == [300, 900, 1500]
    # exp(-x / 30) < 1 / 10 first at x = 70.
    assert [spike.end_step for spike in found] == [370, 970, 1570]
    assert found[0].loss_before == pytest.approx(1e-7)
    assert found[0].peak_loss == pytest.approx(0.5, rel=1e-6)


def test_an_aftershock_is_part_of_its_spike():
    assert len(find_spikes(planted(300, 420))) == 1
    assert len(find_spikes(planted(300, 520))) == 2


@pytest.mark.parametrize(
    ("case", "curves"),
    [
        ("a quiet loss", planted()),
        ("a rise that stays up", curves_of(np.r_[np.full(500, 1e-6), np.full(900, 0.5)])),
        ("a rise by less than ten", planted(300, quiet=0.1, height=0.5)),
        ("a rise to no visible loss", planted(300, height=5e-3)),
        ("a slow rise", curves_of(np.exp(np.linspace(np.log(1e-7), 0, 2000)))),
        ("a loss that falls", curves_of(np.exp(-np.arange(2000) / 100))),
        ("a fall that takes too long", planted(300, decay=1000.0)),
        ("a record shorter than a rise", curves_of(np.ones(5))),
        ("the end of the record before the fall", planted(1995)),
        ("a loss that stops being finite", curves_of(np.r_[np.full(99, 1e-6), np.nan])),
    ],
)
def test_what_does_not_rise_and_fall_back_is_no_spike(case, curves):
    assert find_spikes(curves) == (), case


def test_a_loss_of_exactly_zero_may_come_before_a_spike():
    assert len(find_spikes(planted(300, quiet=0.0))) == 1


def test_steps_are_those_of_the_curve_and_not_of_its_rows():
    curves = planted(300)
    curves["step"] += 1000
    assert find_spikes(curves)[0].onset_step == 1300


def test_the_published_run_in_low_precision_has_its_36_spikes():
    from grokinterp.runs.loading import load_run

    curves = load_run(foreign.data_file("nanda_low_precision.pth")).curves
    found = find_spikes(curves)
    assert len(found) == 36
    steps = [spike.onset_step - SpikeRule().rise_steps for spike in found[:5]]
    assert steps == PUBLISHED_BEFORE_RISE
    cycle = np.diff([spike.onset_step for spike in found[4:]])
    assert cycle.min() > 1100 and cycle.max() < 1500


def spike_at(onset, end):
    return Spike(onset, onset, end, 1e-7, 0.5)


def test_a_norm_that_steps_up_at_the_spikes_grows_there_alone():
    steps = np.arange(0, 2050, 50)
    norms = 10.0 + (steps > 500) + (steps > 1200)
    around, between = norm_growth([spike_at(510, 560), spike_at(1210, 1260)], steps, norms)
    # Windows 450..650 and 1150..1350: 2 in 400 steps; nothing in what is left.
    assert around == pytest.approx(2 / 400) and between == 0.0


def test_a_norm_that_grows_steadily_grows_as_fast_everywhere():
    steps = np.arange(0, 2050, 50)
    around, between = norm_growth([spike_at(510, 560)], steps, 10 + 0.001 * steps)
    assert around == pytest.approx(0.001) and between == pytest.approx(0.001)


def test_growth_before_the_first_spike_does_not_count():
    steps = np.arange(0, 2050, 50)
    norms = np.minimum(steps / 100.0, 4.0)
    assert norm_growth([spike_at(910, 960)], steps, norms) == (0.0, 0.0)


def test_without_spikes_or_without_a_plateau_there_is_nothing_to_compare():
    steps = np.arange(0, 1000, 50)
    assert norm_growth([], steps, 1.0 * steps) is None
    assert norm_growth([spike_at(10, 980)], steps, 1.0 * steps) is None


CHECKPOINTS = np.arange(200, 8001, 50)


def stairs(*onsets, gain=0.1, drift=0.0, rise=100):
    """A norm of 14 that rises by `gain` over `rise` steps from each onset on, and drifts."""
    risen = sum(np.clip((CHECKPOINTS - onset) / rise, 0, 1) for onset in onsets)
    return 14 + gain * risen + drift * (CHECKPOINTS - CHECKPOINTS[0])


def test_planted_cycles_of_the_norm_are_found_at_their_steps():
    found = find_norm_cycles(CHECKPOINTS, stairs(1000, 2250, 3500, 4750))
    assert [cycle.start_step for cycle in found] == [1000, 2250, 3500, 4750]
    assert [cycle.end_step for cycle in found] == [1100, 2350, 3600, 4850]
    assert found[0].gain == pytest.approx(0.1 / 14)


def test_weight_decay_between_the_rises_is_rest():
    norms = stairs(1000, 2250, 3500, 4750, gain=0.5, drift=-4e-4)
    starts = [cycle.start_step for cycle in find_norm_cycles(CHECKPOINTS, norms)]
    assert starts == [1000, 2250, 3500, 4750]


@pytest.mark.parametrize(
    "norms",
    [
        14 + 1e-4 * CHECKPOINTS,
        np.log(CHECKPOINTS),
        np.full(len(CHECKPOINTS), 14.0),
        14 - 1e-4 * CHECKPOINTS,
    ],
    ids=["even growth", "growth that slows down", "rest", "decay"],
)
def test_a_norm_without_steps_has_no_cycle_but_a_first_rise(norms):
    assert [c for c in find_norm_cycles(CHECKPOINTS, norms) if c.start_step > 500] == []


def test_a_rise_too_small_or_without_its_plateau_is_no_cycle():
    assert find_norm_cycles(CHECKPOINTS, stairs(1000, 2250, gain=0.02)) == ()
    found = find_norm_cycles(CHECKPOINTS, stairs(1000, 7850))
    assert [cycle.start_step for cycle in found] == [1000]


def test_a_slingshot_is_a_spike_beside_a_cycle():
    spikes = [Spike(onset, onset + 5, onset + 20, 1e-8, 1.0) for onset in (880, 1180, 1300, 2000)]
    cycles = [NormCycle(1020, 1100, 0.01)]
    assert [spike.onset_step for spike in slingshots_of(spikes, cycles)] == [1180]
    assert slingshots_of(spikes, []) == ()
    assert len(slingshots_of(spikes, cycles, margin=200)) == 3
