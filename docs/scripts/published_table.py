"""Write the figures of Nanda et al. 2023 beside those of runs into docs/published_vs_ours.md.

python docs/scripts/published_table.py measure NAME=RUN[@STEP] [NAME=RUN[@STEP] ...]
python docs/scripts/published_table.py write
python docs/scripts/published_table.py steps RUN STEP [STEP ...]

``measure`` follows the circuit through the last checkpoint of a run, or that of STEP, and keeps
what comes out under the name in docs/published_cells.json, a new name as its first. ``write`` makes
the table of the page from that file: a column for each name, with a judgement for each row.
``steps`` prints the rows that still move late in training, a column for each step.

What should agree, and within which bounds, is written down in ROWS and decided by the numbers. The
bounds are those for any network of this kind, except where only the same seed can give the same.
The figures of the first name are also given as multiples of the published ones.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import grokinterp as gi

LN_P = math.log(113)
DOCS = Path(__file__).resolve().parents[1]
PAGE = DOCS / "published_vs_ours.md"
CELLS = DOCS / "published_cells.json"
BEGIN, END = "<!-- table of figures: begin -->", "<!-- table of figures: end -->"
Cells = dict[str, dict[str, Any]]
"""What a run has in each row."""


@dataclass(frozen=True)
class Numbers:
    """The tables of a run's last checkpoint, and how to look things up in them."""

    circuit: pd.DataFrame
    ablations: pd.DataFrame
    keys: tuple[int, ...]
    squares: float
    """Sum of the squares of all weights."""

    def values(self, quantity: str) -> list[float]:
        """Return every row of circuit.csv of that name."""
        rows = self.circuit[self.circuit["quantity"] == quantity]
        if rows.empty:
            raise KeyError(quantity)
        return rows["value"].tolist()

    def value(self, quantity: str) -> float:
        """Return the one row of that name."""
        (value,) = self.values(quantity)
        return value

    def frequencies(self, quantity: str) -> list[float]:
        """Return the frequency of every row of that name."""
        return self.circuit[self.circuit["quantity"] == quantity]["frequency"].tolist()

    def loss(self, component: str, intervention: str) -> float:
        """Loss over all pairs of a row of ablations.csv."""
        table = self.ablations.set_index(["component", "intervention"])
        return float(table.loc[(component, intervention), "loss_all"])

    @property
    def full(self) -> float:
        """Loss of the whole network over all pairs."""
        return self.value("loss, nothing replaced")

    @property
    def single_keys(self) -> list[float]:
        """Loss over all pairs without each key frequency at the neurons."""
        is_key = self.ablations["component"].str.startswith("frequency_")
        is_here = self.ablations["intervention"] == "removed from neurons"
        return self.ablations[is_key & is_here]["loss_all"].tolist()


@dataclass(frozen=True)
class Row:
    """One published figure."""

    what: str
    published: str
    ours: Callable[[Numbers], list[float]]
    should: str
    agrees: Callable[[Numbers, list[float]], bool]
    figures: tuple[float, ...] = ()
    """The published figures as numbers, in the order of ours."""


def _of(quantity: str) -> Callable[[Numbers], list[float]]:
    return lambda numbers: numbers.values(quantity)


def _ratio(limit: float) -> Callable[[Numbers, list[float]], bool]:
    return lambda numbers, values: values[0] <= limit * numbers.full


def _all(test: Callable[[float], bool]) -> Callable[[Numbers, list[float]], bool]:
    return lambda numbers, values: all(test(value) for value in values)


def _within(part: float, published: tuple[float, ...]) -> Callable[[Numbers, list[float]], bool]:
    def is_within(numbers: Numbers, values: list[float]) -> bool:
        pairs = zip(values, published, strict=False)
        return len(values) == len(published) and all(abs(a / b - 1) <= part for a, b in pairs)

    return is_within


