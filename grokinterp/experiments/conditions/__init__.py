"""When it happens: which networks grok, which generalize at once, which not within their steps.

The literature names many conditions that make or break grokking: weight decay and other
pressures, the size of the dataset, the size of the initial weights, the kind of data (Power et
al. 2022, arXiv:2201.02177; Nanda et al. 2023, arXiv:2301.05217; Liu et al. 2022, "Omnigrok",
arXiv:2210.01117; Kumar et al. 2023, arXiv:2310.06110; Varma et al. 2023, arXiv:2309.02390). Seven
of them make a table, "grokking likely?". Each is run in several settings with several seeds, and
the share of runs that grokked stands beside the literature's answer. Finer statements on single
settings stand beside the table.

Prediction
----------
The table, with the settings that stand for each row:

- small structured dataset, weight decay: yes. Transformer on addition modulo 37 with weight decay 1
  and 0.5, on multiplication with weight decay 1.
- large naturalistic dataset, weight decay: sometimes; harder to detect, may be masked by noise.
  Handwritten digits (1,200) and breast tumors (400) from standard initial weights, and each
  provoked: 200 digits or 50 tumors, initial weights times 8.
- two-layer perceptron, no weight decay (Kumar et al.): sometimes; lazy to rich. Addition modulo 23
  with initial weights 0.1, 0.3, 0.6 and 1, and from 0.3 with the output times 10 and 100.
- no weight decay, no other compression pressure: rare. Addition; with 75 % of the pairs; from
  initial weights times 3 and times 0.3; multiplication.
- dataset too small for memorization: no; the model cannot memorize, so that phase does not occur.
  40, 80 and 120 of the 1,369 pairs, which is below the size of about 220 from which on
  generalization is the more efficient solution here (see varma2023), weight decay 1.
- very high weight decay: no; underfits from the start. Weight decay 8 and 16.
- dropout instead of weight decay: unclear. Rates 0.1, 0.2, 0.3 and 0.5.

Beside the table, one setting each:

- perceptron with small weights (0.3): generalizes late (Kumar et al.: rich after lazy); with large
  initialization (1) and with large output scale (100): memorizes (Kumar et al.: lazy)
- digits and tumors from standard initial weights: generalize without delay (Power et al., Liu et
  al.: grokking has to be provoked); provoked: late (Liu et al.)
- large initialization (3 times), no weight decay: memorizes (Liu et al.)
- small initialization (0.3 times), with and without weight decay: generalizes without delay (Liu
  et al.: below the right norm there is no grokking)
- dropout only: generalizes late (Nanda et al., with 0.2 and 0.5)
- L1 penalty only (1e-4; 1e-5): memorizes or does not fit (Nanda et al.: "never groks")
- gradient noise only (1e-4, 1e-3, 1e-2, 3e-2): at some strength networks generalize that do not
  without it (Power et al.: noise helps)
- Grokfast with weight decay generalizes, and sooner than without (Lee et al. 2024,
  arXiv:2405.20233); perpGrad alone and StableMax alone generalize, late or not (Prieto et al. 2025,
  arXiv:2501.04697)

Criterion
---------
Outcomes are those of ``outcome_kind``. A run *grokked* when it is ``grokked`` or
``slow_convergence``: the test accuracy passed its level more than as many steps after the training
accuracy passed 99 % as that had taken. ``grokked`` is a sharp transition (from 10 to 90 % of the
way in at most half the delay, on test pairs whose mirror image is not trained) and counted apart.
The level is 95 %, but 85 % for digits and 90 % for tumors, in all settings of either: 95 % is out
of reach of a network that knows 200 digits or 50 tumors.

A run has not grokked when it generalized without delay or before memorizing, when it diverged, or
when it had not generalized by its last step and that was at least 10 times the median grokking time
of its reference: the weight decay setting for transformers, the small weights setting for
perceptrons, the provoked setting of the same data for digits and tumors. All other runs are
inconclusive: those that were not followed that long, those whose reference did not generalize in
half of its runs, collapsed and unsettled ones. Where the literature's word is "rare" or "no", a run
that generalized and collapsed counts as one that grokked.

The share of grokked among the conclusive runs of all settings and seeds of a row, with Wilson's 95
% interval, agrees or not with the literature's word:

- yes: confirmed at a share of 2/3 or more, not confirmed at 1/3 or less, with at least 2 runs.
- sometimes: confirmed when at least 2 runs grokked and at least 2 did not; not confirmed when none
  or all of at least 10 did.
- rare: confirmed at a share below 0.2 whose interval ends below 1/3, which none may have too; not
  confirmed when the interval begins at 0.2 or above.
- no: confirmed when none grokked and the interval ends below 1/3; not confirmed when at least 2
  runs grokked.
- unclear: nothing to confirm; only the frequency is given.

All else is inconclusive. Our own word for a share is yes from 2/3 on, sometimes from 0.2 on, rare
below, and no for none, which is none within the steps that were trained.

The two reasons are claims of their own: that too small a dataset cannot be memorized, and that very
high weight decay underfits. Of the runs of the row, those whose training accuracy came to stay
above 99 %, or did and collapsed, are against it; those that ``did_not_fit`` by their last step, 10
reference times or more, are for it: confirmed from 2/3 on, not confirmed up to 1/3, with at least
2 runs. The verdict on the question is that on the six rows with an answer and on the two reasons.

Beside the table, and without weight in the verdict: a setting is confirmed when at least 2/3 of its
conclusive runs end as predicted, not confirmed at 1/3 or less, inconclusive in between or with
fewer than 2. A run that had not generalized counts where that is predicted and it was followed for
10 reference times. Against another prediction it counts only where a longer run could not agree
with it: one that has been at it for twice as long as fitting took refutes "without delay". A run
that collapsed is inconclusive, except that one which had generalized counts against "memorizes or
does not fit". A run that diverged counts against every prediction.

Gradient noise: the share of seeds that cross 95 % within 40,000 steps, by strength. A strength is
known when every one of its runs has crossed or was followed for 10 reference times. Confirmed when
at some known strength at least 2/3 cross and a larger share than without noise; not confirmed when
at none of at least 3 known strengths more than 1/3 cross, or at none of them more than without
noise; inconclusive otherwise.

Natural data is harder to detect: of the late runs, the median rise of the test accuracy from the
step of memorization to its largest value after it is at most half of that with weight decay on
addition. With a larger one it is not confirmed, with fewer than 2 late runs of either inconclusive.
Beside it stands in how many runs on natural data the rise is within two standard errors of a test
accuracy, sqrt(a (1 - a) / number of test examples): what noise may mask.

Late generalization is sharp: ``grokked`` in at least 2/3 of the late runs of the weight decay
setting (not confirmed at most 1/3). Grokfast comes sooner: an earlier crossing in at least 2/3 of
the seeds that have both (not confirmed in at most 1/3).

Settings
--------
Transformer: p = 37, 60 % of the pairs, one block of width 32 (4 heads, 128 neurons, no layer
norm), full batch, AdamW, learning rate 0.003, betas (0.9, 0.98), 10 steps of warm-up. Perceptron:
p = 23, 75 % of the pairs, 256 neurons with squared activations, squared loss, mean-field scaling,
Adam with learning rate 0.003. Natural data: two layers of 100 ReLU neurons, weight decay 0.3,
learning rate 0.001; scikit-learn's 8 x 8 digits and its breast cancer table, since neither MNIST
nor another large set ships in a package, so what is said of large natural data is said of small
sets. A run ends 200 steps (natural data: 1,000) after its test accuracy came to stay above its
level. Full: 5 seeds, at most 10,000 steps; 40,000 with gradient noise and for addition without any
pressure, 15,000 for the provoked tumors, 3,000 for natural data from standard weights. Quick: 2
seeds, 6,500 steps, fewer settings. The papers train p = 97 or 113 for tens of thousands of steps,
which takes hours on this machine.

Known beforehand, from measurements on small networks, from earlier runs of this question and of
others, and from trial runs with seeds from 100 on: late but wide transitions at p = 37 (0.5 to 0.8
of the delay, where p = 113 has about 0.4), which is why a late outcome of either kind counts and
sharpness is asked apart; a median of 620 steps with weight decay 1 and none without in 10,000; L1
alone generalizes; small initial weights alone do not within 5,000 steps; gradient noise 1e-3, seed
0, crosses 95 % at step 37,420; 273 pairs are memorized at once; dropout 0.3 generalizes without
much delay. Rows that these put in doubt are stated as their sources have them.

Trials of natural data (two seeds): the provoked digits know their examples at step 120 to 150 with
a test accuracy of 0.75, pass 85 % at step 490 and 500 and end at 0.92 and 0.95; with 100 digits
they end at 0.89 and 0.92. The provoked tumors know theirs at step 30 and 50 with 0.87, pass 90 % at
980 and 1,290 and end at 0.92 and 0.93; with initial weights times 16 they had not passed 90 % by
step 3,000, and 100 tumors are at 0.90 and 0.92 when they are memorized, which leaves no room for a
delay. From standard weights both sets pass their level before they are memorized.

Trials of the others (one seed, at most 3,000 steps): 40 and 120 pairs are known at step 60 and 80,
with a test accuracy at chance. Dropout 0.2 and 0.5 generalize without delay. Noise of 1e-2 and 3e-2
is fitted through, 0.1 is not, which is why the doses end at 3e-2. Initial weights times 3 (two
seeds) know their training pairs at step 3,000 to 6,000. Perceptrons with initial weights 0.1, and
with the output times 3, grok within 420 steps; with 0.6, and with the output times 10, they had not
by step 3,000. Without pressure neither 75 nor 85 % of the pairs led to generalization.

History
-------
Until 2026-11-28 every row was one setting with one predicted outcome, judged by 2/3 of at least 2
conclusive runs, and all rows except Grokfast, perpGrad and StableMax counted for the verdict. A run
was followed long enough at 3 times the median grokking time of its reference. By that criterion the
quick version (2 seeds, 1,800 steps) was not confirmed: dropout 0.3 generalized without delay, L1
1e-4 late, small initial weights not at all. The full version was never run.

It was replaced because the literature's answers include "sometimes", "rare" and "unclear", which
one setting cannot test; because the dataset that was called too small had 273 pairs (20 %), more
than the size from which on generalization is the more efficient solution; because large initial
weights had not been fitted by the last step; because gradient noise was tried at one strength and
not followed; and because the reasons that the table gives were not looked at. The single settings
stay beside the table with their verdicts and no longer count for the whole, which is now the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokinterp.experiments.conditions.claims import judge
from grokinterp.experiments.conditions.condition import USUAL_LEVEL
from grokinterp.experiments.conditions.settings import CONDITION_OF, conditions_of
from grokinterp.experiments.experiment import Experiment, PlannedRun, Scale
from grokinterp.fields import Number

if TYPE_CHECKING:
    from grokinterp.runs.run import Run


def plan(scale: Scale) -> list[PlannedRun]:
    """Every setting of the scale with every seed."""
    planned = []
    for condition in conditions_of(scale.is_quick):
        n_steps = (condition.n_steps_quick if scale.is_quick else None) or condition.n_steps
        for seed in scale.seeds(2 if scale.is_quick else 5):
            labels = {"condition": condition.name, "seed": seed}
            planned.append(PlannedRun(condition.config(seed, n_steps), labels))
    return planned


def observe(run: Run, planned: PlannedRun) -> dict[str, Number]:
    """Read the outcome at the level of the run's own dataset, and the rise after memorization.

    Returns
    -------
    dict[str, Number]
        ``level``, the test accuracy above which it has generalized. Where that is not 95 %:
        ``level_outcome``, ``level_crossing_step``, ``level_grokking_step``, ``level_delay`` and
        ``level_width``, as the columns of every run have them for 95 %; None elsewhere.
        ``accuracy_when_memorized`` and ``largest_accuracy_after``, on the test examples, at the
        memorization step and from then on; ``n_test``, the number of these examples.
    """
    from grokinterp.trajectory.run_milestones import milestones_of
    from grokinterp.trajectory.thresholds import Thresholds

    level = CONDITION_OF[str(planned.labels["condition"])].level
    milestones = milestones_of(run, thresholds=Thresholds(grokking=level))
    other = None if level == USUAL_LEVEL else milestones
    tested = run.curves.dropna(subset=["test_accuracy"])
    memorized = milestones.memorization_step
    is_after = tested["step"].to_numpy() >= (run.last_step + 1 if memorized is None else memorized)
    after = tested["test_accuracy"].to_numpy()[is_after]
    return {
        "level": level,
        "level_outcome": other and other.outcome_kind,
        "level_crossing_step": other and other.first_crossing_step,
        "level_grokking_step": other and other.grokking_step,
        "level_delay": other and other.grokking_delay,
        "level_width": other and other.transition_width,
        "accuracy_when_memorized": float(after[0]) if len(after) else None,
        "largest_accuracy_after": float(after.max()) if len(after) else None,
        "n_test": len(run.split.test),
    }


EXPERIMENT = Experiment(
    name="conditions",
    docstring=__doc__ or "",
    paper="The grokking literature at large, from Power et al. 2022, arXiv:2201.02177",
    claim="Whether a network groks depends on its pressures, its dataset and its initial weights, "
    "row by row as the literature has it.",
    minutes_quick=4.0,
    minutes_full=40.0,
    plan=plan,
    judge=judge,
    observe=observe,
    observe_version=2,
)
