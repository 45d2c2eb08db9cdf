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
# # Any network
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/grokinterp/grokinterp/blob/main/tutorials/08_any_network.ipynb)
#
# After this tutorial you can analyze any model of your own. You write a perceptron in ten lines
# of PyTorch, train it in your own loop, and get it explained: when it generalizes, which
# frequencies it uses, and what is left without them. You name its submodules to say where its
# parts are. Then you train an LSTM and pass nothing but its logits. It takes about half a
# minute on two cores.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("grokinterp") is None:  # on Colab, for instance
    url = "git+https://github.com/grokinterp/grokinterp"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", url], check=True)

# %%
import copy

import torch
from torch import nn

import grokinterp as gi

torch.set_num_threads(1)  # so that the numbers do not depend on the cores of a machine

# %% [markdown]
# ## A perceptron in ten lines
#
# It has one embedding for both numbers, adds the two vectors, and has one hidden layer and a logit
# for each of the p answers. Nothing in it depends on this library.

# %%
p = 29


class Perceptron(nn.Module):
    """Adds two numbers modulo p."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(p, 64)
        self.hidden = nn.Linear(64, 256)
        self.answer = nn.Linear(256, p)

    def forward(self, pairs):
        x = self.embed(pairs).sum(dim=1)
        return self.answer(torch.relu(self.hidden(x)))


# %% [markdown]
# ## The training loop
#
# `gi.Task` lists all pairs with their answers, and `gi.draw_split` draws the training pairs. The
# perceptron adds the two embeddings, so it cannot distinguish (a, b) from (b, a). We therefore put
# both on the same side of the split: otherwise most test pairs would be known from training. The
# loop keeps a **copy** of the network every 25 steps. A step is the number of updates so far.

# %%
task = gi.TaskSpec(
    operation="addition", p=p, train_fraction=0.7, split_unit="unordered_pairs"
)
split = gi.draw_split(gi.Task(task))


def train(network, inputs, split, *, learning_rate, n_steps, keep_every):
    """Train on all training pairs at every step; return copies by step."""
    answers = torch.tensor(split.task.labels)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=learning_rate, weight_decay=2.0, betas=(0.9, 0.98)
    )
    kept = {}
    for step in range(n_steps + 1):
        if step % keep_every == 0:
            kept[step] = copy.deepcopy(network)
        if step < n_steps:
            logits = network(
                inputs[split.train]
            ).double()  # float32 rounds small losses to zero
            loss = nn.functional.cross_entropy(logits, answers[split.train])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return kept


torch.manual_seed(0)
pairs = torch.tensor(split.task.pairs)
perceptrons = train(
    Perceptron(), pairs, split, learning_rate=5e-3, n_steps=1000, keep_every=25
)
len(perceptrons)

# %% [markdown]
# ## A run of your modules
#
# `gi.Run.from_modules` takes the copies by step. You specify three things:
#
# - `inputs`: what the network is called with. `"a b"` is a tensor of shape (pairs, 2), and
#   `"a b ="` adds `=` as a third token. For anything else, pass a function that makes the input
#   from the (pairs, 2) tensor.
# - `train_pairs`: the pairs that were trained on.
# - `parts`: which submodule embeds a and b, and where the neurons are. The activation of this
#   network is a function and not a submodule, so the neurons are the *input* of the last layer:
#   `"answer:input"`.
#
# Everything after this cell is the same as for a run of this library.

# %%
run = gi.Run.from_modules(
    perceptrons,
    task=task,
    inputs="a b",
    parts=gi.Parts(operands="embed", neurons="answer:input", readout="answer"),
    train_pairs=split.train,
)
run

# %%
analysis = gi.analyze_run(run)
analysis

# %%
gi.figures.plot_accuracies(analysis)

# %% [markdown]
# The perceptron has memorized its training pairs after a few dozen steps. For a while it then
# answers **no** test pair correctly, which is worse than guessing. It generalizes hundreds of steps
# later.

# %%
by_step = analysis.trajectory.set_index("step")
assert by_step.loc[100, "train_accuracy"] == 1, (
    "the training pairs are not memorized at step 100"
)
assert by_step.loc[100, "test_accuracy"] < 1 / p, (
    "the test pairs are not below chance at step 100"
)
assert by_step["test_accuracy"].iloc[-1] > 0.95, "the perceptron has not generalized"

# %% [markdown]
# ## What it computes
#
# The key frequencies are those of the waves of a + b in the logits. This perceptron uses most of
# the fourteen frequencies that exist modulo 29; a small transformer uses a handful.

# %%
gi.figures.plot_key_frequency_evidence(analysis)

# %% [markdown]
# Each frequency has neurons of its own: in most neurons, a single frequency explains more than 85 %
# of the variance. The gradients of a logit with respect to the two embeddings are **equal**, so
# their cosine, the gradient symmetricity, is 1. That is necessarily so, because the network depends
# on the sum of the two embeddings alone.

# %%
keys = analysis.key_frequencies.frequencies
last = by_step.iloc[-1]
print(len(keys), "key frequencies:", keys)
single = last["fraction_single_frequency_neurons"]
print(f"{single:.0%} of the neurons have a single frequency")
print(f"gradient symmetricity {last['gradient_symmetricity']:.4f}")
assert len(keys) >= 4, "a perceptron is expected to use many frequencies"
assert last["fraction_single_frequency_neurons"] > 0.5, "the neurons are not periodic"
assert last["gradient_symmetricity"] > 0.999, "a and b are not treated alike"

# %% [markdown]
# Do these frequencies do the work? Remove them from the logits or from the neurons, and hardly any
# test pair is answered correctly. Keep nothing else in the logits, and nearly all are.

# %%
ablations = analysis.ablations
of_circuit = ablations[ablations["component"] == "trigonometric_circuit"]
of_circuit = of_circuit.set_index("intervention")["accuracy_test"]
print(of_circuit.to_string())
assert of_circuit["removed from logits"] < 0.1, (
    "the test pairs are answered without the circuit"
)
assert of_circuit["removed from neurons"] < 0.1, (
    "the neurons work without the key frequencies"
)
assert of_circuit["kept in logits (zero)"] > 0.95, (
    "the key frequencies alone do not suffice"
)

# %% [markdown]
# A part that was not named is absent, with the reason: here, for example, the attention pattern,
# which this network does not have. If you misspell a name, the error lists similar ones.

# %%
print(run.missing_parts["pattern"])
try:
    gi.Run.from_modules(
        perceptrons, task=task, inputs="a b", parts=gi.Parts(neurons="hiden")
    )
except gi.ConfigError as error:
    refused = str(error)
print(refused)
assert "Similar names: hidden" in refused, "the similar name was not listed"

# %% [markdown]
# ## An LSTM, from its logits alone
#
# An LSTM has no layer like the neurons of an MLP, and your network may not be written in PyTorch
# at all. Then pass the **logits** on all pairs, one row per pair in the order of
# `gi.Task(task).pairs`. Losses, accuracies, the spectrum of the logits, key frequencies and
# ablations of the logits need nothing else.
#
# This LSTM reads the three tokens `a b =` and answers after the last one.

# %%
p = 19


class Recurrent(nn.Module):
    """Reads a, b and = one after the other."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(p + 1, 32)
        self.lstm = nn.LSTM(32, 64, batch_first=True)
        self.answer = nn.Linear(64, p)

    def forward(self, tokens):
        states, _ = self.lstm(self.embed(tokens))
        return self.answer(states[:, -1])


