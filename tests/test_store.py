"""The run folder: what is written, and what is made of damage."""

import json
import shutil

import pytest
import torch

from grokinterp.errors import CheckpointError, RunFolderError
from grokinterp.runs.atomic import append_durably, whole_lines, write_atomically
from grokinterp.runs.network import Network
from grokinterp.runs.stored_run import load_run


@pytest.fixture
def copied(tiny_run, tmp_path):
    """A copy of the tiny run's folder, free to be damaged."""
    return shutil.copytree(tiny_run.folder, tmp_path / "copy")


def test_the_folder_has_the_documented_files(tiny_run):
    names = {p.name for p in tiny_run.folder.iterdir()}
    assert {
        "config.json",
        "environment.json",
        "split.safetensors",
        "curves.csv",
        "timing.csv",
        "checkpoints",
        "resume.safetensors",
    } <= names
    assert (tiny_run.folder / "checkpoints" / "step_00000400.safetensors").exists()


def test_the_folder_is_readable_without_the_library(tiny_run):
    import hashlib

    from safetensors.torch import load_file

    folder = tiny_run.folder
    assert json.loads((folder / "config.json").read_text())["task"]["p"] == 13
    lines = (folder / "checkpoints" / "index.csv").read_text().splitlines()
    assert lines[0] == "step,file,sha256"
    step, file, digest = lines[-1].split(",")
    path = folder / "checkpoints" / file
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    weights = load_file(path)
    assert weights["blocks.0.attn.W_Q"].shape == (4, 32, 8)
    assert int(step) == 400


def test_a_run_reads_back_as_it_was_trained(tiny_run):
    again = load_run(tiny_run.folder)
    assert again.config == tiny_run.config
    assert again.steps == tuple(tiny_run.config.checkpoint_steps())
    assert torch.equal(again.parameters(40)["embed.W_E"], tiny_run.parameters(40)["embed.W_E"])
    assert again.last_step == 400


@pytest.mark.parametrize("place", [0, 7, 100, -1])
def test_a_flipped_byte_of_a_checkpoint_is_detected_and_named(copied, place):
    path = copied / "checkpoints" / "step_00000040.safetensors"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    run = load_run(copied)
    with pytest.raises(CheckpointError, match="step_00000040.safetensors is damaged"):
        run.parameters(40)
    run.parameters(80)


def test_parameters_come_in_the_order_of_the_network(tiny_run):
    # safetensors hands them over in another order every time.
    loaded = load_run(tiny_run.folder)
    network = Network(loaded.config.model, loaded.task)
    assert list(loaded.parameters(0)) == list(network.shapes)


def test_a_truncated_checkpoint_is_detected_and_named(copied):
    path = copied / "checkpoints" / "step_00000040.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="step_00000040.safetensors is damaged"):
        load_run(copied).parameters(40)


def test_a_missing_checkpoint_is_named(copied):
    (copied / "checkpoints" / "step_00000040.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"step_00000040.safetensors is listed .* cannot be"):
        load_run(copied).parameters(40)


def test_a_file_without_an_index_entry_is_unreported_not_damaged(copied):
    (copied / "checkpoints" / "step_00000041.safetensors").write_bytes(b"half")
    assert 41 not in load_run(copied).steps


def test_an_index_that_points_outside_the_folder_is_refused(copied):
    with (copied / "checkpoints" / "index.csv").open("a") as file:
        file.write("999,../../secret.safetensors,00\n")
    with pytest.raises(CheckpointError, match="outside its folder"):
        load_run(copied).parameters(999)


def test_a_step_without_a_checkpoint_names_the_nearest(tiny_run):
    with pytest.raises(CheckpointError, match="no checkpoint at step 41; the nearest is 40"):
        tiny_run.parameters(41)


def test_no_folder_an_empty_one_and_one_of_something_else_are_told_apart(tmp_path):
    with pytest.raises(RunFolderError, match="does not exist"):
        load_run(tmp_path / "none")
    with pytest.raises(RunFolderError, match=r"is empty. Train a run into it first"):
        load_run(tmp_path)
    (tmp_path / "notes.txt").write_text("something else")
    with pytest.raises(RunFolderError, match="is not a run folder"):
        load_run(tmp_path)
    with pytest.raises(RunFolderError, match="is a file, not a run folder"):
        load_run(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "does not describe a run"),
        ("[]", "does not describe a run"),
        ('{"p": 113}', "does not describe a run"),
        ('{"format_version": 99}', "format_version=99"),
        ('{"format_version": 1, "colour": 2}', "unknown field 'colour'"),
        ('{"format_version": 1, "task": {"p": 1}}', "p=1 is too small"),
    ],
)
def test_a_config_that_is_not_ours_is_refused_in_one_line(copied, content, message):
    (copied / "config.json").write_text(content)
    with pytest.raises(RunFolderError, match=message) as caught:
        load_run(copied)
    assert "\n" not in str(caught.value)


