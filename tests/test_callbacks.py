"""Callbacks: what they are told and when, that they change nothing, and what their errors do."""

import dataclasses
import json
import logging
import math
import sys
import types

import plotly.graph_objects as go
import pytest
import torch

import grokinterp as gi
from grokinterp.circuits.embedding import embedding_spectrum
from grokinterp.circuits.embedding_circles import embedding_circles
from grokinterp.figures.style import OTHER_COLOR
from grokinterp.tasks import draw_split, task_of
from grokinterp.training import train, train_many
from grokinterp.training.course import Training
from tests import tiny
from tests.recorded_wandb import RecordedWandb
from tests.test_devices import assert_same_bits, trained, waiting
from tests.test_docs import BLOCK, DOCS

SHORT = {"n_steps": 20, "test_every": 5, "checkpoint_every": 8}
PERCEPTRON = gi.MlpSpec(widths=(12,))
COLUMNS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "batch_loss")


def short(**changes):
    return tiny.config(**(SHORT | changes))


class Told(list):
    """A callback that keeps its events, and the weights of each step."""

    def __init__(self, raises_at=None, error=None):
        self.weights, self.raises_at = {}, raises_at
        self.error = error or ValueError("a wall")

    def __call__(self, event):
        self.append(event)
        if event.moment == "step":
            self.weights[event.step] = event.weights()
        if self.raises_at in ((event.moment, event.step), event.config):
            raise self.error

    @property
    def steps(self):
        return [event.step for event in self if event.moment == "step"]

    @property
    def moments(self):
        return [(event.moment, event.step, event.outcome) for event in self]


@pytest.mark.parametrize("batch_size", [None, 16])
def test_every_test_and_every_checkpoint_is_told_with_the_numbers_of_the_curves(
    tmp_path, batch_size
):
    config, told = short(batch_size=batch_size), Told()
    run = train(config, tmp_path / "run", progress=False, callbacks=[told])
    steps = sorted({0, 5, 10, 15, 20, *config.checkpoint_steps()})
    assert {8, 16} <= set(steps) and told.steps == steps
    assert told.moments[0] == ("begin", 0, None) and told[0].numbers == {}
    assert told.moments[-1] == ("end", 20, "finished") and told[-1].numbers == told[-2].numbers
    curves = run.curves.set_index("step")
    for event in told[1:]:
        assert (event.config, event.n_steps) == (config, 20) and event.error is None
        assert (event.split.train == run.split.train).all()
        assert event.is_tested == (event.step % 5 == 0)
        assert event.is_checkpoint == (event.step in run.steps)
        row = curves.loc[event.step].dropna()
        assert event.numbers == {name: row[name] for name in COLUMNS if name in row}
        assert (event.batch_loss is None) == (batch_size is None)
        assert (event.train_loss is None) == (batch_size is not None and not event.is_tested)
    for step in run.steps:
        stored = run.parameters(step)
        assert told.weights[step].keys() == stored.keys()
        assert all(torch.equal(told.weights[step][name], stored[name]) for name in stored)


def test_a_regression_has_losses_and_no_accuracies(tmp_path):
    task = gi.PolynomialSpec(dimension=4, n_train=16)
    config = short(task=task, model=PERCEPTRON, loss="mse")
    told = Told()
    train(config, tmp_path / "run", progress=False, callbacks=[told])
    assert told[1].is_tested and set(told[1].numbers) == {"train_loss", "test_loss"}


class Meddler:
    """Does what it can to change the numbers of a run."""

    def __init__(self):
        self.n_calls = 0

    def __call__(self, event):
        self.n_calls += 1
        for value in event.weights().values():
            assert not value.requires_grad and value.device.type == "cpu"
            value.zero_()
        with pytest.raises(TypeError):
            event.weights()["embed.W_E"] = torch.zeros(1)
        torch.manual_seed(event.step)
        torch.rand(3)
        torch.set_num_threads(2)
        torch.set_default_dtype(torch.float64)
        torch.set_grad_enabled(False)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": PERCEPTRON},
        {"batch_size": 16, "pressures": gi.PressureSpec(dropout=0.1, gradient_noise=0.01)},
    ],
    ids=["tables", "perceptron", "minibatches"],
)
def test_callbacks_change_no_bit_of_a_run_and_nothing_of_its_config(tmp_path, changes):
    config, meddler = short(**changes), Meddler()
    alone = trained(config, tmp_path / "alone")
    run = train(config, tmp_path / "watched", progress=False, callbacks=[meddler])
    assert torch.get_num_threads() == 1 and torch.get_default_dtype() == torch.float32
    watched = run, run.curves, {step: run.parameters(step) for step in run.steps}
    assert meddler.n_calls == 2 + len({*range(0, 21, 5), *config.checkpoint_steps()})
    assert_same_bits(watched, alone)
    files = ("config.json", "curves.csv", "resume.safetensors")
    for name in files:
        there = [(tmp_path / folder / name).read_bytes() for folder in ("alone", "watched")]
        assert there[0] == there[1], name


