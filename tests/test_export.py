"""``gi.export``: what one uploads, and that it is the same run when it is read back."""

import dataclasses
import json

import pytest
import torch

import grokinterp as gi
from grokinterp.commands.analyze import main
from grokinterp.errors import CheckpointError, ConfigError, RunFolderError
from grokinterp.sharing.card import escaped, fenced, model_card
from tests import planted, tiny


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of 20 steps, and its analysis without the slow part."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = tiny.config(n_steps=20, checkpoint_every=10)
    run = gi.train(config, folder, progress=False)
    return gi.analyze_run(run, deep=False)


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A file of somebody else, whose split is not known, and its analysis."""
    path = tmp_path_factory.mktemp("files") / "low.pth"
    torch.save(planted.clock_parameters(13, [2]), path)
    return gi.analyze_run(gi.load_run(path), deep=False)


@pytest.mark.parametrize("kind", ["trained", "imported"])
def test_an_exported_run_is_the_same_run_when_it_is_loaded(request, tmp_path, kind):
    analysis = request.getfixturevalue(kind)
    run = analysis.run
    again = gi.load_run(gi.export(analysis, tmp_path / "out"))
    assert again.checksum() == run.checksum()
    assert torch.equal(again.logits(), run.logits())
    assert list(again.parameters()) == list(run.parameters())
    assert again.config == run.config
    assert again.split.is_known == run.split.is_known == (kind == "trained")
    assert again.split.train.tolist() == run.split.train.tolist()
    assert again.curves.equals(run.curves)
    assert again.steps == run.steps[-1:]
    assert again.is_imported == run.is_imported


def test_all_checkpoints_are_exported_only_where_they_are_asked_for(trained, tmp_path):
    run = trained.run
    again = gi.load_run(gi.export(trained, tmp_path / "out", checkpoints="all"))
    assert again.steps == run.steps
    assert [again.checksum(step) for step in again.steps] == [run.checksum(s) for s in run.steps]
    gi.export(trained, tmp_path / "out")
    assert gi.load_run(tmp_path / "out").steps == run.steps[-1:]
    assert list((tmp_path / "out").glob("checkpoints/*")) == []


def test_the_weights_are_read_without_the_library(trained, tmp_path):
    from safetensors.torch import load_file

    found = load_file(gi.export(trained, tmp_path / "out") / "model.safetensors")
    expected = trained.run.parameters()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("operation", ["group", "table"])
def test_a_table_goes_with_the_run_that_learned_it(tmp_path, operation):
    table = [[(a + b) % 5 for b in range(5)] for a in range(5)]
    other = [[(2 * a + b) % 5 for b in range(5)] for a in range(5)]
    given = {"group_table": table} if operation == "group" else {"labels": other}
    task = gi.TaskSpec(operation=operation, **given)
    config = tiny.config(task=dataclasses.replace(task, train_fraction=0.6), n_steps=2)
    trained = gi.analyze_run(gi.train(config, tmp_path / "run", progress=False), deep=False)
    again = gi.load_run(gi.export(trained, tmp_path / "out"))
    assert again.task.labels.tolist() == gi.Task(task).labels.tolist()
    (tmp_path / "out" / "labels.safetensors").unlink()
    with pytest.raises(RunFolderError, match="labels.safetensors is missing"):
        gi.load_run(tmp_path / "out")


def test_weights_of_a_module_are_written_and_said_to_need_its_code(tmp_path):
    from tests import own_networks as own

    module = own.seeded(own.Summed)
    run = gi.Run.from_modules({0: module}, task=gi.TaskSpec(p=13), inputs="a b")
    folder = gi.export(gi.analyze_run(run, deep=False), tmp_path / "out")
    from safetensors.torch import load_file

    assert load_file(folder / "model.safetensors").keys() == module.state_dict().keys()
    assert "--module package.module:build" in (folder / "README.md").read_text()
    with pytest.raises(RunFolderError, match="forward pass is code of its author. Build it"):
        gi.load_run(folder)


def test_logits_alone_are_exported_without_weights(trained, tmp_path):
    run = trained.run
    logits = gi.Run.from_logits({0: run.logits()}, task=gi.TaskSpec(p=13))
    folder = gi.export(gi.analyze_run(logits, deep=False), tmp_path / "out")
    assert not (folder / "model.safetensors").exists()
    assert "holds no weights" in (folder / "README.md").read_text()


def test_only_an_export_is_written_over_and_files_of_its_user_stay(trained, tmp_path):
    with pytest.raises(RunFolderError, match="is not empty and holds no export. Choose"):
        gi.export(trained, trained.run.folder)
    (tmp_path / "file").write_text("notes")
    with pytest.raises(RunFolderError, match="is a file. Choose"):
        gi.export(trained, tmp_path / "file")
    folder = gi.export(trained, tmp_path / "out")
    (folder / "notes.csv").write_text("mine")
    gi.export(trained, folder, report=True)
    gi.export(trained, folder)
    assert (folder / "notes.csv").read_text() == "mine"
    assert not (folder / "report.html").exists()
    assert not list(tmp_path.glob(".writing-*"))


def test_an_export_that_fails_leaves_the_earlier_one(trained, tmp_path, monkeypatch):
    folder = gi.export(trained, tmp_path / "out")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def full(*arguments):
        raise RunFolderError("the disk is full. Make room.")

    monkeypatch.setattr("grokinterp.sharing.folder.write_tables", full)
    with pytest.raises(RunFolderError, match="disk is full"):
        gi.export(trained, folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before
    assert not list(tmp_path.glob(".writing-*"))


def test_a_folder_in_the_way_of_a_file_is_refused_before_anything_is_replaced(trained, tmp_path):
    folder = gi.export(trained, tmp_path / "out")
    (folder / "summary.json").unlink()
    (folder / "summary.json").mkdir()
    (folder / "README.md").write_text("earlier")
    with pytest.raises(RunFolderError, match=r"summary.json is in the way of an exported file"):
        gi.export(trained, folder)
    assert (folder / "README.md").read_text() == "earlier"
    (folder / "summary.json").rmdir()
    # What a list of files names is removed if it is a file, and only then.
    (folder / "mine").mkdir()
    config = json.loads((folder / "config.json").read_text())
    config["files"] += ["mine", ".", "old.csv"]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "old.csv").write_text("of an earlier version")
    gi.export(trained, folder)
    assert (folder / "mine").is_dir() and not (folder / "old.csv").exists()


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "split.safetensors"])
def test_a_damaged_export_is_refused_with_the_file(trained, tmp_path, file):
    folder = gi.export(trained, tmp_path / "out")
    content = bytearray((folder / file).read_bytes())
    content[-9 if file != "config.json" else content.index(b'"config"') + 1] ^= 1
    (folder / file).write_bytes(bytes(content))
    with pytest.raises((CheckpointError, RunFolderError), match=file):
        gi.load_run(folder).parameters()


def test_words_of_an_export_cannot_speak_to_the_terminal(trained, tmp_path):
    folder = gi.export(trained, tmp_path / "out")
    config = json.loads((folder / "config.json").read_text())
    config |= {"origin": "a\n\x1b[31mb" + "c" * 10**6, "doubts": ["d\re"]}
    (folder / "config.json").write_text(json.dumps(config))
    run = gi.load_run(folder)
    assert run.origin.startswith("a \\x1b[31mbc") and len(run.origin) < 20_000
    assert run.doubts == ("d e",)


def test_the_card_says_what_was_found_and_how_to_load_it(trained, tmp_path):
    text = (gi.export(trained, tmp_path / "out") / "README.md").read_text()
    assert text.startswith('---\nlibrary_name: grokinterp\ntags:\n- "grokking"\n')
    assert "\n# license: mit\n---\n" in text
    assert "\n# Addition modulo 13\n" in text
    assert 'gi.load_run("hf://OWNER/NAME")' in text
    assert f"| memorization step | none: {escaped(trained.why('memorization_step'))} |" in text
    assert "| optimizer | learning_rate=0.003, weight_decay=1.0, " in text.replace("\\_", "_")
    assert gi.cite(trained).strip() in text


def test_the_license_is_that_of_the_argument_or_of_the_earlier_card(trained, tmp_path):
    folder = gi.export(trained, tmp_path / "out", license="mit")
    assert '\nlicense: "mit"\n---\n' in (folder / "README.md").read_text()
    gi.export(trained, folder)
    assert '\nlicense: "mit"\n---\n' in (folder / "README.md").read_text()
    gi.export(trained, folder, license="cc-by-4.0")
    assert '\nlicense: "cc-by-4.0"\n---\n' in (folder / "README.md").read_text()
    with pytest.raises(ConfigError, match="license='mit\\\\ntags: x' is not allowed"):
        gi.export(trained, folder, license="mit\ntags: x")


def test_words_of_other_people_cannot_become_part_of_the_card(imported, tmp_path):
    evil = "a\n---\nlicense: evil\n<script>x</script> | [b](http://c) ```"
    run = dataclasses.replace(imported.run, origin=evil, doubts=(evil,))
    text = model_card(dataclasses.replace(imported, run=run), tmp_path, None)
    assert "\nlicense: evil" not in text
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert "[b](" not in text and "\\[b\\](http://c)" in text
    assert text.count("\\`\\`\\`") == 2
    assert fenced("```\nx", "bibtex").splitlines()[0] == "````bibtex"


def test_the_command_exports_what_it_analyzed(trained, tmp_path, capsys):
    out = tmp_path / "up"
    words = [str(trained.run.folder), "--no-deep", "--quiet", "--out", str(tmp_path / "analysis")]
    main([*words, "--export", str(out)])
    assert f"export    {out}/" in capsys.readouterr().out
    assert gi.load_run(out).checksum() == trained.run.checksum()
    assert (out / "report.html").exists()
    assert json.loads((out / "summary.json").read_text())["last_step"] == 20
    with pytest.raises(RunFolderError, match="holds no export"):
        main([*words, "--export", str(trained.run.folder)])
