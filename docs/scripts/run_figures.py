"""Figures of one analyzed run as PNG: losses, circuit losses, embedding spectrum.

python docs/scripts/run_figures.py RUN_FOLDER docs/figures/NAME
"""

import sys

import grokinterp as gi

FIGURES = {
    "losses": "plot_losses",
    "circuit_losses": "plot_restricted_and_excluded_loss",
    "embedding": "plot_embedding_heatmap",
    "weights": "plot_sum_squared_weights",
}


def main(folder: str, stem: str) -> None:
    """Write STEM_losses.png and its siblings."""
    analysis = gi.analyze_run(gi.load_run(folder))
    for name, function in FIGURES.items():
        figure = getattr(gi.figures, function)(analysis)
        figure.write_image(f"{stem}_{name}.png", width=1000, height=480, scale=1.3)


if __name__ == "__main__":
    main(*sys.argv[1:3])
