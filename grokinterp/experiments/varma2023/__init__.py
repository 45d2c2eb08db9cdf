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
generalizing run counts for the fits when its accuracy is above .95 and more than 95 % of the
power of its logits (centered per pair and per answer) depends on the pair through a + b alone.
Fits are log-log, with an intercept for each seed and t intervals at 95 %. D_crit solves
norm(D) = median norm of the generalizing runs, in each seed, with the common exponent; its value
is the geometric mean over seeds. Claims 1 to 4 are judged at weight decay 1.

1. confirmed when the interval of m lies above .1; not confirmed when it lies below .1;
   inconclusive otherwise, or with fewer than 4 converged runs or 3 sizes.
2. confirmed when the interval of g lies within +-.08; not confirmed when it lies outside;
   inconclusive otherwise, or with fewer than 4 such runs or 2 sizes.
3. at sizes below D_crit / 1.7 every run should end below .5, at sizes above 1.7 D_crit every one
   above .95: confirmed when that is so; not confirmed when half of the runs on either side fail
   it; inconclusive otherwise, or without a run on each side.
4. D_low is the largest size at and below which every run ends below .5, D_high the smallest at
   and above which every one ends above .95. Confirmed when D_high <= 4 D_low and
   D_low / 1.5 <= D_crit <= 1.5 D_high; not confirmed when D_crit lies outside of that;
   inconclusive when there is no D_low or D_high, or they are further apart.
5. confirmed when the two D_crit differ by a factor below 1.5, not confirmed when it is above 2,
   inconclusive between, or where one of them is missing. Full version only.
6. A run is semi-grokked when it knows its training pairs (above .99) and all checkpoints of the
   second half of training have an accuracy between .2 and .9. Confirmed when two runs are; not
   confirmed when none is although some run of the grid grokked and some did not; inconclusive
   otherwise. A remark that the verdict does not hang on, full version only: the paper trained
   for some 10^7 steps.

Settings
--------
Addition modulo 37 (1,369 pairs) instead of 113, a one-layer transformer with d_model 32 and 128
neurons, AdamW at 3e-3 with the betas .9 and .98, weight decay 1: small, so that every size and
seed takes seconds. Quick: 2 seeds, 4 sizes of random labels for 2,500 steps, 4 of continued
networks for 2,000. Full: 3 seeds, 6 and 7 sizes, 3,000 steps; 2 seeds of the same at weight
decay 2; and 2 runs from scratch at each of 5 sizes for 6,000 steps. The continued networks
grokked on 958 pairs, went on for 600 steps, and have a fresh optimizer; pairs that they were
trained on before are test pairs like the others. Sizes, steps and thresholds were chosen after
trial runs of single settings, which showed a crossing near 230 pairs; the criterion was fixed
before the first run of the quick and of the full version.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from grokinterp.experiments.experiment import (
    Claim,
    Experiment,
    Findings,
    PlannedRun,
    Scale,
    Verdict,
    plain_number,
)
from grokinterp.experiments.varma2023.circuit_comparison import (
    FORGOTTEN_ACCURACY,
    HELD_ACCURACY,
    Circuits,
    circuit_charts,
    rows_of,
)
from grokinterp.experiments.varma2023.circuit_size import observe_circuit
from grokinterp.laws.power_law import PowerLaw
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

MIN_EXPONENT, FLAT_EXPONENT = 0.1, 0.08
FAR, NEAR, WIDEST_BRACKET = 1.7, 1.5, 4.0
SAME_FACTOR, OTHER_FACTOR = 1.5, 2.0
SEMI_ACCURACY, FITTED_ACCURACY, MIN_SEMI = (0.2, 0.9), 0.99, 2

NOTES = (
    "Logit per norm is Varma et al.'s efficiency for homogeneous networks. A transformer with "
    "biases and attention is not homogeneous, so D_crit is read off the norms at which training "
    "under the same weight decay comes to rest.",
    "Test pairs of a continued network include those that it was trained on before; forgetting "
    "is measured on all of them alike.",
    "The paper's semi-grokking took some 10^7 steps modulo 113. That few thousand steps modulo "
    "37 do not show it says little against it.",
)


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


def judge(table: pd.DataFrame, scale: Scale) -> Findings:
    """Judge the claims by the criterion above."""
    if table.empty:
        return Findings((Claim("circuits", "inconclusive", "No run was finished."),))
    mains = {
        decay: Circuits.of(table, decay)
        for decay in sorted({row["weight_decay"] for row in rows_of(table)})
    }
    first = mains.get(1.0, next(iter(mains.values())))
    claims = [
        _memorizing_claim(first),
        _generalizing_claim(first),
        _ungrokking_claim(first),
        _bracket_claim(first),
    ]
    if not scale.is_quick:
        claims += [_decay_claim(mains), _semi_grokking_claim(table)]
    return Findings(
        tuple(claims),
        {"circuits": pd.DataFrame([circuits.row() for circuits in mains.values()])},
        circuit_charts(table, first),
        NOTES,
    )


def _law_verdict(law: PowerLaw, low: float, high: float) -> Verdict:
    """Confirmed inside, not confirmed outside, inconclusive across a border."""
    if low < law.low and law.high < high:
        return "confirmed"
    return "not confirmed" if law.high < low or law.low > high else "inconclusive"


