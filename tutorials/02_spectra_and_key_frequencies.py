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
# # Spectra and key frequencies
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/grokinterp/grokinterp/blob/main/tutorials/02_spectra_and_key_frequencies.ipynb)
#
# After this tutorial you can take a network apart into waves, and find by a rule the few that
# it uses: its **key frequencies**. No Fourier analysis is needed beforehand, and nobody has to
# pick frequencies by eye.
#
# It takes about a minute, most of it for two training runs.

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
import torch

import grokinterp as gi
from grokinterp.spectra import (
    fourier_basis,
    norms_by_frequency,
    power_by_frequency,
    to_fourier,
)

px.defaults.template = "plotly_white"
px.defaults.color_discrete_sequence = ["#0072B2", "#D55E00"]  # as gi.figures does

# %% [markdown]
# The network is smaller than that of [tutorial 01](01_watch_it_grok.ipynb): addition modulo 47.
# Tutorials 03, 04 and 09 use the same network from the same folder, so it is trained only once.

# %%
config = gi.TrainConfig(
    task=gi.TaskSpec("addition", p=47, train_fraction=0.45, split_seed=0),
    model=gi.ModelSpec(d_model=48, n_heads=4, d_head=12, d_mlp=192, init_seed=0),
    optimizer=gi.OptimizerSpec(learning_rate=5e-3, weight_decay=1.0),
    n_steps=1500,
    checkpoint_every=25,
)
run = gi.train(config, Path("ckpts/addition_mod_47"), n_threads=1, progress=False)
p = run.task.n_classes

# %% [markdown]
# ## Waves on a clock face
#
# Put the residues 0, 1, ..., p-1 around a clock face, so that after p-1 comes 0 again. A hand
# that moves by 1/p of a turn for each residue points to x at the angle 2πx/p. Its height is the
# cosine of this angle, and its distance to the side the sine. This is **frequency** 1: one turn
# while x runs through all residues. A hand that moves k times as far has frequency k. In
# formulas, with w_k = 2πk/p, the waves are cos(w_k x) and sin(w_k x).

# %%
residues = np.arange(p)
waves = {f"frequency {k}": np.cos(2 * np.pi * k * residues / p) for k in (1, 4)}
px.line(waves, x=residues, y=list(waves), markers=True, labels={"x": "x (residue)"})

# %% [markdown]
# Only the points count, because the network sees x at the residues and nowhere else. That is
# why there are no more than p // 2 frequencies. At the residues, a hand that goes p - k steps
# forward each time is the mirror image of one that goes k steps, as a wheel in a film seems to
# turn backward.
#
# Why do waves matter? Every function on the residues is a sum of a constant and of these waves,
# in exactly one way. Scaled to length one they are an **orthonormal basis**: p functions at
# right angles to each other. `fourier_basis(p)` has them as rows.

# %%
basis = fourier_basis(p)
print(basis.shape, "largest deviation from a right angle:")
print(float((basis @ basis.T - torch.eye(p)).abs().max()))

# %% [markdown]
# So taking a function apart into waves is a rotation of coordinates. Nothing is lost, and the
# sum of squares, the **power**, is the same before and after. That is **Parseval's identity**.
# We check it on the network's own embedding W_E, each column of which is a function on the
# residues.

# %%
W_E = run.parameters()["embed.W_E"][:p].double()
components = to_fourier(W_E)
before, after = float(W_E.square().sum()), float(components.square().sum())
constant = float(components[0].square().sum())
by_frequency = float(power_by_frequency(W_E).sum())
print(before, after, constant + by_frequency)

assert abs(after - before) < 1e-12 * before, "the transform changed the sum of squares"
assert abs(constant + by_frequency - before) < 1e-12 * before, (
    "power by frequency lost some"
)
assert torch.allclose(basis.T @ components, W_E, atol=1e-12), (
    "the waves do not add up to W_E"
)

