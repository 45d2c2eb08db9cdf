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
# # Your own measure in ten lines
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/grokinterp/grokinterp/blob/main/tutorials/07_your_own_measure.ipynb)
#
# After this tutorial you can write a progress measure of your own, and test whether it means
# anything. A progress measure is a function from one checkpoint to a number. Yours needs no
# Fourier transform and no key frequencies. You follow it along a run, see it move before the
# test accuracy does, and find it in the report, in `measures.csv` and in the cache. At the end
# you know what to add so that it can join the library's own. It takes about half a minute on
# two cores.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("grokinterp") is None:  # on Colab, for instance
    url = "git+https://github.com/grokinterp/grokinterp"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", url], check=True)

# %%
from pathlib import Path

import pandas as pd
import torch
from torch.nn.functional import normalize

import grokinterp as gi

folder = Path("ckpts/your_own_measure")

# %% [markdown]
# ## A run to measure
#
# Addition modulo 31 on 70 % of the pairs generalizes in a few seconds. `gi.train` keeps
# checkpoints in a folder. If you run the notebook a second time, the finished run is read
# instead.

# %%
config = gi.TrainConfig(
    task=gi.TaskSpec(p=31, train_fraction=0.7),
    model=gi.ModelSpec(d_model=64, n_heads=4, d_head=16, d_mlp=256, init_seed=0),
    optimizer=gi.OptimizerSpec(learning_rate=3e-3),
    n_steps=900,
    checkpoint_every=25,
)
run = gi.train(config, folder, n_threads=1, progress=False)
len(run.steps), "checkpoints"

# %% [markdown]
# ## An idea
#
# Take two test pairs with the same answer, such as 3 + 4 and 30 + 8 modulo 31. A network that
# adds has every reason to treat them alike. A network that has only memorized its training
# pairs seems to have none; a control will have to show whether that is so. So we ask how alike
# the **logits** of such pairs are: their cosine, averaged over all pairs of test pairs with the
# same answer. We call it **agreement**. It is near 0 for a random network, and 1 for one that
# sees nothing but the sum.
#
# The measure does not ask whether the answers are right. The network may agree with itself
# before it is right.
#
# We need not compare all of these pairs one by one. With unit vectors $u_i$ and their sum $S_c$
# over the $n_c$ test pairs with answer $c$, the cosines of all ordered pairs add up to $|S_c|^2
# - n_c$.


# %%
def agreement(snapshot, key_frequencies):
    """Mean cosine between the logits of two test pairs with the same answer."""
    wanted = snapshot.pair_mask("test")
    logits, labels = snapshot.logits[wanted].double(), snapshot.labels[wanted]
    logits = logits - logits.mean(dim=0)  # what all pairs have in common says nothing
    units = normalize(logits - logits.mean(dim=1, keepdim=True), dim=1)
    sums = torch.zeros(snapshot.task.n_classes, units.shape[1]).double()
    sums.index_add_(0, labels, units)
    n = torch.bincount(labels, minlength=len(sums)).double()
    return ((sums**2).sum() - n.sum()) / (n * (n - 1)).sum()


# %% [markdown]
# That is a measure. It takes a **snapshot**, one checkpoint that was run once on all pairs of
# the task (`snapshot.logits`, `.neurons`, `.pattern`, `.weight("W_E")`, ...), and the key
# frequencies of the run's end, which this measure does not use. Try it on two checkpoints
# before you measure all.

# %%
first, last = gi.take_snapshot(run, 0), gi.take_snapshot(run)
keys = gi.find_key_frequencies(last)
for snapshot in (first, last):
    print(f"step {snapshot.step:5}: agreement {agreement(snapshot, keys):.3f}")
assert agreement(first, keys) < 0.2, "a random network already agrees with itself"
assert agreement(last, keys) > 0.8, "the trained network does not agree with itself"

# %% [markdown]
# ## Along the run
#
# `gi.analyze_run` takes a tuple of measures. The library's own are `gi.MEASURES`; add yours,
# and it becomes a column of `analysis.trajectory`. Compare it with `test_accuracy_unmirrored`,
# the accuracy on the test pairs (a, b) for which (b, a) is no training pair either. A network
# is right on the other test pairs as soon as it has learned that a + b = b + a.

# %%
analysis = gi.analyze_run(run, measures=(*gi.MEASURES, agreement), deep=False)
table = analysis.trajectory
columns = ["step", "train_accuracy", "test_accuracy_unmirrored", "agreement"]
print(table[columns][::4].round(3).to_string())

# %% [markdown]
# One line draws it below the losses.

# %%
gi.figures.plot_columns(
    analysis, ["agreement", "test_accuracy_unmirrored"], y_title="between 0 and 1"
)

# %% [markdown]
# The test pairs agree with each other while the test loss is still high and few of them are
# right. To say that in a number, take for each curve the step at which it has gone half of its
# way. It is tempting to call the result an early sign of generalization.


