r"""Strategies that compute nothing for a pair: a closed form of the neurons, and a bound per token.

A ReLU neuron that receives the same wave of a and of b is a product of a function of a - b and
one of a + b,

.. math::
    \mathrm{relu}(A \cos(w a + \phi) + A \cos(w b + \phi))
        = 2A\, |\cos(w(a-b)/2)|\; \mathrm{relu}(\pm\cos(w(a+b)/2 + \phi)),

so all neurons of a frequency k together write :math:`D_k(a-b)\, T_k(\pm, a+b)`: tables of O(n)
numbers (Zhong et al. 2023, arXiv:2306.17844, call such a network a pizza). With
:math:`T_k = A_k e^{iw_k(a+b)} + \epsilon_k` the margin of the closed form over the answer
:math:`c = a + b - \delta` is at least

.. math::
    M(a - b) = \min_{\delta \ne 0} \sum_k D_k(a-b) \left(A_k (1 - \cos w_k\delta)
        - |\epsilon_k|\, |1 - e^{iw_k\delta}|\right).

That is O(n^2 K) for all pairs. Everything else, the network's distance from those waves and what
its readout writes beside them, is bounded by a number for every token, or by one for all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from grokinterp.certificates.by_pair import Proved
from grokinterp.certificates.outward import UNIT, Ball, Operations, added, negative, norms, up
from grokinterp.certificates.pair_network import ELEMENTARY, PairNetwork

_TRIGONOMETRIC = 64 * UNIT + ELEMENTARY
"""Assumed error of a cosine at an angle of a few turns, its rounding included."""


@dataclass(frozen=True, eq=False)
class _Waves:
    """Waves that neurons read, and what they write along the waves of their frequency."""

    neurons: Int[np.ndarray, " kept"]
    frequencies: Int[np.ndarray, " kept"]
    read: Float[np.ndarray, " kept"]
    """Amplitude of the wave of a, and of that of b."""
    phases: Float[np.ndarray, " kept"]
    written: Float[np.ndarray, "2 kept"]
    """Coefficients of cos w c and sin w c in what each writes."""


@dataclass(frozen=True, eq=False)
class TokenBounds:
    """What the closed form is sure of, and what may be taken off it."""

    network: PairNetwork
    margins: Float[np.ndarray, " difference"]
    """M, by a - b modulo n; rounded down."""
    of_tokens: Float[np.ndarray, "2 n"]
    """What each token may take off a margin, as a and as b; the constants are with a."""
    of_all: float
    """The same for any pair, from norms of whole matrices."""
    operations_of_tokens: float
    operations_of_all: float


def token_bounds(
    network: PairNetwork, neurons: Int[np.ndarray, " kept"], frequencies: Int[np.ndarray, " kept"]
) -> TokenBounds:
    """Bound a ReLU network on a cyclic group by waves that its neurons read and write.

    Parameters
    ----------
    network
        Elements numbered by their indices in Z_n.
    neurons, frequencies
        Neurons that are near waves, and the frequency of each. Others are taken off as they are.
    """
    shared = Operations()
    inputs, deviations = _inputs(network, shared)
    waves = _waves(network, inputs, neurons, frequencies)
    near, readout_near = _nearest(network, waves)
    margins = _margins(network, waves, shared)
    off_readout = added(network.readout, negative(readout_near), shared)
    per_token, for_all = Operations(), Operations()
    ranges, ranges_off = (_ranges(r, per_token) for r in (network.readout, off_readout))
    norm, norm_off = (_operator_norm(r, for_all) for r in (network.readout, off_readout))
    of_tokens = np.zeros((2, network.n))
    largest, largest_around = np.zeros((2, 2)), 0.0
    for operand in (0, 1):
        apart = added(inputs[operand], Ball(-near.mid, near.rad), shared).size + deviations[operand]
        apart = up(apart, 4)
        around = _around_ranges(network, operand, shared)
        # relu(x + y) is at most |x| + |y|, and moves by no more than its input.
        of_tokens[operand] = up(apart @ ranges + near.size @ ranges_off, network.n_neurons + 4)
        per_token.bounds += 4.0 * apart.size
        of_tokens[operand] += around
        largest_around += float(around.max())
        largest[operand, 0] = norms(apart, for_all).max()
        largest[operand, 1] = norms(near.size, for_all).max()
        largest[operand] = up(largest[operand], 4)
        for_all.bounds += 2.0 * network.n
    of_constant = float(_around_ranges(network, None, shared)[0])
    of_tokens[0] += of_constant
    around = of_constant + sum(
        float(_around_ranges(network, i, Operations()).max()) for i in (0, 1)
    )
    root = 2**0.5 * 1.0000001
    of_all = root * (largest[:, 0].sum() * norm + largest[:, 1].sum() * norm_off) + around
    base = network.operations.total + shared.total
    return TokenBounds(
        network,
        margins,
        up(of_tokens, 8),
        float(up(of_all, 16)),
        base + per_token.total + 3.0 * network.n**2,
        base + for_all.total + network.n,
    )


def prove_by_token(bounds: TokenBounds) -> Proved:
    """Prove the pairs whose margin is larger than what their two tokens may take off."""
    n = bounds.network.n
    x = np.arange(n)
    taken = up(bounds.of_tokens[0][:, None] + bounds.of_tokens[1][None], 2)
    right = bounds.margins[(x[:, None] - x) % n] > taken
    return Proved(right, bounds.operations_of_tokens, 3 * n)


def prove_by_operator_norms(bounds: TokenBounds) -> Proved:
    """Prove the pairs whose margin is larger than what any pair may take off."""
    n = bounds.network.n
    x = np.arange(n)
    right = bounds.margins[(x[:, None] - x) % n] > bounds.of_all
    return Proved(right, bounds.operations_of_all, n + 1)


def _inputs(
    network: PairNetwork, operations: Operations
) -> tuple[list[Ball], list[Float[np.ndarray, "n neuron"]]]:
    """What the neurons receive of each token, and how much more a pair may bring."""
    m, n = network.n_neurons, network.n
    inputs, deviations = [], []
    for operand in (0, 1):
        terms = [table[:, :m] for of, table in network.rows if of == operand]
        total, beyond = Ball.exact(np.zeros((n, m))), np.zeros((n, m))
        for head, term in enumerate(terms):
            middle, half = _weight_range(network, operand, head, operations)
            mid = middle[:, None] * term.mid
            rad = up(middle[:, None] * term.rad + UNIT * np.abs(mid), 4)
            total = added(total, Ball(mid, rad), operations)
            beyond += half[:, None] * term.size
            operations.values += mid.size
            operations.bounds += 5.0 * mid.size
        inputs.append(total)
        deviations.append(up(beyond, len(terms) + 2))
    # Constants are no waves: they are taken off with a.
    deviations[0] = up(deviations[0] + network.constant.size[:m], 2)
    return inputs, deviations


def _weight_range(
    network: PairNetwork, operand: int, head: int, operations: Operations
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The middle of the weights that a token can have, and how far a weight may be from it."""
    n, attention = network.n, network.attention
    if attention is None:
        return np.ones(n), np.zeros(n)
    own, other = attention.scores[operand, :, head], attention.scores[1 - operand, :, head]
    equals = attention.equals[head]
    ends = []
    for score in (other.max(), other.min()):
        given = np.stack([own, np.full(n, score), np.full(n, equals)])
        powers = np.exp(given - given.max(axis=0))
        ends.append(powers[0] / powers.sum(axis=0))
    operations.bounds += 20.0 * n
    low, high = ends
    middle = (low + high) / 2
    return middle, up((high - low) / 2 + 2 * (attention.error + 4 * UNIT), 4)


