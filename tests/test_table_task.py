"""Tasks by table: any answers, what names them, where they are kept, and what is refused."""

import copy
import dataclasses
import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file, save_file

from grokinterp.errors import ConfigError, GrokinterpError, RunFolderError
from grokinterp.fields import settled
from grokinterp.models import MlpSpec
from grokinterp.runs import OptimizerSpec, TrainConfig
from grokinterp.runs.stored_run import load_run
from grokinterp.tasks import AnswerTable, Task, TaskSpec, draw_split
from tests import tiny

SUMS = np.add.outer(np.arange(5), np.arange(5))
"""Sums that are not taken modulo anything: 5 tokens, 9 answers."""
HOLE = -1


def table_spec(labels=SUMS, **values):
    return TaskSpec(operation="table", labels=labels, **{"train_fraction": 0.6, **values})


def perceptron(task, **values):
    """A perceptron that trains in a moment."""
    config = TrainConfig(
        task=task,
        model=MlpSpec(widths=(16,)),
        optimizer=OptimizerSpec(learning_rate=1e-2, warmup_steps=0),
        n_steps=20,
        checkpoint_every=10,
    )
    return dataclasses.replace(config, **values)


def train(config, folder, **values):
    from grokinterp.training import train

    return train(config, folder, progress=False, **values)


# --- what a table says ----------------------------------------------------------------------


def test_the_answer_of_a_pair_is_the_entry_in_row_a_and_column_b():
    labels = np.random.default_rng(0).integers(0, 9, size=(6, 6))
    task = Task(table_spec(labels))
    a, b = task.pairs.T
    assert np.array_equal(task.labels, labels[a, b])
    assert not np.array_equal(task.labels, labels[b, a])
    assert np.array_equal(task.pairs[:, 0] * 6 + task.pairs[:, 1], np.arange(36))


def test_tokens_and_answers_are_counted_apart():
    task = Task(table_spec(SUMS))
    assert (task.n_tokens, task.spec.p, task.d_vocab, task.n_inputs) == (5, 5, 6, 10)
    assert (task.n_classes, task.n_outputs, task.targets.shape) == (9, 9, (25, 9))
    assert task.inputs.shape == (25, 10) and (task.tokens[:, 2] == 5).all()
    # Of every other operation they are as many.
    plain = Task(TaskSpec(p=5))
    assert (plain.n_tokens, plain.n_classes) == (5, 5)


def test_answers_that_never_occur_may_be_asked_for():
    assert Task(table_spec(SUMS, n_answers=1000)).n_classes == 1000
    assert table_spec(SUMS).n_answers == table_spec(SUMS, n_answers=9).n_answers == 9
    assert table_spec(SUMS) == table_spec(SUMS, n_answers=9) != table_spec(SUMS, n_answers=10)


def test_p_is_the_number_of_rows_whatever_is_given():
    assert table_spec(SUMS, p=113) == table_spec(SUMS, p=5)


def test_pairs_without_an_answer_are_left_out():
    labels = SUMS.copy()
    labels[2, 3] = labels[4] = labels[:, 4] = HOLE  # token 4 never occurs
    task = Task(table_spec(labels))
    assert task.n_pairs == 25 - 1 - 9
    assert not ((task.pairs == 4).any() or (task.pairs == [2, 3]).all(axis=1).any())
    assert (task.labels >= 0).all() and np.array_equal(task.labels, task.pairs.sum(axis=1))
    # The mirror image of (3, 2) is one of them, that of (2, 1) is not.
    row = {tuple(pair): i for i, pair in enumerate(task.pairs.tolist())}
    assert task.mirror_rows[row[3, 2]] == -1 and task.mirror_rows[row[2, 1]] == row[1, 2]
    split = draw_split(task)
    assert len(split.train) == int(0.6 * 15) and len(split.test) == 15 - int(0.6 * 15)


@pytest.mark.parametrize(
    ("labels", "commutes"),
    [
        (SUMS, True),
        (np.where(np.eye(5, dtype=bool), HOLE, SUMS), True),
        (np.where(SUMS == 0, 3, SUMS), True),
        (np.where(np.triu(SUMS, 3) > 0, HOLE, SUMS), True),
        (SUMS + np.triu(np.ones((5, 5), dtype=int), 4), False),
        ([[0, 1], [2, 0]], False),
        # Whether it commutes does not show where only one of two mirror images has an answer.
        ([[0, 1], [HOLE, 0]], False),
    ],
)
def test_whether_a_table_commutes_is_read_off_its_entries(labels, commutes):
    assert Task(table_spec(labels)).operation.is_commutative == commutes
    if commutes:
        table_spec(labels, split_unit="unordered_pairs")
    else:
        with pytest.raises(ConfigError, match="commutative operation; this table is not"):
            table_spec(labels, split_unit="unordered_pairs")


