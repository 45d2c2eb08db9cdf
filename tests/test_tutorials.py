"""The tutorials: what stands in their notebooks, and that every cell of them runs."""

import ast
import importlib.util
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytest.importorskip("jupytext", reason="jupytext is in the extra [tutorials]")
pytest.importorskip("nbclient", reason="nbclient is in the extra [tutorials]")

import nbformat

ROOT = Path(__file__).parents[1]
REPOSITORY = "https://github.com/grokinterp/grokinterp/blob/main/"
COLAB = "https://colab.research.google.com/github/grokinterp/grokinterp/blob/main/tutorials/"
EXECUTED = "GROKINTERP_EXECUTED_TUTORIALS"
"""Names a folder for the executed notebooks, so that the documentation need not run them again."""
FEWEST_ASSERTS = 3
WIDEST_LINE = 88
"""Characters of code that a page of the site shows without a scroll bar."""
FIGURE = re.compile(r"\bfigures\.|\bgo\.Figure|\bpx\.|^figure\b")

_spec = importlib.util.spec_from_file_location("tutorials", ROOT / "docs/scripts/tutorials.py")
tutorials = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tutorials)

SCRIPTS = tutorials.scripts()
every_tutorial = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)


def cells_of(script, kind):
    notebook = nbformat.read(tutorials.notebook_path(script), as_version=4)
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


def parsed_code(script):
    return ast.parse("\n".join(cells_of(script, "code")))


def draws_a_figure(source):
    """Whether the last expression of a cell, which a notebook shows, is a figure."""
    last = ast.parse(source).body[-1]
    return isinstance(last, ast.Expr) and bool(FIGURE.search(ast.unparse(last)))


def script_in(folder, *cells):
    """A tutorial of code cells."""
    script = folder / "01_planted.py"
    script.write_text("".join(f"# %%\n{cell}\n\n" for cell in cells), encoding="utf-8")
    return script


def test_every_number_names_one_tutorial():
    numbers = [int(script.stem[:2]) for script in SCRIPTS]
    assert SCRIPTS
    assert len(set(numbers)) == len(numbers)


def test_every_notebook_is_in_step_with_its_script():
    assert tutorials.out_of_step() == []


def test_a_notebook_that_differs_or_has_no_script_is_named(tmp_path):
    script = script_in(tmp_path, "1 + 1")
    assert tutorials.out_of_step(tmp_path) == ["01_planted.ipynb"]
    tutorials.notebook_path(script).write_text(tutorials.notebook_text(script), encoding="utf-8")
    assert tutorials.out_of_step(tmp_path) == []
    script_in(tmp_path, "1 + 2")
    assert tutorials.out_of_step(tmp_path) == ["01_planted.ipynb"]
    script.unlink()
    assert tutorials.out_of_step(tmp_path) == ["01_planted.ipynb"]


@every_tutorial
def test_a_notebook_has_no_outputs_and_one_kernel_for_everyone(script):
    notebook = nbformat.read(tutorials.notebook_path(script), as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert notebook.metadata.kernelspec.name == "python3"


@every_tutorial
def test_the_first_cell_has_the_title_and_a_badge_that_opens_this_notebook(script):
    first = cells_of(script, "markdown")[0]
    badge = re.search(r"\[!\[Open in Colab\]\(\S+\)\]\((\S+)\)", first)
    assert first.startswith("# ")
    assert badge is not None
    assert badge.group(1) == f"{COLAB}{script.stem}.ipynb"


@every_tutorial
def test_headings_go_down_one_level_at_a_time_from_one_title(script):
    lines = "\n".join(cells_of(script, "markdown")).splitlines()
    levels = [len(found.group(1)) for line in lines if (found := re.match(r"(#+) \S", line))]
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in zip(levels, levels[1:], strict=False))


@every_tutorial
def test_the_first_code_cell_installs_the_library_where_it_is_missing(script):
    first = cells_of(script, "code")[0]
    assert first == cells_of(SCRIPTS[-1], "code")[0]
    assert 'importlib.util.find_spec("grokinterp") is None' in first


