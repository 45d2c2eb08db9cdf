"""Planted measures of known lead and known false alarms, and whether the league finds them."""

import numpy as np
import pytest

from grokinterp.errors import ConfigError
from grokinterp.leagues.league import judge_curves
from grokinterp.leagues.scores import (
    WatchedCurve,
    halves_of,
    rule_of,
    score,
    threshold_of,
)

STEPS = np.arange(0, 2001, 50)
MEMORIZED, JUMP = 200, 1500
N_SETTINGS, N_SEEDS = 40, 3


def runs(ending, value_of):
    """Curves of 40 configurations of three seeds: `value_of(setting, seed)` is an array."""
    jump = JUMP if ending == "groks" else None
    return [
        WatchedCurve(f"{ending} {k}", ending, STEPS, value_of(k, seed), MEMORIZED, jump)
        for k in range(N_SETTINGS)
        for seed in range(N_SEEDS)
    ]


def rising(step, sign=1.0):
    """What is 0 before a step and 1 from it on."""
    return lambda *_: sign * (STEPS >= step)


def flat(*_):
    return np.zeros(len(STEPS))


def noise(seed=0):
    generator = np.random.default_rng(seed)
    return lambda *_: generator.normal(size=len(STEPS))


@pytest.mark.parametrize("lead", [50, 400, 1300])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_planted_lead_is_found(lead, sign):
    curves = runs("groks", rising(JUMP - lead, sign)) + runs("cannot", flat)
    found = score(curves)
    assert found.lead.value == lead and found.lead_quartiles == (lead, lead)
    assert found.lead_over_grokking == (lead / JUMP,) * 3
    assert found.lead_over_memorization == (lead / MEMORIZED,) * 3
    assert found.warned.value == 1.0 and found.false_alarms_cannot.value == 0.0
    assert found.auc.value == 1.0
    assert {rule.direction for rule in found.rules} == {sign}


def test_a_measure_that_rises_with_the_jump_gives_no_warning():
    found = score(runs("groks", rising(JUMP)) + runs("cannot", flat))
    assert found.warned.value == 0.0 and found.lead.value == 0.0


def test_what_lies_before_memorization_is_no_alarm():
    found = score(runs("groks", lambda *_: 1.0 * (STEPS < MEMORIZED)) + runs("cannot", flat))
    assert found.warned.value == 0.0


def test_noise_has_its_share_of_false_alarms_and_no_lead():
    """Watched for as long, a measure without information warns as often as it cries wolf."""
    draw = noise()
    curves = runs("cannot", draw) + runs("censored", draw)
    curves += [
        WatchedCurve(f"groks {k}", "groks", STEPS, draw(), MEMORIZED, 2001) for k in range(400)
    ]
    found = score(curves)
    assert found.lead.value == 0.0
    for share in (found.warned, found.false_alarms_cannot, found.false_alarms_censored):
        assert 0.0 < share.value < 0.12
    assert found.auc.low < 0.5 < found.auc.high or abs(found.auc.value - 0.5) < 0.06


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_planted_false_alarms_are_counted_apart(share):
    """Alarms in some configurations of one ending; the threshold lies above no other value."""

    def some(k, seed):
        return (STEPS >= 1000) * (k < share * N_SETTINGS) * 0.5

    curves = runs("groks", rising(1000)) + runs("cannot", flat) + runs("censored", some)
    # At most 60 % may cross, so the threshold stays at 0 and all planted alarms count.
    found = score(curves, most=0.6)
    assert found.false_alarms_censored.value == pytest.approx(share)
    assert found.false_alarms_cannot.value == 0.0 and found.lead.value == 500


def test_a_threshold_is_judged_on_configurations_that_it_was_not_fixed_on():
    """What sets one configuration apart in each half cannot be hidden by the threshold."""

    def loud_alone(k, seed):
        return np.full(len(STEPS), float(k))

    curves = runs("groks", lambda *_: np.full(len(STEPS), 1000.0)) + runs("cannot", loud_alone)
    of_others, of_own = [], []
    for seed in range(5):
        found, halves = score(curves, seed=seed), halves_of(curves, seed)
        alarms = {0: [], 1: []}
        for half in (0, 1):
            part = [c for c, h in zip(curves, halves, strict=True) if h == half]
            rest = [c for c, h in zip(curves, halves, strict=True) if h != half]
            limit = threshold_of(np.array([c.extreme(1) for c in part if c.ending == "cannot"]))
            assert found.rules[half].threshold == limit == rule_of(part).threshold
            assert not {c.setting for c in part} & {c.setting for c in rest}
            for name, judged in (("own", part), ("other", rest)):
                crossed = [c.extreme(1) > limit for c in judged if c.ending == "cannot"]
                alarms[int(name == "other")] += crossed
        assert found.false_alarms_cannot.value == np.mean(alarms[1])
        of_own.append(np.mean(alarms[0]))
        of_others.append(np.mean(alarms[1]))
    # Where it is fixed, a threshold keeps what it allows; elsewhere it need not.
    assert max(of_own) <= 0.05 < max(of_others)


def test_halves_are_balanced_in_every_ending():
    curves = runs("groks", flat) + runs("cannot", flat) + runs("censored", flat)
    halves = halves_of(curves)
    for ending in ("groks", "cannot", "censored"):
        of_it = halves[[c.ending == ending for c in curves]]
        assert of_it.mean() == 0.5


def test_a_declared_direction_is_kept():
    curves = runs("groks", rising(1000, -1.0)) + runs("cannot", flat)
    assert score(curves, direction=1).warned.value == 0.0
    assert score(curves, direction=-1).warned.value == 1.0


def test_runs_without_values_are_left_out_and_counted():
    nothing = np.full(len(STEPS), np.nan)
    curves = runs("groks", rising(1000)) + runs("cannot", flat)
    curves += runs("censored", lambda *_: nothing)
    found = score(curves)
    assert (found.n_groks, found.n_cannot, found.n_censored) == (120, 120, 0)
    assert np.isnan(found.false_alarms_censored.value)


def test_too_few_runs_have_a_reason_and_no_row():
    found = judge_curves({"mine": runs("groks", rising(1000))})
    assert found.table.empty
    assert "no run that does not grok" in found.reasons["mine"]


def test_intervals_are_over_configurations_not_runs():
    """Seeds that agree within a configuration add nothing: 40 or 120 runs, the same width."""

    def by_setting(k, seed):
        return (STEPS >= 1000) * float(k % 2)

    curves = runs("groks", by_setting) + runs("cannot", flat)
    one_seed = [c for i, c in enumerate(curves) if i % N_SEEDS == 0]
    wide, narrow = score(one_seed).warned, score(curves).warned
    assert narrow.value == wide.value == 0.5
    assert narrow.high - narrow.low == pytest.approx(wide.high - wide.low, rel=0.15)
    assert 0.2 < wide.high - wide.low < 0.45


def test_the_best_measure_comes_first_and_looking_ahead_stands_apart():
    curves = {
        "late": runs("groks", rising(JUMP)) + runs("cannot", flat),
        "early": runs("groks", rising(500)) + runs("cannot", flat),
        "early_last_keys": runs("groks", rising(500)) + runs("cannot", flat),
    }
    found = judge_curves(curves)
    assert list(found.table.index) == ["early", "late"]
    assert list(found.looking_ahead.index) == ["early_last_keys"]


def test_a_direction_that_is_none_is_refused():
    curves = {"mine": runs("groks", rising(1000)) + runs("cannot", flat)}
    with pytest.raises(ConfigError, match=r"directions\['mine'\]=2 is not allowed. Use 1 for"):
        judge_curves(curves, directions={"mine": 2})
