"""Words that docs, tutorials, docstrings and messages of this project do not use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Pattern: what to write instead.
WORDS = {
    r"by heart": "memorized",
    r"first weights": "initial weights",
    r"foretell\w*|foretold": "predicts",
    r"in the place of": "in place of",
    r"towards": "toward",
    r"learnt|whilst|amongst": "learned, while, among",
    r"\w*(?:colour|neighbour|behaviour|favour|honour)\w*": "-or, as in color",
    r"(?:memor|general|normal|organ|optim|regular|initial|summar|visual|recogn|minim|maxim|"
    r"real|emphas|character|factor)is(?:e|es|ed|ing|ation)": "-ize",
    r"centred?|centring|grey|labell(?:ed|ing)|modelling|cancelled|artefacts?": "American spelling",
    r"simply|obviously|of course|basically|needless to say": "nothing: the sentence says it",
    r"it should be noted|it is important to": "the fact itself",
    r"in order to|utili[sz]e\w*|leverag(?:e|es|ing)": "to, use",
    r"seamless\w*|cutting-edge|delve\w*|powerful|state-of-the-art": "the number",
}
BANNED = re.compile(rf"(?<![\w.])(?:{'|'.join(WORDS)})(?![\w])", re.IGNORECASE)
# 0.05 has its zero in prose; code, links and file endings are taken out first.
NO_ZERO = re.compile(r"(?<![\w.\]/*)])\.\d+(?![\w/])")
CODE = re.compile(r"```.*?```|`[^`\n]*`|\$[^$\n]*\$|\]\([^)]*\)|<[^>\n]*>|https?://\S+", re.DOTALL)

PAGES = sorted(
    [
        ROOT / "README.md",
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs" / "experiments").glob("*.md"),
    ]
)
SOURCES = sorted([*(ROOT / "grokinterp").rglob("*.py"), *(ROOT / "tutorials").glob("*.py")])


def found_in(text: str) -> list[str]:
    """Lines of a text with a word that is not used, each with the word and its remedy."""
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        for match in BANNED.finditer(line):
            word = match.group()
            remedy = next(to for form, to in WORDS.items() if re.fullmatch(form, word, re.I))
            faults.append(f"line {number}: {word!r} ({remedy})")
    return faults


def without_zero(text: str) -> list[str]:
    """Decimal numbers of Markdown prose that lack the zero before their point."""
    return NO_ZERO.findall(CODE.sub("", text))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_pages_use_none_of_the_banned_words(page):
    text = CODE.sub(lambda match: "\n" * match.group().count("\n"), page.read_text("utf-8"))
    assert not found_in(text)
    assert not without_zero(page.read_text("utf-8"))


def test_docstrings_messages_and_tutorials_use_none_of_them():
    faults = {
        path.relative_to(ROOT).as_posix(): found
        for path in SOURCES
        if (found := found_in(path.read_text("utf-8")))
    }
    assert not faults


@pytest.mark.parametrize(
    ("text", "n_faults"),
    [
        ("It learns its examples by heart.", 1),
        ("It memorized its examples.", 0),
        ("The colours of the neighbours are normalised.", 3),
        ("`decay_towards` and decay_towards name a field.", 0),
        ("Weights decay towards zero.", 1),
        ("a promise, a raise and a premise", 0),
    ],
)
def test_the_list_finds_words_and_not_their_parts(text, n_faults):
    assert len(found_in(text)) == n_faults


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("a share of .05 and of 0.05", [".05"]),
        ("`x[.5]`, file.7z, 1.5, docs/a.md, ../shared", []),
        ("(.3 times; |.2|)", [".3", ".2"]),
    ],
)
def test_numbers_have_their_zero(text, numbers):
    assert without_zero(text) == numbers
