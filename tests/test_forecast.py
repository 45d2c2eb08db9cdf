"""Forecasts: nothing later is looked at, intervals hold, and where nothing is known it is said."""

import dataclasses
import math
import subprocess
import sys

import numpy as np
import pytest

import grokinterp as gi
import grokinterp.training
from grokinterp.commands import train as train_command
from grokinterp.commands.summary_lines import summary_lines
from grokinterp.errors import ConfigError
from grokinterp.figures.forecast import BAND
from grokinterp.forecasting import calibrated, judging
from grokinterp.forecasting.bank_runs import bank, longest_followed, runs_of_grid
from grokinterp.forecasting.calibrated import METHODS, Method, calibrate
from grokinterp.forecasting.coverage import why_not_covered
from grokinterp.forecasting.forecast import METHOD, forecast_of
from grokinterp.forecasting.judging import judge_forecasts, score_forecasts
from grokinterp.forecasting.landmarks import Landmark, at_landmark, landmark_of
from grokinterp.forecasting.states import CURVE_FEATURES, SETTING_FEATURES, FollowedRun
from grokinterp.forecasting.watching import ForecastLine
from grokinterp.laws.cure import CENSORED, NEVER, SEEN
from tests.foreign import DATA

PERCEPTRON = gi.PRESETS["perceptron"]
YOUNG = dataclasses.replace(PERCEPTRON, n_steps=300)
OTHERS = DATA / "league"
TWICE = {"2 memorization steps": (2, True)}


@pytest.fixture(scope="module")
def young(tmp_path_factory):
    """A run that has memorized and has not grokked, and the folder of one that goes on."""
    return gi.train(YOUNG, tmp_path_factory.mktemp("young") / "run", progress=False)


def followed(setting, memorized, grokked, *, last=4000.0, known=(), test_loss=None, can=True):
    """A run whose training accuracy jumps at one step and whose test accuracy at another."""
    steps = np.arange(0, last + 1, 20.0)
    train = np.where(steps >= memorized, 1.0, 0.1)
    test = np.where(steps >= (np.inf if grokked is None else grokked), 1.0, 0.03)
    loss = np.full(len(steps), 6.0) if test_loss is None else test_loss(steps)
    features = dict.fromkeys(SETTING_FEATURES, 0.0) | dict(known)
    is_over = None if not can else last
    return FollowedRun(setting, features, 31, steps, 1 - 0.99 * train, loss, train, test,
                       grokking_step=grokked, last_step=is_over)  # fmt: skip


def planted_bank(n_settings=40, n_seeds=2, *, are_told=True, seed=0):
    """Runs whose test loss after memorization tells their grokking step, or tells another's."""
    draw = np.random.default_rng(seed)
    delays = np.exp(draw.normal(2.0, 0.5, size=(n_settings, n_seeds)))
    told = delays if are_told else draw.permutation(delays.ravel()).reshape(delays.shape)
    return [
        followed(
            f"setting {i}",
            60.0,
            float(20 * round(60 * (1 + delays[i, j]) / 20)),
            test_loss=lambda steps, level=told[i, j]: np.full(len(steps), level),
        )
        for i in range(n_settings)
        for j in range(n_seeds)
    ]


def test_nothing_after_the_step_is_looked_at(young):
    asked = gi.forecast(young, at=200)
    later = young.curves["step"] > 200
    for name, value in (("test_accuracy", 1.0), ("test_loss", 1e-3), ("train_loss", 50.0)):
        curves = young.curves.copy()
        curves.loc[later, name] = value
        assert gi.forecast(dataclasses.replace(young, curves=curves), at=200) == asked, name
    curves = young.curves.copy()
    curves.loc[curves["step"] == 200, "test_loss"] *= 0.5
    assert gi.forecast(dataclasses.replace(young, curves=curves), at=200) != asked


def test_a_forecast_in_words_and_as_numbers(young):
    found = young.forecast()
    low, high = found.interval
    assert found == gi.forecast(young) and found.at == 300 and not found.reason
    assert 300 <= low < found.median < high and found.never < 0.5
    said = f"expected to grok at {found.median:,} ({low:,} to {high:,} at 90%); never within 3,000"
    assert said in found.sentence and said in " ".join(repr(found).split())
    sooner = gi.forecast(young, horizon=500)
    assert sooner.never > found.never and sooner.interval == found.interval
    assert gi.forecast(young, at=200).horizon == 300
    narrow = gi.forecast(young, level=0.5)
    assert low <= narrow.interval[0] and narrow.interval[1] <= high


