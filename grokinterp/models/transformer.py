"""The transformer's forward pass, written once, as a function of its parameters.

The hooked model runs this very function and passes its hooks in; training's general path
and the analysis of deeper networks run it without hooks, and so never need TransformerLens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from einops import einsum
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from grokinterp.models.spec import ModelSpec

Hook = Callable[[str, Tensor], Tensor]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


def no_hook(name: str, activation: Tensor) -> Tensor:
    """Let every activation pass unchanged."""
    return activation


def transformer_logits(
    parameters: Mapping[str, Tensor],
    tokens: Int[Tensor, "batch pos"],
    spec: ModelSpec,
    hook: Hook = no_hook,
) -> Float[Tensor, "batch pos d_vocab_out"]:
    """Logits at every position of a causal transformer without layer norm.

    Parameters
    ----------
    parameters
        Weights under their TransformerLens names.
    tokens
        Input sequences.
    spec
        Widths, depth and activation.
    hook
        Called with the TransformerLens name of each activation; what it returns is used in
        the activation's place.
    """
    positions = parameters["pos_embed.W_pos"][: tokens.shape[1]]
    embedded = hook("hook_embed", parameters["embed.W_E"][tokens])
    residual = embedded + hook("hook_pos_embed", positions.expand_as(embedded))
    for layer in range(spec.n_layers):
        residual = _block(parameters, f"blocks.{layer}.", residual, spec, hook)
    return residual @ parameters["unembed.W_U"] + parameters["unembed.b_U"]


def _block(
    parameters: Mapping[str, Tensor], prefix: str, residual: Tensor, spec: ModelSpec, hook: Hook
) -> Tensor:
    resid_pre = hook(prefix + "hook_resid_pre", residual)
    attn_out = _attention(parameters, prefix + "attn.", resid_pre, spec, hook)
    attn_out = hook(prefix + "hook_attn_out", attn_out)
    resid_mid = hook(prefix + "hook_resid_mid", resid_pre + attn_out)
    mlp_out = _mlp(parameters, prefix + "mlp.", resid_mid, spec, hook)
    mlp_out = hook(prefix + "hook_mlp_out", mlp_out)
    return hook(prefix + "hook_resid_post", resid_mid + mlp_out)


def _attention(
    parameters: Mapping[str, Tensor], prefix: str, x: Tensor, spec: ModelSpec, hook: Hook
) -> Tensor:
    def project(letter: str) -> Tensor:
        weight, bias = parameters[prefix + "W_" + letter], parameters[prefix + "b_" + letter]
        projected = einsum(x, weight, "batch pos d_model, head d_model d_head -> batch pos head d_head")
        return hook(prefix + "hook_" + letter.lower(), projected + bias)

    q, k, v = project("Q"), project("K"), project("V")
    scores = einsum(q, k, "batch query head d_head, batch key head d_head -> batch head query key")
    is_future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=x.device).triu(1)
    scores = (scores / math.sqrt(spec.d_head)).masked_fill(is_future, -torch.inf)
    pattern = hook(prefix + "hook_attn_scores", scores).softmax(dim=-1)
    pattern = hook(prefix + "hook_pattern", pattern)
    z = einsum(pattern, v, "batch head query key, batch key head d_head -> batch query head d_head")
    z = hook(prefix + "hook_z", z)
    out = einsum(
        z, parameters[prefix + "W_O"], "batch pos head d_head, head d_head d_model -> batch pos d_model"
    )
    return out + parameters[prefix + "b_O"]


def _mlp(
    parameters: Mapping[str, Tensor], prefix: str, x: Tensor, spec: ModelSpec, hook: Hook
) -> Tensor:
    pre = hook(prefix + "hook_pre", x @ parameters[prefix + "W_in"] + parameters[prefix + "b_in"])
    post = hook(prefix + "hook_post", ACTIVATIONS[spec.act_fn](pre))
    return post @ parameters[prefix + "W_out"] + parameters[prefix + "b_out"]
