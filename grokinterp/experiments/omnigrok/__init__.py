"""Grokking read from the norm of the weights, and what later work found against the reading.

Liu, Michaud and Tegmark, "Omnigrok: grokking beyond algorithmic data", ICLR 2023,
arXiv:2210.01117: at a fixed norm w of all weights the lowest training loss is L-shaped in w and
the test loss that goes with it U-shaped; initial weights far outside the "Goldilocks" norm memorize
there and generalize late, when decay has brought them down. Hence images can be made to grok by
large initial weights, and grokking on modular addition goes away when the norm is held. Later work
(arXiv:2606.13753) holds the norm too and finds that a larger one delays grokking exponentially:
a clock, not a gate. A large norm also makes the gradient of cross-entropy vanish once the training
pairs are known, which may stop an optimizer whatever the norm itself does; so the two are told
apart. Perceptrons are trained on handwritten digits, and a one-layer transformer on addition
modulo 37.

Prediction
----------
1. Digits, norm held at w times that of standard initial weights: the training loss is large at
   small w and near zero from a corner on; the test loss has its lowest value inside and is at
   least twice as large at both ends.
2. Digits, initial weights times 8, with weight decay: the test accuracy passes 85 % at least 3
   times as late as the training accuracy passes 99 %; with standard initial weights it does not
   come later. This is a partial grok, from about 0.7, not from chance.
3. Addition, norm held at that of standard initial weights, no decay: T_grok / T_fit is near 1 (in
   the paper 300 to 350 steps against 260), while with weight decay 1 and a free norm it is 2 or
   more, and T_grok later.
4. Addition, norm held at larger values rho, no decay: grokking is not removed but delayed,
   log T_grok growing in proportion to the norm (later work: T_grok proportional to exp(7.5 rho),
   rho the norm relative to that at grokking).
5. If the norm itself is a clock, the same holds where updates do not vanish with the gradient:
   with an epsilon of 1e-20 in Adam instead of 1e-8.

Criterion
---------
T_fit is the first tested step with a training accuracy of at least 99 %, T_grok the first with a
test accuracy above 95 %. Every claim needs at least 2 seeds in each of its conditions, or it is
inconclusive; medians are over seeds, a run that did not get there counting as later than all.

1. On the medians at each w. Confirmed when the training loss at the smallest w is at least 10
   times that where the test loss is lowest, the highest training loss at any larger w is at most
   0.01 of that at the smallest, and the test loss at each end is at least 2 times its lowest. Not
   confirmed when the lowest test loss is at an end, an end is below 1.2 times the lowest, or that
   highest training loss is above 0.1 of that at the smallest and did not halve over the last half
   of training: one that did is not the lowest of its norm. Otherwise inconclusive. Judged for
   cross-entropy; the same with squared error is a remark.
2. Confirmed when the median of (step to 85 % test) / T_fit is at least 3 at 8 times the first
   weights and at most 1 at 1 times, and the median test accuracy at T_fit at 8 times is at most
   0.80. Not confirmed when the ratio at 8 times is below 1.5, or that at 1 times is above that at 8
   times; a run at 1 times that did not pass 85 % has a ratio of last step / T_fit at least.
   Inconclusive otherwise, and when half of the runs at 8 times do not pass 85 % or do not fit.
3. Confirmed when the median T_grok / T_fit is at most 1.5 with the norm held at that of standard
   initial weights, and at least 2 with decay, and the median T_grok is smaller with the norm held:
   a ratio near 1 that comes from fitting late removes nothing. Not confirmed when the ratio is
   above 2 with the norm held, or not below that with decay. A run that does not grok has a ratio
   of last step / T_fit at least, which is what it counts for. Otherwise inconclusive.
4. Fit of log T_grok = a_seed + k rho with right-censored times, rho from 1 on in units of the norm
   of standard initial weights. The judged norm is the smallest at which fewer than half of the
   runs grokked, or else the largest; at least 3 norms have to lie below it. Two tests of fit, with
   right-censored times, by F: of the whole law against a mean of its own at each norm, and of the
   judged norm against the law through the norms below it. What comes out is named:

   - no delay: the 95 % profile interval of k reaches 0 or below;
   - gate: the judged norm is later than the law (p below 0.01), none of its runs grokked, and the
     median of (last step / predicted step) is at least 10. "Not by N steps" is no "never";
   - later than the law: p below 0.01 at the judged norm, and some of its runs grokked;
   - another law: not so, but the law as a whole is rejected with p below 0.01;
   - clock: both p are 0.05 or more, and at least half of the runs at the judged norm grokked;
   - open: anything else, and where a fit is not possible.

   Confirmed for a clock, inconclusive where it is open, otherwise not confirmed.
5. The same for the runs with epsilon 1e-20.

Claims 1 to 5 are main claims. Beside them:

6. At large norms it is vanishing updates that hold generalization up. Pairs of a run with epsilon
   1e-8 and one with 1e-20, the same otherwise, at rho of 1.4 and more: slowed is one that took at
   least 3 times as long, a last step counting for "at least"; pairs whose censored times say
   neither are left out. Confirmed when at least 80 % are slowed and the gradients of the slowed
   runs end below 1e-8 (root mean square over weights, median over runs), inconclusive where they
   do not; not confirmed up to 50 %; otherwise inconclusive.
7. A held large norm delays by itself. Under StableMax, a cross-entropy whose gradient falls off as
   a power of the logits and not exponentially (arXiv:2501.04697), at rho of 1.4 and more, where it
   fits: confirmed when the interval of k lies above 0 and the median gradient at the end is above
   1e-8, inconclusive when it is not or where there is no fit, not confirmed when the interval
   reaches 0 or below. With claim 6 this says which of two holds, a held large norm delays by
   itself, or it delays because gradients vanish; both may.

In the full version alone: claim 1 with squared error; and claim 2 with squared error, width 200 and
weight decay 0.1 (confirmed when the median test accuracy at T_fit is at most 0.40 and 80 % is
passed at least 3 times as late; inconclusive when half of the runs do not pass 80 %; otherwise not
confirmed).

Settings
--------
Digits: the 8 x 8 images of scikit-learn, 200 trained on, instead of MNIST with 1,000; a ReLU
perceptron 64-100-100-10 with the initial weights and biases of torch.nn.Linear times a factor;
full batch, learning rate 0.001. Landscape: Adam without decay for 10,000 steps as in the paper, in
the quick version 1,500, so that there the loss is near, not at, the lowest of its norm. Delay:
AdamW with decay 0.3 and cross-entropy, where the paper has squared error and decay 0.01: 3,000
steps (quick), 8,000 (full). Addition modulo 37, 60 % of the pairs, one block of width 32 (4 heads,
128 neurons, no layer norm, no biases), AdamW with learning rate 0.003, betas (0.9, 0.98), float64
loss; the paper has p = 113 and 30 %. Its clamp lies 10 % above the norm at which its decayed run
ends; here that norm is about that of standard initial weights, which is why the factor is 1 and not
the paper's 0.8. Runs end once the test accuracy stayed above 95 % for 100 steps, held ones by
40,000 steps (quick: 10,000). Held norms are 1 to 1.5, under StableMax 1.4 to 2.3. Quick: 2 seeds of
digits and 3 of addition, fewer factors; full: 3 and 5. A seed is that of split and initial weights.
All of it is smaller than the paper's to fit minutes on two cores.

The settings were chosen after measurements on small networks and trial runs of single settings
with seed 0: held at 0.5 and 0.7 addition did not fit in 2,500 steps, at 1, 1.2 and 1.3 it grokked
at 200, 340 and 620, at 1.5 not by 1,200; five norms of the digits had the L and the U. The judged
seeds 0 to 4 were run before by the earlier criterion, at norms up to 1.4 for 8,000 steps with
epsilon 1e-8, and two of them at 1.4 for 40,000, by which neither had grokked. Further trials had
the seeds 100 to 102 and led to claims 5 to 7. At 1.4 the training loss falls to 1e-10 with epsilon
1e-8, and seed 100 stood at a test accuracy of 0.91 from step 2,400 to 6,000; with an epsilon of
1e-20, and with one of 1e-30 and float64 weights, it grokked at 1,630 and 1,610; seeds 101 and 102
grokked there at 1,030 and 1,170 with 1e-8, and at 1,030 and 1,140 with 1e-20. At 1.5 none of the
three had grokked by 10,000 with 1e-8. With 1e-20 two seeds grokked at every norm up to 1.5, at 190
steps to 2,750; at 1.6 float64 rounds the loss to 0, so 1.5 is the largest norm. Squared error was
no neighbor: it had not fitted by step 3,000. Under StableMax three seeds grokked at 350 to 630 held
at 1.4 and 1.6, at 1,390 to 1,850 at 2.0, one of two by 6,000 at 2.5, and none at 3.0; at 1.0 and
1.2 it fits late or not, which is why its norms begin at 1.4. At 95 % test accuracy the pairs whose
mirror image is not trained are at 0.87 at least, so a network that knows no more than
a + b = b + a is not counted.

History
-------
Until 2026-11-28 claim 1 read the training loss at the largest w alone, claim 3 did not ask for an
earlier T_grok, and claim 4 was confirmed when the interval of k lay above 0 and at least half of
the runs with rho of 1.2 and more grokked. All four claims came out as confirmed. That claim 4 could
be confirmed with 4 of 5 runs at 1.4 not grokked by 8,000 steps, where the law through the smaller
norms predicts some 900, is why the law is tested now, and the largest norm apart. Claims 5 to 7 are
new: small epsilon and StableMax were not run before. The landscapes of the digits had 1,500 steps
in full too; with squared error they were not confirmed, since those steps did not reach the lowest
loss at large norms.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokinterp.experiments.curve_cells import cell_of, spread_rows
from grokinterp.experiments.experiment import Experiment, PlannedRun, Scale
from grokinterp.experiments.omnigrok.charts import (
    CLAMPED,
    DECAYED,
    DELAY,
    DELAY_MSE,
    KEPT,
    LANDSCAPE,
    LANDSCAPE_MSE,
    STABLE,
)
from grokinterp.experiments.omnigrok.claims import judge
from grokinterp.fields import Number
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.runs.config import LossName, OptimizerSpec, TrainConfig
from grokinterp.runs.pressures import PressureSpec
from grokinterp.tasks import DigitsSpec, TaskSpec

if TYPE_CHECKING:
    import pandas as pd

    from grokinterp.runs.run import Run

FITTED = 0.99
"""Training accuracy of T_fit."""
LANDSCAPE_SCALES = (0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0)
LANDSCAPE_SCALES_QUICK = (0.4, 1.0, 2.0, 4.0, 8.0)
CLAMP_SCALES = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
CLAMP_SCALES_QUICK = (1.0, 1.2, 1.3, 1.4)
STABLE_SCALES = (1.4, 1.7, 2.0, 2.3)
STABLE_SCALES_QUICK = (1.4, 1.7, 2.0)
SMALL_EPSILON = 1e-20
"""Adam's, in place of 1e-8: gradients would have to be below it for updates to vanish."""


