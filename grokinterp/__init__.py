"""Explains grokking: delayed generalization in small networks.

>>> import grokinterp as gi
>>> run = gi.train(gi.PRESETS["quick"], "ckpts/")  # doctest: +SKIP
>>> analysis = gi.analyze_run(run)  # doctest: +SKIP
>>> gi.write_report(analysis, "report.html")  # doctest: +SKIP

Names are loaded when they are first used: importing the package imports neither torch,
pandas, plotly nor TransformerLens.
"""

from importlib import import_module
from typing import Any

# In the order of the pipeline: what a run is, training it, reading it, explaining it.
_HOMES = {
    "TaskSpec": "tasks",
    "DigitsSpec": "tasks",
    "PolynomialSpec": "tasks",
    "Task": "tasks",
    "task_of": "tasks",
    "Split": "tasks",
    "draw_split": "tasks",
    "ModelSpec": "models",
    "MlpSpec": "models",
    "HookedTransformer": "models.hooked_transformer",
    "to_transformer_lens": "models.transformer_lens",
    "from_transformer_lens": "models.transformer_lens",
    "OptimizerSpec": "runs.config",
    "PressureSpec": "runs.pressures",
    "TrainConfig": "runs.config",
    "PRESETS": "runs.config",
    "train": "training",
    "Run": "runs.run",
    "load_run": "runs.loading",
    "Snapshot": "circuits",
    "take_snapshot": "circuits",
    "KeyFrequencies": "circuits",
    "find_key_frequencies": "circuits",
    "Algorithm": "circuits",
    "find_algorithm": "circuits",
    "ablate": "circuits",
    "ablate_with_hooks": "circuits",
    "ablation_table": "circuits",
    "circuit_table": "circuits",
    "neuron_table": "circuits",
    "Measure": "measures",
    "MEASURES": "measures",
    "measure": "measures",
    "by_frequency_table": "measures",
    "by_representation_table": "measures",
    "Thresholds": "trajectory",
    "Phases": "trajectory",
    "find_phases": "trajectory",
    "Milestones": "trajectory",
    "find_milestones": "trajectory",
    "CircuitSteps": "trajectory",
    "find_circuit_steps": "trajectory",
    "Analysis": "trajectory",
    "analyze_run": "trajectory",
    "write_tables": "trajectory",
    "compare": "comparison",
    "compare_settings": "comparison",
    "write_report": "report",
    "write_images": "report",
    "write_comparison": "report",
    "EXPERIMENTS": "experiments",
    "Experiment": "experiments",
    "reproduce": "experiments.reproduction",
    "Reproduction": "experiments.reproduction",
    "write_experiment_report": "report",
    "cite": "citing",
    "GrokinterpError": "errors",
    "CheckpointError": "errors",
    "ConfigError": "errors",
    "FitError": "errors",
    "FolderInUseError": "errors",
    "RunFolderError": "errors",
    "ShapeError": "errors",
}

__all__ = [*_HOMES, "figures"]


def __getattr__(name: str) -> Any:
    if name == "figures":
        return import_module("grokinterp.figures")
    if name not in _HOMES:
        raise AttributeError(f"module 'grokinterp' has no attribute {name!r}")
    value = getattr(import_module(f"grokinterp.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
