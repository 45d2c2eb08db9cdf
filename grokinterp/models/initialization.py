"""Initial weights: explicit generators, float32 on the CPU, in a documented order.

The order is W_E, W_pos, then for each block W_Q, W_K, W_V, W_O, W_in, W_out, and at last
W_U; all heads of a matrix are drawn at once. Biases are zero. The global random state is
neither read nor changed.

``nanda2023``
    N(0, 1/d_model) everywhere, except W_U with N(0, 1/d_vocab), d_vocab = p + 1 (Nanda et
    al. 2023, published code).
``tl_demo``
    N(0, 0.64/d_model) everywhere. With seed 999 these are the weights that the published
    output of TransformerLens's Grokking_Demo notebook started from: initial losses 4.7350
    (train) and 4.7333 (test).

Every drawn weight is then multiplied by ``init_scale``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from grokinterp.models.spec import ModelSpec


def parameter_shapes(
    spec: ModelSpec, d_vocab: int, n_ctx: int, d_vocab_out: int
) -> dict[str, tuple[int, ...]]:
    """Shape of every parameter under its TransformerLens name, in the order of drawing.

    Examples
    --------
    >>> parameter_shapes(ModelSpec(), 114, 3, 113)["blocks.0.attn.W_Q"]
    (4, 128, 32)
    """
    per_head = (spec.n_heads, spec.d_model, spec.d_head)
    shapes: dict[str, tuple[int, ...]] = {
        "embed.W_E": (d_vocab, spec.d_model),
        "pos_embed.W_pos": (n_ctx, spec.d_model),
    }
    for layer in range(spec.n_layers):
        attn, mlp = f"blocks.{layer}.attn.", f"blocks.{layer}.mlp."
        shapes |= {attn + name: per_head for name in ("W_Q", "W_K", "W_V")}
        shapes[attn + "W_O"] = (spec.n_heads, spec.d_head, spec.d_model)
        shapes |= {attn + name: (spec.n_heads, spec.d_head) for name in ("b_Q", "b_K", "b_V")}
        shapes[attn + "b_O"] = (spec.d_model,)
        shapes[mlp + "W_in"] = (spec.d_model, spec.d_mlp)
        shapes[mlp + "b_in"] = (spec.d_mlp,)
        shapes[mlp + "W_out"] = (spec.d_mlp, spec.d_model)
        shapes[mlp + "b_out"] = (spec.d_model,)
    return shapes | {"unembed.W_U": (spec.d_model, d_vocab_out), "unembed.b_U": (d_vocab_out,)}


def initial_parameters(
    spec: ModelSpec, *, d_vocab: int, n_ctx: int, d_vocab_out: int
) -> dict[str, Tensor]:
    """Draw the initial weights that `spec` names.

    Returns
    -------
    dict[str, Tensor]
        float32 tensors on the CPU under their TransformerLens names, biases included.

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, published code.
    """
    generator = torch.Generator().manual_seed(spec.init_seed)
    parameters = {}
    for name, shape in parameter_shapes(spec, d_vocab, n_ctx, d_vocab_out).items():
        if is_bias(name):
            parameters[name] = torch.zeros(shape)
        else:
            std = _standard_deviation(spec, name, d_vocab)
            drawn = torch.empty(shape).normal_(0.0, std, generator=generator)
            parameters[name] = drawn * spec.init_scale if spec.init_scale != 1 else drawn
    return parameters


def is_bias(name: str) -> bool:
    """Whether a parameter name is that of a bias."""
    return name.rsplit(".", 1)[-1].startswith("b_")


def is_trained(name: str, spec: ModelSpec) -> bool:
    """Whether a parameter is trained under ``spec.biases``; weights always are."""
    if not is_bias(name) or spec.biases == "all":
        return True
    return spec.biases == "mlp" and ".mlp." in name


def _standard_deviation(spec: ModelSpec, name: str, d_vocab: int) -> float:
    if spec.init == "tl_demo":
        return 0.8 / math.sqrt(spec.d_model)
    fan = d_vocab if name == "unembed.W_U" else spec.d_model
    return 1 / math.sqrt(fan)