# %%
def halfway_step(column):
    """First step beyond the middle of a column's first and last value."""
    values = table[column]
    middle = (values.iloc[0] + values.iloc[-1]) / 2
    return int(table["step"][values > middle].iloc[0])


early, late = halfway_step("agreement"), halfway_step("test_accuracy_unmirrored")
print(f"half of the way: agreement at step {early}, test accuracy at step {late}")
assert 2 * early < late, "the measure does not move first"

# %% [markdown]
# ## Two controls
#
# A measure that rises in every run would show nothing. With **random labels** there is nothing
# to generalize, because two pairs with the same answer have nothing else in common. The same
# network memorizes them, and the agreement must not rise.

# %%
import dataclasses

random_task = gi.TaskSpec(operation="random_labels", p=31, train_fraction=0.7)
control = gi.train(
    dataclasses.replace(config, task=random_task, n_steps=400, checkpoint_every=100),
    Path("ckpts/random_labels"),
    n_threads=1,
    progress=False,
)
control_analysis = gi.analyze_run(
    control, measures=(gi.MEASURES[2], agreement), deep=False
)
print(control_analysis.trajectory.tail(3).round(3).to_string())
assert control_analysis.trajectory["train_accuracy"].iloc[-1] > 0.99, (
    "it did not memorize"
)
assert control_analysis.trajectory["agreement"].iloc[-1] < 0.1, (
    "chance agrees with itself"
)

# %% [markdown]
# The measure has passed, but the test was too easy: addition has a structure that random labels
# lack. The control that counts is **the same task, memorized and no more**. Without weight
# decay this network learns its training pairs and stops there.

# %%
memorized = gi.train(
    dataclasses.replace(
        config,
        optimizer=dataclasses.replace(config.optimizer, weight_decay=0.0),
        n_steps=400,
        checkpoint_every=100,
    ),
    Path("ckpts/memorized"),
    n_threads=1,
    progress=False,
)
memorized_table = gi.analyze_run(
    memorized, measures=(*gi.MEASURES, agreement), deep=False
).trajectory
print(memorized_table[columns].tail(4).round(3).to_string())
end, plateau = memorized_table.iloc[-1], table[table["step"] == 200].iloc[0]
assert end["train_accuracy"] == 1 and end["test_accuracy_unmirrored"] < 0.1, (
    "it generalized"
)
assert end["agreement"] > 0.5, (
    "a network that only memorizes does not agree with itself"
)
assert end["agreement"] < plateau["agreement"] < table["agreement"].iloc[-1] - 0.1, (
    "generalizing adds nothing to what memorizing gives"
)

# %% [markdown]
# A network that answers none of these test pairs by adding agrees with itself to two thirds. So
# the early rise was **memorization**, and no sign of what was to come: pairs with one answer
# look alike to a network that has only learned many such pairs. Generalizing adds the rest of
# the way, which the run with weight decay makes together with the accuracy. Its plateau already
# lies a little above the control. Without the second control this tutorial would have drawn a
# false conclusion. Try every measure on a network that has memorized the same task.

# %% [markdown]
# ## A measure with a name, a source and a version
#
# A bare function is computed anew at every analysis, because nobody can tell whether you have
# changed it. `gi.measure` turns it into a **measure** with a source and a version, and then its
# numbers are kept in the run folder. It can also return several columns at once, as a
# dictionary, and say what it needs.
#
# As an example, take the number of **frequencies in use**. With shares $s_k$ of the power at
# frequency $k$, the participation ratio $1 / \sum_k s_k^2$ is 1 if all power is in one
# frequency, and 15 if it is spread evenly over the 15 frequencies of addition modulo 31. We
# take it once for the embedding and once for the logits. It has a meaning only if answers are
# sums on a clock, hence `needs=("frequencies",)`.

# %%
computed = []  # how often the function really ran


@gi.measure(
    source="this notebook",
    version=1,
    columns=("frequencies_in_embedding", "frequencies_in_logits"),
    needs=("frequencies",),
)
def frequencies_in_use(snapshot, key_frequencies):
    """Participation ratio of the power by frequency, in embedding and logits."""
    computed.append(snapshot.step)
    embedding = snapshot.weight("W_E")[snapshot.class_tokens]
    found = {}
    for name, values in (
        ("embedding", embedding),
        ("logits", snapshot.mean_logits_by_sum),
    ):
        power = snapshot.harmonics.power(values)
        found[f"frequencies_in_{name}"] = power.sum() ** 2 / (power**2).sum()
    return found


agreement = gi.measure(source="this notebook", version=1, needs=("split",))(agreement)
mine = (*gi.MEASURES, agreement, frequencies_in_use)

