"""The commands as a user runs them: results, one-line errors, what is imported."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from grokinterp.groups import named_group

pytestmark = pytest.mark.long

TINY = (
    "--task.p 13 --task.train-fraction 0.7 --model.d-model 32 --model.d-head 8 --model.d-mlp 64 "
    "--optimizer.learning-rate 3e-3 --n-steps 400 --checkpoint-every 40 --n-threads 1 --quiet"
).split()


def run(module, *words, cwd=None):
    """Run a command of the library; return (exit status, stdout, stderr)."""
    result = subprocess.run(
        [sys.executable, "-m", f"grokinterp.{module}", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=120,
    )
    return result.returncode, result.stdout, result.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder that the command itself trained, with what it printed."""
    folder = tmp_path_factory.mktemp("command") / "ckpts"
    return folder, run("train", folder, *TINY)


def test_train_leaves_a_run_and_one_line_of_outcome(trained):
    folder, (status, out, err) = trained
    assert status == 0, err
    assert out.splitlines()[0].split(":")[0] in (
        "Grokked",
        "Memorized",
        "Generalized without delay",
        "Converged slowly",
        "Did not fit",
    )
    assert json.loads((folder / "config.json").read_text())["n_steps"] == 400
    assert f"python -m grokinterp.analyze {folder}" in out


def test_analyze_writes_its_files_and_prints_a_summary(trained):
    folder, _ = trained
    status, out, err = run("analyze", folder, "--quiet", "--key-frequencies", "1,4")
    assert status == 0, err
    names = {p.name for p in (folder / "analysis").iterdir()}
    assert {
        "report.html",
        "summary.json",
        "measures.csv",
        "by_frequency.csv",
        "ablations.csv",
    } <= names
    for word in ("key frequencies   1, 4", "grokking step", "algorithm", "ablations", "report"):
        assert word in out
    assert "nan" not in out.lower()
    summary = json.loads((folder / "analysis" / "summary.json").read_text())
    assert summary["key_frequencies"] == [1, 4]


def test_analyze_writes_where_out_says(trained, tmp_path):
    folder, _ = trained
    status, _, err = run("analyze", folder, "--quiet", "--every", 4, "--out", tmp_path / "here")
    assert status == 0, err
    assert (tmp_path / "here" / "report.html").exists()


def test_a_memorized_run_is_a_result_and_exits_with_zero(tmp_path):
    words = [*TINY, "--optimizer.weight-decay", 0, "--task.train-fraction", 0.4]
    status, out, _ = run("train", tmp_path / "run", *words)
    assert (status, out.split(":")[0]) == (0, "Memorized")
    status, out, err = run("analyze", tmp_path / "run", "--quiet")
    assert status == 0, err
    assert "key frequencies   none: " in out
    assert "algorithm         none: " in out


def test_a_diverged_run_is_a_result_and_exits_with_zero(tmp_path):
    words = [*TINY, "--optimizer.learning-rate", "1e18"]
    status, out, _ = run("train", tmp_path / "run", *words)
    assert (status, out.split(":")[0]) == (0, "Diverged")
    status, out, err = run("analyze", tmp_path / "run", "--quiet")
    assert status == 0, err
    assert out.startswith("Diverged")


TRAIN_MISTAKES = [
    (["--preset", "power2021"], "preset 'power2021' is not known. Choose one of quick, nanda2023"),
    (["--colour", "red"], "Unrecognized options: --colour"),
    (
        ["--model.embedding", "shared"],
        "--model.embedding is a setting of a multilayer perceptron, and preset quick trains a "
        "transformer. Use --preset dihedral, alternating, perceptron or digits.",
    ),
    (["--preset", "perceptron", "--model.n-layers=2"], "--model.n-layers is a setting of a transf"),
    (["--model.no-trains-readout"], "--model.no-trains-readout is a setting of a multilayer perc"),
    (["--preset", "perceptron", "--model.depth", "2"], "Unrecognized options: --model.depth"),
    (["--n-steps", "many"], "--n-steps many is not allowed. It takes a whole number"),
    (["--task.p", "1"], "p=1 is too small"),
    (["--task.train-fraction", "0"], "train_fraction=0.0 is outside (0, 1)"),
    (["--task.train-fraction", "1"], "train_fraction=1.0 is outside (0, 1)"),
    (["--task.train-fraction", "30"], "not a percentage: use 0.3"),
    (
        ["--task.train-fraction", "nan"],
        "train_fraction=nan is not allowed. It takes",
    ),
    (["--optimizer.weight-decay", "-1"], "weight_decay=-1.0 is not allowed"),
    (["--task.operation", "division", "--task.p", "12"], "p=12, which is composite"),
    (["--task.operation", "power"], "--task.operation power is not known. Choose one of addition"),
]


@pytest.mark.parametrize(("words", "message"), TRAIN_MISTAKES)
def test_a_mistake_in_train_gets_one_line_and_status_2(tmp_path, words, message):
    status, out, err = run("train", tmp_path / "run", *words)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_terminal_without_box_characters_gets_the_same_line(tmp_path, monkeypatch):
    boxed = run("train", tmp_path / "run", "--colour", "red")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert run("train", tmp_path / "run", "--colour", "red") == boxed
    assert "---" not in boxed[2].replace("--colour", "").replace("--help", "")


