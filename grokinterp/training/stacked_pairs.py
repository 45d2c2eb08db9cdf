"""The exact step of many one-layer networks at once, each with its own pairs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from grokinterp.models import ModelSpec
from grokinterp.training.environment import BATCHED
from grokinterp.training.loss import BatchLoss, accuracy, batch_loss
from grokinterp.training.stacked_tables import StackedTables
from grokinterp.training.stacked_weights import StackedWeights
from grokinterp.training.token_mixes import TokenMix, token_mix

PAIRS_AT_A_TIME = 1024
"""What lies between tables and loss for as many pairs stays in the processor's cache."""


@dataclass(frozen=True, eq=False)
class _Part:
    rows: slice
    mix: TokenMix
    loss: BatchLoss


class MemberPairs:
    """The pairs that one member is trained on; everything of a step that only it needs.

    Parameters
    ----------
    spec
        Shape of the network.
    n_tokens, n_classes, dtype
        Of its embedding and its outputs.
    pairs, labels
        The batch.
    loss, loss_dtype
        Name and precision of the loss.
    """

    def __init__(
        self,
        spec: ModelSpec,
        n_tokens: int,
        n_classes: int,
        dtype: torch.dtype,
        pairs: Int[Tensor, "pair 2"],
        labels: Int[Tensor, " pair"],
        loss: str,
        loss_dtype: str,
    ) -> None:
        # In the order of a, so that a part needs few rows of a.
        order = torch.argsort(pairs[:, 0] * n_tokens + pairs[:, 1])
        self._labels = labels[order]
        self._logits = torch.empty(len(labels), n_classes, dtype=dtype, device=pairs.device)
        self._d_mlp, self._n_classes = spec.d_mlp, n_classes
        self._smallest_normal = torch.finfo(dtype).smallest_normal
        self._parts = []
        n_parts = max(math.ceil(len(pairs) / PAIRS_AT_A_TIME), 1)
        cuts = [len(pairs) * part // n_parts for part in range(n_parts + 1)]
        for rows in itertools.starmap(slice, itertools.pairwise(cuts)):
            mix = token_mix(
                pairs[order[rows]].contiguous(),
                n_tokens,
                spec.n_heads,
                spec.d_mlp,
                n_classes,
                dtype,
            )
            of_part = batch_loss(
                loss,
                self._labels[rows],
                n_classes,
                loss_dtype,
                n_examples=len(labels),
            )
            self._parts.append(_Part(rows, mix, of_part))
        self.width = self._parts[0].mix.width
        self.name = f"pair tables (exact, one layer), {self._parts[0].mix.name}, {BATCHED}"

    def accuracy(self) -> Tensor:
        """Return the training accuracy at the weights of the last loss; costs no pass."""
        return accuracy(self._logits, self._labels)

    @property
    def longest(self) -> int:
        """Pairs of the longest part."""
        return max(part.rows.stop - part.rows.start for part in self._parts)

    def loss_and_gradients(
        self, leaves: tuple[Tensor, ...], totals: tuple[Tensor, ...], scratch: _Scratch
    ) -> Tensor:
        """Return the mean loss, and add the gradients of what the pairs read to the totals."""
        *read_leaves, W_L = leaves
        *read_totals, d_W_L = totals
        losses, d_mlp = [], self._d_mlp
        direct = slice(d_mlp, d_mlp + self._n_classes)
        for part in self._parts:
            logits = self._logits[part.rows]
            read, gradient, d_logits = scratch.first(len(logits))
            part.mix.forward(tuple(read_leaves), read)
            torch.addmm(read[:, direct], read[:, :d_mlp], W_L, out=logits)
            losses.append(part.loss.loss_and_gradient(logits, d_logits))
            # Below the normal numbers a product takes the processor some ten times as long.
            torch.hardshrink(d_logits, self._smallest_normal, out=d_logits)
            torch.mm(d_logits, W_L.T, out=gradient[:, :d_mlp])
            gradient[:, direct] = d_logits
            part.mix.backward(tuple(read_leaves), read, gradient, tuple(read_totals))
            d_W_L.addmm_(read[:, :d_mlp].T, d_logits)
        return torch.stack(losses).sum()


class _Scratch:
    """Memory between tables and loss, which one member after the other uses."""

    def __init__(self, n_pairs: int, width: int, n_classes: int, like: Tensor) -> None:
        self._rooms = [
            torch.zeros(n_pairs, columns, dtype=like.dtype, device=like.device)
            for columns in (width, width, n_classes)
        ]

    def first(self, n_pairs: int) -> list[Tensor]:
        """What a pair reads, its gradient, and the gradient of its logits."""
        return [room[:n_pairs] for room in self._rooms]

    def holds(self, n_pairs: int) -> bool:
        """Whether there is room for so many."""
        return n_pairs <= len(self._rooms[0])


class StackedPairStep:
    """Losses and gradients of all networks in a stack.

    Parameters
    ----------
    weights
        Of the members.
    spec
        Shape of the networks; one that
        :func:`~grokinterp.training.pair_table_step.why_no_pair_tables` has nothing against.
    """

    def __init__(self, weights: StackedWeights, spec: ModelSpec) -> None:
        self._weights, self._spec = weights, spec
        self._tables: StackedTables | None = None
        self._scratch: _Scratch | None = None
        self._n_members = 0

    def losses_and_gradients(
        self, members: Sequence[MemberPairs], n_updates: Sequence[int] = ()
    ) -> list[Tensor]:
        """Return the loss of every member and write its gradients into the stack.

        Parameters
        ----------
        members
            Those in the first slots, in this order.
        """
        with torch.no_grad():
            tables, scratch = self._prepared(members)
            tables.forward()
            losses = [
                member.loss_and_gradients(tables.leaves(slot), tables.totals(slot), scratch)
                for slot, member in enumerate(members)
            ]
            tables.backward()
        return losses

    def _prepared(self, members: Sequence[MemberPairs]) -> tuple[StackedTables, _Scratch]:
        """Tables for so many members, and memory for the longest part of any."""
        if self._tables is None or self._n_members != len(members):
            values, gradients = self._weights.first(len(members))
            width = members[0].width
            self._tables = StackedTables(values, gradients, self._spec, width)
            self._n_members = len(members)
        longest = max(member.longest for member in members)
        if self._scratch is None or not self._scratch.holds(longest):
            W_U = self._weights.first(1)[0]["unembed.W_U"]
            self._scratch = _Scratch(longest, members[0].width, W_U.shape[2], W_U)
        return self._tables, self._scratch
