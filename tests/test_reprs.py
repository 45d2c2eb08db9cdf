"""What a notebook shows of an object: a config as the Python that makes it, a result in lines."""

import dataclasses
from typing import get_args

import pandas as pd
import pytest
from hypothesis import given, strategies as st

import grokinterp as gi
from grokinterp.comparison import comparison_of
from grokinterp.experiments import Claim, Findings, Scale
from grokinterp.experiments.reproduction import Reproduction
from grokinterp.models.spec import ActivationName, Biases, InitName
from grokinterp.reprs import MOST_LISTED, WIDTH, in_lines, listed
from grokinterp.runs.config import ImportedConfig
from grokinterp.runs.optimizer import OptimizerName
from grokinterp.tasks import Split
from tests import synthetic, toy_experiment

NAMES = {name: getattr(gi, name) for name in gi.__all__} | {"ImportedConfig": ImportedConfig}


def made_again(config):
    return eval(repr(config), dict(NAMES))


def few_lines(value, most=12):
    """The repr of a result: its first line, and the labeled lines below by label."""
    lines = repr(value).splitlines()
    assert len(lines) <= most and max(map(len, lines)) <= WIDTH, lines
    rows = [line for line in lines[1:] if not line.startswith("   ")]
    return lines[0], {row.split("  ")[1].strip(): row for row in rows}


@pytest.mark.parametrize("name", gi.PRESETS)
def test_the_repr_of_a_preset_is_the_python_that_makes_it(name):
    preset = gi.PRESETS[name]
    assert made_again(preset) == preset and made_again(preset).hash() == preset.hash()


def test_only_what_is_not_the_default_is_shown():
    config = gi.TrainConfig(task=gi.TaskSpec(p=59, train_fraction=0.5), n_steps=4000)
    assert repr(config) == "TrainConfig(task=TaskSpec(p=59, train_fraction=0.5), n_steps=4000)"
    assert repr(gi.TrainConfig()) == "TrainConfig()"
    # A field without a default is always shown.
    assert "model=ModelSpec()" in repr(ImportedConfig(gi.TaskSpec(), gi.ModelSpec()))


def test_a_config_that_is_too_long_for_a_line_goes_over_several():
    child = dataclasses.replace(gi.PRESETS["digits"], parent=gi.PRESETS["digits"])
    assert made_again(child) == child
    lines = repr(child).splitlines()
    assert lines[0] == "TrainConfig(" and "    parent=TrainConfig(" in lines
    assert "    n_steps=8000," in lines and "        n_steps=8000," in lines


def tables(**fields):
    """Some of the fields of a config as JSON has them; those that are left out are the default."""
    return st.fixed_dictionaries({}, optional=fields)


tasks = (
    tables(
        p=st.sampled_from([2, 59, 113]),
        train_fraction=st.floats(0.01, 0.99),
        split_seed=st.integers(0, 2**40),
    )
    | st.fixed_dictionaries(
        {"operation": st.just("permutation_composition"), "degree": st.integers(2, 5)}
    )
    | st.fixed_dictionaries({"dataset": st.just("digits"), "n_train": st.integers(1, 1000)})
)
perceptrons = st.fixed_dictionaries(
    {"architecture": st.just("mlp")},
    optional={
        "widths": st.lists(st.integers(1, 500), min_size=1, max_size=3),
        "biases": st.booleans(),
        "init_scale": st.floats(1e-3, 1e3),
    },
)
transformers = tables(
    n_heads=st.integers(1, 4),
    act_fn=st.sampled_from(get_args(ActivationName)),
    biases=st.sampled_from(get_args(Biases)),
    init=st.sampled_from(get_args(InitName)),
    attention_rate=st.floats(0, 1),
)
optimizers = tables(
    learning_rate=st.floats(1e-6, 1),
    weight_decay=st.sampled_from([0.0, -0.0, 1.0]) | st.floats(0, 10),
    algorithm=st.sampled_from(get_args(OptimizerName)),
)
pressures = tables(l1=st.floats(0, 1), perp_grad=st.booleans())
lengths = {"n_steps": st.integers(1, 10**5), "stop_accuracy": st.none() | st.floats(0, 0.99)}
configs = tables(
    task=tasks, model=perceptrons, optimizer=optimizers, pressures=pressures, **lengths
).filter(lambda table: table.get("task", {}).get("dataset") is None or "model" in table) | tables(
    model=transformers
)
generations = st.recursive(configs, lambda older: st.fixed_dictionaries({"parent": older}))


