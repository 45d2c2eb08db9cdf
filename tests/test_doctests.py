"""Examples in docstrings run in CI, and those that do not say why."""

import importlib.util
import re
from pathlib import Path

import pytest

from tests import doctest_fixtures

ROOT = Path(__file__).parents[1]
MOST_SKIPPED = 4
"""Examples that take minutes or need a browser; lower it when one of them runs."""
DIRECTIVE = re.compile(r"#\s*doctest:.*\+SKIP")
WITH_REASON = re.compile(r">>> .*\S  # (takes|needs) [^#]+  # doctest: \+SKIP$")


def skipped(text):
    """Lines of examples that are not run."""
    return [line.strip() for line in text.splitlines() if DIRECTIVE.search(line)]


def test_few_examples_are_skipped_and_each_says_why():
    sources = sorted((ROOT / "grokinterp").rglob("*.py"))
    lines = [line for path in sources for line in skipped(path.read_text(encoding="utf-8"))]
    assert len(lines) <= MOST_SKIPPED
    assert [line for line in lines if not WITH_REASON.match(line)] == []


@pytest.mark.parametrize(
    "line, has_reason",
    [
        (">>> f(x)  # takes minutes  # doctest: +SKIP", True),
        (">>> f(x)  # doctest: +SKIP", False),
        (">>> f(x)  #doctest:+ELLIPSIS, +SKIP", False),
    ],
)
def test_a_skipped_example_without_a_reason_is_noticed(line, has_reason):
    assert skipped(f"    {line}\n    >>> g(x)  # doctest: +ELLIPSIS\n") == [line]
    assert bool(WITH_REASON.match(line)) is has_reason


def test_ci_runs_the_examples_of_the_whole_package_in_one_line():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (line,) = [line for line in script.splitlines() if "--doctest-modules" in line]
    assert line.startswith("python -m pytest -q -p tests.doctest_fixtures --doctest-modules")
    assert "grokinterp" in line.split() and not line.endswith("\\")


@pytest.mark.parametrize("has_numba", [True, False])
def test_only_what_needs_numba_is_left_out_and_only_without_it(monkeypatch, has_numba):
    spec = importlib.util.find_spec("json") if has_numba else None
    monkeypatch.setattr(doctest_fixtures, "find_spec", lambda name: spec)
    training = ROOT / "grokinterp" / "training"
    left_out = [
        path.name
        for path in sorted(training.glob("*.py"))
        if doctest_fixtures.pytest_ignore_collect(path)
    ]
    using = [
        path.name
        for path in sorted(training.glob("*.py"))
        if re.search(
            r"^(import|from) (numba|grokinterp\.training\.compiled)\b",
            path.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    ]
    assert using and left_out == ([] if has_numba else using)
