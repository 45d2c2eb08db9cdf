"""The runs, the tables and the figure of docs/comparing.md.

python docs/scripts/comparison.py RUNS docs/figures/comparison.png
"""

import dataclasses
import sys
from pathlib import Path

import grokinterp as gi


def main(folder: str, picture: str) -> None:
    """Train three weight decays with two seeds each, compare them, and draw them."""
    base = gi.TrainConfig(
        task=gi.TaskSpec(p=31, train_fraction=0.7),
        model=gi.ModelSpec(d_model=64, n_heads=4, d_head=16, d_mlp=256),
        optimizer=gi.OptimizerSpec(learning_rate=3e-3),
        n_steps=3000,
    )
    folders = []
    for decay in (0.0, 0.25, 1.0):
        for seed in (0, 1):
            config = dataclasses.replace(
                base,
                task=dataclasses.replace(base.task, split_seed=seed),
                model=dataclasses.replace(base.model, init_seed=seed),
                optimizer=dataclasses.replace(base.optimizer, weight_decay=decay),
            )
            folders.append(Path(folder) / f"wd{decay:g}_seed{seed}")
            gi.train(config, folders[-1])
    analyses = [gi.analyze_run(gi.load_run(path), deep=False) for path in folders]
    table = gi.compare(analyses)
    columns = ["run", "outcome_kind", "grokking_step", "censored_at", "sum_squared_weights"]
    sys.stdout.write(table[columns].to_string(index=False) + "\n\n")
    settings = gi.compare_settings(analyses)
    columns = ["setting", "n_runs", "n_censored", "grokking_step", "grokking_step_low"]
    sys.stdout.write(settings[columns].to_string(index=False) + "\n")
    gi.write_comparison(analyses, Path(folder) / "comparison")
    figure = gi.figures.plot_compared_accuracies(analyses)
    figure.write_image(picture, width=900, height=420, scale=1.4)


if __name__ == "__main__":
    main(*sys.argv[1:3])
