"""Command line: train a network into a run folder.

``python -m grokinterp.train OUT [--preset quick] [--n-steps 5000 --task.p 59 ...]``
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated

import tyro

from grokinterp.commands.arguments import parse_command, tell
from grokinterp.errors import ConfigError
from grokinterp.fields import shown
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.runs.config import PRESETS, TrainConfig
from grokinterp.tasks import OPERATIONS, AnswerTable, Operation, TaskSpec
from grokinterp.tasks.groups_of_tasks import group_operation, table_of_group

DEFAULT_PRESET = "quick"
_IN_WORDS = {ModelSpec: "a transformer", MlpSpec: "a multilayer perceptron"}


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
    """Settings to start from: quick (p = 59, about a minute), nanda2023 (p = 113, the
    network of the paper from its seed, in float64), p113 (p = 113, the same settings in
    float32, which is faster, and other weights), tl_demo (p = 113, the published
    Grokking_Demo run), power2022 (division modulo 97, two blocks with layer norm,
    minibatches, an hour or two), thilak2022 (the same, Adam without weight decay), s5
    (permutations of five, an hour or two), dihedral (symmetries of a 29-gon, half a minute),
    alternating (even permutations of five, about a minute), perceptron (p = 23, no weight
    decay, seconds), digits (images, large initial weights). Other flags change them. The
    preset decides the kind of network, so the flags of a multilayer perceptron are listed
    with --preset perceptron --help."""
    n_threads: int | None = None
    """Threads of torch. Another number gives other rounding (default: as torch chooses)."""
    device: str = "cpu"
    """Where to train, such as cpu or cuda."""
    forecast: bool = False
    """Say below the progress bar when the run is expected to grok, and after it once more."""
    quiet: bool = False
    """Show no progress bar."""


def main(arguments: list[str]) -> None:
    """Train what the arguments say and end with one line of outcome."""
    command = _parse(arguments)
    # Only now: usage errors and --help are answered before torch is imported.
    from grokinterp.training import train
    from grokinterp.trajectory import milestones_of

    logging.basicConfig(level="INFO", format="%(message)s")
    callbacks = []
    if command.forecast:
        from grokinterp.forecasting.watching import ForecastLine

        callbacks = [ForecastLine(command.out, write=_unseen if command.quiet else None)]
    try:
        run = train(
            command.config,
            command.out,
            callbacks=callbacks,
            n_threads=command.n_threads,
            device=command.device,
            progress=not command.quiet,
        )
    except KeyboardInterrupt:
        for line in callbacks:
            if line.sentence:
                tell(f"Last forecast: {line.sentence}")
        raise
    tell(milestones_of(run).outcome)
    for line in callbacks:
        tell(f"Last forecast: {line.sentence or run.forecast().sentence}")
    tell(f"{len(run.steps)} checkpoints in {command.out}")
    if isinstance(command.config.task, TaskSpec):
        tell(f"Explain it: python -m grokinterp.analyze {command.out}")


def _unseen(sentence: str) -> None:
    """Show nothing on the way: the last forecast is told at the end."""


def _parse(arguments: list[str]) -> Train:
    preset = _preset(arguments)
    _check_network(preset, arguments)
    config = _starting_from(PRESETS[preset], arguments)
    default = Train(out=tyro.MISSING, config=config, preset=preset)
    return parse_command(Train, default, arguments, "grokinterp.train")


def _check_network(preset: str, arguments: list[str]) -> None:
    """Refuse flags of a network of the other kind, and say which presets have them."""
    kind = type(PRESETS[preset].model)
    (other,) = set(_IN_WORDS) - {kind}
    own = {field.name for field in fields(kind)}
    for name in (field.name for field in fields(other) if field.name not in own):
        flags = (f"model.{no}{name}".replace("_", "-") for no in ("", "no-"))
        asked = next((flag for flag in flags if _last_value(flag, arguments) is not None), None)
        if asked is not None:
            names = [name for name, config in PRESETS.items() if type(config.model) is other]
            presets = " or ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
            raise ConfigError(
                f"--{asked} is a setting of {_IN_WORDS[other]}, and preset {preset} trains "
                f"{_IN_WORDS[kind]}. Use --preset {presets}."
            )


def _starting_from(preset: TrainConfig, arguments: list[str]) -> TrainConfig:
    """Return the preset, split by ordered pairs if the operation asked for does not commute."""
    task, name = preset.task, _last_value("task.operation", arguments) or ""
    operation, labels = OPERATIONS.get(name), _last_value("task.labels", arguments)
    if name == "table" and labels is not None and not labels.startswith("--"):
        # Also so that what is wrong with a file is said here: tyro would break its name over lines.
        operation = AnswerTable.of(Path(labels)).operation
    if name == "group":
        operation = _group_asked_for(arguments)
    is_asked_for = _last_value("task.split-unit", arguments) is not None
    if operation is None or operation.is_commutative or is_asked_for:
        return preset
    if not isinstance(task, TaskSpec) or task.split_unit == "ordered_pairs":
        return preset
    return replace(preset, task=replace(task, split_unit="ordered_pairs"))


def _group_asked_for(arguments: list[str]) -> Operation | None:
    """Return the product of the group that is named, or of its table; None if neither is."""
    name, path = (_last_value(f"task.{flag}", arguments) for flag in ("group", "group-table"))
    name = None if name == "None" else name  # the word that takes a preset's group away
    if (name is None and path is None) or (path or "").startswith("--"):
        return None
    return group_operation(*table_of_group(name, None if path is None else Path(path)))


def _last_value(flag: str, arguments: list[str]) -> str | None:
    """Value of a flag before the arguments are parsed; None where it is not among them."""
    value = None
    for word, following in zip(arguments, [*arguments, ""][1:], strict=True):
        name, is_joined, joined = word.partition("=")
        if name.replace("_", "-") == f"--{flag}":
            value = joined if is_joined else following
    return value


def _preset(arguments: list[str]) -> str:
    given = _last_value("preset", arguments)
    preset = DEFAULT_PRESET if given is None else given
    if preset not in PRESETS:
        raise ConfigError(
            f"preset {shown(preset)} is not known. Choose one of {', '.join(PRESETS)}."
        )
    return preset
