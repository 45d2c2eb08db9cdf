"""The question of Power et al.: its plans, and its judge on planted tables."""

import pandas as pd
import pytest

from tests import planted_rows

TIMES = {
    "addition": 300,
    "multiplication": 400,
    "sum_of_squares": 200,
    "subtraction": 1200,
    "division": 1500,
    "quadratic_form": None,
    "cubic": None,
}


@pytest.fixture(scope="module")
def question():
    from grokinterp.experiments import power2022

    return power2022


@pytest.fixture(scope="module")
def quick():
    from grokinterp.experiments import Scale

    return Scale(is_quick=True)


def planted_table(times=TIMES, exponent=-3.0, seeds=(0, 1), horizon=3000, memorization=140):
    """Rows in which T of addition is 250 fraction^exponent and each operation has its time."""
    rows = []
    for seed in seeds:
        for fraction in (0.5, 0.6, 0.75, 0.9):
            rows.append(
                planted_rows.row(
                    250 * (1 + 0.1 * seed) * fraction**exponent,
                    horizon=horizon,
                    memorization=memorization,
                    part="fractions",
                    operation="addition",
                    train_fraction=fraction,
                    seed=seed,
                )
            )
        for operation, time in times.items():
            rows.append(
                planted_rows.row(
                    time,
                    horizon=horizon,
                    memorization=memorization,
                    part="operations",
                    operation=operation,
                    train_fraction=0.75,
                    seed=seed,
                )
            )
    return pd.DataFrame(rows)


def verdicts(question, table, quick):
    """Verdicts of the four main claims: plateau, fraction, symmetry, cubic."""
    return [claim.verdict for claim in question.judge(table, quick).claims if claim.is_main]


def test_what_the_paper_says_is_confirmed_when_it_is_planted(question, quick):
    findings = question.judge(planted_table(), quick)
    assert findings.verdict == "confirmed", [claim.sentence for claim in findings.claims]
    # 250 * 0.5^-3 = 2000 and 2200, against 140.
    assert findings.claims[0].numbers["ratio"] == pytest.approx(2100 / 140)
    assert findings.claims[1].numbers["n_pairs"] == 12


def test_generalizing_with_the_fit_is_no_plateau(question, quick):
    table = planted_table(memorization=900)
    assert verdicts(question, table, quick)[0] == "not confirmed"


def test_late_but_slow_convergence_is_not_taken_for_grokking(question, quick):
    table = planted_table()
    table["outcome_kind"] = table["outcome_kind"].replace("grokked", "slow_convergence")
    assert verdicts(question, table, quick)[0] == "not confirmed"


def test_one_grokked_one_slow_and_one_censored_run_leave_the_plateau_open(question, quick):
    table = planted_table(seeds=(0, 1, 2))
    smallest = (table["part"] == "fractions") & (table["train_fraction"] == 0.5)
    table.loc[smallest & (table["seed"] == 1), "outcome_kind"] = "slow_convergence"
    table.loc[smallest & (table["seed"] == 2), ["outcome_kind", "is_censored"]] = "memorized", True
    assert verdicts(question, table, quick)[0] == "inconclusive"


def plateau_of(question, quick, *kinds):
    """Verdict on the plateau where the runs of the smallest fraction end like this."""
    table = planted_table(seeds=range(len(kinds)))
    smallest = (table["part"] == "fractions") & (table["train_fraction"] == 0.5)
    for seed, kind in enumerate(kinds):
        chosen = smallest & (table["seed"] == seed)
        table.loc[chosen, "outcome_kind"] = kind
        table.loc[chosen, "is_censored"] = kind == "memorized"
    return verdicts(question, table, quick)[0]


GROKKED, SLOW, AT_ONCE, BEFORE = (
    "grokked",
    "slow_convergence",
    "generalized_without_delay",
    "generalized_before_memorizing",
)


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        # At least half grokked.
        ((GROKKED, SLOW), "confirmed"),
        ((GROKKED, GROKKED, "memorized"), "confirmed"),
        ((GROKKED, GROKKED, SLOW, SLOW), "confirmed"),
        # Most generalize without being grokked.
        ((GROKKED, SLOW, SLOW), "not confirmed"),
        ((GROKKED, AT_ONCE, BEFORE), "not confirmed"),
        ((BEFORE, BEFORE), "not confirmed"),
        # Neither.
        ((GROKKED, SLOW, "memorized"), "inconclusive"),
        ((GROKKED, SLOW, "collapsed"), "inconclusive"),
        ((GROKKED, SLOW, "not_settled"), "inconclusive"),
        (("collapsed", "collapsed"), "inconclusive"),
        (("not_settled", "not_settled"), "inconclusive"),
        # Half of them have not crossed by their last step.
        ((GROKKED, "memorized"), "inconclusive"),
        ((SLOW, "memorized"), "inconclusive"),
    ],
)
def test_the_plateau_is_judged_by_what_half_or_most_of_the_runs_did(
    question, quick, kinds, expected
):
    assert plateau_of(question, quick, *kinds) == expected


