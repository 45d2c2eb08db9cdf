"""Reports opened in a real browser: wide, narrow, and broken on purpose."""

import html
import json
import re
import shutil
import subprocess

import pytest

from grokinterp.report import render_report
from grokinterp.report.page import render_page
from tests import synthetic

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="neither chromium nor google-chrome is installed"),
]

# A browser window cannot be as narrow as a telephone, a frame can. Frames of `srcdoc` share
# the origin of the page around them, so it can look inside.
LOOK_INSIDE = """
function box(element) { return element ? element.getBoundingClientRect() : null; }
function overlaps(plot) {
  const last = selector => [...plot.querySelectorAll(selector)].map(box)
    .reduce((lowest, next) => lowest && next.bottom < lowest.bottom ? lowest : next, null);
  const legend = last(".legend .bg"), ticks = last(".cartesianlayer [class^=x][class$=tick] text");
  const title = last("[class^=g-x][class$=title] text");
  // A map has no legend.
  return title.top < ticks.bottom - 2 || Boolean(legend && legend.top < title.bottom - 2);
}
function outside(plot) {
  const around = box(plot), legend = box(plot.querySelector(".legend .bg"));
  return Boolean(legend && legend.height && legend.bottom > around.bottom + 2);
}
addEventListener("load", async () => {
  const frame = document.querySelector("iframe"), inner = frame.contentWindow;
  const root = inner.document.documentElement;
  for (let i = 0; i < 150 && !root.dataset.figuresDrawn; i++)
    await new Promise(resolve => setTimeout(resolve, 100));
  const plots = [...inner.document.querySelectorAll(".plot")];
  const result = {
    errors: root.dataset.errors || "",
    drawn: Number(root.dataset.figuresDrawn || 0),
    plots: plots.length,
    rendered: plots.filter(plot => plot.querySelector(".main-svg")).length,
    empty: plots.filter(plot => !plot.querySelector(".trace, .barlayer .point, .hm")).length,
    page_width: root.scrollWidth,
    too_wide: [...inner.document.querySelectorAll("body *")]
      .filter(e => box(e).right > inner.innerWidth && !e.closest(".scroll"))
      .map(e => `${e.tagName}.${e.getAttribute("class")} in ${e.parentNode.id} ${box(e).right}`),
    window_width: inner.innerWidth,
    heights: plots.map(plot => plot._fullLayout._size.h),
    overlapping: plots.filter(overlaps).map(plot => plot.parentNode.id),
    cut_off: plots.filter(outside).map(plot => plot.parentNode.id),
    fetched: inner.performance.getEntriesByType("resource").map(entry => entry.name),
    buttons: [...inner.document.querySelectorAll(".modebar-btn")].map(b => b.dataset.title)
  };
  const spectrum = inner.document.querySelector("#figure-embedding-spectrum .plot");
  if (spectrum && result.drawn) {
    const still = { mode: "immediate", frame: { duration: 0, redraw: true } };
    const frames = spectrum._transitionData._frames.length;
    // Under virtual time a browser without a screen hardly ever paints, and animations wait for it.
    inner.requestAnimationFrame = then => setTimeout(() => then(performance.now()), 16);
    await inner.Plotly.animate(spectrum, ["0"], { ...still, transition: { duration: 0 } });
    result.frames = frames;
    result.first_norms = spectrum.calcdata[0].map(bar => bar.s1);
  }
  document.documentElement.dataset.result = JSON.stringify(result);
});
"""

VIEWS = {"wide": 1200, "narrow": 400}


def _look(folder, report, width):
    """What the browser found in a report shown `width` pixels wide."""
    page = folder / "frame.html"
    frame = f'<iframe style="width:{width}px;height:900px" srcdoc="{html.escape(report)}"></iframe>'
    page.write_text(
        f"<!DOCTYPE html><html><body><script>{LOOK_INSIDE}</script>{frame}</body></html>"
    )
    command = [
        str(BROWSER),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={folder / 'profile'}",
        # No name resolves and no proxy answers: whatever the page needs, it has to carry.
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--proxy-server=127.0.0.1:9",
        "--window-size=1300,1000",
        "--virtual-time-budget=20000",
        "--dump-dom",
        page.as_uri(),
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True).stdout
    found = re.search(r'<html[^>]* data-result="([^"]*)"', dom[: dom.find("<head")])
    assert found, "the browser wrote no result"
    return json.loads(html.unescape(found[1]))


@pytest.fixture(scope="module")
def analysis():
    return synthetic.grokked_analysis(60)


@pytest.fixture(scope="module")
def views(analysis, tmp_path_factory):
    report = render_report(analysis)
    fault = '<div style="width:900px">wide</div><script>missing()</script>'
    broken = render_page("broken", fault, [])
    shown = {name: (report, width) for name, width in VIEWS.items()} | {"broken": (broken, 400)}
    return {
        name: _look(tmp_path_factory.mktemp(name), html_text, width)
        for name, (html_text, width) in shown.items()
    }


@pytest.mark.parametrize("name", VIEWS)
def test_the_report_runs_without_an_error_and_fetches_nothing(views, name):
    assert views[name]["errors"] == "" and views[name]["fetched"] == []


@pytest.mark.parametrize("name", VIEWS)
def test_all_figures_are_drawn(views, name):
    view = views[name]
    assert view["plots"] == view["drawn"] == view["rendered"] == 17
    assert view["empty"] == 0


@pytest.mark.parametrize("name", VIEWS)
def test_the_page_does_not_scroll_sideways(views, name):
    view = views[name]
    assert view["window_width"] == VIEWS[name]
    assert view["page_width"] <= view["window_width"], view["too_wide"]


@pytest.mark.parametrize("name", VIEWS)
def test_legends_lie_below_the_axes_and_inside_their_figures(views, name):
    assert views[name]["overlapping"] == [] and views[name]["cut_off"] == []


def test_long_legends_do_not_take_their_room_from_the_plots(views):
    assert views["narrow"]["heights"] == pytest.approx(views["wide"]["heights"], abs=6)


def test_the_slider_shows_the_norms_of_the_step_it_stands_at(views, analysis):
    table = analysis.by_frequency
    keys = analysis.key_frequencies.frequencies
    first = table[(table["step"] == 0) & ~table["frequency"].isin(keys)]
    assert views["wide"]["frames"] <= 60
    assert views["wide"]["first_norms"] == pytest.approx(list(first["embedding_norm"]), rel=1e-4)


def test_no_button_sends_a_figure_to_a_server(views):
    harmless = {"Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"}
    assert set(views["wide"]["buttons"]) == harmless


def test_an_error_and_a_page_that_is_too_wide_are_noticed(views):
    view = views["broken"]
    assert "missing is not defined" in view["errors"]
    assert view["page_width"] > view["window_width"]
