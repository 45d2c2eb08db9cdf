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
# # Progress measures
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/grokinterp/grokinterp/blob/main/tutorials/04_progress_measures.ipynb)
#
# After this tutorial you can watch a circuit grow while the test accuracy does not move yet.
# You learn to use **progress measures**, to see the three phases of a grokking run, and why the
# wait is about inversely proportional to the weight decay. You also see what is known of the
# constant, and where that rule ends.
#
# It takes about a minute, for one training run and a small sweep of four.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("grokinterp") is None:  # on Colab, for instance
    url = "git+https://github.com/grokinterp/grokinterp"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", url], check=True)

# %%
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.express as px

import grokinterp as gi
from grokinterp.experiments.nanda2023.progress_steps import half_way_steps

px.defaults.template = "plotly_white"
px.defaults.color_discrete_sequence = ["#0072B2", "#D55E00"]  # as gi.figures does

# %% [markdown]
# The network is that of [tutorial 02](02_spectra_and_key_frequencies.ipynb), in the same folder.

# %%
config = gi.TrainConfig(
    task=gi.TaskSpec("addition", p=47, train_fraction=0.45, split_seed=0),
    model=gi.ModelSpec(d_model=48, n_heads=4, d_head=12, d_mlp=192, init_seed=0),
    optimizer=gi.OptimizerSpec(learning_rate=5e-3, weight_decay=1.0),
    n_steps=1500,
    checkpoint_every=25,
)
run = gi.train(config, Path("ckpts/addition_mod_47"), n_threads=1, progress=False)
analysis = gi.analyze_run(run, deep=False)
trajectory = analysis.trajectory
print("key frequencies:", analysis.key_frequencies.frequencies)
print(analysis.outcome)

# %% [markdown]
# ## Two losses that look inside
#
# [Tutorial 03](03_the_trigonometric_circuit.ipynb) took the finished network apart, into the
# waves of the key frequencies and everything else. The same can be done at every checkpoint.
#
# - **Restricted loss** is the loss of the key frequencies' waves alone. It falls when the
#   trigonometric circuit learns the answers.
# - **Excluded loss** is the loss on the *train* pairs without these waves. It is low while
#   the network answers its train pairs from memory, and rises when the network comes to rely
#   on the waves for them too.
#
# Both look ahead, because the key frequencies are those of the last checkpoint. They explain a
# run; they do not predict one.

# %%
gi.figures.plot_restricted_and_excluded_loss(analysis)

# %% [markdown]
# Solid lines are the losses of the whole network, as everybody records them. The dashed line,
# the restricted loss, falls from early on, while the full test loss is still high on its
# plateau. The dotted line, the excluded loss, first falls a little, since something is
# memorized. Then it rises above the loss of guessing: now waves answer the train pairs too.
# From outside, nothing seems to happen between memorization and grokking. Inside, this happens.
#
# ## How far ahead?
#
# A rule answers this, so that nobody has to judge by eye. The network **jumps** when it is
# right on half of the unmirrored test pairs ([tutorial 01](01_watch_it_grok.ipynb) says why
# these). A measure has moved when it has gone half of its way in nats and does not go back. The
# **lead** of a measure is the number of steps from its move to the jump. The experiment
# [nanda2023](../docs/experiments/nanda2023.md) applies the same rule to more runs.

# %%
found = half_way_steps(trajectory, n_classes=run.task.n_classes)
for name in ("restricted", "held_out", "excluded"):
    moved, lead = found[f"{name}_step"], found[f"{name}_lead"]
    print(f"{name:10} moved at step {moved:4}, {lead:4} steps ahead")
print(f"the network jumps at step {found['jump_step']}")

at = trajectory.set_index("step").loc[found["held_out_step"]]
excluded = trajectory["excluded_loss_train"]
assert found["restricted_lead"] >= 100, "the restricted loss does not lead"
assert found["held_out_lead"] >= 100, "on held-out pairs it does not lead"
assert found["excluded_lead"] >= 50, "the excluded loss does not lead"
assert at["test_loss"] > trajectory["test_loss"].max() / 2, (
    "the test loss had moved as well"
)
assert excluded.iloc[-1] > 2 * excluded.min(), (
    "the train pairs do not come to rely on the waves"
)

