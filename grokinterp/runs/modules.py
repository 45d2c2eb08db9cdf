"""Runs of any PyTorch modules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from grokinterp.errors import CheckpointError, ConfigError, GrokinterpError, ShapeError
from grokinterp.fields import shown
from grokinterp.models.module_forward import (
    Inputs,
    ModuleForward,
    check_inputs,
    inputs_in_words,
    unwrapped,
)
from grokinterp.models.module_parts import ModuleParts, PartPlaces
from grokinterp.models.module_places import find_places, named_places, spec_of
from grokinterp.models.module_spec import Parts
from grokinterp.models.network_parts import PARTS, PartName
from grokinterp.runs.config import ImportedConfig
from grokinterp.runs.given import by_step, given_curves, split_of
from grokinterp.runs.importers.assembly import DRAW_FIELDS, SPLIT_FIELDS, plural
from grokinterp.runs.logits import require_finite
from grokinterp.runs.memory import refuse_shared_memory
from grokinterp.runs.record import ForeignNetworks, ImportedRun, digest_of
from grokinterp.tasks import TaskSpec

_N_DIGESTED = 64


@dataclass(frozen=True, eq=False)
class ModulesInMemory(ForeignNetworks):
    """Checkpoints kept as a dictionary of modules by step."""

    by_step: Mapping[int, ModuleForward]
    """Each module with the way from pairs to its logits."""
    places: PartPlaces
    """Where their parts are."""

    @property
    def missing(self) -> Mapping[PartName, str]:
        """Reason for each part that is missing."""
        return self.places.missing

    @property
    def steps(self) -> tuple[int, ...]:
        """Steps that have a module, ascending."""
        return tuple(sorted(self.by_step))

    def parameters(self, step: int) -> dict[str, Tensor]:
        """State dict of a module, on the CPU."""
        state = self.by_step[step].module.state_dict()
        return {n: v.detach().cpu() for n, v in state.items() if isinstance(v, Tensor)}

    def checksum(self, step: int) -> str:
        """SHA-256 over the state dict and some logits: other code is another network."""
        forward = self.by_step[step]
        every = max(1, len(forward.pairs) // _N_DIGESTED)
        logits = _at_step(step, lambda: forward.logits(forward.pairs[::every]))
        return digest_of({**self.parameters(step), "some logits": logits})

    def network(self, step: int) -> ModuleParts:
        """Run the module of a step on all pairs.

        Raises
        ------
        CheckpointError
            If it raises, a logit is not finite, or its parts are not where they were found.
        """
        forward, places = self.by_step[step], self.places

        def run() -> ModuleParts:
            network = ModuleParts.of(forward, places)
            require_finite(network.logits, step)
            if "operands" not in network.missing:
                # Read here, so that a step whose parts lie elsewhere is left out by name.
                assert network.operands is not None
            return network

        return _at_step(step, run)

    def logits(self, step: int, rows: Int[Tensor, " row"] | None = None) -> Float[Tensor, "row c"]:
        """Logits of a step on some pairs (None: all)."""
        forward = self.by_step[step]
        pairs = forward.pairs if rows is None else forward.pairs[rows]
        logits = _at_step(step, lambda: forward.logits(pairs))
        require_finite(logits, step)
        return logits

    def model(self, step: int) -> nn.Module:
        """Return the module itself."""
        return self.by_step[step].module


def run_from_modules(
    modules: Mapping[int, Any],
    task: TaskSpec,
    inputs: Inputs,
    parts: Parts,
    train_pairs: Any,
    curves: pd.DataFrame | None,
) -> ImportedRun:
    """Read modules in memory; see :meth:`grokinterp.runs.run.Run.from_modules`."""
    check_inputs(inputs)
    split = split_of(task, train_pairs)
    networks = {s: _module(m, s) for s, m in by_step("modules", "module", modules).items()}
    _refuse_aliases(networks)
    _require_same_shapes(networks)
    pairs = torch.tensor(split.task.pairs)
    n_tokens, n_answers = split.task.n_tokens, split.task.n_classes
    forwards = {
        step: ModuleForward(module, inputs, pairs, n_tokens, n_answers)
        for step, module in networks.items()
    }
    named_places(networks[max(networks)], parts)
    places = _places(forwards, parts)
    width = forwards[max(forwards)].n_outputs()
    cut = f"Of {width:,} outputs the first {n_answers:,} were read." if width > n_answers else ""
    how = "The split was given." if split.is_known else "The split was not given."
    origin = [
        f"made of {plural(len(networks), 'module')}: {places.spec.in_words}.",
        f"Input: {inputs_in_words(inputs)}.",
        _parts_in_words(parts),
        cut,
        how,
    ]
    return ImportedRun(
        config=ImportedConfig(
            split.task.spec, places.spec, DRAW_FIELDS if split.is_known else SPLIT_FIELDS
        ),
        split=split,
        checkpoints=ModulesInMemory(forwards, places),
        curves=given_curves(curves),
        origin=" ".join(sentence for sentence in origin if sentence),
        folder=None,
    )


def _module(value: Any, step: int) -> nn.Module:
    if isinstance(value, nn.Module):
        _require_values(value, step)
        return unwrapped(value)
    kind = "a class" if isinstance(value, type) else shown(value)
    remedy = "Call it first." if callable(value) else "Pass a torch.nn.Module."
    if isinstance(value, Mapping):
        remedy = "Load it into a module, or use gi.Run.from_state_dicts."
    raise ConfigError(f"step {step} has {kind}, not a module. {remedy}")


def _require_values(module: nn.Module, step: int) -> None:
    """Refuse a module whose weights have no values yet: lazy ones, and those on ``meta``."""
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if is_lazy(value) or value.is_meta:
            why = "lazy and has no shape" if is_lazy(value) else "on the device meta"
            raise ConfigError(
                f"step {step} has a module without weights: {name} is {why}. Run it once, or load "
                "its weights."
            )


def _refuse_aliases(modules: Mapping[int, nn.Module]) -> None:
    """Refuse modules of two steps that are one, or share what is trained."""
    remedy = "Keep copy.deepcopy(module) at each step."
    owners: dict[int, int] = {}
    for step, module in modules.items():
        if id(module) in owners:
            raise CheckpointError(
                f"steps {owners[id(module)]} and {step} are the same module, so both show its "
                f"latest weights. {remedy}"
            )
        owners[id(module)] = step
    trained = {step: [p for p in m.parameters() if p.requires_grad] for step, m in modules.items()}
    if any(trained.values()):
        # A part that is not trained may well be shared.
        refuse_shared_memory(trained, remedy)
    else:
        refuse_shared_memory({step: m.parameters() for step, m in modules.items()}, remedy)


def _require_same_shapes(modules: Mapping[int, nn.Module]) -> None:
    """Refuse modules whose parameters have other names or shapes than those of the last."""
    *others, last = modules
    expected = {name: tuple(p.shape) for name, p in modules[last].named_parameters()}
    for step in others:
        found = {name: tuple(p.shape) for name, p in modules[step].named_parameters()}
        for name in [*found, *expected]:
            if found.get(name) != expected.get(name):
                one, other = (shapes.get(name, "none") for shapes in (found, expected))
                raise CheckpointError(
                    f"step {step} has another network than step {last}: {shown(name)} of shape "
                    f"{one}, not {other}. Make a run for each kind of network."
                )


def _places(forwards: Mapping[int, ModuleForward], parts: Parts) -> PartPlaces:
    """Find the parts in the last module whose logits are finite."""
    for step in sorted(forwards, reverse=True):
        try:
            if torch.isfinite(forwards[step].logits()).all():
                return find_places(forwards[step], parts)
        except (ConfigError, ShapeError) as error:
            raise type(error)(f"step {step}: {error}") from error
    last = forwards[max(forwards)]
    reason = "no module has finite logits"
    return PartPlaces(spec_of(last, parts), missing=dict.fromkeys(PARTS, reason))


def _at_step(step: int, run: Callable[[], Any]) -> Any:
    """Run something of a step; whatever is wrong with it is said with the step."""
    try:
        return run()
    except CheckpointError:
        raise
    except GrokinterpError as error:
        raise CheckpointError(f"step {step}: {error}") from error


def _parts_in_words(parts: Parts) -> str:
    named = [(name, getattr(parts, name)) for name in ("operands", "neurons", "readout", "pattern")]
    given = [f"{k} {v if isinstance(v, str) else ' and '.join(v)}" for k, v in named if v]
    return f"Parts by name: {', '.join(given)}." if given else "No part was named."