def test_what_cannot_grok_is_expected_not_to():
    """From the other runs of the bank alone: this configuration is left out."""
    random = [r for r in bank() if r.status == NEVER and r.known["is_transformer"]]
    one = random[0]
    rest = [run for run in bank() if run.setting != one.setting]
    model = calibrate(METHOD, at_landmark(rest, landmark_of(one, 500)))
    assert model.never_within(one.state(500)[None], np.array([500.0]), 3000)[0] > 0.9
    said = forecast_of(one, 500, 3000).sentence
    assert said.startswith("never within 3,000: above 99%; if it groks, ")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task": gi.TaskSpec(p=113, train_fraction=0.3)}, "p=113 (in the bank: 23 to 59)"),
        ({"task": gi.TaskSpec(p=59, train_fraction=0.3)}, "train_fraction=0.3"),
        ({"optimizer": gi.OptimizerSpec(learning_rate=1e-4)}, "learning_rate=0.0001"),
        ({"optimizer": gi.OptimizerSpec(algorithm="sgd")}, "algorithm=sgd (in the bank: adamw)"),
        ({"model": gi.ModelSpec(n_layers=2, d_model=32, n_heads=4, d_head=8)}, "n_layers=2"),
        ({"batch_size": 64}, "batch_size=64 (in the bank: None)"),
        ({"loss": "mse"}, "loss=mse"),
        (
            {
                "model": gi.MlpSpec(embedding="shared", d_embed=32, widths=(128,)),
                "task": gi.TaskSpec(p=31, train_fraction=0.7),
                "loss": "mse",
            },
            "near this combination: loss=mse",
        ),
        ({"task": gi.TaskSpec("table", labels=np.eye(31, dtype=int), p=31)}, "a table"),
    ],
)
def test_what_the_bank_does_not_cover_is_named(change, says):
    config = dataclasses.replace(gi.PRESETS["quick"], **change)
    assert says in why_not_covered(config.to_dict())


def test_seeds_and_lengths_do_not_leave_the_bank():
    for name in ("quick", "perceptron"):
        config = gi.PRESETS[name]
        longer = dataclasses.replace(
            config,
            n_steps=9999,
            model=dataclasses.replace(config.model, init_seed=77),
            task=dataclasses.replace(config.task, split_seed=5),
        )
        assert why_not_covered(config.to_dict()) == why_not_covered(longer.to_dict()) == ""
        rate = config.optimizer.learning_rate
        near, far = (
            dataclasses.replace(
                config, optimizer=dataclasses.replace(config.optimizer, learning_rate=r)
            )
            for r in (rate * 0.9, rate * 40)
        )
        assert not why_not_covered(near.to_dict()) and "learning_rate" in why_not_covered(
            far.to_dict()
        )


