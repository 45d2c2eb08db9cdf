"""``analyze --module``: files of the user's own network, built by the user's own function."""

import json
import sys

import numpy as np
import pytest
import torch

from grokinterp.errors import GrokinterpError
from tests import own_networks as own
from tests.own_networks import seeded
from tests.test_commands import run

pytestmark = pytest.mark.long  # A process for each command.

NETS = """
import sys
import torch
import torch.nn.functional as F
from tests.own_networks import OneHot, Summed

table = [1, 2]
network = Summed()

def build():
    return Summed()

def one_hot_network():
    return OneHot()

def one_hot(pairs):
    return F.one_hot(pairs, 13).flatten(1).float()

def sized(p, width=24):
    return Summed(p, width=width)

def wide():
    return Summed(15)

def narrow():
    return Summed(width=20)

def raising():
    raise ValueError("no data\\nhere")

def nothing():
    return None

def ending():
    raise SystemExit("bye\\nnow")

class Uncopied(Summed):
    def __deepcopy__(self, memo):
        raise TypeError("not\\nthis")

def uncopied():
    return Uncopied()

def without_values():
    return Summed().to("meta")

def compiled():
    return torch.compile(Summed())

def lazy():
    module = Summed()
    module.linear1 = torch.nn.LazyLinear(24)
    return module
"""
TASK = "--task.operation addition --task.p 13 --quiet".split()
PLAIN = [*TASK, "--inputs", "a b"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with nets.py and a file of weights, from which the command is called."""
    (tmp_path / "nets.py").write_text(NETS)
    torch.save(seeded(own.Summed).state_dict(), tmp_path / "net.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def analyze(*words):
    from grokinterp.commands.analyze import main

    main([str(word) for word in words])


def test_operands_may_be_two_submodules():
    from grokinterp.commands.analyze import _parse

    words = ["net.pt", "--module", "nets:build", "--parts.operands", "left", "right"]
    assert _parse(words).parts.operands == ("left", "right")
    assert _parse(words[:-1]).parts.operands == "left"


def summary_in(folder):
    return json.loads((folder / "summary.json").read_text())


def test_files_of_ones_own_network_are_one_run_with_their_steps(folder):
    files = []
    for step in (0, 250):
        module = torch.nn.DataParallel(seeded(own.Summed, seed=step))
        files.append(folder / f"net_{step}.pt")
        torch.save({"model_state_dict": module.state_dict()}, files[-1])
    np.save(folder / "train.npy", np.arange(80))
    parts = "--parts.operands embed --parts.neurons linear2:input --train-pairs train.npy".split()
    status, out, err = run("analyze", *files, "--module", "nets:build", *PLAIN, *parts, cwd=folder)
    assert status == 0, err
    found = summary_in(folder / "analysis")
    assert found["n_checkpoints"] == 2 and found["last_step"] == 250
    assert found["origin"].startswith(
        "read from 2 files into nets:build, made of 2 modules: Summed"
    )
    assert {"gini_W_E", "gini_W_L", "train_loss"} <= set(found["final"])
    assert "origin            read from 2 files" in out and "Traceback" not in err
    squares = sum(
        float(p.detach().double().square().sum()) for p in seeded(own.Summed, seed=250).parameters()
    )
    assert found["final"]["sum_squared_weights"] == pytest.approx(squares, rel=1e-6)


def test_a_folder_and_a_single_file_are_read_and_inputs_may_be_a_function(folder):
    nets = folder / "nets_by_step"
    nets.mkdir()
    for step in (5, 10):
        torch.save(seeded(own.OneHot, seed=step).state_dict(), nets / f"step_{step}.pt")
    inputs = ["--inputs", "nets:one_hot"]
    analyze(nets, "--module", "nets:one_hot_network", *TASK, *inputs, "--no-deep")
    assert summary_in(nets / "analysis")["n_checkpoints"] == 2
    assert summary_in(nets / "analysis")["config"]["model"]["inputs"] == "function one_hot"
    analyze("net.pt", "--module", "nets:build", *PLAIN, "--no-deep")
    alone = summary_in(folder / "net_analysis")
    assert alone["last_step"] == 0 and alone["config"]["model"]["class_name"] == "Summed"


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("build", ["compiled", "lazy"])
def test_what_is_compiled_or_has_no_shapes_yet_takes_the_weights_too(folder, build):
    found = {}
    for name in (build, "build"):
        analyze("net.pt", "--module", f"nets:{name}", *PLAIN, "--no-deep")
        found[name] = summary_in(folder / "net_analysis")["final"]
    assert found[build] == found["build"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--module", "nets"], "does not name a function. Write package.module:function"),
        (["--module", "nets.py:build"], "cannot be imported: raises ModuleNotFoundError"),
        (["--module", "./nets:build"], "does not name a function"),
        (["--module", "netz:build"], "cannot be imported: raises ModuleNotFoundError: No module"),
        (["--module", "nets:bild"], "'nets:bild' does not exist in nets"),
        (["--module", "nets:table"], "'nets:table' is not a function"),
        (["--module", "nets:network"], "is a module already"),
        (["--module", "nets:sized"], r"needs arguments \(p\)"),
        (["--module", "nets:raising"], "raises ValueError: no data here"),
        (["--module", "nets:nothing"], "returns NoneType, not a torch.nn.Module"),
        (["--module", "nets:ending"], "raises SystemExit: bye now"),
        (["--module", "nets:uncopied"], "Uncopied cannot be copied for each step: .*: not this"),
        (["--module", "nets:without_values"], "Summed was built on the device meta"),
        (["--module", "nets:narrow"], r"linear1.weight of shape \(24, 12\); in Summed it is \(20"),
        (["--module", "nets:wide"], r"embed.weight of shape \(13, 12\); in Summed it is \(15, 12"),
        (["--module", "nets:one_hot_network"], "missing net.0.bias.*; unexpected embed.weight"),
        (["--module", "nets:build", "--task.p", "7"], "13 columns; the task has 7 answers"),
        (["--module", "nets:build", "--inputs", "a=b"], "inputs='a=b' is not known"),
        (
            ["--module", "nets:build", "--inputs", "nets:bild"],
            "--inputs 'nets:bild' does not",
        ),
        (["--module", "nets:build", "--parts.neurons", "x"], "neurons='x' is not a submodule"),
        (["--module", "nets:build", "--format", "state_dicts"], "does not go with --module"),
        (
            ["--module", "nets:build", "--train-pairs", "none.npy"],
            "cannot read pairs from none",
        ),
        (
            ["--module", "nets:build", "--train-pairs", "empty.txt"],
            "cannot read pairs from empty.txt: it is empty",
        ),
        (["--module", "nets:build", "--train-pairs", "nets.py"], "does not end in .npy, .pt"),
        (
            ["--module", "nets:build", "--model.act-fn", "relu"],
            "--model.act-fn does not go with --module",
        ),
        (["--parts.neurons=linear1"], "--parts.neurons needs --module package.module:build"),
    ],
)
def test_a_mistake_gets_one_line(folder, words, message):
    (folder / "empty.txt").touch()
    base = PLAIN if "--module" in words else ["--quiet"]
    with pytest.raises(GrokinterpError, match=message) as refused:
        analyze("net.pt", *base, *words)
    assert "\n" not in str(refused.value)
    assert not (folder / "net_analysis").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["net.pt", "other.pt"], "the name of net.pt does not end in its step"),
        (["a_5.pt", "b_5.pt"], "a_5.pt and b_5.pt end in the same step, 5"),
        (["gone.pt"], "gone.pt does not exist"),
        (["list.pt"], "list.pt holds no state dict"),
        (["empty"], r"empty has no \*.pt"),
        (["empty", "net.pt"], "empty is a folder"),
        (["pickled.pt"], "holds an object of class"),
    ],
)
def test_files_that_are_no_steps_of_it_are_refused(folder, names, message):
    for name in ("other.pt", "a_5.pt", "b_5.pt"):
        torch.save(seeded(own.Summed).state_dict(), folder / name)
    torch.save([1, 2], folder / "list.pt")
    torch.save(seeded(own.Summed), folder / "pickled.pt")
    (folder / "empty").mkdir()
    with pytest.raises(GrokinterpError, match=message):
        analyze(*names, "--module", "nets:build", *PLAIN)


@pytest.mark.parametrize("name", ["rows.npy", "rows.pt", "rows.csv", "pairs.txt"])
def test_training_pairs_are_read_from_every_kind_of_file(tmp_path, name):
    from grokinterp.runs.module_files import read_pairs

    rows = np.array([3, 1, 12])
    pairs = np.stack([rows // 13, rows % 13], axis=1)
    {
        "rows.npy": lambda path: np.save(path, rows),
        "rows.pt": lambda path: torch.save(torch.tensor(rows), path),
        "rows.csv": lambda path: path.write_text("3,1\n12\n".replace(",", "\n")),
        "pairs.txt": lambda path: path.write_text("\n".join(f"{a} {b}" for a, b in pairs)),
    }[name](tmp_path / name)
    expected = pairs if name == "pairs.txt" else rows
    assert np.array_equal(read_pairs(tmp_path / name), expected)
