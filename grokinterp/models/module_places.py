"""Where the parts of a module are: the submodules that are named, each found and verified."""

from __future__ import annotations

from dataclasses import fields, replace

from torch import nn

from grokinterp.models.module_faults import (
    fault_of_coordinates,
    fault_of_neurons,
    fault_of_operands,
    is_readout,
    require_own_rows,
)
from grokinterp.models.module_forward import ModuleForward, inputs_in_words
from grokinterp.models.module_hooks import Place
from grokinterp.models.module_neurons import find_neurons, find_pattern, is_activation
from grokinterp.models.module_operands import find_operands
from grokinterp.models.module_parts import ModuleParts, PartPlaces
from grokinterp.models.module_spec import ModuleSpec, Parts
from grokinterp.models.network_parts import PartName


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
    require_own_rows(network)
    if operands is not None:
        faults = fault_of_operands(network)
        missing = missing | (faults or fault_of_coordinates(network))
    if neurons is not None:
        missing = missing | fault_of_neurons(network)
    readout = None
    if named["readout"] and "readout" not in missing and is_readout(network, *named["readout"]):
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
