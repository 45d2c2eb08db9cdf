r"""Networks with one layer of neurons on all pairs, as tables over tokens with bounds on them.

What a neuron receives is a sum of rows, one of a table for a and one of a table for b, and in a
transformer one for each head and operand, weighted by the attention:

.. math::
    \mathrm{pre}(a, b) &= c + \sum_t \alpha_t(a, b)\, R_t(x_t), \\
    \mathrm{logits}(a, b) &= \mathrm{act}(\mathrm{pre})\, W + d + \sum_t \alpha_t(a, b)\, D_t(x_t)

A perceptron has two terms with :math:`\alpha = 1` and no D. Elements and answers are numbered as
in the view of the group; answers that no pair of the view has come last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.certificates.outward import (
    UNIT,
    Ball,
    Operations,
    added,
    gamma,
    matrix_product,
    norms,
    scaled,
    up,
)
from grokinterp.circuits import Snapshot
from grokinterp.models.mlp import activate
from grokinterp.models.mlp_parts import MlpParts
from grokinterp.models.mlp_spec import MlpSpec
from grokinterp.models.pair_tables import fields_without_tables
from grokinterp.models.spec import ModelSpec
from grokinterp.models.transformer import ACTIVATIONS
from grokinterp.models.transformer_parts import TransformerParts

ELEMENTARY = 32 * UNIT
"""Assumed error of exp, erf and tanh: relative, or absolute below 1. Their libraries state less."""
_SLOPES = {"relu": 1.0, "tanh": 1.0, "gelu": 1.13, "gelu_new": 1.13, "silu": 1.1}
"""Largest slope of an activation; those that square have none."""


_MOST_KEPT = 2**24
"""Numbers of all pairs that are kept while several strategies are tried: 128 MiB."""
Block = tuple[int, Float[np.ndarray, "n neuron"], Float[np.ndarray, "n c"]]
"""An a, and of each b the neurons and the logits that are read around them."""


@dataclass(frozen=True, eq=False)
class Attention:
    """Attention scores of the last position."""

    scores: Float[np.ndarray, "2 n head"]
    equals: Float[np.ndarray, " head"]
    error: float
    """Bound on the relative error of an attention weight that is computed from them."""


@dataclass(frozen=True, eq=False)
class PairNetwork:
    """Tables of a network, and what building them has cost."""

    rows: tuple[tuple[int, Ball], ...]
    """Of every term: whether it is read at a (0) or b (1), and the rows (n, neuron + c) that it
    adds to the neurons' inputs and to the logits."""
    constant: Ball
    """(neuron + c,): what is added whatever the pair is."""
    readout: Ball
    """(neuron, c)."""
    attention: Attention | None
    spec: MlpSpec | ModelSpec
    answers: Int[np.ndarray, "n n"]
    """Column of the right answer of every pair."""
    n_logits_around: int
    """Logits that are read around the neurons: c in a transformer, 0 in a perceptron."""
    operations: Operations
    """Of the tables."""

    @property
    def n(self) -> int:
        """Elements of the group."""
        return len(self.answers)

    @property
    def n_neurons(self) -> int:
        """Neurons."""
        return len(self.readout.mid)

    @property
    def n_answers(self) -> int:
        """Answers."""
        return self.readout.mid.shape[1]

    def pass_over_pairs(self, operations: Operations) -> None:
        """Count what the neurons and the logits around them cost on all pairs."""
        read = self.n_neurons + self.n_logits_around
        if self.attention is None:
            per_pair = self.n_neurons
        else:
            # Of each head: two differences, three exponentials, two sums, a quotient, two products.
            per_pair = 2 * len(self.rows) * read + 10 * len(self.attention.equals)
        operations.values += float(self.n**2) * (per_pair + self.n_neurons)

    def cheapest_pass(self) -> float:
        """Operations of the cheapest exact forward pass over all pairs, largest logit included."""
        operations = Operations()
        self.pass_over_pairs(operations)
        c = self.n_answers
        operations.values += float(self.n**2) * (2 * self.n_neurons * c + c)
        return self.operations.values + operations.total

    def input_errors(self, operations: Operations) -> Float[np.ndarray, "2 n"]:
        """Bound the error of the neurons' inputs in Euclidean norm: a part of a and one of b."""
        return self._errors(slice(0, self.n_neurons), operations, is_norm=True)

    def around_errors(self, operations: Operations) -> Float[np.ndarray, "2 n"]:
        """Bound the error of every logit that is read around the neurons, constants included."""
        return self._errors(slice(self.n_neurons, None), operations, is_norm=False)

    def _errors(
        self, columns: slice, operations: Operations, *, is_norm: bool
    ) -> Float[np.ndarray, "2 n"]:
        of_weight = 0.0 if self.attention is None else self.attention.error
        rounding = gamma(len(self.rows) + 3) + of_weight
        errors = np.zeros((2, self.n))
        terms = [*self.rows, (0, self.constant[None])]
        for operand, table in terms:
            part = table[:, columns]
            if not part.mid.shape[1]:
                continue
            sizes = up((part.rad + rounding * part.size) * (1 + of_weight), 6)
            operations.bounds += 4.0 * sizes.size
            errors[operand] += norms(sizes, operations) if is_norm else sizes.max(axis=1)
        return up(errors, len(terms) + 1)

    def blocks(self) -> Iterable[Block]:
        """Neurons and the logits around them, one a after another, all b at a time."""
        is_small = self.n**2 * (self.n_neurons + self.n_answers) <= _MOST_KEPT
        return self._kept_blocks if is_small else self._computed_blocks()

    @cached_property
    def _kept_blocks(self) -> list[Block]:
        return list(self._computed_blocks())

    def _computed_blocks(self) -> Iterator[Block]:
        m = self.n_neurons
        for a in range(self.n):
            weights = self._weights(a)
            read = np.broadcast_to(self.constant.mid, (self.n, m + self.n_answers)).copy()
            for weight, (operand, table) in zip(weights, self.rows, strict=True):
                row = table.mid[a] if operand == 0 else table.mid
                width = row.shape[-1]
                read[:, :width] += row if weight is None else weight[:, None] * row
            yield a, self.activated(read[:, :m]), read[:, m:]

    def activated(self, pre: Float[np.ndarray, "row neuron"]) -> Float[np.ndarray, "row neuron"]:
        """Activations in float64."""
        given = torch.from_numpy(np.ascontiguousarray(pre))
        if isinstance(self.spec, MlpSpec):
            return activate(given, self.spec).numpy()
        return ACTIVATIONS[self.spec.act_fn](given).numpy()

    def neuron_errors(
        self, inputs: Float[np.ndarray, " row"], neurons: Float[np.ndarray, " row"], largest: float
    ) -> Float[np.ndarray, " row"]:
        """Bound the error of activations in norm, from that of their inputs.

        Parameters
        ----------
        inputs
            Bound on the error of the inputs, in norm.
        neurons
            Bound on the norm of the computed activations.
        largest
            The largest absolute value of an input.
        """
        name = self.spec.act_fn
        if name == "square":
            slope = 2 * (largest + inputs)
        elif isinstance(self.spec, MlpSpec) and name == "linear_quadratic":
            slope = 1 + abs(self.spec.curvature) * (largest + inputs)
        else:
            slope = _SLOPES[name]
        evaluated = 0.0
        if name in ("square", "linear_quadratic"):
            evaluated = 4 * UNIT * (largest + largest**2 * (1 + getattr(self.spec, "curvature", 1)))
        elif name != "relu":
            evaluated = 2 * ELEMENTARY * (1 + largest)
        return up(slope * inputs + evaluated * math.sqrt(self.n_neurons) + UNIT * neurons, 12)

    @property
    def largest_input(self) -> float:
        """Bound on every neuron's input on every pair."""
        m = self.n_neurons
        sizes = [table.size[:, :m].max(axis=0) for _, table in self.rows]
        return (
            float(up(np.sum(sizes, axis=0) + self.constant.size[:m], len(sizes) + 2).max()) * 1.01
        )

    def _weights(self, a: int) -> list[Float[np.ndarray, " n"] | None]:
        if self.attention is None:
            return [None] * len(self.rows)
        scores, equals = self.attention.scores, self.attention.equals
        # (n, head, 3): of a, of b and of =.
        given = np.stack(
            [np.broadcast_to(scores[0, a], scores[1].shape), scores[1],
             np.broadcast_to(equals, scores[1].shape)], axis=-1,
        )  # fmt: skip
        powers = np.exp(given - given.max(axis=-1, keepdims=True))
        pattern = powers / powers.sum(axis=-1, keepdims=True)
        return [pattern[:, head, operand] for operand in (0, 1) for head in range(len(equals))]


