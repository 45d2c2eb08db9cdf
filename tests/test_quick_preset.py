"""The preset `quick` shows the textbook curve: memorized, at chance for long, then sharp."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

MEMORIZED_BY = 200
NEAR_CHANCE = 0.05
PLATEAU_RATIO = 10
WIDTH_RATIO = 2 / 5
TESTS_OF_MEDIAN = 5


@dataclasses.dataclass(frozen=True)
class Curve:
    """What a textbook has in its figure of grokking, read off running medians of five tests."""

    memorization_step: int
    steps_at_chance: int
    delay: int
    width: int
    """Steps from 10 to 90 % of the way from the plateau to 1."""

    @classmethod
    def of(cls, curves, n_classes):
        tested = curves.dropna(subset=["train_accuracy", "test_accuracy"]).reset_index(drop=True)
        steps = tested["step"].to_numpy()
        train, test = (
            tested[name].rolling(TESTS_OF_MEDIAN, center=True, min_periods=1).median().to_numpy()
            for name in ("train_accuracy", "test_accuracy")
        )
        known = int(np.argmax(train == 1))
        assert train[known] == 1, "it never knows all its training pairs"
        is_away = np.abs(test - 1 / n_classes) > NEAR_CHANCE
        left = known + int(np.argmax(is_away[known:]))
        assert is_away[left], "the test accuracy never leaves chance"
        plateau = np.median(test[known : left + 1])
        low, high = plateau + 0.1 * (1 - plateau), plateau + 0.9 * (1 - plateau)
        first_high = int(np.argmax(test >= high))
        assert test[first_high] >= high, "the test accuracy never comes near 1"
        last_low = int(np.flatnonzero(test[:first_high] <= low)[-1])
        generalized = steps[int(np.argmax(test > 0.95))]
        return cls(
            memorization_step=int(steps[known]),
            steps_at_chance=int(steps[left] - steps[known]),
            delay=int(generalized - steps[known]),
            width=int(steps[first_high] - steps[last_low]),
        )

    def assert_textbook(self):
        assert self.memorization_step <= MEMORIZED_BY
        assert self.steps_at_chance >= PLATEAU_RATIO * self.memorization_step
        assert self.width <= WIDTH_RATIO * self.delay


def planted(*, memorized=70, level=1 / 59, rise=(2300, 3000), n_steps=5000):
    """Accuracies that wait at a level until the first step of `rise` and reach 1 at the second."""
    steps = np.arange(0, n_steps + 1, 10)
    return pd.DataFrame(
        {
            "step": steps,
            "train_accuracy": np.interp(steps, [0, memorized], [1 / 59, 1]),
            "test_accuracy": np.interp(steps, [0, memorized, *rise], [1 / 59, level, level, 1]),
        }
    )


def test_a_planted_textbook_curve_is_one():
    found = Curve.of(planted(), 59)
    assert found.memorization_step == pytest.approx(70, abs=20)
    assert found.width == pytest.approx(0.8 * 700, abs=20)
    found.assert_textbook()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"memorized": 400}, id="memorized too late"),
        pytest.param({"level": 0.46}, id="a plateau that mirrored pairs lift"),
        pytest.param({"rise": (500, 700)}, id="a short plateau"),
        pytest.param({"rise": (800, 3400)}, id="a slow transition"),
    ],
)
def test_a_planted_curve_that_lacks_one_thing_is_none(changes):
    with pytest.raises(AssertionError):
        Curve.of(planted(**changes), 59).assert_textbook()


@pytest.mark.slow
def test_the_preset_quick_groks_as_in_a_textbook(tmp_path):
    import grokinterp as gi

    run = gi.train(gi.PRESETS["quick"], tmp_path, n_threads=1, progress=False)
    Curve.of(run.curves, run.task.n_classes).assert_textbook()
    analysis = gi.analyze_run(run, deep=False)
    assert analysis.summary["outcome_kind"] == "grokked"
    assert analysis.key_frequencies.frequencies
