"""A question of our own, cheap enough to be asked in a test: does p = 13 memorize?

Prediction
----------
Every run knows its training pairs <within> 100 steps.

Criterion
---------
Confirmed when all of them do, not confirmed when one does not, inconclusive without runs.

Settings
--------
p = 13, a network of 64 neurons.

History
-------
Until 2026-01-01 half of the runs <were> enough.
"""

import dataclasses

from grokinterp.experiments import (
    Chart,
    Claim,
    Experiment,
    Findings,
    Mark,
    PlannedRun,
    Scale,
    Series,
)
from tests import tiny

LEARNING_RATES = (1e-2, 1e-5)
N_STEPS = 120
"""Enough for the training accuracy to stay up for 50 steps, which it has to at the end of a run."""


FOUND = "The <small> networks memorized their examples."


def plan(scale: Scale):
    """Two rates, as many seeds as asked for; one of them does not learn in time."""
    return [planned(rate, seed) for rate in LEARNING_RATES for seed in scale.seeds(1)]


def planned(rate, seed, n_steps=N_STEPS, **changes):
    """One run of the plan."""
    base = tiny.config(n_steps=n_steps, checkpoint_every=20)
    config = dataclasses.replace(
        base,
        task=dataclasses.replace(base.task, split_seed=seed),
        optimizer=dataclasses.replace(base.optimizer, learning_rate=rate),
        **changes,
    )
    return PlannedRun(config, {"learning_rate": rate, "seed": seed, "<b>kind</b>": "<i>toy</i>"})


def observe(run, planned):
    """A number that needs the weights, and one that is not there."""
    import torch

    norm = torch.linalg.vector_norm(run.parameters()["embed.W_E"].double()).item()
    return {"embedding_norm": norm, "absent": None}


def judge(table, scale):
    """Confirmed when every run has memorized."""
    n_known = int(table["memorization_step"].notna().sum())
    verdict = "confirmed" if n_known == len(table) else "not confirmed"
    claim = Claim("memorizes", verdict, f"{n_known} of {len(table)} did.", {"n": n_known})
    chart = Chart(
        name="time",
        title="Steps to generalize",
        x_title="learning rate (per step)",
        y_title="T_grok (steps)",
        caption="Open triangles: not by that step.",
        series=(
            Series(
                "runs",
                table["learning_rate"],
                table["grokking_time"],
                is_censored=table["is_censored"],
            ),
            Series("fit", [1e-5, 1e-2], [1e3, 1], kind="line", is_dashed=True, color_index=0),
        ),
        is_x_log=True,
        is_y_log=True,
        marks=(Mark("x", 1e-3, "usual"), Mark("y", 60, "budget")),
    )
    return Findings((claim,), {"counts": table[["learning_rate"]]}, (chart,), ("A <toy>.",), FOUND)


EXPERIMENT = Experiment(
    name="toy",
    docstring=__doc__,
    paper="Nobody et al., 'A toy', arXiv:2201.02177",
    claim="Small networks memorize <fast>.",
    minutes_quick=0.1,
    minutes_full=0.2,
    plan=plan,
    judge=judge,
    observe=observe,
)
