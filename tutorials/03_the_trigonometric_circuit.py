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
# You add two numbers with nothing but cosines, see that a grokked network does the same, and prove
# it by **ablation**: take the waves out and it knows nothing, take everything else out and it
# misses nothing. You learn to ablate with one line, and with hooks of your own.
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
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

import grokinterp as gi
from grokinterp.experiments import Chart, Mark, Series
from grokinterp.figures.style import TEMPLATE, key_color
from grokinterp.spectra import to_fourier

# %% [markdown]
# The network is that of [tutorial 01](01_watch_it_grok.ipynb), in the same folder, and its key
# frequencies are found as in [tutorial 02](02_spectra_and_key_frequencies.ipynb). `snapshot` is the
# last checkpoint, run once on all pairs.

# %%
config = gi.TrainConfig(
    task=gi.TaskSpec("addition", p=43, train_fraction=0.5, split_seed=0),
    model=gi.ModelSpec(d_model=48, n_heads=4, d_head=12, d_mlp=192, init_seed=0),
    optimizer=gi.OptimizerSpec(learning_rate=5e-3, weight_decay=1.0),
    n_steps=2000,
    checkpoint_every=25,
)
run = gi.train(config, Path("ckpts/addition_mod_43"), n_threads=1, progress=False)
snapshot = gi.take_snapshot(run)
keys = gi.find_key_frequencies(snapshot)
p = run.task.n_classes
print("key frequencies:", keys.frequencies)

assert keys.frequencies, keys.reason

# %% [markdown]
# ## Adding with cosines, by hand
#
# Take a frequency k and w = 2πk/p. Each number is a place on a circle, at the angle wa and wb. To
# add the numbers is to add the angles, and for that there are two formulas from school:
#
# - cos w(a+b) = cos wa cos wb - sin wa sin wb
# - sin w(a+b) = sin wa cos wb + cos wa sin wb
#
# All that is needed are products of what is known of a and of what is known of b. A candidate
# answer c is then compared with the result by one more formula,
# cos w(a+b-c) = cos w(a+b) cos wc + sin w(a+b) sin wc. This is 1 if c = a+b modulo p, and less
# otherwise. With the key frequencies of our network, in numpy, for all a, b and c:

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
    """By how much the right answer wins against the best wrong one, in the worst case."""
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
candidates = np.arange(p)
gi.figures.plot_chart(
    Chart(
        "scores",
        f"Scores of all answers to {one} + {other}",
        "candidate answer c",
        "score",
        "One cosine, and the mean of all.",
        (
            Series(
                f"k = {keys.frequencies[0]} alone",
                candidates,
                scores[keys.frequencies[0]][one, other],
                kind="line",
            ),
            Series("mean of all key frequencies", candidates, total[one, other] / len(scores), "line"),
        ),
        marks=(Mark("x", (one + other) % p, f"the answer, {(one + other) % p}"),),
    )
)

# %% [markdown]
# One cosine is 1 at the right answer and nearly 1 at some wrong ones. Another frequency is nearly
# 1 at other wrong ones. Added up, the wrong ones cancel and the right one stays: **constructive
# interference**.
#
# ## Circles in the embedding
#
# A network that works like this must know cos wa and sin wa. Its embedding W_E has two directions
# for each frequency, its components along the cosine and along the sine. We look at the residues'
# embeddings along these two, for each key frequency.

# %%
W_E = snapshot.weight("W_E")[:p].double()
components = to_fourier(W_E)
names = [f"k = {k}" for k in keys.frequencies]
figure = make_subplots(1, len(names), subplot_titles=names, horizontal_spacing=0.05)
for column, k in enumerate(keys.frequencies, start=1):
    cosine, sine = components[2 * k - 1], components[2 * k]
    across = (W_E @ (cosine / cosine.norm())).numpy()
    up = (W_E @ (sine / sine.norm())).numpy()
    # Neighbours on the clock face of frequency k are 1/k apart modulo p.
    order = np.arange(p + 1) * pow(k, -1, p) % p
    trace = go.Scatter(
        x=across[order],
        y=up[order],
        mode="lines+markers+text",
        text=[str(x) if x % 6 == 0 else "" for x in order],
        textposition="top center",
        marker={"color": key_color(column - 1), "size": 6},
        line={"width": 1},
        showlegend=False,
    )
    figure.add_trace(trace, 1, column)
    figure.update_yaxes(scaleanchor=f"x{column}", showticklabels=False, col=column)
    figure.update_xaxes(showticklabels=False, col=column)
figure.update_layout(template=TEMPLATE, height=300, title_text="The residues in the embedding")
figure

# %% [markdown]
# Each panel is a clock face: the residues stand on a ring, in the order in which a hand of that
# frequency meets them. (Some labels are shown.) No one told the network that its tokens have an
# order. But a ring in the embedding proves nothing yet: something may be there and not be used.
#
# ## Follow the circuit
#
# Proof means replacing a part of the network by what we say it is, running on from there, and
# measuring the loss. `gi.circuit_table` does so stage by stage, from the embedding to the logits.

# %%
circuit = gi.circuit_table(snapshot, keys)
is_whole = circuit["quantity"].str.startswith("loss") & circuit["head"].isna()
losses = circuit.loc[is_whole, ["stage", "quantity", "value"]].reset_index(drop=True)
losses

# %%
labels = losses["quantity"].str.removeprefix("loss, ")
figure = go.Figure(go.Bar(x=losses["value"], y=labels, orientation="h", marker_color="#0072B2"))
figure.add_vline(x=np.log(p), line={"dash": "dash", "color": "#808080"})
figure.update_xaxes(type="log", exponentformat="power", title_text="loss on all pairs (nats)")
figure.update_yaxes(autorange="reversed")
figure.update_layout(template=TEMPLATE, height=430, title_text="Loss after each replacement")
figure
