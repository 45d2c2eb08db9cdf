"""Write docs/gallery.md and a picture of every figure of ``gi.figures``.

python docs/scripts/gallery.py make RUNS   # trains what is missing in RUNS, and draws
python docs/scripts/gallery.py check       # names the figures that the page lacks; draws nothing

Each picture is drawn by the very line that the page shows.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

import grokinterp as gi

HERE = Path(__file__).resolve().parents[1]
PAGE, PICTURES = HERE / "gallery.md", HERE / "figures" / "gallery"
WIDTH = 760

OPENING = """# Gallery

On this page you find the picture that you want, and the line above it draws it. Every figure of
`gi.figures` is here.
Each function returns a plotly figure, which a notebook shows and `figure.write_html(path)` saves.

`analysis` is that of the preset `quick` (addition modulo 59), `snapshot` its last checkpoint and
`keys` its key frequencies. `group_analysis` is of a network on the permutations of four things.
`first`, `second` and `third` are three seeds of addition modulo 23. A figure that has nothing to
draw says why in one sentence.
"""

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "A run": {
        "plot_story": ("The one figure that says most; `analysis.plot()`.", "(analysis)"),
        "plot_losses": ("Train and test loss, with the phases shaded.", "(analysis)"),
        "plot_accuracies": ("Train and test accuracy.", "(analysis)"),
        "plot_mirrored_accuracies": (
            "Test pairs whose mirror image is trained, and the others.",
            "(first)",
        ),
        "plot_gini": ("How sparse the Fourier norms of the weights are.", "(analysis)"),
        "plot_sum_squared_weights": ("Size of every weight matrix.", "(analysis)"),
        "plot_further_measures": ("The remaining measures, one panel each.", "(analysis)"),
        "plot_columns": (
            "Columns of the trajectory below the losses, such as a measure of your own.",
            '(analysis, ["gini_W_E", "gini_W_L"], y_title="Gini coefficient")',
        ),
    },
    "The task, and one pair": {
        "plot_answer_table": (
            "The table of answers, and the part that is trained.",
            "(run.task, run.split)",
        ),
        "plot_waves": ("Waves that agree at one answer.", "(59, keys.frequencies, answer=35)"),
        "plot_pair_logits": (
            "What each key frequency adds to the logits of a pair.",
            "(snapshot, keys, 15, 20)",
        ),
        "plot_characters": (
            "Characters in place of waves, in a group that is not cyclic.",
            '(group_analysis.run.task, ["sign", "standard"], 1, 3)',
        ),
    },
    "Spectra and key frequencies": {
        "plot_embedding_spectrum": (
            "Norm of the embedding by frequency, with a slider over the steps.",
            "(analysis)",
        ),
        "plot_embedding_heatmap": ("The same along training.", "(analysis)"),
        "plot_embedding_circles": (
            "The residues in the plane of each key frequency.",
            "(snapshot, keys)",
        ),
        "plot_key_frequency_evidence": ("Why a frequency is key.", "(analysis)"),
        "plot_frequency_life": (
            "Births and deaths of frequencies along training, with the events.",
            "(analysis)",
        ),
        "plot_representations": ("Representations along training.", "(group_analysis)"),
        "plot_logit_power": (
            "How the logits' power is shared among the representations.",
            "(group_analysis)",
        ),
    },
    "The circuit": {
        "plot_restricted_and_excluded_loss": (
            "The trigonometric circuit alone, and the network without it.",
            "(analysis)",
        ),
        "plot_excluded_loss_by_frequency": ("The same for each key frequency.", "(analysis)"),
        "plot_circuit_strength": ("Both circuits against each other.", "(analysis)"),
        "plot_circuit_stages": ("The loss after each stage is replaced.", "(analysis)"),
        "plot_ablations": ("The loss without each circuit and frequency.", "(analysis)"),
        "plot_component_ablations": ("The loss without heads and paths.", "(analysis)"),
        "plot_neurons": ("How many neurons belong to each frequency.", "(analysis)"),
        "plot_neuron_phases": ("Phases of the neurons, in against out.", "(analysis)"),
        "plot_coset_neurons": ("Neurons on cosets, against chance.", "(group_analysis)"),
        "plot_logits_explained": ("How much of the logits is waves.", "(analysis)"),
        "plot_correct_logits": ("The right answer's logit under each formula.", "(analysis)"),
        "plot_mode_families": (
            "Functions of a + b, of a - b, of one operand, and the rest.",
            "(analysis)",
        ),
        "plot_extraction_curve": (
            "When in training the formula exists.",
            "(gi.extraction_curve(run, keys, every=4))",
        ),
    },
    "How degenerate the minimum is": {
        "plot_learning_coefficient": (
            "Chains, and the settings that were tried. These chains have not mixed.",
            "(gi.local_learning_coefficient(snapshot, n_betas=[2], step_sizes=[1e-4, 1e-3]))",
        ),
        "plot_learning_coefficient_curve": (
            "Along a run, where a checkpoint has a value. These two have none.",
            "(gi.learning_coefficient_curve(first.run, n_beta=2, step_size=1e-3, every=40))",
        ),
    },
    "Several runs": {
        "plot_compared_losses": ("Losses of several runs.", "([first, second, third])"),
        "plot_compared_accuracies": ("Accuracies of several runs.", "([first, second, third])"),
        "plot_compared": ("One measure of several runs.", '([first, second, third], "gini_W_E")'),
        "plot_grokking_steps": ("When each run memorized and grokked.", "([first, second, third])"),
        "plot_league": ("How early each measure warns, and how often in vain.", "(gi.league())"),
        "plot_chart": (
            "The chart of an experiment, from plain data.",
            '(Chart("t", "A law", "λ", "T (steps)", "", (Series("runs", [0.5, 1], [40, 20]),)))',
        ),
    },
}
"""By section and function: what one sees, and the arguments."""


def lacking() -> list[str]:
    """Return the figures of ``gi.figures`` that the page does not have."""
    shown = {name for section in SECTIONS.values() for name in section}
    return sorted({n for n in gi.figures.__all__ if n.startswith("plot_")} ^ shown)


def subjects(folder: Path) -> dict[str, Any]:
    """Return what the lines of the page use; runs that are not in the folder are trained."""
    run = gi.train(gi.PRESETS["quick"], folder / "quick", progress=False)
    small = gi.TrainConfig(
        task=gi.TaskSpec(p=23, train_fraction=0.7, split_unit="ordered_pairs"),
        model=gi.ModelSpec(d_model=64, n_heads=4, d_head=16, d_mlp=256),
        optimizer=gi.OptimizerSpec(learning_rate=5e-3),
        n_steps=1500,
    )
    seeds = [
        dataclasses.replace(small, model=dataclasses.replace(small.model, init_seed=seed))
        for seed in range(3)
    ]
    group = dataclasses.replace(
        small,
        task=gi.TaskSpec(operation="permutation_composition", degree=4, train_fraction=0.9),
        pressures=gi.PressureSpec(dropout=0.3),
    )
    analyses = [
        gi.analyze_run(gi.train(config, folder / f"{config.hash()}", progress=False))
        for config in (*seeds, group)
    ]
    analysis = gi.analyze_run(run)
    return {
        "gi": gi,
        "Chart": gi.experiments.Chart,
        "Series": gi.experiments.Series,
        "run": run,
        "analysis": analysis,
        "snapshot": gi.take_snapshot(run),
        "keys": analysis.key_frequencies,
        **dict(zip(("first", "second", "third", "group_analysis"), analyses, strict=True)),
    }


def make(folder: Path, *, keep: bool) -> None:
    """Draw every picture and write the page; those that exist may be kept."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    names, lines = subjects(folder), [OPENING]
    for title, section in SECTIONS.items():
        lines.append(f"## {title}\n")
        for name, (shows, arguments) in section.items():
            line = f"gi.figures.{name}{arguments}"
            picture = PICTURES / f"{name.removeprefix('plot_')}.png"
            if not (keep and picture.exists()):
                figure = eval(line, names)
                figure.write_image(picture, width=WIDTH, height=figure.layout.height, scale=1)
            lines.append(f"### {name}\n\n{shows}\n\n    {line}\n")
            lines.append(f"![{shows}](figures/gallery/{picture.name})\n")
    PAGE.write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Make the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("make", "check"))
    parser.add_argument("runs", type=Path, nargs="?", default=Path("ckpts/gallery"))
    parser.add_argument("--keep", action="store_true", help="draw only what is missing")
    arguments = parser.parse_args()
    if lacking():
        sys.exit(f"not in the gallery, or not in gi.figures: {', '.join(lacking())}")
    if arguments.what == "make":
        make(arguments.runs, keep=arguments.keep)


if __name__ == "__main__":
    main()
