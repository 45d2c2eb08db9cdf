"""From a config to a run: the loss, the exact fast step, the general step, the loop."""

from grokinterp.training.loop import train

__all__ = ["train"]
