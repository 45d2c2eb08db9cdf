"""The chain from a run to its files: columns, cache, failures, ordinary bad outcomes."""

import ast
import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import grokinterp
from grokinterp.errors import CheckpointError, ConfigError
from grokinterp.measures import MEASURES, measure
from grokinterp.runs import OptimizerSpec
from grokinterp.runs.stored_run import load_run
from grokinterp.training import train
from grokinterp.trajectory import (
    Thresholds,
    analyze_run,
    measuring,
    unmirrored_transition,
    write_tables,
)
from tests import synthetic, tiny

COLUMNS = """step train_loss test_loss train_accuracy test_accuracy loss_all accuracy_all
test_accuracy_mirrored test_accuracy_unmirrored sum_squared_weights sum_squared_weights_W_E
gini_W_E gini_W_L fraction_single_frequency_neurons phase_coherence gradient_symmetricity
fraction_one_wave_neurons distance_irrelevance effective_rank_W_E""".split()
KEY_COLUMNS = """restricted_loss_all restricted_loss_train restricted_loss_test excluded_loss_all
excluded_loss_train excluded_accuracy_train fraction_logit_variance_explained""".split()
SUMMARY_FIELDS = """origin config n_checkpoints last_step key_frequencies memorization_step
grokking_step first_crossing_step grokking_threshold grokking_delay transition_width phases
outcome_kind outcome algorithm final evidence reasons citations""".split()


@pytest.fixture
def copied(tiny_run, tmp_path):
    """A copy of the tiny run's folder, free to be damaged."""
    return shutil.copytree(tiny_run.folder, tmp_path / "copy")


def test_the_trajectory_has_a_row_per_checkpoint_and_the_documented_columns(tiny_run):
    analysis = analyze_run(tiny_run, key_frequencies=[1, 4])
    assert analysis.trajectory["step"].tolist() == list(tiny_run.steps)
    assert set(COLUMNS + KEY_COLUMNS) <= set(analysis.trajectory.columns)
    assert list(analysis.trajectory.columns)[:5] == COLUMNS[:5]
    assert set(SUMMARY_FIELDS) <= set(analysis.summary)


def test_an_analysis_says_which_algorithm_or_why_none(tiny_run, tiny_analysis):
    for analysis in (tiny_analysis, analyze_run(tiny_run, key_frequencies=[1, 4])):
        verdict = analysis.algorithm.verdict
        assert analysis.summary["algorithm"]["verdict"] == verdict
        assert analysis.summary["algorithm"]["reason"] == analysis.algorithm.reason != ""
        # The reason of a missing verdict stands with the other reasons, that of a verdict does not.
        assert analysis.why("algorithm") == (analysis.algorithm.reason if verdict == "none" else "")
        assert "arXiv:2306.17844" in analysis.citations["algorithm"]


def test_the_summary_is_derived_from_the_fields_once(tiny_run, tiny_analysis):
    analysis, summary = tiny_analysis, tiny_analysis.summary
    assert analysis.summary is summary
    assert summary["memorization_step"] == analysis.milestones.memorization_step is not None
    assert summary["transition_width_unmirrored"] == analysis.milestones.plateau_transition_width
    assert summary["plateau_accuracy"] == analysis.milestones.plateau_accuracy
    assert summary["lost_step"] == analysis.milestones.lost_step
    assert summary["outcome"] == analysis.outcome and summary["reasons"] == analysis.reasons
    assert summary["final"] == analysis.final and summary["citations"] == analysis.citations
    assert summary["phases"] == analysis.phases.as_dict()
    # Another analysis has a summary of its own.
    milestones = dataclasses.replace(analysis.milestones, memorization_step=7)
    changed = dataclasses.replace(analysis, milestones=milestones)
    assert changed.summary["memorization_step"] == 7 != summary["memorization_step"]
    limits = Thresholds(grokking=0.5, patience=10)
    other = analyze_run(tiny_run, thresholds=limits, deep=False)
    assert other.thresholds is limits and other.summary["grokking_threshold"] == 0.5
    assert analysis.thresholds == Thresholds() and summary["grokking_threshold"] == 0.95


@pytest.mark.parametrize("case", ["tiny", *synthetic.DEGENERATE])
def test_whatever_is_null_or_empty_has_its_reason(case, tiny_analysis):
    analysis = tiny_analysis if case == "tiny" else synthetic.DEGENERATE[case]()
    summary = analysis.summary
    empty = [name for name, value in summary.items() if value is None]
    empty += [f"final.{name}" for name, value in analysis.final.items() if value is None]
    keys = ("key_frequencies", "key_representations", "key_representations_published")
    empty += [name for name in keys if not summary[name]]
    assert empty and [name for name in empty if not analysis.why(name)] == []


