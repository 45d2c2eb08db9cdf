"""What the network can still do when a part of it is taken out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits.components import CIRCUITS, PATHS, Component, Site
from grokinterp.circuits.intervened_logits import components_of, logits_after
from grokinterp.circuits.interventions import FILLS, Fill, Intervention, evaluated_rows
from grokinterp.circuits.key_frequencies import KeyFrequencies, neurons_by_frequency
from grokinterp.circuits.memory import return_free_memory
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.circuits.task_pairs import ON, On
from grokinterp.models import ModelSpec
from grokinterp.models.loss import are_correct, pair_losses
from grokinterp.models.network_parts import PartName
from grokinterp.portions import Joined, portions

MOST_LOGITS = 2**27
"""Logits of all pairs up to which :func:`ablation_table` does everything: those of n = 512. In S_6
each intervention takes some ten seconds, and there are 61."""


@dataclass(frozen=True, eq=False)
class Ablation:
    """A network without a part of it, and how well it does."""

    component: str
    """What was removed or kept, such as ``trigonometric_circuit``, ``frequency_9``, ``head_2``;
    ``full`` when nothing was touched."""
    intervention: str
    """What was done to it: ``removed from logits``, ``kept in neurons (zero)``, ...; ``none``
    when nothing was."""
    frequencies: tuple[int | str, ...]
    """The frequencies, or names of representations, that define the component."""
    losses: dict[str, float]
    """Mean cross-entropy in nats by ``all``, ``train``, ``test``; NaN over no pairs. ``all``
    alone where the split is not known."""
    accuracies: dict[str, float]
    """Fraction of right answers by the same pairs; NaN over no pairs."""

    def to_row(self) -> dict[str, str | float]:
        """Row of ablations.csv."""
        return {
            "component": self.component,
            "intervention": self.intervention,
            "frequencies": " ".join(map(str, self.frequencies)),
            **{f"loss_{on}": loss for on, loss in self.losses.items()},
            **{f"accuracy_{on}": accuracy for on, accuracy in self.accuracies.items()},
        }


def ablate(
    snapshot: Snapshot,
    key_frequencies: KeyFrequencies | None = None,
    *,
    component: str,
    at: Site | None = None,
    keep: bool = False,
    fill: Fill = "mean",
    seed: int = 0,
) -> Ablation:
    r"""Take a part out of a network, or leave it alone in it, and see how it does.

    Parameters
    ----------
    snapshot
        Of any task. Components made of frequencies need a task that has some.
    key_frequencies
        What separates the two circuits; not needed for the other components.
    component
        One of

        ``trigonometric_circuit``, ``memorization_circuit``, ``frequency_9``
            What the key frequencies (or one frequency) span, and everything else. At
            ``logits``: the components of every logit column along
            :math:`\cos w_k(a+b), \sin w_k(a+b)`, so that what is left without the
            trigonometric circuit are the excluded logits, and without the memorization
            circuit the restricted logits. At ``neurons``: the 3 x 3 block of each frequency
            in the last block's activations. At ``embedding``: cosine and sine of each
            frequency in the rows of W_E; the network is run again. In other groups
            ``representation_sign`` and matrix elements in place of the waves.
        ``neuron_17``, ``neurons_of_9``, ``unexplained_neurons``, ``mlp``
            One neuron; those with over 85 % of their variance in frequency 9; those with no
            such frequency; all.
        ``head_2``, ``attention``, ``layer_0_head_2``
            What a head writes, or all heads, of the last block or of another.
        ``path_around_attention``, ``path_around_mlp``
            The residual stream past attention (to the MLP and on), and past the MLP.
        ``attention_to_mlp``, ``attention_to_logits``
            What the MLP, or the logits, read of the attention heads.
    at
        ``logits`` (the default), ``neurons`` or ``embedding`` for the first kind; the others
        have one place.
    keep
        Do it to everything else at that place instead, so that the component is left alone.
    fill
        What is put in: ``mean`` over the pairs, ``zero``, or ``resample``, the value at
        another pair, in a random order without repetition.
    seed
        Of that order.

    Returns
    -------
    Ablation
        Losses and accuracies over the pairs of the task's view; over all pairs where it has
        none.

    Raises
    ------
    ConfigError
        If the component does not exist here, cannot be taken out there, or needs key
        frequencies and has none.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> keys = gi.find_key_frequencies(snapshot)
    >>> gi.ablate(snapshot, keys, component="memorization_circuit").losses
    {'all': ...e-06, 'train': ...e-06, 'test': ...e-06}
    >>> gi.ablate(snapshot, component="head_0", fill="zero").accuracies
    {'all': 0..., 'train': 0..., 'test': 0...}

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, section 4.4 and appendix C. Resampling: Chan et al., "Causal
    scrubbing", Alignment Forum 2022.
    """
    named = Component.parse(component)
    intervention = Intervention(named, named.site(at), keep, fill, seed)
    return _after(snapshot, key_frequencies, intervention)


def _after(
    snapshot: Snapshot, key_frequencies: KeyFrequencies | None, intervention: Intervention
) -> Ablation:
    logits = logits_after(snapshot, key_frequencies, intervention)
    found = components_of(snapshot, intervention.component, key_frequencies)
    labels = () if found is None else found.names or found.frequencies
    name, what = str(intervention.component), intervention.describe()
    return evaluate_logits(snapshot, logits, name, what, labels)


def ablate_with_hooks(
    snapshot: Snapshot,
    fwd_hooks: Sequence[tuple[str, Callable[..., Any]]],
    *,
    name: str = "hooks",
) -> Ablation:
    """Run a network on all pairs with TransformerLens-style hooks and see how it does.

    Parameters
    ----------
    snapshot
        Of any task.
    fwd_hooks
        Pairs of a hook point's name and a function ``hook(activation, hook)`` that returns
        the activation to use instead, or None. All pairs are one batch, in the order of
        ``task.pairs``.
    name
        What the result calls itself.

    Raises
    ------
    ConfigError
        If a hook point is behind a flag that is off, or the network has no hook points.

    Examples
    --------
    >>> import grokinterp as gi
    >>> def no_mlp(mlp_out, hook):
    ...     return mlp_out * 0
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> hooks = [("blocks.0.hook_mlp_out", no_mlp)]
    >>> gi.ablate_with_hooks(snapshot, hooks).losses
    {'all': 2..., 'train': 2..., 'test': 2...}
    """
    # Only here: TransformerLens takes seconds to import.
    from grokinterp.models.hooked_transformer import HookedTransformer

    model = HookedTransformer.from_parameters(snapshot.spec, snapshot.parameters)
    with torch.no_grad():
        logits = model.run_with_hooks(snapshot.tokens, fwd_hooks=list(fwd_hooks))[:, -1]
        logits = logits[:, : snapshot.task.n_classes]
    points = ", ".join(str(point) for point, _ in fwd_hooks)
    of_pairs = [logits[evaluated_rows(snapshot)]]
    return evaluate_logits(snapshot, of_pairs, name, f"hooks at {points}", ())


def ablation_table(
    snapshot: Snapshot, key_frequencies: KeyFrequencies, *, at: Sequence[Site] = ("logits",)
) -> pd.DataFrame:
    """How the network does in full, and after every standard intervention at some places.

    Parameters
    ----------
    snapshot
        Usually of the last checkpoint.
    key_frequencies
        If there are none, or the task has none, rows that need them are left out.
    at
        Places; see :data:`~grokinterp.circuits.components.SITES` and :func:`ablate`. For
        ``logits``, ``neurons`` and ``embedding`` first the two circuits and each key
        frequency removed, then what else there is. Of a dense set each frequency is removed
        from the logits alone. Of more than :data:`MOST_LOGITS` logits, as in S_6, only removals
        by the mean are done; :func:`ablate` does any other.

    Returns
    -------
    DataFrame
        component, intervention, frequencies (separated by spaces), loss_all, loss_train,
        loss_test (nats), accuracy_all, accuracy_train, accuracy_test; the columns of train
        and test only where the split is known. Over the pairs of the task's view where there
        is one. The first row is ``full``.
    """
    ablations = [full_network(snapshot)]
    for site in at:
        # Neurons and heads of all pairs are large, and no site needs those of another.
        here = snapshot.without_cache() if len(at) > 1 else snapshot
        return_free_memory()
        for intervention in standard_interventions(here, key_frequencies, site):
            ablations.append(_after(here, key_frequencies, intervention))
    return pd.DataFrame([ablation.to_row() for ablation in ablations])


def standard_interventions(
    snapshot: Snapshot, key_frequencies: KeyFrequencies, site: Site
) -> list[Intervention]:
    """List what :func:`ablation_table` does at a site, in order; empty if it is not a part."""
    found = _interventions(snapshot, key_frequencies, site)
    if snapshot.logits.numel() <= MOST_LOGITS:
        return found
    return [one for one in found if one.fill == "mean" and not one.keep]


def _interventions(
    snapshot: Snapshot, key_frequencies: KeyFrequencies, site: Site
) -> list[Intervention]:
    if not snapshot.has(*PARTS_AT[site]):
        return []
    if site == "paths":
        return _removed(site, [Component(path) for path in PATHS])
    if site == "heads":
        return _of_heads(snapshot.spec)
    keys = () if snapshot.view is None else _names(key_frequencies)
    kind = "frequency" if key_frequencies.names is None else "representation"
    circuits = [Component(circuit) for circuit in CIRCUITS]
    # One of fifty frequencies says little, and past the logits each costs a pass.
    takes_singles = site == "logits" or not key_frequencies.is_dense
    singles = [Component(kind, k) for k in keys] if takes_singles else []
    found: list[Intervention] = []
    if keys:
        found += [Intervention(component, site) for component in (*circuits, *singles)]
        found += [Intervention(circuit, site, fill="resample") for circuit in circuits]
        found += [Intervention(circuits[0], site, keep=True, fill="zero")]
        found += [Intervention(single, site, keep=True) for single in singles]
    if site == "neurons":
        found += _of_neurons(snapshot, key_frequencies)
    return found


PARTS_AT: dict[Site, tuple[PartName, ...]] = {
    "logits": (),
    "neurons": ("neurons", "way_from_neurons"),
    "embedding": ("operands", "way_from_operands"),
    "heads": ("blocks",),
    "paths": ("blocks", "neurons"),
}
"""Parts of a network that interventions at each place need."""


def _names(key_frequencies: KeyFrequencies) -> tuple[int | str, ...]:
    return key_frequencies.names or key_frequencies.frequencies


def _of_heads(spec: ModelSpec) -> list[Intervention]:
    layers = [*range(spec.n_layers - 1), None]
    heads = [Component("head", head, layer) for layer in layers for head in range(spec.n_heads)]
    wholes = [Component("attention", layer=layer) for layer in layers]
    alone = [Intervention(head, "heads", keep=True) for head in heads if spec.n_heads > 1]
    return _removed("heads", heads + wholes) + alone


def _of_neurons(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> list[Intervention]:
    if snapshot.view is None:
        return _removed("neurons", [Component("mlp")])
    counts = neurons_by_frequency(snapshot)
    keys = zip(key_frequencies.frequencies, _names(key_frequencies), strict=True)
    clusters = [Component("neurons_of", name) for k, name in keys if counts[k - 1] > 0]
    alone = [Intervention(cluster, "neurons", keep=True) for cluster in clusters]
    rest = [Component("unexplained_neurons"), Component("mlp")]
    return _removed("neurons", [*clusters, *rest]) + alone


def _removed(site: Site, components: Sequence[Component]) -> list[Intervention]:
    return [Intervention(part, site, fill=fill) for part in components for fill in FILLS]


def full_network(snapshot: Snapshot) -> Ablation:
    """How the network does when nothing is touched."""
    rows = evaluated_rows(snapshot)
    parts = portions(len(rows), 8 * snapshot.logits.shape[1])
    return evaluate_logits(
        snapshot, (snapshot.logits[rows[part]] for part in parts), "full", "none", ()
    )


def evaluate_logits(
    snapshot: Snapshot,
    logits: Iterable[Float[Tensor, "row c"]],
    component: str,
    intervention: str,
    frequencies: tuple[int | str, ...],
) -> Ablation:
    """Losses and accuracies of logits that come some of the evaluated pairs at a time."""
    rows = evaluated_rows(snapshot)
    losses, correct = Joined(len(rows)), Joined(len(rows))
    for part in logits:
        labels = snapshot.labels[rows[losses.n_added :][: len(part)]]
        losses.add(pair_losses(part, labels))
        correct.add(are_correct(part, labels).double())
    sides: tuple[On, ...] = ON if snapshot.split.is_known else ("all",)
    masks = {on: snapshot.pair_mask(on)[rows] for on in sides}
    return Ablation(
        component,
        intervention,
        frequencies,
        {on: float(losses.rows[mask].mean()) for on, mask in masks.items()},
        {on: float(correct.rows[mask].mean()) for on, mask in masks.items()},
    )
