"""A set of key frequencies, found by a rule or given, with the reason why these."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from numbers import Integral

import pandas as pd

from grokinterp.circuits.generalization import AccuracyOn
from grokinterp.errors import ConfigError
from grokinterp.reprs import card_repr, spec_repr
from grokinterp.spectra import cyclic_harmonics, group_harmonics, n_frequencies
from grokinterp.tasks import GroupView

DENSE_CAVEAT = (
    "nearly all frequencies are key: logits alone cannot tell such a circuit from a lookup table; "
    "neurons can"
)
ALL_PAIRS_CAVEAT = (
    "no test pairs are known, so the accuracy asked for is that on all pairs, which a network that "
    "memorizes can reach"
)


@dataclass(frozen=True)
class KeyFrequencies:
    """A set of frequencies and why these.

    Examples
    --------
    >>> KeyFrequencies.given(113, [45, 9, 38]).frequencies
    (9, 38, 45)
    """

    order: int
    """n of Z_n; the frequencies lie in 1 .. n//2. In other groups the number of elements;
    for a task without a group the number of classes."""
    frequencies: tuple[int, ...]
    """Sorted; empty if there are none, with the reason in `reason`. In a group
    that is not cyclic the numbers of key representations in
    :func:`~grokinterp.spectra.real_representations`, 0 being the trivial one."""
    rule: str = "given"
    """How they were chosen: the name of a rule of
    :func:`~grokinterp.circuits.key_frequencies.find_key_frequencies`, or ``given``."""
    step: int | None = None
    """Step of the snapshot they were chosen at; None if they were given without one."""
    evidence: pd.DataFrame | None = field(default=None, compare=False, repr=False)
    """One row per frequency: frequency, character_similarity, logit_power_share, null_share,
    embedding_norm, n_neurons, W_L_norm, is_key, is_key_published (by the rule
    ``character_similarity``), double_of, is_dense, accuracy_on. The last two and null_share
    are the same in every row. In a group that is not cyclic the first is ``representation`` with
    ``dimension`` and ``type`` beside it, and double_of is absent. None if they were given without
    a snapshot."""
    reason: str | None = None
    """Why the set is empty."""
    names: tuple[str, ...] | None = None
    """Names of the key representations; None for frequencies."""
    n_permutations: int | None = field(default=None, compare=False)
    """Random groupings of the pairs that ``null_share`` was found from, 0 where it is computed
    from their distribution; None if unknown."""
    is_dense: bool = False
    """Whether the default rule found nearly all frequencies: then logits alone cannot tell the
    circuit from a lookup table."""
    accuracy_on: AccuracyOn | None = field(default=None, compare=False)
    """Pairs whose accuracy the default rule asked for: ``unmirrored_test``, ``test`` or, where
    no test pairs are known, ``all``. None for other rules."""

    __repr__ = spec_repr
    _repr_html_ = card_repr

    @classmethod
    def given(cls, order: int, frequencies: Iterable[int]) -> KeyFrequencies:
        """Take frequencies that somebody names.

        Raises
        ------
        ConfigError
            If one is not an integer in 1 .. n//2, or there are none.

        Examples
        --------
        >>> KeyFrequencies.given(12, [6]).rule
        'given'
        """
        wanted = list(frequencies)
        highest = n_frequencies(order)
        for k in wanted:
            is_whole = isinstance(k, Integral) and not isinstance(k, bool)
            if not is_whole or not 1 <= k <= highest:
                raise ConfigError(
                    f"frequency {k} is not one of 1 .. {highest}, the frequencies of order "
                    f"{order}. Frequency {order} - k is the same as k."
                )
        if not wanted:
            raise ConfigError(f"no frequency is given. Name at least one of 1 .. {highest}.")
        return cls(order, tuple(sorted({int(k) for k in wanted})), "given")

    @classmethod
    def given_for(cls, view: GroupView, components: Iterable[int | str]) -> KeyFrequencies:
        """Take frequencies, or in a group that is not cyclic representations, of a task's group.

        Raises
        ------
        ConfigError
            If one does not exist in that group, or there are none.

        Examples
        --------
        >>> from grokinterp.tasks import Task, TaskSpec
        >>> view = Task(TaskSpec("permutation_composition", degree=4)).group_view
        >>> KeyFrequencies.given_for(view, ["standard", "sign"]).frequencies
        (1, 4)
        """
        if view.group is None:
            names = cyclic_harmonics(view.order).representation_names
            # The highest of an even n has two names.
            frequencies = {f"freq_{k}": k for k in range(1, len(names))}
            frequencies |= {name: k for k, name in enumerate(names) if k > 0}
            wanted = list(components)
            for word in wanted:
                if isinstance(word, str) and word not in frequencies:
                    raise ConfigError(
                        f"{word!r} is no frequency. Name some of 1 .. {view.n_frequencies}."
                    )
            numbers = [frequencies[k] if isinstance(k, str) else k for k in wanted]
            return cls.given(view.order, numbers)
        names = group_harmonics(view.group).names or ()
        known: dict[int | str, int] = {name: k for k, name in enumerate(names) if k > 0}
        known |= {number: number for number in range(1, len(names))}
        chosen: set[int] = set()
        for component in components:
            if component not in known:
                raise ConfigError(
                    f"{component!r} is no representation of {view.in_words} that can be key. "
                    f"Choose some of {', '.join(names[1:])}."
                )
            chosen.add(known[component])
        if not chosen:
            raise ConfigError(f"no representation is given. Name some of {', '.join(names[1:])}.")
        numbers = tuple(sorted(chosen))
        return cls(view.order, numbers, "given", names=tuple(names[k] for k in numbers))

    @property
    def labels(self) -> tuple[str, ...]:
        """What to call the frequencies: their numbers, or the names of the representations."""
        return self.names if self.names is not None else tuple(map(str, self.frequencies))

    @property
    def representations(self) -> tuple[str, ...]:
        """Names of the key representations; of a cyclic group ``freq_k``, and ``sign`` for n/2.

        Examples
        --------
        >>> KeyFrequencies(12, (2, 6)).representations
        ('freq_2', 'sign')
        """
        if self.names is not None or not self.frequencies:
            return self.names or ()
        names = cyclic_harmonics(self.order).representation_names
        return tuple(names[k] for k in self.frequencies)

    @property
    def published_representations(self) -> tuple[str, ...]:
        """Names of what Chughtai et al.'s rule calls key, from the evidence; empty without it.

        A representation whose character similarity exceeds 0.005, however little it holds.
        """
        if self.evidence is None or "is_key_published" not in self.evidence:
            return ()
        is_key = self.evidence["is_key_published"]
        if "representation" in self.evidence:
            return tuple(self.evidence.loc[is_key, "representation"])
        names = cyclic_harmonics(self.order).representation_names
        return tuple(names[k] for k in self.evidence.loc[is_key, "frequency"])

    @property
    def caveats(self) -> tuple[str, ...]:
        """What to know before the set is believed, a sentence each; usually nothing.

        Examples
        --------
        >>> KeyFrequencies(7, (1, 2, 3), is_dense=True).caveats[0]
        'nearly all frequencies are key: logits alone cannot tell such a circuit from a lookup \
table; neurons can'
        """
        plural = "frequencies" if self.names is None else "representations"
        found = [DENSE_CAVEAT.replace("frequencies", plural)] if self.is_dense else []
        if self.frequencies and self.accuracy_on == "all":
            found.append(ALL_PAIRS_CAVEAT)
        return tuple(found)
