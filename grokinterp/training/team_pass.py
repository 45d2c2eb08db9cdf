# numba and its types need not be there where types are checked.
# pyright: reportMissingImports=false, reportPrivateImportUsage=false, reportCallIssue=false
"""A batch of pairs worked off by a team of threads in one call of a compiled kernel.

Rows, products, loss and gradients follow each other while what they share is in the processor's
cache (:mod:`grokinterp.training.team_kernels`). The products are those of torch's own BLAS, called
by each thread on its own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import carray
from torch import Tensor
from torch.nn.functional import pad

from grokinterp.models import ModelSpec
from grokinterp.training.compiled import (
    NAME,
    address,
    job_at,
    kernel,
    number_type,
    pointer,
    run_kernel,
    source_version,
    team_members,
    team_rank,
    team_size,
)
from grokinterp.training.fused_loss import NO_CLASS
from grokinterp.training.kernel_choice import blas
from grokinterp.training.lanes import BYTES
from grokinterp.training.loss import BatchLoss
from grokinterp.training.team_kernels import BACK, LOSS, READ, work
from grokinterp.training.team_memory import (
    NAMES,
    Leaves,
    Pairs,
    Room,
    Shape,
    TableRoom,
    Weights,
    leaves_at,
    room_at,
    tables_at,
    weights_at,
)


class TeamPass:
    """The whole step of a one-layer network on a fixed batch of pairs in the order of a.

    Parameters
    ----------
    weights
        Of the network, under their full names.
    spec
        Shape of the network.
    pairs, labels, parts
        The batch, and slices of it that are worked off one after another.
    losses
        That of each part; None for a cross-entropy in float64, which the kernel computes itself.
    is_trained
        Whether gradients are wanted.
    """

    name = NAME

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        spec: ModelSpec,
        pairs: Int[Tensor, "pair 2"],
        labels: Int[Tensor, " pair"],
        parts: list[slice],
        losses: list[BatchLoss] | None,
        *,
        is_trained: bool,
    ) -> None:
        (n_outer, d_model), n_classes = weights[NAMES["W_E"]].shape, len(weights[NAMES["b_U"]])
        n_pairs, n_tokens, n_heads, d_head = len(pairs), n_outer - 1, spec.n_heads, spec.d_head
        self._weights, self._parts, self._losses = weights, parts, losses
        self._dtype = dtype = weights[NAMES["W_E"]].dtype
        self._smallest, self._n_classes = torch.finfo(dtype).smallest_normal, n_classes
        self._n_threads = team = team_size()
        in_a_vector = BYTES // dtype.itemsize
        direct = math.ceil(spec.d_mlp / in_a_vector) * in_a_vector
        n_padded = math.ceil(n_classes / in_a_vector) * in_a_vector
        width, most = direct + n_padded, max(part.stop - part.start for part in parts)
        n_back, n_inputs = n_pairs if is_trained else 0, 2 * n_tokens + 1
        sizes = [n_pairs, n_tokens, d_model, n_heads, d_head, spec.d_mlp, n_classes, n_padded]
        sizes += [direct, width, most]

        def room(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
            return torch.zeros(shape, dtype=dtype)

        self._found = {name: room(*weights[full].shape) for name, full in NAMES.items()}
        self._padded, self._d_padded = room(n_pairs, n_padded), room(n_back, n_padded)
        self._of_pairs = room(n_pairs, dtype=torch.float64)
        constant = room(width)
        constant[direct + n_classes :] = NO_CLASS
        leaves = [room(2, n_tokens, n_heads), room(n_heads), room(n_heads, 2, n_tokens, width)]
        leaves += [constant, room(spec.d_mlp, n_classes)]
        between = [
            *(room(n_inputs, d_model), room(n_inputs, d_model)),
            *(room(n_heads, d_head), room(n_heads, d_head)),
            *(room(n_heads, d_model), room(n_heads, d_model)),
            *(room(n_heads, n_inputs, d_head), room(team, n_heads, n_inputs, d_head)),
            *(room(2, d_model), room(team, 2, d_model)),
            *(room(n_heads, d_head, width), room(n_heads, d_head, width)),
            *(room(team, n_heads, d_head, d_model), room(team, d_model, n_classes)),
            room(n_inputs, n_heads),
        ]
        of_pairs = [
            *(room(n_pairs, n_heads, 3), room(team, n_back, 2, n_heads)),
            *(room(most, width), room(most if is_trained else 0, width)),
            *(room(team, most, n_padded), self._padded, self._d_padded, self._of_pairs),
            room(team, n_padded, dtype=torch.float64),
        ]
        ends = torch.tensor([0, *(part.stop for part in parts)])
        batch = [ends, pairs.contiguous(), *_by_token(pairs, parts, n_tokens), labels]
        found = [torch.zeros_like(leaf) for leaf in leaves]
        # The kernel is handed addresses; somebody has to hold what lies there.
        self._memory = [*batch, *self._found.values(), *leaves, *found, *between, *of_pairs]
        self._fixed = [team, blas(dtype) or 0, len(parts), *sizes, *map(address, self._memory)]

    @property
    def logits(self) -> Float[Tensor, "pair c"]:
        """Of every pair, at the weights of the last pass."""
        return self._padded[:, : self._n_classes]

    @property
    def d_logits(self) -> Float[Tensor, "pair c"]:
        """The gradient of the loss by them."""
        return self._d_padded[:, : self._n_classes]

    def loss(self) -> Tensor:
        """Return the mean loss at the present weights."""
        if self._losses is None:
            self._run(READ + LOSS)
            return self._of_pairs.sum() / len(self._of_pairs)
        self._run(READ)
        of_parts = zip(self._losses, self._parts, strict=True)
        return torch.stack([loss.loss(self.logits[part]) for loss, part in of_parts]).sum()

    def loss_and_gradients(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean loss at the present weights and the gradient of every weight.

        The gradients are valid until the next call.
        """
        if self._losses is None:
            self._run(READ + LOSS + BACK)
            loss = self._of_pairs.sum() / len(self._of_pairs)
        else:
            shares = []
            for index, (of_part, part) in enumerate(zip(self._losses, self._parts, strict=True)):
                self._run(READ, index, index + 1)
                d_logits = self.d_logits[part]
                shares.append(of_part.loss_and_gradient(self.logits[part], d_logits))
                torch.hardshrink(d_logits, self._smallest, out=d_logits)
                self._run(BACK, index, index + 1)
            loss = torch.stack(shares).sum()
        return loss, {full: self._found[name] for name, full in NAMES.items()}

    def _run(self, todo: int, first_part: int = 0, last_part: int | None = None) -> None:
        weights = [self._weights[full].detach().contiguous() for full in NAMES.values()]
        last_part = len(self._parts) if last_part is None else last_part
        job = [todo, first_part, last_part, *map(address, weights), *self._fixed]
        run_kernel(_kernel(self._dtype), job, self._n_threads)


