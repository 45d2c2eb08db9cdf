"""Snapshot to number: the progress measures, as an explicit catalogue."""

from grokinterp.measures.by_frequency import (
    BY_FREQUENCY_COLUMNS,
    BY_FREQUENCY_VERSION,
    by_frequency_columns,
    by_frequency_table,
    by_representation_columns,
    by_representation_table,
)
from grokinterp.measures.catalogue import MEASURES
from grokinterp.measures.measure import Measure, as_measure, as_measures, measure

__all__ = [
    "BY_FREQUENCY_COLUMNS",
    "BY_FREQUENCY_VERSION",
    "MEASURES",
    "Measure",
    "as_measure",
    "as_measures",
    "by_frequency_columns",
    "by_frequency_table",
    "by_representation_columns",
    "by_representation_table",
    "measure",
]
