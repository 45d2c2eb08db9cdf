"""What can be read off the weights without running the network."""

from __future__ import annotations

import math

import torch

from grokinterp.bibliography import reference
from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.measures.measure import measure
from grokinterp.spectra import component_norms, effective_rank, gini

_MATRICES = ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_in", "W_out", "W_U")
_SECTION_5 = f"{reference('nanda2023progress')}, section 5"


@measure(
    source=_SECTION_5,
    needs=("weights",),
    misleads=(
        "It also falls in networks that never generalize, and it can rise while they do: 3.35 "
        "times the initial norm in the run of kumar2023 without weight decay. With the norm "
        "held fixed, generalization is delayed but not prevented."
    ),
)
def sum_squared_weights(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Sum of squares of all parameters, biases included; tied embeddings count once.

    Positions that are not learned are not parameters.
    """
    return math.fsum(_squares(snapshot).values())


@measure(
    source=_SECTION_5,
    columns=tuple(f"sum_squared_weights_{name}" for name in _MATRICES),
    needs=("blocks",),
    misleads=(
        "The matrices of all blocks are added under one name, and biases are left out. A matrix "
        "may shrink because another grows: only products such as W_L act on the logits."
    ),
)
def sum_squared_weights_by_matrix(
    snapshot: Snapshot, key_frequencies: KeyFrequencies
) -> dict[str, float]:
    """Sum of squares of every matrix of a transformer, of all blocks together.

    NaN for a matrix that the network does not have, such as W_U if the embeddings are tied.
    """
    squares = _squares(snapshot)
    by_matrix = {
        matrix: [square for name, square in squares.items() if name.rsplit(".", 1)[-1] == matrix]
        for matrix in _MATRICES
    }
    return {
        f"sum_squared_weights_{matrix}": math.fsum(found) if found else math.nan
        for matrix, found in by_matrix.items()
    }


def _squares(snapshot: Snapshot) -> dict[str, float]:
    held = set()
    if snapshot.has("blocks"):
        # A tied W_U is a copy of rows of W_E, and sinusoids are a table that is written down.
        held |= {"unembed.W_U"} if snapshot.spec.tied_embeddings else set()
        held |= {"pos_embed.W_pos"} if snapshot.spec.positions != "learned" else set()
    return {
        name: float(value.double().square().sum())
        for name, value in snapshot.parameters.items()
        if name not in held
    }


@measure(
    source=f"{_SECTION_5}; Gini of {reference('hurley2009comparing')}",
    needs=("frequencies", "operands"),
    misleads=(
        "A sparse embedding need not be used: in one p = 113 run W_E is strong in 18, 23 and "
        "37, which the logits do not use. The norms of n components are compared, so it cannot "
        "be compared between different n."
    ),
)
def gini_W_E(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Gini coefficient of the norms of the embedding's Fourier components, constant included.

    Cosine and sine are two components. If a and b have separate embeddings, these are
    concatenated. NaN for an embedding of zeros.
    """
    return gini(component_norms(snapshot.operand_rows))


@measure(
    source=f"{_SECTION_5}; Gini of {reference('hurley2009comparing')}",
    needs=("frequencies", "readout"),
    misleads=(
        "What attention writes directly to the logits is not in W_L. Sparse does not mean clean: "
        "it is 0.60 in the published low-precision network, whose W_L has 64 % of its norm outside "
        "the key directions."
    ),
)
def gini_W_L(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Gini coefficient of the norms of the Fourier components of W_L over its output columns.

    W_L = W_out W_U of the last block, or the last matrix of a perceptron. NaN for a map of zeros.
    """
    return gini(component_norms(snapshot.W_L[:, snapshot.class_tokens].T))


@measure(
    source=f"{reference('roy2007effective')}, on squared singular values",
    needs=("operands",),
    misleads=(
        "The mean embedding counts as a direction, and so do circles that nothing reads. It "
        "says how many directions there are, not that they are waves: a random table of low rank "
        "has the same value."
    ),
)
def effective_rank_W_E(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Exponential of the entropy of the squared singular values of the residues' embedding.

    If a and b have separate embeddings, these are concatenated. NaN for an embedding of zeros.
    """
    tables = snapshot.operands
    rows = tables.a if tables.is_shared else torch.cat([tables.a, tables.b], dim=1)
    return effective_rank(rows)