def test_a_run_that_nothing_can_be_said_of_says_why(young):
    curves = young.curves.copy()
    curves["test_accuracy"] = 0.97
    said = gi.forecast(dataclasses.replace(young, curves=curves)).reason
    assert said == "it generalizes already: test accuracy 0.97 at step 300"
    for bad in (math.inf, math.nan):
        curves = young.curves.copy()
        curves.loc[curves["step"] == 100, "test_loss"] = bad
        broken = gi.forecast(dataclasses.replace(young, curves=curves))
        assert broken.reason == "a loss of it is not finite" or math.isnan(bad)
        assert broken.never is None or 0 <= broken.never <= 1
    coarse = young.curves[young.curves["step"] % 100 == 0]
    said = gi.forecast(dataclasses.replace(young, curves=coarse)).reason
    assert said == "it is tested every 100 steps, and a forecast at step 300 needs a test every 15"
    blind = dataclasses.replace(young, curves=young.curves.assign(test_loss=math.nan))
    assert "not recorded" in gi.forecast(blind).reason
    small = gi.TrainConfig(task=gi.TaskSpec(p=13, train_fraction=0.7))
    other = gi.forecast(dataclasses.replace(young, config=small))
    assert other.median is None and other.reason.startswith("the bank of runs has nothing like it")
    assert other.sentence == f"no forecast: {other.reason}" and "no forecast" in repr(other)


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"at": 301}, "Use a step from 1 to 300"),
        ({"at": 0}, "Use a step from 1 to 300"),
        ({"horizon": 50_000}, "no run of the bank was followed for longer"),
        ({"horizon": 300}, "Use a step after 300"),
        ({"level": 0.99}, "Use 0.5 to 0.95"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(young, options, remedy):
    with pytest.raises(ConfigError, match=remedy) as told:
        gi.forecast(young, **options)
    assert "\n" not in str(told.value)


def test_late_landmarks_have_too_few_runs():
    run = followed("late", 60.0, None, known={"log_p": math.log(31)})
    assert "beyond step 3,000" in forecast_of(run, 3900, 3000).reason


def test_runs_are_compared_at_the_same_point_of_their_lives():
    slow, fast = followed("slow", 400.0, 2000.0), followed("fast", 40.0, 200.0)
    mark = landmark_of(slow, 800)
    assert mark.is_relative and mark.step_of(fast) == pytest.approx(80, rel=0.05)
    assert landmark_of(slow, 200) == Landmark(landmark_of(slow, 200).at, False)
    assert at_landmark([slow, fast], mark).settings == ("slow", "fast")
    # One has grokked by then, the other had not memorized while it was followed.
    assert at_landmark([slow, fast], Landmark(6.0, True)).settings == ()
    never = followed("never", np.inf, None, last=500.0)
    assert at_landmark([never], Landmark(2.0, True)).settings == ()
    assert at_landmark([never], Landmark(600.0, False)).settings == ()
    assert at_landmark([never], Landmark(400.0, False)).times.status.tolist() == [CENSORED]


def test_each_side_of_an_interval_keeps_its_share_of_configurations():
    rank = (np.arange(99) + 0.5) / 99
    seen, mass = np.ones(99, dtype=bool), np.ones(99)
    low, high = calibrated._bounds(rank, seen, mass, 0.05)
    assert (rank < low).sum() == 4 and (rank > high).sum() == 4
    few = calibrated._bounds(rank[:10], seen[:10], mass[:10], 0.05)
    assert few == (0.0, 1.0)  # ten configurations tell nothing of five per cent
    cut = seen.copy()
    cut[60:] = False  # the latest were only seen to be later
    assert calibrated._bounds(rank, cut, mass, 0.05)[1] == 1.0


def test_no_run_is_forecast_from_its_own_configuration(monkeypatch):
    forecast_by, rows_of = [], judging._rows_of

    def watched(number, run, models, *rest):
        forecast_by.append((run.setting, {other.setting for other in models._runs}))
        return rows_of(number, run, models, *rest)

    monkeypatch.setattr(judging, "_rows_of", watched)
    runs = planted_bank(8)
    judge_forecasts(runs, METHODS[:1], horizon=4000, marks=TWICE)
    assert len(forecast_by) == len(runs)
    for setting, others in forecast_by:
        assert setting not in others and len(others) == 7


@pytest.mark.long
def test_where_a_forecast_would_be_refused_none_is_judged_and_the_runs_are_counted():
    runs = planted_bank(24)
    judged = judge_forecasts(runs, METHODS[:1], horizon=4000, marks=TWICE)
    assert judged["median"].notna().all()
    (row,) = score_forecasts(judged, horizon=4000).to_dict(orient="records")
    n_grok = sum(run.status == SEEN for run in runs)
    assert (row["n"], row["n_refused"]) == (n_grok, 0)
    # 19 others grok, and gi.forecast wants 20.
    grokking = [run for run in runs if run.status == SEEN][:20]
    judged = judge_forecasts(grokking, METHODS[:1], horizon=4000, marks=TWICE)
    assert len(judged) == 20 and judged[["median", "low", "high", "never"]].isna().all(axis=None)
    (row,) = score_forecasts(judged, horizon=4000).to_dict(orient="records")
    assert (row["n"], row["n_refused"]) == (0, 20)


@pytest.mark.long
def test_curves_that_tell_the_time_are_worth_more_than_settings_and_others_are_not():
    methods = (METHODS[0], Method("log-logistic", "log-logistic"))
    scores = {}
    for are_told in (True, False):
        judged = judge_forecasts(
            planted_bank(are_told=are_told), methods, horizon=4000, marks=TWICE
        )
        table = score_forecasts(judged, horizon=4000).set_index(["method", "mark"])
        scores[are_told] = table.loc[("log-logistic", "2 memorization steps")]
    told, untold = scores[True], scores[False]
    assert told["gain_low"] > 0 and told["rms"] < 0.25 and told["within_low"] > 0.5
    assert untold["gain_high"] < 0.1 and abs(untold["within"]) < 0.4
    for row in (told, untold):
        assert row["covered_low"] <= 0.9 <= row["covered_high"] and row["n_settings"] == 40


@pytest.mark.long
def test_an_interval_that_is_too_narrow_is_found_out():
    judged = judge_forecasts(planted_bank(are_told=False), METHODS[:1], horizon=4000, marks=TWICE)
    narrow = judged.assign(low=0.9 * judged["median"], high=1.1 * judged["median"])
    row = score_forecasts(narrow, horizon=4000).iloc[0]
    assert row["covered_high"] < 0.9


def test_a_resumed_run_has_the_forecasts_of_one_that_was_not_stopped(tmp_path):
    whole, parts = [], []
    gi.train(YOUNG, tmp_path / "whole", callbacks=[ForecastLine(tmp_path / "whole", whole.append)],
             progress=False)  # fmt: skip

    def stop(event):
        if event.step == 180:
            raise RuntimeError

    for others in ([stop], []):
        line = ForecastLine(tmp_path / "parts", parts.append)
        try:
            gi.train(YOUNG, tmp_path / "parts", callbacks=[line, *others], progress=False)
        except gi.GrokinterpError:
            pass
    run = gi.load_run(tmp_path / "whole")
    assert whole[-1] == parts[-1] and len(whole) > 5
    assert whole[-1] in {run.forecast(at=at).sentence for at in range(220, 301, 10)}


def test_a_run_under_way_shows_its_forecast_everywhere(young, tmp_path):
    longer = dataclasses.replace(young, config=dataclasses.replace(YOUNG, n_steps=1000))
    analysis = gi.analyze_run(longer)
    assert analysis.forecast == gi.forecast(longer) and analysis.forecast.horizon == 1000
    sentence = analysis.forecast.sentence
    assert any(line.startswith("forecast") and sentence in line for line in summary_lines(analysis))
    shapes = gi.figures.plot_losses(analysis).layout.shapes
    (band,) = [one for one in shapes if one.name == BAND and one.type == "rect"]
    assert (band.x0, band.x1) == analysis.forecast.interval
    html = gi.write_report(analysis, tmp_path / "report.html").read_text(encoding="utf-8")
    assert sentence in html
    over = gi.analyze_run(young)
    assert over.forecast is None and not any(
        one.name == BAND for one in gi.figures.plot_losses(over).layout.shapes
    )


@pytest.mark.long
def test_the_command_says_the_last_forecast(tmp_path):
    words = ["--preset", "perceptron", "--n-steps", "200", "--forecast", "--quiet"]
    command = [sys.executable, "-m", "grokinterp.train", str(tmp_path / "run"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Last forecast: expected to grok at" in done.stdout


def test_a_training_that_is_stopped_tells_its_last_forecast(tmp_path, monkeypatch, capsys):
    def stopped(config, folder, *, callbacks, **options):
        callbacks[0].sentence = "expected to grok at 700"
        raise KeyboardInterrupt

    monkeypatch.setattr(grokinterp.training, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_command.main(
            [str(tmp_path / "run"), "--preset", "perceptron", "--forecast", "--quiet"]
        )
    assert "Last forecast: expected to grok at 700" in capsys.readouterr().out


@pytest.mark.skipif(not OTHERS.is_dir(), reason="the grids of others are not here")
def test_grids_of_others_are_read_as_runs():
    runs = runs_of_grid(OTHERS / "tfgrok")
    assert len(runs) == 276 and sum(run.status == SEEN for run in runs) == 254
    assert {run.known["is_transformer"] for run in runs} == {1.0}
    assert len(runs[0].state(300)) == len(SETTING_FEATURES) + len(CURVE_FEATURES)


def test_the_bank_was_followed_as_long_as_is_said():
    assert len(bank()) == 258 and longest_followed() == 3000
