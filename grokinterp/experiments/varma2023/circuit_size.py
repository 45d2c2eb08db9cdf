"""What a circuit weighs and what it gives: norm of the weights, and the logits they make."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from grokinterp.experiments.curve_cells import cell_of
from grokinterp.experiments.experiment import PlannedRun
from grokinterp.fields import Number

if TYPE_CHECKING:
    from torch import Tensor

    from grokinterp.circuits import Snapshot
    from grokinterp.runs.run import Run

SCALES = tuple(float(scale) for scale in np.geomspace(0.5, 2.0, 21))
"""Factors on all weights; the one in the middle is 1."""
LAST_PART = 0.25
"""Part of training over which norms and accuracies are taken as at rest."""


def observe_circuit(run: Run, planned: PlannedRun) -> dict[str, Number]:
    """Return the columns that compare circuits trained alone.

    ``norm``, ``norm_drift``
        Norm of all trained weights: median over the checkpoints of the last quarter of
        training, and the largest less the smallest there, as a fraction of the median.
    ``correct_logit``, ``logit_per_norm``
        Correct logit minus the mean logit on the training pairs at the last checkpoint, and
        the same divided by the norm there, ``last_norm``.
    ``scaled_logits``, ``logit_degree``
        The correct logit of the same network with all weights multiplied by a factor, as
        ``factor:logit`` separated by spaces; and the exponent with which it grows at the factor 1:
        the number of layers in a network that is homogeneous.
    ``fraction_logit_power_of_sum``
        Fraction of the power of the logits, centered per pair and per answer, that depends on
        a + b alone, so lies in the span of all cos w_k(a+b) and sin w_k(a+b): the
        trigonometric subspace of Varma et al. Logits that know nothing of it have 1/p. None
        without a sum to depend on.
    ``late_accuracy``, ``lowest_accuracy``, ``highest_accuracy``
        On the test pairs whose mirror image is not trained: median over the last quarter, and
        the extremes over the second half of training. None where there are no such pairs.

    References
    ----------
    Varma et al., "Explaining grokking through circuit efficiency", arXiv:2309.02390, section 4.
    """
    from grokinterp.circuits import take_snapshot
    from grokinterp.runs.weights import trained_norm

    norms = np.array([trained_norm(run, step) for step in _steps_of_last(run, LAST_PART)])
    last = take_snapshot(run)
    logit = _correct_logit(last.logits, last)
    norm_there = trained_norm(run, last.step)
    scaled = _scaled_logits(run, last)
    return {
        "norm": float(np.median(norms)),
        "norm_drift": float((norms.max() - norms.min()) / np.median(norms)),
        "correct_logit": logit,
        "logit_per_norm": logit / norm_there,
        "last_norm": norm_there,
        "scaled_logits": cell_of(scaled),
        "logit_degree": _degree(scaled),
        "fraction_logit_power_of_sum": None if last.view is None else _share_of_sum(last),
        **_unmirrored_accuracies(run),
    }


def _steps_of_last(run: Run, part: float) -> list[int]:
    return [step for step in run.steps if step >= (1 - part) * run.last_step]


def _correct_logit(logits: Tensor, snapshot: Snapshot) -> float:
    """Correct logit minus the mean over the answers, averaged over the training pairs."""
    logits, labels = logits.double(), snapshot.labels
    above = logits.gather(1, labels[:, None])[:, 0] - logits.mean(dim=1)
    return float(above[snapshot.pair_mask("train")].mean())


def _scaled_logits(run: Run, snapshot: Snapshot) -> list[tuple[float, float]]:
    """Factors on all trained weights, and the correct logits that they give."""
    from grokinterp.errors import ConfigError
    from grokinterp.models import MlpSpec, ModelSpec
    from grokinterp.runs.network import Network

    if not isinstance(run.spec, ModelSpec | MlpSpec):
        raise ConfigError(
            "only weights can be scaled. Choose a run of a transformer or perceptron."
        )
    network = Network(run.spec, run.split.task)
    weights, inputs = run.parameters(snapshot.step), network.inputs
    found = []
    for scale in SCALES:
        scaled = {n: w * scale if network.is_trained(n) else w for n, w in weights.items()}
        logits = network.answers(network.outputs(scaled, inputs))
        found.append((scale, _correct_logit(logits, snapshot)))
    return found


def _degree(scaled: list[tuple[float, float]]) -> float | None:
    """Slope of log logit against log factor, between the neighbors of 1."""
    middle = len(scaled) // 2
    (low, less), (high, more) = scaled[middle - 1], scaled[middle + 1]
    return math.log(more / less) / math.log(high / low) if less > 0 and more > 0 else None


def _share_of_sum(snapshot: Snapshot) -> float:
    by_sum = snapshot.logits_by_sum.double()
    centered = by_sum - by_sum.mean(dim=2, keepdim=True)
    centered = centered - centered.mean(dim=(0, 1))
    power = float(centered.square().mean())
    return float(centered.mean(dim=1).square().mean()) / power if power > 0 else 0.0


def _unmirrored_accuracies(run: Run) -> dict[str, Number]:
    """Accuracies along the end of training on pairs that commutativity alone cannot answer."""
    from grokinterp.runs.accuracy import accuracy_on, rows_by_mirror

    names = ("late_accuracy", "lowest_accuracy", "highest_accuracy")
    rows = rows_by_mirror(run)["unmirrored"]
    if not len(rows):
        return dict.fromkeys(names)
    half = [accuracy_on(run, step, rows) for step in _steps_of_last(run, 0.5)]
    late = half[-len(_steps_of_last(run, LAST_PART)) :]
    return dict(zip(names, (float(np.median(late)), min(half), max(half)), strict=True))
