"""When it happens: the judge on planted tables, and a tiny run with and without weight decay."""

import pandas as pd
import pytest

from grokinterp.experiments import Scale
from grokinterp.experiments.conditions import EXPERIMENT, plan
from grokinterp.experiments.conditions.claims import judge
from grokinterp.experiments.conditions.rows import CONDITIONS, GROKFAST

pytestmark = pytest.mark.long

QUICK, FULL = Scale(is_quick=True), Scale(is_quick=False)
REFERENCE = "weight decay"
N_STEPS = 5000


def row(condition, seed, outcome, time=800, last_step=N_STEPS):
    is_censored = outcome in ("memorized", "did_not_fit")
    fit = None if outcome == "did_not_fit" else 150
    return {
        "condition": condition,
        "seed": seed,
        "outcome_kind": outcome,
        "is_censored": is_censored,
        "grokking_time": last_step if is_censored else time,
        "memorization_step": fit,
        "grokking_step": None if is_censored else time,
        "grokking_delay": None if is_censored else time - 150,
        "transition_width": None if is_censored else 200,
        "last_step": last_step if is_censored else time + 200,
        "test_accuracy": 0.6 if is_censored else 1.0,
        "test_accuracy_mirrored": 0.9 if is_censored else 1.0,
        "test_accuracy_unmirrored": 0.05 if is_censored else 1.0,
    }


def planted(n_seeds=3, outcomes=None, last_step=N_STEPS):
    """A table in which every condition ends as predicted, with other outcomes by condition."""
    rows = []
    for condition in CONDITIONS:
        chosen = (outcomes or {}).get(condition.name, [condition.prediction[0]] * n_seeds)
        time = 500 if condition.name == GROKFAST else 800
        rows += [
            row(condition.name, seed, outcome, time, last_step)
            for seed, outcome in enumerate(chosen)
        ]
    return pd.DataFrame(rows)


def claims(table, scale=FULL):
    return {claim.name: claim for claim in judge(table, scale).claims}


def test_a_world_as_the_literature_has_it_is_confirmed_in_every_row():
    findings = judge(planted(), FULL)
    assert {claim.verdict for claim in findings.claims} == {"confirmed"}
    assert findings.verdict == "confirmed"
    shown = findings.tables["when_it_happens"]
    assert list(shown["condition"]) == [condition.name for condition in CONDITIONS]
    assert set(shown["verdict"]) == {"confirmed"} and set(shown["n_as_predicted"]) == {3}


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_every_row_is_refuted_by_the_other_outcome(condition):
    late = condition.prediction[0] in ("grokked", "slow_convergence")
    any_time = "generalized_without_delay" in condition.prediction and late
    other = "diverged" if any_time else "generalized_without_delay" if late else "grokked"
    table = planted(outcomes={condition.name: [other] * 3})
    found = claims(table)[condition.name]
    assert found.verdict == "not confirmed"
    expected = "not confirmed" if condition.is_main else "confirmed"
    assert judge(table, FULL).verdict == expected


@pytest.mark.parametrize(
    ("n_right", "expected"),
    [(0, "not confirmed"), (1, "not confirmed"), (2, "confirmed"), (3, "confirmed")],
)
def test_two_of_three_seeds_confirm_and_one_of_three_refutes(n_right, expected):
    outcomes = ["memorized"] * n_right + ["slow_convergence"] * (3 - n_right)
    assert claims(planted(outcomes={"no pressure": outcomes}))["no pressure"].verdict == expected


def test_one_of_two_seeds_decides_nothing():
    table = planted(outcomes={"no pressure": ["memorized", "grokked"]})
    assert claims(table)["no pressure"].verdict == "inconclusive"


def test_a_run_that_was_stopped_early_says_nothing_about_grokking():
    """The reference takes 800 steps, so a run without a grokking step must have seen 2,400."""
    short = claims(planted(last_step=2399))["no pressure"]
    assert short.verdict == "inconclusive" and short.numbers["n_conclusive"] == 0
    assert "3 of 3 inconclusive: not within 2,399 steps" in short.sentence
    assert claims(planted(last_step=2400))["no pressure"].verdict == "confirmed"


CENSORED = [c for c in CONDITIONS if {"grokked", "slow_convergence"} & set(c.prediction)]