# %% [markdown]
# `held_out` is the restricted loss with a precaution. Restricted logits are averages over all
# pairs, train pairs among them, so a little of what is memorized gets into them. The held-out
# version averages over test pairs that the network cannot have stored in either order. Its lead
# is shorter, but it still leads.
#
# ## Three phases
#
# The phases in the figures follow a rule too:
#
# | phase | ends |
# |---|---|
# | **memorization** | where the test loss is highest |
# | **circuit formation** | where the test loss stays below half of that |
# | **cleanup** | when 95 % of the later fall of the weights is done |
#
# This is what the weights do:

# %%
gi.figures.plot_sum_squared_weights(analysis)

# %% [markdown]
# The **sum of squared weights** grows while the train pairs are stored, and then stays on a
# plateau of its own. It falls when the trigonometric circuit takes over, because that circuit
# needs less weight for the same logits. Once this circuit answers, the stored pairs are of no
# more use, and weight decay removes them.

# %%
phases = analysis.phases.as_dict()
weights = trajectory.set_index("step")["sum_squared_weights"]
for name, span in phases.items():
    fall = f"{weights.asof(span[0]):5.0f} to {weights.asof(span[1]):5.0f}"
    print(f"{name:18} steps {span[0]:4} to {span[1]:4}, squared weights {fall}")

assert phases["memorization"][1] < found["jump_step"], (
    "the test loss is highest after the jump"
)
assert weights.iloc[-1] < 0.7 * weights.max(), "no cleanup: the weights do not fall"
assert weights.asof(found["jump_step"]) > 0.7 * weights.max(), (
    "they had fallen before the jump"
)

# %% [markdown]
# ## Why the wait is about 1/λ
#
# AdamW multiplies every weight by 1 - ηλ in every step, with learning rate η and weight decay
# λ. Left alone, a weight shrinks like exp(-ηλt). The stored pairs survive as long as the
# gradient repairs what decay removes. But the network that generalizes has a smaller norm, and
# decay moves the first toward the second.
#
# Let V_peak be the largest sum of squared weights, when the train pairs are stored, and V_grok
# that when the test pairs are right. To get from one to the other, decay alone takes
#
# t = log(V_peak / V_grok) / (2ηλ)
#
# steps. So we expect T ~ 1/λ for the **grokking time** T, if the rest stays the same. This is a
# heuristic and no theorem. We try three values of λ, and a fourth that is large. We need only
# times, so a smaller network is enough. Here T is the first step with more than 95 % of the
# test pairs right.

# %%
small = gi.TrainConfig(
    task=gi.TaskSpec("addition", p=37, train_fraction=0.6, split_seed=0),
    model=gi.ModelSpec(d_model=32, n_heads=4, d_head=8, d_mlp=128, init_seed=0),
    optimizer=gi.OptimizerSpec(learning_rate=3e-3),
    n_steps=5000,
    checkpoint_every=50,
    stop_accuracy=0.95,
    stop_patience=50,
)


def first_step(run, column, level):
    tested = run.curves.dropna()
    return int(tested.loc[tested[column] > level, "step"].iloc[0])


def squared_weights(run, step):
    return sum(float(value.square().sum()) for value in run.parameters(step).values())


rows = []
for decay in (0.35, 0.6, 1.0, 2.0):
    optimizer = dataclasses.replace(small.optimizer, weight_decay=decay)
    swept = gi.train(
        dataclasses.replace(small, optimizer=optimizer),
        Path(f"ckpts/weight_decay_{decay:g}"),
        n_threads=1,
        progress=False,
    )
    memorized = first_step(swept, "train_accuracy", 0.99)
    time = first_step(swept, "test_accuracy", 0.95)
    nearest = min(swept.steps, key=lambda step: abs(step - time))
    peak = max(squared_weights(swept, step) for step in swept.steps)
    fall = np.log(peak / squared_weights(swept, nearest))
    alone = fall / (2 * optimizer.learning_rate * decay)
    rows.append(
        (decay, memorized, time, time * decay, fall, alone / (time - memorized))
    )
