"""The explorer in a real browser: it computes what the ablation table has, and keys move it."""

import html
import json

import pytest

import grokinterp as gi
from grokinterp.circuits.trigonometric import trigonometric_component
from grokinterp.models.loss import pair_losses
from grokinterp.report import render_report
from tests import explored
from tests.browser import EXECUTABLE, Browser

pytestmark = [
    pytest.mark.long,  # A browser to start.
    pytest.mark.browser,
    pytest.mark.skipif(EXECUTABLE is None, reason="no chromium, no google-chrome"),
]

ROOT = "document.querySelector('.explorer')"
CELLS = """Object.fromEntries([...document.querySelectorAll('td[data-side]')].map(
    cell => [cell.dataset.what + '_' + cell.dataset.side, Number(cell.dataset.value)]))"""
TEXTS = "[...document.querySelectorAll('td[data-side]')].map(cell => cell.textContent)"
VERDICT = "document.querySelector('.x-verdict').textContent"
TOO_WIDE = """[...document.querySelectorAll('.explorer *')].filter(
    e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"""


@pytest.fixture(scope="module")
def keyed(tiny_analysis):
    return explored.with_keys(tiny_analysis)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def opened(browser, tmp_path):
    """Function that opens the explorer of an analysis and waits for its first numbers."""

    def open_explorer(analysis, width=1200):
        path = gi.explore(analysis).write(tmp_path / "explorer.html")
        browser.view(width, prefers_color_scheme="light")
        browser.open(path)
        browser.wait_for(f"{ROOT}.dataset.evaluations == 1")
        return browser

    return open_explorer


def evaluated(page, script):
    """Run a script that changes something, and wait for the numbers after it."""
    before = page.evaluate(f"Number({ROOT}.dataset.evaluations)")
    page.evaluate(script)
    page.wait_for(f"{ROOT}.dataset.evaluations > {before}")
    return page.evaluate(CELLS)


def change(page, *, off=(), rest=True):
    """Put the controls back, then switch components off."""
    switches = "".join(f"document.querySelector('[data-part={name}]').click();" for name in off)
    rest = "" if rest else "document.querySelector('.x-controls input').click();"
    return evaluated(page, f"document.querySelector('.explorer button').click(); {switches}{rest}")


def expected(analysis, component, intervention):
    rows = analysis.ablations
    row = rows[(rows["component"] == component) & (rows["intervention"] == intervention)]
    return row.iloc[0]


def agree(shown, row):
    for name, value in shown.items():
        if not name.startswith("whole"):
            # Losses are compared as both compute them in float64 from float32 weights.
            exact = {"abs": 1e-12} if name.startswith("accuracy") else {"rel": 2e-4, "abs": 1e-9}
            assert value == pytest.approx(row[name], **exact), name