def test_a_split_by_unordered_pairs_has_every_pair_once_though_some_are_not_there():
    labels = SUMS.copy()
    labels[0, 1] = labels[3, 2] = HOLE
    task = Task(table_spec(labels, split_unit="unordered_pairs"))
    split = draw_split(task)
    assert sorted([*split.train, *split.test]) == list(range(23))
    mirror = task.mirror_rows
    has_mirror = mirror >= 0
    assert (~has_mirror).sum() == 2
    assert np.array_equal(split.is_train[has_mirror], split.is_train[mirror[has_mirror]])
    assert not split.is_mirrored[split.test].any()


def test_a_table_that_is_a_group_has_its_view_and_one_that_is_nearly_a_group_has_none():
    task, addition = Task(table_spec(SUMS % 5)), Task(TaskSpec(p=5))
    assert np.array_equal(task.labels, addition.labels)
    assert task.cyclic_view is not None and not task.has_representations
    assert np.array_equal(task.cyclic_view.pair_rows, addition.cyclic_view.pair_rows)
    nearly = SUMS % 5
    nearly[0, 0], nearly[0, 1] = nearly[0, 1], nearly[0, 0]
    assert Task(table_spec(nearly)).group_view is None


def test_a_table_says_what_it_is():
    spec = table_spec(SUMS)
    digest = spec.table.sha256
    assert spec.in_words == f"a table of 5 x 5 answers ({digest[:4]}…)"
    assert "labels=<a table of 5 x 5 answers" in repr(spec)
    operation = Task(spec).operation
    assert (operation.name, operation.symbol, operation.words) == (
        "table",
        "⋆",
        "a table of answers",
    )
    assert not operation.is_random


# --- what a table is given as ---------------------------------------------------------------


def test_every_form_of_the_same_answers_is_the_same_task(tmp_path):
    save_file({"answers": SUMS.astype(np.int16)}, tmp_path / "t.safetensors")
    np.save(tmp_path / "t.npy", np.asfortranarray(SUMS))
    np.savetxt(tmp_path / "t.txt", SUMS)
    np.savetxt(tmp_path / "t.csv", SUMS, fmt="%d", delimiter=",")
    np.savetxt(tmp_path / "semicolons.csv", SUMS, fmt="%d", delimiter=";", header="sums")
    np.savetxt(tmp_path / "t.tsv", SUMS, fmt="%d", delimiter="\t")
    (tmp_path / "t.json").write_text(json.dumps(SUMS.tolist()))
    files = sorted(tmp_path.iterdir())
    forms = [
        SUMS.tolist(),
        tuple(map(tuple, SUMS.tolist())),
        SUMS.astype(np.uint8),
        SUMS.astype(np.float32),
        torch.tensor(SUMS),
        torch.tensor(SUMS).to(torch.float32).requires_grad_(),
        pd.DataFrame(SUMS),
        *files,
        *map(str, files),
    ]
    assert len(files) == 7
    expected = table_spec(SUMS)
    for form in forms:
        assert table_spec(form) == expected, form
    assert {hash(table_spec(form)) for form in forms} == {hash(expected)}


def test_every_form_of_a_hole_is_the_same_hole(tmp_path):
    with_hole = [[0, 1], [2, HOLE]]
    (tmp_path / "t.csv").write_text("0,1\n2,\n")
    (tmp_path / "t.tsv").write_text("0\t1\n2\t\n")
    (tmp_path / "t.txt").write_text("# answers\n0 1\n2 nan\n\n")
    (tmp_path / "t.json").write_text("[[0, 1], [2, null]]")
    forms = [
        [[0, 1], [2, None]],
        [[0, 1], [2, float("nan")]],
        np.array([[0, 1], [2, np.nan]], dtype=np.float32),
        np.ma.masked_array(np.array([[0, 1], [2, 7]], dtype=np.uint8), mask=[[0, 0], [0, 1]]),
        pd.DataFrame([[0, 1], [2, None]], dtype="Int64"),
        *tmp_path.iterdir(),
    ]
    assert len(forms) == 9
    for form in forms:
        assert table_spec(form) == table_spec(with_hole), form
    assert table_spec(with_hole) != table_spec([[0, 1], [2, 0]])


