"""Every way to read a state dict that its names and shapes leave open."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import torch
from torch import Tensor

from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.fields import shown
from grokinterp.models import ModelSpec
from grokinterp.models.initialization import fixed_positions
from grokinterp.models.spec import ActivationName
from grokinterp.runs.importers.arrangements import ARRANGEMENTS, rearrange
from grokinterp.runs.importers.fits import PRICE
from grokinterp.runs.importers.layouts import layout_of
from grokinterp.runs.importers.parameters import Network, read_network

# Fewest first: with fewer heads than it was trained with a network answers much worse, with
# more it answers about as well, so the first that nothing clearly improves on is the right one.
_HEADS_TRIED = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16)
_BY_POSITIONS = {2: ("a b",), 3: ("a b =", "= a b", "a o b"), 4: ("a o b =", "a = b o")}
_OF_SHAPES = ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "gated_mlp", "attn_only")
"""Fields that weights show, so that a stored value is either right or refused."""
PRICE_OF_NORM = 2.0
"""Price of a norm that no weights and no config show."""
_STATED = ("attention_rate", "norm_epsilon", "norm_position")
"""Fields that nothing but a statement shows."""


def open_readings(
    state: Mapping[str, Tensor],
    known: Mapping[str, Any] | None = None,
    *,
    n_answers: int | None = None,
) -> list[Network]:
    """Read a state dict in every way that its shapes leave open, the most usual first.

    Open are the activation, a norm without weights, the scale of attention, the order of the
    tokens, the mask where there is more than one block, and the heads of a bridge. A reading
    that departs from `known` is tried as well: it comes last, with what it departs from in
    ``Network.against``, and shows whether a stored config is to be believed.

    Parameters
    ----------
    state
        Names to tensors.
    known
        Fields of the spec, and ``use_attn_scale``, that a stored config, the format or the user
        states.
    n_answers
        Answers of its task; None: as many as operands.

    Raises
    ------
    CheckpointError
        If it is no such network, or of another shape than `known` says.
    """
    stated = dict(known or {})
    found = []
    for n_heads in _heads(state, stated):
        fixed = {name: stated[name] for name in _STATED if name in stated}
        tables = {name: stated[name] for name in ("operand_embeddings",) if name in stated}
        usual = read_network(state, n_heads=n_heads, n_answers=n_answers, **tables)
        base = usual.transformer
        _refuse_other_shapes(base, stated)
        _refuse_other_values(usual, stated)
        if stated.get("normalization", "none") == "none":
            fixed.pop("norm_epsilon", None)
        for choice in _choices(usual, stated):
            found += _variant(usual, choice, fixed)
    if not found:
        values = ", ".join(f"{name}={shown(value)}" for name, value in fixed.items())
        raise CheckpointError(
            f"no network has {values or 'these shapes'}, as stated. Correct the stored "
            "config or what was given as model."
        )
    return _in_order(found, stated)


def _heads(state: Mapping[str, Tensor], stated: Mapping[str, Any]) -> Sequence[int | None]:
    if layout_of(state) != "bridge":
        return [None]
    width = len(state["blocks.0.attn.q.weight"])
    if "n_heads" in stated:
        if stated["n_heads"] < 1 or width % stated["n_heads"]:
            raise CheckpointError(
                f"n_heads={shown(stated['n_heads'])} is stated, but the heads together are {width} "
                "wide. Correct the stored config, or give model=gi.ModelSpec(n_heads=...)."
            )
        return [stated["n_heads"]]
    return [n for n in _HEADS_TRIED if width % n == 0]


def _refuse_other_shapes(spec: ModelSpec, stated: Mapping[str, Any]) -> None:
    # use_attn_scale is a field of a stored config alone.
    unknown = [name for name in stated if not hasattr(spec, name) and name != "use_attn_scale"]
    if unknown:
        raise CheckpointError(
            f"{unknown[0]}={shown(stated[unknown[0]])} is stated, which belongs to another kind of "
            f"network; the weights are those of a {spec.in_words}. Leave it out."
        )
    for name in _OF_SHAPES:
        is_width = name == "d_mlp" and spec.attn_only
        if name in stated and stated[name] != getattr(spec, name) and not is_width:
            raise CheckpointError(
                f"{name}={shown(stated[name])} is stated, but the weights have "
                f"{name}={getattr(spec, name)}. Correct the stored config or what was given as "
                "model, or save the weights beside their own config."
            )
    if stated.get("normalization", "") in ("LN", "RMS") and spec.normalization == "none":
        raise CheckpointError(
            f"normalization={stated['normalization']} is stated, but the weights have no norm "
            "(blocks.0.ln1.w). Save all weights, or state LNPre or RMSPre."
        )


def _refuse_other_values(usual: Network, stated: Mapping[str, Any]) -> None:
    """Refuse fixed positions, more outputs or tied embeddings that the weights contradict."""
    weights, positions = usual.parameters, stated.get("positions", "learned")
    found = ""
    W_pos = weights["pos_embed.W_pos"]
    if positions != "learned":
        spec = dataclasses.replace(usual.transformer, positions=positions)
        if not torch.allclose(W_pos, fixed_positions(spec, len(W_pos)), atol=1e-4):
            found = f"positions={positions} is stated, but pos_embed.W_pos is another table"
    spec = usual.transformer
    position = stated.get("norm_position", spec.norm_position)
    if spec.normalization != "none" and position != spec.norm_position:
        found = f"norm_position={position} is stated, but by the names of the norms it is another"
    if stated.get("outputs", "answers") == "tokens" and usual.extra_output is None:
        found = "outputs=tokens is stated, but the weights have an output for each answer alone"
    if stated.get("tied_embeddings"):
        W_U = weights["unembed.W_U"]
        W_E = weights["embed.W_E"][: W_U.shape[1]]
        if W_E.T.shape != W_U.shape or not torch.equal(W_E.T, W_U):
            found = "tied_embeddings is stated, but unembed.W_U is not embed.W_E transposed"
    if found:
        raise CheckpointError(f"{found}. Leave it out, or correct the stored config.")


def _choices(usual: Network, stated: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Values of the open fields, the usual ones first."""
    spec, is_deep = usual.transformer, usual.transformer.n_layers > 1
    is_open = spec.normalization == "none"
    # The last position of one block sees all others, with a mask as without one.
    only = stated.get("attention_dir", "causal")
    tried: dict[str, Sequence[Any]] = {
        "arrangement": _BY_POSITIONS[spec.n_ctx],
        "attention_dir": ("causal", "bidirectional") if is_deep else (only,),
        "normalization": ("none", "LNPre", "RMSPre") if is_open else (spec.normalization,),
        "use_attn_scale": (True, False),
        "act_fn": ("relu",) if spec.attn_only else get_args(ActivationName),
    }
    rows = [dict(zip(tried, values, strict=True)) for values in itertools.product(*tried.values())]
    # A sign in the middle is a sign in front only to a position that sees both.
    hidden = {"arrangement": "a o b", "attention_dir": "causal"}
    return [row for row in rows if not (is_deep and hidden.items() <= row.items())]