def test_a_split_of_another_task_is_refused(copied):
    values = json.loads((copied / "config.json").read_text())
    values["task"]["p"] = 11
    (copied / "config.json").write_text(json.dumps(values))
    with pytest.raises(RunFolderError, match="does not hold every one of the 121 pairs"):
        load_run(copied)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunFolderError, match="No space left on device"):
        write_atomically(path, b"new")
    with pytest.raises(RunFolderError, match="No space left on device"):
        append_durably(path, "more\n")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"


def test_only_lines_that_end_are_read(tmp_path):
    path = tmp_path / "lines"
    path.write_text("a\nb\nhalf")
    assert whole_lines(path) == ["a", "b"]
    assert whole_lines(tmp_path / "none") == []


def test_the_hooked_model_has_the_weights_of_the_step(tiny_run):
    model = tiny_run.model(40)
    assert torch.equal(model.W_E, tiny_run.parameters(40)["embed.W_E"])


def test_a_checkpoint_of_another_shape_is_named_though_its_checksum_fits(copied):
    values = json.loads((copied / "config.json").read_text())
    values["model"]["d_mlp"] = 32
    (copied / "config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"does not fit config.json: blocks.0.mlp.W_in is"):
        load_run(copied).parameters(40)


def test_garbage_with_a_fitting_checksum_is_no_checkpoint(copied):
    import hashlib

    garbage = b"\x10garbage"
    (copied / "checkpoints" / "step_00000040.safetensors").write_bytes(garbage)
    index = copied / "checkpoints" / "index.csv"
    lines = index.read_text().splitlines()
    digest = hashlib.sha256(garbage).hexdigest()
    lines = [x if not x.startswith("40,") else f"40,{x.split(',')[1]},{digest}" for x in lines]
    index.write_text("\n".join(lines) + "\n")
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        load_run(copied).parameters(40)


@pytest.mark.parametrize("row", [",1,2,3,4", "9,1,2", "405,1,2,3,4", "x,1,2,3,4"])
def test_a_damaged_row_of_the_curves_is_refused_in_one_line(copied, row):
    with (copied / "curves.csv").open("a") as file:
        file.write(row + "\n")
    with pytest.raises(RunFolderError, match=r"curves.csv is damaged") as caught:
        load_run(copied)
    assert "\n" not in str(caught.value)


def test_a_lost_index_is_named_not_taken_for_an_untrained_run(copied):
    (copied / "checkpoints" / "index.csv").unlink()
    with pytest.raises(RunFolderError, match=r"index.csv is missing or damaged"):
        load_run(copied)


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("task", "p", 13.0),
        ("task", "split_seed", "x"),
        ("model", "d_mlp", True),
        ("optimizer", "betas", [0.9]),
        ("optimizer", "learning_rate", "fast"),
    ],
)
def test_a_config_value_of_the_wrong_type_is_refused(copied, part, field, value):
    values = json.loads((copied / "config.json").read_text())
    values[part][field] = value
    (copied / "config.json").write_text(json.dumps(values))
    with pytest.raises(RunFolderError, match=f"{field}=.* wrong type"):
        load_run(copied)


def test_a_config_nested_too_deep_to_read_is_named(copied):
    depth = 200_000
    (copied / "config.json").write_text('{"parent": ' * depth + "1" + "}" * depth)
    with pytest.raises(RunFolderError, match="does not describe a run"):
        load_run(copied)