def test_a_table_cannot_be_changed_after_it_was_given():
    labels = SUMS.copy()
    spec = table_spec(labels)
    labels[0, 0] = 8
    assert spec.table.entries[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        spec.table.entries[0, 0] = 8


# --- what names a table ---------------------------------------------------------------------


def test_a_table_is_named_by_the_sha256_of_its_entries_as_int64():
    digest = hashlib.sha256(np.ascontiguousarray(SUMS, dtype="<i8").tobytes()).hexdigest()
    assert str(AnswerTable(SUMS)) == f"sha256:{digest}"
    assert str(AnswerTable(SUMS.T + np.eye(5, dtype=int))) != f"sha256:{digest}"


def test_the_config_holds_the_name_and_neither_the_path_nor_the_table(tmp_path):
    np.save(tmp_path / "answers.npy", SUMS)
    config = perceptron(table_spec(tmp_path / "answers.npy"))
    values = config.to_dict()
    assert values["task"]["labels"] == str(AnswerTable(SUMS))
    assert (values["task"]["n_answers"], values["task"]["p"]) == (9, 5)
    assert str(tmp_path) not in json.dumps(values)
    shutil.move(tmp_path / "answers.npy", tmp_path / "other.npy")
    moved = perceptron(table_spec(tmp_path / "other.npy"))
    assert moved == config and moved.hash() == config.hash()
    other = perceptron(table_spec(SUMS % 5, n_answers=9))
    assert other != config and other.hash() != config.hash()


def test_configs_without_a_table_keep_their_hash():
    assert not {"labels", "n_answers"} & set(settled(TaskSpec()))
    assert {"labels", "n_answers"} <= set(settled(table_spec()))
    values = TrainConfig().to_dict()
    del values["task"]["labels"], values["task"]["n_answers"]
    assert TrainConfig.from_dict(values) == TrainConfig()


def test_a_spec_with_a_table_is_copied_replaced_and_read_back():
    config = perceptron(table_spec())
    copies = [
        copy.copy(config),
        copy.deepcopy(config),
        pickle.loads(pickle.dumps(config)),
        TrainConfig.from_dict(config.to_dict()),
        dataclasses.replace(dataclasses.replace(config, n_steps=30), n_steps=20),
    ]
    assert all(other == config and other.hash() == config.hash() for other in copies)
    longer = dataclasses.replace(config.task, train_fraction=0.5)
    assert longer.table == config.task.table and longer != config.task
    other = dataclasses.replace(config.task, labels=SUMS % 5, n_answers=None)
    assert (other.n_answers, Task(other).labels.max()) == (5, 4)
    plain = dataclasses.replace(config.task, operation="addition", labels=None, n_answers=None)
    assert plain == TaskSpec(p=5, train_fraction=0.6)


IN_ANOTHER_PROCESS = """
import json, pickle, sys
from grokinterp import TrainConfig
from grokinterp.errors import ConfigError
config = pickle.loads(sys.stdin.buffer.read())
print(config.hash(), config.task.table.entries.tolist())
values = config.to_dict()
del config
try:
    TrainConfig.from_dict(values)
except ConfigError as error:
    print(error)
"""


def test_a_pickle_takes_the_table_to_another_process_and_a_dict_does_not():
    config = perceptron(table_spec())
    result = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        input=pickle.dumps(config),
        capture_output=True,
        check=True,
    )
    first, refusal = result.stdout.decode().splitlines()
    assert first == f"{config.hash()} {SUMS.tolist()}"
    assert refusal.startswith(f"labels={config.task.table} is the name of a table")
    assert "labels.safetensors" in refusal


def test_configs_that_differ_in_the_table_are_told_apart(tmp_path):
    from grokinterp.comparison.settings import config_fields, differing_fields
    from grokinterp.trajectory.cache import cache_context

    specs = (table_spec(SUMS), table_spec(np.where(SUMS == 0, 1, SUMS)))
    runs = [train(perceptron(s, n_steps=1), tmp_path / s.table.sha256[:4]) for s in specs]
    fields = [config_fields(run) for run in runs]
    assert differing_fields(fields) == ("task.labels",)
    assert [f["task.labels"] for f in fields] == [str(s.table) for s in specs]
    assert len({cache_context(run) for run in runs}) == 2


# --- what is refused ------------------------------------------------------------------------

