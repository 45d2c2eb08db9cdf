"""When it happens: the judge on planted tables, and a tiny run with and without weight decay."""

import pandas as pd
import pytest

from grokinterp.experiments import Scale
from grokinterp.experiments.conditions import EXPERIMENT, observe, plan
from grokinterp.experiments.conditions.claims import found_in_words, judge
from grokinterp.experiments.conditions.rows import ROWS, answer_of, verdict_of
from grokinterp.experiments.conditions.settings import (
    CONDITION_OF,
    CONDITIONS,
    GROKFAST,
    NOISE,
    conditions_of,
)
from grokinterp.laws import share_interval

pytestmark = pytest.mark.long

QUICK, FULL = Scale(is_quick=True), Scale(is_quick=False)
REFERENCE = "weight decay"
N_STEPS = 10_000
YES, NATURAL, PERCEPTRON, NO_PRESSURE, TOO_SMALL, VERY_HIGH, DROPOUT = (row.name for row in ROWS)
ANSWERED = [row.name for row in ROWS if row.answer != "unclear"]
REASONS = {
    TOO_SMALL: "too small a dataset cannot be memorized",
    VERY_HIGH: "very high weight decay underfits",
}
DETECT = "late generalization is harder to detect on natural data"
FINER = [condition for condition in CONDITIONS if condition.prediction]

ENDS = {TOO_SMALL: "did_not_fit", VERY_HIGH: "did_not_fit", NO_PRESSURE: "memorized"}
"""How settings without a prediction of their own end in a world as the literature has it."""


def ending(condition):
    if condition.prediction:
        return condition.prediction[0]
    if condition.name == "perceptron, initial weights 0.6":
        return "memorized"
    return ENDS.get(condition.row, "grokked")


def row(condition, seed, outcome, time=800, last_step=N_STEPS):
    is_censored = outcome in ("memorized", "did_not_fit")
    grokking = None if is_censored else time
    delay = None if is_censored else time - 150
    columns = {
        "outcome_kind": outcome,
        "is_censored": is_censored,
        "grokking_time": last_step if is_censored else time,
        "memorization_step": None if outcome == "did_not_fit" else 150,
        "grokking_step": grokking,
        "grokking_delay": delay,
        "transition_width": None if is_censored else 200,
        "last_step": last_step if is_censored else time + 200,
        "train_accuracy": 0.3 if outcome == "did_not_fit" else 1.0,
        "test_accuracy": 0.6 if is_censored else 1.0,
        "test_accuracy_mirrored": 0.9 if is_censored else 1.0,
        "test_accuracy_unmirrored": 0.05 if is_censored else 1.0,
        "accuracy_when_memorized": None if outcome == "did_not_fit" else 0.1,
        "largest_accuracy_after": None if outcome == "did_not_fit" else 0.98,
        "n_test": 500,
        **dict.fromkeys(LEVEL_COLUMNS),
    }
    if CONDITION_OF[condition].row == NATURAL:
        # By 95 % no such run ever generalizes; what counts is the level of its dataset.
        at_level = (outcome, grokking, grokking, delay, 200)
        columns |= dict(zip(LEVEL_COLUMNS, at_level, strict=True)) | {
            "outcome_kind": "memorized",
            "is_censored": True,
            "grokking_time": columns["last_step"],
            "accuracy_when_memorized": 0.75,
            "largest_accuracy_after": 0.92,
        }
    return {"condition": condition, "seed": seed, **columns}


LEVEL_COLUMNS = (
    "level_outcome",
    "level_crossing_step",
    "level_grokking_step",
    "level_delay",
    "level_width",
)


def planted(n_seeds=4, outcomes=None, last_step=N_STEPS):
    """A world as the literature has it, with other outcomes by setting."""
    rows = []
    for condition in CONDITIONS:
        usual = [ending(condition)] * n_seeds
        time = 500 if condition.name == GROKFAST else 800
        rows += [
            row(condition.name, seed, outcome, time, last_step)
            for seed, outcome in enumerate((outcomes or {}).get(condition.name, usual))
        ]
    return pd.DataFrame(rows)


def claims(table, scale=FULL):
    return {claim.name: claim for claim in judge(table, scale).claims}


