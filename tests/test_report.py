import base64
import dataclasses
import json
import math
import re
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

from grokinterp import figures
from grokinterp.circuits import Algorithm
from grokinterp.circuits.algorithm import (
    CLOCK_IRRELEVANCE,
    CLOCK_SYMMETRICITY,
    PIZZA_IRRELEVANCE,
    PIZZA_SYMMETRICITY,
)
from grokinterp.circuits.gradients import GradientSymmetricity
from grokinterp.circuits.key_frequencies import MIN_SHARE
from grokinterp.commands.analyze import summary_lines
from grokinterp.errors import RunFolderError
from grokinterp.figures.embedding import MAX_FRAMES, MAX_HEATMAP_STEPS
from grokinterp.report import experiment, render_report, write_report
from grokinterp.report.page import Section, figure_block, figure_json, render_page
from grokinterp.report.text import link_papers, show_percent, show_value
from grokinterp.tasks import Task, TaskSpec, draw_split
from grokinterp.trajectory import Thresholds
from tests import synthetic
from tests.report_page import Page, numbers_in

SECTIONS = [
    "outcome",
    "loss-and-accuracy",
    "embedding-spectrum",
    "key-frequencies",
    "events",
    "restricted-and-excluded-loss",
    "neurons",
    "logits-explained",
    "algorithm",
    "gini-and-weights",
    "further-measures",
    "mirrored-accuracy",
    "explorer",
    "circuit",
    "closed-form",
    "certificate",
    "mode-families",
    "circuit-strength",
    "ablations",
    "not-computed",
    "config",
    "environment",
    "origin",
    "citations",
]
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


@pytest.fixture(scope="module")
def grokked_html():
    return render_report(synthetic.grokked_analysis(400))


@pytest.fixture(scope="module")
def page(grokked_html):
    return Page(grokked_html)


@pytest.fixture(scope="module")
def page_of_permutations():
    return Page(render_report(synthetic.permutation_analysis()))


def page_of(analysis):
    return Page(render_report(analysis))


def shown(value):
    """A value as the text of the page has it."""
    return Page(show_value(value)).words


def without_numbers(text):
    return re.sub(r"[\d.,%−×]+", "", text)


def test_the_sections_stand_in_order_and_the_contents_lead_to_them(page):
    assert page.sections == SECTIONS
    # The text leads back to some of them.
    addresses = [a.attrs["href"] for a in page.all("a")]
    links = list(dict.fromkeys(a for a in addresses if a.startswith("#")))
    assert links == ["#main", *(f"#{name}" for name in SECTIONS)]
    ids = [node.attrs["id"] for node in page.elements if "id" in node.attrs]
    assert len(ids) == len(set(ids)) and {link[1:] for link in links} <= set(ids)


def test_the_page_opens_without_fetching_anything(grokked_html, page):
    assert page.outside_resources() == []
    style = re.search(r"<style>(.*?)</style>", grokked_html, re.S)
    assert style and "url(" not in style[1] and "@import" not in style[1]
    policy = next(m.attrs["content"] for m in page.all("meta") if "http-equiv" in m.attrs)
    assert "default-src 'none'" in policy and "http" not in policy
    assert grokked_html.count("plotly.js v") == 1


@pytest.mark.parametrize(
    "planted",
    [
        '<script src="https://cdn.plot.ly/plotly.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/x.css">',
        '<img src="figure.png">',
    ],
)
def test_a_fetched_resource_would_have_been_noticed(planted):
    assert len(Page(f"<main>{planted}</main>").outside_resources()) == 1


def test_links_to_papers_are_plain_anchors(page):
    addresses = [a.attrs["href"] for a in page.all("a")]
    papers = [address for address in addresses if not address.startswith("#")]
    assert "https://arxiv.org/abs/2301.05217" in papers
    assert all(address.startswith("https://arxiv.org/abs/") for address in papers)
    # What the measures were taken from is listed with the names of the measures.
    listed = page.section("citations")
    assert {"phases", "algorithm", "gini_W_E"} <= {node.words for node in listed.all("code")}
    assert "https://arxiv.org/abs/2306.17844" in [a.attrs["href"] for a in listed.all("a")]


REPORTS = {
    "grokked": lambda: synthetic.grokked_analysis(20),
    "permutations": lambda: synthetic.permutation_analysis(20),
    "memorized": lambda: synthetic.memorized_analysis(20),
    "imported": synthetic.single_checkpoint_analysis,
}


