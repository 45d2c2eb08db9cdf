"""One pair and all candidate answers: ideal waves, the network's logits, and characters."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import plotly.graph_objects as go

from grokinterp.circuits import KeyFrequencies, Snapshot
from grokinterp.circuits.trigonometric import trigonometric_component
from grokinterp.errors import ConfigError
from grokinterp.figures.style import (
    MARK_COLOR,
    SPLIT_COLORS,
    TOP_BARE,
    decorate,
    key_color,
    key_dash,
    key_name,
)
from grokinterp.spectra import real_representations
from grokinterp.tasks import Task


def plot_waves(order: int, frequencies: Iterable[int], answer: int = 0) -> go.Figure:
    r"""Draw :math:`\cos w_k(x - c)` over all candidates c, and the mean of these waves.

    Parameters
    ----------
    order
        Number n of residues; :math:`w_k = 2\pi k / n`.
    frequencies
        In 1 .. n // 2.
    answer
        The residue x at which every wave is 1.

    Returns
    -------
    plotly.graph_objects.Figure
        A line for each frequency, and their mean. Waves of several frequencies agree at the answer
        and cancel elsewhere: constructive interference (Nanda et al. 2023, arXiv:2301.05217).

    Raises
    ------
    ConfigError
        If a frequency or the answer is out of range, or there is no frequency.

    Examples
    --------
    >>> figure = plot_waves(23, [1, 4, 9], answer=7)
    >>> int(np.argmax(figure.data[-1].y))
    7
    """
    chosen = sorted(set(frequencies))
    if not chosen or not all(1 <= k <= order // 2 for k in chosen):
        raise ConfigError(f"frequencies={chosen} must be some of 1 .. {order // 2} for n={order}.")
    if not 0 <= answer < order:
        raise ConfigError(f"answer={answer} must be a residue, 0 .. {order - 1}.")
    candidates = np.arange(order)
    waves = {key_name(k): np.cos(2 * np.pi * k * (answer - candidates) / order) for k in chosen}
    mean = np.mean(list(waves.values()), axis=0)
    figure = _curves(waves, {"mean of all": mean}, answer)
    decorate(figure, f"Waves that agree at {answer} modulo {order}", above=TOP_BARE)
    figure.update_yaxes(title_text="score")
    return figure


def plot_pair_logits(
    snapshot: Snapshot, key_frequencies: KeyFrequencies, a: int, b: int
) -> go.Figure:
    """What each key frequency adds to the logits of one pair, and the logits themselves.

    Parameters
    ----------
    snapshot
        Of a task with a group view.
    key_frequencies
        Or key representations; without any, only the network's logits are drawn.
    a, b
        The pair, as tokens.

    Returns
    -------
    plotly.graph_objects.Figure
        Logits over candidate answers, less their mean: a thin line for each key frequency, the sum
        of these, and what the network computes. The dashed line is the right answer.

    Raises
    ------
    ConfigError
        If the task has no group view, or the view does not have this pair.

    Examples
    --------
    >>> figure = plot_pair_logits(snapshot, keys, 3, 5)
    >>> [trace.name for trace in figure.data][-2:]
    ['sum of these', 'network']
    """
    view = snapshot.task.group_view
    if view is None:
        raise ConfigError(f"{snapshot.task.spec.in_words} has no group view, so it has no waves.")
    pairs = np.asarray(snapshot.task.pairs)[view.pair_rows]
    rows = np.flatnonzero((pairs[:, 0] == a) & (pairs[:, 1] == b))
    if not len(rows):
        raise ConfigError(f"a={a}, b={b} is no pair of {snapshot.task.spec.in_words} with a wave.")
    task_row = int(view.pair_rows[rows[0]])
    product = int(view.products.reshape(-1)[rows[0]])
    parts = {}
    for key, name in zip(key_frequencies.frequencies, key_frequencies.labels, strict=True):
        component = trigonometric_component(snapshot, [key])[product].numpy()
        parts[key_name(key) if name.isdigit() else name] = component - component.mean()
    logits = snapshot.logits[task_row].double().numpy()
    ends = {"sum of these": np.sum(list(parts.values()), axis=0)} if parts else {}
    ends["network"] = logits - logits.mean()
    answer = int(snapshot.task.labels[task_row])
    figure = _curves(parts, ends, answer)
    title = f"Logits of ({a}, {b}), step {snapshot.step:,}"
    decorate(figure, title, above=TOP_BARE)
    figure.update_yaxes(title_text="logit less its mean (logits)")
    return figure


def plot_characters(task: Task, names: Iterable[str], a: int, b: int) -> go.Figure:
    r"""Characters :math:`\chi_\rho(abc^{-1})` over all candidates c, for one pair.

    Parameters
    ----------
    task
        On a group that is not cyclic.
    names
        Of its real irreducible representations, as in ``by_representation.csv``.
    a, b
        The pair, as elements of the group.

    Returns
    -------
    plotly.graph_objects.Figure
        A bar for each representation and candidate. A faithful character has its maximum, the
        dimension, at c = ab alone (Chughtai et al. 2023, arXiv:2302.03025).

    Raises
    ------
    ConfigError
        If the task is not on such a group, or a name is not one of its representations.

    Examples
    --------
    >>> spec = gi.TaskSpec(operation="permutation_composition", degree=4)
    >>> figure = plot_characters(gi.Task(spec), ["standard"], 7, 9)
    >>> int(np.argmax(figure.data[0].y)) == int(gi.Task(spec).group_view.products[7, 9])
    True
    """
    view = task.group_view
    if view is None or view.group is None:
        raise ConfigError(
            f"{task.spec.in_words} is on no group with characters; draw its waves with plot_waves."
        )
    known = {r.name: r.character.numpy() for r in real_representations(view.group)}
    n = view.order
    if not (0 <= a < n and 0 <= b < n):
        raise ConfigError(f"a={a}, b={b} must be elements of the group, 0 .. {n - 1}.")
    answer = int(view.products[a, b])
    figure = go.Figure()
    for index, name in enumerate(names):
        if name not in known:
            raise ConfigError(
                f"{name!r} is no representation of this group; it has {', '.join(known)}."
            )
        values = known[name][view.products[answer, view.inverses]]
        figure.add_trace(go.Bar(y=values, name=name, marker_color=key_color(index)))
    decorate(figure, f"Characters for the answers c of ({a}, {b})", above=TOP_BARE)
    figure.update_layout(barmode="group")
    figure.update_xaxes(title_text=f"c (the answer is {answer})")
    figure.update_yaxes(title_text="character")
    return figure


def _curves(thin: dict[str, np.ndarray], thick: dict[str, np.ndarray], answer: int) -> go.Figure:
    """Lines over the candidates, with the right answer marked."""
    figure = go.Figure()
    for index, (name, values) in enumerate(thin.items()):
        line = {"color": key_color(index), "dash": key_dash(index), "width": 1.4}
        figure.add_trace(go.Scatter(y=values, name=name, mode="lines", line=line))
    colors = [SPLIT_COLORS["train"], SPLIT_COLORS["test"]]
    for color, (name, values) in zip(colors, thick.items(), strict=False):
        line = {"color": color, "width": 2.6}
        figure.add_trace(go.Scatter(y=values, name=name, mode="lines", line=line))
    mark = {"color": MARK_COLOR, "dash": "dash", "width": 1.3}
    figure.add_vline(x=answer, line=mark, annotation_text=f"answer {answer}")
    figure.update_xaxes(title_text="candidate answer c")
    return figure
