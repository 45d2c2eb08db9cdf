"""The command and its report: verdicts, files, mistakes, and what is quoted."""

import dataclasses
import itertools
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import grokinterp as gi
from grokinterp.errors import ConfigError, FitError, GrokinterpError, ShapeError
from grokinterp.experiments import (
    EXPERIMENTS,
    VERDICTS,
    Chart,
    Claim,
    Findings,
    Mark,
    PlannedRun,
    Scale,
    Series,
    catalogue,
    experiment_of,
    overall_verdict,
)
from grokinterp.experiments.experiment import section_of
from grokinterp.figures import plot_chart
from grokinterp.figures.charts import CENSORED_NAME, n_off_axis
from grokinterp.report.experiment import render_experiment_report
from tests import toy_experiment as toy
from tests.test_report import Page

ORDER = (
    "power2022",
    "weight_decay",
    "nanda2023",
    "varma2023",
    "omnigrok",
    "kumar2023",
    "thilak2022",
    "conditions",
)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("reproductions")


@pytest.fixture(scope="module")
def reproduced(out):
    """The toy, reproduced once."""
    return gi.reproduce(toy.EXPERIMENT, out, quick=True, n_seeds=1, n_jobs=1, progress=False)


@pytest.fixture
def command(monkeypatch, capsys):
    """The command with the toy, and another question, in the catalogue."""
    from grokinterp.commands.reproduce import main

    def with_questions(**experiments):
        monkeypatch.setattr(catalogue, "EXPERIMENTS", tuple(experiments))
        for name, experiment in experiments.items():
            module = type(sys)(name)
            module.EXPERIMENT = dataclasses.replace(experiment, name=name)
            monkeypatch.setitem(sys.modules, f"grokinterp.experiments.{name}", module)

    def run(*words):
        capsys.readouterr()
        main([*map(str, words), "--quiet", "--jobs", "1"])
        return capsys.readouterr().out

    run.with_questions = with_questions
    run.with_questions(toy=toy.EXPERIMENT)
    return run


@pytest.mark.parametrize("verdicts", list(itertools.product(VERDICTS, repeat=2)))
def test_the_overall_verdict_is_the_worst_that_is_known(verdicts):
    claims = [Claim("a", verdict, "Seen.") for verdict in verdicts]
    expected = (
        "not confirmed"
        if "not confirmed" in verdicts
        else "inconclusive"
        if "inconclusive" in verdicts
        else "confirmed"
    )
    assert overall_verdict(claims) == expected
    beside = Claim("b", "not confirmed", "Seen.", is_main=False)
    assert overall_verdict([*claims, beside]) == expected


def test_nothing_claimed_is_nothing_confirmed():
    assert overall_verdict([]) == "inconclusive"
    assert overall_verdict([Claim("a", "confirmed", "Seen.", is_main=False)]) == "inconclusive"


def test_a_claim_has_a_known_verdict_and_no_nan(without_type_checks):
    with pytest.raises(ConfigError, match="verdict='maybe' is not known. Choose one of confirmed"):
        Claim("a", "maybe", "Seen.")
    with pytest.raises(ConfigError, match="slope of the claim 'a' is NaN"):
        Claim("a", "confirmed", "Seen.", {"slope": float("nan")})


def test_every_registered_question_has_its_name_prediction_and_criterion():
    assert tuple(name for name in ORDER if name in EXPERIMENTS) == EXPERIMENTS
    for name in EXPERIMENTS:
        experiment = experiment_of(name)
        assert experiment.name == name
        assert "arXiv:" in experiment.paper
        for text in (experiment.prediction, experiment.criterion):
            assert any(character.isdigit() for character in text), f"{name} states no number"
        assert experiment.minutes_quick <= 5 and experiment.minutes_full >= experiment.minutes_quick


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("is_quick", [True, False])
def test_every_registered_plan_can_be_drawn_up(name, is_quick):
    planned = experiment_of(name).plan(Scale(is_quick))
    assert planned and all(isinstance(one, PlannedRun) for one in planned)
    assert len({frozenset(one.labels) for one in planned}) == 1
    fewer = experiment_of(name).plan(Scale(is_quick, n_seeds=1))
    assert len(fewer) <= len(planned)


