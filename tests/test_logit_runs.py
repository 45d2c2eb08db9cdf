"""Runs of which only logits are known."""

import numpy as np
import pandas as pd
import pytest
import torch

from grokinterp.errors import CheckpointError, ConfigError, ShapeError
from grokinterp.models.network_parts import PARTS
from grokinterp.report import write_report
from grokinterp.runs.run import Run
from grokinterp.tasks import TaskSpec
from grokinterp.trajectory import analyze_run, write_tables
from tests import planted

TASK = TaskSpec(p=13)


@pytest.fixture(scope="module")
def few_steps(tiny_run):
    """Three checkpoints of the tiny run as logits, the very ones that its snapshots hold."""
    return {step: tiny_run.network(step).logits for step in tiny_run.steps[::8]}


@pytest.fixture(scope="module")
def logit_run(tiny_run, few_steps):
    return Run.from_logits(few_steps, task=TASK, train_pairs=tiny_run.split.train)


@pytest.fixture(scope="module")
def logit_analysis(logit_run):
    return analyze_run(logit_run)


def test_measures_that_need_logits_alone_are_bit_equal_to_those_of_the_run(
    tiny_run, few_steps, logit_analysis
):
    whole = analyze_run(tiny_run, every=8).trajectory
    shared = [name for name in logit_analysis.trajectory if name in whole]
    assert {"train_loss", "test_loss", "test_accuracy_unmirrored", "distance_irrelevance"} <= {
        *shared
    }
    pd.testing.assert_frame_equal(logit_analysis.trajectory, whole[shared], check_exact=True)
    assert "gini_W_E" in whole and "gini_W_E" not in logit_analysis.trajectory


def test_logits_that_solve_the_task_show_the_planted_frequencies():
    task = planted.split(13).task
    run = Run.from_logits({5: planted.cosines(task, {2: 9.0, 5: 9.0})}, task=TASK)
    analysis = analyze_run(run)
    assert analysis.key_frequencies.frequencies == (2, 5)
    assert not run.split.is_known and "train_loss" not in analysis.trajectory


def test_every_part_is_missing_with_a_reason(logit_run):
    assert set(logit_run.missing_parts) == set(PARTS)
    assert logit_run.missing_parts["neurons"] == (
        "a network known only by its logits shows no neurons"
    )
    assert logit_run.parameters() == {}
    with pytest.raises(CheckpointError, match="only the logits of this run are known"):
        logit_run.model()


def test_report_and_tables_are_written_without_the_network(logit_analysis, tmp_path):
    write_report(logit_analysis, tmp_path / "report.html")
    write_tables(logit_analysis, tmp_path)
    assert (
        "made of the logits of 3 steps; nothing else is known"
        in (tmp_path / "report.html").read_text()
    )
    model = logit_analysis.summary["config"]["model"]
    assert model == {"architecture": "logits"}


def test_arrays_and_other_precisions_are_taken_and_an_output_for_equals_is_cut(few_steps):
    last = few_steps[max(few_steps)]
    wider = torch.cat([last, torch.zeros(len(last), 1)], dim=1).double().numpy()
    run = Run.from_logits({0: wider}, task=TASK)
    assert torch.equal(run.logits(0), last)
    assert "Of 14 outputs the first 13 were read." in run.origin
    assert "outputs" not in Run.from_logits({0: last}, task=TASK).origin
    half = Run.from_logits({0: last.half()}, task=TASK).logits(0)
    assert half.dtype == torch.float32 and torch.equal(half, last.half().float())


def test_arrays_in_the_other_order_of_bytes_and_sparse_tensors_are_taken(few_steps):
    expected = few_steps[0]
    swapped = expected.numpy().astype(">f4")
    run = Run.from_logits({0: swapped, 9: expected.to_sparse()}, task=TASK)
    for step in (0, 9):
        assert torch.equal(run.logits(step), expected)


def test_what_is_changed_later_does_not_change_the_run(few_steps):
    mine = few_steps[0].clone()
    run = Run.from_logits({0: mine}, task=TASK)
    mine.zero_()
    assert torch.equal(run.logits(0, rows=[3, 4]), few_steps[0][[3, 4]])


