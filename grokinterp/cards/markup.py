"""The HTML of a card: text that is escaped and bounded, in a frame that suits any page."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grokinterp.errors import one_line

MOST_CHARACTERS = 420
"""Characters of HTML that one text takes; what is longer is cut."""
MOST_CODE = 1500
"""Characters of HTML of the Python that makes an object; what is longer is left to ``print``."""

GRAY = "rgba(128,128,128,.45)"
"""Frames and rules, visible on white and on black."""
RED = "#D55E00"

_FRAME = (
    f"border:1px solid {GRAY};border-radius:6px;padding:.6em .9em;margin:.3em 0;max-width:46em;"
    "box-sizing:border-box;background:transparent;color:inherit;text-align:left;font-size:13px;"
    "line-height:1.5;overflow-wrap:anywhere"
)
_TITLE = "font-weight:600;margin-bottom:.3em"
_WARNING = f"border-left:3px solid {RED};padding-left:.6em;margin:.4em 0"
_ROWS = "display:grid;grid-template-columns:fit-content(11em) 1fr;gap:.1em 1em;margin:.3em 0"
_LABEL = "font-weight:400;opacity:.75;margin:0;padding:0;float:none;width:auto"
_VALUE = "margin:0;padding:0;float:none;width:auto;min-width:0"
_CODE = (
    "background:transparent;color:inherit;margin:.4em 0;padding:0;border:0;font-size:12px;"
    "white-space:pre-wrap;overflow-wrap:anywhere"
)
_CALL = "background:transparent;color:inherit;padding:0;font-size:12px"
_NEXT = f"border-top:1px solid {GRAY};margin-top:.5em;padding-top:.4em"


@dataclass(frozen=True)
class Card:
    """What a card says, in plain text; the HTML escapes it.

    Examples
    --------
    >>> "a &lt;b&gt;" in card_html(Card("a <b>", {"steps": "100", "folder": None}))
    True
    """

    title: str
    rows: Mapping[str, str | None] = field(default_factory=dict)
    """Text by label; rows without text are left out."""
    warnings: Mapping[str, str | None] = field(default_factory=dict)
    """What to know before anything else is believed, by a word or two."""
    pictures: Sequence[str] = ()
    """HTML of small pictures (:mod:`grokinterp.cards.pictures`); empty ones are left out."""
    code: str | None = None
    """The Python that makes the object."""
    calls: Mapping[str, str] = field(default_factory=dict)
    """What to call next, and what that gives."""


def escaped(value: Any, most: int = MOST_CHARACTERS) -> str:
    """Return a text on one line, safe in HTML, cut so that its HTML has at most `most` characters.

    Examples
    --------
    >>> escaped("<b>"), escaped("abcdefgh", most=6)
    ('&lt;b&gt;', 'abc...')
    """
    text = one_line(str(value))
    whole = html.escape(text, quote=True)
    if len(whole) <= most:
        return whole
    kept, n = [], 0
    for character in text:
        part = html.escape(character, quote=True)
        n += len(part)
        if n > most - 3:
            break
        kept.append(part)
    return "".join(kept) + "..."


def card_html(card: Card) -> str:
    """Return the card as one element of HTML: no script, no address, every style in place."""
    parts = [f'<div style="{_TITLE}">{escaped(card.title, 200)}</div>']
    parts += [
        f'<div style="{_WARNING}"><b>{escaped(name, 80)}:</b> {escaped(text, 2 * MOST_CHARACTERS)}'
        "</div>"
        for name, text in card.warnings.items()
        if text
    ]
    parts += [_rows(card.rows), *card.pictures, _code(card.code), _calls(card.calls)]
    return f'<div style="{_FRAME}">{"".join(filter(None, parts))}</div>'


def _rows(rows: Mapping[str, str | None]) -> str:
    cells = "".join(
        f'<dt style="{_LABEL}">{escaped(label, 120)}</dt><dd style="{_VALUE}">{escaped(text)}</dd>'
        for label, text in rows.items()
        if text
    )
    return f'<dl style="{_ROWS}">{cells}</dl>' if cells else ""


def _code(code: str | None) -> str:
    if not code:
        return ""
    lines = "\n".join(html.escape(one_line(line), quote=True) for line in code.splitlines())
    if len(lines) > MOST_CODE:
        return ""
    return f'<pre style="{_CODE}">{lines}</pre>'


def _calls(calls: Mapping[str, str]) -> str:
    if not calls:
        return ""
    said = "; ".join(
        f'<code style="{_CALL}">{escaped(call, 200)}</code> {escaped(what, 200)}'
        for call, what in calls.items()
    )
    return f'<div style="{_NEXT}">Next: {said}</div>'
