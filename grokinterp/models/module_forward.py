"""Running a module of anyone's on pairs of tokens, without changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from grokinterp.errors import ConfigError, GrokinterpError, ShapeError, one_line
from grokinterp.fields import shown
from grokinterp.models.module_hooks import Handler, Place, hooked
from grokinterp.portions import Joined

Inputs = str | Callable[[Tensor], Any]
"""A format of the input, or a function from (n, 2) pairs to what the module takes."""
INPUT_FORMATS = ("a b =", "a b")
ROWS_AT_A_TIME = 4096
_COMPILED = "_orig_mod"
"""What torch.compile calls the module that it wraps."""

Handlers = Callable[[slice], Iterable[tuple[Place, Handler]]]
"""Makes the handlers for some of the rows that are run."""


@dataclass(frozen=True, eq=False)
class ModuleForward:
    """A module with the way from pairs to its logits."""

    module: nn.Module
    """The network; eval mode while it runs, as it was afterwards."""
    inputs: Inputs
    """What it takes."""
    pairs: Int[Tensor, "pair 2"]
    """Tokens a and b of every pair of the task."""
    n_tokens: int
    """Tokens that may stand as a or b; ``=`` is the next."""
    n_answers: int
    """Answers, which are the first outputs."""

    def logits(
        self,
        pairs: Int[Tensor, "row 2"] | None = None,
        handlers: Handlers | None = None,
        *,
        needs_gradient: bool = False,
    ) -> Float[Tensor, "row c"]:
        """Run the module on pairs (None: all), some thousand at a time.

        Returns
        -------
        Tensor
            float32 on the CPU.

        Raises
        ------
        ConfigError
            If the module or the function that makes its inputs raises.
        ShapeError
            If it gives another number of rows, or outputs of the wrong width.
        """
        pairs = self.pairs if pairs is None else pairs
        if not len(pairs):
            return torch.zeros(0, self.n_answers)
        logits = Joined(len(pairs))
        with undisturbed(self.module, needs_gradient=needs_gradient):
            for start in range(0, len(pairs), ROWS_AT_A_TIME):
                rows = slice(start, min(start + ROWS_AT_A_TIME, len(pairs)))
                with hooked(self.module, handlers(rows) if handlers else ()):
                    logits.add(self._run(pairs[rows]))
        return logits.rows

    def n_outputs(self) -> int:
        """Return how many outputs the module has: as many as answers, or one more."""
        with undisturbed(self.module):
            return self._outputs(self.pairs[:1]).shape[1]

    def _run(self, pairs: Int[Tensor, "row 2"]) -> Float[Tensor, "row c"]:
        outputs = self._outputs(pairs)
        return answers_of(outputs, self.n_answers, "outputs of the module").float().cpu()

    def logits_with(
        self, weights: Mapping[str, Tensor], pairs: Int[Tensor, "row 2"]
    ) -> Float[Tensor, "row c"]:
        """Logits with other values of some parameters, by name; differentiable in them.

        The caller holds the module in eval mode (:func:`undisturbed`).
        """
        outputs = self._outputs(pairs, weights)
        return answers_of(outputs, self.n_answers, "outputs of the module")

    def _outputs(
        self, pairs: Int[Tensor, "row 2"], weights: Mapping[str, Tensor] | None = None
    ) -> Float[Tensor, "row output"]:
        arguments, named = self._arguments(pairs)
        try:
            if weights is None:
                output = self.module(*arguments, **named)
            else:
                output = functional_call(self.module, dict(weights), arguments, named)
        except GrokinterpError:
            raise
        except Exception as error:
            given = self._in_words((*arguments, *named.values()))
            raise ConfigError(
                f"the module {_raises(error)}. It was called with {given}. Pass the inputs and the "
                "task that it was trained with."
            ) from error
        logits = _logits_in(output)
        shape = tuple(logits.shape)
        if logits.ndim == 3:
            logits = logits[:, -1]
        if logits.ndim != 2 or len(logits) != len(pairs):
            raise ShapeError(
                f"the module returns the shape {shape} for {len(pairs):,} pairs. It must be "
                "(pairs, answers), or (pairs, positions, answers), whose last position is read."
            )
        return logits

    def _arguments(self, pairs: Int[Tensor, "row 2"]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """What the module is called with, on its own device."""
        moved = _moved(self.inputs_of(pairs), self.device)
        if isinstance(moved, dict):
            return (), moved
        return (tuple(moved) if isinstance(moved, (tuple, list)) else (moved,)), {}

    def _in_words(self, given: tuple[Any, ...]) -> str:
        """Say what the module was called with, since most of its errors come from wrong inputs."""
        if isinstance(self.inputs, str):
            tokens = f"tokens 0 to {self.n_tokens - 1}"
            if self.inputs == "a b":
                return f"{tokens} of shape (pairs, 2), the inputs 'a b'"
            return f"{tokens} and {self.n_tokens} for =, of shape (pairs, 3), the inputs 'a b ='"
        return one_line(", ".join(map(_kind_of, given)), 200) or "nothing"

    @property
    def device(self) -> torch.device:
        """Where the module is: the device of its first parameter or buffer."""
        return next((t.device for t in _tensors_of(self.module)), torch.device("cpu"))

    def inputs_of(self, pairs: Int[Tensor, "row 2"]) -> Any:
        """Return what some pairs are given as: a tensor, a tuple or a dictionary of them.

        Raises
        ------
        ConfigError
            If the function that makes it raises.
        """
        if isinstance(self.inputs, str):
            if self.inputs == "a b":
                return pairs.clone()
            return torch.cat([pairs, torch.full_like(pairs[:, :1], self.n_tokens)], dim=1)
        try:
            return self.inputs(pairs.clone())
        except Exception as error:
            raise ConfigError(
                f"inputs={_function_name(self.inputs)} {_raises(error)}. It must turn a "
                "(pairs, 2) tensor of tokens into the input of the module."
            ) from error


def answers_of(outputs: Float[Tensor, "row output"], n_answers: int, what: str) -> Tensor:
    """Return the columns of the answers, of which there may be one too many.

    Raises
    ------
    ShapeError
        If there are neither as many columns as answers nor one more.
    """
    width = outputs.shape[1]
    if width not in (n_answers, n_answers + 1):
        raise ShapeError(
            f"{what} have {width:,} columns; the task has {n_answers:,} answers. Give a column "
            "for each answer; one more is dropped."
        )
    return outputs[:, :n_answers]


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the module within ``torch.compile`` and within wrappers for several devices."""
    while True:
        inner = dict(module.named_children()).get(_COMPILED)
        if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = module.module
        if inner is None:
            return module
        module = inner


