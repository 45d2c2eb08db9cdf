"""Progress measures before the jump: planted trajectories, planted tables, a tiny real run."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from grokinterp.experiments import PlannedRun, Scale, experiment_of
from grokinterp.experiments.nanda2023 import judge, plan
from grokinterp.experiments.nanda2023.charts import progress_charts
from grokinterp.experiments.nanda2023.progress_steps import half_way_steps, observe_progress
from grokinterp.runs import PRESETS
from grokinterp.training import train
from tests import synthetic, tiny

FULL = Scale(is_quick=False)


def row(seed=0, p=37, kind="grokked", **changes):
    found = {
        "p": p,
        "seed": seed,
        "outcome_kind": kind,
        "jump_step": 1500,
        "excluded_lead": 600,
        "restricted_lead": 900,
        "held_out_lead": 300,
        "test_loss_lead": 200,
        "excluded_ahead": 400,
        "restricted_ahead": 700,
        "n_random": 9,
        "n_random_excluded": 0,
        "n_random_restricted": 0,
        "memorization_steps": 200,
        "circuit_formation_steps": 1300,
        "cleanup_steps": 500,
        "cleanup_weight_ratio": 0.6,
        "n_key_frequencies": 4,
        "key_frequencies": "2 5 7 11",
        "final_variance_explained": 0.97,
        "progress_file": math.nan,
    }
    return found | changes


def table(*rows):
    return pd.DataFrame(rows)


def verdicts(*rows):
    return [claim.verdict for claim in judge(table(*rows), FULL).claims]


def test_the_claims_are_confirmed_where_they_were_planted():
    findings = judge(table(*(row(seed) for seed in range(5))), FULL)
    assert [claim.verdict for claim in findings.claims] == ["confirmed"] * 6
    assert "leads" in findings.tables and len(findings.tables["leads"]) == 5


@pytest.mark.parametrize(
    ("claim", "changes"),
    [
        (0, {"excluded_ahead": -100}),
        (0, {"restricted_ahead": 0}),
        (0, {"excluded_ahead": math.nan}),
        (1, {"n_random_excluded": 1}),
        (1, {"n_random_restricted": 9}),
        (2, {"cleanup_weight_ratio": 1.05}),
        (2, {"circuit_formation_steps": math.nan}),
        (3, {"n_key_frequencies": 12}),
        (3, {"final_variance_explained": 0.5}),
        (4, {"excluded_lead": -100}),
        (4, {"restricted_lead": 0}),
        (4, {"excluded_lead": math.nan}),
        (5, {"held_out_lead": -50}),
    ],
)
def test_each_claim_falls_with_its_own_effect_alone(claim, changes):
    found = verdicts(*(row(seed, **changes) for seed in range(3)))
    expected = ["confirmed"] * 6
    expected[claim] = "not confirmed"
    assert found == expected


@pytest.mark.parametrize("changes", [{"cleanup_weight_ratio": 0.99}, {"cleanup_steps": math.nan}])
def test_a_cleanup_that_was_not_followed_to_its_end_refutes_nothing(changes):
    claim = judge(table(*(row(seed, **changes) for seed in range(3))), FULL).claims[2]
    assert claim.verdict == "inconclusive"
    assert "3 more had not finished their cleanup by their last step" in claim.sentence


def test_a_lead_that_the_test_loss_has_too_confirms_nothing():
    """Every loss moves before the accuracy jumps, the test loss first."""
    findings = judge(
        table(*(row(s, test_loss_lead=1000, excluded_ahead=-400) for s in range(3))), FULL
    )
    assert findings.claims[4].verdict == "confirmed" and not findings.claims[4].is_main
    assert findings.claims[0].verdict == findings.verdict == "not confirmed"
    assert "no earlier than that loss itself" in findings.found


def test_runs_without_random_frequencies_are_not_compared():
    rows = [row(0), *(row(seed, n_random=0, n_random_excluded=9) for seed in (1, 2))]
    claim = judge(table(*rows), FULL).claims[1]
    assert claim.verdict == "inconclusive" and claim.numbers["n_counted"] == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "moved before the loss on new examples fell in 4 of 4 networks"),
        ({"n_random_excluded": 2}, "nothing of the kind only in 0 of 4 networks"),
        ({"cleanup_weight_ratio": 1.2}, "were there only in 0 of 4 networks"),
        ({"cleanup_weight_ratio": 0.99}, "stays open"),
        ({"n_key_frequencies": 0}, "what the network computes only in 0 of 4"),
        ({"kind": "memorized"}, "Too few networks generalized late"),
    ],
)
def test_what_was_found_follows_the_verdicts(changes, words):
    found = judge(table(*(row(seed, **changes) for seed in range(4))), FULL).found
    assert words in found
    if changes:
        assert words not in judge(table(*(row(seed) for seed in range(4))), FULL).found


def test_seeds_that_disagree_are_inconclusive():
    rows = [row(seed, excluded_ahead=100 if seed < 3 else -100) for seed in range(5)]
    assert verdicts(*rows)[0] == "inconclusive"


def test_slow_transitions_are_counted_apart():
    claim = judge(table(row(0), row(1, kind="slow_convergence")), FULL).claims[0]
    assert claim.verdict == "confirmed" and "1 grokked and 1 converged slowly" in claim.sentence
    assert claim.numbers["n_late"] == 2 and claim.numbers["n_grokked"] == 1


def test_runs_that_did_not_grok_are_counted_and_prove_nothing():
    rows = [row(0), *(row(seed, kind="memorized", jump_step=math.nan) for seed in (1, 2))]
    claim = judge(table(*rows), FULL).claims[0]
    assert claim.verdict == "inconclusive"
    assert claim.numbers["n_other"] == 2 and "2 more did not" in claim.sentence
    assert judge(pd.DataFrame(), FULL).verdict == "inconclusive"


@pytest.mark.parametrize("kind", ["collapsed", "not_settled"])
def test_a_jump_that_was_not_kept_speaks_neither_for_a_claim_nor_against_it(kind):
    kept = [row(seed) for seed in (0, 1)]
    for lead in (100, -100):
        lost = [row(seed, kind=kind, excluded_ahead=lead) for seed in range(2, 6)]
        claim = judge(table(*kept, *lost), FULL).claims[0]
        assert claim.verdict == "confirmed" and claim.numbers["n_other"] == 4
        assert judge(table(*lost), FULL).claims[0].verdict == "inconclusive"


def test_leads_of_a_planted_trajectory_are_those_that_were_planted():
    steps = np.arange(0, 5001, 100)
    trajectory = pd.DataFrame(
        {
            "step": steps,
            "test_accuracy": np.where(steps >= 2500, 1.0, 0.55),
            "test_accuracy_unmirrored": np.where(steps >= 3000, 1.0, 0.02),
            # High at first, as the loss of any initial weights is.
            "excluded_loss_train": np.where((steps < 200) | (steps >= 2200), 4.0, 0.01),
            "restricted_loss_test": np.where(steps < 1400, 5.0, 0.1),
            "held_out_restricted_loss": np.where(steps < 3300, 5.0, 0.1),
            "test_loss": np.where(steps < 1900, 12.0, 0.1),
        }
    )
    found = half_way_steps(trajectory, 37)
    assert found["test_loss_lead"] == 1100
    assert (found["excluded_ahead"], found["restricted_ahead"]) == (-300, 500)
    # The mirrored pairs were right at once; the jump is that of the others.
    assert found["jump_step_all"] == 0 and found["jump_step"] == 3000
    assert found["excluded_step"] == 2200 and found["excluded_lead"] == 800
    assert found["restricted_lead"] == 1600 and found["held_out_lead"] == -300


def test_a_loss_that_does_not_move_has_no_lead():
    steps = np.arange(0, 1001, 100)
    trajectory = pd.DataFrame(
        {
            "step": steps,
            "test_accuracy": np.where(steps >= 500, 1.0, 0.0),
            "excluded_loss_train": 0.01 + 0.0 * steps,
            "restricted_loss_test": 9.0 + 0.0 * steps,
        }
    )
    found = half_way_steps(trajectory, 37)
    assert found["excluded_lead"] is None and found["restricted_lead"] is None
    no_jump = trajectory.assign(test_accuracy=0.1)
    assert half_way_steps(no_jump, 37)["jump_step"] is None


def test_a_loss_that_was_never_low_has_to_rise_further_to_lead():
    steps = np.arange(0, 1001, 100)
    loss = np.where(steps < 700, 3.0, 12.0)
    columns = {"step": steps, "test_accuracy": np.where(steps >= 500, 1.0, 0.0)}
    found = half_way_steps(pd.DataFrame(columns | {"excluded_loss_train": loss}), 37)
    assert found["excluded_lead"] == -200


def test_a_trajectory_like_the_published_one_leads_by_thousands_of_steps():
    steps = synthetic.checkpoint_steps(250)
    found = half_way_steps(synthetic.trajectory(steps), 113)
    assert 7_500 < found["jump_step"] < 8_300
    assert found["excluded_lead"] > 1_000 and found["restricted_lead"] > 1_000
    never = half_way_steps(synthetic.trajectory(steps, groks=False), 113)
    assert never["jump_step"] is None and never["excluded_lead"] is None


def test_charts_along_training_need_the_file_that_was_kept(tmp_path):
    file = tmp_path / "progress.csv"
    synthetic.trajectory(synthetic.checkpoint_steps(40)).to_csv(file, index=False)
    charts = progress_charts([row(progress_file=str(file)), row(1)])
    assert [chart.name for chart in charts] == ["leads", "losses-p37", "accuracy-p37"]
    assert all(series.x.min() > 0 for series in charts[1].series)
    assert [chart.name for chart in progress_charts([row()])] == ["leads"]
    assert progress_charts([row(kind="memorized", jump_step=math.nan)]) == ()


def test_the_full_version_has_the_run_of_the_paper():
    full, quick = plan(FULL), plan(Scale(is_quick=True))
    assert PRESETS["nanda2023"] in [one.config for one in full]
    assert {one.labels["p"] for one in full} == {37, 59, 113}
    assert {one.labels["p"] for one in quick} == {37}
    assert len({one.config.hash() for one in [*full, *quick]}) == len(full) + len(quick)


def test_the_question_is_in_the_catalogue_with_its_prediction():
    experiment = experiment_of("nanda2023")
    assert "excluded loss" in experiment.prediction and "80 %" in experiment.criterion


N_TINY = 900
"""Steps in which the tiny network generalizes: one that has not has no key frequencies to lead."""


def observed(weight_decay, folder):
    base = tiny.config(p=23, n_steps=N_TINY, checkpoint_every=25)
    config = dataclasses.replace(
        base,
        task=dataclasses.replace(base.task, train_fraction=0.7),
        optimizer=dataclasses.replace(
            base.optimizer, learning_rate=1e-2, weight_decay=weight_decay
        ),
    )
    run = train(config, folder, progress=False)
    return observe_progress(run, PlannedRun(config, {"p": 23, "seed": 0}))


@pytest.mark.long
def test_a_tiny_network_has_leads_with_weight_decay_and_none_without(tmp_path):
    seen = observed(1.0, tmp_path / "decay")
    assert seen["jump_step"] > seen["jump_step_all"]  # mirrored pairs are right first
    assert seen["excluded_lead"] > 0 and seen["restricted_lead"] > 0
    assert seen["n_key_frequencies"] >= 1
    # Frequencies that it does not use neither rise without nor fall alone.
    assert (seen["n_random"], seen["n_random_excluded"], seen["n_random_restricted"]) == (9, 0, 0)
    kept = pd.read_csv(seen["progress_file"])
    assert list(kept["step"])[-1] == N_TINY and "excluded_loss_train" in kept
    without = observed(0.0, tmp_path / "none")
    # It is right on most mirrored pairs, and on the others it never is.
    assert without["jump_step"] is None and without["jump_step_all"] is not None
    assert without["excluded_lead"] is None and without["restricted_lead"] is None
