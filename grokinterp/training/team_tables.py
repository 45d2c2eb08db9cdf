# numba and its types need not be there where types are checked.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false, reportCallIssue=false
"""What a team of threads does with the weights: tables of a network, and gradients of the weights.

The formulas are those of :func:`grokinterp.models.pair_tables.pair_tables` and of
:mod:`grokinterp.training.table_gradients`. A thread takes its own columns of the readout, which it
also reads for the pairs, and some heads of the attention.
"""

from __future__ import annotations

import math

from grokinterp.training.blas import product
from grokinterp.training.compiled import compiled


@compiled
def fill_inputs(rank, team, shape, weights, room):
    """Write the inputs: token and position."""
    d_model, n_tokens = shape.d_model, shape.n_tokens
    for row in range(rank, 2 * n_tokens + 1, team):
        position = row // n_tokens
        token = row - position * n_tokens if position < 2 else n_tokens
        for one in range(d_model):
            at = weights.W_E[token * d_model + one]
            room.inputs[row * d_model + one] = at + weights.W_pos[position * d_model + one]
    if rank == 0:
        at = n_tokens * d_model
        for one in range(d_model):
            equals = weights.W_E[at + one] + weights.W_pos[2 * d_model + one] + weights.b_O[one]
            room.constant[one] = equals
            room.constant[d_model + one] = equals + weights.b_out[one]


@compiled
def fill_head(head, blas, shape, weights, leaves, room):
    """Write scores and values of one head."""
    d_model, d_head, n_heads = shape.d_model, shape.d_head, shape.n_heads
    n_inputs, at = 2 * shape.n_tokens + 1, head * d_head
    matrix, equals = at * d_model, 2 * shape.n_tokens * d_model
    query, key = (room.query, at, d_head), (room.key, head * d_model, d_model)
    for one in range(d_head):
        room.query[at + one] = weights.b_Q[at + one]
    W_Q, W_K = (weights.W_Q, matrix, d_head), (weights.W_K, matrix, d_head)
    product(blas, (0, 0, 1), (1, d_head, d_model), (room.inputs, equals, d_model), W_Q, query)
    # The query meets W_K first: one vector, instead of keys for every token.
    product(blas, (0, 1, 0), (1, d_model, d_head), query, W_K, key)
    offset, scale = room.query[0] * 0, 1 / math.sqrt(d_head)
    for one in range(d_head):
        offset += weights.b_K[at + one] * room.query[at + one]
    inputs, scores = (room.inputs, 0, d_model), (room.d_scores, head, n_heads)
    product(blas, (0, 1, 0), (n_inputs, 1, d_model), inputs, key, scores)
    for row in range(n_inputs - 1):
        score = room.d_scores[row * n_heads + head] + offset
        leaves.scores[row * n_heads + head] = score * scale
    score = room.d_scores[(n_inputs - 1) * n_heads + head] + offset
    leaves.score_equals[head] = score * scale
    values = at * n_inputs
    product(
        blas,
        (0, 0, 0),
        (n_inputs, d_head, d_model),
        inputs,
        (weights.W_V, matrix, d_head),
        (room.values, values, d_head),
    )
    last = values + (n_inputs - 1) * d_head
    for row in range(n_inputs - 1):
        for one in range(d_head):
            room.values[values + row * d_head + one] -= room.values[last + one]
    for one in range(d_head):
        room.values[last + one] += weights.b_V[at + one]


