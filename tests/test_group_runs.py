"""A run that composes permutations, from training to the report."""

import dataclasses
import json

import pandas as pd
import pytest

from grokinterp.commands import analyze
from grokinterp.errors import ConfigError
from grokinterp.report import render_report
from grokinterp.runs.config import TrainConfig
from grokinterp.runs.stored_run import load_run
from grokinterp.tasks import TaskSpec
from grokinterp.training import train
from grokinterp.trajectory import analyze_run, write_tables
from tests import tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    base = tiny.config(n_steps=40)
    task = TaskSpec("permutation_composition", degree=3, train_fraction=0.7)
    config = dataclasses.replace(base, task=task)
    return train(config, tmp_path_factory.mktemp("s3") / "run", progress=False)


@pytest.fixture(scope="module")
def analysis(run):
    return analyze_run(run, key_frequencies=["sign", "standard"])


def test_the_summary_names_representations_and_no_frequency(analysis):
    summary = analysis.summary
    assert summary["key_frequencies"] == []
    assert summary["key_representations"] == ["standard", "sign"]
    assert summary["reasons"]["key_frequencies"].startswith("permutation composition in S_3 has")
    assert summary["algorithm"]["verdict"] == "none"
    assert {"restricted_loss_test", "excluded_loss_train"} <= set(analysis.trajectory)
    assert "fraction_single_representation_neurons" in summary["citations"]
    assert not {"fraction_single_frequency_neurons", "gini_W_E"} & set(summary["citations"])
    assert not {"gini_W_E", "fraction_single_frequency_neurons"} & set(analysis.trajectory)


def test_a_network_that_does_not_solve_the_task_has_no_key_representation(run):
    summary = analyze_run(run, deep=False).summary
    assert summary["key_representations"] == []
    assert "accuracy on the 11 test pairs is 0." in summary["reasons"]["key_representations"]


def test_the_published_rule_stands_beside_ours_and_asks_for_no_accuracy(run, analysis):
    found = analyze_run(run, deep=False).summary
    similar = {r["representation"]: r["character_similarity"] for r in found["evidence"]}
    wanted = [name for name, similarity in similar.items() if similarity > 0.005]
    assert found["key_representations_published"] == wanted
    assert analysis.summary["key_representations_published"] == wanted
    assert [r["type"] for r in found["evidence"]] == ["real", "real"]
    # A set that was found without evidence says why there is none.
    bare = dataclasses.replace(analysis.key_frequencies, evidence=None)
    without = dataclasses.replace(analysis, key_frequencies=bare)
    assert without.summary["key_representations_published"] == []
    assert "cosine above 0.005" in without.reasons["key_representations_published"]


def test_a_cyclic_group_has_key_representations_under_the_same_names(tiny_run):
    summary = analyze_run(tiny_run, key_frequencies=["freq_5", 2], deep=False).summary
    assert summary["key_frequencies"] == [2, 5]
    assert summary["key_representations"] == ["freq_2", "freq_5"]
    assert set(summary["key_representations_published"]) <= {f"freq_{k}" for k in range(1, 7)}


def test_tables_are_by_representation(analysis, tmp_path):
    written = {path.name for path in write_tables(analysis, tmp_path)}
    assert "by_representation.csv" in written
    assert not {"by_frequency.csv", "circuit.csv"} & written
    table = pd.read_csv(tmp_path / "by_representation.csv")
    assert list(table.columns) == [
        "step",
        "representation",
        "dimension",
        "type",
        "embedding_norm",
        "n_neurons",
        "logit_power_share",
        "logit_coefficient",
        "excluded_loss_all",
        "excluded_loss_train",
    ]
    assert set(table["step"]) == set(analysis.trajectory["step"])
    assert set(table["representation"]) == {"standard", "sign"}


def test_the_report_speaks_of_representations(analysis):
    html = render_report(analysis)
    assert "permutation composition in S_3" in html
    assert "Key representations: <strong>standard, sign</strong>" in html
    assert 'id="figure-representations"' in html
    assert "representation sign" in html


def test_a_second_analysis_is_remembered_and_the_same(run):
    first = analyze_run(load_run(run.folder), key_frequencies=["sign"])
    again = analyze_run(load_run(run.folder), key_frequencies=["sign"])
    pd.testing.assert_frame_equal(first.by_representation, again.by_representation)
    pd.testing.assert_frame_equal(first.ablations, again.ablations, check_dtype=False)
    pd.testing.assert_frame_equal(first.neurons, again.neurons, check_dtype=False)


def test_the_command_takes_names(run, tmp_path, capsys):
    out = tmp_path / "out"
    words = [str(run.folder), "--out", str(out), "--quiet"]
    analyze.main([*words, "--key-frequencies", "sign,standard"])
    assert "key representations standard, sign" in capsys.readouterr().out
    summary = json.loads((out / "summary.json").read_text())
    assert summary["key_representations"] == ["standard", "sign"]
    with pytest.raises(ConfigError, match="'5d_a' is no representation of symmetric\\(3\\)"):
        analyze.main([*words, "--key-frequencies", "5d_a"])
    with pytest.raises(ConfigError, match="no list of whole numbers or names"):
        analyze.main([*words, "--key-frequencies", "sign;rm"])


def test_the_default_split_and_network_take_permutations():
    config = TrainConfig(task=TaskSpec("permutation_composition", degree=5))
    assert config.model.vocabulary_sizes(config.task.p) == {
        "d_vocab": 121,
        "n_ctx": 3,
        "d_vocab_out": 120,
    }
