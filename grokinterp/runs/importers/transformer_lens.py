"""A single state dict of TransformerLens: of a 3.x HookedTransformer or a 4.x bridge."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from grokinterp.errors import CheckpointError
from grokinterp.runs.importers.assembly import imported_run, listed, quoted
from grokinterp.runs.importers.evidence import find_reading
from grokinterp.runs.importers.foreign_files import ForeignPath, Importer, step_in_name
from grokinterp.runs.importers.hints import NO_HINTS, Hints
from grokinterp.runs.importers.parameters import find_state_dict, layout_of
from grokinterp.runs.importers.readings import open_readings
from grokinterp.runs.importers.stored_config import CONFIG_KEYS, config_beside, known_fields
from grokinterp.runs.record import ImportedRun, WeightsInMemory
from grokinterp.tasks import Split


def objection(source: ForeignPath) -> str:
    """Say why a path is no such file; empty if it is."""
    if source.path.is_dir():
        return "a folder"
    state = find_state_dict(source.content)
    if state is None:
        return "no state dict, bare or under 'model' or 'state_dict'"
    layout = layout_of(state)
    if not layout:
        return "a state dict without blocks.0.attn.W_O"
    return "its weights are transposed" if layout == "transposed" else ""


def load(source: ForeignPath, hints: Hints = NO_HINTS) -> ImportedRun:
    """Read the file; its name may end in the step."""
    state = find_state_dict(source.content)
    assert state is not None
    config = config_beside(source.content)
    candidates = open_readings(state, {**known_fields(config), **hints.model})
    reading = find_reading(candidates, hints=hints)
    step = step_in_name(source.path, is_alone=True)
    when = f"step {step:,}, as its name says" if step is not None else "an unknown step, shown as 0"
    extra = reading.network.extra_output is not None
    return imported_run(
        source,
        WeightsInMemory({step or 0: reading.network.parameters}),
        reading.network.spec,
        Split.unknown(reading.task),
        origin=[
            f"imported from {source.path.name} (transformer_lens): the weights at {when}.",
            "One output more than there are answers was cut." if extra else "",
            reading.account,
            "Which pairs were trained on is not known.",
            quoted(config),
            listed([*reading.network.ignored, *_other_keys(source, state)]),
        ],
        doubts=reading.doubts,
    )


def _other_keys(source: ForeignPath, state: Mapping[str, Tensor]) -> list[str]:
    content = source.content
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{source.path} holds no dictionary.")
    wrappers = ("model", "state_dict", "model_state_dict")
    is_wrapped = any(isinstance(content.get(name), Mapping) for name in wrappers)
    used = (*wrappers, *CONFIG_KEYS)
    return [str(key) for key in content if is_wrapped and key not in used]


IMPORTER = Importer("transformer_lens", objection, load)
