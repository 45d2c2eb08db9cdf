"""The page "which measure works on which network": it is up to date, and it is true."""

import dataclasses
import re

import numpy as np
import pytest

from grokinterp import figures
from grokinterp.circuits.key_frequencies import SINGLE_FREQUENCY_SHARE
from grokinterp.errors import FitError
from grokinterp.figures.drawn import FIELDS_OF_FIGURES, why_never_drawn
from grokinterp.measures import MEASURES
from grokinterp.models import ModelSpec
from grokinterp.trajectory.analysis import analyze_run
from tests.kinds import KEYS, KINDS, of_initial_weights
from tests.test_docs import script


@pytest.fixture(scope="module")
def table():
    return script("parts_table")


@pytest.fixture(scope="module")
def runs():
    return {name: make() for name, make in KINDS.items()}


@pytest.fixture(scope="module")
def marks(table):
    """Cells of the page by kind of network, then by the first column."""
    found, kinds = {name: {} for name in KINDS}, []
    for line in table.PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if cells[1:] == list(KINDS):
            kinds = cells[1:]
        elif line.startswith("|") and len(cells) == 1 + len(kinds) and not line.startswith("|-"):
            for kind, cell in zip(kinds, cells[1:], strict=True):
                heading = cells[0].replace("`", "")
                found[kind][heading] = cell
    return found


@pytest.fixture(scope="module", params=KINDS)
def kind(request, runs, marks):
    run = runs[request.param]
    return marks[request.param], analyze_run(run, key_frequencies=KEYS)


def is_solved(analysis):
    return analysis.final["accuracy_all"] > 0.95


def can_be_drawn(name, analysis):
    """Whether this task and this network, whatever its parts, have something to draw."""
    if name == "neuron-phases" and len(analysis.neurons):
        return bool((analysis.neurons["fraction_sum_explained"] > SINGLE_FREQUENCY_SHARE).any())
    of_groups = ("representations", "coset-neurons")
    return name not in of_groups and (name != "correct-logits" or is_solved(analysis))


def missing_part(cell):
    """The part that a cell says is missing."""
    return cell.removeprefix("no: ").removeprefix("in part ").strip("(`)")


def test_the_page_is_what_the_catalogues_and_the_kinds_make_of_it(table, runs):
    missing = {name: run.missing_parts for name, run in runs.items()}
    written = table.PAGE.read_text(encoding="utf-8")
    assert written == table.page(missing), "run docs/scripts/parts_table.py write"
    other = {**missing, "transformer": missing["logits alone"]}
    assert written != table.page(other)


def test_the_columns_that_are_marked_come_out_finite_and_no_others(kind):
    marks, analysis = kind
    task, keys, checked = analysis.run.task, analysis.key_frequencies, 0
    for measure in MEASURES:
        if not measure.applies_to(task, keys):
            continue
        cell, there = marks[measure.name], []
        for column in measure.columns:
            # Matrices of one measure that a network has not are empty beside the others.
            there.append(bool(np.isfinite(analysis.trajectory.get(column, np.nan)).all()))
            if not there[-1]:
                reason = analysis.run.missing_parts[missing_part(cell)]
                assert analysis.reasons[f"final.{column}"] == reason
        mark = "yes" if all(there) else "in part" if any(there) else "no"
        assert cell.startswith(mark), measure.name
        assert mark == "in part" or (measure.columns[0] in analysis.trajectory) == all(there)
        checked += 1
    assert checked == len(MEASURES) - 2, "all but those of permutations and of subgroups"


