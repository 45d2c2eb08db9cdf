"""A JupyterLab of a test's own, on a port of this machine, driven by the browser of the tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.browser import Browser

WHY_NOT = next(
    (
        f"{name} is not installed (docs/testing.md)"
        for name in ("jupyterlab", "ipykernel", "anywidget", "ipywidgets")
        if find_spec(name) is None
    ),
    None,
)
"""Why there is no JupyterLab here; None where there is one."""
_TOKEN = "grokinterp"
_SETTINGS = {
    # No question about news, and every cell is in the page, wherever one has scrolled to.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "notebook-extension/tracker": {"windowingMode": "none"},
}
_PANEL = "[...jupyterapp.shell.widgets('main')][0]"
_KERNEL = f"{_PANEL}?.sessionContext?.session?.kernel"
_CELL = "document.querySelectorAll('.jp-NotebookPanel .jp-CodeCell')"


class Lab:
    """A server whose notebooks lie in a folder; leave the ``with`` block to end it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "notebooks"
        self.folder.mkdir(parents=True)
        self._runtime = folder / "runtime"
        settings = folder / "settings"
        for name, value in _SETTINGS.items():
            path = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value))
        places = {"JUPYTER_RUNTIME_DIR": self._runtime, "JUPYTER_CONFIG_DIR": folder / "config"}
        places["JUPYTER_DATA_DIR"] = folder / "data"
        flags = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": 0,
            "ServerApp.root_dir": self.folder,
            "ServerApp.allow_root": True,
            "IdentityProvider.token": _TOKEN,
            "LabApp.user_settings_dir": settings,
            "LabApp.workspaces_dir": folder / "workspaces",
            "LabApp.expose_app_in_browser": True,
            "LabApp.extension_manager": "readonly",
        }
        self._log = (folder / "log").open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser"]
            + [f"--{name}={value}" for name, value in flags.items()],
            env=os.environ | {name: str(path) for name, path in places.items()},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.url = self._address()

    def _address(self) -> str:
        end = time.monotonic() + 60
        while time.monotonic() < end and self._process.poll() is None:
            # The file is there before it is written whole.
            for path in self._runtime.glob("jpserver-*.json"):
                if (text := path.read_text()).endswith("}"):
                    return f"http://127.0.0.1:{json.loads(text)['port']}/lab"
            time.sleep(0.1)
        self._process.terminate()
        raise TimeoutError(f"JupyterLab did not start: {Path(self._log.name).read_text()[-500:]}")

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)
        self._log.close()

    def write(self, notebook: Path, cells: Sequence[str]) -> str:
        """Copy a notebook with further cells of code below, and return its name."""
        content = json.loads(notebook.read_text(encoding="utf-8"))
        content["cells"] += [
            {
                "cell_type": "code",
                "id": f"added-{number}",
                "source": source,
                "metadata": {},
                "execution_count": None,
                "outputs": [],
            }
            for number, source in enumerate(cells)
        ]
        (self.folder / notebook.name).write_text(json.dumps(content), encoding="utf-8")
        return notebook.name


class LabPage:
    """A notebook that is open in JupyterLab."""

    def __init__(self, browser: Browser, lab: Lab, name: str) -> None:
        self.browser, self.lab = browser, lab
        browser.call("Page.navigate", url=f"{lab.url}/tree/{name}?token={_TOKEN}")
        browser.wait_for(f"window.jupyterapp && {_KERNEL}?.status === 'idle'")

    def command(self, name: str, **arguments: object) -> None:
        """Begin one of JupyterLab's commands, without waiting for what it does."""
        self.browser.evaluate(
            f"void jupyterapp.commands.execute({json.dumps(name)}, {json.dumps(arguments)})"
        )

    def theme(self, name: str) -> None:
        """Change the theme, as one does in the menu."""
        self.browser.evaluate(
            f"jupyterapp.commands.execute('apputils:change-theme', {{theme: {json.dumps(name)}}})"
        )
        self.browser.wait_for(f"document.body.dataset.jpThemeName === {json.dumps(name)}")

    def cell(self, number: int) -> str:
        """The element of a code cell, in JavaScript; -1 is the last."""
        return f"[...{_CELL}].at({number})"

    def has_run(self, number: int) -> bool:
        """Whether a code cell has been run to its end."""
        prompt = f"{self.cell(number)}.querySelector('.jp-InputPrompt').textContent"
        return bool(self.browser.evaluate(f"/\\[\\d+\\]/.test({prompt})"))

    def errors(self) -> str:
        """What cells wrote to standard error, tracebacks included."""
        kinds = ("stderr", "error")
        outputs = ", ".join(f".jp-OutputArea-output[data-mime-type*={kind}]" for kind in kinds)
        return self.browser.evaluate(
            f"[...document.querySelectorAll('{outputs}')].map(e => e.innerText).join('\\n')"
        )

    def save(self) -> None:
        """Write the notebook with its outputs."""
        self.browser.evaluate(
            "[...jupyterapp.shell.widgets('main')][0].context.save().then(() => 1)"
        )

    def settle(self, expression: str) -> Any:
        """Wait until a value has stayed the same for a second, and return it."""
        value, since = None, time.monotonic()
        end = since + 60
        while time.monotonic() < min(since + 1, end):
            if (new := self.browser.evaluate(expression)) != value:
                value, since = new, time.monotonic()
            time.sleep(0.1)
        return value

    def show(self, number: int) -> None:
        """Scroll to a code cell and leave it the whole width."""
        self.browser.evaluate(
            "jupyterapp.shell.collapseLeft(), jupyterapp.shell.collapseRight(), "
            f"{self.cell(number)}.scrollIntoView({{block: 'start'}})"
        )
