# numba and its types need not be there where types are checked.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false, reportCallIssue=false
"""What a team of threads does with a batch of pairs, from the weights to their gradients.

A thread owns columns: some neurons, and some classes beside the neurons. It reads the rows of all
pairs of a part in its columns, multiplies its neurons with its rows of the neuron-logit map, and
later adds up the gradients of its columns. Only the loss needs all columns of a pair, so that the
threads meet before and after it. No two write to the same place, and each sum is taken in an order
that does not depend on who is first.
"""

from __future__ import annotations

import numpy as np

from grokinterp.training.blas import product
from grokinterp.training.compiled import compiled, team_meets
from grokinterp.training.fused_loss import loss_of_row
from grokinterp.training.lanes import lanes_of, load, plus, store
from grokinterp.training.team_memory import Own
from grokinterp.training.team_rows import hand_on, read_rows, switch_off, unmix
from grokinterp.training.team_tables import (
    add_shares,
    back_to_biases,
    back_to_embedding,
    back_to_head,
    back_to_inputs,
    back_to_readout,
    fill_columns,
    fill_head,
    fill_inputs,
    fill_rows,
)

READ, LOSS, BACK = 1, 2, 4
"""What is done: logits; losses and their gradient; gradients of the weights."""
PAIRS_IN_A_PRODUCT = 128
"""So that what a product writes is still in the cache of its thread when it is read."""


@compiled
def work(
    rank, team, todo, parts, blas, smallest, shape, pairs, weights, out, leaves, found, tables, room
):
    """Do what `todo` says with some parts of a batch; called by every thread of the team."""
    own = _own(rank, team, lanes_of(leaves.rows), shape)
    if todo & READ and parts[0] == 0:
        _prepare(rank, team, own, blas, shape, pairs, weights, leaves, tables, room)
    for part in range(parts[0], parts[1]):
        first, last = pairs.ends[part], pairs.ends[part + 1]
        begin = first + (last - first) * rank // team
        end = first + (last - first) * (rank + 1) // team
        if todo & READ:
            _forward(rank, first, last, own, blas, shape, pairs, leaves, room)
            _wait(team)
            for pair in range(begin, end):
                _join_shares(pair, first, team, shape, room)
        if todo & LOSS:
            for pair in range(begin, end):
                _lose(pair, rank, todo & BACK, smallest, shape, pairs, room)
        _wait(team)
        if todo & BACK:
            _backward(first, last, own, blas, shape, leaves, found, room)
            for operand in range(2):
                unmix(part, operand, first, rank, own, shape, pairs, leaves, found, room)
    if todo & BACK and parts[1] == len(pairs.ends) - 1:
        _finish(rank, team, own, blas, shape, pairs, weights, out, leaves, found, tables, room)


@compiled
def _wait(team):
    """Wait for the other threads."""
    if team > 1:
        team_meets()


@compiled
def _own(rank, team, lanes, shape):
    n_neurons, n_classes = shape.direct // lanes, (shape.width - shape.direct) // lanes
    first, last = n_neurons * rank // team * lanes, n_neurons * (rank + 1) // team * lanes
    first_class = shape.direct + n_classes * rank // team * lanes
    last_class = shape.direct + n_classes * (rank + 1) // team * lanes
    return Own(
        first,
        last,
        first_class,
        last_class,
        max(min(last, shape.d_mlp) - first, 0),
        max(min(last_class, shape.direct + shape.n_classes) - first_class, 0),
    )


@compiled
def _prepare(rank, team, own, blas, shape, pairs, weights, leaves, tables, room):
    """Write the tables at the present weights, and the attention of all pairs."""
    fill_inputs(rank, team, shape, weights, tables)
    _wait(team)
    for head in range(rank, shape.n_heads, team):
        fill_head(head, blas, shape, weights, leaves, tables)
    fill_columns(own, blas, shape, weights, leaves, tables)
    _wait(team)
    fill_rows(own, blas, shape, leaves, tables)
    begin, end = shape.n_pairs * rank // team, shape.n_pairs * (rank + 1) // team
    _attend(begin, end, shape, pairs, leaves, room.pattern)
    _wait(team)


@compiled
def _attend(first, last, shape, pairs, leaves, pattern):
    n_heads = shape.n_heads
    for pair in range(first, last):
        a = pairs.tokens[2 * pair] * n_heads
        b = (shape.n_tokens + pairs.tokens[2 * pair + 1]) * n_heads
        for head in range(n_heads):
            at_a, at_b = leaves.scores[a + head], leaves.scores[b + head]
            at_equals = leaves.score_equals[head]
            largest = max(at_a, max(at_b, at_equals))
            at_a, at_b = np.exp(at_a - largest), np.exp(at_b - largest)
            at_equals = np.exp(at_equals - largest)
            total = at_a + at_b + at_equals
            at = (pair * n_heads + head) * 3
            pattern[at] = at_a / total
            pattern[at + 1] = at_b / total
            pattern[at + 2] = at_equals / total