def test_no_folder_to_train_into_gets_one_line(tmp_path):
    status, _, err = run("train", cwd=tmp_path)
    assert status == 2 and err.count("\n") == 1 and "Run folder" in err


def test_a_folder_with_another_config_is_refused_in_one_line(trained):
    folder, _ = trained
    before = sorted((p, p.stat().st_mtime_ns) for p in folder.rglob("*.safetensors"))
    status, _, err = run("train", folder, "--preset", "nanda2023", "--quiet")
    assert status == 2 and err.count("\n") == 1
    assert "holds a run with another config (task.p is 13 there, 113 here)" in err
    assert sorted((p, p.stat().st_mtime_ns) for p in folder.rglob("*.safetensors")) == before


ANALYZE_MISTAKES = [
    ("none", [], "does not exist"),
    ("empty", [], "is empty. Train a run into it first"),
    ("other", [], "no importer recognizes"),
    ("run", ["--key-frequencies", "7"], "7"),
    ("run", ["--key-frequencies", "0"], "0"),
    ("run", ["--key-frequencies", "one"], "'one' is no frequency. Name some of 1 .. 6."),
    ("run", ["--key-frequencies", "1;4"], "'1;4' is no list of whole numbers or names"),
    ("run", ["--every", "0"], "--every 0 is not allowed"),
    ("run", ["--jobs", "0"], "--jobs 0 is not allowed"),
    ("run", ["--jobs", "257"], "--jobs 257 is not allowed. Use 1 to 256."),
    ("run", ["--colour", "red"], "Unrecognized options"),
    ("run", ["--out", "/proc/nowhere"], "cannot write /proc/nowhere"),
]


@pytest.mark.parametrize(("which", "words", "message"), ANALYZE_MISTAKES)
def test_a_mistake_in_analyze_gets_one_line_and_status_2(trained, tmp_path, which, words, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("something else")
    folder = trained[0] if which == "run" else tmp_path / which
    status, out, err = run("analyze", folder, "--quiet", *words)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_damaged_checkpoint_is_named_in_the_summary(trained, tmp_path):
    folder = shutil.copytree(trained[0], tmp_path / "copy")
    path = folder / "checkpoints" / "step_00000080.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    status, out, err = run("analyze", folder, "--quiet")
    assert status == 0, err
    assert "left out          checkpoints/step_00000080.safetensors" in out
    report = (folder / "analysis" / "report.html").read_text()
    assert "step_00000080.safetensors" in report


@pytest.mark.parametrize("module", ["train", "analyze", "benchmark"])
def test_help_and_mistakes_come_before_torch(module):
    script = (
        "import runpy, sys\n"
        f"sys.argv = ['grokinterp.{module}', '--help']\n"
        "try:\n"
        f"    runpy.run_module('grokinterp.{module}', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as exit_:\n"
        "    assert not exit_.code, exit_.code\n"
        "heavy = {'torch', 'pandas', 'plotly', 'transformer_lens'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "usage" in result.stdout


def test_an_interrupted_training_says_how_to_go_on(tmp_path):
    import signal
    import time

    folder = tmp_path / "run"
    words = [*TINY, "--n-steps", "100000"]
    # A shell in the background passes on that SIGINT is ignored; a user's terminal does not.
    script = (
        "import runpy, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "runpy.run_module('grokinterp.train', run_name='__main__', alter_sys=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder), *words], stderr=subprocess.PIPE, text=True
    )
    try:
        index = folder / "checkpoints" / "index.csv"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (index.exists() and "\n40," in index.read_text()):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.splitlines()[-1] == "interrupted. The same command resumes where it stopped."
    assert run("analyze", folder, "--quiet")[0] == 0


@pytest.mark.parametrize(
    ("flags", "unit"),
    [
        ([], "unordered_pairs"),
        (["--task.operation", "multiplication"], "unordered_pairs"),
        (["--task.operation", "subtraction"], "ordered_pairs"),
        (["--task.operation=division"], "ordered_pairs"),
        (["--preset", "nanda2023", "--task.operation", "addition"], "ordered_pairs"),
        (["--task.operation", "group", "--task.group", "S4"], "ordered_pairs"),
        (["--task.operation=group", "--task.group=C2xC3"], "unordered_pairs"),
        (["--task.operation", "group"], "unordered_pairs"),
    ],
)
def test_an_operation_that_does_not_commute_is_split_by_ordered_pairs(flags, unit):
    from grokinterp.commands.train import _preset, _starting_from
    from grokinterp.runs.config import PRESETS

    config = _starting_from(PRESETS[_preset(flags)], flags)
    assert config.task.split_unit == unit


@pytest.mark.parametrize(("word", "is_taken"), [("None", True), ("none", False)])
def test_the_word_none_takes_the_group_of_a_preset_away(word, is_taken, tmp_path):
    table, folder = tmp_path / "klein.csv", tmp_path / "run"
    np.savetxt(table, named_group("C2xC2").products, fmt="%d", delimiter=",")
    flags = ["--task.operation", "group", "--task.group", word, "--task.group-table", table]
    status, _, err = run("train", folder, "--preset", "dihedral", *flags, "--n-steps", 1, "--quiet")
    assert (status == 0) == is_taken
    if is_taken:
        task = json.loads((folder / "config.json").read_text())["task"]
        assert task["group"] is None and task["p"] == 4
    else:
        assert "group='none' is not known" in err
