"""Names in state dicts: what wrappers put before them, and what they show of a transformer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from grokinterp.errors import CheckpointError

WRAPPERS = (
    *("model", "state_dict", "model_state_dict", "model_state", "net", "network", "module"),
    *("weights", "params", "parameters"),
)
"""Keys under which files hold a state dict."""
PREFIXES = ("module", "_orig_mod", "model", "net", "network", "transformer")
"""Words that wrappers put before every name, in any order and number."""
BUFFERS = ("mask", "IGNORE", "causal_mask")
ROOMS = ("embed.", "pos_embed.", "blocks.", "unembed.", "ln_final.")
_BLOCK = re.compile(r"blocks\.(\d+)\.")


def without_prefix_of(state: Mapping[Any, Any], expected: Iterable[str]) -> dict[str, Any]:
    """Remove what stands before the names of a network, whatever else is beside them.

    Parameters
    ----------
    state
        Names to anything. Names without the prefix, such as those of metrics, stay as they are.
    expected
        Names of the network. If they stand under several prefixes, one that wrappers write goes
        first, and the shortest of those; without one such, nothing is removed.

    Examples
    --------
    >>> names = {"module._orig_mod.embed.W_E": 1, "train_acc.correct": 2}
    >>> without_prefix_of(names, ["embed.W_E"])
    {'train_acc.correct': 2, 'embed.W_E': 1}
    """
    named = {str(name): value for name, value in state.items()}
    starts: dict[str, int] = {}
    for name in named:
        for one in expected:
            if name == one or name.endswith(f".{one}"):
                start = name.removesuffix(one)
                starts[start] = starts.get(start, 0) + 1
    ours = [start for start in starts if set(start.split(".")[:-1]) <= set(PREFIXES)]
    if not ours and len(starts) != 1:
        return named
    start = min(ours or starts, key=lambda start: (-starts[start], start.count("."), start))
    stripped = {name.removeprefix(start): v for name, v in named.items() if name.startswith(start)}
    beside = {name: value for name, value in named.items() if not name.startswith(start)}
    return {**beside, **stripped}


def kind_by_names(named: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the spec that the names of parameters show: depth, norms, gates, no MLP.

    Raises
    ------
    CheckpointError
        If there are more blocks than are read.
    """
    layers = [int(match.group(1)) for match in map(_BLOCK.match, named) if match]
    found: dict[str, Any] = {"n_layers": max(layers, default=0) + 1}
    if found["n_layers"] > 16:
        raise CheckpointError(
            f"the state dict has {found['n_layers']} blocks; at most 16 are read."
        )
    if not any(".mlp." in name for name in named):
        found["attn_only"] = True
    if "blocks.0.mlp.W_gate" in named:
        found["gated_mlp"] = True
    if "blocks.0.ln1.w" in named:
        found["normalization"] = "LN" if "blocks.0.ln1.b" in named else "RMS"
        found["norm_position"] = "before" if "ln_final.w" in named else "after"
    return found
