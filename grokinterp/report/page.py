"""One HTML page: sections, figures and the script that draws them, in a single file."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from grokinterp.figures.embedding import without_slider
from grokinterp.report.description import describe_figure
from grokinterp.report.text import escape


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading and an entry in the table of contents."""

    name: str
    """Its id, which links point at."""
    title: str
    blocks: tuple[str, ...]
    """HTML, in order."""


def paragraph(text: str, *, kind: str = "") -> str:
    """HTML of a paragraph; `text` is HTML already."""
    return f'<p class="{kind}">{text}</p>' if kind else f"<p>{text}</p>"


def figure_block(name: str, figure: go.Figure, caption: str, *, followed_by: str = "") -> str:
    """HTML of a figure with its data; the page's script draws it.

    A figure with a slider gets the browser's own in place of plotly's, which cannot be moved by
    keyboard and says nothing to a screen reader.

    Parameters
    ----------
    name
        Its id.
    figure
        Drawn with the page's own colors of text and background.
    caption
        What to see, as HTML.
    followed_by
        Id of a figure over the same steps in which a line marks where the slider stands.
    """
    words = describe_figure(figure)
    layout: Any = figure.layout
    slider = ""
    if layout.sliders:
        slider = _slider(name, layout.sliders[0], followed_by)
        figure = without_slider(figure)
        layout = figure.layout
    return (
        f'<figure id="{escape(name)}">'
        f'<div class="plot" role="img" aria-label="{escape(words)}" '
        f'style="height:{int(layout.height or 420)}px"></div>{slider}'
        f'<script type="application/json" class="plot-data">{figure_json(figure)}</script>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _slider(name: str, slider: Any, followed_by: str) -> str:
    """The browser's own slider over the frames of a figure, with the step it stands at."""
    labels = [step.label for step in slider.steps]
    place, label = int(slider.active), escape(f"{name}-slider")
    follower = f' data-followed-by="{escape(followed_by)}"' if followed_by else ""
    return (
        f'<div class="slider"><label for="{label}">step</label>'
        f'<input type="range" id="{label}" min="0" max="{len(labels) - 1}" value="{place}" '
        f'aria-valuetext="step {escape(labels[place])}"'
        f'{follower} data-labels="{escape(" ".join(labels))}">'
        f'<output for="{label}">{escape(labels[place])}</output></div>'
    )


def figure_json(figure: go.Figure) -> str:
    """JSON of a figure in the precision of a screen, safe inside a script element."""
    text = json.dumps(_screen_precision(figure.to_dict()), separators=(",", ":"), allow_nan=False)
    # "</script>" and "<!--" would end the element, whatever the JSON says.
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _screen_precision(node: Any) -> Any:
    """Floats with five digits, arrays in single precision, null for what is not finite."""
    if isinstance(node, dict):
        if node.get("dtype") == "f8" and "bdata" in node:
            values = np.frombuffer(base64.b64decode(node["bdata"]), dtype="<f8").astype("<f4")
            return {**node, "dtype": "f4", "bdata": base64.b64encode(values.tobytes()).decode()}
        return {str(key): _screen_precision(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_screen_precision(value) for value in node]
    if isinstance(node, np.ndarray):
        return _screen_precision(node.tolist())
    if isinstance(node, np.generic):
        return _screen_precision(node.item())
    if isinstance(node, float):
        return float(f"{node:.5g}") if math.isfinite(node) else None
    return node


def render_page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Put the sections into one self-contained HTML document.

    Parameters
    ----------
    title
        Plain text, for the heading and the window.
    lead
        HTML under the heading.
    sections
        In the order of the page.
    """
    contents = "\n".join(
        f'<li><a href="#{escape(s.name)}">{escape(s.title)}</a></li>' for s in sections
    )
    bodies = "\n".join(_section(section) for section in sections)
    return Template(_asset("report.html")).substitute(
        title=escape(title),
        lead=lead,
        contents=contents,
        sections=bodies,
        style=_asset("report.css"),
        plotly=_inline_script(get_plotlyjs()),
        script=_inline_script(_asset("report.js")),
    )


def _section(section: Section) -> str:
    name = escape(section.name)
    blocks = "\n".join(section.blocks)
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">\n'
        f'<h2 id="{name}-title">{escape(section.title)}</h2>\n{blocks}\n</section>'
    )


def _asset(name: str) -> str:
    return resources.files("grokinterp.report").joinpath(name).read_text(encoding="utf-8")


def _inline_script(source: str) -> str:
    # The only sequence that ends a script element early; in JavaScript strings and regular
    # expressions the backslash changes nothing.
    return source.replace("</script", "<\\/script")
