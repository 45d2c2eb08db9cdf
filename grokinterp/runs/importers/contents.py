"""What a file holds: state dicts, the steps they belong to, and a config, wherever they lie."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from grokinterp.errors import CheckpointError, one_line
from grokinterp.runs.importers.assembly import LARGEST_STEP, are_steps, listed, numbers_in
from grokinterp.runs.importers.inert import plain_fields
from grokinterp.runs.importers.parameters import find_state_dict
from grokinterp.runs.importers.state_dict_names import WRAPPERS
from grokinterp.runs.importers.step_names import step_in_name
from grokinterp.runs.memory import refuse_shared_memory

Counted = Literal["step", "epoch", "place", ""]
Finder = Callable[[Any], Mapping[str, Tensor] | None]

SEVERAL = ("state_dicts", "checkpoints", "snapshots", "models", "states")
"""Keys under which files hold state dicts of several steps."""
EPOCHS_OF_SEVERAL = ("epochs", "checkpoint_epochs")
STEPS_OF_SEVERAL = ("steps", "checkpoint_steps", "global_steps", "iterations")
COUNTS_OF_SEVERAL = (*EPOCHS_OF_SEVERAL, *STEPS_OF_SEVERAL)
STEPS_OF_ONE = ("global_step", "step", "iteration", "iter", "num_updates")
"""Keys that say after how many updates weights were stored; ``epoch`` comes after all of them."""
CONFIGS = (
    *("config", "cfg", "model_config", "hyper_parameters", "hparams", "args", "model_args"),
    *("options", "opt", "settings", "kwargs", "model_kwargs"),
)
"""Keys under which files hold the settings of the network and its training."""
_AVERAGE = re.compile(r"(^|_)(ema|swa|averaged)(_|$)")
_MOST_NAMES = 4


@dataclass(frozen=True, eq=False)
class Contents:
    """The state dicts of a file."""

    states: tuple[Mapping[str, Tensor], ...]
    """In the order of their steps."""
    numbers: tuple[int, ...]
    """What the file counts them with; empty for one whose step it does not say."""
    counted: Counted
    """``epoch``: by a list of epochs beside them, after whose update they were stored; ``step``:
    by a plain number; ``place``: by their place in a list, since nothing says more."""
    keys: tuple[str, ...] = ()
    """Keys of the file that were read."""
    key: str = ""
    """Key that says the step of a single one."""

    @property
    def steps(self) -> tuple[int, ...]:
        """Number of updates applied; of a list of epochs e, e + 1."""
        return tuple(number + (self.counted == "epoch") for number in self.numbers)

    @property
    def account(self) -> str:
        """How the steps are known, in a sentence."""
        if self.counted == "place":
            return "The file does not say the steps of its list: they are places, from 0 on."
        if self.key and self.counted == "step":
            return f"The step is its {self.key}."
        return ""


def find_contents(content: Any, find: Finder = find_state_dict) -> Contents | None:
    """Find the state dicts of a file; None if there are none whose names are known.

    One may lie bare or under a usual key, several in a list beside their epochs or steps, or
    in a table by step; a list of dictionaries with a step each is read too. `find` returns the
    state dict that one of these holds, and by default only one whose names are known.

    Raises
    ------
    CheckpointError
        If there are several, and what counts them does not fit.
    """
    one = find(content)
    # A Grokking_Demo has its last state dict twice, alone and in the list.
    several = None if one is not None and _is_bare(content) else _several(content, find)
    if several is not None:
        return several
    if one is None:
        return None
    key, number = stored_step(content)
    keys = (*(k for k in WRAPPERS if k in content), key) if not _is_bare(content) else (key,)
    numbers = () if number is None else (number,)
    return Contents((one,), numbers, "step" if numbers else "", keys, key)


def stored_step(content: Any) -> tuple[str, int | None]:
    """Return the number of updates that a file says, and the key that says so.

    Examples
    --------
    >>> stored_step({"epoch": 99, "global_step": 9900})
    ('global_step', 9900)
    """
    for key in (*STEPS_OF_ONE, "epoch"):
        number = _whole(content.get(key)) if isinstance(content, Mapping) else None
        if number is not None:
            return key, number
    return "", None


def config_in(content: Any, beside: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the plain fields of the configs of a file, and of a table beside it.

    Examples
    --------
    >>> config_in({"model": {}, "cfg": {"act_fn": "gelu"}, "args": {"lr": 1}})
    {'lr': 1, 'act_fn': 'gelu'}
    """
    found = dict(plain_fields(beside or {}))
    for key in reversed(CONFIGS):
        if isinstance(content, Mapping) and key in content:
            found |= plain_fields(content[key])
    return found


def passed_over(
    content: Any, contents: Contents, used: Iterable[str] = (), find: Finder = find_state_dict
) -> str:
    """Return sentences on the keys of a file that were not read; empty for none."""
    if not isinstance(content, Mapping) or _is_bare(content) or _is_by_step(content, find):
        return ""
    left = {str(key) for key in content} - {*contents.keys, *used, *CONFIGS}
    averages = sorted(one_line(key, 60) for key in left if _AVERAGE.search(key))
    text = f"Averages of weights beside them were not read: {', '.join(averages)}."
    return " ".join(filter(None, [text if averages else "", listed(left - set(averages))]))


def require_own_memory(contents: Contents) -> None:
    """Refuse state dicts of a file that share memory, as those of a list without clone() do.

    Raises
    ------
    CheckpointError
        With the first two steps.
    """
    if len(contents.states) == 1:
        return
    refuse_shared_memory(
        {
            step: [value for value in state.values() if value.is_floating_point()]
            for step, state in zip(contents.steps, contents.states, strict=True)
        },
        "Save them again from {name: value.clone() for name, value in model.state_dict().items()} "
        "of each step.",
    )


