r"""Clock hands: where each operand and each answer points, at every key frequency.

The hand of a at frequency k is its embedding in the plane of :math:`\sum_x \cos(w_k x) W_E[x]` and
:math:`\sum_x \sin(w_k x) W_E[x]`; that of the answer s is the wave of frequency k over c that the
logits of the pairs with answer s have in the mean, :math:`A \cos(w_k c - \phi)`, as a vector of
length A and angle :math:`\phi`. In a network that has learned the frequency, both turn by
:math:`w_k` from one element to the next.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from grokinterp.circuits import Snapshot
from grokinterp.spectra import fourier_basis


def hands_of(snapshot: Snapshot, frequencies: list[int]) -> dict[str, Float[Tensor, "key x 2"]]:
    """Hands of a and b, in units of the embedding, and of the answer, in logits.

    ``b`` is left out where it shares the embedding of a, both where the network has no embeddings.

    Examples
    --------
    >>> {name: tuple(hands.shape) for name, hands in hands_of(snapshot, [2, 3]).items()}
    {'answer': (2, 13, 2), 'a': (2, 13, 2)}
    """
    found = {"answer": torch.stack([_of_answers(snapshot, k) for k in frequencies])}
    if not snapshot.has("operands"):
        return found
    tables, arrangement = snapshot.operands, snapshot.arrangement
    rows = {"a": tables.a[arrangement.first_tokens], "b": tables.b[arrangement.second_tokens]}
    if tables.is_shared and torch.equal(arrangement.first_tokens, arrangement.second_tokens):
        del rows["b"]
    for name, table in rows.items():
        found[name] = torch.stack([_of_rows(table.double(), k) for k in frequencies])
    return found


def in_short_integers(
    hands: Float[Tensor, "key x 2"],
) -> tuple[list[float], np.ndarray]:
    """Round hands to 16 bits, with a factor for each frequency.

    Examples
    --------
    >>> scales, points = in_short_integers(torch.tensor([[[0.5, -1.0]]]))
    >>> (scales[0] * points[0]).round(4).tolist()
    [[0.5, -1.0]]
    """
    largest = hands.abs().amax(dim=(1, 2)).clamp(min=1e-30)
    scales = largest / 32767
    points = (hands / scales[:, None, None]).round().numpy().astype("<i2")
    return [float(f"{scale:.8g}") for scale in scales.tolist()], points


def _of_rows(rows: Float[Tensor, "x d"], k: int) -> Float[Tensor, "x 2"]:
    waves = _waves(len(rows), k)
    first = normalize(waves[0] @ rows, dim=0)
    sine = waves[1] @ rows
    second = normalize(sine - (sine @ first) * first, dim=0)
    return (rows - rows.mean(dim=0)) @ torch.stack([first, second], dim=1)


def _of_answers(snapshot: Snapshot, k: int) -> Float[Tensor, "s 2"]:
    means = snapshot.mean_logits_by_sum[:, snapshot.class_tokens]
    waves = _waves(len(means), k)
    along = waves.T @ (waves @ means)
    # Of norm one, a wave is largest at 0, as a cosine: that is what it lacks to amplitude one.
    return along @ waves.T * waves[0, 0]


def _waves(n: int, k: int) -> Float[Tensor, "2 x"]:
    """Cosine and sine of a frequency, of norm one; the highest of an even n has no sine."""
    basis = fourier_basis(n)
    waves = basis.new_zeros(2, n)
    found = basis[2 * k - 1 : 2 * k + 1]
    waves[: len(found)] = found
    return waves
