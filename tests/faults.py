"""A harness that kills training, analyses and sweeps, and looks at what is left.

    python -m tests.faults training --moments 50

Every trial starts in a fresh folder, is killed once or several times with SIGKILL, and is then
started again and left alone. Half of the kills come after a random time, from outside; the other
half inside a disk operation that is drawn among all of them: in the middle of a write, before an
fsync, before a rename. After each kill nothing that was reported may be missing or damaged, and
nothing half-written may lie under a name that a reader looks for; at the end every file must have
the bytes of an undisturbed run.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests import tiny

LOST_WORKER_SECONDS = 1.0
"""After this time a worker whose sweep was killed has ended by itself."""


# Children: forked, so that torch is imported once.


@dataclass
class Child:
    """How a forked process ended."""

    seconds: float
    status: int
    """Exit status; negative for a signal."""
    errors: str


def run_child(
    work: Callable[[], None],
    *,
    kill_after: float | None = None,
    kill_in_operation: int | None = None,
    count_file: Path | None = None,
    kills_group: bool = True,
) -> Child:
    """Do some work in a process of its own that may be killed.

    Parameters
    ----------
    work
        What to do.
    kill_after
        Seconds after which the process, and all that it started, gets SIGKILL.
    kill_in_operation
        Number, from 1, of the disk operation inside which the process kills itself.
    count_file
        Where the bytes of all disk operations are written at the end.
    kills_group
        Whether what it started is killed with it.
    """
    errors = tempfile.TemporaryFile()
    start = time.monotonic()
    process = os.fork()
    if process == 0:
        os.setpgid(0, 0)
        os.dup2(errors.fileno(), 2)
        status = 1
        try:
            sizes = count_operations(kill_in_operation)
            work()
            if count_file is not None:
                count_file.write_text(json.dumps(sizes))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            break
        if kill_after is not None and time.monotonic() - start >= kill_after:
            if kills_group:
                kill_group(process)
            else:
                os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
            break
        time.sleep(0.001)
    seconds = time.monotonic() - start
    if kills_group:
        # What it started dies with it, as in a power cut.
        kill_group(process)
    errors.seek(0)
    text = errors.read().decode(errors="replace")
    errors.close()
    return Child(seconds, os.waitstatus_to_exitcode(status), text)


def kill_group(leader: int) -> None:
    """Kill a process and all that it started."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