def digits_config(
    seed: int,
    init_scale: float,
    n_steps: int,
    *,
    weight_decay: float = 0.0,
    clamp_norm: bool = False,
    loss: LossName = "cross_entropy",
    width: int = 100,
) -> TrainConfig:
    """Config of a perceptron on digits, its initial weights multiplied by `init_scale`."""
    return TrainConfig(
        task=DigitsSpec(n_train=200, split_seed=seed),
        model=MlpSpec(
            widths=(width, width),
            biases=True,
            init="torch_linear",
            init_scale=init_scale,
            init_seed=seed,
        ),
        optimizer=OptimizerSpec(
            learning_rate=1e-3, weight_decay=weight_decay, betas=(0.9, 0.999), warmup_steps=0
        ),
        pressures=PressureSpec(clamp_norm=clamp_norm),
        n_steps=n_steps,
        loss=loss,
        test_every=10,
        checkpoint_every=n_steps,
    )


def addition_config(
    seed: int,
    init_scale: float,
    n_steps: int,
    *,
    is_clamped: bool,
    eps: float = 1e-8,
    loss: LossName = "cross_entropy",
) -> TrainConfig:
    """Config of a transformer on addition: at a fixed norm, or free with weight decay 1."""
    return TrainConfig(
        task=TaskSpec(p=37, train_fraction=0.6, split_seed=seed),
        model=ModelSpec(
            d_model=32, d_head=8, d_mlp=128, biases="none", init_scale=init_scale, init_seed=seed
        ),
        optimizer=OptimizerSpec(
            learning_rate=3e-3, weight_decay=0.0 if is_clamped else 1.0, eps=eps
        ),
        pressures=PressureSpec(clamp_norm=is_clamped),
        n_steps=n_steps,
        loss=loss,
        checkpoint_every=200,
        stop_accuracy=0.95,
        stop_patience=100,
    )


