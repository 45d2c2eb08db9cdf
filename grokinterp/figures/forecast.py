"""A forecast of the grokking step, as a band in the figures of a run under way."""

from __future__ import annotations

import plotly.graph_objects as go

from grokinterp.forecasting import Forecast

COLOR = "#7E57C2"
"""Of band and line; the phases behind them are gray, green and yellow."""
BAND = "forecast"
"""Name of the band and of its label in the figure."""


def add_forecast(figure: go.Figure, forecast: Forecast) -> None:
    """Draw the interval as a band, and the median as a line in it.

    A band whose upper end is open goes to the horizon. Nothing is drawn where there is no
    forecast.
    """
    if forecast.median is None or forecast.interval is None:
        return
    low, high = forecast.interval
    last = max(forecast.horizon, forecast.median) if high is None else high
    figure.add_vrect(
        x0=low, x1=last, fillcolor=COLOR, opacity=0.14, line_width=0, layer="below", name=BAND
    )
    figure.add_vline(
        x=forecast.median, line={"color": COLOR, "width": 1.4, "dash": "dot"}, name=BAND
    )
    figure.add_annotation(
        x=last,
        xref="x",
        y=1,
        yref="paper",
        yanchor="top",
        xanchor="right",
        text=f"forecast, {100 * forecast.level:.0f}%",
        font={"size": 10.5},
        name=BAND,
    )
