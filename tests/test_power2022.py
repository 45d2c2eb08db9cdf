"""The question of Power et al.: its judge on planted tables, and the predictions at tiny scale."""

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
    compared = {name for pair in question.COMPARISONS for name in pair}
    assert compared | set(question.EASY) < set(operations["operation"])
    assert (operations.groupby("operation")["seed"].nunique()[list(compared)] >= 2).all()
    assert labels[labels["operation"].isin(question.CUBIC)].shape[0] >= 2
    hashes = {one.config.hash() for one in planned}
    assert len(hashes) < len(planned), "addition at the shared fraction is one run for both parts"


def test_the_full_plan_has_every_operation_of_the_paper_modulo_97(question):
    from grokinterp.experiments import Scale

    specs = [one.config.task for one in question.plan(Scale(is_quick=False))]
    modular = {spec.operation for spec in specs if spec.p == 97}
    assert modular == {*question.EASY, *question.LEARNABLE, *question.CUBIC}
    assert {spec.operation for spec in specs if spec.degree == 4} == {
        "permutation_composition",
        "permutation_conjugation",
        "permutation_sandwich",
    }


FRACTIONS = (0.6, 0.7, 0.8, 0.9)


def tiny_config(operation, fraction, seed, *, weight_decay, n_steps):
    """Two layers with squares on p = 19: a millisecond a step."""
    from grokinterp.models import MlpSpec
    from grokinterp.runs import OptimizerSpec, TrainConfig
    from grokinterp.tasks import TaskSpec

    return TrainConfig(
        task=TaskSpec(operation, p=19, train_fraction=fraction, split_seed=seed),
        model=MlpSpec(widths=(96,), act_fn="square", init_seed=seed),
        optimizer=OptimizerSpec(learning_rate=1e-2, weight_decay=weight_decay),
        n_steps=n_steps,
        checkpoint_every=n_steps,
        stop_accuracy=0.95,
        stop_patience=0,
    )


@pytest.fixture(scope="module")
def tiny_row(tmp_path_factory):
    """Train one network and return its row; what was asked before is not trained again."""
    from grokinterp.experiments import PlannedRun
    from grokinterp.experiments.run_table import row_of
    from grokinterp.training import train

    rows = {}

    def row(operation, fraction, seed, *, part, weight_decay=1.0, n_steps=900):
        config = tiny_config(operation, fraction, seed, weight_decay=weight_decay, n_steps=n_steps)
        if config.hash() not in rows:
            folder = tmp_path_factory.mktemp("tiny_power")
            run = train(config, folder, n_threads=1, progress=False)
            rows[config.hash()] = row_of(run, PlannedRun(config, {}))
        labels = {"part": part, "operation": operation, "train_fraction": fraction, "seed": seed}
        return rows[config.hash()] | labels

    return row


@pytest.fixture(scope="module")
def tiny_fractions(tiny_row):
    """Addition at four fractions and two seeds."""
    return pd.DataFrame(
        [tiny_row("addition", f, seed, part="fractions") for f in FRACTIONS for seed in (0, 1)]
    )


def test_small_networks_generalize_long_after_the_fit_and_earlier_from_more_pairs(
    tiny_fractions, question
):
    assert question.judge_plateau(tiny_fractions).numbers["ratio"] > question.MIN_DELAY_RATIO
    assert question.judge_fraction(tiny_fractions).verdict == "confirmed"


def test_nothing_generalizes_and_nothing_is_confirmed_without_weight_decay(tiny_row, question):
    table = pd.DataFrame(
        [
            tiny_row("addition", f, seed, part="fractions", weight_decay=0.0, n_steps=100)
            for f in (0.6, 0.8)
            for seed in (0, 1)
        ]
    )
    assert question.judge_plateau(table).numbers["n_crossed"] == 0
    assert question.judge_plateau(table).verdict == "inconclusive"
    assert question.judge_fraction(table).verdict == "inconclusive"


def test_there_is_no_plateau_when_nearly_all_pairs_are_trained_on(tiny_fractions, question):
    many = tiny_fractions[tiny_fractions["train_fraction"] == 0.9]
    assert question.judge_plateau(many).verdict == "not confirmed"


def test_the_order_breaks_when_fractions_are_exchanged(tiny_fractions, question):
    exchanged = tiny_fractions.assign(train_fraction=1 - tiny_fractions["train_fraction"])
    assert question.judge_fraction(exchanged).verdict == "not confirmed"


def test_small_networks_learn_addition_but_no_cubic_polynomial(tiny_row, question):
    rows = [
        tiny_row(operation, 0.7, seed, part="operations", n_steps=steps)
        for operation, steps in (("addition", 900), ("cubic", 300))
        for seed in (0, 1)
    ]
    assert question.judge_cubic(pd.DataFrame(rows)).verdict == "confirmed"
    # The same runs with the names exchanged: the verdict is of the operation, not of the judge.
    names = {"addition": "cubic", "cubic": "addition"}
    exchanged = pd.DataFrame([row | {"operation": names[row["operation"]]} for row in rows])
    assert question.judge_cubic(exchanged).verdict == "not confirmed"