@pytest.mark.parametrize("kind", REPORTS)
def test_every_figure_has_a_title_axes_and_a_caption_and_description_of_its_own(kind):
    analysis = REPORTS[kind]()
    html = render_report(analysis)
    found = Page(html).figures
    assert list(found) == list(figures.all_figures(analysis))
    assert len(found) == html.count("<figure")
    for name, figure in found.items():
        axes = {k: axis for k, axis in figure.layout.items() if re.fullmatch("[xy]axis[0-9]*", k)}
        titled = {key[0] for key, axis in axes.items() if axis.get("title", {}).get("text")}
        # Bars and marks of named parts have their names in place of a title.
        assert titled == ({"x"} if "ablations" in name else {"x", "y"}), name
        title = figure.layout["title"]["text"]
        assert title and len(figure.caption.words) > 60
        assert figure.label.startswith(title) and len(figure.label) > 80
    for texts in ([f.label for f in found.values()], [f.caption.words for f in found.values()]):
        assert len(texts) == len(set(texts))


def test_a_description_has_the_ends_of_every_line_that_is_drawn(page):
    told = {name: numbers_in(figure.label) for name, figure in page.figures.items()}
    curves = synthetic.curves()
    for column in ("train_loss", "test_loss"):
        known = curves[column].dropna()
        for value in (known.iloc[0], known.iloc[-1]):
            assert numbers_in(f"{value:.3g}")[0] in told["loss"], column
    assert {"0", "25000"} <= set(told["loss"])
    # What waits in the legend is not told, nor is a level point by point.
    assert "mirrored" not in page.figures["accuracy"].label
    assert told["accuracy"].count("0.00885") == 3
    # Bars are described by name and value, maps by their range.
    assert {"52", "8.3"} <= set(told["embedding-spectrum"] + told["ablations"])
    correct = synthetic.grokked_analysis(8).algorithm.correct_logits
    assert told["correct-logits"][-2:] == [f"{v:.3g}" for v in (correct.min(), correct.max())]
    labels = [figure.label for figure in page.figures.values()]
    assert not any("<" in label or "nan" in label for label in labels)


def test_tables_have_captions_and_headings_with_a_direction(page):
    assert len(page.all("table")) == len(page.all("caption")) > 10
    assert {th.attrs.get("scope") for th in page.all("th")} == {"col", "row"}


def test_the_page_begins_with_its_language_and_a_way_past_the_contents(page):
    assert page.one("html").attrs == {"lang": "en"}
    assert page.all("a")[0].attrs == {"class": "skip", "href": "#main"}
    assert page.one("main").attrs == {"id": "main"}
    labels = [node.attrs["for"] for node in page.all("label")]
    sliders = [node.attrs["id"] for node in page.all("input")]
    assert labels == sliders == ["figure-embedding-spectrum-slider"]


def test_the_words_of_the_field_are_explained_for_this_run(page, page_of_permutations):
    terms, of_permutations = page.terms, page_of_permutations.terms
    assert all(len(meaning) == 1 and len(meaning[0]) > 40 for meaning in terms.values())
    assert numbers_in(terms["loss"][0]) == ["113", "113", f"{math.log(113):.2f}"]
    assert numbers_in(of_permutations["loss"][0]) == ["120", "120", f"{math.log(120):.2f}"]
    assert "56" in numbers_in(terms["frequency k"][0])
    only_here = {"frequency k", "key frequencies"}
    only_there = {"representation", "key representations"}
    assert only_here <= set(terms) and not only_here & set(of_permutations)
    assert only_there <= set(of_permutations) and not only_there & set(terms)
    assert not any("representation" in " ".join(meaning) for meaning in terms.values())


def test_the_thresholds_that_are_explained_are_those_of_the_analysis():
    name = "memorization step, grokking step, delay"
    base = synthetic.grokked_analysis(8)
    assert numbers_in(page_of(base).terms[name][0]) == ["99%", "95%"]
    other = dataclasses.replace(base, thresholds=Thresholds(memorization=0.9, grokking=0.755))
    assert numbers_in(page_of(other).terms[name][0]) == ["90%", "75.5%"]


