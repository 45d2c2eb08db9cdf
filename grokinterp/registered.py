"""Functions of higher rooms that methods of lower objects call, by name.

Imports go one way, so ``Analysis.plot`` cannot import the figures that it returns. It calls a name;
``grokinterp/__init__.py``, which knows every room, says where that name lives. The module is
imported at the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

_PLACES: dict[str, str] = {}


def register(name: str, place: str) -> None:
    """Say where a function lives, as ``package.module:function``; nothing is imported yet."""
    _PLACES[name] = place


def registered(name: str) -> Callable[..., Any]:
    """Import the function of a name and return it.

    Examples
    --------
    >>> registered("card").__name__
    'card_of'
    """
    module, _, function = _PLACES[name].partition(":")
    return getattr(import_module(module), function)
