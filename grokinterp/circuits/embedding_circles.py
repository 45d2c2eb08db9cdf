"""The embedding's spectrum and its largest circles, from weights alone and so at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits.arrangement import arrangement_of
from grokinterp.errors import ConfigError
from grokinterp.models import MlpSpec, ModelSpec
from grokinterp.spectra import fourier_basis, norms_by_frequency
from grokinterp.tasks import Split, Task


@dataclass(frozen=True, eq=False)
class EmbeddingCircles:
    """Norm of W_E at every frequency, and the points of the tokens in some of their planes."""

    norms: Float[Tensor, " freq"]
    """Norm by frequency 1 .. n//2, float64; entry k - 1 belongs to frequency k."""
    circles: Mapping[int, Float[Tensor, "x 2"]]
    """By frequency, those of the largest norm, ascending: the centered embedding of each element
    in the plane of this frequency's cosine and sine, in the order of the cyclic view."""


def why_no_circles(split: Split, spec: ModelSpec | MlpSpec) -> str | None:
    """Why a run has no such circles; None if it has.

    Examples
    --------
    >>> why_no_circles(run.split, run.spec) is None
    True
    """
    if not isinstance(spec, ModelSpec):
        return f"a {spec.in_words} has no W_E"
    task = split.task
    view = task.group_view if isinstance(task, Task) else None
    return None if view is not None and view.is_cyclic else "the task has no cyclic view"


def embedding_circles(
    weights: Mapping[str, Tensor], split: Split, spec: ModelSpec | MlpSpec, *, n_circles: int = 3
) -> EmbeddingCircles:
    r"""Find the frequencies with most of the embedding, and its points in their planes.

    The plane of frequency k is spanned by the directions :math:`\sum_x \cos(w_k x) W_E[x]` and
    :math:`\sum_x \sin(w_k x) W_E[x]`, made orthonormal. The tokens lie on a circle there once the
    network has learned the frequency, in the order of kx modulo n. Nothing is computed on pairs.

    Parameters
    ----------
    weights
        Of a transformer, under the names of a checkpoint.
    split, spec
        Of the run, whose task has a cyclic view.
    n_circles
        How many frequencies; those without a sine are not taken.

    Raises
    ------
    ConfigError
        If there are none (:func:`why_no_circles`).

    Examples
    --------
    >>> found = embedding_circles(run.parameters(), run.split, run.spec, n_circles=2)
    >>> sorted(found.circles), found.circles[2].shape
    ([2, 3], torch.Size([13, 2]))
    """
    reason = why_no_circles(split, spec)
    if reason is not None:
        raise ConfigError(f"there are no circles to find: {reason}.")
    assert isinstance(split.task, Task) and isinstance(spec, ModelSpec)
    rows = _rows(weights["embed.W_E"], split.task, spec)
    n = len(rows)
    norms = norms_by_frequency(rows)
    with_sine = norms[: (n - 1) // 2]
    largest = with_sine.argsort(descending=True, stable=True)[:n_circles] + 1
    circles = {k: circle_of_rows(rows, k) for k in sorted(largest.tolist())}
    return EmbeddingCircles(norms, circles)


def circle_of_rows(rows: Float[Tensor, "x d"], frequency: int) -> Float[Tensor, "x 2"]:
    """Centered rows in the plane of one frequency's cosine and sine.

    Parameters
    ----------
    rows
        Of the elements, in the order of a cyclic view.
    frequency
        One that has a sine: below n / 2.

    Examples
    --------
    >>> x = torch.arange(5) * 2 * torch.pi / 5
    >>> points = circle_of_rows(torch.stack([x.cos(), x.sin()], dim=1).double(), 1)
    >>> points.norm(dim=1).round(decimals=3).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    rows, basis = rows.double(), fourier_basis(len(rows))
    cosine, sine = basis[2 * frequency - 1] @ rows, basis[2 * frequency] @ rows
    first = torch.nn.functional.normalize(cosine, dim=0)
    second = torch.nn.functional.normalize(sine - (sine @ first) * first, dim=0)
    return (rows - rows.mean(dim=0)) @ torch.stack([first, second], dim=1)


def _rows(W_E: Tensor, task: Task, spec: ModelSpec) -> Float[Tensor, "x d"]:
    """Embedding of each element of the group, as in ``Snapshot.operand_rows``."""
    arrangement, table = arrangement_of(task), W_E.double()
    first = table[arrangement.first_tokens]
    if spec.operand_embeddings == "shared":
        return first
    return torch.cat([first, table[task.n_tokens + arrangement.second_tokens]], dim=1)
