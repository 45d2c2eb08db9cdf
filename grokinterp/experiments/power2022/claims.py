"""The claims of Power et al. 2022, judged on the table of runs."""

from __future__ import annotations

import itertools

import pandas as pd

from grokinterp.experiments.chart import Chart, Series
from grokinterp.experiments.experiment import Claim, Findings, Scale, Verdict
from grokinterp.experiments.summaries import (
    groups_of,
    is_crossed,
    largest_of,
    median_of,
    median_time,
    outcomes_of,
    rows_of,
    runs_where,
    smallest_of,
    values_of,
)

PLATEAU = "memorization, plateau, generalization"
MIN_DELAY_RATIO = 5.0
MIN_SEEDS = 2
MIN_COMPARISONS = 4
MIN_PAIRS = 8
MIN_CONCORDANCE, REFUTED_CONCORDANCE = 0.8, 0.6
MIN_ASYMMETRIC_LATER, REFUTED_ASYMMETRIC_LATER = 0.75, 0.5
EASY_SHARE = 0.75
EASY = ("addition", "multiplication", "sum_of_squares")
CUBIC = ("cubic", "cubic_mixed")
COMPARISONS = (("addition", "subtraction"), ("multiplication", "division"))
"""A symmetric operation and its asymmetric counterpart."""
LEARNABLE = ("subtraction", "division", "conditional", "quadratic_form", "quadratic_form_plus_x")
"""Others modulo p that generalize in the paper."""
PERMUTATIONS = ("permutation_composition", "permutation_conjugation", "permutation_sandwich")


def judge(table: pd.DataFrame, scale: Scale) -> Findings:
    """Judge the plateau, the training fraction, symmetry and the cubic polynomials."""
    if table.empty:
        return Findings((Claim(PLATEAU, "inconclusive", "No run finished."),))
    fractions = runs_where(table, table["part"] == "fractions")
    operations = runs_where(table, table["part"] == "operations")
    claims = (
        judge_plateau(fractions),
        judge_fraction(fractions),
        judge_symmetry(operations),
        judge_cubic(operations),
        *judge_learnable(runs_where(table, table["part"] != "fractions")),
    )
    tables = {
        "by_operation": summary_by(runs_where(table, table["part"] != "fractions"), "operation"),
        "by_train_fraction": summary_by(fractions, "train_fraction"),
    }
    charts = (_fraction_chart(fractions), _operation_chart(operations))
    return Findings(claims, tables, charts, NOTES)


def judge_plateau(fractions: pd.DataFrame) -> Claim:
    """Compare T with the memorization step where there are fewest pairs to learn from."""
    smallest = smallest_of(fractions, "train_fraction")
    runs = runs_where(fractions, fractions["train_fraction"] == smallest)
    n_crossed = int(is_crossed(runs).sum())
    n_grokked = int((runs["outcome_kind"] == "grokked").to_numpy().sum())
    is_otherwise = is_crossed(runs) & (runs["outcome_kind"] != "grokked").to_numpy()
    n_otherwise = int(is_otherwise.sum())
    memorization = median_of(runs, "memorization_step")
    time = median_time(runs)
    ratio = time / memorization if time and memorization else None
    numbers = {
        "train_fraction": smallest,
        "n_runs": len(runs),
        "n_crossed": n_crossed,
        "n_grokked": n_grokked,
        "median_memorization_step": memorization,
        "median_grokking_time": time,
        "ratio": ratio,
    }
    if len(runs) < MIN_SEEDS or 2 * n_crossed <= len(runs) or ratio is None:
        verdict: Verdict = "inconclusive"
    elif ratio >= MIN_DELAY_RATIO and 2 * n_grokked >= len(runs):
        verdict = "confirmed"
    else:
        is_refuted = ratio < MIN_DELAY_RATIO or 2 * n_otherwise > len(runs)
        verdict = "not confirmed" if is_refuted else "inconclusive"
    sentence = (
        f"Addition at training fraction {smallest or 0:g}: {n_crossed} of {len(runs)} runs "
        f"generalize, {n_grokked} with the outcome grokked"
    )
    if memorization and time:
        sentence += (
            f"; the training pairs are known at step {memorization:,.0f} and the test pairs at "
            f"{time:,.0f} (medians), {time / memorization:.1f} times later"
        )
    return Claim(PLATEAU, verdict, sentence + ".", numbers)


