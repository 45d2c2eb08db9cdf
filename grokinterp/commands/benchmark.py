"""Command line: how fast training and analysis are on this machine, and what would be possible.

``python -m grokinterp.benchmark [--quick] [--n-threads N] [--peer-python PYTHON] [--rounds N]
[--only PART ...] [--out FILE]``
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from grokinterp.commands.arguments import parse_command, tell
from grokinterp.errors import ConfigError

Part = Literal[
    "step",
    "perceptron",
    "many",
    "busy",
    "measures",
    "growth",
    "memory",
    "limit",
    "processes",
    "gpu",
    "largest",
]


@dataclass(frozen=True)
class Benchmark:
    """Measure training, analysis and memory on this machine, beside TransformerLens's loop.

    Every case runs in a process of its own; what is compared alternates, so that both sides see
    the same noise of the machine. Some ten minutes on two cores, half a minute with --quick.
    """

    quick: bool = False
    """A small p and few rounds: shows that everything runs, and no figures to quote."""
    n_threads: int | None = None
    """Threads of torch in every case (default: as torch is set)."""
    peer_python: Path | None = None
    """Interpreter that has TransformerLens 3.x, for its own loop (default: this one if it has,
    else the hooked model's autograd takes its place)."""
    rounds: int = 3
    """Alternating rounds of the training step."""
    only: tuple[Part, ...] = ()
    """Parts to run (default: all but largest, which analyzes p = 509 for some fifteen minutes)."""
    out: Path | None = None
    """JSON file for all numbers."""


def main(arguments: list[str]) -> None:
    """Measure what the arguments say and print it part by part."""
    command = parse_command(Benchmark, None, arguments, "grokinterp.benchmark")
    if "--only" in arguments and not command.only:
        raise ConfigError(f"--only has no value. Give one or more of {', '.join(get_args(Part))}.")
    _check(command)
    # Only now: --help is answered before torch is imported.
    from grokinterp.benchmarks.parts import run_parts
    from grokinterp.benchmarks.plan import Plan

    plan = Plan.of(
        is_quick=command.quick,
        n_threads=command.n_threads,
        peer_python=str(command.peer_python or sys.executable),
        n_rounds=command.rounds,
        only=command.only,
    )
    run_parts(plan, tell, command.out)


def _check(command: Benchmark) -> None:
    if command.rounds < 1:
        raise ConfigError(f"rounds={command.rounds} is not allowed. Use 1 or more.")
    if command.n_threads is not None and not 1 <= command.n_threads <= 1024:
        raise ConfigError(f"n_threads={command.n_threads} is not allowed. Use 1 to 1024.")
    python = command.peer_python
    if python is not None and shutil.which(python) is None:
        raise ConfigError(
            f"peer_python={python} is no program. Give an interpreter that has TransformerLens 3.x."
        )
    if command.out is not None and command.out.is_dir():
        raise ConfigError(f"out={command.out} is a folder. Name a file in it.")
    if command.out is not None and not command.out.parent.is_dir():
        raise ConfigError(f"out={command.out} is in no folder. Make {command.out.parent} first.")
