"""What the commands share: flags from a dataclass, and mistakes answered in one line."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from grokinterp.commands.waiting import wait_briefly
from grokinterp.errors import GrokinterpError
from grokinterp.tasks import AnswerTable
from grokinterp.tasks.modular import Labels

Command = TypeVar("Command")
USAGE_ERROR = 2
INTERRUPTED = 130
_FLAGS = ConstructorRegistry()


def parse_command(
    command: type[Command], default: Command | None, arguments: list[str], module: str
) -> Command:
    """Read the flags of a command into its dataclass.

    Parameters
    ----------
    command
        Dataclass type whose fields are the flags.
    default
        Instance with the defaults, or None for those of the class.
    arguments
        The words after ``python -m module``.
    module
        Name of the command, for the help text and the remedy.

    Raises
    ------
    GrokinterpError
        If the flags do not fit; one line.
    SystemExit
        After ``--help``.
    """
    prog = f"python -m {module}"
    captured = io.StringIO()
    try:
        with contextlib.redirect_stderr(captured):
            if default is None:
                return tyro.cli(command, args=arguments, prog=prog, registry=_FLAGS)
            # Where a field may be of several kinds, the default's kind is the one with flags.
            kinds = (tyro.conf.AvoidSubcommands,)
            return tyro.cli(
                command,
                args=arguments,
                prog=prog,
                default=default,
                config=kinds,
                registry=_FLAGS,
            )
    except SystemExit as exit_:
        if exit_.code in (0, None):
            raise
        raise GrokinterpError(_first_statement(captured.getvalue(), prog)) from None


@_FLAGS.primitive_rule
def _path_of_a_table(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """A table of answers is given as the path of a file, which its spec reads, or as None."""
    if kind.type != Labels:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="PATH",
        instance_from_str=lambda words: None if words[0] == "None" else Path(words[0]),
        is_instance=lambda value: value is None or isinstance(value, AnswerTable),
        str_from_instance=lambda value: [str(value)],
    )


@_FLAGS.primitive_rule
def _names_or_none(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Names are given one after another, or the word None."""
    if kind.type != tuple[str, ...] | None:
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="NAME [NAME ...]",
        instance_from_str=lambda words: None if words == ["None"] else tuple(words),
        is_instance=lambda value: value is None or isinstance(value, tuple),
        str_from_instance=lambda value: ["None"] if value is None else list(value),
    )


def run_command(main: Callable[[list[str]], None]) -> None:
    """Run a command's main and end the process as its users expect.

    A mistake of the user, or a disk that cannot be written, gives one line on standard error
    and exit status 2; an interruption 130; anything else is our own bug and keeps its
    traceback.
    """
    wait_briefly(os.environ)
    try:
        main(sys.argv[1:])
    except GrokinterpError as error:
        _say(f"error: {error}")
        sys.exit(USAGE_ERROR)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        _say(f"error: {error.filename or 'a file'}: {error.strerror}. Check its permissions.")
        sys.exit(USAGE_ERROR)
    except MemoryError:
        _say("error: there is not enough memory for this. Choose a smaller network or task.")
        sys.exit(USAGE_ERROR)
    except KeyboardInterrupt:
        _say("interrupted. The same command resumes where it stopped.")
        sys.exit(INTERRUPTED)


def tell(line: str = "") -> None:
    """Write a line of the result to standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _say(message: str) -> None:
    sys.stderr.write(" ".join(message.split()) + "\n")


def _first_statement(box: str, prog: str) -> str:
    """Take the statement out of tyro's frame: its first paragraph, without the drawing.

    The frame is drawn with box characters, or with hyphens and spaces where the terminal
    cannot show them; its first line is a title.
    """
    lines = [line.strip("│╭╮╰╯|+ ") for line in re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines()]
    statement: list[str] = []
    for line in lines[1:]:
        if not line or set(line) <= {"─", "-"}:
            if statement:
                break
            continue
        statement.append(line)
    text = " ".join(statement) or "the flags do not fit"
    for pattern, sentence in _SENTENCES:
        text = re.sub(pattern, sentence, text)
    if "Choose one of '" in text:
        text = text.replace("'", "")
    return f"{text.rstrip('.')}. See {prog} --help."


# tyro's statements on the left, on the right what they mean for the user.
_SENTENCES = (
    (r"^Error parsing [\w.{}]*: (?=\w+=|\w+ is )", ""),
    (
        r"^Error parsing (\S+): invalid literal for int\(\) with base 10: '(.*)'$",
        r"\1 \2 is not allowed. It takes a whole number, such as 100",
    ),
    (
        r"^Error parsing (\S+): could not convert string to float: '(.*)'$",
        r"\1 \2 is not allowed. It takes a number, such as 0.5",
    ),
    (
        r"^Error parsing (\S+): no type matching \{None\}\|INT could be .* from \['(.*)'\]\.?$",
        r"\1 \2 is not allowed. It takes a whole number, such as 100, or None",
    ),
    (
        r"^invalid choice '(.*)' for argument '(.*)'\. Expected one of \((.*?),?\)\.?$",
        r"\2 \1 is not known. Choose one of \3",
    ),
    (r"^Missing value for argument '(.*)'\. Expected 1 values\.?$", r"\1 has no value. Give one"),
    (
        r"^Missing value for argument '(.*)'\. Expected (\d+) values\.?$",
        r"\1 has too few values. Give \2",
    ),
    (r"^Missing from .*?: ([A-Z]+) (.*?)\.? \(required\)$", r"\1 is not given: \2"),
)
