"""Perceptrons under any names: which matrix is what follows from the shapes.

An embedding, or one for each operand, or none for one-hot vectors; then a chain of linear layers,
each of which takes what the one before gives. What shapes leave open (activation, orientation of
square matrices, whether the last hidden layer has an activation) becomes several readings.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor

from grokinterp.errors import CheckpointError
from grokinterp.models import MlpSpec
from grokinterp.models.mlp_spec import Combination, MlpActivation, MlpEmbedding
from grokinterp.runs.importers.parameters import MAX_ORDER, Network
from grokinterp.tasks import Task

ACTIVATIONS: tuple[MlpActivation, ...] = ("relu", "gelu", "silu", "tanh", "square", "gelu_new")
"""Tried in this order."""
_EMBEDDING = re.compile(r"(^|[._])(tok(en)?_?)?(embed\w*|emb\w*|wte|w_?e)([._]|$)|^w_[xy]$")
_READOUT = re.compile(r"(^|[._])(un_?embed\w*|w_?u|lm_head|head|out\w*|readout|decoder)([._]|$)")
_MOST_LAYERS = 8
Orientation = Literal["out, in", "in, out"]


@dataclass(frozen=True)
class _Plan:
    """Which tensor is what; makes the network of any state dict of the same names."""

    embeddings: tuple[str, ...]
    layers: tuple[str, ...]
    """Matrices of the chain, the readout last."""
    biases: tuple[str | None, ...]
    orientation: Orientation
    is_folded: bool
    """The last hidden layer has no activation, so it is multiplied into the readout."""
    combination: Combination
    order: int
    act_fn: MlpActivation = "relu"

    def network(self, state: Mapping[str, Tensor]) -> Network:
        """Make the network of a state dict."""
        names = (*self.embeddings, *self.layers, *(name for name in self.biases if name))
        for name in names:
            if name not in state or not torch.isfinite(state[name]).all():
                raise CheckpointError(
                    f"{name} is missing or not finite. Save the whole state dict of the network."
                )
        matrices = [state[name].detach().cpu().double() for name in self.layers]
        if self.orientation == "out, in":
            matrices = [matrix.T for matrix in matrices]
        biases = [
            torch.zeros(matrix.shape[1], dtype=torch.float64)
            if name is None
            else state[name].detach().cpu().double()
            for name, matrix in zip(self.biases, matrices, strict=True)
        ]
        has_biases = any(name is not None for name in self.biases)
        if self.is_folded:
            last = matrices.pop()
            biases[-1] = biases.pop(-2) @ last + biases[-1]
            matrices[-1] = matrices[-1] @ last
        kinds: tuple[MlpEmbedding, ...] = ("none", "shared", "separate")
        embedding = kinds[len(self.embeddings)]
        tables = [
            state[name].detach().cpu().float()[: self.order].contiguous()
            for name in self.embeddings
        ]
        spec = MlpSpec(
            widths=tuple(matrix.shape[1] for matrix in matrices[:-1]),
            act_fn=self.act_fn,
            biases=has_biases,
            embedding=embedding,
            d_embed=tables[0].shape[1] if tables else MlpSpec.d_embed,
            combination=self.combination,
        )
        named = dict(zip(spec.embedding_names, tables, strict=True))
        for i, (matrix, bias) in enumerate(zip(matrices, biases, strict=True)):
            named[f"layers.{i}.W"] = matrix.float().contiguous()
            if has_biases:
                named[f"layers.{i}.b"] = bias.float()
        ignored = tuple(sorted(set(state) - set(names)))
        return Network(
            named,
            spec,
            self.order,
            None,
            ignored,
            notes=self._notes(),
            reread=self.network,
        )

    def _notes(self) -> tuple[str, ...]:
        of = f"the embedding {' and '.join(self.embeddings)}" if self.embeddings else "no embedding"
        turned = "as torch.nn.Linear has them" if self.orientation == "out, in" else "inputs first"
        notes = [f"Found by shapes: {of}, then the layers {', '.join(self.layers)}, {turned}."]
        if self.is_folded:
            notes.append(
                f"No activation follows {self.layers[-2]}, so it is multiplied into "
                f"{self.layers[-1]}: the network here is the same up to rounding."
            )
        return tuple(notes)


def perceptron_readings(
    state: Mapping[str, Tensor], activations: Sequence[MlpActivation] = ACTIVATIONS
) -> list[Network]:
    """Read a state dict as a perceptron in every way that its shapes leave open.

    Parameters
    ----------
    state
        Names to tensors, in the order of the file.
    activations
        Those that are tried, the one to prefer first.

    Returns
    -------
    list[Network]
        Empty if the shapes are those of no perceptron, or a tensor would be left over.

    Examples
    --------
    >>> state = {"0.weight": torch.ones(16, 10), "2.weight": torch.ones(5, 16)}
    >>> readings = perceptron_readings(state, ["relu"])
    >>> readings[0].spec.in_words, readings[0].order
    ('multilayer perceptron: widths 16, relu', 5)
    """
    matrices = [n for n, v in state.items() if v.ndim == 2 and v.is_floating_point()]
    vectors = [n for n, v in state.items() if v.ndim == 1 and v.is_floating_point()]
    if not 2 <= len(matrices) <= _MOST_LAYERS + 2:
        return []
    plans = [
        plan
        for embeddings in _embeddings(matrices, state)
        for layers in _chains([n for n in matrices if n not in embeddings])
        for plan in _plans(state, embeddings, layers, vectors)
    ]
    return [
        dataclasses.replace(plan, act_fn=act_fn).network(state)
        for act_fn in activations
        for plan in dict.fromkeys(plans)
    ]


def _embeddings(matrices: Sequence[str], state: Mapping[str, Tensor]) -> Iterator[tuple[str, ...]]:
    """Matrices that may be the embedding of a and b, or those of each; then none."""
    named = [n for n in matrices if _EMBEDDING.search(n.lower()) and not _is_readout(n)]
    if len(named) == 2 and state[named[0]].shape == state[named[1]].shape:
        yield (named[0], named[1])
    elif len(named) == 1:
        yield (named[0],)
    elif not named:
        yield ()


def _is_readout(name: str) -> bool:
    return _READOUT.search(name.lower()) is not None


def _chains(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Orders of the layers: as they are, and with the one named like a readout at the end."""
    last = [name for name in names if _is_readout(name)]
    if len(last) == 1:
        yield (*(name for name in names if name not in last), last[0])
    yield tuple(names)


