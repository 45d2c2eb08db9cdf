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
# # Another group
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/grokinterp/grokinterp/blob/main/tutorials/06_another_group.ipynb)
#
# After this tutorial you know what replaces a frequency if the task has no clock. Networks that
# add modulo p compute with waves on a clock. You train one to compose permutations, where there
# is no clock and the order of the two matters. You see which **representations** it uses, and
# what is left without them. Then you see the same on the symmetries of a polygon, where there
# is a clock again and half of the elements reverse it. It takes a little over a minute on two
# cores.

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

import plotly.express as px
import torch

import grokinterp as gi
from grokinterp.circuits.trigonometric import trigonometric_component
from grokinterp.spectra import symmetric_representations

folder = Path("ckpts/another_group")

px.defaults.template = "plotly_white"
px.defaults.color_discrete_sequence = ["#0072B2", "#D55E00"]  # as gi.figures does

# %% [markdown]
# ## The task
#
# A **permutation** of four things rearranges them; there are 24. To **compose** two of them, do b
# first and then a: the result, ab, is again one of the 24. All of them together are the
# **symmetric group** S_4, and the table of all 576 products is what the network has to learn.
# Every permutation is a token, and nothing about a token says which permutation it is.

# %%
spec = gi.TaskSpec(
    operation="permutation_composition", degree=4, train_fraction=0.9, split_seed=6
)
task = gi.Task(spec)
products = torch.tensor(task.group_view.products)  # [a, b] is the number of ab

gi.figures.plot_answer_table(task)

# %% [markdown]
# Every row and every column holds each of the 24 answers once, as in a table of addition. But the
# table is not symmetric: ab and ba differ for most pairs. So there is no shortcut through
# mirrored pairs, which for addition gives a network that has learned a + b = b + a a part of the
# test pairs for nothing.

# %%
commute = (products == products.T).double().mean().item()
print(f"ab = ba for {commute:.1%} of the pairs")
assert abs(commute - 5 / 24) < 1e-12, "five classes of conjugate elements, 24 elements"

# %% [markdown]
# ## What takes the place of a frequency
#
# A frequency k turns the number a into a rotation by the angle $2\pi k a / n$. What makes that
# useful is one property: the rotation of a, then the rotation of b, is the rotation of a + b.
# Numbers became matrices, and addition became multiplication of matrices.
#
# The same can be done with permutations. A **representation** gives every permutation a matrix
# such that
#
# $$\rho(a)\,\rho(b) = \rho(ab).$$
#
# Two that are easy to see: the **sign**, a 1 x 1 matrix, is +1 for an even number of swaps and -1
# for an odd one. The **standard** representation moves the four corners of a tetrahedron as the
# permutation says; its matrices are 3 x 3. Those that cannot be split into smaller ones are
# called **irreducible**. S_4 has five, and they are to permutations what frequencies are to a
# clock. (For addition modulo n they are the frequencies: over the complex numbers each is a
# single number $e^{2\pi i k a / n}$, a 1 x 1 matrix, because there ab = ba. Over the real numbers
# that is a 2 x 2 rotation, one cosine and one sine.)

# %%
representations = {r.name: r for r in symmetric_representations(4)}
for name, representation in representations.items():
    matrices = representation.matrices
    both = torch.einsum("aij,bjk->abik", matrices, matrices)
    assert torch.allclose(both, matrices[products], atol=1e-12), (
        f"{name} does not multiply"
    )
    print(f"{name:14} dimension {representation.dimension}")
assert sum(r.dimension**2 for r in representations.values()) == 24, (
    "they do not fill the table"
)

# %% [markdown]
# The squares of the dimensions add up to 24. That is no accident: the $d^2$ entries of all the
# matrices are 24 functions on the group, and every function on it is a sum of them, as every
# function on a clock is a sum of waves. So there is a Fourier transform here as well, and the
# library uses it wherever it uses waves for addition.
#
# ## How a network could compose
#
# For addition the logit of an answer c is a sum of $\cos w_k(a + b - c)$ over the key
# frequencies, which is largest at c = a + b. In the language of matrices that cosine is half the
# **trace**, the sum of the diagonal, of the rotation by a + b - c. For permutations it becomes
# the trace of $\rho(a)\,\rho(b)\,\rho(c)^{-1}$, which is called the **character**
# $\chi_\rho(abc^{-1})$. It is largest where $abc^{-1}$ changes nothing, that is at c = ab. Here
# are two characters for one pair.

