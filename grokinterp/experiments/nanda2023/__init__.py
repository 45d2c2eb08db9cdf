r"""Progress measures that move before the test accuracy does: Nanda et al. 2023.

Nanda, Chan, Lieberum, Smith and Steinhardt, "Progress measures for grokking via mechanistic
interpretability" (ICLR 2023, arXiv:2301.05217), follow the trigonometric circuit of a
transformer that adds modulo 113. Without the circuit's key frequencies (excluded loss) the
network gets worse on its own training pairs, and with nothing else (restricted loss) it gets
better on the test pairs, long before its test accuracy jumps. Training has three phases:
memorization, circuit formation, and cleanup, in which the weights fall. Here the network of
every seed is analyzed at its checkpoints, with the key frequencies of its own end.

Prediction
----------
1. The excluded loss on the training pairs has risen half way, and the restricted loss on the
   test pairs has fallen half way, before the test loss itself has fallen half way.
2. The same losses for as many random frequencies, none of them key, do not move as early.
3. Memorization, circuit formation and cleanup follow each other, and the sum of squared weights
   falls during cleanup.
4. At most 8 key frequencies explain at least 90 % of the variance of the final logits.

Criterion
---------
The jump is the first checkpoint at which more than half of the test pairs whose mirror image
(b, a) is not trained are answered rightly: on the others a network that memorizes and knows
a + b = b + a is right long before. The excluded loss has risen half way, between its smallest
value up to the jump and its largest of the whole run, at the first checkpoint after that
smallest from which on it stays above until the jump; the restricted loss and the test loss have
fallen half way, between the largest value up to the jump and the smallest of the whole run, at the
first from which on they stay below to the end. A loss that moves by less than log(p) / 2 nats has
not moved. A lead is the jump less that step; a loss that is half way only at the jump or later has
a lead of 0 or less. Counted are the runs that generalized late, as `outcome_kind` has it: those
that grokked, and those whose transition was slow (``slow_convergence``), which are counted apart
beside them. Runs that did not generalize late within their steps stay in the table, and so do
those that collapsed or have not settled: the jump that they lead up to was not kept, so they speak
neither for a claim nor against it.

1. confirmed when in at least 80 % of these runs both losses are half way before the test loss is;
   not confirmed when in fewer than half; inconclusive between, or with fewer than 2 of them. A
   loss that has not moved is not ahead.
2. confirmed when in at least 80 % of these runs none of 9 sets of random frequencies is half way,
   by either loss, as early as the key frequencies or earlier; not confirmed when in fewer than
   half; inconclusive between, or with fewer than 2 of them that have such sets.
3. confirmed when at least 80 % of these runs have three phases, each of more than 0 steps,
   and the sum of squared weights at the end of cleanup is below 90 % of that at its start; not
   confirmed when fewer than half have; inconclusive between, or with fewer than 2 of them. A run
   with the first two phases whose weights had not fallen that far by its last step, and had not
   grown, is censored and not counted.
4. confirmed when at least 80 % of these runs have 1 to 8 key frequencies and a fraction of
   the logits' variance of 0.9 or more; not confirmed when fewer than half have; inconclusive
   between, or with fewer than 2 of them.

Two remarks that the verdict does not hang on are judged alike. The losses move before the jump of
the test accuracy, which the paper says, and which the plain test loss does too. And the circuit as
the test pairs alone show it does: with much of the table trained, the projection that restricts
the logits also averages over training pairs, and so falls with what is memorized, which the
held-out restricted loss cannot.

Settings
--------
Quick: addition modulo 37 with half of the pairs trained, d_model 32 and 128 neurons, AdamW at
3e-3, weight decay 1, 4 seeds of weights and split, at most 5,000 steps; a run ends 600 steps
after its test accuracy has settled above 0.98, so that most of the cleanup is seen. Full: 10 seeds
of that with 10,000 steps, 5 seeds modulo 59 with 40 % trained, d_model 64 and 256 neurons, and
the paper's own network modulo 113, from its seed and in float64 (30 % trained, 25,000 steps; the
paper trained 40,000). The small networks are there for seeds: their grokking takes a tenth of the
steps, and with more of the table trained the phases are closer together. Settings were chosen after
trial runs of single settings. The present criterion was written before any loss of random
frequencies and any step of the test loss was looked at. Seeds 0 to 4 modulo 37, 0 to 2
modulo 59 and the run modulo 113 repeat runs of the earlier criterion; the other seven are new.

History
-------
Until 2026-11-28 the first claim was that both losses move before the test accuracy jumps, in 80 %
of the runs that generalized late: 8 of 8 had both leads, confirmed. It was replaced because the
test loss has fallen half way before the jump as well, so that a lead above 0 does not show that
the circuit tells more than the test loss. It stands as a remark now. There were 5 seeds modulo 37
and 3 modulo 59. Before the first full run two things had been mended: half way was first log(p) / 2
nats for every run, which modulo 37 the excluded loss never lies below, so that any run had a lead;
and only sharp transitions were counted, though most of those modulo 37 are slow ones.
"""

from __future__ import annotations

from grokinterp.experiments.experiment import Experiment, PlannedRun, Scale
from grokinterp.experiments.nanda2023.claims import judge
from grokinterp.experiments.nanda2023.progress_steps import observe_progress
from grokinterp.models.spec import ModelSpec
from grokinterp.runs.config import PRESETS, OptimizerSpec, TrainConfig
from grokinterp.tasks.modular import TaskSpec


def config_of(p: int, seed: int, *, is_quick: bool) -> TrainConfig:
    """Return the run of a seed modulo a small p; modulo 113 the network of the paper."""
    if p == 113:
        return PRESETS["nanda2023"]
    is_small = p == 37
    width = 32 if is_small else 64
    return TrainConfig(
        task=TaskSpec(p=p, train_fraction=0.5 if is_small else 0.4, split_seed=seed),
        model=ModelSpec(
            d_model=width, n_heads=4, d_head=width // 4, d_mlp=4 * width, init_seed=seed
        ),
        optimizer=OptimizerSpec(learning_rate=3e-3 if is_small else 2e-3),
        n_steps=5000 if is_quick else 10_000,
        checkpoint_every=50 if is_small else 100,
        stop_accuracy=0.98,
        stop_patience=600,
    )


def plan(scale: Scale) -> list[PlannedRun]:
    """Seeds modulo 37; in the full version also modulo 59, and the paper's run modulo 113."""
    if scale.is_quick:
        return [_planned(37, seed, is_quick=True) for seed in scale.seeds(4)]
    return [
        *(_planned(37, seed, is_quick=False) for seed in scale.seeds(10)),
        *(_planned(59, seed, is_quick=False) for seed in scale.seeds(5)),
        _planned(113, 0, is_quick=False),
    ]


def _planned(p: int, seed: int, *, is_quick: bool) -> PlannedRun:
    return PlannedRun(config_of(p, seed, is_quick=is_quick), {"p": p, "seed": seed})


EXPERIMENT = Experiment(
    name="nanda2023",
    docstring=__doc__ or "",
    paper="Nanda, Chan, Lieberum, Smith and Steinhardt, 'Progress measures for grokking via "
    "mechanistic interpretability', ICLR 2023, arXiv:2301.05217",
    claim="Excluded loss rises and restricted loss falls before the test accuracy jumps: "
    "grokking is three continuous phases, memorization, circuit formation and cleanup.",
    minutes_quick=1.0,
    minutes_full=20.0,
    plan=plan,
    judge=judge,
    observe=observe_progress,
    observe_version=3,
)
