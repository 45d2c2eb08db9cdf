"""Print how runs from one seed differ by rounding alone: curves, key frequencies, neurons.

python docs/scripts/rounding_table.py NAME=RUN[@STEP] [NAME=RUN[@STEP] ...]

Two tables in Markdown with a row for each run: its curve, and its network at STEP (its last kept).
"""

import sys

import grokinterp as gi
from grokinterp.circuits.key_frequencies import logit_power_shares, neurons_by_frequency
from grokinterp.trajectory import milestones_of

STEPS = (200, 1000, 5000, 9000, 12_500)


def loss_in_words(loss: float) -> str:
    """Return a loss as a reader writes it."""
    return f"{loss:.2e}".replace("e-0", "e-") if loss < 0.01 else f"{loss:.4g}"


def curve_row(name: str, run: gi.Run) -> list[str]:
    """Test losses, when they are half of their largest for good, and the grokking step."""
    loss = run.curves.set_index("step")["test_loss"].dropna()
    at = [loss_in_words(loss[step]) if step in loss else "" for step in STEPS]
    late = loss[loss.index > loss.idxmax()]
    above = late[late >= loss.max() / 2]
    half = late.index[late.index > above.index[-1]][0] if len(above) < len(late) else None
    grokking = milestones_of(run).grokking_step
    return [name, *at, *("" if step is None else f"{step:,}" for step in (half, grokking))]


def network_row(name: str, run: gi.Run, step: int | None) -> list[str]:
    """Key frequencies with their shares of the logits' power, and neurons by key."""
    snapshot = gi.take_snapshot(run, step)
    keys = gi.find_key_frequencies(snapshot).frequencies
    shares, counts = logit_power_shares(snapshot), neurons_by_frequency(snapshot)
    rest = max(float(share) for k, share in enumerate(shares, 1) if k not in keys)
    return [
        name,
        f"{snapshot.step:,}",
        ", ".join(str(k) for k in keys),
        ", ".join(f"{100 * float(shares[k - 1]):.1f}" for k in keys) + " %",
        f"{100 * rest:.2g} %",
        ", ".join(str(int(counts[k - 1])) for k in keys),
    ]


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def main(runs: dict[str, str]) -> None:
    """Print both tables."""
    curves, networks = [], []
    for name, path in runs.items():
        folder, _, step = path.partition("@")
        run = gi.load_run(folder)
        curves.append(curve_row(name, run))
        networks.append(network_row(name, run, int(step) if step else None))
    at = [f"{step:,}" for step in STEPS]
    header = ["run", f"test loss at {at[0]}", *at[1:], "half of its largest from", "95 % from"]
    sys.stdout.write(markdown(header, curves) + "\n")
    header = ["run", "step", "key frequencies", "their shares", "largest other", "neurons by key"]
    sys.stdout.write(markdown(header, networks))


if __name__ == "__main__":
    main(dict(argument.split("=", 1) for argument in sys.argv[1:]))
