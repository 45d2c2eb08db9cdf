r"""Strategies that compute the neurons of every pair, and bound what their readout leaves.

Neurons come in groups G. Of each the readout is split, :math:`W_G = P_G B_G^T + R_G`: a few
functions of c, the columns of B, that are followed exactly, and a rest. With a fixed v for the
neurons' mean, and the rest's columns taken from their own mean (which no difference of logits
feels), a pair with the right answer s is proved where for every other c

.. math::
    \ell(s) - \ell(c) > \sum_G \|N_G - v_G\| (\|R_G e_s\| + \|R_G e_c\|), \qquad
    \ell = \sum_G N_G P_G B_G^T + v^T R + \ldots

The dots are the constants, and the logits that a transformer reads around its neurons. For each
pair this costs a few numbers per neuron in place of one for each neuron and answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from grokinterp.certificates.outward import (
    Ball,
    Operations,
    added,
    gamma,
    matrix_product,
    negative,
    norms,
    up,
)
from grokinterp.certificates.pair_network import PairNetwork


@dataclass(frozen=True, eq=False)
class Group:
    """Neurons, and the functions of the answer along which their readout is followed exactly."""

    neurons: Int[np.ndarray, " some"]
    functions: Float[np.ndarray, "c r"]


@dataclass(frozen=True, eq=False)
class Proved:
    """What a strategy has proved, and what that took."""

    pairs: Bool[np.ndarray, "n n"]
    """Whether the pair is proved to be answered correctly."""
    operations: float
    unexplained: int
    """Numbers that the proof takes as it finds them."""


@dataclass(frozen=True, eq=False)
class _Split:
    """A group's readout: what is followed, and bounds on the rest."""

    neurons: Int[np.ndarray, " some"]
    followed: Float[np.ndarray, "some r"]
    functions: Float[np.ndarray, "c r"]
    mean: Float[np.ndarray, " some"]
    base: Ball
    """(c,): what the mean neurons add to the logits through the rest."""
    rest: Float[np.ndarray, " c"]
    """Bound on the norm of each column of the rest, from their mean."""
    weight: float
    """Bound on what a neuron vector of norm 1 adds to one logit along the functions, taking
    every product with its absolute value."""


def prove_by_pair(network: PairNetwork, groups: Sequence[Group]) -> Proved:
    """Prove pairs from their exact neurons, by groups of neurons.

    Neurons that are in no group are a group without functions.
    """
    operations = Operations()
    n, c = network.n, network.n_answers
    mean = _mean_neurons(network)
    splits = [_split(network, group, mean, operations) for group in _with_others(network, groups)]
    base = _sum_of_bases(splits, operations)
    error = _PairErrors.of(network, splits, base, operations)
    network.pass_over_pairs(operations)
    right = np.zeros((n, n), dtype=bool)
    b = np.arange(n)
    for a, neurons, around in network.blocks():
        logits = around + base.mid
        distances = []
        for split in splits:
            some = neurons[:, split.neurons]
            logits += (some @ split.followed) @ split.functions.T
            distances.append(np.sqrt(np.square(some - split.mean).sum(axis=1)))
        sizes = np.stack(distances, axis=1)
        slack = error.of_pairs(a, sizes)
        moved = up(sizes + slack.neurons[:, None], network.n_neurons + 8)
        answer = network.answers[a]
        rests = np.stack([split.rest for split in splits])
        allowed = moved @ rests
        allowed = up(allowed + (moved * rests[:, answer].T).sum(axis=1)[:, None], len(splits) + 4)
        margin = logits[b, answer][:, None] - logits
        is_above = margin > up(allowed + 2 * slack.logits[:, None], 4)
        is_above[b, answer] = True
        right[a] = is_above.all(axis=1)
    _count_pairs(network, splits, operations)
    n_functions = sum(split.functions.shape[1] for split in splits)
    unexplained = n * n * (n_functions + len(splits)) + c * len(splits)
    unexplained += n * n * network.n_logits_around
    total = network.operations.total + operations.total
    return Proved(right, total, unexplained)


def prove_every_pair(network: PairNetwork) -> Proved:
    """Compute every logit of every pair, with a bound on its rounding."""
    operations = Operations()
    network.pass_over_pairs(operations)
    n, m, c = network.n, network.n_neurons, network.n_answers
    everything = _Split(
        np.arange(m),
        network.readout.mid,
        np.eye(c),
        np.zeros(m),
        Ball.exact(np.zeros(c)),
        norms(network.readout.rad, operations, axis=0),
        float(norms(network.readout.size, operations, axis=0).max()),
    )
    error = _PairErrors.of(network, [everything], everything.base, operations)
    right = np.zeros((n, n), dtype=bool)
    b = np.arange(n)
    for a, neurons, around in network.blocks():
        logits = around + neurons @ network.readout.mid
        sizes = np.sqrt(np.square(neurons).sum(axis=1))[:, None]
        slack = error.of_pairs(a, sizes)
        moved = up(sizes[:, 0] + slack.neurons, m + 8)
        allowed = 2 * up(moved * everything.rest.max() + slack.logits, 4)
        answer = network.answers[a]
        is_above = logits[b, answer][:, None] - logits > allowed[:, None]
        is_above[b, answer] = True
        right[a] = is_above.all(axis=1)
    operations.values += float(n * n) * (2 * m * c + c)
    operations.bounds += float(n * n) * (2 * m + c + 20)
    return Proved(right, network.operations.total + operations.total, n * n * c)


