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
# # Your own checkpoints
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/grokinterp/grokinterp/blob/main/tutorials/05_your_own_checkpoints.ipynb)
#
# After this tutorial you can analyze networks from your own training loop, from TransformerLens
# and from published `.pth` files. You train a plain PyTorch module, hand its weights over in
# four ways, and get the same key frequencies and the same logits from each. You also see what
# an importer infers, what it leaves out because it cannot know it, and why it refuses a file
# that would run code. It takes about half a minute on two cores.

# %%
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("grokinterp") is None:  # on Colab, for instance
    url = "git+https://github.com/grokinterp/grokinterp"
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", url], check=True)

# %%
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

import grokinterp as gi

# TransformerLens asks for progress bars that a bare Jupyter has no widget for.
warnings.filterwarnings("ignore", "IProgress not found")
torch.set_num_threads(1)  # so that the numbers do not depend on the cores of a machine

# %% [markdown]
# ## A network in plain PyTorch
#
# The next cell uses nothing of this library. It is a one-layer transformer as one would write
# it with `nn.Linear`: three tokens `a b =`, attention from `=` to all three, one ReLU layer,
# and logits for the p answers at `=`. As in the papers on grokking, there is no layer norm.
# Only the last position is read, so only its query is computed.

# %%
p, d_model, n_heads, d_head, d_mlp = 29, 64, 4, 16, 256


class Adder(nn.Module):
    """One-layer transformer that answers `a b =`."""

    def __init__(self):
        super().__init__()
        self.token = nn.Embedding(p + 1, d_model)
        self.position = nn.Embedding(3, d_model)
        self.query, self.key, self.value, self.out = (
            nn.Linear(d_model, d_model, bias=False) for _ in range(4)
        )
        self.up = nn.Linear(d_model, d_mlp)
        self.down = nn.Linear(d_mlp, d_model)
        self.answer = nn.Linear(d_model, p, bias=False)
        for weight in (w for w in self.parameters() if w.ndim == 2):
            nn.init.normal_(weight, std=d_model**-0.5)

    def forward(self, pairs):
        equals = torch.full_like(pairs[:, :1], p)
        x = self.token(torch.cat([pairs, equals], dim=1)) + self.position.weight
        q = self.query(x[:, -1]).unflatten(-1, (n_heads, d_head))
        k = self.key(x).unflatten(-1, (n_heads, d_head))
        v = self.value(x).unflatten(-1, (n_heads, d_head))
        pattern = (torch.einsum("bhd,bshd->bhs", q, k) / d_head**0.5).softmax(dim=-1)
        x = x[:, -1] + self.out(torch.einsum("bhs,bshd->bhd", pattern, v).flatten(1))
        return self.answer(x + self.down(self.up(x).relu()))


# %% [markdown]
# ## The training loop
#
# `gi.Task` lists all pairs with their answers, and `gi.draw_split` says which are trained on.
# You can bring your own tensors just as well. The loop is the usual one: all training pairs at
# every step, AdamW with weight decay 1. Every 50 steps it keeps a copy of the state dict. A
# **step** is the number of updates so far, so step 0 is the network before training.

# %%
task = gi.TaskSpec(operation="addition", p=p, train_fraction=0.7)
split = gi.draw_split(gi.Task(task))
pairs, answers = torch.tensor(split.task.pairs), torch.tensor(split.task.labels)

