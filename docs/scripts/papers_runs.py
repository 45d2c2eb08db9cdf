"""Figure and numbers of a run as the papers train: accuracies over a logarithmic axis of steps.

python docs/scripts/papers_runs.py RUN_FOLDER docs/figures/NAME.png

Prints the first tests above 95 and 99 %, how often the test accuracy fell afterwards, and the
spikes of the batch loss.
"""

import sys

import pandas as pd
import plotly.graph_objects as go

import grokinterp as gi
from grokinterp.figures.lines import MAX_POINTS
from grokinterp.figures.style import SPLIT_COLORS
from grokinterp.thinning import thin_points
from grokinterp.trajectory.slingshots import find_spikes

FELL_BELOW = (0.99, 0.95, 0.5)


def say(*words: object) -> None:
    """Write a line."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")


def first_test(tested: pd.DataFrame, column: str, level: float) -> int | None:
    """Step of the first test at which an accuracy is at least `level`."""
    reached = tested.loc[tested[column] >= level, "step"]
    return int(reached.iloc[0]) if len(reached) else None


def main(folder: str, target: str) -> None:
    """Draw the accuracies and print what happened."""
    curves = gi.load_run(folder).curves
    tested = curves.dropna(subset=["test_accuracy"])
    say("last step", int(curves["step"].iloc[-1]), "tests", len(tested))
    for side in ("train", "test"):
        steps = {level: first_test(tested, f"{side}_accuracy", level) for level in (0.95, 0.99)}
        say(side, "first at", steps, "best", tested[f"{side}_accuracy"].max())
    generalized = first_test(tested, "test_accuracy", 0.99)
    if generalized is not None:
        later = tested.loc[tested["step"] > generalized, "test_accuracy"]
        say("later tests", len(later), {low: int((later < low).sum()) for low in FELL_BELOW})
    spikes = find_spikes(curves)
    gaps = pd.Series([spike.onset_step for spike in spikes]).diff().dropna()
    say(len(spikes), "spikes, first", [spike.onset_step for spike in spikes[:5]])
    say("steps between, quartiles", gaps.quantile([0.25, 0.5, 0.75]).tolist())
    figure = go.Figure()
    for side in ("train", "test"):
        points = (tested[name].to_numpy() for name in ("step", f"{side}_accuracy"))
        x, y = thin_points(*points, MAX_POINTS)
        line = {"color": SPLIT_COLORS[side], "width": 1.2}
        figure.add_trace(go.Scatter(x=x[1:], y=y[1:], name=side, mode="lines", line=line))
    figure.update_xaxes(title="step", type="log")
    figure.update_yaxes(title="accuracy", range=[-0.02, 1.02])
    figure.update_layout(template="plotly_white", margin={"t": 30, "r": 20})
    figure.write_image(target, width=1000, height=420, scale=1.3)


if __name__ == "__main__":
    main(*sys.argv[1:3])
