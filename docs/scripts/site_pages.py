"""What the documentation has beside its Markdown pages: links, navigation, API, walkthroughs.

The pages under docs/ are written to be read on a code host too. Here they become a site:

- links to files outside docs/ lead to the walkthrough, or to the file in the repository;
- the lists of links in index.md are the navigation, one part for each heading;
- the public names of the package are the API, a page for each room they come from;
- wrong_uses.md gets what the library answers to each wrong use that the tests try;
- the tutorials are the walkthroughs. Their figures are drawn by a copy of plotly.js that the
  installed plotly brings.
"""

import copy
import html
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path, PurePosixPath

import nbformat
from docutils import nodes
from plotly.offline import get_plotlyjs
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging

import grokinterp as gi
import grokinterp.figures

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
REPOSITORY = "https://github.com/grokinterp/grokinterp"
EXECUTED = "GROKINTERP_EXECUTED_TUTORIALS"
"""Variable that names a folder with executed notebooks; else docs/_build/tutorials."""

log = logging.getLogger(__name__)

# In the order of the pipeline; what a room is, in a line.
ROOMS = {
    "tasks": "Tasks: what is learned, and which of it is trained on",
    "models": "Models: the networks, and TransformerLens's form of them",
    "runs": "Configurations and runs",
    "training": "Training",
    "circuits": "Circuits: one checkpoint",
    "extraction": "Extraction: a network as a formula",
    "certificates": "Certificates: proofs of accuracy",
    "learning_coefficient": "Learning coefficient: how degenerate a minimum is",
    "measures": "Measures: a checkpoint in a number",
    "trajectory": "Trajectory: many checkpoints",
    "experiments": "Experiments: questions of the literature",
    "explorer": "Explorer: a circuit to try out",
    "report": "Reports",
    "errors": "Errors",
}
_LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")
_FENCE = re.compile(r"^(```|~~~)", flags=re.MULTILINE)


# Links


def relinked(text: str, docname: str) -> str:
    """Return Markdown whose links out of docs/ lead to where the site has the same.

    Parameters
    ----------
    text
        Of a page.
    docname
        Its path in docs/ without ending, such as ``experiments/varma2023``.
    """
    pieces = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    folder = PurePosixPath("docs", docname).parent
    own = f"docs/{docname}.md"
    pieces[::2] = [_LINK.sub(lambda m: _on_site(m, folder, own), piece) for piece in pieces[::2]]
    return "".join(pieces)


def _on_site(match: re.Match, folder: PurePosixPath, own: str) -> str:
    start, target, anchor, end = match.group(1), match.group(2), match.group(3) or "", match[4]
    path = PurePosixPath(os.path.normpath(folder / target))
    page = _page_of(path)
    # A page that links to what it is the site's version of means the original.
    if page is not None and (page != own or str(path) == own):
        relative = os.path.relpath(page, folder)
        return f"{start}{relative}{anchor}{end}"
    kind = "blob" if path.suffix or (ROOT / path).is_file() else "tree"
    return f"{start}{REPOSITORY}/{kind}/main/{path}{anchor}{end}"


def _page_of(path: PurePosixPath) -> str | None:
    """Where the site has a file of the repository; None if it has not."""
    if str(path) == "README.md":
        return "docs/index.md"
    if str(path) == "tutorials":
        return "docs/walkthroughs.md"
    if path.parts[0] == "tutorials" and path.suffix in (".ipynb", ".py"):
        return f"docs/walkthroughs/{path.stem}.ipynb"
    is_page = path.parts[0] == "docs" and path.suffix != ".py" and not (ROOT / path).is_dir()
    return str(path) if is_page else None


# Navigation


def with_navigation(text: str, docname: str) -> str:
    """Return a page with its part of the site's navigation at the end.

    index.md: one part for each second heading, of the pages its list links to. The others whose
    pages are in a folder of their name: those pages.
    """
    if docname == "index":
        parts = re.split(r"^## +(.+)$", text, flags=re.MULTILINE)
        for caption, body in zip(parts[1::2], parts[2::2], strict=True):
            pages = re.findall(r"^- \[[^]]+\]\(([^):#]+)\.md\)", body, flags=re.MULTILINE)
            text += _toctree(pages, caption=caption) if pages else ""
    elif docname in ("experiments", "walkthroughs"):
        text += _toctree([f"{docname}/*"], is_hidden=docname == "experiments")
    elif docname == "api":
        text += _toctree([f"api/{name}" for name in api_pages()], is_hidden=False)
    return text


def _toctree(entries: list[str], *, caption: str = "", is_hidden: bool = True) -> str:
    options = [":hidden:"] if is_hidden else [":maxdepth: 1"]
    options += [f":caption: {caption}"] if caption else []
    options += [":glob:"] if any("*" in entry for entry in entries) else []
    return "\n\n" + "\n".join(["```{toctree}", *options, "", *entries, "```"]) + "\n"


# API


