"""Which checkpoints are run to judge a transition, on accuracies that were planted."""

import numpy as np
import pandas as pd
import pytest
import torch

from grokinterp.errors import CheckpointError
from tests import tiny

FIT, JUMP = 100, 6000


def right_at(steps, jump, width):
    return np.interp(steps, [jump - width / 2, jump + width / 2], [0.0, 1.0])


class Planted:
    """Checkpoints whose only weight is their step; some cannot be read."""

    def __init__(self, steps, damaged=()):
        self.steps, self.damaged, self.read = tuple(steps), damaged, []

    def parameters(self, step):
        if step in self.damaged:
            raise CheckpointError(f"step {step} is damaged")
        self.read.append(step)
        return {"step": torch.tensor(float(step))}

    def checksum(self, step):
        return str(step)

    def name(self, step):
        return f"step {step}"


@pytest.fixture
def planted(monkeypatch):
    """Make a run whose unmirrored test pairs are learned at `jump`, the mirrored ones at `FIT`."""
    from grokinterp.runs import run as run_module
    from grokinterp.runs.run import Run
    from grokinterp.tasks import Task, draw_split

    def make(every=100, jump=JUMP, width=400, damaged=(), n_steps=12_000):
        config = tiny.config(p=23)
        task = Task(config.task)
        split = draw_split(task)
        steps = np.arange(0, n_steps + 1, 10)
        share = split.is_mirrored[split.test].mean()
        known = (steps > FIT).astype(float)
        test = share * known + (1 - share) * right_at(steps, jump, width)
        columns = {"train_loss": 0.0, "test_loss": 0.0, "train_accuracy": known}
        curves = pd.DataFrame({"step": steps, **columns, "test_accuracy": test})

        def logits(parameters, spec, pairs):
            right = right_at(float(parameters["step"]), jump, width)
            rows = torch.arange(len(pairs))
            answers = pairs.sum(dim=-1) % 23
            is_wrong = rows >= round(right * len(pairs))
            return torch.nn.functional.one_hot((answers + is_wrong) % 23, 23).float()

        monkeypatch.setattr(run_module, "pair_logits", logits)
        return Run(config, split, Planted(range(0, n_steps + 1, every), damaged), curves, "planted")

    return make


def judge(run):
    from grokinterp.trajectory import find_milestones, unmirrored_transition

    return find_milestones(run.curves, unmirrored=unmirrored_transition(run))


@pytest.mark.parametrize("every", [50, 100, 250])
@pytest.mark.parametrize(("width", "kind"), [(400, "grokked"), (9000, "slow_convergence")])
def test_the_transition_is_that_of_the_unmirrored_pairs(planted, every, width, kind):
    found = judge(planted(every, width=width))
    assert found.outcome_kind == kind
    assert abs(found.plateau_transition_width - 0.8 * width) <= 2 * every
    assert found.plateau_accuracy > 0.3


def test_only_checkpoints_of_the_plateau_and_the_transition_are_run(planted):
    run = planted()
    judge(run)
    # The first checkpoint past the jump, and a tenth of the delay to see that it lasts.
    assert max(run.checkpoints.read) <= JUMP + 200 + 700
    assert len(run.checkpoints.read) == len(set(run.checkpoints.read))
    assert min(run.checkpoints.read) >= FIT


def test_damaged_checkpoints_change_the_width_by_no_more_than_their_gap(planted):
    whole = judge(planted())
    damaged = (*range(100, 700, 100), 5800, 6000)
    found = judge(planted(damaged=damaged))
    assert found.outcome_kind == whole.outcome_kind == "grokked"
    assert abs(found.plateau_transition_width - whole.plateau_transition_width) <= 200
    last = judge(planted(damaged=tuple(range(200, 12_001, 100))))
    assert last.outcome_kind == "slow_convergence"
    assert last.plateau_transition_width is None


def test_a_run_that_only_memorized_needs_no_checkpoint(planted):
    run = planted(jump=10**6)
    found = judge(run)
    assert (found.outcome_kind, run.checkpoints.read) == ("memorized", [])
    assert "needs both" in found.reasons["plateau_transition_width"]


def test_other_thresholds_look_at_other_checkpoints(planted):
    from grokinterp.trajectory import Thresholds, unmirrored_transition

    run = planted()
    usual = unmirrored_transition(run)
    brief = unmirrored_transition(run, thresholds=Thresholds(patience=100))
    assert brief["step"].max() < usual["step"].max()
