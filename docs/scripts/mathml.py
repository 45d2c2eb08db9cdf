"""Formulas as MathML, which browsers draw by themselves: no script, no network, no LaTeX."""

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

# Not in docutils' list of TeX, and used in docstrings and notebooks.
_REPLACED = {
    r"\\dfrac": r"\\frac",
    r"\\operatorname\{(\w+)\}": r"\\mathrm{\1}",
    r"\\text\{([^}]*)\}": r"\\mathrm{\1}",
}


def formula(tex: str, *, is_block: bool) -> str:
    """MathML of a formula in TeX.

    Raises
    ------
    docutils.utils.math.MathError
        If it is not understood.
    """
    for pattern, replacement in _REPLACED.items():
        tex = re.sub(pattern, replacement, tex)
    return tex2mathml(tex, as_block=is_block)


def _inline(translator, node):
    translator.body.append(formula(node.astext(), is_block=False))
    raise nodes.SkipNode


def _block(translator, node):
    # Parts that a blank line separates are formulas one below the other.
    parts = [part for part in node.astext().split("\n\n") if part.strip()]
    body = "".join(formula(part, is_block=True) for part in parts)
    translator.body.append(f'<div class="math-block">{body}</div>')
    raise nodes.SkipNode


def setup(app):
    """Register the renderer under the name ``mathml``."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
