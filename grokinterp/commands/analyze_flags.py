"""The flags of ``python -m grokinterp.analyze``, and which of them do not go together."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from grokinterp.commands.given import GivenModel
from grokinterp.errors import ConfigError
from grokinterp.fields import shown
from grokinterp.models.module_spec import Parts
from grokinterp.tasks import TaskSpec


@dataclass(frozen=True)
class Analyze:
    """Explain a run: key frequencies, progress measures, phases, ablations, a report.

    Works while training still runs, and computes only what is new. Several runs are explained
    one by one and then compared: figures that overlay them, a table, what differs.
    """

    ckpts: Annotated[
        tuple[str, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="CKPTS [CKPTS ...]", help_behavior_hint=""),
    ]
    """Run folder, as grokinterp.train wrote it, or a file or folder in one of the formats
    of docs/importing.md, or such a file or folder on the Hugging Face Hub,
    hf://owner/name[@revision][/path]. Several, such as runs/*/, are also compared. So are the
    files of a folder whose names differ in a seed or another setting."""
    out: Path | None = None
    """Where report.html and the tables go (default: CKPTS/analysis; for a single file and for
    the Hub NAME_analysis in the current folder). Of several runs, the folder of the comparison
    (default: comparison/ in the folder that holds them all); each run keeps its own default."""
    format: str | None = None
    """Format of CKPTS if it is not recognized: grokinterp, export, zhong2023, grokking_demo,
    chughtai2023, nanda2023, transformer_lens, state_dicts or other_names."""
    key_frequencies: str | None = None
    """Frequencies to use instead of those found, such as 9,38,45 (names of representations
    in a group that is not cyclic: sign,standard): for runs that were stopped on the plateau."""
    every: int = 1
    """Measure every k-th checkpoint, and always the last."""
    deep: bool = True
    """Follow the circuit step by step through the last checkpoint and ablate all of its parts
    (some ten seconds at p = 113)."""
    jobs: int | None = None
    """Processes that measure checkpoints, with one thread each (default: one for each thread if
    many checkpoints are new and the memory is free, else one). Numbers do not depend on it."""
    image: Literal["png", "svg", "pdf"] | None = None
    """Also write every figure of the report as a picture into OUT/figures, for several runs those
    of the comparison too. Needs the extra [png] and an installed Chrome or Chromium."""
    quiet: bool = False
    """Show no progress bar."""
    module: str | None = None
    """Function that builds a network of your own, such as nets:build for build() in nets.py. The
    files are then its state dicts, one per step (their names end in the step) or a single one;
    together they are one run."""
    task: TaskSpec = field(default_factory=TaskSpec)
    """What your own network learned, or what a file does not show. For a file only the flags that
    you type count; they override what the file says. The split is given by --train-pairs alone."""
    model: GivenModel = field(default_factory=GivenModel)
    """What the weights of a file do not show. Only the flags that you type count; they override
    what the file says."""
    inputs: str = "a b ="
    """Input of your own network: "a b =" or "a b", a tensor of tokens, or a function that makes
    the input from a (pairs, 2) tensor, such as nets:one_hot."""
    parts: Parts = field(default_factory=Parts)
    """Submodules of your own network that are its parts."""
    train_pairs: Path | None = None
    """Training pairs of your own network, or of a file: a .npy, .pt, .csv or .txt file of rows,
    or of pairs (a, b)."""
    export: Path | None = None
    """Also write a folder to upload to the Hugging Face Hub: the weights of the last checkpoint as
    safetensors, the tables, the report and a model card (docs/sharing.md)."""


_OF_OWN_MODULES = ("--inputs", "--parts.")
"""Flags that need --module."""
_OF_FILES = ("--model.",)
"""Flags that do not go with --module, which runs the network itself."""


def refuse_flags_of_others(command: Analyze, arguments: list[str]) -> None:
    """Refuse flags that say nothing without, or beside, --module."""
    given = [word for word in arguments if word.startswith(_OF_OWN_MODULES)]
    if command.module is None and given:
        flag = given[0].partition("=")[0]
        raise ConfigError(
            f"{flag} needs --module package.module:build, a network of your own. For other files, "
            "say what they do not: --task.operation, --model.act-fn and the like."
        )
    misplaced = [word for word in arguments if word.startswith(_OF_FILES)]
    if command.module is not None and misplaced:
        raise ConfigError(
            f"{misplaced[0].partition('=')[0]} does not go with --module, which runs the network "
            "as its code says. Leave one of the two out."
        )
    if command.module is not None and command.format is not None:
        raise ConfigError(
            f"--format {command.format} does not go with --module, whose files are state dicts. "
            "Leave one of the two out."
        )


def typed_key_frequencies(text: str | None) -> tuple[int | str, ...] | None:
    """Read --key-frequencies: whole numbers, or else names of representations.

    Examples
    --------
    >>> typed_key_frequencies("9,38"), typed_key_frequencies("sign, standard")
    ((9, 38), ('sign', 'standard'))

    Raises
    ------
    ConfigError
        If the text is neither.
    """
    if text is None:
        return None
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        words = [word.strip() for word in text.split(",")]
        if any(re.fullmatch(r"\w*[a-z]\w*", word) is None for word in words):
            raise ConfigError(
                f"--key-frequencies {shown(text)} is no list of whole numbers or names. Write them "
                "as 9,38,45, or names of representations as sign,standard."
            ) from None
        return tuple(words)