def describe(content: Any) -> str:
    """Say what a file without a known state dict holds, in a few words.

    Examples
    --------
    >>> describe({"train_losses": [1.0], "epoch": 3})
    'no state dict: a dictionary with the keys epoch, train_losses'
    """
    if not isinstance(content, Mapping):
        kind = "list" if isinstance(content, (list, tuple)) else type(content).__name__
        return f"no state dict, but a {one_line(kind, 40)}"
    for candidate in (content, *(content.get(key) for key in WRAPPERS)):
        names = _tensor_names(candidate)
        if names:
            more = ", ..." if len(names) > _MOST_NAMES else ""
            shown = ", ".join(one_line(name, 60) for name in names[:_MOST_NAMES])
            return f"a state dict whose names are not known ({shown}{more})"
    keys = sorted(one_line(str(key), 40) for key in content)
    more = ", ..." if len(keys) > 2 * _MOST_NAMES else ""
    return f"no state dict: a dictionary with the keys {', '.join(keys[: 2 * _MOST_NAMES])}{more}"


def _tensor_names(candidate: Any) -> list[str]:
    """Names of a state dict: two tensors at least, one of them a matrix."""
    if not isinstance(candidate, Mapping):
        return []
    tensors = {str(k): v for k, v in candidate.items() if isinstance(v, Tensor)}
    is_state = len(tensors) > 1 and any(v.ndim >= 2 for v in tensors.values())
    return list(tensors) if is_state else []


def _several(content: Any, find: Finder) -> Contents | None:
    """State dicts of several steps, wherever they lie."""
    if not isinstance(content, (Mapping, list, tuple)):
        return None
    holders: list[tuple[str, Any]] = [("", content)]
    if isinstance(content, Mapping):
        holders += [(key, content[key]) for key in (*SEVERAL, *WRAPPERS) if key in content]
    for key, holder in holders:
        if isinstance(holder, Mapping):
            found = _by_step(holder, find)
        elif isinstance(holder, (list, tuple)) and holder:
            found = _in_list(holder, content if key else {}, key, find)
        else:
            continue
        if found is not None:
            keys = (key, *found.keys, *(k for k in WRAPPERS if k != "params"))
            return Contents(found.states, found.numbers, found.counted, keys)
    return None


def _by_step(table: Mapping[Any, Any], find: Finder) -> Contents | None:
    """State dicts by step: the keys are numbers, or names that say one."""
    if not _is_by_step(table, find):
        return None
    numbers = {key: _number_of(key) for key in table}
    if len(set(numbers.values())) < len(numbers):
        raise CheckpointError(
            "two keys of its state dicts say the same step. Use "
            "gi.Run.from_state_dicts({step: state_dict}, ...)."
        )
    order = sorted(numbers.items(), key=lambda item: item[1] or 0)
    found = [(number, find(table[key])) for key, number in order]
    return Contents(
        tuple(state for _, state in found if state is not None),
        tuple(number for number, _ in found if number is not None),
        "step",
    )


def _is_by_step(table: Mapping[Any, Any], find: Finder = find_state_dict) -> bool:
    if not table or any(_number_of(key) is None for key in table):
        return False
    return all(find(state) is not None for state in table.values())


def _number_of(key: Any) -> int | None:
    if isinstance(key, str):
        return step_in_name(Path(key)) if key and "/" not in key else None
    return _whole(key)


def _in_list(holder: Sequence[Any], content: Any, key: str, find: Finder) -> Contents | None:
    """State dicts in a list, beside their epochs or steps, each with its own, or by place."""
    states = [find(state) for state in holder]
    if any(state is None for state in states):
        return None
    known = tuple(state for state in states if state is not None)
    own = [stored_step(entry)[1] for entry in holder]
    counts = [k for k in COUNTS_OF_SEVERAL if k in content]
    fitting = [k for k in counts if len(numbers_in(content[k])) == len(known)]
    fitting = [k for k in fitting if are_steps(numbers_in(content[k]))]
    if fitting:
        counted: Counted = "epoch" if fitting[0] in EPOCHS_OF_SEVERAL else "step"
        return _ordered(known, [int(n) for n in numbers_in(content[fitting[0]])], counted, fitting)
    if all(n is not None for n in own) and len(set(own)) == len(own):
        return _ordered(known, [n for n in own if n is not None], "step", [])
    if counts or key in ("state_dicts", "checkpoints"):
        what = counts[0] if counts else {"checkpoints": "checkpoint_epochs"}.get(key, "epochs")
        n = len(numbers_in(content.get(what)))
        fact = f"and {n} {what}" if n != len(known) else f"whose {what} are no different steps"
        raise CheckpointError(
            f"the file has {len(known)} {key} {fact}, so "
            "their steps are not known. Use gi.Run.from_state_dicts({step: state_dict}, ...)."
        )
    is_alone = len(known) == 1
    return Contents(
        known, () if is_alone else tuple(range(len(known))), "" if is_alone else "place"
    )


def _ordered(
    states: Sequence[Mapping[str, Tensor]], numbers: list[int], counted: Counted, keys: list[str]
) -> Contents:
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    return Contents(
        tuple(states[i] for i in order), tuple(numbers[i] for i in order), counted, tuple(keys)
    )


def _is_bare(content: Any) -> bool:
    """Whether a table is a state dict itself."""
    return isinstance(content, Mapping) and len(_tensor_names(content)) > 1


def _whole(value: Any) -> int | None:
    if isinstance(value, np.generic) or (isinstance(value, Tensor) and value.ndim == 0):
        value = value.item()
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return int(value) if 0 <= value < LARGEST_STEP and value == value // 1 else None
