"""The explorer: what its page carries is the network, and what it carries stays small."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch

import grokinterp as gi
from grokinterp.errors import ConfigError
from grokinterp.explorer import data
from grokinterp.explorer.hands import hands_of, in_short_integers
from grokinterp.report.explorer import explorer_section
from grokinterp.runs.run import Run, WeightsInMemory
from tests import explored, planted


@pytest.fixture(scope="module")
def keyed(tiny_analysis):
    return explored.with_keys(tiny_analysis)


@pytest.mark.parametrize("p, k", [(13, 2), (12, 6), (113, 56)])
def test_hands_of_a_planted_clock_turn_by_their_frequency(p, k):
    split = planted.split(p)

    def wave(i, j, c):
        return 3 * torch.cos(2 * math.pi * k * (i + j - c) / p)

    snapshot = planted.snapshot(planted.in_view(split.task, wave), split)
    (hands,) = hands_of(snapshot, [k])["answer"]
    angles = 2 * math.pi * k * torch.arange(p).double() / p
    turned = 3 * torch.stack([torch.cos(angles), torch.sin(angles)], dim=1)
    if 2 * k == p:  # the highest frequency has no sine
        turned[:, 1] = 0
    assert hands.numpy() == pytest.approx(turned.numpy(), abs=1e-6)


def test_hands_of_an_embedding_are_its_circle(tiny_run):
    snapshot = gi.take_snapshot(tiny_run)
    angles = 2 * math.pi * 2 * torch.arange(13).double() / 13
    circle = torch.stack([torch.cos(angles), torch.sin(angles)], dim=1)
    rows = torch.zeros(13, 32, dtype=torch.float64)
    rows[:, 3:5] = 0.7 * circle
    found = hands_of(planted.with_embedding(snapshot, rows), [2])
    assert "b" not in found, "b shares the embedding of a"
    assert found["a"][0].numpy() == pytest.approx(0.7 * circle.numpy(), abs=1e-6)


def test_sixteen_bits_keep_a_hand_to_its_ten_thousandth_part():
    hands = planted.noise(3, 50, 2) * torch.tensor([1e-6, 1.0, 1e4])[:, None, None]
    scales, points = in_short_integers(hands.double())
    back = np.array(scales)[:, None, None] * points
    longest = hands.abs().amax(dim=(1, 2)).numpy()
    assert (np.abs(back - hands.numpy()).max(axis=(1, 2)) <= 1e-4 * longest).all()


def test_the_page_of_a_network_of_113_is_below_three_megabytes(keyed):
    analysis = explored.analysis_at_113(keyed)
    found = gi.explore(analysis)
    assert len(found.html) < data.MOST_BYTES
    assert json.loads(data.explorer_json(analysis))["network"]["kind"] == "attention"


def test_a_page_loads_nothing_and_a_notebook_shuts_it_in(keyed, tmp_path):
    explorer = gi.explore(keyed)
    path = explorer.write(tmp_path / "new" / "explorer.html")
    text = path.read_text()
    assert (
        text == explorer.html
        and "src=" not in text
        and "http:" not in text.replace("http://www.w3.org/2000/svg", "")
    )
    assert "default-src 'none'" in text
    shown = explorer._repr_html_()
    assert 'sandbox="allow-scripts"' in shown and "<script" not in shown
    assert repr(explorer).startswith("The circuit of addition modulo 13")


def test_a_title_and_data_cannot_end_their_elements(keyed):
    evil = gi.explore(keyed)
    evil = dataclasses.replace(evil, title="</title><script>alert(1)</script>")
    assert "<script>alert" not in evil.html
    text = data.explorer_json(keyed)
    assert "<" not in text


def test_without_key_frequencies_the_section_says_why_in_a_sentence(keyed):
    keys = gi.KeyFrequencies(13, (), reason="accuracy is 0.1, not above 0.95")
    analysis = dataclasses.replace(keyed, key_frequencies=keys)
    with pytest.raises(ConfigError, match="there is no circuit to explore: .*not above 0.95"):
        gi.explore(analysis)
    section = explorer_section(analysis)
    assert "There is no circuit to explore" in section.blocks[0]
    assert "<script" not in "".join(section.blocks)


def test_logits_that_no_page_computes_and_that_are_too_large_are_refused(keyed):
    split = planted.split(97)
    run = Run.from_logits({0: planted.cosines(split.task, {3: 20.0})}, task=split.task.spec)
    analysis = explored.analysis_of(keyed, run, [3])
    with pytest.raises(ConfigError, match=r"takes 4\.\d MiB, and a page may carry 3"):
        gi.explore(analysis)


def test_a_run_without_weights_has_no_circuit_to_explore(keyed):
    run = dataclasses.replace(keyed.run, checkpoints=WeightsInMemory({0: {}}))
    analysis = explored.analysis_of(keyed, run, [3], table=False)
    with pytest.raises(ConfigError, match="no weights are kept"):
        gi.explore(analysis)


def test_what_is_no_analysis_is_refused(tiny_run, without_type_checks):
    with pytest.raises(ConfigError, match="gi.analyze_run"):
        gi.explore(tiny_run)


def test_many_key_frequencies_share_the_last_control(keyed):
    split = planted.split(23)
    amplitudes = {k: 20.0 - k for k in range(1, 12)}
    run = Run.from_logits({0: planted.cosines(split.task, amplitudes)}, task=split.task.spec)
    analysis = explored.analysis_of(keyed, run, list(amplitudes), table=False)
    parts = json.loads(data.explorer_json(analysis))["components"]
    assert [part["frequency"] for part in parts] == [1, 2, 3, 4, 5, 6, 7, None]
    assert parts[-1]["label"] == "the other 4 key frequencies" and parts[-1]["n_waves"] == 8


def test_steps_have_the_accuracies_of_the_trajectory(keyed):
    steps = json.loads(data.explorer_json(keyed))["steps"]
    table = keyed.trajectory.set_index("step")
    assert steps[0]["step"] == table.index[0] and steps[-1]["step"] == table.index[-1]
    assert len(steps) == min(len(table), data.MOST_STEPS)
    for step in steps:
        row = table.loc[step["step"]]
        assert step["test_accuracy"] == pytest.approx(row["test_accuracy"], rel=1e-4)
