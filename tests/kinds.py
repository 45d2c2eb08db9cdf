"""A small run of every kind of network, made without training: a name and a function each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
import torch
from torch import Tensor, nn

from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.module_spec import Parts
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.network import Network
from grokinterp.runs.record import CURVE_COLUMNS, WeightsInMemory
from grokinterp.runs.run import Run
from grokinterp.tasks import Task, TaskSpec, draw_split
from tests import planted

TASK = TaskSpec(p=13, train_fraction=0.7)
KEYS = (2, 5)
"""Frequencies of the planted network; all kinds are analyzed as if these were their keys."""


def of_weights(spec: ModelSpec | MlpSpec, parameters: Mapping[str, Tensor]) -> Run:
    """A run of two checkpoints: weights, and all of them a little larger."""
    larger = {name: 1.1 * value for name, value in parameters.items()}
    return Run(
        config=TrainConfig(task=TASK, model=spec, n_steps=1),
        split=draw_split(Task(TASK)),
        checkpoints=WeightsInMemory({0: parameters, 1: larger}),
        curves=pd.DataFrame(columns=pd.Index(CURVE_COLUMNS), dtype=float),
        origin="made of weights",
    )


def of_initial_weights(spec: ModelSpec | MlpSpec) -> Run:
    """A run of a network that has learned nothing."""
    return of_weights(spec, Network(spec, Task(TASK)).initial_parameters())


def clock() -> Run:
    """A transformer that adds like a clock."""
    return of_weights(planted.clock_spec(list(KEYS)), planted.clock_parameters(TASK.p, list(KEYS)))


def logits_alone() -> Run:
    """The logits of that transformer."""
    run = clock()
    logits = {step: run.logits(step) for step in run.steps}
    return Run.from_logits(logits, task=TASK, train_pairs=run.split.train)


class Summed(nn.Module):
    """A perceptron of someone's own on the sum of two embeddings."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(TASK.p, 16)
        self.hidden, self.act, self.unembed = nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, TASK.p)
        for value in self.parameters():
            value.data *= factor

    def forward(self, pairs: Tensor) -> Tensor:
        a, b = pairs.unbind(1)
        return self.unembed(self.act(self.hidden(self.embed(a) + self.embed(b))))


def module(**parts: str) -> Run:
    """A run of that module with some of its parts named."""
    return Run.from_modules(
        {0: Summed(1.0), 1: Summed(1.1)},
        task=TASK,
        inputs="a b",
        parts=Parts(**parts),
        train_pairs=draw_split(Task(TASK)).train,
    )


KINDS: dict[str, Callable[[], Run]] = {
    "transformer": clock,
    "transformer, attention only": lambda: of_initial_weights(
        ModelSpec(d_model=32, n_heads=2, d_head=16, attn_only=True)
    ),
    "transformer, norm before the readout": lambda: of_initial_weights(
        ModelSpec(d_model=32, n_heads=2, d_head=16, d_mlp=32, normalization="LN")
    ),
    "transformer, separate embeddings": lambda: of_initial_weights(
        ModelSpec(d_model=32, n_heads=2, d_head=16, d_mlp=32, operand_embeddings="separate")
    ),
    "perceptron": lambda: of_initial_weights(MlpSpec(widths=(32,), act_fn="square")),
    "perceptron, separate embeddings concatenated": lambda: of_initial_weights(
        MlpSpec(widths=(32,), embedding="separate", d_embed=16)
    ),
    "module, all parts": lambda: module(operands="embed", neurons="act", readout="unembed"),
    "module, neurons only": lambda: module(neurons="act"),
    "logits alone": logits_alone,
}
"""Kinds of networks in the order of the page. A new kind is one line here; then
``PYTHONPATH=. python docs/scripts/parts_table.py write`` makes its column."""
