"""What a measure is: a function of a snapshot, with the names and the source of its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, SupportsFloat

from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.snapshot import Snapshot
from grokinterp.errors import ConfigError
from grokinterp.fields import shown
from grokinterp.measures.needs import Need, check_needs, refuse_removed, why_not
from grokinterp.models.network_parts import PartName
from grokinterp.tasks import Task

MeasureFunction = Callable[[Snapshot, KeyFrequencies], Any]
"""Returns a number, or a dictionary of numbers by column."""


@dataclass(frozen=True)
class Measure:
    """One column of measures.csv, or a few that are computed together.

    Examples
    --------
    >>> @measure(source="this page", version=1)
    ... def largest_logit(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    ...     "Largest logit of any pair."
    ...     return float(snapshot.logits.max())
    >>> largest_logit.columns, largest_logit.description
    (('largest_logit',), 'Largest logit of any pair.')
    """

    name: str
    """Name of the measure; that of the column if there is one."""
    function: MeasureFunction
    """Snapshot and key frequencies to a number, or to one number per column."""
    version: int
    """Raised whenever the numbers change; cached numbers of other versions are not used."""
    source: str
    """Where the definition comes from, in a line."""
    description: str
    """What it says, in a line."""
    columns: tuple[str, ...]
    """Columns of measures.csv, in order; empty for a bare function, whose columns are known
    once it has run."""
    misleads: str = ""
    """When it says something else than one would think: a sentence or two, with the case."""
    needs: tuple[Need, ...] = ()
    """What it cannot do without, in the words of :data:`~grokinterp.measures.needs.NEEDS`."""
    split_columns: tuple[str, ...] = ()
    """Columns that average over one side of the split; absent where the split is unknown."""
    is_cached: bool = True
    """Whether its numbers may be kept; a bare function has no version that could say when
    they are stale."""

    def __post_init__(self) -> None:
        check_needs(self.needs)
        for column in self.split_columns:
            if column not in self.columns:
                raise ConfigError(
                    f"split_columns={shown(column)} of {self.name} is none of its columns. Choose "
                    f"some of {', '.join(self.columns)}."
                )
        # A measure of nothing but split columns needs the split, whichever way it says so.
        if "split" in self.needs:
            object.__setattr__(self, "split_columns", self.columns)
        elif self.columns and set(self.split_columns) == set(self.columns):
            object.__setattr__(self, "needs", (*self.needs, "split"))

    def why_not(
        self,
        task: Task,
        key_frequencies: KeyFrequencies,
        *,
        split_is_known: bool = True,
        missing: Mapping[PartName, str] | None = None,
    ) -> str | None:
        """Why the measure has no meaning here, so that its columns are absent; None if it has.

        `missing` has the reasons for the parts that the network does not have, such as
        ``run.missing_parts``.

        Examples
        --------
        >>> from grokinterp.measures import MEASURES
        >>> from grokinterp.tasks import TaskSpec
        >>> circularity = next(measure for measure in MEASURES if measure.name == "circularity")
        >>> circularity.why_not(Task(TaskSpec("sum_of_squares", 13)), KeyFrequencies(13, ()))
        'sum of squares modulo 13 is no sum in a cyclic group, so there are no frequencies'
        """
        reasons = (why_not(n, task, key_frequencies, split_is_known, missing) for n in self.needs)
        return next((reason for reason in reasons if reason is not None), None)

    def applies_to(
        self,
        task: Task,
        key_frequencies: KeyFrequencies,
        *,
        split_is_known: bool = True,
        missing: Mapping[PartName, str] | None = None,
    ) -> bool:
        """Whether the measure has a meaning here; see :meth:`why_not`."""
        reason = self.why_not(task, key_frequencies, split_is_known=split_is_known, missing=missing)
        return reason is None

    def columns_where(self, split_is_known: bool) -> tuple[str, ...]:
        """Columns that can be computed where the split is known, or where it is not."""
        if split_is_known:
            return self.columns
        return tuple(c for c in self.columns if c not in self.split_columns)

    def values(self, snapshot: Snapshot, key_frequencies: KeyFrequencies) -> dict[str, float]:
        """Compute the columns.

        Returns
        -------
        dict[str, float]
            One finite number, or NaN, for each column that the split allows. Infinities
            become NaN: a logit that overflows float32 is no number to plot.
        """
        value = self.function(snapshot, key_frequencies)
        row = value if isinstance(value, dict) else {self.name: value}
        columns = self.columns_where(snapshot.split.is_known) if self.columns else row
        return {column: _finite_or_nan(row[column]) for column in columns}


def measure(
    *,
    source: str,
    version: int = 1,
    columns: tuple[str, ...] | None = None,
    misleads: str = "",
    needs: tuple[Need, ...] = (),
    split_columns: tuple[str, ...] = (),
    **removed: Any,
) -> Callable[[MeasureFunction], Measure]:
    """Turn a function of a snapshot and key frequencies into a measure of the same name.

    The first line of its docstring becomes the description.

    Parameters
    ----------
    source
        Where the definition comes from, in a line.
    version
        Raise it whenever the numbers change.
    columns
        Keys of the dictionary that the function returns; None for a function that returns
        one number, whose column has the function's name.
    misleads
        When the numbers say something else than one would think, for the table of measures in
        the documentation.
    needs
        What the measure cannot do without; where it is missing the columns are absent. The
        words are the keys of :data:`~grokinterp.measures.needs.NEEDS`: ``"split"``,
        ``"frequencies"``, ``"group"``, ``"representations"``, ``"subgroups"``,
        ``"key_frequencies"``, ``"commutative_operation"``, and the parts of a network:
        ``"operands"``, ``"same_coordinates"``, ``"neurons"``, ``"pre_activations"``, ``"readout"``,
        ``"pattern"``, ``"way_from_operands"``, ``"way_from_neurons"``, ``"weights"``,
        ``"blocks"``.
    split_columns
        Columns that average over training or test pairs, where the others do not; all of them
        if `needs` has ``"split"``.

    Raises
    ------
    ConfigError
        If a need is not known, or a split column is no column.

    Examples
    --------
    >>> @measure(source="this page", needs=("group", "split"))
    ... def mean_test_loss(snapshot: Snapshot, key_frequencies: KeyFrequencies) -> float:
    ...     "Mean loss over the test pairs."
    ...     return float(snapshot.losses[snapshot.pair_mask("test")].mean())
    >>> mean_test_loss.needs, mean_test_loss.split_columns
    (('group', 'split'), ('mean_test_loss',))
    """
    refuse_removed(removed)

    def wrap(function: MeasureFunction) -> Measure:
        name = getattr(function, "__name__", type(function).__name__)
        lines = (function.__doc__ or "").strip().splitlines()
        names = columns or (name,)
        return Measure(
            name=name,
            function=function,
            version=version,
            source=source,
            description=lines[0] if lines else name,
            columns=names,
            misleads=misleads,
            needs=needs,
            split_columns=split_columns,
        )

    return wrap


def as_measure(function: Measure | MeasureFunction) -> Measure:
    """Accept a measure, or a bare function of a snapshot and key frequencies.

    A bare function is a measure of its own name that applies everywhere and is never cached.

    Raises
    ------
    ConfigError
        If it cannot be called, or has no name to give its column.

    Examples
    --------
    >>> def largest_logit(snapshot, key_frequencies):
    ...     return snapshot.logits.max()
    >>> as_measure(largest_logit).name
    'largest_logit'
    """
    if isinstance(function, Measure):
        return function
    name = getattr(function, "__name__", None)
    if not callable(function) or name is None or not name.isidentifier():
        raise ConfigError(
            f"{function!r} is no measure. Pass a named function of (snapshot, key_frequencies) "
            "that returns a number or a dictionary of numbers."
        )
    lines = (function.__doc__ or "").strip().splitlines()
    description = lines[0] if lines else name
    return Measure(name, function, 0, "", description, columns=(), is_cached=False)


def as_measures(measures: Iterable[Measure | MeasureFunction]) -> tuple[Measure, ...]:
    """Accept several, each as :func:`as_measure` does.

    Raises
    ------
    ConfigError
        If they are no list, or one of them is no measure.

    Examples
    --------
    >>> import grokinterp as gi
    >>> [one.name for one in as_measures(gi.MEASURES[:2])]
    ['train_loss', 'test_loss']
    """
    if isinstance(measures, str) or not isinstance(measures, Iterable):
        raise ConfigError(
            f"measures={shown(measures)} is of the wrong type. It takes a list, such as "
            "gi.MEASURES."
        )
    return tuple(map(as_measure, measures))


def _finite_or_nan(value: SupportsFloat) -> float:
    number = float(value)
    return number if math.isfinite(number) else math.nan
