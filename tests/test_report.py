import base64
import dataclasses
import json
import re
from html import unescape
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

from grokinterp import figures
from grokinterp.errors import RunFolderError
from grokinterp.report import experiment, render_report, write_report
from grokinterp.report.page import Section, figure_block, figure_json, render_page
from grokinterp.report.text import link_papers, show_percent, show_value
from grokinterp.tasks import Task, draw_split
from tests import synthetic

SECTIONS = [
    "outcome",
    "loss-and-accuracy",
    "embedding-spectrum",
    "key-frequencies",
    "restricted-and-excluded-loss",
    "neurons",
    "logits-explained",
    "algorithm",
    "gini-and-weights",
    "further-measures",
    "mirrored-accuracy",
    "circuit",
    "circuit-strength",
    "ablations",
    "not-computed",
    "config",
    "environment",
    "origin",
    "citations",
]
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Page(HTMLParser):
    """What a browser would see: elements with attributes, visible text, resources."""

    VOID = {"meta", "link", "img", "br", "hr", "input", "source"}

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.text, self.open = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style", "title"} & set(self.open):
            self.text.append(data)

    @property
    def words(self):
        return " ".join(self.text)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def outside_resources(self):
        """Addresses that a browser would fetch to show the page."""
        fetching = ("src", "srcset", "poster", "data", "background", "xlink:href")
        found = [a[k] for _, a in self.elements for k in fetching if a.get(k)]
        found += [a["href"] for tag, a in self.elements if tag in ("link", "base", "use")]
        return [address for address in found if not address.startswith(("data:", "#"))]


@pytest.fixture(scope="module")
def grokked_html():
    return render_report(synthetic.grokked_analysis(400))


@pytest.fixture(scope="module")
def page(grokked_html):
    return Page(grokked_html)


def test_the_sections_stand_in_order_and_the_contents_lead_to_them(page):
    assert [attrs["id"] for attrs in page.all("section")] == SECTIONS
    # The text leads back to some of them.
    links = list(dict.fromkeys(a["href"] for a in page.all("a") if a["href"].startswith("#")))
    assert links == ["#main", *(f"#{name}" for name in SECTIONS)]
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids)) and {link[1:] for link in links} <= set(ids)


def test_the_page_opens_without_fetching_anything(grokked_html, page):
    assert page.outside_resources() == []
    style = re.search(r"<style>(.*?)</style>", grokked_html, re.S)
    assert style and "url(" not in style[1] and "@import" not in style[1]
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
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
    papers = [a["href"] for a in page.all("a") if not a["href"].startswith("#")]
    assert "https://arxiv.org/abs/2301.05217" in papers
    assert all(address.startswith("https://arxiv.org/abs/") for address in papers)


REPORTS = {
    "grokked": lambda: synthetic.grokked_analysis(20),
    "permutations": lambda: synthetic.permutation_analysis(20),
    "memorized": lambda: synthetic.memorized_analysis(20),
    "imported": synthetic.single_checkpoint_analysis,
}
FIGURE = re.compile(
    r'<figure id="(.*?)">.*?aria-label="(.*?)".*?class="plot-data">(.*?)</script>'
    r"<figcaption>(.*?)</figcaption>",
    re.S,
)


@pytest.mark.parametrize("kind", REPORTS)
def test_every_figure_has_a_title_axes_and_a_caption_and_description_of_its_own(kind):
    analysis = REPORTS[kind]()
    html = render_report(analysis)
    found = FIGURE.findall(html)
    names = [name.removeprefix("figure-") for name, *_ in found]
    assert names == list(figures.all_figures(analysis)) and len(names) == html.count("<figure")
    for name, label, data, caption in found:
        layout = json.loads(data)["layout"]
        axes = {key: axis for key, axis in layout.items() if re.fullmatch("[xy]axis[0-9]*", key)}
        titled = {key[0] for key, axis in axes.items() if axis.get("title", {}).get("text")}
        # Bars and marks of named parts have their names in place of a title.
        assert titled == ({"x"} if "ablations" in name else {"x", "y"}), name
        assert layout["title"]["text"] and len(caption) > 60
        assert label.startswith(unescape(layout["title"]["text"])) and len(label) > 80
    for column in (1, 3):
        texts = [row[column] for row in found]
        assert len(texts) == len(set(texts))


