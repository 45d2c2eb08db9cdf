"""What a run is, in memory and on disk."""

from grokinterp.runs.config import PRESETS, ImportedConfig, OptimizerSpec, TrainConfig
from grokinterp.runs.pressures import PressureSpec

__all__ = ["PRESETS", "ImportedConfig", "OptimizerSpec", "PressureSpec", "TrainConfig"]
