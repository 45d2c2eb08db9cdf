"""Which parts of a network each field of an analysis needs, and why it is absent without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from grokinterp.circuits.ablations import PARTS_AT
from grokinterp.circuits.evidence import PARTS_OF_STAGES
from grokinterp.circuits.mode_families import PARTS_OF_PLACES
from grokinterp.circuits.task_pairs import has_frequencies, has_spectrum
from grokinterp.measures import BY_FREQUENCY_COLUMNS, MEASURES, Measure
from grokinterp.measures.by_frequency import PART_OF_COLUMNS
from grokinterp.models.network_parts import PARTS, PartName

if TYPE_CHECKING:
    from grokinterp.trajectory.analysis import Analysis

_OF_COLUMNS: dict[str, tuple[PartName, ...]] = {
    "final.sum_squared_weights_W_in": ("blocks", "neurons"),
    "final.sum_squared_weights_W_out": ("blocks", "neurons"),
}
"""Columns that need more parts than their measure, and are NaN without them."""
_OF_NEURONS: dict[str, tuple[PartName, ...]] = {
    "phase_a": ("neurons", "pre_activations"),
    "phase_b": ("neurons", "pre_activations"),
    "phase_out": ("neurons", "readout"),
    "phase_error": ("neurons", "readout"),
    "approximate_coset_share": ("neurons",),
    "W_L_norm": ("neurons", "readout"),
    "loss_zero": ("neurons", "readout"),
    "loss_mean": ("neurons", "readout"),
    "accuracy_zero": ("neurons", "readout"),
    "accuracy_mean": ("neurons", "readout"),
}
"""Columns of neurons.csv that need more than neurons."""


def needed_parts(measures: Sequence[Measure] = MEASURES) -> dict[str, tuple[PartName, ...]]:
    """Return the parts of a network that each field needs; none if logits are enough.

    Returns
    -------
    dict
        By the names of ``analysis.reasons``: ``final.gini_W_E`` for a column of measures.csv,
        ``by_frequency.n_neurons`` for one of by_frequency.csv, ``evidence.W_L_norm`` for one of
        the evidence for key frequencies, ``neurons`` for neurons.csv, ``circuit.attention`` for a
        stage of circuit.csv, ``ablations.heads`` for a place of ablations.csv.

    Examples
    --------
    >>> needed = needed_parts()
    >>> needed["final.gini_W_L"], needed["final.test_loss"], needed["ablations.heads"]
    (('readout',), (), ('blocks',))
    """
    of_measures = {
        f"final.{column}": parts_among(measure.needs)
        for measure in measures
        for column in measure.columns
    }
    of_measures |= {name: parts for name, parts in _OF_COLUMNS.items() if name in of_measures}
    of_tables: dict[str, tuple[PartName, ...]] = {
        f"{table}.{column}": (PART_OF_COLUMNS[column],) if column in PART_OF_COLUMNS else ()
        for table in ("by_frequency", "by_representation")
        for column in BY_FREQUENCY_COLUMNS[2:]
    }
    evidence: dict[str, tuple[PartName, ...]] = {
        "evidence.logit_power_share": (),
        **{f"evidence.{column}": (part,) for column, part in PART_OF_COLUMNS.items()},
        "evidence.W_L_norm": ("readout",),
    }
    neurons: dict[str, tuple[PartName, ...]] = {"neurons": ("neurons",)}
    neurons |= {f"neurons.{column}": parts for column, parts in _OF_NEURONS.items()}
    stages = {f"circuit.{stage}": parts for stage, parts in PARTS_OF_STAGES.items()}
    sites = {f"ablations.{site}": parts for site, parts in PARTS_AT.items()}
    modes = {f"two_dimensional_modes.{part}": parts for part, parts in PARTS_OF_PLACES.items()}
    return {**of_measures, **of_tables, **evidence, **neurons, **stages, **sites, **modes}


def parts_among(needs: Sequence[str]) -> tuple[PartName, ...]:
    """Return the parts of a network among what a measure needs, without what the task gives."""
    return tuple(cast(PartName, need) for need in needs if need in PARTS)


def why_absent(parts: Sequence[PartName], missing: Mapping[PartName, str]) -> str | None:
    """Return the reason of the first part that is missing; None if none is.

    Examples
    --------
    >>> why_absent(("neurons", "readout"), {"readout": "an LSTM has no readout"})
    'an LSTM has no readout'
    """
    return next((missing[part] for part in parts if part in missing), None)


def of_missing_parts(analysis: Analysis) -> dict[str, str]:
    """Return why each field is absent whose parts the network does not have.

    Fields that are absent because of the task, or without key frequencies, are left out: other
    reasons cover them.
    """
    missing = analysis.run.missing_parts
    fields = needed_parts(analysis.measures)
    reasons = {name: why_absent(parts, missing) for name, parts in fields.items()}
    asked = _asked(analysis)
    return {name: why for name, why in reasons.items() if why is not None and name in asked}


def _asked(analysis: Analysis) -> set[str]:
    """Fields that the analysis would have if the network had every part."""
    run, keys = analysis.run, analysis.key_frequencies
    applicable = [measure for measure in analysis.measures if measure.applies_to(run.task, keys)]
    asked = {f"final.{column}" for measure in applicable for column in measure.columns}
    asked -= {f"final.{column}" for column, value in analysis.final.items() if value is not None}
    table = "by_frequency"
    if run.task.has_representations:
        table = "by_representation"
    elif keys.frequencies:
        asked |= {f"circuit.{stage}" for stage in PARTS_OF_STAGES}
    if has_spectrum(run.task):
        asked |= {f"{table}.{column}" for column in BY_FREQUENCY_COLUMNS}
        asked |= {f"evidence.{column}" for column in (*PART_OF_COLUMNS, "W_L_norm")}
        asked |= {f"two_dimensional_modes.{part}" for part in PARTS_OF_PLACES}
    asked |= {f"ablations.{site}" for site in PARTS_AT} | {"neurons"}
    has_phases = has_frequencies(run.task)
    if "neurons" not in run.missing_parts:
        asked |= {f"neurons.{c}" for c in _OF_NEURONS if has_phases or "phase" not in c}
    return asked