@pytest.mark.parametrize("condition", CENSORED, ids=lambda condition: condition.name)
@pytest.mark.parametrize("outcome", ["memorized", "did_not_fit"])
def test_runs_that_should_generalize_and_have_not_yet_refute_nothing(condition, outcome):
    """Gradient noise alone was followed to step 37,420 before it crossed 95 %."""
    for last_step in (2000, 30_000):
        table = planted(outcomes={condition.name: [outcome] * 3}, last_step=last_step)
        found = claims(table)[condition.name]
        assert found.verdict == "inconclusive" and found.numbers["n_conclusive"] == 0
        assert f"not within {last_step:,} steps" in found.sentence
        assert "does not generalize" not in found.sentence
    diverged = claims(planted(outcomes={condition.name: ["diverged"] * 3}))[condition.name]
    assert diverged.verdict == "not confirmed"


def test_a_delay_that_is_too_long_already_refutes_without_delay():
    """Small initial weights should generalize as they fit, at step 150."""
    name = "small initialization"
    found = claims(planted(outcomes={name: ["memorized"] * 3}))[name]
    assert found.verdict == "not confirmed"
    table = planted(outcomes={name: ["memorized"] * 3})
    table.loc[table["condition"] == name, "last_step"] = 290
    assert claims(table)[name].verdict == "inconclusive"


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_runs_that_have_not_settled_refute_nothing_and_confirm_nothing(condition):
    found = claims(planted(outcomes={condition.name: ["not_settled"] * 3}))[condition.name]
    assert found.verdict == "inconclusive" and found.numbers["n_conclusive"] == 0
    assert "not settled x 3" in found.sentence and "not within" not in found.sentence


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_a_collapse_counts_only_where_nothing_was_to_generalize(condition):
    found = claims(planted(outcomes={condition.name: ["collapsed"] * 3}))[condition.name]
    is_none_expected = set(condition.prediction) <= {"memorized", "did_not_fit"}
    assert found.verdict == ("not confirmed" if is_none_expected else "inconclusive")
    assert "collapsed x 3" in found.sentence


def test_a_collapse_of_the_training_accuracy_alone_is_no_generalization():
    names = ("no pressure", "L1 1e-4", "very high weight decay")
    table = planted(outcomes={name: ["collapsed"] * 3 for name in names})
    table.loc[table["outcome_kind"] == "collapsed", "grokking_step"] = None
    found = claims(table)
    assert [found[name].verdict for name in names] == [
        "inconclusive",
        "inconclusive",
        "not confirmed",  # it did fit for a time
    ]


def test_before_memorizing_is_sooner_still_than_without_delay():
    before = ["generalized_before_memorizing", "generalized_without_delay"]
    table = planted(outcomes={"natural data": before, REFERENCE: before, "perpGrad": before})
    found = claims(table)
    assert found["natural data"].verdict == found["perpGrad"].verdict == "confirmed"
    assert found[REFERENCE].verdict == "not confirmed"
    assert "before memorizing, without delay" in found["natural data"].sentence


def test_outcomes_that_nobody_knows_are_neither_for_nor_against():
    table = planted(outcomes={"no pressure": ["settled otherwise"] * 3})
    found = claims(table)["no pressure"]
    assert found.verdict == "inconclusive" and "settled otherwise x 3" in found.sentence


def test_a_run_that_has_not_fitted_does_not_test_what_happens_after_fitting():
    unfitted = ["did_not_fit"] * 3
    found = claims(planted(outcomes={"large initialization": unfitted, "dropout .3": unfitted}))
    assert found["large initialization"].verdict == "inconclusive"
    assert found["dropout .3"].verdict == "inconclusive"
    assert found["very high weight decay"].verdict == "confirmed"


def test_without_the_reference_nothing_is_said_of_runs_that_memorize():
    table = planted(outcomes={REFERENCE: ["memorized"] * 3})
    found = claims(table)
    assert found[REFERENCE].verdict == "inconclusive"
    assert found["no pressure"].verdict == "inconclusive"
    assert found["perceptron, large initialization"].verdict == "confirmed"


def test_one_seed_is_too_few_and_an_empty_table_too():
    for table in (planted(n_seeds=1), pd.DataFrame()):
        findings = judge(table, FULL)
        assert {claim.verdict for claim in findings.claims} == {"inconclusive"}
        assert findings.verdict == "inconclusive"


def test_late_and_smooth_is_late_but_not_sharp():
    found = claims(planted(outcomes={REFERENCE: ["slow_convergence"] * 3}))
    assert found[REFERENCE].verdict == "confirmed"
    assert found["late generalization is sharp"].verdict == "not confirmed"


def test_without_delay_is_not_late():
    table = planted(outcomes={REFERENCE: ["generalized_without_delay"] * 3})
    assert claims(table)[REFERENCE].verdict == "not confirmed"


def test_grokfast_that_comes_later_is_not_sooner():
    table = planted()
    table.loc[table["condition"] == GROKFAST, "grokking_time"] = 900
    assert claims(table)["Grokfast comes sooner"].verdict == "not confirmed"
    assert judge(table, FULL).verdict == "confirmed"


