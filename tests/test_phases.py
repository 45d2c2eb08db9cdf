"""Phases and milestones on curves whose change points were planted."""

import numpy as np
import pandas as pd
import pytest

from grokinterp.trajectory import Thresholds, find_milestones, find_phases


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


def test_a_return_above_half_the_maximum_delays_the_cleanup():
    curves = grokking_curves(jump=8000)
    curves.loc[curves["step"] == 10_000, "test_loss"] = 20.0
    assert find_phases(curves, falling_weights(10_000, 14_000)).cleanup[0] == 10_010


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


def test_growing_weights_leave_the_cleanup_open_with_a_reason():
    weights = pd.DataFrame({"step": [0, 9000, 20_000], "sum_squared_weights": [1.0, 2.0, 3.0]})
    phases = find_phases(grokking_curves(), weights)
    assert phases.circuit_formation is not None and phases.cleanup is None
    assert "does not fall" in phases.reasons["cleanup"]


def test_no_test_loss_at_all_is_a_reason_not_an_error():
    curves = pd.DataFrame({"step": [0, 1], "test_loss": [np.nan, np.nan]})
    assert "no test loss" in find_phases(curves, falling_weights(1, 2)).reasons["memorization"]


def test_planted_milestones_are_found():
    found = find_milestones(grokking_curves(fit=150, jump=8000, width=400))
    assert found.memorization_step == 150
    assert found.grokking_step == found.first_crossing_step
    assert abs(found.grokking_step - 8270) <= 20
    assert found.grokking_delay == found.grokking_step - 150
    assert found.transition_width == pytest.approx(400, abs=20)
    assert found.outcome_kind == "grokked"
    assert "Grokked" in found.outcome and f"{found.grokking_step:,}" in found.outcome


def test_a_crossing_that_does_not_stay_is_not_the_grokking_step():
    curves = grokking_curves(jump=8000)
    curves.loc[curves["step"].between(500, 600), "test_accuracy"] = 0.99
    found = find_milestones(curves)
    assert found.first_crossing_step == 500
    assert found.grokking_step > 8000
    short = find_milestones(curves, thresholds=Thresholds(patience=50))
    assert short.grokking_step == 500


def test_staying_to_the_end_is_enough():
    curves = grokking_curves(n_steps=8500, jump=8000)
    assert find_milestones(curves).outcome_kind == "grokked"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"jump": 10**9}, "memorized"),
        ({"fit": 10**9}, "did_not_fit"),
        ({"fit": 5000, "jump": 5000}, "generalized_without_delay"),
        ({"jump": 8000, "width": 9000}, "slow_convergence"),
    ],
)
def test_each_kind_of_outcome_is_told_apart(changes, kind):
    found = find_milestones(grokking_curves(**changes))
    assert found.outcome_kind == kind
    assert "nan" not in found.outcome.lower() and "None" not in found.outcome


def test_divergence_comes_before_everything_else():
    found = find_milestones(grokking_curves(), diverged_at=9000)
    assert found.outcome_kind == "diverged"
    assert "9,000" in found.outcome


def test_knowing_that_a_and_b_commute_is_no_slow_convergence():
    """Mirrored pairs lift the plateau above 10 %; the unmirrored ones show the sharp jump."""
    curves = grokking_curves(jump=8000, width=400)
    unmirrored = curves[["step"]].assign(test_accuracy_unmirrored=curves["test_accuracy"])
    lifted = (curves["step"] > 300).astype(float) * 0.4
    curves["test_accuracy"] = np.maximum(curves["test_accuracy"], lifted)
    assert find_milestones(curves).outcome_kind == "slow_convergence"
    found = find_milestones(curves, unmirrored=unmirrored)
    assert found.outcome_kind == "grokked"
    assert found.transition_width > 5000 > found.plateau_transition_width


def test_an_empty_record_gives_no_outcome_and_says_so():
    curves = pd.DataFrame({"step": [], "train_accuracy": [], "test_accuracy": []})
    found = find_milestones(curves)
    assert (found.outcome_kind, found.memorization_step, found.grokking_step) == (None, None, None)
    assert "was recorded" in found.outcome
    assert set(found.reasons) == {"memorization_step", "grokking_step", "first_crossing_step"}


def record(*rows):
    return pd.DataFrame(rows, columns=pd.Index(["step", "train_accuracy", "test_accuracy"]))


@pytest.mark.parametrize("step", [0, 50_000])
def test_one_checkpoint_of_a_network_that_generalized_says_nothing_about_when(step):
    found = find_milestones(record((step, 1.0, 0.99)))
    assert (found.memorization_step, found.grokking_step, found.grokking_delay) == (None,) * 3
    assert found.outcome_kind is None
    assert found.outcome.startswith(f"No outcome: at step {step:,}, where the record begins")
    assert "99.0% on the test pairs" in found.outcome
    assert "where the record begins" in found.reasons["grokking_step"]


def test_a_record_that_begins_after_memorization_still_shows_grokking():
    found = find_milestones(record((2000, 1.0, 0.1), (4000, 1.0, 0.3), (6000, 1.0, 0.99)))
    assert (found.memorization_step, found.grokking_step) == (None, 6000)
    assert (found.grokking_delay, found.outcome_kind) == (None, None)
    assert "; it reached a test accuracy above 95% at step 6,000." in found.outcome
    assert set(found.reasons) == {"memorization_step"}


def test_a_record_of_a_network_that_only_memorized_says_so():
    found = find_milestones(record((2000, 1.0, 0.1), (4000, 1.0, 0.3)))
    assert found.outcome_kind == "memorized"
    assert found.outcome.startswith("Memorized: it knew its training pairs by step 2,000")


def test_a_record_whose_test_pairs_come_first_says_both():
    found = find_milestones(record((2000, 0.5, 0.99), (4000, 1.0, 0.99)))
    assert found.outcome_kind is None
    assert found.outcome.startswith("No outcome: at step 2,000, where the record begins, it")
    assert "; it knew its training pairs at step 4,000." in found.outcome
    assert (found.memorization_step, found.grokking_step) == (4000, None)


def test_a_checkpoint_that_does_not_fit_is_told_as_before():
    assert find_milestones(record((500, 0.4, 0.1))).outcome_kind == "did_not_fit"


def test_a_record_from_the_start_is_told_as_before():
    found = find_milestones(record((0, 1.0, 1.0), (10, 1.0, 1.0)))
    assert (found.memorization_step, found.outcome_kind) == (0, "generalized_without_delay")
