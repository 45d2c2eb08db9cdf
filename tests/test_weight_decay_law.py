"""The question of weight decay: its plan, and its judge on planted tables."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from tests import planted_rows

SEEDS = range(4)
BRANCH = tuple(2 ** (k / 2) for k in range(-7, 1))
SIGNS = (1, -1, -1, 1, -1, 1, 1, -1)
"""Orthogonal to a constant and to log λ."""
MEMORIZED = 15


@pytest.fixture(scope="module")
def question():
    from grokinterp.experiments import weight_decay

    return weight_decay


@pytest.fixture(scope="module")
def full():
    from grokinterp.experiments import Scale

    return Scale(is_quick=False)


def law_table(
    slope=-1.0,
    horizon=1e9,
    unmirrored=0.03,
    is_fit_at_8=False,
    scatter=0.15,
    spread=0.0,
    memorization=MEMORIZED,
):
    """Rows of a sweep in which T = c(seed) λ^slope, with scatter, and nothing else happens.

    The scatter is orthogonal to log λ and to the seeds, so that least squares finds the slope.
    Seeds have slopes of their own, from `spread` above the common one to as much below.
    """
    rows = []
    for seed in SEEDS:
        for weight_decay, sign in zip(BRANCH, SIGNS, strict=True):
            noise = scatter * sign * (-1) ** seed
            own = slope + spread * (2 * seed / (len(SEEDS) - 1) - 1)
            time = 800 * (1 + seed) * weight_decay**own * np.exp(noise)
            labels = {"weight_decay": weight_decay, "seed": seed}
            rows.append(
                planted_rows.row(time, horizon=horizon, memorization=memorization, **labels)
            )
        labels = {"weight_decay": 0.0, "seed": seed, "test_accuracy_unmirrored": unmirrored}
        rows.append(planted_rows.row(None, horizon=9000, memorization=150, **labels))
        fit_step = 700 if is_fit_at_8 else None
        labels = {"weight_decay": 8.0, "seed": seed}
        rows.append(planted_rows.row(None, horizon=2000, memorization=fit_step, **labels))
    return pd.DataFrame(rows)


def test_a_planted_inverse_law_is_confirmed(question, full):
    findings = question.judge(law_table(), full)
    law = findings.claims[0]
    assert findings.verdict == "confirmed", [claim.sentence for claim in findings.claims]
    assert law.numbers["slope"] == pytest.approx(-1, abs=1e-6)
    assert law.numbers["sigma"] == pytest.approx(0.15, rel=1e-6)
    # Where the profile has fallen by 3.84 / 2: σ sqrt(n (exp(3.84 / n) - 1) / Sxx), with n = 32
    # and Sxx = 4 seeds * 42 (log(2) / 2)^2. No seed differs from the others, so that drawing seeds
    # again gives the one slope.
    half = 0.15 * np.sqrt(32 * np.expm1(3.8415 / 32) / (42 * np.log(2) ** 2))
    assert law.numbers["high"] == pytest.approx(-1 + half, abs=1e-4)
    assert law.numbers["bootstrap_high"] == pytest.approx(-1, abs=1e-6)


def test_seeds_whose_slopes_differ_widen_the_interval_beyond_the_profile(question, full):
    numbers = question.judge(law_table(spread=0.3), full).claims[0].numbers
    assert numbers["bootstrap_low"] < numbers["profile_low"] - 0.05
    assert numbers["profile_high"] + 0.05 < numbers["bootstrap_high"]
    assert (numbers["low"], numbers["high"]) == (
        numbers["bootstrap_low"],
        numbers["bootstrap_high"],
    )
    # Narrow by the profile alone, which takes all seeds to have one slope.
    wide = question.judge(law_table(spread=0.8), full).claims[0]
    assert -1.5 < wide.numbers["profile_low"] < -1 < wide.numbers["profile_high"] < -0.5
    assert wide.verdict == "inconclusive"


def test_an_interval_around_minus_one_and_a_half_is_inconclusive(question, full):
    table = law_table(slope=-1.2, scatter=0.8)
    numbers = question.judge(table, full).claims[0].numbers
    assert numbers["low"] < -1.5 and -1 < numbers["high"] < -0.5
    assert question.judge(table, full).claims[0].verdict == "inconclusive"


def test_four_values_of_weight_decay_do_not_confirm(question, full):
    table = law_table()
    few = table[~table["weight_decay"].isin(BRANCH[::2])]
    law = question.judge(few, full).claims[0]
    assert -1.5 < law.numbers["low"] < -1 < law.numbers["high"] < -0.5
    assert law.verdict == "inconclusive"


def test_the_delay_is_a_claim_of_its_own(question, full):
    """Where memorization takes long, times of slope -1 hold delays that fall faster."""
    findings = question.judge(law_table(memorization=700), full)
    law, delay = findings.claims[:2]
    assert law.verdict == "confirmed" and delay.numbers["high"] < -1 and delay.is_main
    assert delay.verdict == findings.verdict == "not confirmed"
    assert "does not follow the prediction" in findings.found
    assert question.judge(law_table(), full).claims[1].verdict == "confirmed"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "half the weight decay takes about twice as long"),
        ({"slope": -0.5}, "The predicted power of -1 is excluded"),
        ({"scatter": 1.5}, "not enough to settle whether the power is -1"),
        ({"is_fit_at_8": True}, "Even with the strongest weight decay"),
        ({"unmirrored": 0.3}, "without weight decay stays open"),
    ],
)
def test_what_was_found_follows_the_verdicts(question, full, changes, words):
    assert words in question.judge(law_table(**changes), full).found
    assert changes == {} or words not in question.judge(law_table(), full).found
    few = question.judge(law_table().iloc[:4], full).found
    assert few.startswith("These runs are too few")


def test_without_censoring_the_plain_fit_has_the_same_slope(question, full):
    numbers = question.judge(law_table(), full).claims[0].numbers
    assert numbers["slope"] == pytest.approx(numbers["slope_without_censored_runs"], abs=1e-6)


def test_a_slope_of_a_half_is_not_confirmed(question, full):
    findings = question.judge(law_table(slope=-0.5), full)
    assert findings.claims[0].verdict == findings.verdict == "not confirmed"


def test_times_that_do_not_belong_to_their_weight_decay_are_not_confirmed(question, full):
    table = law_table()
    table["weight_decay"] = table["weight_decay"].replace(
        dict(zip(BRANCH, (BRANCH[i] for i in (4, 0, 6, 2, 7, 1, 5, 3)), strict=True))
    )
    assert question.judge(table, full).claims[0].verdict == "not confirmed"


def test_too_few_seeds_or_values_or_mostly_censored_runs_are_inconclusive(question, full):
    table = law_table()
    one_seed = table[table["seed"] == 0]
    two_values = table[~table["weight_decay"].isin(BRANCH[:6])]
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
    assert question.judge(table, full).claims[2].verdict == "not confirmed"


def test_more_than_commutativity_without_weight_decay_is_inconclusive(question, full):
    assert question.judge(law_table(unmirrored=0.3), full).claims[2].verdict == "inconclusive"


def test_memorizing_at_the_strongest_weight_decay_is_not_confirmed(question, full):
    claims = question.judge(law_table(is_fit_at_8=True), full).claims
    assert claims[3].verdict == "not confirmed"


def test_runs_that_diverged_at_the_strongest_weight_decay_have_memorized_nothing(question, full):
    table = law_table()
    table.loc[table["weight_decay"] == 8, "outcome_kind"] = "diverged"
    assert question.judge(table, full).claims[3].verdict == "inconclusive"


def test_where_the_law_stops_is_the_first_value_above_it_that_is_twice_as_slow(question, full):
    rows = [
        planted_rows.row(time, horizon=4000, memorization=150, weight_decay=value, seed=seed)
        for value, time in ((2.0, 1000), (4.0, None))
        for seed in SEEDS
    ]
    claims = question.judge(pd.concat([law_table(), pd.DataFrame(rows)]), full).claims
    assert claims[4].verdict == "confirmed" and claims[4].numbers["weight_decay"] == 4.0
    assert not claims[4].is_main


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
    assert question.judge(table, full).claims[4].verdict == expected


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
