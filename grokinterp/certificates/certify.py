"""From a checkpoint and its closed form to a proof of its accuracy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int

from grokinterp.certificates.by_pair import Group, Proved, prove_by_pair, prove_every_pair
from grokinterp.certificates.by_token import (
    prove_by_operator_norms,
    prove_by_token,
    token_bounds,
)
from grokinterp.certificates.certificate import Certificate, Strategy
from grokinterp.certificates.pair_network import PairNetwork, pair_network, why_no_tables
from grokinterp.circuits import Snapshot
from grokinterp.errors import ConfigError
from grokinterp.extraction import ClosedForm
from grokinterp.extraction.neuron_polynomials import NeuronPolynomials
from grokinterp.extraction.neuron_waves import NeuronWaves
from grokinterp.fields import checked

STRATEGIES = ("every pair", "exact neurons", "neurons by group", "per token", "operator norms")
"""From the most expensive to the cheapest."""
_MORE_FUNCTIONS = (0, 1, 2, 4, 8, 16, 32)
"""Functions of the answer that ``exact neurons`` may follow beside the closed form's."""
_IDEAL = "weights and constants exact, real arithmetic"
_ELEMENTARY = f"{_IDEAL}; exp, erf, tanh and cos within 32 roundings"
_AS_COMPUTED = "the logits as the network computed them"


WHOLE_ROWS = ("unexplained_dimension", "n_functions")
"""Columns of :func:`certificate_table` that hold whole numbers."""


def certificate_table(closed_forms: list[ClosedForm]) -> pd.DataFrame:
    """Certify the snapshot of the last of some closed forms; no rows without any.

    Examples
    --------
    >>> len(certificate_table([gi.extract(snapshot, keys)])), len(certificate_table([]))
    (5, 0)
    """
    if not closed_forms:
        return pd.DataFrame()
    return certify(closed_forms[-1].snapshot, closed_forms[-1]).strategies


def certify(snapshot: Snapshot, closed_form: ClosedForm) -> Certificate:
    r"""Prove a lower bound on the accuracy of a network, in several ways.

    A pair is proved where the margin of what is followed exceeds a bound on what is not, for
    every other answer. The strategies are a ladder, from computing everything to computing
    nothing for a pair: ``every pair``; ``exact neurons``, whose readout is followed along the
    closed form's frequencies and bounded by norms beside them; ``neurons by group``, the same
    with the neurons of each frequency apart; ``per token``, a closed form of the neurons and a
    bound for every token; ``operator norms``, one bound for all pairs.

    Parameters
    ----------
    snapshot
        Of a task with a group view.
    closed_form
        Extracted from this snapshot. Its frequencies, or representations, are followed; at level
        two it also says which neuron belongs to which.

    Returns
    -------
    Certificate
        Strategies that this network does not allow are absent with a reason: a module or logits
        alone have ``every pair``; deeper networks too, and those with norms; the last two need
        ReLU neurons and a cyclic group.

    Raises
    ------
    ConfigError
        If an argument is of the wrong type, or the closed form is of another task or step.

    Notes
    -----
    Arithmetic is float64, rounded outwards (:mod:`~grokinterp.certificates.outward`). Operations
    are those of the proof, not of the search for it: which functions to follow, and which vector
    to measure neurons from, is found beforehand, and any choice gives a valid bound.

    References
    ----------
    Gross et al., "Compact Proofs of Model Performance via Mechanistic Interpretability",
    NeurIPS 2024, arXiv:2406.11779, for accuracy bounds whose length measures understanding.

    Examples
    --------
    >>> certificate = gi.certify(snapshot, gi.extract(snapshot, keys))
    >>> certificate.strategies.strategy.tolist()
    ['every pair', 'exact neurons', 'neurons by group', 'per token', 'operator norms']
    >>> 0 <= certificate.accuracy_lower_bound <= 1
    True
    """
    checked("snapshot", snapshot, Snapshot, "Take one: gi.take_snapshot(run).")
    remedy = "Extract one: gi.extract(snapshot, key_frequencies)."
    checked("closed_form", closed_form, ClosedForm, remedy)
    theirs = closed_form.snapshot
    if theirs.task.spec != snapshot.task.spec or theirs.step != snapshot.step:
        raise ConfigError(
            f"closed_form is of {theirs.task.spec.in_words} at step {theirs.step:,}, and the "
            f"snapshot of {snapshot.task.spec.in_words} at step {snapshot.step:,}. {remedy}"
        )
    why = why_no_tables(snapshot)
    if why is not None:
        rows = [_as_computed(snapshot), *(Strategy(name, reason=why) for name in STRATEGIES[1:])]
        return Certificate(closed_form, tuple(rows))
    network = pair_network(snapshot)
    rows = [
        _row("every pair", network, prove_every_pair(network)),
        _exact_neurons(network, _functions(snapshot, closed_form)),
        _by_group(network, snapshot, closed_form),
        *_by_token(network, snapshot, closed_form),
    ]
    return Certificate(closed_form, tuple(rows))


def _as_computed(snapshot: Snapshot) -> Strategy:
    """Count the pairs whose computed logit of the right answer is above all others."""
    logits = snapshot.logits[snapshot.pair_rows].double()
    answers = snapshot.class_tokens[snapshot.products.flatten()][:, None]
    of_answer = logits.gather(1, answers)
    others = logits.scatter(1, answers, -torch.inf).max(dim=1, keepdim=True).values
    bound = float((of_answer > others).double().mean())
    numbers = logits.numel()
    return Strategy("every pair", bound, 1.0, bound - 1.0, numbers, None, _AS_COMPUTED)