@given(generations)
def test_the_repr_of_any_config_is_the_python_that_makes_it(table):
    config = gi.TrainConfig.from_dict(table)
    # The hash tells apart what == does not, such as 0.0 and -0.0.
    assert made_again(config) == config and made_again(config).hash() == config.hash()


def test_a_run_says_what_it_is_how_far_it_got_and_what_came_of_it(tiny_run):
    title, rows = few_lines(tiny_run)
    assert title == "Run of addition modulo 13"
    last = tiny_run.curves.iloc[-1]
    assert "118 to train on, 51 to test on" in rows["split"]
    assert f"{len(tiny_run.steps)}, from step 0 to 400" in rows["checkpoints"]
    assert f"test loss {last['test_loss']:.3g}" in rows["at step 400"]
    assert str(tiny_run.folder) in repr(tiny_run).replace("\n", "").replace(" ", "")


def test_a_run_of_which_little_is_known_says_so(tiny_run):
    nothing = Split.unknown(tiny_run.task)
    bare = dataclasses.replace(
        tiny_run, split=nothing, curves=tiny_run.curves.iloc[:0], folder=None
    )
    _, rows = few_lines(bare)
    assert "not known" in rows["split"]
    assert not {"at step 400", "folder", "diverged", "origin"} & set(rows)


def test_a_run_that_diverged_says_where(tiny_run):
    curves = tiny_run.curves.copy()
    curves.loc[curves["step"] == 200, "train_loss"] = float("nan")
    _, rows = few_lines(dataclasses.replace(tiny_run, curves=curves))
    assert "at step 200" in rows["diverged"]


def test_a_snapshot_says_of_which_step_and_shape_it_is(tiny_run):
    snapshot = gi.take_snapshot(tiny_run, 0)
    title, rows = few_lines(snapshot)
    assert title == "Snapshot of addition modulo 13 at step 0"
    assert "logits (169, 13)" in rows["tensors"]
    assert f"{snapshot.accuracy_all:.3g} on all pairs" in rows["accuracy"]


def test_an_analysis_says_outcome_keys_and_algorithm(tiny_analysis):
    title, rows = few_lines(tiny_analysis)
    assert title == "Analysis of addition modulo 13"
    assert tiny_analysis.summary["outcome"][:40] in rows["outcome"]
    keys = tiny_analysis.key_frequencies.frequencies
    assert (", ".join(map(str, keys)) if keys else "none: ") in rows["keys"]
    assert tiny_analysis.algorithm.verdict in rows["algorithm"]
    assert f"{len(tiny_analysis.trajectory)} checkpoints" in rows["trajectory"]


def test_key_frequencies_show_their_rule_and_no_table(tiny_run):
    found = gi.find_key_frequencies(gi.take_snapshot(tiny_run))
    assert found.evidence is not None and "evidence" not in repr(found)
    assert "rule='logit_power'" in repr(found) and "step=400" in repr(found)
    given = gi.KeyFrequencies.given(113, [9, 38])
    assert repr(given) == "KeyFrequencies(order=113, frequencies=(9, 38))"
    assert made_again(given) == given


def test_a_comparison_has_a_line_for_each_of_its_first_runs():
    analyses = [synthetic.grokked_analysis(12), synthetic.memorized_analysis(12)]
    title, rows = few_lines(comparison_of(analyses))
    assert title == "Comparison of 2 runs: 1 generalized, 1 not by their last step"
    assert "grokked" in rows["run 1"] and "memorized" in rows["run 2"]
    many = comparison_of([synthetic.memorized_analysis(12) for _ in range(MOST_LISTED + 3)])
    _, rows = few_lines(many)
    assert len(rows) == MOST_LISTED + 1 and "and 3 more" in rows["..."]


def test_a_reproduction_says_its_verdict_and_that_of_each_claim(tmp_path):
    findings = Findings((Claim("planted", "confirmed", "It is so.", {}),))
    result = Reproduction(
        toy_experiment.EXPERIMENT, Scale(True), pd.DataFrame(), (), findings, tmp_path, 0.0
    )
    title, rows = few_lines(result)
    assert title.endswith("(quick): confirmed") and "It is so." in rows["planted"]


def test_a_long_text_takes_three_lines_at_most_and_an_empty_one_none():
    text = in_lines("title", {"long": "word " * 500, "empty": "", "short": "end"})
    lines = text.splitlines()
    assert len(lines) == 5 and lines[3].endswith("...") and max(map(len, lines)) <= WIDTH
    assert in_lines("title", {}) == "title"


def test_a_list_says_how_many_it_leaves_out():
    assert listed(range(3), most=3) == "0, 1, 2"
    assert listed(range(4), most=3) == "0, 1, 2 and 1 more"
