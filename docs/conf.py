"""How the documentation is built: ``python -m sphinx -W --keep-going -b html docs OUT``.

What is not in the Markdown pages themselves is made by `docs/scripts/site_pages.py` when a build
starts: links that work on a code host as well, the navigation from the lists of index.md, the
pages of the API, the tables of wrong_uses.md, and the walkthroughs from /tutorials. Nothing is
fetched from the network, and the built pages fetch nothing either.
"""

import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "scripts"))

import mathml  # noqa: E402
import site_pages  # noqa: E402

_project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = _project["name"]
release = version = _project["version"]
author = "the grokinterp authors"
copyright = author
html_title = f"grokinterp {release}"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "scripts", "figures", "static", "**.ipynb_checkpoints"]
root_doc = "index"

# Pages are Markdown as a code host shows it: dollars are dollars except in the walkthroughs,
# whose notebooks write formulas between them.
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
# The walkthroughs come executed; see site_pages.write_walkthroughs.
nb_execution_mode = "off"
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
maximum_signature_line_length = 88
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_preprocess_types = False
add_module_names = False
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

# Options begin with two hyphens, and copied from a page they must still do so.
smartquotes = False

html_theme = "furo"
html_math_renderer = "mathml"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
html_theme_options = {
    "source_repository": _project["urls"]["Repository"],
    "source_branch": "main",
    "source_directory": "docs/",
}


def setup(app):
    """Add formulas without a script, and what is made when a build starts."""
    mathml.setup(app)
    site_pages.setup(app)
