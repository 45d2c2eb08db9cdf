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
With D the number of training pairs, and the norm that of all trained weights where training
under the same weight decay comes to rest:

1. norm of the memorizing network ~ D^m with m > 0;
2. norm of the generalizing network ~ D^g with g = 0;
3. the two norms are equal at a D_crit, and a grokked network that is continued on D pairs
   forgets well below D_crit and keeps its answers well above;
4. the sizes between which it forgets enclose D_crit;
5. D_crit is the same at twice the weight decay;
6. from scratch, some run near D_crit comes to rest between chance and full accuracy.

Criterion
---------
Accuracies are those of test pairs whose mirror image (b, a) is not trained, as medians over the
checkpoints of the last quarter of training, and so are norms. A run on random labels counts as
converged when its training loss ends below 1e-5 and its norm moves by less than 3 % over the
last quarter; the others stay in the table, are counted, and take no part in fits. A
generalizing run counts for the fits when its accuracy is above 0.95 and more than 95 % of the
power of its logits (centered per pair and per answer) depends on the pair through a + b alone.
Fits are log-log, with an intercept for each seed and t intervals at 95 %. D_crit solves
norm(D) = median norm of the generalizing runs, in each seed, with the common exponent; its value
is the geometric mean over seeds. Claims 1 to 4 are judged at weight decay 1.

1. confirmed when the interval of m lies above 0.1; not confirmed when it lies below 0.1;
   inconclusive otherwise, or with fewer than 4 converged runs or 3 sizes.
2. confirmed when the interval of g lies within +-.08; not confirmed when it lies outside;
   inconclusive otherwise, or with fewer than 4 such runs or 2 sizes.
3. at sizes below D_crit / 1.7 every run should end below 0.5, at sizes above 1.7 D_crit every one
   above 0.95: confirmed when that is so; not confirmed when half of the runs on either side fail
   it; inconclusive otherwise, or without a run on each side. A run that has not forgotten and is
   not at rest (its norm moves by 3 % or more over the last quarter) may forget later: it is
   censored, and no run that fails. (Earlier criterion: it failed.)
4. D_low is the largest size at and below which every run ends below 0.5, D_high the smallest at
   and above which every one ends above 0.95. Confirmed when D_high <= 4 D_low and
   D_low / 1.5 <= D_crit <= 1.5 D_high; not confirmed when D_crit lies outside of that;
   inconclusive when there is no D_low or D_high, or they are further apart, or when D_crit lies
   above and a run from D_high up to D_crit has not forgotten and is not at rest. (Earlier
   criterion: that was not confirmed.)
5. confirmed when the two D_crit differ by a factor below 1.5, not confirmed when it is above 2,
   inconclusive between, or where one of them is missing. Full version only.
6. A run is semi-grokked when it knows its training pairs (above 0.99) and all checkpoints of the
   second half of training have an accuracy between 0.2 and 0.9. Confirmed when two runs are; not
   confirmed when none is although some run of the grid grokked and some came to rest without;
   inconclusive otherwise, and when a run neither grokked nor came to rest. (Earlier criterion:
   not confirmed also where the others had merely not grokked by their last step.) A remark that
   the verdict does not hang on, full version only: the paper trained for some 10^7 steps.

Settings
--------
Addition modulo 37 (1,369 pairs) instead of 113, a one-layer transformer with d_model 32 and 128
neurons, AdamW at 3e-3 with the betas 0.9 and 0.98, weight decay 1: small, so that every size and
seed takes seconds. Quick: 2 seeds, 4 sizes of random labels for 2,500 steps, 4 of continued
networks for 2,000. Full: 3 seeds, 6 and 7 sizes, 3,000 steps; 2 seeds of the same at weight
decay 2; and 2 runs from scratch at each of 5 sizes for 6,000 steps. The continued networks
grokked on 958 pairs, went on for 600 steps, and have a fresh optimizer; pairs that they were
trained on before are test pairs like the others. Sizes, steps and thresholds were chosen after
trial runs of single settings, which showed a crossing near 230 pairs; the criterion was fixed
before the first run of the quick and of the full version.
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
QUICK_SIZES = {"memorizing": (100, 200, 400, 700), "generalizing": (110, 400, 600, 900)}
FULL_SIZES = {
    "memorizing": (80, 120, 180, 270, 400, 600),
    "generalizing": (80, 120, 180, 270, 400, 600, 900),
}
SCRATCH_SIZES = (230, 280, 340, 420, 520)


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
        checkpoint_every=100,
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
    if scale.is_quick:
        return [
            *_planned("memorizing", QUICK_SIZES["memorizing"], 1.0, scale.seeds(2), 2500),
            *_planned("generalizing", QUICK_SIZES["generalizing"], 1.0, scale.seeds(2), 2000),
        ]
    runs = []
    for weight_decay, n_seeds in ((1.0, 3), (2.0, 2)):
        for circuit, sizes in FULL_SIZES.items():
            runs += _planned(circuit, sizes, weight_decay, scale.seeds(n_seeds), 3000)
    return [*runs, *_planned("from scratch", SCRATCH_SIZES, 1.0, scale.seeds(2), 6000)]


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
    minutes_full=9.0,
    plan=plan,
    judge=judge,
    observe=observe_circuit,
)