def test_a_callback_makes_nobody_wait_for_a_device_more_often(tmp_path, monkeypatch):
    config = short(n_steps=60, test_every=20, checkpoint_every=30)
    n_reads = waiting(monkeypatch)
    train(config, tmp_path / "alone", progress=False)
    n_alone = len(n_reads)
    told = Told()
    train(config, tmp_path / "watched", progress=False, callbacks=[told])
    assert len(n_reads) == 2 * n_alone == 2 * len(told.steps) < 2 * 60


def test_weights_are_copied_only_for_whom_asks_and_only_while_it_runs(tmp_path, monkeypatch):
    from grokinterp.training import callbacks

    n_copies = []
    copied = callbacks._PresentWeights.copied
    monkeypatch.setattr(
        callbacks._PresentWeights,
        "copied",
        lambda self, step: n_copies.append(step) or copied(self, step),
    )
    kept = []
    train(short(), tmp_path / "run", progress=False, callbacks=[kept.append])
    assert n_copies == []
    for event in kept:
        with pytest.raises(gi.CheckpointError, match=f"weights of step {event.step} are gone"):
            event.weights()


# --- how it ends ----------------------------------------------------------------------------


def test_a_callback_that_raises_ends_the_run_which_resumes_to_the_same_bits(tmp_path):
    config, folder = short(), tmp_path / "run"
    whole = trained(config, tmp_path / "whole")
    first, second, third = Told(), Told(raises_at=("step", 10)), Told()
    callbacks = [first, second, third]
    with pytest.raises(gi.CallbackError) as caught:
        train(config, folder, progress=False, callbacks=callbacks)
    line = str(caught.value)
    assert "callback 2 of 3 (Told) failed at step 10: ValueError: a wall" in line
    assert str(folder) in line and caught.value.__cause__ is second.error
    # The one that failed is told nothing more, the others that it is over.
    assert first.moments[-2:] == [("step", 10, None), ("end", 10, "interrupted")]
    assert first[-1].error is caught.value
    assert second.moments[-1] == ("step", 10, None)
    assert third.moments[-2:] == [("step", 8, None), ("end", 10, "interrupted")]

    again = Told()
    resumed = train(config, folder, progress=False, callbacks=[again])
    assert again.moments[0] == ("begin", 8, None)
    assert again.steps == [10, 15, 16, 20]
    assert_same_bits((resumed, resumed.curves, trained(config, folder)[2]), whole)
    train(config, folder, progress=False, callbacks=[unwanted := Told()])
    assert unwanted == []


def test_an_error_at_the_very_end_loses_nothing(tmp_path):
    other = Told()
    callbacks = [Told(raises_at=("end", 20)), other]
    with pytest.raises(
        gi.CallbackError, match="at the end, step 20.*is complete: load_run reads it"
    ):
        train(short(), tmp_path / "run", progress=False, callbacks=callbacks)
    assert other.moments[-1] == ("end", 20, "finished")
    assert gi.load_run(tmp_path / "run").last_step == 20


def test_an_error_at_the_beginning_is_told_to_those_who_have_begun(tmp_path):
    first, last = Told(), Told()
    callbacks = [first, Told(raises_at=("begin", 0)), last]
    with pytest.raises(gi.CallbackError, match="callback 2 of 3 .* at the beginning, step 0"):
        train(short(), tmp_path / "run", progress=False, callbacks=callbacks)
    assert first.moments == [("begin", 0, None), ("end", 0, "interrupted")] and last == []


