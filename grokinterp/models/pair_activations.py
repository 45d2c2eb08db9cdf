"""The one-layer network on all pairs, with everything that the analysis reads of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from grokinterp.models.pair_tables import PairActivations, pair_tables, value_rows
from grokinterp.models.spec import ModelSpec
from grokinterp.models.transformer import ACTIVATIONS

_PAIRS_AT_A_TIME = 2048
"""What lies between the tables and the results then stays in the processor's cache."""


def pair_activations(
    parameters: Mapping[str, Tensor],
    spec: ModelSpec,
    pairs: Int[Tensor, "pair 2"],
    n_answers: int,
) -> PairActivations:
    """Pattern, neurons and logits of the answers of a network that has pair tables.

    The same function as :func:`~grokinterp.models.pair_tables.forward_tables` up to float rounding.
    What a pair reads is a weighted sum of eight rows (four heads, two operands), which is gathered
    and not multiplied, and results are written where they stay.

    Parameters
    ----------
    n_answers
        Outputs to compute, the first ones; the network may have more, such as one for ``=``.

    Examples
    --------
    >>> from grokinterp.models.initialization import initial_parameters
    >>> spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=16)
    >>> parameters = initial_parameters(spec, d_vocab=6, n_ctx=3, d_vocab_out=6)
    >>> found = pair_activations(parameters, spec, torch.tensor([[0, 1], [4, 2]]), n_answers=5)
    >>> found.pattern.shape, found.logits.shape
    (torch.Size([2, 2, 3]), torch.Size([2, 5]))
    """
    tables = pair_tables(parameters, spec)
    tables = replace(tables, W_L=tables.W_L[:, :n_answers])
    d_mlp, n_outputs = tables.W_L.shape
    rows, constant = value_rows(tables, d_mlp + n_outputs)
    n_tokens = tables.scores.shape[1]
    first_rows = torch.arange(2 * spec.n_heads).view(spec.n_heads, 2) * n_tokens
    flat = rows.flatten(0, 2)
    found = PairActivations(
        flat.new_empty(len(pairs), spec.n_heads, 3),
        neurons := flat.new_empty(len(pairs), d_mlp),
        flat.new_empty(len(pairs), n_outputs),
    )
    for start in range(0, len(pairs), _PAIRS_AT_A_TIME):
        some = slice(start, start + _PAIRS_AT_A_TIME)
        a, b = pairs[some].T
        at_equals = tables.score_equals.expand(len(a), -1)
        scores = torch.stack([tables.scores[0, a], tables.scores[1, b], at_equals], dim=-1)
        pattern = torch.softmax(scores, dim=-1, out=found.pattern[some])
        read = F.embedding_bag(
            (first_rows + pairs[some, None]).flatten(1),
            flat,
            mode="sum",
            per_sample_weights=pattern[..., :2].flatten(1),
        ).add_(constant)
        neurons[some] = ACTIVATIONS[spec.act_fn](read[:, :d_mlp])
        torch.addmm(read[:, d_mlp:], neurons[some], tables.W_L, out=found.logits[some])
    return found
