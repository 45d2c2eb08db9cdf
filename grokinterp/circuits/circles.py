"""The circles of an embedding: how round its principal components are, and one circle alone."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits.snapshot import Snapshot
from grokinterp.errors import ConfigError
from grokinterp.spectra import component_frequencies, fourier_basis, power_by_frequency

N_COMPONENTS = 4
"""Principal components that :func:`circularity` looks at."""
MIN_CIRCULARITY = 0.995
"""From here on an embedding is called circular (Zhong et al. 2023)."""

Isolation = Literal["fourier", "principal_components"]
"""How one circle is taken out of an embedding; see :func:`isolate_circle`."""


def circularity(snapshot: Snapshot) -> float:
    r"""How close the first four principal components of the embedding are to single waves.

    :math:`c = \frac14 \sum_{l \le 4} \max_k \frac{2}{n \sum_j v_{lj}^2}
    \left|\sum_j v_{lj} e^{2 \pi i jk/n}\right|^2`, where :math:`v_l` is the l-th principal
    component of the residues' embeddings, in the order of the cyclic view: the largest share of
    its power that one frequency holds. 1 if each of the four is a cosine of one frequency, as
    for two circles; from 0.995 on an embedding is called circular. Noise does not give 0 but the
    largest of n//2 random shares, about 0.08 at n = 113.

    Not a measure of how many circles there are, nor low only where there are none: components
    of equal variance come in any mixture, so m circles of exactly the same size can give as
    little as 1/m.

    Returns
    -------
    float
        In (0, 1]. At the highest frequency of an even n, which has no sine, the factor is 1/n
        instead of 2/n, so that an alternating component counts 1 and not 2. Components without
        variance (up to the rounding of the weights) are left out of the mean, as those past the
        second are where there is one exact circle; NaN if none is left.

    Raises
    ------
    ConfigError
        If the task has no cyclic view.

    References
    ----------
    Zhong et al., "The clock and the pizza: two stories in mechanistic explanation of neural
    networks", NeurIPS 2023, arXiv:2306.17844.

    Examples
    --------
    >>> import grokinterp as gi
    >>> circularity(gi.take_snapshot(gi.load_run("ckpts/")))
    0...
    """
    embeddings = _residue_embeddings(snapshot)
    waves, sizes, _ = _principal_components(embeddings)
    rounding = max(embeddings.shape) * torch.finfo(torch.float32).eps * embeddings.norm()
    waves = waves[:, :N_COMPONENTS][:, sizes[:N_COMPONENTS] > rounding]
    if waves.shape[1] == 0:
        return math.nan
    # The waves have norm one, so their power by frequency is a share already.
    return float(_power_of_each(waves).amax(dim=0).mean())


def isolate_circle(
    snapshot: Snapshot, frequency: int, *, isolation: Isolation = "fourier"
) -> Snapshot:
    """Run the network again with one circle of its embedding and nothing else.

    Embeddings of tokens that are no residue of the view (``=``, and the zero of
    multiplication) stay as they are, and so do all other weights.

    Parameters
    ----------
    snapshot
        Of a task with a cyclic view.
    frequency
        Of the circle, in 1 .. n//2.
    isolation
        ``fourier`` keeps the mean and this frequency's cosine and sine;
        ``principal_components`` keeps the mean and the two principal components with the most
        of this frequency (one at the highest frequency of an even n), as published. The two
        agree where the components are single waves; the second means little where they mix.

    Returns
    -------
    Snapshot
        Without a checksum: these are not the weights of a checkpoint.

    Raises
    ------
    ConfigError
        If the task has no cyclic view, or no such frequency.

    References
    ----------
    Zhong et al., NeurIPS 2023, arXiv:2306.17844, where it is called circle isolation.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> isolate_circle(snapshot, 2).accuracy_all
    0.2...
    """
    highest = snapshot.require_cyclic_view().n_frequencies
    if not 1 <= frequency <= highest:
        raise ConfigError(f"frequency {frequency} is not one of 1 .. {highest}. Name one of them.")
    embeddings = _residue_embeddings(snapshot)
    isolate = _one_frequency if isolation == "fourier" else _two_principal_components
    return snapshot.with_operand_rows(isolate(embeddings, frequency))


def _residue_embeddings(snapshot: Snapshot) -> Float[Tensor, "x d_model"]:
    snapshot.require_cyclic_view()
    return snapshot.operand_rows.double()


def _principal_components(
    embeddings: Float[Tensor, "x d_model"],
) -> tuple[Float[Tensor, "x component"], Float[Tensor, " component"], Tensor]:
    """Waves over the residues (norm one), their sizes, and their directions in d_model."""
    return torch.linalg.svd(embeddings - embeddings.mean(dim=0), full_matrices=False)


def _power_of_each(waves: Float[Tensor, "x component"]) -> Float[Tensor, "freq component"]:
    return torch.stack([power_by_frequency(wave) for wave in waves.T], dim=1)


def _one_frequency(
    embeddings: Float[Tensor, "x d_model"], frequency: int
) -> Float[Tensor, "x d_model"]:
    n = len(embeddings)
    is_kept = torch.isin(component_frequencies(n), torch.tensor([0, frequency]))
    basis = fourier_basis(n)[is_kept]
    return basis.T @ (basis @ embeddings)


def _two_principal_components(
    embeddings: Float[Tensor, "x d_model"], frequency: int
) -> Float[Tensor, "x d_model"]:
    waves, sizes, directions = _principal_components(embeddings)
    power = _power_of_each(waves)[frequency - 1] * sizes.square()
    n_kept = 1 if 2 * frequency == len(embeddings) else 2
    kept = power.argsort(descending=True)[:n_kept]
    circle = waves[:, kept] @ (sizes[kept, None] * directions[kept])
    return embeddings.mean(dim=0) + circle
