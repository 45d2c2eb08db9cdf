"""State dicts of TransformerLens in one file: of a 3.x HookedTransformer or a 4.x bridge.

A single one, or several with their steps: a list beside its epochs, a table by step. Also the
model of a folder of the Hugging Face Hub.
"""

from __future__ import annotations

from grokinterp.runs.importers.assembly import imported_run, listed, plural, quoted
from grokinterp.runs.importers.contents import (
    Contents,
    config_in,
    describe,
    find_contents,
    passed_over,
    require_own_memory,
)
from grokinterp.runs.importers.evidence import find_reading
from grokinterp.runs.importers.foreign_files import ForeignPath, Importer
from grokinterp.runs.importers.hints import NO_HINTS, Hints
from grokinterp.runs.importers.layouts import layout_of
from grokinterp.runs.importers.logs import Logs, logs_of
from grokinterp.runs.importers.parameters import Network, networks_of
from grokinterp.runs.importers.readings import open_readings
from grokinterp.runs.importers.step_names import names_a_step, step_in_name
from grokinterp.runs.importers.stored_config import known_fields
from grokinterp.runs.record import ImportedRun, WeightsInMemory
from grokinterp.tasks import Split


def objection(source: ForeignPath) -> str:
    """Say why a path is no such file; empty if it is."""
    if source.is_folder:
        return "a folder"
    found = find_contents(source.content)
    if found is None:
        return describe(source.content)
    layout = layout_of(found.states[-1])
    if not layout:
        return "a state dict without blocks.0.attn.W_O"
    return "its weights are transposed" if layout == "transposed" else ""


def load(source: ForeignPath, hints: Hints = NO_HINTS) -> ImportedRun:
    """Read the file; the last state dict shows the network and the task."""
    found = find_contents(source.content)
    assert found is not None
    require_own_memory(found)
    config = config_in(source.content, source.config_beside)
    candidates = open_readings(found.states[-1], {**known_fields(config), **hints.model})
    reading = find_reading(candidates, hints=hints)
    weights, when = _weights(source, found, reading.network)
    # Losses beside a single state dict do not say when they were taken.
    is_dated = found.counted == "epoch"
    logs = logs_of(source.content, epochs=found.numbers) if is_dated else Logs({}, {}, "")
    extra = reading.network.extra_output is not None
    used = {"train_losses", "test_losses"} - set(logs.left_out) if is_dated else ()
    return imported_run(
        source,
        weights,
        reading.network.spec,
        Split.unknown(reading.task),
        curves=logs.curves(),
        origin=[
            f"imported from {source.path.name} (transformer_lens): {when}.",
            found.account if len(found.states) > 1 else "",
            "One output more than there are answers was cut." if extra else "",
            reading.account,
            "Which pairs were trained on is not known.",
            logs.account,
            quoted(config),
            listed(reading.network.ignored),
            passed_over(source.content, found, used),
        ],
        doubts=reading.doubts,
    )


def _weights(source: ForeignPath, found: Contents, last: Network) -> tuple[WeightsInMemory, str]:
    """Weights by step, and where the steps are from."""
    if len(found.states) > 1:
        steps = found.steps
        when = f"{plural(len(steps), 'checkpoint')}, the last at step {steps[-1]:,}"
    else:
        step, how = step_of_one(source, found)
        steps, when = (step,), f"the weights at {how}"
    networks = networks_of(steps, found.states, **last.kind)
    return WeightsInMemory({step: one.parameters for step, one in networks.items()}), when


def step_of_one(source: ForeignPath, found: Contents) -> tuple[int, str]:
    """Return the step of a single state dict, and how it is known.

    Updates go before epochs, and what the file says before its name.
    """
    named = step_in_name(source.file, is_alone=True)
    is_stored = bool(found.numbers) and (found.key != "epoch" or named is None)
    if found.numbers and (is_stored or not names_a_step(source.file)):
        says = f"{found.key} says" if found.key else f"{found.counted}s say"
        return found.steps[0], f"step {found.steps[0]:,}, as its {says}"
    if named is not None:
        return named, f"step {named:,}, as its name says"
    return 0, "an unknown step, shown as 0"


IMPORTER = Importer("transformer_lens", objection, load)