def why_no_tables(snapshot: Snapshot) -> str | None:
    """Why a network has no such tables; None if it has.

    Examples
    --------
    >>> why_no_tables(snapshot) is None
    True
    """
    network = snapshot.network
    if isinstance(network, TransformerParts):
        found = fields_without_tables(network.spec)
        return f"no tables over tokens are known for {', '.join(found)}" if found else None
    if not isinstance(network, MlpParts):
        return network.missing.get("weights", "its weights are not those of a known network")
    spec = network.spec
    if len(spec.widths) > 1:
        return f"it has {len(spec.widths)} hidden layers, and tables over tokens reach one"
    if spec.is_centered:
        return "the outputs of its initial weights are subtracted from its logits"
    return None


def pair_network(snapshot: Snapshot) -> PairNetwork:
    """Build the tables of a network that :func:`why_no_tables` has nothing against."""
    network, operations = snapshot.network, Operations()
    used = snapshot.class_tokens.numpy()
    unused = np.setdiff1d(np.arange(snapshot.task.n_classes), used)
    columns = np.concatenate([used, unused])
    pairs = torch.from_numpy(snapshot.task.pairs.copy())[snapshot.pair_rows].numpy()
    n = len(snapshot.products)
    tokens = (pairs[::n, 0], pairs[:n, 1])
    answers = snapshot.products.numpy()
    if isinstance(network, MlpParts):
        return _perceptron(network, tokens, columns, answers, operations)
    assert isinstance(network, TransformerParts)
    return _transformer(network, tokens, columns, answers, operations)


