"""Text of others in a report: shown as text, whatever it is, and never part of the page."""

import dataclasses
import html
import json
from collections import Counter
from html.parser import HTMLParser

import pandas as pd
import pytest

from tests import toy_experiment
from tests.wrong_uses import tiny_config

PAYLOADS = {
    "a harmless word": "word",
    "script": "<script>alert(1)</script>",
    "end of script": "</script><img src=x onerror=alert(1)>",
    "comment": "<!--<script>",
    "end of comment": "-->]]><svg/onload=alert(1)>",
    "quotes": "\" onmouseover=alert(1) '",
    "link": "<a href='javascript:alert(1)'>x</a> javascript:alert(1)",
    "template": "$title ${sections} $$ {{7*7}} %s {0}",
    "entity": "&lt;script&gt; &#60;b&#62; &amp",
    "controls": "\x1b[31m\x00\u2028\u2029\r\n</p>\u202e",
}


class Page(HTMLParser):
    """Elements, attributes and links of a page, and its text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.links, self.texts, self.comments = Counter(), Counter(), [], 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements[tag, tuple(sorted(name for name, _ in attrs))] += 1
        # An address in our own words may quote an id, so only its kind is kept.
        self.links.update((n, (v or "")[:8]) for n, v in attrs if n in ("href", "src", "action"))

    def handle_comment(self, _):
        self.comments += 1

    def handle_decl(self, decl):
        self.elements["!", decl] += 1

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module", autouse=True)
def _without_plotly():
    """Four megabytes of plotly.js are the same in every page."""
    from grokinterp.report import page

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "get_plotlyjs", lambda: "")
        yield


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    """An analysis whose tables all have rows of text, p = 5."""
    from grokinterp.training import train
    from grokinterp.trajectory import analyze_run

    run = train(tiny_config(), tmp_path_factory.mktemp("text") / "run", progress=False)
    return analyze_run(run)


PLACES = (
    "origin folder environment-name environment-value outcome reason-name reason failure-name "
    "failure rule empty-set algorithm citation-name citation column component"
).split()


def hostile(analysis, tmp_path, payload):
    """The analysis with a text of its own in every place that others can write to."""
    from grokinterp.circuits import Algorithm

    text = {place: f"[{place}]{payload}" for place in PLACES}
    milestones = dataclasses.replace(
        analysis.milestones,
        outcome=text["outcome"],
        reasons={**analysis.milestones.reasons, text["reason-name"]: text["reason"]},
    )
    cited = dataclasses.replace(
        analysis.measures[0], name=text["citation-name"], source=text["citation"]
    )
    run = dataclasses.replace(
        analysis.run,
        origin=text["origin"],
        folder=tmp_path / text["folder"].replace("/", "∕"),
        environment={text["environment-name"]: text["environment-value"]},
    )
    ablations = analysis.ablations.copy()
    ablations.loc[1, "component"] = text["component"]
    trajectory = analysis.trajectory.assign(**{text["column"]: 1.0})
    keys = dataclasses.replace(
        analysis.key_frequencies, rule=text["rule"], reason=text["empty-set"]
    )
    return dataclasses.replace(
        analysis,
        run=run,
        milestones=milestones,
        algorithm=Algorithm("none", text["algorithm"]),
        measures=(cited, *analysis.measures[1:]),
        ablations=ablations,
        trajectory=trajectory,
        key_frequencies=keys,
        failures={text["failure-name"]: text["failure"]},
    )


def rendered(analysis, tmp_path, payload):
    from grokinterp.report import render_report

    return render_report(hostile(analysis, tmp_path, payload))


@pytest.fixture(scope="module")
def plain(analysis, tmp_path_factory):
    """The page with a harmless word in every place."""
    return rendered(analysis, tmp_path_factory.mktemp("plain"), "word")


def require_same_page(text, plain, payload):
    """Refuse a page with an element, attribute, comment or kind of link that was not there."""
    page, expected = Page(text), Page(plain)
    assert page.elements == expected.elements
    assert page.links == expected.links
    assert page.comments == expected.comments
    if "<" in payload:
        assert payload not in text


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("name", PAYLOADS)
def test_text_of_others_adds_no_element_to_a_report(analysis, plain, tmp_path, name):
    text = rendered(analysis, tmp_path, PAYLOADS[name])
    require_same_page(text, plain, PAYLOADS[name])
    shown = html.unescape("".join(Page(text).texts))
    # Not one of the places is left out of the page, so all of them were tried.
    assert [p for p in PLACES if f"[{p}]" not in shown] == []


@pytest.mark.usefixtures("without_type_checks")
def test_a_page_that_forgot_to_escape_would_be_noticed(analysis, tmp_path):
    text = rendered(analysis, tmp_path, "word")
    for payload in ("<script>alert(1)</script>", "</script><img src=x onerror=alert(1)>"):
        with pytest.raises(AssertionError):
            require_same_page(text.replace("[origin]word", payload), text, "")


@pytest.fixture(scope="module")
def toy_table(tmp_path_factory):
    """Rows of the toy experiment, from one run."""
    from grokinterp.experiments import Scale
    from grokinterp.experiments.run_table import row_of
    from grokinterp.training import train

    planned = toy_experiment.plan(Scale(is_quick=True))[0]
    run = train(planned.config, tmp_path_factory.mktemp("toy") / "run", progress=False)
    return pd.DataFrame([row_of(run, planned)])


EXPERIMENT_PLACES = (
    "name paper claim prediction label label-value claim-name sentence number note table "
    "table-column table-cell failure-run failure-label failure-value failure chart-title caption "
    "axis series mark"
).split()


def hostile_reproduction(table, out, payload):
    """A reproduction with a text of its own wherever an experiment can put one."""
    from grokinterp.experiments import Chart, Claim, Findings, Mark, Scale, Series
    from grokinterp.experiments.reproduction import Reproduction
    from grokinterp.experiments.sweep import Failure

    text = {place: f"[{place}]{payload}" for place in EXPERIMENT_PLACES}
    # A docstring is laid out in paragraphs and lists by its own author.
    prediction = " ".join(text["prediction"].split())
    docstring = toy_experiment.__doc__.replace("Every run", f"{prediction} Every run")
    experiment = dataclasses.replace(
        toy_experiment.EXPERIMENT,
        docstring=docstring,
        paper=text["paper"],
        claim=text["claim"],
    )
    object.__setattr__(experiment, "name", text["name"])
    chart = Chart(
        name="time",
        title=text["chart-title"],
        x_title=text["axis"],
        y_title="steps",
        caption=text["caption"],
        series=(Series(text["series"], [1.0, 2.0], [1.0, 2.0]),),
        marks=(Mark("x", 1.0, text["mark"]),),
    )
    findings = Findings(
        (Claim(text["claim-name"], "confirmed", text["sentence"], {text["number"]: 1}),),
        {text["table"]: pd.DataFrame({text["table-column"]: [text["table-cell"]]})},
        (chart,),
        (text["note"],),
    )
    failure = Failure(
        text["failure-run"], {text["failure-label"]: text["failure-value"]}, text["failure"]
    )
    return Reproduction(
        experiment=experiment,
        scale=Scale(is_quick=True),
        table=table.assign(**{text["label"]: text["label-value"]}),
        failures=(failure,),
        findings=findings,
        out=out,
        seconds=1.0,
    )


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("name", PAYLOADS)
def test_text_of_an_experiment_adds_no_element_to_its_report(toy_table, tmp_path, name):
    from grokinterp.report import write_experiment_report

    pages = []
    for payload in (PAYLOADS[name], "word"):
        result = hostile_reproduction(toy_table, tmp_path, payload)
        path = write_experiment_report(result, tmp_path / "report.html")
        pages.append(path.read_text(encoding="utf-8"))
    require_same_page(pages[0], pages[1], PAYLOADS[name])
    assert [p for p in EXPERIMENT_PLACES if f"[{p}]" not in pages[0]] == []


def test_no_text_of_ours_in_a_table_is_a_formula(analysis, tmp_path):
    # A spreadsheet runs a cell that begins with one of these; a number may begin with a minus.
    from grokinterp.trajectory import write_tables

    for path in write_tables(analysis, tmp_path):
        if path.suffix == ".csv":
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            cells = [*table.columns, *table.to_numpy().ravel()]
            texts = [cell for cell in cells if cell and not _is_number(cell)]
            assert texts and not [cell for cell in texts if cell[0] in "=+-@\t"]


def _is_number(cell):
    try:
        json.loads(cell)
    except ValueError:
        return cell in ("nan", "inf", "-inf")
    return True