def settings_of(row_name):
    return [condition.name for condition in CONDITIONS if condition.row == row_name]


# --- the table ----------------------------------------------------------------------------


def test_a_world_as_the_literature_has_it_is_confirmed_in_every_row():
    findings = judge(planted(), FULL)
    verdicts = {claim.name: claim.verdict for claim in findings.claims}
    assert verdicts.pop(DROPOUT) == "inconclusive"  # there is no answer to confirm
    assert set(verdicts.values()) == {"confirmed"}
    assert findings.verdict == "confirmed"
    table = findings.tables["literature_and_runs"].set_index("condition")
    assert list(table.index) == [row.name for row in ROWS]
    assert table.loc[DROPOUT, "verdict"] == "no answer to test"
    assert set(table.loc[ANSWERED, "verdict"]) == {"confirmed"}


def test_main_claims_are_the_answers_of_the_table_and_its_two_reasons():
    main = {claim.name for claim in judge(planted(), FULL).claims if claim.is_main}
    assert main == {*ANSWERED, *REASONS.values()}
    failing = {c.name: ["diverged"] * 3 for c in CONDITIONS if not c.row}
    assert judge(planted(outcomes=failing), FULL).verdict == "confirmed"


def test_the_table_counts_every_kind_of_end():
    outcomes = {
        "no pressure": ["memorized", "memorized", "grokked"],
        "no pressure, 75 %": ["slow_convergence", "generalized_without_delay", "collapsed"],
        "large initialization": ["did_not_fit"] * 3,
        "small initialization": ["not_settled", "generalized_before_memorizing", "diverged"],
    }
    table = planted(3, outcomes)
    table.loc[table["condition"] == "large initialization", "last_step"] = 40_000
    shown = judge(table, FULL).tables["literature_and_runs"].set_index("condition")
    cells = shown.loc[NO_PRESSURE]
    assert cells["n_settings"] == 5 and cells["n_runs"] == 15
    assert cells[["n_sharp", "n_late_not_sharp", "n_at_once"]].tolist() == [1, 1, 2]
    assert cells[["n_memorized", "n_did_not_fit", "n_other"]].tolist() == [5, 3, 3]
    # The collapsed run had generalized, which nothing was expected to; one has not settled.
    assert cells["n_inconclusive"] == 1 and cells["n_settings_with_grokking"] == 2
    assert cells["grokked"] == "3 of 14 (21 %, 8 to 48 %)" and cells["our_answer"] == "sometimes"
    assert cells["not_within_steps"] == "10,000 to 40,000"
    assert shown.loc[TOO_SMALL, "our_answer"] == "no: none within 10,000 steps"


@pytest.mark.parametrize(
    ("answer", "n_yes", "n_all", "expected"),
    [
        ("yes", 10, 15, "confirmed"),
        ("yes", 9, 15, "inconclusive"),
        ("yes", 5, 15, "not confirmed"),
        ("yes", 1, 1, "inconclusive"),
        ("sometimes", 2, 15, "confirmed"),
        ("sometimes", 13, 15, "confirmed"),
        ("sometimes", 1, 15, "inconclusive"),
        ("sometimes", 14, 15, "inconclusive"),
        ("sometimes", 0, 10, "not confirmed"),
        ("sometimes", 10, 10, "not confirmed"),
        ("sometimes", 0, 9, "inconclusive"),
        ("rare", 0, 8, "confirmed"),
        ("rare", 0, 7, "inconclusive"),  # the interval ends at 0.35
        ("rare", 2, 15, "inconclusive"),  # 0.13, but the interval ends at 0.38
        ("rare", 2, 25, "confirmed"),
        ("rare", 5, 25, "inconclusive"),  # a share of 0.2 is not below it
        ("rare", 9, 25, "not confirmed"),
        ("rare", 8, 25, "inconclusive"),  # the interval begins at 0.17
        ("no", 0, 8, "confirmed"),
        ("no", 0, 7, "inconclusive"),
        ("no", 1, 30, "inconclusive"),
        ("no", 2, 30, "not confirmed"),
        ("unclear", 10, 20, "inconclusive"),
        ("no", 0, 0, "inconclusive"),
    ],
)
def test_a_share_agrees_with_a_word_or_not(answer, n_yes, n_all, expected):
    assert verdict_of(answer, share_interval(n_yes, n_all)) == expected