REFUSED = [
    ([[0, 1, 2], [1, 2, 0]], r"labels has shape \(2, 3\)\. A table of answers is square"),
    ([0, 1, 2, 3], r"labels has shape \(4,\)"),
    (np.zeros((2, 2, 2), dtype=int), r"labels has shape \(2, 2, 2\)"),
    ([[0, 1], [1]], "its rows are not equally long"),
    ([[1]], "labels has 1 rows. A table has 2 to 4,096"),
    ([], r"labels has shape \(0,\)"),
    (np.broadcast_to(np.int8(1), (4097, 4097)), "labels has 4,097 rows"),
    (torch.zeros(1).expand(10**6, 10**6), "labels has 1,000,000 rows"),
    ([[0, 1], [1, 1.5]], r"labels has 1\.5 at \[1, 1\]\. Answers are whole numbers"),
    ([[0, -2], [1, 1]], r"labels has -2 at \[0, 1\]"),
    ([[0, 1], [1, 65536]], r"labels has 65536 at \[1, 1\].*0 to 65,535"),
    ([[0, 1], [1, 10**30]], r"labels has 1e\+30 at \[1, 1\]"),
    ([[0, 1], [1, float("inf")]], r"labels has inf at \[1, 1\]"),
    ([[0, None], [1, float("inf")]], r"labels has inf at \[1, 1\]"),
    ([[0, None], [1, "2"]], r"labels has '2' at \[1, 1\]"),
    ([["0", "1"], ["1", "0"]], "labels has entries of type <U1"),
    ([[True, False], [False, True]], "labels has entries of type bool"),
    ([[0, 1j], [1, 2]], "labels has entries of type complex128"),
    ([[3, 3], [3, HOLE]], "labels has a single answer. There is nothing to learn"),
    ([[HOLE, HOLE], [HOLE, HOLE]], "labels has no answer"),
    ({0: 1}, r"labels=\{0: 1\} is not a table"),
    (5, "labels=5 is not a table"),
    (b"01", "labels=b'01' is not a table"),
    ("sha256:" + "0" * 64, f"labels=sha256:{'0' * 64} is the name of a table that is not loaded"),
    (None, "needs labels, which are not given"),
]


