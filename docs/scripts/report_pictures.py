"""Pictures of docs/report.md: the report of a run as a browser shows it.

PYTHONPATH=. python docs/scripts/report_pictures.py ckpts/quick/analysis/report.html docs/figures
"""

import sys
import tempfile
from pathlib import Path

from tests.browser import Browser

PARTS = {
    "report_loss": "#figure-loss",
    "report_spectrum": "#embedding-spectrum",
    "report_circuits": "#figure-restricted-and-excluded-loss",
}


def main(report: str, folder: str) -> None:
    """Write report_wide.png, report_narrow.png and one picture for each of `PARTS`."""
    out = Path(folder)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        Browser(Path(profile)) as browser,
    ):
        browser.view(1200, 900, prefers_color_scheme="light")
        browser.open(Path(report))
        browser.screenshot(out / "report_wide.png", height=1180)
        for name, selector in PARTS.items():
            if name == "report_spectrum":
                move = "i.value = i.max / 4, i.dispatchEvent(new Event('input'))"
                browser.evaluate(f"i = document.querySelector('.slider input'), {move}")
            browser.screenshot(out / f"{name}.png", selector)
        browser.view(400, 900, prefers_color_scheme="dark")
        browser.open(Path(report))
        browser.screenshot(out / "report_narrow.png", height=1180)


if __name__ == "__main__":
    main(*sys.argv[1:3])
