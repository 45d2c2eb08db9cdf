"""The page that answers questions with a line of code: every line runs, on a run that groks."""

import re
from pathlib import Path

import pytest

import grokinterp as gi
from tests import doctest_fixtures

PAGE = Path(__file__).parents[1] / "docs" / "which_function.md"
WITH_RUN, WITHOUT_RUN = PAGE.read_text(encoding="utf-8").split("Without a run at hand")


def lines_of(text):
    """The code of each row of the tables."""
    return re.findall(r"^\| [^|]+ \| `([^`]+)`", text, flags=re.MULTILINE)


def mine(snapshot, key_frequencies):
    return float(snapshot.step)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    config = doctest_fixtures.modular_config(weight_decay=1.0)
    run = gi.train(config, tmp_path_factory.mktemp("run") / "ckpts", progress=False)
    analysis = gi.analyze_run(run)
    return {
        "gi": gi,
        "run": run,
        "analysis": analysis,
        "snapshot": gi.take_snapshot(run),
        "keys": analysis.key_frequencies,
        "mine": mine,
    }


SLOW = ("gi.local_learning_coefficient(", "gi.league(")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(line, marks=pytest.mark.long if line.startswith(SLOW) else ())
        for line in lines_of(WITH_RUN)
    ],
)
def test_every_answer_runs(line, names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert eval(line, dict(names)) is not None or (tmp_path / "report.html").exists()


def test_every_other_answer_names_what_there_is():
    lines = lines_of(WITHOUT_RUN)
    assert len(lines) >= 6
    for line in lines:
        assert callable(getattr(gi, re.match(r"gi\.(\w+)\(", line).group(1)))


def test_words_of_the_glossary_are_explained_once():
    page = (PAGE.parent / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| ([^|]+) \|", page, flags=re.MULTILINE)
    terms = [word for word in words if word not in ("word", "---")]
    assert len(terms) == len(set(terms)) >= 40
