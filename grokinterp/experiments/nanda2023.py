r"""Progress measures that move before the test accuracy does: Nanda et al. 2023.

Nanda, Chan, Lieberum, Smith and Steinhardt, "Progress measures for grokking via mechanistic
interpretability" (ICLR 2023, arXiv:2301.05217), follow the trigonometric circuit of a
transformer that adds modulo 113. Without the circuit's key frequencies (excluded loss) the
network gets worse on its own training pairs, and with nothing else (restricted loss) it gets
better on the test pairs, long before its test accuracy jumps. Training has three phases:
memorization, circuit formation, and cleanup, in which the weights fall. Here the network of
every seed is analyzed at its checkpoints, with the key frequencies of its own end.

Prediction
----------
1. The excluded loss on the training pairs has risen half way, and the restricted loss on the
   test pairs has fallen half way, before the test accuracy jumps: both leads are positive in
   every seed that groks.
2. Memorization, circuit formation and cleanup follow each other, and the sum of squared weights
   falls during cleanup.
3. At most 8 key frequencies explain at least 90 % of the variance of the final logits.

Criterion
---------
Half way is log(p) / 2 nats, half the loss of a network that knows nothing. The excluded loss has
risen at the first checkpoint, after the one where it is smallest, from which on it stays above
that until the jump; the restricted loss has fallen at the first checkpoint from which on it
stays below until the run ends. The jump is the first checkpoint at which more than half of the
test pairs whose mirror image (b, a) is not trained are answered rightly: on the others a network
that memorizes and knows a + b = b + a is right long before. A lead is the jump less that step;
a loss that is half way only at the jump or later has a lead of 0 or less. Only runs that end as
grokked are counted, each p in its own right and all together; the others stay in the table.

1. confirmed when at least 80 % of the grokked runs have both leads above 0; not confirmed when
   fewer than half have; inconclusive between, or with fewer than 2 grokked runs.
2. confirmed when at least 80 % of the grokked runs have three phases, each of more than 0 steps,
   and the sum of squared weights at the end of cleanup is below 90 % of that at its start; not
   confirmed when fewer than half have; inconclusive between, or with fewer than 2 grokked runs.
3. confirmed when at least 80 % of the grokked runs have 1 to 8 key frequencies and a fraction of
   the logits' variance of .9 or more; not confirmed when fewer than half have; inconclusive
   between, or with fewer than 2 grokked runs.
4. A remark that the verdict does not hang on: the circuit as the test pairs alone show it. With
   much of the table trained, the projection that restricts the logits also averages over
   training pairs, and so falls with what is known by heart. The held-out restricted loss
   cannot; its lead is judged like the others.

Settings
--------
Quick: addition modulo 37 with half of the pairs trained, d_model 32 and 128 neurons, AdamW at
3e-3, weight decay 1, 3 seeds of weights and split, at most 5,000 steps; a run ends 600 steps
after its test accuracy has settled above .98, so that most of the cleanup is seen. Full: 5 seeds
of that with 10,000 steps, 3 seeds modulo 59 with 40 % trained, d_model 64 and 256 neurons, and
one run with exactly the paper's network and optimizer modulo 113 (30 % trained, 25,000 steps;
the paper trained 40,000). The small networks are there for seeds: their grokking takes a tenth
of the steps, and with more of the table trained the phases are closer together. Settings were
chosen after trial runs of single settings; the criterion was fixed before the first full run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from grokinterp.experiments.experiment import (
    Claim,
    Experiment,
    Findings,
    Number,
    PlannedRun,
    Scale,
    Verdict,
)
from grokinterp.experiments.progress_charts import progress_charts
from grokinterp.experiments.progress_steps import observe_progress
from grokinterp.models.spec import ModelSpec
from grokinterp.runs.config import PRESETS, OptimizerSpec, TrainConfig
from grokinterp.tasks.modular import TaskSpec

ENOUGH, TOO_FEW = 0.8, 0.5
"""Fractions of the grokked runs for confirmed, and below which it is not."""
MIN_GROKKED = 2
MAX_KEYS, MIN_EXPLAINED = 8, 0.9
CLEANED = 0.9
"""Sum of squared weights after cleanup, of that before."""

NOTES = (
    "The key frequencies are those of a run's last checkpoint, so the measures along training "
    "look ahead, as in the paper.",
    "For the commutative a + b a network that memorizes and knows a + b = b + a is right on the "
    "test pairs whose mirror image is trained; the jump is therefore read on the others, and "
    "the jump of all test pairs together stands beside it in the table.",
)


def config_of(p: int, seed: int, *, is_quick: bool) -> TrainConfig:
    """Return the run of a seed modulo a small p; modulo 113 the paper's own."""
    if p == 113:
        return PRESETS["nanda2023"]
    is_small = p == 37
    width = 32 if is_small else 64
    return TrainConfig(
        task=TaskSpec(p=p, train_fraction=0.5 if is_small else 0.4, split_seed=seed),
        model=ModelSpec(
            d_model=width, n_heads=4, d_head=width // 4, d_mlp=4 * width, init_seed=seed
        ),
        optimizer=OptimizerSpec(learning_rate=3e-3 if is_small else 2e-3),
        n_steps=5000 if is_quick else 10_000,
        checkpoint_every=50 if is_small else 100,
        stop_accuracy=0.98,
        stop_patience=600,
    )


