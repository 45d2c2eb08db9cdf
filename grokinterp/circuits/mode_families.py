"""Families of two-dimensional modes: how large each is, and what the network does without it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.circuits.ablations import MOST_LOGITS, Ablation, evaluate_logits, full_network
from grokinterp.circuits.family_interventions import LogitsWith, logits_with, logits_with_neurons
from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.neurons import DEAD_RELATIVE_SPREAD
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.errors import ConfigError
from grokinterp.fields import checked
from grokinterp.models.network_parts import PartName
from grokinterp.reprs import card_repr, in_lines
from grokinterp.spectra.pair_modes import (
    CONSTANT,
    PRODUCT,
    SAME,
    FamilyPower,
    count_modes,
    family_names,
    family_of_components,
    family_power,
)

Place = Literal["logits", "neurons"]
PARTS_OF_PLACES: dict[Place, tuple[PartName, ...]] = {"logits": (), "neurons": ("neurons",)}
"""Parts of a network that the families at each place need."""


@dataclass(frozen=True, eq=False)
class ModeFamilies:
    """Logits and neurons of a checkpoint, by families of two-dimensional modes."""

    table: pd.DataFrame
    """A row per part and family: ``part`` (``logits`` or ``neurons``), ``family``, ``share`` (of
    the variance over the pairs; empty for the constant, which has none), ``share_key`` (in the
    modes that have key frequencies alone; empty without any), ``power_share`` (of the mean square,
    the constant included), ``n_modes`` and ``share_by_chance`` (their number over that of all modes
    but the constant), then ``kept_accuracy_all``, ``kept_loss_all``, ``ablated_accuracy_all``,
    ``ablated_loss_all`` and, where the split is known, the same for train and test. Losses in nats,
    over the pairs of the view. Neurons without a way to the logits have shares alone."""
    by_frequency: pd.DataFrame
    """A row per part and mode: ``part``, ``first`` and ``second`` (frequencies, or names of
    representations, of a and b; 0 or ``trivial`` for none), ``family``, ``share``. Signs are
    told apart by the family alone: ``first`` 9, ``second`` 9 is there as ``sum`` and as
    ``difference``."""
    by_neuron: pd.DataFrame
    """A row per neuron: ``neuron``, its share in each family, and ``largest``, the family with the
    largest share. Empty cells for dead neurons; empty without neurons."""
    network: Ablation
    """The network untouched, on the same pairs."""
    reasons: dict[str, str]
    """Why a part, or what it does with and without a family, is absent."""

    title = "Families of two-dimensional modes, shares of the variance"
    """What :meth:`in_rows` has."""

    def in_rows(self) -> dict[str, str]:
        """Share of each family, in words by part."""
        lines = {}
        for part, rows in self.table.groupby("part", sort=False):
            shares = rows.dropna(subset=["share"])
            named = zip(shares["family"], shares["share"], strict=True)
            lines[str(part)] = ", ".join(f"{family} {share:.1%}" for family, share in named)
        return lines

    def __repr__(self) -> str:
        return in_lines(self.title, self.in_rows())

    _repr_html_ = card_repr


def mode_families(
    snapshot: Snapshot, key_frequencies: KeyFrequencies | None = None
) -> ModeFamilies:
    r"""Split logits and neurons into families of two-dimensional modes.

    A function of the pair is a sum of modes :math:`e^{i(w_k a + w_l b)}`. The families are the
    constant (0, 0), ``sum`` (k, k), the functions of a + b; ``difference`` (k, -k), those of a - b;
    ``a`` (k, 0); ``b`` (0, k); and ``generic``, all other (j, k). They are orthogonal, so that
    their shares add up to 1. Here a and b are the indices of the task's view, in which the answer
    is a function of a + b for every operation: for subtraction ``sum`` are the functions of the
    answer a - b. At even n the mode (n/2, n/2) is a function of a + b and of a - b; it counts as
    ``sum``.

    In another group ``product`` has the functions of ab, and ``same_representation`` what else has
    one representation :math:`\rho` in a and in b. Functions of :math:`a^{-1}b` and :math:`ab^{-1}`
    lie in these two and are no family of their own: they are not orthogonal to the functions of ab
    where :math:`\rho` is real or quaternionic.

    Parameters
    ----------
    snapshot
        Of a task with a view of a group.
    key_frequencies
        What ``share_key`` refers to.

    Returns
    -------
    ModeFamilies
        Shares, and accuracy and loss with that family alone (``kept``; the mean over the pairs
        stays) and without it (``ablated``). Logits are centered per pair for the shares, since a
        constant added to all answers changes nothing. Changed neurons run on through the network,
        whose other paths to the logits are left as they are.

    Raises
    ------
    ConfigError
        If an argument is of the wrong type, the task has no view of a group, or the key frequencies
        are of another one.

    References ---------- Nanda et al., "Progress measures for grokking via mechanistic
    interpretability", ICLR 2023, arXiv:2301.05217, section 4 and appendix C, for the
    two-dimensional spectrum of neurons and logits; Serre, "Linear representations of finite
    groups", 1977, sections 2.2 and 3.2.

    Examples
    --------
    >>> import grokinterp as gi
    >>> snapshot = gi.take_snapshot(gi.load_run("ckpts/"))
    >>> families = gi.mode_families(snapshot, gi.find_key_frequencies(snapshot))
    >>> of_logits = families.table.query("part == 'logits'").set_index("family")
    >>> of_logits.n_modes.to_dict()
    {'constant': 1, 'sum': 12, 'difference': 12, 'a': 12, 'b': 12, 'generic': 120}
    >>> bool(of_logits.share["sum"] > 0.5), float(of_logits.kept_accuracy_all["sum"])
    (True, 1.0)
    """
    checked("snapshot", snapshot, Snapshot, "Take one: gi.take_snapshot(run).")
    remedy = "Find some: gi.find_key_frequencies(snapshot)."
    checked("key_frequencies", key_frequencies, KeyFrequencies | None, remedy)
    view = snapshot.require_view()
    if key_frequencies is not None and key_frequencies.frequencies:
        is_cyclic = key_frequencies.names is None
        if key_frequencies.order != view.order or is_cyclic != view.is_cyclic:
            raise ConfigError(
                f"key_frequencies are of a group of order {key_frequencies.order}, and the "
                f"snapshot is of {snapshot.task.spec.in_words}. {remedy}"
            )
    return _found(snapshot, set(() if key_frequencies is None else key_frequencies.frequencies))


def mode_tables(
    snapshot: Snapshot, key_frequencies: KeyFrequencies
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of the families and the spectrum, for an analysis.

    Empty without a view of a group, and of more than
    :data:`~grokinterp.circuits.ablations.MOST_LOGITS` logits, as in S_6.

    Examples
    --------
    >>> [len(table) for table in mode_tables(snapshot, keys)]
    [12, 108]
    """
    if snapshot.view is None or snapshot.logits.numel() > MOST_LOGITS:
        return pd.DataFrame(), pd.DataFrame()
    found = mode_families(snapshot, key_frequencies)
    return found.table, found.by_frequency