def _law_claim(name: str, circuits: Circuits, circuit: str, low: float, high: float) -> Claim:
    law = circuits.laws[circuit]
    counted = circuits.memorizing if circuit == "memorizing" else circuits.held
    left_out = (
        f"{len(circuits.unconverged)} more had not converged."
        if circuit == "memorizing"
        else f"{len(circuits.lost)} more were not that circuit alone."
    )
    numbers = {"n": len(counted), "n_sizes": len({row["n_train"] for row in counted})}
    if law is None:
        sentence = f"Only {len(counted)} runs count, too few for an exponent; {left_out}"
        return Claim(name, "inconclusive", sentence, numbers)
    interval = {"exponent": law.exponent, "exponent_low": law.low, "exponent_high": law.high}
    return Claim(
        name,
        _law_verdict(law, low, high),
        f"The norm goes as D^{law.exponent:.3f} (95 % interval {law.low:.3f} to {law.high:.3f}, "
        f"{law.n} runs); {left_out}",
        numbers | {name: plain_number(value) for name, value in interval.items()},
    )


def _memorizing_claim(circuits: Circuits) -> Claim:
    name = "memorizing weighs more for more pairs"
    return _law_claim(name, circuits, "memorizing", MIN_EXPONENT, math.inf)


def _generalizing_claim(circuits: Circuits) -> Claim:
    name = "generalizing weighs the same for any number of pairs"
    return _law_claim(name, circuits, "generalizing", -FLAT_EXPONENT, FLAT_EXPONENT)


def _ungrokking_claim(circuits: Circuits) -> Claim:
    name = "forgets below D_crit, keeps above"
    critical = circuits.critical_size
    if critical is None:
        return Claim(name, "inconclusive", "The norms of the two circuits give no D_crit.")
    runs = [(row["n_train"], row["late_accuracy"]) for row in circuits.continued]
    below = [accuracy for size, accuracy in runs if size < critical / FAR]
    above = [accuracy for size, accuracy in runs if size > critical * FAR]
    n_forgot = sum(accuracy < FORGOTTEN_ACCURACY for accuracy in below)
    n_kept = sum(accuracy > HELD_ACCURACY for accuracy in above)
    verdict: Verdict = "inconclusive"
    if below and above and n_forgot == len(below) and n_kept == len(above):
        verdict = "confirmed"
    elif below and above and (2 * n_forgot <= len(below) or 2 * n_kept <= len(above)):
        verdict = "not confirmed"
    return Claim(
        name,
        verdict,
        f"D_crit is {critical:.0f}. Below D_crit / {FAR:g}, {n_forgot} of {len(below)} runs "
        f"ended below an accuracy of {FORGOTTEN_ACCURACY:g}; above {FAR:g} D_crit, {n_kept} "
        f"of {len(above)} ended above {HELD_ACCURACY:g}.",
        {
            "critical_size": critical,
            "n_below": len(below),
            "n_forgot": n_forgot,
            "n_above": len(above),
            "n_kept": n_kept,
        },
    )


def _bracket_claim(circuits: Circuits) -> Claim:
    name = "forgetting sets in at D_crit"
    critical, (low, high) = circuits.critical_size, circuits.forgetting
    numbers = {"critical_size": critical, "forgets_up_to": low, "keeps_from": high}
    if critical is None or low is None or high is None:
        sentence = "There is no D_crit, or no size at which all forget, or none at which all keep."
        return Claim(name, "inconclusive", sentence, numbers)
    if high > WIDEST_BRACKET * low:
        verdict: Verdict = "inconclusive"
    else:
        is_inside = low / NEAR <= critical <= high * NEAR
        verdict = "confirmed" if is_inside else "not confirmed"
    return Claim(
        name,
        verdict,
        f"All runs forget up to {low} pairs and keep from {high} pairs on; the norms are equal "
        f"at {critical:.0f}.",
        numbers,
    )


def _decay_claim(circuits: Mapping[float, Circuits]) -> Claim:
    name = "D_crit does not depend on weight decay"
    found = {decay: one.critical_size for decay, one in circuits.items()}
    numbers = {f"critical_size_at_{decay:g}": size for decay, size in found.items()}
    sizes = [size for size in found.values() if size is not None]
    if len(sizes) < 2:
        return Claim(name, "inconclusive", "Fewer than two weight decays have a D_crit.", numbers)
    factor = max(sizes) / min(sizes)
    verdict: Verdict = "not confirmed" if factor > OTHER_FACTOR else "inconclusive"
    if factor < SAME_FACTOR:
        verdict = "confirmed"
    told = ", ".join(f"{size:.0f} at {decay:g}" for decay, size in found.items() if size)
    sentence = f"D_crit is {told}: a factor of {factor:.2f}."
    return Claim(name, verdict, sentence, numbers | {"factor": factor})


def _semi_grokking_claim(table: pd.DataFrame) -> Claim:
    name = "semi-grokking near D_crit"
    runs = [row for row in rows_of(table) if row["circuit"] == "from scratch"]
    low, high = SEMI_ACCURACY
    n_semi = sum(
        row["train_accuracy"] > FITTED_ACCURACY
        and low < row["lowest_accuracy"]
        and row["highest_accuracy"] < high
        for row in runs
    )
    n_grokked = sum(row["late_accuracy"] > HELD_ACCURACY for row in runs)
    if n_semi >= MIN_SEMI:
        verdict: Verdict = "confirmed"
    else:
        is_crossed = 0 < n_grokked < len(runs)
        verdict = "not confirmed" if n_semi == 0 and is_crossed else "inconclusive"
    return Claim(
        name,
        verdict,
        f"{n_semi} of {len(runs)} runs from scratch came to rest between {low:g} and {high:g}; "
        f"{n_grokked} grokked, and the others did not within their steps.",
        {"n_runs": len(runs), "n_semi_grokked": n_semi, "n_grokked": n_grokked},
        is_main=False,
    )


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
