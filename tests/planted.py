"""Truth to find: logits, neurons and a whole network with frequencies that we put there."""

from __future__ import annotations

import math

import torch

from grokinterp.circuits import Snapshot
from grokinterp.models import ModelSpec
from grokinterp.models.initialization import parameter_shapes
from grokinterp.tasks import Split, Task, TaskSpec, draw_split


def frequency_at(place: str, n: int) -> int:
    """The lowest, a middle or the highest frequency of Z_n."""
    return {"lowest": 1, "middle": max(1, n // 4), "highest": n // 2}[place]


def split(p: int, operation: str = "addition", train_fraction: float = 0.5, **changes) -> Split:
    return draw_split(Task(TaskSpec(operation, p, train_fraction=train_fraction, **changes)))


def cosines(task: Task, amplitudes: dict[int, float]) -> torch.Tensor:
    """Logits sum_k alpha_k cos w_k(i + j - c) in the task's cyclic view, rows in task order.

    Rows and columns that are not in the view are zero.
    """
    view = task.cyclic_view
    assert view is not None
    n = view.order
    i, j, c = torch.meshgrid(*[torch.arange(n)] * 3, indexing="ij")
    waves = sum(
        alpha * torch.cos(2 * math.pi * k * (i + j - c).double() / n)
        for k, alpha in amplitudes.items()
    )
    logits = torch.zeros(task.n_pairs, task.n_classes, dtype=torch.float64)
    rows, columns = torch.tensor(view.pair_rows), torch.tensor(view.class_tokens)
    logits[rows[:, None], columns[None, :]] = torch.as_tensor(waves).reshape(n * n, n)
    return logits


def noise(*shape: int, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=torch.float64)


def random_parameters(spec: ModelSpec, p: int) -> dict[str, torch.Tensor]:
    """Random weights and biases, so that no bias is forgotten or taken for something else."""
    shapes = parameter_shapes(spec, p + 1, 3, p)
    return {
        name: noise(*shape, seed=seed).float() / 3
        for seed, (name, shape) in enumerate(shapes.items())
    }


def snapshot(logits: torch.Tensor, split: Split, neurons: torch.Tensor | None = None) -> Snapshot:
    """A snapshot with these logits; its weights are small random ones that did not make them."""
    task = split.task
    spec = ModelSpec(d_model=6, n_heads=2, d_head=3, d_mlp=8)
    shapes = parameter_shapes(spec, task.d_vocab, 3, task.n_classes)
    parameters = {
        name: noise(*shape, seed=seed).float() for seed, (name, shape) in enumerate(shapes.items())
    }
    if neurons is None:
        neurons = noise(task.n_pairs, spec.d_mlp, seed=99).relu()
    pattern = torch.full((task.n_pairs, spec.n_heads, 3), 1 / 3)
    return Snapshot(task, split, spec, 0, "", parameters, pattern, neurons, logits)


def trigonometric_snapshot(
    p: int, frequencies: list[int], scale: float = 10.0, operation: str = "addition"
) -> Snapshot:
    """A network that is nothing but cos w_k(i + j - c) for each frequency, all equally strong."""
    parts = split(p, operation)
    return snapshot(cosines(parts.task, dict.fromkeys(frequencies, scale)), parts)


def pizza_spec(frequencies: list[int], n_phases: int = 16) -> ModelSpec:
    return ModelSpec(
        d_model=4 * len(frequencies),
        n_heads=2,
        d_head=2 * len(frequencies),
        d_mlp=n_phases * len(frequencies),
    )


def pizza_parameters(
    p: int, frequencies: list[int], scale: float = 20.0, n_phases: int = 16
) -> dict[str, torch.Tensor]:
    r"""Weights of a one-layer network that adds modulo p with the planted frequencies.

    Attention is uniform. Neuron j of frequency k is relu(cos(w_k a + f_j) + cos(w_k b + f_j)),
    whose second harmonic is a positive function of a - b times cos(w_k(a + b) + 2 f_j), and it
    writes cos(w_k c + 2 f_j): the sum over the phases f_j is that function times
    cos w_k(a + b - c) (Zhong et al. 2023).
    """
    spec = pizza_spec(frequencies, n_phases)
    shapes = parameter_shapes(spec, p + 1, 3, p)
    w = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in shapes.items()}
    x = torch.arange(p, dtype=torch.float64)
    phase = 2 * math.pi * torch.arange(n_phases, dtype=torch.float64) / n_phases
    written = 2 * len(frequencies)
    for index, k in enumerate(frequencies):
        cos_at, neurons = 2 * index, slice(index * n_phases, (index + 1) * n_phases)
        wave = torch.stack([torch.cos(2 * math.pi * k * x / p), torch.sin(2 * math.pi * k * x / p)])
        w["embed.W_E"][:p, cos_at : cos_at + 2] = wave.T
        w["blocks.0.mlp.W_in"][cos_at, neurons] = 3 * phase.cos()
        w["blocks.0.mlp.W_in"][cos_at + 1, neurons] = -3 * phase.sin()
        w["blocks.0.mlp.W_out"][neurons, written + cos_at] = (2 * phase).cos() / n_phases
        w["blocks.0.mlp.W_out"][neurons, written + cos_at + 1] = -(2 * phase).sin() / n_phases
        w["unembed.W_U"][written + cos_at : written + cos_at + 2] = scale * wave
    for head in range(2):
        # Each head copies half of every coordinate that the embedding uses.
        half = torch.eye(written, dtype=torch.float64)
        w["blocks.0.attn.W_V"][head, :written] = half
        w["blocks.0.attn.W_O"][head, :, :written] = half / 2
    return {name: value.float() for name, value in w.items()}


def pizza_snapshot(p: int, frequencies: list[int], **changes) -> Snapshot:
    return Snapshot.from_parameters(
        pizza_parameters(p, frequencies, **changes), split(p), pizza_spec(frequencies)
    )