def _waves(
    network: PairNetwork,
    inputs: list[Ball],
    neurons: Int[np.ndarray, " kept"],
    frequencies: Int[np.ndarray, " kept"],
) -> _Waves:
    """Waves near the network; any are allowed, so finding them is no part of the proof."""
    n = network.n
    angles = 2 * np.pi / n * np.arange(n)[:, None] * frequencies
    # The highest frequency of an even n has half as many waves.
    norm = np.where(2 * frequencies == n, n, n / 2)
    mean = (inputs[0].mid + inputs[1].mid)[:, neurons] / 2
    read = (mean * np.exp(-1j * angles)).sum(axis=0) / norm
    columns = network.readout.mid[neurons, :n].T
    written = (columns * np.exp(1j * angles)).sum(axis=0) / norm
    pair = np.stack([written.real, written.imag])
    return _Waves(neurons, frequencies, np.abs(read), np.angle(read), pair)


def _nearest(network: PairNetwork, waves: _Waves) -> tuple[Ball, Ball]:
    """The waves as tables: what neurons read (n, neuron), and what they write (neuron, c)."""
    n, m = network.n, network.n_neurons
    turns = (np.arange(n)[:, None] * waves.frequencies % n) * (2 * np.pi / n)
    read = np.zeros((n, m))
    read[:, waves.neurons] = waves.read * np.cos(turns + waves.phases)
    size = np.zeros(m)
    size[waves.neurons] = waves.read
    near = Ball(read, np.broadcast_to(_TRIGONOMETRIC * size, read.shape))
    written = np.zeros((m, network.n_answers))
    cos, sin = waves.written
    written[waves.neurons, :n] = cos[:, None] * np.cos(turns.T) + sin[:, None] * np.sin(turns.T)
    uncertain = np.zeros(written.shape)
    uncertain[waves.neurons] = 2 * _TRIGONOMETRIC * (np.abs(cos) + np.abs(sin))[:, None]
    return near, Ball(written, uncertain)


