"""The README's picture: one run at a glance, from its accuracies to its key frequencies.

python docs/scripts/overview_picture.py ckpts/quick docs/figures/overview.png
"""

import sys
from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

import grokinterp as gi
from grokinterp.figures.style import (
    KEY_COLORS,
    LOSS_TITLE,
    OTHER_COLOR,
    PHASE_TINTS,
    SPLIT_COLORS,
    STEP_TITLE,
    TEMPLATE,
)


def main(folder: str, path: str) -> None:
    """Draw the accuracies, the losses of both circuits and the spectrum of the embedding."""
    analysis = gi.analyze_run(gi.load_run(folder), deep=False)
    keys, phases = analysis.key_frequencies.frequencies, analysis.phases
    titles = (
        "It memorizes, then it groks",
        "Two circuits trade places before that",
        f"Key frequencies: {', '.join(map(str, keys))}",
    )
    figure = make_subplots(rows=1, cols=3, subplot_titles=titles, horizontal_spacing=0.07)
    curves = analysis.run.curves.dropna(subset=["test_loss"])
    trajectory = analysis.trajectory
    for split in ("train", "test"):
        for column, quantity in ((1, "accuracy"), (2, "loss")):
            figure.add_scatter(
                x=curves["step"],
                y=curves[f"{split}_{quantity}"],
                name=split,
                line={"color": SPLIT_COLORS[split], "width": 2.4 if column == 1 else 1.4},
                showlegend=column == 1,
                row=1,
                col=column,
            )
    chance = 1 / analysis.run.task.n_classes
    figure.add_hline(y=chance, line={"color": OTHER_COLOR, "dash": "dot"}, row=1, col=1)
    for column, name, split, dash in (
        ("restricted_loss_test", "trigonometric circuit alone, test", "test", "dash"),
        ("excluded_loss_train", "without the trigonometric circuit, train", "train", "dot"),
    ):
        line = {"color": SPLIT_COLORS[split], "width": 2.4, "dash": dash}
        figure.add_scatter(
            x=trajectory["step"], y=trajectory[column], name=name, line=line, row=1, col=2
        )
    for column in (1, 2):
        for name, tint in PHASE_TINTS.items():
            first, last = getattr(phases, name)
            figure.add_vrect(
                x0=first, x1=last, fillcolor=tint, line_width=0, layer="below", row=1, col=column
            )
        figure.update_xaxes(title=STEP_TITLE, row=1, col=column)
    figure.update_yaxes(title="accuracy (dotted: chance)", row=1, col=1)
    figure.update_yaxes(title=LOSS_TITLE, type="log", exponentformat="power", row=1, col=2)
    last = analysis.by_frequency[analysis.by_frequency["step"] == trajectory["step"].iloc[-1]]
    colors = [
        KEY_COLORS[keys.index(k)] if k in keys else OTHER_COLOR for k in last["frequency"].tolist()
    ]
    bars = go.Bar(
        x=last["frequency"], y=last["embedding_norm"], marker={"color": colors}, showlegend=False
    )
    figure.add_trace(bars, row=1, col=3)
    figure.update_xaxes(title="frequency", row=1, col=3)
    figure.update_yaxes(title="norm in the embedding", row=1, col=3)
    figure.update_layout(
        template=TEMPLATE,
        margin={"l": 60, "r": 20, "t": 44, "b": 96},
        legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.write_image(path, width=1320, height=400, scale=1.4)


if __name__ == "__main__":
    main(*sys.argv[1:3])
