"""A batch of pairs worked off in parts by torch: rows, products, loss and gradients of each."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.models import ModelSpec
from grokinterp.models.pair_tables import pair_tables
from grokinterp.training.loss import BatchLoss
from grokinterp.training.table_gradients import Leaves, weight_gradients
from grokinterp.training.token_mixes import TokenMix, token_mix


class PartPass:
    """The whole step of a one-layer network on a fixed batch of pairs in the order of a.

    What lies between is used again from part to part, so that it stays in the processor's cache.
    """

    def __init__(
        self,
        weights: Mapping[str, Tensor],
        spec: ModelSpec,
        pairs: Int[Tensor, "pair 2"],
        parts: list[slice],
        losses: list[BatchLoss],
    ) -> None:
        n_tokens, n_classes = len(weights["embed.W_E"]) - 1, weights["unembed.W_U"].shape[1]
        dtype = weights["embed.W_E"].dtype
        self._weights, self._spec, self._losses = weights, spec, losses
        self._parts, self._mixes = parts, []
        for part in parts:
            mix = token_mix(pairs[part], n_tokens, spec.n_heads, spec.d_mlp, n_classes, dtype)
            self._mixes.append(mix)
        self.name = self._mix.name
        self._d_mlp, self._n_classes = spec.d_mlp, n_classes
        most = max(part.stop - part.start for part in parts)

        def room(n_rows: int, n_columns: int) -> Tensor:
            return torch.zeros(n_rows, n_columns, dtype=dtype, device=pairs.device)

        self._read, self._gradient = room(most, self._mix.width), room(most, self._mix.width)
        self.logits, self.d_logits = room(len(pairs), n_classes), room(len(pairs), n_classes)
        self._totals: Leaves = ()

    @property
    def _mix(self) -> TokenMix:
        """Of any part: what does not depend on the pairs is the same for all."""
        return self._mixes[0]

    def loss(self) -> Tensor:
        """Return the mean loss at the present weights."""
        tables = pair_tables(self._weights, self._spec)
        leaves, shares = self._mix.leaves(tables), []
        for mix, part, of_part in zip(self._mixes, self._parts, self._losses, strict=True):
            self._forward(mix, leaves, tables.W_L, self.logits[part])
            shares.append(of_part.loss(self.logits[part]))
        return torch.stack(shares).sum()

    def loss_and_gradients(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean loss at the present weights and the gradient of every weight."""
        tables = pair_tables(self._weights, self._spec)
        loss = self._forward_backward(self._mix.leaves(tables), tables.W_L)
        *totals, d_W_L = self._totals
        d_tables = self._mix.table_gradients(tables, tuple(totals), d_W_L)
        return loss, weight_gradients(self._weights, self._spec, d_tables)

    def _forward_backward(self, leaves: Leaves, W_L: Tensor) -> Tensor:
        """Mean loss over the batch; its gradients are added up in the totals."""
        if not self._totals:
            self._totals = tuple(torch.empty_like(leaf) for leaf in (*leaves, W_L))
        for total in self._totals:
            total.zero_()
        *read_totals, d_W_L = self._totals
        shares, d_mlp = [], self._d_mlp
        smallest = torch.finfo(self.logits.dtype).smallest_normal
        for mix, part, of_part in zip(self._mixes, self._parts, self._losses, strict=True):
            logits, d_logits = self.logits[part], self.d_logits[part]
            read = self._forward(mix, leaves, W_L, logits)
            shares.append(of_part.loss_and_gradient(logits, d_logits))
            # Below the normal numbers a product takes the processor some ten times as long. A
            # network that is sure has thousands there, which are too small to move any sum.
            torch.hardshrink(d_logits, smallest, out=d_logits)
            gradient = self._gradient[: len(read)]
            torch.mm(d_logits, W_L.T, out=gradient[:, :d_mlp])
            gradient[:, d_mlp : d_mlp + self._n_classes] = d_logits
            mix.backward(leaves, read, gradient, tuple(read_totals))
            d_W_L.addmm_(read[:, :d_mlp].T, d_logits)
        return torch.stack(shares).sum()

    def _forward(
        self, mix: TokenMix, leaves: Leaves, W_L: Tensor, logits: Float[Tensor, "pair c"]
    ) -> Float[Tensor, "pair width"]:
        """Write the logits of a part, and return what its pairs read."""
        read, d_mlp = self._read[: len(logits)], self._d_mlp
        mix.forward(leaves, read)
        direct = read[:, d_mlp : d_mlp + self._n_classes]
        torch.addmm(direct, read[:, :d_mlp], W_L, out=logits)
        return read