def names_by_room() -> dict[str, list[str]]:
    """Public names of the package by the room that they come from, in the package's order."""
    rooms: dict[str, list[str]] = {room: [] for room in ROOMS}
    for name in gi.__all__:
        if name != "figures":
            rooms.setdefault(gi._HOMES[name].split(".")[0], []).append(name)
    return rooms


def api_pages() -> dict[str, str]:
    """Pages of the API: Markdown by name, one for each room and one for the figures."""
    pages = {}
    for room, names in names_by_room().items():
        if names:
            title = ROOMS.get(room, room.capitalize())
            pages[room] = _api_page(title, "grokinterp", names)
    text = (gi.figures.__doc__ or "").strip()
    names = list(gi.figures.__all__)
    pages["figures"] = _api_page(f"Figures\n\n{_as_rst(text)}", "grokinterp.figures", names)
    return pages


def _as_rst(text: str) -> str:
    return f"```{{eval-rst}}\n{text}\n```"


def _api_page(title: str, module: str, names: list[str]) -> str:
    parts = [f"# {title}"]
    for name in names:
        parts.append(f"## {name}\n\n{_as_rst(_directive(module, name))}")
    return "\n\n".join(parts) + "\n"


def _directive(module: str, name: str) -> str:
    value = getattr(importlib.import_module(module), name)
    if isinstance(value, type):
        bases = "\n   :show-inheritance:" if value.__bases__ != (object,) else ""
        bases += "\n   :inherited-members:" if _has_unnamed_base(value) else ""
        return f".. autoclass:: {module}.{name}\n   :members:{bases}"
    if callable(value):
        return f".. autofunction:: {module}.{name}"
    doc = "\n".join(f"   {line}" for line in _doc_of_data(module, name))
    return f".. py:data:: {module}.{name}\n\n{doc}"


def _has_unnamed_base(value: type) -> bool:
    """Whether a class inherits from one of the package that has no entry in the API itself."""
    bases = [base for base in value.__mro__[1:] if base.__module__.startswith("grokinterp.")]
    return any(base.__name__ not in gi.__all__ for base in bases)


def _doc_of_data(module: str, name: str) -> list[str]:
    """Text under a constant, read where it is assigned: a value has no docstring of its own."""
    home = module if module != "grokinterp" else f"grokinterp.{gi._HOMES[name]}"
    for place in [m for m in sys.modules if m == home or m.startswith(f"{home}.")]:
        found = ModuleAnalyzer.for_module(place).find_attr_docs().get(("", name))
        if found:
            return found
    return []


# Wrong uses


def tables_of_wrong_uses() -> str:
    """Try the wrong uses that the tests try; return the answers as tables in Markdown.

    In a process of its own, which imports the package that is documented: with ``-P`` and in an
    empty folder, Python does not find the one that lies beside docs/.

    Raises
    ------
    subprocess.CalledProcessError
        If a wrong use ends the process; what it wrote is on standard error.
    """
    script = ROOT / "tests" / "wrong_uses.py"
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(
            [sys.executable, "-P", str(script)],
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            check=True,
            cwd=folder,
        ).stdout


# Walkthroughs


def write_walkthroughs(folder: Path) -> list[str]:
    """Write the tutorials with their outputs as pages; return their names.

    An executed copy is taken from ``$GROKINTERP_EXECUTED_TUTORIALS`` or docs/_build/tutorials
    where its code is that of the tutorial; otherwise the tutorial is executed, and the copy is
    kept in docs/_build/tutorials.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tutorials = importlib.import_module("tutorials")
    names = []
    for script in tutorials.scripts():
        names.append(script.stem)
        page = page_of_notebook(_executed(script, tutorials))
        text = nbformat.writes(page)
        path = folder / f"{script.stem}.ipynb"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for stale in {path.stem for path in folder.glob("*.ipynb")} - set(names):
        (folder / f"{stale}.ipynb").unlink()
    return names


def _executed(script: Path, tutorials) -> nbformat.NotebookNode:
    wanted = code_of(tutorials.notebook_of(script))
    own = DOCS / "_build" / "tutorials" / f"{script.stem}.ipynb"
    copies = [own]
    if os.environ.get(EXECUTED):
        copies.insert(0, Path(os.environ[EXECUTED]) / own.name)
    for path in copies:
        if path.exists():
            notebook = nbformat.read(path, as_version=4)
            if code_of(notebook) == wanted:
                return notebook
    log.info("executing %s", script.stem)
    return tutorials.executed_copy(script, own).notebook


def code_of(notebook: nbformat.NotebookNode) -> list[str]:
    """Sources of the code cells, which say whether an executed copy is of this notebook."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def page_of_notebook(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return an executed notebook as a page: links of the site, figures as plain data."""
    page = copy.deepcopy(notebook)
    for i, cell in enumerate(page.cells):
        cell.id = f"cell-{i:02d}"
        if cell.cell_type == "markdown":
            cell.source = _links_of_notebook(cell.source)
            continue
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k == "tags"})
        for output in cell.outputs:
            figure = output.get("data", {}).get("application/vnd.plotly.v1+json")
            if figure is not None:
                output.data = nbformat.from_dict({"text/html": figure_html(figure)})
                output.metadata = nbformat.from_dict({})
    return page


