"""Slingshots: cycles of norm growth and loss spikes when nothing regularizes.

Thilak et al., "The slingshot mechanism: an empirical study of adaptive optimizers and the
grokking phenomenon", 2022, arXiv:2206.04817. Trained without weight decay, a network that
knows its training set goes through cycles: the norm of the last layer grows, the training loss
spikes, the norm settles on a plateau. The paper ties them to Adam's epsilon, sees them vanish
with weight decay, and reads late generalization as their effect. Later work (Prieto et al.,
arXiv:2501.04697, and others) finds that a loss computed in float64 is enough to remove them. A
one-layer transformer is trained on addition modulo 37, with and without each of these.

Prediction
----------
With Adam's epsilon at 1e-8, a float32 loss and no weight decay:

- (1) The training loss spikes again and again. A spike is a rise by more than a factor 10 within
  20 steps to at least 0.01 nats, which falls back below a tenth of its peak, for at least 20
  steps, within 500 steps of its onset; rises within 100 steps of its end are its aftershocks.
- (2) The spikes are slingshots: each goes with a cycle of the last layer's norm, a rise that ends
  on a plateau.
- (3) With epsilon 1e-5 there are no spikes (the paper's value).
- (4) With the paper's weight decay there are no spikes. AdamW shrinks weights by learning rate
  times decay at each step: 1e-3 times 0.1 in the paper, 1e-2 times 0.01 here.
- (5) Generalization comes with the slingshots: after some of them the test accuracy passes 95 %,
  and it does not where there are none and no weight decay.
- (6) With the loss in float64 there are no spikes: they are of rounding. This is the later
  finding, against the reading of the slingshot as dynamics of the optimizer alone.

Criterion
---------
A cycle of the norm (from the first step with a training accuracy of 99 % on, at checkpoints 50
steps apart) is a stretch on which it grows more than twice as fast as in the mean over the 2,000
steps around, which gains at least 0.2 % and is followed by 200 steps or more without such growth;
stretches less than 200 steps apart are one. A slingshot is a spike within 100 steps of a cycle.
Every claim needs at least 2 seeds of each condition that it compares, or it is inconclusive.
Shares are of seeds.

- (1) Confirmed when at least half of the runs have 2 spikes or more; otherwise inconclusive, since
  spikes may come later.
- (2) Of the runs with 2 spikes or more that ended at least 250 steps before the last checkpoint.
  Confirmed when in at least half of them 2 or more, and at least two thirds, of these spikes are
  slingshots; not confirmed when at least half have slingshots of fewer than one third of their
  spikes; inconclusive otherwise.
- (3), (4) and (6) Confirmed when no seed has a single spike; not confirmed when at least half have
  one; inconclusive in between, and also when claim 1 is not confirmed, since then there is
  nothing to remove. Epsilon 1e-4 and weight decays of 0.1 and 1 stand in the table.
- (5) By the accuracy on test pairs whose mirror image is not trained, the best over checkpoints,
  since those with a trained mirror image need no generalization. Judged on the runs of nothing
  changed that have at least 4 slingshots, and inconclusive with fewer than 2 of them. Confirmed
  when at least half of these pass 0.95 after their fourth, and no run with epsilon 1e-4 or float64
  does. Not confirmed when the latter pass 0.95 in at least half; or when at least half of the
  former have 20 slingshots or more and none has passed. Otherwise inconclusive: not by N steps.

All six are main claims. Beside them: all spikes of nothing changed begin at a training loss that
float32 hardly resolves, below 2^-23 = 1.2e-7 nats twenty steps before (confirmed when at least 90 %
of them do; not confirmed when fewer than half do).

Settings
--------
Addition modulo 37, 75 % of the pairs, one block of width 32 (4 heads, 128 neurons, no layer
norm), full batch, AdamW with learning rate 0.01, betas (0.9, 0.98), no warm-up, loss in float32.
Full: 5 seeds; nothing changed, epsilon 1e-4 and float64 loss for 40,000 steps; epsilon 1e-5 and
weight decay 0.01, 0.1 and 1 for 10,000. Quick: 2 seeds and 2,700 steps (two cycles), without
epsilon 1e-4 and the decays of 0.1 and 1. A seed is that of split and initial weights. The paper
trains two blocks of width 128 on division modulo 97 in batches of 512, with learning rate 0.001,
up to 500,000 steps: the preset ``thilak2022``, for hours on this machine. Only the logarithm of
the softmax and the mean are in float64 where the loss is; the matrix products stay in float32.

The settings were chosen after measurements on small networks and two trial runs, which showed
spikes about 1,250 steps apart, none at epsilon 1e-4 or in float64, and two with weight decay 0.1.
The rule for cycles was written on two trial runs with seed 100, of 5,000 steps with nothing changed
(4 spikes) and of 4,000 with weight decay 0.01 (3 spikes); so claim 4 was known to be in doubt.

History
-------
Until 2026-11-28 claim 2 was that the norm grows more than 3 times as fast around the spikes as
between them, which counts no cycles; that rate stands in the table. Claim 3 was judged at epsilon
1e-4 and claim 4 at weight decay 0.1, which at this learning rate shrinks weights ten times as fast
as the paper's. Claim 5 was judged on all runs, whatever the number of their slingshots, and before
that it was not confirmed where 4 spikes had brought no gain, which a longer run may. The quick
version alone had been run, 2,700 steps and 2 seeds: not confirmed, for 2 of 2 runs with weight
decay 0.1 had spikes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from grokinterp.experiments.experiment import Experiment, PlannedRun, Scale
from grokinterp.experiments.thilak2022.claims import FREE, GENERALIZED, QUIET, judge
from grokinterp.fields import Number
from grokinterp.models import ModelSpec
from grokinterp.runs.config import OptimizerSpec, TrainConfig
from grokinterp.tasks import TaskSpec

if TYPE_CHECKING:
    from grokinterp.runs.run import Run

CONDITIONS: dict[str, dict[str, float | str]] = {
    FREE: {},
    "epsilon 1e-4": {"eps": 1e-4},
    "float64 loss": {"loss_dtype": "float64"},
    "epsilon 1e-5": {"eps": 1e-5},
    "weight decay 0.01": {"weight_decay": 0.01},
    "weight decay 0.1": {"weight_decay": 0.1},
    "weight decay 1": {"weight_decay": 1.0},
}
"""What is changed, by the name of the condition."""
FOLLOWED_LONG = (FREE, *QUIET)
"""Conditions that may generalize."""
ONLY_IN_FULL = ("epsilon 1e-4", "weight decay 0.1", "weight decay 1")
LEARNING_RATE = 1e-2
FITTED = 0.99
"""Training accuracy from which on the norm is followed."""
FOLLOWED_STEPS = 250
"""Steps after a spike in which its cycle can be seen to end."""


def config_of(
    seed: int,
    n_steps: int,
    *,
    eps: float = 1e-8,
    loss_dtype: str = "float32",
    weight_decay: float = 0.0,
) -> TrainConfig:
    """Config of one run; the defaults are those that have slingshots."""
    return TrainConfig(
        task=TaskSpec(p=37, train_fraction=0.75, split_seed=seed),
        model=ModelSpec(d_model=32, d_head=8, d_mlp=128, init_seed=seed),
        optimizer=OptimizerSpec(
            learning_rate=LEARNING_RATE, weight_decay=weight_decay, eps=eps, warmup_steps=0
        ),
        n_steps=n_steps,
        loss_dtype=loss_dtype,  # pyright: ignore[reportArgumentType]
        test_every=10,
        checkpoint_every=50,
    )


def plan(scale: Scale) -> list[PlannedRun]:
    """Every condition with every seed."""
    names = [name for name in CONDITIONS if not (scale.is_quick and name in ONLY_IN_FULL)]
    return [
        PlannedRun(
            config_of(seed, _n_steps(name, scale), **CONDITIONS[name]),  # pyright: ignore[reportArgumentType]
            {"condition": name, "seed": seed},
        )
        for name in names
        for seed in scale.seeds(2 if scale.is_quick else 5)
    ]


def _n_steps(name: str, scale: Scale) -> int:
    if scale.is_quick:
        return 2700
    return 40_000 if name in FOLLOWED_LONG else 10_000


def observe(run: Run, planned: PlannedRun) -> dict[str, Number]:
    """Find the spikes, the norm of the unembedding around them, and what was generalized.

    Returns
    -------
    dict[str, Number]
        ``n_spikes``; ``spike_steps`` and ``spike_losses``, the onsets and peaks separated by
        spaces; ``losses_before``, those twenty steps before the onsets; ``n_norm_cycles``;
        ``n_slingshots``, ``fourth_slingshot_step`` and ``n_spikes_followed``, the spikes that ended
        250 steps before the last checkpoint; ``norm_points``, pairs ``step:norm`` at the ends, at
        steps 100, 200 and 500, and before and after every spike;
        ``growth_around`` and ``growth_between``, units of the norm per 1,000 steps;
        ``best_unmirrored`` and ``unmirrored_crossing_step``.
    """
    from grokinterp.trajectory.slingshots import (
        find_norm_cycles,
        find_spikes,
        norm_growth,
        slingshots_of,
    )

    spikes = find_spikes(run.curves)
    steps = np.array(run.steps)
    norms, accuracies = _along_checkpoints(run)
    growth = norm_growth(spikes, steps, norms)
    shown = {0, len(steps) - 1}
    shown |= {min(int(np.searchsorted(steps, step)), len(steps) - 1) for step in (100, 200, 500)}
    for spike in spikes:
        before = int(np.searchsorted(steps, spike.onset_step - 50, side="right")) - 1
        after = int(np.searchsorted(steps, spike.end_step + 50))
        shown |= {max(before, 0), min(after, len(steps) - 1)}
    fitted = run.curves["step"].to_numpy()[(run.curves["train_accuracy"] >= FITTED).to_numpy()]
    known = steps >= (fitted[0] if len(fitted) else np.inf)
    cycles = find_norm_cycles(steps[known], norms[known]) if known.sum() > 1 else ()
    followed = [spike for spike in spikes if spike.end_step + FOLLOWED_STEPS <= steps[-1]]
    slingshots = slingshots_of(followed, cycles)
    passed = np.flatnonzero(accuracies > GENERALIZED)
    return {
        "n_spikes": len(spikes),
        "spike_steps": " ".join(str(spike.onset_step) for spike in spikes),
        "spike_losses": " ".join(f"{spike.peak_loss:.3g}" for spike in spikes),
        "losses_before": " ".join(f"{spike.loss_before:.3g}" for spike in spikes),
        "n_norm_cycles": len(cycles),
        "n_spikes_followed": len(followed),
        "n_slingshots": len(slingshots),
        "fourth_slingshot_step": slingshots[3].onset_step if len(slingshots) > 3 else None,
        "norm_points": " ".join(f"{steps[i]}:{norms[i]:.3f}" for i in sorted(shown)),
        "growth_around": None if growth is None else 1000 * growth[0],
        "growth_between": None if growth is None else 1000 * growth[1],
        "best_unmirrored": float(accuracies.max()),
        "unmirrored_crossing_step": int(steps[passed[0]]) if len(passed) else None,
    }


def _along_checkpoints(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Norm of the unembedding, and accuracy on unmirrored test pairs, at every checkpoint."""
    from grokinterp.runs.accuracy import accuracy_on, rows_by_mirror

    rows = rows_by_mirror(run)["unmirrored"]
    norms = [run.parameters(step)["unembed.W_U"].double().norm().item() for step in run.steps]
    return np.array(norms), np.array([accuracy_on(run, step, rows) for step in run.steps])


EXPERIMENT = Experiment(
    name="thilak2022",
    docstring=__doc__ or "",
    paper='Thilak et al., "The slingshot mechanism", 2022, arXiv:2206.04817',
    claim="Without weight decay, cycles of norm growth and loss spikes set in, and generalization "
    "comes with them.",
    minutes_quick=1.5,
    minutes_full=16.0,
    plan=plan,
    judge=judge,
    observe=observe,
    observe_version=3,
)
