"""What a user says about a file goes before what the file shows, and only what was said does."""

import dataclasses

import numpy as np
import pytest
import torch

import grokinterp as gi
from grokinterp.commands import analyze
from grokinterp.errors import ConfigError, GrokinterpError
from grokinterp.runs import loading
from grokinterp.runs.importers.hints import Hints
from tests import planted, tiny

pytestmark = pytest.mark.long  # Files are read under many tasks.


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net_100.pt"
    torch.save(planted.clock_parameters(13, [2]), path)
    return path


@pytest.fixture
def hints_of(monkeypatch, file, tmp_path):
    """The hints that reach the importer of a file, for the words of a command."""
    reached = []
    read_run = loading.read_run

    def spy(path, format, hints):
        reached.append(hints)
        return read_run(path, format, Hints())

    def hints(*words):
        monkeypatch.setattr(loading, "read_run", spy)
        monkeypatch.setattr(analyze, "_analyze", lambda *a: pytest.skip("loaded"))
        with pytest.raises(pytest.skip.Exception):
            analyze.main([str(file), "--out", str(tmp_path / "out"), *words])
        return reached.pop()

    return hints


@pytest.mark.parametrize(
    ("words", "task", "model"),
    [
        ([], {}, {}),
        (["--task.p=23"], {"p": 23}, {}),
        (["--task.p", "113"], {"p": 113}, {}),
        (["--task.operation", "addition"], {"operation": "addition"}, {}),
        (
            ["--task.operation=group", "--task.group", "D5"],
            {"operation": "group", "group": "dihedral(5)"},
            {},
        ),
        (["--model.act-fn", "relu"], {}, {"act_fn": "relu"}),
        (
            ["--model.attention_dir=bidirectional", "--model.n-heads", "2"],
            {},
            {"attention_dir": "bidirectional", "n_heads": 2},
        ),
        (["--model.normalization", "LNPre"], {}, {"normalization": "LNPre"}),
    ],
)
def test_only_flags_that_are_typed_say_something(hints_of, words, task, model):
    hints = hints_of(*words)
    assert dict(hints.task) == task
    assert dict(hints.model) == model
    assert hints.train_pairs is None


@pytest.mark.parametrize("words", [["--task.group-table"], ["--task.group_table"]])
def test_tables_are_given_as_files(hints_of, tmp_path, words):
    table = [[(a + b) % 5 for b in range(5)] for a in range(5)]
    np.save(tmp_path / "t.npy", table)
    hints = hints_of("--task.operation", "group", *words, str(tmp_path / "t.npy"))
    assert hints.task["group_table"].entries.tolist() == table
    hints = hints_of("--task.operation", "table", f"--task.labels={tmp_path / 't.npy'}")
    assert hints.task["labels"].entries.tolist() == table


def test_a_whole_spec_says_all_of_what_is_learned_and_nothing_of_the_split():
    task = gi.TaskSpec(p=23, train_fraction=0.4, split_seed=7, split_method="torch_randperm")
    assert Hints.of(task, None, None).task == {"operation": "addition", "p": 23}
    drawn = gi.TaskSpec(operation="random_labels", p=7, label_seed=3)
    assert Hints.of(drawn, None, None).task["label_seed"] == 3
    permutations = gi.TaskSpec(operation="permutation_composition", degree=4)
    expected = {"operation": "permutation_composition", "degree": 4}
    assert Hints.of(permutations, None, None).task == expected
    group = gi.TaskSpec(operation="group", group="D5")
    assert Hints.of(group, None, None).task == {"operation": "group", "group": "dihedral(5)"}
    assert Hints.of(group, None, None).task_on(10) == group


def test_a_whole_spec_of_a_network_is_given_at_its_defaults_too():
    model = Hints.of(None, gi.ModelSpec(d_model=32, init_seed=9), None).model
    assert (model["d_model"], model["act_fn"], model["attention_dir"]) == (32, "relu", "causal")
    assert not {"init", "init_seed", "init_scale", "d_mlp"} & model.keys()
    assert gi.ModelSpec(**model) == gi.ModelSpec(d_model=32)
    assert Hints.of(None, gi.MlpSpec(), None).model["architecture"] == "mlp"
    assert Hints.of(None, None, None).names == ()


@pytest.mark.parametrize("form", ["rows", "pairs"])
def test_training_pairs_are_given_for_a_file(file, form):
    task = gi.Task(gi.TaskSpec(p=13))
    rows = np.arange(0, 169, 2)
    run = gi.load_run(file, train_pairs=rows if form == "rows" else task.pairs[rows])
    assert run.split.is_known
    assert run.split.train.tolist() == rows.tolist()
    assert "The training pairs were given: 85 of 169." in run.origin
    assert "not known" not in run.origin
    written = run.config.to_dict()["task"]
    assert written["train_fraction"] == 85 / 169
    assert written["split_seed"] is None
    assert not gi.load_run(file).split.is_known
    assert "Which pairs were trained on is not known." in gi.load_run(file).origin


