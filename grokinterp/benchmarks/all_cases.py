"""Every case of the benchmark by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grokinterp.benchmarks.cases import (
    analysis_memory,
    key_frequencies,
    products,
    standard_measures,
    training_memory,
    training_step,
)
from grokinterp.benchmarks.more_cases import device_runs, many_seeds, perceptron_step

CASES: dict[str, Callable[..., dict[str, Any]]] = {
    case.__name__: case
    for case in (
        training_step,
        perceptron_step,
        many_seeds,
        device_runs,
        standard_measures,
        training_memory,
        analysis_memory,
        key_frequencies,
        products,
    )
}
