"""Events along a run: what was planted is found at its step, and its neighbors find nothing."""

import numpy as np
import pytest

from grokinterp.trajectory.frequency_events import (
    LifeRule,
    Powers,
    find_changes,
    find_new_circuits,
    pair_swaps,
)
from grokinterp.trajectory.switches import find_switches

STEPS = np.arange(0, 20_001, 100)
PATIENCE = 1000
N_FREQUENCIES = 29
ALIVE, GONE = 10.0, 0.02
"""Coefficients in logits."""


def powers(coefficients, *, noise=0.05, seed=0, n=N_FREQUENCIES, steps=STEPS):
    """A table of which some frequencies are given as curves and the rest hold next to nothing."""
    rng = np.random.default_rng(seed)
    sizes = np.full((len(steps), n), GONE)
    for frequency, curve in coefficients.items():
        sizes[:, frequency - 1] = curve
    sizes = sizes * np.exp(noise * rng.standard_normal(sizes.shape))
    power = sizes**2
    return Powers(steps, power / power.sum(axis=1, keepdims=True), sizes, (2,) * n)


def between(first, last=None):
    """A coefficient that is there from one step on, until another."""
    is_there = (STEPS >= first) & (STEPS < (np.inf if last is None else last))
    return np.where(is_there, ALIVE, GONE)


def changes(table, patience=PATIENCE, **rule):
    found = find_changes(table, patience=patience, rule=LifeRule(**rule))
    return [("birth" if c.is_birth else "death", c.component + 1, c.step) for c in found]


def swaps(table):
    found, left = pair_swaps(find_changes(table, patience=PATIENCE), patience=PATIENCE)
    return [(s.death.component + 1, s.birth.component + 1, s.step) for s in found], len(left)


ALWAYS = between(0)


@pytest.mark.parametrize("step", [400, 2_000, 10_000, 19_400])
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3])
def test_a_birth_and_a_death_are_found_at_their_steps(step, noise):
    assert changes(powers({5: ALWAYS, 14: between(step)}, noise=noise)) == [("birth", 14, step)]
    assert changes(powers({5: ALWAYS, 14: between(0, step)}, noise=noise)) == [("death", 14, step)]


def test_a_life_from_birth_to_death_has_what_was_held_on_either_side():
    found = find_changes(powers({5: ALWAYS, 14: between(3000, 9000)}), patience=PATIENCE)
    birth, death = found
    assert (birth.start_step, birth.step, death.start_step, death.step) == (2900, 3000, 8900, 9000)
    assert birth.share_after == death.share_before == pytest.approx(0.5, abs=0.02)
    assert birth.share_before == pytest.approx(GONE**2 / ALIVE**2, rel=0.1)
    assert birth.coefficient_before == pytest.approx(GONE, rel=0.05)
    assert death.coefficient_after == pytest.approx(GONE, rel=0.05)


@pytest.mark.parametrize("n", [6, 29, 56])
def test_from_flat_noise_to_a_circuit_every_key_frequency_is_born(n):
    # Before step 4,000 all frequencies hold the same, as in a network that has memorized.
    late = STEPS >= 4000
    table = powers({k: np.where(late, ALIVE, GONE) for k in (1, 3)}, noise=0.2, n=n)
    assert changes(table) == [("birth", 1, 4000), ("birth", 3, 4000)]


def drift(first, last):
    """A coefficient that goes evenly, on a logarithmic scale, from one size to another."""
    return np.geomspace(first, last, len(STEPS))


def wobble(center, size, seed=3):
    """A coefficient that wanders around another without a direction."""
    rng = np.random.default_rng(seed)
    return center * np.exp(size * rng.standard_normal(len(STEPS)))


def spike(height, *steps):
    return np.where(np.isin(STEPS, steps), height, GONE)


AT_THRESHOLD = ALIVE * np.sqrt(0.015)
"""Coefficient whose share is just what is needed beside one frequency that is there."""


