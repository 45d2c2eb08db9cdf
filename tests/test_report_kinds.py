"""Reports, comparisons and summaries of networks that lack some parts."""

import dataclasses
import math

import pytest

from grokinterp import figures
from grokinterp.commands.analyze import summary_lines
from grokinterp.comparison import comparison_of
from grokinterp.figures.curves import loss_title
from grokinterp.report import render_comparison, render_report
from grokinterp.trajectory.analysis import analyze_run
from tests import synthetic
from tests.kinds import KEYS, KINDS
from tests.report_page import Page
from tests.test_report import SECTIONS

LACKING = {
    "transformer": [],
    "transformer, attention only": ["neurons"],
    "perceptron": [],
    "module, neurons only": ["embedding-spectrum"],
    "logits alone": ["embedding-spectrum", "neurons", "gini-and-weights"],
}
"""Sections that a report of each kind has not."""


@pytest.fixture(scope="module")
def analyses():
    return {kind: analyze_run(KINDS[kind](), key_frequencies=KEYS) for kind in LACKING}


@pytest.fixture(scope="module")
def pages(analyses):
    return {kind: Page(render_report(analysis)) for kind, analysis in analyses.items()}


@pytest.mark.parametrize("kind", LACKING)
def test_sections_that_a_kind_of_network_lacks_are_named_once_with_the_reason(
    kind, analyses, pages
):
    page, absent = pages[kind], LACKING[kind]
    assert page.sections == [name for name in SECTIONS if name not in absent]
    tables = page.section("not-computed").tables
    named = [t for t in tables if t.header == ["section", "reason"]]
    assert len(named) == bool(absent)
    for table in named:
        reasons = analyses[kind].run.missing_parts.values()
        assert len(table.rows) == len(absent)
        for _, reason in table.rows:
            assert set(reason.split("; ")) <= set(reasons)
    # Links to them still lead somewhere.
    ids = {node.attrs["id"] for node in page.elements if "id" in node.attrs}
    assert set(absent) <= ids
    links = {a.attrs["href"] for a in page.all("a") if a.attrs["href"].startswith("#")}
    assert {link[1:] for link in links} <= ids


@pytest.mark.parametrize("kind", LACKING)
def test_no_reason_stands_in_two_notes_or_in_two_rows(kind, analyses, pages):
    notes = [note.partition("Reason: ")[2] or note for note in pages[kind].notes]
    assert len(notes) == len(set(notes))
    (table,) = (t for t in pages[kind].section("not-computed").tables if t.header[0] == "field")
    reasons, missing = table.column("reason"), set(analyses[kind].run.missing_parts.values())
    of_parts = [reason for reason in reasons if reason in missing]
    assert len(of_parts) == len(set(of_parts)) and bool(of_parts) == bool(missing)


def test_the_report_says_what_kind_of_network_it_is_about(pages):
    for kind, words in {
        "transformer": "transformer of 1 layer",
        "transformer, attention only": "transformer of 1 layer",
        "perceptron": "multilayer perceptron: widths 32, square",
        "module, neurons only": "Summed of 1,181 parameters",
        "logits alone": "network known only by its logits",
    }.items():
        assert words in pages[kind].one("p", class_="lead").words


def said(page):
    """What a page says of the network itself, without reasons, settings and sources."""
    own = [name for name in page.sections if name in SECTIONS[: SECTIONS.index("not-computed")]]
    return " ".join(page.section(name).words for name in own)


def test_words_of_transformers_stand_in_reports_of_transformers_alone(pages):
    for word in ("TransformerLens", "head", "W_out", "W_L = W_out W_U"):
        of_neurons = "W_out" in word
        for kind in LACKING:
            expected = "transformer" in kind and not (of_neurons and "only" in kind)
            assert (word in said(pages[kind])) == expected, (kind, word)
    assert "W_E" not in said(pages["logits alone"]) and "W_L" not in said(pages["logits alone"])


def test_the_glossary_explains_the_parts_that_there_are(pages):
    terms = {kind: set(page.terms) for kind, page in pages.items()}
    tables, readout = "embedding, operands, W_E", "readout, W_L"
    assert {tables, readout} <= terms["perceptron"]
    assert readout in terms["module, neurons only"] and tables not in terms["module, neurons only"]
    assert not {tables, readout} & (terms["logits alone"] | terms["transformer"])
    with_mlp = "W_E, W_pos, W_Q, W_K, W_V, W_O, W_in, W_out, W_U"
    assert with_mlp in terms["transformer"]
    assert with_mlp.replace("W_in, W_out, ", "") in terms["transformer, attention only"]
    of_operands = {"gradient symmetricity", "circularity", "circle alone"}
    assert of_operands <= terms["perceptron"] and not of_operands & terms["logits alone"]
    assert "distance irrelevance" in terms["logits alone"]


