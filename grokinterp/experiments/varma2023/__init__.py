r"""Memorizing and generalizing by the price in weights: Varma et al. 2023.

Varma, Shah, Kenton, Kramár and Kumar, "Explaining grokking through circuit efficiency" (2023,
arXiv:2309.02390), explain grokking by two circuits that compete under weight decay. The
memorizing one needs more weight the more examples it knows; the generalizing one needs the same
for any number. They are equally efficient at a size of the training set, D_crit. Above it
weight decay prefers to generalize; below it a network that has grokked forgets again
(ungrokking); and near it a run may stop at a middle accuracy (semi-grokking). D_crit should not
depend on weight decay. Here each circuit is trained alone: the memorizing one on random labels,
the generalizing one by continuing a grokked network on a part of its own training pairs.

Prediction
----------
With D the number of training pairs, and norms those of all trained weights:

1. where training under the same weight decay comes to rest, the norm of the memorizing network
   goes as D^m with m > 0,
2. and that of the generalizing network as D^g with g = 0;
3. a grokked network that is continued on few pairs forgets, on many it keeps its answers;
4. it forgets about D_crit, where both circuits are equally efficient: where both have the same
   norm at the same correct logit,
5. or, by the other reading, where both rest at the same correct logit per norm;
6. neither D_crit nor the middle of forgetting depends on weight decay;
7. from scratch, some run near D_crit comes to rest between chance and full accuracy.

Criterion
---------
Accuracies are those of test pairs whose mirror image (b, a) is not trained, as medians over the
checkpoints of the last quarter of training, and so are norms at rest. A run is at rest when its
norm moves by less than 3 % over the last quarter. A run on random labels counts when it is, and
its training loss ends below 1e-5; the others stay in the table, are counted, and take no part in
fits. A generalizing run counts for norms and logits when its accuracy is above 0.95 and more than
95 % of the power of its logits (centered per pair and per answer) depends on the pair through
a + b alone. All continued runs count for forgetting.

Efficiency is read in two ways. The correct logit is that above the mean logit, on the training
pairs. (a) Norm at matched logit: all weights of a memorizing network are multiplied by the factor
that gives it the median correct logit of the generalizing ones of its seed; its price is its norm
then over theirs. (b) Logit per norm where training rests: the price is that of the generalizing
ones over its own. Log price against log D is fitted by a parabola with a constant for each seed,
since it bends, and D_crit of a seed is where it rises through 1 between the sizes of that seed.
The norm at rest, whatever the logit, stands beside them. Forgetting is a curve: accuracy rises
from chance, 1/37, to 1 as a logistic function of log D with a common steepness and a middle for
each seed, by least squares. D_crit, the middle and their ratio are geometric means over seeds
with t intervals at 95 %; the ratio is that of the middle and D_crit of one seed. Claims 1 to 5
are judged at weight decay 1.

1. confirmed when the interval of m (log-log fit, an intercept for each seed, t interval) lies
   above 0.1; not confirmed when it lies below 0.1; inconclusive otherwise, or with fewer than 4
   converged runs or 3 sizes.
2. confirmed when the interval of g lies within +-0.08; not confirmed when it lies outside;
   inconclusive otherwise, or with fewer than 4 such runs or 2 sizes.
3. confirmed when every run of the smallest size ends below 0.5 and every run of the largest above
   0.95; not confirmed when half of either, or more, do not; inconclusive otherwise, or with fewer
   than 2 runs on a side. A run that has not forgotten and is not at rest may forget later: it is
   censored, and no run that fails.
4. reading (a): confirmed when the interval of the middle over D_crit lies within 1/1.5 and 1.5;
   not confirmed when it lies outside; inconclusive otherwise, or with fewer than 2 seeds that have
   both. Where the middle lies below D_crit and a run between the two has not forgotten and is not
   at rest, it is not refuted but inconclusive.
5. the same for reading (b).
6. confirmed when D_crit by (a), by (b) and by the norm at rest, and the middle of forgetting, each
   differ by a factor below 1.5 between weight decay 1 and 2; not confirmed when one does by more
   than 2; inconclusive between, or where one of them is missing. Full version only.
7. A run is semi-grokked when it knows its training pairs (above 0.99), is at rest, and all
   checkpoints of the second half of training have an accuracy between 0.2 and 0.9. Confirmed when
   two runs are; not confirmed when none is although every run of the largest size grokked and all
   others came to rest; inconclusive otherwise. A remark that the verdict does not hang on, full
   version only: the paper trained for some 10^7 steps.

Settings
--------
Addition modulo 37 (1,369 pairs) instead of 113, a one-layer transformer with d_model 32 and 128
neurons, AdamW at 3e-3 with the betas 0.9 and 0.98, weight decay 1: small, so that every size and
seed takes seconds. Quick: 3 seeds, 4 sizes of random labels for 2,500 steps, 6 of continued
networks for 3,000. Full: 5 seeds, 9 sizes for 3,000 steps, and 13 for 5,000; 3 seeds at weight
decay 2; and 5 runs from scratch at each of 5 sizes for 40,000 steps, which stop 500 steps after a
test accuracy of 98 %. The continued networks grokked on 958 pairs, went on for 600 steps, and
have a fresh optimizer; pairs that they were trained on before are test pairs like the others.
Sizes, steps and the thresholds of claims 1 and 2 were chosen after trial runs of single settings.
Before this criterion one trial with seed 100 had random labels on 40 to 320 pairs, at weight decay
1 and 2, and networks continued on 150 to 600. All were at rest by 3,000 and 4,000 steps, and twice
the weight decay moved norms by 6 % at most, so that it could not be used to vary the logit.
The logit per norm of memorizing was 2.66, 2.82, 2.49 and 1.91, which no power law has, and that of
generalizing 1.90; accuracies were 0.24, 0.55, 0.82, 0.94 and 0.98. From scratch 750 pairs grokked
by 3,500 steps, 620 by 15,300, and 501 rested at chance by 16,000.

History
-------
Until 2026-11-28 D_crit was that of equal norms at rest, whatever the logit, and the first page gave
217 for it. Logit per norm stood beside it and gave 44 to 51: a power law through all sizes
was continued below the smallest. All runs had to forget below D_crit / 1.7 and none above
1.7 D_crit, and the sizes between which all forget and all keep had to enclose D_crit and be
within a factor of 4. With 3 seeds and 7 sizes those were 120 and 900, and the question was
inconclusive. It was replaced because efficiency is about a stated logit, because one run at a
far size decided where forgetting begins and ends, and because no run from scratch had grokked.
"""

