"""What a measure cannot do without: one vocabulary, and one reason where it is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, cast

from grokinterp.circuits.cosets import why_no_cosets
from grokinterp.circuits.key_frequencies import KeyFrequencies
from grokinterp.circuits.task_pairs import has_frequencies, has_spectrum
from grokinterp.errors import ConfigError
from grokinterp.fields import shown
from grokinterp.models.network_parts import PartName
from grokinterp.tasks import Task

TaskNeed = Literal[
    "split",
    "frequencies",
    "group",
    "representations",
    "subgroups",
    "key_frequencies",
    "commutative_operation",
]
Need = TaskNeed | PartName

NEEDS: dict[Need, str] = {
    "split": "which pairs were trained on",
    "frequencies": "answers that are sums in a cyclic group",
    "group": "answers that are products in a group",
    "representations": "answers that are products in a group that is not cyclic",
    "subgroups": "a group with proper subgroups that can be listed",
    "key_frequencies": "key frequencies, or key representations",
    "commutative_operation": "an operation with a∘b = b∘a",
    "operands": "an embedding of each token",
    "same_coordinates": "a and b read in the same coordinates",
    "neurons": "a last hidden layer after its nonlinearity",
    "pre_activations": "the last hidden layer before its nonlinearity",
    "readout": "a linear map from neurons to logits",
    "pattern": "an attention pattern",
    "way_from_operands": "logits recomputed from changed operands",
    "way_from_neurons": "logits recomputed from changed neurons",
    "weights": "named parameters",
    "blocks": "a transformer with TransformerLens's names",
}
"""Meaning of each word: needs from the task, then parts of a network."""


def why_not(
    need: Need,
    task: Task,
    key_frequencies: KeyFrequencies,
    split_is_known: bool,
    missing: Mapping[PartName, str] | None = None,
) -> str | None:
    """Return the reason why something a measure needs is missing, or None if it is not.

    Examples
    --------
    >>> from grokinterp.tasks import TaskSpec
    >>> subtraction, keys = Task(TaskSpec("subtraction", 13)), KeyFrequencies(13, (2,))
    >>> why_not("commutative_operation", subtraction, keys, True)
    'subtraction does not commute, so no pair is mirrored'
    >>> why_not("key_frequencies", subtraction, keys, True) is None
    True
    >>> why_not("neurons", subtraction, keys, True, {"neurons": "an LSTM has none"})
    'an LSTM has none'
    """
    if need in _REASONS:
        return _REASONS[need](task, key_frequencies, split_is_known)
    return (missing or {}).get(cast(PartName, need))


def _without_split(task: Task, keys: KeyFrequencies, split_is_known: bool) -> str | None:
    return None if split_is_known else "it is not known which pairs were trained on"


def _without_frequencies(task: Task, keys: KeyFrequencies, split_is_known: bool) -> str | None:
    if has_frequencies(task):
        return None
    words = task.spec.in_words
    if task.has_representations:
        return f"{words} has representations and no frequencies"
    return f"{words} is no sum in a cyclic group, so there are no frequencies"


def _without_group(task: Task, keys: KeyFrequencies, split_is_known: bool) -> str | None:
    return None if has_spectrum(task) else f"{task.spec.in_words} is no product in a group"


def _without_representations(task: Task, keys: KeyFrequencies, split_is_known: bool) -> str | None:
    if task.has_representations:
        return None
    words = task.spec.in_words
    if has_spectrum(task):
        return f"{words} has frequencies in place of representations"
    return f"{words} is no product in a group, so there are no representations"


def _without_subgroups(task: Task, keys: KeyFrequencies, split_is_known: bool) -> str | None:
    return why_no_cosets(task)


def _without_keys(task: Task, keys: KeyFrequencies, split_is_known: bool) -> str | None:
    if keys.frequencies:
        return None
    return f"there are no key frequencies: {keys.reason or 'none was given'}"


def _not_commutative(task: Task, keys: KeyFrequencies, split_is_known: bool) -> str | None:
    if task.operation.is_commutative:
        return None
    return f"{task.operation.words} does not commute, so no pair is mirrored"


_REASONS: dict[str, Callable[[Task, KeyFrequencies, bool], str | None]] = {
    "split": _without_split,
    "frequencies": _without_frequencies,
    "group": _without_group,
    "representations": _without_representations,
    "subgroups": _without_subgroups,
    "key_frequencies": _without_keys,
    "commutative_operation": _not_commutative,
}


def check_needs(needs: Iterable[str]) -> None:
    """Refuse words that are not in the vocabulary.

    Raises
    ------
    ConfigError
        With the vocabulary.
    """
    if isinstance(needs, str):
        raise ConfigError(f"needs={shown(needs)} is one word. Write a tuple: needs=({needs!r},).")
    for need in needs:
        if need not in NEEDS:
            raise ConfigError(
                f"needs={shown(need)} is not known. Choose some of {', '.join(NEEDS)}."
            )


_REMOVED: dict[str, Need] = {
    "needs_cyclic_view": "frequencies",
    "needs_group_view": "group",
    "needs_permutations": "representations",
    "needs_key_frequencies": "key_frequencies",
    "needs_commutative_operation": "commutative_operation",
    "needs_split": "split",
}


def refuse_removed(arguments: Mapping[str, object]) -> None:
    """Refuse arguments that ``measure`` does not take, with what to write for those it once took.

    Raises
    ------
    ConfigError
        If there is any.
    """
    for name, value in arguments.items():
        if name not in _REMOVED:
            raise ConfigError(f"measure() takes no {name}=. Name what it needs in needs=(...).")
        if name == "needs_split" and isinstance(value, tuple):
            raise ConfigError(f"{name}={shown(value)} is now written split_columns=(...).")
        raise ConfigError(f"{name}={shown(value)} is now written needs=({_REMOVED[name]!r},).")
