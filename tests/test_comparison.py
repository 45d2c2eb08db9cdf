"""Runs side by side: what differs, what came of it, and how that is drawn and reported."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import grokinterp as gi
from grokinterp import figures
from grokinterp.commands import analyze
from grokinterp.comparison import Comparison, comparison_of, names_of, setting_table
from grokinterp.comparison.settings import find_settings
from grokinterp.errors import ConfigError, FitError, GrokinterpError, RunFolderError
from grokinterp.figures.run_looks import SCALE, _along
from grokinterp.report import render_comparison, write_comparison
from grokinterp.runs.config import ImportedConfig
from grokinterp.training import train
from tests import synthetic, tiny

EVIL = "<script>alert(1)</script><img src=x>\"'&%{y}"


def planted(weight_decay=1.0, seed=0, grokking_step=8_310, folder=None, **changes):
    """An analysis of a run that grokked at a step, or never did (None)."""
    groks = grokking_step is not None
    base = synthetic.grokked_analysis(12) if groks else synthetic.memorized_analysis(12)
    config = base.run.config
    config = dataclasses.replace(
        config,
        optimizer=dataclasses.replace(config.optimizer, weight_decay=weight_decay),
        model=dataclasses.replace(config.model, init_seed=seed),
        task=dataclasses.replace(config.task, p=113),
        **changes,
    )
    run = dataclasses.replace(base.run, config=config, folder=folder)
    if not groks:
        return dataclasses.replace(base, run=run)
    milestones = dataclasses.replace(
        base.milestones,
        grokking_step=grokking_step,
        grokking_delay=grokking_step - base.milestones.memorization_step,
    )
    return dataclasses.replace(base, run=run, milestones=milestones)


@pytest.fixture(scope="module")
def sweep():
    """Three weight decays with two seeds each; without weight decay nothing groks."""
    rows = [(0.0, 0, None), (0.0, 1, None), (0.1, 0, 9_000), (0.1, 1, None), (1.0, 0, 3_000)]
    return [planted(*row) for row in (*rows, (1.0, 1, 5_000))]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two trained runs, of two weight decays."""
    at = tmp_path_factory.mktemp("runs")
    for decay in (0.5, 2.0):
        base = tiny.config(n_steps=60)
        optimizer = dataclasses.replace(base.optimizer, weight_decay=decay)
        train(dataclasses.replace(base, optimizer=optimizer), at / f"wd{decay:g}", progress=False)
    return at


@pytest.fixture
def runs(folders, tmp_path):
    """Copies of them that a test may write into."""
    return shutil.copytree(folders, tmp_path / "runs")


# What differs, and what runs are called


def test_the_table_has_a_row_per_run_and_a_column_per_field_that_differs(sweep):
    table = gi.compare(sweep)
    assert isinstance(table.index, pd.RangeIndex) and len(table) == 6
    fields = [name for name in table if "." in name]
    assert fields == ["optimizer.weight_decay", "model.init_seed"]
    assert table["optimizer.weight_decay"].tolist() == [0.0, 0.0, 0.1, 0.1, 1.0, 1.0]
    assert table["model.init_seed"].tolist() == [0, 1, 0, 1, 0, 1]
    assert table["run"].tolist()[2] == "weight_decay=0.1, init_seed=0"
    assert len(set(table["run"])) == 6
    assert table["key_frequencies"].tolist()[4] == synthetic.KEYS
    last = sweep[4].trajectory.iloc[-1]
    for name in ("train_loss", "test_accuracy", "sum_squared_weights", "gini_W_E"):
        assert table[name].tolist()[4] == last[name]


def test_a_run_that_never_grokked_is_kept_and_censored_at_its_last_step(sweep):
    table = gi.compare(sweep)
    is_censored = [True, True, False, True, False, False]
    assert table["grokking_step"].isna().tolist() == is_censored
    assert table["censored_at"].notna().tolist() == is_censored
    assert set(table["censored_at"].dropna()) == {synthetic.NANDA_STEPS}
    assert str(table["grokking_step"].dtype) == str(table["censored_at"].dtype) == "Int64"


