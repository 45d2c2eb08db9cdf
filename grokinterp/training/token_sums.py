"""Sums over the pairs of every token, in a stated order."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

PAIRS_ON_DEVICE = 2**15
"""Pairs that go through a network together where there is no cache to stay in: a device wants
few large operations."""


def most_pairs(device: torch.device, in_cache: int) -> int:
    """Pairs at a time: on the CPU those that stay in its cache, elsewhere many.

    Examples
    --------
    >>> most_pairs(torch.device("cpu"), 1024), most_pairs(torch.device("cuda"), 1024)
    (1024, 32768)
    """
    return in_cache if device.type == "cpu" else PAIRS_ON_DEVICE


def starts_of(tokens: Int[Tensor, " pair"], n_tokens: int) -> Int[Tensor, " tokens_plus_1"]:
    """Where the pairs of each token begin, once pairs are in the order of their tokens.

    Examples
    --------
    >>> starts_of(torch.tensor([2, 0, 2]), 3)
    tensor([0, 1, 1, 3])
    """
    counts = torch.zeros(n_tokens, dtype=torch.long, device=tokens.device)
    counts.index_add_(0, tokens, torch.ones_like(tokens))
    return pad(counts.cumsum(0), (1, 0))


def sums_of_bags(
    rows: Float[Tensor, "pair column"],
    order: Int[Tensor, " pair"],
    starts: Int[Tensor, " tokens_plus_1"],
) -> Float[Tensor, "token column"]:
    """Sum of the rows of every token, given pairs in the order of their tokens."""
    return embedding_bag(order, rows, starts, mode="sum", include_last_offset=True)


class TokenSums:
    """Adds rows of pairs to the totals of their tokens, to the same bits every time.

    A GPU adds with atomic operations, whose order differs from run to run, so there a token's
    pairs are a bag that is summed in its order. The CPU adds row by row.

    Parameters
    ----------
    tokens
        Of every pair.
    n_tokens
        How many there are.

    Examples
    --------
    >>> total = torch.zeros(3, 1)
    >>> TokenSums(torch.tensor([2, 0, 2]), 3).add(total, torch.tensor([[1.0], [2.0], [4.0]]))
    >>> total[:, 0]
    tensor([2., 0., 5.])
    """

    def __init__(self, tokens: Int[Tensor, " pair"], n_tokens: int) -> None:
        self._tokens = tokens
        self._has_bags = tokens.device.type not in ("cpu", "mps")
        if self._has_bags:
            self._order = torch.argsort(tokens, stable=True)
            self._starts = starts_of(tokens, n_tokens)

    def add(self, total: Float[Tensor, "token ..."], rows: Float[Tensor, "pair ..."]) -> None:
        """Add every row to the total of its token, in place."""
        if self._has_bags:
            sums = sums_of_bags(rows.flatten(1), self._order, self._starts)
            total += sums.view_as(total)
        else:
            total.index_add_(0, self._tokens, rows)
