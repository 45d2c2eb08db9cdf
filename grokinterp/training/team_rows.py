# numba and its types need not be there where types are checked.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false, reportCallIssue=false
"""Rows of tables in kernels: read for a pair with its attention, and their gradients.

Of what a thread reads and adds up only its own columns are touched, so that no two threads write to
the same place.
"""

from __future__ import annotations

from grokinterp.training.compiled import compiled
from grokinterp.training.lanes import (
    fused,
    lanes_of,
    load,
    no_lanes,
    plus,
    spread,
    store,
    total_of,
    where_above,
)


@compiled
def read_rows(pair, at, first, last, is_neuron, shape, pairs, leaves, room):
    """Write what a pair reads in some columns; neurons go through the ReLU."""
    rows, pattern, lanes = leaves.rows, room.pattern, lanes_of(leaves.rows)
    between = 2 * shape.n_tokens * shape.width
    of_a = pairs.tokens[2 * pair] * shape.width
    of_b = (shape.n_tokens + pairs.tokens[2 * pair + 1]) * shape.width
    row, weights = at * shape.width, pair * shape.n_heads * 3
    zero = no_lanes(rows)
    column = first
    while column + 4 * lanes <= last:
        s0, s1 = load(leaves.constant, column), load(leaves.constant, column + lanes)
        s2 = load(leaves.constant, column + 2 * lanes)
        s3 = load(leaves.constant, column + 3 * lanes)
        for head in range(shape.n_heads):
            a, b = of_a + head * between + column, of_b + head * between + column
            weight = spread(pattern, weights + 3 * head)
            s0 = fused(weight, load(rows, a), s0)
            s1 = fused(weight, load(rows, a + lanes), s1)
            s2 = fused(weight, load(rows, a + 2 * lanes), s2)
            s3 = fused(weight, load(rows, a + 3 * lanes), s3)
            weight = spread(pattern, weights + 3 * head + 1)
            s0 = fused(weight, load(rows, b), s0)
            s1 = fused(weight, load(rows, b + lanes), s1)
            s2 = fused(weight, load(rows, b + 2 * lanes), s2)
            s3 = fused(weight, load(rows, b + 3 * lanes), s3)
        if is_neuron:
            s0, s1 = where_above(s0, zero, s0), where_above(s1, zero, s1)
            s2, s3 = where_above(s2, zero, s2), where_above(s3, zero, s3)
        store(room.read, row + column, s0)
        store(room.read, row + column + lanes, s1)
        store(room.read, row + column + 2 * lanes, s2)
        store(room.read, row + column + 3 * lanes, s3)
        column += 4 * lanes
    while column < last:
        s0 = load(leaves.constant, column)
        for head in range(shape.n_heads):
            s0 = fused(
                spread(pattern, weights + 3 * head), load(rows, of_a + head * between + column), s0
            )
            s0 = fused(
                spread(pattern, weights + 3 * head + 1),
                load(rows, of_b + head * between + column),
                s0,
            )
        if is_neuron:
            s0 = where_above(s0, zero, s0)
        store(room.read, row + column, s0)
        column += lanes


@compiled
def switch_off(at, own, shape, found, room):
    """Set the gradient of neurons that are off to zero, and add it up over pairs."""
    lanes, row, zero = lanes_of(room.read), at * shape.width, no_lanes(room.read)
    for column in range(own.first, own.last, lanes):
        place = row + column
        along = where_above(load(room.read, place), zero, load(room.gradient, place))
        store(room.gradient, place, along)
        store(found.constant, column, plus(load(found.constant, column), along))


@compiled
def hand_on(pair, at, own, shape, found, room):
    """Copy the gradient of the logits to the classes beside the neurons, and add it up."""
    lanes, row = lanes_of(room.read), at * shape.width
    for column in range(own.first_class, own.last_class, lanes):
        along = load(room.d_logits, pair * shape.n_padded + column - shape.direct)
        store(room.gradient, row + column, along)
        store(found.constant, column, plus(load(found.constant, column), along))


@compiled
def unmix(part, operand, base, rank, own, shape, pairs, leaves, found, room):
    """Add up the gradients of the rows of one operand, and write that of the pattern."""
    starts = (2 * part + operand) * (shape.n_tokens + 1)
    order = pairs.orders[operand * shape.n_pairs : (operand + 1) * shape.n_pairs]
    for token in range(shape.n_tokens):
        start, stop = pairs.starts[starts + token], pairs.starts[starts + token + 1]
        # The first part begins the sums, also of tokens that it has not.
        if part > 0 and start == stop:
            continue
        mine, row = order[start:stop], operand * shape.n_tokens + token
        _add(mine, operand, row, base, part, own.first, own.last, shape, found, room)
        _add(mine, operand, row, base, part, own.first_class, own.last_class, shape, found, room)
        _project(mine, operand, row, base, rank, own, shape, leaves, room)