KINDS = {
    "transformer": lambda base: base,
    "perceptron": explored.perceptron,
    "perceptron gelu": lambda base: explored.perceptron(base, act_fn="gelu", embedding="separate"),
    "perceptron square": lambda base: explored.perceptron(
        base, act_fn="square", embedding="shared", combination="summed"
    ),
    "logits on a group": explored.of_group,
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_are_those_of_the_ablation_table(keyed, opened, kind):
    analysis = KINDS[kind](keyed)
    page = opened(analysis)
    names = page.evaluate("[...document.querySelectorAll('[data-part]')].map(b => b.dataset.part)")
    agree(page.evaluate(CELLS), expected(analysis, "full", "none"))
    agree(
        change(page, off=names),
        expected(analysis, "trigonometric_circuit", "removed from logits"),
    )
    agree(
        change(page, rest=False),
        expected(analysis, "memorization_circuit", "removed from logits"),
    )
    for name in names:
        others = [other for other in names if other != name]
        agree(change(page, off=[name]), expected(analysis, name, "removed from logits"))
        agree(change(page, off=others, rest=False), expected(analysis, name, "kept in logits"))
    agree(change(page), expected(analysis, "full", "none"))
    assert page.evaluate("document.querySelectorAll('.x-clocks figure').length") == (
        {"transformer": 3, "logits on a group": 0}.get(kind, 3) * len(names)
    )


def test_a_scaled_frequency_is_scaled_in_the_logits(keyed, opened):
    page = opened(keyed)
    slider = "document.querySelector('.x-scale input')"
    shown = evaluated(page, f"{slider}.value = 0.4; {slider}.dispatchEvent(new Event('input'))")
    snapshot = gi.take_snapshot(keyed.run)
    k = keyed.key_frequencies.frequencies[0]
    part = trigonometric_component(snapshot, [k])
    logits = snapshot.logits.double() - 0.6 * part[snapshot.labels]
    assert shown["loss_all"] == pytest.approx(
        float(pair_losses(logits, snapshot.labels).mean()), rel=2e-4
    )
    assert page.evaluate("document.querySelector('.x-scale output').textContent") == "× 0.40"


def test_a_click_and_the_arrow_keys_choose_a_pair(keyed, opened):
    page = opened(keyed)
    table = "document.querySelector('.explorer canvas')"
    box = page.evaluate(f"(b => [b.x, b.y, b.width])({table}.getBoundingClientRect())")
    cell = box[2] / 13
    page.click(box[0] + 4.5 * cell, box[1] + 9.5 * cell)
    assert page.evaluate(VERDICT).startswith("a = 9, b = 4, a ")
    assert "the answer is 0" in page.evaluate(VERDICT)
    page.evaluate(f"{table}.focus()")
    page.press("ArrowRight", 2)
    assert "a = 9, b = 6" in page.evaluate(VERDICT)
    assert page.evaluate("[...document.querySelectorAll('select')].map(s => s.value)") == ["9", "6"]
    peaks = page.evaluate("document.querySelector('.x-verdict').dataset.best")
    logits = gi.take_snapshot(keyed.run).logits
    assert int(peaks) == int(logits[9 * 13 + 6].argmax())


def test_the_slider_through_training_turns_the_hands(keyed, opened):
    page = opened(keyed)
    hand = "document.querySelector('.x-hand').getAttribute('d')"
    last, numbers = page.evaluate(hand), page.evaluate(TEXTS)
    page.evaluate("document.querySelector('.x-time input').focus()")
    page.press("Home")
    assert page.evaluate(hand) != last
    slider = "document.querySelector('.x-time input')"
    assert page.evaluate(f"{slider}.getAttribute('aria-valuetext')") == "step 0"
    assert "all numbers stay those of the last" in page.evaluate(
        "document.querySelector('.x-note').textContent"
    )
    assert page.evaluate(TEXTS) == numbers
    page.press("End")
    assert page.evaluate(hand) == last


def test_whoever_listens_gets_names_and_numbers(keyed, opened):
    page = opened(keyed)
    nameless = """[...document.querySelectorAll(
        '.explorer input, .explorer select, .explorer canvas, .explorer svg, .explorer button')]
        .filter(e => !e.labels?.length && !e.ariaLabel && !e.textContent.trim()).length"""
    assert page.evaluate(nameless) == 0
    change(page, rest=False)
    page.wait_for(
        "document.querySelector('.x-hidden').textContent.startsWith('all pairs: accuracy')"
    )
    assert page.evaluate("document.querySelector('.x-hidden').getAttribute('role')") == "status"
    # In the order of the page: what to look at, the numbers' controls, the frequencies.
    page.evaluate("document.body.tabIndex = -1, document.body.focus()")
    stops = []
    for _ in range(8):
        page.press("Tab")
        stops.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    ids = ["a", "b", "CANVAS", "rest", "BUTTON", "step", "on0", "by0"]
    assert [stop.rpartition("-")[2] for stop in stops] == ids


# 264: what a cell of JupyterLab has on a screen of 400.
@pytest.mark.parametrize("width", [1200, 400, 264])
def test_the_page_fits_and_has_no_error(keyed, opened, width):
    page = opened(keyed, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(TOO_WIDE) == []
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0


def test_the_table_takes_the_colors_of_the_scheme(keyed, opened):
    page = opened(keyed)
    color = """[...document.querySelector('.explorer canvas').getContext('2d')
        .getImageData(0, 0, 1, 1).data]"""
    light = page.evaluate(color)
    page.view(1200, prefers_color_scheme="dark")
    page.wait_for(
        f"JSON.stringify({color}) !== {json.dumps(json.dumps(light, separators=(',', ':')))}"
    )


def test_the_report_holds_it_and_computes_it_when_it_is_seen(keyed, browser, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(render_report(keyed))
    browser.view(400, prefers_color_scheme="light")
    browser.open(path)
    assert browser.evaluate(f"{ROOT}.dataset.evaluations") is None
    browser.evaluate("document.querySelector('#explorer').scrollIntoView()")
    browser.wait_for(f"{ROOT}.dataset.evaluations")
    agree(browser.evaluate(CELLS), expected(keyed, "full", "none"))
    assert browser.evaluate(TOO_WIDE) == []
    assert not browser.evaluate("document.documentElement.dataset.errors")


def test_a_notebook_shows_it_in_a_frame_that_runs(keyed, browser, tmp_path):
    path = tmp_path / "cell.html"
    shown = gi.explore(keyed)._repr_html_()
    # The frame cannot be looked into, so what it says of itself is sent out.
    send = "setInterval(() => parent.postMessage(document.body.innerText, '*'), 50)"
    tell = html.escape(f"<script>{send}</script>")
    path.write_text(
        "<script>addEventListener('message', e => { window.said = e.data; });</script>"
        + shown.replace("&lt;/body&gt;", tell + "&lt;/body&gt;")
    )
    browser.view(1200)
    browser.open(path)
    browser.wait_for("window.said && window.said.includes('The largest logit is at')")


def test_a_network_of_113_answers_at_once(keyed, opened):
    analysis = explored.analysis_at_113(keyed)
    page = opened(analysis)
    agree(page.evaluate(CELLS), gi.ablation_table(*of(analysis)).iloc[0])
    took = page.evaluate(
        """(async () => {
            const root = document.querySelector('.explorer'), before = root.dataset.evaluations;
            const start = performance.now();
            document.querySelector('[data-part]').click();
            while (root.dataset.evaluations === before)
                await new Promise(done => setTimeout(done, 1));
            return performance.now() - start;
        })()"""
    )
    computed = page.evaluate(f"Number({ROOT}.dataset.computed)")
    # Far above what it takes, since other work may share the machine.
    assert took < 1500 and computed < 60_000


def of(analysis):
    return gi.take_snapshot(analysis.run), analysis.key_frequencies