@pytest.mark.parametrize(
    "case, curves",
    [
        ("noise alone", {}),
        ("a circuit that stays", {5: ALWAYS, 14: ALWAYS}),
        ("around the threshold", {5: ALWAYS, 14: wobble(AT_THRESHOLD, 0.1)}),
        ("around the level of being gone", {5: ALWAYS, 14: wobble(AT_THRESHOLD / 2**0.5, 0.1)}),
        ("between the two", {5: ALWAYS, 14: wobble(AT_THRESHOLD * 0.85, 0.1)}),
        ("a drift among those there", {5: ALWAYS, 14: drift(ALIVE, ALIVE / 4)}),
        ("a drift among those gone", {5: ALWAYS, 14: drift(GONE, AT_THRESHOLD / 2)}),
        ("a drift of all", {5: drift(2.0, 20.0), 14: drift(1.0, 10.0)}),
        ("a single spike", {5: ALWAYS, 14: spike(ALIVE, 8000)}),
        ("four checkpoints", {5: ALWAYS, 14: spike(ALIVE, 8000, 8100, 8200, 8300)}),
        ("a dip", {5: ALWAYS, 14: np.where(STEPS == 8000, GONE, ALIVE)}),
        ("a spike at the end", {5: ALWAYS, 14: spike(ALIVE, 19_900, 20_000)}),
    ],
)
def test_what_does_not_change_for_long_is_no_event(case, curves):
    table = powers(curves)
    assert changes(table) == [], case
    assert find_new_circuits(table, since=1000, patience=PATIENCE) == ()


def test_a_spike_of_the_logits_does_not_hide_what_is_there():
    sizes = {5: np.where(STEPS == 8000, 1000 * ALIVE, ALIVE), 14: between(3000)}
    assert changes(powers(sizes)) == [("birth", 14, 3000)]


def test_a_slow_rise_is_a_birth_that_says_since_when():
    (found,) = find_changes(
        powers({5: ALWAYS, 14: drift(GONE, ALIVE)}, noise=0.0), patience=PATIENCE
    )
    assert found.is_birth and 1000 < found.step - found.start_step < 1500
    # The share is needed there and half of it a thousand steps before.
    size = drift(GONE, ALIVE)[STEPS == found.step][0]
    assert size**2 / (size**2 + ALIVE**2) == pytest.approx(0.015, rel=0.1)


def test_a_share_that_only_others_move_is_no_event():
    # 14 keeps its coefficient while 5 grows tenfold, and then falls to nothing.
    grown = np.where((STEPS >= 6000) & (STEPS < 12_000), 20 * ALIVE, ALIVE)
    table = powers({5: grown, 14: ALWAYS})
    is_small = table.shares[(STEPS >= 6000) & (STEPS < 12_000), 13] < 0.0075
    assert is_small.all() and changes(table) == []
    # The same share for another reason is one.
    assert changes(table, coefficient_ratio=1.0) == [("death", 14, 6000), ("birth", 14, 12_000)]


def test_initial_logits_hold_no_frequency_however_uneven_they_are():
    sizes = {5: between(2000), 14: np.where(STEPS < 2000, 30 * GONE / 10, GONE)}
    sizes[14][STEPS < 2000] = 0.1
    table = powers(sizes, noise=0.0)
    assert table.shares[0, 13] > 0.4
    assert changes(table) == [("birth", 5, 2000)]
    assert ("death", 14, 2000) in changes(table, least_coefficient=1e-6)


def test_a_swap_is_found_where_one_takes_the_place_of_another():
    assert swaps(powers({5: ALWAYS, 3: between(0, 8000), 7: between(8000)})) == ([(3, 7, 8000)], 0)
    assert swaps(powers({5: ALWAYS, 3: between(0, 8000), 7: between(8400)})) == ([(3, 7, 8400)], 0)