@compiled
def _add(mine, operand, token, base, part, first, last, shape, found, room):
    """Add the pairs of a token to the gradients of its rows, four heads and vectors at once."""
    four = 4 * lanes_of(room.gradient)
    head = 0
    while head + 4 <= shape.n_heads:
        column = first
        while column + four <= last:
            _add_four_heads(mine, operand, head, token, base, part, column, shape, found, room)
            column += four
        for one in range(4):
            _add_one_head(
                mine, operand, head + one, token, base, part, column, last, shape, found, room
            )
        head += 4
    while head < shape.n_heads:
        _add_one_head(mine, operand, head, token, base, part, first, last, shape, found, room)
        head += 1


@compiled
def _add_four_heads(mine, operand, head, token, base, part, column, shape, found, room):
    rows, gradient, pattern = found.rows, room.gradient, room.pattern
    between = 2 * shape.n_tokens * shape.width
    row = (head * 2 * shape.n_tokens + token) * shape.width + column
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = no_lanes(rows)
    c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = no_lanes(rows)
    if part > 0:
        a0, a1, a2, a3 = _load_four(rows, row)
        b0, b1, b2, b3 = _load_four(rows, row + between)
        c0, c1, c2, c3 = _load_four(rows, row + 2 * between)
        d0, d1, d2, d3 = _load_four(rows, row + 3 * between)
    for pair in mine:
        weight = (pair * shape.n_heads + head) * 3 + operand
        g0, g1, g2, g3 = _load_four(gradient, (pair - base) * shape.width + column)
        w = spread(pattern, weight)
        a0, a1, a2, a3 = fused(w, g0, a0), fused(w, g1, a1), fused(w, g2, a2), fused(w, g3, a3)
        w = spread(pattern, weight + 3)
        b0, b1, b2, b3 = fused(w, g0, b0), fused(w, g1, b1), fused(w, g2, b2), fused(w, g3, b3)
        w = spread(pattern, weight + 6)
        c0, c1, c2, c3 = fused(w, g0, c0), fused(w, g1, c1), fused(w, g2, c2), fused(w, g3, c3)
        w = spread(pattern, weight + 9)
        d0, d1, d2, d3 = fused(w, g0, d0), fused(w, g1, d1), fused(w, g2, d2), fused(w, g3, d3)
    _store_four(rows, row, a0, a1, a2, a3)
    _store_four(rows, row + between, b0, b1, b2, b3)
    _store_four(rows, row + 2 * between, c0, c1, c2, c3)
    _store_four(rows, row + 3 * between, d0, d1, d2, d3)


@compiled
def _load_four(array, at):
    lanes = lanes_of(array)
    return (
        load(array, at),
        load(array, at + lanes),
        load(array, at + 2 * lanes),
        load(array, at + 3 * lanes),
    )


@compiled
def _store_four(array, at, x0, x1, x2, x3):
    lanes = lanes_of(array)
    store(array, at, x0)
    store(array, at + lanes, x1)
    store(array, at + 2 * lanes, x2)
    store(array, at + 3 * lanes, x3)


@compiled
def _add_one_head(mine, operand, head, token, base, part, first, last, shape, found, room):
    rows, lanes = found.rows, lanes_of(found.rows)
    row = (head * 2 * shape.n_tokens + token) * shape.width
    for column in range(first, last, lanes):
        total = no_lanes(rows)
        if part > 0:
            total = load(rows, row + column)
        for pair in mine:
            weight = spread(room.pattern, (pair * shape.n_heads + head) * 3 + operand)
            along = load(room.gradient, (pair - base) * shape.width + column)
            total = fused(weight, along, total)
        store(rows, row + column, total)