def test_curves_of_ones_own_are_used_and_come_in_order(few_steps):
    mine = pd.DataFrame({"step": [400, 0], "test_loss": [0.5, -np.inf], "note": ["end", "start"]})
    curves = Run.from_logits(few_steps, task=TASK, curves=mine).curves
    assert curves["step"].tolist() == [0, 400]
    assert curves["test_loss"].tolist() == [np.inf, 0.5]
    assert curves["train_loss"].isna().all()


def test_a_step_with_logits_that_are_not_finite_is_left_out_and_named(few_steps):
    broken = few_steps[0].clone()
    broken[7, 3] = torch.nan
    run = Run.from_logits({0: few_steps[0], 9: broken}, task=TASK)
    assert list(analyze_run(run).failures) == ["step 9"]
    with pytest.raises(CheckpointError, match="step 9 has logits that are not finite"):
        run.network(9)
    with pytest.raises(CheckpointError, match="none of the 1 checkpoints .* step 3 has logits"):
        analyze_run(Run.from_logits({3: broken}, task=TASK))


def given(**changes):
    return {"logits": {0: torch.zeros(169, 13)}, "task": TASK, **changes}


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"logits": {}}, CheckpointError, "logits is empty"),
        ({"logits": [torch.zeros(169, 13)]}, ConfigError, "Pass {step: logits}"),
        ({"logits": {-1: torch.zeros(169, 13)}}, CheckpointError, "has the step -1"),
        ({"logits": {0.5: torch.zeros(169, 13)}}, CheckpointError, "has the step 0.5"),
        ({"logits": {True: torch.zeros(169, 13)}}, CheckpointError, "has the step True"),
        ({"logits": {0: torch.zeros(168, 13)}}, ShapeError, r"step 0: .*\(168, 13\).* 169 pairs"),
        ({"logits": {0: torch.zeros(13, 13, 13)}}, ShapeError, r"shape \(13, 13, 13\)"),
        ({"logits": {0: torch.zeros(169, 15)}}, ShapeError, "15 columns; .* has 13 answers"),
        ({"logits": {0: torch.zeros(169, 12)}}, ShapeError, "12 columns; .* has 13 answers"),
        ({"logits": {2: torch.zeros(169, 13).long()}}, ShapeError, "step 2 .* torch.int64"),
        ({"logits": {2: "logits"}}, ShapeError, "step 2 has 'logits' for its logits"),
        (
            {"logits": {2: torch.zeros(169, 13, device="meta")}},
            ShapeError,
            "step 2 has logits on the device meta, which has shapes but no values",
        ),
        ({"train_pairs": [169]}, ConfigError, "not different pairs of the task"),
        ({"train_pairs": [[1], [2, 3]]}, ConfigError, "train_pairs has rows of different lengths"),
        ({"curves": {"step": [0]}}, ConfigError, "curves=.* is of the wrong type"),
        ({"curves": pd.DataFrame({"step": [0]})}, ConfigError, "curves has the columns step"),
        (
            {"curves": pd.DataFrame({"step": [0, 0], "test_loss": [1.0, 2.0]})},
            ConfigError,
            "not distinct non-negative integers",
        ),
        (
            {"curves": pd.DataFrame({"step": [0], "test_loss": ["low"]})},
            ConfigError,
            "a cell that is not a number",
        ),
    ],
)
def test_what_cannot_be_logits_is_refused_in_one_line(changes, kind, message, without_type_checks):
    with pytest.raises(kind, match=message) as refused:
        Run.from_logits(**given(**changes))
    assert "\n" not in str(refused.value)


def test_two_steps_may_not_share_memory_but_may_lie_in_one_tensor(few_steps):
    buffer = few_steps[0].clone()
    with pytest.raises(CheckpointError, match="steps 0 and 9 share memory"):
        Run.from_logits({0: buffer, 9: buffer}, task=TASK)
    stacked = torch.stack([buffer, 2 * buffer])
    run = Run.from_logits({0: stacked[0], 9: stacked[1]}, task=TASK)
    assert run.checksum(0) != run.checksum(9)