def plan(scale: Scale) -> list[PlannedRun]:
    """Landscapes and delays of digits, then addition at held norms and with weight decay."""
    digits = scale.seeds(2 if scale.is_quick else 3)
    addition = scale.seeds(3 if scale.is_quick else 5)
    return [*_landscapes(scale, digits), *_delays(scale, digits), *_additions(scale, addition)]


def _landscapes(scale: Scale, seeds: Sequence[int]) -> list[PlannedRun]:
    scales = LANDSCAPE_SCALES_QUICK if scale.is_quick else LANDSCAPE_SCALES
    n_steps = 1500 if scale.is_quick else 10_000
    losses: dict[str, LossName] = {LANDSCAPE: "cross_entropy", LANDSCAPE_MSE: "mse"}
    if scale.is_quick:
        del losses[LANDSCAPE_MSE]
    return [
        _planned(digits_config(seed, w, n_steps, clamp_norm=True, loss=loss), arm, w, seed)
        for arm, loss in losses.items()
        for w in scales
        for seed in seeds
    ]


def _delays(scale: Scale, seeds: Sequence[int]) -> list[PlannedRun]:
    scales, n_steps = ((1.0, 8.0), 3000) if scale.is_quick else ((1.0, 2.0, 4.0, 8.0), 8000)
    runs = [
        _planned(digits_config(seed, factor, n_steps, weight_decay=0.3), DELAY, factor, seed)
        for factor in scales
        for seed in seeds
    ]
    if scale.is_quick:
        return runs
    for seed in seeds[:2]:
        config = digits_config(seed, 8.0, 15_000, weight_decay=0.1, loss="mse", width=200)
        runs.append(_planned(config, DELAY_MSE, 8.0, seed))
    return runs