@pytest.mark.parametrize(("labels", "message"), REFUSED)
def test_what_is_no_table_of_answers_is_refused_in_one_line(labels, message, without_type_checks):
    with pytest.raises(ConfigError, match=message) as caught:
        TaskSpec(operation="table", labels=labels)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "labels",
    [
        [[0, 1], [1, 0]],
        [[0, 65535], [HOLE, HOLE]],
        np.eye(4096, dtype=np.int8),
        [[0.0, 1.0], [2.0, None]],
    ],
)
def test_the_smallest_and_the_largest_table_are_taken(labels):
    assert table_spec(labels).p == len(labels)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"labels": SUMS}, "labels=array.* does not go with addition"),
        ({"labels": "nowhere.csv", "operation": "division"}, "does not go with division"),
        ({"n_answers": 5}, "n_answers=5 does not go with addition"),
        ({"operation": "table", "labels": SUMS, "degree": 3}, "degree=3 does not go with table"),
        ({"operation": "table", "labels": SUMS, "label_seed": 1}, "label_seed=1 does not go with"),
        (
            {"operation": "table", "labels": SUMS, "n_answers": 8},
            "largest answer .* is 8. Use 9 to",
        ),
        ({"operation": "table", "labels": SUMS, "n_answers": 2**17}, "n_answers=131072 is not"),
        ({"operation": "table", "labels": SUMS, "n_answers": "9"}, "n_answers='9' is of the wrong"),
        ({"operation": "table", "labels": SUMS, "train_fraction": 2.0}, "train_fraction=2.0"),
        (
            {"operation": "table", "labels": SUMS, "group": "S3"},
            "group='S3' does not go with table",
        ),
        ({"operation": "table", "labels": SUMS, "group_table": SUMS}, "group_table=.* with table"),
        ({"operation": "group", "group_table": "no.csv"}, "group_table='no.csv' does not exist"),
        ({"operation": "tables", "labels": SUMS}, "tables"),
        ({"operation": 3, "labels": SUMS}, "operation=3"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(values, message, without_type_checks):
    with pytest.raises(ConfigError, match=message):
        TaskSpec(**values)


def _object_array(path):
    np.save(path, np.array([[0, 1], [2, {}]], dtype=object), allow_pickle=True)


def _too_large(path):
    with path.open("wb") as file:
        file.truncate(2**28 + 1)


def _header_that_promises_more(path):
    np.save(path, np.eye(5, dtype=int))
    path.write_bytes(path.read_bytes().replace(b"(5, 5), }  ", b"(4096, 5), }"[:11]))


REFUSED_FILES = {
    "missing.csv": (None, "does not exist"),
    "table.xlsx": (b"PK", "has an unknown ending. Use .npy, .csv"),
    "pickle.pt": (b"PK", "has an unknown ending"),
    "folder.csv": (Path.mkdir, "is not a file"),
    "large.csv": (_too_large, "has 268,435,457 bytes, more than"),
    "objects.npy": (_object_array, "Python objects"),
    "short.npy": (_header_that_promises_more, "holds no table of answers"),
    "header.npy": (b"\x93NUMPY\x01\x00\x04\x00{((\n", "holds no table of answers"),
    "words.csv": (b"0,1\n1,two\n", "line 2 has 'two', which is no number"),
    "floats.csv": (b"0,1\n1,0.5\n", "has 0.5 at [1, 1]"),
    "rows.csv": (b"0,1\n1\n", "rows are not equally long"),
    "square.txt": (b"0 1 2\n1 2 0\n", "has shape (2, 3)"),
    "empty.csv": (b"", "has shape (0,)"),
    "latin.csv": (b"0,1\n1,\xff\n", "holds no table of answers"),
    "margins.csv": (lambda p: pd.DataFrame(SUMS).to_csv(p), "header=False, index=False"),
    "table.json": (b'{"0": [1]}', "is no list of rows"),
    "deep.json": (b"[" * 10**5, "nested too deep"),
    "broken.json": (b"[[0, 1], [1", "holds no table of answers"),
    "two.safetensors": (lambda p: save_file({"a": SUMS, "b": SUMS}, p), "has 2 tensors, not one"),
    "cut.safetensors": (b"\x10", "holds no table of answers"),
}


@pytest.mark.parametrize("name", REFUSED_FILES)
def test_what_is_wrong_with_a_file_is_said_in_one_line_with_its_path(tmp_path, name):
    content, message = REFUSED_FILES[name]
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        content(path)
    with pytest.raises(ConfigError) as caught:
        TaskSpec(operation="table", labels=path)
    line = str(caught.value)
    assert line.startswith(f"labels={str(path)!r} ") and message in line and line.isprintable()


def test_a_table_that_looks_like_margins_is_read_where_its_corner_is_written(tmp_path):
    grid = np.zeros((4, 4), dtype=int)
    grid[0, 0], grid[0, 1:], grid[1:, 0] = HOLE, range(3), range(3)
    np.savetxt(tmp_path / "t.csv", grid, fmt="%d", delimiter=",")
    assert table_spec(tmp_path / "t.csv").p == 4


# --- the run folder -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A perceptron on sums that are not taken modulo anything."""
    return train(perceptron(table_spec()), tmp_path_factory.mktemp("table") / "run")


@pytest.fixture
def copied(trained, tmp_path):
    """A copy of its folder, free to be damaged."""
    return shutil.copytree(trained.folder, tmp_path / "copy")


def test_a_perceptron_has_inputs_for_the_tokens_and_outputs_for_the_answers(trained):
    assert {name: tuple(value.shape) for name, value in trained.parameters().items()} == {
        "layers.0.W": (10, 16),
        "layers.1.W": (16, 9),
    }


def test_curves_are_those_of_the_table(trained):
    from grokinterp.runs.network import Network

    weights = trained.parameters()
    network = Network(trained.spec, trained.task)
    logits = network.outputs(weights, network.inputs)
    is_right = logits.argmax(dim=1).numpy() == trained.task.pairs.sum(axis=1)
    last = trained.curves.iloc[-1]
    assert last["train_accuracy"] == is_right[trained.split.train].mean()
    assert last["test_accuracy"] == is_right[trained.split.test].mean()
    assert trained.curves["train_loss"].iloc[-1] < trained.curves["train_loss"].iloc[0]


def test_the_folder_has_a_copy_of_the_table_and_reads_back_without_the_original(trained, copied):
    stored = load_file(copied / "labels.safetensors")
    table = trained.task.spec.table
    assert list(stored) == [table.sha256]
    assert np.array_equal(stored[table.sha256], SUMS)
    again = load_run(copied)
    assert again.config == trained.config
    assert np.array_equal(again.task.labels, trained.task.labels)
    # The copy is itself a table that can be given.
    assert table_spec(copied / "labels.safetensors").table == table


def test_a_run_on_a_table_resumes_and_is_extended(tmp_path, trained):
    config = dataclasses.replace(trained.config, n_steps=10)
    path = tmp_path / "answers.csv"
    np.savetxt(path, SUMS, fmt="%d", delimiter=",")
    train(config, tmp_path / "run")
    same = dataclasses.replace(trained.config, task=table_spec(path))
    extended = train(same, tmp_path / "run")
    assert torch.equal(extended.parameters()["layers.0.W"], trained.parameters()["layers.0.W"])


def test_training_with_another_table_is_refused(copied, trained):
    other = dataclasses.replace(trained.config, task=table_spec(np.where(SUMS == 0, 1, SUMS)))
    with pytest.raises(RunFolderError, match="another config .task.labels is sha256:.* there"):
        train(other, copied)


def _flip(path):
    entries = load_file(path)
    save_file({name: value + (value == 8) for name, value in entries.items()}, path)


def _rename(path):
    save_file({"0" * 64: SUMS.astype(np.int32)}, path)


def _no_answers(path):
    save_file({name: value * 0.5 for name, value in load_file(path).items()}, path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "labels.safetensors is missing, which holds"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is damaged, which holds"),
        (lambda path: path.write_bytes(b""), "is damaged, which holds"),
        (_flip, "is damaged: it does not hold"),
        (_no_answers, "is damaged: it does not hold"),
        (_rename, "does not hold"),
    ],
)
def test_a_copy_that_is_not_the_table_is_refused_with_its_name(copied, trained, damage, message):
    damage(copied / "labels.safetensors")
    for do in (load_run, lambda folder: train(trained.config, folder)):
        with pytest.raises(RunFolderError) as caught:
            do(copied)
        line = str(caught.value)
        assert message in line and str(trained.task.spec.table) in line and line.isprintable()


