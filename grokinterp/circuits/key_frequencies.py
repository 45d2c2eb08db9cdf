"""The frequencies that a network computes with, chosen by a stated rule at a stated step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokinterp.circuits.generalization import (
    MIN_ACCURACY,
    AccuracyOn,
    GeneralizationAccuracy,
    generalization_accuracy,
)
from grokinterp.circuits.key_frequency_set import KeyFrequencies
from grokinterp.circuits.logit_coefficients import centered_norm, logit_coefficients
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.errors import ConfigError
from grokinterp.spectra import (
    dense_components,
    double_of,
    frequencies_above,
    gaussian_power_quantile,
    permuted_power_quantile,
    shares,
)

KeyFrequencyRule = Literal["logit_power", "neurons", "embedding_norm", "character_similarity"]

MIN_SHARE = 0.015
"""Share of the logits' power that a key frequency exceeds."""
NULL_QUANTILE = 0.999
"""Quantile of the largest power under permuted pairs that it exceeds as well."""
N_PERMUTATIONS = 1000
"""Random groupings of the pairs that this quantile is found from."""
MOST_PERMUTED_LOGITS = 2**25
"""Most logits of all pairs for which it is drawn: those of n = 322. A thousand passes over them
take two minutes, more than all measures of the checkpoint; those of S_6 would take twenty."""
MIN_SIMILARITY = 0.005
"""Cosine between logits and character above which Chughtai et al. call a representation key."""
SINGLE_FREQUENCY_SHARE = 0.85
"""Share of a neuron's centered activation above which it belongs to one frequency."""


def find_key_frequencies(
    snapshot: Snapshot,
    rule: KeyFrequencyRule = "logit_power",
    *,
    n_permutations: int | None = None,
    seed: int = 0,
) -> KeyFrequencies:
    r"""Find the frequencies that the network computes with.

    The rules:

    ``logit_power``
        The logits are averaged over the pairs with the same a+b and Fourier-transformed over
        that index; the power of a frequency is summed over the classes. A frequency is key
        when its share of the power (constant dropped) exceeds 1.5 % and when its power
        exceeds the 99.9 % quantile of the largest power of any frequency under permuted
        pairs. The set is empty unless more than 95 % of the test pairs are answered correctly,
        of a commutative operation those whose mirror image is not trained
        (:func:`~grokinterp.circuits.generalization.generalization_accuracy`), and at n = 2 and
        3, where a permutation too often restores the groups. In a group that is not cyclic the same
        of pairs with the same product and of representations, the trivial one left out.

        Where nearly all frequencies hold power, 1.5 % is no bound to go by: it lies below the
        uniform share up to n = 133 and above it from there on. Where at least 90 % of at least
        8 frequencies each hold more than half of their uniform share, and more than chance
        reaches, the set is these and `is_dense` is true
        (:func:`~grokinterp.spectra.dense_components`).
    ``neurons``
        Every frequency that explains more of some neuron than any other does; no threshold.
        Published code of Nanda et al. (which leaves out the highest frequency).
    ``embedding_norm``
        Every frequency whose norm in the embedding exceeds a quarter of the largest one's.
        TransformerLens's Grokking_Demo.
    ``character_similarity``
        Every frequency or representation whose :func:`character similarity
        <character_similarities>` exceeds 0.005, which also takes one with 0.003 % of the power that
        characters hold. Published code of Chughtai et al.

    The last three are for comparison and require no accuracy.

    Parameters
    ----------
    snapshot
        Usually of the last checkpoint. Measures along a whole run use this one set.
    rule
        One of the above.
    n_permutations, seed
        Of the null distribution of the default rule. None: 1,000, and no draws at all where there
        are more than 2^25 logits (:data:`MOST_PERMUTED_LOGITS`); the quantile is then that of
        Gaussian means (:func:`~grokinterp.spectra.gaussian_power_quantile`).

    Returns
    -------
    KeyFrequencies
        With the evidence of all the rules beside it. ``null_share`` is what chance reaches,
        as a share of the same total: the power of the network's logits averaged over the
        true groups. (As a share of the permuted pairs' own, far smaller total, chance would
        reach a tenth and hide real keys.)

    Raises
    ------
    ConfigError
        If the rule is not known, or needs a part that the network does not have.

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, section 4.

    Examples
    --------
    >>> import grokinterp as gi
    >>> run = gi.load_run("ckpts/")
    >>> gi.find_key_frequencies(gi.take_snapshot(run)).frequencies
    (2, 3)
    """
    if rule not in get_args(KeyFrequencyRule):
        raise ConfigError(
            f"rule={rule!r} is not known. Choose logit_power, neurons, embedding_norm or "
            "character_similarity."
        )
    if snapshot.view is None:
        return KeyFrequencies(
            snapshot.task.n_classes,
            (),
            rule,
            snapshot.step,
            reason=f"{snapshot.task.spec.in_words} has no cyclic view, hence no frequencies",
        )
    if n_permutations is None:
        is_permuted = snapshot.logits.numel() <= MOST_PERMUTED_LOGITS
        n_permutations = N_PERMUTATIONS if is_permuted else 0
    evidence = _evidence(snapshot, n_permutations=n_permutations, seed=seed)
    choice = _choose(snapshot, rule, evidence)
    numbers = range(1, len(evidence) + 1)
    evidence["is_key"] = [k in choice.frequencies for k in numbers]
    evidence["is_key_published"] = evidence["character_similarity"] > MIN_SIMILARITY
    view, all_names = snapshot.view, snapshot.harmonics.names
    if all_names is None:
        by_share = dict(zip(numbers, evidence["logit_power_share"], strict=True))
        halves = sorted(choice.frequencies, key=lambda k: -by_share[k])
        labels = double_of(view.order, halves)
        evidence["double_of"] = pd.array([labels.get(k, pd.NA) for k in numbers], dtype="Int64")
    evidence["is_dense"] = choice.is_dense
    evidence["accuracy_on"] = choice.accuracy_on
    return KeyFrequencies(
        view.order,
        choice.frequencies,
        rule,
        snapshot.step,
        evidence,
        choice.reason,
        None if all_names is None else tuple(all_names[k] for k in choice.frequencies),
        n_permutations,
        choice.is_dense,
        choice.accuracy_on,
    )


