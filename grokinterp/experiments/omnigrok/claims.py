"""What runs at a held norm, and from large initial weights, say for ``omnigrok``."""

from __future__ import annotations

import pandas as pd

from grokinterp.experiments.claims import Claim, Findings
from grokinterp.experiments.experiment import Scale
from grokinterp.experiments.omnigrok.charts import (
    CLAMPED,
    DECAYED,
    DELAY,
    DELAY_MSE,
    KEPT,
    LANDSCAPE,
    LANDSCAPE_MSE,
    STABLE,
    norm_charts,
)
from grokinterp.experiments.omnigrok.digits_claims import (
    LARGE,
    judge_delay,
    judge_delay_mse,
    judge_landscape,
)
from grokinterp.experiments.omnigrok.found import found_sentences
from grokinterp.experiments.omnigrok.held_norm_claims import (
    judge_clamp,
    judge_other_loss,
    judge_vanishing,
)
from grokinterp.experiments.omnigrok.held_norm_law import Law, judge_clock, law_of
from grokinterp.experiments.omnigrok.wording import n_censored
from grokinterp.experiments.records import Record, by, last_step_of, median_of, records_of


def judge(table: pd.DataFrame, scale: Scale) -> Findings:
    """Compare the runs with the criterion."""
    arms = {arm: by(at, "init_scale") for arm, at in by(records_of(table), "arm").items()}
    clamped, kept = arms.get(CLAMPED, {}), arms.get(KEPT, {})
    usual_law, kept_law = law_of(clamped), law_of(kept)
    main = (
        judge_landscape("L and U on digits", arms.get(LANDSCAPE, {})),
        judge_delay(arms.get(DELAY, {})),
        judge_clamp(clamped.get(1.0, []), arms.get(DECAYED, {}).get(1.0, [])),
        judge_clock(
            "a larger held norm delays grokking exponentially, and does not remove it",
            clamped,
            usual_law,
        ),
        judge_clock("so it does where updates do not vanish", kept, kept_law),
    )
    vanishing = judge_vanishing(clamped, kept)
    beside = [vanishing, judge_other_loss(arms.get(STABLE, {}), kept_law)]
    if LANDSCAPE_MSE in arms:
        name = "L and U on digits, squared error"
        beside.append(judge_landscape(name, arms[LANDSCAPE_MSE], is_main=False))
    if DELAY_MSE in arms:
        beside.append(judge_delay_mse(arms[DELAY_MSE].get(LARGE, [])))
    laws = {CLAMPED: usual_law, KEPT: kept_law}
    fits = {arm: law.fit for arm, law in laws.items() if isinstance(law, Law)}
    tables = {"conditions": _summary(arms)} if arms else {}
    claims: tuple[Claim, ...] = (*main, *beside)
    return Findings(
        claims, tables, norm_charts(arms, fits), _NOTES, found_sentences(main, vanishing)
    )


def _summary(arms: dict[str, dict[float, list[Record]]]) -> pd.DataFrame:
    rows = [
        {
            "arm": arm,
            "init_scale": factor,
            "n_runs": len(runs),
            "fit_step": median_of(runs, "fit_step"),
            "grokking_time": median_of(runs, "first_crossing_step"),
            "n_not_by_last_step": n_censored(runs),
            "crossing_85_step": median_of(runs, "crossing_85_step"),
            "accuracy_at_fit": median_of(runs, "accuracy_at_fit"),
            "test_accuracy": median_of(runs, "test_accuracy"),
            "test_accuracy_unmirrored": median_of(runs, "test_accuracy_unmirrored"),
            "train_loss": median_of(runs, "train_loss"),
            "test_loss": median_of(runs, "test_loss"),
            "first_norm": median_of(runs, "first_norm"),
            "last_norm": median_of(runs, "last_norm"),
            "last_step": last_step_of(runs),
        }
        for arm, by_scale in arms.items()
        for factor, runs in sorted(by_scale.items())
    ]
    return pd.DataFrame(rows)


_NOTES = (
    "That the norm is a clock and not a gate is the later reading: with the norm held, grokking "
    "time grows exponentially with it (arXiv:2606.13753), and a delay of log(norm at "
    "memorization / norm after) over the rate of decay fits free runs (arXiv:2603.13331).",
    "A commutative operation gives away the answer of every test pair whose mirror image is "
    "trained: the table has the accuracy on the others.",
    "Medians of steps in the table are over the runs that got there; n_not_by_last_step says how "
    "many did not pass 95 %, which the digits need not.",
)