@pytest.mark.parametrize(
    "case, curves, n_left",
    [
        ("too far apart", {5: ALWAYS, 3: between(0, 8000), 7: between(8700)}, 2),
        ("too far apart so early", {5: ALWAYS, 3: between(0, 1000), 7: between(1300)}, 2),
        ("a birth that gains too little", {5: ALWAYS, 3: between(0, 8000),
                                           7: between(8000) * 0.3}, 2),
        ("two births", {5: ALWAYS, 3: between(8000), 7: between(8000)}, 2),
        ("the same one", {5: ALWAYS, 3: np.where((STEPS > 8000) & (STEPS < 9000), GONE, ALIVE)}, 2),
    ],
)  # fmt: skip
def test_what_is_no_swap(case, curves, n_left):
    assert swaps(powers(curves)) == ([], n_left), case


def test_each_change_belongs_to_one_swap():
    curves = {5: ALWAYS, 3: between(0, 8000), 7: between(8000), 9: between(8100)}
    assert swaps(powers(curves)) == ([(3, 7, 8000)], 1)


def test_a_second_circuit_is_found_when_most_power_lies_elsewhere():
    curves = {3: between(0, 8000), 5: between(0, 8000), 7: between(8000), 9: between(8000)}
    (found,) = find_new_circuits(powers(curves | {11: ALWAYS}), since=2000, patience=PATIENCE)
    assert (found.step, found.earlier, found.new) == (8000, (2, 4, 10), (6, 8))
    assert found.share_after == pytest.approx(2 / 3, abs=0.02) and found.share_before < 0.01
    # Back again is a third one.
    curves = {3: between(0, 6000) + between(12_000), 7: between(6000, 12_000)}
    found = find_new_circuits(powers(curves), since=2000, patience=PATIENCE)
    assert [(c.step, c.earlier, c.new) for c in found] == [
        (6000, (2,), (6,)),
        (12_000, (6,), (2,)),
    ]


@pytest.mark.parametrize(
    "case, curves",
    [
        ("new ones that hold a third", {3: ALWAYS, 5: ALWAYS, 7: between(8000)}),
        ("one that leaves", {3: ALWAYS, 5: between(0, 8000)}),
        ("a circuit that falls apart", {3: between(0, 8000), 5: between(0, 8000)}),
        ("a change before it generalizes", {3: between(0, 1500), 5: between(1500)}),
    ],
)
def test_what_is_no_second_circuit(case, curves):
    assert find_new_circuits(powers(curves), since=2000, patience=PATIENCE) == (), case


def test_a_table_of_frequencies_that_are_all_there_has_no_births():
    # Nothing stands out where nearly all hold power; a lookup table looks like that.
    late = np.where(STEPS >= 4000, ALIVE, GONE)
    assert changes(powers({k: late for k in range(1, N_FREQUENCIES + 1)})) == []


def test_flat_noise_of_few_pairs_has_no_event():
    # Shares of power as white logits have them: chi squared with 2p degrees of freedom.
    for seed in range(20):
        rng = np.random.default_rng(seed)
        power = rng.chisquare(2 * 13, (len(STEPS), 6))
        sizes = 0.1 * rng.standard_normal(power.shape)
        table = Powers(STEPS, power / power.sum(axis=1, keepdims=True), sizes, (2,) * 6)
        assert changes(table) == []


def test_switches_take_turns_and_ignore_what_is_not_finite():
    values = np.where((STEPS >= 3000) & (STEPS < 9000), 1.0, 0.0)
    values[[40, 60]] = np.nan, np.inf
    found = find_switches(STEPS, values, high=0.9, low=0.5, patience=PATIENCE)
    assert [(s.is_rise, s.step) for s in found] == [(True, 3000), (False, 9000)]
    for n in (0, 1, 2, 4):
        assert find_switches(STEPS[:n], values[:n], high=0.9, low=0.5, patience=PATIENCE) == ()


def test_coarse_checkpoints_need_two_that_agree():
    steps = np.arange(0, 30_000, 2000)
    once = np.where(steps == 10_000, 1.0, 0.0)
    assert find_switches(steps, once, high=0.9, low=0.5, patience=PATIENCE) == ()
    for_long = np.where(steps >= 10_000, 1.0, 0.0)
    (found,) = find_switches(steps, for_long, high=0.9, low=0.5, patience=PATIENCE)
    assert found.step == 10_000
