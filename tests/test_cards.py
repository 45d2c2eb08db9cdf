"""Cards that notebooks show: what stands on them, in what order, and that nothing breaks them."""

import dataclasses
import re
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pandas as pd
import pytest

import grokinterp as gi
from grokinterp.cards import CARDS, card_of
from grokinterp.cards.markup import Card, card_html, escaped
from grokinterp.cards.pictures import HEIGHT, KEY, OTHER, TEST, TRAIN, bars, sparkline
from grokinterp.comparison import comparison_of
from grokinterp.errors import FitError
from grokinterp.experiments import Claim, Findings, Scale
from grokinterp.experiments.reproduction import Reproduction
from grokinterp.experiments.sweep import Failure
from grokinterp.models import MlpSpec
from grokinterp.runs.config import ImportedConfig
from grokinterp.runs.record import WeightsInMemory
from grokinterp.tasks import PolynomialSpec, Split, draw_split, task_of
from tests import kinds, synthetic, toy_experiment
from tests.browser import EXECUTABLE, Browser
from tests.test_hostile_text import PAYLOADS, Page

MOST_BYTES = 10_000
LIGHT, DARK = (255, 255, 255), (17, 17, 17)
"""Backgrounds of JupyterLab's two themes."""


def text_of(html):
    return " ".join("".join(Page(html).texts).split())


def require_card(value):
    """The card of an object, small, harmless and without a color for its text."""
    html = value._repr_html_()
    page = Page(html)
    names = {name for name, _ in page.elements}
    assert names <= {"div", "b", "dl", "dt", "dd", "pre", "code", "span", "svg", "polyline",
                     "line", "rect"}, names  # fmt: skip
    assert not page.links and not page.comments
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert len(html.encode()) < MOST_BYTES
    styles = " ; ".join(re.findall(r'style="([^"]*)"', html))
    painted = re.findall(r"(?:^|[;\s])(color|background|background-color):([^;]*)", styles)
    assert set(painted) <= {("color", "inherit"), ("background", "transparent")}
    assert "Cannot be shown" not in html
    return text_of(html)


def reproduction(claims=(), failures=()):
    findings = Findings(tuple(claims))
    experiment, scale = toy_experiment.EXPERIMENT, Scale(True)
    table, out = pd.DataFrame(), Path("reproductions")
    return Reproduction(experiment, scale, table, tuple(failures), findings, out, 0.0)


GROKKED = synthetic.grokked_analysis(12)
CLAIM = Claim("slope", "confirmed", "It is -1.", {})
CLOCK = gi.take_snapshot(kinds.clock())
CLOCK_KEYS = gi.KeyFrequencies.given(13, kinds.KEYS)


def league_of(name):
    """A league of one measure that warns of every grokking run and of no other."""
    steps, rows = np.array([0, 100, 200]), []
    for groks in (True, False):
        values, at = np.array([0.0, float(groks), 0.0]), 200 if groks else None
        ending = "groks" if groks else "cannot"
        rows += [gi.WatchedCurve(f"{ending} {k}", ending, steps, values, 0, at) for k in range(20)]
    return gi.judge_curves({name: rows})