def _additions(scale: Scale, seeds: Sequence[int]) -> list[PlannedRun]:
    norms, stable_norms, n_steps = CLAMP_SCALES, STABLE_SCALES, 40_000
    if scale.is_quick:
        norms, stable_norms, n_steps = CLAMP_SCALES_QUICK, STABLE_SCALES_QUICK, 10_000

    def held(
        arm: str, rho: float, eps: float, loss: LossName = "cross_entropy"
    ) -> list[PlannedRun]:
        return [
            _planned(
                addition_config(seed, rho, n_steps, is_clamped=True, eps=eps, loss=loss),
                arm,
                rho,
                seed,
            )
            for seed in seeds
        ]

    runs = [run for rho in norms for run in held(CLAMPED, rho, 1e-8)]
    runs += [run for rho in norms for run in held(KEPT, rho, SMALL_EPSILON)]
    runs += [run for rho in stable_norms for run in held(STABLE, rho, 1e-8, "stable_max")]
    free = [addition_config(seed, 1.0, 8000, is_clamped=False) for seed in seeds]
    return runs + [_planned(one, DECAYED, 1.0, seed) for one, seed in zip(free, seeds, strict=True)]


def _planned(config: TrainConfig, arm: str, init_scale: float, seed: int) -> PlannedRun:
    return PlannedRun(config, {"arm": arm, "init_scale": init_scale, "seed": seed})