def rows_of(analysis):
    """Names of all that the tables hold, as the page has them."""
    rows = {f"by_frequency.csv: {column}" for column in analysis.by_frequency}
    rows |= {f"evidence: {column}" for column in analysis.key_frequencies.evidence}
    if len(analysis.neurons):
        rows |= {"neurons.csv", *(f"neurons.csv: {column}" for column in analysis.neurons)}
    rows |= {f"circuit.csv: {stage}" for stage in analysis.circuit["stage"]}
    rows |= {f"two_dimensional_modes.csv: {part}" for part in set(analysis.mode_families["part"])}
    places = analysis.ablations["intervention"].str.extract(r"^(?:removed from|kept in) ([\w ]+)")
    words = {"attention": "heads", "residual stream": "paths"}
    at = {place.strip() for place in places[0].dropna()}
    return rows | {f"ablations.csv: {words.get(place, place)}" for place in at}


def test_the_tables_have_the_columns_stages_and_places_that_are_marked(kind):
    marks, analysis = kind
    there, checked = rows_of(analysis), 0
    for name, cell in marks.items():
        if ".csv" not in name and not name.startswith("evidence"):
            continue
        assert (name in there) == (cell == "yes"), name
        if cell != "yes":
            field = name.replace(".csv", "").replace(": ", ".")
            reason = analysis.run.missing_parts[missing_part(cell)]
            # Of a table that is absent as a whole one reason is enough.
            table = field.partition(".")[0]
            assert reason in (analysis.reasons.get(field), analysis.reasons.get(table)), field
        checked += 1
    assert checked >= 25


def test_the_figures_that_are_marked_are_drawn_and_no_others(kind):
    marks, analysis = kind
    drawn = set(figures.all_figures(analysis))
    for name in figures.FIGURES:
        if not can_be_drawn(name, analysis):
            assert name not in drawn
            continue
        assert (name in drawn) == (not marks[name].startswith("no")), name
        if name not in drawn:
            reason = analysis.run.missing_parts[missing_part(marks[name])]
            with pytest.raises(FitError, match=re.escape(reason)):
                figures.FIGURES[name](analysis)


def test_there_is_a_verdict_on_the_algorithm_where_one_is_marked(kind):
    marks, analysis = kind
    has_verdict = analysis.algorithm.verdict != "none"
    assert has_verdict == (marks["algorithm"] == "yes" and is_solved(analysis))


def test_every_figure_says_what_it_draws_and_every_part_takes_something_away():
    assert set(FIELDS_OF_FIGURES) == set(figures.FIGURES)
    assert why_never_drawn("neurons", {"neurons": "no neurons"}) == "no neurons"
    assert why_never_drawn("neurons", {"operands": "no operands"}) is None
    assert why_never_drawn("loss", {"operands": "no operands"}) is None


@pytest.mark.parametrize("positions", ["sinusoidal", "none"])
def test_positions_that_are_not_learned_are_no_weights(positions):
    shape = ModelSpec(d_model=32, n_heads=2, d_head=16, d_mlp=32)
    fixed = of_initial_weights(dataclasses.replace(shape, positions=positions))
    learned = of_initial_weights(shape)
    of_fixed, of_learned = (
        analyze_run(run, key_frequencies=KEYS, deep=False) for run in (fixed, learned)
    )
    W_pos = float(learned.parameters()["pos_embed.W_pos"].double().square().sum())
    without = of_learned.final["sum_squared_weights"] - W_pos
    assert of_fixed.final["sum_squared_weights"] == pytest.approx(without, rel=1e-12)
    name = "final.sum_squared_weights_W_pos"
    assert of_fixed.reasons[name] == "the network has no such matrix of its own"
    assert name not in of_learned.reasons


def test_a_matrix_that_is_tied_has_a_reason_of_its_own():
    tied = ModelSpec(d_model=32, n_heads=2, d_head=16, d_mlp=32, tied_embeddings=True)
    analysis = analyze_run(of_initial_weights(tied), key_frequencies=KEYS, deep=False)
    why = "the network has no such matrix of its own"
    assert analysis.reasons["final.sum_squared_weights_W_U"] == why
    assert why not in [
        analysis.reasons.get(f"final.sum_squared_weights_{m}") for m in ("W_E", "W_in")
    ]
