"""Reports opened in a real browser: wide, narrow, dark, on paper, and broken on purpose."""

import pytest

from grokinterp.report import render_report
from grokinterp.report.page import render_page
from tests import synthetic
from tests.browser import EXECUTABLE, Browser

pytestmark = [
    pytest.mark.long,  # A browser to start.
    pytest.mark.browser,
    pytest.mark.skipif(EXECUTABLE is None, reason="no chromium, no google-chrome"),
]

LOOK = """
(() => {
  const box = element => element ? element.getBoundingClientRect() : null;
  const root = document.documentElement, plots = [...document.querySelectorAll(".plot")];
  function overlaps(plot) {
    const last = selector => [...plot.querySelectorAll(selector)].map(box)
      .reduce((lowest, next) => lowest && next.bottom < lowest.bottom ? lowest : next, null);
    const legend = last(".legend .bg");
    const ticks = last(".cartesianlayer [class^=x][class$=tick] text");
    const title = last("[class^=g-x][class$=title] text");
    // A map has no legend.
    return title.top < ticks.bottom - 2 || Boolean(legend && legend.top < title.bottom - 2);
  }
  function outside(plot) {
    const around = box(plot), legend = box(plot.querySelector(".legend .bg"));
    return Boolean(legend && legend.height && legend.bottom > around.bottom + 2);
  }
  return {
    errors: root.dataset.errors || "",
    drawn: Number(root.dataset.figuresDrawn || 0),
    plots: plots.length,
    rendered: plots.filter(plot => plot.querySelector(".main-svg")).length,
    empty: plots.filter(plot => !plot.querySelector(".trace, .barlayer .point, .hm")).length,
    page_width: root.scrollWidth,
    too_wide: [...document.querySelectorAll("body *")]
      .filter(e => box(e).right > innerWidth && !e.closest(".scroll") && !e.closest(".skip"))
      .map(e => `${e.tagName}.${e.getAttribute("class")} in ${e.parentNode.id} ${box(e).right}`),
    window_width: innerWidth,
    heights: plots.map(plot => plot._fullLayout._size.h),
    overlapping: plots.filter(overlaps).map(plot => plot.parentNode.id),
    cut_off: plots.filter(outside).map(plot => plot.parentNode.id),
    fetched: performance.getEntriesByType("resource").map(entry => entry.name),
    buttons: [...document.querySelectorAll(".modebar-btn")].map(b => b.dataset.title),
    contents_open: document.querySelector("nav details").open,
    in_view_first: (performance.getEntriesByName("figures in view")[0] || {}).startTime
      < (performance.getEntriesByName("all figures")[0] || {}).startTime
  };
})()
"""
VIEWS = {"wide": 1200, "narrow": 400}
SPECTRUM = "document.querySelector('#figure-embedding-spectrum .plot')"
BARS = f"{SPECTRUM}.calcdata[0].map(bar => bar.s1)"
LINES = """document.querySelector('#figure-embedding-heatmap .plot').layout.shapes
    .filter(shape => shape.name === 'slider').map(shape => shape.x0)"""


@pytest.fixture(scope="module")
def analysis():
    return synthetic.grokked_analysis(60)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def report(analysis, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(analysis))
    return path


@pytest.fixture(scope="module")
def views(browser, report, tmp_path_factory):
    """What the browser found at each width; the last page it opened is the wide report."""
    fault = '<div style="width:900px">wide</div><script>missing()</script>'
    broken = tmp_path_factory.mktemp("broken") / "broken.html"
    broken.write_text(render_page("broken", fault, []))
    found = {}
    for name, path, width in (
        ("broken", broken, 400),
        ("narrow", report, VIEWS["narrow"]),
        ("wide", report, VIEWS["wide"]),
    ):
        browser.view(width, prefers_color_scheme="light")
        browser.open(path)
        found[name] = browser.evaluate(LOOK)
    return found


@pytest.fixture
def page(browser, views):
    """The report, wide and light, as it is after loading, with nothing focused."""
    browser.view(VIEWS["wide"], prefers_color_scheme="light")
    # The next Tab begins at the top, wherever a test before has left the focus.
    browser.evaluate("document.body.tabIndex = -1, document.body.focus(), scrollTo(0, 0)")
    yield browser
    browser.view(VIEWS["wide"], prefers_color_scheme="light")


@pytest.mark.parametrize("name", VIEWS)
def test_the_report_runs_without_an_error_and_fetches_nothing(views, name):
    assert views[name]["errors"] == "" and views[name]["fetched"] == []


@pytest.mark.parametrize("name", VIEWS)
def test_all_figures_are_drawn_those_in_view_first(views, name):
    view = views[name]
    assert view["plots"] == view["drawn"] == view["rendered"] == 20
    assert view["empty"] == 0 and view["in_view_first"]