_SAME = "those, from the same seed"
U, V = "u.MLP explained by the cosine of a+b", "v.MLP explained by the sine of a+b"
ROWS = (
    Row("key frequencies", "14, 35, 41, 42, 52", lambda n: list(n.keys), _SAME,
        lambda n, x: x == [14, 35, 41, 42, 52]),
    Row("loss, all pairs", "2.41e-7", lambda n: [n.full], "the same power of ten, give or take one",
        _all(lambda x: 2.41e-8 < x < 2.41e-6),
        (2.41e-7,)),
    Row("neurons over 85 % in one key frequency", "84.6 %",
        _of("fraction of neurons in a key frequency"), "most neurons", _all(lambda x: x > 0.5),
        (0.846,)),
    Row("the same by key, in ascending order", "44, 93, 145, 87, 64",
        _of("neurons with over 85 % in one frequency"), f"{_SAME}, within a tenth",
        _within(0.1, (44, 93, 145, 87, 64)),
        (44, 93, 145, 87, 64)),
    Row("neurons in none of them", "79",
        lambda n: [512 - sum(n.values("neurons with over 85 % in one frequency"))],
        f"{_SAME}, within a tenth", _within(0.1, (79,)), (79,)),
    Row("strongest frequency in W_E that is not key", "31",
        lambda n: n.frequencies("norm in W_E of the strongest other frequency"),
        _SAME, lambda n, x: x == [31]),
    Row("rank of W_L along the keys", "10 (5 keys)",
        _of("rank of W_L along the key frequencies"), "two for each key",
        _all(lambda x: x % 2 == 0),
        (10,)),
    Row("Frobenius norm of W_L outside these directions", "under 0.55 %",
        _of("norm of W_L outside them"), "under 1 %", _all(lambda x: x < 0.01),
        (0.0055,)),
    Row("the same as power (squared norm)", "under 0.55 %, if that is what was meant",
        lambda n: [x**2 for x in n.values("norm of W_L outside them")], "under 1 %",
        _all(lambda x: x < 0.01),
        (0.0055,)),
    Row("variance of u_k.MLP that cos w_k(a+b) explains", "93.2, 96.8, 97.0, 96.4, 97.4 %",
        _of(f"variance of {U}"), "over 90 % for every key", _all(lambda x: x > 0.9),
        (0.932, 0.968, 0.970, 0.964, 0.974)),
    Row("variance of v_k.MLP that sin w_k(a+b) explains", "93.5, 96.5, 97.0, 96.4, 98.2 %",
        _of(f"variance of {V}"), "over 90 % for every key", _all(lambda x: x > 0.9),
        (0.935, 0.965, 0.970, 0.964, 0.982)),
    Row("coefficients of these waves", "44 to 68 (in the orthonormal basis 5.9 to 9.0 logits)",
        lambda n: n.values("coefficient of the cosine in u.MLP")
        + n.values("coefficient of the sine in v.MLP"),
        "positive, and together as large: 30 to 60 logits over the keys",
        lambda n, x: min(x) > 0 and 30 < sum(x) / 2 < 60),
    Row("variance of the logits that the cosines of a+b-c explain", "95 %",
        _of("variance explained by the cosines of a+b-c"), "over 90 %", _all(lambda x: x > 0.9),
        (0.95,)),
    Row("loss, logits replaced by these cosines", "4.7e-8 (-80 %)",
        _of("loss, logits replaced by the cosines of a+b-c"), "lower than the network's",
        _ratio(1),
        (4.7e-8,)),
    Row("loss, neurons replaced by their polynomials", "2.48e-7 (+3 %)",
        _of("loss, all neurons replaced by their polynomials"), "at most twice the network's",
        _ratio(2),
        (2.48e-7,)),
    Row("loss, neurons projected on the directions of W_L", "1.19e-7 (-50 %)",
        _of("loss, neurons projected on these directions"), "at most twice the network's",
        _ratio(2),
        (1.19e-7,)),
    Row("loss, neurons projected on what is orthogonal to them", "5.27",
        _of("loss, neurons projected on what is orthogonal to them"),
        f"at least that of guessing, ln 113 = {LN_P:.2f}", _all(lambda x: x >= LN_P),
        (5.27,)),
    Row("loss, logits kept in the 3 x 3 blocks", "7.24e-8 (-70 %)",
        _of("loss, logits kept only in the 3 x 3 blocks"), "lower than the network's", _ratio(1),
        (7.24e-8,)),
    Row("loss, logits kept along cos, sin w_k(a+b)", "5.54e-8 (-77 %)",
        _of("loss, logits kept only along the waves of a+b"), "lower than the network's",
        _ratio(1),
        (5.54e-8,)),
    Row("loss, one key removed at the neurons", "2.0e-4, 4.6e-4, 1.9e-3, 5.2e-3, 2.4e-2",
        lambda n: n.single_keys, "each at least a hundred times the network's",
        lambda n, x: min(x) > 100 * n.full,
        (2.0e-4, 4.6e-4, 1.9e-3, 5.2e-3, 2.4e-2)),
    Row("loss, all keys removed", "6.5 to 11 (other seeds)",
        _of("loss, trigonometric circuit removed"), f"above that of guessing, {LN_P:.2f}",
        _all(lambda x: x > LN_P)),
    Row("loss, heads zeroed", "24.3",
        lambda n: [n.loss("attention", "removed from attention (zero)")],
        f"far above that of guessing, {LN_P:.2f}", _all(lambda x: x > 2 * LN_P),
        (24.3,)),
    Row("loss, path around attention zeroed", "19.1",
        lambda n: [n.loss("path_around_attention", "removed from residual stream (zero)")],
        f"far above that of guessing, {LN_P:.2f}", _all(lambda x: x > 2 * LN_P),
        (19.1,)),
    Row("loss, path around the MLP zeroed", "9.12e-7 (x 3.8)",
        lambda n: [n.loss("path_around_mlp", "removed from residual stream (zero)")],
        "at most ten times the network's", _ratio(10),
        (9.12e-7,)),
    Row("loss, path around the MLP at its mean", "7.25e-7 (x 3.0)",
        lambda n: [n.loss("path_around_mlp", "removed from residual stream")],
        "at most ten times the network's", _ratio(10),
        (7.25e-7,)),
    Row("attention of = to itself, by head", "0.1 to 0.4 %", _of("mean attention of = to itself"),
        "under 1 %", _all(lambda x: x < 0.01)),
    Row("that frequency, by head", "35, 42, 52, 42",
        lambda n: n.frequencies("variance of the pattern explained by one frequency"),
        _SAME, lambda n, x: x == [35, 42, 52, 42]),
    Row("variance of a head's pattern, one frequency", "99.0, 98.5, 99.1, 97.9 %",
        _of("variance of the pattern explained by one frequency"), "over 90 % in every head",
        _all(lambda x: x > 0.9),
        (0.9903, 0.9849, 0.9907, 0.9791)),
    Row("loss, patterns linear in one frequency each", "2.12e-7 (-12 %)",
        _of("loss, all patterns linear in one frequency each"), "at most twice the network's",
        _ratio(2),
        (2.12e-7,)),
    Row("variance of a head's pattern, all keys", "not published",
        _of("variance of the pattern explained by all key frequencies"), "over 90 % in every head",
        _all(lambda x: x > 0.9)),
    Row("loss, patterns linear in all keys", "not published",
        _of("loss, all patterns linear in all key frequencies"), "at most twice the network's",
        _ratio(2)),
    Row("neurons as a parabola of their input, r²", "0.966 (ReLU on one wave)",
        _of("variance explained by a quadratic function of the pre-activation, median"),
        "over 0.9", _all(lambda x: x > 0.9),
        (0.966,)),
    Row("neurons as a line of their input, r²", "0.849 (ReLU on one wave)",
        _of("variance explained by a linear function of the pre-activation, median"),
        "clearly less: under 0.9", _all(lambda x: x < 0.9),
        (0.849,)),
    Row("sum of squared weights", "955 (read off a curve, up to step 43,000)",
        lambda n: [n.squares], f"{_SAME}, within a tenth", _within(0.1, (955,)), (955,)),
    Row("cos(2π 14 · 8 / 113)", "0.998", lambda n: [math.cos(2 * math.pi * 14 * 8 / 113)],
        "arithmetic: the nearest wrong answer of a single frequency, the same for every key",
        _all(lambda x: round(x, 3) == 0.998)),

)  # fmt: skip


