"""The config and the flags of a hooked model, under the names that TransformerLens gives them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from grokinterp.errors import ConfigError
from grokinterp.models.spec import ModelSpec
from grokinterp.models.transformer import HOOKS_BEHIND_FLAGS


@dataclass(frozen=True)
class HookedConfig:
    """The fields of a TransformerLens config that describe this kind of network.

    Read from the model whenever asked for, so `device` and `dtype` follow ``model.to(...)``.
    """

    n_layers: int
    d_model: int
    n_heads: int
    d_head: int
    d_mlp: int
    act_fn: str
    d_vocab: int
    d_vocab_out: int
    n_ctx: int
    device: torch.device
    dtype: torch.dtype
    attn_scale: float
    use_attn_result: bool = False
    use_split_qkv_input: bool = False
    use_attn_in: bool = False
    use_hook_mlp_in: bool = False
    use_attn_scale: bool = True
    normalization_type: str | None = None
    """The norm that stands before attention, MLP and readout; None too where norms stand
    after the additions, so that nothing is scaled by a norm that no reader has."""
    eps: float = 1e-5
    positional_embedding_type: str = "standard"
    attention_dir: str = "causal"
    n_key_value_heads: None = None
    attn_only: bool = False
    gated_mlp: bool = False
    parallel_attn_mlp: bool = False
    final_rms: bool = False
    n_devices: int = 1
    model_name: str = "grokinterp"
    tokenizer_name: None = None

    @classmethod
    def describe(cls, spec: ModelSpec, flags: frozenset[str], **sizes: Any) -> HookedConfig:
        """Join a spec, the flags that are on, and what a spec leaves open."""
        names = ("n_layers", "d_model", "n_heads", "d_head", "d_mlp", "act_fn", "attention_dir")
        sizes |= {name: getattr(spec, name) for name in names}
        sizes |= {name: getattr(spec, name) for name in ("attn_only", "gated_mlp")}
        sizes |= {flag: flag in flags for flag in HOOKS_BEHIND_FLAGS}
        norm = spec.normalization if spec.has_final_norm else None
        sizes |= {"normalization_type": norm, "eps": spec.norm_epsilon}
        return cls(**sizes, attn_scale=math.sqrt(spec.d_head))


def flag_of(hook_name: str) -> str | None:
    """Find the flag that a hook point is behind."""
    leaf = hook_name.rsplit(".", 1)[-1]
    return next((flag for flag, leaves in HOOKS_BEHIND_FLAGS.items() if leaf in leaves), None)


def require_flag(hook_name: str, flags: frozenset[str]) -> None:
    """Refuse the name of a hook point that would never fire.

    Raises
    ------
    ConfigError
        If the hook point is behind a flag that is off.
    """
    flag = flag_of(hook_name)
    if flag is not None and flag not in flags:
        raise ConfigError(f"{hook_name} is off. Turn it on with model.set_{flag}(True).")


def firing(names_filter: Any, flags: frozenset[str]) -> Callable[[str], bool]:
    """Narrow a TransformerLens names filter to the hook points that will fire."""

    def matches(name: str) -> bool:
        if callable(names_filter):
            return bool(names_filter(name))
        wanted = [names_filter] if isinstance(names_filter, str) else names_filter
        return wanted is None or name in wanted

    return lambda name: flag_of(name) in (None, *flags) and matches(name)


def switched(flags: frozenset[str], flag: str, value: bool) -> frozenset[str]:
    """Turn one of the flags on or off.

    Raises
    ------
    ConfigError
        If both ways of splitting attention's input would be on.
    """
    flags = flags | {flag} if value else flags - {flag}
    if {"use_split_qkv_input", "use_attn_in"} <= flags:
        raise ConfigError(
            f"{flag}=True excludes the other way of splitting attention's input. Turn off "
            "use_split_qkv_input or use_attn_in first."
        )
    return flags
