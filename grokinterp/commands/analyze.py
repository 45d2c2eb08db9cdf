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
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from grokinterp.commands.arguments import parse_command, tell
from grokinterp.commands.given import GivenModel, hints_of
from grokinterp.errors import ConfigError, GrokinterpError, RunFolderError
from grokinterp.fields import shown
from grokinterp.models.module_spec import Parts
from grokinterp.tasks import TaskSpec

if TYPE_CHECKING:
    from grokinterp.comparison import Comparison
    from grokinterp.runs.importers.hints import Hints
    from grokinterp.runs.run import Run
    from grokinterp.trajectory import Analysis


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
    """Format of CKPTS where it is not recognized: grokinterp, export, zhong2023, grokking_demo,
    chughtai2023, nanda2023, transformer_lens, state_dicts or other_names."""
    key_frequencies: str | None = None
    """Frequencies to use instead of those found, such as 9,38,45 (names of representations
    in a group that is not cyclic: sign,standard): for runs that were stopped on the plateau."""
    every: int = 1
    """Take every k-th checkpoint; the last is always taken."""
    deep: bool = True
    """Follow the circuit step by step through the last checkpoint and ablate all of its parts
    (some ten seconds at p = 113)."""
    jobs: int | None = None
    """Processes that measure checkpoints, with one thread each (default: one for each thread where
    many checkpoints are new and the memory is free, else one). Numbers do not depend on it."""
    image: Literal["png", "svg", "pdf"] | None = None
    """Write every figure of the report as a picture into OUT/figures as well, for several runs
    also those of the comparison; takes the extra [png] and an installed Chrome or Chromium."""
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

Place = Path | str
"""A path, or an address of the Hugging Face Hub."""


@dataclass(frozen=True)
class _Job:
    """One run to analyze, and where its files go."""

    path: Place
    run: Run
    out: Path


def main(arguments: list[str]) -> None:
    """Analyze the runs that the arguments name, write their files and print a summary."""
    command = _parse(arguments)
    _refuse_flags_of_others(command, arguments)
    key_frequencies = _frequencies(command.key_frequencies)
    if command.every < 1:
        raise ConfigError(f"--every {command.every} is not allowed. Use 1 for every checkpoint.")
    if command.jobs is not None and command.jobs < 1:
        raise ConfigError(f"--jobs {command.jobs} is not allowed. Use 1 for this process alone.")
    if not command.ckpts:
        raise ConfigError("no run is named. Name a run folder, or several to compare them.")
    paths = _without_comparisons(tuple(_place(word) for word in command.ckpts))
    logging.basicConfig(level="WARNING", format="%(message)s")
    logging.getLogger("grokinterp.trajectory").setLevel("WARNING" if command.quiet else "INFO")
    if command.quiet:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if command.module is not None:
        _analyze_own_module(command, command.module, key_frequencies)
        return
    hints = hints_of(command.task, command.model, command.train_pairs, arguments)
    paths = _with_files_of_sweeps(paths)
    if len(paths) > 1:
        _analyze_all(command, paths, hints, key_frequencies)
    else:
        out = command.out or _default_out(paths[0])
        _explain(command, _job(command, paths[0], out, hints), key_frequencies)


def _analyze_own_module(
    command: Analyze, module: str, key_frequencies: tuple[int | str, ...] | None
) -> None:
    """Analyze files of the user's own network as one run."""
    from grokinterp.commands.own_module import run_of_files

    paths = [_downloaded(_place(word)) for word in command.ckpts]
    run = run_of_files(
        module, paths, command.task, command.inputs, command.parts, command.train_pairs
    )
    alone = len(paths) == 1
    out = command.out or (
        _default_out(_place(command.ckpts[0])) if alone else _folder_of_all(paths) / "analysis"
    )
    _require_writable(out)
    _explain(command, _Job(paths[0], run, out), key_frequencies)


def _refuse_flags_of_others(command: Analyze, arguments: list[str]) -> None:
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
    together = command.out or _folder_of_all(paths) / "comparison"
    _refuse_same_places(paths, together)
    jobs = [_job(command, path, _default_out(path), hints) for path in paths]
    # Only now: whatever is wrong with a path was said before anything is computed.
    _require_writable(together)
    from grokinterp.comparison import Comparison, names_of
    from grokinterp.report.comparison_files import write_comparison

    names = names_of([_local(path) for path in paths])
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
    _require_writable(out)
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


def _place(word: str) -> Place:
    return word if word.startswith("hf:/") else Path(word)


def _local(place: Place) -> Path:
    """Where files that are made of a place go by default: for the Hub, the current folder."""
    if isinstance(place, Path):
        return place
    from grokinterp.runs.hub import Address

    return Path(Address.of(place).name)


def _downloaded(place: Place) -> Path:
    if isinstance(place, Path):
        return place
    from grokinterp.runs.hub import fetch

    return fetch(place).path


def _without_comparisons(paths: tuple[Place, ...]) -> list[Place]:
    """Pass over the folders of earlier comparisons, which ``runs/*/`` finds among the runs."""
    if len(paths) == 1:
        return list(paths)
    kept = [path for path in paths if isinstance(path, str) or not _is_comparison(path)]
    return kept or list(paths)


def _with_files_of_sweeps(places: list[Place]) -> list[Place]:
    """Put the files of a folder that are a run each in its place."""
    from grokinterp.runs.importers.sweeps import runs_in

    found: list[Place] = []
    for place in places:
        found += (runs_in(place) if isinstance(place, Path) else ()) or (place,)
    return found


def _is_comparison(folder: Path) -> bool:
    if (folder / "config.json").exists() or not (folder / "compare.csv").exists():
        return False
    from grokinterp.report.comparison_files import is_comparison

    return is_comparison(folder)