# %%
a, b = 7, 9
answer = int(products[a, b])
inverse = torch.tensor(task.group_view.inverses)
character = representations["standard"].character[
    products[answer, inverse]
]  # of ab, then 1/c
largest = (character > character.max() - 1e-9).nonzero().flatten().tolist()
assert largest == [answer], "the right answer is not the only largest one"

gi.figures.plot_characters(task, ["sign", "standard"], a, b)

# %% [markdown]
# The sign alone only tells even from odd: it halves the answers. The standard character is
# largest, 3, at the right answer and nowhere else. A sum of a few such functions has one winner.
#
# ## Train and look
#
# The network is the one-layer transformer of the other walkthroughs. S_4 has few pairs, and
# networks tend to memorize them; dropout, which hides nearly a third of what attention and
# MLP write at every step, makes that costly and brings the solution within a minute. (Run the
# notebook again and the finished run is read back.)

# %%
config = gi.TrainConfig(
    task=spec,
    model=gi.ModelSpec(d_model=128, n_heads=4, d_head=32, d_mlp=512),
    optimizer=gi.OptimizerSpec(learning_rate=3e-3),
    pressures=gi.PressureSpec(dropout=0.3),
    n_steps=600,
    test_every=20,
    checkpoint_every=100,
)
run = gi.train(config, folder, n_threads=1, progress=False)
analysis = gi.analyze_run(run, deep=False)
keys = analysis.key_frequencies
print(analysis.outcome)
print("key representations:", ", ".join(keys.names))
assert analysis.milestones.grokking_step is not None, "this network did not generalize"
assert analysis.final["test_accuracy"] > 0.95, "it does not answer the test pairs"
assert {"sign", "standard_sign"} <= set(keys.names) and "standard" not in keys.names, (
    "this seed took other representations"
)

# %%
gi.figures.plot_losses(analysis)

# %% [markdown]
# The training pairs are known early, the test loss first rises and falls later. The library calls
# this slow and not grokked, because the rise takes more than half of the delay
# ([tutorial 01](01_watch_it_grok.ipynb), the second trap). The rule that
# finds the **key representations** is the one for key frequencies: average the logits over the
# pairs with the same product, split the power by representation, and keep what is above 1.5 % and
# above what permuted pairs reach. Which ones a network takes depends on its seed: of the two whose
# characters you saw, this one uses the sign and not the standard representation, in whose place it
# has the standard one times the sign.

# %%
evidence = keys.evidence
chance_level = evidence["null_share"].iloc[0]
figure = px.bar(evidence, x="representation", y="logit_power_share", color="is_key")
figure.add_hline(chance_level, line_dash="dot", annotation_text="chance")
figure.update_layout(yaxis_title="share of the logits' power")

# %% [markdown]
# The bars of the key representations hold nearly all of the power. The dotted line is what
# chance reaches. It is far lower than in the smaller group S_3: with its 36 pairs almost any
# representation could be chance.
#
# How did they form? The next figure has four panels for every representation: its share of the
# logits' power, its size in the embedding, the loss on the training pairs without it, and how
# many neurons belong to it alone.

# %%
held = evidence.loc[evidence["is_key"], "logit_power_share"].sum()
assert held > 0.9, "the key representations do not carry the logits"
gi.figures.plot_representations(analysis)

# %% [markdown]
# In the first panel, the representation that is not key loses its share of the logits early. In
# the panel below, it slowly leaves the embedding. The third panel shows that without a
# representation of dimension 3 the network cannot answer the very pairs that it was trained on.
# So it computes them and does not look them up.
#
# ## The proof by removal
#
# A picture of power proves nothing about use. So take the key representations out of the logits,
# and then everything but them. As a control, take out the ones that are not key.

# %%
snapshot = gi.take_snapshot(run)
others = [name for name in representations if name not in (*keys.names, "trivial")]
chance = 1 / task.n_classes