@compiled
def fill_columns(own, blas, shape, weights, leaves, room):
    """Write the thread's columns of the readout, and its rows of the neuron-logit map."""
    d_model, d_mlp, n_classes, d_z = (
        shape.d_model,
        shape.d_mlp,
        shape.n_classes,
        shape.n_heads * shape.d_head,
    )
    columns, n_neurons, n_own = own.first_class - shape.direct, own.n_neurons, own.n_classes
    product(
        blas,
        (0, 0, 0),
        (n_neurons, n_classes, d_model),
        (weights.W_out, own.first * d_model, d_model),
        (weights.W_U, 0, n_classes),
        (leaves.W_L, own.first * n_classes, n_classes),
    )
    W_O, W_in = (weights.W_O, 0, d_model), (weights.W_in, own.first, d_mlp)
    W_U = (weights.W_U, columns, n_classes)
    into_neurons = (room.readout, own.first, shape.width)
    into_classes = (room.readout, own.first_class, shape.width)
    product(blas, (0, 0, 0), (d_z, n_neurons, d_model), W_O, W_in, into_neurons)
    product(blas, (0, 0, 0), (d_z, n_own, d_model), W_O, W_U, into_classes)
    for one in range(n_neurons):
        leaves.constant[own.first + one] = weights.b_in[own.first + one]
    for one in range(n_own):
        leaves.constant[own.first_class + one] = weights.b_U[columns + one]
    to_neurons = (leaves.constant, own.first, shape.width)
    to_classes = (leaves.constant, own.first_class, shape.width)
    constant = (room.constant, 0, d_model)
    product(blas, (0, 0, 1), (1, n_neurons, d_model), constant, W_in, to_neurons)
    constant = (room.constant, d_model, d_model)
    product(blas, (0, 0, 1), (1, n_own, d_model), constant, W_U, to_classes)


@compiled
def fill_rows(own, blas, shape, leaves, room):
    """Send the values of all heads through the thread's columns of the readout."""
    d_head, width, n_rows = shape.d_head, shape.width, 2 * shape.n_tokens
    for head in range(shape.n_heads):
        at = head * (n_rows + 1) * d_head
        values, equals = (room.values, at, d_head), (room.values, at + n_rows * d_head, d_head)
        for first, last in ((own.first, own.last), (own.first_class, own.last_class)):
            readout = (room.readout, head * d_head * width + first, width)
            rows = (leaves.rows, head * n_rows * width + first, width)
            product(blas, (0, 0, 0), (n_rows, last - first, d_head), values, readout, rows)
            constant = (leaves.constant, first, width)
            product(blas, (0, 0, 1), (1, last - first, d_head), equals, readout, constant)


@compiled
def back_to_readout(rank, own, blas, shape, weights, found, out, room):
    """Write what the thread's columns say about the weights; what others say too, as a share."""
    d_head, width, n_rows = shape.d_head, shape.width, 2 * shape.n_tokens
    for head in range(shape.n_heads):
        at = head * (n_rows + 1) * d_head
        values, equals = (room.values, at, d_head), at + n_rows * d_head
        share = rank * shape.n_heads * shape.d_head * (n_rows + 1) + at
        keep = 0
        for first, last in ((own.first, own.last), (own.first_class, own.last_class)):
            n_own = last - first
            place = head * d_head * width + first
            d_rows = (found.rows, head * n_rows * width + first, width)
            d_readout = (room.d_readout, place, width)
            product(blas, (1, 0, 0), (d_head, n_own, n_rows), values, d_rows, d_readout)
            along, equal_column = (found.constant, first, width), (room.values, equals, 1)
            product(blas, (0, 0, 1), (d_head, n_own, 1), equal_column, along, d_readout)
            to = (room.d_values, share + n_rows * d_head, d_head)
            readout = (room.readout, place, width)
            product(blas, (0, 1, keep), (1, d_head, n_own), along, readout, to)
            to = (room.d_values, share, d_head)
            product(blas, (0, 1, keep), (n_rows, d_head, n_own), d_rows, readout, to)
            keep = 1
    _back_to_neurons(rank, own, blas, shape, weights, found, out, room)
    _back_to_classes(rank, own, blas, shape, weights, found, out, room)