def _found(snapshot: Snapshot, keys: set[int]) -> ModeFamilies:
    reasons: dict[str, str] = {}
    by_neuron = pd.DataFrame()
    powers: dict[Place, FamilyPower] = {"logits": _of_logits(snapshot)}
    ways: dict[Place, LogitsWith | None] = {"logits": logits_with(snapshot)}
    if not snapshot.has("neurons"):
        reasons["neurons"] = snapshot.network.missing["neurons"]
    else:
        powers["neurons"] = _power(snapshot, snapshot.in_view(snapshot.neurons))
        by_neuron = _by_neuron(snapshot, powers["neurons"])
        can_run_on = snapshot.has("way_from_neurons")
        ways["neurons"] = logits_with_neurons(snapshot) if can_run_on else None
        if not can_run_on:
            reasons["neurons.kept"] = snapshot.network.missing["way_from_neurons"]
    tables = [_table(snapshot, part, power, keys, ways[part]) for part, power in powers.items()]
    spectra = [_spectrum(snapshot, part, power) for part, power in powers.items()]
    return ModeFamilies(
        pd.concat(tables, ignore_index=True),
        pd.concat(spectra, ignore_index=True),
        by_neuron,
        full_network(snapshot),
        reasons,
    )


def _of_logits(snapshot: Snapshot) -> FamilyPower:
    """Power of the logits, centered over the answers of each pair."""
    logits = snapshot.in_view(snapshot.logits)
    return _power(snapshot, logits - logits.double().mean(dim=1, keepdim=True))


