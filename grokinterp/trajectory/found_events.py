"""The events of an analysis, by a rule of one's own."""

from __future__ import annotations

from grokinterp.fields import checked
from grokinterp.trajectory.analysis import Analysis
from grokinterp.trajectory.events import Event
from grokinterp.trajectory.frequency_events import LifeRule
from grokinterp.trajectory.life import events_of


def find_events(analysis: Analysis, rule: LifeRule | None = None) -> tuple[Event, ...]:
    """Find what happened to a network along its run.

    ``birth``, ``death``, ``swap``
        A frequency (in other groups a representation) rises among those that hold the power of the
        logits, falls out of them, or does one while another does the other.
    ``second_circuit``
        After the network generalizes, most of the power moves to frequencies that its first circuit
        did not have.
    ``collapse``
        The test accuracy is lost after it was reached, for good or for a while.
    ``slingshot``, ``spike``
        The training loss, already low, shoots up and comes back; at the same time the norm of the
        unembedding rises and then rests, or does not
        (:mod:`grokinterp.trajectory.slingshots`).

    An excursion that takes less than half of ``analysis.thresholds.patience`` is no birth, death,
    second circuit or collapse. Steps are as coarse as checkpoints are spaced.

    Parameters
    ----------
    analysis
        Its tables by frequency and of measures, and the curves of its run.
    rule
        When a frequency is there and when it is gone; None for the rule of ``analysis.events``.

    Returns
    -------
    tuple[Event, ...]
        In order of steps. Empty where nothing was found, where there are fewer than 5 checkpoints,
        or where the reading of the run is in doubt; ``analysis.reasons["events"]`` says which.

    Raises
    ------
    ConfigError
        If an argument is of the wrong type.

    References
    ----------
    Thilak et al., "The slingshot mechanism", arXiv:2206.04817, describe the slingshot. The other
    rules are ours.

    Examples
    --------
    >>> [(event.kind, event.frequencies) for event in gi.find_events(analysis)]
    [('birth', (2,)), ('birth', (3,))]
    >>> print(analysis.events[0].sentence)
    Frequency 2 is born at step ... While it is there, it holds ... of the power of the logits, ...
    """
    checked("analysis", analysis, Analysis, "Make it of a run: gi.analyze_run(run).")
    checked("rule", rule, LifeRule | None, "Make one: gi.LifeRule(over_rest=4.0).")
    return events_of(analysis.story(rule))