def _links_of_notebook(source: str) -> str:
    # The badge is a picture from the network; the page has words in its place.
    source = re.sub(r"!\[([^]]+)\]\(https://[^)]+\)", r"\1", source)
    # A notebook stands in tutorials/, its page in docs/walkthroughs/.
    return _LINK.sub(
        lambda m: _on_page(m) if (m.group(2).startswith("../")) else m.group(0), source
    )


def _on_page(match: re.Match) -> str:
    path = PurePosixPath(os.path.normpath(PurePosixPath("tutorials") / match.group(2)))
    page, anchor = _page_of(path), match.group(3) or ""
    if page is None:
        return f"{match[1]}{REPOSITORY}/blob/main/{path}{anchor}{match[4]}"
    return f"{match[1]}{os.path.relpath(page, 'docs/walkthroughs')}{anchor}{match[4]}"


def figure_html(figure: dict) -> str:
    """HTML of a plotly figure whose data stand beside it, for plotly_figures.js to draw."""
    text = json.dumps({key: figure.get(key) for key in ("data", "layout", "frames")})
    title = (figure.get("layout", {}).get("title") or {}).get("text") or "figure"
    label = html.escape(re.sub(r"<[^>]+>", " ", title), quote=True)
    # "</script>" would end the element, whatever the JSON says.
    return (
        f'<div class="plotly-figure" role="img" aria-label="Interactive figure: {label}">'
        f'<script type="application/json">{text.replace("<", chr(92) + "u003c")}</script></div>'
    )


# The build


def setup(app):
    """Connect all of it to a build."""
    app.connect("builder-inited", _write_pages)
    # Before and after napoleon, which takes what stands before a colon for a type.
    app.connect("autodoc-process-docstring", _hide_colon, priority=400)
    app.connect("autodoc-process-docstring", _show_colon, priority=600)
    app.connect("env-get-outdated", _outdated)
    app.connect("source-read", _read)
    app.connect("html-page-context", _add_scripts)
    app.connect("html-page-context", _hide_links_to_source)
    app.connect("missing-reference", _public_name)
    app.connect("env-check-consistency", _check_every_name_is_there)
    app.connect("build-finished", _write_plotly)


def _write_pages(app):
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    pages = api_pages()
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for stale in {path.stem for path in folder.glob("*.md")} - set(pages):
        (folder / f"{stale}.md").unlink()
    write_walkthroughs(Path(app.srcdir) / "walkthroughs")


def _outdated(app, env, added, changed, removed):
    # The answers can change while the page does not.
    return ["wrong_uses"]


def _read(app, docname, source):
    if not docname.startswith(("walkthroughs/", "api/")):
        source[0] = with_navigation(relinked(source[0], docname), docname)
    if docname == "wrong_uses":
        source[0] += tables_of_wrong_uses()


_COLON = "\ue000"


def _hide_colon(app, what, name, obj, options, lines):
    if what in ("attribute", "data", "property") and lines:
        lines[0] = lines[0].replace(":", _COLON)


def _show_colon(app, what, name, obj, options, lines):
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def _add_scripts(app, pagename, templatename, context, doctree):
    if "plotly-figure" in context.get("body", ""):
        app.add_js_file("plotly.min.js")
        app.add_js_file("plotly_figures.js")


def _hide_links_to_source(app, pagename, templatename, context, doctree):
    # Pages that a build makes are not in the repository, so there is nothing to view or edit.
    if pagename.startswith(("walkthroughs/", "api/")):
        context["page_source_suffix"] = ""


def _write_plotly(app, exception):
    if exception is None and app.builder.format == "html":
        script = Path(app.outdir) / "_static" / "plotly.min.js"
        script.write_text(get_plotlyjs(), encoding="utf-8")


def _public_name(app, env, node, contnode):
    """Lead a reference to where a name is defined to where the API has it."""
    if node.get("refdomain") != "py":
        return None
    name = node["reftarget"].rsplit(".", 1)[-1]
    for module in ("grokinterp", "grokinterp.figures"):
        found = env.domains["py"].objects.get(f"{module}.{name}")
        if found is not None:
            uri = app.builder.get_relative_uri(node.get("refdoc", ""), found.docname)
            link = nodes.reference("", "", contnode, internal=True)
            link["refuri"] = f"{uri}#{found.node_id}"
            return link
    return None


def _check_every_name_is_there(app, env):
    described = env.domains["py"].objects
    for module, names in (("grokinterp", gi.__all__), ("grokinterp.figures", gi.figures.__all__)):
        for name in names:
            if name != "figures" and f"{module}.{name}" not in described:
                log.warning("%s.%s is public and has no entry in the API", module, name)
