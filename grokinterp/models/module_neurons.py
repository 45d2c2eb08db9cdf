"""The neurons of a module of anyone's, their readout, and its attention pattern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from grokinterp.errors import ConfigError
from grokinterp.models.module_forward import ROWS_AT_A_TIME, ModuleForward, undisturbed
from grokinterp.models.module_hooks import Handler, Place, keep_in, replace_at, tensor_in
from grokinterp.models.module_operands import NOT_CALLED, is_close, passing, rounding

AFFINE_ERROR = 1e-4
"""How far logits may be from those of a linear readout, relative to the largest: float32."""
_N_CHECKED = 64


@dataclass(frozen=True)
class NeuronPlace:
    """Where the neurons are: in the last call of a place, at its last position."""

    place: Place
    n_calls: int
    rows_axis: int
    has_positions: bool

    def rows(self, value: Tensor) -> Float[Tensor, "row neuron"]:
        """Take the neurons of every row out of what passes the place."""
        value = value.transpose(0, self.rows_axis)
        return value[:, -1] if self.has_positions else value

    def handler(self, neurons: Float[Tensor, "row neuron"]) -> tuple[Place, Handler]:
        """Return the hook that puts other neurons in place of those of some rows."""

        def change(value: Tensor) -> Tensor:
            given = neurons.to(device=value.device, dtype=value.dtype)
            if not self.has_positions:
                # A copy, into which whatever follows may write.
                return given.clone()
            new = value.clone()
            new.transpose(0, self.rows_axis)[:, -1] = given
            return new

        return self.place, replace_at(self.n_calls - 1, change, self.place)


def find_neurons(forward: ModuleForward, place: Place) -> NeuronPlace:
    """Find the neurons in what passes a place.

    Raises
    ------
    ConfigError
        If it is not passed, or what passes it has no row for every pair.
    """
    pairs = forward.pairs[:ROWS_AT_A_TIME]
    (calls,) = passing(forward, pairs, (place,), 0)
    if not calls:
        raise ConfigError(f"neurons={place} {NOT_CALLED}")
    shape = tuple(calls[-1].shape)
    for axis in (0, 1):
        if 2 + axis <= len(shape) <= 3 and shape[axis] == len(pairs):
            return NeuronPlace(place, len(calls), axis, len(shape) == 3)
    raise ConfigError(
        f"neurons={place} has the shape {shape} for {len(pairs):,} pairs, which cannot be neurons "
        "of every pair. It must be (pairs, neurons), or (pairs, positions, neurons), of which the "
        "last position is read."
    )


def is_activation(forward: ModuleForward, place: NeuronPlace) -> bool:
    """Whether a place is the output of an activation, so that its input is the pre-activations.

    An activation gives each number as a function of that number alone.
    """
    if place.place.is_input:
        return False
    before = Place(place.place.path, is_input=True)
    pairs = forward.pairs[:_N_CHECKED]
    try:
        received, given = passing(forward, pairs, (before, place.place), 0)
    except ConfigError:
        return False
    if len(received) != len(given) or received[-1].shape != given[-1].shape:
        return False
    x = received[-1]
    other = x.clone()
    other[..., 0] += 1
    submodule, device = forward.module.get_submodule(place.place.path), forward.device
    with undisturbed(forward.module):
        try:
            # Copies, since an activation may write into what it receives.
            y, changed = (submodule(each.to(device, copy=True)) for each in (x, other))
        except Exception:
            return False
    is_alone = torch.equal(y[..., 1:], changed[..., 1:])
    return is_alone and not torch.equal(y.cpu(), x)


def measured_readout(
    logits_from: Callable[[Tensor, Tensor], Tensor],
    neurons: Float[Tensor, "pair neuron"],
) -> Float[Tensor, "neuron c"]:
    """Return W_L, one neuron at a time: what a unit of it adds to the logits of the first pair.

    Parameters
    ----------
    logits_from
        The way back: logits of rows with other neurons.
    neurons
        The network's own neurons, whose size is that of the change.
    """
    n = neurons.shape[1]
    size = float(neurons.abs().amax()) or 1.0
    changed = torch.cat([torch.zeros(1, n), size * torch.eye(n)])
    logits = logits_from(changed, torch.zeros(n + 1, dtype=torch.long)).double()
    return (logits[1:] - logits[0]) / size


def error_of_readout(
    logits_from: Callable[[Tensor, Tensor], Tensor],
    neurons: Float[Tensor, "pair neuron"],
    logits: Float[Tensor, "pair c"],
    W_L: Float[Tensor, "neuron c"],
) -> float:
    """Return how far logits of changed neurons are from what W_L makes of the change.

    Relative to the largest logit, on random pairs with random changes of the size of the
    neurons.
    """
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(len(neurons), (_N_CHECKED,), generator=generator)
    size = float(neurons.std()) or 1.0
    change = size * torch.randn(_N_CHECKED, neurons.shape[1], generator=generator)
    found = logits_from(neurons[rows] + change, rows).double()
    expected = logits[rows].double() + change.double() @ W_L
    largest = max(float(expected.abs().amax()), float(logits.abs().amax()))
    return float((found - expected).abs().amax()) / largest if largest > 0 else 0.0


def fed_readout(
    forward: ModuleForward, path: str, neurons: NeuronPlace
) -> Float[Tensor, "neuron c"] | None:
    """Return the weight of a linear layer that is fed by the neurons and nothing else.

    None if it is another kind of layer, is not called, or is fed by something else.
    """
    layer = forward.module.get_submodule(path)
    place, pairs = Place(path, is_input=True), forward.pairs[:_N_CHECKED]
    received, values = passing(forward, pairs, (place, neurons.place), 0)
    is_linear = isinstance(layer, nn.Linear)
    if not received or not is_linear or layer.out_features - forward.n_answers not in (0, 1):
        return None
    of_pairs, given = neurons.rows(values[-1]), received[-1]
    if given.ndim == 3:
        given = given.transpose(0, 0 if len(given) == len(pairs) else 1)[:, -1]
    if given.shape != of_pairs.shape or not is_close(given, of_pairs):
        return None
    return layer.weight.detach().cpu().double()[: forward.n_answers].T


def readout_tolerance(neurons: torch.dtype) -> float:
    """Return how far logits may be from those of a linear readout, in the module's precision."""
    return max(AFFINE_ERROR, rounding(neurons))


