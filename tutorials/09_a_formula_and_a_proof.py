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
# # From weights to a formula and a proof
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/grokinterp/grokinterp/blob/main/tutorials/09_a_formula_and_a_proof.ipynb)
#
# After this tutorial you can replace a network by a formula with a few numbers and say how much
# of the network the formula is. You can also prove from it that the network adds correctly, at
# less than the cost of trying every pair. You see a network for which neither works, because it
# has only memorized.
#
# It takes about a minute if the network has to be trained first.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("grokinterp") is None:  # on Colab, for instance
    url = "git+https://github.com/grokinterp/grokinterp"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", url], check=True)

# %%
from pathlib import Path

import grokinterp as gi

# %% [markdown]
# The network is that of [tutorial 02](02_spectra_and_key_frequencies.ipynb), in the same
# folder. One checkpoint is the last. The other is that of step 150, where the network has
# memorized and not generalized.

# %%
config = gi.TrainConfig(
    task=gi.TaskSpec("addition", p=47, train_fraction=0.45, split_seed=0),
    model=gi.ModelSpec(d_model=48, n_heads=4, d_head=12, d_mlp=192, init_seed=0),
    optimizer=gi.OptimizerSpec(learning_rate=5e-3, weight_decay=1.0),
    n_steps=1500,
    checkpoint_every=25,
)
run = gi.train(config, Path("ckpts/addition_mod_47"), n_threads=1, progress=False)
end, plateau = gi.take_snapshot(run), gi.take_snapshot(run, 150)
keys = gi.find_key_frequencies(end)
print("key frequencies:", keys.frequencies)

# %% [markdown]
# ## Level one: the logits as waves
#
# For every pair (a, b) the network has a logit for each answer c. If it adds with waves, these
# are nearly a sum of A cos(w(a+b-c) + φ), one wave for each key frequency. `gi.extract` fits
# amplitude A and phase φ on **held-out pairs**, which the network cannot have memorized.

# %%
form = gi.extract(end, keys)
form.table[["frequency", "amplitude", "phase"]].round(3)

# %%
print(
    f"{form.n_parameters} numbers, {form.fraction_of_parameters:.2%} of the network's"
)
print(f"loss {form.loss:.1e} (the network's is {form.network_loss:.1e})")
print(f"accuracy {form.accuracy:.1%}")
print(f"the waves explain {form.variance_explained:.1%} of the variance of the logits")

assert form.accuracy == 1 and form.loss < 10 * form.network_loss, "the formula is worse"
assert form.variance_explained > 0.9, "the logits are something else as well"

# %%
gi.figures.plot_pair_logits(end, keys, 15, 20)

# %% [markdown]
# For this pair you can hardly tell the waves from the network. A few numbers answer every pair,
# with a loss no larger than the network's. But do not trust the accuracy. Any sum of such waves
# with positive amplitudes is largest at c = a+b, so it is right everywhere, whatever network it
# was fitted to. The variance that it explains says how much of *this* network it is. Here is
# the same on the plateau:

# %%
early = gi.extract(plateau, keys)
print(f"explained on the plateau: {early.variance_explained:.1%}")

assert early.variance_explained < 0.2, "the formula exists on the plateau already"

# %% [markdown]
# ## Level two: the neurons
#
# The formula so far says what the network computes, not how. Level two rebuilds every neuron
# from a few numbers: its frequency, what it reads of a and b, and the wave that it writes.
# Everything else of the network is left out.

# %%
rebuilt = gi.extract(end, keys, level=2)
share = rebuilt.fraction_of_parameters
print(f"{rebuilt.n_parameters} numbers, {share:.1%} of the network's")
print(f"loss {rebuilt.loss:.1e}, accuracy {rebuilt.accuracy:.1%}")
print(f"explained: {rebuilt.variance_explained:.1%}")
print(f"with shuffled phases: accuracy at most {rebuilt.shuffled.largest_accuracy:.1%}")

assert rebuilt.accuracy > 0.99 and rebuilt.variance_explained > 0.9, (
    "the neurons are not rebuilt"
)
assert rebuilt.shuffled.largest_accuracy < 0.5, "phases do not matter"

# %% [markdown]
# Shuffled phases are the control: the same neurons, frequencies and amplitudes, with phases
# that do not match. If they did as well, the agreement would be luck.
#
# ## A proof
#
# A formula that fits is no certainty about the network: the rest, small as it is, might spoil
# any answer. `gi.certify` closes the gap. It computes the margin by which the formula is right,
# and a bound on how much everything else can do against it. If the margin is larger, the pair
# is **proved**, and the network was not run on it.

# %%
certificate = gi.certify(end, rebuilt)
columns = ["strategy", "accuracy_lower_bound", "relative_cost", "bound_minus_cost"]
certificate.strategies[columns].round(3)

# %% [markdown]
# Each row is a way to prove. *Every pair* runs the network everywhere, at a cost of 1: certain,
# with no insight needed. Checking a third of the pairs proves a third, at a third of the cost.
# So the last column, bound minus cost, is the worth of a proof. The best one here computes all
# neurons and follows the readout along a few waves only, and bounds the rest of the readout by
# its norm. Proofs that compute nothing for a pair are far cheaper and prove nothing about this
# network.

# %%
best = (
    certificate.strategies.set_index("strategy")["bound_minus_cost"]
    .drop("every pair")
    .max()
)
print(f"proved accuracy {certificate.accuracy_lower_bound:.1%}", end=" ")
print(f"at {certificate.relative_cost:.0%} of the cost of trying every pair")

assert best > 0.1, "no insight: checking pairs is as good"

# %% [markdown]
# On the plateau the network is right on its training pairs, more than half of all.
# Understanding proves none of them, because there is nothing to understand. Only checking them
# one by one does.

# %%
memorized = gi.certify(plateau, gi.extract(plateau, keys, level=2)).strategies
memorized[columns].round(3)

# %%
cheaper = memorized.loc[memorized["strategy"] != "every pair", "accuracy_lower_bound"]
assert cheaper.fillna(0).max() < 0.05, (
    "memorized pairs were proved without checking them"
)

# %% [markdown]
# ## Exercises
#
# 1. Take one frequency away: `gi.extract(end, gi.KeyFrequencies.given(p, ...))`. Which of
#    accuracy, loss and variance explained tells you that the formula is now incomplete?
# 2. `gi.extraction_curve(run, keys)` follows both levels along training, and
#    `gi.figures.plot_extraction_curve` draws them. Which comes first, the formula or the test
#    accuracy?
# 3. [A proof of its
#    accuracy](https://github.com/grokinterp/grokinterp/blob/main/docs/certificate.md) lists what
#    each strategy assumes and leaves. Why can a planted network be proved without computing a
#    single neuron, and a trained one not?
#
# Next: [your measure in the league](10_into_the_league.ipynb), judged on runs that grok and on
# runs that cannot.
