"""The parts of any module, read through hooks at the submodules that its owner names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.errors import ConfigError
from grokinterp.models.module_forward import ModuleForward, weights_of
from grokinterp.models.module_hooks import Handler, Place, keep_in, tensor_in
from grokinterp.models.module_neurons import (
    NeuronPlace,
    PatternPlace,
    fed_readout,
    measured_readout,
)
from grokinterp.models.module_operands import OperandPlaces
from grokinterp.models.module_spec import ModuleSpec
from grokinterp.models.network_parts import NetworkParts, Operands, PartName, Readout


@dataclass(frozen=True, eq=False)
class PartPlaces:
    """Where the parts of one kind of module are, found once and used at every step."""

    spec: ModuleSpec
    operands: OperandPlaces | None = None
    neurons: NeuronPlace | None = None
    pattern: PatternPlace | None = None
    has_pre_activations: bool = False
    readout: str | None = None
    """Linear layer that reads the neurons and gives the logits."""
    missing: Mapping[PartName, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ModuleParts(NetworkParts):
    """A module and what it computes on all pairs, at the places that were named."""

    forward: ModuleForward
    """The module with the way from pairs to its logits."""
    places: PartPlaces
    """Where its parts are."""
    logits: Float[Tensor, "pair c"]
    """Logits of the answers."""
    kept: Mapping[PartName, Tensor]
    """Neurons, pre-activations and pattern of all pairs, as far as they are parts."""
    changed: Operands | None = None
    """Embeddings in place of the module's own; None for the module as it is."""

    @classmethod
    def of(
        cls, forward: ModuleForward, places: PartPlaces, changed: Operands | None = None
    ) -> ModuleParts:
        """Run the module once on all pairs.

        Raises
        ------
        ConfigError
            If it raises, or its parts are not at `places`.
        """
        found: dict[PartName, list[list[Tensor]]] = {}

        def handlers(rows: slice) -> list[tuple[Place, Handler]]:
            hooks = _of_changed(forward, places, changed, forward.pairs[rows])
            for part, place, choose in _kept_places(places):
                calls: list[Tensor] = []
                found.setdefault(part, []).append(calls)
                hooks.append((place, keep_in(calls, choose)))
            return hooks

        logits = forward.logits(handlers=handlers)
        kept: dict[PartName, Tensor] = {}
        for part, by_call in found.items():
            read = _reader(places, part)
            if not all(by_call):
                raise ConfigError(f"the submodule named for its {part} is not called.")
            kept[part] = torch.cat([read(calls[-1]).float() for calls in by_call])
        return cls(forward, places, logits, kept, changed)

    @property
    def in_words(self) -> str:
        """``LSTM of 12,345 parameters``."""
        return self.places.spec.in_words

    @property
    def missing(self) -> Mapping[PartName, str]:
        """Reason for each part that is missing."""
        return self.places.missing

    @cached_property
    def weights(self) -> Mapping[str, Tensor]:
        """Parameters by name, each once; buffers are none."""
        return weights_of(self.forward.module)

    @cached_property
    def operands(self) -> Operands:
        """Embeddings of a and b, verified on all pairs."""
        self.require("operands")
        assert self.places.operands is not None
        return self.changed or self.places.operands.tables(self.forward)

    @property
    def neurons(self) -> Float[Tensor, "pair neuron"]:
        """Activations at the place of the neurons."""
        self.require("neurons")
        return self.kept["neurons"]

    @property
    def pre_activations(self) -> Float[Tensor, "pair neuron"]:
        """Pre-activations of these neurons."""
        self.require("pre_activations")
        return self.kept["pre_activations"]

    @property
    def pattern(self) -> Float[Tensor, "pair head pos"]:
        """Attention at the place of the pattern."""
        self.require("pattern")
        return self.kept["pattern"]

    @cached_property
    def readout(self) -> Readout:
        """The linear map from neurons to logits: a layer's weight, or measured."""
        self.require("readout")
        assert self.places.neurons is not None
        if self.places.readout is not None:
            W_L = fed_readout(self.forward, self.places.readout, self.places.neurons)
            if W_L is not None:
                return Readout(W_L)
        return Readout(measured_readout(self.logits_from_neurons, self.neurons))

    def logits_from_operands(
        self, a: Float[Tensor, "row d"], b: Float[Tensor, "row e"], rows: Int[Tensor, " row"]
    ) -> Float[Tensor, "row c"]:
        """Logits of some pairs with other operands in place of theirs."""
        self.require("way_from_operands")
        return self.run_from_operands(a, b, rows)

    def run_from_operands(self, a: Tensor, b: Tensor, rows: Tensor) -> Tensor:
        """Run on from other operands, whether or not that is known to work."""
        found = self.places.operands
        assert found is not None
        needs_gradient = torch.is_grad_enabled() and (a.requires_grad or b.requires_grad)
        return self.forward.logits(
            self.forward.pairs[rows],
            lambda part: found.handlers(a[part], b[part]),
            needs_gradient=needs_gradient,
        )

    def with_operands(self, operands: Operands) -> ModuleParts:
        """Run the module on all pairs with other tables of a and b."""
        self.require("way_from_operands")
        return ModuleParts.of(self.forward, self.places, operands)

    def logits_from_neurons(
        self, neurons: Float[Tensor, "row neuron"], rows: Int[Tensor, " row"]
    ) -> Float[Tensor, "row c"]:
        """Logits of some pairs with other activations in place of their neurons."""
        self.require("way_from_neurons")
        return self.run_from_neurons(neurons, rows)

    def run_from_neurons(self, neurons: Tensor, rows: Tensor) -> Tensor:
        """Run on from other activations, whether or not that is known to work."""
        place, pairs = self.places.neurons, self.forward.pairs[rows]
        assert place is not None

        def handlers(part: slice) -> list[tuple[Place, Handler]]:
            of_operands = _of_changed(self.forward, self.places, self.changed, pairs[part])
            return [*of_operands, place.handler(neurons[part])]

        return self.forward.logits(pairs, handlers)


def _reader(places: PartPlaces, part: PartName) -> Callable[[Tensor], Tensor]:
    """What takes the rows of a part out of what passes its place."""
    found = places.pattern if part == "pattern" else places.neurons
    assert found is not None
    return found.rows


def _kept_places(places: PartPlaces) -> list[tuple[PartName, Place, Callable[[Any], Tensor]]]:
    kept: list[tuple[PartName, Place, Callable[[Any], Tensor]]] = []
    if places.neurons is not None:
        place = places.neurons.place
        kept.append(("neurons", place, lambda value: tensor_in(value, place)))
        if places.has_pre_activations:
            before = Place(place.path, is_input=True)
            kept.append(("pre_activations", before, lambda value: tensor_in(value, before)))
    if places.pattern is not None:
        kept.append(("pattern", places.pattern.place, places.pattern.choose))
    return kept


def _of_changed(
    forward: ModuleForward,
    places: PartPlaces,
    changed: Operands | None,
    pairs: Int[Tensor, "row 2"],
) -> list[tuple[Place, Handler]]:
    """Hooks that put other tables in place of the module's own."""
    if changed is None or places.operands is None:
        return []
    return places.operands.handlers(changed.a[pairs[:, 0]], changed.b[pairs[:, 1]])