@compiled
def _back_to_neurons(rank, own, blas, shape, weights, found, out, room):
    d_model, d_mlp, n_classes, d_z = (
        shape.d_model,
        shape.d_mlp,
        shape.n_classes,
        shape.n_heads * shape.d_head,
    )
    n_own = own.n_neurons
    W_O, d_W_in = (weights.W_O, 0, d_model), (out.W_in, own.first, d_mlp)
    d_readout = (room.d_readout, own.first, shape.width)
    product(blas, (1, 0, 0), (d_model, n_own, d_z), W_O, d_readout, d_W_in)
    along = (found.constant, own.first, shape.width)
    product(blas, (0, 0, 1), (d_model, n_own, 1), (room.constant, 0, 1), along, d_W_in)
    W_in = (weights.W_in, own.first, d_mlp)
    to = (room.d_constant, rank * 2 * d_model, d_model)
    product(blas, (0, 1, 0), (1, d_model, n_own), along, W_in, to)
    for column in range(own.first, own.first + n_own):
        out.b_in[column] = found.constant[column]
    d_W_O = (room.d_W_O, rank * d_z * d_model, d_model)
    product(blas, (0, 1, 0), (d_z, d_model, n_own), d_readout, W_in, d_W_O)
    d_W_L, W_U = (found.W_L, own.first * n_classes, n_classes), (weights.W_U, 0, n_classes)
    d_W_out = (out.W_out, own.first * d_model, d_model)
    product(blas, (0, 1, 0), (n_own, d_model, n_classes), d_W_L, W_U, d_W_out)
    W_out = (weights.W_out, own.first * d_model, d_model)
    d_W_U = (room.d_W_U, rank * d_model * n_classes, n_classes)
    product(blas, (1, 0, 0), (d_model, n_classes, n_own), W_out, d_W_L, d_W_U)


@compiled
def _back_to_classes(rank, own, blas, shape, weights, found, out, room):
    d_model, n_classes, d_z = shape.d_model, shape.n_classes, shape.n_heads * shape.d_head
    first, n_own = own.first_class - shape.direct, own.n_classes
    W_O, d_readout = (weights.W_O, 0, d_model), (room.d_readout, own.first_class, shape.width)
    d_W_U = (room.d_W_U, rank * d_model * n_classes + first, n_classes)
    product(blas, (1, 0, 1), (d_model, n_own, d_z), W_O, d_readout, d_W_U)
    along, to = (found.constant, own.first_class, shape.width), (rank * 2 + 1) * d_model
    product(blas, (0, 0, 1), (d_model, n_own, 1), (room.constant, d_model, 1), along, d_W_U)
    W_U = (weights.W_U, first, n_classes)
    product(blas, (0, 1, 0), (1, d_model, n_own), along, W_U, (room.d_constant, to, d_model))
    for column in range(n_own):
        out.b_U[first + column] = found.constant[own.first_class + column]
    d_W_O = (room.d_W_O, rank * d_z * d_model, d_model)
    product(blas, (0, 1, 1), (d_z, d_model, n_own), d_readout, W_U, d_W_O)


@compiled
def add_shares(out, first, last, shares, n, team):
    """Add up what the threads have, of the entries from `first` to `last`."""
    for at in range(first, last):
        total = shares[at]
        for member in range(1, team):
            total += shares[member * n + at]
        out[at] = total


