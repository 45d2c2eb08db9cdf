"""What names of files say: the step of a checkpoint, or the settings that runs of a sweep have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

_STEP_WORDS = (
    ("globalstep", "step", "steps", "iter", "iters", "iteration", "iterations", "it"),
    ("update", "updates"),
    ("epoch", "epochs", "ep", "e"),
    ("checkpoint", "ckpt", "chkpt", "checkpoints", "ckpts"),
)
"""Words before a number that is a step; the first kind that a name has goes before the others."""
SETTINGS = {
    *("seed", "s", "wd", "weightdecay", "decay", "lr", "learningrate", "frac", "fraction", "p"),
    *("mod", "modulus", "prime", "n", "k", "d", "dim", "width", "dmodel", "dmlp", "dhead", "heads"),
    *(
        "head",
        "layers",
        "layer",
        "depth",
        "dropout",
        "beta",
        "alpha",
        "scale",
        "init",
        "bs",
        "batch",
    ),
    *("temp", "temperature", "momentum", "eps", "noise", "run", "trial", "rep", "fold", "exp", "v"),
    *("trainfrac", "trainfraction", "lambda", "gamma", "version", "job", "id"),
}
"""Words before a number in which the runs of a sweep differ."""
_MEASURES = {
    *(
        "acc",
        "accuracy",
        "loss",
        "trainloss",
        "testloss",
        "valloss",
        "trainacc",
        "testacc",
        "valacc",
    ),
    *("val", "test", "train", "error", "err", "nll", "ce", "time", "score", "of"),
}
"""Words before a number that was measured at the step, or counts all steps (100 of 200)."""
# A word, whatever parts it from its number, and the number; `wd0.1` and `lr1e-3` are one number.
_WORD_AND_NUMBER = re.compile(
    r"(?P<word>(?:[a-z]+[-_ ])*?[a-z]+)?(?P<sign>[-_= ]*)"
    r"(?P<number>\d+(?:\.\d+)*(?:e[-+]?\d+)?)(?:(?![a-z0-9])|(?=of\d))"
)
_MOST_DIGITS = 15
"""More digits are no step of any training, but an identifier."""


def step_in_name(path: Path, *, is_alone: bool = False) -> int | None:
    """Return the step that a file's name says: 1200 for ``step_00001200.safetensors``.

    It is the number after step, iter, epoch, ``_e`` or ckpt, in this order of preference; else
    the whole name; else the number at its end, unless that follows the word of a setting or of
    a measure. A number with a decimal point is no step.

    Parameters
    ----------
    path
        Of the file.
    is_alone
        Pass over a number that merely ends the name: the 2 of ``model_2.pt`` is no step.

    Examples
    --------
    >>> step_in_name(Path("epoch=99-step=9900.ckpt")), step_in_name(Path("epoch_0100_acc_0.99.pt"))
    (9900, 100)
    >>> step_in_name(Path("model_seed3.pt")) is None
    True
    """
    found = _numbers(path)
    for words in _STEP_WORDS:
        after = [number for word, number, _ in found if _last(word) in words and _is_step(number)]
        if after:
            return int(after[-1])
    stem = path.stem
    if _is_step(stem):
        return int(stem)
    if is_alone or not found:
        return None
    word, number, end = found[-1]
    is_other = _setting(word) is not None or _last(word) in _MEASURES
    return int(number) if end == len(stem) and _is_step(number) and not is_other else None


def names_a_step(path: Path) -> bool:
    """Whether the step of a name follows a word that counts updates, not epochs or files."""
    words = {word for group in _STEP_WORDS[:2] for word in group}
    return any(_last(word) in words and _is_step(number) for word, number, _ in _numbers(path))


def settings_in_name(path: Path) -> dict[str, str]:
    """Return the settings that a name says, with their numbers as written.

    Examples
    --------
    >>> settings_in_name(Path("wd0.1_seed_3_step_100.pt"))
    {'wd': '0.1', 'seed': '3'}
    """
    named = ((_setting(word), number) for word, number, _ in _numbers(path))
    return {word: number for word, number in named if word is not None}


def differing_settings(paths: Iterable[Path]) -> Mapping[str, tuple[str, ...]]:
    """Return the settings in which files differ by their names, each with its values."""
    values: dict[str, list[str]] = {}
    for path in paths:
        for word, number in settings_in_name(path).items():
            if number not in values.setdefault(word, []):
                values[word].append(number)
    return {word: tuple(found) for word, found in values.items() if len(found) > 1}


def _numbers(path: Path) -> list[tuple[str, str, int]]:
    """Each number of a name with the words before it, in lower case, and where it ends."""
    stem = path.stem.lower()
    return [(m["word"] or "", m["number"], m.end()) for m in _WORD_AND_NUMBER.finditer(stem)]


def _is_step(number: str) -> bool:
    return number.isdecimal() and len(number) <= _MOST_DIGITS


def _last(words: str) -> str:
    parts = re.split(r"[-_ ]", words)
    return "globalstep" if parts[-2:] == ["global", "step"] else parts[-1]


def _setting(words: str) -> str | None:
    """The setting that the words before a number end in: of one word, or of two."""
    parts = re.split(r"[-_ ]", words)
    for n in (2, 1):
        if len(parts) >= n and "".join(parts[-n:]) in SETTINGS:
            return "_".join(parts[-n:])
    return None