def test_a_run_that_diverged_is_a_refutation_and_an_outcome_that_is_not_known_is_none():
    table = planted(outcomes={"no pressure": ["diverged"] * 3, "L1 1e-4": [None] * 3})
    found = claims(table)
    assert found["no pressure"].verdict == "not confirmed"
    assert (
        found["L1 1e-4"].verdict == "inconclusive" and found["L1 1e-4"].numbers["n_conclusive"] == 0
    )


def test_runs_that_did_not_generalize_stand_in_the_chart_as_censored():
    charts = {chart.name: chart for chart in judge(planted(), FULL).charts}
    series = {one.name: one for one in charts["times"].series}
    assert series["no pressure"].is_censored.all() and not series[REFERENCE].is_censored.any()
    assert "very high weight decay" not in series  # it has no step of memorization


@pytest.mark.parametrize("scale", [QUICK, FULL], ids=lambda scale: scale.name)
def test_the_plan_has_every_condition_once_for_every_seed(scale):
    runs = plan(scale)
    assert len({run.config.hash() for run in runs}) == len(runs)
    names = [run.labels["condition"] for run in runs if run.labels["seed"] == 0]
    assert names == [c.name for c in CONDITIONS if c.is_in_quick or not scale.is_quick]


def test_pressures_other_than_weight_decay_act_alone():
    alone = {run.labels["condition"]: run.config for run in plan(FULL)}
    for name in ("dropout .3", "L1 1e-4", "gradient noise", "perpGrad"):
        assert alone[name].optimizer.weight_decay == 0 and len(alone[name].pressures.names) == 1
    assert alone[GROKFAST].optimizer.weight_decay == 1
    assert not alone["no pressure"].pressures.names


def test_what_was_predicted_is_quoted_from_the_module():
    for condition in ("dropout", "L1", "gradient noise", "small initialization", "Grokfast"):
        assert condition in EXPERIMENT.prediction
    assert "at least 3 times" in EXPERIMENT.criterion


# --- tiny runs: a larger learning rate, so that the references take 180 steps --------------

SMALL, LARGE = "perceptron, small weights", "perceptron, large initialization"


@pytest.fixture(scope="module")
def tiny_table(tmp_path_factory):
    """Rows of one seed at p = 23, entered for two seeds, which is what a verdict needs."""
    import dataclasses

    from grokinterp.experiments.run_table import row_of
    from grokinterp.training import train

    rows = []
    for planned in plan(Scale(is_quick=True, n_seeds=1)):
        if planned.labels["condition"] not in (REFERENCE, "no pressure", SMALL, LARGE):
            continue
        is_transformer = "perceptron" not in planned.labels["condition"]
        width = {"d_mlp": 64} if is_transformer else {}
        config = dataclasses.replace(
            planned.config,
            task=dataclasses.replace(planned.config.task, p=23, train_fraction=0.75),
            model=dataclasses.replace(planned.config.model, **width),
            optimizer=dataclasses.replace(planned.config.optimizer, learning_rate=1e-2),
            stop_patience=100,
            n_steps=600,
        )
        run = train(config, tmp_path_factory.mktemp("run"), n_threads=1, progress=False)
        rows += [{**row_of(run, planned), "seed": seed} for seed in (0, 1)]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("name", [REFERENCE, "no pressure", SMALL, LARGE])
def test_tiny_networks_end_as_predicted(tiny_table, name):
    found = claims(tiny_table, QUICK)[name]
    assert found.verdict == "confirmed", found.sentence


@pytest.mark.parametrize(
    ("reference", "switched_off_by"), [(REFERENCE, "no pressure"), (SMALL, LARGE)]
)
def test_late_generalization_is_gone_when_its_cause_is(tiny_table, reference, switched_off_by):
    rows = tiny_table[tiny_table["condition"] == switched_off_by].assign(condition=reference)
    found = claims(rows, QUICK)[reference]
    assert found.verdict == "inconclusive" and found.numbers["n_as_predicted"] == 0


def test_a_network_that_memorizes_knows_mirror_images_alone(tiny_table):
    memorized = tiny_table[tiny_table["condition"] == "no pressure"].iloc[0]
    assert memorized["test_accuracy_mirrored"] > 0.6 > 0.3 > memorized["test_accuracy_unmirrored"]


def test_a_reference_of_which_most_do_not_generalize_says_not_how_long_is_long_enough():
    outcomes = ["grokked", "memorized", "memorized"]
    found = claims(planted(outcomes={REFERENCE: outcomes}))["no pressure"]
    assert found.verdict == "inconclusive" and found.numbers["n_conclusive"] == 0