def _variant(usual: Network, choice: dict[str, Any], fixed: dict[str, Any]) -> list[Network]:
    """The weights read in another way; nothing where the parts do not go together."""
    fields = {name: choice[name] for name in ("attention_dir", "normalization", "act_fn")}
    arrangement, use_attn_scale = choice["arrangement"], choice["use_attn_scale"]
    fields |= {"input_format": ARRANGEMENTS[arrangement], **fixed}
    if fields["normalization"] == "none":
        fields.pop("norm_epsilon", None)
    try:
        spec = dataclasses.replace(usual.transformer, **fields)
    except ConfigError:
        return []
    kept = dict(usual.parameters)
    rearrange(kept, spec, arrangement, use_attn_scale=use_attn_scale)
    # Norms with weights are shown by their names.
    how = {**usual.kind, **choice, **fixed}
    if usual.transformer.normalization != "none":
        how.pop("normalization")
    if spec.normalization == "none":
        how.pop("norm_epsilon", None)
    return [dataclasses.replace(usual, parameters=kept, spec=spec, kind=how)]


def _in_order(found: list[Network], stated: Mapping[str, Any]) -> list[Network]:
    """Readings that depart from nothing first, each with what it departs from."""
    known = {name: value for name, value in stated.items() if name in OPEN_FIELDS}
    told = []
    for network in found:
        chosen = choices_of(network)
        against = {name: value for name, value in known.items() if chosen[name] != value}
        told.append(dataclasses.replace(network, against=against))
    if told and all(network.against for network in told):
        values = ", ".join(f"{name}={shown(value)}" for name, value in known.items())
        raise CheckpointError(
            f"no reading of the weights has {values}, as stated. Correct the "
            "stored config or what was given as model: model=gi.ModelSpec(...)."
        )
    return sorted(told, key=lambda network: bool(network.against))


OPEN_FIELDS = ("act_fn", "attention_dir", "input_format", "normalization", "use_attn_scale")
"""Fields that may be open; the scale of attention is none of the spec."""


def choices_of(network: Network) -> dict[str, Any]:
    """What was chosen for a reading, by field: heads, and :data:`OPEN_FIELDS`.

    Examples
    --------
    >>> import grokinterp as gi
    >>> choices_of(open_readings(run.parameters())[1])["act_fn"]
    'gelu'
    """
    spec = network.spec
    names = ("n_heads", "d_head", *OPEN_FIELDS[:-1])
    # A perceptron has no attention; what it has is open too.
    names = names if isinstance(spec, ModelSpec) else ("act_fn", "widths")
    chosen = {name: getattr(spec, name) for name in names}
    if network.kind.get("arrangement") in ("a o b", "a = b o"):
        chosen["input_format"] = network.kind["arrangement"]
    return {**chosen, "use_attn_scale": network.kind.get("use_attn_scale", True)}


def price_of(network: Network, usual: Network) -> float:
    """Factor by which a reading has to be better than the usual one, 1 for that one itself.

    A norm that no name hints at has to be twice as good: weights that were trained with one
    answer little without it, while it does no harm to some that were trained without.
    """
    mine, theirs = choices_of(network), choices_of(usual)
    # Heads have a rule of their own.
    names = {*mine, *theirs} - {"n_heads", "d_head", "normalization"}
    n = sum(mine.get(name) != theirs.get(name) for name in names)
    # It differs from gelu by less than a thousandth, and is the rarer one.
    n += mine["act_fn"] == "gelu_new" != theirs["act_fn"]
    has_other_norm = mine.get("normalization") != theirs.get("normalization")
    return PRICE**n * (PRICE_OF_NORM if has_other_norm else 1)
