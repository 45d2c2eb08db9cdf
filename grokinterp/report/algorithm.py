"""Which algorithm: the verdict, its reason and every piece of evidence."""

from __future__ import annotations

import math

from grokinterp import figures
from grokinterp.bibliography import mention
from grokinterp.circuits.algorithm import (
    CIRCLE_FORMULAS,
    CLOCK_IRRELEVANCE,
    CLOCK_SYMMETRICITY,
    PIZZA_IRRELEVANCE,
    PIZZA_SYMMETRICITY,
    Algorithm,
)
from grokinterp.circuits.circles import MIN_CIRCULARITY
from grokinterp.circuits.gradients import GradientSymmetricity
from grokinterp.circuits.logit_formulas import Formula
from grokinterp.errors import FitError
from grokinterp.report.page import Section, figure_block, paragraph
from grokinterp.report.text import escape, link_papers, show_percent, show_value, table
from grokinterp.trajectory.analysis import Analysis

_MOST_CIRCLES = 8
"""Circles that have a column each."""
_ZHONG = mention("zhong2023clock")
_PRODUCT = "|cos(w<sub>k</sub>(a−b)/2)| cos w<sub>k</sub>(a+b−c)"
_NO_LINE = f"no part of the rule; circular from {MIN_CIRCULARITY:g} on"
_LINES = {
    "gradient_symmetricity": (
        f"below {CLOCK_SYMMETRICITY:g}",
        f"above {PIZZA_SYMMETRICITY:g}",
        f"{_ZHONG}; the clock's line is grokinterp's",
    ),
    "distance_irrelevance": (
        f"above {CLOCK_IRRELEVANCE:g}",
        f"below {PIZZA_IRRELEVANCE:g}",
        _ZHONG,
    ),
    "circularity": (_NO_LINE, _NO_LINE, _ZHONG),
}
_FORMULAS: dict[Formula, tuple[str, str]] = {
    "clock": ("clock, cos w<sub>k</sub>(a+b−c)", _ZHONG),
    "pizza_product": (f"pizza, {_PRODUCT}", _ZHONG),
    "pizza_absolute": (
        "pizza from absolute values, |cos(w<sub>k</sub>(a−b)/2)| "
        "(|cos(w<sub>k</sub>(a+b−c)/2)| − |sin(w<sub>k</sub>(a+b−c)/2)|)",
        "the authors' notebook",
    ),
    "accompanying": (
        "accompanying circle, −cos w<sub>k</sub>(a−b) cos w<sub>k</sub>(a+b−c)",
        _ZHONG,
    ),
    "pizza_accompanied": ("pizza and accompanying circle, two amplitudes", _ZHONG),
}


def algorithm_section(analysis: Analysis) -> Section:
    """The verdict with its evidence; without one, the reason and what the logits show."""
    algorithm = analysis.algorithm
    reason = algorithm.reason
    if algorithm.verdict == "none":
        because = f" Reason: {escape(reason)}." if reason else ""
        blocks = [paragraph(f"There is no verdict on the algorithm.{because}", kind="note")]
    else:
        sentence = f"Verdict: <strong>{escape(algorithm.verdict)}</strong>."
        if reason:
            sentence += f" At the last checkpoint, {escape(reason)}."
        blocks = [paragraph(sentence)]
    evidence, formulas = _evidence(algorithm), _formulas(algorithm)
    try:
        figure = figures.plot_correct_logits(analysis)
    except FitError:
        # The verdict stands without its map, as in an analysis whose algorithm was replaced.
        pass
    else:
        caption = (
            "A pizza shows vertical stripes, since its correct logit depends on a − b and vanishes "
            "for antipodal pairs. An ideal clock shows none. For operations other than addition, a "
            "and b are the indices of the cyclic view."
        )
        evidence.append(figure_block("figure-correct-logits", figure, caption))
    return Section("algorithm", "Which algorithm", (*blocks, *evidence, *formulas))


def _evidence(algorithm: Algorithm) -> list[str]:
    rows = []
    for name, (clock, pizza, source) in _LINES.items():
        found = getattr(algorithm, name)
        if found is not None:
            label = escape(name.replace("_", " "))
            value = _with_error(found)
            rows.append((label, value, escape(clock), escape(pizza), link_papers(source)))
    circles = list((algorithm.variance_explained_by_circle or {}).values())
    if circles:
        clock, pizza = (
            show_percent(sum(circle[name] for circle in circles) / len(circles))
            for name in CIRCLE_FORMULAS
        )
        label, source = "explained of a circle alone, mean", f"formulas of {link_papers(_ZHONG)}"
        value = f"clock {clock}, pizza {pizza}"
        rows.append((label, value, "more by the clock", "more by the pizza", source))
    if not rows:
        return []
    header = ("evidence", "value", "a clock shows", "a pizza shows", "source")
    return [table(header, rows, caption="Evidence at the last checkpoint")]


def _with_error(found: float | GradientSymmetricity) -> str:
    if not isinstance(found, GradientSymmetricity):
        return show_value(found)
    if not found.standard_error > 0:
        return show_value(found.mean)
    return f"{show_value(found.mean)} ± {show_value(float(f'{found.standard_error:.2g}'))}"


def _of_circles(explained: list[float]) -> list[str]:
    """What a formula explains of each circle; of many their range and their mean."""
    if len(explained) > _MOST_CIRCLES:
        explained = [min(explained), sum(explained) / len(explained), max(explained)]
    return [show_percent(value) for value in explained]


def _formulas(algorithm: Algorithm) -> list[str]:
    whole = algorithm.variance_explained
    if not whole:
        return []
    circles = algorithm.variance_explained_by_circle or {}
    columns = [f"circle {k} alone" for k in circles]
    if len(circles) > _MOST_CIRCLES:
        columns = [
            f"{which} of {len(circles)} circles alone" for which in ("least", "mean", "most")
        ]
    rows = [
        (
            words,
            show_percent(whole.get(name)),
            *_of_circles([circle.get(name, math.nan) for circle in circles.values()]),
            link_papers(source),
        )
        for name, (words, source) in _FORMULAS.items()
    ]
    header = ("formula", "whole logits", *columns, "source")
    caption = "Variance of the logits that each formula explains"
    shown = [table(header, rows, caption=caption)]
    if circles:
        shown.append(
            paragraph(
                "The rule compares the first two formulas on the circles alone. The whole logits "
                "would mislead: the clock's formula also explains those of a pizza with "
                "accompanying circles."
            )
        )
    return shown