def plan(scale: Scale) -> list[PlannedRun]:
    """Seeds modulo 37; in the full version also modulo 59, and the paper's run modulo 113."""
    if scale.is_quick:
        return [_planned(37, seed, is_quick=True) for seed in scale.seeds(3)]
    return [
        *(_planned(37, seed, is_quick=False) for seed in scale.seeds(5)),
        *(_planned(59, seed, is_quick=False) for seed in scale.seeds(3)),
        _planned(113, 0, is_quick=False),
    ]


def _planned(p: int, seed: int, *, is_quick: bool) -> PlannedRun:
    return PlannedRun(config_of(p, seed, is_quick=is_quick), {"p": p, "seed": seed})


def judge(table: pd.DataFrame, scale: Scale) -> Findings:
    """Judge the claims by the criterion above."""
    rows = [] if table.empty else [dict(row) for row in table.to_dict("records")]
    grokked = [row for row in rows if row["outcome_kind"] == "grokked"]
    n_other = len(rows) - len(grokked)
    claims = (
        _claim(
            "excluded and restricted loss move before the jump",
            [row["excluded_lead"] > 0 and row["restricted_lead"] > 0 for row in grokked],
            f"both leads above 0 steps; {_leads(grokked, 'excluded_lead')} for the excluded and "
            f"{_leads(grokked, 'restricted_lead')} for the restricted loss",
            n_other,
        ),
        _claim(
            "memorization, circuit formation, cleanup",
            [_has_phases(row) for row in grokked],
            "three phases in order, with weights that fall in the third",
            n_other,
        ),
        _claim(
            "few key frequencies explain the logits",
            [_is_sparse(row) for row in grokked],
            f"at most {MAX_KEYS} key frequencies that explain {MIN_EXPLAINED:.0%} of the logits' "
            "variance",
            n_other,
        ),
        _claim(
            "the circuit on test pairs alone moves before the jump",
            [row["held_out_lead"] > 0 for row in grokked],
            f"a lead above 0 steps; {_leads(grokked, 'held_out_lead')}",
            n_other,
            is_main=False,
        ),
    )
    return Findings(claims, {"leads": _lead_table(rows)}, progress_charts(rows), NOTES)


def _claim(
    name: str, holds: Sequence[bool], what: str, n_other: int, *, is_main: bool = True
) -> Claim:
    n, n_holds = len(holds), sum(holds)
    verdict: Verdict = "inconclusive"
    if n >= MIN_GROKKED and n_holds >= ENOUGH * n:
        verdict = "confirmed"
    elif n >= MIN_GROKKED and n_holds < TOO_FEW * n:
        verdict = "not confirmed"
    others = f" {n_other} more did not grok within their steps." if n_other else ""
    return Claim(
        name,
        verdict,
        f"{n_holds} of {n} grokked runs have {what}.{others}",
        {"n_grokked": n, "n_holds": n_holds, "n_not_grokked": n_other},
        is_main=is_main,
    )


def _leads(rows: Sequence[dict[str, Any]], column: str) -> str:
    leads = sorted(int(row[column]) for row in rows if row[column] == row[column])
    if not leads:
        return "no lead"
    if leads[0] == leads[-1]:
        return f"a lead of {leads[0]:,} steps"
    return f"leads of {leads[0]:,} to {leads[-1]:,} steps"


def _has_phases(row: dict[str, Any]) -> bool:
    spans = [row[f"{name}_steps"] for name in ("memorization", "circuit_formation", "cleanup")]
    return all(span > 0 for span in spans) and row["cleanup_weight_ratio"] < CLEANED


def _is_sparse(row: dict[str, Any]) -> bool:
    is_few = 1 <= row["n_key_frequencies"] <= MAX_KEYS
    return is_few and row["final_variance_explained"] >= MIN_EXPLAINED


_COLUMNS = (
    "p",
    "seed",
    "outcome_kind",
    "jump_step",
    "excluded_lead",
    "restricted_lead",
    "held_out_lead",
    "key_frequencies",
    "final_variance_explained",
)


def _lead_table(rows: Sequence[dict[str, Number]]) -> pd.DataFrame:
    return pd.DataFrame([{name: row[name] for name in _COLUMNS} for row in rows])


EXPERIMENT = Experiment(
    name="nanda2023",
    docstring=__doc__ or "",
    paper="Nanda, Chan, Lieberum, Smith and Steinhardt, 'Progress measures for grokking via "
    "mechanistic interpretability', ICLR 2023, arXiv:2301.05217",
    claim="Excluded loss rises and restricted loss falls before the test accuracy jumps: "
    "grokking is three continuous phases, memorization, circuit formation and cleanup.",
    minutes_quick=1.0,
    minutes_full=8.0,
    plan=plan,
    judge=judge,
    observe=observe_progress,
)
