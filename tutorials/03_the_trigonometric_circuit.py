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
# # The trigonometric circuit
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/grokinterp/grokinterp/blob/main/tutorials/03_the_trigonometric_circuit.ipynb)
#
# After this tutorial you can prove what a network computes by **ablation**, with one line or
# with hooks of your own. You first add two numbers with nothing but cosines. Then you see that
# a grokked network does the same: without the waves it fails, and with nothing but the waves it
# loses nothing.
#
# It takes about half a minute, or a minute if the network has to be trained first.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("grokinterp") is None:  # on Colab, for instance
    url = "git+https://github.com/grokinterp/grokinterp"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", url], check=True)

# %%
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import grokinterp as gi

# %% [markdown]
# The network is that of [tutorial 02](02_spectra_and_key_frequencies.ipynb), in the same
# folder, with its key frequencies found in the same way. `snapshot` is the last checkpoint, run
# once on all pairs.

# %%
config = gi.TrainConfig(
    task=gi.TaskSpec("addition", p=47, train_fraction=0.45, split_seed=0),
    model=gi.ModelSpec(d_model=48, n_heads=4, d_head=12, d_mlp=192, init_seed=0),
    optimizer=gi.OptimizerSpec(learning_rate=5e-3, weight_decay=1.0),
    n_steps=1500,
    checkpoint_every=25,
)
run = gi.train(config, Path("ckpts/addition_mod_47"), n_threads=1, progress=False)
snapshot = gi.take_snapshot(run)
keys = gi.find_key_frequencies(snapshot)
p = run.task.n_classes
print("key frequencies:", keys.frequencies)

assert keys.frequencies, keys.reason

# %% [markdown]
# ## Adding with cosines, by hand
#
# Take a frequency k and w = 2πk/p. The numbers a and b are places on a circle, at the angles wa
# and wb. To add the numbers is to add the angles, and two formulas from school do that:
#
# - cos w(a+b) = cos wa cos wb - sin wa sin wb
# - sin w(a+b) = sin wa cos wb + cos wa sin wb
#
# They need only products of something known about a and something known about b. One more
# formula compares a candidate answer c with the result: cos w(a+b-c) = cos w(a+b) cos wc + sin
# w(a+b) sin wc. This is 1 if c = a+b modulo p, and less otherwise. The next cell does this in
# numpy, with the key frequencies of our network, for all a, b and c:

# %%
a, b, c = np.ogrid[:p, :p, :p]


def score(k):
    """The cosine of w(a+b-c) from the waves of a, b and c alone."""
    w = 2 * np.pi * k / p
    cos_sum = np.cos(w * a) * np.cos(w * b) - np.sin(w * a) * np.sin(w * b)
    sin_sum = np.sin(w * a) * np.cos(w * b) + np.cos(w * a) * np.sin(w * b)
    return cos_sum * np.cos(w * c) + sin_sum * np.sin(w * c)


scores = {k: score(k) for k in keys.frequencies}
total = sum(scores.values())
answers = (a + b)[:, :, 0] % p
print(f"right answers: {(total.argmax(axis=2) == answers).mean():.0%} of {p * p} pairs")


def margin(values):
    """Lead of the right answer over the best wrong one, in the worst case."""
    ordered = np.sort(values, axis=2)
    return (ordered[:, :, -1] - ordered[:, :, -2]).min()


single = max(margin(values) for values in scores.values())
print(f"margin with one frequency {single:.3f}, with all {margin(total):.3f}")

assert (total.argmax(axis=2) == answers).all(), "the cosines do not add"
assert margin(total) > 5 * single, "more frequencies do not help"

# %% [markdown]
# Why several frequencies? Look at one pair, and at the score of every candidate.

# %%
one, other = 15, 20
gi.figures.plot_waves(p, keys.frequencies, answer=(one + other) % p)

# %% [markdown]
# One cosine is 1 at the right answer and nearly 1 at some wrong ones. Another frequency is
# nearly 1 at other wrong ones. In the sum the wrong ones cancel and the right one remains. That
# is **constructive interference**.
#
# Does the network do this? Here are its own logits for the same pair: what each key frequency
# adds to them, the sum of these, and what the network computes.

