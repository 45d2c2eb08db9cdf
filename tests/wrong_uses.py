"""Wrong uses of the commands and of the Python API, and the one line that each is answered with.

``python -m tests.wrong_uses`` writes docs/wrong_uses.md; with ``--json`` the answers go to
standard output instead. They are given outside pytest, so that they are the library's own
and not those of the type checks under pytest.
"""

import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "wrong_uses.md"


@dataclass(frozen=True)
class WrongUse:
    """Something that a user might try: words of a command, or a line of Python."""

    where: str
    """``train``, ``analyze``, ``reproduce`` or ``python``."""
    what: str
    """The words after the command, or the code."""

    @property
    def shown(self) -> str:
        """What the user types."""
        if self.where == "python":
            return self.what
        return f"python -m grokinterp.{self.where} {self.what}".rstrip()


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


# Prepared for them: `run` (a finished run, p = 5), `empty`, `notes` (another folder), `file.txt`,
# `half` (a run folder whose config.json ends early), `old` (a later format), `code.pth` (a pickle
# with a class), `torn.pth` (half a checkpoint).
USES = tuple(
    WrongUse(where, what)
    for where, uses in {
        "train": (
            "",
            "new --preset power2022",
            "new --colour red",
            "new another",
            "new --n-steps many",
            "new --n-steps 1e3",
            "new --n-steps",
            "new --n-steps 0",
            "new --n-steps 1000000000 --checkpoint-every 1",
            "new --checkpoint-every 0",
            "new --task.p 1",
            "new --task.p 100000",
            "new --task.operation power",
            "new --task.operation division --task.p 12",
            "new --task.degree 3",
            "new --task.operation permutation_composition --task.degree 6",
            "new --task.train-fraction 30",
            "new --task.train-fraction nan",
            "new --task.p 3 --task.train-fraction 0.01",
            "new --task.split-seed -1",
            "new --task.operation subtraction --task.split-unit unordered_pairs",
            "new --task.label-seed 3",
            "new --model.d-model 0",
            "new --model.n-layers 1000",
            "new --model.d-model 60000 --model.d-mlp 60000",
            "new --model.init-scale inf",
            "new --optimizer.learning-rate fast",
            "new --optimizer.learning-rate 0",
            "new --optimizer.weight-decay -1",
            "new --optimizer.betas 0.9",
            "new --optimizer.betas 0.9 1",
            "new --optimizer.momentum 0.9",
            "new --pressures.dropout 1",
            "new --stop-accuracy 99",
            "new --n-threads 0",
            "new --device gpu",
            "new --preset digits --task.n-train 1797",
            "notes",
            "file.txt",
            "half",
            "old",
            "run --preset nanda2023",
        ),
        "analyze": (
            "",
            "nowhere",
            "empty",
            "notes",
            "half",
            "run --format pickle",
            "run --format nanda2023",
            "run --every 0",
            "run --every often",
            "run --key-frequencies 3",
            "run --key-frequencies 1;2",
            "run --key-frequencies sign",
            "run --out file.txt",
            "code.pth",
            "torn.pth",
        ),
        "reproduce": (
            "",
            "powers",
            "weight_decay --seeds 0",
            "weight_decay --jobs 0",
            "weight_decay --backend threads",
            "weight_decay --backend dask",
            "weight_decay --scheduler tcp://127.0.0.1:1",
            "weight_decay --quick --out file.txt",
        ),
        "python": (
            'gi.train("quick", "new")',
            'gi.train(config, "new", n_threads="two")',
            'gi.train(config, "new", device="gpu")',
            'gi.train(config, "new", parent=run)',
            "gi.train(config, None)",
            'gi.train(config, "a" * 5000)',
            'gi.TaskSpec(p="113")',
            "gi.TaskSpec(p=113.0)",
            'gi.TaskSpec(operation="plus")',
            "gi.DigitsSpec(n_train=True)",
            "gi.PolynomialSpec(n_train=0)",
            "gi.ModelSpec(d_mlp=None)",
            'gi.ModelSpec(act_fn="swish")',
            "gi.MlpSpec(widths=256)",
            "gi.OptimizerSpec(betas=(0.9,))",
            'gi.OptimizerSpec(weight_decay=float("nan"))',
            'gi.PressureSpec(grokfast="mean")',
            "gi.TrainConfig(task=gi.PolynomialSpec())",
            'gi.TrainConfig(task="addition")',
            "gi.TrainConfig.from_dict([1, 2])",
            'gi.TrainConfig.from_dict({"n_step": 3})',
            "gi.Thresholds(grokking=95)",
            'gi.load_run("nowhere")',
            "gi.load_run(3)",
            'gi.load_run("a" * 5000)',
            'gi.load_run("zero\\0byte")',
            'gi.load_run("run", format="pickle")',
            "run.parameters(7)",
            'run.parameters("last")',
            'gi.analyze_run("run")',
            "gi.analyze_run(run, every=0)",
            'gi.analyze_run(run, key_frequencies="1,2")',
            "gi.analyze_run(run, key_frequencies=[3])",
            'gi.analyze_run(run, measures=["gini_W_E"])',
            'gi.take_snapshot("run")',
            'gi.write_report("run", "new.html")',
            'gi.write_tables("run", "new")',
            "gi.task_of(5)",
            "gi.draw_split(gi.task_of(gi.TaskSpec(p=3, train_fraction=0.01)))",
            "gi.Run.from_state_dicts({}, task=gi.TaskSpec(p=5))",
            "gi.Run.from_state_dicts({0: {}}, task=gi.TaskSpec(p=5))",
            "gi.Run.from_state_dicts({0: weights}, task=gi.TaskSpec(p=7))",
            "gi.Run.from_state_dicts({0: weights}, task=5)",
            "gi.Run.from_state_dicts({0: weights}, task=config.task, train_pairs=[0, 0])",
            'gi.reproduce("powers")',
            'gi.reproduce("weight_decay", n_seeds="all")',
            "gi.reproduce(5)",
        ),
    }.items()
    for what in uses
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


def page(given: list[Answer]) -> str:
    """Return docs/wrong_uses.md."""
    lines = [
        "# Wrong uses",
        "",
        "What the commands and the Python API say to a mistake. A command writes one line to",
        "standard error and exits with status 2; Python raises a `GrokinterpError` with a line of",
        "the same kind. Nothing on disk is made or changed. `python -m tests.wrong_uses` writes",
        "this page from the answers themselves, and a test compares the two.",
        "",
        "`run` is a finished run with p = 5, `notes` a folder with something else, `half` a run",
        "folder whose `config.json` ends early, `old` one of a later format, `code.pth` a pickle",
        "with a class in it, `torn.pth` half a file.",
    ]
    for use, one in zip(USES, given, strict=True):
        heading = "Python" if use.where == "python" else f"grokinterp.{use.where}"
        if f"## {heading}" not in lines:
            lines += ["", f"## {heading}", "", "| tried | answer |", "|---|---|"]
        text = " ".join(one.lines).removeprefix("error: ")
        cells = [f"`{use.shown}`", f"{one.kind}: {text}" if one.kind else text]
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    text = text.replace("|", "\\|")
    return text if text.startswith("`") else text.replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    found = answers()
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps([asdict(one) for one in found]))
    else:
        PAGE.write_text(page(found), encoding="utf-8")