@pytest.mark.parametrize("name", VIEWS)
def test_the_page_does_not_scroll_sideways(views, name):
    view = views[name]
    assert view["window_width"] == VIEWS[name]
    assert view["page_width"] <= view["window_width"], view["too_wide"]


@pytest.mark.parametrize("name", VIEWS)
def test_legends_lie_below_the_axes_and_inside_their_figures(views, name):
    assert views[name]["overlapping"] == [] and views[name]["cut_off"] == []


def test_long_legends_do_not_take_their_room_from_the_plots(views):
    assert views["narrow"]["heights"] == pytest.approx(views["wide"]["heights"], abs=9)


def test_no_button_sends_a_figure_to_a_server(views):
    harmless = {"Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"}
    assert set(views["wide"]["buttons"]) == harmless


def test_an_error_and_a_page_that_is_too_wide_are_noticed(views):
    view = views["broken"]
    assert "missing is not defined" in view["errors"]
    assert view["page_width"] > view["window_width"]


def norms_at(analysis, step):
    table = analysis.by_frequency
    keys = analysis.key_frequencies.frequencies
    rows = table[(table["step"] == step) & ~table["frequency"].isin(keys)]
    return list(rows["embedding_norm"])


def test_arrow_keys_move_the_slider_and_with_it_the_spectrum_and_the_line_on_the_map(
    page, analysis
):
    steps = list(analysis.trajectory["step"])
    page.evaluate("document.querySelector('.slider input').focus()")
    for key, step in (("Home", steps[0]), ("ArrowRight", steps[1]), ("End", steps[-1])):
        page.press(key)
        assert page.evaluate(BARS) == pytest.approx(norms_at(analysis, step), rel=1e-4)
        assert page.evaluate(LINES) == [step]
        assert page.evaluate("document.querySelector('.slider output').textContent") == f"{step:,}"
        spoken = page.evaluate("document.querySelector('.slider input').ariaValueText")
        assert spoken == f"step {step:,}"
    assert norms_at(analysis, steps[0]) != pytest.approx(norms_at(analysis, steps[1]), rel=1e-4)


def test_the_first_stop_of_the_keyboard_is_the_way_past_the_contents(page):
    page.press("Tab")
    stop = "document.activeElement"
    assert page.evaluate(f"{stop}.getAttribute('href')") == "#main"
    # Hidden until it has the focus; then it is in view, with an outline.
    assert page.evaluate(f"{stop}.getBoundingClientRect().left") >= 0
    assert page.evaluate(f"getComputedStyle({stop}).outlineStyle") == "solid"
    page.press("Tab")
    assert page.evaluate(f"{stop}.getAttribute('href')") == "#outcome"


def test_the_contents_follow_the_reader(page):
    current = "[...document.querySelectorAll('nav [aria-current]')].map(a => a.hash)"
    page.wait_for(f"{current} == '#outcome'")
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    page.evaluate("document.querySelector('#neurons').scrollIntoView()")
    page.wait_for(f"{current} == '#neurons'")
    top = page.evaluate("document.querySelector('nav a').getBoundingClientRect().top")
    assert 0 <= top < 100


def test_on_a_narrow_page_the_contents_are_one_line_that_unfolds(page, views):
    assert views["wide"]["contents_open"] and not views["narrow"]["contents_open"]
    page.view(VIEWS["narrow"])
    page.wait_for("!document.querySelector('nav details').open")
    page.evaluate("document.querySelector('#neurons').scrollIntoView()")
    page.wait_for("document.querySelector('nav summary').innerText === 'Contents: Neurons'")
    page.evaluate("document.querySelector('nav summary').focus()")
    page.press("Enter")
    page.wait_for("document.querySelector('nav details').open")
    assert page.evaluate("document.querySelector('nav').getBoundingClientRect().top") == 0


def test_figures_are_painted_in_the_colors_of_the_scheme(page):
    ink = "getComputedStyle(document.querySelector('.ytick text')).fill"
    light = page.evaluate(ink)
    page.view(VIEWS["wide"], prefers_color_scheme="dark")
    page.wait_for(f"{ink} !== {light!r}")
    assert (light, page.evaluate(ink)) == ("rgb(28, 36, 48)", "rgb(228, 232, 238)")


def test_paper_is_light_whole_and_as_wide_as_a_sheet(page):
    widths = "[...document.querySelectorAll('.plot')].map(plot => plot._fullLayout.width)"
    on_screen = page.evaluate(widths)
    page.view(VIEWS["wide"], prefers_color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.querySelectorAll('main details:not([open])').length") == 0
    assert set(page.evaluate(widths)) == {660} != set(on_screen)
    page.call("Emulation.setEmulatedMedia", media="")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.querySelectorAll('main details[open]').length") == 0
    page.wait_for(f"JSON.stringify({widths}) === '{str(on_screen).replace(' ', '')}'")
