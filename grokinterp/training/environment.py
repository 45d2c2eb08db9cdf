"""On what a run was trained: versions, machine, threads."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

import torch

BATCHED = "many at once"
"""How the names of steps end that many networks take together."""


def describe_environment(step_name: str, device: str) -> dict[str, Any]:
    """Versions, machine, thread count and the kind of training step, for environment.json."""
    return {
        "grokinterp": metadata.version("grokinterp"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu_count": os.cpu_count(),
        "n_threads": torch.get_num_threads(),
        "device": device,
        "training_step": step_name,
    }


def is_batched(environment: dict[str, Any]) -> bool:
    """Whether a run was begun in a batch.

    Examples
    --------
    >>> is_batched({"training_step": f"pair tables, {BATCHED}"}), is_batched({})
    (True, False)
    """
    return str(environment.get("training_step", "")).endswith(BATCHED)


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What could change the bits of the numbers between two environments."""
    names = ("torch", "platform", "n_threads", "device", "training_step")
    return [
        f"{name} {before[name]} -> {now[name]}"
        for name in names
        if name in before and before[name] != now[name]
    ]