class _Writing:
    """A file whose writes are counted, and of which one stops half-way."""

    def __init__(self, file, operation):
        self._file, self._operation = file, operation

    def write(self, content):
        if self._operation(len(content)):
            self._file.write(content[: len(content) // 2])
            self._file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return self._file.write(content)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error):
        return self._file.__exit__(*error)

    def __getattr__(self, name):
        return getattr(self._file, name)


def count_operations(fatal: int | None) -> list[int]:
    """List writes, fsyncs and renames of this process by their bytes; die in the one given."""
    sizes: list[int] = []

    def is_fatal(size: int = 0) -> bool:
        sizes.append(size)
        return len(sizes) == fatal

    def before(operation):
        def call(*arguments, **named):
            if is_fatal():
                os.kill(os.getpid(), signal.SIGKILL)
            return operation(*arguments, **named)

        return call

    fdopen, opened = os.fdopen, pathlib.Path.open
    os.fsync, os.replace = before(os.fsync), before(os.replace)
    os.truncate, os.unlink = before(os.truncate), before(os.unlink)

    def fdopen_counted(descriptor, mode="r", *arguments, **named):
        file = fdopen(descriptor, mode, *arguments, **named)
        return _Writing(file, is_fatal) if "w" in mode else file

    def open_counted(path, mode="r", *arguments, **named):
        file = opened(path, mode, *arguments, **named)
        return _Writing(file, is_fatal) if set(mode) & set("wax+") else file

    os.fdopen, pathlib.Path.open = fdopen_counted, open_counted
    return sizes


# Subjects: what is done, what must hold after a kill, what must be equal at the end.


class Training:
    """A short run with curves, checkpoints and a state to go on from."""

    name = "training"
    n_jobs = 1

    def __init__(self, base: Path) -> None:
        self.config = tiny.config(n_steps=120, checkpoint_every=20, test_every=5)

    def work(self, folder: Path) -> None:
        import grokinterp as gi

        gi.train(self.config, folder, n_threads=1, progress=False)

    def faults_of(self, folder: Path, expected: dict[str, str]) -> list[str]:
        """Everything that is wrong with a folder in which the work was killed."""
        return run_faults(folder, expected)

    def digests(self, folder: Path) -> dict[str, str]:
        return digests(folder)


class Analysis:
    """The analysis of a run, with its cache, its tables and its report."""

    name = "analysis"
    n_jobs = 1

    def __init__(self, base: Path) -> None:
        import grokinterp as gi

        self.run = base / "run"
        gi.train(
            tiny.config(n_steps=200, checkpoint_every=50), self.run, n_threads=1, progress=False
        )

    def work(self, folder: Path) -> None:
        import torch

        from grokinterp.commands.analyze import main

        torch.set_num_threads(1)
        logging.disable(logging.CRITICAL)
        sys.stdout = Path(os.devnull).open("w")
        main([str(self.run), "--out", str(folder), "--quiet"])

    def faults_of(self, folder: Path, expected: dict[str, str]) -> list[str]:
        """Tables and report are whole or absent; the cache is for us alone."""
        found = digests(folder)
        return [
            f"{name} is not the undisturbed one"
            for name, digest in found.items()
            if digest != expected.get(name)
        ]

    def digests(self, folder: Path) -> dict[str, str]:
        return digests(folder)


class Sweep:
    """A sweep of two runs in this process, with observations and a table."""

    name = "sweep"
    n_jobs = 1

    def __init__(self, base: Path) -> None:
        from tests import toy_experiment as toy

        self.experiment = toy.EXPERIMENT
        self.plan = [toy.planned(1e-2, seed, 60) for seed in range(2)]

    def work(self, folder: Path) -> None:
        from grokinterp.experiments.sweep import run_sweep

        found = run_sweep(
            self.plan,
            folder / "runs",
            experiment=self.experiment,
            n_jobs=self.n_jobs,
            table_file=folder / "runs.csv",
            progress=False,
        )
        assert not found.failures, found.failures

    def faults_of(self, folder: Path, expected: dict[str, str]) -> list[str]:
        faults = []
        for run in sorted((folder / "runs").glob("*")):
            prefix = f"runs/{run.name}/"
            own = {n.removeprefix(prefix): d for n, d in expected.items() if n.startswith(prefix)}
            faults += [f"{prefix}{fault}" for fault in run_faults(run, own)]
            for file in run.glob("observations/*.json"):
                try:
                    json.loads(file.read_text())
                except ValueError:
                    faults.append(f"{file.name} is cut short")
        table = folder / "runs.csv"
        if table.exists() and not table.read_text().endswith("\n"):
            faults.append("runs.csv is cut short")
        return faults

    def digests(self, folder: Path) -> dict[str, str]:
        return digests(folder)


class ParallelSweep(Sweep):
    """The same in two processes; only the one that hands out the work is killed.

    The workers end when they see that it is gone. Operations are counted in its process alone.
    """

    name = "parallel_sweep"
    n_jobs = 2


class Many:
    """Three runs in one batch, as where numba is not installed, each at a step of its own."""

    name = "many"
    n_jobs = 1

    def __init__(self, base: Path) -> None:
        base_config = tiny.config(checkpoint_every=20, test_every=5)
        self.configs = [
            dataclasses.replace(
                base_config,
                task=dataclasses.replace(base_config.task, split_seed=seed),
                n_steps=n_steps,
            )
            for seed, n_steps in enumerate((120, 70, 100))
        ]

    def work(self, folder: Path) -> None:
        import grokinterp as gi
        from grokinterp.training import kernel_choice

        kernel_choice.has_numba = lambda: False
        gi.train_many(self.configs, folder / "runs", n_threads=1, progress=False)

    def faults_of(self, folder: Path, expected: dict[str, str]) -> list[str]:
        """Everything that is wrong with any of the runs."""
        faults = []
        for run in sorted((folder / "runs").glob("*")):
            prefix = f"runs/{run.name}/"
            own = {n.removeprefix(prefix): d for n, d in expected.items() if n.startswith(prefix)}
            faults += [f"{prefix}{fault}" for fault in run_faults(run, own)]
        return faults

    def digests(self, folder: Path) -> dict[str, str]:
        return digests(folder)


SUBJECTS = {one.name: one for one in (Training, Many, Analysis, Sweep, ParallelSweep)}

UNSTABLE = {"timing.csv", "environment.json", "cache.jsonl", ".lock"}
"""Files that tell of the way there: seconds, and what was computed when."""


def reported(folder: Path) -> set[tuple[str, str]]:
    """Every checkpoint that an index of the folder reports: index file, and its line."""
    found = set()
    for index in folder.rglob("index.csv"):
        text = index.read_text()
        lines = text[: text.rfind("\n") + 1].splitlines()[1:]
        found |= {(str(index.relative_to(folder)), line) for line in lines}
    return found


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file that must not depend on interruptions, by its relative name."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in UNSTABLE and not path.name.startswith(".writing-")
    }


def run_faults(folder: Path, expected: dict[str, str] | None = None) -> list[str]:
    """What is wrong with the folder of a run whose training was killed.

    Parameters
    ----------
    folder
        The run folder; it may not exist yet.
    expected
        SHA-256 of the files of an undisturbed run, by name, where there was one.
    """
    faults = []
    found = digests(folder) if folder.exists() else {}
    index = folder / "checkpoints" / "index.csv"
    text = index.read_text() if index.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()[1:]
    for line in lines:
        step, file, digest = line.split(",")
        if found.get(f"checkpoints/{file}") != digest:
            faults.append(f"step {step} was reported, and is missing or damaged")
    for name, digest in found.items():
        is_whole = Path(name).suffix == ".safetensors" or name in ("config.json",)
        # resume.safetensors changes with every checkpoint; that it can be read shows at the end.
        if expected is None or name == "resume.safetensors":
            continue
        if is_whole and expected.get(name) != digest:
            faults.append(f"{name} has not the bytes of the undisturbed run")
    curves = folder / "curves.csv"
    if curves.exists():
        text = curves.read_text()
        faults += [] if text[:4] in ("step", "") else ["curves.csv has lost its header"]
    return faults


