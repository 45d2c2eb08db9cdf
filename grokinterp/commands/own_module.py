"""The user's own module, built by a function that the command line names."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grokinterp.errors import ConfigError, one_line
from grokinterp.fields import shown

if TYPE_CHECKING:
    from torch import nn


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
