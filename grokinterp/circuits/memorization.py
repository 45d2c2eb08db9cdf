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

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.logit_statistics import answer_logits, logit_blocks
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.circuits.task_pairs import ON, On
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
    correct = [
        _are_correct(block.sub_(component[sums, None]), answers[sums])[mask[sums]]
        for sums, block in logit_blocks(snapshot.logits, snapshot.rows_by_sum)
    ]
    return float(torch.cat(correct).double().mean())


def _are_correct(block: Float[Tensor, "s i c"], answers: Int[Tensor, " s"]) -> Bool[Tensor, "s i"]:
    column = answers[:, None, None].expand(-1, block.shape[1], 1)
    answer = block.gather(2, column)
    largest_other = block.scatter_(2, column, -torch.inf).amax(dim=2, keepdim=True)
    if not (answer + largest_other).isfinite().all():
        return block.scatter_(2, column, answer).argmax(dim=2) == answers[:, None]
    found = (answer > largest_other)[..., 0]
    # Of equal largest logits the first column counts.
    s, i = (answer == largest_other)[..., 0].nonzero(as_tuple=True)
    found[s, i] = answers[s] < block[s, i].argmax(dim=1)
    return found


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
    masks = torch.stack([snapshot.mask_by_sum(on) for on in ON])
    totals = torch.zeros(len(ON), snapshot.harmonics.n_components, dtype=torch.float64)
    for sums, losses in _losses_without(snapshot, _components_by_sum(snapshot)):
        chosen = masks[:, sums].flatten(1)
        of_sums = chosen.double() @ losses.flatten(0, 1)
        if not of_sums.isfinite().all():
            # A loss that is not finite must not count where its pair does not.
            of_sums = torch.stack([losses.flatten(0, 1)[mask].sum(dim=0) for mask in chosen])
        totals += of_sums
    return dict(zip(ON, totals / masks.sum(dim=(1, 2))[:, None], strict=True))


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

    def of_sums(sums: slice) -> Float[Tensor, "s c removed"]:
        return components[:, sums].permute(1, 2, 0)

    parts = [losses for _, losses in _losses_without(snapshot, of_sums)]
    return torch.cat(parts)


_OfSums = Callable[[slice], Float[Tensor, "s c removed"]]
"""Components that are removed, of some products."""


def _losses_without(
    snapshot: Snapshot, of_sums: _OfSums
) -> Iterator[tuple[slice, Float[Tensor, "s i removed"]]]:
    """Losses of :func:`excluded_pair_losses`, some products at a time."""
    for sums, block in logit_blocks(snapshot.logits, snapshot.rows_by_sum):
        answers = snapshot.class_tokens[sums]
        answer, largest = answer_logits(block, answers), block.amax(dim=2, keepdim=True)
        removed = of_sums(sums)
        smallest = removed.amin(dim=1, keepdim=True)
        odds = torch.bmm(block.sub_(largest).exp_(), (smallest - removed).exp_())
        of_answers = answer_logits(removed.mT, answers).mT
        lost = (odds < _SMALLEST_SAFE_SUM).nonzero(as_tuple=True)
        losses = odds.log_().add_(largest - answer).add_(of_answers - smallest)
        if len(lost[0]):
            _add_again(losses, lost, snapshot, sums, removed)
        yield sums, losses


def _add_again(
    losses: Float[Tensor, "s i removed"],
    lost: tuple[Tensor, ...],
    snapshot: Snapshot,
    sums: slice,
    removed: Float[Tensor, "s c removed"],
) -> None:
    """Put losses whose terms underflowed into their places, by log-sum-exp."""
    for s, i, which in zip(*(index.split(_ROWS_AT_A_TIME) for index in lost), strict=True):
        rows = snapshot.rows_by_sum[sums][s, i]
        logits = snapshot.logits[rows].double() - removed[s, :, which]
        answers = snapshot.class_tokens[sums][s, None]
        losses[s, i, which] = logits.logsumexp(dim=1) - logits.gather(1, answers)[:, 0]


def _components_by_sum(snapshot: Snapshot) -> _OfSums:
    """The component of every frequency, or representation, for some products at a time."""
    harmonics, means = snapshot.harmonics, snapshot.mean_logits_by_sum
    numbers = range(1, harmonics.n_components + 1)
    if not snapshot.require_view().is_cyclic:
        components = torch.stack([trigonometric_component(snapshot, [k]) for k in numbers], dim=2)
        return lambda sums: components[sums]
    # A cosine and a sine of each frequency; the highest of an even n has no sine.
    sines = harmonics.basis.new_zeros(2, len(numbers), len(means))
    of_waves = harmonics.basis[1:]
    sines[0], sines[1, : len(of_waves) // 2] = of_waves[::2], of_waves[1::2]
    along = torch.einsum("tks,sc->tck", sines, means)
    by_sum = sines.transpose(1, 2).contiguous()

    def of_sums(sums: slice) -> Float[Tensor, "s c freq"]:
        cosine, sine = by_sum[:, sums, None]
        return (cosine * along[0]).addcmul_(sine.expand(-1, along.shape[1], -1), along[1])

    return of_sums


def mean_over_pairs(
    snapshot: Snapshot, losses: Float[Tensor, "s i removed"], *, on: On
) -> Float[Tensor, " removed"]:
    """Average losses arranged by index sum over the pairs of the view that `on` names."""
    return losses[snapshot.mask_by_sum(on)].mean(dim=0)
