"""Command line: explain run folders, or networks that were trained elsewhere.

``python -m grokinterp.analyze CKPTS [CKPTS ...] [--out DIR] [--format NAME]
[--key-frequencies LIST] [--every K] [--no-deep] [--jobs N] [--image png]``

``python -m grokinterp.analyze FILES --module package.module:build --task.operation addition
--task.p 113 [--inputs "a b ="] [--parts.operands embed ...] [--train-pairs FILE]``

``python -m grokinterp.analyze hf://OWNER/NAME[@REVISION][/PATH] [--task.p 113 ...]
[--model.act-fn gelu ...] [--train-pairs FILE] [--export DIR]``
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from grokinterp.commands.analyze_flags import (
    Analyze,
    refuse_flags_of_others,
    typed_key_frequencies,
)
from grokinterp.commands.arguments import parse_command, tell
from grokinterp.commands.given import hints_of
from grokinterp.commands.places import (
    Place,
    default_out,
    downloaded,
    folder_of_all,
    local_path,
    place_of,
    refuse_same_places,
    require_writable,
    with_files_of_sweeps,
    without_comparisons,
)
from grokinterp.commands.summary_lines import summary_lines
from grokinterp.errors import ConfigError, GrokinterpError

if TYPE_CHECKING:
    from grokinterp.comparison import Comparison
    from grokinterp.runs.importers.hints import Hints
    from grokinterp.runs.run import Run
    from grokinterp.trajectory import Analysis


@dataclass(frozen=True)
class _Job:
    """One run to analyze, and where its files go."""

    path: Place
    run: Run
    out: Path


def main(arguments: list[str]) -> None:
    """Analyze the runs that the arguments name, write their files and print a summary."""
    command = _parse(arguments)
    refuse_flags_of_others(command, arguments)
    key_frequencies = typed_key_frequencies(command.key_frequencies)
    if command.every < 1:
        raise ConfigError(f"--every {command.every} is not allowed. Use 1 for every checkpoint.")
    if command.jobs is not None and command.jobs < 1:
        raise ConfigError(f"--jobs {command.jobs} is not allowed. Use 1 for this process alone.")
    if command.jobs is not None and command.jobs > 1:
        # Only now: --help is answered before torch is imported.
        from grokinterp.trajectory.processes import MOST_JOBS

        if command.jobs > MOST_JOBS:
            raise ConfigError(f"--jobs {command.jobs} is not allowed. Use 1 to {MOST_JOBS}.")
    if not command.ckpts:
        raise ConfigError("no run is named. Name a run folder, or several to compare them.")
    paths = without_comparisons(tuple(place_of(word) for word in command.ckpts))
    logging.basicConfig(level="WARNING", format="%(message)s")
    logging.getLogger("grokinterp.trajectory").setLevel("WARNING" if command.quiet else "INFO")
    if command.quiet:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if command.module is not None:
        _analyze_own_module(command, command.module, key_frequencies)
        return
    hints = hints_of(command.task, command.model, command.train_pairs, arguments)
    paths = with_files_of_sweeps(paths)
    if len(paths) > 1:
        _analyze_all(command, paths, hints, key_frequencies)
    else:
        out = command.out or default_out(paths[0])
        _explain(command, _job(command, paths[0], out, hints), key_frequencies)


def _analyze_own_module(
    command: Analyze, module: str, key_frequencies: tuple[int | str, ...] | None
) -> None:
    """Analyze files of the user's own network as one run."""
    from grokinterp.commands.own_module import run_of_files

    paths = [downloaded(place_of(word)) for word in command.ckpts]
    run = run_of_files(
        module, paths, command.task, command.inputs, command.parts, command.train_pairs
    )
    alone = len(paths) == 1
    out = command.out or (
        default_out(place_of(command.ckpts[0])) if alone else folder_of_all(paths) / "analysis"
    )
    require_writable(out)
    _explain(command, _Job(paths[0], run, out), key_frequencies)


def _explain(command: Analyze, job: _Job, key_frequencies: tuple[int | str, ...] | None) -> None:
    """Analyze one run and say what was found."""
    analysis = _analyze(command, job, key_frequencies, None)
    for doubt in job.run.doubts:
        tell(f"doubt             {doubt}")
    if job.run.is_imported:
        origin = job.run.origin.removeprefix(" ".join(job.run.doubts)).lstrip()
        tell(f"origin            {origin}")
    for line in summary_lines(analysis):
        tell(line)
    _export(command, analysis)
    tell(f"report    {job.out / 'report.html'}")
    tell(f"tables    {job.out}/: summary.json, and the tables as CSV")
    _write_images(command, analysis, job.out)