def relative_luminance(color):
    linear = [
        v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4
        for v in (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """Contrast of two colors by WCAG 2.2, from 1 to 21."""
    light, dark = sorted((relative_luminance(one), relative_luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "muted", "accent", "good", "bad"])
@pytest.mark.parametrize("ground", ["page", "panel"])
def test_text_stands_out_from_its_ground(scheme, ink, ground):
    style = resources.files("grokinterp.report").joinpath("report.css").read_text()
    light, dark = re.findall(r":root[^{]*\{([^}]*--page[^}]*)\}", style)
    colors = dict(re.findall(r"--(\w+): (#\w{6});", light if scheme == "light" else dark))
    assert contrast(colors[ink], colors[ground]) >= 4.5


def test_contrast_is_that_of_the_guidelines():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") < 4.5 < contrast("#767676", "#ffffff")


def test_the_style_stills_motion_on_request_and_knows_paper():
    style = resources.files("grokinterp.report").joinpath("report.css").read_text()
    assert "@media (prefers-reduced-motion: reduce)" in style and "@media print" in style


def test_the_verdict_stands_with_its_evidence_and_the_lines_of_both_algorithms(page):
    section = page.section("algorithm")
    assert section.all("strong")[0].words == "clock" == page.facts["algorithm"][0]
    evidence, formulas = section.tables
    found = synthetic.algorithm(113, synthetic.KEYS)
    for name, value, clock, pizza in (
        ("gradient symmetricity", "0.2 ± 0.004", CLOCK_SYMMETRICITY, PIZZA_SYMMETRICITY),
        ("distance irrelevance", "0.8", CLOCK_IRRELEVANCE, PIZZA_IRRELEVANCE),
    ):
        shown_value, of_clock, of_pizza, source = evidence.row(name)
        assert shown_value == value
        assert numbers_in(of_clock) == [f"{clock:g}"] and numbers_in(of_pizza) == [f"{pizza:g}"]
        assert "arXiv:2306.17844" in source
    assert evidence.row("circularity")[0] == "0.95"
    assert numbers_in(evidence.rows[-1][1]) == ["49.00%", "40.00%"]
    # The formulas, on the whole logits and on each circle alone.
    assert len(formulas.header) == 1 + 1 + len(synthetic.KEYS) + 1
    assert [numbers_in(name) for name in formulas.header[2:-1]] == [[f"{k}"] for k in found_keys()]
    assert [row[1:-1] for row in formulas.rows] == [
        [f"{whole:.2%}"] + [f"{whole / 2:.2%}"] * len(synthetic.KEYS)
        for whole in found.variance_explained.values()
    ]


@pytest.mark.parametrize("n", [8, 9])
def test_of_many_circles_the_report_shows_the_range(n):
    base = synthetic.grokked_analysis(8)
    whole = base.algorithm.variance_explained
    by_circle = {k: {formula: k / 20 for formula in whole} for k in range(1, n + 1)}
    algorithm = dataclasses.replace(base.algorithm, variance_explained_by_circle=by_circle)
    page = page_of(dataclasses.replace(base, algorithm=algorithm))
    formulas = page.section("algorithm").tables[1]
    alone = [name for name in formulas.header if "alone" in name]
    shown = [row[2:-1] for row in formulas.rows]
    if n == 8:
        assert alone == [f"circle {k} alone" for k in by_circle]
        assert shown == [[f"{k / 20:.2%}" for k in by_circle]] * len(whole)
    else:
        assert alone == [f"{which} of 9 circles alone" for which in ("least", "mean", "most")]
        assert shown == [["5.00%", "25.00%", "45.00%"]] * len(whole)


@pytest.mark.parametrize(
    ("n", "shown"), [(8, "1, 2, 3, 4, 5, 6, 7, 9"), (9, "1 to 7, 9, 10")], ids=["few", "many"]
)
def test_many_key_frequencies_are_shown_in_rows(n, shown):
    base = synthetic.grokked_analysis(8)
    keys = (*range(1, 8), 9, 10)[:n]
    frequencies = dataclasses.replace(base.key_frequencies, frequencies=keys)
    ablations = base.ablations.assign(frequencies=" ".join(map(str, keys)))
    page = page_of(dataclasses.replace(base, key_frequencies=frequencies, ablations=ablations))
    assert page.facts["key frequencies"][0] == shown
    assert f"Key frequencies: {shown} , by the rule" in page.section("key-frequencies").words
    assert set(page.section("ablations").tables[0].column("frequencies")) == {shown}


def found_keys():
    return synthetic.algorithm(113, synthetic.KEYS).variance_explained_by_circle


def test_evidence_without_a_spread_or_without_a_number_has_none():
    base = synthetic.grokked_analysis(8)
    bare = dataclasses.replace(
        base.algorithm,
        gradient_symmetricity=GradientSymmetricity(0.2, 0.0, 2000),
        distance_irrelevance=float("nan"),
        circularity=None,
    )
    evidence = page_of(dataclasses.replace(base, algorithm=bare)).section("algorithm").tables[0]
    assert evidence.row("gradient symmetricity")[0] == "0.2"
    assert evidence.row("distance irrelevance")[0] == "–"
    assert "circularity" not in evidence.column(evidence.header[0])


def test_without_a_verdict_the_reason_stands_in_its_place():
    analysis = synthetic.memorized_analysis()
    page = page_of(analysis)
    (note,) = page.section("algorithm").notes
    assert analysis.algorithm.reason in note
    assert not page.section("algorithm").tables and not page.section("algorithm").all("strong")
    assert "correct-logits" not in page.figures and "algorithm" not in page.facts


def test_headings_never_skip_a_level(page):
    levels = [int(n.tag[1]) for n in page.elements if re.fullmatch("h[1-6]", n.tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_the_facts_of_the_run_can_be_read(page):
    analysis = synthetic.grokked_analysis(400)
    facts, final = page.facts, analysis.final
    assert facts["grokking step"] == ["8,310"] and facts["memorization step"] == ["230"]
    assert facts["grokking delay"][0] == "8,080"
    assert facts["key frequencies"][0] == "14, 35, 41, 42, 52"
    assert numbers_in(facts["key frequencies"][1]) == ["56"]
    for split in ("train", "test"):
        loss = float(f"{final[f'{split}_loss']:.3g}")
        assert facts[f"final {split} loss"] == [shown(loss), "nats"]
        assert facts[f"final {split} accuracy"] == [show_percent(final[f"{split}_accuracy"])]
    (measures,) = page.section("outcome").tables
    assert dict(measures.rows) == {name: shown(value) for name, value in final.items()}
    assert page.section("outcome").one("p", class_="outcome").words == analysis.outcome
    fields = dict(page.section("config").tables[0].rows)
    assert fields["optimizer.weight_decay"] == "1" and fields["task.p"] == "113"
    # A sentence of its own, before that of the folder.
    assert f"{analysis.run.origin.rstrip('.')}." in page.section("origin").words


def test_the_phases_are_a_table(page):
    (phases,) = page.section("loss-and-accuracy").tables
    assert [row[1:] for row in phases.rows] == [
        ["0", "1,400", ""],
        ["1,400", "8,550", ""],
        ["8,550", "14,600", ""],
    ]
    (phases,) = page_of(synthetic.memorized_analysis(8)).section("loss-and-accuracy").tables
    assert phases.row("cleanup") == ["–", "–", "the test loss never halves"]


def test_a_caption_says_how_many_checkpoints_of_how_many_are_drawn(page):
    assert page.figures["embedding-spectrum"].caption.numbers == [f"{MAX_FRAMES}", "400"]
    assert page.figures["embedding-heatmap"].caption.numbers == [f"{MAX_HEATMAP_STEPS}", "400"]
    few = page_of(synthetic.grokked_analysis(MAX_FRAMES)).figures
    assert few["embedding-spectrum"].caption.numbers == []
    assert few["embedding-heatmap"].caption.numbers == []


def test_four_hundred_checkpoints_cost_little_more_than_plotly(grokked_html):
    own = len(grokked_html.encode()) - len(get_plotlyjs().encode())
    assert own < 700_000 and len(grokked_html.encode()) < 15_000_000


def test_four_thousand_checkpoints_cost_little_more_than_four_hundred(grokked_html):
    longer = render_report(synthetic.grokked_analysis(4_000))
    assert len(longer) < len(grokked_html) + 600_000
    caption = Page(longer).figures["embedding-heatmap"].caption
    assert caption.numbers == [f"{MAX_HEATMAP_STEPS}", "4000"]


def test_a_page_with_unthinned_curves_would_be_too_large():
    steps = np.arange(25_001)
    curve = go.Figure([go.Scatter(x=steps, y=np.sin(steps)) for _ in range(4)])
    curve.update_layout(title_text="four raw curves")
    assert len(figure_block("raw", curve, "")) > 600_000


@pytest.mark.parametrize("case", synthetic.DEGENERATE)
def test_reports_of_odd_runs_say_why_and_never_nan(case):
    page = page_of(synthetic.DEGENERATE[case]())
    assert page.sections == SECTIONS
    words = set(re.findall(r"[\w<>]+", page.words))
    assert not {"nan", "NaN", "None", "NaT", "<NA>", "inf", "null", "undefined"} & words


def test_a_step_before_the_record_is_not_known_instead_of_not_reached():
    never, unknown = synthetic.memorized_analysis(8), synthetic.single_checkpoint_analysis()
    assert unknown.milestones.outcome_kind is None
    not_reached, not_known = (page_of(a).facts["grokking step"] for a in (never, unknown))
    assert not_reached == ["not reached", never.why("grokking_step")]
    assert not_known == ["not known", unknown.why("grokking_step")]
    assert page_of(never).facts["memorization step"] == ["230"]


def test_the_circuit_is_a_table_of_losses_with_all_numbers_folded_behind(page):
    section, circuit = page.section("circuit"), synthetic.circuit()
    losses, *stages = section.tables
    whole = circuit[(circuit["unit"] == "nats") & circuit["head"].isna()]
    # Losses of single heads stand with their stage, not among those of the whole circuit.
    assert losses.column("loss") == [shown(value) for value in whole["value"]]
    assert [float(row[-1]) for row in losses.rows[:3]] == [1, 0.8333, 1.25]
    folded = section.all("details")
    assert len(folded) == len(stages) == circuit["stage"].nunique() - 1
    assert sum(len(stage.rows) for stage in stages) == len(circuit) - 1
    assert [row[-2] for stage in stages for row in stage.rows] == [
        shown(value) for value in circuit["value"][1:]
    ]


def test_when_each_circuit_works_is_a_table_with_the_reasons(page):
    (steps,) = page.section("circuit-strength").tables
    assert [row[1:] for row in steps.rows] == [
        ["230", ""],
        ["6,000", ""],
        ["6,900", ""],
        ["5,100", ""],
    ]
    base = synthetic.grokked_analysis(20)
    never = dataclasses.replace(base.circuit_steps, memorization_works_until=None)
    analysis = dataclasses.replace(base, circuit_steps=never)
    (steps,) = page_of(analysis).section("circuit-strength").tables
    reason = analysis.why("circuits.memorization_works_until")
    assert reason and steps.rows[1][1:] == ["–", reason]
    assert [row[1:] for row in steps.rows[2:]] == [["6,900", ""], ["5,100", ""]]


def test_ablations_of_the_logits_stand_open_and_all_others_folded(page):
    section, ablations = page.section("ablations"), synthetic.ablations()
    n_open = ablations["intervention"].isin(["none", "removed from logits"]).sum()
    first, rest = section.tables
    assert [len(first.rows), len(rest.rows)] == [n_open, len(ablations) - n_open]
    assert numbers_in(section.one("summary").words) == [f"{len(rest.rows)}"]
    assert first.column("loss all") == [shown(v) for v in ablations["loss_all"][:n_open]]
    assert first.row("full", "none")[-1] == "100.00%"


def test_a_report_of_permutations_speaks_of_representations_alone(page_of_permutations):
    page = page_of_permutations
    names = [name.replace("embedding-spectrum", "representations") for name in SECTIONS]
    names.insert(names.index("neurons") + 1, "cosets")
    assert page.sections == names
    lead = page.one("p", class_="lead")
    assert "a ∘ b" in lead.words and {"5", "60%"} <= set(lead.numbers)
    assert page.facts["key representations"][0] == "standard, sign"
    assert numbers_in(page.facts["key representations"][1]) == ["6"]
    # What is left of frequencies is reasons why there are none, names of columns and sources.
    for name in set(names) - {"not-computed", "citations", "config"}:
        words = page.section(name).words.lower().replace("no frequencies", "")
        assert "frequenc" not in words, (name, words[words.index("frequenc") - 60 :][:120])
    reasons = dict(page.section("not-computed").tables[0].rows)
    assert {"key_frequencies", "by_frequency", "algorithm"} <= set(reasons)
    (note,) = page.section("gini-and-weights").notes
    assert reasons["by_frequency"] in note
    assert page.section("mirrored-accuracy").notes and not page.section("mirrored-accuracy").figures


def test_the_lead_of_a_group_has_its_name_and_no_modulus(page_of_permutations, page):
    analysis = synthetic.permutation_analysis(8)
    task = TaskSpec("group", group="dihedral(60)", train_fraction=0.6)
    config = dataclasses.replace(analysis.run.config, task=task)
    run = dataclasses.replace(analysis.run, config=config, split=draw_split(Task(task)))
    lead = page_of(dataclasses.replace(analysis, run=run)).one("p", class_="lead").words
    assert lead.startswith("Learning ab in dihedral(60) from 60% of the pairs")
    assert "mod 113" in page.one("p", class_="lead").words
    assert "in S 5 from" in page_of_permutations.one("p", class_="lead").words


def test_ablations_of_representations_are_named_after_them(page_of_permutations, page):
    analysis = synthetic.permutation_analysis(8)
    keys = ("standard_sign", "sign")
    table = analysis.ablations.replace({"representation_standard": "representation_standard_sign"})
    analysis = dataclasses.replace(
        analysis,
        ablations=table,
        key_frequencies=dataclasses.replace(analysis.key_frequencies, names=keys),
    )
    first = page_of(analysis).section("ablations").tables[0]
    assert first.row("representation standard_sign")[1] == "standard"
    assert first.row("trigonometric circuit")[0] == "removed from logits"
    assert "representations" in first.header and "frequencies" not in first.header
    assert "frequencies" in page.section("ablations").tables[0].header
    lines = summary_lines(analysis)
    assert any(line.startswith("  representation standard_sign removed from") for line in lines)
    # What follows a name begins in one column, however long the name is.
    ends = {len(line) for line in lines if line.startswith("  ")}
    assert len(ends) == 1


@pytest.mark.parametrize(
    ("published", "said", "also"),
    [
        (("standard", "sign"), "are the same.", ""),
        (("standard", "sign", "6d"), "are standard, 6d, sign.", "by the published rule also 6d"),
        (("6d",), "are 6d.", "by the published rule also 6d"),
        ((), "are none.", ""),
    ],
)
def test_keys_by_the_published_rule_stand_beside_ours(published, said, also):
    analysis = synthetic.permutation_analysis(8)
    keys = analysis.key_frequencies
    evidence = keys.evidence.assign(
        is_key_published=keys.evidence["representation"].isin(published)
    )
    keys = dataclasses.replace(keys, evidence=evidence)
    analysis = dataclasses.replace(analysis, key_frequencies=keys)
    words = page_of(analysis).section("key-frequencies").words
    assert f"a character similarity above 0.005, the key representations {said}" in words
    lines = summary_lines(analysis)
    (ours,) = (i for i, line in enumerate(lines) if line.startswith("key representations"))
    assert lines[ours] == "key representations standard, sign"
    assert (lines[ours + 1].strip() == also) if also else "published" not in " ".join(lines)
    none = dataclasses.replace(keys, frequencies=(), names=(), reason="it has learned nothing")
    lines = summary_lines(dataclasses.replace(analysis, key_frequencies=none))
    rest = [name for name in synthetic.REPRESENTATIONS if name in published]
    said = f"by the published rule {', '.join(rest)}"
    assert (said in [line.strip() for line in lines]) == bool(published)


def test_neurons_on_cosets_are_counted_by_subgroup(page_of_permutations, page):
    section = page_of_permutations.section("cosets")
    assert section.figures and "2 of 8 neurons" in section.words
    (by_subgroup,) = section.tables
    assert by_subgroup.row("alternating(5)")[:3] == ["2", "2", "2"]
    assert by_subgroup.row("cyclic(2)_a")[:3] == ["60", "4", "0"]
    assert len(by_subgroup.rows) == 2
    # Modulo a prime there is no such section, and the reason stands beside its measure.
    assert "cosets" not in page.sections
    reasons = page.section("not-computed").words
    assert "fraction_coset_neurons cyclic(113) has prime order" in reasons


def test_the_evidence_of_representations_is_a_table(page_of_permutations):
    (evidence,) = page_of_permutations.section("key-frequencies").tables
    assert len(evidence.rows) == 2 + 3
    assert evidence.row("standard", "key")[0] == "4" and evidence.row("sign", "key")[0] == "1"
    assert evidence.column("key")[2:] == ["no"] * 3
    assert evidence.row("6d", "no")[0] == "6"


def of_operation(analysis, operation):
    """The same numbers as those of another task."""
    config = analysis.run.config
    task = dataclasses.replace(config.task, operation=operation)
    config = dataclasses.replace(config, task=task)
    run = dataclasses.replace(analysis.run, config=config, split=draw_split(Task(task)))
    return dataclasses.replace(analysis, run=run)


def what_keys_hold(analysis):
    """The text on what the key frequencies hold and are worth, after the line that names them."""
    blocks = page_of(analysis).section("key-frequencies").all("p")
    plain = [block.words for block in blocks if not block.attrs]
    return plain[1] if len(plain) > 1 else ""


def test_the_key_frequencies_stand_with_what_they_hold_and_what_they_are_worth():
    analysis = synthetic.grokked_analysis(8)
    evidence = synthetic.evidence()
    held = evidence["logit_power_share"][evidence["is_key"]].sum()
    said = what_keys_hold(analysis)
    assert f"{held:.2%}" in said and "95.00%" in said
    # Whole, with their part alone, and without it.
    losses = [said.index(shown(value)) for value in (2.4e-7, 5.5e-8, 8.3)]
    assert losses == sorted(losses)
    # The fraction is that of the step at which they were found.
    earlier = dataclasses.replace(
        analysis.key_frequencies, step=int(analysis.trajectory["step"].iloc[-3])
    )
    fraction = analysis.trajectory["fraction_logit_variance_explained"].iloc[-3]
    said = what_keys_hold(dataclasses.replace(analysis, key_frequencies=earlier))
    assert f"{fraction:.2%}" in said and "95.00%" not in said


def test_key_frequencies_that_hold_less_are_described_otherwise():
    base = synthetic.grokked_analysis(8)
    evidence = base.key_frequencies.evidence

    def holding(share):
        is_key = evidence["is_key"]
        shares = np.where(is_key, share / is_key.sum(), (1 - share) / (~is_key).sum())
        keys = dataclasses.replace(
            base.key_frequencies, evidence=evidence.assign(logit_power_share=shares)
        )
        return what_keys_hold(dataclasses.replace(base, key_frequencies=keys))

    most, more, less = holding(0.95), holding(0.91), holding(0.85)
    assert "95.00%" in most and "91.00%" in more and "85.00%" in less
    assert without_numbers(most) == without_numbers(more) != without_numbers(less)


def test_what_the_keys_hold_is_said_in_the_words_of_the_task(page_of_permutations):
    base = synthetic.grokked_analysis(8)
    of_sums = what_keys_hold(base)
    of_products = what_keys_hold(of_operation(base, "multiplication"))
    assert "a + b" in of_sums and "a+b−c" in of_sums
    assert "a + b" not in of_products and "a+b−c" not in of_products
    assert "95.00%" in of_sums and "95.00%" in of_products
    of_permutations = what_keys_hold(synthetic.permutation_analysis(8))
    assert "95.00%" not in of_permutations
    assert all(shown(value) in of_permutations for value in (8.3, 5.5e-8, 2.4e-7))


@pytest.mark.parametrize("case", synthetic.DEGENERATE)
def test_without_key_frequencies_nothing_is_said_of_what_they_hold(case):
    analysis = synthetic.DEGENERATE[case]()
    assert bool(what_keys_hold(analysis)) == bool(analysis.key_frequencies.frequencies)


def test_the_level_of_chance_says_how_many_groupings_it_is_from(page):
    keys = dataclasses.replace(synthetic.grokked_analysis(8).key_frequencies, n_permutations=500)
    analysis = dataclasses.replace(synthetic.grokked_analysis(8), key_frequencies=keys)
    assert page_of(analysis).figures["key-frequencies"].caption.numbers == ["99.9%", "500"]
    assert page.figures["key-frequencies"].caption.numbers == ["99.9%"]


def test_a_frequency_above_chance_and_below_the_threshold_is_marked():
    base = synthetic.grokked_analysis(8)
    evidence = base.key_frequencies.evidence.copy()
    evidence.loc[evidence["frequency"] == 20, "logit_power_share"] = 0.01
    keys = dataclasses.replace(base.key_frequencies, evidence=evidence)

    def rows(keys):
        analysis = dataclasses.replace(base, key_frequencies=keys)
        (table,) = page_of(analysis).section("key-frequencies").tables
        return table

    mark, *cells = rows(keys).row("20")
    assert numbers_in(mark) == [f"{MIN_SHARE:.1%}"] and cells[:2] == ["1.00%", "0.60%"]
    assert rows(keys).column("key") == ["key"] * 5 + [mark, "no", "no"]
    given = dataclasses.replace(keys, rule="embedding_norm")
    assert rows(given).column("key") == ["key"] * 5 + ["no"] * 3


def test_the_words_of_clock_and_pizza_are_explained(page, page_of_permutations):
    of_algorithms = {
        "clock and pizza",
        "gradient symmetricity",
        "distance irrelevance",
        "circle alone",
    }
    assert of_algorithms <= set(page.terms) and not of_algorithms & set(page_of_permutations.terms)


def test_a_nan_in_the_text_would_have_been_noticed():
    assert "nan" in set(re.findall(r"[\w<>]+", Page("<p>final loss nan nats</p>").words))


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("memorized", "test accuracy never exceeded 0.95 to the end"),
        ("diverged", "the run diverged at step 300"),
        ("diverged", "its checksum is not that of the index"),
        ("acyclic", "multiplication modulo 12 is not addition in a cyclic group"),
        ("single_checkpoint", "one checkpoint is no trajectory"),
    ],
)
def test_what_is_missing_is_said_with_its_reason(case, said):
    reasons = page_of(synthetic.DEGENERATE[case]()).section("not-computed").tables
    assert said in [row[1] for table in reasons for row in table.rows]


def test_versions_are_a_table_where_they_were_recorded(page):
    (versions,) = page.section("environment").tables
    assert dict(versions.rows)["torch"] == "2.13.0"
    without = page_of(synthetic.single_checkpoint_analysis()).section("environment")
    assert not without.tables and without.words


def _hostile():
    base = synthetic.memorized_analysis(8)
    run = dataclasses.replace(
        base.run, origin=EVIL, environment={EVIL: EVIL, "nested": {"a": EVIL}}, folder=Path(EVIL)
    )
    keys = dataclasses.replace(base.key_frequencies, rule=EVIL, reason=EVIL)
    reasons = {EVIL: EVIL, "grokking_step": EVIL, "restricted_loss": EVIL}
    milestones = dataclasses.replace(base.milestones, outcome=EVIL, reasons=reasons)
    cited = dataclasses.replace(base.measures[0], name=EVIL, source=EVIL)
    return dataclasses.replace(
        base,
        run=run,
        key_frequencies=keys,
        milestones=milestones,
        algorithm=Algorithm("none", EVIL),
        measures=(cited,),
        failures={EVIL: EVIL},
        trajectory=base.trajectory.assign(**{EVIL: 1.0}),
        ablations=base.ablations.assign(component=EVIL, intervention=EVIL, frequencies=EVIL),
    )


def test_foreign_text_stays_text():
    html, harmless = render_report(_hostile()), render_report(synthetic.memorized_analysis(8))
    page = Page(html)
    assert EVIL not in html and EVIL in page.words
    for name in ("outcome", "algorithm", "not-computed", "environment", "origin", "citations"):
        assert EVIL in page.section(name).words, name
    assert page.all("img") == []
    # Figures of two more things were drawn, each with its data; no other script came in.
    extra = len(page.all("figure")) - len(Page(harmless).all("figure"))
    assert len(page.all("script")) == len(Page(harmless).all("script")) + extra


def test_titles_and_settings_stay_text():
    html = render_page(EVIL, "", [Section("a", EVIL, ())])
    assert EVIL not in html and EVIL in Page(html).words


def test_the_data_of_a_figure_cannot_end_its_script():
    text = figure_json(go.Figure(go.Scatter(x=[1.0], y=[2.0], name="</script><!--")))
    assert "<" not in text and "\\u003c/script>" in text


def test_arrays_are_stored_in_single_precision():
    values = np.linspace(0, 1, 1000)
    stored = json.loads(figure_json(go.Figure(go.Scatter(y=values))))["data"][0]["y"]
    read = np.frombuffer(base64.b64decode(stored["bdata"]), dtype=np.dtype(stored["dtype"]))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, values.astype(np.float32))


def test_figure_data_is_rounded_for_the_screen_and_has_no_nan():
    text = figure_json(go.Figure(go.Scatter(x=[1 / 3], y=[float("nan")])))
    assert "0.33333" in text and "0.333333333" not in text and "NaN" not in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (25_000, "25,000"),
        (True, "yes"),
        (2.412e-7, "2.412\xa0×\xa010<sup>−7</sup>"),
        (-1.5, "−1.5"),
        (0.0, "0"),
        (12.345, "12.35"),
        ("<b>", "&lt;b&gt;"),
        ([9, 38], "9, 38"),
    ],
)
def test_values_are_shown_as_a_reader_writes_them(value, shown):
    assert show_value(value) == shown


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), np.float64("nan"), []])
def test_nothing_is_shown_as_a_dash(value):
    assert "–" in show_value(value) and "nan" not in show_value(value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("n_runs", "number of runs"),
        ("n_with_spikes", "number with spikes"),
        ("median_period", "median period"),
    ],
)
def test_columns_of_an_experiment_are_named_in_words(name, words):
    assert experiment._words(name) == words