@dataclass(frozen=True, eq=False)
class _Slack:
    neurons: Float[np.ndarray, " b"]
    """Error of the neurons, in norm."""
    logits: Float[np.ndarray, " b"]
    """Error of every logit that was followed."""


@dataclass(frozen=True, eq=False)
class _PairErrors:
    """Rounding of what is computed for each pair, as a few numbers for each token."""

    network: PairNetwork
    inputs: Float[np.ndarray, "2 n"]
    around: Float[np.ndarray, "2 n"]
    largest: float
    weight: float
    mean: float
    base: float
    length: int

    @classmethod
    def of(
        cls, network: PairNetwork, splits: Sequence[_Split], base: Ball, operations: Operations
    ) -> _PairErrors:
        around = network.around_errors(operations)
        sizes = [t.size[:, network.n_neurons :] for _, t in network.rows]
        largest_around = sum(float(s.max()) if s.size else 0.0 for s in sizes)
        constants = float(network.constant.size[network.n_neurons :].max())
        length = network.n_neurons + max(s.functions.shape[1] for s in splits) + len(splits) + 16
        # Sums of logits are rounded relative to their parts.
        parts = largest_around * 1.01 + constants + float(base.size.max())
        fixed = float(base.rad.max()) + gamma(length) * parts
        return cls(
            network,
            network.input_errors(operations),
            around,
            network.largest_input,
            float(up(sum(s.weight for s in splits), len(splits))),
            float(up(np.sqrt(sum(float(np.square(s.mean).sum()) for s in splits)), 2000)),
            float(up(fixed, 8)),
            length,
        )

    def of_pairs(self, a: int, distances: Float[np.ndarray, "b group"]) -> _Slack:
        size = up(np.sqrt(np.square(distances).sum(axis=1)) + self.mean, distances.shape[1] + 8)
        inputs = up(self.inputs[0, a] + self.inputs[1], 2)
        neurons = self.network.neuron_errors(inputs, size, self.largest)
        followed = (neurons + 2 * gamma(self.length) * (size + neurons)) * self.weight
        logits = followed + self.around[0, a] + self.around[1] + self.base
        return _Slack(neurons, up(logits, 16))


def _split(
    network: PairNetwork, group: Group, mean: Float[np.ndarray, " neuron"], operations: Operations
) -> _Split:
    readout, functions = network.readout[group.neurons], Ball.exact(group.functions)
    # Any matrix will do; this one makes the rest small, and what it leaves is computed from it.
    followed = Ball.exact(readout.mid @ group.functions)
    operations.values += 2.0 * readout.mid.size * group.functions.shape[1]
    rest = readout
    if group.functions.shape[1]:
        explained = matrix_product(followed, functions.transposed, operations)
        rest = added(rest, negative(explained), operations)
    own = mean[group.neurons]
    base = matrix_product(Ball.exact(own[None]), rest, operations)[0]
    center = Ball.exact(rest.mid.mean(axis=1, keepdims=True))
    operations.values += rest.mid.size
    centered = added(rest, negative(center), operations)
    weight = np.abs(followed.mid) @ np.abs(group.functions).T
    operations.bounds += 2.0 * readout.mid.size * group.functions.shape[1]
    return _Split(
        group.neurons,
        followed.mid,
        group.functions,
        own,
        base,
        norms(centered.size, operations, axis=0),
        float(norms(up(weight, readout.mid.shape[1] + 2), operations, axis=0).max()),
    )


def _with_others(network: PairNetwork, groups: Sequence[Group]) -> list[Group]:
    others = np.setdiff1d(np.arange(network.n_neurons), np.concatenate([g.neurons for g in groups]))
    rest = [Group(others, np.zeros((network.n_answers, 0)))] if len(others) else []
    return [*(group for group in groups if len(group.neurons)), *rest]


def _mean_neurons(network: PairNetwork) -> Float[np.ndarray, " neuron"]:
    """A vector that the neurons are near; any is allowed, so finding it is no part of the proof."""
    return np.mean([neurons.mean(axis=0) for _, neurons, _ in network.blocks()], axis=0)


def _sum_of_bases(splits: Sequence[_Split], operations: Operations) -> Ball:
    total = splits[0].base
    for split in splits[1:]:
        total = added(total, split.base, operations)
    return total


def _count_pairs(network: PairNetwork, splits: Sequence[_Split], operations: Operations) -> None:
    c = network.n_answers
    per_pair = 2.0 * sum(split.followed.size + split.functions.size for split in splits) + 2 * c
    operations.values += network.n**2 * per_pair
    # Distances from the mean, the rest for every answer, and a few numbers for the rounding.
    bounds = 3.0 * network.n_neurons + 2.0 * len(splits) * (c + 2) + 2 * c + 30
    operations.bounds += network.n**2 * bounds
