"""From a checkpoint and its key frequencies to a closed form."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch

from grokinterp.circuits import KeyFrequencies, Snapshot
from grokinterp.circuits.generalization import AccuracyOn
from grokinterp.errors import ConfigError
from grokinterp.extraction.closed_form import Agreement, ClosedForm, ShuffledPhases
from grokinterp.extraction.formulas import Formula
from grokinterp.extraction.logit_waves import fit_logits, fitted_on
from grokinterp.extraction.neuron_polynomials import fit_neuron_polynomials
from grokinterp.extraction.neuron_waves import fit_neuron_waves
from grokinterp.extraction.scores import formula_answers, network_answers, variance_explained
from grokinterp.fields import checked
from grokinterp.models.initialization import is_trained
from grokinterp.models.mlp_parts import MlpParts
from grokinterp.models.transformer_parts import TransformerParts

Level = Literal[1, 2]
LEVELS: tuple[Level, ...] = get_args(Level)
N_SHUFFLED = 20
"""Draws of shuffled phases."""


def extract(
    snapshot: Snapshot,
    key_frequencies: KeyFrequencies,
    *,
    level: Level = 1,
    n_shuffled: int = N_SHUFFLED,
    seed: int = 0,
) -> ClosedForm:
    r"""Extract a closed form: the logits from a table of a few numbers.

    Level one writes the logits as K waves,

    .. math:: \sum_k A_k \cos(w_k(a + b - c) + \phi_k), \qquad w_k = 2\pi k/n,

    fitted by least squares on the pairs that the network cannot have memorized; in a group that
    is not cyclic as characters :math:`\sum_\rho A_\rho \chi_\rho(abc^{-1})`.

    Level two rebuilds every neuron from a few numbers and adds up what they write. A neuron of a
    perceptron with one hidden layer becomes a wave of a, a wave of b and a wave of c
    (:mod:`~grokinterp.extraction.neuron_waves`), run through the network's activation. A neuron
    of a transformer, or of a deeper perceptron, becomes a polynomial of one frequency
    (:mod:`~grokinterp.extraction.neuron_polynomials`).

    Parameters
    ----------
    snapshot
        Of a task with a group view.
    key_frequencies
        What the formula may use. ``KeyFrequencies.given(n, range(1, n // 2 + 1))`` is all of them.
    level
        1: a formula for the logits. 2: a formula for every neuron; only of a cyclic group.
    n_shuffled, seed
        Draws of shuffled phases, and the seed that they are drawn from.

    Raises
    ------
    ConfigError
        If an argument is of the wrong type, there are no key frequencies or they are of another
        group, or the task has no group view. At level two also if the group is not cyclic, the
        network has no neurons or no linear readout from them, or no neuron is of a key frequency.

    Notes
    -----
    The accuracy of level one proves nothing. Any sum of :math:`\cos w_k(a+b-c)` with positive
    amplitudes is right on every pair, a single frequency prime to n included, and a network that
    memorizes its training pairs projects on such waves with positive amplitudes too. Its loss on
    held-out pairs, and the agreement where the network is wrong, say more.

    The accuracy of level two is no proof either where a network has been trained on many right
    answers: random neurons whose readout alone was fitted to half of the pairs, and that are at
    chance on the others, are rebuilt as a network that is right on nearly all. The phases of their
    readout carry the trained answers, and the rest of their weights is left out. So
    `variance_explained` says how much of the network the formula is.

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability", ICLR 2023,
    arXiv:2301.05217, section 4.2 for the waves; Chughtai et al., ICML 2023, arXiv:2302.03025 for
    the characters.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> form = gi.extract(snapshot, gi.find_key_frequencies(snapshot))
    >>> form.table.frequency.tolist(), form.accuracy
    ([2, 3], 1.0)
    >>> rebuilt = gi.extract(snapshot, gi.find_key_frequencies(snapshot), level=2)
    >>> rebuilt.accuracy > 0.9, rebuilt.table.columns[:4].tolist()
    (True, ['neuron', 'frequency', 'cos', 'sin'])
    """
    checked("snapshot", snapshot, Snapshot, "Take one: gi.take_snapshot(run).")
    remedy = "Find some: gi.find_key_frequencies(snapshot)."
    checked("key_frequencies", key_frequencies, KeyFrequencies, remedy)
    if checked("level", level, int) not in LEVELS:
        raise ConfigError(f"level={level} is not known. Choose one of 1, 2.")
    checked("seed", seed, int)
    if checked("n_shuffled", n_shuffled, int) < 0:
        raise ConfigError(f"n_shuffled={n_shuffled} is not allowed. Use 0 for no draws.")
    _check_of_group(snapshot, key_frequencies)
    formula, on = _fitted(snapshot, key_frequencies, level)
    return _scored(snapshot, key_frequencies, level, formula, on, n_shuffled, seed)


def n_trained_parameters(snapshot: Snapshot) -> int | None:
    """Trained parameters of a network; None if its weights are not known.

    Examples
    --------
    >>> n_trained_parameters(snapshot)
    9248
    """
    if not snapshot.has("weights"):
        return None
    network = snapshot.network

    def counts(name: str) -> bool:
        if isinstance(network, TransformerParts):
            return is_trained(name, network.spec)
        return network.spec.is_trained(name) if isinstance(network, MlpParts) else True

    return sum(value.numel() for name, value in network.weights.items() if counts(name))


def _check_of_group(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> None:
    view = snapshot.require_view()
    if not key_frequencies.frequencies:
        why = key_frequencies.reason or "none were found"
        raise ConfigError(
            f"there are no key frequencies to make a closed form of: {why}. Name some: "
            "gi.KeyFrequencies.given_for(snapshot.view, [...])."
        )
    is_cyclic = key_frequencies.names is None
    if key_frequencies.order != view.order or is_cyclic != view.is_cyclic:
        raise ConfigError(
            f"key_frequencies are of a group of order {key_frequencies.order}, and the snapshot "
            f"is of {snapshot.task.spec.in_words}. Find them in this snapshot: "
            "gi.find_key_frequencies(snapshot)."
        )


def _fitted(
    snapshot: Snapshot, key_frequencies: KeyFrequencies, level: int
) -> tuple[Formula, AccuracyOn | None]:
    """The formula of a level, and the pairs that it was fitted on."""
    if level == 1:
        return fit_logits(snapshot, key_frequencies), fitted_on(snapshot)
    network = snapshot.network
    if isinstance(network, MlpParts) and len(network.spec.widths) == 1:
        formula, on = fit_neuron_waves(snapshot, key_frequencies), None
    else:
        formula, on = fit_neuron_polynomials(snapshot, key_frequencies), fitted_on(snapshot)
    if not len(formula.neurons):
        raise ConfigError(
            f"no neuron of step {snapshot.step} is of the frequencies "
            f"{', '.join(key_frequencies.labels)}. Name others, or use level=1."
        )
    return formula, on


def _scored(
    snapshot: Snapshot,
    key_frequencies: KeyFrequencies,
    level: int,
    formula: Formula,
    on: AccuracyOn | None,
    n_shuffled: int,
    seed: int,
) -> ClosedForm:
    right = snapshot.class_tokens[snapshot.products.flatten()]
    network, found = network_answers(snapshot), formula_answers(snapshot, formula)
    is_same, is_right = found.tokens == network.tokens, found.tokens == right
    network_is_right = network.tokens == right
    is_test = snapshot.in_view(snapshot.pair_mask("test"))
    return ClosedForm(
        snapshot=snapshot,
        key_frequencies=key_frequencies,
        level=level,
        formula=formula,
        fitted_on=on,
        accuracy=_mean(is_right),
        test_accuracy=_mean(is_right[is_test]),
        loss=_mean(found.losses),
        network_accuracy=_mean(network_is_right),
        network_loss=_mean(network.losses),
        agreement=Agreement(
            _mean(is_same), _mean(is_same[network_is_right]), _mean(is_same[~network_is_right])
        ),
        variance_explained=variance_explained(snapshot, formula),
        shuffled=_shuffled(snapshot, formula, n_shuffled, seed),
        n_network_parameters=n_trained_parameters(snapshot),
    )


def _shuffled(snapshot: Snapshot, formula: Formula, n_draws: int, seed: int) -> ShuffledPhases:
    generator = torch.Generator().manual_seed(seed)
    right = snapshot.class_tokens[snapshot.products.flatten()]
    accuracies, losses = [], []
    for _ in range(n_draws):
        drawn = formula.with_shuffled_phases(generator)
        if drawn is None:
            break
        answers = formula_answers(snapshot, drawn)
        accuracies.append(_mean(answers.tokens == right))
        losses.append(_mean(answers.losses))
    return ShuffledPhases(tuple(accuracies), tuple(losses))


def _mean(values: torch.Tensor) -> float:
    return float(values.double().mean()) if len(values) else math.nan
