"""The frequencies that a network computes with, chosen by a stated rule at a stated step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Literal

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
from grokinterp.circuits.logit_coefficients import logit_coefficients
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.errors import ConfigError
from grokinterp.reprs import spec_repr
from grokinterp.spectra import (
    dense_components,
    double_of,
    frequencies_above,
    n_frequencies,
    permuted_power_quantile,
    shares,
    symmetric_harmonics,
)
from grokinterp.tasks import GroupView

KeyFrequencyRule = Literal["logit_power", "neurons", "embedding_norm"]

MIN_SHARE = 0.015
"""Share of the logits' power that a key frequency exceeds."""
NULL_QUANTILE = 0.999
"""Quantile of the largest power under permuted pairs that it exceeds as well."""
SINGLE_FREQUENCY_SHARE = 0.85
"""Share of a neuron's centered activation above which it belongs to one frequency."""
DENSE_CAVEAT = (
    "nearly all frequencies are key: logits alone cannot tell such a circuit from a lookup table; "
    "neurons can"
)
ALL_PAIRS_CAVEAT = (
    "no test pairs are known, so the accuracy asked for is that on all pairs, which a network that "
    "memorizes can reach"
)


@dataclass(frozen=True)
class KeyFrequencies:
    """A set of frequencies and why these.

    Examples
    --------
    >>> KeyFrequencies.given(113, [45, 9, 38]).frequencies
    (9, 38, 45)
    """

    order: int
    """n of Z_n; the frequencies lie in 1 .. n//2. For permutations the number of elements;
    for a task without a group the number of classes."""
    frequencies: tuple[int, ...]
    """Sorted; empty if there are none, with the reason in `reason`. For permutations the
    numbers of key representations in
    :func:`~grokinterp.spectra.symmetric_representations`, 0 being the trivial one."""
    rule: str = "given"
    """How they were chosen: the name of a rule of :func:`find_key_frequencies`, or
    ``given``."""
    step: int | None = None
    """Step of the snapshot they were chosen at; None if they were given without one."""
    evidence: pd.DataFrame | None = field(default=None, compare=False, repr=False)
    """One row per frequency: frequency, logit_power_share, null_share, embedding_norm,
    n_neurons, W_L_norm, is_key, double_of, is_dense, accuracy_on. The last two and null_share
    are the same in every row. For permutations the first is ``representation`` with
    ``dimension`` and ``character_similarity`` beside it, and double_of is absent. None if they
    were given without a snapshot."""
    reason: str | None = None
    """Why the set is empty."""
    names: tuple[str, ...] | None = None
    """Names of the key representations; None for frequencies."""
    n_permutations: int | None = field(default=None, compare=False)
    """Random groupings of the pairs that ``null_share`` was found from; None if unknown."""
    is_dense: bool = False
    """Whether the default rule found nearly all frequencies: then logits alone cannot tell the
    circuit from a lookup table."""
    accuracy_on: AccuracyOn | None = field(default=None, compare=False)
    """Pairs whose accuracy the default rule asked for: ``unmirrored_test``, ``test`` or, where
    no test pairs are known, ``all``. None for other rules."""

    __repr__ = spec_repr

    @classmethod
    def given(cls, order: int, frequencies: Iterable[int]) -> KeyFrequencies:
        """Take frequencies that somebody names.

        Raises
        ------
        ConfigError
            If one is not an integer in 1 .. n//2, or there are none.

        Examples
        --------
        >>> KeyFrequencies.given(12, [6]).rule
        'given'
        """
        wanted = list(frequencies)
        highest = n_frequencies(order)
        for k in wanted:
            is_whole = isinstance(k, Integral) and not isinstance(k, bool)
            if not is_whole or not 1 <= k <= highest:
                raise ConfigError(
                    f"frequency {k} is not one of 1 .. {highest}, the frequencies of order "
                    f"{order}. Frequency {order} - k is the same as k."
                )
        if not wanted:
            raise ConfigError(f"no frequency is given. Name at least one of 1 .. {highest}.")
        return cls(order, tuple(sorted({int(k) for k in wanted})), "given")

    @classmethod
    def given_for(cls, view: GroupView, components: Iterable[int | str]) -> KeyFrequencies:
        """Take frequencies, or for permutations names of representations, of a task's group.

        Raises
        ------
        ConfigError
            If one does not exist in that group, or there are none.

        Examples
        --------
        >>> from grokinterp.tasks import Task, TaskSpec
        >>> view = Task(TaskSpec("permutation_composition", degree=4)).group_view
        >>> KeyFrequencies.given_for(view, ["standard", "sign"]).frequencies
        (1, 4)
        """
        if view.degree is None:
            numbers = [k for k in components if not isinstance(k, str)]
            words = [k for k in components if isinstance(k, str)]
            if words:
                raise ConfigError(
                    f"{words[0]!r} is no frequency. Name some of 1 .. {view.n_frequencies}."
                )
            return cls.given(view.order, numbers)
        names = symmetric_harmonics(view.degree).names or ()
        known: dict[int | str, int] = {name: k for k, name in enumerate(names) if k > 0}
        known |= {number: number for number in range(1, len(names))}
        chosen: set[int] = set()
        for component in components:
            if component not in known:
                raise ConfigError(
                    f"{component!r} is no representation of S_{view.degree} that can be key. "
                    f"Choose some of {', '.join(names[1:])}."
                )
            chosen.add(known[component])
        if not chosen:
            raise ConfigError(f"no representation is given. Name some of {', '.join(names[1:])}.")
        numbers = tuple(sorted(chosen))
        return cls(view.order, numbers, "given", names=tuple(names[k] for k in numbers))

    @property
    def labels(self) -> tuple[str, ...]:
        """What to call the frequencies: their numbers, or the names of the representations."""
        return self.names if self.names is not None else tuple(map(str, self.frequencies))

    @property
    def caveats(self) -> tuple[str, ...]:
        """What to know before the set is believed, a sentence each; usually nothing.

        Examples
        --------
        >>> KeyFrequencies(7, (1, 2, 3), is_dense=True).caveats[0]
        'nearly all frequencies are key: logits alone cannot tell such a circuit from a lookup \
table; neurons can'
        """
        found = [DENSE_CAVEAT] if self.is_dense else []
        if self.frequencies and self.accuracy_on == "all":
            found.append(ALL_PAIRS_CAVEAT)
        return tuple(found)