def test_why_takes_the_first_reason_that_there_is(tiny_analysis):
    milestones = dataclasses.replace(tiny_analysis.milestones, reasons={"a": "one", "b": "two"})
    analysis = dataclasses.replace(tiny_analysis, milestones=milestones)
    assert analysis.why("b", "a") == "two" and analysis.why("nothing", "a") == "one"
    assert analysis.why("nothing") == analysis.why() == ""


def reads_of_summary(source):
    """Lines in which a program reads the attribute ``summary`` of something."""
    nodes = ast.walk(ast.parse(source))
    found = [n.lineno for n in nodes if isinstance(n, ast.Attribute) and n.attr == "summary"]
    return found + [source[: m.start()].count("\n") + 1 for m in IN_TEXT.finditer(source)]


IN_TEXT = re.compile(r"\.summary(\[|\.get)")


def test_the_library_reads_fields_and_not_the_summary():
    root = Path(grokinterp.__file__).parent
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*.py")}
    writers = {"trajectory/summary.py", "trajectory/outputs.py"}
    assert writers < set(files)
    assert reads_of_summary(files["trajectory/outputs.py"].read_text())
    found = {name: reads_of_summary(path.read_text()) for name, path in files.items()}
    assert {name: lines for name, lines in found.items() if lines and name not in writers} == {}


def test_a_read_of_the_summary_would_have_been_noticed():
    assert reads_of_summary('step = analysis.summary["grokking_step"]')
    assert reads_of_summary("fields = analysis.summary") and reads_of_summary("# a.summary.get()")
    # A file that was read back is no analysis.
    assert not reads_of_summary('summary = json.loads(text)\nsummary["kind"]')


def test_a_finished_run_is_not_called_unfinished(tiny_analysis):
    assert "Not finished" not in tiny_analysis.outcome


def test_by_frequency_has_a_row_for_every_frequency_of_every_checkpoint(tiny_analysis):
    table = tiny_analysis.by_frequency
    assert table.columns.tolist()[:3] == ["step", "frequency", "embedding_norm"]
    assert len(table) == len(tiny_analysis.run.steps) * 6
    assert sorted(set(table["frequency"])) == [1, 2, 3, 4, 5, 6]
    assert table["step"].drop_duplicates().tolist() == list(tiny_analysis.run.steps)


def test_losses_along_the_trajectory_are_those_of_the_curves(tiny_analysis):
    curves = tiny_analysis.run.curves.set_index("step")
    rows = tiny_analysis.trajectory.set_index("step")
    for name in ("train_loss", "test_loss"):
        tested = curves[name].reindex(rows.index).dropna()
        assert np.allclose(rows.loc[tested.index, name], tested, rtol=1e-4)


def test_the_transition_alone_has_the_numbers_of_the_analysis(tiny_analysis):
    # A threshold that this run passes: it learns little more than a + b = b + a.
    limits = Thresholds(grokking=0.7)
    alone = unmirrored_transition(tiny_analysis.run, thresholds=limits).set_index("step")
    whole = tiny_analysis.trajectory.set_index("step")["test_accuracy_unmirrored"]
    assert len(alone) > 1
    assert (alone["test_accuracy_unmirrored"] == whole.loc[alone.index]).all()


def test_the_verdict_does_not_depend_on_the_checkpoints_taken(tiny_run):
    fields = ("outcome", "outcome_kind", "transition_width", "transition_width_unmirrored")
    limits = Thresholds(grokking=0.7)
    whole = analyze_run(tiny_run, thresholds=limits)
    some = analyze_run(tiny_run, every=5, thresholds=limits)
    assert whole.milestones.transition_width is not None
    assert [some.summary[name] for name in fields] == [whole.summary[name] for name in fields]
    assert some.milestones == whole.milestones
    assert some.summary["n_checkpoints"] == whole.summary["n_checkpoints"] == len(tiny_run.steps)
    assert some.summary["n_checkpoints_analyzed"] == len(some.trajectory) < len(whole.trajectory)


def test_key_frequencies_can_be_given_and_are_checked(tiny_run):
    analysis = analyze_run(tiny_run, key_frequencies=[5, 2])
    assert analysis.key_frequencies.n_permutations == 1000
    assert analysis.summary["key_frequencies"] == [2, 5]
    assert analysis.key_frequencies.evidence is not None
    with pytest.raises(ConfigError, match=r"7.*1 .. 6|7.*1 to 6|7.*1\.\.6"):
        analyze_run(tiny_run, key_frequencies=[7])


def test_a_function_is_a_measure(tiny_run):
    def largest_weight(snapshot, key_frequencies):
        return max(float(v.abs().max()) for v in snapshot.parameters.values())

    analysis = analyze_run(tiny_run, measures=(*MEASURES, largest_weight))
    assert analysis.trajectory["largest_weight"].gt(0).all()


