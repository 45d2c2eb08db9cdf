"""A headless Chromium that is driven through pipes: pages, keys, pictures, no other package."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXECUTABLE = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_KEYS = {"Tab": 9, "Enter": 13, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    # No name resolves and no proxy answers: whatever a page needs, it has to carry. A server that a
    # test has started is reached by its number.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--proxy-server=127.0.0.1:9",
)


class Browser:
    """One tab; leave the ``with`` block to end it."""

    def __init__(self, profile: Path, *, timeout: float = 60) -> None:
        from_us, self._out = os.pipe()
        self._in, to_us = os.pipe()
        self._timeout = timeout
        self._ids = itertools.count(1)
        self._buffer = b""
        # The browser reads commands from descriptor 3 and writes answers to descriptor 4.
        shell = f'exec "$@" 3<&{from_us} 4>&{to_us}'
        command = [EXECUTABLE, *_FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *map(str, command), "about:blank"],
            pass_fds=(from_us, to_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_us)
        os.close(to_us)
        self._session: str | None = None
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        self.call("Page.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._session = None
        self.call("Browser.close")
        self._process.wait(timeout=20)
        os.close(self._out)
        os.close(self._in)

    @contextmanager
    def frame(self) -> Iterator[None]:
        """Evaluate in the one frame of the page that is sandboxed, which is a target of its own."""
        page = self._session
        (frame,) = (
            target
            for target in self.call("Target.getTargets")["targetInfos"]
            if target["type"] == "iframe"
        )
        attached = self.call("Target.attachToTarget", targetId=frame["targetId"], flatten=True)
        self._session = attached["sessionId"]
        try:
            yield
        finally:
            self._session = page

    def click(self, x: float, y: float) -> None:
        """Click at a place of the window, whatever lies there."""
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command of the DevTools protocol and return its result."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            answer = self._read()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def _read(self) -> dict[str, Any]:
        end = time.monotonic() + self._timeout
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0, end - time.monotonic()))
            part = os.read(self._in, 1 << 20) if ready else b""
            if not part:
                raise TimeoutError(f"the browser was silent for {self._timeout} s, or has gone")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def view(self, width: int, height: int = 900, **media: str) -> None:
        """Set the size of the page and media features such as ``prefers_color_scheme="dark"``."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": k.replace("_", "-"), "value": v} for k, v in media.items()]
        self.call("Emulation.setEmulatedMedia", features=features)

    def open(self, page: Path) -> None:
        """Open a file and wait until it has loaded and all figures of a report are drawn."""
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")
        self.wait_for(
            "!document.querySelector('.plot') || document.documentElement.dataset.figuresDrawn"
            " || document.documentElement.dataset.errors"
        )

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression in the page; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:500])
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + self._timeout
        while not self.evaluate(f"Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.02)

    def press(self, key: str, times: int = 1) -> None:
        """Press a key as a person does: what has the focus gets it."""
        for _ in range(times):
            # Enter acts by the character that it writes, the others by themselves.
            text = {"text": "\r"} if key == "Enter" else {}
            for kind in ("keyDown" if text else "rawKeyDown", "keyUp"):
                self.call(
                    "Input.dispatchKeyEvent",
                    type=kind,
                    key=key,
                    code=key,
                    windowsVirtualKeyCode=_KEYS[key],
                    **(text if kind == "keyDown" else {}),
                )

    def screenshot(
        self, path: Path, selector: str | None = None, *, height: int | None = None
    ) -> None:
        """Picture of the page, of its first `height` pixels, or of one element."""
        if selector is None:
            page = "document.documentElement"
            box = self.evaluate(f"[0, 0, {page}.clientWidth, {height or f'{page}.scrollHeight'}]")
        else:
            box = self.evaluate(
                f"(() => {{const r = document.querySelector({json.dumps(selector)})"
                ".getBoundingClientRect();"
                "return [r.x + scrollX, r.y + scrollY, r.width, r.height]})()"
            )
        x, y, width, height = box
        picture = self.call(
            "Page.captureScreenshot",
            format="png",
            captureBeyondViewport=True,
            clip={"x": x, "y": y, "width": width, "height": height, "scale": 1},
        )
        path.write_bytes(base64.b64decode(picture["data"]))
