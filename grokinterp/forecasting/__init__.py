"""When a run will grok, and with which probability it never does, from its first steps."""

from grokinterp.forecasting.forecast import Forecast, forecast

__all__ = ["Forecast", "forecast"]
