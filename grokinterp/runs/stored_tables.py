"""Tables of a run folder, of answers and of groups: config.json beside them has their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.numpy
from safetensors import SafetensorError

from grokinterp.errors import ConfigError, RunFolderError
from grokinterp.runs.atomic import write_atomically
from grokinterp.runs.config import MOST_PARENTS, ImportedConfig, TrainConfig
from grokinterp.runs.reading import read_bytes
from grokinterp.tasks import AnswerTable, TaskSpec
from grokinterp.tasks.answer_table import DIGEST, LARGEST_P, shown_name

_HEADER_BYTES = 2**20
_TABLE_BYTES = 4 * LARGEST_P**2


def tables_of(config: TrainConfig | ImportedConfig) -> dict[str, AnswerTable]:
    """Tables of answers of a config and of its parents, by name.

    Examples
    --------
    >>> from grokinterp.tasks import TaskSpec
    >>> config = TrainConfig(task=TaskSpec(operation="table", labels=[[0, 1], [1, 0]]))
    >>> list(tables_of(config)) == [config.to_dict()["task"]["labels"]]
    True
    """
    tasks = [c.task for c in (*_ancestors(config), config) if isinstance(c.task, TaskSpec)]
    held = [table for task in tasks for table in (task.labels, task.group_table)]
    return {str(table): table for table in held if isinstance(table, AnswerTable)}


def _ancestors(config: TrainConfig | ImportedConfig) -> tuple[TrainConfig, ...]:
    return config.ancestors if isinstance(config, TrainConfig) else ()


def write_tables(path: Path, config: TrainConfig | ImportedConfig) -> None:
    """Write the tables of a config, each under its SHA-256; nothing where it has none.

    A file that holds them already is left alone.
    """
    tables = tables_of(config)
    if tables and not holds_tables(path, config):
        entries = {table.sha256: table.entries for table in tables.values()}
        write_atomically(path, safetensors.numpy.save(entries))


def holds_tables(path: Path, config: TrainConfig | ImportedConfig) -> bool:
    """Whether a file holds the tables of a config, of which there is one at least."""
    try:
        return bool(_read_tables(path, [*tables_of(config)]))
    except RunFolderError:
        return False


def put_tables(values: dict[str, Any], path: Path) -> None:
    """Put tables of answers in place of their names, in the table of a config.json.

    They are read from the file beside it and nowhere else, whatever config.json says.

    Raises
    ------
    RunFolderError
        If one of them is missing or damaged.
    """
    fields = ("labels", "group_table")
    held = [
        (task, name) for task in _tasks(values) for name in fields if task.get(name) is not None
    ]
    tables = _read_tables(path, [task[name] for task, name in held])
    for task, name in held:
        task[name] = tables[task[name]]


def _tasks(values: Any) -> Iterator[dict[str, Any]]:
    # What is nested deeper is refused where the config is made.
    for _ in range(MOST_PARENTS + 1):
        if not isinstance(values, dict):
            return
        if isinstance(values.get("task"), dict):
            yield values["task"]
        values = values.get("parent")


def _read_tables(path: Path, names: list[Any]) -> dict[str, AnswerTable]:
    if not names:
        return {}
    wanted = f"the table of answers {shown_name(names[0])} that config.json names"
    try:
        most = len(names) * _TABLE_BYTES + _HEADER_BYTES
        stored = safetensors.numpy.load(read_bytes(path, most=most, within=path.parent))
    except FileNotFoundError:
        raise RunFolderError(
            f"{path} is missing, which holds {wanted}. Restore it from the original run."
        ) from None
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise RunFolderError(
            f"{path} is damaged, which holds {wanted} ({error}). Restore it from the original run."
        ) from None
    return {name: _checked_table(stored, name, path) for name in names}


def _checked_table(stored: dict[str, Any], name: Any, path: Path) -> AnswerTable:
    entries = stored.get(name.removeprefix(DIGEST)) if isinstance(name, str) else None
    try:
        table = None if entries is None else AnswerTable(entries)
    except ConfigError:
        table = None
    if table is None or str(table) != name:
        fact = "does not hold" if entries is None else "is damaged: it does not hold"
        raise RunFolderError(
            f"{path} {fact} the table of answers {shown_name(name)} that config.json names. "
            "Restore it from the original run."
        )
    return table
