"""What is learned: tasks on pairs of tokens and their train/test splits."""

from grokinterp.tasks.modular import OPERATIONS, GroupView, Task, TaskSpec
from grokinterp.tasks.permutations import compose, composition_table, permutations
from grokinterp.tasks.split import Split, draw_split

__all__ = [
    "OPERATIONS",
    "GroupView",
    "Split",
    "Task",
    "TaskSpec",
    "compose",
    "composition_table",
    "draw_split",
    "permutations",
]
