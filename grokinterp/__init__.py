"""Explains grokking: delayed generalization in small networks.

>>> import grokinterp as gi
>>> run = gi.train(gi.PRESETS["quick"], "ckpts/")  # takes a minute  # doctest: +SKIP
>>> analysis = gi.analyze_run(run)
>>> gi.write_report(analysis, "report.html")
PosixPath('report.html')

Names are loaded when they are first used: importing the package imports neither torch,
pandas, plotly nor TransformerLens.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from grokinterp.registered import register

if TYPE_CHECKING:
    # The same names from the same places, for editors and type checkers.
    from grokinterp import figures as figures
    from grokinterp.certificates import Certificate as Certificate, certify as certify
    from grokinterp.circuits import (
        Algorithm as Algorithm,
        KeyFrequencies as KeyFrequencies,
        ModeFamilies as ModeFamilies,
        Snapshot as Snapshot,
        ablate as ablate,
        ablate_with_hooks as ablate_with_hooks,
        ablation_table as ablation_table,
        circuit_table as circuit_table,
        coset_neurons as coset_neurons,
        find_algorithm as find_algorithm,
        find_key_frequencies as find_key_frequencies,
        mode_families as mode_families,
        neuron_table as neuron_table,
        take_snapshot as take_snapshot,
    )
    from grokinterp.circuits.memorization import excluded_loss as excluded_loss
    from grokinterp.circuits.trigonometric import restricted_loss as restricted_loss
    from grokinterp.citing import cite as cite
    from grokinterp.comparison import (
        Comparison as Comparison,
        compare as compare,
        compare_settings as compare_settings,
        comparison_of as comparison_of,
    )
    from grokinterp.errors import (
        CallbackError as CallbackError,
        CheckpointError as CheckpointError,
        ConfigError as ConfigError,
        FailedRunsError as FailedRunsError,
        FitError as FitError,
        FolderInUseError as FolderInUseError,
        GrokinterpError as GrokinterpError,
        RunFolderError as RunFolderError,
        ShapeError as ShapeError,
    )
    from grokinterp.experiments import (
        EXPERIMENTS as EXPERIMENTS,
        Claim as Claim,
        Experiment as Experiment,
        Findings as Findings,
    )
    from grokinterp.experiments.reproduction import (
        Reproduction as Reproduction,
        reproduce as reproduce,
    )
    from grokinterp.explorer import Explorer as Explorer, explore as explore
    from grokinterp.extraction import (
        ClosedForm as ClosedForm,
        extract as extract,
        extraction_curve as extraction_curve,
    )
    from grokinterp.forecasting import Forecast as Forecast, forecast as forecast
    from grokinterp.leagues import (
        League as League,
        WatchedCurve as WatchedCurve,
        judge_curves as judge_curves,
        league as league,
    )
    from grokinterp.learning_coefficient import (
        LearningCoefficient as LearningCoefficient,
        learning_coefficient_curve as learning_coefficient_curve,
        local_learning_coefficient as local_learning_coefficient,
    )
    from grokinterp.measures import (
        MEASURES as MEASURES,
        Measure as Measure,
        by_frequency_table as by_frequency_table,
        by_representation_table as by_representation_table,
        measure as measure,
    )
    from grokinterp.models import MlpSpec as MlpSpec, ModelSpec as ModelSpec
    from grokinterp.models.hooked_transformer import HookedTransformer as HookedTransformer
    from grokinterp.models.module_spec import Parts as Parts
    from grokinterp.models.transformer_lens import (
        from_transformer_lens as from_transformer_lens,
        to_transformer_lens as to_transformer_lens,
    )
    from grokinterp.report import (
        write_comparison as write_comparison,
        write_experiment_report as write_experiment_report,
        write_images as write_images,
        write_report as write_report,
    )
    from grokinterp.runs.config import PRESETS as PRESETS, TrainConfig as TrainConfig
    from grokinterp.runs.loading import load_run as load_run
    from grokinterp.runs.optimizer import OptimizerSpec as OptimizerSpec
    from grokinterp.runs.pressures import PressureSpec as PressureSpec
    from grokinterp.runs.run import Run as Run
    from grokinterp.sharing import export as export
    from grokinterp.tasks import (
        BreastCancerSpec as BreastCancerSpec,
        DigitsSpec as DigitsSpec,
        PolynomialSpec as PolynomialSpec,
        Split as Split,
        Task as Task,
        TaskSpec as TaskSpec,
        draw_split as draw_split,
        task_of as task_of,
    )
    from grokinterp.training import (
        TrainingEvent as TrainingEvent,
        train as train,
        train_many as train_many,
    )
    from grokinterp.trajectory import (
        Analysis as Analysis,
        CircuitSteps as CircuitSteps,
        Event as Event,
        LifeRule as LifeRule,
        Milestones as Milestones,
        Phases as Phases,
        Thresholds as Thresholds,
        analyze_run as analyze_run,
        find_circuit_steps as find_circuit_steps,
        find_events as find_events,
        find_milestones as find_milestones,
        find_phases as find_phases,
        write_tables as write_tables,
    )

# In the order of the pipeline: what a run is, training it, reading it, explaining it.
_HOMES = {
    "TaskSpec": "tasks",
    "DigitsSpec": "tasks",
    "BreastCancerSpec": "tasks",
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
    "OptimizerSpec": "runs.optimizer",
    "PressureSpec": "runs.pressures",
    "TrainConfig": "runs.config",
    "PRESETS": "runs.config",
    "train": "training",
    "train_many": "training",
    "TrainingEvent": "training",
    "Run": "runs.run",
    "Parts": "models.module_spec",
    "load_run": "runs.loading",
    "Snapshot": "circuits",
    "take_snapshot": "circuits",
    "KeyFrequencies": "circuits",
    "find_key_frequencies": "circuits",
    "Algorithm": "circuits",
    "find_algorithm": "circuits",
    "restricted_loss": "circuits.trigonometric",
    "excluded_loss": "circuits.memorization",
    "ablate": "circuits",
    "ablate_with_hooks": "circuits",
    "ablation_table": "circuits",
    "circuit_table": "circuits",
    "ModeFamilies": "circuits",
    "mode_families": "circuits",
    "neuron_table": "circuits",
    "coset_neurons": "circuits",
    "certify": "certificates",
    "Certificate": "certificates",
    "extract": "extraction",
    "ClosedForm": "extraction",
    "extraction_curve": "extraction",
    "local_learning_coefficient": "learning_coefficient",
    "LearningCoefficient": "learning_coefficient",
    "learning_coefficient_curve": "learning_coefficient",
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
    "Event": "trajectory",
    "LifeRule": "trajectory",
    "find_events": "trajectory",
    "Analysis": "trajectory",
    "analyze_run": "trajectory",
    "write_tables": "trajectory",
    "compare": "comparison",
    "Comparison": "comparison",
    "comparison_of": "comparison",
    "compare_settings": "comparison",
    "explore": "explorer",
    "Explorer": "explorer",
    "forecast": "forecasting",
    "Forecast": "forecasting",
    "league": "leagues",
    "League": "leagues",
    "WatchedCurve": "leagues",
    "judge_curves": "leagues",
    "write_report": "report",
    "write_images": "report",
    "write_comparison": "report",
    "EXPERIMENTS": "experiments",
    "Experiment": "experiments",
    "Claim": "experiments",
    "Findings": "experiments",
    "reproduce": "experiments.reproduction",
    "Reproduction": "experiments.reproduction",
    "write_experiment_report": "report",
    "cite": "citing",
    "export": "sharing",
    "GrokinterpError": "errors",
    "CallbackError": "errors",
    "CheckpointError": "errors",
    "ConfigError": "errors",
    "FailedRunsError": "errors",
    "FitError": "errors",
    "FolderInUseError": "errors",
    "RunFolderError": "errors",
    "ShapeError": "errors",
}

# What methods of lower rooms call in higher ones.
register("card", "grokinterp.cards:card_of")
register("plot of an analysis", "grokinterp.figures.story:plot_story")
register("forecast", "grokinterp.forecasting:forecast")
register("forecast of a run under way", "grokinterp.forecasting.forecast:forecast_under_way")
register("plot of a league", "grokinterp.figures.league:plot_league")

if not TYPE_CHECKING:  # which would take any misspelled name for one of these
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
    return sorted([*_HOMES, "figures"])
