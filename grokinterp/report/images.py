"""The figures of an analysis or of a comparison as files of their own, for papers and slides."""

from __future__ import annotations

import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import plotly.graph_objects as go

from grokinterp.comparison import Comparison
from grokinterp.errors import ConfigError, first_sentence
from grokinterp.figures import all_figures
from grokinterp.figures.embedding import without_slider
from grokinterp.report.comparison import comparison_figures
from grokinterp.runs.atomic import make_folder
from grokinterp.trajectory.analysis import Analysis

ImageFormat = Literal["png", "svg", "pdf"]
WIDTH = 900
"""Pixels of a picture's width in the units of a page; a PNG has twice as many."""
_SCALE = {"png": 2, "svg": 1, "pdf": 1}


def write_images(
    analysis: Analysis | Comparison, folder: str | Path, format: str = "png"
) -> list[Path]:
    """Write every figure of the report as a picture on white.

    The pictures are drawn by kaleido in a Chrome or Chromium that is installed; nothing is
    fetched. The spectrum of the embedding, which has a slider in the report, shows the last
    checkpoint. Pictures of the same name are replaced, each whole or not at all.

    Parameters
    ----------
    analysis
        Of a run of any outcome, or a comparison of several runs; figures without numbers are
        left out.
    folder
        Where the files go, such as ``ckpts/analysis/figures``; made if it is missing.
    format
        ``png`` (1,800 pixels wide), ``svg`` or ``pdf``.

    Returns
    -------
    list of pathlib.Path
        One file per figure, named as in :data:`grokinterp.figures.FIGURES` with underscores:
        ``loss.png``, ``embedding_spectrum.png``, ...; of a comparison ``grokking_steps.png``,
        ``loss.png``, ...

    Raises
    ------
    ConfigError
        If the format is none of the three, if kaleido or a browser is missing, or if the
        browser cannot draw.
    RunFolderError
        If the folder cannot be made.

    Examples
    --------
    >>> import grokinterp as gi
    >>> gi.write_images(analysis, "figures")[0]  # needs Chromium  # doctest: +SKIP
    PosixPath('figures/loss.png')
    """
    if format not in get_args(ImageFormat):
        raise ConfigError(f"pictures of format {format!r} are not made. Use png, svg or pdf.")
    if find_spec("kaleido") is None:
        raise ConfigError(
            "pictures need kaleido, which is not installed. Run: pip install 'grokinterp[png]'"
        )
    folder = Path(folder)
    make_folder(folder, "Choose one that can be written.")
    is_one = isinstance(analysis, Analysis)
    figures = all_figures(analysis) if is_one else comparison_figures(analysis)
    names = {}
    with tempfile.TemporaryDirectory(prefix=".figures-", dir=folder) as beside:
        drawings = []
        for name, figure in figures.items():
            file = f"{name.replace('-', '_')}.{format}"
            names[Path(beside) / file] = folder / file
            drawings.append(_drawing(figure, Path(beside) / file, format))
        _draw(drawings)
        for drawn, place in names.items():
            drawn.replace(place)
    return list(names.values())


def _drawing(figure: go.Figure, path: Path, format: str) -> dict[str, Any]:
    drawn: dict[str, Any] = _still(figure).to_dict()
    drawn.pop("frames", None)
    size = {"width": WIDTH, "height": int(drawn["layout"]["height"]), "scale": _SCALE[format]}
    return {"fig": drawn, "path": path, "opts": {"format": format, **size}}


def _still(figure: go.Figure) -> go.Figure:
    """The figure without its slider; the title says at which step it stands."""
    layout: Any = figure.layout
    if not layout.sliders:
        return figure
    slider, still = layout.sliders[0], without_slider(figure)
    still.update_layout(title_text=f"{layout.title.text}, step {slider.steps[slider.active].label}")
    return still


def _draw(drawings: list[dict[str, Any]]) -> None:
    import kaleido

    try:
        # One browser for all; without MathJax, which kaleido would fetch.
        kaleido.write_fig_from_object_sync(drawings, kopts={"mathjax": False})
    except (RuntimeError, OSError) as error:
        said = first_sentence(error, 160)
        raise ConfigError(
            "pictures need Chrome or Chromium, and none could be started "
            f"({type(error).__name__}: {said}). Install one, or set BROWSER_PATH to it."
        ) from None
