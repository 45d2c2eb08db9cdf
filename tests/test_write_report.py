"""One function writes the report of whatever the library comes to: it takes any result."""

import dataclasses

import pandas as pd
import pytest

import grokinterp as gi
from grokinterp.comparison import comparison_of
from grokinterp.errors import ConfigError
from grokinterp.experiments import Claim, Findings, Scale
from grokinterp.experiments.reproduction import Reproduction
from grokinterp.report import render_comparison, render_experiment_report, render_report
from tests import synthetic, toy_experiment


@pytest.fixture(scope="module")
def analyses():
    return [synthetic.grokked_analysis(12), synthetic.memorized_analysis(12)]


@pytest.fixture(scope="module")
def reproduction(tmp_path_factory):
    findings = Findings((Claim("planted", "confirmed", "It is so.", {}),))
    table = pd.DataFrame()
    out = tmp_path_factory.mktemp("out")
    return Reproduction(toy_experiment.EXPERIMENT, Scale(True), table, (), findings, out, 0.0)


def test_an_analysis_becomes_its_report(analyses, tmp_path):
    path = gi.write_report(analyses[0], tmp_path / "new" / "report.html")
    assert path.read_text() == render_report(analyses[0])


def test_a_list_of_analyses_becomes_the_report_of_their_comparison(analyses, tmp_path):
    path = gi.write_report(analyses, tmp_path / "both.html")
    assert path.read_text() == render_comparison(analyses)
    # One file, and none of the tables that write_comparison puts beside it.
    assert list(tmp_path.iterdir()) == [path]


def test_a_comparison_gives_the_same_report_as_its_analyses(analyses, tmp_path):
    compared = comparison_of(analyses)
    a = gi.write_report(compared, tmp_path / "a.html")
    assert a.read_text() == gi.write_report(analyses, tmp_path / "b.html").read_text()


def test_the_report_of_a_comparison_leads_to_the_reports_of_its_runs(analyses, tmp_path):
    own = tmp_path / "runs" / "one" / "analysis" / "report.html"
    gi.write_report(analyses[0], own)
    run = dataclasses.replace(analyses[0].run, folder=own.parents[1])
    one = dataclasses.replace(analyses[0], run=run)
    html = gi.write_report([one, analyses[1]], tmp_path / "together" / "both.html").read_text()
    assert '<a href="../runs/one/analysis/report.html">' in html


def test_a_reproduction_becomes_its_report_under_both_names(reproduction, tmp_path):
    one = gi.write_report(reproduction, tmp_path / "a.html")
    other = gi.write_experiment_report(reproduction, tmp_path / "b.html")
    assert one.read_text() == other.read_text() == render_experiment_report(reproduction)


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("wrong", [None, "run", pd.DataFrame({"run": ["a"]}), {"a": 1}])
def test_what_has_no_report_is_refused_before_anything_is_made(wrong, tmp_path):
    with pytest.raises(ConfigError, match="It takes an Analysis, a list of them, a Comparison"):
        gi.write_report(wrong, tmp_path / "new" / "report.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without_type_checks")
def test_lists_that_are_no_analyses_are_refused_before_anything_is_made(tmp_path):
    for wrong in ([], [3]):
        with pytest.raises(ConfigError, match="analyses, runs or paths"):
            gi.write_report(wrong, tmp_path / "new" / "report.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without_type_checks")
def test_each_name_refuses_what_the_other_takes(analyses, tmp_path):
    with pytest.raises(ConfigError, match="It takes a Reproduction"):
        gi.write_experiment_report(analyses[0], tmp_path / "new" / "report.html")
    with pytest.raises(ConfigError, match="Analysis is a single one"):
        gi.write_comparison(analyses[0], tmp_path / "new")
    for table in (gi.compare(analyses), None):
        with pytest.raises(ConfigError, match="It takes a list of analyses"):
            gi.write_comparison(table, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
