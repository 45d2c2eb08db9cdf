"""A real JupyterLab: the first tutorial from top to bottom, then card, live figure and explorer.

GROKINTERP_PICTURES=FOLDER keeps what each looks like, at 1,200 and 400 pixels, light and dark.
"""

import os
import time
from pathlib import Path

import pytest

from tests.browser import EXECUTABLE, Browser
from tests.lab import WHY_NOT, Lab, LabPage

pytestmark = [
    pytest.mark.browser,
    pytest.mark.long,
    pytest.mark.skipif(EXECUTABLE is None, reason="no chromium, no google-chrome"),
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]
TUTORIAL = Path(__file__).parents[1] / "tutorials" / "01_watch_it_grok.ipynb"
CARD, LIVE, EXPLORER = -3, -2, -1
ADDED = (
    "run",
    "live = gi.train(dataclasses.replace(config, n_steps=400), 'ckpts/live', live=True)",
    "gi.explore(analysis)",
)
"""Cells below the tutorial, in the order of the numbers above."""
SECONDS = 400
"""That all cells may take; a minute on an idle machine."""
WATCH = """window.titles = new Set(); window.curves = new Set();
  setInterval(() => document.querySelectorAll('.js-plotly-plot').forEach(plot => {
    const title = plot.querySelector('.gtitle')?.textContent || '';
    if (!title.includes(' step ')) return;
    titles.add(title);
    curves.add(plot.querySelector('.js-line')?.getAttribute('d'));
  }), 50)"""
INKS = {"Light": "rgba(0, 0, 0, 0.87)", "Dark": "rgb(255, 255, 255)"}
"""Color of text in JupyterLab's two themes."""
VERDICT = "document.querySelector('.x-verdict')?.textContent"
WIDTHS = """[...document.querySelectorAll('.js-plotly-plot')].map(plot => [
    plot.querySelector('.main-svg').getBoundingClientRect().width,
    plot.closest('.jp-OutputArea-output').clientWidth])"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The notebook after all its cells have run; ``first_widths`` is how wide figures were then."""
    folder = tmp_path_factory.mktemp("lab")
    with Lab(folder) as lab, Browser(tmp_path_factory.mktemp("profile")) as browser:
        browser.view(1200, prefers_color_scheme="light")
        page = LabPage(browser, lab, lab.write(TUTORIAL, ADDED))
        browser.evaluate(WATCH)
        page.command("notebook:run-all-cells")
        end = time.monotonic() + SECONDS
        while not page.has_run(EXPLORER) and not page.errors() and time.monotonic() < end:
            time.sleep(0.5)
        page.first_widths = page.settle(WIDTHS)
        yield page


def test_the_tutorial_runs_to_its_end_without_a_word_on_standard_error(page):
    assert page.errors() == "" and page.has_run(EXPLORER)
    drawn = page.browser.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].map(p => p.querySelectorAll('.trace, "
        ".hm, .point').length)"
    )
    # The tutorial's own figures and the live one.
    assert len(drawn) >= 6 and min(drawn) > 0


@pytest.mark.parametrize("theme", INKS)
def test_the_card_of_a_run_takes_the_color_of_the_theme(page, theme):
    page.theme(f"JupyterLab {theme}")
    card = f"{page.cell(CARD)}.querySelector('.jp-OutputArea-output')"
    said = page.browser.evaluate(f"{card}.innerText")
    assert said.startswith("Run of addition modulo 59") and "gi.analyze_run(run)" in said
    assert page.browser.evaluate(f"{card}.querySelectorAll('svg polyline').length") == 2
    inks = f"[...{card}.querySelectorAll('dd, code')].map(e => getComputedStyle(e).color)"
    assert set(page.browser.evaluate(inks)) == {INKS[theme]}


def test_the_live_figure_moves_while_the_network_is_trained(page):
    titles = page.browser.evaluate("[...titles]")
    moving = [title for title in titles if title.endswith(" of 400")]
    assert len(moving) >= 2, titles
    assert titles[-1] == "Addition modulo 59: finished at step 400"
    assert page.browser.evaluate("curves.size") >= 3
    circles = f"{page.cell(LIVE)}.querySelectorAll('.scatterlayer .point').length"
    assert page.browser.evaluate(circles) == 3 * 59


def test_figures_are_as_wide_as_their_cells(page):
    found = {"at first": page.first_widths}
    page.show(LIVE)
    # Plotly's widget follows the window, not a panel that is folded.
    for width in (400, 1200):
        page.browser.view(width)
        found[f"at {width}"] = page.settle(WIDTHS)
    for when, widths in found.items():
        assert all(abs(drawn - cell) <= 1 for drawn, cell in widths), (when, widths)


@pytest.mark.parametrize("width", [1200, 400])
def test_a_click_in_the_explorer_chooses_a_pair(page, width):
    browser = page.browser
    browser.view(width)
    page.show(EXPLORER)
    place = "(b => [b.x, b.y, b.width])({}.getBoundingClientRect())"
    outer = page.settle(place.format(f"{page.cell(EXPLORER)}.querySelector('iframe')"))
    with browser.frame():
        browser.wait_for(f"{VERDICT}?.includes('The largest logit is at')")
        inner = browser.evaluate(place.format("document.querySelector('canvas')"))
    cell = inner[2] / 59
    # One pixel is the frame's border.
    a, b = (31, 17) if width == 1200 else (11, 42)
    browser.click(
        outer[0] + 1 + inner[0] + (b + 0.5) * cell, outer[1] + 1 + inner[1] + (a + 0.5) * cell
    )
    with browser.frame():
        browser.wait_for(f"{VERDICT}.startsWith('a = {a}, b = {b},')")
        assert f"the answer is {(a + b) % 59}" in browser.evaluate(VERDICT)
        frame = "document.documentElement"
        assert browser.evaluate(f"{frame}.scrollWidth <= {frame}.clientWidth")


def test_a_notebook_that_is_not_trusted_keeps_its_cards_and_says_how_to_see_the_rest(
    page, tmp_path
):
    page.save()
    saved = page.lab.folder / TUTORIAL.name
    with Lab(tmp_path) as other, Browser(tmp_path / "profile") as browser:
        again = LabPage(browser, other, other.write(saved, ()))
        shown = "{}.querySelector('.jp-OutputArea').innerText"
        browser.wait_for(f"{again.cell(EXPLORER)} && {shown.format(again.cell(EXPLORER))}.trim()")
        said = [browser.evaluate(shown.format(again.cell(k))) for k in (CARD, LIVE, EXPLORER)]
    assert "Run of addition modulo 59" in said[0] and "gi.analyze_run(run)" in said[0]
    assert "A live figure lasts as long as its kernel" in said[1] and len(said[1]) < 200
    assert "run the cell again, or trust the notebook" in said[2]


def test_pictures_are_kept_where_they_are_asked_for(page):
    folder = os.environ.get("GROKINTERP_PICTURES")
    if folder is None:
        pytest.skip("GROKINTERP_PICTURES is not set")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for theme in ("Light", "Dark"):
        page.theme(f"JupyterLab {theme}")
        for width in (1200, 400):
            page.browser.view(width, prefers_color_scheme=theme.lower())
            for name, number in (("card", CARD), ("live", LIVE), ("explorer", EXPLORER)):
                page.show(number)
                time.sleep(0.7)
                path = Path(folder) / f"{name}_{width}_{theme.lower()}.png"
                page.browser.screenshot(path, height=900)