def test_given_pairs_take_the_place_of_those_that_the_file_has(tmp_path, file):
    folder = tmp_path / "states"
    folder.mkdir()
    for step in (1, 20):
        (folder / f"net_{step}.pt").write_bytes(file.read_bytes())
    run = gi.load_run(folder, train_pairs=[0, 1, 2])
    assert run.split.train.tolist() == [0, 1, 2]
    by_name = {importer.name: importer for importer in loading.IMPORTERS}
    found = dataclasses.replace(
        by_name["state_dicts"].load(loading.ForeignPath(folder), Hints()), split=run.split
    )
    again = loading.with_given_pairs(found, [0, 1])
    assert (
        "The training pairs were given: 2 of 169. The file shows others (3 pairs)." in again.origin
    )
    assert "shows others" not in loading.with_given_pairs(found, [2, 1, 0]).origin


@pytest.mark.parametrize("pairs", [[0, 0], [169], [[0, 13]], [0.5], []])
def test_pairs_that_are_none_of_the_tasks_are_refused(file, pairs):
    with pytest.raises(ConfigError, match="are not different pairs of the task"):
        gi.load_run(file, train_pairs=pairs)


def test_the_command_takes_training_pairs_from_a_file(hints_of, tmp_path):
    np.save(tmp_path / "rows.npy", np.arange(5))
    assert hints_of("--train-pairs", str(tmp_path / "rows.npy")).train_pairs.tolist() == [*range(5)]


def test_a_run_folder_says_all_of_it_itself(tmp_path, file):
    folder = tmp_path / "run"
    gi.train(tiny.config(n_steps=2), folder, progress=False)
    for words in ({"task": gi.TaskSpec(p=13)}, {"model": gi.ModelSpec()}, {"train_pairs": [0]}):
        with pytest.raises(ConfigError, match="whose config.json says its task.* Leave out "):
            gi.load_run(folder, **words)
    with pytest.raises(ConfigError, match="Leave out task.p, model.act_fn"):
        analyze.main([str(folder), "--task.p", "13", "--model.act-fn=relu"])
    assert gi.load_run(folder).steps[-1] == 2
    assert not (folder / "analysis").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task.train-fraction", "0.4"], "--task.train-fraction says how pairs are drawn"),
        (["--task.split_seed=3"], "--task.split-seed says how pairs are drawn"),
        (["--inputs", "a b"], "--inputs needs --module package.module:build"),
        (["--parts.neurons=x"], "--parts.neurons needs --module package.module:build"),
        (["--module", "n:b", "--model.act-fn", "gelu"], "--model.act-fn does not go with --module"),
        (["--train-pairs", "none.npy"], "cannot read pairs from none.npy"),
        (["--model.act-fn", "gleu"], "--model.act-fn gleu is not known. Choose one of relu, gelu"),
    ],
)
def test_flags_that_say_nothing_here_are_refused(file, words, message):
    with pytest.raises(GrokinterpError, match=message):
        analyze.main([str(file), *words])


def test_a_given_task_is_the_task_and_the_origin_says_how_well_it_fits(file):
    wrong = gi.load_run(file, task=gi.TaskSpec(operation="subtraction", p=13))
    assert wrong.task.spec.operation == "subtraction"
    assert len(wrong.doubts) == 1
    assert "contradicts the given task, subtraction modulo 13" in wrong.doubts[0]
    assert "addition explains 100.0%" in wrong.doubts[0]
    assert (wrong.transformer.act_fn, wrong.transformer.normalization) == ("relu", "none")
    assert "The task was given: subtraction modulo 13" in wrong.origin
    right = gi.load_run(file, task=gi.TaskSpec(p=13, split_seed=5))
    assert (right.task.spec.operation, right.doubts) == ("addition", ())
    assert "right on 100.00% of all pairs" in right.origin
    assert "right on 100.00% of all pairs" not in wrong.origin


def test_a_given_activation_is_that_of_the_network_though_another_answers_better(file):
    assert gi.load_run(file).transformer.act_fn == "relu"
    assert gi.load_run(file, model=gi.ModelSpec(act_fn="gelu")).transformer.act_fn == "gelu"


def test_a_modulus_that_the_network_contradicts_is_refused(file):
    with pytest.raises(GrokinterpError, match="the network has 13 .* the task 12"):
        gi.load_run(file, task=gi.TaskSpec(p=12))
    with pytest.raises(GrokinterpError, match="p=12 is given, and the network has 13 operands"):
        analyze.main([str(file), "--task.p=12"])
    assert Hints({"p": 13}).task_on(13) is None


def test_a_field_of_another_kind_of_network_is_refused(file):
    assert gi.load_run(file, model=gi.ModelSpec()).spec == gi.load_run(file).spec
    with pytest.raises(gi.GrokinterpError, match="belongs to another kind of network"):
        gi.load_run(file, model=gi.MlpSpec(curvature=2.0))
