"""Numbers, tables and references as HTML in which every foreign string is escaped."""

from __future__ import annotations

import html
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import pandas as pd

MISSING = '<span class="missing" title="not available">–</span>'
_MOST_LISTED = 8
"""Frequencies that are listed one by one."""
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


def escape(value: Any) -> str:
    """Text of any value, safe in HTML text and in attributes."""
    return html.escape(str(value), quote=True)


def is_missing(value: Any) -> bool:
    """Whether a value stands for nothing: None, NA, NaN or an infinity."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, Real) and not math.isfinite(value)


def show_value(value: Any) -> str:
    r"""HTML of one value: thousands in groups, floats to four digits, a dash for nothing.

    Examples
    --------
    >>> show_value(25_000), show_value(2.412e-7), show_value("<b>")
    ('25,000', '2.412\xa0×\xa010<sup>−7</sup>', '&lt;b&gt;')
    """
    if is_missing(value):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return f"{int(value):,}"
    if isinstance(value, Real):
        return _show_float(float(value))
    if isinstance(value, (list, tuple)):
        return ", ".join(show_value(item) for item in value) if value else MISSING
    return escape(value)


def _show_float(value: float) -> str:
    if value.is_integer() and abs(value) < 1e6:
        return f"{int(value):,}".replace("-", "−")
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        text = f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
        return text.replace("-", "−")
    mantissa, exponent = f"{value:.3e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}\u00a0×\u00a010<sup>{int(exponent)}</sup>".replace("-", "−")


def show_keys(keys: Sequence[int | str]) -> str:
    """Return ``1, 5, 13``; of more than eight frequencies those in a row as ``1 to 48``.

    Examples
    --------
    >>> show_keys([1, 5, 13])
    '1, 5, 13'
    >>> show_keys([1, 2, 3, 4, 5, 6, 8, 10, 11, 12])
    '1 to 6, 8, 10 to 12'
    """
    numbers = [int(key) for key in keys if isinstance(key, Integral)]
    if len(keys) <= _MOST_LISTED or len(numbers) < len(keys):
        return escape(", ".join(map(str, keys)))
    # In a row, a number less its place is always the same.
    rows = itertools.groupby(enumerate(numbers), lambda item: item[1] - item[0])
    runs = [[number for _, number in row] for _, row in rows]
    parts = (f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)
    return ", ".join(parts)


def show_percent(value: Any) -> str:
    """HTML of a fraction in [0, 1] as a percentage with two decimals.

    Examples
    --------
    >>> show_percent(0.99984)
    '99.98%'
    """
    return MISSING if is_missing(value) else f"{100 * float(value):.2f}%"


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables of fields as one, with dotted names.

    Examples
    --------
    >>> flatten({"task": {"p": 59}, "n_steps": 100})
    {'task.p': 59, 'n_steps': 100}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str, n_text: int | None = None
) -> str:
    """HTML table in a box of its own that scrolls sideways; the cells are HTML already.

    The first cell of each row is its heading. With `n_text` given, the first so many columns
    are text and the others numbers, aligned to the right.
    """
    kind = "" if n_text is None else ' class="numbers"'
    marks = [' class="text"' if i < (n_text or 0) else "" for i in range(len(header))]
    head = "".join(
        f'<th scope="col"{mark}>{escape(name)}</th>'
        for name, mark in zip(header, marks, strict=True)
    )
    body = "\n".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f"<td{m}>{c}</td>" for c, m in zip(row[1:], marks[1:], strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
        f"<table{kind}><caption>{escape(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def field_table(values: Mapping[str, Any], *, caption: str) -> str:
    """Table of two columns: names of fields and their values."""
    rows = [
        (f"<code>{escape(name)}</code>", show_field(value))
        for name, value in flatten(values).items()
    ]
    return table(("field", "value"), rows, caption=caption)


def show_field(value: Any) -> str:
    """HTML of a setting: integers ungrouped, since seeds and sizes are typed in again."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and math.isfinite(value):
        return escape(f"{value:g}")
    return show_value(value)


def link_papers(text: str) -> str:
    """Escape a reference and make its arXiv number a link.

    Examples
    --------
    >>> link_papers("arXiv:2301.05217")
    '<a href="https://arxiv.org/abs/2301.05217">arXiv:2301.05217</a>'
    """
    return _ARXIV.sub(r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>', escape(text))