@compiled
def back_to_head(head, team, blas, shape, weights, found, out, room):
    """Write the gradients of one head's weights, but of W_O, and those of its values and scores."""
    d_model, d_head, n_heads = shape.d_model, shape.d_head, shape.n_heads
    n_inputs, at = 2 * shape.n_tokens + 1, head * d_head
    matrix, first, equals = at * d_model, at * n_inputs, 2 * shape.n_tokens * d_model
    end, n = first + n_inputs * d_head, shape.n_heads * shape.d_head * n_inputs
    add_shares(room.d_values, first, end, room.d_values, n, team)
    for one in range(d_head):
        # Values are taken without that of ``=``, which is added for every pair.
        out.b_V[at + one] = room.d_values[end - d_head + one]
        for row in range(n_inputs - 1):
            room.d_values[end - d_head + one] -= room.d_values[first + row * d_head + one]
    d_W_V, d_values = (out.W_V, matrix, d_head), (room.d_values, first, d_head)
    inputs = (room.inputs, 0, d_model)
    product(blas, (1, 0, 0), (d_model, d_head, n_inputs), inputs, d_values, d_W_V)

    scale, offset = 1 / math.sqrt(d_head), room.query[0] * 0
    for row in range(n_inputs):
        score = found.score_equals[head]
        if row < n_inputs - 1:
            score = found.scores[row * n_heads + head]
        room.d_scores[row * n_heads + head] = score * scale
        offset += room.d_scores[row * n_heads + head]
    for one in range(d_head):
        room.d_query[at + one] = offset * weights.b_K[at + one]
        out.b_K[at + one] = offset * room.query[at + one]
    d_key, d_scores = (room.d_key, head * d_model, d_model), (room.d_scores, head, n_heads)
    product(blas, (1, 0, 0), (1, d_model, n_inputs), d_scores, inputs, d_key)
    W_K, d_query = (weights.W_K, matrix, d_head), (room.d_query, at, d_head)
    product(blas, (0, 0, 1), (1, d_head, d_model), d_key, W_K, d_query)
    query, d_W_K = (room.query, at, d_head), (out.W_K, matrix, d_head)
    product(blas, (0, 0, 0), (d_model, d_head, 1), (room.d_key, head * d_model, 1), query, d_W_K)
    of_equals, d_W_Q = (room.inputs, equals, 1), (out.W_Q, matrix, d_head)
    product(blas, (0, 0, 0), (d_model, d_head, 1), of_equals, d_query, d_W_Q)
    for one in range(d_head):
        out.b_Q[at + one] = room.d_query[at + one]


@compiled
def back_to_biases(team, shape, out, room):
    """Write the gradients of what enters neurons and classes beside attention."""
    d_model = shape.d_model
    for one in range(d_model):
        into_neurons = into_classes = room.d_constant[0] * 0
        for member in range(team):
            into_neurons += room.d_constant[2 * member * d_model + one]
            into_classes += room.d_constant[(2 * member + 1) * d_model + one]
        out.b_out[one] = into_classes
        out.b_O[one] = into_neurons + into_classes


@compiled
def back_to_inputs(rank, team, blas, shape, weights, out, room):
    """Write the gradients of the thread's share of the inputs."""
    d_model, d_head, n_heads = shape.d_model, shape.d_head, shape.n_heads
    n_inputs = 2 * shape.n_tokens + 1
    first, last = n_inputs * rank // team, n_inputs * (rank + 1) // team
    to = (room.d_inputs, first * d_model, d_model)
    d_scores, key = (room.d_scores, first * n_heads, n_heads), (room.key, 0, d_model)
    product(blas, (0, 0, 0), (last - first, d_model, n_heads), d_scores, key, to)
    for head in range(n_heads):
        d_values = (room.d_values, (head * n_inputs + first) * d_head, d_head)
        W_V = (weights.W_V, head * d_head * d_model, d_head)
        product(blas, (0, 1, 1), (last - first, d_model, d_head), d_values, W_V, to)
    if last == n_inputs and first < last:
        equals = (n_inputs - 1) * d_model
        for one in range(d_model):
            room.d_inputs[equals + one] += out.b_O[one]
        for head in range(n_heads):
            d_query = (room.d_query, head * d_head, d_head)
            W_Q = (weights.W_Q, head * d_head * d_model, d_head)
            product(blas, (0, 1, 1), (1, d_model, d_head), d_query, W_Q, (to[0], equals, d_model))


@compiled
def back_to_embedding(first, last, shape, out, room):
    """Write the gradients of some columns of the embedding and of the positions."""
    n_tokens, d_model = shape.n_tokens, shape.d_model
    for one in range(first, last):
        for position in range(3):
            out.W_pos[position * d_model + one] = 0
    for token in range(n_tokens):
        as_a, as_b = token * d_model, (n_tokens + token) * d_model
        for one in range(first, last):
            of_a, of_b = room.d_inputs[as_a + one], room.d_inputs[as_b + one]
            out.W_E[as_a + one] = of_a + of_b
            out.W_pos[one] += of_a
            out.W_pos[d_model + one] += of_b
    equals = 2 * n_tokens * d_model
    for one in range(first, last):
        of_equals = room.d_inputs[equals + one]
        out.W_E[n_tokens * d_model + one] = of_equals
        out.W_pos[2 * d_model + one] = of_equals