@contextmanager
def undisturbed(module: nn.Module, *, needs_gradient: bool = False) -> Iterator[None]:
    """Run the body with a module in eval mode, and leave everything as it was.

    Training flags of every submodule, buffers, and the state of the random generators are put
    back. Compiled parts run as they were written, and torch's fused encoder, which passes
    submodules by, is off: both would not call hooks.
    """
    modes = [(part, part.training) for part in module.modules()]
    buffers = [(part, _kept_buffers(part)) for part in module.modules() if part._buffers]
    devices = sorted({t.device.index for t in _tensors_of(module) if t.device.type == "cuda"})
    fused = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.callback(_put_back, modes, buffers)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fused)
        stack.enter_context(torch.random.fork_rng(devices=devices))
        if any(_is_compiled(part) for part in module.modules()):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.set_grad_enabled(needs_gradient))
        if needs_gradient and devices:
            # cuDNN goes backward through a recurrent network in training mode alone.
            stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        torch.backends.mha.set_fastpath_enabled(False)
        # Not module.eval(): a train() of its own may merge or freeze weights.
        for part, _ in modes:
            part.training = False
        # A module that draws numbers draws the same ones every time.
        torch.default_generator.manual_seed(0)
        yield


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return parameters by name, each once, float32 on the CPU; buffers are no weights."""
    return {
        name: value.detach().float().cpu()
        for name, value in module.named_parameters()
        if value.is_floating_point() and not _is_within_another(value, module)
    }


def _is_within_another(value: Tensor, module: nn.Module) -> bool:
    """Whether a parameter lies in the memory of a larger one, as tied embeddings may."""
    first, last = _memory(value)
    others = [o for o in module.parameters() if o is not value and o.numel() > value.numel()]
    return any(start <= first and last <= end for start, end in map(_memory, others))


def _memory(value: Tensor) -> tuple[int, int]:
    """Address of the first number of a tensor and of its last."""
    strides = zip(value.shape, value.stride(), strict=True)
    n_apart = sum((size - 1) * stride for size, stride in strides)
    return value.data_ptr(), value.data_ptr() + n_apart * value.element_size()


def check_inputs(inputs: Any) -> None:
    """Refuse what is neither a format of the input nor a function.

    Raises
    ------
    ConfigError
        With the formats.
    """
    is_function = callable(inputs) and not isinstance(inputs, nn.Module)
    if not is_function and inputs not in INPUT_FORMATS:
        formats = " or ".join(f"'{known}'" for known in INPUT_FORMATS)
        raise ConfigError(
            f"inputs={shown(inputs)} is not known. Write {formats}, or pass a function from a "
            "(pairs, 2) tensor of tokens to the input of the module."
        )


def inputs_in_words(inputs: Inputs) -> str:
    """Return ``a b =``, or ``function one_hot``."""
    return inputs if isinstance(inputs, str) else f"function {_function_name(inputs)}"


def _function_name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _raises(error: Exception) -> str:
    text = one_line(str(error), 300).rstrip(".")
    return f"raises {type(error).__name__}" + (f": {text}" if text else "")


def _kind_of(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"


def _logits_in(output: Any) -> Tensor:
    """Take the logits out of what a module returns."""
    found = output
    if isinstance(output, Mapping) and "logits" in output:
        found = output["logits"]
    elif isinstance(output, (tuple, list)) and output and not hasattr(output, "logits"):
        found = output[0]
    elif not isinstance(output, Tensor):
        found = getattr(output, "logits", output)
    if not isinstance(found, Tensor) or not found.is_floating_point():
        kind = f"a tensor of {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
        raise ShapeError(
            f"the module returns {kind}, not logits. It must return a tensor of floats, a tuple "
            "that begins with one, or an object with logits."
        )
    return with_values(found, "the module returns a tensor")


def with_values(tensor: Tensor, what: str) -> Tensor:
    """Return a tensor as a dense one, and refuse one that holds no values.

    Raises
    ------
    ShapeError
        If it is on the device meta, which has shapes but no values.
    """
    if tensor.is_meta:
        raise ShapeError(
            f"{what} on the device meta, which has shapes but no values. Load the weights first."
        )
    return tensor if tensor.layout is torch.strided else tensor.to_dense()


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {name: _moved(item, device) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(_moved(item, device) for item in value)
    return value


def _tensors_of(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _is_compiled(module: nn.Module) -> bool:
    is_wrapper = any(name == _COMPILED for name, _ in module.named_children())
    return is_wrapper or module._compiled_call_impl is not None


def _kept_buffers(module: nn.Module) -> dict[str, tuple[Tensor | None, Tensor | None]]:
    return {
        name: (buffer, None if buffer is None else buffer.detach().clone())
        for name, buffer in module._buffers.items()
    }


def _put_back(
    modes: list[tuple[nn.Module, bool]],
    buffers: list[tuple[nn.Module, dict[str, tuple[Tensor | None, Tensor | None]]]],
) -> None:
    for part, mode in modes:
        part.training = mode
    for part, kept in buffers:
        if not isinstance(part, torch.jit.ScriptModule):
            # A forward pass may have put other tensors in their place, or added some.
            for name in set(part._buffers) - set(kept):
                del part._buffers[name]
            part._buffers.update({name: buffer for name, (buffer, _) in kept.items()})
        for buffer, before in kept.values():
            # Written to only where it has changed: the write would spoil a graph of the user's.
            if buffer is not None and before is not None and not torch.equal(buffer, before):
                with torch.no_grad():
                    buffer.copy_(before)
