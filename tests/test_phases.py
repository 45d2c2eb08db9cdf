"""Phases on curves whose change points were planted."""

import numpy as np
import pandas as pd
import pytest

from grokinterp.trajectory import Thresholds, find_phases
from grokinterp.trajectory.phases import running_median
from tests.foreign import data_file


def grokking_curves(n_steps=20_000, every=10, fit=150, peak=1400, jump=8000, width=400):
    """Losses and accuracies of a run that memorizes at `fit` and generalizes at `jump`."""
    steps = np.arange(0, n_steps + 1, every)
    # A logistic curve goes from 10 to 90 % within 4.4 of its scales.
    sharp = 0.5 * (1 + np.tanh((steps - jump) / (2 * width / 4.4)))
    rise = np.interp(steps, [0, peak, n_steps], [4.7, 30.0, 29.0])
    return pd.DataFrame(
        {
            "step": steps,
            "train_loss": np.maximum(4.7 * np.exp(-steps / 30), 1e-7),
            "test_loss": rise * (1 - sharp) + 1e-6,
            "train_accuracy": (steps >= fit).astype(float),
            "test_accuracy": sharp,
        }
    )


def falling_weights(start, end, n_steps=20_000, every=100):
    steps = np.arange(0, n_steps + 1, every)
    values = np.interp(steps, [0, start, end, n_steps], [3500.0, 1900.0, 900.0, 900.0])
    return pd.DataFrame({"step": steps, "sum_squared_weights": values})


@pytest.mark.parametrize("peak", [1390, 1400, 1420])
def test_memorization_ends_at_the_maximum_of_the_test_loss(peak):
    phases = find_phases(grokking_curves(peak=peak), falling_weights(8000, 12_000))
    assert phases.memorization == (0, peak)
    assert phases.circuit_formation[0] == peak


@pytest.mark.parametrize("jump", [4000, 8000, 14_000])
def test_cleanup_begins_where_the_test_loss_stays_below_half_its_maximum(jump):
    phases = find_phases(grokking_curves(jump=jump), falling_weights(jump, jump + 4000))
    assert phases.circuit_formation[1] == phases.cleanup[0]
    assert abs(phases.cleanup[0] - jump) <= 20


def test_cleanup_ends_when_95_percent_of_the_later_fall_is_done():
    curves = grokking_curves(jump=8000)
    start = find_phases(curves, falling_weights(8000, 12_000)).cleanup[0]
    weights = falling_weights(start, start + 10_000, every=1)
    assert find_phases(curves, weights).cleanup[1] == start + 9500


@pytest.mark.parametrize("every", [1, 10, 50])
def test_a_return_above_half_the_maximum_delays_the_cleanup_when_it_lasts(every):
    curves, weights = grokking_curves(jump=8000, every=every), falling_weights(12_000, 14_000)
    usual = find_phases(curves, weights).cleanup[0]
    assert abs(usual - 8000) <= 2 * every
    for last, start in ((10_000 + every, usual), (10_400, usual), (11_600, 11_600 + every)):
        returned = curves.copy()
        returned.loc[returned["step"].between(10_000, last), "test_loss"] = 20.0
        assert find_phases(returned, weights).cleanup[0] == start


@pytest.mark.parametrize("every", [1, 10, 50, 100])
@pytest.mark.parametrize("has_accuracy", [True, False])
@pytest.mark.parametrize("at", [900, 5000, 15_000, 20_000])
def test_a_spike_of_the_test_loss_is_not_the_end_of_memorization(every, has_accuracy, at):
    curves, weights = grokking_curves(jump=9900, every=every), falling_weights(9900, 14_000)
    usual = find_phases(curves, weights)
    assert usual.memorization == (0, 1400)
    curves.loc[curves.index[curves["step"] >= at][:1], "test_loss"] = 90.0
    spiked = curves if has_accuracy else curves.drop(columns="test_accuracy")
    assert find_phases(spiked, weights) == usual


def test_a_late_maximum_that_lasts_counts_until_the_network_has_generalized():
    curves, weights = grokking_curves(jump=9900), falling_weights(9900, 14_000)
    curves.loc[curves["step"].between(14_000, 17_000), "test_loss"] = 60.0
    curves["test_accuracy"] *= 0.97
    found = find_phases(curves, weights)
    assert found.memorization == (0, 1400) and found.circuit_formation == (1400, 17_010)
    strict = find_phases(curves, weights, thresholds=Thresholds(grokking=0.98))
    unknown = find_phases(curves.drop(columns="test_accuracy"), weights)
    assert strict.memorization[1] == unknown.memorization[1] >= 14_000


def test_the_published_low_precision_run_keeps_its_phases():
    import torch

    stored = torch.load(
        data_file("nanda_low_precision.pth"), map_location="cpu", weights_only=False
    )
    losses = [float(loss) for loss in stored["test_losses"]]
    curves = pd.DataFrame({"step": 10 * np.arange(len(losses)), "test_loss": losses})
    found = find_phases(curves, falling_weights(6000, 12_000))
    assert found.memorization == (0, 10 * int(np.argmax(losses)))
    below = np.array(losses) < max(losses) / 2
    last_above = len(below) - 1 - int(np.argmin(below[::-1]))
    assert abs(found.circuit_formation[1] - 10 * (last_above + 1)) <= 10


def test_a_running_median_passes_over_spikes_and_keeps_a_step():
    steps = np.arange(0, 10_000, 10)
    step = np.where(steps < 5000, 1.0, 3.0)
    assert (running_median(steps, step) == step).all()
    spikes = step.copy()
    spikes[[100, 400, 401, 800, -1]] = 50.0
    assert (running_median(steps, spikes) == step).all()
    broad = np.where((steps >= 6000) & (steps < 7000), 9.0, step)
    assert running_median(steps, broad).max() == 9.0


def test_a_run_that_never_generalizes_has_no_circuit_formation_and_says_why():
    phases = find_phases(grokking_curves(jump=10**9), falling_weights(8000, 12_000))
    assert phases.memorization == (0, 1400)
    assert phases.circuit_formation is None and phases.cleanup is None
    assert "does not stay below half" in phases.reasons["circuit_formation"]


def test_a_test_loss_that_only_falls_has_no_phases():
    curves = pd.DataFrame({"step": [0, 10, 20], "test_loss": [4.7, 2.0, 0.1]})
    phases = find_phases(curves, falling_weights(8000, 12_000))
    assert phases.as_dict() == {"memorization": None, "circuit_formation": None, "cleanup": None}
    assert set(phases.reasons) == {"memorization", "circuit_formation", "cleanup"}
    assert "never rises" in phases.reasons["memorization"]
    # Of one value nobody can say whether it rose.
    alone = find_phases(curves.tail(1), falling_weights(8000, 12_000))
    assert alone.as_dict() == phases.as_dict()
    assert alone.reasons["memorization"] == "the test loss is known at one step alone"


def test_growing_weights_leave_the_cleanup_open_with_a_reason():
    weights = pd.DataFrame({"step": [0, 9000, 20_000], "sum_squared_weights": [1.0, 2.0, 3.0]})
    phases = find_phases(grokking_curves(), weights)
    assert phases.circuit_formation is not None and phases.cleanup is None
    assert "does not fall" in phases.reasons["cleanup"]


def test_no_test_loss_at_all_is_a_reason_not_an_error():
    curves = pd.DataFrame({"step": [0, 1], "test_loss": [np.nan, np.nan]})
    assert "no test loss" in find_phases(curves, falling_weights(1, 2)).reasons["memorization"]