def test_a_section_ends_at_the_next_title():
    text = "Title.\n\nPrediction\n----------\nA line\nof 2.\n\nB.\n\nCriterion\n---------\nC."
    assert section_of(text, "Prediction") == "A line\nof 2.\n\nB."
    assert section_of(text, "Criterion") == "C."
    assert section_of(text, "Title.") is None and section_of("", "Criterion") is None


def test_a_question_without_a_criterion_cannot_be_reported():
    with pytest.raises(ConfigError, match="docstring of toy has no section 'Criterion'"):
        _ = dataclasses.replace(toy.EXPERIMENT, docstring="Doubt.").criterion


def test_a_reproduction_leaves_its_table_its_verdict_and_its_runs(reproduced, out):
    folder = out / "toy_quick"
    assert {p.name for p in folder.iterdir()} == {"runs.csv", "counts.csv", "verdict.json"}
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["verdict"] == reproduced.verdict == "not confirmed"
    assert (verdict["n_runs"], verdict["n_censored"], verdict["failures"]) == (2, 2, [])
    assert verdict["criterion"] == toy.EXPERIMENT.criterion and "100 steps" in verdict["prediction"]
    assert verdict["found"] == toy.FOUND == reproduced.findings.found
    assert verdict["numbers"] == {"memorizes": {"n": 1}} and verdict["scale"] == "quick"
    assert verdict["command"] == "python -m grokinterp.reproduce toy --quick --seeds 1"
    runs = pd.read_csv(folder / "runs.csv")
    assert {p.name for p in (out / "runs").iterdir()} == set(runs["run"])


def test_a_table_of_an_earlier_verdict_does_not_stay(reproduced, out):
    def judge(table, scale):
        return dataclasses.replace(toy.judge(table, scale), tables={"other": table[["run"]]})

    other = dataclasses.replace(toy.EXPERIMENT, judge=judge)
    gi.reproduce(other, out, quick=True, n_seeds=1, n_jobs=1, progress=False)
    assert (out / "toy_quick" / "other.csv").exists()
    assert not (out / "toy_quick" / "counts.csv").exists()


def test_the_report_quotes_what_was_written_beforehand_and_escapes_everything(reproduced):
    page = Page(render_experiment_report(reproduced))
    for words in (
        "Every run knows its training pairs <within> 100 steps.",
        "Confirmed when all of them do, not confirmed when one does not, inconclusive without",
        "p = 13, a network of 64 neurons.",
        "Small networks memorize <fast>.",
        "<b>kind</b>",
        "<i>toy</i>",
        "A <toy>.",
        "Until 2026-01-01 half of the runs <were> enough.",
        "1 of 2 did.",
        "python -m grokinterp.reproduce toy --quick --seeds 1",
    ):
        assert words in page.words
    # What was found comes before the verdict, the paper and its claim.
    assert page.words.index(toy.FOUND) < page.words.index("A toy")
    assert page.words.index(toy.FOUND) < page.words.index("not confirmed")
    assert not page.all("i") and not page.all("b") and page.outside_resources() == []
    assert page.words.count(f"not by {toy.N_STEPS}") == 2
    classes = [node.attrs.get("class") for node in page.all("strong")]
    assert classes == ["verdict not-confirmed"]
    papers = [a.attrs["href"] for a in page.all("a") if not a.attrs["href"].startswith("#")]
    assert papers == ["https://arxiv.org/abs/2201.02177"]


def test_the_report_tells_a_first_crossing_from_the_step_that_the_delay_is_counted_to(reproduced):
    """The accuracy of such a run crossed at 2,120, fell in a slingshot and came back at 2,480."""
    table = reproduced.table.copy()
    steps = {"memorization_step": 60, "grokking_time": 2120, "grokking_step": 2480}
    for name, value in {**steps, "grokking_delay": 2420, "is_censored": False}.items():
        table[name] = table[name].astype(object)
        table.loc[0, name] = value
    page = Page(render_experiment_report(dataclasses.replace(reproduced, table=table)))
    assert "60 2,120 2,480 2,420" in " ".join(page.words.split())
    assert "memorization step grokking time grokking step grokking delay" in " ".join(
        page.words.split()
    )
    assert "grokking delay is grokking step less memorization step" in page.words
    assert "stays above for 1,000 steps, or to the end" in page.words
    never = Page(render_experiment_report(reproduced)).words
    assert "first tested step with a test accuracy above 95%" in never
    assert "the grokking step is" not in never.lower()


