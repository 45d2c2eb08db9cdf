"""The one figure that tells the story of a run."""

from __future__ import annotations

import plotly.graph_objects as go

from grokinterp.errors import FitError
from grokinterp.figures.circuit_losses import plot_restricted_and_excluded_loss
from grokinterp.figures.curves import plot_accuracies, plot_losses
from grokinterp.trajectory.analysis import Analysis

_BEST_FIRST = (plot_restricted_and_excluded_loss, plot_losses, plot_accuracies)


def plot_story(analysis: Analysis) -> go.Figure:
    """Draw the figure that says most about a run; ``analysis.plot()`` calls this.

    With key frequencies these are the losses of the network, of its trigonometric circuit alone and
    of what is left without it (:func:`plot_restricted_and_excluded_loss`). Without, it is the
    train and test loss (:func:`plot_losses`); where no loss was recorded, the accuracies
    (:func:`plot_accuracies`). All three shade the phases and mark the memorization and the
    grokking step.

    Returns
    -------
    plotly.graph_objects.Figure
        Losses in nats, or accuracies, over steps in updates.

    Raises
    ------
    FitError
        If neither a loss nor an accuracy is known, with the reason.

    Examples
    --------
    >>> plot_story(analysis).layout.title.text
    'Restricted and excluded loss'
    """
    for plot in _BEST_FIRST[:-1]:
        try:
            return plot(analysis)
        except FitError:
            continue
    return _BEST_FIRST[-1](analysis)
