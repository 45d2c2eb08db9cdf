"""What a run is, in memory and on disk."""

from grokinterp.runs.config import PRESETS, ImportedConfig, OptimizerSpec, TrainConfig

__all__ = ["PRESETS", "ImportedConfig", "OptimizerSpec", "TrainConfig"]