# Trials.


@dataclass
class Report:
    """What the trials of a subject came to."""

    subject: str
    n_killed: int
    n_in_operations: int
    n_operations: int
    seconds_undisturbed: float
    faults: list[str]

    def __str__(self) -> str:
        return (
            f"{self.subject}: {self.n_killed} kills, {self.n_in_operations} of them inside one of "
            f"the {self.n_operations} disk operations, the others at random moments of "
            f"{self.seconds_undisturbed:.2f} s; {len(self.faults)} faults"
        )


def try_subject(name: str, moments: int, seed: int = 0, progress: bool = False) -> Report:
    """Kill a subject at so many moments.

    Parameters
    ----------
    name
        One of :data:`SUBJECTS`.
    moments
        Kills in all.
    seed
        Of the moments.
    """
    import torch

    import grokinterp.commands.analyze
    import grokinterp.experiments.run_table
    import grokinterp.report
    import grokinterp.training  # noqa: F401 (what children need is imported once, here)

    torch.set_num_threads(1)
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        base = Path(scratch)
        subject = SUBJECTS[name](base)
        first = base / "undisturbed"
        count = base / "count"
        first.mkdir()
        child = run_child(lambda: subject.work(first), count_file=count)
        if child.status:
            raise RuntimeError(f"undisturbed {name} failed:\n{child.errors}")
        sizes, seconds = json.loads(count.read_text()), child.seconds
        expected = subject.digests(first)
        report = Report(name, 0, 0, len(sizes), seconds, [])
        trial = 0
        while report.n_killed < moments:
            trial += 1
            folder = base / f"trial_{trial}"
            folder.mkdir()
            before: set[tuple[str, str]] = set()
            for _ in range(draw.choice((1, 1, 2, 3))):
                if report.n_killed >= moments:
                    break
                in_operation = report.n_killed % 2 == 1
                moment = _operation(draw, sizes) if in_operation else None
                after = None if in_operation else draw.uniform(0, seconds)
                child = run_child(
                    lambda folder=folder: subject.work(folder),
                    kill_after=after,
                    kill_in_operation=moment,
                    kills_group=subject.n_jobs == 1,
                )
                if child.status == -signal.SIGKILL:
                    report.n_killed += 1
                    report.n_in_operations += in_operation
                elif child.status:
                    report.faults.append(f"trial {trial}: it failed: {child.errors[-600:]}")
                    break
                if subject.n_jobs > 1:
                    time.sleep(LOST_WORKER_SECONDS)
                now = reported(folder)
                lost = [f"{line} is no longer reported" for _, line in sorted(before - now)]
                before |= now
                where = f"operation {moment}" if in_operation else f"{after:.3f} s"
                report.faults += [
                    f"trial {trial}, killed at {where}: {fault}"
                    for fault in [*lost, *subject.faults_of(folder, expected)]
                ]
            child = run_child(lambda folder=folder: subject.work(folder))
            if child.status:
                report.faults.append(f"trial {trial}: it cannot go on: {child.errors[-600:]}")
            found = subject.digests(folder)
            for file in sorted({*found, *expected}):
                if found.get(file) != expected.get(file):
                    report.faults.append(f"trial {trial}: in the end {file} differs")
            for _, line in sorted(before - reported(folder)):
                report.faults.append(f"trial {trial}: in the end {line} is not reported")
            # Where a lock says that nobody else writes, leftovers go at once; elsewhere by age.
            leftovers = [
                p.name
                for p in folder.rglob(".writing-*")
                if (p.parent / ".lock").exists() or p.parent.name == "checkpoints"
            ]
            report.faults += [f"trial {trial}: {leftover} was left" for leftover in leftovers]
            if not report.faults:
                shutil.rmtree(folder)
            if progress:
                sys.stderr.write(f"\r{report.n_killed} of {moments} kills")
                sys.stderr.flush()
        if progress:
            sys.stderr.write("\n")
        keep = os.environ.get("KEEP_FAULTS")
        if keep and report.faults:
            shutil.copytree(base, keep, dirs_exist_ok=True)
    return report


def _operation(draw: random.Random, sizes: list[int]) -> int:
    """Number of an operation: half of the time any, else by the bytes that it writes."""
    if draw.random() < 0.5:
        return draw.randint(1, len(sizes))
    return draw.choices(range(1, len(sizes) + 1), weights=sizes)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("subject", choices=[*SUBJECTS, "all"])
    parser.add_argument("--moments", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    names = list(SUBJECTS) if arguments.subject == "all" else [arguments.subject]
    failed = False
    for name in names:
        report = try_subject(name, arguments.moments, arguments.seed, progress=True)
        sys.stdout.write(f"{report}\n" + "".join(f"  {fault}\n" for fault in report.faults))
        sys.stdout.flush()
        failed = failed or bool(report.faults)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
