r"""The trigonometric circuit: the part of the logits that depends on the answer as a wave.

With n the order of the group view and :math:`w_k = 2\pi k/n`, the circuit of the key
frequencies is the projection of every logit column on :math:`\cos w_k(a+b)` and
:math:`\sin w_k(a+b)` over all pairs of the view. It depends on the pair through a+b alone, so
n rows hold it. What is left of the logits without it is the business of
:mod:`grokinterp.circuits.memorization`.

In a group that is not cyclic the same code takes matrix elements of key representations,
:math:`\rho_{ij}(ab)`, in place of the waves, and characters :math:`\chi_\rho(abc^{-1})` in
that of :math:`\cos w_k(a+b-c)` (Chughtai et al., ICML 2023, arXiv:2302.03025); "the sum of a
pair's indices" is then the product of its elements.

Pairs that are not in the view (those with a zero, in multiplication and division;
``view.n_left_out`` of them) take no part: neither in the projections nor in any loss here.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.logit_coefficients import centered_norm, logit_coefficients
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.circuits.task_pairs import On
from grokinterp.models.loss import pair_losses


def trigonometric_component(snapshot: Snapshot, frequencies: Iterable[int]) -> Float[Tensor, "s c"]:
    r"""Part of the logits along :math:`\cos w_k(a+b)` and :math:`\sin w_k(a+b)`.

    Parameters
    ----------
    snapshot
        Of a task with a group view.
    frequencies
        All of them together. None gives zeros.

    Returns
    -------
    Tensor
        (n, c) float64: the row of a pair is the sum of its indices.

    Raises
    ------
    ConfigError
        If the task has no group view.
    """
    waves = snapshot.harmonics.waves(torch.tensor(list(frequencies), dtype=torch.long))
    return waves.T @ (waves @ snapshot.mean_logits_by_sum)


def restricted_logits(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> Float[Tensor, "s c"]:
    """Logits of the trigonometric circuit alone, with the mean of every class put back.

    Returns
    -------
    Tensor
        (n, c) float64: the row of a pair is the sum of its indices. They are the same for
        all pairs with that sum, which is what makes the circuit generalize.

    Raises
    ------
    ConfigError
        If the task has no group view.
    """
    component = trigonometric_component(snapshot, key_frequencies.frequencies)
    return component + snapshot.mean_logits_by_sum.mean(dim=0)


def restricted_loss(snapshot: Snapshot, key_frequencies: KeyFrequencies, *, on: On) -> float:
    """Loss of the trigonometric circuit alone.

    It falls while the circuit forms.

    Parameters
    ----------
    snapshot
        Of a task with a group view.
    key_frequencies
        Usually those of the last checkpoint.
    on
        Pairs of the view to average over.

    Returns
    -------
    float
        Mean cross-entropy in nats, in float64; NaN over no pairs.

    Raises
    ------
    ConfigError
        If the task has no group view.

    Notes
    -----
    The projection is over all pairs, so what a network has memorized of its training pairs is
    averaged over the pairs with the same answer and lies along the same waves: a network that
    only memorizes lowers this loss too, and answers the test pairs right in it. The more
    pairs are trained and the more dimensions are key, the more: logits of 25 on the training
    pairs alone give 4.1 of log 113 = 4.7 at p = 113 with 30 % and five frequencies, but 0.6 of
    log 120 = 4.8 in S_5 with 80 % and three representations (33 of 119 dimensions). The
    excluded loss on the training pairs, low for such a network, distinguishes the two.

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, section 5. The per-class mean is put back as in the published
    code.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> keys = gi.find_key_frequencies(snapshot)
    >>> restricted_loss(snapshot, keys, on="test") < 0.001
    True
    """
    losses = pair_losses(restricted_logits(snapshot, key_frequencies), snapshot.class_tokens)
    n_pairs = snapshot.mask_by_sum(on).sum(dim=1).double()
    return float(n_pairs @ losses / n_pairs.sum())


def held_out_component(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> Float[Tensor, "s c"]:
    """Trigonometric circuit as the pairs that the network cannot have memorized show it.

    Averaged over all pairs with the same answer, the logits of a network that only memorizes
    point at that answer too, for its training pairs do, and part of that lies along any wave.
    So the average is taken over test pairs alone; where the operation commutes, over those
    whose mirror image is not trained either, unless some answer would have none.

    Returns
    -------
    Tensor
        (n, c) float64: the row of a pair is the sum of its indices. The mean of every class is
        put back, as in :func:`restricted_logits`. NaN if some answer has no test pair.

    Raises
    ------
    ConfigError
        If the task has no group view.
    """
    snapshot.require_view()
    means = snapshot.logit_statistics.chosen_means
    waves = snapshot.harmonics.waves(torch.tensor(key_frequencies.frequencies, dtype=torch.long))
    return waves.T @ (waves @ means) + means.mean(dim=0)


def cosine_logits(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> Float[Tensor, "s c"]:
    r"""Logits :math:`\sum_k \alpha_k \cos w_k(a+b-c)` and nothing else.

    Returns
    -------
    Tensor
        (n, c) float64: the row of a pair is the sum of its indices; columns in the order of
        the tokens, those of tokens that no pair of the view answers with at the mean of all.

    Raises
    ------
    ConfigError
        If the task has no group view.

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, section 4.2: loss 4.7e-8 against 2.4e-7 of the network.
    """
    chosen = list(key_frequencies.frequencies)
    amplitudes = logit_coefficients(snapshot)[torch.tensor(chosen, dtype=torch.long) - 1]
    by_quotient = amplitudes @ snapshot.harmonics.characters[chosen]
    logits = torch.zeros(len(by_quotient), snapshot.task.n_classes, dtype=torch.float64)
    by_answer = torch.empty(len(by_quotient), len(by_quotient), dtype=torch.float64)
    by_answer.scatter_(0, snapshot.products, by_quotient[:, None].expand_as(by_answer))
    logits[:, snapshot.class_tokens] = by_answer
    return logits


def fraction_logit_variance_explained(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    r"""Fraction of the logits' variance that :math:`\sum_k \alpha_k \cos w_k(a+b-c)` explains.

    The logits are centered per pair over the classes of the group; the fraction is
    1 - residual / total for the least-squares fit over the key frequencies.

    Returns
    -------
    float
        In [0, 1]; NaN when the logits of every pair are constant.

    Raises
    ------
    ConfigError
        If the task has no group view.

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, section 4.2.
    """
    n = snapshot.require_view().order
    total = centered_norm(snapshot).square()
    wanted = torch.tensor(key_frequencies.frequencies, dtype=torch.long)
    # Every pair sees a character once over all classes.
    size = n**2 * snapshot.harmonics.characters[wanted].square().sum(dim=1)
    explained = (logit_coefficients(snapshot)[wanted - 1].square() * size).sum()
    return float(explained / total)
