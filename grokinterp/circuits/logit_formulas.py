r"""How much of the logits each published formula for modular addition explains.

With i and j the indices of a pair in the cyclic view (a and b for addition), n its order,
:math:`w_k = 2 \pi k / n`, :math:`d = i - j` and :math:`e = i + j - c`, the formulas are

``clock``
    :math:`\cos w_k e`. Angles are multiplied and the distance d does not matter.
``pizza_product``
    :math:`|\cos(w_k d/2)| \cos w_k e`, of the paper. The two embeddings are added: their sum is
    :math:`2 \cos(w_k d/2)` times the unit vector at the angle :math:`w_k (i+j)/2`, so its
    length depends on the distance and its angle does not.
``pizza_absolute``
    :math:`|\cos(w_k d/2)| \left(|\cos(w_k e/2)| - |\sin(w_k e/2)|\right)`, of the authors'
    notebook: what absolute values compute from that sum. Its components along the unit vector
    at the angle :math:`w_k c/2` and across are :math:`2\cos(w_k d/2)` times
    :math:`\cos(w_k e/2)` and :math:`\sin(w_k e/2)`, and
    :math:`|\cos t| - |\sin t| = \frac{8}{3\pi}\cos 2t + \frac{8}{35\pi}\cos 6t + \dots`
    is nearly :math:`\cos 2t`.
``accompanying``
    :math:`-\cos(w_k d) \cos w_k e`: what an accompanying circle of twice the frequency adds.
    The sum of its two embeddings is :math:`2 \cos(w_k d)` times the unit vector at the angle
    :math:`w_k (i+j)`, of which the class c reads :math:`-\cos w_k(i+j-c)`; it is largest at the
    antipodal pairs, where the circle of frequency k says nothing.
``pizza_accompanied``
    ``pizza_product`` and ``accompanying``, each with an amplitude of its own.

An accompanied pizza is a clock to look at: :math:`|\cos t| - \beta \cos 2t` is nearly constant
at :math:`\beta = \frac{4}{3\pi}`, so **its whole logits are explained by the clock's formula**.
Only a circle alone (:func:`~grokinterp.circuits.circles.isolate_circle`) distinguishes the two,
and ``pizza_accompanied``, which can imitate a clock, distinguishes nothing.

Each formula has one amplitude per frequency (``pizza_accompanied`` two) and is fitted by least
squares to all logits of the view's pairs and classes, centered per pair over the classes. All of
them are functions of d and e, so the n x n table of the mean logits by d and e is all they see;
nothing larger than the logits is built.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits.snapshot import Snapshot
from grokinterp.errors import ConfigError

Formula = Literal["clock", "pizza_product", "pizza_absolute", "accompanying", "pizza_accompanied"]
FORMULAS: tuple[Formula, ...] = get_args(Formula)
"""Every formula of this module, by name."""


def logit_variance_explained(
    snapshot: Snapshot, frequencies: Iterable[int], formula: Formula
) -> float:
    r"""Fraction of the logits' variance that one formula explains.

    Parameters
    ----------
    snapshot
        Of a task with a cyclic view: the network as it is, or with one circle of its embedding
        (:func:`~grokinterp.circuits.circles.isolate_circle`).
    frequencies
        One amplitude each, all fitted together.
    formula
        See the head of this module.

    Returns
    -------
    float
        1 - residual / total, in [0, 1]; NaN when the logits of every pair are constant or
        are not finite. For one
        amplitude this is the square of the correlation r of logits and formula. (The fractions
        that Zhong et al. print are 2r - 1, those of a formula scaled to the standard deviation
        of the logits and not fitted to them.)

    Raises
    ------
    ConfigError
        If the task has no cyclic view, a frequency is outside 1 .. n//2, or the formula is not
        known.

    References
    ----------
    Zhong et al., "The clock and the pizza: two stories in mechanistic explanation of neural
    networks", NeurIPS 2023, arXiv:2306.17844.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> logit_variance_explained(snapshot, [2, 3], "clock")
    0.89...
    """
    return _explained(_LogitsByDistance.of(snapshot), list(frequencies), formula)


def variance_explained_by_formula(
    snapshot: Snapshot, frequencies: Iterable[int]
) -> dict[Formula, float]:
    """Fraction of the logits' variance that each formula of :data:`FORMULAS` explains.

    See :func:`logit_variance_explained`; the logits are gone through once.

    Raises
    ------
    ConfigError
        If the task has no cyclic view, or a frequency is outside 1 .. n//2.
    """
    by_distance, chosen = _LogitsByDistance.of(snapshot), list(frequencies)
    return {formula: _explained(by_distance, chosen, formula) for formula in FORMULAS}


@dataclass(frozen=True, eq=False)
class _LogitsByDistance:
    means: Float[Tensor, "d e"]
    """Centered logits averaged over the n pairs of difference d, by e = i + j - c."""
    total: float
    """Sum of the squares of all centered logits."""

    @classmethod
    def of(cls, snapshot: Snapshot) -> _LogitsByDistance:
        n = snapshot.require_cyclic_view().order
        classes = snapshot.class_tokens
        is_whole = snapshot.logits.shape[1] == n and bool((classes.diff() == 1).all())
        # Logits twice side by side, so that those of a pair in the order of c - i - j are the n
        # next to each other that begin at i + j.
        twice = torch.empty(n, 2 * n, dtype=torch.float64)
        sums = torch.zeros(2 * n, n, dtype=torch.float64)
        for i in range(n):
            logits = snapshot.logits[snapshot.pair_rows[i * n : (i + 1) * n]]
            twice[:, :n] = logits if is_whole else logits[:, classes]
            twice[:, n:] = twice[:, :n]
            # Rows j < n - i begin at column i + j, the others at i + j - n; row j - i + n has the
            # pairs of difference i - j.
            first, step = twice[: n - i], (2 * n + 1, 1)
            sums[n - i : 2 * n - 2 * i] += first.as_strided((n - i, n), step, i)
            sums[2 * n - 2 * i : 2 * n - i] += twice.as_strided((i, n), step, (n - i) * 2 * n)
        # Row d and column e of what is wanted have the signs of both turned round.
        by_difference = sums[:n] + sums[n:]
        backwards = -torch.arange(n) % n
        means = by_difference[backwards][:, backwards] / n
        means -= means.mean(dim=1, keepdim=True)
        return cls(means, snapshot.logit_statistics.group_power)


def _explained(logits: _LogitsByDistance, frequencies: Sequence[int], formula: Formula) -> float:
    n = len(logits.means)
    terms = [term for k in frequencies for term in _terms(formula, k, n)]
    if not 0 < logits.total < math.inf:
        return math.nan
    if not terms:
        return 0.0
    columns = torch.stack([torch.outer(u, h).flatten() for u, h in terms], dim=1)
    # This driver bears columns that depend on each other, as when a frequency is named twice.
    fit = torch.linalg.lstsq(columns, logits.means.reshape(-1, 1), driver="gelsd").solution
    return float(n * (columns @ fit).square().sum() / logits.total)


_Term = tuple[Float[Tensor, " d"], Float[Tensor, " e"]]


def _terms(formula: Formula, k: int, n: int) -> list[_Term]:
    """The factors that depend on d and on e, of each term with an amplitude of its own."""
    if not 1 <= k <= n // 2:
        raise ConfigError(f"frequency {k} is not one of 1 .. {n // 2}. Name one of them.")
    # Half angles are taken modulo half a turn, under which every absolute value is the same.
    half = math.pi * (k * torch.arange(n) % n).double() / n
    wave, product = torch.cos(2 * half), half.cos().abs()
    if formula == "clock":
        return [(torch.ones_like(wave), wave)]
    if formula == "pizza_product":
        return [(product, wave)]
    if formula == "pizza_absolute":
        absolute = half.cos().abs() - half.sin().abs()
        return [(product, absolute - absolute.mean())]
    if formula == "accompanying":
        return [(-wave, wave)]
    if formula == "pizza_accompanied":
        return [(product, wave), (-wave, wave)]
    raise ConfigError(f"formula={formula!r} is not known. Choose one of {', '.join(FORMULAS)}.")
