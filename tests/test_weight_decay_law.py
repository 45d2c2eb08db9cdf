"""The question of weight decay: its plan, and its judge on planted tables."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tests import planted_rows

SEEDS = range(4)
BRANCH = (0.125, 0.25, 0.5, 1.0)


@pytest.fixture(scope="module")
def question():
    from grokinterp.experiments import weight_decay

    return weight_decay


@pytest.fixture(scope="module")
def full():
    from grokinterp.experiments import Scale

    return Scale(is_quick=False)


def law_table(slope=-1.0, horizon=1e9, unmirrored=0.03, is_fit_at_8=False, scatter=0.15):
    """Rows of a sweep in which T = c(seed) λ^slope, with scatter, and nothing else happens.

    The scatter is orthogonal to log λ and to the seeds, so that least squares finds the slope.
    """
    rows = []
    for seed in SEEDS:
        for weight_decay, sign in zip(BRANCH, (1, -1, -1, 1), strict=True):
            noise = scatter * sign * (-1) ** seed
            time = 800 * (1 + seed) * weight_decay**slope * np.exp(noise)
            labels = {"weight_decay": weight_decay, "seed": seed}
            rows.append(planted_rows.row(time, horizon=horizon, memorization=150, **labels))
        labels = {"weight_decay": 0.0, "seed": seed, "test_accuracy_unmirrored": unmirrored}
        rows.append(planted_rows.row(None, horizon=9000, memorization=150, **labels))
        memorization = 700 if is_fit_at_8 else None
        labels = {"weight_decay": 8.0, "seed": seed}
        rows.append(planted_rows.row(None, horizon=2000, memorization=memorization, **labels))
    return pd.DataFrame(rows)


def test_a_planted_inverse_law_is_confirmed(question, full):
    findings = question.judge(law_table(), full)
    law = findings.claims[0]
    assert findings.verdict == "confirmed", [claim.sentence for claim in findings.claims]
    assert law.numbers["slope"] == pytest.approx(-1, abs=1e-6)
    assert law.numbers["sigma"] == pytest.approx(0.15, rel=1e-6)
    # Where the profile has fallen by 3.84 / 2: σ sqrt(n (exp(3.84 / n) - 1) / Sxx), with n = 16
    # and Sxx = 4 seeds * 5 log(2)^2.
    half = 0.15 * np.sqrt(16 * np.expm1(3.8415 / 16) / (20 * np.log(2) ** 2))
    assert law.numbers["high"] == pytest.approx(-1 + half, abs=1e-4)


def test_without_censoring_the_plain_fit_has_the_same_slope(question, full):
    numbers = question.judge(law_table(), full).claims[0].numbers
    assert numbers["slope"] == pytest.approx(numbers["slope_without_censored_runs"], abs=1e-6)


def test_a_slope_of_a_half_is_not_confirmed(question, full):
    findings = question.judge(law_table(slope=-0.5), full)
    assert findings.claims[0].verdict == findings.verdict == "not confirmed"


def test_times_that_do_not_belong_to_their_weight_decay_are_not_confirmed(question, full):
    table = law_table()
    table["weight_decay"] = table["weight_decay"].replace(
        dict(zip(BRANCH, (0.5, 0.125, 1.0, 0.25), strict=True))
    )
    assert question.judge(table, full).claims[0].verdict == "not confirmed"


def test_too_few_seeds_or_values_or_mostly_censored_runs_are_inconclusive(question, full):
    table = law_table()
    one_seed = table[table["seed"] == 0]
    two_values = table[~table["weight_decay"].isin([0.125, 0.25])]
    for few in (one_seed, two_values, law_table(horizon=2000), table.iloc[:0]):
        assert question.judge(few, full).claims[0].verdict == "inconclusive"


def test_a_wide_interval_around_minus_one_is_inconclusive(question, full):
    findings = question.judge(law_table(scatter=1.5), full)
    numbers = findings.claims[0].numbers
    assert numbers["low"] < -1 and numbers["high"] > -0.5
    assert findings.claims[0].verdict == "inconclusive"


def test_censored_runs_keep_the_slope_that_dropping_them_bends(question, full):
    numbers = question.judge(law_table(horizon=11_000), full).claims[0].numbers
    assert numbers["n_censored"] >= 3
    assert numbers["slope"] < numbers["slope_without_censored_runs"]
    assert numbers["low"] < -1 < numbers["high"]


def test_generalizing_without_weight_decay_is_not_confirmed(question, full):
    table = law_table()
    table.loc[table["weight_decay"] == 0, "is_censored"] = False
    assert question.judge(table, full).claims[1].verdict == "not confirmed"


def test_more_than_commutativity_without_weight_decay_is_inconclusive(question, full):
    assert question.judge(law_table(unmirrored=0.3), full).claims[1].verdict == "inconclusive"


def test_memorizing_at_the_strongest_weight_decay_is_not_confirmed(question, full):
    claims = question.judge(law_table(is_fit_at_8=True), full).claims
    assert claims[2].verdict == "not confirmed"


def test_runs_that_diverged_at_the_strongest_weight_decay_have_memorized_nothing(question, full):
    table = law_table()
    table.loc[table["weight_decay"] == 8, "outcome_kind"] = "diverged"
    assert question.judge(table, full).claims[2].verdict == "inconclusive"


def test_where_the_law_stops_is_the_first_value_above_it_that_is_twice_as_slow(question, full):
    rows = [
        planted_rows.row(time, horizon=4000, memorization=150, weight_decay=value, seed=seed)
        for value, time in ((2.0, 1000), (4.0, None))
        for seed in SEEDS
    ]
    claims = question.judge(pd.concat([law_table(), pd.DataFrame(rows)]), full).claims
    assert claims[3].verdict == "confirmed" and claims[3].numbers["weight_decay"] == 4.0
    assert not claims[3].is_main


@pytest.mark.parametrize(
    ("time", "horizon", "expected"),
    [(None, 300, "inconclusive"), (600, 4000, "not confirmed"), (None, 4000, "confirmed")],
)
def test_the_law_does_not_hold_on_where_runs_only_ended_early(
    question, full, time, horizon, expected
):
    """At λ = 2 the law gives about 870 steps, so that 300 are short of twice that."""
    rows = [
        planted_rows.row(time, horizon=horizon, memorization=150, weight_decay=2.0, seed=seed)
        for seed in SEEDS
    ]
    table = law_table()
    table = pd.concat([table[table["weight_decay"] != 8.0], pd.DataFrame(rows)])
    assert question.judge(table, full).claims[3].verdict == expected


def test_full_plan_has_at_least_six_values_on_the_branch_and_five_seeds(question, full):
    labels = pd.DataFrame([planned.labels for planned in question.plan(full)])
    branch = labels[(labels["weight_decay"] > 0) & (labels["weight_decay"] <= 1)]
    assert branch["weight_decay"].nunique() >= 6
    assert (branch.groupby("weight_decay")["seed"].nunique() >= 5).all()
    assert {0.0, 8.0} < set(labels["weight_decay"])


def test_a_seed_draws_both_the_weights_and_the_split(question):
    one, other = (question.config_of(0.5, seed=seed, n_steps=100) for seed in (0, 1))
    assert one.task.split_seed != other.task.split_seed
    assert one.model.init_seed != other.model.init_seed
    same = dataclasses.replace(other, task=one.task, model=one.model)
    assert same == one