@pytest.mark.parametrize(
    ("n_yes", "n_all", "answer"),
    [(0, 15, "no"), (2, 15, "rare"), (3, 15, "sometimes"), (9, 15, "sometimes"), (10, 15, "yes")],
)
def test_our_word_for_a_share(n_yes, n_all, answer):
    assert answer_of(share_interval(n_yes, n_all)) == answer
    assert answer_of(share_interval(1, 1)) is answer_of(share_interval(0, 0)) is None


@pytest.mark.parametrize("name", ANSWERED)
def test_every_row_is_refuted_by_the_other_outcome(name):
    other = "generalized_without_delay" if name == YES else "grokked"
    found = judge(planted(outcomes={c: [other] * 5 for c in settings_of(name)}), FULL)
    assert {claim.name: claim.verdict for claim in found.claims}[name] == "not confirmed"
    assert found.verdict == "not confirmed"


def test_without_runs_or_with_one_of_every_row_nothing_is_known():
    first = {settings_of(row.name)[0] for row in ROWS}
    one = planted(1, outcomes={c.name: [] for c in CONDITIONS if c.name not in first})
    for table in (pd.DataFrame(), one):
        findings = judge(table, FULL)
        assert {claim.verdict for claim in findings.claims} == {"inconclusive"}
        assert findings.verdict == "inconclusive"


def test_an_absence_counts_only_after_ten_times_the_reference():
    """The reference takes 800 steps."""
    short, long = (claims(planted(last_step=last_step)) for last_step in (7999, 8000))
    for name in (NO_PRESSURE, TOO_SMALL, VERY_HIGH):
        assert short[name].verdict == "inconclusive" and short[name].numbers["n_conclusive"] < 8
        assert long[name].verdict == "confirmed"


def test_runs_that_have_not_generalized_yet_refute_nothing():
    outcomes = {c: ["memorized"] * 3 for name in (YES, PERCEPTRON) for c in settings_of(name)}
    found = claims(planted(outcomes=outcomes, last_step=2000))
    for name in (YES, PERCEPTRON):
        assert found[name].verdict == "inconclusive" and found[name].numbers["n_conclusive"] == 0


def test_a_reference_of_which_most_do_not_generalize_says_not_how_long_is_long_enough():
    found = claims(planted(outcomes={REFERENCE: ["grokked", "memorized", "memorized"]}))
    assert found[TOO_SMALL].verdict == "inconclusive"
    assert found[TOO_SMALL].numbers["n_conclusive"] == 0
    assert found[PERCEPTRON].verdict == "confirmed"  # it has a reference of its own


def test_a_collapse_counts_only_where_nothing_was_to_generalize():
    for name, expected in {TOO_SMALL: 9, YES: 0, PERCEPTRON: 0}.items():
        table = planted(outcomes={c: ["collapsed"] * 3 for c in settings_of(name)})
        assert claims(table)[name].numbers["n_conclusive"] == expected
    collapsed = planted(outcomes={c: ["collapsed"] * 3 for c in settings_of(TOO_SMALL)})
    assert claims(collapsed)[TOO_SMALL].verdict == "not confirmed"
    collapsed.loc[collapsed["outcome_kind"] == "collapsed", "grokking_step"] = None
    assert claims(collapsed)[TOO_SMALL].verdict == "inconclusive"  # they had only fitted


def test_natural_data_is_judged_at_its_own_level():
    table = planted()
    assert claims(table)[NATURAL].numbers["n_late"] == 8
    assert claims(table.assign(**dict.fromkeys(LEVEL_COLUMNS)))[NATURAL].numbers["n_late"] == 0


# --- its reasons --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [TOO_SMALL, VERY_HIGH])
@pytest.mark.parametrize(
    ("n_fitted", "expected"), [(3, "confirmed"), (4, "inconclusive"), (6, "not confirmed")]
)
def test_a_reason_holds_for_two_thirds_of_the_runs_or_not(name, n_fitted, expected):
    first, second = settings_of(name)[:2]
    ends = ["memorized"] * n_fitted + ["did_not_fit"] * (9 - n_fitted)
    outcomes = {c: [] for c in settings_of(name)} | {first: ends[:5], second: ends[5:]}
    found = claims(planted(outcomes=outcomes))
    assert found[REASONS[name]].verdict == expected
    assert found[REASONS[name]].numbers["n_fitted"] == n_fitted
    assert found[name].verdict == "confirmed"  # none grokked, whatever the reason