def _folder_of_all(paths: Sequence[Place]) -> Path:
    """Return the innermost folder that holds all runs; relative where that is shorter."""
    try:
        common = os.path.commonpath([_local(path).resolve().parent for path in paths])
        return min(Path(common), Path(os.path.relpath(common)), key=lambda path: len(str(path)))
    except ValueError:
        raise ConfigError(
            "the runs lie on several drives. Name the folder of the comparison with --out."
        ) from None


def _refuse_same_places(paths: list[Place], together: Path) -> None:
    """Refuse runs that are named twice, or whose files would be written over each other's."""
    places: dict[Place, Place] = {}
    for path in paths:
        place = path if isinstance(path, str) else path.resolve()
        if place in places:
            raise ConfigError(f"{path} is named twice. Name each run once.")
        places[place] = path
    taken: dict[Path, Place] = {}
    for path in paths:
        out = _default_out(path).resolve()
        if out in taken:
            raise ConfigError(
                f"{taken[out]} and {path} would both be written to {_default_out(path)}. Analyze "
                "them one by one with --out, or rename one."
            )
        taken[out] = path
    for place in (*places, *taken):
        if place == together.resolve():
            raise RunFolderError(
                f"{together} is the place of a run, not of a comparison. Name another folder with "
                "--out."
            )


def summary_lines(analysis: Analysis) -> list[str]:
    """Return the short summary: outcome, key frequencies, steps, algorithm, phases, ablations."""
    found, algorithm = analysis.key_frequencies, analysis.algorithm
    lines = [_without_doubts(analysis, analysis.outcome)]
    is_group = analysis.run.task.has_representations
    width = 20 if is_group else 18
    if analysis.run.missing_parts:
        lines.append(f"{'network':{width}}{analysis.run.spec.in_words}")
    if is_group:
        names = found.names or ()
        lines.append(_line(analysis, "key_representations", ", ".join(names), width))
        published = found.published_representations
        if also := [name for name in published if name not in names]:
            word = "also " if names else ""
            lines.append(f"{'':{width}}by the published rule {word}{', '.join(also)}")
    else:
        keys = ", ".join(map(str, found.frequencies))
        lines.append(_line(analysis, "key_frequencies", keys, width))
    lines += [f"{'':{width}}{caveat}" for caveat in found.caveats]
    for name in ("memorization_step", "grokking_step"):
        step = getattr(analysis.milestones, name)
        lines.append(_line(analysis, name, "" if step is None else f"{step:,}", width))
    why = _without_doubts(analysis, algorithm.reason)
    lines.append(f"{'algorithm':{width}}{algorithm.verdict}: {why}")
    for name, span in analysis.phases.as_dict().items():
        text = f"steps {span[0]:,} to {span[1]:,}" if span else ""
        lines.append(_line(analysis, f"phases.{name}", text, width))
    lines += _ablation_lines(analysis, width)
    for name, reason in analysis.failures.items():
        lines.append(f"{'left out':{width}}{name}: {reason}")
    return lines


def _ablation_lines(analysis: Analysis, width: int) -> list[str]:
    """Losses and accuracy without each part of the logits; nothing if nothing was ablated."""
    from grokinterp.circuits.components import words_of_component

    sides = [on for on in ("all", "train", "test") if f"loss_{on}" in analysis.ablations]
    if not len(analysis.ablations):
        return []
    rows = [
        row
        for row in analysis.ablations.to_dict(orient="records")
        if row["intervention"] in ("none", "removed from logits")
    ]
    lines = [f"{'ablations':{width}}loss on {', '.join(sides)} pairs; accuracy on all"]
    whats = [
        f"{words_of_component(row['component'])} {row['intervention']}".removesuffix(" none")
        for row in rows
    ]
    longest = max([44, *map(len, whats)])
    for row, what in zip(rows, whats, strict=True):
        losses = "  ".join(_number(row[f"loss_{on}"]) for on in sides)
        lines.append(f"  {what:{longest}}{losses}   {row['accuracy_all']:7.2%}")
    return lines


def _line(analysis: Analysis, field: str, text: str, width: int) -> str:
    """One field: its text, or none and the reason that the analysis knows."""
    label = field.removeprefix("phases.").replace("_", " ")
    why = _without_doubts(analysis, analysis.why(field) or "unknown")
    return f"{label + ' ':{width}}{text or 'none: ' + why}"


def _without_doubts(analysis: Analysis, text: str) -> str:
    """A text without the doubts that it quotes: they are the first lines of the output."""
    doubts = " ".join(analysis.run.doubts).rstrip(".")
    return text.replace(f": {doubts}", "") if doubts else text


def _number(value: float) -> str:
    return f"{value:9.3g}" if math.isfinite(value) else f"{'-':>9}"


def _parse(arguments: list[str]) -> Analyze:
    return parse_command(Analyze, None, arguments, "grokinterp.analyze")


def _frequencies(text: str | None) -> tuple[int | str, ...] | None:
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


def _default_out(path: Place) -> Path:
    if isinstance(path, str):
        return Path(f"{_local(path)}_analysis")
    return Path(f"{path.stem}_analysis") if path.is_file() else path / "analysis"


def _require_writable(folder: Path) -> None:
    """Find out before the analysis, not after it."""
    probe = folder / ".writing-probe"
    try:
        made = [part for part in (folder, *folder.parents) if not part.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        # An analysis that is refused after this leaves nothing behind.
        for part in made:
            part.rmdir()
    except OSError as error:
        raise RunFolderError(
            f"cannot write {folder}: {error.strerror}. Name another folder with --out."
        ) from None