def test_an_interruption_is_told_and_has_no_weights(tmp_path, monkeypatch, caplog):
    move = Training.move

    def interrupted(self):
        if self.n_updates == 12:
            raise KeyboardInterrupt
        move(self)

    def asks(event):
        if event.moment == "end":
            event.weights()

    monkeypatch.setattr(Training, "move", interrupted)
    told = Told()
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        train(short(), tmp_path / "run", progress=False, callbacks=[asks, told])
    assert told.moments[-1] == ("end", 12, "interrupted")
    assert isinstance(told[-1].error, KeyboardInterrupt)
    # What a callback raises then does not hide what interrupted the run.
    (line,) = [message for message in caplog.messages if "callback" in message]
    assert "asks" in line and "CheckpointError: the weights of step 12 are gone" in line


@pytest.mark.parametrize("waits", [False, True])
def test_a_divergence_is_told_with_its_step_and_its_loss(tmp_path, monkeypatch, waits):
    if waits:
        waiting(monkeypatch)
    optimizer = gi.OptimizerSpec(algorithm="sgd", learning_rate=1e6, warmup_steps=0)
    told = Told()
    config = short(optimizer=optimizer, test_every=20, n_steps=60)
    run = train(config, tmp_path / "run", progress=False, callbacks=[told])
    assert told.moments[-1] == ("end", run.diverged_at, "diverged")
    assert not math.isfinite(told[-1].train_loss) and told.steps[-1] < run.diverged_at


def test_an_early_stop_is_told_as_one(tmp_path):
    config = tiny.config(n_steps=400, stop_accuracy=0.2, stop_patience=0)
    told = Told()
    run = train(config, tmp_path / "run", progress=False, callbacks=[told])
    assert told.moments[-1] == ("end", run.last_step, "stopped_early") and run.last_step < 400


# --- many runs, and wrong uses ----------------------------------------------------------------


def test_many_runs_are_told_with_their_own_config_and_fail_alone(tmp_path):
    configs = [
        short(model=dataclasses.replace(tiny.config().model, init_seed=seed)) for seed in range(3)
    ]
    alone = train_many(configs, tmp_path / "alone", progress=False, n_threads=1)
    told = Told(raises_at=configs[1])
    with pytest.raises(gi.FailedRunsError, match="callback 1 of 1") as caught:
        train_many(configs, tmp_path / "watched", progress=False, n_threads=1, callbacks=[told])
    assert list(caught.value.failures) == [configs[1].hash()]
    of = {c: [e for e in told if e.config == c] for c in configs}
    assert [event.moment for event in of[configs[1]]] == ["begin"]
    for number in (0, 2):
        events = of[configs[number]]
        assert [events[0].moment, events[-1].outcome] == ["begin", "finished"]
        again = gi.load_run(tmp_path / "watched" / configs[number].hash())
        last = alone[number].parameters(20)
        assert all(torch.equal(last[name], value) for name, value in again.parameters(20).items())
        assert again.curves.equals(alone[number].curves)


