import numpy as np
import pandas as pd
import pytest

from grokinterp.trajectory import Thresholds, analyze_run, find_circuit_steps
from grokinterp.trajectory.circuit_steps import why_never

STEPS = np.arange(0, 10_001, 500)


def trajectory(**changes):
    columns = {
        "step": STEPS,
        "excluded_accuracy_train": np.where((STEPS >= 500) & (STEPS < 4000), 1.0, 0.1),
        "held_out_restricted_accuracy": np.where(STEPS >= 3000, 1.0, 0.2),
        "trigonometric_logit_train": STEPS / 500,
        "memorization_logit_train": np.where(STEPS == 0, 0.5, 11.5 - STEPS / 1000),
    }
    return pd.DataFrame(columns | changes)


def test_planted_changes_are_found_at_their_steps():
    found = find_circuit_steps(trajectory())
    assert found.as_dict() == {
        "memorization_works_from": 500,
        "memorization_works_until": 4000,
        "trigonometric_works_from": 3000,
        "trigonometric_is_stronger_from": 4000,
    }


def test_a_single_checkpoint_above_the_threshold_is_no_beginning():
    blip = np.where(STEPS == 1000, 1.0, np.where(STEPS >= 6000, 1.0, 0.2))
    assert (
        find_circuit_steps(trajectory(held_out_restricted_accuracy=blip)).as_dict()[
            "trigonometric_works_from"
        ]
        == 6000
    )
    patient = Thresholds(patience=0)
    assert (
        find_circuit_steps(
            trajectory(held_out_restricted_accuracy=blip), patient
        ).trigonometric_works_from
        == 1000
    )


def test_a_circuit_that_never_works_has_no_steps():
    never = find_circuit_steps(
        trajectory(
            excluded_accuracy_train=0 * STEPS + 0.5,
            held_out_restricted_accuracy=0 * STEPS + 0.94,
            memorization_logit_train=0 * STEPS + 99.0,
        )
    )
    assert set(never.as_dict().values()) == {None}
    always = find_circuit_steps(trajectory(excluded_accuracy_train=0 * STEPS + 1.0))
    assert (always.memorization_works_from, always.memorization_works_until) == (0, None)


@pytest.mark.parametrize("missing", ["excluded_accuracy_train", "memorization_logit_train"])
def test_without_measures_of_both_circuits_nothing_is_said(missing):
    assert find_circuit_steps(trajectory().drop(columns=missing)) is None


def test_a_circuit_cannot_end_before_it_begins():
    late = np.where((STEPS >= 3000) & (STEPS < 6000), 1.0, 0.1)
    found = find_circuit_steps(trajectory(excluded_accuracy_train=late))
    assert (found.memorization_works_from, found.memorization_works_until) == (3000, 6000)


def why(limits=None, **changes):
    table = trajectory(**changes)
    limits = limits or Thresholds()
    return why_never(table, find_circuit_steps(table, limits), limits)


def test_a_circuit_that_worked_too_briefly_is_said_to_have_worked_from_when_to_when():
    brief = np.where((STEPS >= 1000) & (STEPS <= 1500), 0.99, 0.1)
    assert why(excluded_accuracy_train=brief) == {
        "memorization_works_from": "the training accuracy without the trigonometric circuit was "
        "above 0.95 from step 1,000 to step 1,500, which is shorter than the 1,000 steps that "
        "count as staying",
        "memorization_works_until": "it never worked for the 1,000 steps that count as staying",
    }
    other = Thresholds(grokking=0.9, patience=3000)
    twice = np.where((STEPS == 0) | ((STEPS >= 5000) & (STEPS <= 7000)), 0.92, 0.5)
    assert why(other, held_out_restricted_accuracy=twice)["trigonometric_works_from"] == (
        "the test accuracy of the trigonometric circuit alone was above 0.9 at longest from step "
        "5,000 to step 7,000, which is shorter than the 3,000 steps that count as staying"
    )
    once = np.where(STEPS == 2000, 99.0, 0.1)
    assert why(trigonometric_logit_train=once)["trigonometric_is_stronger_from"] == (
        "it was stronger at step 2,000 alone, which is shorter than the 1,000 steps that count "
        "as staying"
    )


def test_a_circuit_that_never_works_or_never_stops_is_said_to():
    reasons = why(
        excluded_accuracy_train=0 * STEPS + 0.5,
        held_out_restricted_accuracy=0 * STEPS + 0.94,
        memorization_logit_train=0 * STEPS + 99.0,
    )
    assert reasons == {
        "memorization_works_from": "the training accuracy without the trigonometric circuit was "
        "above 0.95 at no checkpoint",
        "memorization_works_until": "it never works",
        "trigonometric_works_from": "the test accuracy of the trigonometric circuit alone was "
        "above 0.95 at no checkpoint",
        "trigonometric_is_stronger_from": "everything else contributes more to the correct logit "
        "of the training pairs throughout",
    }
    assert why(excluded_accuracy_train=0 * STEPS + 1.0) == {
        "memorization_works_until": "it works to the last step"
    }
    dips = np.where(STEPS == 6000, 0.5, 1.0)
    assert why(excluded_accuracy_train=dips)["memorization_works_until"] == (
        "it stopped at step 6,000 alone, which is shorter than the 1,000 steps that count as "
        "staying"
    )
    assert why() == {}


def test_a_circuit_that_worked_at_scattered_checkpoints_is_said_to():
    blips = np.where(np.isin(STEPS, [1000, 3000]), 0.99, 0.1)
    assert why(held_out_restricted_accuracy=blips)["trigonometric_works_from"] == (
        "the test accuracy of the trigonometric circuit alone was above 0.95 at single "
        "checkpoints, such as step 1,000, which is shorter than the 1,000 steps that count as "
        "staying"
    )


def test_an_analysis_says_why_a_circuit_did_not_stay(tiny_run):
    limits = Thresholds(grokking=0.3, patience=10**6)
    analysis = analyze_run(tiny_run, key_frequencies=(1, 2), thresholds=limits, deep=False)
    reasons = why_never(analysis.trajectory, analysis.circuit_steps, limits)
    said = {n: r for n, r in analysis.reasons.items() if n.startswith("circuits")}
    assert said and said == {f"circuits.{name}": reason for name, reason in reasons.items()}
    assert analysis.summary["circuits"] == analysis.circuit_steps.as_dict()
