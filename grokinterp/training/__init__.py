"""From a config to a run: the loss, the exact fast step, the general step, the loop."""

from grokinterp.training.callbacks import TrainingEvent
from grokinterp.training.loop import train
from grokinterp.training.many import train_many

__all__ = ["TrainingEvent", "train", "train_many"]