# %% [markdown]
# ## The spectrum of the embedding
#
# How much power does each frequency have in W_E? This list is the **spectrum** of W_E. For each
# frequency we take the norm of its cosine and sine components over all dimensions of the
# embedding, once before training and once after.

# %%
first, last = gi.take_snapshot(run, 0), gi.take_snapshot(run)
norms = pd.DataFrame(
    {
        f"step {s.step:,}": norms_by_frequency(s.weight("W_E")[:p])
        for s in (first, last)
    },
    index=pd.RangeIndex(1, p // 2 + 1, name="frequency"),
)
px.line(norms, labels={"value": "norm (weight units)", "variable": ""})

# %% [markdown]
# At initialization the embedding is noise, and noise has a flat spectrum: every frequency has
# about the same norm. After grokking a few frequencies are large, and the others have all but
# vanished. The network has discarded most waves.
#
# The next figure shows when. Each row is a frequency, and bright is a large norm.

# %%
analysis = gi.analyze_run(run, deep=False)
gi.figures.plot_embedding_heatmap(analysis)

# %% [markdown]
# At step 0 no row is brighter than the rest. When the train pairs are memorized some are ahead,
# but the others are still there. They fade late, while the weights shrink.
#
# ## What the answer is made of
#
# Waves in the embedding are only a hint, because a network may embed a wave and not use it. Its
# output shows what it uses. We average the logits over all pairs with the same sum a + b. For
# every logit this leaves a function of the sum, and we take the spectrum of that function.

# %%
shares = power_by_frequency(last.mean_logits_by_sum)
shares = shares / shares.sum()
for k in shares.argsort(descending=True)[:6].tolist():
    print(f"frequency {k + 1:2}: {float(shares[k]):.2%} of the power")

# %% [markdown]
# There are a few large numbers, and then a gap. Where to cut? `gi.find_key_frequencies` uses
# this rule:
#
# 1. The network must answer more than 95 % of the test pairs whose mirror image is not
#    trained. Without a solution there is nothing to take apart.
# 2. A frequency is **key** if it has more than 1.5 % of the power of the averaged logits,
# 3. and more than chance would give. Chance is measured: put the pairs into random groups, as
#    if those had the same sum, and note the strongest frequency. Repeat this 1,000 times. The
#    99.9 % quantile is the **permutation threshold**.

# %%
keys = gi.find_key_frequencies(last)
print("key frequencies:", keys.frequencies)
print(
    "share of the power that chance reaches:",
    f"{keys.evidence['null_share'].iloc[0]:.2%}",
)
gi.figures.plot_key_frequency_evidence(analysis)

# %% [markdown]
# The top panel shows the share that decides, with both thresholds. The key frequencies are far
# above and the rest far below, on a logarithmic axis. The panels below it show **evidence**
# that does not count: the norm in the embedding, the number of **neurons** (the hidden units of
# the MLP) that respond mostly to one frequency, and the norm in the map from neurons to logits.
# (Expect small bars at twice a key frequency, modulo p. Neurons roughly square what they
# receive, and the square of a wave has twice its frequency. The column `double_of` of the
# evidence names them.)

# %%
evidence = keys.evidence.set_index("frequency")
key_share = evidence.loc[list(keys.frequencies), "logit_power_share"]
next_share = evidence.drop(list(keys.frequencies))["logit_power_share"].max()
print(f"key frequencies hold {key_share.sum():.1%}")
print(f"weakest key frequency {key_share.min():.2%}, next {next_share:.2%}")

assert key_share.sum() > 0.9, "the key frequencies do not carry the logits"
assert len(keys.frequencies) <= p // 2 // 3, "these are not a few"
assert key_share.min() > 5 * next_share, (
    "there is no gap between key and other frequencies"
)

# %% [markdown]
# ## No key frequencies before there is a solution
#
# At initialization the rule finds none, and it says why.

# %%
early = gi.find_key_frequencies(first)
early_shares = early.evidence["logit_power_share"]
print(early.frequencies, "because", early.reason)
equal = 1 / len(early_shares)
print(f"largest share {early_shares.max():.1%}; an equal share would be {equal:.1%}")

assert early.frequencies == () and "accuracy" in early.reason, (
    "a random network has no keys"
)
strongest = early_shares.nlargest(len(keys.frequencies)).sum()
assert strongest < 0.7 * key_share.sum(), (
    "noise is as concentrated as the grokked network"
)

# %% [markdown]
# The first condition is needed. Some frequency is always the strongest, in noise too, and
# somebody who looks for the five tallest bars will find five.
#
# ## Concentration in one number
#
# How much of the embedding's power do the key frequencies have? At the start no more than any
# others. The **Gini coefficient**, known from incomes, says how unequal all components are
# without naming any. It is 0 if all are equal, and near 1 if a few have everything.

# %%


def share_in_keys(snapshot):
    power = power_by_frequency(snapshot.weight("W_E")[:p])
    return float(power[[k - 1 for k in keys.frequencies]].sum() / power.sum())


at_start, at_end = share_in_keys(first), share_in_keys(last)
gini = analysis.trajectory["gini_W_E"]
print(f"share of W_E in the key frequencies: {at_start:.1%}, then {at_end:.1%}")
print(f"Gini coefficient of W_E: {gini.iloc[0]:.2f}, then {gini.iloc[-1]:.2f}")

assert at_end > 0.7, "the embedding is not concentrated in the key frequencies"
assert at_end > 2 * at_start, "it was as concentrated before training"
assert gini.iloc[-1] > gini.iloc[0] + 0.2, "the embedding has not become sparse"
gi.figures.plot_gini(analysis)

# %% [markdown]
# Both curves begin near 0, as noise does, and rise. One is that of W_E. The other is that of
# the neuron-logit map W_L = W_out W_U, which turns neurons into logits. (With three of p // 2
# frequencies left they cannot reach 1, and remains of the others keep them below that.)
#
# ## Another seed, other frequencies
#
# Addition prefers no frequency. If p is prime, renaming the residues x to kx turns frequency 1
# into frequency k and leaves addition as it was. So chance decides, through the initial
# weights. Here are the same task and the same split with another `init_seed`:

# %%
other = dataclasses.replace(
    config, model=dataclasses.replace(config.model, init_seed=1)
)
other_run = gi.train(other, "ckpts/addition_mod_47_seed_1", n_threads=1, progress=False)
other_keys = gi.find_key_frequencies(gi.take_snapshot(other_run))
print("seed 0:", keys.frequencies, "  seed 1:", other_keys.frequencies)

assert other_keys.frequencies, other_keys.reason
assert other_keys.frequencies != keys.frequencies, "both seeds use the same frequencies"
columns = ["frequency", "logit_power_share", "is_key"]
other_keys.evidence.nlargest(6, "logit_power_share")[columns]

# %% [markdown]
# That is why the key frequencies in a paper are not those in your run, and why a rule is worth
# more than a list.
#
# ## What you saw
#
# - A function on the residues is a sum of waves. Its power by frequency is its spectrum, and
#   taking it apart loses nothing.
# - At initialization the embedding has power at all frequencies, and after grokking at a few.
# - A rule chooses the key frequencies from the logits, by a stated threshold and against
#   chance, and only if there is a solution. Everything else is evidence.
# - Another seed uses other frequencies for the same task.
#
# ## Exercises
#
# 1. `gi.find_key_frequencies(last, rule="embedding_norm")` and `rule="neurons"` are the rules
#    of published code. Do they agree here? Which extra frequencies do they find, and of which
#    are these the doubles?
# 2. Find the key frequencies of every checkpoint in `run.steps`. From which step on is the
#    set that of the end? Does it ever change after that?
#
# Next: [the trigonometric circuit](03_the_trigonometric_circuit.ipynb), where a few waves are
# enough to add.