def _row(
    name: str, network: PairNetwork, proved: Proved, n_functions: int | None = None
) -> Strategy:
    bound = float(proved.pairs.mean())
    cost = proved.operations / network.cheapest_pass()
    is_plain = network.attention is None and network.spec.act_fn in (
        "relu",
        "square",
        "linear_quadratic",
    )
    is_plain = is_plain and name not in STRATEGIES[3:]
    assumes = _IDEAL if is_plain else _ELEMENTARY
    return Strategy(name, bound, cost, bound - cost, proved.unexplained, n_functions, assumes)


def _functions(snapshot: Snapshot, closed_form: ClosedForm) -> dict[int, Float[np.ndarray, "c r"]]:
    """Functions of the answer that each frequency, or representation, of the closed form has."""
    harmonics = snapshot.harmonics
    found = {}
    for k in closed_form.key_frequencies.frequencies:
        waves = harmonics.waves(torch.tensor([k])).double().numpy()
        columns = np.zeros((snapshot.task.n_classes, len(waves)))
        columns[: waves.shape[1]] = waves.T
        found[int(k)] = columns
    return found


def _exact_neurons(
    network: PairNetwork, functions: dict[int, Float[np.ndarray, "c r"]]
) -> Strategy:
    """All neurons as one group; functions are added while the bound gains more than they cost."""
    followed = np.concatenate(list(functions.values()), axis=1)
    further = _directions_left(network, followed)
    everyone = np.arange(network.n_neurons)
    best: Strategy | None = None
    for n_more in _MORE_FUNCTIONS:
        if n_more > further.shape[1]:
            break
        chosen = np.concatenate([followed, further[:, :n_more]], axis=1)
        proved = prove_by_pair(network, [Group(everyone, chosen)])
        row = _row("exact neurons", network, proved, chosen.shape[1])
        is_better = best is None or row.bound_minus_cost > best.bound_minus_cost
        best = row if is_better else best
        if row.accuracy_lower_bound == 1:
            break
    assert best is not None
    return best


def _directions_left(
    network: PairNetwork, followed: Float[np.ndarray, "c r"]
) -> Float[np.ndarray, "c more"]:
    """Functions of the answer that hold most of what is left of the logits, the largest first."""
    m, n = network.n_neurons, network.n
    total, products = np.zeros(m), np.zeros((m, m))
    for _, neurons, _ in network.blocks():
        total += neurons.sum(axis=0)
        products += neurons.T @ neurons
    covariance = products / n**2 - np.outer(total, total) / n**4
    rest = network.readout.mid - (network.readout.mid @ followed) @ followed.T
    rest = rest - rest.mean(axis=1, keepdims=True)
    left = rest.T @ covariance @ rest
    sizes, vectors = np.linalg.eigh((left + left.T) / 2)
    n_left = int((sizes > 1e-12 * max(float(sizes.max()), 1e-300)).sum())
    return vectors[:, ::-1][:, :n_left]


def _by_group(network: PairNetwork, snapshot: Snapshot, closed_form: ClosedForm) -> Strategy:
    """Neurons of each frequency apart, followed along their own frequency, or along all."""
    functions = _functions(snapshot, closed_form)
    belongs = _frequency_of_neurons(network, closed_form, functions)
    everything = np.concatenate(list(functions.values()), axis=1)
    rows = []
    for own_alone in (True, False):
        groups = [
            Group(np.flatnonzero(belongs == k), own if own_alone else everything)
            for k, own in functions.items()
        ]
        n_functions = sum(g.functions.shape[1] for g in groups if len(g.neurons))
        rows.append(_row("neurons by group", network, prove_by_pair(network, groups), n_functions))
        if rows[-1].accuracy_lower_bound == 1:
            break
    return max(rows, key=lambda row: row.bound_minus_cost)


def _frequency_of_neurons(
    network: PairNetwork,
    closed_form: ClosedForm,
    functions: dict[int, Float[np.ndarray, "c r"]],
) -> Int[np.ndarray, " neuron"]:
    """Frequency that each neuron belongs to; -1 for those that the closed form leaves out."""
    formula = closed_form.formula
    belongs = np.full(network.n_neurons, -1)
    if isinstance(formula, NeuronWaves | NeuronPolynomials):
        belongs[formula.neurons.numpy()] = formula.frequencies.numpy()
        return belongs
    # Level one says nothing about neurons: each belongs to the frequency that it writes most of.
    power = [np.square(network.readout.mid @ columns).sum(axis=1) for columns in functions.values()]
    return np.array(list(functions))[np.argmax(power, axis=0)]


def _by_token(network: PairNetwork, snapshot: Snapshot, closed_form: ClosedForm) -> list[Strategy]:
    names = STRATEGIES[3:]
    why = None
    if not snapshot.require_view().is_cyclic:
        why = "its group is not cyclic, and no closed form of its neurons is known"
    elif network.spec.act_fn != "relu":
        why = f"neurons of {network.spec.act_fn} have no closed form here; those of relu have"
    if why is not None:
        return [Strategy(name, reason=why) for name in names]
    belongs = _frequency_of_neurons(network, closed_form, _functions(snapshot, closed_form))
    kept: Bool[np.ndarray, " neuron"] = belongs >= 0
    bounds = token_bounds(network, np.flatnonzero(kept), belongs[kept])
    found = (prove_by_token(bounds), prove_by_operator_norms(bounds))
    return [_row(name, network, proved) for name, proved in zip(names, found, strict=True)]
