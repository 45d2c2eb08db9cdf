"""Command line: train a network into a run folder.

``python -m grokinterp.train OUT [--preset quick] [--n-steps 5000 --task.p 59 ...]``
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from grokinterp.commands.arguments import parse_command, tell
from grokinterp.errors import ConfigError
from grokinterp.fields import shown
from grokinterp.runs.config import PRESETS, TrainConfig

DEFAULT_PRESET = "quick"


@dataclass(frozen=True)
class Train:
    """Train a network on a task of the grokking literature and keep its checkpoints.

    The same command continues a run that was stopped, with the same bits; a larger
    --n-steps extends a finished one.
    """

    out: tyro.conf.Positional[Path]
    """Run folder; made if it does not exist."""
    config: Annotated[TrainConfig, tyro.conf.arg(name="")]
    preset: str = DEFAULT_PRESET
    """Settings to start from: quick (p = 59, about a minute), nanda2023 (p = 113, as the
    paper), tl_demo (p = 113, the published Grokking_Demo run), s5 (permutations of five, an
    hour or two), perceptron (p = 23, no weight decay, seconds), digits (images, large
    initial weights). Other flags change them."""
    n_threads: int | None = None
    """Threads of torch. Another number gives other rounding (default: as torch chooses)."""
    device: str = "cpu"
    """Where to train, such as cpu or cuda."""
    quiet: bool = False
    """Show no progress bar."""


def main(arguments: list[str]) -> None:
    """Train what the arguments say and end with one line of outcome."""
    command = _parse(arguments)
    # Only now: usage errors and --help are answered before torch is imported.
    from grokinterp.models import ModelSpec
    from grokinterp.tasks import Task
    from grokinterp.training import train
    from grokinterp.trajectory import find_milestones, unmirrored_transition

    logging.basicConfig(level="INFO", format="%(message)s")
    run = train(
        command.config,
        command.out,
        n_threads=command.n_threads,
        device=command.device,
        progress=not command.quiet,
    )
    task = run.split.task
    milestones = find_milestones(
        run.curves,
        diverged_at=run.diverged_at,
        unmirrored=unmirrored_transition(run),
        chance=1 / task.n_classes if isinstance(task, Task) else None,
    )
    tell(milestones.outcome)
    tell(f"{len(run.steps)} checkpoints in {command.out}")
    if isinstance(run.spec, ModelSpec):
        tell(f"Explain it: python -m grokinterp.analyze {command.out}")


def _parse(arguments: list[str]) -> Train:
    preset = _preset(arguments)
    default = Train(out=tyro.MISSING, config=PRESETS[preset], preset=preset)
    return parse_command(Train, default, arguments, "grokinterp.train")


def _preset(arguments: list[str]) -> str:
    preset = DEFAULT_PRESET
    for word, following in zip(arguments, [*arguments, ""][1:], strict=True):
        if word == "--preset":
            preset = following
        elif word.startswith("--preset="):
            preset = word.removeprefix("--preset=")
    if preset not in PRESETS:
        raise ConfigError(
            f"preset {shown(preset)} is not known. Choose one of {', '.join(PRESETS)}."
        )
    return preset
