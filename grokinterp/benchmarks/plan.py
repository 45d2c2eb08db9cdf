"""What a run of the benchmark measures, and on which machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from grokinterp.training.kernel_choice import has_numba

PARTS = (
    "step",
    "busy",
    "measures",
    "growth",
    "memory",
    "limit",
    "processes",
    "largest",
)
SLOW_PARTS = ("largest",)
"""Only run when they are asked for: some fifteen minutes."""


@dataclass(frozen=True)
class Plan:
    """What is measured, and how often."""

    p: int
    d_mlp: int
    moduli: tuple[int, ...]
    widths: tuple[int, ...]
    large_p: int
    largest_p: int
    n_steps: int
    n_rounds: int
    n_threads: int
    peer_python: str
    only: tuple[str, ...]
    has_goals: bool
    """Goals are for one setting; a quick run measures another."""

    @classmethod
    def of(
        cls,
        *,
        is_quick: bool,
        n_threads: int | None,
        peer_python: str,
        n_rounds: int,
        only: Sequence[str] = (),
    ) -> Plan:
        """Return the plan of a full or a quick run."""
        threads = n_threads or torch.get_num_threads()
        parts = tuple(only) or tuple(part for part in PARTS if part not in SLOW_PARTS)
        if is_quick:
            return cls(
                p=13,
                d_mlp=64,
                moduli=(7, 13),
                widths=(32, 64),
                large_p=17,
                largest_p=19,
                n_steps=4,
                n_rounds=1,
                n_threads=threads,
                peer_python=peer_python,
                only=parts,
                has_goals=False,
            )
        return cls(
            p=113,
            d_mlp=512,
            moduli=(31, 59, 113, 173, 251),
            widths=(128, 256, 512, 1024, 2048),
            large_p=251,
            largest_p=509,
            n_steps=40,
            n_rounds=n_rounds,
            n_threads=threads,
            peer_python=peer_python,
            only=parts,
            has_goals=True,
        )


def machine(plan: Plan) -> str:
    """One line on what the figures were measured on."""
    numba = "with numba" if has_numba() else "without numba"
    return (
        f"{os.cpu_count()} processors ({platform.machine()}), {plan.n_threads} threads, "
        f"torch {torch.__version__}, {numba}"
    )
