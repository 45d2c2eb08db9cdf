import numpy as np
import pandas as pd
import pytest

from grokinterp.trajectory import Thresholds, find_circuit_steps
from grokinterp.trajectory.summary import _reasons_of_circuits

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


def test_a_circuit_that_works_for_a_while_is_not_said_never_to_work():
    is_right = (STEPS >= 500) & (STEPS <= 1000)
    planted = trajectory(
        excluded_accuracy_train=np.where(is_right, 0.99, 0.1),
        held_out_restricted_accuracy=np.zeros(len(STEPS)),
    )
    limits = Thresholds()
    found = find_circuit_steps(planted, limits)
    assert found is not None and found.memorization_works_from is None
    reasons = _reasons_of_circuits(found, planted, limits, "frequencies")
    for name in ("memorization_works_from", "memorization_works_until"):
        assert "above 0.95 between steps 500 and 1,000" in reasons[f"circuits.{name}"]
        assert f"{limits.patience:,} steps" in reasons[f"circuits.{name}"]
    assert "is never above 0.95" in reasons["circuits.trigonometric_works_from"]