def test_a_description_tells_the_course_of_every_line_that_is_drawn(grokked_html):
    labels = {name: unescape(label) for name, label, *_ in FIGURE.findall(grokked_html)}
    loss = labels["figure-loss"]
    assert loss.startswith("Loss. Horizontal axis: step (updates). Vertical axis: loss (nats), log")
    assert re.search(r"train: 3\.25 at 0, .* at 25,000\. test: 4\.65 at 0, 29\.\d at", loss)
    # What waits in the legend is not told, nor is a level point by point.
    assert "mirrored" not in labels["figure-accuracy"]
    assert "chance (0.00885): 0.00885 throughout" in labels["figure-accuracy"]
    assert "k = 52: 2.78 at 52." in labels["figure-embedding-spectrum"]
    assert "without trigonometric circuit 8.3" in labels["figure-ablations"]
    assert "correct logit: from 18.9 to 21.1" in labels["figure-correct-logits"]
    assert not any("<" in label or "nan" in label for label in labels.values())


def test_tables_have_captions_and_headings_with_a_direction(page):
    assert len(page.all("table")) == len(page.all("caption")) > 10
    assert {th.get("scope") for th in page.all("th")} == {"col", "row"}


def test_the_page_begins_with_its_language_and_a_way_past_the_contents(page):
    assert page.all("html") == [{"lang": "en"}]
    assert page.all("a")[0] == {"class": "skip", "href": "#main"}
    assert [attrs for attrs in page.all("main")] == [{"id": "main"}]
    labels = [a["for"] for a in page.all("label")]
    sliders = [a["id"] for a in page.all("input")]
    assert labels == sliders == ["figure-embedding-spectrum-slider"]


def test_the_words_of_the_field_are_explained_for_this_run(page, page_of_permutations):
    said = [" ".join(p.words.split()) for p in (page, page_of_permutations)]
    of_frequencies, of_permutations = (
        re.search("Words that this report uses(.*)All [0-9]+ measures", words)[1] for words in said
    )
    assert "A network that guesses among the 113 answers has ln 113 = 4.73 nats" in of_frequencies
    assert "cos(2πka/113)" in of_frequencies and "representation" not in of_frequencies
    assert "the irreducible representations are here" in of_permutations


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
    words = " ".join(page.words.split())
    assert "Verdict: clock . At the last checkpoint, gradient symmetricity is 0.200." in words
    for cell in (
        "0.2 ± 0.004",
        "below 0.5",
        "above 0.98",
        "above 0.4",
        "below 0.6",
        "0.95",
        "clock 49.00%, pizza 40.00%",
    ):
        assert cell in words
    # The formulas, on the whole logits and on each circle alone.
    assert "98.00% 49.00%" in words and "80.00% 40.00%" in words
    assert all(f"circle {key} alone" in words for key in synthetic.KEYS)


def test_without_a_verdict_the_reason_stands_in_its_place():
    html = render_report(synthetic.memorized_analysis())
    words = " ".join(Page(html).words.split())
    assert "No algorithm was determined. Reason: test accuracy never exceeded 0.95" in words
    assert 'id="figure-correct-logits"' not in html