@dataclass(frozen=True)
class PatternPlace:
    """Where the attention pattern is."""

    place: Place
    is_averaged: bool
    """Whether (pairs, query, key) is the mean over heads, as ``nn.MultiheadAttention`` gives."""

    def choose(self, value: Any) -> Tensor:
        """Take the pattern out of what passes the place."""
        is_beside = type(value) in (tuple, list) and len(value) > 1
        if is_beside and value[1] is None:
            raise ConfigError(
                f"pattern={self.place} returns no attention weights: its caller does not ask for "
                "them, as in nn.TransformerEncoderLayer. Leave the pattern out."
            )
        return tensor_in(value[1] if is_beside else value, self.place)

    def rows(self, value: Tensor) -> Float[Tensor, "row head pos"]:
        """Take the last query's attention."""
        if value.ndim == 4:
            return value[:, :, -1].float()
        return (value[:, None, -1] if self.is_averaged else value).float()


def find_pattern(forward: ModuleForward, place: Place) -> PatternPlace:
    """Find the attention pattern in what passes a place.

    Raises
    ------
    ConfigError
        If it is not passed, or what passes it is no attention of every pair.
    """
    submodule = forward.module.get_submodule(place.path)
    found = PatternPlace(place, isinstance(submodule, nn.MultiheadAttention))
    pairs = forward.pairs[:_N_CHECKED]
    pattern = patterns(forward, found, pairs)
    if pattern is None:
        raise ConfigError(f"pattern={place} {NOT_CALLED}")
    shape = tuple(pattern.shape)
    if pattern.ndim not in (3, 4) or shape[0] != len(pairs) or bool((pattern < 0).any()):
        raise ConfigError(
            f"pattern={place} has the shape {shape} for {len(pairs):,} pairs"
            f"{' and negative entries' if bool((pattern < 0).any()) else ''}. It must be "
            "(pairs, head, query, key) or (pairs, head, key), after the softmax."
        )
    return found


def patterns(
    forward: ModuleForward, found: PatternPlace, pairs: Int[Tensor, "row 2"]
) -> Tensor | None:
    """Run the module and return what its last call gives as a pattern; None if there is none."""
    kept: list[list[Tensor]] = []

    def handlers(rows: slice) -> list[tuple[Place, Handler]]:
        calls: list[Tensor] = []
        kept.append(calls)

        return [(found.place, keep_in(calls, found.choose))]

    forward.logits(pairs, handlers)
    return torch.cat([calls[-1] for calls in kept]) if all(kept) else None
