r"""The one-layer network on pairs, as sums of small tables: exact, and many times cheaper.

Only the last position of ``a b =`` is read, and it always holds ``=``. So its query is the
same for every pair; the attention scores and values at the other positions are tables with
one row per token; and the matrices behind the values can be multiplied before they meet the
batch. With z the attention output per head (before W_O) and :math:`r` the embedding of ``=``,

.. math::
    \mathrm{pre} &= z\, W_O W_{in} + (r + b_O) W_{in} + b_{in} \\
    \mathrm{logits} &= z\, W_O W_U + (r + b_O + b_{out}) W_U + b_U
                       + \mathrm{act}(\mathrm{pre})\, W_{out} W_U .

This is the function of the hooked model up to float rounding; both are compared in float64
by the tests.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from grokinterp.models.mlp import mlp_outputs
from grokinterp.models.mlp_spec import MlpSpec
from grokinterp.models.spec import ModelSpec
from grokinterp.models.transformer import ACTIVATIONS, input_tokens, transformer_logits
from grokinterp.portions import joined


@dataclass(frozen=True, eq=False)
class PairTables:
    """The parameters as tables over tokens, and the products of matrices behind them."""

    scores: Float[Tensor, "2 token head"]
    """Scaled attention scores of ``=`` toward each token as a and as b."""
    score_equals: Float[Tensor, " head"]
    """Scaled attention score of ``=`` toward itself."""
    values: Float[Tensor, "2 token head d_head"]
    """Values of each token as a and as b."""
    value_equals: Float[Tensor, "head d_head"]
    """Value of ``=``."""
    readout: Float[Tensor, "d_z_plus_1 d_mlp_plus_c"]
    """Rows: the components of z, and one row of constants. Columns: the neurons'
    pre-activations, then the part of the logits that does not go through the MLP."""
    W_L: Float[Tensor, "d_mlp c"]
    """Neuron-logit map W_out W_U."""


@dataclass(frozen=True, eq=False)
class PairActivations:
    """What the network computes at the last position, one row per pair."""

    pattern: Float[Tensor, "pair head pos"]
    """Attention from the last position to all, in the order of the sequence (last block)."""
    neurons: Float[Tensor, "pair neuron"] | None
    """Activations after the nonlinearity (last block); None if it has no MLP."""
    logits: Float[Tensor, "pair c"]
    """Every output of the network; the first are the answers."""


def has_pair_tables(spec: ModelSpec) -> bool:
    """Whether the network is of the kind that this module computes exactly.

    One layer, read at the ``=`` of ``a b =``, with the usual attention, an MLP without gate,
    no norms, and one embedding for a and b that is not tied. The direction of attention does not
    matter there: the last position sees every other under both.
    """
    return not fields_without_tables(spec)


def fields_without_tables(spec: ModelSpec) -> list[str]:
    """Fields of a spec, with their values, for which there are no tables; empty if there are.

    Examples
    --------
    >>> fields_without_tables(ModelSpec(normalization="LN"))
    ['normalization=LN']
    """
    needed = {
        "n_layers": 1,
        "input_format": "a_b_equals",
        "attention_rate": 1,
        "normalization": "none",
        "gated_mlp": False,
        "attn_only": False,
        "tied_embeddings": False,
        "operand_embeddings": "shared",
    }
    found = {name: getattr(spec, name) for name in needed}
    return [
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in found.items()
        if value != needed[name]
    ]


def pair_tables(parameters: Mapping[str, Tensor], spec: ModelSpec) -> PairTables:
    """Build the tables of a one-layer network; differentiable in the parameters.

    Raises
    ------
    KeyError
        If a parameter is missing.
    """
    embedding, positions = parameters["embed.W_E"], parameters["pos_embed.W_pos"]
    attn = {name: parameters[f"blocks.0.attn.{name}"] for name in _ATTENTION}
    mlp = {name: parameters[f"blocks.0.mlp.{name}"] for name in ("W_in", "b_in", "W_out", "b_out")}
    W_U, b_U = parameters["unembed.W_U"], parameters["unembed.b_U"]

    operands = embedding[:-1] + positions[:2, None]
    equals = embedding[-1] + positions[2]
    query = einsum(equals, attn["W_Q"], "d_model, head d_model d_head -> head d_head") + attn["b_Q"]
    # The query meets W_K first: one vector per head, instead of keys for every token.
    key_direction = einsum(attn["W_K"], query, "head d_model d_head, head d_head -> d_model head")
    key_offset = einsum(attn["b_K"], query, "head d_head, head d_head -> head")
    scale = 1 / math.sqrt(spec.d_head)
    W_V = rearrange(attn["W_V"], "head d_model d_head -> d_model (head d_head)")
    b_V = rearrange(attn["b_V"], "head d_head -> (head d_head)")
    W_O = rearrange(attn["W_O"], "head d_head d_model -> (head d_head) d_model")
    constant = equals + attn["b_O"]
    constants = torch.cat(
        [constant @ mlp["W_in"] + mlp["b_in"], (constant + mlp["b_out"]) @ W_U + b_U]
    )
    return PairTables(
        scores=(operands @ key_direction + key_offset) * scale,
        score_equals=(equals @ key_direction + key_offset) * scale,
        values=(operands @ W_V + b_V).unflatten(-1, (spec.n_heads, spec.d_head)),
        value_equals=(equals @ W_V + b_V).unflatten(-1, (spec.n_heads, spec.d_head)),
        readout=torch.cat([W_O @ torch.cat([mlp["W_in"], W_U], dim=1), constants[None]]),
        W_L=mlp["W_out"] @ W_U,
    )


def value_rows(
    tables: PairTables, width: int
) -> tuple[Float[Tensor, "head 2 token width"], Float[Tensor, " width"]]:
    r"""Send every value through the readout before it meets the batch.

    What a pair reads is then a weighted sum of eight rows (four heads, two operands): patterns
    sum to one, so with the value of ``=`` taken off the others, ``=`` needs no weight.

    .. math:: \mathrm{read} = \mathrm{constant} + \sum_h A_h^a\, \mathrm{rows}_{h,0,a}
                                                 + A_h^b\, \mathrm{rows}_{h,1,b}

    Parameters
    ----------
    tables
        Of a one-layer network.
    width
        Columns to return; those beyond d_mlp + c are zero.

    Returns
    -------
    rows
        Of each head, operand and token: neurons' pre-activations, then the part of the logits
        that does not go through the MLP.
    constant
        What is read when every head attends to ``=`` alone.
    """
    padded = F.pad(tables.readout, (0, width - tables.readout.shape[1]))
    readout = padded[:-1]
    constant = torch.addmv(padded[-1], readout.T, tables.value_equals.flatten())
    values = rearrange(
        tables.values - tables.value_equals,
        "operand token head d_head -> head (operand token) d_head",
    )
    by_head = readout.unflatten(0, tables.value_equals.shape)
    return torch.bmm(values, by_head).unflatten(1, (2, -1)), constant


def forward_tables(
    tables: PairTables, spec: ModelSpec, pairs: Int[Tensor, "pair 2"]
) -> PairActivations:
    """Run the network on pairs, given its tables; differentiable by autograd."""
    a, b = pairs[:, 0], pairs[:, 1]
    at_equals = tables.score_equals.expand(len(pairs), -1)
    scores = torch.stack([tables.scores[0, a], tables.scores[1, b], at_equals], dim=-1)
    pattern = scores.softmax(dim=-1)
    z = (
        pattern[..., 0, None] * tables.values[0, a]
        + pattern[..., 1, None] * tables.values[1, b]
        + pattern[..., 2, None] * tables.value_equals
    ).flatten(1)
    read = torch.addmm(tables.readout[-1], z, tables.readout[:-1])
    neurons = ACTIVATIONS[spec.act_fn](read[:, : spec.d_mlp])
    return PairActivations(
        pattern, neurons, torch.addmm(read[:, spec.d_mlp :], neurons, tables.W_L)
    )


def forward_pairs(
    parameters: Mapping[str, Tensor], spec: ModelSpec, pairs: Int[Tensor, "pair 2"]
) -> PairActivations:
    """Run a network of any kind on pairs and keep what the analysis reads.

    Networks that have tables go through them, the others through
    :func:`~grokinterp.models.transformer.transformer_logits`.

    Examples
    --------
    >>> from grokinterp.models.initialization import initial_parameters
    >>> spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=16)
    >>> parameters = initial_parameters(spec, d_vocab=6, n_ctx=3, d_vocab_out=5)
    >>> tuple(forward_pairs(parameters, spec, torch.tensor([[0, 1], [4, 2]])).logits.shape)
    (2, 5)
    """
    if has_pair_tables(spec):
        return forward_tables(pair_tables(parameters, spec), spec, pairs)
    last = spec.n_layers - 1
    kept: dict[str, Tensor] = {}
    wanted = (f"blocks.{last}.attn.hook_pattern", f"blocks.{last}.mlp.hook_post")

    def keep(name: str, activation: Tensor) -> Tensor:
        if name in wanted:
            kept[name] = activation
        return activation

    tokens = input_tokens(pairs, spec, len(parameters["embed.W_E"]))
    logits = transformer_logits(parameters, tokens, spec, keep, last_only=True)[:, -1]
    neurons = None if spec.attn_only else kept[wanted[1]][:, -1]
    return PairActivations(kept[wanted[0]][:, :, -1], neurons, logits)


def pair_logits(
    parameters: Mapping[str, Tensor], spec: ModelSpec | MlpSpec, pairs: Int[Tensor, "pair 2"]
) -> Float[Tensor, "pair c"]:
    """Run a network of any kind on pairs and keep the logits alone.

    A multilayer perceptron is a network too. A thousand pairs at a time, so that what lies
    between stays in the processor's cache: about twice as fast as :func:`forward_pairs` on
    many pairs.

    Examples
    --------
    >>> from grokinterp.models.initialization import initial_parameters
    >>> spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=16)
    >>> parameters = initial_parameters(spec, d_vocab=6, n_ctx=3, d_vocab_out=5)
    >>> tuple(pair_logits(parameters, spec, torch.tensor([[0, 1], [4, 2]])).shape)
    (2, 5)
    """
    parts = pairs.split(_PAIRS_AT_A_TIME)
    if isinstance(spec, MlpSpec):
        return joined((mlp_outputs(parameters, part, spec) for part in parts), len(pairs))
    if has_pair_tables(spec):
        tables = pair_tables(parameters, spec)
        return joined((forward_tables(tables, spec, part).logits for part in parts), len(pairs))
    return joined((forward_pairs(parameters, spec, part).logits for part in parts), len(pairs))


_PAIRS_AT_A_TIME = 1024
_ATTENTION = ("W_Q", "b_Q", "W_K", "b_K", "W_V", "b_V", "W_O", "b_O")