@pytest.mark.parametrize("labels", ["/etc/hostname", 3, ["sha256:"], [[0, 1], [1, 0]]])
def test_config_json_reads_no_table_from_elsewhere(copied, labels):
    values = json.loads((copied / "config.json").read_text())
    values["task"]["labels"] = labels
    (copied / "config.json").write_text(json.dumps(values))
    with pytest.raises(RunFolderError, match="does not hold the table of answers"):
        load_run(copied)


def test_a_link_out_of_the_folder_is_not_followed(copied, trained):
    (copied / "labels.safetensors").unlink()
    (copied / "labels.safetensors").symlink_to(trained.folder / "labels.safetensors")
    with pytest.raises(RunFolderError, match="a link that leads out of"):
        load_run(copied)


def test_a_run_that_was_killed_before_its_config_was_written_starts_again(tmp_path, trained):
    shutil.copy(trained.folder / "labels.safetensors", tmp_path / "labels.safetensors")
    again = train(trained.config, tmp_path)
    assert again.config == trained.config


def test_a_file_of_that_name_with_something_else_is_not_written_over(tmp_path, trained):
    save_file({"mine": SUMS}, tmp_path / "labels.safetensors")
    before = (tmp_path / "labels.safetensors").read_bytes()
    with pytest.raises(RunFolderError, match="holds no run of grokinterp"):
        train(trained.config, tmp_path)
    assert (tmp_path / "labels.safetensors").read_bytes() == before


def test_a_run_that_starts_from_one_on_another_table_has_both(tmp_path, trained):
    after = table_spec(np.where(SUMS == 0, 1, SUMS))
    config = dataclasses.replace(trained.config, task=after, parent=trained.config)
    run = train(config, tmp_path / "run", parent=trained)
    stored = load_file(run.folder / "labels.safetensors")
    assert set(stored) == {after.table.sha256, trained.task.spec.table.sha256}
    assert load_run(run.folder).config == config
    assert torch.equal(run.parameters(0)["layers.0.W"], trained.parameters()["layers.0.W"])


def test_a_folder_without_a_table_has_no_copy_of_one(tmp_path):
    run = train(perceptron(TaskSpec(p=5, train_fraction=0.6), n_steps=1), tmp_path / "run")
    assert not (run.folder / "labels.safetensors").exists()


# --- transformers and analysis --------------------------------------------------------------

MINIMA = np.minimum.outer(np.arange(7), np.arange(7))
"""A commutative table without a group, with as many answers as tokens."""


@pytest.fixture(scope="module")
def analyzed(tmp_path_factory):
    """A transformer on the smaller of two numbers, and its analysis."""
    from grokinterp.trajectory import analyze_run

    config = tiny.config(task=table_spec(MINIMA), n_steps=40, checkpoint_every=20)
    return analyze_run(train(config, tmp_path_factory.mktemp("table") / "transformer"))