def test_other_runs_are_told_where_an_interruption_ends_them_all(tmp_path):
    configs = [short(), short(weight_dtype="float64")]
    first = Told(raises_at=("step", 10), error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        train_many(configs, tmp_path, progress=False, n_threads=1, callbacks=[first])
    begun = [event.config for event in first if event.moment == "begin"]
    ended = [event.config for event in first if event.outcome == "interrupted"]
    assert begun == ended and begun


@pytest.mark.parametrize(
    "callbacks, words",
    [
        (print, "is not a list. Pass functions of one event"),
        ([print, 3], "the callback 3 cannot be called"),
        ([Told], "is a class"),
    ],
)
def test_what_is_no_callback_is_refused_before_anything_is_written(
    without_type_checks, tmp_path, callbacks, words
):
    for start in (train, lambda config, *a, **k: train_many([config], *a, **k)):
        with pytest.raises(gi.ConfigError, match=words):
            start(short(), tmp_path / "run", progress=False, callbacks=callbacks)
        assert not (tmp_path / "run").exists()


# --- what the documentation shows ----------------------------------------------------------------


@pytest.fixture
def log_to_wandb(monkeypatch):
    """The callback of docs/training.md, and the stand-in that it logs to."""
    wandb = RecordedWandb()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    blocks = BLOCK.findall((DOCS / "training.md").read_text(encoding="utf-8"))
    (code,) = [block for block in blocks if "wandb.init" in block]
    names = {}
    exec(code.partition("logged = ")[0], names)
    return names["log_to_wandb"], wandb


def test_the_callback_for_wandb_logs_the_curves_and_ends_what_it_began(log_to_wandb, tmp_path):
    callback, wandb = log_to_wandb
    config, folder = short(), tmp_path / "run"
    with pytest.raises(gi.CallbackError):
        callbacks = [callback, Told(raises_at=("step", 10))]
        train(config, folder, progress=False, callbacks=callbacks)
    run = train(config, folder, progress=False, callbacks=[callback])
    assert wandb.exit_codes == [1, 0]
    assert [begun["id"] for begun in wandb.begun] == 2 * [config.hash()]
    assert json.loads(json.dumps(wandb.begun[0]["config"]))["n_steps"] == 20
    tested = run.curves.dropna(subset=["test_loss"])
    logged = {row["step"]: row for row in wandb.rows if "test_loss" in row}
    assert sorted(logged) == list(tested["step"])
    for row in tested.dropna(axis=1).to_dict(orient="records"):
        assert logged[row["step"]] == row


# --- the live figure -----------------------------------------------------------------------------


def drawn(config, folder, **given):
    live = gi.figures.LiveFigure(**({"new_figure": lambda figure: figure} | given))
    run = train(config, folder, progress=False, callbacks=[live])
    return run, {trace.meta: trace for trace in live.figure.data}, live.figure


def test_a_live_figure_ends_with_the_numbers_of_the_run(tmp_path):
    run, traces, figure = drawn(short(), tmp_path / "run")
    assert figure.layout.title.text == "Addition modulo 13: finished at step 20"
    tested = run.curves.dropna(subset=["test_loss"])
    assert list(traces["test_loss"].x) == list(tested["step"])
    assert list(traces["test_loss"].y) == list(tested["test_loss"])
    assert set(traces["train_loss"].x) == {*tested["step"], *run.steps}
    spectrum = embedding_spectrum(gi.take_snapshot(run)).set_index("frequency")["W_E_norm"]
    assert list(traces["spectrum"].x) == list(spectrum.index)
    assert list(traces["spectrum"].y) == pytest.approx(list(spectrum), rel=1e-12)
    largest = sorted(spectrum.nlargest(3).index)
    titles = [figure.layout[f"xaxis{number}"].title.text for number in (3, 4, 5)]
    assert titles == [f"k = {k}" for k in largest]
    is_colored = [color != OTHER_COLOR for color in traces["spectrum"].marker.color]
    assert [k for k, colored in enumerate(is_colored, start=1) if colored] == largest
    assert len({len(traces[f"circle {index}"].x) for index in range(3)} | {13}) == 1


@pytest.mark.parametrize("operands", ["shared", "separate"])
def test_tokens_of_a_planted_frequency_lie_on_a_circle_and_of_another_do_not(operands):
    # Multiplication: the circle is one in the order of discrete logarithms, not of tokens.
    task = task_of(gi.TaskSpec("multiplication", p=13))
    split, view = draw_split(task), task.group_view
    angles = 2 * torch.pi * 2 * torch.arange(view.order).double() / view.order
    table = 0.01 * torch.randn(26, 64, generator=torch.Generator().manual_seed(0)).double()
    for start in (0, 13):
        tokens = start + torch.from_numpy(view.class_tokens.copy())
        table[tokens, 1] += angles.cos()
        table[tokens, 4] += angles.sin()
    spec = dataclasses.replace(tiny.config().model, operand_embeddings=operands)
    found = embedding_circles({"embed.W_E": table}, split, spec, n_circles=2)
    other = next(k for k in found.circles if k != 2)
    radii = {k: points.norm(dim=1) for k, points in found.circles.items()}
    width = math.sqrt(2) if operands == "separate" else 1
    assert radii[2].numpy() == pytest.approx(width, abs=0.1)
    assert radii[other].max() < 0.5 * width
    turns = torch.atan2(found.circles[2][:, 1], found.circles[2][:, 0]).diff()
    assert (turns.remainder(2 * torch.pi)).numpy() == pytest.approx(2 * math.pi / 6, abs=0.1)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": PERCEPTRON},
        {"task": gi.TaskSpec("sum_of_squares", p=13, train_fraction=0.7)},
        {"task": gi.PolynomialSpec(dimension=4, n_train=16), "model": PERCEPTRON, "loss": "mse"},
    ],
    ids=["perceptron", "no cyclic view", "no pairs"],
)
def test_what_has_no_circles_shows_its_losses_alone(tmp_path, changes):
    _, traces, figure = drawn(short(**changes), tmp_path / "run")
    assert set(traces) == {"train_loss", "test_loss"} and len(traces["test_loss"].x) == 5
    is_squared = "loss" in changes
    assert figure.layout.yaxis.title.text.startswith("squared" if is_squared else "loss (nats)")
    with pytest.raises(gi.ConfigError, match="no circles to find"):
        config = short(**changes)
        embedding_circles({}, draw_split(task_of(config.task)), config.model)