def test_columns_of_words_come_before_those_of_numbers():
    frame = pd.DataFrame({"run": ["a"], "condition": ["b"], "seed": [0], "outcome": ["c"]})
    assert experiment._n_text(frame) == 2 and experiment._n_text(frame[["seed"]]) == 1


def test_fractions_are_percentages():
    assert show_percent(0.99984) == "99.98%" and show_percent(1 / 113) == "0.88%"


def test_references_are_escaped_before_they_are_linked():
    assert link_papers("<i> arXiv:2301.05217") == (
        '&lt;i&gt; <a href="https://arxiv.org/abs/2301.05217">arXiv:2301.05217</a>'
    )


def test_writing_makes_folders_and_returns_the_file(tmp_path):
    path = write_report(synthetic.single_checkpoint_analysis(), tmp_path / "a" / "report.html")
    assert path == tmp_path / "a" / "report.html" and path.read_text().endswith("</html>\n")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_a_failed_write_leaves_the_older_report(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("older")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(RunFolderError, match="No space left"):
        write_report(synthetic.single_checkpoint_analysis(), path)
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]


def test_the_report_of_a_trained_run_has_all_sections(tiny_analysis, tmp_path):
    page = Page(write_report(tiny_analysis, tmp_path / "report.html").read_text())
    assert page.sections == SECTIONS
    assert list(page.figures) == list(figures.all_figures(tiny_analysis))
    assert len(page.figures) >= 6


def test_a_report_in_a_place_that_cannot_be_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RunFolderError, match="cannot make the folder"):
        write_report(synthetic.single_checkpoint_analysis(), tmp_path / "file" / "report.html")