def _show(values: list[float], published: str) -> str:
    is_share = "%" in published.split("(")[0] or published == "not published"
    if is_share and max(values) > 1e-3:
        return ", ".join(f"{100 * value:.3g}" for value in values) + " %"
    return ", ".join(_number(value) for value in values)


def _number(value: float) -> str:
    if value == int(value):
        return f"{int(value):,}"
    text = f"{value:.2e}" if abs(value) < 1e-3 else f"{value:.3g}"
    return text.replace("e-0", "e-")


def _multiples(row: Row, values: list[float]) -> str:
    if len(values) != len(row.figures):
        return ""
    ratios = (f"{a / b:.3g}" for a, b in zip(values, row.figures, strict=True))
    return ", ".join(ratios).replace("e+0", "e")


def numbers_of(path: str) -> Numbers:
    """Follow the circuit through a checkpoint of a run, the last if none is named."""
    folder, _, step = path.partition("@")
    snapshot = gi.take_snapshot(gi.load_run(folder), int(step) if step else None)
    keys = gi.find_key_frequencies(snapshot)
    at = ("logits", "neurons", "heads", "paths")
    return Numbers(
        gi.circuit_table(snapshot, keys),
        gi.ablation_table(snapshot, keys, at=at),
        keys.frequencies,
        sum(float((weight.double() ** 2).sum()) for weight in snapshot.parameters.values()),
    )