def judge_fraction(fractions: pd.DataFrame) -> Claim:
    """Count how often the larger training fraction is the earlier one, within a seed."""
    earlier: list[bool] = []
    for _, runs in groups_of(fractions, "seed"):
        rows = rows_of(runs.sort_values("train_fraction"))
        for smaller, larger in itertools.combinations(rows, 2):
            first = which_is_earlier(larger, smaller)
            if first is not None:
                earlier.append(first)
    share = sum(earlier) / len(earlier) if earlier else None
    n_seeds = len(set(fractions["seed"]))
    if share is None or len(earlier) < MIN_PAIRS or n_seeds < MIN_SEEDS:
        verdict: Verdict = "inconclusive"
    elif share >= MIN_CONCORDANCE:
        verdict = "confirmed"
    else:
        verdict = "not confirmed" if share <= REFUTED_CONCORDANCE else "inconclusive"
    sentence = f"No two runs of a seed can be compared ({n_seeds} seeds)."
    if share is not None:
        sentence = (
            f"In {sum(earlier)} of {len(earlier)} comparable pairs of runs ({share:.0%}) the "
            "larger training fraction of addition generalizes earlier."
        )
    numbers = {"n_pairs": len(earlier), "share_earlier": share, "n_seeds": n_seeds}
    return Claim("the more pairs, the earlier", verdict, sentence, numbers)


def which_is_earlier(one: dict, other: dict) -> bool | None:
    """Whether the first of two rows generalized earlier; None for a tie or if it is not known.

    A run that did not generalize is later than whatever came before its last step, and nothing
    can be said of two of them.

    Examples
    --------
    >>> at_900 = {"grokking_time": 900, "is_censored": False}
    >>> not_by_500 = {"grokking_time": 500, "is_censored": True}
    >>> not_by_3000 = {"grokking_time": 3000, "is_censored": True}
    >>> which_is_earlier(at_900, not_by_3000), which_is_earlier(at_900, not_by_500)
    (True, None)
    """
    first, second = one["grokking_time"], other["grokking_time"]
    if one["is_censored"] and other["is_censored"]:
        return None
    if one["is_censored"]:
        return False if second <= first else None
    if other["is_censored"]:
        return True if first <= second else None
    return None if first == second else bool(first < second)


def judge_symmetry(operations: pd.DataFrame) -> Claim:
    """Compare each symmetric operation with its asymmetric counterpart, seed by seed."""
    later: list[bool] = []
    for _, runs in groups_of(operations, "seed"):
        by_operation = {row["operation"]: row for row in rows_of(runs)}
        for symmetric, asymmetric in COMPARISONS:
            if symmetric in by_operation and asymmetric in by_operation:
                first = which_is_earlier(by_operation[symmetric], by_operation[asymmetric])
                if first is not None:
                    later.append(first)
    share = sum(later) / len(later) if later else None
    if share is None or len(later) < MIN_COMPARISONS:
        verdict: Verdict = "inconclusive"
    elif share >= MIN_ASYMMETRIC_LATER:
        verdict = "confirmed"
    else:
        verdict = "not confirmed" if share < REFUTED_ASYMMETRIC_LATER else "inconclusive"
    sentence = (
        f"In {sum(later)} of {len(later)} comparisons at one seed and training fraction the "
        "asymmetric operation generalizes later than its symmetric counterpart."
    )
    numbers = {"n_comparisons": len(later), "share_later": share}
    return Claim("asymmetric operations are later", verdict, sentence, numbers)


def judge_cubic(operations: pd.DataFrame) -> Claim:
    """Look whether cubic polynomials stay memorized where easy operations generalize."""
    cubic = runs_where(operations, operations["operation"].isin(CUBIC))
    easy = runs_where(operations, operations["operation"].isin(EASY))
    n_cubic = int(is_crossed(cubic).sum())
    n_easy = int(is_crossed(easy).sum())
    n_memorized = len(values_of(cubic, "memorization_step"))
    if n_cubic:
        verdict: Verdict = "not confirmed"
    elif len(cubic) < MIN_SEEDS or n_memorized < len(cubic) or n_easy < EASY_SHARE * len(easy):
        verdict = "inconclusive"
    else:
        verdict = "confirmed" if len(easy) else "inconclusive"
    last_step, best = smallest_of(cubic, "last_step"), largest_of(cubic, "test_accuracy")
    numbers = {
        "n_cubic": len(cubic),
        "n_cubic_crossed": n_cubic,
        "n_cubic_memorized": n_memorized,
        "cubic_not_by_step": last_step,
        "max_cubic_test_accuracy": best,
        "n_easy": len(easy),
        "n_easy_crossed": n_easy,
    }
    sentence = (
        f"{n_cubic} of {len(cubic)} runs of cubic polynomials cross 95 % ({n_memorized} memorize), "
        f"{n_easy} of {len(easy)} of x + y, x * y and x^2 + y^2"
    )
    if best is not None and last_step is not None:
        sentence += f"; the best cubic test accuracy after {last_step:,.0f} steps is {best:.1%}"
    return Claim("cubic polynomials do not generalize", verdict, sentence + ".", numbers)