def test_fitting_later_than_the_last_step_is_no_failure_to_fit():
    found = claims(planted(last_step=7999))[REASONS[TOO_SMALL]]
    assert found.verdict == "inconclusive" and found.numbers["n_conclusive"] == 0
    memorized = {c: ["memorized"] * 3 for c in settings_of(TOO_SMALL)}
    early = claims(planted(outcomes=memorized, last_step=300))[REASONS[TOO_SMALL]]
    assert early.verdict == "not confirmed"  # who has fitted did fit


def test_a_training_accuracy_that_collapsed_was_reached():
    table = planted(outcomes={c: ["collapsed"] * 3 for c in settings_of(VERY_HIGH)})
    table.loc[table["outcome_kind"] == "collapsed", ["memorization_step", "grokking_step"]] = None
    assert claims(table)[REASONS[VERY_HIGH]].verdict == "not confirmed"
    unsettled = planted(outcomes={c: ["not_settled"] * 3 for c in settings_of(VERY_HIGH)})
    unsettled["memorization_step"] = None
    assert claims(unsettled)[REASONS[VERY_HIGH]].verdict == "inconclusive"


# --- what was found, in words -------------------------------------------------------------


def test_what_was_found_follows_the_verdicts():
    found = judge(planted(), FULL).found
    assert "These runs agree with it on weight decay and a small dataset" in found
    assert "do not agree" not in found and "leave open" not in found
    assert "too few examples (no: 0 of 12 grokked)" in found
    assert "undecided, 16 of 16 networks grokked" in found
    assert "could not even memorize them (12 of 12)" in found
    assert 2 <= found.count(". ") + 1 <= 6


def test_what_was_found_names_what_did_not_come_out():
    outcomes = {c: ["memorized"] * 3 for c in settings_of(TOO_SMALL)}
    outcomes |= {c: ["grokked"] * 3 for c in settings_of(VERY_HIGH)}
    found = judge(planted(outcomes=outcomes), FULL).found
    assert "They do not agree with it on very high weight decay (no: 6 of 6 grokked)" in found
    assert "9 of 9 networks memorized them. So the literature's reason" in found
    assert "6 of 6 networks did learn their training examples" in found


def test_what_was_found_leaves_open_what_is():
    found = judge(pd.DataFrame(), FULL).found
    assert (
        "These runs leave open weight decay and a small dataset" in found
        and "undecided" not in found
    )
    assert found.count("is left open") == 2 and "agree" not in found


def test_every_row_is_named_once_in_words():
    text = found_in_words(judge(planted(), FULL).claims)
    for one in ROWS:
        assert text.count(one.in_plain_words + (" (" if one.answer != "unclear" else ",")) == 1


# --- finer rows beside it -----------------------------------------------------------------


def test_every_finer_row_is_refuted_by_the_other_outcome():
    others = {}
    for condition in FINER:
        late = condition.prediction[0] in ("grokked", "slow_convergence")
        any_time = "generalized_without_delay" in condition.prediction and late
        other = "diverged" if any_time else "generalized_without_delay" if late else "grokked"
        others[condition.name] = [other] * 3
    found = claims(planted(outcomes=others))
    assert {found[name].verdict for name in others} == {"not confirmed"}
    assert not any(found[name].is_main for name in others)


def test_two_of_three_seeds_confirm_and_one_of_three_refutes():
    two, one = ["memorized", "memorized", "grokked"], ["memorized", "grokked", "grokked"]
    found = claims(planted(outcomes={"L1 1e-4": two, "L1 1e-5": one}))
    assert found["L1 1e-4"].verdict == "confirmed"
    assert found["L1 1e-5"].verdict == "not confirmed"


def test_one_of_two_seeds_decides_nothing():
    table = planted(outcomes={"L1 1e-4": ["memorized", "grokked"]})
    assert claims(table)["L1 1e-4"].verdict == "inconclusive"


