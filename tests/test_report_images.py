"""Figures of a report as pictures, where kaleido and a browser are and where they are not."""

import importlib.util
import re
import shutil
import struct
import sys
import types
import zlib

import pytest

import grokinterp as gi
from grokinterp import figures
from grokinterp.commands.analyze import main
from grokinterp.comparison import comparison_of
from grokinterp.report import images, render_comparison
from tests import synthetic
from tests.browser import EXECUTABLE

pytestmark = pytest.mark.long  # Chromium draws every picture.


@pytest.fixture(scope="module")
def analysis():
    return synthetic.single_checkpoint_analysis()


def pixels(path):
    """Size of a PNG and the bytes of its first pixel."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    start = data.index(b"IDAT")
    length = struct.unpack(">I", data[start - 4 : start])[0]
    rows = zlib.decompressobj().decompress(data[start + 4 : start + 4 + length], 64)
    return (width, height), rows[1:4]


@pytest.mark.browser
@pytest.mark.skipif(EXECUTABLE is None, reason="no chromium, no google-chrome")
@pytest.mark.skipif(importlib.util.find_spec("kaleido") is None, reason="no kaleido")
def test_pictures_are_wide_white_and_named_as_their_figures(tmp_path, monkeypatch):
    grokked = synthetic.grokked_analysis(8)
    few = {"loss": figures.plot_losses(grokked)}
    few["embedding-spectrum"] = figures.plot_embedding_spectrum(grokked)
    monkeypatch.setattr(images, "all_figures", lambda _: few)
    written = gi.write_images(grokked, tmp_path / "figures")
    assert [path.name for path in written] == ["loss.png", "embedding_spectrum.png"]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "embedding_spectrum.png",
        "loss.png",
    ]
    for path, figure in zip(written, few.values(), strict=True):
        (width, height), first = pixels(path)
        slider = 84 if figure.layout.sliders else 0
        assert (width, height) == (1800, 2 * (figure.layout.height - slider))
        assert first == b"\xff\xff\xff"


@pytest.mark.browser
@pytest.mark.skipif(EXECUTABLE is None, reason="no chromium, no google-chrome")
@pytest.mark.skipif(importlib.util.find_spec("kaleido") is None, reason="no kaleido")
def test_the_figures_of_a_comparison_become_pictures(tmp_path):
    runs = [synthetic.grokked_analysis(8), synthetic.memorized_analysis(8)]
    compared = comparison_of(runs)
    written = gi.write_images(compared, tmp_path / "figures")
    assert [path.stem for path in written][:3] == ["grokking_steps", "loss", "accuracy"]
    assert sorted(written) == sorted((tmp_path / "figures").iterdir())
    html = render_comparison(compared)
    assert [path.stem for path in written] == [
        name.replace("-", "_") for name in re.findall('<figure id="figure-(.*?)"', html)
    ]
    assert pixels(written[0])[0][0] == 1800


def test_pictures_of_several_runs_include_those_of_their_comparison(
    tiny_run, tmp_path, monkeypatch
):
    for name in "ab":
        shutil.copytree(tiny_run.folder, tmp_path / "runs" / name)
    drawn = []

    def draw(drawings):
        for drawing in drawings:
            drawing["path"].write_text("a picture")
            drawn.append(drawing["path"].name)

    monkeypatch.setattr(images, "find_spec", lambda _: True)
    monkeypatch.setattr(images, "_draw", draw)
    paths = [str(tmp_path / "runs" / name) for name in "ab"]
    main([*paths, "--no-deep", "--quiet", "--image", "svg"])
    for folder in ("a/analysis", "b/analysis", "comparison"):
        assert (tmp_path / "runs" / folder / "figures" / "loss.svg").exists()
    together = {path.name for path in (tmp_path / "runs/comparison/figures").iterdir()}
    assert {"accuracy.svg", "sum_squared_weights.svg"} <= together


def test_a_picture_of_the_spectrum_stands_at_the_last_step(analysis):
    figure = figures.plot_embedding_spectrum(synthetic.grokked_analysis(8))
    still = images._still(figure)
    assert still.layout.title.text == "Embedding spectrum, step 25,000"
    assert not still.layout.sliders and figure.layout.sliders
    assert images._still(figures.plot_losses(analysis)).layout.title.text == "Loss"


def test_another_format_is_refused(analysis, tmp_path):
    with pytest.raises(gi.ConfigError, match="format 'bmp' are not made. Use png, svg or pdf"):
        gi.write_images(analysis, tmp_path / "figures", "bmp")
    assert not (tmp_path / "figures").exists()


def test_without_kaleido_the_remedy_is_one_line_and_the_report_is_there(
    tiny_run, tmp_path, monkeypatch
):
    monkeypatch.setattr(images, "find_spec", lambda _: None)
    arguments = [str(tiny_run.folder), "--out", str(tmp_path), "--no-deep", "--quiet"]
    with pytest.raises(gi.ConfigError) as failure:
        main([*arguments, "--image", "png"])
    assert "pip install 'grokinterp[png]'" in str(failure.value)
    assert "\n" not in str(failure.value)
    assert (tmp_path / "report.html").exists() and (tmp_path / "summary.json").exists()
    assert not (tmp_path / "figures").exists()


def test_without_a_browser_the_remedy_is_one_line_and_nothing_is_left(
    analysis, tmp_path, monkeypatch
):
    def fails(*_, **__):
        raise RuntimeError("The browser seemed to close. More of it,\non two lines")

    kaleido = types.ModuleType("kaleido")
    kaleido.__dict__["write_fig_from_object_sync"] = fails
    monkeypatch.setitem(sys.modules, "kaleido", kaleido)
    monkeypatch.setattr(images, "find_spec", lambda _: True)
    with pytest.raises(gi.ConfigError) as failure:
        gi.write_images(analysis, tmp_path / "figures")
    assert "The browser seemed to close). Install one, or set BROWSER_PATH" in str(failure.value)
    assert list((tmp_path / "figures").iterdir()) == []