@pytest.mark.parametrize("seconds, n_drawn", [(0.0, 4), (0.02, 3)])
def test_updates_are_a_second_apart_and_further_where_they_are_slow(
    tmp_path, monkeypatch, seconds, n_drawn
):
    from grokinterp.figures import live as module

    now, draws = [0.0], []
    draw = module.LiveFigure._draw

    def drawing(self, event):
        draws.append(event.step)
        now[0] += seconds
        draw(self, event)

    monkeypatch.setattr(module.LiveFigure, "_draw", drawing)
    clock = types.SimpleNamespace(monotonic=lambda: now[0], process_time=lambda: now[0])
    monkeypatch.setattr(module, "time", clock)

    def fifth_of_a_second(event):
        now[0] += 0.2

    live = gi.figures.LiveFigure(new_figure=lambda figure: figure)
    config = short(checkpoint_every=20, test_every=2)
    train(config, tmp_path / "run", progress=False, callbacks=[fifth_of_a_second, live])
    # The first, those a second (or, at 0.02 each, two) apart in 2.6 s, and the end.
    assert len(draws) == n_drawn and draws[-1] == 20


def test_outside_a_notebook_the_bar_stays_and_the_log_says_why(tmp_path, caplog, capsys):
    with caplog.at_level(logging.WARNING):
        run = train(short(), tmp_path / "run", live=True)
    (line,) = [message for message in caplog.messages if "live" in message]
    assert "this is no notebook" in line and run.last_step == 20
    assert "20/20" in capsys.readouterr().err
    with pytest.raises(gi.ConfigError, match="this is no notebook"):
        gi.figures.LiveFigure()


@pytest.mark.parametrize("missing", ["anywidget", "ipywidgets", None])
def test_a_notebook_shows_the_figure_in_place_of_the_bar(
    tmp_path, monkeypatch, caplog, capsys, missing
):
    from grokinterp.figures import live as module

    shell = types.SimpleNamespace(kernel=object())
    notebook = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == missing else name)
    shown = []
    monkeypatch.setattr(module, "_shown_widget", lambda figure: shown.append(figure) or figure)
    with caplog.at_level(logging.WARNING):
        train(short(), tmp_path / "run", live=True)
    has_bar = "20/20" in capsys.readouterr().err
    assert (len(shown), has_bar) == ((1, False) if missing is None else (0, True))
    lines = [message for message in caplog.messages if "live" in message]
    assert [f"{missing} is not installed: pip install" in line for line in lines] == (
        [] if missing is None else [True]
    )


def test_a_saved_notebook_keeps_a_sentence_in_place_of_the_widget(monkeypatch):
    pytest.importorskip("anywidget", reason="anywidget is in the extra [notebook]")
    from grokinterp.figures import live as module

    shown = []
    display = types.SimpleNamespace(display=lambda bundle, raw: shown.append(bundle))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    module._shown_widget(go.Figure())
    (bundle,) = shown
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "gi.analyze_run(run).plot()" in bundle["text/plain"]


def test_a_widget_of_plotly_is_sent_every_update(tmp_path):
    pytest.importorskip("anywidget", reason="anywidget is in the extra [notebook]")
    sent = []

    def widget(figure):
        made = go.FigureWidget(figure)
        made.observe(lambda change: sent.append(change.new), names="_py2js_update")
        return made

    run, traces, _ = drawn(short(), tmp_path / "run", new_figure=widget)
    assert list(traces["test_loss"].x) == list(run.curves.dropna(subset=["test_loss"])["step"])
    updates = [str(update["layout_data"]) for update in sent if update]
    assert "step 0 of 20" in updates[0] and "finished at step 20" in updates[-1]
