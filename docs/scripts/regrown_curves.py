"""Figure: test losses of the published low-precision run beside ours, and of seed 0 by precision.

python docs/scripts/regrown_curves.py PUBLISHED.pth SEED_1_RUN docs/figures/regrown.png NAME=RUN ...

PUBLISHED.pth is low_precision_mod_addition.pth of Nanda et al. 2023, whose seed is 1. The named
runs are of seed 0.
"""

import sys

import pandas as pd
from plotly.subplots import make_subplots

import grokinterp as gi

COLORS = ("#666666", "#E69F00", "#0072B2", "#D55E00", "#009E73", "#CC79A7")
LAST, EVERY = 15_000, 50
"""Steps that are drawn: up to the first, every so many."""


def drawn(run: gi.Run) -> pd.Series:
    """Test loss of a run at the steps that are drawn."""
    loss = run.curves.set_index("step")["test_loss"].dropna()
    return loss[(loss.index <= LAST) & (loss.index % EVERY == 0)]


def main(published: str, seed_1: str, target: str, *seed_0: str) -> None:
    """Draw the two panels."""
    titles = ("seed 1: published and regrown", "seed 0: regrown in several precisions")
    figure = make_subplots(cols=2, subplot_titles=titles, horizontal_spacing=0.08)
    runs = [("seed 1, published", published), ("seed 1, ours", seed_1)]
    runs += [(name, path) for name, path in (named.split("=", 1) for named in seed_0)]
    for i, (name, path) in enumerate(runs):
        loss = drawn(gi.load_run(path))
        line = {"color": COLORS[i], "width": 1.5}
        figure.add_scatter(x=loss.index, y=loss, name=name, line=line, row=1, col=1 + (i > 1))
    figure.update_xaxes(title="step (updates)")
    figure.update_yaxes(title="test loss (nats)", type="log", exponentformat="power")
    figure.update_layout(template="plotly_white", width=1100, height=460, margin={"t": 40})
    figure.update_layout(legend={"orientation": "h", "y": -0.25})
    figure.write_image(target, scale=1.2)


if __name__ == "__main__":
    main(*sys.argv[1:])