def accuracies(component):
    return gi.ablate(snapshot, keys, component=component).accuracies


full = {
    "train": snapshot.are_correct[snapshot.pair_mask("train")].double().mean().item()
}
full["test"] = snapshot.are_correct[snapshot.pair_mask("test")].double().mean().item()
without = accuracies("trigonometric_circuit")
alone = accuracies("memorization_circuit")
control = {name: accuracies(f"representation_{name}") for name in others}
for what, found in {
    "nothing removed": full,
    "without the key ones": without,
    "nothing but the key ones": alone,
    **{f"without {name}": found for name, found in control.items()},
}.items():
    print(f"{what:26} train {found['train']:.3f}  test {found['test']:.3f}")
print(f"{'chance':26} {chance:.3f}")

# %% [markdown]
# (The library calls what the key representations span the **trigonometric circuit**, here too,
# and everything else the **memorization circuit**.) Without the key representations the network
# is at chance, on the training pairs as well. With nothing else it answers everything. Removing
# representations that are not key costs nothing.

# %%
assert without["train"] < 3 * chance and without["test"] < 3 * chance, (
    "it still answers"
)
assert alone["test"] > 0.95, "the key representations are not enough"
assert all(c["test"] > full["test"] - 0.05 for c in control.values()), (
    "the control costs too much"
)
gi.figures.plot_ablations(analysis)

# %% [markdown]
# The bars are losses on a logarithmic axis; the dots tell training and test pairs apart. Removing
# all key representations costs more than knowing nothing, which has a loss of log 24, about 3.2
# nats. A single one costs little or much, as the figure before has shown. And without everything
# else (the third bar) the network is better than before.
#
# One warning, which holds for addition as well. The **restricted loss**, that of the key
# representations alone, is taken from averages over all pairs, those trained on included. In a
# small group it can be low before there is a circuit. The library also computes it from the test
# pairs alone, `held_out_restricted_loss`: that one cannot fall because of what is memorized.

# %%
table = analysis.trajectory
columns = [
    "step",
    "test_accuracy",
    "restricted_loss_test",
    "held_out_restricted_accuracy",
]
print(table[columns][::3].round(3).to_string())
early = table[table["step"] == 200].iloc[0]
lead = early["held_out_restricted_accuracy"] - early["test_accuracy"]
assert lead > 0.3, "the circuit is not ahead of the network"

# %% [markdown]
# So this circuit is not an effect of memorized pairs. At step 200, as the test pairs alone show
# it, it answers most of them. The network still relies on what it has memorized, and answers
# few.
#
# ## A clock that can be reversed
#
# A regular polygon with 29 corners has 58 symmetries: 29 rotations and 29 **reflections**. Doing
# one after the other is the product of the **dihedral group** of order 58. The rotations
# alone are addition modulo 29; a reflection reverses the direction of a rotation. The preset
# `dihedral` trains a perceptron on half of the products. A thousand steps are enough here.

# %%
dihedral = dataclasses.replace(
    gi.PRESETS["dihedral"], n_steps=1000, checkpoint_every=100
)
run = gi.train(dihedral, Path("ckpts/dihedral"), n_threads=1, progress=False)
analysis = gi.analyze_run(run, deep=False)
keys = analysis.key_frequencies
commute = (run.task.labels.reshape(58, 58) == run.task.labels.reshape(58, 58).T).mean()
print(f"ab = ba for {commute:.1%} of the pairs")
print(analysis.outcome)
print("key representations:", ", ".join(keys.names))
assert abs(commute - 16 / 58) < 1e-12, (
    "sixteen classes of conjugate elements, 58 elements"
)
assert analysis.milestones.outcome_kind == "grokked", "another outcome than in the text"
assert "sign" in keys.names and len(keys.names) > 3, (
    "this seed took other representations"
)
gi.figures.plot_representations(analysis)

# %% [markdown]
# There are 14 representations by 2 x 2 matrices, named `freq_1` to `freq_14` after the rotations in
# them, and the `sign`: +1 for a rotation, -1 for a reflection. The network uses several
# frequencies, as it does for addition, and the sign.
#
# The two progress measures do here what they do on a clock. The restricted loss, of the key
# representations alone, falls while the test accuracy is still low. The excluded loss, without
# them, rises on the training pairs as the network comes to rely on them.