def _power(snapshot: Snapshot, values: Float[Tensor, "pair column"]) -> FamilyPower:
    return family_power(values, snapshot.products, snapshot.harmonics)


def _table(
    snapshot: Snapshot, part: Place, power: FamilyPower, keys: set[int], way: LogitsWith | None
) -> pd.DataFrame:
    names, n_modes = family_names(snapshot.harmonics), count_modes(snapshot.harmonics)
    in_all, variance = power.by_column.sum(dim=1), power.by_column[1:].sum()
    n_others = sum(n_modes) - 1
    of_keys = _key_power(power, keys)
    rows = []
    for family, name in enumerate(names):
        is_constant = family == CONSTANT
        row = {
            "part": part,
            "family": name,
            "share": math.nan if is_constant else _ratio(in_all[family], variance),
            "share_key": math.nan if is_constant or not keys else _ratio(of_keys[family], variance),
            "power_share": _ratio(in_all[family], in_all.sum()),
            "n_modes": n_modes[family],
            "share_by_chance": math.nan if is_constant else n_modes[family] / n_others,
        }
        rows.append(row | ({} if way is None else _outcomes(snapshot, name, family, way)))
    return pd.DataFrame(rows)


def _ratio(part: Tensor, whole: Tensor) -> float:
    return float(part / whole) if whole > 0 else math.nan


def _outcomes(snapshot: Snapshot, name: str, family: int, way: LogitsWith) -> dict[str, float]:
    """Accuracies and losses with a family alone, and without it."""
    row = {}
    for what, is_kept in (("kept", True), ("ablated", False)):
        found = evaluate_logits(snapshot, way(family, is_kept), name, what, ())
        for on in found.losses:
            row[f"{what}_accuracy_{on}"] = found.accuracies[on]
            row[f"{what}_loss_{on}"] = found.losses[on]
    return row


def _by_cell(power: FamilyPower) -> Float[Tensor, "family component component"]:
    """Power of each family, by the components of a and b."""
    n = len(power.by_components)
    index = torch.arange(n)
    families = family_of_components(index)
    cells = torch.stack([power.by_components * (families == family) for family in range(6)])
    cells[PRODUCT] = power.of_product.diag()
    cells[SAME] = (cells[SAME] - cells[PRODUCT]).clamp(min=0)
    return cells


def _key_power(power: FamilyPower, keys: set[int]) -> Float[Tensor, " family"]:
    """Power in the modes that have no components but the constant and key ones."""
    chosen = torch.zeros(len(power.by_components), dtype=torch.bool)
    chosen[[0, *keys]] = True
    return _by_cell(power)[:, chosen][:, :, chosen].sum(dim=(1, 2))


def _spectrum(snapshot: Snapshot, part: Place, power: FamilyPower) -> pd.DataFrame:
    names = family_names(snapshot.harmonics)
    labels = snapshot.harmonics.names or tuple(range(snapshot.harmonics.n_components + 1))
    cells, variance = _by_cell(power), power.by_column[1:].sum()
    families = family_of_components(torch.arange(len(labels)))
    rows = []
    for family in range(1, 6):
        here = families == (SAME if family == PRODUCT else family)
        for i, j in here.nonzero().tolist():
            share = _ratio(cells[family, i, j], variance)
            rows.append((part, labels[i], labels[j], names[family], share))
    columns = ["part", "first", "second", "family", "share"]
    return pd.DataFrame(rows, columns=pd.Index(columns))


def _by_neuron(snapshot: Snapshot, power: FamilyPower) -> pd.DataFrame:
    names = family_names(snapshot.harmonics)[1:]
    variance = power.by_column[1:].sum(dim=0)
    is_dead = variance <= DEAD_RELATIVE_SPREAD**2 * power.by_column.sum(dim=0)
    shares = (power.by_column[1:] / variance).masked_fill(is_dead, math.nan)
    table = pd.DataFrame(shares.T.numpy(), columns=pd.Index(names))
    largest = [names[k] for k in shares.nan_to_num().argmax(dim=0).tolist()]
    table.insert(0, "neuron", range(len(table)))
    return table.assign(largest=pd.Series(largest, dtype=object).mask(is_dead.numpy()))
