"""Print the figures of Nanda et al. 2023 beside those of a run, with a judgement for each row.

python docs/scripts/published_table.py NAME=RUN [NAME=RUN ...] > table.md

It is another network of the same kind, so the figures are not the same; what should agree, and
within which bounds, is written down in ROWS and decided by the numbers.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

import grokinterp as gi

LN_P = math.log(113)


@dataclass(frozen=True)
class Numbers:
    """The tables of a run's last checkpoint, and how to look things up in them."""

    circuit: pd.DataFrame
    ablations: pd.DataFrame

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


def _of(quantity: str) -> Callable[[Numbers], list[float]]:
    return lambda numbers: numbers.values(quantity)


def _ratio(limit: float) -> Callable[[Numbers, list[float]], bool]:
    return lambda numbers, values: values[0] <= limit * numbers.full


def _all(test: Callable[[float], bool]) -> Callable[[Numbers, list[float]], bool]:
    return lambda numbers, values: all(test(value) for value in values)


U, V = "u.MLP explained by the cosine of a+b", "v.MLP explained by the sine of a+b"
ROWS = (
    Row("loss, all pairs", "2.41e-7", lambda n: [n.full], "the same power of ten, give or take one",
        _all(lambda x: 2.41e-8 < x < 2.41e-6)),
    Row("neurons over 85 % in one key frequency", "84.6 %",
        _of("fraction of neurons in a key frequency"), "most neurons", _all(lambda x: x > 0.5)),
    Row("the same by key, in ascending order", "44, 93, 145, 87, 64",
        _of("neurons with over 85 % in one frequency"), "some for every key",
        _all(lambda x: x > 0)),
    Row("rank of W_L along the keys", "10 (5 keys)",
        _of("rank of W_L along the key frequencies"), "two for each key",
        _all(lambda x: x % 2 == 0)),
    Row("Frobenius norm of W_L outside these directions", "under .55 %",
        _of("norm of W_L outside them"), "under 1 %", _all(lambda x: x < 0.01)),
    Row("the same as power (squared norm)", "under .55 %, if that is what was meant",
        lambda n: [x**2 for x in n.values("norm of W_L outside them")], "under 1 %",
        _all(lambda x: x < 0.01)),
    Row("variance of u_k.MLP that cos w_k(a+b) explains", "93.2, 96.8, 97.0, 96.4, 97.4 %",
        _of(f"variance of {U}"), "over 90 % for every key", _all(lambda x: x > 0.9)),
    Row("variance of v_k.MLP that sin w_k(a+b) explains", "93.5, 96.5, 97.0, 96.4, 98.2 %",
        _of(f"variance of {V}"), "over 90 % for every key", _all(lambda x: x > 0.9)),
    Row("coefficients of these waves", "44 to 68 (in the orthonormal basis 5.9 to 9.0 logits)",
        lambda n: n.values("coefficient of the cosine in u.MLP")
        + n.values("coefficient of the sine in v.MLP"),
        "positive, and together as large: 30 to 60 logits over the keys",
        lambda n, x: min(x) > 0 and 30 < sum(x) / 2 < 60),
    Row("variance of the logits that the cosines of a+b-c explain", "95 %",
        _of("variance explained by the cosines of a+b-c"), "over 90 %", _all(lambda x: x > 0.9)),
    Row("loss, logits replaced by these cosines", "4.7e-8 (-80 %)",
        _of("loss, logits replaced by the cosines of a+b-c"), "lower than the network's",
        _ratio(1)),
    Row("loss, neurons replaced by their polynomials", "2.48e-7 (+3 %)",
        _of("loss, all neurons replaced by their polynomials"), "at most twice the network's",
        _ratio(2)),
    Row("loss, neurons projected on the directions of W_L", "1.19e-7 (-50 %)",
        _of("loss, neurons projected on these directions"), "at most twice the network's",
        _ratio(2)),
    Row("loss, neurons projected on what is orthogonal to them", "5.27",
        _of("loss, neurons projected on what is orthogonal to them"),
        f"at least that of guessing, ln 113 = {LN_P:.2f}", _all(lambda x: x >= LN_P)),
    Row("loss, logits kept in the 3 x 3 blocks", "7.24e-8 (-70 %)",
        _of("loss, logits kept only in the 3 x 3 blocks"), "lower than the network's", _ratio(1)),
    Row("loss, logits kept along cos, sin w_k(a+b)", "5.54e-8 (-77 %)",
        _of("loss, logits kept only along the waves of a+b"), "lower than the network's",
        _ratio(1)),
    Row("loss, one key removed at the neurons", "2.0e-4, 4.6e-4, 1.9e-3, 5.2e-3, 2.4e-2",
        lambda n: n.single_keys, "each at least a hundred times the network's",
        lambda n, x: min(x) > 100 * n.full),
    Row("loss, all keys removed", "6.5 to 11 (other seeds)",
        _of("loss, trigonometric circuit removed"), f"above that of guessing, {LN_P:.2f}",
        _all(lambda x: x > LN_P)),
    Row("loss, heads zeroed", "24.3",
        lambda n: [n.loss("attention", "removed from attention (zero)")],
        f"far above that of guessing, {LN_P:.2f}", _all(lambda x: x > 2 * LN_P)),
    Row("loss, path around attention zeroed", "19.1",
        lambda n: [n.loss("path_around_attention", "removed from residual stream (zero)")],
        f"far above that of guessing, {LN_P:.2f}", _all(lambda x: x > 2 * LN_P)),
    Row("loss, path around the MLP zeroed", "9.12e-7 (x 3.8)",
        lambda n: [n.loss("path_around_mlp", "removed from residual stream (zero)")],
        "at most ten times the network's", _ratio(10)),
    Row("loss, path around the MLP at its mean", "7.25e-7 (x 3.0)",
        lambda n: [n.loss("path_around_mlp", "removed from residual stream")],
        "at most ten times the network's", _ratio(10)),
    Row("attention of = to itself, by head", ".1 to .4 %", _of("mean attention of = to itself"),
        "under 1 %", _all(lambda x: x < 0.01)),
    Row("variance of a head's pattern, one frequency", "99.0, 98.5, 99.1, 97.9 %",
        _of("variance of the pattern explained by one frequency"), "over 90 % in every head",
        _all(lambda x: x > 0.9)),
    Row("loss, patterns linear in one frequency each", "2.12e-7 (-12 %)",
        _of("loss, all patterns linear in one frequency each"), "at most twice the network's",
        _ratio(2)),
    Row("variance of a head's pattern, all keys", "not published",
        _of("variance of the pattern explained by all key frequencies"), "over 90 % in every head",
        _all(lambda x: x > 0.9)),
    Row("loss, patterns linear in all keys", "not published",
        _of("loss, all patterns linear in all key frequencies"), "at most twice the network's",
        _ratio(2)),
    Row("neurons as a parabola of their input, r²", ".966 (ReLU on one wave)",
        _of("variance explained by a quadratic function of the pre-activation, median"),
        "over .9", _all(lambda x: x > 0.9)),
    Row("neurons as a line of their input, r²", ".849 (ReLU on one wave)",
        _of("variance explained by a linear function of the pre-activation, median"),
        "clearly less: under .9", _all(lambda x: x < 0.9)),
    Row("cos(2π 14 · 8 / 113)", ".998", lambda n: [math.cos(2 * math.pi * 14 * 8 / 113)],
        "arithmetic: the nearest wrong answer of a single frequency, the same for every key",
        _all(lambda x: round(x, 3) == 0.998)),
)  # fmt: skip