analysis = gi.analyze_run(run, measures=mine, deep=False)
n_first = len(computed)
gi.analyze_run(run, measures=mine, deep=False)
n_second = len(computed) - n_first
newer = dataclasses.replace(frequencies_in_use, version=2)
gi.analyze_run(run, measures=(newer,), deep=False)
n_newer = len(computed) - n_first - n_second
print(f"computed {n_first} times, then {n_second}, then {n_newer} for the new version")
assert n_second == 0, "the numbers were not kept"
assert n_first > 0 and n_newer == n_first, "numbers of an older version were used"

# %% [markdown]
# (That is one less than there are checkpoints. With the warm-up of the learning rate the first
# update changes nothing, and equal weights are measured once.) If you change the formula and
# forget to raise the version, you will see the old numbers: the version is a promise.
# Everything else that a number depends on is checked for you: the weights, the task, the split
# and, with `"key_frequencies"` among its `needs`, the key frequencies.
#
# The library draws each column that it does not know in a panel of its own.

# %%
gi.figures.plot_further_measures(analysis)

# %% [markdown]
# The three lower panels are yours. At the start the power of the embedding is spread over all
# 15 frequencies, and at the end a few hold it. The logits end with as many as there are key
# frequencies, or fewer if some are stronger than others.

# %%
final = analysis.trajectory.iloc[-1]
n_keys = len(analysis.key_frequencies.frequencies)
print(f"{n_keys} key frequencies; in use: {final['frequencies_in_logits']:.1f}")
assert final["frequencies_in_logits"] <= n_keys + 0.5, (
    "the logits use more than the keys"
)
assert (
    final["frequencies_in_embedding"]
    < analysis.trajectory["frequencies_in_embedding"][0] / 2
), "the embedding is spread as widely as at the start"

# %% [markdown]
# For random labels there is no clock. There the columns are **absent**: neither zero nor empty.

# %%
without = gi.analyze_run(control, measures=(agreement, frequencies_in_use), deep=False)
print(list(without.trajectory))
assert list(without.trajectory) == ["step", "agreement"], "a number was made up"

# %% [markdown]
# ## In the tables and in the report
#
# You need nothing more. Whatever was measured is written.

# %%
gi.write_tables(analysis, Path("analysis"))
gi.write_report(analysis, "report.html")

on_disk = pd.read_csv("analysis/measures.csv")
report = Path("report.html").read_text(encoding="utf-8")
print(on_disk[["step", "agreement", "frequencies_in_logits"]].tail(3).to_string())
assert on_disk["agreement"].equals(analysis.trajectory["agreement"]), (
    "the file says otherwise"
)
assert "agreement" in report and "frequencies_in_logits" in report, (
    "the report left it out"
)

# %% [markdown]
# ## Joining the catalogue
#
# A measure that others should have goes into the package in three steps, which
# [architecture](https://github.com/grokinterp/grokinterp/blob/main/docs/architecture.md)
# describes:
#
# 1. The function, decorated as above with its paper as the source and, under `misleads=`, a
#    sentence on when its numbers mislead, in the file of its family under `grokinterp/measures/`.
#    The first line of its docstring becomes its description in the report.
# 2. One line in the tuple of `grokinterp/measures/catalogue.py`.
# 3. A test on **planted truth**: logits or a network made by formula for which the answer is
#    known without the measure. For `agreement` such a test is three lines, and here it is.


# %%
def planted(logits):
    """Copy of a snapshot with other logits."""
    return dataclasses.replace(last, logits=logits.float())


def value(snapshot):
    return agreement.values(snapshot, keys)["agreement"]


labels = last.labels
only_the_sum = torch.randn(31, 31, generator=torch.Generator().manual_seed(0))[labels]
by_pair = torch.randn(len(labels), 31, generator=torch.Generator().manual_seed(1))
full, none = value(planted(only_the_sum)), value(planted(by_pair))
print(f"logits of the sum alone: {full:.6f}; logits drawn pair by pair: {none:.3f}")
assert abs(full - 1) < 1e-6, "logits of the sum alone agree fully"
assert abs(none) < 0.05, "logits drawn pair by pair do not agree"

# %% [markdown]
# ## What you saw
#
# - A measure is a function of a snapshot and the key frequencies. Pass it to `gi.analyze_run`
#   in a tuple, and it is a column of the trajectory, the CSV file and the report.
# - Agreement needs no Fourier basis and no right answers, and goes half of its way long
#   before the test accuracy does. That looks like an early sign and is none, because a
#   network that has memorized the same task goes two thirds of the way. A control must have
#   the structure of the task.
# - With a source and a version its numbers are kept. Raising the version computes them again.
# - If a measure has no meaning for a run, its column is absent.
#
# ## Exercises
#
# - A network that has only learned that a + b = b + a agrees with itself on (a, b) and (b, a).
#   Leave such mirrored pairs out of the sum of cosines. Does the curve change?
# - Measure the agreement of the neurons (`snapshot.neurons`) in place of the logits. Which
#   rises first?
#
# Next: [any network](08_any_network.ipynb), one that you write and train yourself.