def logit_power_shares(snapshot: Snapshot) -> Float[Tensor, " freq"]:
    """Share of the power of the logits averaged by a+b that each frequency holds.

    In a group that is not cyclic averaged by ab, and of each representation but the trivial one.

    Returns
    -------
    Tensor
        (n//2,) float64; they sum to 1, or are NaN when the averages do not depend on a+b.
    """
    return shares(_logit_power(snapshot))


def neurons_by_frequency(snapshot: Snapshot) -> Int[Tensor, " freq"]:
    """Count the neurons with over 85 % of their centered activation in each frequency."""
    return (snapshot.neuron_frequency_shares > SINGLE_FREQUENCY_SHARE).sum(dim=1)


def embedding_norms(snapshot: Snapshot) -> Float[Tensor, " freq"]:
    """Norm of each frequency in the embedding of the residues: cosine, sine, all coordinates."""
    return snapshot.harmonics.power(snapshot.operand_rows).sqrt()


def character_similarities(snapshot: Snapshot) -> Float[Tensor, " component"]:
    r"""Cosine between the logits and each character :math:`\chi_\rho(abc^{-1})`.

    Over all pairs of the view and all classes; logits centered per pair. For Z_n of
    :math:`\cos w_k(a+b-c)`. The squares add up to the variance that all of them explain.

    Returns
    -------
    Tensor
        (n_components,) float64, the constant left out.

    References
    ----------
    Chughtai et al., "A toy model of universality", ICML 2023, arXiv:2302.03025, section 5;
    published code calls a representation key when this exceeds 0.005
    (``rule="character_similarity"``). Its ``3d_a`` and ``3d_b`` of A_5 are made from a turn by 62
    and not by 72 degrees and so are no representations; their published similarities are lower.
    """
    n = snapshot.require_view().order
    size = snapshot.harmonics.characters[1:].norm(dim=1) * n
    return logit_coefficients(snapshot) * size / centered_norm(snapshot)


def _logit_power(snapshot: Snapshot) -> Float[Tensor, " freq"]:
    return snapshot.harmonics.power(snapshot.mean_logits_by_sum)


def _evidence(snapshot: Snapshot, *, n_permutations: int, seed: int) -> pd.DataFrame:
    power = _logit_power(snapshot)
    harmonics = snapshot.harmonics
    null_power = _null_power(snapshot, n_permutations, seed)
    null_share = null_power / power.sum().item() if power.sum() > 0 else float("nan")
    numbers: dict[str, Any] = {"frequency": range(1, harmonics.n_components + 1)}
    if harmonics.names is not None:
        numbers = {
            "representation": harmonics.names[1:],
            "dimension": harmonics.dimensions[1:],
            "type": harmonics.types[1:],
        }
    numbers["character_similarity"] = character_similarities(snapshot).numpy()
    numbers |= {"logit_power_share": shares(power).numpy(), "null_share": null_share}
    if snapshot.has("operands"):
        numbers["embedding_norm"] = embedding_norms(snapshot).numpy()
    if snapshot.has("neurons"):
        numbers["n_neurons"] = neurons_by_frequency(snapshot).numpy()
    if snapshot.has("readout"):
        W_L = snapshot.W_L[:, snapshot.class_tokens].T
        numbers["W_L_norm"] = harmonics.power(W_L).sqrt().numpy()
    return pd.DataFrame(numbers)


