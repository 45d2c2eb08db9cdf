"""Time of one training step at p = 113, 30 %, beside the loop of the Grokking_Demo notebook.

python docs/scripts/step_time.py --peer-python PYTHON [--rounds 3] [--n-threads 2]

PYTHON is an interpreter with transformer-lens 3.9. Each side runs in a process of its own,
one after the other, in alternating rounds, so that both see the same noise of the machine.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

OURS = """
import dataclasses, json, sys, time, torch
n_threads, n_steps = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(n_threads)
import grokinterp as gi
from grokinterp.models.initialization import initial_parameters, is_trained
from grokinterp.runs.network import Network
from grokinterp.training.loop import batches_of
from grokinterp.training.pair_table_step import PairTableStep
from grokinterp.models.pair_tables import pair_logits
from grokinterp.training.loss import cross_entropy

config = gi.PRESETS["tl_demo"]
task = gi.Task(config.task)
batches = batches_of(Network(config.model, task), gi.draw_split(task), "cpu")
parameters = initial_parameters(config.model, d_vocab=114, n_ctx=3, d_vocab_out=113)
trained = [v.requires_grad_() for n, v in parameters.items() if is_trained(n, config.model)]
step = PairTableStep(parameters, config.model, *batches["train"], "float64")
optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=1.0, betas=(.9, .98), fused=True)

def update(with_test):
    loss = step.loss_and_gradients()
    optimizer.step()
    if with_test:
        with torch.no_grad():
            pairs, labels = batches["test"]
            logits = pair_logits(parameters, config.model, pairs)
            cross_entropy(logits, labels, "float64").item()
    return loss

out = {}
for with_test in (False, True):
    for _ in range(5):
        update(with_test)
    times = []
    for _ in range(n_steps):
        start = time.perf_counter()
        loss = update(with_test)
        times.append(time.perf_counter() - start)
    out["with test" if with_test else "train only"] = sorted(times)[len(times) // 2]
print(json.dumps(out))
"""

PEER = """
import json, sys, time, warnings, torch
warnings.simplefilter("ignore")
n_threads, n_steps = int(sys.argv[1]), int(sys.argv[2])
torch.set_num_threads(n_threads)
from transformer_lens import HookedTransformer, HookedTransformerConfig
p = 113
cfg = HookedTransformerConfig(
    n_layers=1, n_heads=4, d_model=128, d_head=32, d_mlp=512, act_fn="relu",
    normalization_type=None, d_vocab=p + 1, d_vocab_out=p, n_ctx=3, init_weights=True,
    device="cpu", seed=999)
model = HookedTransformer(cfg)
for name, parameter in model.named_parameters():
    if "b_" in name:
        parameter.requires_grad = False
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1.0, betas=(.9, .98))
a = torch.arange(p).repeat_interleave(p); b = torch.arange(p).repeat(p)
dataset = torch.stack([a, b, torch.full_like(a, p)], dim=1)
labels = (a + b) % p
torch.manual_seed(598)
order = torch.randperm(p * p)
cut = int(p * p * .3)
train, test = order[:cut], order[cut:]

def loss_fn(logits, labels):
    logits = logits[:, -1].to(torch.float64)
    return -logits.log_softmax(-1).gather(-1, labels[:, None])[:, 0].mean()

def update(with_test):
    loss = loss_fn(model(dataset[train]), labels[train])
    loss.backward()
    value = loss.item()
    optimizer.step()
    optimizer.zero_grad()
    if with_test:
        with torch.inference_mode():
            loss_fn(model(dataset[test]), labels[test]).item()
    return value

out = {}
for with_test in (False, True):
    for _ in range(3):
        update(with_test)
    times = []
    for _ in range(n_steps):
        start = time.perf_counter()
        update(with_test)
        times.append(time.perf_counter() - start)
    out["with test" if with_test else "train only"] = sorted(times)[len(times) // 2]
print(json.dumps(out))
"""


def measure(python: str, code: str, *words: int) -> dict[str, float]:
    """Run one side in a fresh interpreter; return its median seconds per step."""
    result = subprocess.run(
        [python, "-c", code, *map(str, words)], capture_output=True, text=True, check=True
    )
    return json.loads(result.stdout.strip().splitlines()[-1])


def main() -> None:
    """Alternate both sides and print milliseconds and ratios of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True, type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--n-threads", type=int, default=2)
    arguments = parser.parse_args()
    ours, peer = [], []
    for _ in range(arguments.rounds):
        peer.append(measure(str(arguments.peer_python), PEER, arguments.n_threads, 20))
        ours.append(measure(sys.executable, OURS, arguments.n_threads, 100))
    for name in ("train only", "with test"):
        a = [1e3 * r[name] for r in ours]
        b = [1e3 * r[name] for r in peer]
        ratio = statistics.median(b) / statistics.median(a)
        sys.stdout.write(
            f"{name}: ours {min(a):.1f} to {max(a):.1f} ms, "
            f"TransformerLens 3.9 {min(b):.0f} to {max(b):.0f} ms, ratio of medians {ratio:.1f}\n"
        )


if __name__ == "__main__":
    main()