@pytest.mark.parametrize("outcome", ["memorized", "did_not_fit"])
@pytest.mark.parametrize("last_step", [2000, 30_000])
def test_runs_that_should_generalize_and_have_not_yet_are_inconclusive(outcome, last_step):
    late = [c.name for c in FINER if {"grokked", "slow_convergence"} & set(c.prediction)]
    found = claims(planted(outcomes={name: [outcome] * 3 for name in late}, last_step=last_step))
    for name in late:
        assert found[name].verdict == "inconclusive" and found[name].numbers["n_conclusive"] == 0
        assert f"not within {last_step:,} steps" in found[name].sentence


def test_a_delay_that_is_too_long_already_refutes_without_delay():
    """Small initial weights should generalize as they fit, at step 150."""
    name = "small initialization"
    found = claims(planted(outcomes={name: ["memorized"] * 3}))[name]
    assert found.verdict == "not confirmed"
    table = planted(outcomes={name: ["memorized"] * 3})
    table.loc[table["condition"] == name, "last_step"] = 290
    assert claims(table)[name].verdict == "inconclusive"


def test_what_says_nothing_is_neither_for_nor_against():
    names = ("perpGrad", "small initialization", "dropout 0.3")
    nothing = ["not_settled", "collapsed", None, "settled otherwise"]
    found = claims(planted(outcomes=dict.fromkeys(names, nothing)))
    for name in names:
        assert found[name].verdict == "inconclusive" and found[name].numbers["n_conclusive"] == 0
        assert "not within" not in found[name].sentence


def test_a_collapse_refutes_that_nothing_generalizes_where_something_had():
    table = planted(outcomes={"L1 1e-4": ["collapsed"] * 3})
    assert claims(table)["L1 1e-4"].verdict == "not confirmed"
    table.loc[table["outcome_kind"] == "collapsed", "grokking_step"] = None
    assert claims(table)["L1 1e-4"].verdict == "inconclusive"


def test_large_initial_weights_that_have_not_fitted_do_not_test_what_happens_after_fitting():
    found = claims(planted(outcomes={"large initialization": ["did_not_fit"] * 3}))
    assert found["large initialization"].verdict == "inconclusive"


def test_before_memorizing_is_sooner_still_than_without_delay():
    before = ["generalized_before_memorizing", "generalized_without_delay"]
    found = claims(planted(outcomes={"natural data": before, "perpGrad": before}))
    assert found["natural data"].verdict == found["perpGrad"].verdict == "confirmed"
    assert "before memorizing, without delay" in found["natural data"].sentence


def test_late_and_smooth_is_late_but_not_sharp():
    found = claims(planted(outcomes={REFERENCE: ["slow_convergence"] * 3}))
    assert found[YES].verdict == "confirmed"
    assert found["late generalization is sharp"].verdict == "not confirmed"


def test_grokfast_that_comes_later_is_not_sooner():
    table = planted()
    table.loc[table["condition"] == GROKFAST, "grokking_time"] = 900
    assert claims(table)["Grokfast comes sooner"].verdict == "not confirmed"


# --- gradient noise as a dose -------------------------------------------------------------

NONE = {name: ["memorized"] * 3 for name in NOISE}


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (NONE, "not confirmed"),
        (NONE | {"gradient noise 1e-2": ["grokked", "grokked", "memorized"]}, "confirmed"),
        (NONE | {"gradient noise 1e-2": ["grokked", "memorized", "memorized"]}, "not confirmed"),
        (NONE | {"gradient noise": ["grokked", "memorized"]}, "inconclusive"),
        # Networks that generalize without noise as often owe nothing to it.
        ({"no pressure": ["grokked"] * 3}, "not confirmed"),
        (NONE | {"no pressure": []}, "inconclusive"),
        # Three of four strengths say that none does; two do not.
        (NONE | {"gradient noise": []}, "not confirmed"),
        (NONE | {"gradient noise": [], "gradient noise 1e-2": ["memorized"]}, "inconclusive"),
    ],
)
def test_noise_helps_where_more_cross_at_some_strength_than_without(outcomes, expected):
    assert claims(planted(outcomes=outcomes))["gradient noise"].verdict == expected