def _plans(
    state: Mapping[str, Tensor],
    embeddings: tuple[str, ...],
    layers: tuple[str, ...],
    vectors: Sequence[str],
) -> Iterator[_Plan]:
    """Plans whose shapes fit together, with any activation."""
    biases = _biases(layers, vectors, state)
    if biases is None or len(layers) < 2:
        return
    orientations: tuple[Orientation, ...] = ("out, in", "in, out")
    for orientation in orientations:
        turn = orientation == "out, in"
        shapes = [tuple(state[n].shape[::-1] if turn else state[n].shape) for n in layers]
        fits = all(one[1] == two[0] for one, two in itertools.pairwise(shapes))
        has_biases = all(
            name is None or len(state[name]) == shape[1]
            for name, shape in zip(biases, shapes, strict=True)
        )
        found = _inputs(shapes[0][0], shapes[-1][1], [state[n].shape for n in embeddings])
        if not fits or not has_biases or found is None:
            continue
        combination, order = found
        for is_folded in (False, True)[: 1 + (len(layers) > 2)]:
            yield _Plan(embeddings, layers, biases, orientation, is_folded, combination, order)


def _inputs(
    n_in: int, n_out: int, tables: Sequence[Sequence[int]]
) -> tuple[Combination, int] | None:
    """How a and b enter the first layer, and how many operands there are."""
    if not 2 <= n_out <= MAX_ORDER:
        return None
    if not tables:
        ways: dict[int, Combination] = {2 * n_out: "concatenated", n_out: "summed"}
    else:
        n_rows, width = tables[0]
        # A row more is that of ``=``, which a perceptron does not read.
        if n_rows not in (n_out, n_out + 1):
            return None
        ways = {2 * width: "concatenated", width: "summed"}
    return (ways[n_in], n_out) if n_in in ways else None


def _biases(
    layers: tuple[str, ...], vectors: Sequence[str], state: Mapping[str, Tensor]
) -> tuple[str | None, ...] | None:
    """Bias of every layer, by its name; None if a vector would be left over."""
    found = []
    for name in layers:
        path, _, leaf = name.rpartition(".")
        dot = f"{path}." if path else ""
        guesses = [f"{dot}bias"] if leaf == "weight" else [dot + re.sub("^[wW]", "b", leaf)]
        guesses += [re.sub("weight", "bias", name)]
        found.append(next((g for g in guesses if g in vectors and g != name), None))
    return None if set(vectors) - set(found) else cast("tuple[str | None, ...]", tuple(found))


def described_perceptron(state: Mapping[str, Tensor], spec: MlpSpec, task: Task) -> Network:
    """Read a state dict as the perceptron that is described.

    Parameters
    ----------
    state
        Under the names of :meth:`MlpSpec.parameter_shapes`, or under others whose shapes show
        which matrix is what.
    spec
        The network.
    task
        What it learned.

    Raises
    ------
    CheckpointError
        If the weights are not those of such a network.
    """
    shapes = spec.parameter_shapes(task.n_inputs, task.n_classes)
    own = partial(described_perceptron, spec=spec, task=task)
    found = {name: tuple(value.shape) for name, value in state.items()}
    if found == shapes:
        kept = {n: v.detach().to("cpu", torch.float32).contiguous() for n, v in state.items()}
        _require_finite(kept)
        return Network(kept, spec, task.n_tokens, None, (), reread=own)
    for network in perceptron_readings(state, [spec.act_fn]):
        of = network.spec
        assert isinstance(of, MlpSpec)
        theirs = of.parameter_shapes(task.n_inputs, task.n_classes)
        if network.order == task.n_tokens and theirs == shapes:
            return dataclasses.replace(network, spec=spec, reread=own)
    listed = ", ".join(f"{name} {shape}" for name, shape in list(found.items())[:6])
    raise CheckpointError(
        f"its shapes ({listed}) are not those of the given model, a {spec.in_words}. Check the "
        "task's p, and embedding, combination, widths and biases of the model."
    )


def _require_finite(weights: Mapping[str, Tensor]) -> None:
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise CheckpointError(
                f"weights that are not finite in {name}. The run diverged; take an earlier "
                "checkpoint."
            )
