r"""Neurons as trigonometric polynomials of one frequency.

A neuron of frequency k that does what the trigonometric circuit asks of it is a polynomial of
degree two in :math:`\cos w_k a, \sin w_k a, \cos w_k b, \sin w_k b` with at most one factor of
each input: a combination of the nine products
:math:`\{1, \cos w_k a, \sin w_k a\} \times \{1, \cos w_k b, \sin w_k b\}`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits.approximate_cosets import approximate_cosets
from grokinterp.circuits.cosets import coset_neurons, why_no_cosets
from grokinterp.circuits.key_frequencies import SINGLE_FREQUENCY_SHARE
from grokinterp.circuits.neuron_losses import losses_without_each
from grokinterp.circuits.neuron_phases import (
    input_phases,
    neuron_frequencies,
    neuron_phases,
    sum_phases,
)
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.portions import portions
from grokinterp.spectra import block_component, fourier_basis
from grokinterp.spectra.fourier import component_frequencies


def frequency_waves(n: int, frequency: int) -> Float[Tensor, "wave x"]:
    """Constant, cosine and sine of one frequency of Z_n, orthonormal, the constant first."""
    of_row = component_frequencies(n)
    return fourier_basis(n)[(of_row == 0) | (of_row == frequency)]


def polynomial_neurons(snapshot: Snapshot) -> Float[Tensor, "row neuron"]:
    r"""Every neuron replaced by the degree-2 trigonometric polynomial of its own frequency.

    The least-squares polynomial over all pairs of the view, the mean of the neuron included;
    a dead neuron is its constant.

    Returns
    -------
    Tensor
        (n*n, neuron), rows as in ``snapshot.pair_rows``.

    Raises
    ------
    ConfigError
        If the task has no cyclic view.

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, section 4.2.
    """
    n = snapshot.require_cyclic_view().order
    frequencies, _ = neuron_frequencies(snapshot)
    activations = snapshot.in_view(snapshot.neurons)
    polynomials = activations.mean(dim=0).repeat(len(activations), 1)
    for k in frequencies.unique().tolist():
        if k > 0:
            chosen = (frequencies == k).nonzero().flatten()
            values = activations[:, chosen].unflatten(0, (n, n))
            block = block_component(values, frequency_waves(n, k))
            polynomials[:, chosen] += block.flatten(0, 1)
    return polynomials


def activation_fits(snapshot: Snapshot) -> dict[str, Float[Tensor, " neuron"]]:
    """Share of each neuron's variance that a polynomial of its pre-activation explains.

    A neuron that multiplies two waves does it through the curvature of its activation, so a
    quadratic has to do well and a straight line worse.

    Returns
    -------
    dict
        Under ``linear`` and ``quadratic``, in [0, 1] over all pairs of the view; NaN for a
        neuron whose activation is constant.

    Raises
    ------
    ConfigError
        If the task has no group view.
    """
    fits = []
    # What all neurons receive and answer at all pairs would be two large arrays more in float64.
    for some in torch.arange(snapshot.neurons.shape[1]).split(_NEURONS_AT_A_TIME):
        pre = snapshot.in_view(snapshot.network.pre_activations_of(some))
        post = snapshot.in_view(snapshot.neurons[:, some])
        fits.append(_line_and_parabola(pre.double(), post.double()))
    linear, quadratic = (torch.cat(shares) for shares in zip(*fits, strict=True))
    return {"linear": linear, "quadratic": quadratic}


def _line_and_parabola(pre: Tensor, post: Tensor) -> tuple[Tensor, Tensor]:
    pre = (pre - pre.mean(dim=0)) / pre.std(dim=0)
    post = post - post.mean(dim=0)
    # Gram-Schmidt on 1, x, x^2 neuron by neuron.
    square = pre.square() - pre.square().mean(dim=0)
    square = square - pre * (square * pre).mean(dim=0) / pre.square().mean(dim=0)
    total = post.square().sum(dim=0)

    def explained(wave: Tensor) -> Tensor:
        return (post * wave).sum(dim=0).square() / (wave.square().sum(dim=0) * total)

    linear = explained(pre)
    return linear, linear + explained(square)


def logits_of_neurons(
    snapshot: Snapshot, neurons: Float[Tensor, "row neuron"]
) -> Float[Tensor, "row c"]:
    """Logits with other activations in place of the neurons; whatever bypasses them stays.

    Returns
    -------
    Tensor
        (n*n, c) float64, rows as in ``snapshot.pair_rows``.
    """
    return torch.cat(list(portions_of_logits(snapshot, neurons)))


def portions_of_logits(
    snapshot: Snapshot, neurons: Float[Tensor, "row neuron"]
) -> Iterator[Float[Tensor, "some c"]]:
    """Rows of :func:`logits_of_neurons`, one portion after another."""
    is_linear = snapshot.has("readout") and snapshot.network.readout.scale is None
    for some in portions(len(neurons), 8 * max(neurons.shape[1], snapshot.logits.shape[1])):
        rows, part = snapshot.pair_rows[some], neurons[some]
        if is_linear:
            written = snapshot.through_W_L(part - snapshot.neurons[rows], rows)
            yield written.add_(snapshot.logits[rows])
        else:
            yield snapshot.network.logits_from_neurons(part, rows).double()


def neuron_table(snapshot: Snapshot) -> pd.DataFrame:
    r"""One row per neuron: its frequency, and what the network is without it.

    Returns
    -------
    DataFrame
        ``neuron``; ``frequency`` that explains most of it (empty for a dead neuron, or where
        the task has no frequencies), in a group that is not cyclic ``representation``;
        ``fraction_explained`` by the degree-2 polynomial of that
        frequency; ``is_single_frequency`` (over 85 %); the phases of its waves at that
        frequency, in radians (:mod:`~grokinterp.circuits.neuron_phases`): ``phase_a``,
        ``phase_b`` of its pre-activation, ``phase_sum`` of the wave of a + b in its activation,
        ``fraction_sum_explained``, the share of that wave in what depends on a + b alone,
        ``phase_out`` of its row of W_L, and ``phase_error``, ``phase_out`` minus ``phase_sum``;
        ``approximate_coset_step``, ``_share`` and ``_null``, how well it fits approximate
        cosets (:mod:`~grokinterp.circuits.approximate_cosets`); the columns of
        :func:`~grokinterp.circuits.cosets.coset_neurons` where the group has subgroups;
        ``mean_activation``;
        ``fraction_active`` (pairs on which it is above zero); ``W_L_norm``; ``loss_zero`` and
        ``loss_mean``, the loss over all pairs in nats with the neuron at zero and at its mean;
        ``accuracy_zero``, ``accuracy_mean``.

        Without a linear readout, ``phase_out``, ``phase_error`` and the columns from ``W_L_norm``
        on are absent; without pre-activations, ``phase_a`` and ``phase_b``; in a group that is
        not cyclic, all phases. With a norm before the logits, its scale is frozen while a neuron
        changes.

    Notes
    -----
    Losses of single neurons are computed from differences to the correct logit in float32,
    :math:`\log(1 + \sum_{c \ne y} e^{l_c - l_y})`, which loses no digits of a small loss.

    Examples
    --------
    >>> import grokinterp as gi
    >>> table = gi.neuron_table(gi.take_snapshot(gi.load_run("ckpts/")))
    >>> table.nlargest(1, "loss_zero")[["neuron", "frequency", "loss_zero"]]
        neuron  frequency  loss_zero
    33      33          2   2.6...
    """
    table = pd.DataFrame({"neuron": range(snapshot.neurons.shape[1])})
    if snapshot.view is not None:
        frequencies, shares = neuron_frequencies(snapshot)
        names = snapshot.harmonics.names
        numbers = frequencies.tolist()
        if names is None:
            table["frequency"] = pd.array([k or pd.NA for k in numbers], dtype="Int64")
        else:
            table["representation"] = [names[k] if k > 0 else None for k in numbers]
        table["fraction_explained"] = shares.numpy()
        table["is_single_frequency"] = (shares > SINGLE_FREQUENCY_SHARE).numpy()
        if names is None:
            table = table.assign(**_phases(snapshot), **approximate_cosets(snapshot))
        if why_no_cosets(snapshot.task) is None:
            table = table.merge(coset_neurons(snapshot), on="neuron")
    # Some neurons at a time: a float64 copy of them all is as large as the logits.
    some = portions(snapshot.neurons.shape[1], 8 * len(snapshot.neurons))
    parts = [snapshot.neurons[:, columns] for columns in some]
    mean = torch.cat([part.double().mean(dim=0) for part in parts])
    table["mean_activation"] = mean.numpy()
    active = torch.cat([(part > 0).double().mean(dim=0) for part in parts])
    table["fraction_active"] = active.numpy()
    if not snapshot.has("readout"):
        return table
    table["W_L_norm"] = snapshot.W_L.norm(dim=1).numpy()
    return table.assign(**_without_each(snapshot, mean.float()))


def _phases(snapshot: Snapshot) -> dict[str, np.ndarray]:
    frequencies, phase_sum, explained, _ = sum_phases(snapshot)
    columns = {}
    if snapshot.has("pre_activations"):
        columns["phase_a"], columns["phase_b"] = input_phases(snapshot, frequencies)
    columns |= {"phase_sum": phase_sum, "fraction_sum_explained": explained}
    if snapshot.has("readout"):
        phases = neuron_phases(snapshot)
        columns |= {"phase_out": phases.phase_out, "phase_error": phases.phase_error}
    return {name: column.numpy() for name, column in columns.items()}


def _without_each(snapshot: Snapshot, mean: Float[Tensor, " neuron"]) -> dict[str, list[float]]:
    found = losses_without_each(snapshot, torch.stack([torch.zeros_like(mean), mean]))
    return {
        f"{name}_{fill}": values[index].tolist()
        for name, values in zip(("loss", "accuracy"), found, strict=True)
        for index, fill in enumerate(("zero", "mean"))
    }


_NEURONS_AT_A_TIME = 64