def test_a_run_on_a_table_is_analyzed_and_says_what_is_absent(analyzed):
    columns = set(analyzed.trajectory)
    assert {"loss_all", "accuracy_all", "effective_rank_W_E"} <= columns
    assert {"test_accuracy_mirrored", "sum_squared_weights"} <= columns
    assert not {"restricted_loss_all", "gini_W_E"} & columns
    components = set(analyzed.ablations["component"])
    assert {"full", "mlp", "head_0", "attention_to_mlp"} <= components
    words = analyzed.run.task.spec.in_words
    assert f"{words} has no cyclic view" in analyzed.reasons["key_frequencies"]
    assert not analyzed.failures


def test_the_losses_of_the_analysis_are_those_of_the_table(analyzed):
    from grokinterp.circuits.snapshot import take_snapshot

    logits = take_snapshot(analyzed.run).logits.double()
    answers = torch.tensor(MINIMA.reshape(-1))
    loss = torch.nn.functional.cross_entropy(logits, answers).item()
    last = analyzed.trajectory.iloc[-1]
    assert last["loss_all"] == pytest.approx(loss, rel=1e-6)
    assert last["accuracy_all"] == (logits.argmax(dim=1) == answers).double().mean().item()


def test_the_report_says_that_a_table_was_learned(analyzed):
    from grokinterp.report import render_report

    html = render_report(analyzed)
    assert "Learning entry (a, b) of a table of answers on 7 tokens from 60% of the pairs" in html
    assert f"Grokking report: {analyzed.run.task.spec.in_words}" in html
    assert "mod 7" not in html


def test_no_paper_is_cited_for_a_table_of_ones_own(analyzed):
    from grokinterp import cite

    assert "power2022" not in cite(analyzed.run)


def test_state_dicts_of_a_network_on_a_table_become_a_run(analyzed):
    from grokinterp.runs.run import Run

    states = {step: analyzed.run.parameters(step) for step in (0, 40)}
    run = Run.from_state_dicts(
        states, task=table_spec(MINIMA), train_pairs=analyzed.run.split.train
    )
    assert run.task.spec.table == analyzed.run.task.spec.table
    assert run.config.to_dict()["task"]["labels"] == str(run.task.spec.table)


@pytest.mark.parametrize(("embedding", "n_parts"), [("none", 2), ("shared", 3), ("separate", 4)])
def test_a_perceptron_on_a_table_with_holes_is_followed_however_tokens_enter(
    tmp_path, embedding, n_parts
):
    from grokinterp.trajectory import analyze_run

    labels = SUMS.copy()
    labels[4] = labels[:, 4] = labels[2, 3] = HOLE  # token 4 never occurs; 7 answers are left
    model = MlpSpec(widths=(16,), embedding=embedding)
    run = train(perceptron(table_spec(labels), model=model), tmp_path / "run")
    weights = run.parameters()
    assert len(weights) == n_parts and weights["layers.1.W"].shape == (16, 7)
    analysis = analyze_run(run)
    is_right = run.logits().argmax(dim=1).numpy() == run.task.pairs.sum(axis=1)
    assert len(is_right) == 15
    assert analysis.trajectory["accuracy_all"].iloc[-1] == is_right.mean()
    assert not analysis.failures


def test_logits_on_a_table_are_followed_where_there_is_nothing_else(trained):
    from grokinterp.runs.run import Run
    from grokinterp.trajectory import analyze_run

    logits = {step: trained.logits(step) for step in (0, 20)}
    task, rows = trained.task.spec, trained.split.train
    run = Run.from_logits(logits, task=task, train_pairs=rows)
    found, expected = analyze_run(run).trajectory, analyze_run(trained, every=3).trajectory
    assert found["loss_all"].iloc[-1] == expected["loss_all"].iloc[-1]
    assert found["accuracy_all"].iloc[-1] == expected["accuracy_all"].iloc[-1]
    with pytest.raises(GrokinterpError, match=r"\b9\b"):
        Run.from_logits({0: logits[0][:, :5]}, task=task)


# --- the command line -----------------------------------------------------------------------


@pytest.fixture
def command(without_type_checks):
    """The command in this process; its errors are raised."""
    return _command


def _command(*words):
    from grokinterp.commands.train import main

    main([*map(str, words), "--preset", "perceptron", "--n-steps", "5", "--quiet"])


@pytest.fixture
def csv_file(tmp_path):
    path = tmp_path / "answers.csv"
    np.savetxt(path, SUMS, fmt="%d", delimiter=",")
    return path


def test_the_command_trains_on_a_table(tmp_path, csv_file, command):
    words = [tmp_path / "run", "--task.operation", "table", "--task.labels", csv_file]
    command(*words, "--task.n-answers", 12)
    run = load_run(tmp_path / "run")
    assert run.task.spec == TaskSpec(
        operation="table", labels=SUMS, n_answers=12, train_fraction=0.75
    )


