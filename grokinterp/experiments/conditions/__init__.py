"""When it happens: which networks grok, which generalize at once, which not within their steps.

The literature names many conditions that make or break grokking: weight decay and other
pressures, the size of the dataset, the size of the initial weights, the kind of data (Power et
al. 2022, arXiv:2201.02177; Nanda et al. 2023, arXiv:2301.05217; Liu et al. 2022, "Omnigrok",
arXiv:2210.01117; Kumar et al. 2023, arXiv:2310.06110; Varma et al. 2023, arXiv:2309.02390). Each
is one row: a small network is trained under it with several seeds, and how it ended is compared
with what the source leads one to expect.

Prediction
----------
Transformer on addition modulo 37, weight decay 1 unless said:

- weight decay: generalizes late (Nanda et al.)
- no pressure (no weight decay and nothing else): memorizes (Nanda et al.)
- large initialization (3 times), no weight decay: memorizes (Liu et al.)
- dataset too small (20 % of the pairs): memorizes (Nanda et al., Varma et al.)
- very high weight decay (8): does not fit (Liu et al.)
- dropout only (0.3; 0.1): generalizes late (Nanda et al., with 0.2 and 0.5)
- L1 penalty only (1e-4; 1e-5): memorizes or does not fit (Nanda et al.: "never groks")
- gradient noise only (1e-3): generalizes, late or not (Power et al.: noise helps)
- small initialization (0.3 times), with and without weight decay: generalizes without delay (Liu
  et al.: below the right norm there is no grokking)
- beside the table: Grokfast with weight decay generalizes, and sooner than without (Lee et al.
  2024, arXiv:2405.20233); perpGrad alone and StableMax alone generalize, late or not (Prieto et
  al. 2025, arXiv:2501.04697)

Two-layer perceptron with squared activations on addition modulo 23, squared loss, no weight
decay:

- small weights (0.3): generalizes late (Kumar et al.: rich after lazy, without weight decay)
- large initialization (1), and large output scale (100): memorizes (Kumar et al.: lazy)

Perceptron on 1,200 handwritten digits, weight decay 0.3:

- natural data: generalizes without delay (Power et al., Liu et al.: grokking has to be provoked)

Criterion
---------
Outcomes are those of ``outcome_kind``. "Generalizes late" is ``grokked`` or
``slow_convergence``: the test accuracy passes 95 % more than as many steps after the training
accuracy passed 99 % as that had taken. ``grokked`` is a sharp transition (from 10 to 90 % in at
most half the delay, on test pairs whose mirror image is not trained) and counted apart:
grokking is not smooth late convergence. "Memorizes" is ``memorized``, "does not fit"
``did_not_fit``, "without delay" ``generalized_without_delay`` or
``generalized_before_memorizing``, which is sooner still.

A run that had not generalized by its last step is censored: not within N steps. It counts as one
that memorizes, or does not fit, where that is predicted and it was followed for at least 3 times
the median grokking time of its reference: the weight decay row for transformers, the small
weights row for perceptrons, none for digits and for the references themselves. Against another
prediction it counts only where a longer run could not agree with it: one that has fitted refutes
"does not fit", and one that has been at it for twice as long as fitting took refutes "without
delay". All other censored runs are inconclusive.

A run that collapsed has reached an accuracy and lost it for good. Where generalizing is predicted
it is inconclusive: it did generalize for a time, or fit, and did not keep it. Where it is
predicted that nothing generalizes, one that had generalized counts against that; where it is
predicted that nothing fits, any that collapsed does. A run that has not settled is inconclusive
whatever was predicted, and so is one whose outcome is not named here. A run that diverged counts
against every prediction. (Earlier criterion: there were no such outcomes as collapsed and not
settled.)

(Earlier criterion: a run that was followed that long counted against every other prediction,
so that gradient noise alone was not confirmed; the same configuration, seed 0, followed further,
crosses 95 % at step 37,420.) Of the conclusive runs, a row is

- confirmed when at least 2/3 end as predicted;
- not confirmed when at most 1/3 do;
- inconclusive in between, or with fewer than 2 conclusive runs.

Rows count for the verdict on the whole, except those beside the table. Two further claims do not
count: that late generalization is sharp (``grokked`` in at least 2/3 of the late runs of the
weight decay row; not confirmed at most 1/3), and that Grokfast comes sooner (an earlier
crossing in at least 2/3 of the seeds that have both; not confirmed in at most 1/3).

Settings
--------
Transformer: p = 37, 60 % of the pairs, one block of width 32 (4 heads, 128 neurons, no layer
norm), full batch, AdamW, learning rate 0.003, betas (0.9, 0.98), 10 steps of warm-up. Perceptron:
p = 23, 75 % of the pairs, 256 neurons, initial weights 0.3 N(0, 1) in mean-field scaling, Adam with
learning rate 0.003. Digits: scikit-learn's 8 x 8 images instead of MNIST, so what is said of
natural data is said of these; two layers of 100 ReLU neurons, learning rate 0.001. A run ends
200 steps (digits: 500) after its test accuracy came to stay above 95 %. Full: at most 5,000
steps, 5 seeds. Quick: at most 1,800 steps, 2 seeds, without dropout 0.1, L1 1e-5, the small
initialization with weight decay, and StableMax. The papers train p = 97 or 113 for tens of
thousands of steps, which takes hours on this machine.

The settings were chosen after measurements on small networks and single trial runs of some rows.
They showed late but wide transitions at p = 37 (0.5 to 0.8 of the delay, where p = 113 has about
.4), which is why a late outcome of either kind counts and sharpness is asked apart; and that L1
alone generalizes, that gradient noise and a small initialization alone do not within 5,000 steps.
Those rows are stated as their sources have them, and were known to be in doubt.

One mistake in the criterion was mended after the first quick run and before any full one: runs
from large initial weights had not fitted their training set by 1,800 steps, and were counted
against the prediction that such networks memorize. They do not test it, and are inconclusive.
"""

from __future__ import annotations

from grokinterp.experiments.conditions.claims import judge
from grokinterp.experiments.conditions.rows import CONDITIONS
from grokinterp.experiments.experiment import Experiment, PlannedRun, Scale


def plan(scale: Scale) -> list[PlannedRun]:
    """Every condition of the scale with every seed, the references first."""
    n_steps = 1800 if scale.is_quick else 5000
    return [
        PlannedRun(condition.config(seed, n_steps), {"condition": condition.name, "seed": seed})
        for condition in CONDITIONS
        if condition.is_in_quick or not scale.is_quick
        for seed in scale.seeds(2 if scale.is_quick else 5)
    ]


EXPERIMENT = Experiment(
    name="conditions",
    docstring=__doc__ or "",
    paper="The grokking literature at large, from Power et al. 2022, arXiv:2201.02177",
    claim="Whether a network groks depends on its pressures, its dataset and its initial weights, "
    "row by row as the literature has it.",
    minutes_quick=1.8,
    minutes_full=15.0,
    plan=plan,
    judge=judge,
)