def cells_of(numbers: Numbers) -> Cells:
    """Cells of a run by row: as text, in multiples of the published, and whether it agrees."""
    cells = {}
    for row in ROWS:
        values = row.ours(numbers)
        cells[row.what] = {
            "shown": _show(values, row.published),
            "multiple": _multiples(row, values),
            "agrees": row.agrees(numbers, values),
        }
    return cells


def table(runs: dict[str, Cells]) -> str:
    """Markdown of the table: cells of the first run, of the others, and the judgements."""
    first, *others = runs
    header = ["figure", "published", first, "times the published", *others, "what should agree"]
    header += [f"does it: {name}" for name in runs]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for row in ROWS:
        here = {name: cells.get(row.what, {}) for name, cells in runs.items()}
        line = [row.what, row.published, here[first]["shown"], here[first]["multiple"]]
        line += [here[name].get("shown", "not kept") for name in others]
        line.append(row.should)
        line += [_VERDICTS[here[name].get("agrees")] for name in runs]
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines)


_VERDICTS = {True: "yes", False: "**no**", None: ""}


def with_table(page: str, runs: dict[str, Cells]) -> str:
    """Return the page with its table made anew.

    Raises
    ------
    ValueError
        If the page has no place for it.
    """
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{table(runs)}\n\n{END}{after}"


def steps_table(run: str, steps: tuple[str, ...]) -> str:
    """Markdown of the rows that still move late in training, a column for each step."""
    cells = [cells_of(numbers_of(f"{run}@{step}")) for step in steps]
    lines = [["figure", *(f"{int(step):,}" for step in steps), "published"]]
    lines.append(["---"] * len(lines[0]))
    for row in ROWS:
        if row.what in MOVING:
            lines.append([row.what, *(one[row.what]["shown"] for one in cells), row.published])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


MOVING = (
    "loss, all pairs",
    "the same by key, in ascending order",
    "Frobenius norm of W_L outside these directions",
    "loss, neurons projected on what is orthogonal to them",
    "loss, heads zeroed",
    "loss, path around attention zeroed",
    "that frequency, by head",
    "variance of a head's pattern, one frequency",
    "loss, patterns linear in one frequency each",
)


def main(what: str, *named: str) -> None:
    """Measure runs, write the page, or print a run at several steps."""
    if what == "steps":
        sys.stdout.write(steps_table(named[0], named[1:]))
        return
    runs = json.loads(CELLS.read_text(encoding="utf-8"))
    for name, path in (one.split("=", 1) for one in named if what == "measure"):
        runs = {name: {}} | runs
        runs[name] = cells_of(numbers_of(path))
        CELLS.write_text(json.dumps(runs, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), runs), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
