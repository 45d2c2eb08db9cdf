"""What the network can still do when one of its circuits is taken out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.loss import are_correct, pair_losses
from grokinterp.circuits.memorization import excluded_logits
from grokinterp.circuits.snapshot import ON, On, Snapshot
from grokinterp.circuits.trigonometric import restricted_logits
from grokinterp.errors import ConfigError
from grokinterp.spectra import fourier_basis, sum_rows
from grokinterp.spectra.fourier import component_frequencies

Circuit = Literal["trigonometric_circuit", "memorization_circuit"]
Site = Literal["logits", "neurons", "embedding"]


@dataclass(frozen=True, eq=False)
class Ablation:
    """A network without a part of it, and how well it does."""

    component: str
    """What was removed: ``trigonometric_circuit``, ``memorization_circuit``, ``frequency_9``,
    or ``full`` when nothing was."""
    intervention: str
    """``removed from logits``, ``removed from neurons``, ``removed from embedding``; ``none``
    when nothing was removed."""
    frequencies: tuple[int, ...]
    """The frequencies that tell the component from the rest."""
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
    key_frequencies: KeyFrequencies,
    *,
    circuit: Circuit,
    at: Site = "logits",
) -> Ablation:
    r"""Remove one of the two circuits from a network and see how it does on its pairs.

    Parameters
    ----------
    snapshot
        Of a task with a cyclic view.
    key_frequencies
        What tells the circuits apart. To remove single frequencies, name them:
        ``KeyFrequencies.given(113, [9])`` with ``circuit="trigonometric_circuit"``.
    circuit
        ``trigonometric_circuit`` removes what the key frequencies span;
        ``memorization_circuit`` removes everything else but the constant.
    at
        Where it is removed. ``logits``: the components of every logit column along
        :math:`\cos w_k(a+b), \sin w_k(a+b)`; what is left are the excluded logits, or the
        restricted logits. ``neurons``: the 3 x 3 block of every key frequency in the last
        block's activations, and with it its effect on the logits through W_out W_U.
        ``embedding``: the cosine and sine of every key frequency in the rows of W_E; the
        network is run again.

    Returns
    -------
    Ablation
        Losses and accuracies over the pairs of the cyclic view.

    Raises
    ------
    ConfigError
        If the task has no cyclic view, or the circuit or place is not known.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))  # doctest: +SKIP
    >>> keys = gi.find_key_frequencies(snapshot)  # doctest: +SKIP
    >>> gi.ablate(snapshot, keys, circuit="memorization_circuit").losses  # doctest: +SKIP

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability",
    ICLR 2023, arXiv:2301.05217, section 4.4.
    """
    removes_key = {"trigonometric_circuit": True, "memorization_circuit": False}.get(circuit)
    if removes_key is None:
        raise ConfigError(
            f"circuit={circuit!r} is not known. Choose trigonometric_circuit or "
            "memorization_circuit."
        )
    if at not in _LOGITS_WITHOUT:
        raise ConfigError(f"at={at!r} is not known. Choose one of {', '.join(_LOGITS_WITHOUT)}.")
    snapshot.require_view()
    logits = _LOGITS_WITHOUT[at](snapshot, key_frequencies, removes_key)
    return _evaluate(snapshot, logits, circuit, f"removed from {at}", key_frequencies.frequencies)


def ablation_table(
    snapshot: Snapshot, key_frequencies: KeyFrequencies, *, at: Sequence[Site] = ("logits",)
) -> pd.DataFrame:
    """How the network does in full, and without each circuit and each key frequency.

    Parameters
    ----------
    snapshot
        Usually of the last checkpoint.
    key_frequencies
        If there are none, or the task has no cyclic view, only the full network is a row.
    at
        Places to remove from; see :func:`ablate`. One block of rows for each.

    Returns
    -------
    DataFrame
        component, intervention, frequencies (separated by spaces), loss_all, loss_train,
        loss_test (nats), accuracy_all, accuracy_train, accuracy_test; the columns of train
        and test only where the split is known. Over the pairs of the cyclic view where there
        is one.
    """
    keys = key_frequencies
    ablations = [_full(snapshot)]
    if snapshot.view is None or not keys.frequencies:
        return pd.DataFrame([ablation.to_row() for ablation in ablations])
    for place in at:
        for circuit in ("trigonometric_circuit", "memorization_circuit"):
            ablations.append(ablate(snapshot, keys, circuit=circuit, at=place))
        for k in keys.frequencies:
            one = KeyFrequencies.given(keys.order, [k])
            without = ablate(snapshot, one, circuit="trigonometric_circuit", at=place)
            ablations.append(replace(without, component=f"frequency_{k}"))
    return pd.DataFrame([ablation.to_row() for ablation in ablations])


def _full(snapshot: Snapshot) -> Ablation:
    if snapshot.view is not None:
        return _evaluate(snapshot, snapshot.logits_by_sum, "full", "none", ())
    masks = {on: snapshot.pair_mask(on) for on in _sides(snapshot)}
    return _averaged("full", "none", (), snapshot.losses, snapshot.are_correct, masks)


def _evaluate(
    snapshot: Snapshot,
    logits: Float[Tensor, "s i c"],
    component: str,
    intervention: str,
    frequencies: tuple[int, ...],
) -> Ablation:
    flat = logits.flatten(0, 1)
    labels = snapshot.class_tokens.repeat_interleave(logits.shape[1])
    masks = {on: snapshot.mask_by_sum(on).flatten() for on in _sides(snapshot)}
    return _averaged(
        component,
        intervention,
        frequencies,
        pair_losses(flat, labels),
        are_correct(flat, labels),
        masks,
    )


def _sides(snapshot: Snapshot) -> tuple[On, ...]:
    return ON if snapshot.split.is_known else ("all",)


def _averaged(
    component: str,
    intervention: str,
    frequencies: tuple[int, ...],
    losses: Tensor,
    correct: Tensor,
    masks: dict,
) -> Ablation:
    return Ablation(
        component,
        intervention,
        frequencies,
        {on: float(losses[mask].mean()) for on, mask in masks.items()},
        {on: float(correct[mask].double().mean()) for on, mask in masks.items()},
    )


def _without_in_logits(
    snapshot: Snapshot, keys: KeyFrequencies, removes_key: bool
) -> Float[Tensor, "s i c"]:
    if removes_key:
        return excluded_logits(snapshot, keys)
    return restricted_logits(snapshot, keys)[:, None].expand(snapshot.logits_by_sum.shape)


def _without_in_neurons(
    snapshot: Snapshot, keys: KeyFrequencies, removes_key: bool
) -> Float[Tensor, "s i c"]:
    n = snapshot.require_view().order
    neurons = snapshot.neurons[snapshot.pair_rows].unflatten(0, (n, n))
    blocks = torch.zeros_like(neurons)
    basis = fourier_basis(n).to(neurons.dtype)
    for k in keys.frequencies:
        waves = basis[(component_frequencies(n) == 0) | (component_frequencies(n) == k)]
        block = torch.einsum("fi,ijm,gj->fgm", waves, neurons, waves)
        block[0, 0] = 0
        blocks += torch.einsum("fi,fgm,gj->ijm", waves, block, waves)
    removed = blocks if removes_key else neurons - neurons.mean(dim=(0, 1)) - blocks
    effect = removed.flatten(0, 1).double() @ snapshot.W_L
    return snapshot.logits_by_sum - effect[sum_rows(n)]


def _without_in_embedding(
    snapshot: Snapshot, keys: KeyFrequencies, removes_key: bool
) -> Float[Tensor, "s i c"]:
    tokens = snapshot.class_tokens
    basis = fourier_basis(len(tokens))
    of_row = component_frequencies(len(tokens))
    is_key = torch.isin(of_row, torch.tensor(keys.frequencies, dtype=torch.long))
    waves = basis[is_key if removes_key else ~is_key & (of_row > 0)]
    embedding = snapshot.weight("W_E").clone()
    rows = embedding[tokens].double()
    embedding[tokens] = (rows - waves.T @ (waves @ rows)).to(embedding.dtype)
    changed = dict(snapshot.parameters) | {"embed.W_E": embedding}
    return Snapshot.from_parameters(
        changed, snapshot.split, snapshot.spec, step=snapshot.step
    ).logits_by_sum


_LOGITS_WITHOUT = {
    "logits": _without_in_logits,
    "neurons": _without_in_neurons,
    "embedding": _without_in_embedding,
}