def _perceptron(
    network: MlpParts,
    tokens: tuple[np.ndarray, np.ndarray],
    columns: np.ndarray,
    answers: np.ndarray,
    operations: Operations,
) -> PairNetwork:
    spec, w = network.spec, _exact(network.weights)
    tables = (network.operands.a, network.operands.b)
    rows = [
        Ball.exact(_float64(table)[chosen]) for table, chosen in zip(tables, tokens, strict=True)
    ]
    scale = 0.5**0.5
    if spec.is_embedded:
        W, d = w["layers.0.W"], spec.d_embed
        parts = (W, W) if spec.combination == "summed" else (W[:d], W[d:])
        rows = [matrix_product(r, part, operations) for r, part in zip(rows, parts, strict=True)]
        scale = (2 * d) ** -0.5
    if spec.init == "mean_field":
        rows = [scaled(row, scale, operations) for row in rows]
    W_out = w["layers.1.W"]
    m, c = W_out.mid.shape
    if spec.init == "mean_field":
        W_out = scaled(W_out, 1 / m, operations)
    inner = w["layers.0.b"] if spec.biases else Ball.exact(np.zeros(m))
    outer = w["layers.1.b"] if spec.biases else Ball.exact(np.zeros(c))
    W_out, outer = (scaled(x, spec.output_scale, operations) for x in (W_out, outer))
    constant = _side_by_side(inner, outer[columns])
    terms = tuple(enumerate(rows))
    return PairNetwork(terms, constant, W_out[:, columns], None, spec, answers, 0, operations)


