"""Every wrong use of the table is answered in one line, and leaves everything as it was."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.wrong_uses import USES, Answer, WrongUse, tables

pytestmark = pytest.mark.long  # A process for each use.

_ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def answers():
    """What the library says to all of them, tried once in a process of their own."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.wrong_uses", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=_ENVIRONMENT,
    )
    assert result.returncode == 0, result.stderr
    return [Answer(**values) for values in json.loads(result.stdout)]


def test_there_are_at_least_sixty_and_none_twice():
    assert len({use.shown for use in USES}) == len(USES) >= 60


@pytest.mark.parametrize("number", range(len(USES)), ids=[use.shown[:60] for use in USES])
def test_a_wrong_use_gets_one_line_with_a_remedy_and_changes_nothing(answers, number):
    use, answer = USES[number], answers[number]
    if use.where == "python":
        assert answer.kind in ("CheckpointError", "ConfigError", "RunFolderError"), answer.lines
    else:
        assert answer.status == 2
    assert len(answer.lines) == 1, answer.lines
    assert answer.out == ""
    assert answer.changed == []
    assert use.is_answered_by(answer.text), answer.text
    # The fact, and in a sentence of its own what to do about it.
    line = answer.lines[0]
    assert len(re.split(r"[.;:] ", line.removeprefix("error: "))) >= 2
    assert len(line) < 600


@pytest.mark.parametrize(
    "words, is_answer",
    [
        ("ConfigError: p=5 is too small. Use 7.", True),
        ("ConfigError: p=5 ... Use 7.", True),
        ("ConfigError: ...", True),
        ("RunFolderError: ...", False),
        ("ConfigError: p=5 ... Use 8.", False),
        ("ConfigError: p=5 is too small.", False),
        ("p=5 is too small. Use 7.", False),
        ("ConfigError: p=. is too small. Use 7.", False),
    ],
)
def test_an_answer_must_say_all_the_words(words, is_answer):
    use = WrongUse("python", "f(5)", words)
    assert use.is_answered_by("ConfigError: p=5 is too small. Use 7.") is is_answer


def test_every_expected_answer_says_something():
    # "..." alone would accept whatever the library says.
    assert [use.shown for use in USES if len(use.words.replace("...", "").split()) < 3] == []


def test_the_tables_of_the_documentation_have_every_answer_once(answers):
    rows = [line for line in tables(answers).splitlines() if line.startswith("| `")]
    assert len(rows) == len(USES)
    for use, row in zip(USES, rows, strict=True):
        tried, said = re.split(r"(?<!\\) \| ", row.removeprefix("| ").removesuffix(" |"))
        assert tried.replace("\\|", "|") == f"`{use.shown}`"
        assert use.is_answered_by(re.sub(r"\\([|*])", r"\1", said).replace("&lt;", "<"))


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("train", ["new", "--n-steps", "many"]),
        ("train", ["new", "--task.p", "3", "--task.train-fraction", "0.01"]),
        ("analyze", ["nowhere"]),
        ("reproduce", ["powers"]),
    ],
)
def test_a_process_of_its_own_says_the_same_line(answers, tmp_path, module, words):
    result = subprocess.run(
        [sys.executable, "-m", f"grokinterp.{module}", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=120,
        env={**_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    (expected,) = [a for a in answers if a.title.split()[2:] == [f"grokinterp.{module}", *words]]
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines() == expected.lines
    assert list(tmp_path.iterdir()) == []
