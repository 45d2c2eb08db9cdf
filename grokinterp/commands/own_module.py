"""The user's own module, built by a function that the command line names."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokinterp.errors import ConfigError, RunFolderError, one_line
from grokinterp.fields import shown

if TYPE_CHECKING:
    from torch import nn

    from grokinterp.models.module_spec import Parts
    from grokinterp.runs.run import Run
    from grokinterp.tasks import TaskSpec


def run_of_files(
    module: str,
    paths: Sequence[Path],
    task: TaskSpec,
    inputs: str,
    parts: Parts,
    train_pairs: Path | None,
) -> Run:
    """Make one run of files of state dicts of the module that a text names how to build.

    Parameters
    ----------
    module
        Such as ``package.module:build``.
    paths
        Files, or one folder of files.
    task, parts
        As in ``Run.from_modules``.
    inputs
        A format, or a function such as ``package.module:one_hot``.
    train_pairs
        File of rows or pairs; None: not known.

    Raises
    ------
    GrokinterpError
        If a file does not exist, or any of these does not fit the others.
    """
    from grokinterp.runs.module_files import modules_from_files, read_pairs
    from grokinterp.runs.run import Run

    for path in paths:
        if not path.exists():
            raise RunFolderError(f"{path} does not exist. Check the spelling.")
    modules = modules_from_files(built_module(module), paths)
    run = Run.from_modules(
        modules,
        task=task,
        inputs=named_function(inputs, "--inputs") if ":" in inputs else inputs,
        parts=parts,
        train_pairs=None if train_pairs is None else read_pairs(train_pairs),
    )
    where = paths[0].name if len(paths) == 1 else f"{len(paths)} files"
    return replace(run, origin=f"read from {where} into {module}, {run.origin}")


def built_module(name: str) -> nn.Module:
    """Call the function that a text such as ``package.module:build`` names.

    Raises
    ------
    ConfigError
        If there is no such function, it needs arguments, raises, or returns no module.
    """
    from torch import nn

    build = named_function(name, "--module")
    if isinstance(build, nn.Module):
        raise ConfigError(
            f"--module {shown(name)} is a module already. Name a function that returns it."
        )
    needed = _needed_arguments(build)
    if needed:
        raise ConfigError(
            f"--module {shown(name)} needs arguments ({', '.join(needed)}). Name a function that "
            "takes none and returns the module."
        )
    try:
        found = build()
    # A function that ends its process must not end ours.
    except (Exception, SystemExit) as error:
        raise ConfigError(f"--module {shown(name)} {_raises(error)}.") from error
    if not isinstance(found, nn.Module):
        kind = type(found).__name__
        raise ConfigError(f"--module {shown(name)} returns {kind}, not a torch.nn.Module.")
    return found


def named_function(name: str, flag: str) -> Callable[..., Any]:
    """Import what a text such as ``package.module:function`` names; the current folder counts.

    Raises
    ------
    ConfigError
        If the text has another form, the import fails, or it is no function.
    """
    path, colon, function = name.partition(":")
    if not colon or not path or not function.isidentifier() or "/" in path:
        raise ConfigError(
            f"{flag} {shown(name)} does not name a function. Write package.module:function, "
            "such as nets:build for the function build in nets.py."
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = import_module(path)
    # A script that ends its process is no reason to end ours.
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{flag} {shown(name)} cannot be imported: {_raises(error)}. Run the command in the "
            "folder that has it."
        ) from error
    found = getattr(module, function, None)
    if not callable(found):
        what = "is not a function" if hasattr(module, function) else "does not exist"
        raise ConfigError(f"{flag} {shown(name)} {what} in {path}. Name a function in it.")
    return found


def _needed_arguments(function: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    # Some built-in functions do not say what they take.
    except (TypeError, ValueError):
        return []
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        parameter.name
        for parameter in parameters
        if parameter.default is inspect.Parameter.empty and parameter.kind not in variadic
    ]


def _raises(error: BaseException) -> str:
    text = one_line(str(error), 300).rstrip(".")
    return f"raises {type(error).__name__}" + (f": {text}" if text else "")
