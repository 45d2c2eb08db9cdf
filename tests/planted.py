"""Truth to find: logits, neurons and a whole network with frequencies that we put there."""

from __future__ import annotations

import dataclasses
import math

import torch

from grokinterp.circuits import Snapshot
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.models.initialization import parameter_shapes
from grokinterp.models.pair_tables import PairActivations
from grokinterp.models.transformer_parts import TransformerParts
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
    pairs = torch.tensor(task.pairs)
    activations = PairActivations(pattern, neurons, logits)
    network = TransformerParts(parameters, spec, pairs, task.n_tokens, task.n_classes, activations)
    return Snapshot(task, split, 0, "", network, logits)


def with_activations(base: Snapshot, **changes: torch.Tensor) -> Snapshot:
    """The snapshot with another pattern, other neurons or other logits; weights stay."""
    network = base.transformer
    activations = dataclasses.replace(network.activations, **changes)
    network = dataclasses.replace(network, activations=activations)
    return dataclasses.replace(base, network=network, logits=activations.logits)


def with_parameters(base: Snapshot, parameters: dict[str, torch.Tensor]) -> Snapshot:
    """The snapshot with other weights, which did not make its logits."""
    network = dataclasses.replace(base.transformer, parameters=parameters)
    return dataclasses.replace(base, network=network)


def trigonometric_snapshot(
    p: int, frequencies: list[int], scale: float = 10.0, operation: str = "addition"
) -> Snapshot:
    """A network that is nothing but cos w_k(i + j - c) for each frequency, all equally strong."""
    parts = split(p, operation)
    return snapshot(cosines(parts.task, dict.fromkeys(frequencies, scale)), parts)


def on_group(name: str, by_quotient: torch.Tensor, train_fraction: float = 0.6) -> Snapshot:
    """A network on a named group whose logits are a function of a b c^-1, element by element."""
    parts = draw_split(Task(TaskSpec(operation="group", group=name, train_fraction=train_fraction)))
    view = parts.task.group_view
    assert view is not None and view.group is not None
    products, inverses = view.group.products, view.group.inverses
    a, b = parts.task.pairs.T
    quotient = products[products[a, b]][:, inverses]
    return snapshot(by_quotient.double()[torch.tensor(quotient)], parts)


def in_view(task: Task, function) -> torch.Tensor:
    """Logits function(i, j, c) of the indices in the task's cyclic view, rows in task order."""
    view = task.cyclic_view
    assert view is not None
    n = view.order
    grid = torch.meshgrid(*[torch.arange(n, dtype=torch.float64)] * 3, indexing="ij")
    logits = torch.zeros(task.n_pairs, task.n_classes, dtype=torch.float64)
    rows, columns = torch.tensor(view.pair_rows), torch.tensor(view.class_tokens)
    logits[rows[:, None], columns[None, :]] = function(*grid).reshape(n * n, n)
    return logits


def with_embedding(base: Snapshot, rows: torch.Tensor) -> Snapshot:
    """The snapshot with other embeddings for the residues of its view, in the view's order."""
    d_model = base.spec.d_model
    W_E = base.parameters["embed.W_E"].clone()
    W_E[base.class_tokens] = torch.zeros(len(rows), d_model)
    W_E[base.class_tokens, : rows.shape[1]] = rows.float()
    return with_parameters(base, {**base.parameters, "embed.W_E": W_E})


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


_HINGES, _REACH = 16, 3.0


def clock_spec(frequencies: list[int]) -> ModelSpec:
    n_waves = 2 * len(frequencies)
    return ModelSpec(
        d_model=4 * n_waves + 4, n_heads=2, d_head=n_waves + 1, d_mlp=8 * n_waves * _HINGES
    )