lstm_task = gi.TaskSpec(p=p, train_fraction=0.8, split_unit="unordered_pairs")
lstm_split = gi.draw_split(gi.Task(lstm_task))
tokens = torch.tensor(lstm_split.task.tokens)

torch.manual_seed(0)
lstms = train(
    Recurrent(), tokens, lstm_split, learning_rate=1e-2, n_steps=1000, keep_every=50
)
with torch.no_grad():
    logits = {step: lstm(tokens) for step, lstm in lstms.items()}

lstm_run = gi.Run.from_logits(logits, task=lstm_task, train_pairs=lstm_split.train)
lstm_analysis = gi.analyze_run(lstm_run)
lstm_analysis

# %%
gi.figures.plot_key_frequency_evidence(lstm_analysis)

# %% [markdown]
# The LSTM groks as well, and its logits are waves of a + b at a few frequencies. Without them it
# answers almost no test pair, but it still answers most training pairs, because it has memorized
# those too.

# %%
lstm_keys = lstm_analysis.key_frequencies.frequencies
lstm_ablations = lstm_analysis.ablations.set_index("component")
print("key frequencies:", lstm_keys)
print(lstm_ablations[["intervention", "accuracy_train", "accuracy_test"]].to_string())
final = lstm_analysis.final
assert final["test_accuracy"] > 0.95, "the LSTM has not generalized"
assert 1 <= len(lstm_keys) <= 6, (
    "the logits of the LSTM are not waves of a few frequencies"
)
without = lstm_ablations.loc["trigonometric_circuit"].query(
    "intervention == 'removed from logits'"
)
train_left, test_left = (
    float(without[f"accuracy_{on}"].iloc[0]) for on in ("train", "test")
)
assert test_left < 0.2, "the test pairs are answered without the key frequencies"
assert train_left > test_left + 0.5, "the training pairs are not memorized beside them"

# %% [markdown]
# `gi.write_report` writes the report of either run. That of the LSTM lists the measures that look
# inside a network as not computed.

# %%
gi.write_report(analysis, "perceptron.html")
gi.write_report(lstm_analysis, "lstm.html")
assert "gini_W_E" in analysis.trajectory, "the embedding was named but not measured"
assert "gini_W_E" not in lstm_analysis.trajectory, "the LSTM's embedding was not given"

# %% [markdown]
# ## What you saw
#
# - `gi.Run.from_modules({step: module}, ...)` takes any `torch.nn.Module`. The modules run in eval
#   mode and are left as they were.
# - Parts have the names of submodules in `named_modules()`: a name is the output of a submodule,
#   or with `:input` its input. The map from neurons to logits is measured; it is a part if it is
#   linear.
# - `gi.Run.from_logits({step: logits}, ...)` needs no network at all.
# - A part that the network does not have, or that was not named, is absent with a reason.
#
# ## Exercises
#
# - Give the perceptron two embeddings, `left` and `right`, and name both:
#   `gi.Parts(operands=("left", "right"), ...)`. Do they use the same frequencies?
# - Replace the LSTM with an `nn.TransformerEncoder` and name the `linear2:input` of its last layer
#   as the neurons. Is the readout linear with `norm_first=True`? And without?
# - Save the state dicts as files and analyze them from the command line with `--module`
#   ([your own module](https://github.com/grokinterp/grokinterp/blob/main/docs/importing.md#your-own-module)).
#
# Next: [a formula and a proof](09_a_formula_and_a_proof.ipynb), for a network that adds.
