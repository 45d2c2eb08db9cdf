"""A config stored beside weights: which fields of the network it decides, and what it rules out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from grokinterp.errors import CheckpointError
from grokinterp.fields import shown
from grokinterp.models.spec import ActivationName

_NAMES = {
    "act_fn": (
        *("act_fn", "act_type", "activation", "activation_function", "hidden_act"),
        *("act", "nonlinearity"),
    ),
    "normalization": ("normalization_type", "normalization"),
    "norm_epsilon": ("norm_epsilon", "layer_norm_epsilon", "layer_norm_eps", "rms_norm_eps", "eps"),
    "attention_dir": ("attention_dir",),
    "n_layers": ("n_layers", "num_layers", "n_layer", "num_hidden_layers"),
    "d_model": ("d_model", "hidden_size", "n_embd"),
    "n_heads": ("n_heads", "num_heads", "n_head", "num_attention_heads"),
    "d_head": ("d_head", "head_dim"),
    "d_mlp": ("d_mlp", "intermediate_size", "n_inner"),
    "use_attn_scale": ("use_attn_scale", "scale_attn_weights"),
    "attn_only": ("attn_only",),
    "gated_mlp": ("gated_mlp",),
}
"""Names of each field in public code, TransformerLens's first."""
_ACTIVATIONS = {
    **{name: name for name in get_args(ActivationName)},
    "gelu_fast": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "gelu_tanh": "gelu_new",
    "gelu(approximate='tanh')": "gelu_new",
    "swish": "silu",
    "x^2": "square",
    "quadratic": "square",
}
_NORMS = {
    **{"none": "none", "false": "none", "ln": "LN", "lnpre": "LNPre", "rms": "RMS"},
    **{"rmspre": "RMSPre", "layernorm": "LN", "layer_norm": "LN", "rmsnorm": "RMS"},
}
_DIRECTIONS = {"causal": "causal", "bidirectional": "bidirectional"}
_NO_POSITIONS_IN_STREAM = ("shortformer", "rotary", "alibi", "relative_positional_bias")
_CANNOT: dict[str, tuple[str, ...]] = {
    "positional_embedding_type": _NO_POSITIONS_IN_STREAM,
    "parallel_attn_mlp": ("True",),
    "use_local_attn": ("True",),
    "use_normalization_before_and_after": ("True",),
    "post_embedding_ln": ("True",),
    "scale_attn_by_inverse_layer_idx": ("True",),
    "use_qk_norm": ("True",),
    "position_embedding_type": ("rotary", "rope", "alibi", "relative_key", "relative_key_query"),
    **dict.fromkeys(("use_parallel_residual", "parallel_attn", "alibi", "use_rope"), ("True",)),
}
"""Fields of TransformerLens and Hugging Face, and values that no network here has."""
_ROTARY = ("rope_theta", "rotary_pct", "rotary_emb_base")
"""Fields of Hugging Face that only a network with rotary positions has."""
_OFF = (None, 0, 0.0, -1, -1.0, False, "", "None")
_SWITCHED_OFF = ("output_logits_soft_cap", "attn_scores_soft_cap", "num_experts", "n_experts")
"""Fields that are off unless they have a positive value."""


