"""Command line: the runs that progress measures are judged on, trained and as a table.

``python -m grokinterp.league make FOLDER [--small] [--jobs N]`` and
``python -m grokinterp.league table FOLDER [--out FILE]``
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from grokinterp.commands.arguments import parse_command, tell
from grokinterp.errors import ConfigError, GrokinterpError


@dataclass(frozen=True)
class LeagueCommand:
    """Train the bank of runs that progress measures are judged on, or write it as a table.

    make: train and measure; the same command goes on where it was stopped. table: gather the
    measures of the runs of a folder in one compressed file, such as the one that is shipped.
    """

    action: Annotated[Literal["make", "table"], tyro.conf.Positional]
    """make or table."""
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Where the run folders are."""
    small: bool = False
    """make: 20 + 20 runs instead of all."""
    jobs: int | None = None
    """make: processes, one thread each (default: one per processor)."""
    out: Path | None = None
    """table: the file (default: bank.npz in the folder)."""
    quiet: bool = False
    """Show no progress bar."""


def main(arguments: list[str]) -> None:
    """Make a bank, or its table."""
    command = parse_command(LeagueCommand, None, arguments, "grokinterp.league")
    if command.action == "table":
        _table(command)
        return
    if command.out is not None:
        raise ConfigError("--out is of table. Leave it out: make writes into FOLDER.")
    from grokinterp.leagues.making import make_bank

    sweep = make_bank(
        command.folder, is_small=command.small, n_jobs=command.jobs, progress=not command.quiet
    )
    counts = sweep.table["kind"].value_counts()
    kinds = ", ".join(f"{counts.get(kind, 0)} {kind}" for kind in ("groks", "cannot", "censored"))
    tell(f"{len(sweep.table)} runs in {command.folder}, as planned: {kinds}")
    if sweep.failures:
        one = sweep.failures[0]
        raise GrokinterpError(
            f"{len(sweep.failures)} runs failed; the first, {one.run}: {one.reason} Run the same "
            "command again."
        )


def _table(command: LeagueCommand) -> None:
    from grokinterp.leagues.tables import check_folder, table_of_folder, write_table

    table = table_of_folder(check_folder(command.folder))
    file = command.out or command.folder / "bank.npz"
    write_table(table, file)
    endings = table.runs["ending"].value_counts()
    found = ", ".join(f"{endings.get(k, 0)} {k}" for k in ("groks", "cannot", "censored"))
    tell(f"{len(table.runs)} runs ({found}) in {file}, {file.stat().st_size / 1e6:.1f} MB")
