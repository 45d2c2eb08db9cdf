"""The documentation: its Python runs, its commands parse, its tables and navigation are in step."""

import contextlib
import importlib
import importlib.util
import json
import re
import shlex
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests import planted, recorded_wandb, tiny, toy_experiment

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {page.relative_to(DOCS).as_posix(): page for page in sorted(DOCS.glob("*.md"))}
COMMANDS = ("train", "analyze", "reproduce", "league", "benchmark")

NOT_EXECUTED = re.compile(r"<!-- not executed: (.+?) -->\s*\Z", flags=re.DOTALL)
BLOCK = re.compile(r"^```python\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)

# What a page takes for granted, on a smaller network. A replacement that no longer occurs in its
# page is an error, so none outlives the text that it was made for.
REPLACED = {
    'gi.PRESETS["quick"]': "tiny.config(n_steps=60)",
    "gi.analyze_run(run": "gi.analyze_run(run, deep=False",
}
REPLACED_BY_PAGE = {
    "experiments.md": {
        '"weight_decay"': "toy_experiment.EXPERIMENT",
        "quick=True": "quick=True, n_jobs=1, progress=False",
    },
    "cosets.md": {
        'gi.load_run("ckpts/dihedral")': (
            'gi.train(tiny.config(n_steps=20, task=gi.TaskSpec("group", group="D5")), "d5")'
        ),
    },
    "importing.md": {
        "range(5001)": "range(201)",
        "gi.TaskSpec(p=59)": "gi.TaskSpec(p=13)",
        '"net.pt"': '"low_precision_mod_addition.pth"',
        'task=gi.TaskSpec(operation="group", group="D59")': "task=gi.TaskSpec(p=13)",
        'act_fn="gelu", attention_dir="bidirectional"': "",
        "train_pairs=rows": "train_pairs=train_pairs",
        "hf://owner/name@v1/checkpoints/step_5000.safetensors": "low_precision_mod_addition.pth",
        "hf://owner/name": "low_precision_mod_addition.pth",
    },
    "sharing.md": {'gi.load_run("ckpts/quick")': "run"},
    "which_function.md": {'gi.load_run("ckpts/")': "run"},
    "report.md": {'gi.load_run("ckpts/quick")': "run"},
    "comparing.md": {
        '["runs/wd0.25_seed0", "runs/wd0.25_seed1", "runs/wd1_seed0"]': "[run, other()]",
        '["runs/wd0.25_seed0", "runs/wd1_seed0"]': "[run, other()]",
        "gi.cite(analysis)": "gi.cite(run)",
    },
    "getting_started.md": {
        'gi.train(gi.PRESETS["quick"], "ckpts/quick")': "run",
        "p=37, train_fraction=0.6": "p=13, train_fraction=0.6",
        "n_steps=3000": "n_steps=60",
    },
}
NOT_EXECUTED_BLOCKS = {"league.md": 1}
"""Number of blocks that a page marks as not executed; every one of them has its reason there."""


def script(name):
    """A module of docs/scripts."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by its name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def blocks_of(text):
    """Python blocks that are executed, and the reasons of those that are not."""
    executed, reasons = [], []
    for match in BLOCK.finditer(text):
        marker = NOT_EXECUTED.search(text[: match.start()])
        if marker:
            reasons.append(marker.group(1))
        else:
            executed.append(match.group(1))
    return executed, reasons


def commands_of(text):
    """Words after every ``python -m grokinterp.X`` in fences and in code spans, with X."""
    fences = re.findall(r"^```(?:bash|text)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`]+)`", prose)
    lines = [line for code in fences for line in code.replace("\\\n", " ").splitlines()] + spans
    for line in lines:
        for command in re.split(r"&&|;", line):
            found = re.search(r"python -m grokinterp\.(\w+)(.*)", command, flags=re.DOTALL)
            if found:
                yield found.group(1), shlex.split(found.group(2), comments=True)


def every_command():
    """Each different command line of the README and the pages, with where it first stands."""
    seen = {}
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        if {"_build", "api"} & set(page.relative_to(ROOT).parts):
            continue
        for command, words in commands_of(page.read_text(encoding="utf-8")):
            seen.setdefault((command, *words), page.name)
    return [pytest.param(*key[:1], key[1:], id=f"{seen[key]}: {' '.join(key)}") for key in seen]


@pytest.fixture(scope="module")
def grokked_run():
    """A run whose network computes with one frequency, assembled and not trained."""
    import grokinterp as gi

    spec = planted.clock_spec([2])
    return gi.Run.from_state_dicts(
        {0: planted.random_parameters(spec, 13), 1000: planted.clock_parameters(13, [2])},
        task=gi.TaskSpec(p=13),
        train_pairs=planted.split(13).train,
        model=spec,
    )


@pytest.fixture
def given(grokked_run, tmp_path, monkeypatch):
    """What the pages start from: a run, a foreign file, and the weights of a loop of one's own."""
    import torch

    import grokinterp as gi

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", recorded_wandb.RecordedWandb())
    torch.save(planted.clock_parameters(13, [2]), tmp_path / "low_precision_mod_addition.pth")
    spec = gi.ModelSpec(d_model=16, n_heads=2, d_head=8, d_mlp=24)
    model = gi.HookedTransformer.from_parameters(spec, _parameters(spec))
    return {
        "__name__": "a_page",
        "gi": gi,
        "tiny": tiny,
        "toy_experiment": toy_experiment,
        "run": grokked_run,
        "other": lambda: gi.train(tiny.config(n_steps=60), tmp_path / "other", progress=False),
        "model": model,
        "train_pairs": grokked_run.split.train,
    }


def _parameters(spec):
    from grokinterp.models.initialization import initial_parameters

    return initial_parameters(spec, **spec.vocabulary_sizes(13))


def code_of(page, text):
    executed, _ = blocks_of(text)
    code = "\n".join(executed)
    changes = REPLACED_BY_PAGE.get(page, {})
    for old in changes:
        assert old in code, f"{page} no longer says {old!r}"
    for old, new in (changes | REPLACED).items():
        code = code.replace(old, new)
    return code


@pytest.mark.long
@pytest.mark.parametrize(
    "page", [name for name, path in PAGES.items() if "```python" in path.read_text("utf-8")]
)
def test_the_python_of_a_page_runs(page, given):
    code = code_of(page, PAGES[page].read_text(encoding="utf-8"))
    exec(compile(code, page, "exec"), given)


def test_a_block_that_does_not_run_fails_its_page():
    code = code_of("planted.md", "```python\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError):
        exec(compile(code, "planted.md", "exec"), {})


def test_only_a_block_with_a_reason_is_not_executed():
    text = "```python\nx\n```\n\n<!-- not executed: needs a file\nof yours -->\n```python\ny\n```\n"
    assert blocks_of(text) == (["x\n"], ["needs a file\nof yours"])
    marked = {}
    for name, path in PAGES.items():
        reasons = blocks_of(path.read_text(encoding="utf-8"))[1]
        if reasons:
            marked[name] = len(reasons)
    assert marked == NOT_EXECUTED_BLOCKS


@pytest.mark.parametrize("command, words", every_command())
def test_a_command_of_the_documentation_parses(
    command, words, without_type_checks, tmp_path, monkeypatch
):
    # Of the files that commands name, only a table of answers is read with the flags.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "answers.csv").write_text("0,1\n1,2\n")
    parse_words(command, words)


def parse_words(command, words):
    from grokinterp.commands.arguments import parse_command
    from grokinterp.errors import GrokinterpError
    from grokinterp.experiments.catalogue import EXPERIMENTS

    assert command in COMMANDS, f"there is no python -m grokinterp.{command}"
    if words in ((), ("--help",)):
        return
    if any(word.startswith(("[", "...")) or "|" in word for word in words):
        return  # a scheme of the flags and not a line to type
    module = importlib.import_module(f"grokinterp.commands.{command}")
    if command == "reproduce":
        parsed = parse_command(module.Reproduce, None, list(words), "grokinterp.reproduce")
        known = {*EXPERIMENTS, "all", "NAME", None}
        if parsed.name not in known:
            raise GrokinterpError(f"no question {parsed.name}")
    elif command == "benchmark":
        parse_command(module.Benchmark, None, list(words), "grokinterp.benchmark")
    elif command == "league":
        parse_command(module.LeagueCommand, None, list(words), "grokinterp.league")
    else:
        # Help ends the command, after every flag before it was read.
        ends = pytest.raises(SystemExit) if "--help" in words else contextlib.nullcontext()
        with ends:
            module._parse(list(words))


@pytest.mark.parametrize(
    "line",
    [
        "python -m grokinterp.train out --no-such-flag 3",
        "python -m grokinterp.train out --preset nanda2024",
        "python -m grokinterp.analyze out --every often",
        "python -m grokinterp.reproduce gravity",
    ],
)
def test_a_command_that_does_not_exist_is_noticed(line, without_type_checks):
    from grokinterp.errors import GrokinterpError

    ((command, words),) = commands_of(f"```bash\n{line}\n```\n")
    with pytest.raises(GrokinterpError):
        parse_words(command, tuple(words))


def test_every_script_that_the_documentation_calls_is_there():
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for path in re.findall(r"python (docs/scripts/\w+\.py)", page.read_text(encoding="utf-8")):
            assert (ROOT / path).exists(), f"{page.name}: {path}"


def test_the_table_of_published_figures_is_in_step_with_what_was_measured():
    tables = script("published_table")
    page = tables.PAGE.read_text(encoding="utf-8")
    runs = json.loads(tables.CELLS.read_text(encoding="utf-8"))
    assert page == tables.with_table(page, runs), "run docs/scripts/published_table.py write"
    (keys,) = [row for row in tables.ROWS if row.what == "key frequencies"]
    same, other = (tables.Numbers(None, None, keys, 1.0) for keys in ((14, 35, 41, 42, 52), (1, 5)))
    assert [keys.agrees(one, keys.ours(one)) for one in (same, other)] == [True, False]


def test_the_gallery_has_every_figure():
    gallery = script("gallery")
    assert gallery.lacking() == []
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    for section in gallery.SECTIONS.values():
        for name, (_, arguments) in section.items():
            assert f"gi.figures.{name}{arguments}" in page, "run docs/scripts/gallery.py make"
            assert (DOCS / "figures" / "gallery" / f"{name.removeprefix('plot_')}.png").exists()


def test_the_moving_picture_stands_still_for_who_asks_and_needs_nothing_else():
    text = (DOCS / "figures" / "grokking.svg").read_text(encoding="utf-8")
    assert len(text) < 600_000
    parts = {part.tag.split("}")[1]: part for part in ElementTree.fromstring(text).iter()}
    assert {"title", "desc"} <= set(parts) and not {"script", "animate", "image"} & set(parts)
    still, moving = parts["style"].text.split("@media (prefers-reduced-motion: no-preference)")
    assert "@keyframes" in moving and "keyframes" not in still and "animation" not in still
    for page in (ROOT / "README.md", DOCS / "index.md"):
        linked = r"\(\S*figures/grokking\.svg\)\]\(\S*explorer\.md\)"
        assert re.search(linked, page.read_text("utf-8"))


def test_the_table_of_measures_is_in_step_with_the_catalogue_and_the_costs():
    import grokinterp as gi

    tables = script("measure_table")
    page = tables.PAGE.read_text(encoding="utf-8")
    costs = json.loads(tables.COSTS.read_text(encoding="utf-8"))
    assert page == tables.with_table(page, costs), "run docs/scripts/measure_table.py write"
    for measure in gi.MEASURES:
        assert measure.misleads.endswith("."), measure.name
        elsewhere = {"representations", "subgroups"} & set(measure.needs)
        assert measure.name in costs["ms"] or elsewhere
        assert measure.misleads in page.replace("\\|", "|")
        assert f"`{measure.columns[0]}`" in page


def test_every_page_is_in_the_navigation():
    index = PAGES["index.md"].read_text(encoding="utf-8")
    linked = set(re.findall(r"^- \[[^]]+\]\(([^)]+)\)", index, flags=re.MULTILINE))
    assert set(PAGES) - {"index.md"} == linked


@pytest.fixture(scope="module")
def site_pages():
    pytest.importorskip("sphinx", reason="sphinx is in the extra [docs]")
    return script("site_pages")


def test_every_public_name_is_on_one_page_of_the_api(site_pages):
    import grokinterp as gi

    pages = site_pages.api_pages().values()
    entries = [e for page in pages for e in re.findall(r"^\.\. \S+:: (\S+)$", page, re.MULTILINE)]
    wanted = [f"grokinterp.{name}" for name in gi.__all__ if name != "figures"]
    wanted += [f"grokinterp.figures.{name}" for name in gi.figures.__all__]
    assert sorted(entries) == sorted(wanted)


@pytest.mark.parametrize(
    "name, has_inherited",
    [("Snapshot", True), ("ConfigError", False), ("HookedTransformer", False), ("Run", False)],
)
def test_what_a_class_inherits_from_one_without_an_entry_is_in_its_own(
    site_pages, name, has_inherited
):
    entry = site_pages._directive("grokinterp", name)
    assert (":inherited-members:" in entry) is has_inherited


@pytest.mark.parametrize(
    "docname, link, on_site",
    [
        ("index", "](training.md#tasks)", "](training.md#tasks)"),
        ("index", "](https://example.org/a.md)", "](https://example.org/a.md)"),
        ("faq", "](../README.md)", "](index.md)"),
        ("experiments/omnigrok", "](../figures/a.png)", "](../figures/a.png)"),
        ("experiments/omnigrok", "](../../tutorials/01_a.ipynb)", "](../walkthroughs/01_a.ipynb)"),
        ("faq", "](../tutorials)", "](walkthroughs.md)"),
        ("walkthroughs", "](../tutorials)", "](https://github.com/grokinterp/grokinterp/tree/main/tutorials)"),
        ("faq", "](faq.md#losses)", "](faq.md#losses)"),
        ("faq", "](../tests/tiny.py)", "](https://github.com/grokinterp/grokinterp/blob/main/tests/tiny.py)"),
        ("faq", "](../tests)", "](https://github.com/grokinterp/grokinterp/tree/main/tests)"),
        ("faq", "](scripts/x.py)", "](https://github.com/grokinterp/grokinterp/blob/main/docs/scripts/x.py)"),
    ],
)  # fmt: skip
def test_a_link_of_a_code_host_leads_to_the_same_place_on_the_site(
    site_pages, docname, link, on_site
):
    assert site_pages.relinked(f"[x{link}", docname) == f"[x{on_site}"
    assert site_pages.relinked(f"```\n[x{link}\n```", docname) == f"```\n[x{link}\n```"


def test_only_the_page_of_wrong_uses_gets_the_answers(site_pages, monkeypatch):
    monkeypatch.setattr(site_pages, "tables_of_wrong_uses", lambda: "| [a](b.py) |\n")
    for docname, added in [("wrong_uses", "| [a](b.py) |\n"), ("faq", "")]:
        source = ["# Title\n\n"]
        site_pages._read(None, docname, source)
        assert source == [f"# Title\n\n{added}"]


def test_the_answers_of_the_site_are_not_those_of_a_package_beside_it(
    site_pages, tmp_path, monkeypatch
):
    # The site documents what is installed. A script's folder, or the current one, comes before it.
    folder = tmp_path / "clone" / "tests"
    (tmp_path / "clone" / "grokinterp").mkdir(parents=True)
    folder.mkdir()
    (tmp_path / "clone" / "grokinterp" / "__init__.py").touch()
    (folder / "wrong_uses.py").write_text("import grokinterp\nprint(grokinterp.__file__)\n")
    monkeypatch.setattr(site_pages, "ROOT", tmp_path / "clone")
    found = Path(site_pages.tables_of_wrong_uses().strip())
    assert tmp_path not in found.parents and found.name == "__init__.py"


def test_the_lists_of_the_index_are_the_navigation(site_pages):
    text = "# Title\n\n## First\n\n- [A](a.md): what it is\n- [B](b.md)\n\n## Other\n\n[C](c.md)\n"
    added = site_pages.with_navigation(text, "index").removeprefix(text)
    assert added.split("```")[1].split() == [
        "{toctree}", ":hidden:", ":caption:", "First", "a", "b",
    ]  # fmt: skip
    assert "c" not in added.replace("toctree", "").replace(":caption:", "").split()


def test_an_executed_notebook_becomes_a_page_with_its_figures(site_pages):
    import nbformat
    import plotly.graph_objects as go

    figure = go.Figure(go.Scatter(y=[1, 2]), layout_title_text="</script> & a title")
    data = {"application/vnd.plotly.v1+json": json.loads(figure.to_json()), "text/html": "huge"}
    code = nbformat.v4.new_code_cell("figure", metadata={"execution": {}, "tags": ["hide-input"]})
    code.outputs = [nbformat.v4.new_output("display_data", data=data)]
    text = (
        "[![Open in Colab](https://colab.example/badge.svg)](https://colab.example/01_a.ipynb) "
        "[law](../docs/experiments/weight_decay.md) [next](02_b.ipynb)"
    )
    prose = nbformat.v4.new_markdown_cell(text)
    notebook = nbformat.v4.new_notebook(cells=[prose, code])
    page = site_pages.page_of_notebook(notebook)
    assert page.cells[0].source == (
        "[Open in Colab](https://colab.example/01_a.ipynb) "
        "[law](../experiments/weight_decay.md) [next](02_b.ipynb)"
    )
    (shown,) = page.cells[1].outputs[0].data.values()
    assert shown.count("</script>") == 1
    text = re.search(r'<script type="application/json">(.*?)</script>', shown).group(1)
    assert json.loads(text)["layout"]["title"]["text"] == "</script> & a title"
    assert page.cells[1].metadata == {"tags": ["hide-input"]}
    assert notebook.cells[1].outputs[0].data["text/html"] == "huge"


@pytest.mark.parametrize(
    "tex, parts",
    [
        (r"\frac{1}{4} \sum_{l \le 4} \max_k", ["<mfrac>", "<mo>≤</mo>", "max"]),
        (r"\cos w_k(a+b-c)", ["<msub>", "cos"]),
        (r"\dfrac{a}{b}", ["<mfrac>"]),
    ],
)
def test_formulas_are_mathml_without_a_script(tex, parts):
    pytest.importorskip("docutils", reason="docutils is in the extra [docs]")
    text = script("mathml").formula(tex, is_block=True)
    assert text.startswith("<math") and "script" not in text
    assert all(part in text for part in parts)
