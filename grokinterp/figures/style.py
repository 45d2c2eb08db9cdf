"""How every figure looks: one color for one thing, on light and on dark pages."""

from __future__ import annotations

from typing import Any, Literal, cast

import plotly.graph_objects as go

from grokinterp.fields import checked

SPLIT_COLORS = {"train": "#0072B2", "test": "#D55E00", "all": "#808080"}
"""Blue is trained on, vermilion is tested on, gray is all pairs: in every figure."""

KEY_COLORS = (
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#6741D9",
    "#8C3A20",
    "#B9A44C",
    "#3D7A3D",
)
"""Colors of the key frequencies in ascending order, after Okabe and Ito."""

OTHER_COLOR = "#9AA0A6"
"""Whatever is not a key frequency."""

# A second mark beside the color, for readers who see colors differently and for the ninth
# key frequency, which takes the first color again.
KEY_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
KEY_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")

MATRIX_STYLES = {
    "W_E": ("#009E73", "solid"),
    "W_pos": ("#009E73", "dot"),
    "W_Q": ("#CC79A7", "solid"),
    "W_K": ("#CC79A7", "dash"),
    "W_V": ("#CC79A7", "dot"),
    "W_O": ("#CC79A7", "dashdot"),
    "W_in": ("#E69F00", "solid"),
    "b_in": ("#E69F00", "dot"),
    "W_out": ("#56B4E9", "solid"),
    "b_out": ("#56B4E9", "dot"),
    "W_U": ("#6741D9", "solid"),
    "b_U": ("#6741D9", "dot"),
    "W_L": ("#8C3A20", "dash"),
}
"""Color and dash of each matrix: one color per part of the network."""

PHASE_TINTS = {
    "memorization": "rgba(128, 128, 128, 0.16)",
    "circuit_formation": "rgba(0, 158, 115, 0.11)",
    "cleanup": "rgba(230, 159, 0, 0.13)",
}
"""Shading of the three phases, faint enough for both backgrounds."""

MARK_COLOR = "#808080"
STEP_TITLE = "step (updates)"
LOSS_TITLE = "loss (nats)"
GRID_COLOR = "rgba(128, 128, 128, 0.22)"

TOP_WITH_PHASES = 88
"""Pixels above the plot: the title and three lines with the names of the phases."""
TOP_BARE = 44
"""Pixels above the plot: the title alone."""
BELOW_STEPS = 50
"""Pixels between the plot and the legend: tick labels and the title of the axis."""
SLIDER_HEIGHT = 84
"""Pixels of a slider under the axis: the step it stands at, the bar, the labels."""
LEGEND_ROW = 19
LEGEND_PADDING = 14

_AXIS = {
    "gridcolor": GRID_COLOR,
    "linecolor": "rgba(128, 128, 128, 0.55)",
    "zeroline": False,
    "automargin": "height+width+left",
    "ticks": "outside",
    "tickcolor": "rgba(128, 128, 128, 0.55)",
    "ticklen": 4,
    "title": {"standoff": 8, "font": {"size": 12.5}},
    "tickfont": {"size": 11.5},
}

Theme = Literal["light", "dark"]
INKS: dict[Theme, tuple[str, str]] = {
    "light": ("#1c2430", "#ffffff"),
    "dark": ("#e4e8ee", "#14181e"),
}
"""Colors of text and of the background, the same as the report's."""

TEMPLATE = go.layout.Template(
    layout={
        "font": {
            "family": "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif",
            "size": 13,
            "color": INKS["light"][0],
        },
        "title": {"x": 0, "xref": "container", "xanchor": "left", "font": {"size": 15}},
        "paper_bgcolor": INKS["light"][1],
        "plot_bgcolor": INKS["light"][1],
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 0,
            "yref": "container",
            "yanchor": "bottom",
            "font": {"size": 12},
            "bgcolor": "rgba(0, 0, 0, 0)",
        },
        "hoverlabel": {"font": {"size": 12}},
        # Names that stand on the curves keep a breath of the page behind them.
        "annotationdefaults": {
            "font": {"size": 11.5},
            "showarrow": False,
            "bgcolor": "rgba(255, 255, 255, 0.7)",
        },
        "colorway": list(KEY_COLORS),
    }
)
"""Everything that a page may want to repaint for its own background stands here."""