def test_every_takes_a_part_of_the_checkpoints_and_always_the_last(tiny_run):
    steps = analyze_run(tiny_run, every=4).trajectory["step"].tolist()
    assert steps == sorted({*tiny_run.steps[::4], tiny_run.steps[-1]})
    with pytest.raises(ConfigError, match="every=0"):
        analyze_run(tiny_run, every=0)


def count_snapshots(monkeypatch):
    taken = []
    original = measuring.Snapshot.of

    def counting(*arguments, **named):
        taken.append(named["step"])
        return original(*arguments, **named)

    monkeypatch.setattr(measuring.Snapshot, "of", counting)
    return taken


def test_the_second_analysis_runs_the_network_only_at_the_end(copied, monkeypatch):
    first = analyze_run(load_run(copied))
    taken = count_snapshots(monkeypatch)
    again = analyze_run(load_run(copied))
    assert taken == [400]
    pd.testing.assert_frame_equal(again.trajectory, first.trajectory)
    pd.testing.assert_frame_equal(again.by_frequency, first.by_frequency, check_dtype=False)


def test_other_key_frequencies_recompute_only_what_depends_on_them(copied, monkeypatch):
    one = analyze_run(load_run(copied), key_frequencies=[1]).trajectory
    two = analyze_run(load_run(copied), key_frequencies=[2]).trajectory
    assert not np.allclose(one["restricted_loss_all"], two["restricted_loss_all"])
    assert one["gini_W_E"].equals(two["gini_W_E"])
    taken = count_snapshots(monkeypatch)
    back = analyze_run(load_run(copied), key_frequencies=[1]).trajectory
    assert taken == [400]
    pd.testing.assert_frame_equal(back, one)


def test_a_new_version_of_a_measure_is_computed_again(copied):
    def versioned(number):
        @measure(source="a test", version=number)
        def answer(snapshot, key_frequencies):
            return float(number)

        return answer

    for number in (1, 2, 1):
        analysis = analyze_run(load_run(copied), measures=(versioned(number),))
        assert set(analysis.trajectory["answer"]) == {float(number)}


def test_a_broken_cache_costs_time_and_nothing_else(copied):
    first = analyze_run(load_run(copied)).trajectory
    cache = copied / "analysis" / "cache.jsonl"
    lines = cache.read_text().splitlines()
    cache.write_text("\n".join(["not json", '{"weights": 3}', lines[0][:50], lines[1]]))
    pd.testing.assert_frame_equal(analyze_run(load_run(copied)).trajectory, first)


@pytest.mark.parametrize("numbers", [5, {}, {"gini_W_E": "high"}, {"other": 1.0}, [1.0]])
def test_a_cache_with_other_things_in_it_is_computed_again(copied, numbers):
    first = analyze_run(load_run(copied)).trajectory
    cache = copied / "analysis" / "cache.jsonl"
    entries = [json.loads(line) for line in cache.read_text().splitlines()]
    for entry in entries:
        entry["numbers"] = dict.fromkeys(entry["numbers"], numbers)
    cache.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    pd.testing.assert_frame_equal(analyze_run(load_run(copied)).trajectory, first)


def test_a_damaged_checkpoint_is_named_and_the_others_are_analyzed(copied):
    analyze_run(load_run(copied))
    (copied / "checkpoints" / "step_00000040.safetensors").write_bytes(b"gone")
    analysis = analyze_run(load_run(copied))
    assert list(analysis.failures) == ["checkpoints/step_00000040.safetensors"]
    assert 40 not in analysis.trajectory["step"].tolist()
    assert analysis.summary["n_checkpoints_analyzed"] == len(analysis.run.steps) - 1


def test_a_damaged_last_checkpoint_gives_way_to_the_one_before(copied):
    (copied / "checkpoints" / "step_00000400.safetensors").write_bytes(b"gone")
    analysis = analyze_run(load_run(copied))
    assert analysis.trajectory["step"].iloc[-1] == 360
    assert "checkpoints/step_00000400.safetensors" in analysis.failures


def test_the_last_readable_checkpoint_is_taken_where_every_would_pass_it_over(copied):
    for step in (0, 400):
        (copied / "checkpoints" / f"step_{step:08d}.safetensors").write_bytes(b"gone")
    analysis = analyze_run(load_run(copied), every=100)
    assert analysis.trajectory["step"].tolist() == [360]


def test_no_readable_checkpoint_is_an_error_that_says_so(copied):
    for path in (copied / "checkpoints").glob("step_*"):
        path.write_bytes(b"gone")
    with pytest.raises(CheckpointError, match=r"none of the \d+ checkpoints can be read"):
        analyze_run(load_run(copied))


