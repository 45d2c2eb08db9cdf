"""From the settings of any kind of task to its examples."""

from __future__ import annotations

from typing import overload

from grokinterp.fields import checked
from grokinterp.tasks.breast_cancer import BreastCancerSpec, BreastCancerTask
from grokinterp.tasks.digits import DigitsSpec, DigitsTask
from grokinterp.tasks.examples import Examples
from grokinterp.tasks.modular import Task, TaskSpec
from grokinterp.tasks.polynomials import PolynomialSpec, PolynomialTask

AnyTaskSpec = TaskSpec | DigitsSpec | BreastCancerSpec | PolynomialSpec


@overload
def task_of(spec: TaskSpec) -> Task: ...
@overload
def task_of(spec: DigitsSpec) -> DigitsTask: ...
@overload
def task_of(spec: BreastCancerSpec) -> BreastCancerTask: ...
@overload
def task_of(spec: PolynomialSpec) -> PolynomialTask: ...
@overload
def task_of(spec: AnyTaskSpec) -> Examples: ...
def task_of(spec: AnyTaskSpec) -> Examples:
    """Return the examples that settings determine.

    Examples
    --------
    >>> task_of(TaskSpec(p=5)).n_pairs
    25
    >>> task_of(PolynomialSpec(n_train=50, n_test=10)).n_examples
    60
    """
    checked("spec", spec, AnyTaskSpec)
    if isinstance(spec, DigitsSpec):
        return DigitsTask(spec)
    if isinstance(spec, BreastCancerSpec):
        return BreastCancerTask(spec)
    if isinstance(spec, PolynomialSpec):
        return PolynomialTask(spec)
    return Task(spec)
