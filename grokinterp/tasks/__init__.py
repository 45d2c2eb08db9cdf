"""What is learned: pairs of tokens, images or points, and their train/test splits."""

from grokinterp.groups import compose, composition_table, permutations
from grokinterp.tasks.answer_table import AnswerTable
from grokinterp.tasks.any_task import AnyTaskSpec, task_of
from grokinterp.tasks.breast_cancer import BreastCancerSpec, BreastCancerTask
from grokinterp.tasks.digits import DigitsSpec, DigitsTask
from grokinterp.tasks.examples import Examples
from grokinterp.tasks.group_view import GroupView
from grokinterp.tasks.modular import Task, TaskSpec
from grokinterp.tasks.operations import OPERATIONS, Operation
from grokinterp.tasks.polynomials import PolynomialSpec, PolynomialTask
from grokinterp.tasks.split import Split, draw_split

__all__ = [
    "OPERATIONS",
    "AnswerTable",
    "AnyTaskSpec",
    "BreastCancerSpec",
    "BreastCancerTask",
    "DigitsSpec",
    "DigitsTask",
    "Examples",
    "GroupView",
    "Operation",
    "PolynomialSpec",
    "PolynomialTask",
    "Split",
    "Task",
    "TaskSpec",
    "compose",
    "composition_table",
    "draw_split",
    "permutations",
    "task_of",
]
