# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your measure in the league
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/grokinterp/grokinterp/blob/main/tutorials/10_into_the_league.ipynb)
#
# After this tutorial you can say how often a progress measure warns of grokking, how early, and
# how often it cries wolf. A measure that rises before the jump in three runs proves little: it
# may rise in runs that never generalize, too. You train a dozen runs that grok and a dozen that
# cannot, fix a threshold on one half of them, and judge the measure on the other. It takes about
# a minute on two cores.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("grokinterp") is None:  # on Colab, for instance
    url = "git+https://github.com/grokinterp/grokinterp"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", url], check=True)

# %%
from dataclasses import replace

import numpy as np

import grokinterp as gi
from grokinterp.trajectory import milestones_of

# %% [markdown]
# ## Runs that grok, and runs that cannot
#
# Four configurations of addition modulo 23 differ in their train fraction; each is trained with
# three seeds. Four more have random answers instead. Their networks memorize as well, and there
# is nothing to generalize to: whatever a measure says there is a false alarm.

# %%
addition = gi.TrainConfig(
    task=gi.TaskSpec(p=23, train_fraction=0.7),
    model=gi.MlpSpec(embedding="shared", d_embed=32, widths=(128,)),
    optimizer=gi.OptimizerSpec(learning_rate=1e-2),
    n_steps=900,
    checkpoint_every=25,
)


def seeded(config, seed):
    task = replace(config.task, split_seed=seed)
    return replace(config, task=task, model=replace(config.model, init_seed=seed))


configs = [
    seeded(replace(addition, task=replace(addition.task, **change)), seed)
    for operation in ("addition", "random_labels")
    for fraction in (0.7, 0.75, 0.8, 0.85)
    for seed in range(3)
    for change in [{"operation": operation, "train_fraction": fraction}]
]
runs = gi.train_many(configs, "ckpts/league", progress=False)
milestones = [milestones_of(run) for run in runs]
n_grok = sum(found.grokking_step is not None for found in milestones)
n_grok, "of", len(runs), "generalize"

# %%
assert 8 <= n_grok <= 12, (
    "most runs on addition should grok, and none on random answers"
)

# %% [markdown]
# ## A measure, in ten lines
#
# The measure is the mean margin: how far the largest logit is above the next, over all pairs. It
# looks like a good candidate, since a network that is sure of pairs it never saw must have found
# a rule. A `WatchedCurve` is one measure along one run, with what became of the run.


# %%
def mean_margin(snapshot):
    top = snapshot.logits.topk(2, dim=1).values
    return float((top[:, 0] - top[:, 1]).mean())


def test_loss(snapshot):
    return float(snapshot.losses[snapshot.split.test].mean())


def watched(measure):
    return [
        gi.WatchedCurve(
            f"{run.config.task.operation} {run.config.task.train_fraction}",
            "cannot" if found.grokking_step is None else "groks",
            np.array(run.steps),
            np.array([measure(gi.take_snapshot(run, step)) for step in run.steps]),
            found.memorization_step,
            found.grokking_step,
        )
        for run, found in zip(runs, milestones, strict=True)
    ]


curves = {"mean_margin": watched(mean_margin), "test_loss": watched(test_loss)}
league = gi.judge_curves(curves)
league.table[["warned", "lead", "lead_over_grokking", "false_alarms_cannot", "auc"]]

# %% [markdown]
# `warned` is the share of grokking runs with an alarm before the jump, `lead` its median in
# steps, and `false_alarms_cannot` the share of hopeless runs with one. Whether a measure should
# rise or fall is learned on the half that fixes the threshold. The test loss stands beside
# yours because it costs nothing.
#
# The margin fails. A network with random answers grows as sure of itself as one that has found a
# rule. So the margin warns of no jump, and it gives an alarm in many hopeless runs. A
# plot of three runs that grok would not have shown it: their margins do rise.

# %%
margin, loss = league.table.loc["mean_margin"], league.table.loc["test_loss"]
assert loss["warned"] > 0.8, "the test loss should warn of most jumps"
assert margin["warned"] < 0.3, "the margin should be no warning"

# %%
gi.figures.plot_league(league)

# %% [markdown]
# Each row is a measure, and the bars are intervals over configurations. With eight
# configurations they are wide, so read this as a first look. For a verdict, train the small
# bank, `python -m grokinterp.league make bank/ --small`, and pass your measure to
# `gi.league([mine], runs="bank/")`, where it is a function of a snapshot and key frequencies.
#
# ## How the library's own measures do
#
# The measures of the library were judged on 258 runs, whose tables are shipped.

# %%
shipped = gi.league(gi.MEASURES)
columns = ["warned", "lead", "false_alarms_cannot", "false_alarms_censored"]
shipped.table[columns].head(8).round(2)

# %%
best = shipped.table.index[0]
assert best == "test_loss_over_maximum", "another measure leads the league"

# %% [markdown]
# The test loss over its maximum so far leads the table. It was there all along. Measures of the
# circuit explain what happens; few of them say so in time.
#
# ## Exercises
#
# 1. Judge the squared norm of the weights. Does it rise or fall before the jump, and what does
#    it do in runs on random answers?
# 2. Divide your measure by its maximum so far. Does that help, and why might it?
# 3. [The page of the league](https://github.com/grokinterp/grokinterp/blob/main/docs/league.md)
#    says what the table cannot say. Which of its points would change your verdict?
#
# This is the last walkthrough. When a single run will grok, and whether it will at all, is on
# [the page on forecasts](https://github.com/grokinterp/grokinterp/blob/main/docs/forecast.md).