# %%
columns = ["step", "test_accuracy", "restricted_loss_test", "excluded_loss_train"]
table = analysis.trajectory.set_index("step", drop=False)[columns]
print(table[table["step"] >= 100].round(3).to_string(index=False))
assert table["test_accuracy"][400] < 0.6, "the network has generalized already"
early, later = table["restricted_loss_test"][100], table["restricted_loss_test"][400]
assert later < early / 2, "the restricted loss has not fallen yet"
early, later = table["excluded_loss_train"][200], table["excluded_loss_train"][1000]
assert later > 4 * early, "the network does not rely on the key representations"

# %% [markdown]
# What does the sign do? The characters of the frequencies are $2\cos$ of the angle for a
# rotation and **0 for every reflection**. Call an answer c of the wrong kind if it is a reflection
# where the product is a rotation, or a rotation where it is a reflection. In the sum over
# frequencies such an answer gets exactly 0. Answers of the right kind get positive and negative
# numbers, 0 on average. So only the sign separates the two kinds on average. Take it out of the
# logits, and compare how far the answers of the right kind lie above those of the wrong kind.

# %%
snapshot = gi.take_snapshot(run)
kind = torch.where(torch.arange(58) < 29, 1, -1)  # rotations come first
is_right_kind = kind[snapshot.labels][:, None] == kind[None, :]
sign_number = keys.names.index("sign")
part = trigonometric_component(snapshot, [keys.frequencies[sign_number]])


def gap(logits):
    return (logits[is_right_kind].mean() - logits[~is_right_kind].mean()).item()


with_sign = gap(snapshot.logits.double())
without_sign = gap(snapshot.logits.double() - part[snapshot.labels])
print(f"right kind above wrong kind: {with_sign:.2f} logits")
print(f"without the sign: {without_sign:.2f}")
assert with_sign > 2 and abs(without_sign) < 0.01, (
    "something else separates the two kinds"
)

alone = {
    name: gi.ablate(snapshot, keys, component=f"representation_{name}", keep=True)
    for name in keys.names
}
for name, found in alone.items():
    print(f"{name:8} alone: accuracy {found.accuracies['test']:.3f} on the test pairs")
without = gi.ablate(snapshot, keys, component="trigonometric_circuit")
print(f"without all of them {without.accuracies['test']:.3f}, guessing {1 / 58:.3f}")
assert (
    alone["sign"].accuracies["test"]
    < 3 / 58
    < min(found.accuracies["test"] for name, found in alone.items() if name != "sign")
), "the sign answers, or a frequency does not"
assert without.accuracies["test"] < 3 / 58, "it still answers without them"

# %% [markdown]
# The sign answers nothing by itself: 29 answers share it. A frequency alone is right on some
# pairs, several together on all, as on a clock.
#
# ## What you saw
#
# - Composing permutations has no frequencies. **Irreducible representations** take their place,
#   and **characters** that of cosines; for addition the two are the same thing.
# - A rule chooses the key representations, and no other is needed: with them alone the network
#   answers the test pairs, without them it is at chance.
# - The order of a and b matters here, so no mirrored pairs flatter the test accuracy.
# - A polygon's symmetries have the frequencies of its rotations. Their characters say nothing
#   about reflections, so the network takes the sign as well.
#
# ## Exercises
#
# - Set `degree=3`. There are only 36 pairs. What does the rule say, and where is its chance line?
# - Train without dropout. How far does the test accuracy get in the same number of steps?
# - Train the preset `alternating`: the even permutations of five. Its representations are those of
#   the rotations of an icosahedron.
# - Train `init_seed=1` for 1,000 steps. Are the same representations key? (Seeds differ in speed
#   as well: some need well over 1,000 steps.)
#
# More: [finite groups](https://github.com/grokinterp/grokinterp/blob/main/docs/groups.md), with a
# network on S_5.
#
# Next: [a measure of your own](07_your_own_measure.ipynb).
