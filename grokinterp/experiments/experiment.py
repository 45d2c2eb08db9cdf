"""What a question of the literature is: a plan of runs, and a judge who knows the criterion."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from grokinterp.errors import ConfigError
from grokinterp.experiments.claims import Findings
from grokinterp.fields import Number, check_types, shown
from grokinterp.runs.config import TrainConfig

if TYPE_CHECKING:
    from grokinterp.runs.run import Run

MOST_SEEDS = 10_000
"""Seeds of every setting that may be asked for."""

STANDARD_COLUMNS = (
    "run",
    "n_steps",
    "last_step",
    "memorization_step",
    "grokking_step",
    "first_crossing_step",
    "first_crossing_99",
    "is_censored",
    "grokking_time",
    "grokking_delay",
    "transition_width",
    "outcome_kind",
    "outcome",
    "diverged_at",
    "train_loss",
    "test_loss",
    "train_accuracy",
    "test_accuracy",
    "max_test_loss",
    "test_accuracy_mirrored",
    "test_accuracy_unmirrored",
)
"""Columns of every row of runs.csv, see :func:`~grokinterp.experiments.run_table.row_of`; labels
stand before them, an experiment's own observations after."""


@dataclass(frozen=True)
class Scale:
    """How much of an experiment is run.

    Examples
    --------
    >>> list(Scale(is_quick=True).seeds(3)), list(Scale(is_quick=False, n_seeds=2).seeds(5))
    ([0, 1, 2], [0, 1])
    """

    is_quick: bool
    """The small version, of a minute or two, instead of the full one."""
    n_seeds: int | None = None
    """Seeds that the user asked for; None: as many as the experiment has by default."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.n_seeds is not None and not 1 <= self.n_seeds <= MOST_SEEDS:
            raise ConfigError(
                f"seeds={shown(self.n_seeds)} is not allowed. Use 1 to {MOST_SEEDS:,}."
            )

    @property
    def name(self) -> str:
        """Return ``quick`` or ``full``."""
        return "quick" if self.is_quick else "full"

    def seeds(self, default: int) -> range:
        """Seeds 0, 1, ...: as many as the user asked for, or else `default`."""
        return range(default if self.n_seeds is None else self.n_seeds)


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan, and what was varied.

    Two planned runs may have the same config (a run that serves two comparisons): it is
    trained once and has a row for each.
    """

    config: TrainConfig
    labels: Mapping[str, str | int | float | bool]
    """Columns of its row, such as ``{"weight_decay": 0.5, "seed": 1}``; the same names for
    every run of a plan."""

    def __post_init__(self) -> None:
        for name in self.labels:
            if name in STANDARD_COLUMNS:
                raise ConfigError(
                    f"the label {name!r} is a column of every run. Choose another name."
                )


@dataclass(frozen=True, eq=False)
class Experiment:
    """A question of the literature.

    The prediction and the criterion are written down beforehand, in the sections
    ``Prediction`` and ``Criterion`` of the docstring of the experiment's module, and quoted
    from there; so what a report shows is what stood there when the runs were started.
    """

    name: str
    """Name of the command and of the package, such as ``power2022``."""
    docstring: str
    """``__doc__`` of the module."""
    paper: str
    """Authors, title, year, with its arXiv number: ``arXiv:2201.02177``."""
    claim: str
    """What the paper says, in one sentence."""
    minutes_quick: int | float
    """Expected wall time of the quick version on two cores."""
    minutes_full: int | float
    """The same for the full version."""
    plan: Callable[[Scale], list[PlannedRun]]
    """The runs of a scale. Cheap, and without importing torch."""
    judge: Callable[[pd.DataFrame, Scale], Findings]
    """From the table of finished runs (see :mod:`grokinterp.experiments.run_table`) to claims.
    It may be given fewer runs than were planned, where some failed, and even none."""
    observe: Callable[[Run, PlannedRun], Mapping[str, Number]] | None = None
    """Further columns of a run's row that need its weights; kept beside the run."""
    observe_version: int = 1
    """Raise it when `observe` changes: what was kept is then observed again."""

    @property
    def prediction(self) -> str:
        """What the paper leads one to expect, in numbers."""
        return self._required("Prediction")

    @property
    def criterion(self) -> str:
        """When the claim counts as confirmed, not confirmed, inconclusive."""
        return self._required("Criterion")

    @property
    def settings(self) -> str | None:
        """What is trained, and how that differs from the paper."""
        return section_of(self.docstring, "Settings")

    @property
    def history(self) -> str | None:
        """How the criterion was changed, with dates, verdicts by the earlier one, and reasons."""
        return section_of(self.docstring, "History")

    def _required(self, title: str) -> str:
        text = section_of(self.docstring, title)
        if text is None:
            raise ConfigError(
                f"the docstring of {self.name} has no section {title!r}. Write it before the "
                "first run; it is quoted in the report."
            )
        return text


_UNDERLINE = re.compile(r"^(-{3,}|={3,})$")


def section_of(docstring: str, title: str) -> str | None:
    r"""Return the text under an underlined title of a docstring, or None.

    It ends at the next underlined title or at the end.

    Examples
    --------
    >>> section_of("Doubt.\n\nCriterion\n---------\nBelow 0.5.\n\nNotes\n-----\nNo.", "Criterion")
    'Below 0.5.'
    """
    lines = [line.strip() for line in docstring.splitlines()]
    starts = [
        i
        for i, line in enumerate(lines[:-1])
        if line and not _UNDERLINE.match(line) and _UNDERLINE.match(lines[i + 1])
    ]
    ends = [*starts, len(lines)][1:]
    for start, end in zip(starts, ends, strict=True):
        if lines[start] == title:
            return "\n".join(lines[start + 2 : end]).strip() or None
    return None
