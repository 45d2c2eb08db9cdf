"""The explorer as HTML: a block of a page, a page of its own, and what a notebook shows."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from importlib import resources
from os import PathLike
from pathlib import Path

from grokinterp.explorer.data import explorer_json
from grokinterp.fields import checked
from grokinterp.reprs import in_lines
from grokinterp.runs.atomic import make_folder, write_atomically
from grokinterp.trajectory.analysis import Analysis

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>{title}</title>
</head>
<body class="explorer-page">
<main>
<h1>{title}</h1>
{block}
</main>
</body>
</html>
"""


@dataclass(frozen=True, eq=False)
class Explorer:
    """A page on which a network's circuit can be changed; notebooks show it.

    Examples
    --------
    >>> import grokinterp as gi
    >>> gi.explore(analysis).write("explorer.html")
    PosixPath('explorer.html')
    """

    title: str
    """What it shows, in plain text."""
    block: str = field(repr=False)
    """HTML with style, data and script, which any page can hold."""

    @property
    def html(self) -> str:
        """The page: one document that loads nothing."""
        return _PAGE.format(title=html.escape(self.title), block=self.block)

    def write(self, path: str | Path) -> Path:
        """Write the page as a file that needs no network and no other file.

        Raises
        ------
        RunFolderError
            If it cannot be written.

        Examples
        --------
        >>> explorer = gi.explore(analysis)
        >>> explorer.write("explorer.html")
        PosixPath('explorer.html')
        """
        path = Path(checked("path", path, str | PathLike))
        make_folder(path.parent, "Choose one that can be written.")
        write_atomically(path, self.html.encode())
        return path

    def _repr_html_(self) -> str:
        # A frame of its own: the notebook's styles stay outside, the page's inside. It may run its
        # script and nothing else: no cookies, no storage, no access to the notebook.
        # The sentence lies below the frame, which a notebook that is not trusted leaves out.
        title, place = html.escape(self.title), "grid-area:1/1"
        return (
            f'<div style="display:grid"><p style="{place};margin:1em">{title} is shown once the '
            "notebook is trusted: run the cell again, or trust the notebook.</p>"
            f'<iframe sandbox="allow-scripts" title="{title}" style="{place};position:relative;'
            "width:100%;height:920px;box-sizing:border-box;border:1px solid rgba(128,128,128,.45);"
            f'border-radius:6px" srcdoc="{html.escape(self.html)}"></iframe></div>'
        )

    def __repr__(self) -> str:
        size = f"{len(self.html) / 1e6:.2g} MB of HTML"
        return in_lines(self.title, {"size": size, "next": ".write('explorer.html')"})


def explore(analysis: Analysis) -> Explorer:
    """Make a page on which the circuit of the last checkpoint can be taken apart.

    The page computes the logits of all pairs from the network's weights. One chooses a and b, sees
    the clock hands and waves of each key frequency (in other groups the characters) and how
    they add up, scales frequencies, switches the memorization circuit off, and reads accuracy and
    loss at once. These are the numbers of ``analysis.ablations`` at the logits. A slider shows the
    hands of up to 20 checkpoints.

    Parameters
    ----------
    analysis
        With key frequencies.

    Returns
    -------
    Explorer
        Shown by notebooks; ``.write(path)`` makes a file of at most some 3 MB.

    Raises
    ------
    ConfigError
        If there are no key frequencies, the task has too many pairs, or the network is of a kind
        whose logits a browser does not compute and they take more than 3 MiB.
    CheckpointError
        If the weights of the last checkpoint cannot be read.

    References
    ----------
    Nanda et al., "Progress measures for grokking via mechanistic interpretability", ICLR 2023,
    arXiv:2301.05217, sections 4 and 5. Characters: Chughtai et al., ICML 2023, arXiv:2302.03025.

    Examples
    --------
    >>> import grokinterp as gi
    >>> print(gi.explore(analysis))
    The circuit of addition modulo 13...
    """
    checked("analysis", analysis, Analysis, "Make it of a run: gi.analyze_run(run).")
    title = f"The circuit of {analysis.run.task.spec.in_words}"
    return Explorer(title, explorer_block(analysis))


def explorer_block(analysis: Analysis) -> str:
    """Return the explorer as HTML that stands in any page.

    Raises
    ------
    ConfigError, CheckpointError
        As :func:`explore` does.
    """
    data = explorer_json(analysis)
    return (
        f"<style>\n{_asset('explorer.css')}</style>\n"
        '<div class="explorer"><noscript><p>This part needs JavaScript.</p></noscript>'
        f'<script type="application/json" class="explorer-data">{data}</script></div>\n'
        f"<script>\n{_asset('circuit.js')}{_asset('explorer.js')}</script>"
    )


def _asset(name: str) -> str:
    return resources.files("grokinterp.explorer").joinpath(name).read_text(encoding="utf-8")