OBJECTS = {
    "closed form": gi.extract(CLOCK, CLOCK_KEYS),
    "certificate": gi.certify(CLOCK, gi.extract(CLOCK, CLOCK_KEYS)),
    "mode families": gi.mode_families(CLOCK, CLOCK_KEYS),
    "league": league_of("early"),
    "forecast": gi.Forecast(300, 1000, 540, (380, 1500), 0.2, n_settings=37),
    "config": gi.PRESETS["quick"],
    "imported config": ImportedConfig(gi.TaskSpec(p=59), gi.ModelSpec(), unknown=("model.init",)),
    "run": GROKKED.run,
    "keys": GROKKED.key_frequencies,
    "analysis": GROKKED,
    "comparison": comparison_of([GROKKED, synthetic.memorized_analysis(12)]),
    "reproduction": reproduction([CLAIM]),
    "learning coefficient": gi.local_learning_coefficient(
        CLOCK, n_betas=[2], step_sizes=[1e-3], n_burn_in=20, n_draws=20
    ),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_every_object_has_a_card_that_names_what_to_call_next(name):
    said = require_card(OBJECTS[name])
    assert "Next: " in said
    assert len(repr(OBJECTS[name]).splitlines()) <= 12


def test_every_class_with_a_card_has_a_function_that_writes_it():
    classes = [gi.Snapshot, *map(type, OBJECTS.values())]
    assert {kind.__name__ for kind in classes} == set(CARDS)
    assert all("_repr_html_" in vars(kind) for kind in classes)


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_cards_of_every_kind_of_network_run_no_network(kind, monkeypatch):
    run = kinds.KINDS[kind]()
    snapshot = gi.take_snapshot(run)

    def refuse(*_, **__):
        raise AssertionError("a card runs a network")

    for name in ("network", "logits", "parameters", "model"):
        monkeypatch.setattr(gi.Run, name, refuse)
        if hasattr(type(run.checkpoints), name):
            monkeypatch.setattr(type(run.checkpoints), name, refuse)
    said = require_card(run)
    assert run.spec.in_words in said and "2, from step 0 to 1" in said
    assert "no losses or accuracies were recorded" in said and "gi.analyze_run(run)" in said
    assert run.config.model.in_words in require_card(run.config)
    said = require_card(snapshot)
    absent = [part for part in ("operands", "neurons", "readout") if not snapshot.has(part)]
    assert f"{snapshot.accuracy_all:.4g} on all pairs" in said
    shown = said.partition("not there")[2].partition("split")[0]
    assert all(part in shown for part in absent) and bool(shown) == bool(
        absent or not snapshot.has("pattern")
    )


def test_a_large_snapshot_is_not_read_again_to_be_shown(monkeypatch):
    snapshot = gi.take_snapshot(kinds.clock())
    monkeypatch.setattr(gi.Snapshot, "is_large", True)
    assert "on all pairs" not in require_card(snapshot)
    assert snapshot.are_correct.all() and "1 on all pairs" in require_card(snapshot)


def test_the_card_of_a_config_says_what_is_trained_and_how_to_write_it():
    said = require_card(gi.PRESETS["quick"])
    assert "addition modulo 59, trained on 57% of the unordered pairs" in said
    assert "adamw, learning rate 0.005, weight decay 1" in said
    assert " ".join(repr(gi.PRESETS["quick"]).split()) in said
    assert "starts from" not in said
    child = dataclasses.replace(gi.PRESETS["quick"], parent=gi.PRESETS["quick"])
    assert f"the last weights of the run of {child.parent.hash()}" in require_card(child)
    batches = dataclasses.replace(gi.PRESETS["quick"], batch_size=512)
    assert "5,000, each on 512" in require_card(batches)
    assert "200 examples to train on" in require_card(gi.PRESETS["digits"])
    assert "optimizer, number of steps, model.init" in require_card(OBJECTS["imported config"])


def test_the_card_of_a_trained_run_says_its_outcome_and_draws_its_losses():
    grokked = GROKKED.run
    said = require_card(grokked)
    assert "test accuracy above 95% from step 8,320 on" in said
    assert grokked._repr_html_().count("<polyline") == 2
    assert grokked._repr_html_().count("<line ") == 2
    last = grokked.curves.iloc[-1]
    assert f"test loss {last['test_loss']:.3g}" in said and "Not finished" not in said


def test_an_outcome_is_only_said_where_curves_alone_decide_it():
    """With mirrored test pairs sharpness is for the checkpoints to show."""
    said = require_card(GROKKED.run)
    assert "gi.analyze_run(run) says how sharp that was" in said and "Grokked" not in said
    task = dataclasses.replace(GROKKED.run.task.spec, split_unit="unordered_pairs")
    run = dataclasses.replace(GROKKED.run, split=draw_split(task_of(task)))
    assert "Grokked: it memorized its training pairs at step 240" in require_card(run)


def test_doubts_come_first_and_no_outcome_is_built_on_them():
    doubt = "The split is contradicted by the network."
    run = dataclasses.replace(GROKKED.run, doubts=(doubt,))
    for value in (run, dataclasses.replace(GROKKED, run=run)):
        said = require_card(value)
        assert said.index(doubt) < said.index("outcome")
        assert "none, while the reading is in doubt" in said
        assert "Grokked" not in said and "8,320" not in said
    doubted = dataclasses.replace(GROKKED, run=run)
    compared = comparison_of([doubted, synthetic.memorized_analysis(12)])
    assert "In doubt: run 1" in require_card(compared)
    assert "In doubt" not in require_card(OBJECTS["comparison"]) + require_card(GROKKED)


def test_a_run_that_diverged_says_so_once_and_first():
    analysis = synthetic.diverged_analysis()
    for value in (analysis, analysis.run):
        said = require_card(value)
        assert said.count("Diverged") == 1 and "stopped being finite at step 300" in said
        assert said.index("Diverged") < said.index("checkpoints")
    assert "step_00000300.safetensors" in require_card(analysis)
    assert "Diverged" not in require_card(GROKKED.run)


def test_a_run_under_way_says_how_far_it_is(tmp_path):
    curves = GROKKED.run.curves
    early = dataclasses.replace(GROKKED.run, folder=tmp_path, curves=curves.iloc[:5001])
    early = dataclasses.replace(early, checkpoints=WeightsInMemory({0: {}}))
    assert "Not finished: step 5,000 of 25,000" in require_card(early)
    finished = dataclasses.replace(GROKKED.run, folder=tmp_path)
    assert "Not finished" not in require_card(finished)
    nothing = dataclasses.replace(early, checkpoints=WeightsInMemory({}), curves=curves.iloc[:0])
    said = require_card(nothing)
    assert "none yet" in said and "gi.train(run.config, folder)" in said


def regression(losses=(3.0, 1.0, 0.5)):
    """A run that has learned no pairs and has no accuracies."""
    spec = PolynomialSpec(dimension=4, n_train=6, n_test=5)
    config = gi.TrainConfig(task=spec, model=MlpSpec(widths=(8,)), loss="mse", n_steps=2)
    nothing = [np.nan] * len(losses)
    curves = {"train_loss": losses, "test_loss": losses}
    curves |= {"train_accuracy": nothing, "test_accuracy": nothing}
    table = pd.DataFrame({"step": range(len(losses)), **curves})
    split = draw_split(task_of(spec))
    return gi.Run(config, split, WeightsInMemory({0: {}, 2: {}}), table, "made here")


def test_a_regression_is_not_told_to_be_analyzed():
    said = require_card(regression())
    assert "the squared projection" in said and "analyze_run" not in said
    assert "test loss 0.5" in said and "accuracy" not in said.replace("accuracies", "")


def test_a_split_that_is_not_known_and_a_record_without_numbers():
    bare = dataclasses.replace(GROKKED.run, split=Split.unknown(GROKKED.run.task))
    assert "not known" in require_card(bare)
    assert "gi.analyze_run(run)" in require_card(synthetic.single_checkpoint_analysis().run)
    for make in synthetic.DEGENERATE.values():
        analysis = make()
        require_card(analysis)
        require_card(analysis.run)
        require_card(analysis.key_frequencies)


def test_minibatches_show_the_last_loss_of_all_training_pairs():
    curves = GROKKED.run.curves.assign(batch_loss=GROKKED.run.curves["train_loss"])
    curves.loc[curves["step"] % 10 != 0, "train_loss"] = np.nan
    cut = curves.iloc[:-3]
    run = dataclasses.replace(GROKKED.run, curves=cut)
    (last,) = curves.loc[curves["step"] == 24_990, "train_loss"]
    said = require_card(run)
    assert f"train loss {last:.3g}" in said and "nan" not in said and "Diverged" not in said
    assert run._repr_html_().count("<polyline") == 2


def test_the_card_of_key_frequencies_has_the_shares_or_the_reason():
    html = GROKKED.key_frequencies._repr_html_()
    said = require_card(GROKKED.key_frequencies)
    assert said.startswith("Key frequencies: 14, 35, 41, 42, 52")
    assert html.count(f'fill="{KEY}"') == 5 and html.count(f'fill="{OTHER}"') == 51
    none = synthetic.memorized_analysis(12).key_frequencies
    assert f"why none{none.reason}" in require_card(none)
    assert "gi.analyze_run(run, key_frequencies=[...])" in require_card(none)
    given = gi.KeyFrequencies.given(113, [9])
    assert "<svg" not in given._repr_html_() and "keys.evidence" not in require_card(given)
    names = synthetic.permutation_analysis(6).key_frequencies
    assert require_card(names).startswith("Key representations: standard, sign")
    dense = dataclasses.replace(GROKKED.key_frequencies, is_dense=True)
    assert "Before you believe it: nearly all frequencies" in require_card(dense)


def test_the_card_of_an_analysis_has_outcome_phases_keys_and_steps():
    said = require_card(GROKKED)
    assert GROKKED.outcome in said and "14, 35, 41, 42, 52" in said
    assert "memorization 0 to 1,400" in said and "clock" in said and "analysis.plot()" in said
    assert "memorized at step 230, generalized at step 8,310" in said


def test_the_card_of_a_proof_says_what_it_is_worth():
    certificate = OBJECTS["certificate"]
    said = require_card(certificate)
    assert f"accuracy at least {certificate.accuracy_lower_bound:.4g}" in said
    best = certificate.best
    dear = dataclasses.replace(
        best, accuracy_lower_bound=0.5, relative_cost=0.75, bound_minus_cost=-0.25
    )
    assert "costs 0.75 times what checking every pair costs" in require_card(
        gi.Certificate(certificate.closed_form, (dear,))
    )
    nothing = dataclasses.replace(dear, accuracy_lower_bound=0.0)
    assert "says nothing against the network" in require_card(
        gi.Certificate(certificate.closed_form, (nothing,))
    )


def test_the_card_of_families_shows_the_share_of_each_and_the_network_with_the_largest_alone():
    families = OBJECTS["mode families"]
    said, table = require_card(families), families.table.set_index(["part", "family"])
    share = table.loc[("logits", "sum"), "share"]
    assert share > 0.9 and f"sum {share:.1%}" in said
    without = table.loc[("logits", "sum"), "ablated_accuracy_all"]
    assert f"sum of the logits: accuracy 1; without it {without:.4g}" in said
    assert families._repr_html_().count(f'fill="{KEY}"') == 1


def test_the_card_of_a_league_has_its_first_measures_and_their_false_alarms():
    said = require_card(OBJECTS["league"])
    assert "20 grok, 20 cannot grok" in said
    assert "early: warned before 100% of the jumps, in the median 100 steps ahead" in said


def test_a_comparison_has_a_row_for_its_first_runs_and_says_how_many_it_leaves_out():
    said = require_card(OBJECTS["comparison"])
    assert "run 1grokked, at step 8,310" in said and "run 2memorized" in said
    many = comparison_of([synthetic.memorized_analysis(12) for _ in range(9)])
    assert "and 3 more" in require_card(many) and "more" not in said.partition("Next")[0]


def test_a_reproduction_says_what_failed_before_its_claims():
    said = require_card(reproduction([CLAIM]))
    assert "(quick): confirmed" in said and "confirmed: It is -1." in said
    assert "failed" not in said
    broken = reproduction([CLAIM], [Failure("abc", {}, "no memory")])
    said = require_card(broken)
    assert "(quick): inconclusive" in said
    assert said.index("abc (no memory)") < said.index("It is -1.")


def with_text(word):
    """Cards with a text of somebody else wherever there is one."""
    run = dataclasses.replace(GROKKED.run, origin=word, doubts=(word,), folder=Path("a") / word)
    run = dataclasses.replace(run, config=OBJECTS["imported config"])
    keys = gi.KeyFrequencies(6, (), reason=word, rule=word, names=())
    named = gi.KeyFrequencies(6, (1, 2), names=(word, "b"), evidence=pd.DataFrame(
        {"representation": [word, "b"], "logit_power_share": [0.9, 0.1], "is_key": [True, False]}
    ))  # fmt: skip
    plain = dataclasses.replace(run, doubts=())
    milestones = dataclasses.replace(GROKKED.milestones, outcome=word)
    analysis = dataclasses.replace(
        GROKKED, run=plain, key_frequencies=keys, failures={word: word}, milestones=milestones
    )
    config = ImportedConfig(gi.TaskSpec(), gi.ModelSpec(), unknown=(word,))
    claims = [Claim(word, "confirmed", word, {})]
    found = reproduction(claims, [Failure(word, {}, word)])
    compared = comparison_of([analysis, synthetic.memorized_analysis(12)])
    object.__setattr__(compared.settings, "labels", (word, "b"))
    table = Card(word, {word: word}, {word: word}, (), None, {word: word})
    families = dataclasses.replace(OBJECTS["mode families"], reasons={word: word})
    one = dataclasses.replace(OBJECTS["certificate"].best, strategy=word, assumes=word, reason=word)
    certificate = gi.Certificate(OBJECTS["closed form"], (one,))
    explained = [families, certificate, league_of(word)]
    return [run, keys, named, analysis, config, found, compared, *explained], table


@pytest.mark.parametrize("kind", [kind for kind in PAYLOADS if kind != "a harmless word"])
def test_text_of_others_is_text_on_a_card(kind):
    if kind == "controls":
        words = ("word", PAYLOADS[kind].replace("\x00", "").replace("/", ""))
    else:
        words = ("word", PAYLOADS[kind].replace("/", "∕"))
    for harmless, hostile in zip(*(with_text(word)[0] for word in words), strict=True):
        require_card(hostile)
        assert Page(hostile._repr_html_()).elements == Page(harmless._repr_html_()).elements
    harmless, hostile = (card_html(with_text(word)[1]) for word in words)
    assert Page(hostile).elements == Page(harmless).elements


@pytest.mark.parametrize("word", ["x" * 100_000, "<" * 100_000, '"é模型🧪' * 20_000])
def test_a_card_stays_small_whatever_is_written_on_it(word):
    for value in with_text(word)[0]:
        require_card(value)
    assert "é模型🧪" in text_of(card_html(Card("é模型🧪")))
    assert len(escaped(word, 100)) <= 100 and escaped(word, 100).endswith("...")


@pytest.mark.parametrize("name", OBJECTS)
def test_a_broken_object_shows_a_card_that_says_so(name):
    value = OBJECTS[name]
    broken = object.__new__(type(value))
    html = broken._repr_html_()
    assert text_of(html).startswith(f"{type(value).__name__}Cannot be shown: ")
    assert "(AttributeError)" in html and len(html) < MOST_BYTES


def test_a_curve_with_a_column_missing_or_of_words_is_shown_or_said():
    for curves in (GROKKED.run.curves.drop(columns=["test_accuracy"]), pd.DataFrame()):
        html = dataclasses.replace(GROKKED.run, curves=curves)._repr_html_()
        assert "Run" in html and len(html) < MOST_BYTES


def ends_of(html, color=TRAIN):
    """Lowest and highest place of a curve, counted from above."""
    points = re.search(rf'points="([^"]*)"[^>]*stroke="{color}"', html)[1]
    heights = [float(point.split(",")[1]) for point in points.split()]
    return min(heights), max(heights), len(heights)


def test_a_sparkline_keeps_a_spike_of_one_step():
    steps, losses = np.arange(25_001), np.full(25_001, 1e-6)
    losses[13_337] = 10.0
    top, bottom, n = ends_of(sparkline({"train": (steps, losses)}))
    assert top < 0.1 * HEIGHT and bottom > 0.9 * HEIGHT and n <= 124
    top, bottom, _ = ends_of(sparkline({"train": (steps[::25], losses[::25])}))
    assert top == bottom


def test_a_sparkline_draws_what_a_logarithm_shows():
    steps = np.arange(4)
    drawn = sparkline({"train": (steps, np.array([1.0, np.nan, 0.0, 0.1]))})
    assert ends_of(drawn)[2] == 2 and "loss 0.1 to 1 (log scale)" in drawn
    assert sparkline({"train": (steps, np.array([1.0, np.nan, np.inf, -1.0]))}) == ""
    both = sparkline({"train": (steps, steps + 1.0), "test": (steps, steps + 1.0)}, {"a": 9})
    assert both.count("<polyline") == 2 and "dashed" not in both
    assert "a at step 2" in sparkline({"train": (steps, steps + 1.0)}, {"a": 2, "b": None})


def test_bars_of_many_frequencies_keep_the_key_ones():
    is_key = np.zeros(5000, dtype=bool)
    is_key[[7, 2500]] = True
    shares = np.where(is_key, 0.01, 1.0)
    drawn = bars(shares, is_key, "shares", range(1, 5001))
    assert drawn.count(f'fill="{KEY}"') == 2 and drawn.count("<rect") == 120
    assert bars(np.array([np.nan, 0.0]), is_key[:2], "shares", [1, 2]) == ""


def luminance(color):
    parts = [c / 255 for c in color]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(color, page):
    low, high = sorted((luminance(color), luminance(page)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("color", [TRAIN, TEST, KEY, OTHER])
def test_colors_of_pictures_are_seen_on_white_and_on_black(color):
    """3 to 1 is what WCAG 2.1 asks of the lines of a picture; bars that are not key may be less."""
    rgb = tuple(int(color[i : i + 2], 16) for i in (1, 3, 5))
    least = 2.5 if color == OTHER else 3
    assert contrast(rgb, LIGHT) >= least and contrast(rgb, DARK) >= least
    assert contrast((28, 36, 48), DARK) < 3


def test_the_story_is_that_of_the_circuit_where_there_is_one():
    assert GROKKED.plot() == gi.figures.plot_restricted_and_excluded_loss(GROKKED)
    memorized = synthetic.memorized_analysis(12)
    assert memorized.plot() == gi.figures.plot_losses(memorized)
    names = {annotation.text for annotation in GROKKED.plot().layout.annotations}
    assert {"memorization step 230", "grokking step 8,310"} <= names
    silent = GROKKED.run.curves.assign(train_loss=np.nan, test_loss=np.nan)
    blank = memorized.trajectory.assign(train_loss=np.nan, test_loss=np.nan)
    without = dataclasses.replace(
        memorized, run=dataclasses.replace(memorized.run, curves=silent), trajectory=blank
    )
    assert without.plot() == gi.figures.plot_accuracies(without)
    with pytest.raises(FitError, match="No accuracy was recorded"):
        synthetic.empty_analysis().plot()


def test_figures_complete_to_their_functions_which_are_typed():
    assert dir(gi.figures) == sorted(gi.figures.__all__)
    for name in gi.figures.__all__:
        value = getattr(gi.figures, name)
        if callable(value):
            called = value.__call__ if isinstance(value, type) else value
            assert "return" in get_type_hints(called) and value.__doc__


@pytest.mark.browser
@pytest.mark.skipif(EXECUTABLE is None, reason="no chromium, no google-chrome")
def test_cards_take_the_colors_of_the_page_and_fit_a_telephone(tmp_path):
    cards = "".join(value._repr_html_() for value in OBJECTS.values())
    look = """(() => {
      const texts = [...document.querySelectorAll("dt, dd, pre, code, div")];
      const styles = texts.map(e => getComputedStyle(e));
      return {
        colors: [...new Set(styles.map(s => s.color))],
        backgrounds: [...new Set(styles.map(s => s.backgroundColor))],
        width: document.documentElement.scrollWidth,
        pictures: [...document.querySelectorAll("svg")].map(e => e.getBoundingClientRect().width),
      }})()"""
    with Browser(tmp_path / "profile") as browser:
        for page, color in ((LIGHT, "rgb(20, 20, 20)"), (DARK, "rgb(230, 230, 230)")):
            file = tmp_path / "page.html"
            style = f"background:rgb{page};color:{color};margin:8px"
            file.write_text(f'<meta charset="utf-8"><body style="{style}">{cards}', "utf-8")
            for width in (1200, 400):
                browser.view(width)
                browser.open(file)
                seen = browser.evaluate(look)
                assert seen["colors"] == [color]
                assert seen["backgrounds"] == ["rgba(0, 0, 0, 0)"]
                assert seen["width"] <= width
                assert len(seen["pictures"]) == 5 and min(seen["pictures"]) > 200


class Thing:
    def __repr__(self):
        return "<Thing>"


def test_card_of_anything_else_is_its_repr():
    assert "<Thing>" in text_of(card_of(Thing())) and "Cannot" not in card_of(3)