def test_a_record_that_begins_above_the_threshold_is_not_censored():
    late = planted(grokking_step=None)
    curves = late.run.curves.assign(test_accuracy=0.99)
    known = dataclasses.replace(late, run=dataclasses.replace(late.run, curves=curves))
    table = gi.compare([late, known])
    assert table["censored_at"].isna().tolist() == [False, True]


def test_labels_are_as_short_as_they_can_be():
    def labels(rows, names=None):
        configs = [dict(zip(("a.decay", "b.init_seed", "c.split_seed"), r)) for r in rows]  # noqa: B905
        return find_settings(configs, names or [f"run{i}" for i in range(len(rows))]).labels

    # Two seeds that go together: one of them says it.
    assert labels([(1, 0, 0), (1, 1, 1)]) == ("init_seed=0", "init_seed=1")
    assert labels([(1, 0, 5), (2, 1, 6)]) == ("decay=1", "decay=2")
    assert labels([(1, 0, 0), (1, 0, 1), (2, 0, 0)])[1] == "decay=1, split_seed=1"
    # The same config twice is told apart by folders, of itself or within a label.
    assert labels([(1, 0, 0), (1, 0, 0)]) == ("run0", "run1")
    assert labels([(1, 0, 0), (1, 0, 0), (2, 0, 0)]) == (
        "decay=1 (run0)",
        "decay=1 (run1)",
        "decay=2",
    )
    long = "x" * 60
    assert labels([(long, 0, 0), (2, 0, 0)], ["first", "second"]) == ("first", "second")


def test_names_are_the_ends_of_paths_that_tell_them_apart():
    assert names_of([Path("a/x"), Path("b/y")]) == ("x", "y")
    assert names_of([Path("a/x"), Path("b/x"), None]) == ("a/x", "b/x", "run 3")


def test_length_and_seeds_make_no_setting_and_a_chosen_field_does():
    configs = [
        {"n_steps": 9, "model.init_seed": 0, "loss": "mse"},
        {"n_steps": 8, "model.init_seed": 1, "loss": "mse"},
    ]
    found = find_settings(configs, ["a", "b"])
    assert found.settings == ("", "") and found.fields == ("n_steps", "model.init_seed")
    assert find_settings(configs, ["a", "b"], "n_steps").settings == ("n_steps=9", "n_steps=8")
    assert find_settings(configs, ["a", "b"], ["loss"]).settings == ("loss=mse", "loss=mse")


def test_what_is_not_known_of_an_imported_run_does_not_differ(sweep):
    ours = sweep[4]
    config = ImportedConfig(ours.run.config.task, ours.run.config.model, ("model.init_seed",))
    theirs = dataclasses.replace(ours, run=dataclasses.replace(ours.run, config=config))
    assert comparison_of([ours, theirs]).settings.fields == ()
    known = dataclasses.replace(config, task=dataclasses.replace(config.task, p=59))
    theirs = dataclasses.replace(ours, run=dataclasses.replace(ours.run, config=known))
    table = gi.compare([ours, theirs], by="weight_decay")
    assert table["task.p"].tolist() == [113, 59]
    assert table["optimizer.weight_decay"].isna().tolist() == [False, True]


def test_a_field_orders_the_rows_by_its_values(sweep):
    table = gi.compare([sweep[5], sweep[0], sweep[2]], by="weight_decay")
    assert table["optimizer.weight_decay"].tolist() == [0.0, 0.1, 1.0]
    assert gi.compare([sweep[5], sweep[0]])["optimizer.weight_decay"].tolist() == [1.0, 0.0]


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize(
    ("given", "by", "message"),
    [
        (lambda a: [], None, "there is no run to compare"),
        (lambda a: [a[0], a[1], a[0]], None, "a run in memory is there twice"),
        (lambda a: [a[0], a[0].run], None, "a run in memory is there twice"),
        (lambda a: "runs/a", None, "takes a list of runs, and str is a single one"),
        (lambda a: [a[0], 3], None, "int is no run. Give analyses, runs or paths"),
        (
            lambda a: a,
            "color",
            "by='color' is no field of these configs. Choose one of model.in",
        ),
        (lambda a: a, ["init_seed", "color"], "by='color' is no field of these configs."),
    ],
)
def test_a_mistake_is_refused_in_one_line(sweep, given, by, message):
    with pytest.raises(ConfigError) as error:
        gi.compare(given(sweep), by)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_end_of_several_fields_is_refused_with_their_names():
    configs = [{"task.seed": 0, "pressures.seed": 1}]
    with pytest.raises(ConfigError, match="end of several fields. Choose one of task.seed, press"):
        find_settings(configs, ["a"], "seed")


