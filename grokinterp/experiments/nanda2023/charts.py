"""Charts of the progress measures: along one run of each modulus, and the leads of all."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from grokinterp.experiments.chart import Chart, Mark, Series
from grokinterp.experiments.nanda2023.progress_steps import CURVES_COLUMN
from grokinterp.experiments.records import Record, Runs, by, is_above, where

_LOSSES = {
    "test_loss": "test loss",
    "excluded_loss_train": "excluded loss, training pairs",
    "restricted_loss_test": "restricted loss, test pairs",
    "held_out_restricted_loss": "restricted loss by test pairs alone",
}
_ACCURACIES = {
    "test_accuracy": "all test pairs",
    "test_accuracy_unmirrored": "test pairs whose mirror image is not trained",
}
_LEADS = {
    "test_loss_lead": "test loss",
    "excluded_lead": "excluded loss",
    "restricted_lead": "restricted loss",
    "held_out_lead": "restricted loss by test pairs alone",
}


def progress_charts(runs: Runs) -> tuple[Chart, ...]:
    """Draw losses and accuracy along the first jump of each p, and all leads."""
    jumped = where(runs, lambda run: is_above(run, "jump_step", 0))
    shown = {p: of_p[0] for p, of_p in by(jumped, "p").items()}
    charts = [_lead_chart(jumped)] if jumped else []
    for p in sorted(shown):
        # A store that was moved since still has its table of leads.
        file = shown[p].get(CURVES_COLUMN)
        if isinstance(file, str) and Path(file).is_file():
            charts += _along_training(shown[p], pd.read_csv(file))
    return tuple(charts)


def _lead_chart(runs: Runs) -> Chart:
    moduli = sorted({run["p"] for run in runs})
    series = tuple(
        Series(f"{name}, p = {p}", [r["seed"] for r in of_p], [r[column] for r in of_p])
        for column, name in _LEADS.items()
        for p in moduli
        if (of_p := where(runs, p=p))
    )
    return Chart(
        "leads",
        "Steps before the jump",
        "seed",
        "lead (steps)",
        "How long before the jump of the test accuracy each loss is half way. Above 0: before.",
        series,
        marks=(Mark("y", 0.0, "the jump"),),
    )


def _along_training(run: Record, curves: pd.DataFrame) -> list[Chart]:
    curves = curves.iloc[1:]  # step 0 has no place on a logarithmic axis
    where = f"p = {run['p']}, seed {run['seed']}"
    jump = (Mark("x", float(run["jump_step"]), "jump"),)
    losses, accuracies = (
        tuple(
            Series(title, curves["step"], curves[name], kind="line")
            for name, title in names.items()
            if name in curves
        )
        for names in (_LOSSES, _ACCURACIES)
    )
    return [
        Chart(
            f"losses-p{run['p']}",
            f"Progress measures along training ({where})",
            "step",
            "loss (nats)",
            "The excluded loss rises and the restricted loss falls; the question is whether they "
            "do so before the test loss falls.",
            losses,
            is_x_log=True,
            is_y_log=True,
            marks=jump,
        ),
        Chart(
            f"accuracy-p{run['p']}",
            f"Test accuracy along training ({where})",
            "step",
            "accuracy",
            "A network that memorizes and knows a + b = b + a is right on mirrored test pairs.",
            accuracies,
            is_x_log=True,
            marks=jump,
        ),
    ]
