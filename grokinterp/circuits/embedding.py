"""What of the token embedding reaches the neurons, by frequency."""

from __future__ import annotations

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits.snapshot import Snapshot
from grokinterp.spectra import component_norms, norms_by_frequency


def embedding_through_heads(snapshot: Snapshot) -> Float[Tensor, "token neuron"]:
    r"""Direct effect of each token on the neurons: :math:`W_E \sum_j W_V^j W_O^j W_{in}`.

    What the neurons of the last block would read of a token's embedding if every head attended
    to it with weight one. Rows are the residues in the order of the cyclic view.

    Returns
    -------
    Tensor
        (n, d_mlp) float64; (n, 2 d_mlp), for a and then for b, if each has an embedding of its own.

    Raises
    ------
    ConfigError
        If the task has no cyclic view.
    """
    snapshot.require_cyclic_view()
    weights = {name: snapshot.weight(name).double() for name in ("W_V", "W_O", "W_in")}
    through = torch.einsum("hde,hef->df", weights["W_V"], weights["W_O"])
    tables = snapshot.operand_rows.double().split(len(through), dim=1)
    return torch.cat([rows @ through @ weights["W_in"] for rows in tables], dim=1)


def embedding_spectrum(snapshot: Snapshot) -> pd.DataFrame:
    r"""Norms of the embedding by frequency, alone and as the neurons read it.

    Returns
    -------
    DataFrame
        A row per frequency 1 .. n//2: ``frequency``; ``cosine_norm`` and ``sine_norm`` of W_E,
        or of the embeddings of a and b concatenated if each has its own,
        in the orthonormal basis (no sine at the highest frequency of an even n: empty);
        ``W_E_norm``, both together; ``through_heads_norm``, both of
        :func:`embedding_through_heads`, of a transformer alone.

    Raises
    ------
    ConfigError
        If the task has no cyclic view.

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, section 4.1 and figure 3.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> sorted(embedding_spectrum(snapshot).nlargest(2, "W_E_norm")["frequency"])
    [2, 3]
    """
    n = snapshot.require_cyclic_view().order
    rows = snapshot.operand_rows
    norms = component_norms(rows)
    sines = torch.full((n // 2,), torch.nan, dtype=torch.float64)
    sines[: (n - 1) // 2] = norms[2::2]
    table = pd.DataFrame(
        {
            "frequency": range(1, n // 2 + 1),
            "cosine_norm": norms[1::2].numpy(),
            "sine_norm": sines.numpy(),
            "W_E_norm": norms_by_frequency(rows).numpy(),
        }
    )
    if not snapshot.has("blocks", "neurons"):
        return table
    through_heads = norms_by_frequency(embedding_through_heads(snapshot))
    return table.assign(through_heads_norm=through_heads.numpy())