def test_paths_are_analyzed_with_the_numbers_that_were_kept(runs, monkeypatch):
    run = gi.load_run(runs / "wd0.5")
    known = gi.analyze_run(run, deep=False)

    def forbidden(*arguments):
        raise AssertionError("a kept number was computed again")

    monkeypatch.setattr(gi.Measure, "values", forbidden)
    table = gi.compare([runs / "wd0.5"])
    assert table["test_loss"].tolist() == [known.trajectory["test_loss"].iloc[-1]]
    assert table["folder"].tolist() == [str(runs / "wd0.5")]
    with pytest.raises(AssertionError, match="computed again"):
        gi.compare([runs / "wd0.5", runs / "wd2"])


def test_the_same_folder_by_two_names_is_refused(runs):
    run = gi.load_run(runs / "wd2")
    for twice in (
        [runs / "wd2", runs / "wd2" / "..", runs / "." / "wd2"],
        [run, str(runs / "wd2")],
    ):
        with pytest.raises(GrokinterpError, match="wd2 is there twice"):
            gi.compare(twice)
    with pytest.raises(RunFolderError, match="nothing does not exist"):
        gi.compare([runs / "wd2", runs / "nothing"])


# Settings


def test_the_median_of_a_setting_counts_the_runs_that_never_grokked(sweep):
    table = gi.compare_settings(sweep)
    assert table["setting"].tolist() == ["weight_decay=0", "weight_decay=0.1", "weight_decay=1"]
    assert table["n_runs"].tolist() == [2, 2, 2]
    assert table["n_generalized"].tolist() == [0, 1, 2]
    assert table["n_censored"].tolist() == [2, 1, 0]
    # One of two at 9,000 and the other later: half are left from there on, so no median yet.
    assert table["grokking_step"].isna().tolist() == [True, True, False]
    assert table["grokking_step"].tolist()[2] == 4_000
    assert table["grokking_step_low"].tolist()[1:] == [9_000, 3_000]
    assert table["grokking_step_high"].isna().tolist() == [True, True, False]
    more = [*sweep, planted(0.1, 2, 7_000)]
    by_decay = gi.compare_settings(more, by="weight_decay")
    assert by_decay["grokking_step"].tolist()[1] == 9_000
    # To leave the censored run out would have given 8,000.
    assert by_decay["n_runs"].tolist() == [2, 3, 2]


# Figures


def test_settings_have_colours_along_their_values_and_seeds_share_them(sweep):
    figure = figures.plot_compared_losses(sweep)
    lines = [trace for trace in figure.data if trace.meta]
    assert len(lines) == 12
    colors, strengths = {}, {}
    for line in lines:
        setting = line.legendgroup
        colors.setdefault(setting, set()).add(line.line.color)
        strengths.setdefault(line.meta["run"], set()).add(line.opacity)
        is_train = line.meta["column"] == "train_loss"
        assert line.line.dash == ("dash" if is_train else "solid")
    assert list(colors) == ["weight_decay=0", "weight_decay=0.1", "weight_decay=1"]
    assert all(len(of_setting) == 1 for of_setting in colors.values())
    assert len(set.union(*colors.values())) == 3
    assert strengths["weight_decay=0, init_seed=0"] == {1.0}
    assert strengths["weight_decay=0, init_seed=1"] < {0.45, 0.0}
    named = [trace.name for trace in figure.data if trace.showlegend is not False]
    assert named == [*(f"{name} (2 runs)" for name in colors), "test", "train"]
    assert figure.layout.yaxis.type == "log" and figure.layout.xaxis.type is None
    assert figure.layout.yaxis.title.text == "loss (nats)"