def test_noise_that_was_not_followed_is_open_and_the_doses_stand_in_a_table():
    table = planted(outcomes=NONE | {"gradient noise 3e-2": ["grokked"] * 3})
    doses = judge(table, FULL).tables["gradient_noise"].set_index("gradient_noise")
    assert list(doses.index) == [0.0, 1e-4, 1e-3, 1e-2, 3e-2]
    assert doses.loc[3e-2, ["n_crossed", "median_crossing"]].tolist() == [3, 800]
    assert doses.loc[1e-3, "not_within_steps"] == N_STEPS and doses.loc[1e-3, "n_crossed"] == 0
    short = claims(planted(outcomes=NONE, last_step=7999))["gradient noise"]
    assert short.verdict == "inconclusive" and "by step 7,999" in short.sentence


# --- natural data -------------------------------------------------------------------------


def test_a_small_rise_is_harder_to_detect_than_a_large_one():
    table = planted()
    found = claims(table)[DETECT]
    assert found.verdict == "confirmed" and found.numbers["n_masked"] == 0
    assert found.numbers["median_rise"] == pytest.approx(0.17)
    assert found.numbers["median_rise_structured"] == pytest.approx(0.88)
    is_natural = table["condition"].isin(settings_of(NATURAL))
    table.loc[is_natural, "accuracy_when_memorized"] = 0.2
    assert claims(table)[DETECT].verdict == "not confirmed"
    # 0.92 of 500 examples has a standard error of 0.0121.
    for before, n_masked in ((0.895, 0), (0.897, 16)):
        table.loc[is_natural, "accuracy_when_memorized"] = before
        assert claims(table)[DETECT].numbers["n_masked"] == n_masked
    assert claims(planted(n_seeds=0))[DETECT].verdict == "inconclusive"


# --- figures and plan ---------------------------------------------------------------------


def test_runs_that_did_not_generalize_stand_in_the_chart_as_censored():
    charts = {chart.name: chart for chart in judge(planted(outcomes=NONE), FULL).charts}
    series = {one.name: one for one in charts["times"].series}
    assert series["no pressure"].is_censored.all() and not series[REFERENCE].is_censored.any()
    assert not series["digits, provoked"].is_censored.any()  # by the level of the digits
    assert "very high weight decay" not in series  # it has no step of memorization
    (noise,) = charts["noise"].series
    assert noise.is_censored.all() and len(noise.x) == 12
    assert [chart.name for chart in judge(pd.DataFrame(), FULL).charts] == ["times", "widths"]


@pytest.mark.parametrize("scale", [QUICK, FULL], ids=lambda scale: scale.name)
def test_the_plan_has_every_condition_once_for_every_seed(scale):
    runs = plan(scale)
    assert len({run.config.hash() for run in runs}) == len(runs)
    names = [run.labels["condition"] for run in runs if run.labels["seed"] == 0]
    assert names == [condition.name for condition in conditions_of(scale.is_quick)]
    assert {CONDITION_OF[name].row for name in names} >= {one.name for one in ROWS}
    assert {run.labels["seed"] for run in runs} == set(range(2 if scale.is_quick else 5))


@pytest.fixture(scope="module")
def configs():
    """Config of seed 0 by setting."""
    return {run.labels["condition"]: run.config for run in plan(Scale(False, n_seeds=1))}


def test_pressures_other_than_weight_decay_act_alone(configs):
    for name in (*NOISE, *settings_of(DROPOUT), "L1 1e-4", "perpGrad"):
        assert configs[name].optimizer.weight_decay == 0 and len(configs[name].pressures.names) == 1
    assert configs[GROKFAST].optimizer.weight_decay == 1
    for name in settings_of(NO_PRESSURE):
        assert configs[name].optimizer.weight_decay == 0 and not configs[name].pressures.names
    strengths = [configs[name].pressures.gradient_noise for name in NOISE]
    assert strengths == list(NOISE.values()) == sorted(set(strengths))


def test_small_datasets_have_as_many_pairs_as_they_say(configs):
    from grokinterp.tasks import draw_split, task_of

    sizes = [len(draw_split(task_of(configs[name].task)).train) for name in settings_of(TOO_SMALL)]
    assert sizes == [40, 80, 120]