def test_headings_never_skip_a_level(page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_the_facts_of_the_run_can_be_read(page):
    for fact in ("8,310", "230", "8,080", "14, 35, 41, 42, 52", "100.00%", "clock"):
        assert fact in page.words
    assert "scores about the train fraction on the test pairs" in " ".join(page.words.split())
    words = " ".join(page.words.split())
    assert "The slider shows 60 of the 400 checkpoints" in words
    assert "Drawn are 160 of the 400 checkpoints" in words
    assert "weight_decay" in page.words and "Trained by grokinterp" in page.words


def test_four_hundred_checkpoints_cost_little_more_than_plotly(grokked_html):
    own = len(grokked_html.encode()) - len(get_plotlyjs().encode())
    assert own < 600_000 and len(grokked_html.encode()) < 15_000_000


def test_four_thousand_checkpoints_cost_little_more_than_four_hundred(grokked_html):
    longer = render_report(synthetic.grokked_analysis(4_000))
    assert len(longer) < len(grokked_html) + 600_000
    assert "Drawn are 160 of the 4,000 checkpoints" in longer


def test_a_page_with_unthinned_curves_would_be_too_large():
    steps = np.arange(25_001)
    curve = go.Figure([go.Scatter(x=steps, y=np.sin(steps)) for _ in range(4)])
    curve.update_layout(title_text="four raw curves")
    assert len(figure_block("raw", curve, "")) > 600_000


@pytest.mark.parametrize("case", synthetic.DEGENERATE)
def test_reports_of_odd_runs_say_why_and_never_nan(case):
    page = Page(render_report(synthetic.DEGENERATE[case]()))
    assert [attrs["id"] for attrs in page.all("section")] == SECTIONS
    words = set(re.findall(r"[\w<>]+", page.words))
    assert not {"nan", "NaN", "None", "NaT", "<NA>", "inf", "null", "undefined"} & words


def test_a_step_before_the_record_is_not_known_instead_of_not_reached():
    base = synthetic.single_checkpoint_analysis()
    words = " ".join(Page(render_report(base)).words.split())
    assert "grokking step not reached" in words
    assert "There is one checkpoint, so every line is one point" in words
    late = {**base.summary["reasons"], "outcome_kind": "no outcome"}
    later = dataclasses.replace(base, summary={**base.summary, "reasons": late})
    words = " ".join(Page(render_report(later)).words.split())
    assert "grokking step not known" in words and "not reached" not in words


def test_the_circuit_is_a_table_of_losses_with_all_numbers_folded_behind(page):
    words = " ".join(page.words.split())
    assert "all patterns linear in one frequency each" in words
    assert "trigonometric circuit removed" in words
    # Losses of single heads stand with their stage, not among those of the whole circuit.
    assert words.index("this head's pattern linear") > words.index("Attention: all numbers")
    assert "memorization circuit alone right on train from" in words
    assert "more ablations" in words


@pytest.fixture(scope="module")
def page_of_permutations():
    return Page(render_report(synthetic.permutation_analysis()))


def test_a_report_of_permutations_speaks_of_representations_alone(page_of_permutations):
    ids = [attrs["id"] for attrs in page_of_permutations.all("section")]
    assert ids == [name.replace("embedding-spectrum", "representations") for name in SECTIONS]
    words = " ".join(page_of_permutations.words.split())
    for said in (
        "Grokking report: permutation composition in S_5",
        "a ∘ b (b first, then a) in S 5 from 60% of the pairs",
        "key representations standard, sign of 6",
        "Key representations and their evidence",
        "a single key representation removed",
        "lies in one representation",
        "the characters of the key representations explain",
        "The Gini coefficients were not computed. Reason: permutations have representations",
        "permutation composition does not commute",
    ):
        assert said in words, said
    # What is left of frequencies is reasons why there are none, names of columns and sources.
    words = words.rsplit("Citations", 1)[0]
    allowed = ("no frequencies", "key_frequencies", "by_frequency", "intervention frequencies")
    for phrase in allowed:
        words = words.replace(phrase, "")
    assert "frequenc" not in words.lower(), words[words.lower().index("frequenc") - 60 :][:120]


def test_the_evidence_of_representations_is_a_table(page_of_permutations):
    words = " ".join(page_of_permutations.words.split())
    assert "Key representations and the 3 strongest others" in words
    assert re.search(r"standard key 4 [\d.]+%? ", words) and "5d_b no 5" in words


def words_of(analysis):
    return " ".join(Page(render_report(analysis)).words.split())


def of_operation(analysis, operation):
    """The same numbers as those of another task."""
    config = analysis.run.config
    task = dataclasses.replace(config.task, operation=operation)
    config = dataclasses.replace(config, task=task)
    run = dataclasses.replace(analysis.run, config=config, split=draw_split(Task(task)))
    return dataclasses.replace(analysis, run=run)


def test_the_key_frequencies_stand_with_what_they_hold_and_what_they_are_worth(page):
    words = " ".join(page.words.split())
    share = synthetic.evidence()
    held = share["logit_power_share"][share["is_key"]].sum()
    assert (
        "Averaged over the pairs with the same a + b, the logits are almost entirely waves of "
        f"these frequencies, which hold {held:.2%} of their power. A wave cos(2πk(a+b−c)/113) is "
        "largest at c = a + b; such waves of all key frequencies together explain 95.00% of the "
        "variance of the logits."
    ) in words
    assert (
        "Without their part of the logits the loss on all pairs is 8.3, with their part alone "
        "5.5 × 10 −8 , and of the whole network 2.4 × 10 −7 ."
    ) in words


def test_key_frequencies_that_hold_less_are_not_called_almost_everything():
    base = synthetic.grokked_analysis(8)
    evidence = base.key_frequencies.evidence
    share = np.where(evidence["is_key"], 0.17, 0.15 / (~evidence["is_key"]).sum())
    keys = dataclasses.replace(
        base.key_frequencies, evidence=evidence.assign(logit_power_share=share)
    )
    words = words_of(dataclasses.replace(base, key_frequencies=keys))
    assert "almost entirely" not in words
    assert "the logits have 85.00% of their power in waves of these frequencies." in words


def test_what_the_keys_hold_is_said_in_the_words_of_the_task(page_of_permutations):
    words = words_of(of_operation(synthetic.grokked_analysis(8), "multiplication"))
    assert "Averaged over the pairs with the same answer, the logits are almost" in words
    assert "is largest at c = a + b" not in words
    assert "The sums of cosines of the key frequencies explain 95.00% of the variance" in words
    words = " ".join(page_of_permutations.words.split())
    assert "the logits are almost entirely matrix elements of these representations" in words
    assert (
        "Without their part of the logits the loss on all pairs is 8.3, with their part alone"
        in words
    )


@pytest.mark.parametrize("case", synthetic.DEGENERATE)
def test_without_numbers_nothing_is_said_of_what_the_keys_hold(case):
    analysis = synthetic.DEGENERATE[case]()
    words = words_of(analysis)
    if not analysis.key_frequencies.frequencies:
        assert "Averaged over the pairs with" not in words
        assert "Without their part of" not in words


def test_the_level_of_chance_is_that_of_one_network_with_groupings_of_its_pairs(page):
    keys = dataclasses.replace(synthetic.grokked_analysis(8).key_frequencies, n_permutations=500)
    analysis = dataclasses.replace(synthetic.grokked_analysis(8), key_frequencies=keys)
    said = "what 99.9% of {}random groupings of the pairs stay below"
    assert said.format("500 ") in words_of(analysis)
    words = " ".join(page.words.split())
    assert said.format("") in words and "networks with shuffled pairs" not in words


def test_a_frequency_above_chance_and_below_the_threshold_is_marked():
    base = synthetic.grokked_analysis(8)
    evidence = base.key_frequencies.evidence.copy()
    evidence.loc[evidence["frequency"] == 20, "logit_power_share"] = 0.01
    keys = dataclasses.replace(base.key_frequencies, evidence=evidence)
    words = words_of(dataclasses.replace(base, key_frequencies=keys))
    assert "20 above chance, below 1.5% 1.00% 0.60%" in words
    assert words.count("above chance, below") == 1
    given = dataclasses.replace(keys, rule="embedding_norm")
    assert "above chance" not in words_of(dataclasses.replace(base, key_frequencies=given))


def test_the_words_of_clock_and_pizza_are_explained(page, page_of_permutations):
    said, of_permutations = (
        re.search("Words that this report uses(.*)All [0-9]+ measures", " ".join(p.words.split()))[
            1
        ]
        for p in (page, page_of_permutations)
    )
    for term in (
        "clock and pizza",
        "gradient symmetricity",
        "distance irrelevance",
        "circle alone",
    ):
        assert term in said and term not in of_permutations


def test_mirrored_pairs_are_not_promised_to_be_right_without_exception(page):
    words = " ".join(page.words.split())
    assert "is right on most test pairs (a, b) whose mirror image (b, a) is trained" in words
    assert "right on every test pair" not in words


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
        ("single_checkpoint", "without a record of its versions"),
    ],
)
def test_what_is_missing_is_said_with_its_reason(case, said):
    assert said in " ".join(Page(render_report(synthetic.DEGENERATE[case]())).words.split())