def judge_learnable(table: pd.DataFrame) -> list[Claim]:
    """One remark for each other operation that generalizes in the paper."""
    claims = []
    for operation in (*LEARNABLE, *PERMUTATIONS):
        runs = runs_where(table, table["operation"] == operation)
        if runs.empty:
            continue
        crossed = runs_where(runs, is_crossed(runs))
        sentence = f"{len(crossed)} of {len(runs)} runs cross 95 %"
        first = smallest_of(crossed, "grokking_time")
        sentence += _not_crossed(runs) if first is None else f", the first at step {first:,.0f}"
        numbers = {"n_runs": len(runs), "n_crossed": len(crossed)}
        verdict: Verdict = "confirmed" if len(crossed) else "inconclusive"
        name = f"{operation} generalizes"
        claims.append(Claim(name, verdict, sentence + ".", numbers, is_main=False))
    return claims


def _not_crossed(runs: pd.DataFrame) -> str:
    """Say how far runs came of which none generalized."""
    text = (
        f" by step {smallest_of(runs, 'last_step') or 0:,.0f}; the best ends at a test accuracy "
        f"of {largest_of(runs, 'test_accuracy') or 0:.1%}"
    )
    unmirrored = largest_of(runs, "test_accuracy_unmirrored")
    if unmirrored is not None:
        text += (
            f", {unmirrored:.1%} on pairs whose mirror image is not trained: what is above that "
            "is commutativity"
        )
    return text


def summary_by(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """One row for each operation or fraction, in the order of the plan."""
    rows = []
    for value, runs in groups_of(table, column):
        crossed = is_crossed(runs)
        rows.append(
            {
                column: value,
                "n_runs": len(runs),
                "n_memorized": len(values_of(runs, "memorization_step")),
                "n_crossed": int(crossed.sum()),
                "median_memorization_step": median_of(runs, "memorization_step"),
                "median_grokking_time": median_time(runs),
                "median_first_crossing_99": median_of(runs, "first_crossing_99"),
                "not_by_step": smallest_of(runs_where(runs, ~crossed), "last_step"),
                "max_test_accuracy": largest_of(runs, "test_accuracy"),
                "max_test_accuracy_mirrored": largest_of(runs, "test_accuracy_mirrored"),
                "max_test_accuracy_unmirrored": largest_of(runs, "test_accuracy_unmirrored"),
                "outcomes": outcomes_of(runs),
            }
        )
    return pd.DataFrame(rows)


def _fraction_chart(fractions: pd.DataFrame) -> Chart:
    series = tuple(
        Series(
            f"seed {seed}",
            x=runs["train_fraction"],
            y=runs["grokking_time"],
            is_censored=~is_crossed(runs),
        )
        for seed, runs in groups_of(fractions, "seed")
    )
    return Chart(
        name="time-against-training-fraction",
        title="Addition: time to generalize against training fraction",
        x_title="training fraction",
        y_title="first step with test accuracy > 95 %",
        caption="Open triangles: not by that step.",
        series=series,
        is_y_log=True,
    )


def _operation_chart(operations: pd.DataFrame) -> Chart:
    """T against the memorization step, one colour for each operation."""
    memorized = runs_where(operations, operations["memorization_step"].notna())
    series = tuple(
        Series(
            str(operation),
            x=runs["memorization_step"],
            y=runs["grokking_time"],
            is_censored=~is_crossed(runs),
        )
        for operation, runs in groups_of(memorized, "operation")
    )
    return Chart(
        name="time-by-operation",
        title="Operations: when they are memorized and when they generalize",
        x_title="memorization step",
        y_title="first step with test accuracy > 95 %",
        caption="Open triangles: not by that step. All at one training fraction. A network counts "
        "as having memorized once its training accuracy stays above 99 % for 1,000 steps or to "
        "the end, so that spikes of the training loss put it to the right.",
        series=series,
        is_x_log=True,
        is_y_log=True,
    )


NOTES = (
    "For a commutative operation a network that memorizes and knows x o y = y o x already scores "
    "about the training fraction on the test pairs; so test accuracies of 50 to 80 % are no "
    "partial grokking, and the accuracies on mirrored and unmirrored pairs stand apart in the "
    "tables.",
    "x^2 + y^2 has eightfold redundant pairs (x and -x, and the order), so that most test pairs "
    "have a trained twin: it generalizes with the fit, without a plateau.",
    "S_4 stands in for the paper's S_5; at fraction 0.9 it has 58 test pairs, so that one pair is "
    "1.7 %.",
    "x - y = -(y - x) and x / y = (-x) / (-y) give asymmetric operations twins as well; how much "
    "of their test accuracy rests on them was not measured.",
    "Published counterpart of the second figure (arXiv:2301.05217, stored runs, p = 113, learning "
    "rate 1e-3): test loss below 0.1 at step 7,930 for fraction 0.3, 3,109 for 0.4, 956 for 0.5, "
    "222 for 0.7.",
    "Not generalized by N steps is all that a censored run says; the paper trains 10^5 to 10^6 "
    "steps.",
)
