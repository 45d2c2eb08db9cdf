"""Tensors of different steps that share memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from grokinterp.errors import CheckpointError


def refuse_shared_memory(tensors: Mapping[int, Iterable[Tensor]], remedy: str) -> None:
    """Refuse tensors of two steps that share memory: both would show the later one.

    Raises
    ------
    CheckpointError
        With the first two steps.
    """
    owners: dict[tuple[Any, int], int] = {}
    for step, of_step in tensors.items():
        places = {(t.device, t.data_ptr()) for t in of_step if t.numel() and t.data_ptr()}
        for place in places:
            if place in owners:
                raise CheckpointError(
                    f"steps {owners[place]} and {step} share memory, so both hold the values of "
                    f"the later one. {remedy}"
                )
        owners |= dict.fromkeys(places, step)