_chosen: list[Theme] = ["light"]


def set_theme(theme: Theme) -> None:
    """Choose the background of the figures that are drawn from now on.

    Reports and the pages of the documentation follow the reader's own setting, whatever is chosen
    here. A notebook does not tell a figure how it looks, so in a dark notebook this is to be said
    once.

    Parameters
    ----------
    theme
        ``light``, or ``dark`` for light text on a dark background.

    Raises
    ------
    ConfigError
        If there is no such theme.

    Examples
    --------
    >>> gi.figures.set_theme("dark")
    >>> gi.figures.plot_gini(analysis).layout.template.layout.paper_bgcolor
    '#14181e'
    >>> gi.figures.set_theme("light")
    """
    _chosen[:] = [checked("theme", theme, Theme)]


def _template() -> go.layout.Template:
    if _chosen == ["light"]:
        return TEMPLATE
    ink, page = INKS[_chosen[0]]
    own = go.layout.Template(TEMPLATE)
    layout = cast(Any, own.layout)
    layout.font.color = ink
    layout.paper_bgcolor = layout.plot_bgcolor = page
    layout.hoverlabel.update(bgcolor=page, font_color=ink)
    layout.annotationdefaults.bgcolor = "rgba(20, 24, 30, 0.7)"
    return own


def key_color(index: int) -> str:
    """Color of the key frequency at a position (from 0) of the sorted set."""
    return KEY_COLORS[index % len(KEY_COLORS)]


def key_dash(index: int) -> str:
    """Dash of the key frequency at a position (from 0) of the sorted set."""
    return KEY_DASHES[index % len(KEY_DASHES)]


def key_symbol(index: int) -> str:
    """Marker of the key frequency at a position (from 0) of the sorted set."""
    return KEY_SYMBOLS[index % len(KEY_SYMBOLS)]


def decorate(
    figure: go.Figure,
    title: str,
    *,
    plot_height: int = 270,
    above: int = TOP_WITH_PHASES,
    below: int = BELOW_STEPS,
) -> go.Figure:
    """Give a figure with all its traces the house style, a title, and room for its legend.

    Parameters
    ----------
    figure
        Complete: the room for the legend follows from the names of the traces.
    title
        Short enough for a telephone.
    plot_height
        Pixels of the plot itself, whatever stands around it.
    above, below
        Pixels over the plot for title and phases, and under it down to the legend.
    """
    legend = LEGEND_PADDING + LEGEND_ROW * _legend_rows(figure)
    figure.update_layout(
        template=_template(),
        title={"text": title, "y": 1, "yref": "container", "yanchor": "top"},
        height=above + plot_height + below + legend,
        margin={"l": 64, "r": 26, "t": above, "b": below + legend},
        showlegend=True,
        # A page that knows its width sets the legend anew from this.
        meta={"below": below},
    )
    figure.update_layout(title_pad={"t": 10, "l": 2})
    return figure


def _legend_rows(figure: go.Figure) -> int:
    """Rows of the legend on a page of about 700 pixels."""
    names = [str(trace.name) for trace in traces(figure) if trace.showlegend is not False]
    return max(1, -(-sum(48 + 7 * len(name) for name in names) // 640))


def traces(figure: go.Figure) -> list[Any]:
    """The traces of a figure, whose attributes plotly makes at run time."""
    return list(cast(Any, figure).data)


def key_name(key: int | str) -> str:
    """Return ``k = 14``, or ``standard``: the name of a key component in every legend."""
    return key if isinstance(key, str) else f"k = {int(key)}"


def show_step(step: int | float) -> str:
    """Return a step as a reader writes it: ``8,310``."""
    return f"{int(step):,}"
