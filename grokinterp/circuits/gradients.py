"""How the logits change with the embeddings of the two tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from grokinterp.circuits.snapshot import Snapshot
from grokinterp.models import ModelSpec
from grokinterp.models.pair_tables import has_pair_tables
from grokinterp.models.transformer import ACTIVATIONS, transformer_logits

N_TRIPLES = 2000
"""Triples that :func:`gradient_symmetricity` draws."""
SEED = 0
"""Seed of that draw."""
_TRIPLES_AT_A_TIME = 4096


@dataclass(frozen=True)
class GradientSymmetricity:
    """Mean cosine between two gradients, and how sure it is."""

    mean: float
    """In [-1, 1]; NaN if no triple has two gradients."""
    standard_error: float
    """Standard deviation over the triples divided by the square root of their number; zero
    when all triples were taken, NaN for fewer than two."""
    n_triples: int
    """Triples with two gradients that are finite and not zero; the others are left out."""


def gradient_symmetricity(
    snapshot: Snapshot, *, n_triples: int | None = N_TRIPLES, seed: int = SEED
) -> GradientSymmetricity:
    r"""Mean cosine between the gradients of a logit with respect to its two token embeddings.

    :math:`s_g = \mathrm{mean}_{(a,b,c)} \cos(\partial Q_{abc}/\partial E_a,\,
    \partial Q_{abc}/\partial E_b)`, where :math:`Q_{abc}` is logit c of the pair (a, b) and
    the two embeddings are those at their positions, also where a = b. Near 1 for a pizza,
    clearly below for a clock.

    Parameters
    ----------
    snapshot
        Of a network of any kind.
    n_triples
        Triples drawn, the pair uniform over the task's pairs and c uniform over the classes;
        None for all of them: 1.4 million at p = 113, about half a minute.
    seed
        Of the draw, by a generator of its own. The same triples for every checkpoint.

    References
    ----------
    Zhong et al., "The clock and the pizza: two stories in mechanistic explanation of neural
    networks", NeurIPS 2023, arXiv:2306.17844, section 4.2, with 100 triples.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> gradient_symmetricity(snapshot, n_triples=100).mean
    -0.1...
    """
    rows, classes = _triples(snapshot, n_triples, seed)
    tokens = snapshot.tokens
    with torch.enable_grad():
        cosines = torch.cat(
            [
                _cosines(snapshot, tokens[row], c)
                for row, c in zip(
                    rows.split(_TRIPLES_AT_A_TIME), classes.split(_TRIPLES_AT_A_TIME), strict=True
                )
            ]
        )
    cosines = cosines[cosines.isfinite()]
    n = len(cosines)
    error = float(cosines.std()) / math.sqrt(n) if n > 1 else math.nan
    is_sample = n_triples is not None
    return GradientSymmetricity(float(cosines.mean()), error if is_sample else 0.0, n)


def _triples(
    snapshot: Snapshot, n_triples: int | None, seed: int
) -> tuple[Int[Tensor, " triple"], Int[Tensor, " triple"]]:
    n_pairs, n_classes = snapshot.logits.shape
    if n_triples is None:
        every = torch.arange(n_pairs * n_classes)
        return every // n_classes, every % n_classes
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randint(n_pairs, (n_triples,), generator=generator),
        torch.randint(n_classes, (n_triples,), generator=generator),
    )


def _cosines(
    snapshot: Snapshot, tokens: Int[Tensor, "triple pos"], classes: Int[Tensor, " triple"]
) -> Float[Tensor, " triple"]:
    weights = {name: value.detach() for name, value in snapshot.parameters.items()}
    operands = weights["embed.W_E"][tokens[:, :2]].requires_grad_()
    logits_of = _one_layer_logits if has_pair_tables(snapshot.spec) else _any_logits
    logits = logits_of(weights, snapshot.spec, operands, tokens, classes)
    (gradient,) = torch.autograd.grad(logits.sum(), operands)
    # Scaled to a largest entry of one, so that no square leaves the range of float32; a
    # gradient of zeros gives NaN here and is left out by the caller.
    gradient = gradient / gradient.abs().amax(dim=2, keepdim=True)
    return F.cosine_similarity(gradient[:, 0], gradient[:, 1], dim=1).double()


def _any_logits(
    weights: Mapping[str, Tensor],
    spec: ModelSpec,
    operands: Float[Tensor, "triple 2 d_model"],
    tokens: Int[Tensor, "triple pos"],
    classes: Int[Tensor, " triple"],
) -> Float[Tensor, " triple"]:
    def use_operands(name: str, activation: Tensor) -> Tensor:
        if name != "hook_embed":
            return activation
        return torch.cat([operands, activation[:, 2:]], dim=1)

    logits = transformer_logits(weights, tokens, spec, use_operands)
    return logits[:, -1].gather(1, classes[:, None])[:, 0]


def _one_layer_logits(
    weights: Mapping[str, Tensor],
    spec: ModelSpec,
    operands: Float[Tensor, "triple 2 d_model"],
    tokens: Int[Tensor, "triple pos"],
    classes: Int[Tensor, " triple"],
) -> Float[Tensor, " triple"]:
    # The query is that of ``=`` in every triple, only the last position is read, and of the
    # logits only one: W_O W_in and W_out W_U are multiplied before they meet the triples.
    w = {name.rsplit(".", 1)[-1]: value for name, value in weights.items()}
    equals = w["W_E"][-1] + w["W_pos"][2]
    residual = torch.cat([operands + w["W_pos"][:2], equals.expand(len(operands), 1, -1)], dim=1)
    query = torch.einsum("m,hmd->hd", equals, w["W_Q"]) + w["b_Q"]
    key_direction = torch.einsum("hmd,hd->mh", w["W_K"], query) / math.sqrt(spec.d_head)
    # What b_K adds is the same at every position and drops out of the softmax.
    pattern = (residual @ key_direction).softmax(dim=1)
    W_V = w["W_V"].movedim(0, 1).flatten(1)
    values = (residual @ W_V + w["b_V"].flatten()).unflatten(-1, (spec.n_heads, spec.d_head))
    z = (pattern[..., None] * values).sum(dim=1).flatten(1)
    constant = equals + w["b_O"]
    W_O = w["W_O"].flatten(0, 1)
    pre = z @ (W_O @ w["W_in"]) + constant @ w["W_in"] + w["b_in"]
    W_L, W_OU = w["W_out"] @ w["W_U"], W_O @ w["W_U"]
    through_mlp = (ACTIVATIONS[spec.act_fn](pre) * W_L.T[classes]).sum(dim=1)
    around_mlp = (z * W_OU.T[classes]).sum(dim=1)
    offset = (constant + w["b_out"]) @ w["W_U"] + w["b_U"]
    return through_mlp + around_mlp + offset[classes]