def observe(run: Run, planned: PlannedRun) -> dict[str, Number]:
    """Read the steps to fit and to middling test accuracies, losses, gradients and norms.

    Returns
    -------
    dict[str, Number]
        ``fit_step``; ``crossing_80_step`` and ``crossing_85_step``, the first tested steps with
        such a test accuracy; ``accuracy_at_fit``, on the test examples; ``fit_train_loss`` and
        ``half_train_loss``, the training loss at T_fit and at half of the steps that were trained;
        ``fit_gradient`` and ``last_gradient``, see
        :func:`~grokinterp.experiments.omnigrok.gradients.gradient_size`, at the first checkpoint
        from T_fit on and at the last; ``first_norm`` and ``last_norm`` of all trained weights;
        ``curve_points``, some forty of the tested steps as ``step:train accuracy:test accuracy``
        separated by spaces.
    """
    from grokinterp.experiments.omnigrok.gradients import gradient_size
    from grokinterp.runs.weights import trained_norm

    tested = run.curves.dropna(subset=["test_accuracy"])
    fit_step = _first_step(tested, "train_accuracy", FITTED)
    fitted = [step for step in run.steps if fit_step is not None and step >= fit_step]
    return {
        "fit_step": fit_step,
        "crossing_80_step": _first_step(tested, "test_accuracy", 0.80),
        "crossing_85_step": _first_step(tested, "test_accuracy", 0.85),
        "accuracy_at_fit": _value_at(tested, "test_accuracy", fit_step),
        "fit_train_loss": _value_at(tested, "train_loss", fit_step),
        "half_train_loss": _value_at(tested, "train_loss", run.last_step // 2),
        "fit_gradient": gradient_size(run, fitted[0]) if fitted else None,
        "last_gradient": gradient_size(run, run.steps[-1]),
        "first_norm": trained_norm(run, run.steps[0]),
        "last_norm": trained_norm(run, run.steps[-1]),
        "curve_points": _curve_points(tested),
    }


def _value_at(tested: pd.DataFrame, column: str, step: int | None) -> float | None:
    """Value at the last tested step up to a step."""
    values = tested[column].to_numpy()[tested["step"].to_numpy() <= (-1 if step is None else step)]
    return float(values[-1]) if len(values) else None


def _first_step(tested: pd.DataFrame, column: str, level: float) -> int | None:
    steps = tested["step"].to_numpy()[tested[column].to_numpy() >= level]
    return int(steps[0]) if len(steps) else None


def _curve_points(tested: pd.DataFrame) -> str:
    kept = tested.iloc[spread_rows(len(tested), 40)]
    return cell_of(kept[["step", "train_accuracy", "test_accuracy"]].to_numpy())


EXPERIMENT = Experiment(
    name="omnigrok",
    docstring=__doc__ or "",
    paper='Liu et al., "Omnigrok: grokking beyond algorithmic data", ICLR 2023, arXiv:2210.01117',
    claim="Training loss is L-shaped and test loss U-shaped in the norm of the weights; a norm "
    "that begins too large delays generalization, and one that is held removes the delay.",
    minutes_quick=2.5,
    minutes_full=15.0,
    plan=plan,
    judge=judge,
    observe=observe,
    observe_version=2,
)
