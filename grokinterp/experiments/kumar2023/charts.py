"""Charts of losses, kernels and norms along training, by output scale."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from grokinterp.experiments.chart import Chart, Series
from grokinterp.experiments.curve_cells import points_of
from grokinterp.experiments.records import Record

COMMITTEE, ADDITION = "committee", "addition"
"""Values of the column ``arm``."""
_ALONG_TRAINING = "step (the first is drawn at 1)"


def lazy_charts(committee: Mapping[float, list[Record]]) -> tuple[Chart, ...]:
    """Charts of one run of each output scale: losses; kernel drift and alignment; norm."""
    if not committee:
        return ()
    return (
        _delays(committee),
        _floors(committee),
        _losses(committee),
        _kernel(committee, "kernel-drift", "Drift of the kernel", "|K - K_0| / |K_0|", 1),
        _kernel(committee, "alignment", "Alignment of the kernel", "alignment with the targets", 2),
        _kernel(committee, "norm", "Norm of the weights", "norm / first norm", 4),
    )


def _delays(committee: Mapping[float, list[Record]]) -> Chart:
    runs = [run for at in committee.values() for run in at]
    alphas = [run["output_scale"] for run in runs]
    fallen = [run["test_fall_step"] is None for run in runs]
    return Chart(
        "fall-against-alpha",
        "When the losses fall, by output scale",
        "output scale alpha",
        "steps",
        "Every run: its losses fall below 10 % of their first values. Open triangles: the test "
        "loss has not by that step.",
        (
            Series("training loss", alphas, [run["train_fall_step"] for run in runs], role="train"),
            Series(
                "test loss",
                alphas,
                [run["test_fall_step"] or run["last_step"] for run in runs],
                is_censored=fallen,
                role="test",
            ),
        ),
        is_x_log=True,
        is_y_log=True,
    )


def _floors(committee: Mapping[float, list[Record]]) -> Chart:
    runs = [run for at in committee.values() for run in at]
    alphas = [run["output_scale"] for run in runs]

    def shares(column: str) -> list[float | None]:
        return [
            run[column] / run["first_test_loss"]
            if run[column] is not None and run["first_test_loss"]
            else None
            for run in runs
        ]

    return Chart(
        "end-against-kernel",
        "Where the test loss ends, and where the first kernel does",
        "output scale alpha",
        "last test loss / first test loss",
        "Every run. Regression with the kernel of its initial weights, stopped at the run's last "
        "step: what a network that stays lazy ends at.",
        (
            Series("network", alphas, shares("test_loss"), role="test"),
            Series("regression with the first kernel", alphas, shares("kernel_loss")),
        ),
        is_x_log=True,
        is_y_log=True,
    )


def _losses(committee: Mapping[float, list[Record]]) -> Chart:
    series = []
    for color, (alpha, runs) in enumerate(committee.items()):
        points = points_of(runs[0]["loss_points"], 3)
        # A log axis has no place for step 0.
        steps = np.maximum(points[:, 0], 1)
        for column, name, is_dashed in ((1, "training", True), (2, "test", False)):
            series.append(
                Series(
                    f"{name}, alpha {alpha:g}",
                    steps,
                    points[:, column],
                    kind="line",
                    color_index=color,
                    is_dashed=is_dashed,
                )
            )
    return Chart(
        "losses",
        "Training and test loss by output scale",
        _ALONG_TRAINING,
        "mean squared error",
        "One run for each alpha; the training loss is dashed. Time in function space is the same "
        "for all of them.",
        tuple(series),
        is_x_log=True,
        is_y_log=True,
    )


def _kernel(
    committee: Mapping[float, list[Record]], name: str, title: str, y_title: str, column: int
) -> Chart:
    series = []
    for color, (alpha, runs) in enumerate(committee.items()):
        points = points_of(runs[0]["kernel_points"], 5)
        steps = np.maximum(points[:, 0], 1)
        series.append(
            Series(f"alpha {alpha:g}", steps, points[:, column], kind="line", color_index=color)
        )
    return Chart(
        name,
        f"{title} by output scale",
        _ALONG_TRAINING,
        y_title,
        "One run for each alpha, at its checkpoints. Kernels are of test points.",
        tuple(series),
        is_x_log=True,
    )