def test_the_times_of_a_regression_are_not_explained(reproduced):
    table = reproduced.table.assign(grokking_time=None, is_censored=None)
    words = Page(render_experiment_report(dataclasses.replace(reproduced, table=table))).words
    assert "grokking time" not in words


def test_a_run_that_failed_leaves_the_verdict_open_and_is_in_the_report(reproduced):
    from grokinterp.experiments.sweep import Failure

    failure = Failure("abc", {"seed": 3}, "its <process> was killed")
    sure = Findings((Claim("sure", "confirmed", "All did."),))
    assert dataclasses.replace(reproduced, findings=sure).verdict == "confirmed"
    open_ = dataclasses.replace(reproduced, findings=sure, failures=(failure,))
    assert open_.verdict == "inconclusive"
    page = Page(render_experiment_report(open_))
    assert "its <process> was killed" in page.words and "seed=3" in page.words


def test_without_any_run_there_is_nothing_to_judge(tmp_path):
    def judge(table, scale):
        raise AssertionError("there is nothing to judge")

    blocked = toy.planned(1e-2, seed=0, n_steps=5)
    (tmp_path / "runs" / blocked.config.hash()).mkdir(parents=True)
    (tmp_path / "runs" / blocked.config.hash() / "notes.txt").write_text("something else")
    broken = dataclasses.replace(toy.EXPERIMENT, plan=lambda scale: [blocked], judge=judge)
    result = gi.reproduce(broken, tmp_path, n_jobs=1, progress=False)
    assert result.verdict == "inconclusive" and len(result.failures) == 1
    assert "No run was finished" in Page(render_experiment_report(result)).words


def test_the_command_prints_the_verdict_and_writes_the_report(reproduced, out, command):
    lines = command("toy", "--quick", "--seeds", 1, "--out", out).splitlines()
    assert lines[0] == "toy: not confirmed"
    assert lines[1] == f"  {toy.FOUND}"
    assert lines[2] == "  not confirmed memorizes: 1 of 2 did."
    assert lines[3].startswith("2 runs, 2 censored, ")
    assert lines[4].endswith("report.html") and (out / "toy_quick" / "report.html").exists()


def test_all_goes_on_after_a_failure_and_ends_with_the_table_of_verdicts(reproduced, out, command):
    def judge(table, scale):
        raise ZeroDivisionError("a bug")

    command.with_questions(
        broken=dataclasses.replace(toy.EXPERIMENT, judge=judge), toy=toy.EXPERIMENT
    )
    with pytest.raises(GrokinterpError, match="1 of 2 questions had failures: broken: ZeroDiv"):
        command("all", "--quick", "--seeds", 1, "--out", out)
    verdicts = pd.read_csv(out / "verdicts.csv")
    assert list(verdicts["name"]) == ["toy"] and list(verdicts["verdict"]) == ["not confirmed"]
    command.with_questions(one=toy.EXPERIMENT, two=toy.EXPERIMENT)
    lines = command("all", "--quick", "--seeds", 1, "--out", out).splitlines()
    assert lines[0].startswith("one           not confirmed, ") and lines[1].startswith("two ")
    assert list(pd.read_csv(out / "verdicts.csv")["name"]) == ["one", "two"]