def test_a_line_has_the_numbers_of_its_run(sweep):
    figure = figures.plot_compared(sweep, "gini_W_E")
    for analysis, label in zip(sweep, comparison_of(sweep).labels, strict=True):
        (line,) = [trace for trace in figure.data if trace.meta["run"] == label]
        assert line.y.tolist() == analysis.trajectory["gini_W_E"].dropna().tolist()
    assert figure.layout.yaxis.type is None
    assert figures.plot_compared(sweep, "restricted_loss_test").layout.yaxis.type == "log"


def test_the_legend_of_twenty_values_stays_short():
    runs = [planted(0.01 * (i + 1)) for i in range(20)]
    figure = figures.plot_compared_accuracies(runs)
    named = [trace.name for trace in figure.data if trace.showlegend is not False]
    assert len(named) == 8 + 2
    assert named[0] == "weight_decay=0.01" and named[7] == "weight_decay=0.2"
    assert len({trace.line.color for trace in figure.data if trace.meta}) == 20
    assert sum(len(trace.x) for trace in figure.data) < 40_000


def test_runs_that_differ_in_seeds_alone_have_a_colour_each():
    runs = [planted(seed=seed) for seed in range(3)]
    figure = figures.plot_compared(runs, "test_accuracy")
    assert len({trace.line.color for trace in figure.data}) == 3
    assert [trace.name for trace in figure.data] == [f"init_seed={seed}" for seed in range(3)]


def test_colours_go_along_logarithms_where_values_span_decades():
    for values, places in (
        ([1.0, 10.0, 100.0], [0, 0.5, 1]),
        ([1.0, 2.0, 5.0], [0, 0.25, 1]),
        # A zero has no logarithm; a negative value leaves only the values themselves.
        ([0.0, 1.0, 10.0], [0, 0.5, 1]),
        ([-1.0, 1.0, 100.0], [0, 2 / 101, 1]),
    ):
        assert _along(values).tolist() == pytest.approx(places)


