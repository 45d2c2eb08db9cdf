"""Gradients of the weights, given those of the tables: what autograd would do, written out.

The tables are small, so under autograd most of their time went into its bookkeeping. The
formulas follow :func:`grokinterp.models.pair_tables.pair_tables` and
:func:`~grokinterp.models.pair_tables.value_rows` line by line, from the end to the beginning.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor

from grokinterp.models import ModelSpec
from grokinterp.models.pair_tables import PairTables

Leaves = tuple[Tensor, ...]
"""Tensors that a batch of pairs reads, or a gradient of each."""


def value_row_gradients(
    tables: PairTables, d_leaves: Leaves, d_W_L: Float[Tensor, "d_mlp c"]
) -> PairTables:
    """Go back through :func:`~grokinterp.models.pair_tables.value_rows`.

    Parameters
    ----------
    tables
        That the rows were made of.
    d_leaves
        Gradients of the scores of a and b (2, token, head) and of ``=`` (head), handed on; of
        the rows (head, 2, token, width) and of what is constant (width).
    d_W_L
        Gradient of the neuron-logit map; handed on.

    Returns
    -------
    PairTables
        The gradient of each table in its place.
    """
    d_scores, d_score_equals, d_rows, d_constant = d_leaves
    width = tables.readout.shape[1]
    along = d_rows.flatten(1, 2)[..., :width]
    weights, d_constants = tables.readout[:-1], d_constant[:width]
    d_readout = torch.empty_like(tables.readout)
    d_weights = d_readout[:-1]
    values = rearrange(
        tables.values - tables.value_equals,
        "operand token head d_head -> head d_head (operand token)",
    )
    heads = tables.value_equals.shape
    torch.bmm(values, along, out=d_weights.unflatten(0, heads))
    d_weights.addr_(tables.value_equals.flatten(), d_constants)
    d_readout[-1] = d_constants
    d_values = torch.bmm(along, weights.unflatten(0, heads).transpose(1, 2))
    return PairTables(
        scores=d_scores,
        score_equals=d_score_equals,
        values=d_values.unflatten(1, (2, -1)).permute(1, 2, 0, 3),
        value_equals=(weights @ d_constants).view(heads) - d_values.sum(1),
        readout=d_readout,
        W_L=d_W_L,
    )


def weight_gradients(
    parameters: Mapping[str, Tensor], spec: ModelSpec, d_tables: PairTables
) -> dict[str, Tensor]:
    """Go back through :func:`~grokinterp.models.pair_tables.pair_tables`.

    Parameters
    ----------
    parameters
        Weights that the tables were made of.
    spec
        Shape of the network.
    d_tables
        The gradient of each table in its place.

    Returns
    -------
    dict
        The gradient of every weight, contiguous, each in memory of its own.

    Examples
    --------
    >>> from grokinterp.models.initialization import initial_parameters
    >>> from grokinterp.models.pair_tables import pair_tables
    >>> spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=16)
    >>> parameters = initial_parameters(spec, d_vocab=6, n_ctx=3, d_vocab_out=5)
    >>> tables = pair_tables(parameters, spec)  # the loss is the sum of all squares, halved
    >>> tuple(weight_gradients(parameters, spec, tables)["embed.W_E"].shape)
    (6, 8)
    """
    weights = {name.removeprefix("blocks.0."): value for name, value in parameters.items()}
    found = _readout_gradients(weights, d_tables)
    d_equals = found.pop("equals")
    into_attention, d_inputs = _attention_gradients(weights, spec, d_tables)
    d_inputs[-1] += d_equals
    n_tokens = d_tables.scores.shape[1]
    d_operands = d_inputs[:-1].unflatten(0, (2, n_tokens))
    found["embed.W_E"] = torch.cat([d_operands.sum(0), d_inputs[-1:]])
    found["pos_embed.W_pos"] = torch.cat([d_operands.sum(1), d_inputs[-1:]])
    found |= into_attention
    # The fused optimizers read a gradient's memory as if it lay like the weight's.
    return {_FULL_NAMES.get(name, name): value.contiguous() for name, value in found.items()}


def _readout_gradients(weights: Mapping[str, Tensor], d_tables: PairTables) -> dict[str, Tensor]:
    """Of the matrices behind the values, and what flows into the input at ``=``."""
    W_in, W_out, W_U = weights["mlp.W_in"], weights["mlp.W_out"], weights["unembed.W_U"]
    d_mlp = W_in.shape[1]
    d_constants = d_tables.readout[-1]
    d_readout, d_from_z = d_tables.readout, d_tables.readout[:-1]
    constant = weights["embed.W_E"][-1] + weights["pos_embed.W_pos"][2] + weights["attn.b_O"]
    W_O = weights["attn.W_O"].flatten(0, 1)
    # The constant goes through the same two matrices as the rows of W_O.
    into = torch.cat([W_O, constant[None]])
    d_constant_in = W_in @ d_constants[:d_mlp]
    d_b_out = W_U @ d_constants[d_mlp:]
    d_W_O = torch.addmm(d_from_z[:, d_mlp:] @ W_U.T, d_from_z[:, :d_mlp], W_in.T)
    d_W_U = torch.addmm(into.T @ d_readout[:, d_mlp:], W_out.T, d_tables.W_L)
    d_W_U.addr_(weights["mlp.b_out"], d_constants[d_mlp:])
    d_constant = d_constant_in + d_b_out
    return {
        "equals": d_constant,
        "attn.b_O": d_constant.clone(),
        "attn.W_O": d_W_O.view_as(weights["attn.W_O"]),
        "mlp.W_in": into.T @ d_readout[:, :d_mlp],
        "mlp.b_in": d_constants[:d_mlp].clone(),
        "mlp.W_out": d_tables.W_L @ W_U.T,
        "mlp.b_out": d_b_out,
        "unembed.W_U": d_W_U,
        "unembed.b_U": d_constants[d_mlp:].clone(),
    }


def _attention_gradients(
    weights: Mapping[str, Tensor], spec: ModelSpec, d_tables: PairTables
) -> tuple[dict[str, Tensor], Float[Tensor, "inputs d_model"]]:
    """Of scores and values, and of the inputs: tokens as a, tokens as b, then ``=``."""
    embedding, positions = weights["embed.W_E"], weights["pos_embed.W_pos"]
    W_Q, W_K, b_K = weights["attn.W_Q"], weights["attn.W_K"], weights["attn.b_K"]
    equals = embedding[-1] + positions[2]
    inputs = torch.cat([(embedding[:-1] + positions[:2, None]).flatten(0, 1), equals[None]])
    query = einsum(equals, W_Q, "d_model, head d_model d_head -> head d_head") + weights["attn.b_Q"]
    key_direction = einsum(W_K, query, "head d_model d_head, head d_head -> d_model head")

    d_scores = torch.cat([d_tables.scores.flatten(0, 1), d_tables.score_equals[None]])
    d_scores = d_scores * (1 / math.sqrt(spec.d_head))
    d_values = torch.cat([d_tables.values.flatten(0, 1), d_tables.value_equals[None]]).flatten(1)
    d_direction, d_offset = inputs.T @ d_scores, d_scores.sum(0)
    W_V = rearrange(weights["attn.W_V"], "head d_model d_head -> d_model (head d_head)")
    d_inputs = torch.addmm(d_values @ W_V.T, d_scores, key_direction.T)

    d_query = einsum(W_K, d_direction, "head d_model d_head, d_model head -> head d_head")
    d_query += d_offset[:, None] * b_K
    d_inputs[-1] += einsum(W_Q, d_query, "head d_model d_head, head d_head -> d_model")
    d_W_V = rearrange(
        inputs.T @ d_values, "d_model (head d_head) -> head d_model d_head", head=spec.n_heads
    )
    return {
        "attn.W_Q": equals[None, :, None] * d_query[:, None],
        "attn.b_Q": d_query,
        "attn.W_K": d_direction.T[:, :, None] * query[:, None],
        "attn.b_K": d_offset[:, None] * query,
        "attn.W_V": d_W_V,
        "attn.b_V": d_values.sum(0).view_as(weights["attn.b_V"]),
    }, d_inputs


_FULL_NAMES = {
    name: f"blocks.0.{name}"
    for name in (
        *(f"attn.{kind}_{which}" for kind in "Wb" for which in "QKVO"),
        *(f"mlp.{kind}_{which}" for kind in "Wb" for which in ("in", "out")),
    )
}