def find_key_frequencies(
    snapshot: Snapshot,
    rule: KeyFrequencyRule = "logit_power",
    *,
    n_permutations: int = 1000,
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
        3, where a permutation too often restores the groups. For permutations the same of pairs
        with the same product and of representations, the trivial one left out.

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

    The last two are there for comparison and ask for no accuracy.

    Parameters
    ----------
    snapshot
        Usually of the last checkpoint. Measures along a whole run use this one set.
    rule
        One of the above.
    n_permutations, seed
        Of the null distribution of the default rule.

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
        If the rule is not known.

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
    if rule not in ("logit_power", "neurons", "embedding_norm"):
        raise ConfigError(
            f"rule={rule!r} is not known. Choose logit_power, neurons or embedding_norm."
        )
    if snapshot.view is None:
        return KeyFrequencies(
            snapshot.task.n_classes,
            (),
            rule,
            snapshot.step,
            reason=f"{snapshot.task.spec.in_words} has no cyclic view, hence no frequencies",
        )
    evidence = _evidence(snapshot, n_permutations=n_permutations, seed=seed)
    choice = _choose(snapshot, rule, evidence)
    numbers = range(1, len(evidence) + 1)
    evidence["is_key"] = [k in choice.frequencies for k in numbers]
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

    For permutations averaged by ab, and of each representation but the trivial one.

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
    """Norm of each frequency in the embedding of the residues: cosine, sine and d_model."""
    return snapshot.harmonics.power(snapshot.weight("W_E")[snapshot.class_tokens]).sqrt()


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
    published code calls a representation key when this exceeds .005.
    """
    n = snapshot.require_view().order
    logits = snapshot.logits_by_sum[:, :, snapshot.class_tokens].double()
    total = (logits - logits.mean(dim=2, keepdim=True)).norm()
    size = snapshot.harmonics.characters[1:].norm(dim=1) * n
    return logit_coefficients(snapshot) * size / total


def _logit_power(snapshot: Snapshot) -> Float[Tensor, " freq"]:
    return snapshot.harmonics.power(snapshot.mean_logits_by_sum)


def _evidence(snapshot: Snapshot, *, n_permutations: int, seed: int) -> pd.DataFrame:
    power = _logit_power(snapshot)
    harmonics = snapshot.harmonics
    null_power = permuted_power_quantile(
        snapshot.logits_by_sum.flatten(0, 1),
        harmonics,
        quantile=NULL_QUANTILE,
        n_permutations=n_permutations,
        seed=seed,
    )
    W_L = snapshot.W_L[:, snapshot.class_tokens].T
    null_share = null_power / power.sum().item() if power.sum() > 0 else float("nan")
    numbers: dict[str, Any] = {"frequency": range(1, harmonics.n_components + 1)}
    if harmonics.names is not None:
        numbers = {
            "representation": harmonics.names[1:],
            "dimension": harmonics.dimensions[1:],
            "character_similarity": character_similarities(snapshot).numpy(),
        }
    return pd.DataFrame(
        {
            **numbers,
            "logit_power_share": shares(power).numpy(),
            "null_share": null_share,
            "embedding_norm": embedding_norms(snapshot).numpy(),
            "n_neurons": neurons_by_frequency(snapshot).numpy(),
            "W_L_norm": harmonics.power(W_L).sqrt().numpy(),
        }
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
    if rule == "embedding_norm":
        norms = evidence["embedding_norm"]
        return _Choice(tuple(k + 1 for k, norm in enumerate(norms) if norm > norms.max() / 4))
    accuracy = generalization_accuracy(snapshot)
    if not accuracy.is_solution:
        return _Choice((), _no_solution(snapshot, accuracy), accuracy_on=accuracy.on)
    power_shares = torch.tensor(evidence["logit_power_share"].tolist(), dtype=torch.float64)
    null_share = evidence["null_share"].iloc[0]
    dense = dense_components(power_shares, snapshot.harmonics, null_share=null_share)
    if dense:
        return _Choice(dense, is_dense=True, accuracy_on=accuracy.on)
    found = frequencies_above(power_shares, min_share=MIN_SHARE, null_share=null_share)
    return _Choice(found, None if found else _nothing_stands_out(snapshot), accuracy_on=accuracy.on)


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