# %%
figure = gi.figures.plot_pair_logits(snapshot, keys, one, other)
shown = {trace.name: np.asarray(trace.y) for trace in figure.data}
away = np.abs(shown["network"] - shown["sum of these"])
assert shown["sum of these"].argmax() == (one + other) % p, (
    "the waves have another answer"
)
assert away.max() < 0.25 * shown["network"].max(), (
    "the logits of this pair are no such sum"
)
figure

# %% [markdown]
# ## Circles in the embedding
#
# A network that works like this must know cos wa and sin wa. Its embedding W_E has two
# directions for each frequency, the components along the cosine and along the sine. We draw the
# residues' embeddings along these two, for each key frequency.

# %%
figure = gi.figures.plot_embedding_circles(snapshot, keys)
for k, ring in zip(keys.frequencies, figure.data, strict=True):
    radius = np.hypot(ring.x, ring.y)
    assert radius.std() < 0.25 * radius.mean(), (
        f"frequency {k} is no ring in the embedding"
    )
figure

# %% [markdown]
# Each panel is a clock face. The residues lie on a ring, in the order in which a hand of that
# frequency meets them (some are named). Nothing in the data says that the tokens have an order.
# But a ring in the embedding proves nothing yet: the network may not use it.
#
# ## Follow the circuit
#
# To prove a claim, replace a part of the network by its formula, run the rest, and measure the
# loss. `gi.circuit_table` does so stage by stage, from the embedding to the logits.

# %%
circuit = gi.circuit_table(snapshot, keys)
is_whole = circuit["quantity"].str.startswith("loss") & circuit["head"].isna()
losses = circuit.loc[is_whole, ["stage", "quantity", "value"]].reset_index(drop=True)
losses

# %%
gi.figures.plot_circuit_stages(circuit, n_classes=p)

# %% [markdown]
# The dashed line is log p, the loss of guessing. From top to bottom:
#
# - **Attention.** Waves of a and b can replace the attention patterns. It takes those of all
#   key frequencies, since one frequency for each head is not quite enough.
# - **Neurons.** Products of a wave of a and a wave of b can replace all neurons, one
#   frequency for each neuron. These are the products of the school formulas.
# - **Readout.** The map W_L = W_out W_U reads the neurons along a few directions, those of
#   the key frequencies. Projected on these directions, the network keeps a small loss. Left
#   with what is orthogonal to them, it guesses.
# - **Logits.** If the cosines of a+b-c replace the logits, the network is gone and the
#   formula answers, with a loss no larger than the network's.

# %%
loss = losses.set_index(losses["quantity"].str.removeprefix("loss, "))["value"]
full = loss["nothing replaced"]

assert loss["logits replaced by the cosines of a+b-c"] < full, "the formula is worse"
assert loss["all patterns linear in all key frequencies"] < 1e-3, "attention does more"
assert loss["all neurons replaced by their polynomials"] < 1e-3, (
    "neurons are not these products"
)
assert loss["neurons projected on these directions"] < 1e-3, "W_L reads something else"
assert loss["neurons projected on what is orthogonal to them"] > 0.8 * np.log(p), (
    "there is another way"
)

# %% [markdown]
# ## Take the waves out
#
# Now the shortest proof. The **trigonometric circuit** is the part of the logits along cos
# w_k(a+b) and sin w_k(a+b) for the key frequencies. All the rest is the **memorization
# circuit**. Remove one or the other. As a control, remove as many other frequencies.

