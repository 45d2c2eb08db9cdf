"""Weights of many networks of one shape, one behind the other, so that one call serves all."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

CACHE_LINE = 64
"""Bytes. Torch aligns its memory so, and a product may take another way where it is not."""


def stack_of(
    n_members: int, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device | str
) -> Tensor:
    """Zeros for tensors of one shape, each of which begins where a line of the cache begins.

    There is always a gap between two of them. So torch takes a batched product apart on the CPU,
    matrix by matrix, and what comes out for one member does not depend on how many there are.

    Examples
    --------
    >>> stack_of(3, (5, 2), torch.float32, "cpu").stride()
    (16, 2, 1)
    """
    line = CACHE_LINE // dtype.itemsize
    length = math.prod(shape)
    distance = (length // line + 1) * line
    rows = torch.zeros(n_members, distance, dtype=dtype, device=device)
    return rows[:, :length].unflatten(1, shape)


class StackedWeights:
    """Weights and gradients of up to `n_slots` networks of one shape.

    Parameters
    ----------
    shapes
        Of every weight of one network, by name.
    trained
        Names of those that are trained.
    n_slots
        Networks for which there is room.
    dtype, device
        Of all weights.

    Examples
    --------
    >>> stack = StackedWeights({"W": (2, 3)}, {"W"}, 4, torch.float32, "cpu")
    >>> stack.first(2)[0]["W"].shape, stack.member(1)["W"].requires_grad
    (torch.Size([2, 2, 3]), True)
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        trained: Collection[str],
        n_slots: int,
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:
        self.n_slots, self.trained = n_slots, frozenset(trained)
        self._values = {
            name: stack_of(n_slots, shape, dtype, device) for name, shape in shapes.items()
        }
        self._gradients = {
            name: stack_of(n_slots, shape, dtype, device) for name, shape in shapes.items()
        }

    def first(self, n_members: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Weights and gradients of the networks in the first slots, member by member."""
        values = {name: value[:n_members] for name, value in self._values.items()}
        return values, {name: value[:n_members] for name, value in self._gradients.items()}

    def member(self, slot: int) -> dict[str, Tensor]:
        """Weights of one network: leaves whose gradients lie in the stack."""
        weights = {}
        for name, value in self._values.items():
            leaf = weights[name] = value[slot].detach()
            if name in self.trained:
                leaf.requires_grad_()
                leaf.grad = self._gradients[name][slot]
        return weights