def test_every_colour_of_the_scale_can_be_seen_on_both_pages():
    def luminance(color):
        parts = np.array(color) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    for color in SCALE:
        for page in ((255, 255, 255), (20, 24, 30)):
            light, dark = sorted((luminance(color), luminance(page)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) > 2.9, (color, page)


def test_censored_runs_are_open_triangles_at_their_last_step(sweep):
    figure = figures.plot_grokking_steps(sweep)
    by_name = {trace.name: trace for trace in figure.data}
    seen, censored = by_name["grokking step"], by_name["grokking step, not by this step"]
    assert list(zip(seen.x, seen.y, strict=True)) == [
        (1, 9_000),
        (2, 3_000),
        (2, 5_000),
    ]
    assert censored.y.tolist() == [synthetic.NANDA_STEPS] * 3
    assert censored.marker.symbol == "triangle-up-open" and seen.marker.symbol == "circle"
    # A zero and decades: evenly spaced, under their values.
    assert list(figure.layout.xaxis.ticktext) == ["0", "0.1", "1"]
    assert "median grokking step" not in by_name


def test_steps_against_positive_decades_have_a_logarithmic_axis_and_medians(sweep):
    more = [*sweep[2:], planted(0.1, 2, 7_000)]
    figure = figures.plot_grokking_steps(more)
    assert figure.layout.xaxis.type == "log" and figure.layout.xaxis.title.text == "weight decay"
    median = next(trace for trace in figure.data if trace.name == "median grokking step")
    assert list(zip(median.x, median.y, strict=True)) == [(0.1, 9_000), (1.0, 4_000)]


def test_settings_that_are_no_number_stand_side_by_side(sweep):
    other = planted(1.0, loss="stable_max", grokking_step=4_000)
    figure = figures.plot_grokking_steps([sweep[4], other])
    assert figure.layout.xaxis.type == "category"
    assert set(figure.data[0].x) == {"loss=cross_entropy", "loss=stable_max"}


def test_a_column_that_no_run_could_have_is_refused_and_one_without_numbers_too(sweep):
    with pytest.raises(ConfigError, match="no run has a column 'gini_W_e'. Try .*gini_W_E"):
        figures.plot_compared(sweep, "gini_W_e")
    with pytest.raises(FitError, match="No run has a finite number to draw in fraction_single"):
        figures.plot_compared([sweep[0]], "fraction_single_representation_neurons")


# The report


def test_the_report_leads_to_those_of_the_runs_and_names_the_censored(sweep, tmp_path):
    links = [tmp_path / "runs" / f"run {i}" / "report.html" for i in range(6)]
    report = write_comparison(sweep, tmp_path / "out", reports=links)
    html = report.read_text(encoding="utf-8")
    assert re.findall(r'<a href="(\.\./[^"]+)">', html) == [
        f"../runs/run%20{i}/report.html" for i in range(6)
    ]
    assert html.count("not by 25,000") == 3
    ids = re.findall(r'<section id="([^"]+)"', html)
    assert ids == [
        *("outcome", "runs", "settings", "grokking-steps", "loss-and-accuracy", "circuits"),
        *("weights", "same", "citations"),
    ]
    assert "3 of 6 runs generalized" in html and "@misc{grokinterp," in html
    assert "src=" not in re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    assert html.count("<figure id=") == html.count("<figcaption>") == 7


def test_tables_and_summary_say_the_same_as_the_comparison(sweep, tmp_path):
    write_comparison(sweep, tmp_path)
    table = pd.read_csv(tmp_path / "compare.csv")
    compared = comparison_of(sweep)
    assert table["run"].tolist() == list(compared.labels)
    assert table["grokking_step"].isna().sum() == 3 == table["censored_at"].notna().sum()
    assert table["key_frequencies"].tolist()[4] == "14, 35, 41, 42, 52"
    assert table["test_loss"].tolist() == compared.table["test_loss"].tolist()
    settings = pd.read_csv(tmp_path / "settings.csv")
    assert settings["setting"].tolist() == setting_table(compared)["setting"].tolist()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["n_runs"] == 6 and summary["n_censored"] == 3 and summary["n_generalized"] == 3
    assert summary["differing_fields"] == ["optimizer.weight_decay", "model.init_seed"]
    assert summary["runs"][0]["grokking_step"] is None
    assert summary["runs"][0]["outcome"] == sweep[0].outcome
    assert summary["runs"][4]["key_frequencies"] == list(synthetic.KEYS)


def test_hostile_names_are_text_in_the_report(sweep):
    compared = Comparison((sweep[0], sweep[1], sweep[4]), (EVIL, "b", f"{EVIL}2"))
    html = render_comparison(compared, [None] * 3, {EVIL: EVIL})
    assert EVIL not in html and "<img src=x" not in html and "alert(1)&lt;/script" in html


@pytest.mark.parametrize("n", [1, 2])
def test_odd_comparisons_have_a_report_without_nan(n):
    cases = [planted(grokking_step=None), synthetic.permutation_analysis(10)][:n]
    html = render_comparison(cases)
    text = re.sub(r"<script.*?</script>|<style>.*?</style>", "", html, flags=re.DOTALL)
    words = set(re.findall(r"\w+", re.sub("<[^>]+>", " ", text)))
    assert not {"nan", "NaN", "None", "NaT", "NA"} & words
    assert 'id="settings"' not in html


# The command


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def test_the_command_analyzes_each_run_as_alone_and_then_compares(runs, capsys):
    paths = [str(runs / "wd0.5"), str(runs / "wd2")]
    analyze.main([*paths, "--no-deep", "--every", "100"])
    out, err = capsys.readouterr()
    # The command names a place by its shorter path, which may be the relative one.
    reports = [line.split(maxsplit=1)[1] for line in out.splitlines() if line[:6] == "report"]
    assert Path(reports[-1]).resolve() == (runs / "comparison" / "report.html").resolve()
    assert "1 of 2, wd0.5" in err and "2 of 2, wd2" in err
    for path in paths:
        assert {"report.html", "summary.json", "measures.csv"} <= names_in(Path(path) / "analysis")
    alone = runs / "alone"
    analyze.main([paths[0], "--no-deep", "--every", "100", "--quiet", "--out", str(alone)])
    assert names_in(alone) == names_in(runs / "wd0.5" / "analysis")
    tables = [pd.read_csv(at / "measures.csv") for at in (alone, runs / "wd0.5" / "analysis")]
    pd.testing.assert_frame_equal(*tables, rtol=1e-9)
    shutil.rmtree(alone)
    assert names_in(runs / "comparison") == {
        *("report.html", "compare.csv", "settings.csv", "summary.json")
    }
    html = (runs / "comparison" / "report.html").read_text()
    assert 'href="../wd0.5/analysis/report.html"' in html
    # Named with all the rest by runs/*/, it is passed over.
    everything = [str(path) for path in sorted(runs.iterdir())]
    assert len(everything) == 3
    analyze.main([*everything, "--no-deep", "--every", "100", "--quiet", "--out", str(runs / "c")])
    assert json.loads((runs / "c" / "summary.json").read_text())["n_runs"] == 2
    assert capsys.readouterr().err == ""


def test_a_folder_that_is_no_run_is_named_before_anything_is_computed(runs):
    (runs / "other").mkdir()
    (runs / "other" / "notes.txt").write_text("something else")
    paths = [str(runs / name) for name in ("wd0.5", "other")]
    with pytest.raises(GrokinterpError, match="no importer recognizes .*other"):
        analyze.main([*paths, "--quiet"])
    assert not (runs / "comparison").exists()
    assert not list((runs / "wd0.5" / "analysis").glob("*"))


def test_a_run_that_fails_is_reported_and_the_others_are_compared(runs, capsys):
    shutil.copytree(runs / "wd2", runs / "broken")
    for path in (runs / "broken" / "checkpoints").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-10])
    paths = [str(runs / name) for name in ("broken", "wd0.5", "wd2")]
    with pytest.raises(GrokinterpError, match=r"^1 of 3 runs could not be analyzed .*\(broken\)"):
        analyze.main([*paths, "--no-deep", "--every", "100", "--quiet"])
    assert "broken: failed: none of the" in capsys.readouterr().out
    summary = json.loads((runs / "comparison" / "summary.json").read_text())
    assert summary["n_runs"] == 2 and list(summary["failures"]) == ["broken"]
    assert "Runs that could not be analyzed" in (runs / "comparison" / "report.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no run is named"),
        (["wd2", "wd2/"], "is named twice"),
        (["wd2", "nothing"], "nothing does not exist"),
        (["wd2", "wd0.5", "--out", "wd2"], "is the place of a run, not of a comparison"),
        (["wd2", "wd0.5", "--out", "wd2/analysis"], "is the place of a run, not of a comparison"),
        (["wd2", "wd0.5", "--out", "/proc/nowhere"], "cannot write /proc/nowhere"),
        (["wd2", "wd0.5", "--every", "0"], "--every 0 is not allowed"),
    ],
)
def test_a_mistake_in_the_command_is_one_line(runs, monkeypatch, words, message):
    monkeypatch.chdir(runs)
    with pytest.raises(GrokinterpError, match=re.escape(message)) as error:
        analyze.main([*words, "--quiet"])
    assert "\n" not in str(error.value)
    assert not (runs / "comparison").exists()


def test_files_of_one_name_are_not_written_over_each_other(runs, monkeypatch):
    monkeypatch.chdir(runs)
    for folder in ("a", "b"):
        (runs / folder).mkdir()
        (runs / folder / "net.pt").write_bytes(b"")
    with pytest.raises(ConfigError, match="would both be written to net_analysis"):
        analyze.main(["a/net.pt", "b/net.pt"])