def clock_parameters(
    p: int, frequencies: list[int], scale: float = 20.0, radii: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    r"""Weights of a one-layer network that multiplies: a clock modulo p.

    One head reads the position of a and the other that of b, each into coordinates of its own.
    The neurons square sums and differences of the two, piecewise linearly with hinges at
    multiples of 3 / 16, and (x + y)^2 - (x - y)^2 = 4xy gives cos a cos b - sin a sin b and
    sin a cos b + cos a sin b: the angle a + b at the length r_a r_b, with r the `radii` of the
    tokens' embeddings (1 unless given).
    """
    spec = clock_spec(frequencies)
    w = {
        name: torch.zeros(shape, dtype=torch.float64)
        for name, shape in parameter_shapes(spec, p + 1, 3, p).items()
    }
    n_waves = 2 * len(frequencies)
    angles = 2 * math.pi * torch.tensor(frequencies)[:, None] * torch.arange(p).double() / p
    waves = torch.stack([angles.cos(), angles.sin()], dim=1).flatten(0, 1)
    radii = torch.ones(p, dtype=torch.float64) if radii is None else radii
    w["embed.W_E"][:p, :n_waves] = (radii * waves).T
    # Coordinates behind the waves: what the heads have read, what is written, the positions.
    read, written, places = n_waves, 3 * n_waves, 4 * n_waves
    w["embed.W_E"][p, places + 3] = 1.0
    copied = torch.eye(n_waves, dtype=torch.float64)
    for head in range(2):
        w["pos_embed.W_pos"][head, places + head] = 1.0
        w["blocks.0.attn.W_Q"][head, places + 3, -1] = 1e3 * math.sqrt(spec.d_head)
        w["blocks.0.attn.W_K"][head, places + head, -1] = 1.0
        w["blocks.0.attn.W_V"][head, :n_waves, :n_waves] = copied
        to = read + head * n_waves
        w["blocks.0.attn.W_O"][head, :n_waves, to : to + n_waves] = copied
    w["unembed.W_U"][written : written + n_waves] = scale * waves
    _multiply(w, n_waves)
    return {name: value.float() for name, value in w.items()}


def _multiply(w: dict[str, torch.Tensor], n_waves: int) -> None:
    step = _REACH / _HINGES
    slopes = torch.full((_HINGES,), 2 * step, dtype=torch.float64)
    slopes[0] = step
    neuron = 0
    for cosine in range(0, n_waves, 2):
        # (coordinate of a, coordinate of b, coordinate written, sign) of the four products.
        sine = cosine + 1
        products = [(cosine, cosine, cosine, 1), (sine, sine, cosine, -1)]
        products += [(sine, cosine, sine, 1), (cosine, sine, sine, 1)]
        for of_a, of_b, to, sign in products:
            for minus in (1, -1):
                for direction in (1, -1):
                    block = slice(neuron, neuron + _HINGES)
                    w["blocks.0.mlp.W_in"][n_waves + of_a, block] = direction
                    w["blocks.0.mlp.W_in"][2 * n_waves + of_b, block] = direction * minus
                    w["blocks.0.mlp.b_in"][block] = -step * torch.arange(_HINGES)
                    w["blocks.0.mlp.W_out"][block, 3 * n_waves + to] = sign * minus * slopes / 4
                    neuron += _HINGES


def clock_snapshot(p: int, frequencies: list[int], **changes) -> Snapshot:
    return Snapshot.from_parameters(
        clock_parameters(p, frequencies, **changes), split(p), clock_spec(frequencies)
    )


def gromov_spec(n_neurons: int = 500) -> MlpSpec:
    return MlpSpec(widths=(n_neurons,), act_fn="square")


def gromov_frequencies(n: int = 97, n_neurons: int = 500) -> torch.Tensor:
    """Frequencies of the neurons: all in turn, but for the highest of an even n."""
    return torch.arange(n_neurons) % ((n - 1) // 2) + 1


def gromov_phases(n_neurons: int = 500, seed: int = 0) -> torch.Tensor:
    """Random phi_1, phi_2 of every neuron, and one more that has nothing to do with them."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * math.pi * torch.rand(3, n_neurons, generator=generator, dtype=torch.float64)


def gromov_parameters(
    n: int = 97, n_neurons: int = 500, seed: int = 0, is_fitting: bool = True
) -> dict[str, torch.Tensor]:
    r"""Weights of Gromov's solution of addition modulo n (arXiv:2301.02679, section 3).

    Neuron m has a frequency k and two random phases: its input weights are
    cos(2 pi k a / n + phi_1) and cos(2 pi k b / n + phi_2), its output weights
    cos(-2 pi k c / n - phi_1 - phi_2). With `is_fitting` false the phases of the output are
    random too.
    """
    phi_1, phi_2, other = gromov_phases(n_neurons, seed)
    waves = torch.arange(n).double()[:, None] * gromov_frequencies(n, n_neurons)
    angles = 2 * math.pi * waves / n
    written = -phi_1 - phi_2 if is_fitting else other
    return {
        "layers.0.W": torch.cat([torch.cos(angles + phi_1), torch.cos(angles + phi_2)]),
        "layers.1.W": torch.cos(-angles + written).T,
    }


def gromov_snapshot(
    p: int = 97, n_neurons: int = 500, operation: str = "addition", **changes
) -> Snapshot:
    """Gromov's network on a task with a cyclic view; each token stands where its index does."""
    parts = split(p, operation)
    task, view = parts.task, parts.task.cyclic_view
    assert view is not None
    n = view.order
    planted = gromov_parameters(n, n_neurons, **changes)
    pairs, rows = torch.tensor(task.pairs), torch.tensor(view.pair_rows)
    first, second = torch.tensor(view.class_tokens), pairs[rows[:n], 1]
    W_in = torch.zeros(2 * task.n_tokens, n_neurons, dtype=torch.float64)
    W_out = torch.zeros(n_neurons, task.n_classes, dtype=torch.float64)
    W_in[first], W_in[task.n_tokens + second] = planted["layers.0.W"].split(n)
    W_out[:, first] = planted["layers.1.W"]
    weights = {"layers.0.W": W_in, "layers.1.W": W_out}
    return Snapshot.from_parameters(weights, parts, gromov_spec(n_neurons))


def multiplying_spec(**changes) -> MlpSpec:
    """Two layers that square, on one shared embedding side by side unless it says otherwise."""
    form = {"embedding": "shared", "d_embed": 4, **changes}
    return MlpSpec(widths=(16,), act_fn="square", **form)


def multiplying_parameters(p: int, frequencies: tuple[int, int]) -> dict[str, torch.Tensor]:
    r"""Weights of a perceptron that multiplies: a clock of two circles modulo p.

    (x + y)^2 - (x - y)^2 = 4xy gives cos cos - sin sin and sin cos + cos sin of each frequency,
    the angle a + b whatever a and b are.
    """
    angles = 2 * math.pi * torch.arange(p).double()[:, None] * torch.tensor(frequencies) / p
    waves = torch.stack([angles.cos(), angles.sin()], dim=2).flatten(1)
    W_in = torch.zeros(8, 16, dtype=torch.float64)
    W_out = torch.zeros(16, p, dtype=torch.float64)
    neuron = 0
    for cosine in (0, 2):
        sine = cosine + 1
        # (coordinate of a, coordinate of b, coordinate written, sign) of the four products.
        products = [(cosine, cosine, cosine, 1), (sine, sine, cosine, -1)]
        products += [(sine, cosine, sine, 1), (cosine, sine, sine, 1)]
        for of_a, of_b, to, sign in products:
            for minus in (1, -1):
                W_in[of_a, neuron], W_in[4 + of_b, neuron] = 1, minus
                W_out[neuron] = 5 * sign * minus * waves[:, to]
                neuron += 1
    return {"embed.W_E": waves, "layers.0.W": W_in, "layers.1.W": W_out}


def summing_spec(n_phases: int = 16) -> MlpSpec:
    return MlpSpec(
        widths=(2 * n_phases,), act_fn="relu", embedding="shared", d_embed=4, combination="summed"
    )


def summing_parameters(
    p: int, frequencies: tuple[int, int], n_phases: int = 16
) -> dict[str, torch.Tensor]:
    """Weights of a perceptron that adds two embeddings: a pizza, as `pizza_parameters` is."""
    angles = 2 * math.pi * torch.arange(p).double()[:, None] * torch.tensor(frequencies) / p
    waves = torch.stack([angles.cos(), angles.sin()], dim=2).flatten(1)
    phase = 2 * math.pi * torch.arange(n_phases).double() / n_phases
    reads = torch.stack([phase.cos(), -phase.sin()])
    writes = torch.stack([(2 * phase).cos(), -(2 * phase).sin()])
    W_in = torch.block_diag(reads, reads)
    W_out = 10 * torch.block_diag(writes, writes).T @ waves.T
    return {"embed.W_E": waves, "layers.0.W": W_in, "layers.1.W": W_out}