# %%
others = [k for k in range(1, p // 2 + 1) if k not in keys.frequencies]
control = gi.KeyFrequencies.given(p, others[: len(keys.frequencies)])
whole = gi.ablation_table(snapshot, keys).query("component == 'full'").iloc[0]
no_waves = gi.ablate(snapshot, keys, component="trigonometric_circuit")
only_waves = gi.ablate(snapshot, keys, component="memorization_circuit")
no_others = gi.ablate(snapshot, control, component="trigonometric_circuit")

print(f"{'':38}{'test loss':>12}{'test accuracy':>16}")
print(f"{'nothing removed':38}{whole['loss_test']:12.2e}{whole['accuracy_test']:16.1%}")
for name, ablation in (
    (f"without key frequencies {keys.frequencies}", no_waves),
    ("with key frequencies alone", only_waves),
    (f"without {control.frequencies} (control)", no_others),
):
    print(
        f"{name:38}{ablation.losses['test']:12.2e}{ablation.accuracies['test']:16.1%}"
    )

assert no_waves.accuracies["test"] < 0.1, "something else answers"
assert only_waves.losses["test"] <= whole["loss_test"], "the rest was needed"
assert only_waves.accuracies["test"] == 1.0, "the waves alone do not answer"
assert no_others.accuracies["test"] > 0.99, "the control hurts as well"

# %% [markdown]
# Without the key frequencies the test accuracy is at chance (1/p is about 2 %). With the key
# frequencies alone the loss is *lower* than that of the whole network, because the rest of the
# logits, the remains of memorization, is noise on the test pairs. The control changes next to
# nothing.
#
# Every key frequency contributes. The report of every run has the same figure:

# %%
analysis = gi.analyze_run(run, every=len(run.steps))
gi.figures.plot_ablations(analysis)

# %% [markdown]
# ## What to put in its place
#
# To remove a part is to put something else in its place. The three usual choices give different
# losses, and a claim should hold under all three:
#
# | fill | what it does |
# |---|---|
# | **mean** over all pairs | keeps what later layers may count on |
# | **zero** | removes that too |
# | **resampling** | puts in the value at another pair, a wrong answer instead of none |

# %%
parts = ("mlp", "attention", "head_0", "head_1", "head_2", "head_3")
fills = ("mean", "zero", "resample")
table = {
    part: {
        fill: gi.ablate(snapshot, component=part, fill=fill).losses["all"]
        for fill in fills
    }
    for part in parts
}
least = min(min(table[part].values()) for part in ("mlp", "attention"))
assert least > 1.0, "the network does without its neurons, or without attention"
pd.DataFrame(table).T.round(3)

# %%
gi.figures.plot_component_ablations(analysis)

# %% [markdown]
# Without its neurons or without attention the network fails under every replacement. The
# neurons make the products, and only attention brings a and b together. Single heads and groups
# of neurons cost less or more, depending on what replaces them.
#
# ## The same by hand, with hooks
#
# You can do all of this yourself. `run.model()` is a `HookedTransformer` with TransformerLens's
# hook points, and an ablation is a function that returns another activation. We replace what
# the MLP writes by its mean over all pairs, run the model, and compute the loss with plain
# PyTorch.

# %%
# TransformerLens asks for progress bars that a bare Jupyter has no widget for.
warnings.filterwarnings("ignore", message="IProgress not found")
model = run.model()
tokens = torch.tensor(run.task.tokens)
labels = torch.tensor(run.task.labels)


def mean_over_pairs(mlp_out, hook):
    return mlp_out.mean(dim=0, keepdim=True).expand_as(mlp_out)


with torch.no_grad():
    logits = model.run_with_hooks(
        tokens, fwd_hooks=[("blocks.0.hook_mlp_out", mean_over_pairs)]
    )[:, -1]
by_hand = float(torch.nn.functional.cross_entropy(logits.double(), labels))
print(f"by hooks {by_hand:.6f}, by gi.ablate {table['mlp']['mean']:.6f} nats")

assert abs(by_hand - table["mlp"]["mean"]) < 1e-4 * by_hand, "the two disagree"
assert by_hand > 100 * full, "the hook did nothing"

# %% [markdown]
# `gi.ablate_with_hooks(snapshot, [(name, function)])` does the last step for you, and reports
# losses and accuracies on all, train and test pairs. To try ablations of the logits by mouse,
# show `gi.explore(gi.analyze_run(run))` in a cell.
#
# ## What you saw
#
# - Adding modulo p takes products of waves of a and of b. With a few frequencies, their sum
#   peaks at the right answer alone.
# - The embedding has one ring per key frequency.
# - A formula can replace each stage of the network.
# - Without the key frequencies nothing is left. With them alone, nothing is missing.
#
# ## Exercises
#
# 1. Remove one key frequency at a time (`component=f"frequency_{k}"`). Which one is worth most?
#    Compare with the shares in `keys.evidence`.
# 2. Do the ablations at the embedding instead of the logits (`at="embedding"`). Are the key
#    frequencies enough there as well?
#
# Next: [progress measures](04_progress_measures.ipynb), which watch this circuit grow before
# the accuracy moves. More: [the circuit, proved](../docs/circuits.md).
