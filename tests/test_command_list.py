"""``python -m grokinterp`` alone: which commands there are, and no word that it does not know."""

import subprocess
import sys
from pathlib import Path

import pytest

import grokinterp
from grokinterp.__main__ import COMMANDS
from tests.test_imports import loaded_after

PACKAGE = Path(grokinterp.__file__).parent


def listed(*words):
    """Run it; return (exit status, stdout, stderr)."""
    result = subprocess.run(
        [sys.executable, "-m", "grokinterp", *words], capture_output=True, text=True, check=False
    )
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_alone_it_names_every_command_with_a_line_each(words):
    status, out, err = listed(*words)
    assert (status, err) == (0, "")
    lines = [line.split(maxsplit=3) for line in out.splitlines() if "python -m grokinterp." in line]
    assert [line[2] for line in lines] == [f"grokinterp.{name}" for name in COMMANDS]
    assert all(line[3] for line in lines) and max(map(len, out.splitlines())) <= 100


def test_it_knows_all_commands_of_the_package():
    """Those are the modules that refuse to be imported."""
    modules = {
        file.stem
        for file in PACKAGE.glob("*.py")
        if "run_command(main)" in file.read_text(encoding="utf-8")
    }
    assert set(COMMANDS) == modules


def test_it_imports_nothing_heavy():
    heavy = {"torch", "numpy", "pandas", "tyro", "grokinterp.commands"}
    script = "import runpy, sys\nsys.argv = ['grokinterp']\ntry: runpy.run_module('grokinterp', "
    script += "run_name='__main__')\nexcept SystemExit as ended: assert ended.code == 0"
    loaded = loaded_after(script)
    assert "train" in loaded and not heavy & loaded


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("train", "Run python -m grokinterp.train."),
        ("trian", "Did you mean python -m grokinterp.train?"),
        ("--preset", "with one of train, analyze, reproduce, league, benchmark."),
        ("\x1b[31m\nred", "with one of train, analyze, reproduce, league, benchmark."),
        ("x" * 5000, "with one of train, analyze, reproduce, league, benchmark."),
    ],
)
def test_a_word_that_it_does_not_know_is_answered_in_one_line(word, remedy):
    status, out, err = listed(word, "ckpts/")
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("error: ") and line.endswith(remedy) and len(line) < 200
    assert "\x1b" not in line


def test_the_readme_names_it():
    readme = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    assert "`python -m grokinterp`" in readme