names = ["λ", "memorized", "T", "T times λ", "log(V_peak/V_grok)", "decay alone"]
sweep = pd.DataFrame(rows, columns=names).set_index("λ")
sweep.round(2)

# %%
law = sweep.loc[:1.0, "T times λ"].mean()
decays = np.geomspace(0.35, 2, 20)
figure = px.scatter(sweep, y="T", log_x=True, log_y=True, labels={"T": "T (steps)"})
figure.add_scatter(x=decays, y=law / decays, mode="lines", name=f"{law:.0f} / λ")

# %% [markdown]
# Up to λ = 1 the time falls as λ grows. The product `T times λ` stays about the same, while λ
# changes by a factor of nearly three. The line is 1/λ through these three runs. The fourth run
# lies above it.

# %%
below, product = sweep.loc[:1.0], sweep["T times λ"]
spread = product.loc[:1.0].max() / product.loc[:1.0].min()
print(f"T times λ stays within a factor of {spread:.2f} up to λ = 1")
print(f"at λ = 2 it is {product[2.0] / law:.1f} times that")

assert below["T"].is_monotonic_decreasing, "more weight decay did not make it faster"
assert spread < 1.6, (
    "T is not about 1/λ: the product changes too much while λ changes by 2.9"
)
assert product[2.0] > 1.3 * law, "the law would hold at λ = 2 as well"
share = below["decay alone"]
assert share.max() < 0.5, "decay alone explains the time"
assert share.max() < 2 * share.min(), "the gradient repairs another share at another λ"

# %% [markdown]
# What fixes the constant, and where does it end?
#
# - **How far the norm has to fall**, log(V_peak/V_grok), over the **learning rate**. But look
#   at the last column, the time that decay alone would take as a fraction of the delay. It is
#   small. The gradient repairs most of what decay removes, and the argument does not say how
#   much. The law holds only because this fraction is about the same at the first three λ.
# - **The fraction of trained pairs** should matter too. The more pairs there are, the more
#   weight it takes to store them, and the sooner the other solution pays. This tutorial does
#   not vary it.
# - **The seed.** A law from a single seed, like this one, is an illustration. In the
#   experiment [weight_decay](../docs/experiments/weight_decay.md) the times at one small λ
#   differ by factors of two and more. It fits the exponent to many seeds and values of λ.
#   Runs that did not generalize by their last step count as **censored** and are not dropped,
#   and the exponent has an interval.
# - **The range of λ.** Without weight decay, [tutorial 01](01_watch_it_grok.ipynb) saw no
#   grokking in its steps. Here the law ends between 1 and 2. At a larger λ than we tried, a
#   network may be unable to store its train pairs, and then there is nothing to grok from. In
#   the experiment this is so for most seeds at λ = 4 and for all at λ = 8.
#
# ## What you saw
#
# - Restricted and excluded loss move before the test accuracy jumps. The circuit is there
#   before it wins.
# - Memorization, circuit formation and cleanup follow each other, by a stated rule.
# - In cleanup the weights fall, and weight decay makes them fall.
# - T times λ is about constant over a range of λ, and no longer at λ = 2.
#
# ## Exercises
#
# 1. Halve the learning rate at λ = 1. By the argument T doubles. Does it? Try two seeds.
# 2. `gi.figures.plot_circuit_strength(analysis)` shows both circuits against each other. At which
#    step does the trigonometric circuit become the stronger one on the train pairs, and how does
#    that compare with the leads? (`analysis.circuit_steps` has the step.)
#
# Next: [your own checkpoints](05_your_own_checkpoints.ipynb), the same for networks that you
# trained yourself.
