"""How the logits change with the embeddings of the two tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from grokinterp.circuits.snapshot import Snapshot

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
    clearly below for a clock. Exactly 1 if the two embeddings are summed.

    Parameters
    ----------
    snapshot
        Of a network that reads a and b in the same coordinates: the cosine of gradients in two
        unrelated bases means nothing.
    n_triples
        Triples drawn, the pair uniform over the task's pairs and c uniform over the classes;
        None for all of them: 1.4 million at p = 113, about half a minute.
    seed
        Of the draw, by a generator of its own. The same triples for every checkpoint.

    Raises
    ------
    ConfigError
        If the network has no operands, its logits cannot be recomputed from them, or it reads a
        and b in different coordinates.

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
    snapshot.network.require("operands", "same_coordinates", "way_from_operands")
    rows, classes = _triples(snapshot, n_triples, seed)
    with torch.enable_grad():
        cosines = torch.cat(
            [
                _cosines(snapshot, row, c)
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
    snapshot: Snapshot, rows: Int[Tensor, " triple"], classes: Int[Tensor, " triple"]
) -> Float[Tensor, " triple"]:
    tables, pairs = snapshot.operands, snapshot.arrangement.pairs[rows]
    a = tables.a.detach()[pairs[:, 0]].requires_grad_()
    b = tables.b.detach()[pairs[:, 1]].requires_grad_()
    logits = snapshot.network.chosen_logits(a, b, rows, classes)
    gradients = torch.autograd.grad(logits.sum(), [a, b])
    # Scaled to a largest entry of one, so that no square leaves the range of float32; a
    # gradient of zeros gives NaN here and is left out by the caller.
    first, second = (g / g.abs().amax(dim=1, keepdim=True) for g in gradients)
    return F.cosine_similarity(first, second, dim=1).double()