def _by_token(
    pairs: Int[Tensor, "pair 2"], parts: list[slice], n_tokens: int
) -> tuple[Tensor, Tensor]:
    """The pairs of each part in the order of a, then of b, and where those of a token begin."""
    orders = torch.empty(2, len(pairs), dtype=torch.int64)
    starts = torch.zeros(len(parts), 2, n_tokens + 1, dtype=torch.int64)
    for index, part in enumerate(parts):
        for operand in range(2):
            tokens = pairs[part, operand]
            orders[operand, part] = torch.argsort(tokens, stable=True) + part.start
            counts = torch.bincount(tokens, minlength=n_tokens)
            starts[index, operand] = pad(counts.cumsum(0), (1, 0)) + part.start
    return orders, starts


# Where the parts of a job begin: after what is to do, the weights, the sizes, and the memory.
_WEIGHTS, _SIZES = 3, 3 + len(Weights._fields)
_MEMORY = _SIZES + 3 + len(Shape._fields)
_GRADIENTS = _MEMORY + len(Pairs._fields)
_LEAVES = _GRADIENTS + len(Weights._fields)
_FOUND = _LEAVES + len(Leaves._fields)
_BETWEEN = _FOUND + len(Leaves._fields)
_ROOM = _BETWEEN + len(TableRoom._fields)
_END = _ROOM + len(Room._fields)


@functools.cache
def _kernel(dtype: torch.dtype) -> Any:
    """The work for numbers of one precision, as a function of the address of a job."""
    number = number_type(dtype)
    smallest, version = float(np.finfo(number).tiny), source_version()

    def team_work(address):
        job = job_at(address, _END, version)
        team, blas, n_parts = job[_SIZES], job[_SIZES + 1], job[_SIZES + 2]
        n, at = _SIZES + 3, _MEMORY
        shape = Shape(
            job[n],
            job[n + 1],
            job[n + 2],
            job[n + 3],
            job[n + 4],
            job[n + 5],
            job[n + 6],
            job[n + 7],
            job[n + 8],
            job[n + 9],
            job[n + 10],
        )
        n_pairs = shape.n_pairs
        pairs = Pairs(
            carray(pointer(job[at]), (n_parts + 1,), np.int64),
            carray(pointer(job[at + 1]), (2 * n_pairs,), np.int64),
            carray(pointer(job[at + 2]), (2 * n_pairs,), np.int64),
            carray(pointer(job[at + 3]), (2 * n_parts * (shape.n_tokens + 1),), np.int64),
            carray(pointer(job[at + 4]), (n_pairs,), np.int64),
        )
        work(
            team_rank(),
            team_members(),
            job[0],
            (job[1], job[2]),
            blas,
            smallest,
            shape,
            pairs,
            weights_at(job, _WEIGHTS, shape, number),
            weights_at(job, _GRADIENTS, shape, number),
            leaves_at(job, _LEAVES, shape, number),
            leaves_at(job, _FOUND, shape, number),
            tables_at(job, _BETWEEN, shape, team, number),
            room_at(job, _ROOM, shape, team, number),
        )

    return kernel(team_work)