def test_logits_alone_show_their_evidence_for_an_algorithm_without_a_verdict(pages, analyses):
    section = pages["logits alone"].section("algorithm")
    (note,) = section.notes
    assert analyses["logits alone"].algorithm.reason in note
    evidence = [row[0] for table in section.tables for row in table.rows]
    assert evidence[0] == "distance irrelevance" and "gradient symmetricity" not in evidence
    assert "correct-logits" in section.figures
    assert "circles alone" not in section.words
    assert "circles alone" in pages["transformer"].section("algorithm").words


def test_stages_that_cannot_be_followed_are_one_note(pages):
    (note,) = pages["logits alone"].section("circuit").notes
    assert "embedding, attention, neurons, neuron-logit map." in note
    (note,) = pages["perceptron"].section("circuit").notes
    assert "in this network: attention." in note
    (note,) = pages["transformer, attention only"].section("circuit").notes
    assert "in this network: neurons, neuron-logit map." in note
    assert pages["transformer"].section("circuit").notes == []


def test_the_figure_of_ablations_is_named_after_what_was_ablated(analyses):
    drawn = {
        kind: figures.plot_component_ablations(analyses[kind]).to_dict()
        for kind in ("transformer", "perceptron")
    }
    titles = {kind: figure["layout"]["title"]["text"] for kind, figure in drawn.items()}
    assert "heads, neurons and paths" in titles["transformer"]
    assert titles["perceptron"].endswith("Ablations of neurons")


def test_the_summary_names_the_network_where_it_lacks_parts(analyses):
    assert "network           multilayer perceptron: widths 32, square" in summary_lines(
        analyses["perceptron"]
    )
    lines = summary_lines(analyses["transformer"])
    assert not [line for line in lines if line.startswith("network")]


def test_networks_of_different_kinds_are_compared_by_what_they_share(analyses):
    compared = comparison_of(list(analyses.values()))
    table = compared.table
    assert table["restricted_loss_test"].notna().tolist() == [True] * len(analyses)
    has_operands = ["operands" not in a.run.missing_parts for a in analyses.values()]
    assert table["gini_W_E"].notna().tolist() == has_operands
    kinds = ["transformer", "transformer", "mlp", "module", "logits"]
    assert table["model.architecture"].tolist() == kinds
    page = Page(render_comparison(compared))
    drawn = {name: len(figure.data) for name, figure in page.figures.items()}
    assert drawn["restricted-loss-test"] == 5 and drawn["gini-W-E"] == 3


def test_losses_of_a_run_on_squared_errors_are_not_called_nats():
    nats = synthetic.grokked_analysis(8)
    config = dataclasses.replace(nats.run.config, loss="mse")
    squares = dataclasses.replace(nats, run=dataclasses.replace(nats.run, config=config))
    # Without curves the losses are those of the measures, whatever was trained on.
    bare = dataclasses.replace(squares.run, curves=nats.run.curves.iloc[:0])
    measured = dataclasses.replace(squares, run=bare)
    titles = [loss_title(one) for one in (nats, squares, measured)]
    assert titles == ["loss (nats)", "squared error (no unit)", "loss (nats)"]
    assert loss_title(nats, squares) == "loss (nats), or squared error"
    pages = [Page(render_report(one)) for one in (nats, squares)]
    guessing = [page.section("loss-and-accuracy").words for page in pages]
    assert "level of guessing (4.73 nats)" in guessing[0]
    assert "level of guessing" not in guessing[1]
    explained = [page.terms["loss"][0] for page in pages]
    assert "squared errors" not in explained[0] and "squared errors" in explained[1]


def test_the_line_of_the_whole_network_lies_on_the_axis_of_ablations(analyses):
    analysis = analyses["perceptron"]
    full = math.log10(analysis.ablations["loss_all"].iloc[0])
    low, high = figures.plot_component_ablations(analysis).to_dict()["layout"]["xaxis"]["range"]
    assert low < full < high


def test_a_task_without_waves_gets_no_words_for_them(pages):
    terms = set(Page(render_report(synthetic.acyclic_analysis())).terms)
    of_waves = {"frequency k", "key frequencies", "clock and pizza", "restricted and excluded loss"}
    assert not of_waves & terms and of_waves <= set(pages["transformer"].terms)
    assert {"loss", "ablation", "gradient symmetricity"} <= terms


def test_sparse_weights_are_not_expected_where_all_frequencies_are_key(analyses):
    said = {}
    for is_dense in (False, True):
        analysis = analyses["perceptron"]
        keys = dataclasses.replace(analysis.key_frequencies, is_dense=is_dense)
        page = Page(render_report(dataclasses.replace(analysis, key_frequencies=keys)))
        said[is_dense] = page.section("gini-and-weights").words
    assert "both rise as the circuit forms" in said[False] and "neither has" not in said[False]
    assert "so neither has to rise" in said[True] and "both rise" not in said[True]