def _hostile():
    base = synthetic.memorized_analysis(8)
    run = dataclasses.replace(
        base.run, origin=EVIL, environment={EVIL: EVIL, "nested": {"a": EVIL}}, folder=Path(EVIL)
    )
    keys = dataclasses.replace(base.key_frequencies, rule=EVIL, reason=EVIL)
    summary = {
        **base.summary,
        "outcome": EVIL,
        "reasons": {EVIL: EVIL, "grokking_step": EVIL, "restricted_loss": EVIL},
        "algorithm": {"verdict": EVIL},
        "citations": {EVIL: EVIL},
        "final": {EVIL: 1.0},
    }
    return dataclasses.replace(
        base,
        run=run,
        key_frequencies=keys,
        summary=summary,
        failures={EVIL: EVIL},
        trajectory=base.trajectory.assign(**{EVIL: 1.0}),
        ablations=base.ablations.assign(component=EVIL, intervention=EVIL, frequencies=EVIL),
    )


def test_foreign_text_stays_text():
    html, harmless = render_report(_hostile()), render_report(synthetic.memorized_analysis(8))
    page = Page(html)
    assert EVIL not in html and EVIL in page.words
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
    assert [attrs["id"] for attrs in page.all("section")] == SECTIONS
    assert len(page.all("figure")) >= 6


def test_a_report_in_a_place_that_cannot_be_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RunFolderError, match="cannot make the folder"):
        write_report(synthetic.single_checkpoint_analysis(), tmp_path / "file" / "report.html")
