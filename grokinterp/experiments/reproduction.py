"""From the name of a question to its verdict, with everything it rests on in a folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from grokinterp.errors import ConfigError
from grokinterp.experiments.catalogue import experiment_of
from grokinterp.experiments.claims import Findings, Verdict
from grokinterp.experiments.experiment import Experiment, Scale
from grokinterp.experiments.sweep import Failure, run_sweep, write_table
from grokinterp.experiments.sweep.pool import Backend, check_workers
from grokinterp.fields import Number, checked, plain_number
from grokinterp.reprs import card_repr, in_lines
from grokinterp.runs.atomic import make_folder, write_atomically

STORE_NAME = "runs"


@dataclass(frozen=True, eq=False)
class Reproduction:
    """A question of the literature with its runs and its verdict."""

    experiment: Experiment
    scale: Scale
    table: pd.DataFrame
    """One row for each finished run; see :func:`~grokinterp.experiments.run_table.row_of`."""
    failures: tuple[Failure, ...]
    """Planned runs that have no row, with their reasons."""
    findings: Findings
    out: Path
    """Folder of all reproductions: the runs lie in ``out/runs``."""
    seconds: float
    """Wall time of this call; runs that were finished before cost nothing."""
    is_batched: bool = False
    """Whether runs of one shape were trained together."""

    def __repr__(self) -> str:
        claims = {one.name: f"{one.verdict}: {one.sentence}" for one in self.findings.claims}
        runs = f"{len(self.table)}, {self.n_censored} censored, {len(self.failures)} failed"
        title = f"Reproduction of {self.experiment.name} ({self.scale.name}): {self.verdict}"
        return in_lines(title, {**claims, "runs": runs, "folder": str(self.folder)})

    _repr_html_ = card_repr

    @property
    def folder(self) -> Path:
        """Folder of this question: ``out/NAME``, or ``out/NAME_quick``."""
        return self.out / (self.experiment.name + ("_quick" if self.scale.is_quick else ""))

    @property
    def verdict(self) -> Verdict:
        """The verdict of the claims; inconclusive where a planned run is missing."""
        return "inconclusive" if self.failures else self.findings.verdict

    @property
    def n_censored(self) -> int:
        """Runs that had not generalized by their last step."""
        # None for a regression, which has no accuracies.
        return sum(value is True for value in self._column("is_censored"))

    def _column(self, name: str) -> list[Any]:
        return self.table[name].tolist() if len(self.table) else []

    @property
    def command(self) -> str:
        """The command that gives the same numbers."""
        words = ["python -m grokinterp.reproduce", self.experiment.name]
        words += ["--quick"] if self.scale.is_quick else []
        words += [] if self.scale.n_seeds is None else [f"--seeds {self.scale.n_seeds}"]
        words += ["--batched"] if self.is_batched else []
        return " ".join(words)


def reproduce(
    question: str | Experiment,
    out: str | Path = "reproductions",
    *,
    quick: bool = False,
    n_seeds: int | None = None,
    n_jobs: int | None = None,
    backend: Backend = "loky",
    scheduler: str | None = None,
    batched: bool = False,
    progress: bool = True,
) -> Reproduction:
    """Run a question of the literature and judge it by the criterion written down beforehand.

    What was trained before, by whatever question, is not trained again, and a sweep that was
    stopped goes on. Leaves ``runs.csv`` (which grows while it runs), the tables of the findings
    as CSV and ``verdict.json`` in ``out/NAME`` (``out/NAME_quick``), and the runs in
    ``out/runs/<hash of the config>``.

    Parameters
    ----------
    question
        A name of ``gi.EXPERIMENTS``, or an experiment of your own.
    out
        Folder of all reproductions.
    quick
        The small version, of a minute or two.
    n_seeds
        Seeds of every setting; None: as many as the question has by default.
    n_jobs, backend, scheduler
        Who works: processes beside this one (None: one per processor), or a dask cluster.
    batched
        Train runs of one shape together (:func:`grokinterp.train_many`): sooner done where
        networks are small and numba is not installed, with numbers that differ by rounding.
    progress
        Show a progress bar on standard error.

    Raises
    ------
    ConfigError
        If there is no such question, or a value is not allowed.
    RunFolderError
        If `out` cannot be written.

    Examples
    --------
    >>> import grokinterp as gi
    >>> result = gi.reproduce("weight_decay", quick=True)  # takes minutes  # doctest: +SKIP
    >>> result.verdict in ("confirmed", "not confirmed", "inconclusive")
    True
    >>> gi.write_report(result, "report.html")
    PosixPath('report.html')
    """
    checked("question", question, str | Experiment)
    checked("out", out, str | PathLike)
    experiment = experiment_of(question) if isinstance(question, str) else question
    scale = Scale(quick, n_seeds)
    check_workers(backend, n_jobs, scheduler)
    out, start = Path(out), time.monotonic()
    folder = out / (experiment.name + ("_quick" if quick else ""))
    make_folder(folder, "Choose a folder that can be written.")
    sweep = run_sweep(
        experiment.plan(scale),
        out / STORE_NAME,
        experiment=experiment,
        n_jobs=n_jobs,
        backend=backend,
        scheduler=scheduler,
        batched=batched,
        table_file=folder / "runs.csv",
        progress=progress,
    )
    nothing = Findings((), notes=("No run was finished, so there was nothing to judge.",))
    result = Reproduction(
        experiment=experiment,
        scale=scale,
        table=sweep.table,
        failures=sweep.failures,
        findings=experiment.judge(sweep.table, scale) if len(sweep.table) else nothing,
        out=out,
        seconds=time.monotonic() - start,
        is_batched=batched,
    )
    _write(result)
    return result


def verdict_of(result: Reproduction) -> dict[str, Any]:
    """Return what verdict.json says: the verdict, and what it was judged by."""
    experiment, claims = result.experiment, result.findings.claims
    return {
        "name": experiment.name,
        "scale": result.scale.name,
        "n_seeds": result.scale.n_seeds,
        "verdict": result.verdict,
        "paper": experiment.paper,
        "claim": experiment.claim,
        "prediction": experiment.prediction,
        "criterion": experiment.criterion,
        "found": result.findings.found,
        "claims": [
            {
                "name": claim.name,
                "verdict": claim.verdict,
                "is_main": claim.is_main,
                "sentence": claim.sentence,
                "numbers": _plain(claim.numbers),
            }
            for claim in claims
        ],
        "numbers": {claim.name: _plain(claim.numbers) for claim in claims},
        "notes": list(result.findings.notes),
        "tables": list(result.findings.tables),
        "n_runs": len(result.table),
        "n_censored": result.n_censored,
        "failures": [
            {"run": failure.run, "labels": _plain(failure.labels), "reason": failure.reason}
            for failure in result.failures
        ],
        "seconds": round(result.seconds, 1),
        "command": result.command,
    }


VERDICT_COLUMNS = ("name", "scale", "verdict", "n_runs", "n_censored", "n_failures", "seconds")


def write_verdicts(results: Sequence[Reproduction], file: Path) -> pd.DataFrame:
    """Write the verdicts of several questions as one CSV table, and return it.

    Raises
    ------
    RunFolderError
        If the file cannot be written.
    """
    rows = [
        (
            result.experiment.name,
            result.scale.name,
            result.verdict,
            len(result.table),
            result.n_censored,
            len(result.failures),
            round(result.seconds, 1),
        )
        for result in results
    ]
    table = pd.DataFrame(rows, columns=pd.Index(VERDICT_COLUMNS))
    write_table(table, file)
    return table


def _write(result: Reproduction) -> None:
    verdict, folder = verdict_of(result), result.folder
    for name in result.findings.tables:
        if name == "runs" or not name.replace("_", "").replace("-", "").isalnum():
            raise ConfigError(
                f"a table of {result.experiment.name} is named {name!r}, which is no name of a "
                "file of its own. Use letters, digits and underscores."
            )
    file = folder / "verdict.json"
    # An earlier run with other settings may have left tables; they would be stale.
    for name in set(_tables_before(file)) - set(verdict["tables"]):
        (folder / f"{name}.csv").unlink(missing_ok=True)
    write_table(result.table, folder / "runs.csv")
    for name, table in result.findings.tables.items():
        write_table(table, folder / f"{name}.csv")
    text = json.dumps(verdict, indent=2, allow_nan=False, ensure_ascii=False)
    write_atomically(file, (text + "\n").encode())


def _tables_before(file: Path) -> list[str]:
    try:
        tables = json.loads(file.read_text(encoding="utf-8"))["tables"]
        return [Path(str(name)).name for name in tables if name != "runs"]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _plain(numbers: Mapping[str, Number]) -> dict[str, Number]:
    return {name: plain_number(value) for name, value in numbers.items()}
