"""Command line: explain a run folder, or a network that was trained elsewhere.

``python -m grokinterp.analyze CKPTS [--out DIR] [--format NAME] [--key-frequencies LIST]
[--every K] [--image png]``
"""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from grokinterp.command_line import parse_command, run_command, tell
from grokinterp.errors import ConfigError, RunFolderError

if TYPE_CHECKING:
    from grokinterp.trajectory import Analysis


@dataclass(frozen=True)
class Analyze:
    """Explain a run: key frequencies, progress measures, phases, ablations, a report.

    Works while training still runs, and computes only what is new.
    """

    ckpts: tyro.conf.Positional[Path]
    """Run folder, as grokinterp.train wrote it, or a file or folder in one of the formats
    of docs/importing.md."""
    out: Path | None = None
    """Where report.html and the tables go (default: CKPTS/analysis; for a single file
    NAME_analysis in the current folder)."""
    format: str | None = None
    """Format of CKPTS where it is not recognized: grokinterp, zhong2023, grokking_demo,
    nanda2023, transformer_lens or state_dicts."""
    key_frequencies: str | None = None
    """Frequencies to use instead of those found, such as 9,38,45 (for permutations names of
    representations: sign,standard): for runs that were stopped on the plateau."""
    every: int = 1
    """Take every k-th checkpoint; the last is always taken."""
    deep: bool = True
    """Follow the circuit step by step through the last checkpoint and ablate all of its parts
    (some ten seconds at p = 113)."""
    image: Literal["png", "svg", "pdf"] | None = None
    """Write every figure of the report as a picture into OUT/figures as well; takes the extra
    [png] and an installed Chrome or Chromium."""
    quiet: bool = False
    """Show no progress bar."""


def main(arguments: list[str]) -> None:
    """Analyze the run that the arguments name, write its files and print a summary."""
    command = _parse(arguments)
    key_frequencies = _frequencies(command.key_frequencies)
    if command.every < 1:
        raise ConfigError(f"--every {command.every} is not allowed. Use 1 for every checkpoint.")
    # Only now: usage errors and --help are answered before torch is imported.
    from tqdm import tqdm

    from grokinterp.report import write_images, write_report
    from grokinterp.runs.loading import load_run
    from grokinterp.trajectory import analyze_run, write_tables

    logging.basicConfig(level="WARNING", format="%(message)s")
    run = load_run(command.ckpts, command.format)
    run.resolve_step(None)
    out = command.out or _default_out(command.ckpts)
    _require_writable(out)
    analysis = analyze_run(
        run,
        key_frequencies=key_frequencies,
        every=command.every,
        deep=command.deep,
        cache_folder=out,
        progress=lambda steps: tqdm(
            steps, unit="checkpoint", disable=command.quiet, dynamic_ncols=True
        ),
    )
    write_tables(analysis, out)
    report = write_report(analysis, out / "report.html")
    if run.is_imported:
        tell(f"origin            {run.origin}")
    for line in summary_lines(analysis):
        tell(line)
    tell(f"report    {report}")
    tell(f"tables    {out}/: summary.json, and the tables as CSV")
    if command.image is not None:
        # Last: where no browser is, everything else has been written.
        pictures = write_images(analysis, out / "figures", command.image)
        tell(f"figures   {out / 'figures'}/: {len(pictures)} pictures as {command.image}")


def summary_lines(analysis: Analysis) -> list[str]:
    """Return the short summary: outcome, key frequencies, steps, algorithm, phases, ablations."""
    summary = analysis.summary
    reasons = summary["reasons"]
    lines = [summary["outcome"]]
    field = "key_representations" if "key_representations" in summary else "key_frequencies"
    keys = summary[field]
    lines.append(_line(field.replace("_", " "), keys and ", ".join(map(str, keys)), reasons))
    for name in ("memorization_step", "grokking_step"):
        value = summary[name]
        lines.append(_line(name.replace("_", " "), value is not None and f"{value:,}", reasons))
    verdict = summary["algorithm"]["verdict"]
    lines.append(f"{'algorithm':18}{verdict}: {summary['algorithm']['reason']}")
    for name, span in summary["phases"].items():
        text = span and f"steps {span[0]:,} to {span[1]:,}"
        reason = reasons.get(f"phases.{name}", "")
        lines.append(f"{name.replace('_', ' '):18}{text or 'none: ' + reason}")
    if len(analysis.ablations):
        sides = [on for on in ("all", "train", "test") if f"loss_{on}" in analysis.ablations]
        lines.append(f"ablations         loss on {', '.join(sides)} pairs; accuracy on all")
        for row in analysis.ablations.to_dict(orient="records"):
            if row["intervention"] not in ("none", "removed from logits"):
                continue
            what = str(row["component"]).replace("_", " ")
            if row["intervention"] != "none":
                what += f" {row['intervention']}"
            losses = "  ".join(_number(row[f"loss_{on}"]) for on in sides)
            lines.append(f"  {what:44}{losses}   {row['accuracy_all']:7.2%}")
    for name, reason in analysis.failures.items():
        lines.append(f"left out          {name}: {reason}")
    return lines


def _line(label: str, text: Any, reasons: dict[str, str]) -> str:
    reason = reasons.get(label.replace(" ", "_"), "unknown")
    return f"{label + ' ':18}{text or 'none: ' + reason}"


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
                f"--key-frequencies {text!r} is no list of whole numbers or names. Write them as "
                "9,38,45, or for permutations as sign,standard."
            ) from None
        return tuple(words)


def _default_out(path: Path) -> Path:
    return Path(f"{path.stem}_analysis") if path.is_file() else path / "analysis"


def _require_writable(folder: Path) -> None:
    """Find out before the analysis, not after it."""
    probe = folder / ".writing-probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise RunFolderError(
            f"cannot write {folder}: {error.strerror}. Name another folder with --out."
        ) from None


if __name__ == "__main__":
    run_command(main)