from __future__ import annotations

from collections.abc import Sequence

from grokinterp.experiments.experiment import Experiment, PlannedRun, Scale
from grokinterp.experiments.varma2023.circuit_size import observe_circuit
from grokinterp.experiments.varma2023.claims import judge
from grokinterp.models.spec import ModelSpec
from grokinterp.runs.config import OptimizerSpec, TrainConfig
from grokinterp.tasks.modular import TaskSpec

P = 37
N_PAIRS = P * P
PARENT_SIZE = 958
QUICK_SIZES = {
    "memorizing": (80, 160, 260, 400),
    "generalizing": (100, 170, 240, 340, 700, 900),
}
FULL_SIZES = {
    "memorizing": (40, 80, 120, 160, 200, 250, 320, 420, 600),
    "generalizing": (80, 120, 150, 180, 210, 240, 270, 300, 340, 400, 600, 750, 900),
}
STEPS_QUICK = {"memorizing": 2500, "generalizing": 3000}
STEPS = {"memorizing": 3000, "generalizing": 5000}
SCRATCH_SIZES = (220, 350, 480, 620, 750)
SCRATCH_STEPS, SCRATCH_SPACING = 40_000, 500
"""Steps of the runs from scratch, and between their checkpoints."""


def config_of(circuit: str, size: int, weight_decay: float, seed: int, n_steps: int) -> TrainConfig:
    """Return the run of one circuit on `size` pairs; a generalizing one has a grokked parent."""
    is_random = circuit == "memorizing"
    return TrainConfig(
        task=TaskSpec(
            operation="random_labels" if is_random else "addition",
            p=P,
            # Half a pair more than needed, so that rounding down gives the size.
            train_fraction=(size + 0.5) / N_PAIRS,
            split_seed=seed,
            label_seed=seed if is_random else 0,
        ),
        model=ModelSpec(d_model=32, n_heads=4, d_head=8, d_mlp=128, init_seed=seed),
        optimizer=OptimizerSpec(learning_rate=3e-3, weight_decay=weight_decay),
        n_steps=n_steps,
        test_every=50,
        checkpoint_every=SCRATCH_SPACING if circuit == "from scratch" else 100,
        stop_accuracy=0.98 if circuit == "from scratch" else None,
        stop_patience=500,
        parent=_grokked(seed) if circuit == "generalizing" else None,
    )


def _grokked(seed: int) -> TrainConfig:
    return TrainConfig(
        task=TaskSpec(p=P, train_fraction=(PARENT_SIZE + 0.5) / N_PAIRS, split_seed=seed),
        model=ModelSpec(d_model=32, n_heads=4, d_head=8, d_mlp=128, init_seed=seed),
        optimizer=OptimizerSpec(learning_rate=3e-3),
        n_steps=4000,
        stop_accuracy=0.99,
        stop_patience=600,
    )


def plan(scale: Scale) -> list[PlannedRun]:
    """Both circuits over sizes and seeds; in the full version also the sides of the question."""
    decays = ((1.0, 3),) if scale.is_quick else ((1.0, 5), (2.0, 3))
    all_sizes, steps = (QUICK_SIZES, STEPS_QUICK) if scale.is_quick else (FULL_SIZES, STEPS)
    runs = []
    for weight_decay, n_seeds in decays:
        for circuit, sizes in all_sizes.items():
            seeds = scale.seeds(n_seeds)
            runs += _planned(circuit, sizes, weight_decay, seeds, steps[circuit])
    if scale.is_quick:
        return runs
    scratch = _planned("from scratch", SCRATCH_SIZES, 1.0, scale.seeds(5), SCRATCH_STEPS)
    return [*runs, *scratch]


def _planned(
    circuit: str, sizes: Sequence[int], weight_decay: float, seeds: range, n_steps: int
) -> list[PlannedRun]:
    return [
        PlannedRun(
            config_of(circuit, size, weight_decay, seed, n_steps),
            {"circuit": circuit, "n_train": size, "weight_decay": weight_decay, "seed": seed},
        )
        for size in sizes
        for seed in seeds
    ]


EXPERIMENT = Experiment(
    name="varma2023",
    docstring=__doc__ or "",
    paper="Varma, Shah, Kenton, Kramár and Kumar, 'Explaining grokking through circuit "
    "efficiency', 2023, arXiv:2309.02390",
    claim="A memorizing circuit needs more weight for more pairs and a generalizing one does "
    "not, so below the size where they meet a grokked network forgets.",
    minutes_quick=1.5,
    minutes_full=14.0,
    plan=plan,
    judge=judge,
    observe=observe_circuit,
    observe_version=2,
)
