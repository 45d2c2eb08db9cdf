"""The tutorials: notebooks in step with their scripts, executed from the first cell to the last.

python docs/scripts/tutorials.py sync
python docs/scripts/tutorials.py check
python docs/scripts/tutorials.py execute [NAME ...] [--out FOLDER]

A tutorial is written as ``tutorials/NN_name.py`` (jupytext's percent format). ``sync`` makes the
notebook beside it, without outputs; ``check`` names the notebooks that differ from their scripts;
``execute`` runs each in an empty folder of its own and prints the seconds, and with ``--out``
writes the executed notebooks there. NAME is the name of a script without ``.py``, or its number.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "tutorials"

TIMEOUT = 300
"""Seconds that one cell may take. A tutorial is meant to take less than a minute as a whole;
this only ends what hangs."""

METADATA = {
    "jupytext": {"formats": "ipynb,py:percent"},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


@dataclass(frozen=True)
class Execution:
    """What came of executing one tutorial."""

    name: str
    """Name of the script without ``.py``."""
    notebook: NotebookNode
    """With the outputs of all cells, up to the one that failed."""
    seconds: float
    """From the start of the kernel to its end."""
    error: str | None
    """The cell that failed and why, in a line, or None."""
    stderr: str
    """Everything that was written to standard error: warnings, for the most part."""

    @property
    def problem(self) -> str | None:
        """The error, or what stands on standard error, or None, after the name."""
        said = self.stderr.strip()
        what = self.error or (f"wrote to standard error: {said}" if said else None)
        return f"{self.name}: {what}" if what else None


def scripts(folder: Path = FOLDER) -> list[Path]:
    """Scripts of the tutorials, in the order in which they are read."""
    return sorted(folder.glob("[0-9][0-9]_*.py"))


def notebook_of(script: Path) -> NotebookNode:
    """Return the notebook that a script stands for: without outputs, its cells numbered.

    The ids of the cells are their places, and what depends on the version of jupytext is left
    out, so that the same script always gives the same notebook.
    """
    notebook = jupytext.reads(script.read_text(encoding="utf-8"), fmt="py:percent")
    for place, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{place:02d}"
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return notebook


def notebook_text(script: Path) -> str:
    """Return what the ``.ipynb`` beside a script has to contain."""
    return nbformat.writes(notebook_of(script)) + "\n"


def notebook_path(script: Path) -> Path:
    """Where the notebook of a script stands."""
    return script.with_suffix(".ipynb")


def out_of_step(folder: Path = FOLDER) -> list[str]:
    """Names of notebooks that differ from their scripts, lack them, or are missing."""
    wanted = {notebook_path(script): notebook_text(script) for script in scripts(folder)}
    paths = sorted({*wanted, *folder.glob("*.ipynb")})
    return [path.name for path in paths if _text_of(path) != wanted.get(path)]


def execute(script: Path, folder: Path, *, timeout: int = TIMEOUT) -> Execution:
    """Run the notebook of a script from the first cell to the last.

    Parameters
    ----------
    script
        The tutorial.
    folder
        Working directory of its kernel, where it writes whatever it writes.
    timeout
        Seconds for one cell.
    """
    notebook = notebook_of(script)
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
        # The kernel would say at every start that it listens on a local port.
        extra_arguments=["--log-level=ERROR"],
    )
    start = time.perf_counter()
    error = None
    try:
        client.execute(env=_environment())
    except CellExecutionError as failure:
        error = f"{_failed_cell(notebook)}: {failure.ename}: {failure.evalue}"
    except (CellTimeoutError, DeadKernelError) as failure:
        error = f"{_failed_cell(notebook)}: {str(failure).splitlines()[0]}"
    return Execution(
        name=script.stem,
        notebook=notebook,
        seconds=time.perf_counter() - start,
        error=error,
        stderr=_standard_error(notebook),
    )


def executed_copy(script: Path, path: Path) -> Execution:
    """Execute a tutorial in a temporary folder and write it with its outputs to a path.

    Raises
    ------
    RuntimeError
        If a cell fails: a page with half the outputs is worse than none.
    """
    with tempfile.TemporaryDirectory() as folder:
        execution = execute(script, Path(folder))
    if execution.error:
        raise RuntimeError(f"{execution.name}: {execution.error}")
    write_executed(execution, path)
    return execution


def write_executed(execution: Execution, path: Path) -> None:
    """Write a notebook with its outputs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(execution.notebook, path)


def chosen(names: Sequence[str], folder: Path = FOLDER) -> list[Path]:
    """Scripts by name or number; all if none is named.

    Raises
    ------
    SystemExit
        If there is no such tutorial.
    """
    known = scripts(folder)
    if not names:
        return known
    by_name = {key: path for path in known for key in (path.stem, path.stem[:2], path.name)}
    for name in names:
        if name not in by_name:
            raise SystemExit(f"no tutorial {name!r}; there are {[path.stem for path in known]}.")
    return [by_name[name] for name in names]


def main(arguments: Iterable[str] | None = None) -> int:
    """Do what the command line says; the exit status is 1 if anything differs or fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("sync", help="write every notebook from its script")
    commands.add_parser("check", help="name the notebooks that differ from their scripts")
    running = commands.add_parser("execute", help="run tutorials and print their seconds")
    running.add_argument("names", nargs="*", metavar="NAME")
    running.add_argument("--out", type=Path, help="folder for the executed notebooks")
    options = parser.parse_args(None if arguments is None else list(arguments))
    if options.command == "sync":
        return _sync()
    if options.command == "check":
        return _check()
    return _execute_all(chosen(options.names), options.out)


def _sync() -> int:
    for script in scripts():
        path, text = notebook_path(script), notebook_text(script)
        if _text_of(path) != text:
            path.write_text(text, encoding="utf-8")
            _say(f"wrote {path.relative_to(ROOT)}")
    return 0


def _check() -> int:
    names = out_of_step()
    if names:
        remedy = "Run python docs/scripts/tutorials.py sync."
        _say(f"not in step with their scripts: {', '.join(names)}. {remedy}")
    return int(bool(names))


def _execute_all(wanted: Sequence[Path], out: Path | None) -> int:
    n_problems = 0
    for script in wanted:
        with tempfile.TemporaryDirectory() as folder:
            execution = execute(script, Path(folder))
        if out is not None:
            write_executed(execution, out / notebook_path(script).name)
        n_problems += execution.problem is not None
        _say(f"{execution.seconds:6.1f} s  {execution.problem or execution.name}")
    return int(n_problems > 0)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _environment() -> dict[str, str]:
    """Environment of the kernel: the library beside the tutorials goes before any installed."""
    paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}


def _failed_cell(notebook: NotebookNode) -> str:
    """Place and first line of the last cell that was started."""
    started = [i for i, cell in enumerate(notebook.cells) if cell.get("execution_count")]
    place = started[-1] if started else 0
    lines = re.findall(r"^(?!#).*\S.*$", notebook.cells[place].source, flags=re.MULTILINE)
    return f"cell {place + 1} ({lines[0].strip() if lines else 'empty'})"


def _standard_error(notebook: NotebookNode) -> str:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return "".join(o["text"] for o in outputs if o.output_type == "stream" and o.name == "stderr")


if __name__ == "__main__":
    sys.exit(main())
