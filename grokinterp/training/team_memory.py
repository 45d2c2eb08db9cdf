# numba and its types need not be there where types are checked.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false, reportCallIssue=false
"""What kernels share: sizes, the batch, weights, tables, and memory for what lies between.

All arrays are flat, so that a vector can begin anywhere; the comments say what shape they have.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import carray

from grokinterp.training.compiled import compiled, pointer


class Shape(NamedTuple):
    """How many there are of what."""

    n_pairs: Any
    n_tokens: Any
    d_model: Any
    n_heads: Any
    d_head: Any
    d_mlp: Any
    n_classes: Any
    n_padded: Any
    """Classes, filled up to whole vectors."""
    direct: Any
    """Where the columns of the classes begin in a row: neurons, filled up to whole vectors."""
    width: Any
    """Columns of a row."""
    most: Any
    """Pairs of the longest part."""


class Pairs(NamedTuple):
    """A fixed batch in the order of a, and its parts."""

    ends: Any
    """Of the parts, zero before the first (n_parts + 1)."""
    tokens: Any
    """(n_pairs, 2)."""
    orders: Any
    """Pairs of a part by a, then by b (2, n_pairs)."""
    starts: Any
    """Where the pairs of a token begin there (n_parts, 2, n_tokens + 1)."""
    labels: Any


class Own(NamedTuple):
    """The columns of one thread, whole vectors: some neurons, and some classes."""

    first: Any
    last: Any
    first_class: Any
    last_class: Any
    n_neurons: Any
    """Without those that only fill a vector."""
    n_classes: Any


class Weights(NamedTuple):
    """The weights under their names, or their gradients."""

    W_E: Any
    W_pos: Any
    W_Q: Any
    b_Q: Any
    W_K: Any
    b_K: Any
    W_V: Any
    b_V: Any
    W_O: Any
    b_O: Any
    W_in: Any
    b_in: Any
    W_out: Any
    b_out: Any
    W_U: Any
    b_U: Any


NAMES = {
    "W_E": "embed.W_E",
    "W_pos": "pos_embed.W_pos",
    **{f"{kind}_{which}": f"blocks.0.attn.{kind}_{which}" for which in "QKVO" for kind in "Wb"},
    **{f"{kind}_{one}": f"blocks.0.mlp.{kind}_{one}" for one in ("in", "out") for kind in "Wb"},
    "W_U": "unembed.W_U",
    "b_U": "unembed.b_U",
}
"""Full names of the weights."""


class Leaves(NamedTuple):
    """What pairs read, or the gradients of it."""

    scores: Any
    """(2, n_tokens, n_heads)."""
    score_equals: Any
    """(n_heads)."""
    rows: Any
    """(n_heads, 2, n_tokens, width)."""
    constant: Any
    """(width)."""
    W_L: Any
    """(d_mlp, n_classes)."""


class TableRoom(NamedTuple):
    """Memory for the tables and their gradients; inputs are tokens as a, as b, and ``=``."""

    inputs: Any
    """(n_inputs, d_model)."""
    d_inputs: Any
    """(n_inputs, d_model)."""
    query: Any
    """(n_heads, d_head)."""
    d_query: Any
    """(n_heads, d_head)."""
    key: Any
    """What the query meets of an input (n_heads, d_model)."""
    d_key: Any
    """(n_heads, d_model)."""
    values: Any
    """Without that of ``=``, which is the last row itself (n_heads, n_inputs, d_head)."""
    d_values: Any
    """For each thread (n_heads, n_inputs, d_head)."""
    constant: Any
    """What enters the neurons beside attention, and what enters the classes (2, d_model)."""
    d_constant: Any
    """For each thread (2, d_model)."""
    readout: Any
    """(n_heads, d_head, width)."""
    d_readout: Any
    """(n_heads, d_head, width)."""
    d_W_O: Any
    """For each thread (n_heads, d_head, d_model)."""
    d_W_U: Any
    """For each thread (d_model, n_classes)."""
    d_scores: Any
    """Scaled, and with ``=`` (n_inputs, n_heads)."""


class Room(NamedTuple):
    """Memory for what lies between."""

    pattern: Any
    """(n_pairs, n_heads, 3)."""
    d_pattern: Any
    """For each thread (n_pairs, 2, n_heads)."""
    read: Any
    """(most, width)."""
    gradient: Any
    """(most, width)."""
    shares: Any
    """In the logits, for each thread (most, n_padded)."""
    logits: Any
    """(n_pairs, n_padded)."""
    d_logits: Any
    """(n_pairs, n_padded)."""
    losses: Any
    """(n_pairs)."""
    scores: Any
    """For each thread (n_padded), in float64."""


@compiled
def weights_at(job, at, shape, number):
    """Weights, or their gradients, whose addresses begin at a place of a job."""
    d_model, d_z, d_mlp = shape.d_model, shape.n_heads * shape.d_head, shape.d_mlp
    return Weights(
        carray(pointer(job[at]), ((shape.n_tokens + 1) * d_model,), number),
        carray(pointer(job[at + 1]), (3 * d_model,), number),
        carray(pointer(job[at + 2]), (d_z * d_model,), number),
        carray(pointer(job[at + 3]), (d_z,), number),
        carray(pointer(job[at + 4]), (d_z * d_model,), number),
        carray(pointer(job[at + 5]), (d_z,), number),
        carray(pointer(job[at + 6]), (d_z * d_model,), number),
        carray(pointer(job[at + 7]), (d_z,), number),
        carray(pointer(job[at + 8]), (d_z * d_model,), number),
        carray(pointer(job[at + 9]), (d_model,), number),
        carray(pointer(job[at + 10]), (d_model * d_mlp,), number),
        carray(pointer(job[at + 11]), (d_mlp,), number),
        carray(pointer(job[at + 12]), (d_mlp * d_model,), number),
        carray(pointer(job[at + 13]), (d_model,), number),
        carray(pointer(job[at + 14]), (d_model * shape.n_classes,), number),
        carray(pointer(job[at + 15]), (shape.n_classes,), number),
    )


@compiled
def leaves_at(job, at, shape, number):
    """What pairs read, or its gradients, whose addresses begin at a place of a job."""
    n_rows = 2 * shape.n_tokens * shape.n_heads
    return Leaves(
        carray(pointer(job[at]), (n_rows,), number),
        carray(pointer(job[at + 1]), (shape.n_heads,), number),
        carray(pointer(job[at + 2]), (n_rows * shape.width,), number),
        carray(pointer(job[at + 3]), (shape.width,), number),
        carray(pointer(job[at + 4]), (shape.d_mlp * shape.n_classes,), number),
    )


@compiled
def tables_at(job, at, shape, team, number):
    """Memory for the tables, whose addresses begin at a place of a job."""
    d_model, d_z, n_inputs = shape.d_model, shape.n_heads * shape.d_head, 2 * shape.n_tokens + 1
    return TableRoom(
        carray(pointer(job[at]), (n_inputs * d_model,), number),
        carray(pointer(job[at + 1]), (n_inputs * d_model,), number),
        carray(pointer(job[at + 2]), (d_z,), number),
        carray(pointer(job[at + 3]), (d_z,), number),
        carray(pointer(job[at + 4]), (shape.n_heads * d_model,), number),
        carray(pointer(job[at + 5]), (shape.n_heads * d_model,), number),
        carray(pointer(job[at + 6]), (d_z * n_inputs,), number),
        carray(pointer(job[at + 7]), (team * d_z * n_inputs,), number),
        carray(pointer(job[at + 8]), (2 * d_model,), number),
        carray(pointer(job[at + 9]), (team * 2 * d_model,), number),
        carray(pointer(job[at + 10]), (d_z * shape.width,), number),
        carray(pointer(job[at + 11]), (d_z * shape.width,), number),
        carray(pointer(job[at + 12]), (team * d_z * d_model,), number),
        carray(pointer(job[at + 13]), (team * d_model * shape.n_classes,), number),
        carray(pointer(job[at + 14]), (n_inputs * shape.n_heads,), number),
    )


@compiled
def room_at(job, at, shape, team, number):
    """Memory for the pairs, whose addresses begin at a place of a job."""
    n_pairs, most, n_padded = shape.n_pairs, shape.most, shape.n_padded
    return Room(
        carray(pointer(job[at]), (n_pairs * shape.n_heads * 3,), number),
        carray(pointer(job[at + 1]), (team * n_pairs * 2 * shape.n_heads,), number),
        carray(pointer(job[at + 2]), (most * shape.width,), number),
        carray(pointer(job[at + 3]), (most * shape.width,), number),
        carray(pointer(job[at + 4]), (team * most * n_padded,), number),
        carray(pointer(job[at + 5]), (n_pairs * n_padded,), number),
        carray(pointer(job[at + 6]), (n_pairs * n_padded,), number),
        carray(pointer(job[at + 7]), (n_pairs,), np.float64),
        carray(pointer(job[at + 8]), (team * n_padded,), np.float64),
    )
