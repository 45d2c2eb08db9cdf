"""What importing costs, which way imports go, and what the lazy names are to a type checker."""

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import grokinterp

COMMANDS = ("train", "analyze", "reproduce", "league", "benchmark")


def loaded_after(script):
    """Names of the modules that a fresh interpreter has loaded after a script."""
    code = f"{script}\nimport sys\nprint(' '.join(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    heavy = {"torch", "pandas", "plotly", "transformer_lens", "tyro", "tqdm"}
    script = "import grokinterp as gi; gi.PRESETS; gi.TrainConfig()._repr_html_(); dir(gi)"
    assert not heavy & loaded_after(script)


def test_the_list_of_heavy_modules_is_not_vacuous():
    assert "torch" in loaded_after("import grokinterp as gi; gi.take_snapshot")


def test_training_and_analysis_never_import_transformer_lens(tmp_path):
    script = (
        "import dataclasses, grokinterp as gi\n"
        "import grokinterp.figures\n"
        "base = gi.PRESETS['quick']\n"
        "config = dataclasses.replace(base, task=gi.TaskSpec(p=7, train_fraction=.6), n_steps=4)\n"
        f"run = gi.train(config, {str(tmp_path / 'run')!r}, progress=False)\n"
        "analysis = gi.analyze_run(run)\n"
        f"gi.write_report(analysis, {str(tmp_path / 'report.html')!r})\n"
    )
    assert "transformer_lens" not in loaded_after(script)


def test_the_hooked_model_does_import_it():
    assert "transformer_lens" in loaded_after("import grokinterp as gi; gi.HookedTransformer")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_refuses_to_be_imported_and_names_what_is_meant(command):
    script = f"try: import grokinterp.{command}\nexcept ImportError as error: print(error)"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    (line,) = result.stdout.splitlines()
    assert f"python -m grokinterp.{command}" in line
    functions = {"train": "gi.train(", "analyze": "gi.analyze_run(", "reproduce": "gi.reproduce("}
    functions |= {"league": "gi.league("}
    named = [command for command, function in functions.items() if function in line]
    assert named == ([] if command == "benchmark" else [command])


@pytest.mark.parametrize("command", ["train", "reproduce", "league"])
def test_importing_the_command_does_not_take_the_function_away(command):
    script = f"import grokinterp as gi\ntry: import grokinterp.{command}\nexcept ImportError: pass"
    script += f"\nprint(type(gi.{command}).__name__)"
    assert "function" in loaded_after(script)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_process_that_a_command_spawns_may_load_it(command):
    # Where processes are spawned, multiprocessing runs the main module once more by this name.
    loaded = runpy.run_module(f"grokinterp.{command}", run_name="__mp_main__")
    assert "main" not in loaded


@pytest.fixture
def graph():
    """Which module imports which, imports within functions counted."""
    grimp = pytest.importorskip("grimp", reason="import-linter brings it: the extra [dev]")
    # What only a type checker imports runs nothing.
    return grimp.build_graph("grokinterp", cache_dir=None, exclude_type_checking_imports=True)


def test_nothing_imports_a_command(graph):
    for command in COMMANDS:
        assert not graph.find_modules_that_directly_import(f"grokinterp.{command}")
        assert graph.find_modules_directly_imported_by(f"grokinterp.{command}")


def test_every_public_name_is_there_and_an_unknown_one_is_not():
    import grokinterp as gi

    for name in gi.__all__:
        assert getattr(gi, name) is not None
    assert set(gi.__all__) <= set(dir(gi))
    with pytest.raises(AttributeError, match="no attribute 'grok'"):
        gi.grok  # noqa: B018


def declared_names():
    """Home of each name that grokinterp/__init__.py shows to type checkers."""
    tree = ast.parse(Path(grokinterp.__file__).read_text(encoding="utf-8"))
    (block,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    homes = {}
    for statement in block.body:
        assert isinstance(statement, ast.ImportFrom) and statement.module is not None
        for name in statement.names:
            # The form "import x as x" is what makes a name public in a typed package.
            assert name.asname == name.name
            homes[name.name] = statement.module.removeprefix("grokinterp").lstrip(".")
    return homes


def test_type_checkers_see_the_same_names_from_the_same_places_as_python():
    assert declared_names() == {**grokinterp._HOMES, "figures": ""}
    assert set(declared_names()) == set(grokinterp.__all__) == set(dir(grokinterp))


def test_the_package_says_that_it_is_typed():
    assert (Path(grokinterp.__file__).parent / "py.typed").is_file()


def import_cycles(graph):
    """Sets of modules that import each other, imports within functions counted."""
    import networkx

    edges = networkx.DiGraph()
    for module in graph.modules:
        edges.add_edges_from((module, m) for m in graph.find_modules_directly_imported_by(module))
    return [part for part in networkx.strongly_connected_components(edges) if len(part) > 1]


def test_no_modules_import_each_other_not_even_within_functions(graph):
    assert import_cycles(graph) == []
    # A neighbor that closes a circle is found.
    graph.add_import(importer="grokinterp.errors", imported="grokinterp.fields")
    assert [sorted(part) for part in import_cycles(graph)] == [
        ["grokinterp.errors", "grokinterp.fields"]
    ]


# Where shapes are written and not checked: it is called a hundred thousand times for a file.
UNCHECKED = {"grokinterp.runs.importers.fits"}


def test_every_module_that_writes_shapes_is_in_a_room_whose_shapes_are_checked(pytestconfig):
    rooms = pytestconfig.getoption("--jaxtyping-packages").split(",")[:-1]
    package = Path(grokinterp.__file__).parent
    writing = {
        ".".join(("grokinterp", *path.relative_to(package).with_suffix("").parts))
        for path in package.rglob("*.py")
        if "from jaxtyping import" in path.read_text(encoding="utf-8")
    }
    unchecked = {
        name for name in writing if not any(f"{name}.".startswith(f"{room}.") for room in rooms)
    }
    assert unchecked == UNCHECKED, f"add to --jaxtyping-packages in pyproject.toml: {unchecked}"
