"""The trigonometric circuit, followed step by step through one network, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import SupportsFloat

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits.attention import fit_attention, logits_of_patterns
from grokinterp.circuits.embedding import embedding_spectrum
from grokinterp.circuits.key_frequencies import KeyFrequencies, neurons_by_frequency
from grokinterp.circuits.memorization import excluded_loss
from grokinterp.circuits.memory import return_free_memory
from grokinterp.circuits.neuron_logit_map import neuron_logit_map, projected_neurons
from grokinterp.circuits.neuron_polynomials import (
    activation_fits,
    frequency_waves,
    polynomial_neurons,
    portions_of_logits,
)
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.circuits.trigonometric import (
    cosine_logits,
    fraction_logit_variance_explained,
    logit_coefficients,
    restricted_logits,
    trigonometric_component,
)
from grokinterp.models.loss import cross_entropy, pair_losses
from grokinterp.models.network_parts import PartName
from grokinterp.portions import Joined, portions
from grokinterp.spectra import block_component, component_norms, gini

CIRCUIT_COLUMNS = ("stage", "quantity", "frequency", "head", "value", "unit")
STAGES = ("network", "embedding", "attention", "neurons", "neuron_logit_map", "logits")


@dataclass
class _Rows:
    """Rows of the table while it is being built."""

    stage: str = ""
    rows: list[tuple] = field(default_factory=list)

    def add(
        self,
        quantity: str,
        value: SupportsFloat,
        unit: str,
        *,
        frequency: int | None = None,
        head: int | None = None,
    ) -> None:
        self.rows.append((self.stage, quantity, frequency, head, float(value), unit))

    def add_loss(self, snapshot: Snapshot, what: str, logits: Iterable[Tensor]) -> None:
        """Loss over all pairs of the view; rows of the logits as in ``pair_rows``, in portions."""
        labels = snapshot.in_view(snapshot.labels)
        losses = Joined(len(labels))
        for part in logits:
            losses.add(pair_losses(part, labels[losses.n_added :][: len(part)]))
        self.add(f"loss, {what}", float(losses.rows.mean()), "nats")


def circuit_table(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> pd.DataFrame:
    r"""Follow the trigonometric circuit from the embedding to the logits.

    Every line is a number that a network of cosines would have exactly, or a loss after a part
    of the network was replaced by what the circuit says it is. Losses are means over all pairs
    of the view, in nats.

    Parameters
    ----------
    snapshot
        Usually of the last checkpoint.
    key_frequencies
        Of the circuit. If there are none, or the task has no cyclic view, the table is empty.

    Returns
    -------
    DataFrame
        ``stage`` (:data:`STAGES`), ``quantity``, ``frequency`` and ``head`` where a row is
        about one, ``value``, ``unit``.

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, section 4 and appendix C.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> table = gi.circuit_table(snapshot, gi.find_key_frequencies(snapshot))
    >>> table.loc[table["unit"] == "nats", "stage"].unique().tolist()
    ['network', 'attention', 'neurons', 'neuron_logit_map', 'logits']
    """
    rows = _Rows()
    if snapshot.task.cyclic_view is not None and key_frequencies.frequencies:
        for stage, (needed, add) in zip(STAGES, _ADDERS, strict=True):
            if not snapshot.has(*needed):
                continue
            rows.stage = stage
            # What a stage needs is large, and no other stage needs it.
            add(rows, snapshot.without_cache(), key_frequencies)
            return_free_memory()
    table = pd.DataFrame(rows.rows, columns=pd.Index(CIRCUIT_COLUMNS))
    return table.astype({"frequency": "Int64", "head": "Int64", "value": float})


def _add_network(rows: _Rows, snapshot: Snapshot, keys: KeyFrequencies) -> None:
    rows.add_loss(snapshot, "nothing replaced", [snapshot.in_view(snapshot.logits)])


def _add_embedding(rows: _Rows, snapshot: Snapshot, keys: KeyFrequencies) -> None:
    spectrum = embedding_spectrum(snapshot)
    is_key = spectrum["frequency"].isin(keys.frequencies).to_numpy()
    for column, name in (("W_E_norm", "W_E"), ("through_heads_norm", "W_E W_V W_O W_in")):
        if column not in spectrum:
            continue
        norms = spectrum[column].to_numpy()
        for k in keys.frequencies:
            rows.add(f"norm in {name}", norms[k - 1], "norm", frequency=k)
        share = (norms[is_key] ** 2).sum() / (norms**2).sum()
        rows.add(f"fraction of the power of {name} in the key frequencies", share, "fraction")
        if not is_key.all():
            other = int(np.where(is_key, -1, norms).argmax())
            what = f"norm in {name} of the strongest other frequency"
            rows.add(what, norms[other], "norm", frequency=other + 1)
    norms = component_norms(snapshot.operand_rows)
    rows.add("Gini coefficient of W_E", gini(norms), "fraction")


def _add_attention(rows: _Rows, snapshot: Snapshot, keys: KeyFrequencies) -> None:
    single = fit_attention(snapshot)
    together = fit_attention(snapshot, keys.frequencies)
    true = snapshot.in_view(snapshot.pattern)
    labels = snapshot.in_view(snapshot.labels)
    for head, ks in enumerate(single.frequencies):
        which = {"head": head, "frequency": ks[0] if ks else None}
        explained = single.fraction_explained[head]
        rows.add(
            "variance of the pattern explained by one frequency", explained, "fraction", **which
        )
        explained = together.fraction_explained[head]
        what = "variance of the pattern explained by all key frequencies"
        rows.add(what, explained, "fraction", head=head)
        if snapshot.spec.input_format == "a_b_equals":
            rows.add(
                "mean attention of = to itself", single.mean_pattern[head, 2], "fraction", head=head
            )
        pattern = true.clone()
        pattern[:, head] = single.pattern[:, head]
        loss = cross_entropy(logits_of_patterns(snapshot, pattern), labels)
        rows.add("loss, this head's pattern linear in one frequency", loss, "nats", **which)
    for what, fit in (("one frequency each", single), ("all key frequencies", together)):
        logits = logits_of_patterns(snapshot, fit.pattern)
        rows.add_loss(snapshot, f"all patterns linear in {what}", [logits])


def _add_neurons(rows: _Rows, snapshot: Snapshot, keys: KeyFrequencies) -> None:
    counts = neurons_by_frequency(snapshot)
    for k in keys.frequencies:
        rows.add(
            "neurons with over 85 % in one frequency", int(counts[k - 1]), "count", frequency=k
        )
    n_neurons = snapshot.neurons.shape[1]
    of_keys = sum(int(counts[k - 1]) for k in keys.frequencies)
    rows.add("fraction of neurons in a key frequency", of_keys / n_neurons, "fraction")
    others = int(counts.sum()) - of_keys
    rows.add("neurons with over 85 % in another frequency", others, "count")
    rows.add("neurons without a frequency", n_neurons - int(counts.sum()), "count")
    fits = activation_fits(snapshot) if snapshot.has("pre_activations") else {}
    for shape, shares in fits.items():
        what = f"variance explained by a {shape} function of the pre-activation, median"
        rows.add(what, shares.nanmedian(), "fraction")
    polynomials = polynomial_neurons(snapshot)
    neurons = snapshot.in_view(snapshot.neurons)
    residual, centered, mean = 0.0, 0.0, neurons.mean(dim=0)
    for some in portions(len(neurons), 4 * neurons.shape[1]):
        part = neurons[some]
        residual += (part - polynomials[some]).square_().sum(dtype=torch.float64)
        centered += (part - mean).square_().sum(dtype=torch.float64)
    rows.add(
        "variance of all neurons explained by polynomials", 1 - residual / centered, "fraction"
    )
    rows.add_loss(
        snapshot,
        "all neurons replaced by their polynomials",
        portions_of_logits(snapshot, polynomials),
    )


def _add_neuron_logit_map(rows: _Rows, snapshot: Snapshot, keys: KeyFrequencies) -> None:
    found = neuron_logit_map(snapshot, keys)
    n_directions = len(found.directions)
    rows.add("rank of W_L along the key frequencies", n_directions, "count")
    rows.add("norm of W_L outside them", found.residual_norm_fraction, "fraction")
    for i, k in enumerate(found.frequencies.tolist()):
        name, wave = ("v", "sine") if found.is_sine[i] else ("u", "cosine")
        explained, coefficient = found.fraction_explained[i], found.coefficients[i]
        what = f"{name}.MLP explained by the {wave} of a+b"
        rows.add(f"variance of {what}", explained, "fraction", frequency=k)
        rows.add(f"coefficient of the {wave} in {name}.MLP", coefficient, "logits", frequency=k)
    for keep, what in ((True, "these directions"), (False, "what is orthogonal to them")):
        neurons = projected_neurons(snapshot, found.directions, keep=keep)
        rows.add_loss(
            snapshot, f"neurons projected on {what}", portions_of_logits(snapshot, neurons)
        )


def _add_logits(rows: _Rows, snapshot: Snapshot, keys: KeyFrequencies) -> None:
    coefficients = logit_coefficients(snapshot)
    for k in keys.frequencies:
        single = KeyFrequencies.given(keys.order, [k])
        explained = fraction_logit_variance_explained(snapshot, single)
        rows.add("coefficient of the cosine of a+b-c", coefficients[k - 1], "logits", frequency=k)
        rows.add("variance explained by the cosine of a+b-c", explained, "fraction", frequency=k)
    explained = fraction_logit_variance_explained(snapshot, keys)
    rows.add("variance explained by the cosines of a+b-c", explained, "fraction")
    share = memorization_share(snapshot, keys)
    rows.add("fraction of the logits' power outside the trigonometric circuit", share, "fraction")
    for what, logits in (
        ("logits replaced by the cosines of a+b-c", cosine_logits(snapshot, keys)),
        ("logits kept only along the waves of a+b", restricted_logits(snapshot, keys)),
    ):
        # All pairs with the same sum have the same logits, and every sum as many pairs.
        rows.add(f"loss, {what}", cross_entropy(logits, snapshot.class_tokens), "nats")
    blocks = [block_logits(snapshot, keys)]
    rows.add_loss(snapshot, "logits kept only in the 3 x 3 blocks", blocks)
    without = excluded_loss(snapshot, keys, on="all")
    rows.add("loss, trigonometric circuit removed", without, "nats")


def block_logits(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> Float[Tensor, "row c"]:
    r"""Logits kept only in the 3 x 3 blocks of the key frequencies and the constant.

    Per key frequency the eight products of
    :math:`\{1, \cos w_k a, \sin w_k a\} \times \{1, \cos w_k b, \sin w_k b\}` without the
    constant, and the mean of every class: 40 components at five frequencies.

    Returns
    -------
    Tensor
        (n*n, c) float64, rows as in ``snapshot.pair_rows``.
    """
    n = snapshot.require_cyclic_view().order
    logits = snapshot.in_view(snapshot.logits)
    found = logits.new_empty(logits.shape, dtype=torch.float64)
    # Each class is a function of the pairs of its own.
    for classes in portions(logits.shape[1], 8 * len(logits)):
        values = logits[:, classes].double().unflatten(0, (n, n))
        kept = values.mean(dim=(0, 1)).expand_as(values).clone()
        for k in key_frequencies.frequencies:
            kept += block_component(values, frequency_waves(n, k))
        found[:, classes] = kept.flatten(0, 1)
    return found


def memorization_share(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    """Fraction of the logits' power that is not in the trigonometric circuit.

    The logits are centered over the classes of every pair and over the pairs of every class,
    so that what no answer depends on does not count; power is the sum of squares over all
    pairs of the view.

    Returns
    -------
    float
        In [0, 1]; NaN when the logits do not depend on the pair.

    References
    ----------
    Varma et al., "Explaining grokking through circuit efficiency", arXiv:2309.02390, which
    takes the projection on the trigonometric subspace for the generalizing circuit and the
    rest for the memorizing one.
    """
    by_class = snapshot.mean_logits_by_sum.mean(dim=0)
    of_classes = (by_class - by_class.mean()).square().sum()
    total = snapshot.logit_statistics.centered_power - len(snapshot.pair_rows) * of_classes
    circuit = trigonometric_component(snapshot, key_frequencies.frequencies)
    circuit = circuit - circuit.mean(dim=1, keepdim=True)
    return float(1 - len(circuit) * circuit.square().sum() / total)


_Adder = Callable[[_Rows, Snapshot, KeyFrequencies], None]
_ADDERS: tuple[tuple[tuple[PartName, ...], _Adder], ...] = (
    ((), _add_network),
    (("operands",), _add_embedding),
    (("pattern", "blocks"), _add_attention),
    (("neurons", "way_from_neurons"), _add_neurons),
    (("neurons", "readout", "way_from_neurons"), _add_neuron_logit_map),
    ((), _add_logits),
)
"""Parts that each stage needs, and who adds its rows."""
PARTS_OF_STAGES: dict[str, tuple[PartName, ...]] = {
    stage: parts for stage, (parts, _) in zip(STAGES, _ADDERS, strict=True)
}
"""Parts of a network that the rows of each stage need."""
