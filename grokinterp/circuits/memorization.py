r"""The memorization circuit: what is left of the logits without the trigonometric circuit.

The components of every logit column along :math:`\cos w_k(a+b)` and :math:`\sin w_k(a+b)` of
the key frequencies are projected out over all pairs of the group view, and nothing is put
back. Early in a run the rest answers the training pairs; after cleanup it answers none. It
also holds whatever else is not along those waves, such as the mean of every class and the
frequencies that are not key.

Pairs that are not in the view (those with a zero, in multiplication and division;
``view.n_left_out`` of them) take no part.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.snapshot import ON, On, Snapshot
from grokinterp.circuits.trigonometric import trigonometric_component

_SMALLEST_SAFE_SUM = 1e-280
"""Terms lost to underflow are below 1e-308 each, so a sum above this has all its digits."""
_ROWS_AT_A_TIME = 16_384


def excluded_logits(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> Float[Tensor, "s i c"]:
    """Logits of the memorization circuit: those of the network minus the trigonometric part.

    Returns
    -------
    Tensor
        (n, n, c) float64; entry [s, i] is the pair with indices i and s - i.

    Raises
    ------
    ConfigError
        If the task has no group view.
    """
    component = trigonometric_component(snapshot, key_frequencies.frequencies)
    return snapshot.logits_by_sum - component[:, None]


def excluded_loss(snapshot: Snapshot, key_frequencies: KeyFrequencies, *, on: On) -> float:
    r"""Loss after the trigonometric circuit has been removed from the logits.

    It stays low while the network memorizes and is high once it relies on the circuit.

    Parameters
    ----------
    snapshot
        Of a task with a group view.
    key_frequencies
        All of them are removed together. Usually those of the last checkpoint.
    on
        Pairs of the view to average over. Nanda et al. use the training pairs.

    Returns
    -------
    float
        Mean cross-entropy in nats, in float64; NaN over no pairs. A network that is nothing
        but the circuit gives the logarithm of the number of classes.

    Raises
    ------
    ConfigError
        If the task has no group view.

    Notes
    -----
    Not the mean of the losses per frequency: see :func:`excluded_losses_by_frequency`.

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, section 5.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> keys = gi.find_key_frequencies(snapshot)
    >>> excluded_loss(snapshot, keys, on="train")
    4...
    """
    component = trigonometric_component(snapshot, key_frequencies.frequencies)
    losses = excluded_pair_losses(snapshot, component[None])
    return float(mean_over_pairs(snapshot, losses, on=on)[0])


def excluded_accuracy(snapshot: Snapshot, key_frequencies: KeyFrequencies, *, on: On) -> float:
    """Fraction of pairs that the memorization circuit alone answers correctly.

    NaN over no pairs.

    Raises
    ------
    ConfigError
        If the task has no group view.
    """
    component = trigonometric_component(snapshot, key_frequencies.frequencies)
    mask, answers = snapshot.mask_by_sum(on), snapshot.class_tokens
    correct = []
    for sums in snapshot.sum_portions:
        index_sum, i = mask[sums].nonzero(as_tuple=True)
        logits = snapshot.logits_of_sums(sums)[index_sum, i] - component[sums][index_sum]
        correct.append(logits.argmax(dim=1) == answers[sums][index_sum])
    return float(torch.cat(correct).double().mean())


def excluded_losses_by_frequency(snapshot: Snapshot) -> dict[On, Float[Tensor, " freq"]]:
    """Loss after one frequency, or representation, has been removed from the logits.

    Returns
    -------
    dict
        Under ``all``, ``train`` and ``test`` (n//2,) float64, nats; entry k - 1 belongs to
        frequency k, or to representation k. NaN over no pairs.

    Raises
    ------
    ConfigError
        If the task has no group view.
    """
    frequencies = range(1, snapshot.harmonics.n_components + 1)
    components = torch.stack([trigonometric_component(snapshot, [k]) for k in frequencies])
    losses = excluded_pair_losses(snapshot, components)
    return {on: mean_over_pairs(snapshot, losses, on=on) for on in ON}


def excluded_pair_losses(
    snapshot: Snapshot, components: Float[Tensor, "removed s c"]
) -> Float[Tensor, "s i removed"]:
    r"""Loss of every pair after each of several components has been subtracted.

    A component depends on the pair through s = a + b alone, so
    :math:`\sum_c e^{l_c - t_{sc}} = \sum_c e^{l_c} e^{-t_{sc}}` is, for every s, one matrix
    product of the pairs with that sum and the components: no logits are built per component.
    Both factors are scaled to a largest entry of one; where their product then underflows,
    the sum is done again by log-sum-exp.

    Parameters
    ----------
    snapshot
        Of a task with a group view.
    components
        Rows by index sum, columns as in the logits.

    Returns
    -------
    Tensor
        (n, n, removed) float64, nats; entry [s, i] is the pair with indices i and s - i.
        NaN where a logit is not finite.
    """
    answers = snapshot.class_tokens
    losses = [
        _losses_without(snapshot.logits_of_sums(sums), components[:, sums], answers[sums])
        for sums in snapshot.sum_portions
    ]
    return torch.cat(losses)


def _losses_without(
    logits: Float[Tensor, "s i c"],
    components: Float[Tensor, "removed s c"],
    answers: Int[Tensor, " s"],
) -> Float[Tensor, "s i removed"]:
    logits = logits.double()
    negative = -components.permute(1, 2, 0)
    largest = logits.amax(dim=2, keepdim=True)
    largest_removed = negative.amax(dim=1, keepdim=True)
    sums = (logits - largest).exp_() @ (negative - largest_removed).exp()
    log_sums = sums.log() + largest + largest_removed
    index_sum, i, removed = (sums < _SMALLEST_SAFE_SUM).nonzero(as_tuple=True)
    for rows in torch.arange(len(i)).split(_ROWS_AT_A_TIME):
        s, r = index_sum[rows], removed[rows]
        log_sums[s, i[rows], r] = (logits[s, i[rows]] + negative[s, :, r]).logsumexp(dim=1)
    return log_sums - _correct(logits, answers) - _correct(negative.mT, answers).mT


def _correct(
    values: Float[Tensor, "s row c"], answers: Int[Tensor, " s"]
) -> Float[Tensor, "s row 1"]:
    return values.gather(2, answers[:, None, None].expand(-1, values.shape[1], 1))


def mean_over_pairs(
    snapshot: Snapshot, losses: Float[Tensor, "s i removed"], *, on: On
) -> Float[Tensor, " removed"]:
    """Average losses arranged by index sum over the pairs of the view that `on` names."""
    return losses[snapshot.mask_by_sum(on)].mean(dim=0)