@every_tutorial
def test_a_tutorial_asserts_what_it_teaches_with_a_message(script):
    asserts = [node for node in ast.walk(parsed_code(script)) if isinstance(node, ast.Assert)]
    assert len(asserts) >= FEWEST_ASSERTS
    assert all(node.msg is not None for node in asserts)


@every_tutorial
def test_every_figure_is_followed_by_prose(script):
    notebook = nbformat.read(tutorials.notebook_path(script), as_version=4)
    kinds = [cell.cell_type for cell in notebook.cells]
    figures = [
        place
        for place, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and draws_a_figure(cell.source)
    ]
    assert figures
    for place in figures:
        assert kinds[place + 1 : place + 2] == ["markdown"], notebook.cells[place].source


@every_tutorial
def test_the_code_of_a_tutorial_fits_the_page(script):
    lines = "\n".join(cells_of(script, "code")).splitlines()
    assert [line for line in lines if len(line) > WIDEST_LINE] == []


@every_tutorial
def test_every_link_of_a_tutorial_leads_somewhere(script):
    text = "\n".join(cells_of(script, "markdown"))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    for target in targets:
        local = target.removeprefix(REPOSITORY).partition("#")[0]
        base = ROOT if target.startswith(REPOSITORY) else script.parent
        if not urlsplit(local).scheme:
            assert (base / local).exists(), target


@every_tutorial
def test_a_tutorial_leads_on_to_the_next(script):
    following = SCRIPTS[SCRIPTS.index(script) + 1 :]
    if following:
        assert f"({following[0].stem}.ipynb)" in cells_of(script, "markdown")[-1]


@pytest.mark.tutorials
@every_tutorial
def test_every_cell_of_a_tutorial_runs_without_a_word_of_warning(script, tmp_path):
    execution = tutorials.execute(script, tmp_path)
    if os.environ.get(EXECUTED):
        path = Path(os.environ[EXECUTED]) / tutorials.notebook_path(script).name
        tutorials.write_executed(execution, path)
    assert execution.problem is None


def test_a_failing_assert_is_reported_with_its_notebook_and_message(tmp_path):
    cells = ["1 + 1", "# why\nassert 1 == 2, 'one is not two'", "open('later', 'w').close()"]
    execution = tutorials.execute(script_in(tmp_path, *cells), tmp_path)
    assert execution.problem.startswith("01_planted: cell 2 (assert 1 == 2")
    assert execution.problem.endswith("AssertionError: one is not two")
    assert not (tmp_path / "later").exists()


def test_a_warning_is_a_problem_and_the_library_is_the_one_beside_the_tutorials(tmp_path):
    code = "import warnings\nimport grokinterp\nwarnings.warn(grokinterp.__file__)"
    execution = tutorials.execute(script_in(tmp_path, code), tmp_path)
    assert execution.error is None
    assert execution.problem.startswith("01_planted: wrote to standard error: ")
    assert str(ROOT / "grokinterp/__init__.py") in execution.problem


def test_an_executed_copy_has_its_outputs_and_leaves_nothing_else(tmp_path):
    script = script_in(tmp_path, "open('written', 'w').close()", "6 * 7")
    tutorials.executed_copy(script, tmp_path / "out" / "copy.ipynb")
    copy = nbformat.read(tmp_path / "out" / "copy.ipynb", as_version=4)
    assert copy.cells[1].outputs[0].data["text/plain"] == "42"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01_planted.py", "out"]


def test_no_copy_is_written_of_a_tutorial_that_fails(tmp_path):
    script = script_in(tmp_path, "assert not 'a fact', 'not so'")
    with pytest.raises(RuntimeError, match="01_planted: cell 1 .*: AssertionError: not so"):
        tutorials.executed_copy(script, tmp_path / "copy.ipynb")
    assert not (tmp_path / "copy.ipynb").exists()
