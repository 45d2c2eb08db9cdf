"""Events along a run: what was planted is found at its step, and its neighbors find nothing."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import grokinterp as gi
import tests.foreign as foreign
from grokinterp.commands.summary_lines import summary_lines
from grokinterp.report.events import events_section
from grokinterp.runs.run import CURVE_COLUMNS, WeightsInMemory
from grokinterp.trajectory.event_words import condensed
from grokinterp.trajectory.events import EVIDENCE, events_table
from grokinterp.trajectory.frequency_events import (
    LifeRule,
    Powers,
    find_changes,
    find_new_circuits,
    pair_swaps,
)
from grokinterp.trajectory.life import Story, events_of, spectra_of
from grokinterp.trajectory.switches import find_switches
from tests import planted, tiny

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


def run_of(curves=None, task=None):
    """A run of a split that is known, with nothing but curves."""
    parts = planted.split(13) if task is None else gi.draw_split(task)
    config = tiny.config(task=parts.task.spec)
    curves = (
        pd.DataFrame(columns=pd.Index(CURVE_COLUMNS), dtype=float) if curves is None else curves
    )
    return gi.Run(config, parts, WeightsInMemory({}), curves, origin="")


def story(*, coefficients=None, accuracy=None, loss=None, norms=None, grokked=2000, **changes):
    """What events are found in: a planted spectrum, curves of one row per step, norms."""
    steps = np.arange(0, 20_001)
    curves = pd.DataFrame(
        {
            "step": steps,
            "train_loss": 1e-7 if loss is None else loss,
            "test_loss": 1.0,
            "train_accuracy": 1.0,
            "test_accuracy": 1.0 if accuracy is None else accuracy,
        }
    )
    table = powers(coefficients or {5: ALWAYS}, n=6)
    rows = {"step": np.repeat(STEPS, 6), "frequency": np.tile(np.arange(1, 7), len(STEPS))}
    by_frequency = pd.DataFrame(
        {
            **rows,
            "logit_power_share": table.shares.reshape(-1),
            "logit_coefficient": table.coefficients.reshape(-1),
            "n_neurons": np.round(table.coefficients.reshape(-1)),
        }
    )
    run = run_of(curves)
    trajectory = pd.DataFrame({"step": STEPS})
    if norms is not None:
        trajectory["sum_squared_weights_W_U"] = norms**2
    milestones = dataclasses.replace(
        gi.find_milestones(curves), memorization_step=100, grokking_step=grokked
    )
    spectra = spectra_of(run, by_frequency, pd.DataFrame())
    return dataclasses.replace(
        Story(run, trajectory, milestones, spectra, gi.Thresholds(), LifeRule()), **changes
    )


def kinds_and_steps(found):
    return [(event.kind, event.step) for event in found]


def test_a_death_has_its_numbers_and_its_sentence():
    (event,) = events_of(story(coefficients={5: ALWAYS, 3: between(0, 8000)}))
    assert (event.kind, event.step, event.frequencies) == ("death", 8000, (3,))
    assert event.evidence["share_before"] == pytest.approx(0.5, abs=0.02)
    assert (event.evidence["n_neurons_before"], event.evidence["n_neurons_after"]) == (10, 0)
    assert set(event.evidence) <= set(EVIDENCE)
    assert event.sentence.startswith("Frequency 3 is gone at step 8,000. While it was there, it")
    size = f"{event.evidence['coefficient_before']:.2g}"
    assert f"coefficient of {size} logits; after, the coefficient is 0.02" in event.sentence


def test_a_birth_after_a_birth_says_why_there_was_no_death_between_them():
    # 3 keeps its coefficient while 5 outgrows it; later it grows too.
    other = np.where(STEPS >= 6000, 30 * ALIVE, ALIVE)
    again = np.where(STEPS >= 12_000, 30 * ALIVE, between(2000))
    born = [e for e in events_of(story(coefficients={5: other, 3: again})) if 3 in e.frequencies]
    assert [(event.kind, event.step) for event in born] == [("birth", 2000), ("birth", 12_000)]
    words = "It had been there earlier, until others outgrew it."
    assert [words in event.sentence for event in born] == [False, True]
    # A frequency that died of its own is simply born again.
    dead = np.where((STEPS >= 6000) & (STEPS < 12_000), GONE, ALIVE)
    sentences = [e.sentence for e in events_of(story(coefficients={5: ALWAYS, 3: dead}))]
    assert len(sentences) == 2 and not any("earlier" in sentence for sentence in sentences)


def test_swaps_and_second_circuits_name_what_they_are_of():
    curves = {3: between(0, 8000), 4: between(8000)}
    swap, circuit = events_of(story(coefficients=curves))
    assert (swap.kind, swap.frequencies) == ("swap", (3, 4))
    assert swap.sentence.startswith("Frequency 4 takes the place of frequency 3 by step 8,000")
    assert (circuit.kind, circuit.step, circuit.frequencies) == ("second_circuit", 8000, (4,))
    assert "did not have (4); that one had 3." in circuit.sentence
    # Without a step of generalization there is no first circuit.
    assert kinds_and_steps(events_of(story(coefficients=curves, grokked=None))) == [("swap", 8000)]


def accuracy_lost(first, last=None):
    steps = np.arange(0, 20_001)
    is_lost = (steps >= first) & (steps < (np.inf if last is None else last))
    return np.where(steps < 2000, 0.1, np.where(is_lost, 0.3, 1.0))


def test_a_collapse_is_found_whether_or_not_the_accuracy_comes_back():
    (event,) = events_of(story(accuracy=accuracy_lost(9000, 12_000)))
    assert (event.kind, event.step, event.evidence["end_step"]) == ("collapse", 9000, 12_000)
    assert event.evidence["accuracy_before"] == 1.0 and event.evidence["accuracy_lowest"] == 0.3
    assert "falls to 30.0%, and it is back at step 12,000" in event.sentence
    (event,) = events_of(story(accuracy=accuracy_lost(9000)))
    assert (event.step, event.evidence["end_step"]) == (9000, None)
    assert "it has not come back by the last test, at step 20,000" in event.sentence
    assert gi.find_milestones(story(accuracy=accuracy_lost(9000)).run.curves).lost_step == 9000


def test_a_slow_collapse_for_good_has_the_step_of_the_outcome():
    slow = np.interp(np.arange(20_001), [2000, 2001, 9000, 11_000], [0.1, 1.0, 1.0, 0.3])
    found = story(accuracy=slow)
    (event,) = events_of(found)
    # Below the threshold, and not only where it is a tenth below.
    assert event.step == gi.find_milestones(found.run.curves).lost_step < 9200


def test_what_is_no_collapse():
    noise = 0.03 * np.random.default_rng(0).standard_normal(20_001)
    for accuracy in (
        accuracy_lost(9000, 9300),
        np.clip(accuracy_lost(30_000) + noise, 0, 1),
        np.linspace(1.0, 0.9, 20_001),
        np.full(20_001, 0.3),
    ):
        assert events_of(story(accuracy=accuracy)) == ()


def spiked(*onsets):
    steps, loss = np.arange(0, 20_001), np.full(20_001, 1e-7)
    for onset in onsets:
        later = steps >= onset
        loss[later] += 0.5 * np.exp(-(steps[later] - onset) / 30)
    return loss


def test_a_spike_with_a_rise_of_the_norm_is_a_slingshot():
    norms = 10.0 + np.clip((STEPS - 9000) / 100, 0, 1)
    with_rise, without = events_of(story(loss=spiked(9020, 15_000), norms=norms))
    assert (with_rise.kind, with_rise.step) == ("slingshot", 9020)
    assert with_rise.evidence["norm_gain"] == pytest.approx(0.1)
    assert "the norm of W_U rises by 10.0% around it" in with_rise.sentence
    assert (without.kind, without.step, without.evidence["norm_gain"]) == ("spike", 15_000, 0.0)
    assert "no rise of the norm of W_U goes with it" in without.sentence
    (unknown,) = events_of(story(loss=spiked(9020)))
    assert (unknown.kind, unknown.evidence["norm_gain"]) == ("spike", None)
    assert "is not known" in unknown.sentence


def test_a_spike_says_how_much_of_the_spectrum_lies_elsewhere_after_it():
    curves = {3: between(0, 9100), 4: between(9100)}
    found = events_of(story(coefficients=curves, loss=spiked(9020)))
    (spike,) = [event for event in found if event.kind == "spike"]
    assert spike.evidence["spectrum_change"] == pytest.approx(1.0, abs=0.01)
    assert "100% of the power of the logits lies elsewhere" in spike.sentence


def test_spikes_before_the_pairs_are_memorized_are_none():
    late = story(loss=spiked(9020))
    late = dataclasses.replace(
        late, milestones=dataclasses.replace(late.milestones, memorization_step=10_000)
    )
    assert events_of(late) == ()


def test_many_spikes_are_told_in_one_sentence():
    found = events_of(story(loss=spiked(*range(3000, 19_000, 2000))))
    assert len(found) == 8 and len(condensed(found)) == 1
    assert condensed(found)[0].sentence.startswith("8 spikes of the training loss, from step 3,000")
    assert condensed(found[:3]) == list(found[:3])


def test_representations_are_named_and_weighed_by_their_matrix_elements():
    task = gi.TaskSpec(operation="permutation_composition", degree=4, train_fraction=0.8)
    run = run_of(task=gi.task_of(task))
    # In proportion to the squares of their dimensions, as noise has it, then one of dimension 3.
    dimensions = np.array([3, 2, 3, 1])
    power = np.where((STEPS >= 5000)[:, None], [1e-6, 1e-6, 9.0, 1e-6], 0.01 * dimensions**2)
    sizes = np.where(power > 1, ALIVE, GONE)
    names = ["standard", "(2,2)", "standard x sign", "sign"]
    table = pd.DataFrame(
        {
            "step": np.repeat(STEPS, 4),
            "representation": names * len(STEPS),
            "dimension": np.tile(dimensions, len(STEPS)),
            "type": "real",
            "logit_power_share": (power / power.sum(axis=1, keepdims=True)).reshape(-1),
            "logit_coefficient": sizes.reshape(-1),
        }
    )
    spectra = spectra_of(run, pd.DataFrame(), table)
    assert spectra.powers.n_waves == [9, 4, 9, 1]
    (event,) = events_of(story(spectra=spectra))
    assert (event.kind, event.step, event.frequencies) == ("birth", 5000, ("standard x sign",))
    assert event.sentence.startswith("Representation standard x sign is born")


def test_events_are_a_table_on_disk_and_fields_of_the_summary():
    found = events_of(story(coefficients={3: between(0, 8000), 4: between(8000)}))
    table = events_table(found)
    assert table["frequencies"].tolist() == ["3; 4", "4"]
    assert table["kind"].tolist() == ["swap", "second_circuit"]
    assert set(table.columns) <= {"step", "kind", "frequencies", "sentence", *EVIDENCE}
    assert found[0].to_dict()["frequencies"] == [3, 4]
    assert events_table(()).empty


@pytest.fixture(scope="module")
def analysis(tmp_path_factory):
    config = tiny.config(
        task=gi.TaskSpec(p=13, train_fraction=0.7, split_seed=2),
        optimizer=gi.OptimizerSpec(learning_rate=5e-3, weight_decay=1.0),
        n_steps=800,
        checkpoint_every=100,
    )
    return gi.analyze_run(
        gi.train(config, tmp_path_factory.mktemp("run"), progress=False), deep=False
    )


def test_an_analysis_has_its_events_everywhere(analysis, tmp_path):
    assert analysis.events == gi.find_events(analysis)
    assert {event.kind for event in analysis.events} == {"birth"}
    born = {k for event in analysis.events for k in event.frequencies}
    assert born >= set(analysis.key_frequencies.frequencies)
    assert "events" not in analysis.reasons
    assert analysis.summary["events"][0]["sentence"] == analysis.events[0].sentence
    gi.write_tables(analysis, tmp_path)
    assert len(pd.read_csv(tmp_path / "events.csv")) == len(analysis.events)
    said = "".join(events_section(analysis).blocks)
    assert analysis.events[0].sentence in said and "figure-frequency-life" in said
    printed = [line for line in summary_lines(analysis) if line.startswith("events")]
    assert len(printed) == 1
    figure = gi.figures.plot_frequency_life(analysis)
    marks = [trace for trace in figure.data if trace.name == "born"]
    assert [event.step for event in analysis.events] == list(marks[0].x)
    strict = gi.find_events(analysis, gi.LifeRule(min_share=1.0))
    assert strict == ()


def test_without_events_the_reason_says_what_was_looked_at(analysis):
    quiet = dataclasses.replace(analysis, events=())
    assert "nothing that lasts has changed in the frequencies of the logits" in quiet.why("events")
    assert "There are no events. Reason: nothing" in "".join(events_section(quiet).blocks)
    short = dataclasses.replace(quiet, trajectory=analysis.trajectory.iloc[-2:])
    assert short.why("events") == "changes along a run take 5 checkpoints, and it has 2"
    assert any(line.startswith("events            none: nothing") for line in summary_lines(quiet))


def test_no_event_is_built_on_a_reading_in_doubt(analysis):
    doubted = dataclasses.replace(
        analysis, run=dataclasses.replace(analysis.run, doubts=("It may be another task.",))
    )
    assert gi.find_events(doubted) == ()
    assert "in doubt" in dataclasses.replace(doubted, events=()).why("events")


def test_the_published_run_in_low_precision_has_its_36_spikes():
    analysis = gi.analyze_run(gi.load_run(foreign.data_file("nanda_low_precision.pth")), deep=False)
    assert [event.kind for event in analysis.events] == ["spike"] * 36
    assert analysis.events[0].step == 2250
    assert len(condensed(analysis.events)) == 1
