"""What the progress measures of the runs say, by the criterion of ``nanda2023``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

from grokinterp.experiments.claims import LATE, Claim, Findings, share_verdict
from grokinterp.experiments.experiment import Scale
from grokinterp.experiments.nanda2023.charts import progress_charts
from grokinterp.experiments.nanda2023.random_frequencies import N_RANDOM
from grokinterp.experiments.nanda2023.words import in_plain_words
from grokinterp.experiments.records import (
    Record,
    Runs,
    count,
    is_above,
    is_below,
    records_of,
    values_of,
    where,
)

ENOUGH, TOO_FEW = 0.8, 0.5
"""Fractions of these runs for confirmed, and below which it is not."""
MAX_KEYS, MIN_EXPLAINED = 8, 0.9
CLEANED = 0.9
"""Sum of squared weights after cleanup, of that before."""


def judge(table: pd.DataFrame, scale: Scale) -> Findings:
    """Judge the claims by the criterion."""
    runs = records_of(table)
    late = where(runs, lambda run: run["outcome_kind"] in LATE)
    compared = where(late, lambda run: is_above(run, "n_random", 0))
    cleaned = where(late, lambda run: not _is_cleanup_censored(run))
    counts = {
        "n_late": len(late),
        "n_grokked": count(late, lambda run: run["outcome_kind"] == "grokked"),
        "n_other": len(runs) - len(late),
    }
    claims = (
        _claim(
            "excluded and restricted loss move before the test loss",
            late,
            lambda run: is_above(run, "excluded_ahead", 0) and is_above(run, "restricted_ahead", 0),
            f"both half way before the test loss is; {_leads(late, 'excluded_ahead')} for the "
            f"excluded and {_leads(late, 'restricted_ahead')} for the restricted loss",
            counts,
        ),
        _claim(
            "random frequencies do not move with them",
            compared,
            lambda run: run["n_random_excluded"] == run["n_random_restricted"] == 0,
            f"no set of random frequencies, of {N_RANDOM}, that is half way as early as the key "
            "ones, by either loss",
            counts,
        ),
        _claim(
            "memorization, circuit formation, cleanup",
            cleaned,
            _has_phases,
            "three phases in order, with weights that fall in the third",
            counts,
            n_censored=len(late) - len(cleaned),
        ),
        _claim(
            "few key frequencies explain the logits",
            late,
            _is_sparse,
            f"at most {MAX_KEYS} key frequencies that explain {MIN_EXPLAINED:.0%} of the logits' "
            "variance",
            counts,
        ),
        _claim(
            "excluded and restricted loss move before the jump",
            late,
            lambda run: is_above(run, "excluded_lead", 0) and is_above(run, "restricted_lead", 0),
            f"both leads above 0 steps; {_leads(late, 'excluded_lead')} for the excluded, "
            f"{_leads(late, 'restricted_lead')} for the restricted loss, and, to compare, "
            f"{_leads(late, 'test_loss_lead')} for the plain test loss",
            counts,
            is_main=False,
        ),
        _claim(
            "the circuit on test pairs alone moves before the jump",
            late,
            lambda run: is_above(run, "held_out_lead", 0),
            f"a lead above 0 steps; {_leads(late, 'held_out_lead')}",
            counts,
            is_main=False,
        ),
    )
    tables = {"leads": _lead_table(runs)}
    return Findings(claims, tables, progress_charts(runs), _NOTES, in_plain_words(claims))


def _claim(
    name: str,
    runs: Runs,
    holds: Callable[[Record], bool],
    what: str,
    counts: Mapping[str, int],
    *,
    n_censored: int = 0,
    is_main: bool = True,
) -> Claim:
    n_holds = count(runs, holds)
    sentence = (
        f"{n_holds} of {len(runs)} runs that generalized late have {what}. Of all that generalized "
        f"late {counts['n_grokked']} grokked and {counts['n_late'] - counts['n_grokked']} "
        "converged slowly."
    )
    if n_censored:
        sentence += f" {n_censored} more had not finished their cleanup by their last step."
    if counts["n_other"]:
        sentence += (
            f" {counts['n_other']} more did not generalize late, and keep it, within their steps."
        )
    verdict = share_verdict(n_holds, len(runs), confirmed_from=ENOUGH, refuted_below=TOO_FEW)
    numbers = {**counts, "n_counted": len(runs), "n_holds": n_holds}
    return Claim(name, verdict, sentence, numbers, is_main)


def _leads(runs: Runs, column: str) -> str:
    leads = sorted(int(lead) for lead in values_of(runs, column))
    if not leads:
        return "no lead"
    if leads[0] == leads[-1]:
        return f"a lead of {leads[0]:,} steps"
    return f"leads of {leads[0]:,} to {leads[-1]:,} steps"


def _knows_its_circuit(run: Record) -> bool:
    return is_above(run, "memorization_steps", 0) and is_above(run, "circuit_formation_steps", 0)


def _has_phases(run: Record) -> bool:
    is_cleaned = is_above(run, "cleanup_steps", 0) and is_below(
        run, "cleanup_weight_ratio", CLEANED
    )
    return _knows_its_circuit(run) and is_cleaned


def _is_cleanup_censored(run: Record) -> bool:
    """Whether a run ended before its weights had fallen far enough, which they may do later."""
    has_grown = is_above(run, "cleanup_weight_ratio", 1.0)
    return _knows_its_circuit(run) and not _has_phases(run) and not has_grown


def _is_sparse(run: Record) -> bool:
    is_few = 1 <= run["n_key_frequencies"] <= MAX_KEYS
    explained = run["final_variance_explained"]
    return is_few and explained is not None and explained >= MIN_EXPLAINED


_COLUMNS = (
    "p",
    "seed",
    "outcome_kind",
    "jump_step",
    "test_loss_lead",
    "excluded_lead",
    "restricted_lead",
    "held_out_lead",
    "excluded_ahead",
    "restricted_ahead",
    "n_random",
    "n_random_excluded",
    "n_random_restricted",
    "key_frequencies",
    "final_variance_explained",
)


def _lead_table(runs: Runs) -> pd.DataFrame:
    return pd.DataFrame([{name: run[name] for name in _COLUMNS} for run in runs])


_NOTES = (
    "The key frequencies are those of a run's last checkpoint, so the measures along training "
    "look ahead, as in the paper.",
    "For the commutative a + b a network that memorizes and knows a + b = b + a is right on the "
    "test pairs whose mirror image is trained; the jump is therefore read on the others, and "
    "the jump of all test pairs together stands beside it in the table.",
)
