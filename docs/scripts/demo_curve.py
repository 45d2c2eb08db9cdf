"""Figure: the published curve of the Grokking_Demo notebook and our run of the same settings.

python docs/scripts/demo_curve.py RUN_FOLDER docs/figures/tl_demo_curve.png

The published numbers are those printed in TransformerLens's demos/Grokking_Demo.ipynb, commit
1f8224d. Its training loss at epoch e is taken before the update (our step e), its test loss
after it (our step e + 1).
"""

import sys

import plotly.graph_objects as go

import grokinterp as gi

PUBLISHED_TRAIN = {
    99: 2.9478,
    199: 0.03195,
    499: 1.05e-3,
    999: 5.51e-6,
    1399: 4.16e-7,
    4999: 3.20e-7,
    6999: 3.09e-7,
    9999: 2.90e-7,
    11999: 2.66e-7,
    12999: 2.38e-7,
    13499: 2.08e-7,
    14999: 1.26e-7,
    16599: 1.14e-7,
    19999: 9.93e-8,
    24999: 9.454e-8,
}
PUBLISHED_TEST = {
    99: 7.5546,
    199: 20.3076,
    499: 23.78,
    999: 30.86,
    1399: 34.10,
    4999: 29.17,
    6999: 27.20,
    9999: 22.26,
    11999: 14.81,
    12999: 7.55,
    13499: 2.96,
    13999: 0.237,
    14399: 0.0120,
    14999: 1.54e-4,
    16599: 1.14e-6,
    19999: 2.61e-7,
    21599: 5.5e-7,
    24999: 2.027e-7,
}
TRAIN, TEST = "#0072B2", "#D55E00"


def main(folder: str, target: str) -> None:
    """Draw both curves and print them side by side."""
    curves = gi.load_run(folder).curves.set_index("step")
    figure = go.Figure()
    for name, color in (("train_loss", TRAIN), ("test_loss", TEST)):
        own = curves[name].dropna()
        own = own[(own.index % 20 == 0) | (own.index < 500)]
        label = name.replace("_", " ")
        figure.add_scatter(x=own.index, y=own, name=f"{label}, ours", line={"color": color})
        published = PUBLISHED_TRAIN if name == "train_loss" else PUBLISHED_TEST
        shift = 0 if name == "train_loss" else 1
        figure.add_scatter(
            x=[epoch + shift for epoch in published],
            y=list(published.values()),
            name=f"{label}, published",
            mode="markers",
            marker={"color": color, "symbol": "circle-open", "size": 10, "line": {"width": 2}},
        )
        for epoch, value in published.items():
            ours = curves[name].get(epoch + shift)
            sys.stdout.write(
                f"{name} step {epoch + shift}: published {value:.4g}, ours {ours:.4g} "
                f"({ours / value - 1:+.1%})\n"
            )
    figure.update_layout(
        title="Grokking_Demo (p = 113, 30 %): published and reproduced",
        xaxis_title="step (updates)",
        yaxis={"title": "loss (nats)", "type": "log", "exponentformat": "power"},
        template="plotly_white",
        width=1000,
        height=520,
    )
    figure.write_image(target, scale=1.5)


if __name__ == "__main__":
    main(*sys.argv[1:3])