def test_tables_round_trip(tiny_analysis, tmp_path):
    written = write_tables(tiny_analysis, tmp_path / "out")
    assert {p.name for p in written} == {
        "measures.csv",
        "by_frequency.csv",
        "ablations.csv",
        "neurons.csv",
        "two_dimensional_modes.csv",
        "two_dimensional_spectrum.csv",
        "summary.json",
    }
    text = (tmp_path / "out" / "measures.csv").read_text().splitlines()
    assert float(text[1].split(",")[1]) == tiny_analysis.trajectory["train_loss"].iloc[0]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(SUMMARY_FIELDS) <= set(summary)
    assert summary["final"]["step"] == 400


def has_no_nan(values):
    """Whether JSON that forbids NaN takes the values."""
    json.dumps(values, allow_nan=False, default=float)
    return True


@pytest.mark.parametrize(
    ("name", "changes", "kind"),
    [
        ("never fits", {"optimizer": OptimizerSpec(learning_rate=1e-6)}, {"did_not_fit"}),
        (
            "memorizes",
            {"optimizer": OptimizerSpec(learning_rate=3e-3, weight_decay=0.0)},
            {"memorized"},
        ),
        ("diverges", {"optimizer": OptimizerSpec(learning_rate=1e18)}, {"diverged"}),
    ],
)
def test_a_run_without_generalization_is_an_ordinary_result(tmp_path, name, changes, kind):
    base = tiny.config()
    config = dataclasses.replace(
        base, n_steps=300, task=dataclasses.replace(base.task, train_fraction=0.4), **changes
    )
    analysis = analyze_run(train(config, tmp_path / "run", progress=False))
    assert analysis.milestones.outcome_kind in kind
    assert analysis.key_frequencies.frequencies == () and analysis.why("key_frequencies")
    assert analysis.milestones.grokking_step is None and analysis.why("grokking_step")
    assert not set(KEY_COLUMNS) & set(analysis.trajectory.columns)
    assert "nan" not in analysis.outcome.lower()
    write_tables(analysis, tmp_path / "out")
    assert has_no_nan(json.loads((tmp_path / "out" / "summary.json").read_text()))


@pytest.mark.parametrize("operation", ["subtraction", "multiplication", "division"])
def test_other_operations_have_the_same_columns_through_their_group(tmp_path, operation):
    run = train(tiny.config(operation, n_steps=80), tmp_path / "run", progress=False)
    analysis = analyze_run(run, key_frequencies=[3])
    assert "restricted_loss_all" in analysis.trajectory
    is_commutative = operation == "multiplication"
    assert ("test_accuracy_mirrored" in analysis.trajectory) == is_commutative
    expected = {"subtraction": 0, "multiplication": 25, "division": 12}
    assert analysis.summary["n_pairs_left_out"] == expected[operation]


def test_without_a_cyclic_view_trigonometric_columns_are_absent(tmp_path):
    run = train(tiny.config("multiplication", p=12, n_steps=40), tmp_path / "run", progress=False)
    analysis = analyze_run(run)
    assert not {"gini_W_E", "restricted_loss_all"} & set(analysis.trajectory.columns)
    assert analysis.by_frequency.empty
    assert "no cyclic view" in analysis.why("by_frequency")
    written = write_tables(analysis, tmp_path / "out")
    assert "by_frequency.csv" not in {p.name for p in written}


@pytest.mark.parametrize("p", [2, 3])
def test_the_smallest_moduli_are_analyzed(tmp_path, p):
    run = train(tiny.config(p=p, n_steps=20), tmp_path / "run", progress=False)
    assert len(analyze_run(run).trajectory) == len(run.steps)


def test_two_layers_are_analyzed(tmp_path):
    base = tiny.config(n_steps=40)
    config = dataclasses.replace(base, model=dataclasses.replace(base.model, n_layers=2))
    run = train(config, tmp_path / "run", progress=False)
    assert "fraction_single_frequency_neurons" in analyze_run(run).trajectory


def test_a_run_that_is_still_being_written_is_analyzed_as_far_as_it_is(copied):
    index = copied / "checkpoints" / "index.csv"
    index.write_text("\n".join(index.read_text().splitlines()[:6]) + "\n120,step_0000")
    curves = copied / "curves.csv"
    curves.write_text("\n".join(curves.read_text().splitlines()[:90]) + "\n89,0.3")
    analysis = analyze_run(load_run(copied))
    assert analysis.summary["last_step"] == 88
    assert analysis.outcome.startswith("Not finished (step 88 of 400). ")
    assert analysis.summary["outcome"] == analysis.outcome
    assert analysis.summary["n_checkpoints"] == 5
