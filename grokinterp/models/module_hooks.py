"""Places within a module of anyone's, by the names of its submodules, and hooks at them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from grokinterp.errors import ConfigError
from grokinterp.fields import shown

Handler = Callable[[Any], Any]
"""Takes the value at a place; returns a value to replace it, or None to leave it."""
_MOST_NEAR = 6


@dataclass(frozen=True)
class Place:
    """The output of a submodule, or its first input."""

    path: str
    """Name of the submodule, as in ``named_modules``."""
    is_input: bool = False
    """Whether it is what the submodule receives."""

    @classmethod
    def named(cls, name: str, module: nn.Module, part: str) -> Place:
        """Find a place by its name, such as ``mlp.act`` or ``linear2:input``.

        Raises
        ------
        ConfigError
            If there is no such submodule, with similar names.

        Examples
        --------
        >>> from torch import nn
        >>> Place.named("0:input", nn.Sequential(nn.Linear(2, 3)), "neurons")
        Place(path='0', is_input=True)
        """
        path, _, side = name.partition(":")
        if side not in ("", "input", "output"):
            raise ConfigError(
                f"{part}={shown(name)} ends in {shown(':' + side)}. Write the name of a submodule "
                "for its output, or add ':input'."
            )
        is_script = isinstance(module, torch.jit.ScriptModule)
        if is_script and path in dict(module.named_modules()):
            raise ConfigError(
                f"{part}={shown(name)} is within TorchScript, which calls no hooks. Pass the "
                f"module from before torch.jit, or leave {part} out."
            )
        if not path or not _has(module, path):
            names = [name for name, _ in module.named_modules(remove_duplicate=False) if name]
            near = difflib.get_close_matches(path, names, _MOST_NEAR, 0.4)
            ends = [n for n in names if path and n.rpartition(".")[2] == path.rpartition(".")[2]]
            choices = list(dict.fromkeys([*ends, *near]))[:_MOST_NEAR] or names[:_MOST_NEAR]
            listed = ", ".join(choices) or "none; it has no submodules"
            raise ConfigError(
                f"{part}={shown(name)} is not a submodule of {type(module).__name__}. "
                f"Similar names: {listed}."
            )
        return cls(path, side == "input")

    def __str__(self) -> str:
        """Return the name as it is written in ``gi.Parts``."""
        return f"{self.path}:input" if self.is_input else self.path


@contextmanager
def hooked(module: nn.Module, handlers: Iterable[tuple[Place, Handler]]) -> Iterator[None]:
    """Put handlers at places while the body runs; they are gone afterwards, whatever happens."""
    with ExitStack() as stack:
        for place, handler in handlers:
            submodule = module.get_submodule(place.path)
            hook = _before(handler) if place.is_input else None
            handle = (
                submodule.register_forward_hook(_after(handler))
                if hook is None
                else submodule.register_forward_pre_hook(hook, with_kwargs=True)
            )
            stack.callback(handle.remove)
        yield


def keep_in(calls: list[Any], choose: Callable[[Any], Tensor]) -> Handler:
    """Return a handler that keeps a tensor of everything that passes, call by call, on the CPU.

    A copy: what follows may write into what passes, as ``nn.ReLU(inplace=True)`` does.
    """

    def handler(value: Any) -> None:
        calls.append(choose(value).detach().to("cpu", copy=True))

    return handler


def replace_at(call: int, change: Callable[[Tensor], Tensor], place: Place) -> Handler:
    """Return a handler that changes the tensor of one call and leaves those of others."""
    n_calls = 0

    def handler(value: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        if n_calls - 1 != call:
            return None
        new = change(tensor_in(value, place))
        # Such as (output, state) of an LSTM, of which the output is changed.
        return new if isinstance(value, Tensor) else type(value)((new, *value[1:]))

    return handler


def tensor_in(value: Any, place: Place) -> Tensor:
    """Return the tensor that passes a place, or the first of several.

    Raises
    ------
    ConfigError
        If something else passes.
    """
    first = value[0] if type(value) in (tuple, list) and value else value
    if not isinstance(first, Tensor) or not first.is_floating_point():
        what = "receives" if place.is_input else "returns"
        kind = f"a tensor of {first.dtype}" if isinstance(first, Tensor) else type(first).__name__
        raise ConfigError(
            f"submodule {place.path} {what} {kind}, not a tensor of floats. Name another submodule."
        )
    return first


def _has(module: nn.Module, path: str) -> bool:
    """Whether there is a submodule, under its name or, in TransformerLens, under another one."""
    try:
        module.get_submodule(path)
    # Whatever a property of that name raises.
    except Exception:
        return False
    return True


def _after(handler: Handler) -> Callable[..., Any]:
    return lambda module, arguments, output: handler(output)


def _before(handler: Handler) -> Callable[..., Any]:
    def hook(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if arguments:
            new = handler(arguments[0])
            return None if new is None else ((new, *arguments[1:]), named)
        name = next(iter(named), None)
        if name is None:
            return None
        new = handler(named[name])
        return None if new is None else (arguments, {**named, name: new})

    return hook