def test_networks_stop_at_the_level_of_their_data_and_are_followed_as_long_as_stated(configs):
    for name, config in configs.items():
        condition = CONDITION_OF[name]
        expected = {"digits": 0.85, "tumors": 0.9}.get(condition.base, 0.95)
        assert config.stop_accuracy == condition.level == expected
        assert (config.n_steps == 40_000) == (name in (*NOISE, "no pressure"))


def test_what_was_predicted_is_quoted_from_the_module():
    for text in ("dropout", "L1", "gradient noise", "small initialization", "Grokfast", "rare"):
        assert text in EXPERIMENT.prediction
    assert "at least 10 times the median grokking time" in " ".join(EXPERIMENT.criterion.split())
    assert "Until 2026-11-28" in (EXPERIMENT.history or "")


# --- tiny runs: a larger learning rate, so that the references take 180 steps --------------

SMALL, LARGE = "perceptron, small weights", "perceptron, large initialization"
PROVOKED = "digits, provoked"


@pytest.fixture(scope="module")
def tiny_table(tmp_path_factory):
    """Rows of one seed, entered for two seeds, which is what a verdict needs."""
    import dataclasses

    from grokinterp.experiments.run_table import row_of
    from grokinterp.training import train

    rows = []
    for planned in plan(Scale(is_quick=True, n_seeds=1)):
        name = planned.labels["condition"]
        if name not in (REFERENCE, "no pressure", SMALL, LARGE, PROVOKED):
            continue
        config = planned.config
        if name != PROVOKED:
            width = {} if "perceptron" in name else {"d_mlp": 64}
            config = dataclasses.replace(
                config,
                task=dataclasses.replace(config.task, p=23, train_fraction=0.75),
                model=dataclasses.replace(config.model, **width),
                optimizer=dataclasses.replace(config.optimizer, learning_rate=1e-2),
                n_steps=600,
            )
        config = dataclasses.replace(config, stop_patience=100)
        run = train(config, tmp_path_factory.mktemp("run"), n_threads=1, progress=False)
        row = row_of(run, planned) | observe(run, planned)
        rows += [{**row, "seed": seed} for seed in (0, 1)]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name", [SMALL, PROVOKED])
def test_tiny_networks_end_as_predicted(tiny_table, name):
    found = claims(tiny_table, QUICK)[name]
    assert found.verdict == "confirmed", found.sentence


def test_tiny_networks_grok_with_weight_decay_and_not_without(tiny_table):
    found = claims(tiny_table, QUICK)
    assert found[YES].verdict == "confirmed"
    # 600 steps are less than ten times those of the reference.
    for name in (NO_PRESSURE, LARGE):
        assert found[name].verdict == "inconclusive" and found[name].numbers["n_conclusive"] == 0
        assert found[name].numbers["n_runs"] == 2


@pytest.mark.parametrize(
    ("row_name", "reference", "switched_off_by"),
    [(YES, REFERENCE, "no pressure"), (PERCEPTRON, SMALL, LARGE)],
)
def test_late_generalization_is_gone_when_its_cause_is(
    tiny_table, row_name, reference, switched_off_by
):
    rows = tiny_table[tiny_table["condition"] == switched_off_by].assign(condition=reference)
    assert claims(rows, QUICK)[row_name].numbers["n_late"] == 0


def test_provoked_digits_are_late_at_their_level_and_not_at_95_percent(tiny_table):
    digits = tiny_table[tiny_table["condition"] == PROVOKED].iloc[0]
    assert digits["level"] == 0.85 and digits["level_crossing_step"] is not None
    assert digits["outcome_kind"] == "memorized" and digits["level_outcome"] == "slow_convergence"
    assert digits["n_test"] == 1597
    assert digits["accuracy_when_memorized"] < 0.85 < digits["largest_accuracy_after"] < 0.95
    other = tiny_table[tiny_table["condition"] == REFERENCE].iloc[0]
    assert other["level"] == 0.95 and pd.isna(other["level_outcome"])


def test_a_network_that_memorizes_knows_mirror_images_alone(tiny_table):
    memorized = tiny_table[tiny_table["condition"] == "no pressure"].iloc[0]
    assert memorized["test_accuracy_mirrored"] > 0.6 > 0.3 > memorized["test_accuracy_unmirrored"]
