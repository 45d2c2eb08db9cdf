"""Command line: reproduce a question of the grokking literature, with a verdict.

``python -m grokinterp.reproduce NAME|all|--list [--quick] [--seeds N] [--out DIR] [--jobs N]
[--backend loky|dask] [--scheduler ADDRESS] [--batched]``
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from grokinterp.commands.arguments import parse_command, tell
from grokinterp.errors import ConfigError, GrokinterpError

if TYPE_CHECKING:
    from grokinterp.experiments import Experiment
    from grokinterp.experiments.reproduction import Reproduction

log = logging.getLogger(__name__)
ALL = "all"


@dataclass(frozen=True)
class Reproduce:
    """Run a question of the grokking literature from scratch and judge it.

    The same command continues a sweep that was stopped; nothing is trained twice. A verdict of
    any kind is a result, and ends with status 0; a run that failed is not, and ends with 2.
    """

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = None
    """Which question, or all of them one after the other; --list shows the names."""
    list: bool = False
    """List the questions with their papers, claims and expected minutes."""
    quick: bool = False
    """A smaller version, of a minute or two, that still shows the phenomenon."""
    seeds: int | None = None
    """Seeds of every setting (default: as many as the question has)."""
    out: Path = Path("reproductions")
    """Where NAME/ (or NAME_quick/) with report, table and verdict goes, and the runs."""
    jobs: int | None = None
    """Processes, one thread each (default: one per processor)."""
    backend: Literal["loky", "dask"] = "loky"
    """loky: processes on this machine. dask: the workers of a cluster, which must see --out
    under the same path."""
    scheduler: str | None = None
    """Address of the dask scheduler, such as tcp://HOST:8786."""
    batched: bool = False
    """Train runs of one shape together: sooner done where networks are small and numba is not
    installed, with numbers that differ by rounding."""
    quiet: bool = False
    """Show no progress bar."""


def main(arguments: list[str]) -> None:
    """Reproduce what the arguments say, one verdict each."""
    command = parse_command(Reproduce, None, arguments, "grokinterp.reproduce")
    # Only now: --help is answered before pandas is imported, and the rest before torch.
    from grokinterp.experiments.catalogue import EXPERIMENTS, experiment_of

    if command.list:
        for name in EXPERIMENTS:
            _describe(experiment_of(name))
        return
    if command.name is None:
        raise ConfigError("no question is named. Name one, or all; --list shows them.")
    logging.basicConfig(level="WARNING", format="%(message)s")
    if command.name == ALL:
        _reproduce_all(command)
        return
    result = _reproduce(command, experiment_of(command.name))
    for line in verdict_lines(result):
        tell(line)
    if result.failures:
        raise GrokinterpError(_failures_in_words(result))


def verdict_lines(result: Reproduction) -> list[str]:
    """Return the verdict, what was seen for each claim, and where the rest is."""
    lines = [f"{result.experiment.name}: {result.verdict}"]
    if result.findings.found:
        lines.append(f"  {result.findings.found}")
    for claim in result.findings.claims:
        role = "" if claim.is_main else "(not part of the verdict) "
        lines.append(f"  {claim.verdict:14}{role}{claim.name}: {claim.sentence}")
    lines.append(f"{len(result.table)} runs, {result.n_censored} censored, {result.seconds:.0f} s")
    return [*lines, f"report    {result.folder / 'report.html'}"]


def _describe(experiment: Experiment) -> None:
    tell(f"{experiment.name}: {experiment.claim}")
    tell(f"    {experiment.paper}")
    tell(
        f"    about {experiment.minutes_quick:g} min with --quick, {experiment.minutes_full:g} min "
        "in full, on two cores"
    )


def _reproduce(command: Reproduce, experiment: Experiment) -> Reproduction:
    from grokinterp.experiments.reproduction import reproduce
    from grokinterp.report import write_report

    result = reproduce(
        experiment,
        command.out,
        quick=command.quick,
        n_seeds=command.seeds,
        n_jobs=command.jobs,
        backend=command.backend,
        scheduler=command.scheduler,
        batched=command.batched,
        progress=not command.quiet,
    )
    write_report(result, result.folder / "report.html")
    return result


def _reproduce_all(command: Reproduce) -> None:
    """Run every question; whatever goes wrong with one is kept for the end."""
    from grokinterp.experiments.catalogue import EXPERIMENTS, experiment_of
    from grokinterp.experiments.reproduction import VERDICT_COLUMNS, write_verdicts
    from grokinterp.experiments.sweep.pool import check_workers
    from grokinterp.runs.atomic import make_folder

    check_workers(command.backend, command.jobs, command.scheduler)
    make_folder(command.out, "Choose a folder that can be written.")
    results: dict[str, Reproduction] = {}
    wrong: list[str] = []
    for name in EXPERIMENTS:
        try:
            result = results[name] = _reproduce(command, experiment_of(name))
        except GrokinterpError as error:
            wrong.append(f"{name}: {error}")
            tell(f"{name:14}failed: {error}")
        except Exception as error:
            # Our own bug, but the questions after it can still be answered.
            log.exception("%s failed", name)
            wrong.append(f"{name}: {type(error).__name__}: {error}")
            tell(f"{name:14}failed: {type(error).__name__}: {error}")
        else:
            tell(f"{name:14}{result.verdict}, {result.seconds:.0f} s: {result.folder}/report.html")
            if result.failures:
                wrong.append(_failures_in_words(result))
    table = write_verdicts(list(results.values()), command.out / "verdicts.csv")
    tell()
    tell(table.to_string(index=False, columns=list(VERDICT_COLUMNS)))
    if wrong:
        raise GrokinterpError(
            f"{len(wrong)} of {len(EXPERIMENTS)} questions had failures: {'; '.join(wrong)}"
        )


def _failures_in_words(result: Reproduction) -> str:
    first = result.failures[0]
    labels = ", ".join(f"{name}={value}" for name, value in first.labels.items())
    n_planned = len(result.table) + len(result.failures)
    return (
        f"{len(result.failures)} of {n_planned} runs of {result.experiment.name} failed, so its "
        f"verdict is inconclusive; the first ({labels}): {first.reason}"
    )
