"""Analyses whose circuits are explored: of any network, with keys of one's choice."""

import dataclasses

import pandas as pd
import torch

import grokinterp as gi
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.mlp import first_mlp_parameters
from grokinterp.runs import TrainConfig
from grokinterp.runs.run import Run, WeightsInMemory
from grokinterp.tasks import Task, TaskSpec, draw_split
from tests import planted


def analysis_of(base, run, keys, *, table=True):
    """The analysis `base` with another run and its ablations of the logits."""
    view = run.task.group_view
    chosen = gi.KeyFrequencies.given_for(view, keys)
    ablations = pd.DataFrame()
    if table:
        ablations = gi.ablation_table(gi.take_snapshot(run), chosen)
    return dataclasses.replace(
        base,
        run=run,
        key_frequencies=chosen,
        ablations=ablations,
        trajectory=pd.DataFrame({"step": list(run.steps)}),
    )


def with_keys(base, keys=(2, 5)):
    """The same analysis with key frequencies that are given, and their ablations."""
    explored = analysis_of(base, base.run, keys)
    return dataclasses.replace(explored, trajectory=base.trajectory)


def run_of(task, model, *parameters):
    split = draw_split(Task(task))
    kept = WeightsInMemory(dict(enumerate(parameters)))
    return Run(TrainConfig(task=task, model=model), split, kept, pd.DataFrame(), "planted")


def analysis_at_113(base):
    """A transformer of the usual size with random weights, at as many checkpoints as are shown."""
    spec, task = ModelSpec(), TaskSpec()
    parameters = planted.random_parameters(spec, 113)
    run = run_of(task, spec, *[parameters] * 4)
    return analysis_of(base, run, [14, 35, 41, 42, 52], table=False)


def perceptron(base, **changes):
    """Random weights, so that each answer is a matter of chance; multiplication, so that tokens
    and indices differ and a token is left out."""
    spec = MlpSpec(widths=(24,), biases=True, **changes)
    task = TaskSpec(operation="multiplication", p=13, train_fraction=0.6)
    parameters = first_mlp_parameters(spec, 26, 13)
    return analysis_of(base, run_of(task, spec, parameters), [1, 4, 6])


def of_group(base, name="S4"):
    """Logits alone, of characters and noise, on a group that is not cyclic."""
    split = draw_split(Task(TaskSpec(operation="group", group=name, train_fraction=0.6)))
    generator = torch.Generator().manual_seed(0)
    n = split.task.n_pairs
    logits = torch.randn(n, split.task.n_classes, generator=generator, dtype=torch.float64)
    logits[torch.arange(n), torch.tensor(split.task.labels)] += 2.0
    run = Run.from_logits({0: logits}, task=split.task.spec, train_pairs=split.train)
    names = gi.take_snapshot(run).harmonics.representation_names
    return analysis_of(base, run, [names[2], names[3]])