@compiled
def _project(mine, operand, token, base, rank, own, shape, leaves, room):
    """Write the thread's share in the gradient of the pattern, four pairs and heads at once."""
    n_heads, width, last = shape.n_heads, shape.width, len(mine) - 1
    for place in range(0, len(mine), 4):
        # Where fewer than four are left, the last is computed again.
        p0, p1 = mine[place], mine[min(place + 1, last)]
        p2, p3 = mine[min(place + 2, last)], mine[min(place + 3, last)]
        q0, q1, q2, q3 = (
            (p0 - base) * width,
            (p1 - base) * width,
            (p2 - base) * width,
            (p3 - base) * width,
        )
        to = rank * shape.n_pairs * 2 + operand
        t0, t1 = (to + 2 * p0) * n_heads, (to + 2 * p1) * n_heads
        t2, t3 = (to + 2 * p2) * n_heads, (to + 2 * p3) * n_heads
        head = 0
        while head + 4 <= n_heads:
            row = (head * 2 * shape.n_tokens + token) * width
            _project_four_heads(
                row,
                q0,
                q1,
                q2,
                q3,
                t0 + head,
                t1 + head,
                t2 + head,
                t3 + head,
                own,
                shape,
                leaves,
                room,
            )
            head += 4
        while head < n_heads:
            row = (head * 2 * shape.n_tokens + token) * width
            _project_one_head(
                row,
                q0,
                q1,
                q2,
                q3,
                t0 + head,
                t1 + head,
                t2 + head,
                t3 + head,
                own,
                shape,
                leaves,
                room,
            )
            head += 1


@compiled
def _project_four_heads(row, q0, q1, q2, q3, t0, t1, t2, t3, own, shape, leaves, room):
    rows, gradient, lanes = leaves.rows, room.gradient, lanes_of(leaves.rows)
    between = 2 * shape.n_tokens * shape.width
    n_neurons = (own.last - own.first) // lanes
    n_vectors = n_neurons + (own.last_class - own.first_class) // lanes
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = no_lanes(rows)
    c0 = c1 = c2 = c3 = d0 = d1 = d2 = d3 = no_lanes(rows)
    for vector in range(n_vectors):
        column = own.first + vector * lanes
        if vector >= n_neurons:
            column = own.first_class + (vector - n_neurons) * lanes
        place = row + column
        r0, r1 = load(rows, place), load(rows, place + between)
        r2, r3 = load(rows, place + 2 * between), load(rows, place + 3 * between)
        g = load(gradient, q0 + column)
        a0, a1, a2, a3 = fused(g, r0, a0), fused(g, r1, a1), fused(g, r2, a2), fused(g, r3, a3)
        g = load(gradient, q1 + column)
        b0, b1, b2, b3 = fused(g, r0, b0), fused(g, r1, b1), fused(g, r2, b2), fused(g, r3, b3)
        g = load(gradient, q2 + column)
        c0, c1, c2, c3 = fused(g, r0, c0), fused(g, r1, c1), fused(g, r2, c2), fused(g, r3, c3)
        g = load(gradient, q3 + column)
        d0, d1, d2, d3 = fused(g, r0, d0), fused(g, r1, d1), fused(g, r2, d2), fused(g, r3, d3)
    _store_totals(room.d_pattern, t0, a0, a1, a2, a3)
    _store_totals(room.d_pattern, t1, b0, b1, b2, b3)
    _store_totals(room.d_pattern, t2, c0, c1, c2, c3)
    _store_totals(room.d_pattern, t3, d0, d1, d2, d3)


@compiled
def _store_totals(array, at, x0, x1, x2, x3):
    array[at], array[at + 1] = total_of(x0), total_of(x1)
    array[at + 2], array[at + 3] = total_of(x2), total_of(x3)


@compiled
def _project_one_head(row, q0, q1, q2, q3, t0, t1, t2, t3, own, shape, leaves, room):
    rows, gradient, lanes = leaves.rows, room.gradient, lanes_of(leaves.rows)
    n_neurons = (own.last - own.first) // lanes
    n_vectors = n_neurons + (own.last_class - own.first_class) // lanes
    s0 = s1 = s2 = s3 = no_lanes(rows)
    for vector in range(n_vectors):
        column = own.first + vector * lanes
        if vector >= n_neurons:
            column = own.first_class + (vector - n_neurons) * lanes
        along = load(rows, row + column)
        s0 = fused(load(gradient, q0 + column), along, s0)
        s1 = fused(load(gradient, q1 + column), along, s1)
        s2 = fused(load(gradient, q2 + column), along, s2)
        s3 = fused(load(gradient, q3 + column), along, s3)
    room.d_pattern[t0], room.d_pattern[t1] = total_of(s0), total_of(s1)
    room.d_pattern[t2], room.d_pattern[t3] = total_of(s2), total_of(s3)
