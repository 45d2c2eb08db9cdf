"""Steps, widths and outcomes on curves of known kind, each beside one of the other kind."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from grokinterp.errors import ConfigError
from grokinterp.trajectory import Thresholds, find_milestones
from tests.foreign import data_file

SPACINGS = [1, 10, 20, 50, 100]
RAMP = 200


def curves(every=10, n_steps=20_000, fit=150, jump=9000, width=RAMP, low=0.02, high=1.0):
    """A run that memorizes at `fit` and rises from `low` to `high` around `jump`."""
    steps = np.arange(0, n_steps + 1, every)
    test = np.interp(steps, [jump - width / 2, jump + width / 2], [low, high])
    train = (steps >= fit).astype(float)
    return pd.DataFrame({"step": steps, "train_accuracy": train, "test_accuracy": test})


def noisy(frame, seed, size=0.03):
    noise = np.random.default_rng(seed).normal(0, size, len(frame))
    return frame.assign(test_accuracy=(frame["test_accuracy"] + noise).clip(0, 1))


def with_dips(frame, at, column="train_accuracy", value=0.5):
    """The single tests that come first after each of some steps."""
    frame = frame.copy()
    rows = np.unique(np.searchsorted(frame["step"], at))
    frame.loc[rows[rows < len(frame)], column] = value
    return frame


def oscillating(every, period, until=10**9):
    """Between 1 and 0.3 from step 9,000 on."""
    frame = curves(every)
    steps = frame["step"]
    swings = np.where(steps % period < period / 2, 1.0, 0.3)
    is_swinging = (steps >= 9000) & (steps < until)
    return frame.assign(test_accuracy=np.where(is_swinging, swings, frame["test_accuracy"]))


def kind(frame, **arguments):
    return find_milestones(frame, **arguments).outcome_kind


@pytest.mark.parametrize("every", SPACINGS)
def test_dips_of_the_training_accuracy_change_nothing(every):
    clean = find_milestones(curves(every))
    assert clean.outcome_kind == "grokked"
    for at in ([1000], np.arange(1900, 20_000, 1900), np.arange(900, 20_000, max(900, 6 * every))):
        assert find_milestones(with_dips(curves(every), at)).grokking_delay == clean.grokking_delay


@pytest.mark.parametrize("seed", range(3))
def test_nine_of_142_later_tests_below_are_no_failure_to_fit(seed):
    steps = np.arange(0, 3001, 20)
    train, test = (steps >= 160).astype(float), (steps >= 500).astype(float)
    later = np.flatnonzero(steps > 160)
    assert len(later) == 142
    train[np.random.default_rng(seed).choice(later, 9, replace=False)] = 0.985
    frame = pd.DataFrame({"step": steps, "train_accuracy": train, "test_accuracy": test})
    found = find_milestones(frame)
    assert (found.memorization_step, found.grokking_step) == (160, 500)
    half = frame.assign(train_accuracy=np.where(steps % 60 == 0, train, 0.985))
    assert kind(half) == "not_settled"


@pytest.mark.parametrize("every", SPACINGS)
def test_noise_above_the_threshold_does_not_move_the_grokking_step(every):
    seeds = range(20)
    found = [find_milestones(noisy(curves(every, high=0.97), seed)) for seed in seeds]
    steps = np.array([one.grokking_step for one in found], dtype=float)
    assert {one.outcome_kind for one in found} == {"grokked"}
    assert abs(np.median(steps) - 9050) <= RAMP
    # A test is below the threshold with probability 0.25, eight in a row with 1.5e-5.
    assert (np.abs(steps - 9050) <= RAMP + 8 * every).all()


@pytest.mark.parametrize("every", SPACINGS)
def test_the_same_noise_below_the_threshold_is_no_grokking(every):
    found = [find_milestones(noisy(curves(every, high=0.90), seed)) for seed in range(20)]
    assert {one.grokking_step for one in found} == {None}
    assert {one.outcome_kind for one in found} == {"memorized"}


@pytest.mark.parametrize("every", SPACINGS)
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_a_spike_before_a_slow_ramp_does_not_make_it_sharp(every, noise):
    slow = noisy(curves(every, jump=8000, width=12_000), 0, noise)
    sharp = noisy(curves(every), 0, noise)
    for frame, expected in ((slow, "slow_convergence"), (sharp, "grokked")):
        rows = frame.index[frame["step"] >= 1000][:2]
        frame.loc[rows, "test_accuracy"] = 0.92
        found = find_milestones(frame)
        assert found.outcome_kind == expected
        planted = 9600 if frame is slow else 160
        assert abs(found.transition_width - planted) <= 2 * every + 40 * (noise > 0) * 30


@pytest.mark.parametrize("every", SPACINGS)
@pytest.mark.parametrize("chance", [1 / 7, 1 / 6, 0.12])
def test_a_slow_rise_from_above_ten_percent_is_slow(every, chance):
    frame = curves(every, jump=7650, width=15_000, low=chance)
    found = find_milestones(frame, chance=chance)
    assert found.outcome_kind == "slow_convergence"
    assert found.plateau_accuracy == pytest.approx(chance, abs=0.05)
    sharp = find_milestones(curves(every, low=chance), chance=chance)
    assert sharp.outcome_kind == "grokked"
    assert "guessing" not in sharp.outcome


def test_a_plateau_above_chance_is_said_beside_it():
    said = find_milestones(curves(low=0.4), chance=0.02).outcome
    assert "On the plateau before it the test accuracy is 40.0%; guessing has 2.0%" in said
    assert "guessing" not in find_milestones(curves(low=0.4)).outcome


def test_a_rise_too_small_to_measure_is_not_called_sharp():
    found = find_milestones(curves(low=0.90, high=0.97))
    assert (found.outcome_kind, found.transition_width) == ("slow_convergence", None)
    assert "plateau, 90.0%" in found.reasons["transition_width"]
    assert found.reasons["transition_width"] in found.outcome
    assert kind(curves(low=0.5, high=0.97)) == "grokked"


@pytest.mark.parametrize("every", SPACINGS)
@pytest.mark.parametrize("period", [300, 900, 1900, 3000, 5000])
def test_an_oscillation_settles_only_when_it_ends(every, period):
    assert kind(oscillating(every, period)) == "not_settled"
    ended = find_milestones(oscillating(every, period, until=15_000))
    assert ended.outcome_kind == "grokked"


@pytest.mark.parametrize("every", [10, 100])
@pytest.mark.parametrize("period", [300, 900, 1900, 3000, 5000])
def test_a_smooth_oscillation_does_not_settle_either(every, period):
    frame = curves(every)
    wave = 0.65 + 0.35 * np.sin(2 * np.pi * frame["step"] / period)
    frame["test_accuracy"] = np.where(frame["step"] >= 9000, wave, frame["test_accuracy"])
    assert kind(frame) == "not_settled"


@pytest.mark.parametrize("every", SPACINGS)
def test_one_last_test_above_the_threshold_is_no_grokking(every):
    flat = curves(every, jump=10**9)
    found = find_milestones(with_dips(flat, [20_000], "test_accuracy", 0.97))
    assert (found.outcome_kind, found.grokking_step) == ("not_settled", None)
    assert found.first_crossing_step == 20_000
    assert "only just passed 95%" in found.outcome and "Train longer" in found.outcome
    assert kind(flat) == "memorized"


@pytest.mark.parametrize("every", SPACINGS)
def test_an_early_brief_crossing_of_a_run_on_its_plateau_stays_memorized(every):
    frame = curves(every, jump=10**9)
    frame.loc[frame["step"].between(500, 700), "test_accuracy"] = 0.97
    found = find_milestones(frame)
    assert (found.outcome_kind, found.grokking_step) == ("memorized", None)
    assert found.first_crossing_step == 500


@pytest.mark.parametrize(
    ("every", "patience"), [(1, 50), (10, 100), (20, 50), (20, 200), (20, 300), (50, 600)]
)
def test_a_run_that_stopped_early_because_it_generalized_did(every, patience):
    """As the stop rules of the experiments end their runs."""
    from grokinterp.runs import TrainConfig
    from grokinterp.runs.stopping import EarlyStop

    frame = curves(every)
    stop = EarlyStop(TrainConfig(stop_accuracy=0.95, stop_patience=patience))
    pairs = zip(frame["step"], frame["test_accuracy"], strict=True)
    end = next(int(step) for step, accuracy in pairs if stop.is_reached(step, accuracy))
    found = find_milestones(frame[frame["step"] <= end])
    assert found.outcome_kind == "grokked"
    assert found.grokking_step == found.first_crossing_step


def test_a_run_that_stopped_at_its_crossing_has_not_settled():
    frame = curves()
    crossing = find_milestones(frame).first_crossing_step
    assert kind(frame[frame["step"] <= crossing]) == "not_settled"


@pytest.mark.parametrize("every", SPACINGS)
def test_what_is_lost_for_good_collapsed_and_what_comes_back_did_not(every):
    frame = curves(every)
    steps, test = frame["step"], frame["test_accuracy"]
    lost = find_milestones(frame.assign(test_accuracy=np.where(steps < 15_000, test, 0.1)))
    assert (lost.outcome_kind, lost.lost_step) == ("collapsed", 15_000)
    assert lost.grokking_step == find_milestones(frame).grokking_step
    assert "it lost the test accuracy at step 15,000, for good" in lost.outcome
    is_out = steps.between(15_000, 15_400)
    back = find_milestones(frame.assign(test_accuracy=np.where(is_out, 0.1, test)))
    assert (back.outcome_kind, back.lost_step) == ("grokked", None)
    late = frame.assign(test_accuracy=np.where(steps < 19_700, test, 0.1))
    assert kind(late) == "not_settled"


def test_training_pairs_lost_for_good_are_a_collapse_too():
    frame = curves(jump=10**9)
    train = frame["train_accuracy"]
    lost = frame.assign(train_accuracy=np.where(frame["step"] < 15_000, train, 0.1))
    found = find_milestones(lost)
    assert (found.outcome_kind, found.lost_step) == ("collapsed", 15_000)
    assert "it lost the training accuracy at step 15,000" in found.outcome
    worse = frame.assign(train_accuracy=np.where(frame["step"] < 15_000, train, 0.95))
    assert kind(worse) == "memorized"


def test_an_accuracy_that_sinks_a_little_below_its_threshold_is_not_settled():
    frame = curves()
    sunk = frame.assign(
        test_accuracy=np.where(frame["step"] < 15_000, frame["test_accuracy"], 0.93)
    )
    assert kind(sunk) == "not_settled"


def test_test_pairs_before_training_pairs_are_not_without_delay():
    found = find_milestones(curves(fit=9500))
    assert found.outcome_kind == "generalized_before_memorizing"
    assert found.grokking_delay == found.grokking_step - 9500 < 0
    assert found.outcome.startswith("Generalized before memorizing: it reached")
    assert kind(curves(fit=9000)) == "generalized_without_delay"


@pytest.mark.parametrize("accuracy", [0.0, 0.5, 0.96, 1.0])
def test_constant_accuracies(accuracy):
    frame = curves().assign(train_accuracy=accuracy, test_accuracy=accuracy)
    expected = "generalized_without_delay" if accuracy == 1.0 else "did_not_fit"
    assert kind(frame) == expected


@pytest.mark.parametrize("spacing", [1000, 2000])
def test_a_sparse_record_has_one_test_for_each_stretch(spacing):
    steps = np.arange(0, 10 * spacing, spacing)
    test = np.where(steps >= 9 * spacing, 0.99, 0.02)
    frame = pd.DataFrame(
        {"step": steps, "train_accuracy": 1.0 * (steps > 0), "test_accuracy": test}
    )
    assert find_milestones(frame).grokking_step == 9 * spacing
    spike = frame.assign(test_accuracy=np.where(steps == 5 * spacing, 0.99, 0.02))
    assert find_milestones(spike).grokking_step is None


@given(
    scale=st.integers(1, 50),
    jump=st.integers(500, 15_000),
    width=st.integers(20, 12_000),
    seed=st.integers(0, 99),
)
def test_steps_scale_with_the_steps_of_the_record(scale, jump, width, seed):
    frame = noisy(curves(50, jump=jump, width=width, high=0.98), seed)
    plain = find_milestones(frame, thresholds=Thresholds(patience=1000))
    scaled = find_milestones(
        frame.assign(step=frame["step"] * scale), thresholds=Thresholds(patience=1000 * scale)
    )
    assert scaled.outcome_kind == plain.outcome_kind
    for name in ("memorization_step", "grokking_step", "grokking_delay", "lost_step"):
        one = getattr(plain, name)
        assert getattr(scaled, name) == (None if one is None else one * scale)


@given(
    every=st.sampled_from([10, 20, 50]),
    jump=st.sampled_from([300, 3000, 9000, 10**9]),
    width=st.sampled_from([200, 5000]),
    column=st.sampled_from(["train_accuracy", "test_accuracy"]),
    first=st.integers(0, 30),
    gap=st.integers(21, 60),
    depth=st.floats(0, 0.9),
)
def test_isolated_dips_never_change_the_outcome(every, jump, width, column, first, gap, depth):
    frame = curves(every, jump=jump, width=width)
    rows = np.arange(first, len(frame) - 1, gap)
    dipped = frame.copy()
    dipped.loc[rows, column] *= depth
    assert kind(dipped) == kind(frame)


def test_every_step_that_is_none_has_a_reason():
    names = """memorization_step grokking_step first_crossing_step grokking_delay transition_width
    plateau_transition_width plateau_accuracy lost_step""".split()
    frames = [curves(), curves(jump=10**9), curves(fit=10**9), curves(fit=9500), curves()[:0]]
    for frame in [*frames, curves()[950:]]:
        found = find_milestones(frame)
        assert {n for n in names if getattr(found, n) is None} == set(found.reasons)
        assert all(found.reasons.values())
    said = find_milestones(curves(jump=10**9), thresholds=Thresholds(grokking=0.9)).reasons
    assert said["grokking_step"] == "the test accuracy never stays above 0.9"


@pytest.mark.parametrize(
    ("folder", "name", "seed", "steps", "expected"),
    [
        # Slingshots all along: dips of single tests, and a plateau of mirrored pairs.
        ("tfgrok", "p53_a0.30_d128_h4_L1_H512_wd1e00_lr1e-03", 0, (37, 4244), "grokked"),
        # Settles at an accuracy of one half at the end, after 30,000 steps above 0.95.
        ("tfgrok", "p53_a0.30_d128_h4_L1_H512_wd1e00_lr1e-03", 3, (39, 6608), "collapsed"),
        # Falls to 0.5 and 0.3 in its last two tests.
        ("tfgrok", "p97_a0.55_d128_h4_L1_H512_wd1e00_lr1e-03", 10, (138, 970), "not_settled"),
        # Steady, with nothing for the rule to forgive.
        ("grokfss", "p59_a0.30_d128_H256_wd1e00_lr1e-03", 0, None, "grokked"),
    ],
)
def test_published_curves_are_called_what_they_look_like(folder, name, seed, steps, expected):
    path = data_file(f"league/{folder}/adamw_{name}.npz")
    record = np.load(path)
    frame = pd.DataFrame(
        {
            "step": record["steps"],
            "train_accuracy": record["train_acc"][seed],
            "test_accuracy": record["test_acc"][seed],
        }
    )
    found = find_milestones(frame)
    assert found.outcome_kind == expected
    if steps is not None:
        assert (found.memorization_step, found.grokking_step) == steps


def smooth_curves(n_steps=20_000, every=10, fit=150, jump=8000, width=400):
    """A run whose test accuracy rises as a logistic curve."""
    steps = np.arange(0, n_steps + 1, every)
    # A logistic curve goes from 10 to 90 % within 4.4 of its scales.
    sharp = 0.5 * (1 + np.tanh((steps - jump) / (2 * width / 4.4)))
    train = (steps >= fit).astype(float)
    return pd.DataFrame({"step": steps, "train_accuracy": train, "test_accuracy": sharp})


def test_planted_milestones_are_found():
    found = find_milestones(smooth_curves(fit=150, jump=8000, width=400))
    assert found.memorization_step == 150
    assert found.grokking_step == found.first_crossing_step
    assert abs(found.grokking_step - 8270) <= 20
    assert found.grokking_delay == found.grokking_step - 150
    assert found.transition_width == pytest.approx(400, abs=20)
    assert found.outcome_kind == "grokked"
    assert "Grokked" in found.outcome and f"{found.grokking_step:,}" in found.outcome


def test_a_crossing_that_does_not_stay_is_not_the_grokking_step():
    curves = smooth_curves(jump=8000)
    curves.loc[curves["step"].between(500, 600), "test_accuracy"] = 0.99
    found = find_milestones(curves)
    assert found.first_crossing_step == 500
    assert found.grokking_step > 8000
    short = find_milestones(curves, thresholds=Thresholds(patience=50))
    assert short.grokking_step == 500


def test_staying_to_the_end_is_enough():
    curves = smooth_curves(n_steps=8500, jump=8000)
    assert find_milestones(curves).outcome_kind == "grokked"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"jump": 10**9}, "memorized"),
        ({"fit": 10**9}, "did_not_fit"),
        ({"fit": 5000, "jump": 5000}, "generalized_without_delay"),
        ({"jump": 8000, "width": 9000}, "slow_convergence"),
    ],
)
def test_each_kind_of_outcome_is_told_apart(changes, kind):
    found = find_milestones(smooth_curves(**changes))
    assert found.outcome_kind == kind
    assert "nan" not in found.outcome.lower() and "None" not in found.outcome


def test_divergence_comes_before_everything_else():
    found = find_milestones(smooth_curves(), diverged_at=9000)
    assert found.outcome_kind == "diverged"
    assert "9,000" in found.outcome


def test_knowing_that_a_and_b_commute_is_no_slow_convergence():
    """Mirrored pairs lift the plateau; the unmirrored ones show the jump."""
    curves = smooth_curves(jump=8000, width=400)
    unmirrored = curves[["step"]].assign(test_accuracy_unmirrored=curves["test_accuracy"])
    lifted = (curves["step"] > 300).astype(float) * 0.4
    curves["test_accuracy"] = np.maximum(curves["test_accuracy"], lifted)
    found = find_milestones(curves, unmirrored=unmirrored)
    assert found.outcome_kind == "grokked"
    assert found.plateau_accuracy == pytest.approx(0.4)
    assert found.plateau_transition_width == pytest.approx(400, abs=20)
    assert "(on the test pairs whose mirror image is not trained)" in found.outcome
    # The verdict is theirs: with these, the same curve is slow.
    slow = smooth_curves(jump=8000, width=9000)["test_accuracy"]
    late = find_milestones(curves, unmirrored=unmirrored.assign(test_accuracy_unmirrored=slow))
    assert late.outcome_kind == "slow_convergence"
    assert late.transition_width == found.transition_width < late.plateau_transition_width


def test_an_empty_record_gives_no_outcome_and_says_so():
    curves = pd.DataFrame({"step": [], "train_accuracy": [], "test_accuracy": []})
    found = find_milestones(curves)
    assert (found.outcome_kind, found.memorization_step, found.grokking_step) == (None, None, None)
    assert "was recorded" in found.outcome
    assert "was recorded" in found.reasons["grokking_step"]


def record(*rows):
    return pd.DataFrame(rows, columns=pd.Index(["step", "train_accuracy", "test_accuracy"]))


@pytest.mark.parametrize("step", [0, 50_000])
def test_one_checkpoint_of_a_network_that_generalized_says_nothing_about_when(step):
    found = find_milestones(record((step, 1.0, 0.99)))
    assert (found.memorization_step, found.grokking_step, found.grokking_delay) == (None,) * 3
    assert found.outcome_kind is None
    assert found.outcome.startswith(f"No outcome: at step {step:,}, where the record begins")
    assert "99.0% on the test pairs" in found.outcome
    assert "where the record begins" in found.reasons["grokking_step"]


def test_a_record_that_begins_after_memorization_still_shows_grokking():
    found = find_milestones(record((2000, 1.0, 0.1), (4000, 1.0, 0.3), (6000, 1.0, 0.99)))
    assert (found.memorization_step, found.grokking_step) == (None, 6000)
    assert (found.grokking_delay, found.outcome_kind) == (None, None)
    assert "; it reached a test accuracy above 95% at step 6,000." in found.outcome
    assert "where the record begins" in found.reasons["memorization_step"]
    assert "needs both" in found.reasons["grokking_delay"]


def test_a_record_of_a_network_that_only_memorized_says_so():
    found = find_milestones(record((2000, 1.0, 0.1), (4000, 1.0, 0.3)))
    assert found.outcome_kind == "memorized"
    assert found.outcome.startswith("Memorized: it memorized its training pairs by step 2,000")


def test_a_record_whose_test_pairs_come_first_says_both():
    found = find_milestones(record((2000, 0.5, 0.99), (4000, 1.0, 0.99)))
    assert found.outcome_kind is None
    assert found.outcome.startswith("No outcome: at step 2,000, where the record begins, it")
    assert "; it memorized its training pairs at step 4,000." in found.outcome
    assert (found.memorization_step, found.grokking_step) == (4000, None)


def test_a_checkpoint_that_does_not_fit_is_told_as_before():
    assert find_milestones(record((500, 0.4, 0.1))).outcome_kind == "did_not_fit"


def test_a_record_from_the_start_is_told_as_before():
    found = find_milestones(record((0, 1.0, 1.0), (10, 1.0, 1.0)))
    assert (found.memorization_step, found.outcome_kind) == (0, "generalized_without_delay")


SPARSE = np.arange(0, 20_000, 100)


def curves_of(train, test):
    return pd.DataFrame({"step": SPARSE, "train_accuracy": train, "test_accuracy": test})


MEMORIZED = np.where(SPARSE >= 200, 1.0, 0.1)
GENERALIZED = np.where(SPARSE >= 10_000, 1.0, 0.1)


def test_a_collapse_is_one_whether_or_not_the_training_pairs_were_memorized():
    lost = np.where((SPARSE > 5000) & (SPARSE < 12_000), 1.0, 0.1)
    found = find_milestones(curves_of(np.minimum(MEMORIZED, 0.985), lost))
    assert (found.outcome_kind, found.memorization_step, found.lost_step) == (
        "collapsed",
        None,
        12_000,
    )
    assert found.outcome.startswith(
        "Collapsed: it reached a test accuracy above 95% at step 5,100; it"
    )
    # Its neighbor keeps what it reached.
    kept = find_milestones(curves_of(np.minimum(MEMORIZED, 0.985), GENERALIZED))
    assert kept.outcome_kind == "did_not_fit" and kept.lost_step is None
    assert "It reached a test accuracy above 95% at step 10,000." in kept.outcome


def test_a_training_accuracy_that_swings_is_not_settled_and_a_low_one_did_not_fit():
    swinging = np.where((SPARSE // 100) % 3 < 1, 1.0, 0.3)
    found = find_milestones(curves_of(swinging, GENERALIZED))
    assert found.outcome_kind == "not_settled" and "again and again" in found.outcome
    low = find_milestones(curves_of(np.full(len(SPARSE), 0.3), np.full(len(SPARSE), 0.1)))
    assert low.outcome_kind == "did_not_fit"


def test_a_threshold_is_named_with_its_digits():
    limits = Thresholds(grokking=0.995)
    said = find_milestones(curves_of(MEMORIZED, GENERALIZED), thresholds=limits).outcome
    assert "above 99.5%" in said and "100%." not in said.split("At step")[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train_accuracy": MEMORIZED * 100}, "train_accuracy goes from .* a percentage"),
        ({"test_accuracy": GENERALIZED - 1}, "test_accuracy goes from -0.9"),
    ],
)
def test_accuracies_that_are_no_fractions_are_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        find_milestones(curves_of(MEMORIZED, GENERALIZED).assign(**change))


@pytest.mark.parametrize("chance", [-1.0, 5.0, math.nan])
def test_a_chance_outside_of_its_range_is_refused(chance):
    with pytest.raises(ConfigError, match="chance="):
        find_milestones(curves_of(MEMORIZED, GENERALIZED), chance=chance)


def test_a_missing_column_is_named_and_the_order_of_rows_does_not_matter():
    curves = curves_of(MEMORIZED, GENERALIZED)
    with pytest.raises(ConfigError, match="no column test_accuracy"):
        find_milestones(curves.drop(columns="test_accuracy"))
    assert find_milestones(curves.sample(frac=1, random_state=0)) == find_milestones(curves)


def test_a_share_of_dips_that_a_kept_accuracy_exceeds_is_refused():
    with pytest.raises(ConfigError, match="dip_share=1.0 .* It must be below end_share"):
        Thresholds(dip_share=1.0)
