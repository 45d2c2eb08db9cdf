"""A single state dict of TransformerLens: of a 3.x HookedTransformer or a 4.x bridge."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from grokinterp.errors import CheckpointError
from grokinterp.runs.importers.assembly import build_run, listed
from grokinterp.runs.importers.evidence import Reading, find_reading
from grokinterp.runs.importers.foreign_files import ForeignPath, Importer, step_in_name
from grokinterp.runs.importers.parameters import (
    Network,
    find_state_dict,
    layout_of,
    read_network,
)
from grokinterp.runs.run import Run, WeightsInMemory
from grokinterp.tasks import Split

_LIKELY_HEADS = (4, 1, 2, 8, 3, 5, 6, 7, 12, 16)


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


def load(source: ForeignPath) -> Run:
    """Read the file; its name may end in the step."""
    state = find_state_dict(source.content)
    assert state is not None
    reading = read_single(state)
    step = step_in_name(source.path)
    when = f"step {step:,}, as its name says" if step is not None else "an unknown step, shown as 0"
    extra = reading.network.extra_output is not None
    return build_run(
        source,
        WeightsInMemory({step or 0: reading.network.parameters}),
        reading.network.spec,
        Split.unknown(reading.task),
        origin=[
            f"imported from {source.path.name} (transformer_lens): the weights at {when}.",
            "One output more than there are answers was cut." if extra else "",
            reading.account,
            _heads(state, reading),
            "Which pairs were trained on is not known.",
            listed([*reading.network.ignored, *_other_keys(source, state)]),
        ],
    )


def read_single(state: Mapping[str, Tensor]) -> Reading:
    """Read a state dict with whatever activation and number of heads answers best.

    Raises
    ------
    CheckpointError
        If it is no such network, or its answers fit no operation.
    """
    heads = [None]
    if layout_of(state) == "bridge":
        width = len(state["blocks.0.attn.q.weight"])
        heads = [n for n in _LIKELY_HEADS if width % n == 0]
    candidates: list[Network] = []
    for act_fn in ("relu", "gelu"):
        candidates += [read_network(state, n_heads=n, act_fn=act_fn) for n in heads]
    return find_reading(candidates)


def _heads(state: Mapping[str, Tensor], reading: Reading) -> str:
    if layout_of(state) != "bridge":
        return ""
    return (
        f"A bridge's weights do not show the number of heads: {reading.network.spec.n_heads} "
        "answers best."
    )


def _other_keys(source: ForeignPath, state: Mapping[str, Tensor]) -> list[str]:
    content = source.content
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{source.path} holds no dictionary.")
    wrappers = ("model", "state_dict", "model_state_dict")
    is_wrapped = any(isinstance(content.get(name), Mapping) for name in wrappers)
    return [str(key) for key in content if is_wrapped and key not in wrappers]


IMPORTER = Importer("transformer_lens", objection, load)