torch.manual_seed(2)
adder = Adder()
optimizer = torch.optim.AdamW(
    adder.parameters(), lr=3e-3, weight_decay=1.0, betas=(0.9, 0.98)
)
kept, n_steps = {}, 800
for step in range(n_steps + 1):
    if step % 50 == 0:
        kept[step] = {name: value.clone() for name, value in adder.state_dict().items()}
    if step < n_steps:
        logits = adder(
            pairs[split.train]
        ).double()  # float32 rounds small losses to nothing
        loss = nn.functional.cross_entropy(logits, answers[split.train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
len(kept), loss.item()

# %% [markdown]
# ## Names and axes
#
# The library uses the names and axes of **TransformerLens**: a weight acts from the right, so
# `W_in` is (d_model, d_mlp), and attention has an axis for the heads. `nn.Linear` stores the
# transpose. One function translates, and your own network needs nothing more.


# %%
def renamed(state):
    """State dict of an Adder under TransformerLens's names."""

    def by_head(name):  # (heads * d_head, d_model) to (heads, d_model, d_head)
        return state[f"{name}.weight"].unflatten(0, (n_heads, d_head)).transpose(1, 2)

    return {
        "embed.W_E": state["token.weight"],
        "pos_embed.W_pos": state["position.weight"],
        "blocks.0.attn.W_Q": by_head("query"),
        "blocks.0.attn.W_K": by_head("key"),
        "blocks.0.attn.W_V": by_head("value"),
        "blocks.0.attn.W_O": state["out.weight"].T.unflatten(0, (n_heads, d_head)),
        "blocks.0.mlp.W_in": state["up.weight"].T,
        "blocks.0.mlp.b_in": state["up.bias"],
        "blocks.0.mlp.W_out": state["down.weight"].T,
        "blocks.0.mlp.b_out": state["down.bias"],
        "unembed.W_U": state["answer.weight"].T,
    }


run = gi.Run.from_state_dicts(
    {step: renamed(state) for step, state in kept.items()},
    task=task,
    train_pairs=split.train,  # rows of the task's pairs, or the pairs themselves
)
print(run.origin)

# %% [markdown]
# Never trust a translation. `W_O` is square, so a forgotten transpose raises no error and gives
# another network. The check is one line: the library's logits on all pairs must be those of
# your module. To see that the check can fail, we transpose `W_O` on purpose.

# %%
with torch.no_grad():
    own_logits = adder(pairs)
difference = (gi.take_snapshot(run).logits - own_logits).abs().max().item()

wrong = renamed(kept[n_steps])
wrong["blocks.0.attn.W_O"] = (
    wrong["blocks.0.attn.W_O"].flatten(0, 1).T.unflatten(0, (n_heads, -1))
)
wrong_run = gi.Run.from_state_dicts({n_steps: wrong}, task=task)
wrong_difference = (gi.take_snapshot(wrong_run).logits - own_logits).abs().max().item()
print(f"largest difference of a logit: {difference:.1e}")
print(f"with W_O transposed: {wrong_difference:.1f}")
assert difference < 1e-3, "the translated network is not the one that was trained"
assert wrong_difference > 1, "a transposed W_O would have gone unnoticed"

# %% [markdown]
# From here on, everything is as for a run that the library trained. `gi.analyze_run` finds the
# key frequencies at the last step and measures every checkpoint.

# %%
analysis = gi.analyze_run(run, deep=False)
keys = analysis.key_frequencies.frequencies
print("key frequencies:", keys)
print(analysis.outcome)
assert analysis.milestones.grokking_step is not None, "this network did not generalize"
assert 2 <= len(keys) <= 8, "a network that adds holds a few key frequencies"

# %% [markdown]
# The outcome is slow convergence and not grokking if the rise of the accuracy takes more than
# half of the delay ([tutorial 01](01_watch_it_grok.ipynb), the second trap).

# %%
gi.figures.plot_losses(analysis)

# %% [markdown]
# Your loop logged no losses, so the library computed the curves from the weights of the
# checkpoints. The training loss falls at once. The test loss first rises, and takes hundreds of
# steps more. The marked steps are only as exact as your checkpoints are close.
#
# ## A folder of TransformerLens's files
#
# Now the same network as a model of **TransformerLens**. `gi.to_transformer_lens` builds a
# `HookedTransformer` under version 3 and a `TransformerBridge` under version 4. We save three
# state dicts as people do, one file per checkpoint with the step at the end of its name, and
# load the folder. (Importing TransformerLens takes some seconds.)

# %%
folder = Path("transformer_lens_files")
folder.mkdir(exist_ok=True)
for step in (0, 400, n_steps):
    model = gi.to_transformer_lens(run.model(step))
    torch.save(model.state_dict(), folder / f"step_{step:05d}.pt")

from_folder = gi.load_run(folder)
print(from_folder.origin)
assert from_folder.steps == (0, 400, n_steps), (
    "steps are read from the names of the files"
)

# %% [markdown]
# Read what it says. The files contain numbers and not a word about what was learned. So the
# importer tried the operations it knows on all pairs, and took the one that the last network is
# right on. **It does not know which pairs were trained on**, and it makes nothing up.
# `train_loss`, and whatever else averages over one side of the split, is absent from the table:
# neither guessed nor zero.

# %%
without_split = gi.analyze_run(from_folder, deep=False)
absent = sorted(set(analysis.trajectory) - set(without_split.trajectory))
print("absent:", ", ".join(absent))
assert not from_folder.split.is_known, "no file says what was trained on"
assert {"train_loss", "excluded_loss_train"} <= set(absent), (
    "an unknown split was made up"
)
assert "restricted_loss_all" in without_split.trajectory, "what needs no split is there"

# %% [markdown]
# ## Published files
#
# Two layouts are common. The files of Nanda et al. 2023 (`saved_runs/*.pth`) store every weight
# transposed, have one output too many (for the token `=`), and contain the logged losses beside
# the weights. The dictionary of the `Grokking_Demo` notebook has a list of checkpoints and the
# rows of the training pairs. If you have such a file, one line analyzes it:
#
# ```bash
# python -m grokinterp.analyze saved_runs/low_precision_mod_addition.pth
# python -m grokinterp.analyze grokking_demo.pth
# ```
#
# They are too large to fetch here, so we write our own network in both layouts.


# %%
def as_nanda_wrote_it(weights):
    """Weights in the orientation of the published code, with its extra output."""
    state = dict(weights)
    for name in ("embed.W_E", "blocks.0.mlp.W_in", "blocks.0.mlp.W_out"):
        state[name] = weights[name].T
    for letter in "QKV":
        state[f"blocks.0.attn.W_{letter}"] = weights[
            f"blocks.0.attn.W_{letter}"
        ].transpose(1, 2)
    state["blocks.0.attn.W_O"] = weights["blocks.0.attn.W_O"].flatten(0, 1).T
    for letter in "QKVO":
        state.pop(f"blocks.0.attn.b_{letter}", None)
    state.pop("unembed.b_U", None)
    state["unembed.W_U"] = torch.cat(
        [weights["unembed.W_U"], torch.zeros(d_model, 1)], dim=1
    )
    return state


first, last = run.parameters(0), run.parameters(n_steps)
torch.save({"model": as_nanda_wrote_it(last), "epoch": n_steps - 1}, "nanda.pth")
torch.save(
    {
        "model": last,
        "checkpoints": [first, last],
        "checkpoint_epochs": [0, n_steps - 1],
        "train_indices": torch.tensor(split.train),
    },
    "demo.pth",
)
published = {name: gi.load_run(f"{name}.pth") for name in ("nanda", "demo")}
for other in published.values():
    print(other.origin, "\n")

# %% [markdown]
# The importer recognized the first file by its orientation, turned it, and cut its extra
# output. The file does not say what was trained on. But a network is surer of the pairs it was
# trained on, and on the pairs of one of the published splits this network is surer by far more
# than chance allows. So the split was **inferred**, and `origin` says from what. The second
# file names its pairs. (It numbers epochs from 0 and stores weights after the update, so its
# epoch 0 is step 1 here.)

# %%
for name, other in published.items():
    assert np.array_equal(np.sort(other.split.train), np.sort(split.train)), (
        f"{name}: other pairs"
    )

# %% [markdown]
# ## The same network by every way
#
# Now compare key frequencies and logits over all four ways.

# %%
runs = {"own loop": run, "folder of .pt": from_folder, **published}
for name, other in runs.items():
    snapshot = gi.take_snapshot(other)
    found = gi.find_key_frequencies(snapshot).frequencies
    off = (snapshot.logits - own_logits).abs().max().item()
    print(f"{name:14} key frequencies {found}, largest difference of a logit {off:.1e}")
    assert found == keys, f"{name} has other key frequencies"
    assert off < 1e-3, f"{name} computes something else"

# %%
gi.figures.plot_key_frequency_evidence(analysis)

# %% [markdown]
# A rule found the frequencies, not an eye. In the first panel the colored points hold the
# logits' power. All others lie below both lines, the smallest share that counts and the level
# that permuted pairs reach. The panels below do not count, and they agree. A different seed
# gives other frequencies; four ways of storing one network do not.
#
# ## Why nothing is unpickled
#
# A `.pt` file is a **pickle**, and a pickle is a program: while it is read, it may call any
# function by name. Here is a harmless one that only makes an empty folder. First we read it the
# careless way, to see that it works, and then with `gi.load_run`.


# %%
class Trap:
    """Makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


torch.save({"model": last, "config": Trap()}, "trap.pth")
torch.load("trap.pth", weights_only=False)
assert Path("sprung").exists(), "the trap does not work"
Path("sprung").rmdir()

before = sorted(Path().iterdir())
try:
    gi.load_run("trap.pth")
    refused = ""
except gi.CheckpointError as error:
    refused = str(error)
print(refused)
assert "would run code" in refused, "the file was not refused"
assert sorted(Path().iterdir()) == before, "a refused file left something behind"

# %% [markdown]
# The answer is one line: what is in the file, why that is a danger, and what to do. The file's
# code did not run, and nothing was left behind. The library's own checkpoints are
# **safetensors** files, which can contain nothing but tensors.
#
# ## What you saw
#
# - Any loop works. Keep state dicts by step, rename them once, and call
#   `gi.Run.from_state_dicts`.
# - Check a translation of weights by comparing logits, since a square matrix hides its
#   transpose.
# - Importers say in `run.origin` what they read, inferred and skipped. What they cannot know
#   is absent from the tables.
# - One network has the same logits and key frequencies by every way in.
# - Files are read without running code in them.
#
# ## Exercises
#
# - Leave out `train_pairs` in `from_state_dicts` and compare the columns of the two analyses.
# - Train `Adder` on subtraction (`answers = (a - b) % p`) and save it as `nanda.pth`. Does the
#   importer find the operation?
#
# All formats, and what is inferred for each:
# [importing](https://github.com/grokinterp/grokinterp/blob/main/docs/importing.md).
#
# Next: [another group](06_another_group.ipynb), where the answers are no longer numbers on a
# clock.