def test_a_failed_run_ends_the_command_with_its_reason_after_all_is_written(tmp_path, command):
    blocked = toy.planned(1e-2, seed=0, n_steps=5)
    (tmp_path / "runs" / blocked.config.hash()).mkdir(parents=True)
    (tmp_path / "runs" / blocked.config.hash() / "notes.txt").write_text("something else")
    plan = [blocked, toy.planned(1e-2, seed=1, n_steps=5)]
    command.with_questions(toy=dataclasses.replace(toy.EXPERIMENT, plan=lambda scale: plan))
    with pytest.raises(GrokinterpError, match="1 of 2 runs of toy failed, so its verdict is inc"):
        command("toy", "--out", tmp_path)
    verdict = json.loads((tmp_path / "toy" / "verdict.json").read_text())
    assert verdict["verdict"] == "inconclusive" and verdict["n_runs"] == 1
    assert verdict["failures"][0]["labels"]["seed"] == 0
    assert (tmp_path / "toy" / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nope"], "experiment 'nope' is not known. Choose one of toy."),
        ([], "no question is named"),
        (["toy", "--seeds", "0"], "seeds=0 is not allowed"),
        (["toy", "--scheduler", "tcp://a:1"], "does not go with loky"),
        (["toy", "--backend", "dask"], "needs a scheduler"),
        (["all", "--backend", "dask"], "needs a scheduler"),
        (["toy", "--backend", "mpi"], "mpi"),
        (["toy", "--out", "/proc/nowhere"], "cannot make the folder /proc/nowhere"),
    ],
)
def test_a_mistake_gets_one_line(command, words, message):
    with pytest.raises(GrokinterpError) as caught:
        command(*words)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("words", [["--list"], ["--help"], ["nope"]])
def test_the_list_help_and_mistakes_come_before_torch(words):
    script = (
        "import runpy, sys\n"
        f"sys.argv = ['grokinterp.reproduce', *{words!r}]\n"
        "try:\n"
        "    runpy.run_module('grokinterp.reproduce', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as exit_:\n"
        f"    assert (exit_.code or 0) == {2 if words == ['nope'] else 0}, exit_.code\n"
        "heavy = {'torch', 'plotly', 'transformer_lens', 'distributed'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    if words != ["--help"]:
        for name in EXPERIMENTS:
            assert name in result.stdout + result.stderr


def chart(*series, **changes):
    fixed = {"name": "c", "title": "T", "x_title": "x", "y_title": "y", "caption": "C."}
    return Chart(**fixed, series=series, **changes)


def test_a_chart_shows_censored_points_apart_at_their_last_step():
    runs = Series("runs", [1, 2, 3], [30, 20, 10], is_censored=[True, False, True])
    seen, censored = plot_chart(chart(runs, is_x_log=True, is_y_log=True)).data
    assert (list(seen.x), list(seen.y)) == ([2], [20])
    assert (list(censored.x), list(censored.y)) == ([1, 3], [30, 10])
    assert censored.name == CENSORED_NAME and censored.marker.symbol == "triangle-up-open"
    assert seen.marker.color == censored.marker.color


def test_what_a_logarithmic_axis_cannot_show_is_left_out_and_counted():
    runs = Series("runs", [0, 1, 2, np.nan], [5, 0, 7, 8])
    assert n_off_axis(chart(runs)) == 0
    drawn = chart(runs, is_x_log=True, is_y_log=True, marks=(Mark("x", 0.0, "never"),))
    figure = plot_chart(drawn)
    assert n_off_axis(drawn) == 2 and list(figure.data[0].x) == [2]
    assert len(figure.data) == 1 and figure.layout.xaxis.type == "log"
    with pytest.raises(FitError, match="there is no point to draw"):
        plot_chart(chart(Series("none", [0], [1]), is_x_log=True))


def test_a_fit_has_the_colour_of_its_points_and_a_mark_its_words():
    figure = plot_chart(
        chart(
            Series("a", [1, 2], [3, 4], low=[2, 3], high=[5, 6]),
            Series("b", [1, 2], [3, 4]),
            Series("fit of a", [1, 2], [3, 4], kind="line", is_dashed=True, color_index=0),
            Series("train", [1, 2], [3, 4], kind="line", role="train"),
            marks=(Mark("y", 3.5, "budget"),),
        )
    )
    a, b, fit, train, mark = figure.data
    assert a.marker.color == fit.line.color != b.marker.color
    assert list(a.error_y.array) == [2, 2] and list(a.error_y.arrayminus) == [1, 1]
    assert train.line.color == "#0072B2" and fit.line.dash == "dash"
    assert (mark.name, list(mark.x), list(mark.y)) == ("budget", [1, 2], [3.5, 3.5])
    assert figure.layout.xaxis.title.text == "x" and figure.layout.title.text == "T"


def test_a_series_has_as_many_y_as_x():
    with pytest.raises(ShapeError, match="series 'runs' has 2 x and 1 of y"):
        Series("runs", [1, 2], [1])