def _null_power(snapshot: Snapshot, n_permutations: int, seed: int) -> float:
    """What the strongest component reaches by chance; without permutations, of Gaussian means."""
    harmonics = snapshot.harmonics
    if not n_permutations:
        # Only the set of rows matters, so they are not put into the order of the view.
        is_whole = len(snapshot.pair_rows) == len(snapshot.logits)
        rows = snapshot.logits if is_whole else snapshot.in_view(snapshot.logits)
        return gaussian_power_quantile(rows, harmonics, quantile=NULL_QUANTILE)
    return permuted_power_quantile(
        snapshot.logits_by_sum.flatten(0, 1),
        harmonics,
        quantile=NULL_QUANTILE,
        n_permutations=n_permutations,
        seed=seed,
    )


@dataclass(frozen=True)
class _Choice:
    frequencies: tuple[int, ...]
    reason: str | None = None
    is_dense: bool = False
    accuracy_on: AccuracyOn | None = None


def _choose(snapshot: Snapshot, rule: KeyFrequencyRule, evidence: pd.DataFrame) -> _Choice:
    if rule == "neurons":
        return _Choice(_strongest_of_neurons(snapshot))
    if rule == "character_similarity":
        similarities = evidence["character_similarity"]
        return _Choice(tuple(k + 1 for k, s in enumerate(similarities) if s > MIN_SIMILARITY))
    if rule == "embedding_norm":
        snapshot.network.require("operands")
        norms = evidence["embedding_norm"]
        return _Choice(tuple(k + 1 for k, norm in enumerate(norms) if norm > norms.max() / 4))
    accuracy = generalization_accuracy(snapshot)
    if not accuracy.is_solution:
        return _Choice((), _no_solution(snapshot, accuracy), accuracy_on=accuracy.on)
    power_shares = torch.tensor(evidence["logit_power_share"].tolist(), dtype=torch.float64)
    found, is_dense = _by_power(snapshot, power_shares, evidence["null_share"].iloc[0])
    reason = None if found else _nothing_stands_out(snapshot)
    return _Choice(found, reason, is_dense, accuracy.on)


def _by_power(
    snapshot: Snapshot, power_shares: Float[Tensor, " freq"], null_share: float
) -> tuple[tuple[int, ...], bool]:
    """Return components that hold power, and whether these are nearly all of them."""
    dense = dense_components(power_shares, snapshot.harmonics, null_share=null_share)
    if dense:
        return dense, True
    return frequencies_above(power_shares, min_share=MIN_SHARE, null_share=null_share), False


def strongest_key_frequencies(snapshot: Snapshot) -> KeyFrequencies:
    """Find key frequencies by the power of the logits, whatever the accuracy is.

    The rule ``logit_power`` of :func:`find_key_frequencies` without its condition that the network
    generalizes, and with the chance level that is computed rather than drawn. What it finds before
    generalization may be noise: it is for measures that must not know how a run ends.

    Examples
    --------
    >>> run = gi.load_run("ckpts/")
    >>> strongest_key_frequencies(gi.take_snapshot(run)).frequencies
    (2, 3)
    """
    if snapshot.view is None:
        reason = f"{snapshot.task.spec.in_words} has no cyclic view, hence no frequencies"
        return KeyFrequencies(snapshot.task.n_classes, (), step=snapshot.step, reason=reason)
    power = _logit_power(snapshot)
    null_share = _null_power(snapshot, 0, 0) / power.sum().item() if power.sum() > 0 else math.nan
    found, is_dense = _by_power(snapshot, shares(power), null_share)
    names = snapshot.harmonics.names
    return KeyFrequencies(
        snapshot.view.order,
        found,
        "logit_power",
        snapshot.step,
        reason=None if found else _nothing_stands_out(snapshot),
        names=None if names is None else tuple(names[k] for k in found),
        n_permutations=0,
        is_dense=is_dense,
    )


def _no_solution(snapshot: Snapshot, accuracy: GeneralizationAccuracy) -> str:
    return (
        f"accuracy on {accuracy.pairs} is {accuracy.value:.3f} at step {snapshot.step}, not above "
        f"{MIN_ACCURACY}"
    )


def _nothing_stands_out(snapshot: Snapshot) -> str:
    return (
        f"no {'frequency' if snapshot.harmonics.names is None else 'representation'} holds more "
        f"than {MIN_SHARE:.1%} of the logits' power by a∘b and more than chance reaches under "
        "permuted pairs"
    )


def _strongest_of_neurons(snapshot: Snapshot) -> tuple[int, ...]:
    neuron_shares = snapshot.neuron_frequency_shares
    is_alive = neuron_shares.sum(dim=0) > 0
    return tuple(int(k) + 1 for k in neuron_shares[:, is_alive].argmax(dim=0).unique())
