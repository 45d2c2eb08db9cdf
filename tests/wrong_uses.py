"""Wrong uses of the commands and of the Python API, and the one line that each is answered with.

What is tried, and what the answer must say, stands in wrong_uses.toml. ``python -m
tests.wrong_uses`` tries all of it and prints the answers as the tables that the documentation
shows; with ``--json`` it prints them for the tests. They are given outside pytest, so that they
are the library's own and not those of the type checks under pytest.
"""

import contextlib
import hashlib
import io
import json
import os
import re
import sys
import tempfile
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("wrong_uses.toml")


@dataclass(frozen=True)
class WrongUse:
    """Something that a user might try: words of a command, or a line of Python."""

    where: str
    """``train``, ``analyze``, ``reproduce`` or ``python``."""
    what: str
    """The words after the command, or the code."""
    words: str
    """What the answer says; ``...`` stands for any words."""

    @property
    def shown(self) -> str:
        """What the user types."""
        if self.where == "python":
            return self.what
        return f"python -m grokinterp.{self.where} {self.what}".rstrip()

    def is_answered_by(self, line: str) -> bool:
        """Whether a line says what it must, from its first word to its last."""
        pieces = (re.escape(piece) for piece in re.split(r" ?\.\.\. ?", self.words))
        return re.fullmatch(".*".join(pieces), line) is not None


@dataclass(frozen=True)
class Answer:
    """What became of a wrong use."""

    title: str
    status: int | None
    """Exit status of a command; None for Python."""
    lines: list[str]
    """Lines on standard error, or of the error's message."""
    kind: str
    """Class of the error, for Python."""
    out: str
    """What a command wrote to standard output."""
    changed: list[str]
    """Files and folders that were made, removed or written to."""

    @property
    def text(self) -> str:
        """What the user reads, without the word "error"; for Python after the error's class."""
        line = " ".join(self.lines).removeprefix("error: ")
        return f"{self.kind}: {line}" if self.kind else line


USES = tuple(
    WrongUse(where, what, words)
    for where, uses in tomllib.loads(TABLE.read_text(encoding="utf-8")).items()
    for what, words in uses.items()
)


def prepare() -> None:
    """Make in the current folder what the wrong uses are about."""
    import torch

    import grokinterp as gi

    torch.set_num_threads(1)
    gi.train(tiny_config(), "run", progress=False)
    for folder in ("empty", "notes", "half", "old"):
        Path(folder).mkdir()
    Path("file.txt").write_text("notes\n")
    Path("notes", "notes.txt").write_text("notes\n")
    Path("half", "config.json").write_text(Path("run", "config.json").read_text()[:100])
    Path("old", "config.json").write_text('{"format_version": 99}\n')
    torch.save({"model": torch.nn.Linear(2, 2)}, "code.pth")
    torch.save({"model": torch.zeros(100)}, "torn.pth")
    content = Path("torn.pth").read_bytes()
    Path("torn.pth").write_bytes(content[: len(content) // 2])


def tiny_config():
    """p = 5 on a network of a thousand parameters, ten steps."""
    import grokinterp as gi

    return gi.TrainConfig(
        task=gi.TaskSpec(p=5, train_fraction=0.6),
        model=gi.ModelSpec(d_model=8, n_heads=1, d_head=8, d_mlp=16),
        n_steps=10,
        checkpoint_every=10,
    )


def answer(use: WrongUse) -> Answer:
    """Try one, in the current folder."""
    before = _files()
    out, err = io.StringIO(), io.StringIO()
    status, kind, lines = None, "", []
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        if use.where == "python":
            kind, lines = _answer_of_python(use.what)
        else:
            status = _status_of_command(use)
            lines = err.getvalue().splitlines()
    after = _files()
    changed = sorted(n for n in {*before, *after} if before.get(n) != after.get(n))
    return Answer(use.shown, status, lines, kind, out.getvalue(), changed)


def _answer_of_python(code: str) -> tuple[str, list[str]]:
    import grokinterp as gi

    run = gi.load_run("run")
    names = {"gi": gi, "run": run, "config": tiny_config(), "weights": run.parameters()}
    try:
        exec(code, names)  # the table above
    except gi.GrokinterpError as error:
        return type(error).__name__, str(error).splitlines()
    except Exception as error:
        return type(error).__name__, ["NOT A GrokinterpError", *str(error).splitlines()]
    return "", []


def _status_of_command(use: WrongUse) -> int:
    from importlib import import_module

    from grokinterp.commands.arguments import run_command

    module = import_module(f"grokinterp.commands.{use.where}")
    arguments, sys.argv = sys.argv, [use.where, *use.what.split()]
    try:
        run_command(module.main)
    except SystemExit as exit_:
        return int(exit_.code or 0)
    finally:
        sys.argv = arguments
    return 0


def _files() -> dict[str, str]:
    paths = sorted(Path().rglob("*"))
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        for path in paths
    }


def answers() -> list[Answer]:
    """Try all of them in a folder of their own."""
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            prepare()
            return [answer(use) for use in USES]
        finally:
            os.chdir(home)


def tables(given: list[Answer]) -> str:
    """Return the answers in Markdown, a table for each command and one for Python."""
    lines = []
    for use, one in zip(USES, given, strict=True):
        heading = "Python" if use.where == "python" else f"grokinterp.{use.where}"
        if f"## {heading}" not in lines:
            lines += ["", f"## {heading}", "", "| tried | answer |", "|---|---|"]
        lines.append(f"| {_cell(f'`{use.shown}`')} | {_cell(one.text)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    text = text.replace("|", "\\|")
    return text if text.startswith("`") else text.replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    found = answers()
    as_json = "--json" in sys.argv
    sys.stdout.write(json.dumps([asdict(one) for one in found]) if as_json else tables(found))
