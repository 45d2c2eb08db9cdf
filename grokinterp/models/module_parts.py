"""The parts of any module, read through hooks at the submodules that its owner names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from grokinterp.errors import ConfigError
from grokinterp.models.module_forward import ModuleForward, inputs_in_words, weights_of
from grokinterp.models.module_hooks import Handler, Place, keep_in, tensor_in
from grokinterp.models.module_neurons import (
    NeuronPlace,
    PatternPlace,
    error_of_readout,
    fed_readout,
    find_neurons,
    find_pattern,
    is_activation,
    measured_readout,
    readout_tolerance,
)
from grokinterp.models.module_operands import OperandPlaces, find_operands, rounding
from grokinterp.models.module_spec import ModuleSpec, Parts
from grokinterp.models.network_parts import NetworkParts, Operands, PartName, Readout

_N_CHECKED = 16


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
        """Logits of some pairs with other operands in the place of theirs."""
        self.require("way_from_operands")
        return self._from_operands(a, b, rows)

    def _from_operands(self, a: Tensor, b: Tensor, rows: Tensor) -> Tensor:
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
        """Logits of some pairs with other activations in the place of their neurons."""
        self.require("way_from_neurons")
        return self._from_neurons(neurons, rows)

    def _from_neurons(self, neurons: Tensor, rows: Tensor) -> Tensor:
        place, pairs = self.places.neurons, self.forward.pairs[rows]
        assert place is not None

        def handlers(part: slice) -> list[tuple[Place, Handler]]:
            of_operands = _of_changed(self.forward, self.places, self.changed, pairs[part])
            return [*of_operands, place.handler(neurons[part])]

        return self.forward.logits(pairs, handlers)


def named_places(module: nn.Module, parts: Parts) -> dict[str, tuple[Place, ...]]:
    """Return the places that are named, by the field of `parts`; none where it is None.

    Raises
    ------
    ConfigError
        If a name is not a submodule.
    """
    given = {part.name: getattr(parts, part.name) or () for part in fields(parts)}
    return {
        part: tuple(
            Place.named(name, module, part)
            for name in (names if isinstance(names, tuple) else (names,))
        )
        for part, names in given.items()
    }


def find_places(forward: ModuleForward, parts: Parts) -> PartPlaces:
    """Find the named parts of a module by what it does on all pairs.

    Raises
    ------
    ConfigError
        If a name is not a submodule, its activations cannot be such a part, or the logits of a pair
        depend on which other pairs are run beside it.
    """
    spec, named = spec_of(forward, parts), named_places(forward.module, parts)
    operands = find_operands(forward, named["operands"]) if named["operands"] else None
    neurons = find_neurons(forward, *named["neurons"]) if named["neurons"] else None
    pattern = find_pattern(forward, *named["pattern"]) if named["pattern"] else None
    has_pre = neurons is not None and is_activation(forward, neurons)
    missing = _not_named(spec, parts)
    if has_pre:
        del missing["pre_activations"]
    found = PartPlaces(spec, operands, neurons, pattern, has_pre, missing=missing)
    network = ModuleParts.of(forward, found)
    _require_own_rows(network)
    if operands is not None:
        faults = _fault_of_operands(network)
        missing = missing | (faults or _fault_of_coordinates(network))
    if neurons is not None:
        missing = missing | _fault_of_neurons(network)
    readout = None
    if named["readout"] and "readout" not in missing and _is_readout(network, *named["readout"]):
        readout = named["readout"][0].path
    return replace(found, missing=missing, readout=readout)


def spec_of(forward: ModuleForward, parts: Parts) -> ModuleSpec:
    """Return what is known of a module."""
    return ModuleSpec(
        class_name=type(forward.module).__name__,
        n_parameters=sum(p.numel() for p in forward.module.parameters()),
        inputs=inputs_in_words(forward.inputs),
        operands=parts.operands,
        neurons=parts.neurons,
        readout=parts.readout,
        pattern=parts.pattern,
    )


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
    """Hooks that put other tables in the place of the module's own."""
    if changed is None or places.operands is None:
        return []
    return places.operands.handlers(changed.a[pairs[:, 0]], changed.b[pairs[:, 1]])


def _not_named(spec: ModuleSpec, parts: Parts) -> dict[PartName, str]:
    def reason(what: str, argument: str) -> str:
        return (
            f"no submodule was named for the {what} of {spec.class_name}: gi.Parts({argument}=...)"
        )

    missing: dict[PartName, str] = {
        "blocks": f"the residual stream and heads of a module ({spec.class_name}) are not read",
        "pre_activations": reason("neurons", "neurons")
        if parts.neurons is None
        else f"{parts.neurons} is not the output of an activation, so its input is not the "
        "pre-activation",
    }
    if parts.operands is None:
        of_operands: tuple[PartName, ...] = ("operands", "same_coordinates", "way_from_operands")
        missing |= dict.fromkeys(of_operands, reason("operands", "operands"))
    if parts.neurons is None:
        of_neurons: tuple[PartName, ...] = ("neurons", "readout", "way_from_neurons")
        missing |= dict.fromkeys(of_neurons, reason("neurons", "neurons"))
    if parts.pattern is None:
        missing["pattern"] = reason("attention pattern", "pattern")
    return missing


