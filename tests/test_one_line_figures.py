"""Figures of a task, of one pair, and of a snapshot: what they draw are the numbers themselves."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

import grokinterp as gi
from grokinterp import figures
from grokinterp.circuits import KeyFrequencies
from grokinterp.spectra import real_representations
from tests import planted, synthetic


def drawn(figure, name):
    return np.asarray(next(trace.y for trace in figure.data if trace.name == name), dtype=float)


def test_the_table_of_answers_leaves_test_pairs_blank():
    split = planted.split(7, train_fraction=0.4)
    whole, shown = (
        np.array(t.z, dtype=float) for t in figures.plot_answer_table(split.task, split).data
    )
    a, b = np.ogrid[:7, :7]
    assert np.array_equal(whole, (a + b) % 7)
    is_train = np.asarray(split.is_train).reshape(7, 7)
    assert np.array_equal(shown[is_train], whole[is_train]) and np.isnan(shown[~is_train]).all()
    assert len(figures.plot_answer_table(split.task).data) == 1


def test_the_table_of_division_is_blank_where_b_is_zero():
    (table,) = figures.plot_answer_table(gi.Task(gi.TaskSpec("division", 7))).data
    values = np.array(table.z, dtype=float)
    assert np.isnan(values[:, 0]).all() and not np.isnan(values[:, 1:]).any()
    assert values[6, 2] == 3


def test_the_table_refuses_the_split_of_another_task():
    with pytest.raises(gi.ConfigError, match="the split has 25 pairs and the task 49"):
        figures.plot_answer_table(gi.Task(gi.TaskSpec(p=7)), planted.split(5))


def circle_in_embedding(p: int, k: int) -> gi.Snapshot:
    base = planted.trigonometric_snapshot(p, [k])
    angle = 2 * np.pi * k * torch.arange(p, dtype=torch.float64) / p
    plane = torch.linalg.qr(planted.noise(base.spec.d_model, 2, seed=4)).Q.T
    rows = torch.stack([angle.cos(), angle.sin()], dim=1) @ plane
    return planted.with_embedding(base, (rows + 5.0).float())


def test_a_frequency_of_the_embedding_is_a_ring_in_the_order_of_its_hand():
    snapshot = circle_in_embedding(11, 3)
    (ring,) = figures.plot_embedding_circles(snapshot, KeyFrequencies.given(11, [3])).data
    points = np.column_stack([ring.x, ring.y])
    assert np.allclose(np.hypot(*points.T), 1, atol=1e-5)  # centered, whatever the offset
    turned = np.diff(np.unwrap(np.arctan2(points[:, 1], points[:, 0])))
    assert np.allclose(np.abs(turned), 2 * np.pi / 11, atol=1e-5)
    assert list(ring.hovertext)[:3] == ["0", "4", "8"]  # 4 is the inverse of 3 modulo 11


def test_another_frequency_is_no_ring_there():
    snapshot = circle_in_embedding(11, 3)
    (tangle,) = figures.plot_embedding_circles(snapshot, KeyFrequencies.given(11, [2])).data
    radius = np.hypot(np.asarray(tangle.x), np.asarray(tangle.y))
    turned = np.diff(np.unwrap(np.arctan2(np.asarray(tangle.y), np.asarray(tangle.x))))
    assert not np.allclose(np.abs(turned), 2 * np.pi / 11, atol=1e-2) or radius.std() > 0.1


def test_circles_need_a_cyclic_view_and_a_key_frequency():
    snapshot = planted.trigonometric_snapshot(11, [3])
    none = KeyFrequencies(11, (), "logit_power", reason="the network has not generalized")
    with pytest.raises(gi.FitError, match="circle of. Reason: the network has not gen"):
        figures.plot_embedding_circles(snapshot, none)
    of_group = planted.on_group("S3", planted.noise(6, seed=1))
    with pytest.raises(gi.FitError, match="no cyclic view"):
        figures.plot_embedding_circles(of_group, none)


def test_waves_are_cosines_and_their_mean():
    figure = figures.plot_waves(13, [2, 5], answer=4)
    c = np.arange(13)
    two, five = (np.cos(2 * np.pi * k * (4 - c) / 13) for k in (2, 5))
    assert np.allclose(drawn(figure, "k = 2"), two) and np.allclose(drawn(figure, "k = 5"), five)
    assert np.allclose(drawn(figure, "mean of all"), (two + five) / 2)


@pytest.mark.parametrize(
    ("frequencies", "answer", "fact"),
    [
        ([], 0, "must be some of 1 .. 6"),
        ([7], 0, "must be some of"),
        ([1], 13, "must be a residue"),
    ],
)
def test_waves_out_of_range_are_refused(frequencies, answer, fact):
    with pytest.raises(gi.ConfigError, match=fact):
        figures.plot_waves(13, frequencies, answer)


@pytest.mark.parametrize("operation", ["addition", "subtraction", "multiplication", "division"])
def test_the_keys_of_one_pair_add_up_to_the_network_that_they_are(operation):
    snapshot = planted.trigonometric_snapshot(13, [2, 5], operation=operation)
    keys = KeyFrequencies.given(snapshot.task.group_view.order, [2, 5])
    figure = figures.plot_pair_logits(snapshot, keys, 3, 7)
    parts = drawn(figure, "k = 2") + drawn(figure, "k = 5")
    assert np.allclose(parts, drawn(figure, "sum of these"))
    assert np.allclose(parts, drawn(figure, "network"), atol=1e-5)
    row = (np.asarray(snapshot.task.pairs) == [3, 7]).all(axis=1).argmax()
    assert drawn(figure, "network").argmax() == snapshot.task.labels[row]


def test_a_frequency_left_out_leaves_a_gap_to_the_network():
    snapshot = planted.trigonometric_snapshot(13, [2, 5])
    figure = figures.plot_pair_logits(snapshot, KeyFrequencies.given(13, [2]), 3, 7)
    assert np.abs(drawn(figure, "sum of these") - drawn(figure, "network")).max() > 5


def test_one_pair_of_a_group_that_does_not_commute():
    task = gi.Task(gi.TaskSpec(operation="group", group="S3"))
    snapshot = planted.on_group(
        "S3", 10 * real_representations(task.group_view.group)[-1].character
    )
    view = snapshot.task.group_view
    keys = KeyFrequencies.given_for(view, [snapshot.harmonics.representation_names[-1]])
    figure = figures.plot_pair_logits(snapshot, keys, 1, 3)
    (name,) = [t.name for t in figure.data if t.name not in ("sum of these", "network")]
    assert name == keys.labels[0]
    assert np.allclose(drawn(figure, "sum of these"), drawn(figure, "network"), atol=1e-5)


def test_one_pair_needs_a_view_that_has_it():
    snapshot = planted.trigonometric_snapshot(13, [2], operation="multiplication")
    with pytest.raises(gi.ConfigError, match="a=0, b=3 is no pair"):
        figures.plot_pair_logits(snapshot, KeyFrequencies.given(12, [2]), 0, 3)


def test_a_character_is_largest_at_the_product_alone():
    task = gi.Task(gi.TaskSpec(operation="permutation_composition", degree=4))
    figure = figures.plot_characters(task, ["sign", "standard"], 7, 9)
    standard, answer = drawn(figure, "standard"), int(task.group_view.products[7, 9])
    assert standard[answer] == pytest.approx(3) and np.delete(standard, answer).max() < 2
    assert set(drawn(figure, "sign").round(9)) == {-1.0, 1.0}
    assert answer != int(task.group_view.products[9, 7])  # the order of a and b matters here


def test_characters_are_refused_where_there_are_none():
    with pytest.raises(gi.ConfigError, match="draw its waves with plot_waves"):
        figures.plot_characters(gi.Task(gi.TaskSpec(p=7)), ["sign"], 1, 2)
    task = gi.Task(gi.TaskSpec(operation="permutation_composition", degree=3))
    with pytest.raises(gi.ConfigError, match="'simple' is no representation of this group"):
        figures.plot_characters(task, ["simple"], 1, 2)
    with pytest.raises(gi.ConfigError, match="must be elements of the group, 0 .. 5"):
        figures.plot_characters(task, ["sign"], 1, 6)


STAGES = pd.DataFrame(
    {
        "stage": ["embedding", "attention", "attention", "logits"],
        "quantity": [
            "loss, embedding as waves",
            "loss, one head",
            "share",
            "loss, logits as waves",
        ],
        "head": [None, 0.0, None, None],
        "value": [0.5, 0.1, 0.9, 0.02],
    }
)


def test_stages_are_the_losses_of_all_heads_together():
    figure = figures.plot_circuit_stages(STAGES, n_classes=13)
    (bars,) = figure.data
    assert list(bars.x) == [0.5, 0.02] and list(bars.y) == ["embedding as waves", "logits as waves"]
    assert figure.layout.shapes[0].x0 == pytest.approx(np.log(13))
    with pytest.raises(gi.FitError, match="not followed stage by stage"):
        figures.plot_circuit_stages(pd.DataFrame())
    with pytest.raises(gi.FitError, match="no loss of all heads together"):
        figures.plot_circuit_stages(STAGES[1:3])


def test_columns_stand_below_the_losses():
    analysis = synthetic.grokked_analysis(60)
    mine = analysis.trajectory.assign(mine=np.arange(len(analysis.trajectory)))
    figure = figures.plot_columns(dataclasses.replace(analysis, trajectory=mine), ["mine"])
    assert drawn(figure, "mine").tolist() == list(range(len(mine)))
    assert {"train loss", "test loss"} <= {trace.name for trace in figure.data}
    with pytest.raises(gi.ConfigError, match="there is no theirs; the trajectory has"):
        figures.plot_columns(analysis, ["theirs"])
    with pytest.raises(gi.ConfigError, match="there is no column to draw"):
        figures.plot_columns(analysis, [])