def _show(values: list[float], published: str) -> str:
    is_share = "%" in published.split("(")[0] or published == "not published"
    if is_share and max(values) > 1e-3:
        return ", ".join(f"{100 * value:.3g}" for value in values) + " %"
    texts = [f"{value:.2e}" if abs(value) < 1e-3 else f"{value:.3g}" for value in values]
    return ", ".join(texts).replace("e-0", "e-")


def numbers_of(path: str) -> Numbers:
    """Follow the circuit through the last checkpoint of a run."""
    snapshot = gi.take_snapshot(gi.load_run(path))
    keys = gi.find_key_frequencies(snapshot)
    at = ("logits", "neurons", "heads", "paths")
    return Numbers(gi.circuit_table(snapshot, keys), gi.ablation_table(snapshot, keys, at=at))


def main(runs: dict[str, str]) -> None:
    """Print the table as Markdown, two columns for each run."""
    numbers = {name: numbers_of(path) for name, path in runs.items()}
    columns = [column for name in runs for column in (name, "does it")]
    header = ["figure", "published", "what should agree", *columns]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for row in ROWS:
        cells = [row.what, row.published, row.should]
        for found in numbers.values():
            values = row.ours(found)
            cells += [
                _show(values, row.published),
                "yes" if row.agrees(found, values) else "**no**",
            ]
        lines.append("| " + " | ".join(cells) + " |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(dict(argument.split("=", 1) for argument in sys.argv[1:]))