@compiled
def _forward(rank, first, last, own, blas, shape, pairs, leaves, room):
    """Write the thread's columns of what pairs read, and its share in their logits."""
    n_neurons = own.n_neurons
    block = first
    while block < last:
        end = min(block + PAIRS_IN_A_PRODUCT, last)
        for pair in range(block, end):
            at = pair - first
            read_rows(pair, at, own.first, own.last, 1, shape, pairs, leaves, room)
            read_rows(pair, at, own.first_class, own.last_class, 0, shape, pairs, leaves, room)
        at = block - first
        share = (rank * shape.most + at) * shape.n_padded
        product(
            blas,
            (0, 0, 0),
            (end - block, shape.n_classes, n_neurons),
            (room.read, at * shape.width + own.first, shape.width),
            (leaves.W_L, own.first * shape.n_classes, shape.n_classes),
            (room.shares, share, shape.n_padded),
        )
        block = end


@compiled
def _join_shares(pair, first_pair, team, shape, room):
    """Write the logits of a pair: its classes beside the neurons, and the shares of the team."""
    lanes, at = lanes_of(room.logits), pair - first_pair
    for column in range(0, shape.n_padded, lanes):
        row = load(room.read, at * shape.width + shape.direct + column)
        for member in range(team):
            share = (member * shape.most + at) * shape.n_padded + column
            row = plus(row, load(room.shares, share))
        store(room.logits, pair * shape.n_padded + column, row)


@compiled
def _lose(pair, rank, with_gradient, smallest, shape, pairs, room):
    room.losses[pair] = loss_of_row(
        room.logits,
        pair * shape.n_padded,
        pairs.labels[pair],
        shape.n_padded,
        shape.n_pairs,
        room.scores,
        rank * shape.n_padded,
        room.d_logits,
        with_gradient,
        smallest,
    )


@compiled
def _backward(first, last, own, blas, shape, leaves, found, room):
    """Write the gradient of the thread's columns, and add up that of its rows of W_L."""
    n_neurons = own.n_neurons
    n_classes, width = shape.n_classes, shape.width
    block = first
    while block < last:
        end = min(block + PAIRS_IN_A_PRODUCT, last)
        at, of_logits = (block - first) * width + own.first, block * shape.n_padded
        W_L = (leaves.W_L, own.first * n_classes, n_classes)
        product(
            blas,
            (0, 1, 0),
            (end - block, n_neurons, n_classes),
            (room.d_logits, of_logits, shape.n_padded),
            W_L,
            (room.gradient, at, width),
        )
        product(
            blas,
            (1, 0, 1 if block > 0 else 0),
            (n_neurons, n_classes, end - block),
            (room.read, at, width),
            (room.d_logits, of_logits, shape.n_padded),
            (found.W_L, own.first * n_classes, n_classes),
        )
        if block == 0:
            for column in range(own.first, own.last):
                found.constant[column] = 0
            for column in range(own.first_class, own.last_class):
                found.constant[column] = 0
        for pair in range(block, end):
            switch_off(pair - first, own, shape, found, room)
            hand_on(pair, pair - first, own, shape, found, room)
        block = end


@compiled
def _unattend(head, team, shape, pairs, found, room):
    """Add up the gradients of the scores of one head."""
    n_heads, n_tokens, pattern = shape.n_heads, shape.n_tokens, room.pattern
    for token in range(2 * n_tokens):
        found.scores[token * n_heads + head] = 0
    of_equals = pattern[0] * 0
    for pair in range(shape.n_pairs):
        d_a = d_b = pattern[0] * 0
        for member in range(team):
            share = (member * shape.n_pairs + pair) * 2 * n_heads + head
            d_a += room.d_pattern[share]
            d_b += room.d_pattern[share + n_heads]
        at = (pair * n_heads + head) * 3
        mean = pattern[at] * d_a + pattern[at + 1] * d_b
        a, b = pairs.tokens[2 * pair], n_tokens + pairs.tokens[2 * pair + 1]
        found.scores[a * n_heads + head] += pattern[at] * (d_a - mean)
        found.scores[b * n_heads + head] += pattern[at + 1] * (d_b - mean)
        of_equals -= pattern[at + 2] * mean
    found.score_equals[head] = of_equals


@compiled
def _finish(rank, team, own, blas, shape, pairs, weights, out, leaves, found, tables, room):
    """Write the gradients of the weights, given those of what the pairs read."""
    back_to_readout(rank, own, blas, shape, weights, found, out, tables)
    _wait(team)
    for head in range(rank, shape.n_heads, team):
        _unattend(head, team, shape, pairs, found, room)
        back_to_head(head, team, blas, shape, weights, found, out, tables)
    for shares, total in ((tables.d_W_U, out.W_U), (tables.d_W_O, out.W_O)):
        n = len(total)
        add_shares(total, n * rank // team, n * (rank + 1) // team, shares, n, team)
    if rank == team - 1:
        back_to_biases(team, shape, out, tables)
    _wait(team)
    back_to_inputs(rank, team, blas, shape, weights, out, tables)
    _wait(team)
    d_model = shape.d_model
    back_to_embedding(d_model * rank // team, d_model * (rank + 1) // team, shape, out, tables)
