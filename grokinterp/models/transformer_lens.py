"""Conversion to and from the models of TransformerLens itself, 3.x and 4.x.

What comes out depends on the TransformerLens that is installed: 3.x has its own
``HookedTransformer``, 4.x has ``TransformerBridge`` in its place.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import Tensor, nn

from grokinterp.errors import ConfigError
from grokinterp.fields import shown
from grokinterp.models.hooked_transformer import HookedTransformer
from grokinterp.models.initialization import (
    fixed_positions,
    is_bias,
    is_trained,
    parameter_shapes,
)
from grokinterp.models.spec import (
    ActivationName,
    AttentionDirection,
    Biases,
    InputFormat,
    ModelSpec,
    OperandEmbeddings,
    Positions,
)

_ACTIVATIONS: tuple[ActivationName, ...] = ("relu", "gelu", "gelu_new", "silu")
"""Activations that TransformerLens has too."""

_NEEDED: dict[str, tuple] = {
    "normalization_type": (None, "LN", "LNPre", "RMS", "RMSPre"),
    "positional_embedding_type": ("standard",),
    "attention_dir": get_args(AttentionDirection),
    "num_experts": (None, 0),
    "clip_qkv": (None,),
    "attn_scores_soft_cap": (-1.0, 0.0, None),
    "output_logits_soft_cap": (-1.0, 0.0, None),
    "load_in_4bit": (False,),
    "parallel_attn_mlp": (False,),
    "post_embedding_ln": (False,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "use_attention_sinks": (False,),
    "use_local_attn": (False,),
    "use_logn_attn": (False,),
    "use_normalization_before_and_after": (False,),
    "use_qk_norm": (False,),
}
"""Values of a TransformerLens config under which it computes what our transformer computes."""


def to_transformer_lens(
    model: HookedTransformer | Mapping[str, Tensor], spec: ModelSpec | None = None
) -> Any:
    """Build TransformerLens's own model with the same weights.

    Parameters
    ----------
    model
        A hooked model, or parameters under their TransformerLens names.
    spec
        What network the parameters are of; a hooked model knows.

    Returns
    -------
    HookedTransformer or TransformerBridge
        The former under TransformerLens 3.x, the latter under 4.x; copies, on the same device
        and in the same precision. Biases and positions that are not trained need no gradient
        there either; a bridge never trains ``b_U``. Fixed positions become an untrained ``W_pos``.
        A tied ``W_U`` becomes an untied copy. With separate embeddings its tokens are those of
        a, of b and of the signs, as here.

    Raises
    ------
    ConfigError
        If parameters come without a spec, or the network has a part that TransformerLens lacks:
        an attention rate other than 1, the activations ``tanh`` and ``square``, norms after the
        additions; in 4.x also nonzero biases of a gated MLP.

    Notes
    -----
    A bridge computes ``RMS``, ``RMSPre`` and ``LNPre`` in float32, so even in float64 its logits
    agree only to about 1e-6 with these norms.

    Examples
    --------
    >>> spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=16)
    >>> model = HookedTransformer(spec, d_vocab=6, n_ctx=3, d_vocab_out=5)
    >>> to_transformer_lens(model)(torch.tensor([[1, 2, 5]])).shape
    torch.Size([1, 3, 5])
    """
    if not isinstance(model, HookedTransformer):
        if isinstance(model, nn.Module):
            raise ConfigError(
                f"{type(model).__name__} is not a transformer of this library. Pass a "
                "gi.HookedTransformer, or parameters with their ModelSpec."
            )
        if spec is None:
            raise ConfigError("spec=None with bare parameters. Pass the ModelSpec they belong to.")
        model = HookedTransformer.from_parameters(spec, model)
    _check_known_there(model.spec)
    try:
        from transformer_lens import HookedTransformer as OwnHookedTransformer
    except ImportError:
        return _bridge(model)
    return _own_hooked_transformer(model, OwnHookedTransformer)


def from_transformer_lens(
    model: Any,
    *,
    biases: Biases | None = None,
    input_format: InputFormat | None = None,
    operand_embeddings: OperandEmbeddings = "shared",
) -> HookedTransformer:
    """Build our hooked model with the weights of one of TransformerLens's.

    Parameters
    ----------
    model
        A ``HookedTransformer`` of TransformerLens 3.x or a ``TransformerBridge``.
    biases
        Which biases are trained from here on. By default those that need a gradient in
        `model`. In a bridge ``b_U`` never needs one, so its blocks decide, or its attention if
        its gated MLPs have no biases.
    input_format
        Format of the input sequences, which weights do not show. By default ``a b``, ``a b =``
        or ``a o b =``, by the length of the context.
    operand_embeddings
        ``separate`` if b has tokens of its own, which weights do not show.

    Returns
    -------
    HookedTransformer
        With copies of the weights, on the same device and in the same precision. The
        ``init`` and ``init_seed`` of its spec say nothing about where they came from.

    Raises
    ------
    ConfigError
        If the network has a part that ours lacks: rotary positions, another activation,
        grouped heads, ...
    """
    config = getattr(model, "cfg", None)
    if config is None:
        raise ConfigError(
            f"{type(model).__name__} has no cfg. Pass a TransformerLens HookedTransformer or "
            "TransformerBridge; for bare parameters use HookedTransformer.from_parameters."
        )
    _check_representable(config)
    with torch.enable_grad():  # a view made without gradients forgets whether its base needs one
        named = model.tl_parameters() if hasattr(model, "tl_parameters") else None
        parameters = dict(model.named_parameters() if named is None else named)
    spec = _spec_of(model, parameters, biases, input_format)
    spec = replace(spec, operand_embeddings=operand_embeddings)
    sizes = {name: getattr(config, name) for name in ("d_vocab", "n_ctx", "d_vocab_out")}
    # A bridge lists zeros for the MLPs that attention-only blocks do not have.
    names = parameter_shapes(spec, **sizes)
    return HookedTransformer.from_parameters(spec, {n: parameters[n].detach() for n in names})


def _spec_of(
    model: Any,
    parameters: Mapping[str, Tensor],
    biases: Biases | None,
    input_format: InputFormat | None,
) -> ModelSpec:
    config = model.cfg
    # Longer contexts are no task of ours; they keep the usual three-token reading.
    usual: dict[int, InputFormat] = {2: "a_b", 4: "a_op_b_equals"}
    norm = config.normalization_type
    spec = ModelSpec(
        n_layers=config.n_layers,
        d_model=config.d_model,
        n_heads=config.n_heads,
        d_head=config.d_head,
        d_mlp=config.d_mlp or 4 * config.d_model,
        act_fn="relu" if config.attn_only else config.act_fn,
        input_format=input_format or usual.get(config.n_ctx, "a_b_equals"),
        attention_dir=getattr(config, "attention_dir", "causal"),
        biases=biases or _trained_biases(model, parameters),
        normalization=norm or "none",
        norm_epsilon=config.eps if norm else 1e-5,
        gated_mlp=config.gated_mlp and not config.attn_only,
        attn_only=config.attn_only,
        positions=_positions(parameters["pos_embed.W_pos"]),
    )
    is_of_tokens = spec.signs and config.d_vocab_out == config.d_vocab
    return replace(spec, outputs="tokens") if is_of_tokens else spec


def _positions(W_pos: Tensor) -> Positions:
    """Kind of positions, from an untrained table."""
    if not W_pos.requires_grad:
        for kind in ("none", "sinusoidal"):
            spec = ModelSpec(d_model=W_pos.shape[1], positions=kind)
            if torch.equal(W_pos, fixed_positions(spec, len(W_pos)).to(W_pos)):
                return kind
    return "learned"


def _check_known_there(spec: ModelSpec) -> None:
    remedies = {
        "attention_rate": (1.0,),
        "act_fn": _ACTIVATIONS,
        "norm_position": ("before",),
    }
    for field, known in remedies.items():
        value = getattr(spec, field)
        if value not in known:
            raise ConfigError(
                f"{field}={value} has no counterpart in TransformerLens, which has {field}="
                f"{' or '.join(map(str, known))}. Use grokinterp's own HookedTransformer."
            )


def _own_hooked_transformer(model: HookedTransformer, own_class: Any) -> Any:
    from transformer_lens import HookedTransformerConfig

    with warnings.catch_warnings():
        # Its successor is what 4.x gives; whoever asks under 3.x wants this class.
        warnings.filterwarnings("ignore", "HookedTransformer is deprecated", DeprecationWarning)
        twin = own_class(HookedTransformerConfig(**_config_fields(model)))
    parameters = dict(twin.named_parameters())
    for name, value in _all_parameters(model):
        _write(parameters[name], value, model.spec, name)
    return twin


def _bridge(model: HookedTransformer) -> Any:
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.conversion_utils import convert_tl_checkpoint
    from transformer_lens.model_bridge.sources import boot_native

    config = TransformerBridgeConfig(**_config_fields(model))
    with torch.random.fork_rng(devices=[]):  # its layers draw weights that are overwritten
        bridge = boot_native(config, device=model.cfg.device, dtype=model.cfg.dtype)
    slots = bridge.state_dict(keep_vars=True)
    for name, value in _all_parameters(model):
        if model.spec.gated_mlp and name.endswith((".mlp.b_in", ".mlp.b_out")):
            _require_zero(name, value)
            continue
        ((slot, converted),) = convert_tl_checkpoint({name: value}, bridge.cfg).items()
        _write(slots[slot], converted, model.spec, name)
    return bridge


def _all_parameters(model: HookedTransformer) -> Iterator[tuple[str, Tensor]]:
    return model.named_parameters(remove_duplicate=False)


def _require_zero(name: str, value: Tensor) -> None:
    if value.any():
        raise ConfigError(
            f"gated_mlp=True with {name} other than zero has no counterpart in TransformerLens 4, "
            "whose gated MLPs have no biases. Train with biases=none, or install 3.x."
        )


def _write(target: Tensor, value: Tensor, spec: ModelSpec, name: str) -> None:
    with torch.no_grad():
        target.copy_(value)
    if isinstance(target, nn.Parameter):
        target.requires_grad_(is_trained(name, replace(spec, tied_embeddings=False)))


def _config_fields(model: HookedTransformer) -> dict[str, Any]:
    names = ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "act_fn")
    names += ("d_vocab", "d_vocab_out", "n_ctx", "dtype", "normalization_type", "attention_dir")
    names += ("eps", "attn_only", "gated_mlp")
    config = model.cfg
    fields = {name: getattr(config, name) for name in names}
    return fields | {"device": str(config.device), "init_weights": False}


def _check_representable(config: Any) -> None:
    for field, fine in _NEEDED.items():
        _require(field, getattr(config, field, fine[0]), fine)
    if not config.attn_only:
        _require("act_fn", config.act_fn, get_args(ActivationName))
    if str(config.normalization_type).startswith("LN"):
        _require("final_rms", getattr(config, "final_rms", False), (False,))
    _require("n_key_value_heads", config.n_key_value_heads, (None, config.n_heads))
    scale = float(config.attn_scale) if config.use_attn_scale else 1.0
    usual = math.sqrt(config.d_head)
    # A bridge's config says -1 where it means the usual scale.
    if not (config.use_attn_scale and scale < 0) and not math.isclose(scale, usual):
        _require("attn_scale", scale, (usual,))


def _require(field: str, value: Any, fine: tuple) -> None:
    if value not in fine:
        raise ConfigError(
            f"{field}={shown(value)} has no counterpart in grokinterp's transformer. Convert a "
            f"network with {field}={' or '.join(map(repr, fine))}."
        )


def _trained_biases(model: Any, parameters: Mapping[str, Tensor]) -> Biases:
    # A bridge's gated MLP has no biases; what it lists are zeros.
    has_none_in_mlps = model.cfg.gated_mlp and hasattr(model, "tl_parameters")
    inside = [
        name
        for name in parameters
        if is_bias(name)
        and name.startswith("blocks.")
        and not (".mlp." in name and (has_none_in_mlps or model.cfg.attn_only))
    ]
    trained = {name for name in inside if parameters[name].requires_grad}
    choices: tuple[Biases, ...] = ("none", "all") if has_none_in_mlps else get_args(Biases)
    for choice in choices:
        if trained == {name for name in inside if is_trained(name, ModelSpec(biases=choice))}:
            return choice
    raise ConfigError(
        f"trained biases are {', '.join(sorted(trained))}, no set that a ModelSpec names. Pass "
        f"biases={' or '.join(map(repr, get_args(Biases)))}."
    )
