"""What a run is, in memory and on disk."""

from grokinterp.runs.config import PRESETS, OptimizerSpec, TrainConfig

__all__ = ["PRESETS", "OptimizerSpec", "TrainConfig"]
