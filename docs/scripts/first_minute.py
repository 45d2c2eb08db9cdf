"""How long a first look takes: from `import grokinterp` to a figure, and until a report is drawn.

PYTHONPATH=. python docs/scripts/first_minute.py ckpts/quick

The folder holds a run that was analyzed once, so that its numbers are known. Import and figure
are timed in fresh processes, in turn with one that imports torch alone. The report is opened in
headless Chromium, each time by a browser that has just started and knows no page.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import grokinterp as gi
from tests.browser import EXECUTABLE, Browser

ROUNDS = 7
TORCH = "import torch"
FIGURE = """
import grokinterp as gi
analysis = gi.analyze_run(gi.load_run({folder!r}))
analysis.plot().to_json()
"""
"""What a first cell does; the JSON is what a notebook draws the figure from."""
MARKS = """(() => {
  const named = name => performance.getEntriesByName(name)[0].startTime;
  return {
    "first paint": named("first-contentful-paint"),
    "load event": performance.getEntriesByType("navigation")[0].loadEventEnd,
    "figures in view": named("figures in view"),
    "all figures": named("all figures"),
  };
})()"""


def main(folder: str) -> None:
    """Print medians and ranges, in seconds."""
    figure, torch = in_turn(FIGURE.format(folder=folder), TORCH)
    beside = [ours - theirs for ours, theirs in zip(figure, torch, strict=True)]
    tell("import torch", torch)
    tell("import grokinterp, load, first figure", figure)
    tell("the same beside torch's import", beside)
    if EXECUTABLE is None:
        sys.stdout.write("no chromium, no google-chrome: the report was not opened\n")
        return
    with tempfile.TemporaryDirectory() as place:
        report = Path(place) / "report.html"
        gi.write_report(gi.analyze_run(gi.load_run(folder)), report)
        sys.stdout.write(f"report of {report.stat().st_size / 1e6:.1f} MB\n")
        opened = [open_in_browser(report) for _ in range(ROUNDS)]
    for name in opened[0]:
        tell(name, [one[name] / 1000 for one in opened])


def in_turn(*codes: str) -> list[list[float]]:
    """Seconds of each program in each round, after one that is not counted."""
    rounds = [[seconds_of(code) for code in codes] for _ in range(ROUNDS + 1)]
    return [list(column) for column in zip(*rounds[1:], strict=True)]


def seconds_of(code: str) -> float:
    """Seconds from the first line of a program to its last, without Python's own start."""
    timed = f"import time\nstart = time.perf_counter()\n{code}\nprint(time.perf_counter() - start)"
    result = subprocess.run(
        [sys.executable, "-c", timed], capture_output=True, text=True, check=True
    )
    return float(result.stdout)


def open_in_browser(report: Path) -> dict[str, float]:
    """Milliseconds from the navigation to the marks of a page."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        Browser(Path(profile)) as browser,
    ):
        browser.view(1200, 900, prefers_color_scheme="light")
        browser.open(report)
        return browser.evaluate(MARKS)


def tell(name: str, seconds: Sequence[float]) -> None:
    """Write a median with its range."""
    middle = statistics.median(seconds)
    sys.stdout.write(f"{name:38} {middle:6.2f} s ({min(seconds):.2f} to {max(seconds):.2f})\n")


if __name__ == "__main__":
    main(*sys.argv[1:2])