def test_times_that_grow_with_the_fraction_are_not_confirmed(question, quick):
    assert verdicts(question, planted_table(exponent=1.0), quick)[1] == "not confirmed"


def test_symmetric_operations_that_are_later_are_not_confirmed(question, quick):
    table = planted_table(TIMES | {"addition": 1300, "multiplication": 2000})
    assert verdicts(question, table, quick)[2] == "not confirmed"


def test_one_comparison_each_way_is_inconclusive(question, quick):
    table = planted_table(TIMES | {"multiplication": 2000})
    assert verdicts(question, table, quick)[2] == "inconclusive"


def test_a_cubic_run_that_generalizes_is_not_confirmed(question, quick):
    assert verdicts(question, planted_table(TIMES | {"cubic": 2900}), quick)[3] == "not confirmed"


def test_cubic_runs_that_do_not_even_memorize_are_inconclusive(question, quick):
    table = planted_table()
    table.loc[table["operation"] == "cubic", "memorization_step"] = None
    assert verdicts(question, table, quick)[3] == "inconclusive"


@pytest.mark.parametrize("changes", [{"seeds": (0,)}, {"horizon": 150}])
def test_one_seed_or_a_horizon_that_censors_everything_is_inconclusive(question, quick, changes):
    assert set(verdicts(question, planted_table(**changes), quick)) == {"inconclusive"}


def test_no_runs_at_all_are_inconclusive(question, quick):
    table = planted_table()
    assert question.judge(table.iloc[:0], quick).verdict == "inconclusive"
    only_fractions = question.judge(table[table["part"] == "fractions"], quick)
    assert only_fractions.verdict == "inconclusive"
    only_operations = question.judge(table[table["part"] == "operations"], quick)
    assert only_operations.verdict == "inconclusive"


def test_an_operation_that_does_not_generalize_is_told_as_not_by_its_last_step(question, quick):
    findings = question.judge(planted_table(), quick)
    remark = next(c for c in findings.claims if c.name == "quadratic_form generalizes")
    assert remark.verdict == "inconclusive" and not remark.is_main
    assert "by step 3,000" in remark.sentence and "3.0% on pairs whose mirror" in remark.sentence
    row = findings.tables["by_operation"].set_index("operation").loc["quadratic_form"]
    assert row["not_by_step"] == 3000 and pd.isna(row["median_grokking_time"])


@pytest.mark.parametrize("is_quick", [True, False])
def test_each_plan_asks_for_what_the_judge_compares(question, is_quick):
    from grokinterp.experiments import Scale

    planned = question.plan(Scale(is_quick=is_quick))
    labels = pd.DataFrame([one.labels for one in planned])
    operations = labels[labels["part"] == "operations"]
    compared = {name for pair in question.claims.COMPARISONS for name in pair}
    assert compared | set(question.claims.EASY) < set(operations["operation"])
    assert (operations.groupby("operation")["seed"].nunique()[list(compared)] >= 2).all()
    assert labels[labels["operation"].isin(question.claims.CUBIC)].shape[0] >= 2
    hashes = {one.config.hash() for one in planned}
    if is_quick:  # fractions have a prime of their own
        return
    assert len(hashes) < len(planned), "addition at the shared fraction is one run for both parts"


def test_the_full_plan_has_every_operation_of_the_paper_modulo_97(question):
    from grokinterp.experiments import Scale

    specs = [one.config.task for one in question.plan(Scale(is_quick=False))]
    modular = {spec.operation for spec in specs if spec.p == 97}
    assert modular == {*question.claims.EASY, *question.claims.LEARNABLE, *question.claims.CUBIC}
    assert {spec.operation for spec in specs if spec.degree == 4} == {
        "permutation_composition",
        "permutation_conjugation",
        "permutation_sandwich",
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "they grok. The more examples they are given, the sooner"),
        ({"memorization": 700}, "That is not the long wait and sudden change"),
        ({"exponent": 3.0}, "More examples did not make them"),
        ({"times": {**TIMES, "subtraction": 250, "division": 300}}, "do not come later"),
        ({"times": {**TIMES, "cubic": 500}}, "was learned, in 2 of 2 runs"),
        ({"times": {**TIMES, "addition": None}, "seeds": (0,)}, "stays open"),
        ({"horizon": 900}, "memorize stays open in these runs"),
    ],
)
def test_what_was_found_follows_the_verdicts(question, quick, changes, words):
    assert words in question.judge(planted_table(**changes), quick).found
    assert not changes or words not in question.judge(planted_table(), quick).found


def test_the_quick_plateau_has_a_prime_and_a_width_of_its_own(question, quick):
    planned = question.plan(quick)
    shapes = {one.labels["part"]: (one.config.task.p, one.config.model.d_model) for one in planned}
    assert shapes == {"fractions": (59, 64), "operations": (37, 32)}