def _transformer(
    network: TransformerParts,
    tokens: tuple[np.ndarray, np.ndarray],
    columns: np.ndarray,
    answers: np.ndarray,
    operations: Operations,
) -> PairNetwork:
    spec = network.spec
    w = {name.rsplit(".", 1)[-1]: ball for name, ball in _exact(network.weights).items()}
    W_U, b_U = w["W_U"][:, columns], w["b_U"][columns]

    def times(left: Ball, right: Ball) -> Ball:
        return matrix_product(left, right, operations)

    def plus(*balls: Ball) -> Ball:
        total = balls[0]
        for ball in balls[1:]:
            total = added(total, ball, operations)
        return total

    equals = plus(w["W_E"][-1:], w["W_pos"][2:3])
    operands = [plus(w["W_E"][chosen], w["W_pos"][i : i + 1]) for i, chosen in enumerate(tokens)]
    read_in = _side_by_side(w["W_in"], W_U)
    scores: list[list[Ball]] = [[], [], []]
    rows: list[list[Ball]] = [[], []]
    offsets = []
    for head in range(spec.n_heads):
        query = plus(times(equals, w["W_Q"][head]), w["b_Q"][head][None])
        direction = times(w["W_K"][head], query.transposed)
        offset = times(w["b_K"][head][None], query.transposed)
        for found, vectors in zip(scores, (*operands, equals), strict=True):
            raw = plus(times(vectors, direction), offset)
            found.append(scaled(raw, 1 / math.sqrt(spec.d_head), operations))
        onward = times(w["W_O"][head], read_in)
        values = [plus(times(x, w["W_V"][head]), w["b_V"][head][None]) for x in (*operands, equals)]
        # Weights sum to one, so the value of = is taken off the others and needs no weight.
        offsets.append(times(values[2], onward))
        for found, value in zip(rows, values, strict=False):
            found.append(times(plus(value, Ball(-values[2].mid, values[2].rad)), onward))
    constant = plus(equals, w["b_O"][None])
    around = plus(times(plus(constant, w["b_out"][None]), W_U), b_U[None])
    inner = plus(times(constant, w["W_in"]), w["b_in"][None])
    total = plus(_side_by_side(inner, around), *offsets)[0]
    terms = tuple((operand, row) for operand in (0, 1) for row in rows[operand])
    return PairNetwork(
        terms,
        total,
        times(w["W_out"], W_U),
        _attention(scores),
        spec,
        answers,
        len(columns),
        operations,
    )


def _attention(scores: list[list[Ball]]) -> Attention:
    of_operands = [np.concatenate([ball.mid for ball in scores[i]], axis=1) for i in (0, 1)]
    equals = np.concatenate([ball.mid for ball in scores[2]], axis=1)[0]
    every = [ball for found in scores for ball in found]
    uncertain = max(float(ball.rad.max()) for ball in every)
    largest = max(float(ball.size.max()) for ball in every)
    # A score that is off by e changes a weight by a factor within exp(2e). Largest scores are
    # taken off the others, rounded.
    error = math.expm1(2 * (uncertain + 8 * UNIT * largest)) * 1.01 + 4 * ELEMENTARY
    return Attention(np.stack(of_operands), equals, error)


def _side_by_side(left: Ball, right: Ball) -> Ball:
    mids, rads = (left.mid, right.mid), (left.rad, right.rad)
    return Ball(np.concatenate(mids, axis=-1), np.concatenate(rads, axis=-1))


def _exact(weights: Mapping[str, Tensor]) -> dict[str, Ball]:
    return {name: Ball.exact(_float64(value)) for name, value in weights.items()}


def _float64(value: Tensor) -> np.ndarray:
    return value.detach().double().cpu().numpy()