def _margins(
    network: PairNetwork, waves: _Waves, operations: Operations
) -> Float[np.ndarray, " difference"]:
    """M of every difference a - b, rounded down."""
    n = network.n
    sums = np.arange(2 * n - 1)
    delta = np.arange(1, n)
    values, uncertain = np.zeros((n, n - 1)), np.zeros((n, n - 1))
    # Answers that no pair has: their closed form is 0, as an extra column.
    beside, has_others = np.zeros(n), network.n_answers > n
    for k in np.unique(waves.frequencies):
        of_k = waves.frequencies == k
        read, phases = waves.read[of_k], waves.phases[of_k]
        rho = waves.written[0, of_k] + 1j * waves.written[1, of_k]
        half = np.cos(np.pi / n * (k * sums % (2 * n))[:, None] + phases)
        turn = np.exp(-2j * np.pi / n * (k * sums % n))
        table = np.stack([(read * np.maximum(sign * half, 0)) @ rho for sign in (1, -1)])
        turned = table * turn
        size = float(turned.real.mean())
        total = float((read * np.abs(rho)).sum())
        error = np.abs(turned - size).max() + (len(read) + 8) * _TRIGONOMETRIC * total
        spread = 2 * np.abs(np.cos(np.pi / n * (k * np.arange(n) % (2 * n))))[:, None]
        turned_by = 2 * np.pi / n * (k * delta % n)
        gained, chord = 1 - np.cos(turned_by), 2 * np.abs(np.sin(turned_by / 2))
        values += spread * (size * gained - error * (chord + _TRIGONOMETRIC))
        uncertain += 16 * _TRIGONOMETRIC * (abs(size) + error)
        beside += (spread * (size - error) - 16 * _TRIGONOMETRIC * (abs(size) + error))[:, 0]
        operations.values += 2.0 * len(read) * len(sums) * 6 + 4.0 * n * n + 8.0 * n
        operations.bounds += 3.0 * n * n + 8.0 * len(sums)
    margins = (values - uncertain).min(axis=1) if n > 1 else np.zeros(n)
    margins = np.minimum(margins, beside) if has_others else margins
    return margins - up(np.abs(margins) * 1e-12, 2)


def _ranges(readout: Ball, operations: Operations) -> Float[np.ndarray, " neuron"]:
    """The largest difference of two entries of each row."""
    operations.bounds += 4.0 * readout.mid.size
    above, below = (readout.mid + readout.rad).max(axis=1), (readout.mid - readout.rad).min(axis=1)
    return up(above - below + 4 * UNIT * readout.size.max(axis=1), 4)


def _around_ranges(
    network: PairNetwork, operand: int | None, operations: Operations
) -> Float[np.ndarray, " token"]:
    """The largest difference of two logits that each token adds around the neurons."""
    m = network.n_neurons
    tables = [t[:, m:] for of, t in network.rows if of == operand]
    if operand is None:
        tables = [network.constant[None, m:]]
    found = np.zeros(len(tables[0].mid) if tables else network.n)
    for table in tables:
        if table.mid.shape[1]:
            # Weights are at most 1.
            found += _ranges(table, operations) * (1 + 1e-6)
    return up(found, len(tables) + 2)


def _operator_norm(matrix: Ball, operations: Operations) -> float:
    """Bound the largest singular value by those of the Gram matrix's rows, and by all entries."""
    sizes = matrix.size
    frobenius = float(norms(sizes.reshape(-1), operations))
    shorter = matrix.mid if matrix.mid.shape[0] <= matrix.mid.shape[1] else matrix.mid.T
    gram = np.abs(shorter @ shorter.T)
    operations.bounds += 2.0 * shorter.size * len(shorter)
    # The product is off by at most gamma |M||M^T|, whose rows' sums are those of squares' roots.
    rows = np.sqrt(np.square(shorter).sum(axis=1))
    off = 4 * len(shorter.T) * UNIT * rows * rows.sum()
    largest = float(up(np.sqrt((gram.sum(axis=1) + off).max()), len(gram) + 8))
    radius = float(norms(matrix.rad.reshape(-1), operations))
    return float(up(min(frobenius, largest + radius), 8))
