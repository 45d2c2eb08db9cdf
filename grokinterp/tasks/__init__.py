"""What is learned: tasks on pairs of tokens and their train/test splits."""

from grokinterp.tasks.modular import OPERATIONS, CyclicView, Task, TaskSpec
from grokinterp.tasks.split import Split, draw_split

__all__ = ["OPERATIONS", "CyclicView", "Split", "Task", "TaskSpec", "draw_split"]