def _checked_rows(network: ModuleParts) -> Int[Tensor, " row"]:
    # Of few pairs some are left out: logits that depend on the others would not show.
    n_pairs = len(network.logits)
    return torch.linspace(0, n_pairs - 1, min(_N_CHECKED, (n_pairs + 1) // 2)).long().unique()


def _precision(network: ModuleParts) -> torch.dtype:
    """Dtype that the module computes in, as its parameters have it."""
    floats = (p.dtype for p in network.forward.module.parameters() if p.is_floating_point())
    return next(floats, torch.float32)


def _is_same(network: ModuleParts, found: Tensor, rows: Tensor) -> bool:
    """Whether logits are the network's own, up to the rounding of other sums."""
    size = float(network.logits.abs().amax())
    error = float((found - network.logits[rows]).abs().amax())
    return error <= max(1e-3, 4 * rounding(_precision(network))) * size


def _require_own_rows(network: ModuleParts) -> None:
    rows = _checked_rows(network)
    if not _is_same(network, network.forward.logits(network.forward.pairs[rows]), rows):
        raise ConfigError(
            f"logits of {network.in_words} depend on which pairs are in the same batch, as with "
            "batch norm without running statistics. Compute the logits yourself and use "
            "gi.Run.from_logits."
        )


def _fault_of_operands(network: ModuleParts) -> dict[PartName, str]:
    """Return why there is no way back from the operands, if there is none."""
    rows, tables = _checked_rows(network), network.operands
    widths = tables.a.shape[1], tables.b.shape[1]
    if widths[0] != widths[1]:
        reason = f"a and b have tables of {widths[0]} and {widths[1]} columns"
        return {
            "way_from_operands": f"{reason}, so changes in one cannot be compared with the other"
        }
    pairs = network.forward.pairs[rows]
    a, b = tables.a[pairs[:, 0]].clone(), tables.b[pairs[:, 1]].clone()
    if not _is_same(network, network._from_operands(a, b, rows), rows):
        what = "replacing the operands with themselves changes the logits"
        return {"way_from_operands": f"{what} in {network.in_words}"}
    if not _is_same(network, network._from_operands(a.flip(0), b.flip(0), rows), rows.flip(0)):
        what = (
            "its logits also depend on a and b by another path: operands of another pair do not "
            "give the logits of that pair"
        )
        return {"way_from_operands": f"{what} in {network.in_words}"}
    with torch.enable_grad():
        logits = network._from_operands(a.requires_grad_(), b.requires_grad_(), rows)
        if logits.requires_grad:
            try:
                found = torch.autograd.grad(logits.sum(), [a, b], allow_unused=True)
            # Such as an operation in place that overwrites what the way back needs.
            except RuntimeError:
                found = (None,)
            if all(gradient is not None for gradient in found):
                return {}
    return {
        "way_from_operands": f"the logits of {network.in_words} have no gradient with respect to "
        "its operands"
    }


def _fault_of_coordinates(network: ModuleParts) -> dict[PartName, str]:
    """Return why directions in the tables of a and of b cannot be compared, if they cannot."""
    places, tables = network.places.operands, network.operands
    assert places is not None
    is_one_place = places.kind == "slots" and places.a.place == places.b.place
    if tables.is_shared or is_one_place or places.kind == "sum":
        return {}
    rows = _checked_rows(network)
    pairs = network.forward.pairs[rows]
    a, b = tables.a[pairs[:, 0]], tables.b[pairs[:, 1]]
    generator = torch.Generator().manual_seed(0)
    change = torch.randn(a.shape, generator=generator) * a.std()
    of_a = network._from_operands(a + change, b, rows)
    of_b = network._from_operands(a, b + change, rows)
    # What is summed behind the tables is changed alike by either; a hundredth is rounding.
    effect = (of_a - network.logits[rows]).abs().amax()
    if (of_a - of_b).abs().amax() <= 0.01 * effect:
        return {}
    return {
        "same_coordinates": f"{network.in_words} has two embeddings that are not summed, so it is "
        "not known whether a and b are read in the same coordinates"
    }


def _fault_of_neurons(network: ModuleParts) -> dict[PartName, str]:
    """Return why there is no way back from the neurons, or no readout, if there is none."""
    rows = _checked_rows(network)
    own = network.neurons[rows]
    if not _is_same(network, network._from_neurons(own, rows), rows):
        reason = f"replacing the neurons with themselves changes the logits in {network.in_words}"
        return {"way_from_neurons": reason, "readout": reason}
    size = float(own.abs().amax()) or 1.0
    if torch.equal(network._from_neurons(own + size, rows), network._from_neurons(own, rows)):
        reason = f"changing {network.places.spec.neurons} does not change the logits"
        return {"way_from_neurons": reason, "readout": reason}
    W_L = measured_readout(network._from_neurons, network.neurons)
    error = error_of_readout(network._from_neurons, network.neurons, network.logits, W_L)
    if error > readout_tolerance(_precision(network)):
        what = f"the map from the neurons of {network.in_words} to its logits"
        return {"readout": f"{what} is not linear"}
    return {}


def _is_readout(network: ModuleParts, readout: Place) -> bool:
    """Whether the named layer is fed by the neurons and is W_L.

    Raises
    ------
    ConfigError
        If it is fed by the neurons and is another map than that from neurons to logits.
    """
    assert network.places.neurons is not None
    weight = fed_readout(network.forward, readout.path, network.places.neurons)
    if weight is None:
        return False
    measured = measured_readout(network._from_neurons, network.neurons)
    # Of logits, which are what a measured map can be wrong about.
    error = float((weight - measured).abs().amax()) * float(network.neurons.abs().amax())
    limit = readout_tolerance(_precision(network)) * float(network.logits.abs().amax())
    if error > limit:
        raise ConfigError(
            f"readout={readout} has another weight than the map from neurons to logits, so "
            "something follows it. Leave readout out: the map is measured."
        )
    return True
