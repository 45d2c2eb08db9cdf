"""Conversion to and from the models of TransformerLens itself, 3.x and 4.x.

What comes out depends on the TransformerLens that is installed: 3.x has its own
``HookedTransformer``, 4.x has ``TransformerBridge`` in its place.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn

from grokinterp.errors import ConfigError
from grokinterp.fields import shown
from grokinterp.models.hooked_transformer import HookedTransformer
from grokinterp.models.initialization import is_bias, is_trained
from grokinterp.models.spec import ActivationName, AttentionDirection, Biases, ModelSpec

_NEEDED: dict[str, tuple] = {
    "act_fn": get_args(ActivationName),
    "normalization_type": (None, "LN", "LNPre", "RMS", "RMSPre"),
    "final_rms": (False,),
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
        and in the same precision. Biases that are not trained need no gradient there either;
        a bridge never trains ``b_U``.

    Raises
    ------
    ConfigError
        If parameters come without a spec, or have an attention rate other than 1.

    Examples
    --------
    >>> spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=16)
    >>> model = HookedTransformer(spec, d_vocab=6, n_ctx=3, d_vocab_out=5)
    >>> to_transformer_lens(model)(torch.tensor([[1, 2, 5]])).shape
    torch.Size([1, 3, 5])
    """
    if not isinstance(model, HookedTransformer):
        if spec is None:
            raise ConfigError("spec=None with bare parameters. Pass the ModelSpec they belong to.")
        model = HookedTransformer.from_parameters(spec, model)
    if model.spec.attention_rate != 1:
        raise ConfigError(
            f"attention_rate={model.spec.attention_rate} has no counterpart in TransformerLens, "
            "whose attention patterns sum to one. Use grokinterp's own HookedTransformer."
        )
    try:
        from transformer_lens import HookedTransformer as OwnHookedTransformer
    except ImportError:
        return _bridge(model)
    return _own_hooked_transformer(model, OwnHookedTransformer)


def from_transformer_lens(model: Any, *, biases: Biases | None = None) -> HookedTransformer:
    """Build our hooked model with the weights of one of TransformerLens's.

    Parameters
    ----------
    model
        A ``HookedTransformer`` of TransformerLens 3.x or a ``TransformerBridge``.
    biases
        Which biases are trained from here on. By default those that need a gradient in
        `model`; of a bridge, whose ``b_U`` never does, its blocks decide.

    Returns
    -------
    HookedTransformer
        With copies of the weights, on the same device and in the same precision. The
        ``init`` and ``init_seed`` of its spec say nothing about where they came from.

    Raises
    ------
    ConfigError
        If the network has a part that ours has not: layer norm, rotary positions, a gated
        MLP, another activation, grouped heads, ...
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
    spec = ModelSpec(
        n_layers=config.n_layers,
        d_model=config.d_model,
        n_heads=config.n_heads,
        d_head=config.d_head,
        d_mlp=config.d_mlp,
        act_fn=config.act_fn,
        # Longer contexts are no task of ours; they keep the usual three-token reading.
        input_format="a_b" if config.n_ctx == 2 else "a_b_equals",
        attention_dir=getattr(config, "attention_dir", "causal"),
        biases=biases or _trained_biases(parameters),
    )
    detached = {name: value.detach() for name, value in parameters.items()}
    return HookedTransformer.from_parameters(spec, detached)


def _own_hooked_transformer(model: HookedTransformer, own_class: Any) -> Any:
    from transformer_lens import HookedTransformerConfig

    with warnings.catch_warnings():
        # Its successor is what 4.x gives; whoever asks under 3.x wants this class.
        warnings.filterwarnings("ignore", "HookedTransformer is deprecated", DeprecationWarning)
        twin = own_class(HookedTransformerConfig(**_config_fields(model)))
    parameters = dict(twin.named_parameters())
    for name, value in model.named_parameters():
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
    for name, value in model.named_parameters():
        ((slot, converted),) = convert_tl_checkpoint({name: value}, bridge.cfg).items()
        _write(slots[slot], converted, model.spec, name)
    return bridge


def _write(target: Tensor, value: Tensor, spec: ModelSpec, name: str) -> None:
    with torch.no_grad():
        target.copy_(value)
    if isinstance(target, nn.Parameter):
        target.requires_grad_(is_trained(name, spec))


def _config_fields(model: HookedTransformer) -> dict[str, Any]:
    names = ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "act_fn")
    names += ("d_vocab", "d_vocab_out", "n_ctx", "dtype", "normalization_type", "attention_dir")
    config = model.cfg
    fields = {name: getattr(config, name) for name in names}
    return fields | {"device": str(config.device), "init_weights": False}


def _check_representable(config: Any) -> None:
    for field, fine in _NEEDED.items():
        _require(field, getattr(config, field, fine[0]), fine)
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


def _trained_biases(parameters: Mapping[str, Tensor]) -> Biases:
    inside = [name for name in parameters if is_bias(name) and name.startswith("blocks.")]
    trained = {name for name in inside if parameters[name].requires_grad}
    for choice in get_args(Biases):
        if trained == {name for name in inside if is_trained(name, ModelSpec(biases=choice))}:
            return cast(Biases, choice)
    raise ConfigError(
        f"trained biases are {', '.join(sorted(trained))}, no set that a ModelSpec names. Pass "
        f"biases={' or '.join(map(repr, get_args(Biases)))}."
    )