def test_none_on_the_command_line_is_no_table(tmp_path, command):
    command(tmp_path / "run", "--task.labels", "None", "--task.group-table", "None")
    assert load_run(tmp_path / "run").task.spec.labels is None


@pytest.mark.parametrize(
    ("labels", "unit"), [(SUMS, "unordered_pairs"), (SUMS + np.eye(5, k=1), "ordered_pairs")]
)
def test_the_quick_preset_splits_a_table_as_it_can(tmp_path, labels, unit, without_type_checks):
    from grokinterp.commands.train import _parse

    np.save(tmp_path / "t.npy", labels)
    words = ["run", "--task.operation=table", f"--task.labels={tmp_path / 't.npy'}"]
    task = _parse(words).config.task
    assert (task.split_unit, task.p, task.train_fraction) == (unit, 5, 0.57)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task.labels", "none.csv"], "labels='none.csv' does not exist"),
        (["--task.labels", "{csv}", "--task.n-answers", "8"], "n_answers=8 is not allowed"),
        ([], "operation=table needs labels, which are not given"),
        (["--task.labels"], "--task.labels has no value"),
        (["--task.labels", "{csv}", "--task.operation", "cubic"], "does not go with cubic"),
    ],
)
def test_a_mistake_with_a_table_is_one_line(tmp_path, csv_file, command, words, message):
    words = [word.format(csv=csv_file) for word in words]
    with pytest.raises(GrokinterpError, match=message.replace("(", r"\(")):
        command(tmp_path / "run", "--task.operation", "table", *words)
    assert not (tmp_path / "run").exists()


def test_help_says_what_the_flag_takes(capsys, command):
    with pytest.raises(SystemExit):
        command("--help")
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--task.labels PATH For ``table``: the answers" in text


# Sums that are not taken modulo anything have more answers than tokens, and whether one number is
# larger than another has fewer.
COUNTS = [(SUMS, 9), ((np.subtract.outer(range(5), range(5)) > 0).astype(int), 2)]


@pytest.mark.parametrize(("labels", "n_answers"), COUNTS)
def test_state_dicts_with_another_number_of_answers_become_a_run(labels, n_answers):
    from grokinterp.errors import CheckpointError
    from grokinterp.models import ModelSpec
    from grokinterp.models.initialization import initial_parameters
    from grokinterp.runs.run import Run

    spec = ModelSpec(d_model=8, n_heads=2, d_head=4, d_mlp=8)
    state = initial_parameters(spec, d_vocab=6, n_ctx=3, d_vocab_out=n_answers)
    run = Run.from_state_dicts({0: state}, task=table_spec(labels))
    assert run.parameters(0)["unembed.W_U"].shape == (8, n_answers)
    assert not run.doubts
    surer = {**state, "unembed.W_U": 100 * state["unembed.W_U"]}
    (doubt,) = Run.from_state_dicts({0: surer}, task=table_spec(labels)).doubts
    assert "Give its training pairs" in doubt
    with pytest.raises(CheckpointError, match=f"{n_answers} outputs do not belong"):
        Run.from_state_dicts({0: state}, task=table_spec(labels, n_answers=n_answers + 3))
    with pytest.raises(CheckpointError, match="6 input tokens|5 operands, the task 7"):
        Run.from_state_dicts({0: state}, task=table_spec(MINIMA, n_answers=max(7, n_answers)))


@pytest.mark.parametrize(("labels", "n_answers"), COUNTS)
def test_a_transformer_has_a_vocabulary_of_the_tokens_and_outputs_for_the_answers(
    tmp_path, labels, n_answers
):
    from grokinterp.trajectory import analyze_run

    config = tiny.config(task=table_spec(labels), n_steps=40, checkpoint_every=20)
    analysis = analyze_run(train(config, tmp_path / "run"))
    run = analysis.run
    weights = run.parameters()
    assert len(weights["embed.W_E"]) == 6 and weights["unembed.W_U"].shape[1] == n_answers
    answers = run.logits(rows=None).argmax(dim=1).numpy()
    is_right = answers == np.asarray(labels).reshape(-1)
    last = analysis.trajectory.iloc[-1]
    assert last["train_accuracy"] == is_right[run.split.train].mean()
    assert last["accuracy_all"] == is_right.mean()
    assert not analysis.failures
    assert {"full", "mlp", "head_0"} <= set(analysis.ablations["component"])