def _export(command: Analyze, analysis: Analysis) -> None:
    """Write the folder to upload, if one is asked for."""
    if command.export is None:
        return
    from grokinterp.sharing import export

    tell(f"export    {export(analysis, command.export, report=True)}/: see its README.md")


def _analyze_all(
    command: Analyze,
    paths: list[Place],
    hints: Hints,
    key_frequencies: tuple[int | str, ...] | None,
) -> None:
    """Analyze each run as if it were alone, then compare those that could be analyzed."""
    if command.export is not None:
        raise ConfigError(
            f"--export {command.export} is for a single run, and {len(paths)} are named. Export "
            "them one by one."
        )
    together = command.out or folder_of_all(paths) / "comparison"
    refuse_same_places(paths, together)
    jobs = [_job(command, path, default_out(path), hints) for path in paths]
    # Only now: whatever is wrong with a path was said before anything is computed.
    require_writable(together)
    from grokinterp.comparison import Comparison, names_of
    from grokinterp.report.comparison_files import write_comparison

    names = names_of([local_path(path) for path in paths])
    done: list[tuple[str, _Job, Analysis]] = []
    failures: dict[str, str] = {}
    for number, (name, job) in enumerate(zip(names, jobs, strict=True), start=1):
        what = f"{number} of {len(jobs)}, {name}"
        try:
            analysis = _analyze(command, job, key_frequencies, what)
        except GrokinterpError as error:
            failures[name] = str(error)
            tell(f"{name}: failed: {error}")
        else:
            done.append((name, job, analysis))
            tell(f"{name}: {analysis.outcome}")
    if len(done) > 1:
        compared = Comparison(tuple(a for _, _, a in done), tuple(name for name, _, _ in done))
        reports = [job.out / "report.html" for _, job, _ in done]
        report = write_comparison(compared, together, reports=reports, failures=failures)
        tell(f"report    {report}")
        tell(f"tables    {together}/: compare.csv, settings.csv, summary.json")
    for _, job, analysis in done:
        _write_images(command, analysis, job.out)
    if len(done) > 1:
        _write_images(command, compared, together)
    if failures:
        first, reason = next(iter(failures.items()))
        raise GrokinterpError(
            f"{len(failures)} of {len(jobs)} runs could not be analyzed and are not compared; the "
            f"first ({first}): {reason}"
        )


def _job(command: Analyze, path: Place, out: Path, hints: Hints) -> _Job:
    """Load a run and find out whether it can be analyzed at all."""
    from grokinterp.runs.loading import read_run

    try:
        run = read_run(path, command.format, hints)
        run.resolve_step(None)
    except GrokinterpError as error:
        if isinstance(path, str) or str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from None
    require_writable(out)
    if command.export is not None:
        from grokinterp.sharing import require_place

        require_place(command.export)
    return _Job(path, run, out)


def _analyze(
    command: Analyze, job: _Job, key_frequencies: tuple[int | str, ...] | None, what: str | None
) -> Analysis:
    """Analyze one run and write its report and tables; `what` stands before the bar."""
    from tqdm import tqdm

    from grokinterp.report import write_report
    from grokinterp.trajectory import analyze_run, write_tables

    analysis = analyze_run(
        job.run,
        key_frequencies=key_frequencies,
        every=command.every,
        deep=command.deep,
        n_jobs=command.jobs,
        cache_folder=job.out,
        progress=lambda steps: tqdm(
            steps, desc=what, unit="checkpoint", disable=command.quiet, dynamic_ncols=True
        ),
    )
    write_tables(analysis, job.out)
    write_report(analysis, job.out / "report.html")
    return analysis


def _write_images(command: Analyze, analysis: Analysis | Comparison, out: Path) -> None:
    """Write the pictures last: where no browser is, everything else has been written."""
    if command.image is None:
        return
    from grokinterp.report import write_images

    pictures = write_images(analysis, out / "figures", command.image)
    tell(f"figures   {out / 'figures'}/: {len(pictures)} pictures as {command.image}")


def _parse(arguments: list[str]) -> Analyze:
    return parse_command(Analyze, None, arguments, "grokinterp.analyze")
