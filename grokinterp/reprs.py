"""What an object shows of itself: the Python that makes it, a few lines, in a notebook a card."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from grokinterp.registered import registered

WIDTH = 96
"""Columns that a line of a repr takes at most; a spec that is longer goes over several."""
MOST_LINES = 3
"""Lines of one row; the rest of a longer text is left out."""
MOST_LISTED = 8
"""Names or lines that a list shows before it says how many more there are."""


def spec_repr(self: Any) -> str:
    """Return the Python that makes a spec: its class, and the fields that are not the default.

    A dataclass takes it as its own by ``__repr__ = spec_repr``. What is equal to the default but
    written otherwise, such as ``-0.0``, is shown; fields with ``repr=False`` are not.

    Examples
    --------
    >>> from grokinterp.tasks import TaskSpec
    >>> spec_repr(TaskSpec()), spec_repr(TaskSpec(p=59, train_fraction=0.5))
    ('TaskSpec()', 'TaskSpec(p=59, train_fraction=0.5)')
    """
    parts = []
    for field in dataclasses.fields(self):
        text = repr(getattr(self, field.name))
        if field.repr and text != _default_repr(field):
            parts.append(f"{field.name}={text}")
    name = type(self).__name__
    line = f"{name}({', '.join(parts)})"
    if len(line) <= WIDTH and "\n" not in line:
        return line
    inner = "".join(f"    {line}\n" for part in parts for line in f"{part},".splitlines())
    return f"{name}(\n{inner})"


def card_repr(self: Any) -> str:
    """Return the card of an object as HTML, which notebooks show in place of its repr.

    A class takes it as its own by ``_repr_html_ = card_repr``; what is on the card is written in
    :mod:`grokinterp.cards`.
    """
    return registered("card")(self)


def in_lines(title: str, rows: Mapping[str, str | None]) -> str:
    """Return a title and a labeled line for each row below it; rows without text are left out.

    Examples
    --------
    >>> print(in_lines("Run of addition", {"folder": "ckpts", "network": None, "steps": "100"}))
    Run of addition
      folder  ckpts
      steps   100
    """
    given = {label: text for label, text in rows.items() if text}
    width = max(map(len, given), default=0)
    lines = [title]
    for label, text in given.items():
        lines += textwrap.wrap(
            " ".join(text.split()),
            WIDTH,
            initial_indent=f"  {label:{width}}  ",
            subsequent_indent=" " * (width + 4),
            max_lines=MOST_LINES,
            placeholder=" ...",
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def listed(items: Iterable[Any], most: int = MOST_LISTED) -> str:
    """Return the first items with commas between them, and how many more there are.

    Examples
    --------
    >>> listed([3, 1, 2]), listed(range(20), most=2)
    ('3, 1, 2', '0, 1 and 18 more')
    """
    texts = [str(item) for item in items]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _default_repr(field: dataclasses.Field[Any]) -> str | None:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    return None