def known_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a network's spec that a stored config states.

    Parameters
    ----------
    config
        Plain fields, under the names of TransformerLens, Hugging Face or public training code.

    Returns
    -------
    dict
        Fields of :class:`~grokinterp.models.ModelSpec`, and ``use_attn_scale``.

    Raises
    ------
    CheckpointError
        If a field has a value that no network of this library can have.

    Examples
    --------
    >>> known_fields({"hidden_act": "gelu_new", "normalization_type": None, "lr": 1e-3})
    {'act_fn': 'gelu_new', 'normalization': 'none'}
    """
    _refuse_others(config)
    known = {}
    # Elsewhere eps is that of an optimizer.
    is_theirs = "normalization_type" in config
    for field, names in _NAMES.items():
        found = (name for name in names if name in config and (name != "eps" or is_theirs))
        name = next(found, None)
        if name is not None and (value := _value(field, name, config[name])) is not None:
            known[field] = value
    if "use_ln" in config and "normalization" not in known:
        known["normalization"] = "LN" if _is_on(config["use_ln"]) else "none"
    _apply_scale(config, known)
    return known


def _value(field: str, name: str, value: Any) -> Any:
    """A stored value as the library's; None where it says nothing."""
    words = str(value).strip().lower()
    if field == "normalization":
        return _known(_NORMS, words, name, value, "a norm that no network here has")
    if value is None:
        return None
    if field == "act_fn":
        return _known(
            _ACTIVATIONS,
            _function(words),
            name,
            value,
            "an activation that no network here has",
        )
    if field == "attention_dir":
        return _known(_DIRECTIONS, words, name, value, "a mask that no network here has")
    if field in ("use_attn_scale", "attn_only", "gated_mlp"):
        return _is_on(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if field == "norm_epsilon":
        return float(value) if is_number and value > 0 else None
    # TransformerLens writes -1 for what follows from other fields.
    return int(value) if is_number and value > 0 and value == int(value) else None


def _known(table: Mapping[str, str], words: str, name: str, value: Any, what: str) -> str:
    if words in table:
        return table[words]
    raise CheckpointError(
        f"the stored config has {name}={shown(value)}, {what} (known: "
        f"{', '.join(dict.fromkeys(table.values()))}). Analyze the module itself: "
        "gi.Run.from_modules, see docs/importing.md."
    )


def _is_on(value: Any) -> bool:
    """Whether a switch is on; parsers of arguments leave words such as ``False``."""
    return str(value).strip().lower() not in ("false", "0", "0.0", "none", "no", "off", "")


def _function(words: str) -> str:
    """Name of an activation without its package and empty brackets: of ``torch.nn.ReLU()`` relu.

    Examples
    --------
    >>> _function("torch.nn.functional.silu"), _function("nn.relu()"), _function("relu6")
    ('silu', 'relu', 'relu6')
    """
    for package in ("torch.", "nn.", "functional.", "f."):
        words = words.removeprefix(package)
    return words.removesuffix("()").removesuffix("(approximate='none')")


def _refuse_others(config: Mapping[str, Any]) -> None:
    refused = [
        name for name, values in _CANNOT.items() if str(config.get(name)).lower() in _lower(values)
    ]
    if config.get("final_rms") and str(config.get("normalization_type")).startswith("LN"):
        refused.append("final_rms")
    # TransformerLens names the kind of positions, and writes numbers of rotary ones beside any.
    if "positional_embedding_type" not in config:
        refused += [name for name in _ROTARY if config.get(name) not in _OFF]
    refused += [name for name in _SWITCHED_OFF if config.get(name) not in _OFF]
    if refused:
        name = refused[0]
        raise CheckpointError(
            f"the stored config has {name}={shown(config[name])}, and no network here can be built "
            "like that. Analyze the module itself: gi.Run.from_modules, see docs/importing.md."
        )


def _lower(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value.lower() for value in values)


def _apply_scale(config: Mapping[str, Any], known: dict[str, Any]) -> None:
    """Refuse another scale of attention than the square root of d_head."""
    scale, d_head = config.get("attn_scale"), known.get("d_head")
    if not isinstance(scale, (int, float)) or isinstance(scale, bool) or scale <= 0:
        return
    if d_head is None or known.get("use_attn_scale") is False:
        return
    if scale == 1 != d_head:
        known["use_attn_scale"] = False
    elif abs(float(scale) ** 2 / d_head - 1) > 1e-3:
        raise CheckpointError(
            f"the stored config has attn_scale={shown(scale)}, not the square root of d_head="
            f"{d_head}, and no network here can be built like that. Divide W_Q and b_Q by "
            "attn_scale / sqrt(d_head), and leave attn_scale out."
        )
